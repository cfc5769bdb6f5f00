//! One chunk of some rows, computed again from the key: 256 columns of B that are drawn, used and forgotten.

use super::{
    RoundKey,
    draw::{self, Stream},
};
use crate::{
    compute::kernel::{Isa, dots},
    wire::messages::gemm_i8::CHUNK_VALUES,
};

/// Columns drawn at a time: with n = 32,768 they fit a core's second cache.
const COLUMNS: usize = 16;

/// Works on one chunk column after the other, with memory of its own that it uses again.
pub struct ChunkColumns {
    isa: Isa,
    n: usize,
    columns: Vec<i8>,
    sums: Vec<i32>,
}

impl ChunkColumns {
    pub fn new(isa: Isa, n: usize) -> ChunkColumns {
        ChunkColumns { isa, n, columns: vec![0; COLUMNS * n], sums: Vec::new() }
    }

    /// This chunk of the product, for each of these rows of A, which lie one after the other.
    pub fn times(&mut self, key: &RoundKey, chunk: u32, rows: &[i8]) -> Vec<[i32; CHUNK_VALUES]> {
        let mut chunks = vec![[0; CHUNK_VALUES]; rows.len() / self.n];
        self.sums.resize(COLUMNS * chunks.len(), 0);
        let first = chunk as usize * CHUNK_VALUES;
        for start in (0..CHUNK_VALUES).step_by(COLUMNS) {
            draw::lines(self.isa, key, Stream::B, self.n, first + start, &mut self.columns);
            dots(self.isa, self.n, rows, &self.columns, &mut self.sums);
            for (chunk, sums) in chunks.iter_mut().zip(self.sums.chunks_exact(COLUMNS)) {
                chunk[start..start + COLUMNS].copy_from_slice(sums);
            }
        }
        chunks
    }
}
