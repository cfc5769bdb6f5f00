//! The generators that matrices are drawn with.

use std::hint::black_box;

use byteleap::compute::mt19937::Mt19937;
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
}

pub fn measure(bench: &Bench) -> Rng {
    let mut entries = vec![0; 1 << 18];
    let mut generator = Mt19937::new(7);
    let mut mt19937 = Times::default();
    for _ in 0..bench.rounds() {
        mt19937.add(time_repeated(&bench.clock, bench.span(), || generator.fill(black_box(&mut entries), 1000, 500)));
    }
    Rng { mt19937_gb_per_s: (entries.len() * size_of::<u32>()) as f64 / mt19937.best_s() / 1e9 }
}

impl Rng {
    pub fn rows(&self) -> Vec<Row> {
        vec![Row::new(
            "MT19937, entries of cpu_matrix",
            self.mt19937_gb_per_s,
            "GB/s",
            "one core, of 4-byte words kept",
        )]
    }
}
