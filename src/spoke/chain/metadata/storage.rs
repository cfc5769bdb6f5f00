//! Storage items: how their keys are made, and what an absent value means.

use frame_metadata::v14::StorageHasher;

use scale_value::Value;

use super::{Metadata, ShapeFault};
use crate::spoke::chain::hash::{blake2_128, blake2_256, twox64, twox128, twox256};

/// A storage item: how its keys are made, and what an absent value means.
pub struct Storage {
    pub name: String,
    pub(super) prefix: [u8; 32],
    pub hashers: Vec<StorageHasher>,
    pub keys: Vec<u32>,
    pub value: u32,
    /// What an absent value stands for; `None` for an optional item.
    pub default: Option<Vec<u8>>,
}

impl Metadata {
    /// The key of one entry of `item`; `parts` are the values of each part of its key.
    pub fn storage_key(&self, item: &Storage, parts: &[Value]) -> Result<Vec<u8>, ShapeFault> {
        let encoded = parts.iter().zip(&item.keys).map(|(part, id)| self.encode(&item.name, *id, part));
        let encoded = encoded.collect::<Result<Vec<_>, _>>()?;
        match parts.len() == item.keys.len() {
            true => item.key(&encoded.iter().map(Vec::as_slice).collect::<Vec<_>>()),
            false => Err(item.other_parts(parts.len())),
        }
    }
}

impl Storage {
    /// What all keys of an item begin with, in the pallet of that prefix.
    pub fn prefix_of(pallet: &str, item: &str) -> [u8; 32] {
        let mut whole = [0; 32];
        whole[..16].copy_from_slice(&twox128(pallet.as_bytes()));
        whole[16..].copy_from_slice(&twox128(item.as_bytes()));
        whole
    }

    /// The key of one entry; `parts` are the SCALE bytes of each part of its key.
    pub fn key(&self, parts: &[&[u8]]) -> Result<Vec<u8>, ShapeFault> {
        if parts.len() != self.hashers.len() {
            return Err(self.other_parts(parts.len()));
        }
        let mut key = self.prefix.to_vec();
        for (hasher, part) in self.hashers.iter().zip(parts) {
            key.extend(hashed(hasher, part));
        }
        Ok(key)
    }

    fn other_parts(&self, count: usize) -> ShapeFault {
        ShapeFault::Other(format!("{}: {count} key parts, the metadata has {}", self.name, self.hashers.len()))
    }

    /// What all keys of this item begin with.
    pub fn prefix(&self) -> &[u8; 32] {
        &self.prefix
    }
}

fn hashed(hasher: &StorageHasher, part: &[u8]) -> Vec<u8> {
    match hasher {
        StorageHasher::Identity => part.to_vec(),
        StorageHasher::Blake2_128 => blake2_128(part).to_vec(),
        StorageHasher::Blake2_128Concat => [&blake2_128(part)[..], part].concat(),
        StorageHasher::Blake2_256 => blake2_256(part).to_vec(),
        StorageHasher::Twox64Concat => [&twox64(part)[..], part].concat(),
        StorageHasher::Twox128 => twox128(part).to_vec(),
        StorageHasher::Twox256 => twox256(part).to_vec(),
    }
}
