//! Openings: the rows that samples lie in are computed again, for no product is kept.
//!
//! A whole row is needed for the siblings of one of its chunks. The work comes in pieces, one for each chunk column
//! of each round that samples lie in, which do not depend on each other; it starts no thread itself.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Answer, Hash, RoundKey, SAMPLES_MAX,
    draw::{self, Stream},
    row_hash, tree,
};
use crate::{
    compute::kernel::{Isa, Panels, Strip},
    wire::messages::gemm_i8::{CHUNK_VALUES, GemmProof, Opening, Sample},
};

/// Rows that are multiplied together.
const STRIP_ROWS: usize = 96;

/// Why an answer cannot be opened so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenFault {
    #[error("no chunk was asked for")]
    NothingAsked,
    #[error("{asked} chunks were asked for, where at most {SAMPLES_MAX} may be")]
    TooMany { asked: usize },
    #[error("{sample} was asked of {rounds} rounds of {n} rows of {chunks} chunks")]
    OutOfRange { sample: Sample, rounds: u32, n: u32, chunks: u32 },
}

/// One proof in the making: it holds the rows of A that samples lie in.
pub struct Opener<'a> {
    isa: Isa,
    answer: &'a Answer,
    samples: Vec<Sample>,
    rounds: Vec<Round>,
}

/// A round that samples lie in.
struct Round {
    round: u32,
    key: RoundKey,
    /// Ascending.
    rows: Vec<u32>,
    /// These rows of A, ready to be multiplied.
    strips: Vec<Strip<i8>>,
    /// Which chunks are opened.
    opened: BTreeSet<(u32, u32)>,
}

/// One piece of the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Index into the rounds that samples lie in.
    round: usize,
    chunk: u32,
}

/// What one thread works at: the columns of B under one chunk, used again and again.
pub struct OpenDesk {
    isa: Isa,
    drawn: Vec<i8>,
    panels: Panels<i8>,
    product: Vec<i32>,
}

/// What a piece gives: this chunk's hash for each row of the round, and the values of those that are opened.
pub struct Part {
    piece: Piece,
    hashes: Vec<Hash>,
    values: Vec<(u32, Box<[i32; CHUNK_VALUES]>)>,
}

impl<'a> Opener<'a> {
    /// Draws the rows of A. Costs n bytes of memory a sample.
    pub fn new(answer: &'a Answer, samples: &[Sample]) -> Result<Opener<'a>, OpenFault> {
        check(answer, samples)?;
        let keys = answer.keys();
        let mut asked: BTreeMap<u32, BTreeSet<(u32, u32)>> = BTreeMap::new();
        for sample in samples {
            asked.entry(sample.round).or_default().insert((sample.row, sample.chunk));
        }
        let (isa, n) = (Isa::best(), answer.spec().side());
        let rounds = asked.into_iter().filter_map(|(round, opened)| {
            let key = *keys.get(round as usize)?;
            let rows: BTreeSet<u32> = opened.iter().map(|(row, _)| *row).collect();
            let rows: Vec<u32> = rows.into_iter().collect();
            let strips = rows.chunks(STRIP_ROWS).map(|rows| strip(isa, &key, n, rows)).collect();
            Some(Round { round, key, rows, strips, opened })
        });
        let rounds = rounds.collect();
        Ok(Opener { isa, answer, samples: samples.to_vec(), rounds })
    }

    /// Memory for one thread: 256 columns of B, and what it computes of them.
    pub fn desk(&self) -> OpenDesk {
        let n = self.answer.spec().side();
        let panels = Panels::new(self.isa, n, CHUNK_VALUES);
        OpenDesk { isa: self.isa, drawn: Vec::new(), panels, product: Vec::new() }
    }

    /// All the work there is.
    pub fn pieces(&self) -> impl Iterator<Item = Piece> {
        let chunks = self.answer.spec().chunks();
        (0..self.rounds.len()).flat_map(move |round| (0..chunks).map(move |chunk| Piece { round, chunk }))
    }

    /// Does one piece; `None` when it is none of this opener's.
    pub fn compute(&self, desk: &mut OpenDesk, piece: Piece) -> Option<Part> {
        let Round { key, rows, strips, opened, .. } = self.rounds.get(piece.round)?;
        let spec = self.answer.spec();
        desk.multiply(key, spec.side(), piece.chunk, strips);
        let (chunks, _) = desk.product.as_chunks::<CHUNK_VALUES>();
        let hashes = chunks.iter().map(|values| row_hash::of_chunk(values, piece.chunk, spec.chunks())).collect();
        let kept = rows.iter().zip(chunks).filter(|(row, _)| opened.contains(&(**row, piece.chunk)));
        let values = kept.map(|(row, values)| (*row, Box::new(*values))).collect();
        Some(Part { piece, hashes, values })
    }

    /// The proof, out of the parts of all pieces in any order; `None` while one is missing.
    pub fn proof(&self, parts: Vec<Part>) -> Option<GemmProof> {
        let chunks = self.answer.spec().chunks() as usize;
        // For each round and row the hashes of all chunks, and the values of the opened ones.
        let empty = |round: &Round| vec![vec![None; chunks]; round.rows.len()];
        let mut hashes: Vec<Vec<Vec<Option<Hash>>>> = self.rounds.iter().map(empty).collect();
        let mut values = BTreeMap::new();
        for part in parts {
            let (at, chunk) = (part.piece.round, part.piece.chunk);
            for (row, hash) in hashes.get_mut(at)?.iter_mut().zip(part.hashes) {
                *row.get_mut(chunk as usize)? = Some(hash);
            }
            values.extend(part.values.into_iter().map(|(row, values)| ((at, row, chunk), values)));
        }
        let paths: Vec<_> = self.rounds.iter().map(|round| self.row_paths(round)).collect();
        let opening = |sample: &Sample| {
            let at = self.rounds.iter().position(|round| round.round == sample.round)?;
            let row = self.rounds[at].rows.binary_search(&sample.row).ok()?;
            let chaining = hashes[at][row].iter().copied().collect::<Option<Vec<Hash>>>()?;
            Some(Opening {
                round: sample.round,
                row: sample.row,
                chunk: sample.chunk,
                values: values.get(&(at, sample.row, sample.chunk))?.clone(),
                chunk_path: row_hash::path(&chaining, sample.chunk),
                row_path: paths.get(at)?.get(row)?.clone(),
            })
        };
        let openings = self.samples.iter().map(opening).collect::<Option<Vec<_>>>()?;
        let uuid = self.answer.prefix().device().to_owned();
        Some(GemmProof { uuid, tops: self.answer.tops().to_vec(), openings })
    }

    /// The paths of a round's opened rows. One round's tree at a time is in memory: those of all could be gigabytes.
    fn row_paths(&self, round: &Round) -> Vec<Vec<Hash>> {
        let levels = tree::levels(self.answer.row_hashes(round.round));
        round.rows.iter().map(|row| tree::path(&levels, *row)).collect()
    }
}

/// The openings of one round, out of rows that a device has computed again: it shows each chunk's chaining value.
pub struct RoundPaths<'a> {
    answer: &'a Answer,
    round: u32,
    levels: Vec<Vec<Hash>>,
}

