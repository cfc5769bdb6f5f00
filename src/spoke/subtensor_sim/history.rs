//! The blocks that are known: the best chain, and what a fork has left behind.

use std::{collections::VecDeque, sync::Arc};

use super::{
    blocks::{Block, Hash},
    runtime::Runtime,
    subnet::Subnet,
};
use crate::units::BlockNumber;

/// Blocks that are kept. A real node knows as many hashes (`System.BlockHashCount` is 2400).
const BLOCKS_MAX: usize = 2400;

/// Blocks that a fork took out and that are still answered for by their hash.
const RETIRED_MAX: usize = 64;

/// Blocks between the best and the finalized one, unless told otherwise.
const FINALITY_LAG: u64 = 2;

/// The blocks that are known, oldest first; never empty.
pub struct History {
    genesis: Hash,
    best: Block,
    /// All before the best one.
    older: VecDeque<Block>,
    retired: VecDeque<Block>,
    /// Number of the finalized block: it never goes back.
    finalized: BlockNumber,
    finality_lag: u64,
}

impl History {
    pub fn new(subnet: Arc<Subnet>, runtime: Arc<Runtime>) -> History {
        let genesis = Block::genesis(subnet, runtime);
        History {
            genesis: genesis.hash,
            best: genesis,
            older: VecDeque::new(),
            retired: VecDeque::new(),
            finalized: 0,
            finality_lag: FINALITY_LAG,
        }
    }

    pub fn push(&mut self, block: Block) {
        self.older.push_back(std::mem::replace(&mut self.best, block));
        if self.older.len() > BLOCKS_MAX {
            self.older.pop_front();
        }
        self.finalize();
    }

    /// Takes the best block out, unless it is final; what it was is still answered for.
    pub fn retire_best(&mut self) -> Option<&Block> {
        if self.best.number <= self.finalized {
            return None;
        }
        let parent = self.older.pop_back()?;
        if self.retired.len() == RETIRED_MAX {
            self.retired.pop_front();
        }
        self.retired.push_back(std::mem::replace(&mut self.best, parent));
        self.retired.back()
    }

    pub fn set_finality_lag(&mut self, blocks: u64) {
        self.finality_lag = blocks;
        self.finalize();
    }

    fn finalize(&mut self) {
        self.finalized = self.finalized.max(self.best.number.saturating_sub(self.finality_lag));
    }

    pub fn genesis(&self) -> Hash {
        self.genesis
    }

    pub fn best(&self) -> &Block {
        &self.best
    }

    /// The block that is `lag` behind the best one.
    pub fn behind(&self, lag: u64) -> &Block {
        self.by_number(self.best.number.saturating_sub(lag)).unwrap_or(&self.best)
    }

    /// The finalized block, as seen by a node that is `lag` behind.
    pub fn finalized(&self, lag: u64) -> &Block {
        let seen = self.best.number.saturating_sub(lag.saturating_add(self.finality_lag));
        self.by_number(if lag == 0 { self.finalized } else { self.finalized.min(seen) }).unwrap_or(&self.best)
    }

    pub fn by_number(&self, number: BlockNumber) -> Option<&Block> {
        if number == self.best.number {
            return Some(&self.best);
        }
        let first = self.older.front()?.number;
        let place = usize::try_from(number.checked_sub(first)?).ok()?;
        self.older.get(place)
    }

    pub fn by_hash(&self, hash: &Hash) -> Option<&Block> {
        let known = std::iter::once(&self.best).chain(self.older.iter().rev()).chain(&self.retired);
        known.into_iter().find(|block| block.hash == *hash)
    }

    /// Hash of a block, also of the first one when that is no longer kept.
    pub fn hash_of(&self, number: BlockNumber) -> Option<Hash> {
        if number == 0 { Some(self.genesis) } else { self.by_number(number).map(|block| block.hash) }
    }
}
