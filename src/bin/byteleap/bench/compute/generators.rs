//! The generators that matrices are drawn with.

use std::hint::black_box;

use byteleap::compute::{
    kernel::{Isa, keystream},
    mt19937::Mt19937,
};
use serde::Serialize;

use super::{
    Bench,
    figures::Row,
    measure::{Times, time_repeated},
};

/// Bytes of generator output a second, one core.
#[derive(Debug, Serialize)]
pub struct Rng {
    /// Of the words that are kept as entries of a matrix.
    mt19937_gb_per_s: f64,
    chacha8_gb_per_s: f64,
}

/// As much as stays in a core's second cache.
const BYTES: usize = 1 << 20;

pub fn measure(bench: &Bench) -> Rng {
    let mut entries = vec![0; BYTES / 4];
    let mut generator = Mt19937::new(7);
    let mut bytes = vec![0; BYTES];
    let (mut mt19937, mut chacha8) = (Times::default(), Times::default());
    for _ in 0..bench.rounds() {
        mt19937.add(time_repeated(&bench.clock, bench.span(), || generator.fill(black_box(&mut entries), 1000, 500)));
        chacha8.add(time_repeated(&bench.clock, bench.span(), || {
            keystream(Isa::best(), &[7; 32], 1, 0, black_box(&mut bytes))
        }));
    }
    let gb_per_s = |times: Times| BYTES as f64 / times.best_s() / 1e9;
    Rng { mt19937_gb_per_s: gb_per_s(mt19937), chacha8_gb_per_s: gb_per_s(chacha8) }
}

impl Rng {
    pub fn rows(&self) -> Vec<Row> {
        let words = "one core, 4-byte words that are kept";
        vec![
            Row::new("MT19937, entries of cpu_matrix", self.mt19937_gb_per_s, "GB/s", words),
            Row::new("ChaCha8, entries of gemm_i8", self.chacha8_gb_per_s, "GB/s", "one core"),
        ]
    }
}
