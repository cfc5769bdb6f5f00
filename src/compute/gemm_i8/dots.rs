//! One chunk of some rows, computed again from the key: 256 columns of B that are drawn, used and forgotten.

use super::{
    RoundKey,
    draw::{self, Stream},
};
use crate::wire::messages::gemm_i8::CHUNK_VALUES;

/// Columns drawn at a time: with n = 32,768 they fit a core's second cache.
const COLUMNS: usize = 16;

/// The 256 columns of B under one chunk.
pub struct ChunkColumn<'a> {
    n: usize,
    key: &'a RoundKey,
    chunk: u32,
}

impl<'a> ChunkColumn<'a> {
    pub fn new(n: usize, key: &'a RoundKey, chunk: u32) -> ChunkColumn<'a> {
        ChunkColumn { n, key, chunk }
    }

    /// This chunk of the product, for each of these rows of A.
    pub fn times(&self, rows: &[&[i8]]) -> Vec<[i32; CHUNK_VALUES]> {
        let mut chunks = vec![[0; CHUNK_VALUES]; rows.len()];
        let mut columns = vec![0; COLUMNS * self.n];
        let first = self.chunk as usize * CHUNK_VALUES;
        for start in (0..CHUNK_VALUES).step_by(COLUMNS) {
            draw::lines(self.key, Stream::B, self.n, first + start, &mut columns);
            for (row, chunk) in rows.iter().zip(&mut chunks) {
                for (value, column) in chunk[start..].iter_mut().zip(columns.chunks_exact(self.n)) {
                    *value = row.iter().zip(column).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum();
                }
            }
        }
        chunks
    }
}