impl<'a> RoundPaths<'a> {
    /// Builds the tree over the round's rows.
    pub fn new(answer: &'a Answer, round: u32) -> RoundPaths<'a> {
        RoundPaths { answer, round, levels: tree::levels(answer.row_hashes(round)) }
    }

    /// The opening of one chunk, given the chaining values of all chunks of its row. `None`: they and the values do
    /// not lead to the hash of the row that was committed to.
    pub fn opening(
        &self,
        row: u32,
        chunk: u32,
        values: Box<[i32; CHUNK_VALUES]>,
        chaining: &[Hash],
    ) -> Option<Opening> {
        let chunks = self.answer.spec().chunks();
        let committed = self.answer.row_hashes(self.round).get(row as usize)?;
        let chunk_path = row_hash::path(chaining, chunk);
        if chaining.len() != chunks as usize || row_hash::climb(&values, chunk, chunks, &chunk_path) != *committed {
            return None;
        }
        let row_path = tree::path(&self.levels, row);
        Some(Opening { round: self.round, row, chunk, values, chunk_path, row_path })
    }
}

/// The samples of a request, by round and row, once they have been checked.
pub fn asked(answer: &Answer, samples: &[Sample]) -> Result<BTreeMap<u32, BTreeSet<u32>>, OpenFault> {
    check(answer, samples)?;
    let mut asked: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
    for sample in samples {
        asked.entry(sample.round).or_default().insert(sample.row);
    }
    Ok(asked)
}

impl OpenDesk {
    /// The products of all strips' rows with the columns under one chunk, 256 a row.
    fn multiply(&mut self, key: &RoundKey, n: usize, chunk: u32, strips: &[Strip<i8>]) {
        let first = chunk as usize * CHUNK_VALUES;
        for mut panel in self.panels.panels_mut() {
            let columns = panel.range();
            self.drawn.resize(columns.len() * n, 0);
            draw::lines(self.isa, key, Stream::B, n, first + columns.start, &mut self.drawn);
            panel.pack_columns(&self.drawn);
        }
        self.product.clear();
        for strip in strips {
            let start = self.product.len();
            self.product.resize(start + strip.rows() * CHUNK_VALUES, 0);
            strip.multiply_add(&self.panels, &mut self.product[start..], CHUNK_VALUES);
        }
    }
}

/// These rows of A, packed.
fn strip(isa: Isa, key: &RoundKey, n: usize, rows: &[u32]) -> Strip<i8> {
    let mut drawn = vec![0; rows.len() * n];
    for (row, values) in rows.iter().zip(drawn.chunks_exact_mut(n)) {
        draw::lines(isa, key, Stream::A, n, *row as usize, values);
    }
    let mut strip = Strip::new(isa, n, rows.len());
    strip.pack(drawn.chunks_exact(n));
    strip
}

fn check(answer: &Answer, samples: &[Sample]) -> Result<(), OpenFault> {
    let spec = answer.spec();
    let (rounds, n, chunks) = (spec.rounds(), spec.n(), spec.chunks());
    match samples.len() {
        0 => return Err(OpenFault::NothingAsked),
        asked if asked > SAMPLES_MAX => return Err(OpenFault::TooMany { asked }),
        _ => {}
    }
    match samples.iter().find(|sample| !spec.contains(sample)) {
        Some(sample) => Err(OpenFault::OutOfRange { sample: *sample, rounds, n, chunks }),
        None => Ok(()),
    }
}

/// The whole proof, piece by piece on this thread.
pub fn open(answer: &Answer, samples: &[Sample]) -> Result<GemmProof, OpenFault> {
    let opener = Opener::new(answer, samples)?;
    let mut desk = opener.desk();
    let parts = opener.pieces().filter_map(|piece| opener.compute(&mut desk, piece)).collect();
    opener.proof(parts).ok_or(OpenFault::NothingAsked)
}
