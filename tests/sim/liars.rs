//! Workers that cheat: what each commits to, and what it shows when it is asked.
//!
//! A liar's machine is the production worker's. Its spokes lie: the CPU computes something else or nothing, the
//! openings are made from a book that suits the liar, and what the machine says may be falsified on its way out. Each
//! lie has the words by which a validator names it, and no other.

use std::collections::BTreeMap;

use byteleap::{
    compute::{
        gemm_i8::{
            Answer, Hash, KeyPrefix, Progress, RoundKey, Spec,
            reference::{self, Book},
        },
        kernel::{Isa, Panels, Strip},
        merkle::Tree,
        row_hash::RowHash,
    },
    machine::Message,
    units::{ChallengeId, WorkerId},
    wire::messages::{
        Raw,
        gemm_i8::{CPU_DEVICE, GemmProof, Sample},
    },
};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};
use serde_json::Value;

/// What is wrong with a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lie {
    // gemm_i8: what is computed
    SkippedChunks,
    SkippedRows,
    LastRoundOnly,
    FakedRound,
    OffByOne,
    ZeroProduct,
    AnotherWorkersKey,
    AnotherDevicesKey,
    AnotherChallenge,
    // what is committed to
    RandomLeaves,
    SwappedLeaves,
    ReorderedLeaves,
    DuplicatedLeaves,
    OtherDevices,
    TooManyDevices,
    NoDevices,
    Late,
    // what is shown
    ReplayedProof,
    ProofOfAnotherDevice,
    AnotherPlace,
    ShortRowPath,
    LongRowPath,
    LongChunkPath,
    TooFewTops,
    FewerOpenings,
    MoreOpenings,
    TruncatedValues,
    PaddedValues,
    FurtherField,
    NothingShown,
    // cpu_matrix
    RotatedRows,
    RandomRows,
    RandomRowsThenRightOnes,
    OtherDirections,
    LongPath,
    OtherCpu,
    FewerRows,
}

impl Lie {
    pub const ALL: [Lie; 37] = [
        Lie::SkippedChunks,
        Lie::SkippedRows,
        Lie::LastRoundOnly,
        Lie::FakedRound,
        Lie::OffByOne,
        Lie::ZeroProduct,
        Lie::AnotherWorkersKey,
        Lie::AnotherDevicesKey,
        Lie::AnotherChallenge,
        Lie::RandomLeaves,
        Lie::SwappedLeaves,
        Lie::ReorderedLeaves,
        Lie::DuplicatedLeaves,
        Lie::OtherDevices,
        Lie::TooManyDevices,
        Lie::NoDevices,
        Lie::Late,
        Lie::ReplayedProof,
        Lie::ProofOfAnotherDevice,
        Lie::AnotherPlace,
        Lie::ShortRowPath,
        Lie::LongRowPath,
        Lie::LongChunkPath,
        Lie::TooFewTops,
        Lie::FewerOpenings,
        Lie::MoreOpenings,
        Lie::TruncatedValues,
        Lie::PaddedValues,
        Lie::FurtherField,
        Lie::NothingShown,
        Lie::RotatedRows,
        Lie::RandomRows,
        Lie::RandomRowsThenRightOnes,
        Lie::OtherDirections,
        Lie::LongPath,
        Lie::OtherCpu,
        Lie::FewerRows,
    ];

    /// Whether it lies in cpu_matrix, the only challenge that it then offers.
    pub fn of_cpu_matrix(self) -> bool {
        self >= Lie::RotatedRows
    }

