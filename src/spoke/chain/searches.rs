//! What the searches for our extrinsics have found so far.
//!
//! A bounded memory, lost with the process: without it a search begins at the block of the signature again.

use std::collections::BTreeMap;

use crate::{machine::contract::chain::Inclusion, units::BlockNumber};

/// Searches that are remembered; one hotkey has one extrinsic on its way.
const SEARCHES_MAX: usize = 16;

/// A block, and which one of that number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub block: BlockNumber,
    pub hash: [u8; 32],
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Search {
    /// No block up to this one holds it, and this one is final.
    Before(Place),
    /// This block holds it, and so it ended there.
    Seen(Place, Inclusion),
}

impl Search {
    /// The block that must still be there for this to hold.
    pub fn anchor(&self) -> BlockNumber {
        self.place().block
    }

    pub fn anchor_hash(&self) -> &[u8; 32] {
        &self.place().hash
    }

    fn place(&self) -> &Place {
        match self {
            Search::Before(place) | Search::Seen(place, _) => place,
        }
    }
}

#[derive(Default)]
pub struct Searches(BTreeMap<[u8; 32], Search>);

impl Searches {
    pub fn get(&self, hash: &[u8; 32]) -> Option<&Search> {
        self.0.get(hash)
    }

    pub fn remember(&mut self, hash: [u8; 32], search: Search) {
        if self.0.len() >= SEARCHES_MAX && !self.0.contains_key(&hash) {
            self.0.pop_first();
        }
        self.0.insert(hash, search);
    }

    pub fn forget(&mut self, hash: &[u8; 32]) {
        self.0.remove(hash);
    }
}
