//! Which card it is that NVML has lost before it ever said a name: by what the others list, and NVML lists nowhere.
//!
//! A lost card answers NVML nothing, not even its uuid, while CUDA may still list it. NVML counts cards by their PCI
//! address, so that as many lost ones as there are left over are those, in this order. Where the numbers differ nobody can
//! say which it is; then [`suspects`] are kept back, all of them.

use std::collections::BTreeSet;

use crate::machine::contract::{
    gpu::ExecutorGpu,
    inventory::{Card, Inventory, Nvml, PciAddress},
};

/// A card that CUDA or the kernel's driver lists, and NVML does not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Unlisted {
    pci: Option<PciAddress>,
    uuid: Option<String>,
    name: Option<String>,
}

/// The inventory with each lost card under its name, where that is certain.
pub fn named(inventory: &Inventory, cuda: Option<&[ExecutorGpu]>) -> Inventory {
    let mut inventory = inventory.clone();
    let unlisted = unlisted(&inventory, cuda);
    let Nvml::Read(reading) = &mut inventory.nvml else { return inventory };
    let mut nameless: Vec<&mut Card> = reading.cards.iter_mut().filter(|card| is_nameless(card)).collect();
    nameless.sort_by_key(|card| card.index);
    if nameless.len() == unlisted.len() {
        for (card, one) in nameless.into_iter().zip(unlisted) {
            (card.pci, card.uuid, card.name) = (one.pci, one.uuid, one.name);
        }
    }
    inventory
}

/// The uuids of CUDA's cards each of which may be one that is lost, in an inventory that was [`named`].
pub fn suspects(inventory: &Inventory, cuda: Option<&[ExecutorGpu]>) -> BTreeSet<String> {
    let lost = inventory.cards().iter().any(is_nameless);
    let uuids = unlisted(inventory, cuda).into_iter().filter_map(|one| one.uuid);
    if lost { uuids.collect() } else { BTreeSet::new() }
}

fn is_nameless(card: &Card) -> bool {
    card.lost.is_some() && card.uuid.is_none() && card.pci.is_none()
}

/// Ascending by place.
fn unlisted(inventory: &Inventory, cuda: Option<&[ExecutorGpu]>) -> Vec<Unlisted> {
    let known = |pci: Option<PciAddress>, uuid: Option<&String>| {
        let same = |card: &Card| (pci.is_some() && card.pci == pci) || (uuid.is_some() && card.uuid.as_ref() == uuid);
        inventory.cards().iter().any(same)
    };
    let mut found: Vec<Unlisted> = Vec::new();
    let listed = cuda.into_iter().flatten().map(|gpu| {
        let name = Some(gpu.name.clone()).filter(|name| !name.is_empty());
        Unlisted { pci: gpu.pci(), uuid: Some(gpu.uuid.clone()), name }
    });
    let driven = inventory.kernel.iter().flatten();
    let driven = driven.map(|card| Unlisted { pci: Some(card.pci), uuid: card.uuid.clone(), name: card.model.clone() });
    for one in listed.chain(driven) {
        let same = |other: &&mut Unlisted| {
            (one.pci.is_some() && other.pci == one.pci) || (one.uuid.is_some() && other.uuid == one.uuid)
        };
        match found.iter_mut().find(same) {
            Some(other) => other.pci = other.pci.or(one.pci),
            None if known(one.pci, one.uuid.as_ref()) => {}
            None => found.push(one),
        }
    }
    found.sort();
    found
}
