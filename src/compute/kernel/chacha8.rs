//! The ChaCha8 keystream with random access, as `rand_chacha`'s `ChaCha8Rng` gives it.
//!
//! It makes matrices that both sides of a challenge must agree on; it is not how secrets are drawn. Long runs
//! go to the vectors of an [`Isa`] that has its own code for it, the rest to `rand_chacha`.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};

use super::Isa;

/// Bytes of a block of the keystream.
const BLOCK: u64 = 64;
/// "expand 32-byte k": the words of every state that no key changes.
const CONSTANTS: [u32; 4] = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];

/// Writes the bytes of (key, stream) from byte `offset` on.
pub fn keystream(isa: Isa, key: &[u8; 32], stream: u64, offset: u64, bytes: &mut [u8]) {
    let within = (offset % BLOCK) as usize;
    let head = if within == 0 { 0 } else { bytes.len().min(BLOCK as usize - within) };
    let (head, rest) = bytes.split_at_mut(head);
    if !head.is_empty() {
        let mut first = [0; BLOCK as usize];
        generator(key, stream, offset / BLOCK).fill_bytes(&mut first);
        head.copy_from_slice(&first[within..within + head.len()]);
    }
    let block = offset.div_ceil(BLOCK);
    let done = isa.kernels().chacha8(&state(key, stream, block), rest);
    let rest = &mut rest[done..];
    if !rest.is_empty() {
        generator(key, stream, block.wrapping_add(done as u64 / BLOCK)).fill_bytes(rest);
    }
}

fn generator(key: &[u8; 32], stream: u64, block: u64) -> ChaCha8Rng {
    let mut generator = ChaCha8Rng::from_seed(*key);
    generator.set_stream(stream);
    generator.set_word_pos(u128::from(block) * u128::from(BLOCK / 4));
    generator
}

/// The words from which a block is made.
fn state(key: &[u8; 32], stream: u64, block: u64) -> [u32; 16] {
    let mut state = [0; 16];
    let words = key.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes));
    let counters = [block, stream].into_iter().flat_map(|number| [number as u32, (number >> 32) as u32]);
    let all = CONSTANTS.into_iter().chain(words).chain(counters);
    state.iter_mut().zip(all).for_each(|(slot, word)| *slot = word);
    state
}

#[cfg(test)]
mod tests {
    use proptest::{arbitrary::any, proptest};

    use super::*;

    fn published(key: &[u8; 32], stream: u64, offset: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; (offset % BLOCK) as usize + len];
        generator(key, stream, offset / BLOCK).fill_bytes(&mut bytes);
        bytes.split_off((offset % BLOCK) as usize)
    }

    fn agree(key: [u8; 32], stream: u64, offset: u64, len: usize) {
        for isa in Isa::available() {
            let mut bytes = vec![0xaa; len];
            keystream(isa, &key, stream, offset, &mut bytes);
            assert!(bytes == published(&key, stream, offset, len), "{isa} stream {stream} offset {offset} len {len}");
        }
    }

    proptest! {
        #[test]
        fn any_part_is_that_of_the_published_generator(
            key in any::<[u8; 32]>(), stream in any::<u64>(), offset in 0_u64..1 << 40, len in 0_usize..5000
        ) {
            agree(key, stream, offset, len);
        }
    }

    /// The number of a block has two words: the second one counts on where the first one ends.
    #[test]
    fn the_second_word_of_the_block_number_counts_on() {
        for back in [1, 5, 16, 17, 33] {
            agree([7; 32], 1, ((1 << 32) - back) * BLOCK + 3, 4000);
        }
        agree([7; 32], u64::MAX, ((1 << 32) + 9) * BLOCK, 3000);
    }
}
