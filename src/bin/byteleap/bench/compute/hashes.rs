//! The hashes of rows.

use std::hint::black_box;

use byteleap::compute::row_hash::RowHash;
use serde::Serialize;

use super::{
    Bench,
    figures::Row,
    measure::{Times, time_repeated},
};

/// Bytes of rows a second, one core.
#[derive(Debug, Serialize)]
pub struct Hash {
    /// Of int64, as many rows at once as a strip has.
    sha256_gb_per_s: f64,
    blake3_gb_per_s: f64,
}

/// Columns of the rows that are hashed.
const COLUMNS: usize = 8192;
/// Rows of a strip of cpu_matrix, and its columns: those of the challenge that is measured whole.
const STRIP: (usize, usize) = (96, 2000);

pub fn measure(bench: &Bench) -> Hash {
    let (rows, columns) = STRIP;
    let sums: Vec<i32> = (0..(rows * columns) as i32).collect();
    let narrow: Vec<u8> = (0..COLUMNS as u32).flat_map(u32::to_le_bytes).collect();
    let (mut sha256, mut blake3) = (Times::default(), Times::default());
    for _ in 0..bench.rounds() {
        sha256.add(time_repeated(&bench.clock, bench.span(), || RowHash::of_rows(black_box(&sums), columns)));
        blake3.add(time_repeated(&bench.clock, bench.span(), || blake3::hash(black_box(&narrow))));
    }
    Hash {
        sha256_gb_per_s: (sums.len() * size_of::<i64>()) as f64 / sha256.best_s() / 1e9,
        blake3_gb_per_s: narrow.len() as f64 / blake3.best_s() / 1e9,
    }
}

impl Hash {
    pub fn rows(&self) -> Vec<Row> {
        vec![
            Row::new("SHA-256, rows of cpu_matrix", self.sha256_gb_per_s, "GB/s", "one core"),
            Row::new("BLAKE3, rows of gemm_i8", self.blake3_gb_per_s, "GB/s", "one core"),
        ]
    }
}
