//! The hashes of a Substrate chain: of extrinsics, of signed payloads, of storage keys.
//!
//! Arithmetic only; which hasher a storage item uses is in the metadata.

use std::hash::Hasher;

use blake2::{
    Blake2b, Digest,
    digest::consts::{U16, U32},
};
use twox_hash::XxHash64;

pub fn blake2_256(bytes: &[u8]) -> [u8; 32] {
    Blake2b::<U32>::digest(bytes).into()
}

pub fn blake2_128(bytes: &[u8]) -> [u8; 16] {
    Blake2b::<U16>::digest(bytes).into()
}

pub fn twox64(bytes: &[u8]) -> [u8; 8] {
    seeded(0, bytes)
}

pub fn twox128(bytes: &[u8]) -> [u8; 16] {
    let mut hash = [0; 16];
    hash[..8].copy_from_slice(&seeded(0, bytes));
    hash[8..].copy_from_slice(&seeded(1, bytes));
    hash
}

pub fn twox256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    for (seed, part) in (0..).zip(hash.chunks_exact_mut(8)) {
        part.copy_from_slice(&seeded(seed, bytes));
    }
    hash
}

fn seeded(seed: u64, bytes: &[u8]) -> [u8; 8] {
    let mut hasher = XxHash64::with_seed(seed);
    hasher.write(bytes);
    hasher.finish().to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pallet_and_an_item_hash_as_the_chain_knows_them() {
        assert_eq!(hex::encode(twox128(b"System")), "26aa394eea5630e07c48ae0c9558cef7");
        assert_eq!(hex::encode(twox128(b"Events")), "80d41e5e16056765bc8461851072c9d7");
        assert_eq!(hex::encode(twox128(b"SubtensorModule")), "658faa385070e074c85bf6b568cf0555");
        assert_eq!(twox256(b"System")[..16], twox128(b"System"));
        assert_eq!(twox64(b"System"), twox128(b"System")[..8]);
    }
}