    /// Words of the reason with which a validator fails it.
    pub fn reason(self) -> &'static str {
        match self {
            Lie::SkippedChunks
            | Lie::SkippedRows
            | Lie::AnotherWorkersKey
            | Lie::AnotherDevicesKey
            | Lie::AnotherChallenge => "values are not the product's",
            Lie::LastRoundOnly => "round 0 ",
            Lie::FakedRound => "round 1 ",
            Lie::OffByOne => "1 of 256 values are not the product's",
            Lie::ZeroProduct => "all values are zero",
            Lie::RandomLeaves | Lie::SwappedLeaves | Lie::ReorderedLeaves | Lie::DuplicatedLeaves => {
                "values and paths do not lead to the top of the round"
            }
            Lie::OtherDevices | Lie::TooManyDevices => "commitment of device GPU-0, which was not asked",
            Lie::NoDevices => "a result without commitments",
            Lie::Late => "no commitment within",
            Lie::ReplayedProof => "the tops lead to root",
            Lie::ProofOfAnotherDevice => "proof of device GPU-0, which was not asked",
            Lie::AnotherPlace => "opening 0 is of round",
            Lie::ShortRowPath | Lie::LongRowPath => "hashes in row_path where",
            Lie::LongChunkPath => "hashes in chunk_path where",
            Lie::TooFewTops => "tops for",
            Lie::FewerOpenings | Lie::MoreOpenings => "openings for",
            Lie::TruncatedValues => "values has 1364 letters",
            Lie::PaddedValues => "values has 1372 letters",
            Lie::FurtherField => "unknown field `more`",
            Lie::NothingShown => "a proof of cpu_matrix, not of gemm_i8",
            Lie::RotatedRows | Lie::RandomRows => "is not that of the product",
            Lie::RandomRowsThenRightOnes => "the path ends in another root",
            Lie::OtherDirections => "is not that of leaf",
            Lie::LongPath => "siblings where a tree of",
            Lie::OtherCpu => "expected -1 alone",
            Lie::FewerRows => "row hashes and",
        }
    }
}

/// A worker that lies in one way, again and again.
pub struct Liar {
    lie: Lie,
    rng: ChaCha8Rng,
    /// What it can show, by the root of the answer that its machine keeps.
    books: BTreeMap<Hash, Book>,
    /// The text of roots that the machine says, and what is said in its place.
    said_instead: Vec<(String, String)>,
    /// The honest row hashes of the newest cpu_matrix challenge, by row.
    rows: Vec<RowHash>,
}

impl Liar {
    pub fn new(lie: Lie, seed: u64) -> Liar {
        let rng = ChaCha8Rng::seed_from_u64(seed);
        Liar { lie, rng, books: BTreeMap::new(), said_instead: Vec::new(), rows: Vec::new() }
    }

    /// It does nothing wrong but to be slow.
    pub fn is_late(&self) -> bool {
        self.lie == Lie::Late
    }

    /// What its machine takes for the answer. The root that is committed to is the book's.
    pub fn answer(&mut self, spec: Spec, prefix: &KeyPrefix) -> Answer {
        let book = self.book(spec, prefix);
        let mut progress = Progress::new(spec, prefix.clone());
        while progress.next_key().is_some() {
            let random: Vec<Hash> = (0..spec.n()).map(|_| self.hash()).collect();
            assert!(progress.add_round(&random));
        }
        let answer = progress.finish().expect("all rounds");
        self.said_instead.push((hex::encode(answer.root()), hex::encode(book.root)));
        self.books.insert(*answer.root(), book);
        answer
    }

    fn hash(&mut self) -> Hash {
        let mut hash = [0; 32];
        self.rng.fill_bytes(&mut hash);
        hash
    }

    fn book(&mut self, spec: Spec, prefix: &KeyPrefix) -> Book {
        let (lie, last, n) = (self.lie, spec.rounds() - 1, spec.n() as usize);
        let other =
            |device: &str| KeyPrefix::new(&ChallengeId::new("another"), &[7; 32], "5Another", &worker(), device);
        match lie {
            Lie::SkippedChunks | Lie::SkippedRows | Lie::OffByOne | Lie::ZeroProduct => {
                Book::with(spec, prefix.clone(), |_, key| falsified(lie, product(key, n), n))
            }
            Lie::LastRoundOnly | Lie::FakedRound => Book::with(spec, prefix.clone(), |round, key| {
                let faked = if lie == Lie::LastRoundOnly { round != last } else { round == 1 };
                if faked { vec![1; n * n] } else { product(key, n) }
            }),
            Lie::AnotherWorkersKey | Lie::AnotherChallenge => honest(spec, other(CPU_DEVICE)),
            Lie::AnotherDevicesKey => Book { prefix: prefix.clone(), ..honest(spec, other("GPU-0")) },
            Lie::RandomLeaves | Lie::SwappedLeaves | Lie::ReorderedLeaves | Lie::DuplicatedLeaves => {
                self.with_other_leaves(spec, prefix)
            }
            _ => honest(spec, prefix.clone()),
        }
    }

