//! The bytes of A and Bᵗ: the ChaCha8 keystreams of a round's key, readable from any row on.

use super::RoundKey;
use crate::compute::kernel::{Isa, keystream, unsigned};

/// Which keystream: A lies by rows, B by columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    A = 0,
    B = 1,
}

/// Whole lines of `n` bytes (rows of A, columns of B) from line `first` on, as many as `lines` holds.
pub fn lines(isa: Isa, key: &RoundKey, stream: Stream, n: usize, first: usize, lines: &mut [i8]) {
    keystream(isa, key.bytes(), stream as u64, first as u64 * n as u64, unsigned(lines));
}
