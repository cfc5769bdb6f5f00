//! Is a device's proof right? Every length, place and path first, then each opened chunk computed again.
//!
//! The cost is that of the samples, never of a product; samples of one round share their key, of one chunk column
//! their columns of B, of one row their row of A. It does not decide what a fault costs the worker, and it never
//! accepts a proof that shows nothing.

use std::collections::BTreeMap;

use super::{
    Hash, KeyPrefix, RoundKey, Spec, answer,
    dots::ChunkColumns,
    draw::{self, Stream},
    row_hash, tree,
};
use crate::{
    compute::kernel::Isa,
    wire::messages::gemm_i8::{GemmProof, Opening, Sample},
};

/// Why a proof does not show what was committed to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GemmFault {
    #[error("no chunk was asked for")]
    NothingAsked,
    #[error("{sample} was asked of {rounds} rounds of {n} rows")]
    NoSuchChunk { sample: Sample, rounds: u32, n: u32 },
    #[error("proof of device {got:?} where {asked:?} was asked")]
    Device { got: String, asked: String },
    #[error("{got} tops for {rounds} rounds")]
    Tops { got: usize, rounds: u32 },
    #[error("the tops lead to root {}, committed was {}", hex::encode(.got), hex::encode(.committed))]
    Root { got: Hash, committed: Hash },
    #[error("{got} openings for {asked} chunks")]
    Openings { got: usize, asked: usize },
    #[error("opening {at} is of {got} where {asked} was asked")]
    Place { at: usize, got: Sample, asked: Sample },
    #[error("{sample}: {got} hashes in chunk_path where {want} lead to the row")]
    ChunkPath { sample: Sample, got: usize, want: usize },
    #[error("{sample}: {got} hashes in row_path where {want} lead to the top")]
    RowPath { sample: Sample, got: usize, want: usize },
    #[error("{sample}: values and paths do not lead to the top of the round")]
    Path { sample: Sample },
    #[error("{sample}: all values are zero, those of the product are not")]
    Zeros { sample: Sample },
    #[error(
        "{sample}: {wrong} of 256 values are not the product's; the first, column {column}, is {got} and not {want}"
    )]
    Values { sample: Sample, wrong: usize, column: u32, got: i32, want: i32 },
}

/// Whether the device of `prefix`, committed to `root`, has opened the chunks in `asked`.
///
/// What is cheap comes first. The fault is the same however often it is asked: of several wrong chunks it names
/// the first by round and chunk, then in the order asked.
pub fn verify(
    spec: &Spec,
    prefix: &KeyPrefix,
    root: &Hash,
    asked: &[Sample],
    proof: &GemmProof,
) -> Result<(), GemmFault> {
    check_asked(spec, asked)?;
    if proof.uuid != prefix.device() {
        let got = proof.uuid.chars().filter(|c| !c.is_control()).take(64).collect();
        return Err(GemmFault::Device { got, asked: prefix.device().to_owned() });
    }
    let keys = check_tops(spec, prefix, root, &proof.tops)?;
    if proof.openings.len() != asked.len() {
        return Err(GemmFault::Openings { got: proof.openings.len(), asked: asked.len() });
    }
    for (at, (opening, asked)) in proof.openings.iter().zip(asked).enumerate() {
        check_path(spec, at, opening, asked, &proof.tops)?;
    }
    check_values(spec, &keys, &proof.openings)
}

fn check_asked(spec: &Spec, asked: &[Sample]) -> Result<(), GemmFault> {
    if asked.is_empty() {
        return Err(GemmFault::NothingAsked);
    }
    let (rounds, n) = (spec.rounds(), spec.n());
    match asked.iter().find(|sample| !spec.contains(sample)) {
        Some(sample) => Err(GemmFault::NoSuchChunk { sample: *sample, rounds, n }),
        None => Ok(()),
    }
}

/// The key of each round, once the tops lead to the root committed to.
fn check_tops(spec: &Spec, prefix: &KeyPrefix, root: &Hash, tops: &[Hash]) -> Result<Vec<RoundKey>, GemmFault> {
    if tops.len() != spec.rounds() as usize {
        return Err(GemmFault::Tops { got: tops.len(), rounds: spec.rounds() });
    }
    let (keys, got) = answer::keys(spec, prefix, tops);
    if got == *root { Ok(keys) } else { Err(GemmFault::Root { got, committed: *root }) }
}