    /// The right products, under leaves that are not theirs.
    fn with_other_leaves(&mut self, spec: Spec, prefix: &KeyPrefix) -> Book {
        let none = (Vec::new(), Vec::new(), Vec::new());
        let prefix = prefix.clone();
        let mut book = Book { spec, prefix, products: none.0, leaves: none.1, tops: none.2, root: [0; 32] };
        for round in 0..spec.rounds() {
            let c = product(&book.prefix.round(round, &book.root), spec.n() as usize);
            let hashes = reference::row_hashes(&c, spec.n() as usize);
            let mut leaves: Vec<Hash> = (0..).zip(&hashes).map(|(row, hash)| reference::leaf(row, hash)).collect();
            match self.lie {
                Lie::RandomLeaves => leaves.iter_mut().for_each(|leaf| self.rng.fill_bytes(leaf)),
                Lie::SwappedLeaves => leaves.chunks_exact_mut(2).for_each(|pair| pair.swap(0, 1)),
                Lie::ReorderedLeaves => leaves.rotate_left(1),
                _ => leaves = leaves.iter().skip(1).map(|_| leaves[0]).chain([self.hash()]).collect(),
            }
            book.add(c, leaves);
        }
        book
    }

    /// The proof that it shows of the answer with that root.
    pub fn proof(&mut self, root: &Hash, samples: &[Sample]) -> Raw {
        let Some(book) = self.books.get(root) else { return Raw::of(&Value::Null).expect("plain JSON") };
        let mut shown = book.open(samples);
        match self.lie {
            Lie::AnotherDevicesKey | Lie::AnotherWorkersKey | Lie::AnotherChallenge => shown.uuid = CPU_DEVICE.into(),
            Lie::ReplayedProof => shown = self.books.first_key_value().map_or(shown, |_| stale(book, samples)),
            Lie::ProofOfAnotherDevice => shown.uuid = "GPU-0".into(),
            Lie::AnotherPlace => shown.openings.rotate_left(1),
            Lie::ShortRowPath => shown.openings.iter_mut().for_each(|opening| opening.row_path.truncate(2)),
            Lie::LongRowPath => shown.openings.iter_mut().for_each(|opening| opening.row_path.push([0; 32])),
            Lie::LongChunkPath => shown.openings.iter_mut().for_each(|opening| opening.chunk_path.push([0; 32])),
            Lie::TooFewTops => drop(shown.tops.pop()),
            Lie::FewerOpenings => drop(shown.openings.pop()),
            Lie::MoreOpenings => shown.openings.push(shown.openings[0].clone()),
            _ => {}
        }
        self.respelled(&shown)
    }

    /// The proof as text that no honest worker writes.
    fn respelled(&self, proof: &GemmProof) -> Raw {
        let mut text = serde_json::to_value(proof).expect("plain JSON");
        let values = |text: &mut Value, change: fn(&str) -> String| {
            let values = &mut text["openings"][0]["values"];
            *values = change(values.as_str().unwrap_or_default()).into();
        };
        match self.lie {
            Lie::TruncatedValues => values(&mut text, |values| values[4..].to_owned()),
            Lie::PaddedValues => values(&mut text, |values| format!("AAAA{values}")),
            Lie::FurtherField => text["openings"][0]["more"] = 1.into(),
            Lie::NothingShown => text = serde_json::json!({"uuid": CPU_DEVICE}),
            _ => {}
        }
        Raw::of(&text).expect("plain JSON")
    }

    /// The tree that it commits to in cpu_matrix.
    pub fn tree(&mut self, mut rows: Vec<RowHash>) -> Option<Tree> {
        self.rows.clone_from(&rows);
        match self.lie {
            Lie::RotatedRows => rows.rotate_left(1),
            Lie::RandomRows | Lie::RandomRowsThenRightOnes => {
                rows.iter_mut().for_each(|row| *row = RowHash::of_i64(&[i64::from(self.rng.next_u32())]));
            }
            _ => {}
        }
        Tree::new(rows)
    }

