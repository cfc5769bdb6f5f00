//! Storage keys, read as whoever made them meant them: the item, and the parts of its key.

use crate::{
    spoke::chain::metadata::{Metadata, Storage},
    units::AccountId,
};

/// The item that a key, or its beginning, belongs to.
pub fn find<'a>(
    metadata: &'a Metadata,
    pallet: &str,
    names: &[&'static str],
    key: &[u8],
) -> Option<(&'static str, &'a Storage)> {
    let items = names.iter().filter_map(|name| Some((*name, metadata.storage(pallet, name).ok()?)));
    items.into_iter().find(|(_, item)| key.starts_with(item.prefix()))
}

/// The parts of a key, each in its SCALE bytes.
pub struct Parts<'a>(Vec<&'a [u8]>);

impl<'a> Parts<'a> {
    /// `None` for a key that no entry of the item can have.
    pub fn read(metadata: &Metadata, item: &Storage, key: &'a [u8]) -> Option<Parts<'a>> {
        use frame_metadata::v14::StorageHasher::*;
        let mut rest = key.strip_prefix(item.prefix())?;
        let mut parts = Vec::new();
        for (hasher, id) in item.hashers.iter().zip(&item.keys) {
            let hash = match hasher {
                Identity => 0,
                Blake2_128Concat => 16,
                Twox64Concat => 8,
                Blake2_128 | Blake2_256 | Twox128 | Twox256 => return None,
            };
            rest = rest.get(hash..)?;
            parts.push(metadata.cut(&item.name, *id, &mut rest).ok()?);
        }
        // Whoever made the key hashed the parts as we do, or asks for something else.
        (item.key(&parts).ok()? == key).then_some(Parts(parts))
    }

    pub fn u16(&self, place: usize) -> Option<u16> {
        Some(u16::from_le_bytes((*self.0.get(place)?).try_into().ok()?))
    }

    pub fn u32(&self, place: usize) -> Option<u32> {
        Some(u32::from_le_bytes((*self.0.get(place)?).try_into().ok()?))
    }

    pub fn u64(&self, place: usize) -> Option<u64> {
        Some(u64::from_le_bytes((*self.0.get(place)?).try_into().ok()?))
    }

    pub fn account(&self, place: usize) -> Option<AccountId> {
        (*self.0.get(place)?).try_into().ok()
    }
}