fn check_path(spec: &Spec, at: usize, opening: &Opening, asked: &Sample, tops: &[Hash]) -> Result<(), GemmFault> {
    let sample = opening.sample();
    if sample != *asked {
        return Err(GemmFault::Place { at, got: sample, asked: *asked });
    }
    let want = row_hash::path_length(sample.chunk, spec.chunks());
    if opening.chunk_path.len() != want {
        return Err(GemmFault::ChunkPath { sample, got: opening.chunk_path.len(), want });
    }
    let want = tree::path_length(sample.row, spec.n());
    if opening.row_path.len() != want {
        return Err(GemmFault::RowPath { sample, got: opening.row_path.len(), want });
    }
    let row_hash = row_hash::climb(&opening.values, sample.chunk, spec.chunks(), &opening.chunk_path);
    let top = tree::climb(sample.row, spec.n(), &row_hash, &opening.row_path);
    if tops.get(sample.round as usize) == Some(&top) { Ok(()) } else { Err(GemmFault::Path { sample }) }
}

fn check_values(spec: &Spec, keys: &[RoundKey], openings: &[Opening]) -> Result<(), GemmFault> {
    let mut rounds: BTreeMap<u32, BTreeMap<u32, Vec<&Opening>>> = BTreeMap::new();
    for opening in openings {
        rounds.entry(opening.round).or_default().entry(opening.chunk).or_default().push(opening);
    }
    let mut columns = ChunkColumns::new(Isa::best(), spec.side());
    for (round, chunks) in &rounds {
        let sample = || openings.iter().map(Opening::sample).find(|sample| sample.round == *round);
        let Some(key) = keys.get(*round as usize) else {
            let sample = sample().unwrap_or(Sample { round: *round, row: 0, chunk: 0 });
            return Err(GemmFault::NoSuchChunk { sample, rounds: spec.rounds(), n: spec.n() });
        };
        check_round(&mut columns, spec, key, chunks)?;
    }
    Ok(())
}

/// All openings of one round, by chunk. Memory: a row of A for each row opened, 16 columns of B.
fn check_round(
    columns: &mut ChunkColumns,
    spec: &Spec,
    key: &RoundKey,
    chunks: &BTreeMap<u32, Vec<&Opening>>,
) -> Result<(), GemmFault> {
    let n = spec.side();
    let mut rows: BTreeMap<u32, Vec<i8>> = BTreeMap::new();
    for opening in chunks.values().flatten() {
        rows.entry(opening.row).or_insert_with(|| {
            let mut row = vec![0; n];
            draw::lines(Isa::best(), key, Stream::A, n, opening.row as usize, &mut row);
            row
        });
    }
    for (chunk, openings) in chunks {
        let lines: Vec<&[i8]> = openings.iter().filter_map(|o| rows.get(&o.row).map(Vec::as_slice)).collect();
        let expected = columns.times(key, *chunk, &lines.concat());
        openings.iter().zip(&expected).try_for_each(|(opening, expected)| compare(opening, expected))?;
    }
    Ok(())
}

fn compare(opening: &Opening, expected: &[i32; 256]) -> Result<(), GemmFault> {
    let sample = opening.sample();
    let mut wrong = (0..).zip(opening.values.iter().zip(expected)).filter(|(_, (got, want))| got != want);
    let Some((place, (got, want))) = wrong.next() else { return Ok(()) };
    if opening.values.iter().all(|value| *value == 0) {
        return Err(GemmFault::Zeros { sample });
    }
    let column = sample.chunk * 256 + place;
    Err(GemmFault::Values { sample, wrong: 1 + wrong.count(), column, got: *got, want: *want })
}

/// How unlikely it is, in bits, that a device passes `samples` samples after it skipped this share of all chunks
/// of all rounds: −log2((1 − f)^samples). 64 samples and a tenth: 9.7 bits.
pub fn soundness_bits(samples: usize, skipped_fraction: f64) -> f64 {
    -(samples as f64) * (1.0 - skipped_fraction.clamp(0.0, 1.0)).log2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strength_of_a_check_is_a_number() {
        let rounded = |samples, fraction| (soundness_bits(samples, fraction) * 100.0).round() / 100.0;
        assert_eq!(rounded(64, 0.1), 9.73);
        assert_eq!(rounded(128, 0.05), 9.47);
        assert_eq!(rounded(64, 0.0), 0.0);
        assert_eq!(soundness_bits(1, 1.0), f64::INFINITY);
    }
}