    /// What leaves in place of what its machine says.
    pub fn said(&self, message: Message) -> Message {
        let Message::Text(mut text) = message else { return message };
        for (truth, lie) in &self.said_instead {
            text = text.replace(truth, lie);
        }
        let Ok(mut frame) = serde_json::from_str::<Value>(&text) else { return Message::Text(text) };
        if let Some(commitments) = frame.pointer_mut("/data/result/commitments").and_then(Value::as_array_mut) {
            self.commit(commitments);
        }
        if let Some(proof) = frame.pointer_mut("/data/proofs/0").filter(|proof| proof["row_hashes"].is_array()) {
            self.prove_rows(proof);
        }
        Message::Text(frame.to_string())
    }

    fn commit(&self, commitments: &mut Vec<Value>) {
        match self.lie {
            Lie::OtherDevices => commitments.iter_mut().for_each(|entry| entry["uuid"] = "GPU-0".into()),
            Lie::TooManyDevices => {
                let mut more = commitments[0].clone();
                more["uuid"] = "GPU-0".into();
                commitments.push(more);
            }
            Lie::NoDevices => commitments.clear(),
            Lie::OtherCpu => commitments.iter_mut().for_each(|entry| entry["uuid"] = "GPU-0".into()),
            _ => {}
        }
    }

    /// Falsifies a proof of cpu_matrix.
    fn prove_rows(&self, proof: &mut Value) {
        let paths = proof["merkle_proofs"].as_array_mut().map(std::mem::take).unwrap_or_default();
        let falsify = |mut path: Value| {
            let row = path["leaf_index"].as_u64().unwrap_or(0) as usize;
            match self.lie {
                Lie::RandomRowsThenRightOnes => path["leaf_hash"] = self.rows[row].to_string().into(),
                Lie::OtherDirections => {
                    let first = path["proof_directions"][0].as_bool().unwrap_or(false);
                    path["proof_directions"][0] = (!first).into();
                }
                Lie::LongPath => {
                    let hash = "0".repeat(64);
                    path["proof_hashes"].as_array_mut().into_iter().for_each(|hashes| hashes.push(hash.clone().into()));
                }
                _ => {}
            }
            path
        };
        let paths: Vec<Value> = paths.into_iter().map(falsify).collect();
        if self.lie == Lie::RandomRowsThenRightOnes {
            proof["row_hashes"] = paths.iter().map(|path| path["leaf_hash"].clone()).collect();
        }
        if self.lie == Lie::FewerRows {
            proof["row_hashes"].as_array_mut().into_iter().for_each(|hashes| drop(hashes.pop()));
        }
        proof["merkle_proofs"] = paths.into();
    }
}

fn worker() -> WorkerId {
    WorkerId::new("another")
}

fn honest(spec: Spec, prefix: KeyPrefix) -> Book {
    Book::with(spec, prefix, |_, key| product(key, spec.n() as usize))
}

/// A good proof of the same places, of an answer to something else.
fn stale(book: &Book, samples: &[Sample]) -> GemmProof {
    let prefix = KeyPrefix::new(&ChallengeId::new("before"), &[1; 32], "5Before", &worker(), CPU_DEVICE);
    honest(book.spec, prefix).open(samples)
}

/// The whole product, as fast as this machine goes.
fn product(key: &RoundKey, n: usize) -> Vec<i32> {
    let (a, b) = (reference::matrix(key, 0, n), reference::matrix(key, 1, n));
    let mut panels = Panels::new(Isa::best(), n, n);
    panels.panels_mut().for_each(|mut panel| {
        let columns = panel.range();
        panel.pack_columns(&b[columns.start * n..columns.end * n]);
    });
    let mut strip = Strip::new(Isa::best(), n, n);
    strip.pack(a.chunks_exact(n));
    let mut c = vec![0; n * n];
    strip.multiply_add(&panels, &mut c, n);
    c
}

/// A product that is wrong wherever it is looked at, or in every second place.
fn falsified(lie: Lie, mut c: Vec<i32>, n: usize) -> Vec<i32> {
    for (row, values) in c.chunks_exact_mut(n).enumerate() {
        for (chunk, values) in values.chunks_exact_mut(256).enumerate() {
            match lie {
                Lie::SkippedRows if row % 2 == 0 => values.fill(1),
                Lie::SkippedChunks if (row + chunk) % 2 == 0 => values.fill(1),
                Lie::OffByOne => values[row % 256] += 1,
                Lie::ZeroProduct => values.fill(0),
                _ => {}
            }
        }
    }
    c
}
