//! The bytes of A and Bᵗ: the ChaCha8 keystreams of a round's key, readable from any row on.

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

use super::RoundKey;

/// Which keystream: A lies by rows, B by columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    A,
    B,
}

/// Whole lines of `n` bytes (rows of A, columns of B) from line `first` on, as many as `lines` holds.
pub fn lines(key: &RoundKey, stream: Stream, n: usize, first: usize, lines: &mut [i8]) {
    let mut rng = ChaCha8Rng::from_seed(key.0);
    rng.set_stream(if stream == Stream::A { 0 } else { 1 });
    rng.set_word_pos((first * n / 4) as u128);
    let mut block = [0; 4096];
    for part in lines.chunks_mut(block.len()) {
        let bytes = &mut block[..part.len()];
        rng.fill_bytes(bytes);
        part.iter_mut().zip(bytes).for_each(|(value, byte)| *value = *byte as i8);
    }
}
