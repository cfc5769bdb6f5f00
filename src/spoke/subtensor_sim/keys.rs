//! Which storage keys there are under a prefix. The state is no trie: the keys that an item can have are tried.

use super::{Node, blocks::Block, storage, subnet::Subnet};
use crate::spoke::chain::{
    calls::storage_index,
    metadata::{Metadata, ShapeFault, Storage},
};

impl Node {
    /// The keys below `prefix` that have a value, in order. The prefix of an item must be whole.
    pub(super) fn keys(&self, prefix: &[u8], at: &Block) -> Vec<Vec<u8>> {
        let metadata = &at.executor.metadata;
        let Some(item) = storage::item_of(metadata, prefix) else { return Vec::new() };
        let candidates = candidates(metadata, item, at).unwrap_or_default();
        let mut keys: Vec<_> = candidates.into_iter().filter(|key| key.starts_with(prefix)).collect();
        keys.retain(|key| self.storage(key, at).is_some());
        keys.sort_unstable();
        keys.dedup();
        keys
    }
}

/// Every key that neurons of the subnet can have in an item.
fn candidates(metadata: &Metadata, item: &Storage, at: &Block) -> Result<Vec<Vec<u8>>, ShapeFault> {
    let mut tuples: Vec<Vec<Vec<u8>>> = vec![Vec::new()];
    for (place, id) in item.keys.iter().enumerate() {
        let bytes = metadata.zero(&item.name, *id)?.len();
        let parts = parts(at, place, bytes);
        let longer =
            |tuple: &Vec<Vec<u8>>| parts.iter().map(|part| [&tuple[..], std::slice::from_ref(part)].concat()).collect();
        tuples = tuples.iter().flat_map::<Vec<_>, _>(longer).collect();
    }
    tuples.iter().map(|tuple| item.key(&tuple.iter().map(Vec::as_slice).collect::<Vec<_>>())).collect()
}

/// What can stand at a place of a key, by its width: the subnet or a mechanism of it, behind another part also a uid; an
/// account; an epoch.
fn parts(at: &Block, place: usize, bytes: usize) -> Vec<Vec<u8>> {
    let subnet = &at.subnet;
    let uids = if place == 0 { 0 } else { u16::try_from(subnet.neurons.len()).unwrap_or(u16::MAX) };
    match bytes {
        2 => (0..uids).chain(mechanisms(subnet)).map(|number| number.to_le_bytes().to_vec()).collect(),
        32 => subnet.neurons.iter().flat_map(|of| [of.hotkey.to_vec(), of.coldkey.to_vec()]).collect(),
        8 => subnet.timelocked.keys().map(|(_, epoch)| epoch.to_le_bytes().to_vec()).collect(),
        _ => Vec::new(),
    }
}

/// The numbers that the subnet and its mechanisms are filed under.
fn mechanisms(subnet: &Subnet) -> impl Iterator<Item = u16> {
    (0..subnet.hyperparameters.mechanisms).map(|mechanism| storage_index(subnet.netuid, mechanism))
}
