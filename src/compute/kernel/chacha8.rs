//! The ChaCha8 keystream with random access, as `rand_chacha`'s `ChaCha8Rng` gives it.
//!
//! It makes matrices that both sides of a challenge must agree on; it is not how secrets are drawn.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};

/// Bytes of a block of the keystream.
const BLOCK: u64 = 64;

/// Writes the bytes of (key, stream) from byte `offset` on.
pub fn keystream(key: &[u8; 32], stream: u64, offset: u64, bytes: &mut [u8]) {
    let mut generator = ChaCha8Rng::from_seed(*key);
    generator.set_stream(stream);
    generator.set_word_pos(u128::from(offset / BLOCK) * u128::from(BLOCK / 4));
    let skipped = (offset % BLOCK) as usize;
    if skipped == 0 {
        return generator.fill_bytes(bytes);
    }
    let mut first = [0; BLOCK as usize];
    generator.fill_bytes(&mut first);
    let (head, rest) = bytes.split_at_mut(bytes.len().min(first.len() - skipped));
    head.copy_from_slice(&first[skipped..skipped + head.len()]);
    generator.fill_bytes(rest);
}
