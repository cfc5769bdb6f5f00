//! What one subscription is about, what it said last, and what it says next.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::{
    Node,
    blocks::{Block, Hash},
    params::{Params, invalid},
};
use crate::{
    spoke::chain::{
        hash::blake2_256,
        rpc::{NodeError, to_hex},
    },
    units::BlockNumber,
};

/// Heads that are told after a jump; a node that was away tells the newest alone.
const HEADS_MAX: u64 = 64;

/// Keys of one storage subscription.
const KEYS_MAX: usize = 64;

pub enum Topic {
    Heads { of: Which, told: Option<(BlockNumber, Hash)> },
    RuntimeVersion { told: Json },
    Storage(Storage),
    Extrinsic(Watch),
}

/// Which head is followed.
#[derive(Clone, Copy)]
pub enum Which {
    Best,
    Finalized,
}

impl Topic {
    pub fn heads() -> Topic {
        Topic::Heads { of: Which::Best, told: None }
    }

    pub fn finalized_heads() -> Topic {
        Topic::Heads { of: Which::Finalized, told: None }
    }

    pub fn runtime_version() -> Topic {
        Topic::RuntimeVersion { told: Json::Null }
    }

    /// `params`: a list of keys.
    pub fn storage(params: &Json) -> Result<Topic, NodeError> {
        let params = Params::new(params)?;
        let keys = params.keys(0)?;
        if keys.is_empty() || keys.len() > KEYS_MAX {
            return Err(invalid(&format!("1 to {KEYS_MAX} keys can be followed")));
        }
        Ok(Topic::Storage(Storage { looked: None, told: keys.into_iter().map(|key| (key, None)).collect() }))
    }

    /// Submits it; one that the pool refuses is not followed.
    pub fn extrinsic(node: &mut Node, params: &Json) -> Result<Topic, NodeError> {
        let bytes = Params::new(params)?.bytes(0)?;
        let searched = node.finalized().number;
        let hash = node.hand_in(&bytes)?;
        Ok(Topic::Extrinsic(Watch { hash, searched, stage: Stage::Submitted }))
    }

    pub fn is_over(&self) -> bool {
        matches!(self, Topic::Extrinsic(watch) if watch.stage == Stage::Over)
    }

    /// What is new since it was asked last, oldest first; the first time that is the present state.
    pub fn news(&mut self, node: &Node) -> Vec<Json> {
        match self {
            Topic::Heads { of, told } => heads(node, *of, told),
            Topic::RuntimeVersion { told } => runtime_version(node, told),
            Topic::Storage(storage) => storage.news(node),
            Topic::Extrinsic(watch) => std::iter::from_fn(|| watch.step(node)).collect(),
        }
    }
}

/// Each head since the last one that was told; after a fork the new one alone.
fn heads(node: &Node, of: Which, told: &mut Option<(BlockNumber, Hash)>) -> Vec<Json> {
    let head = match of {
        Which::Best => node.head(),
        Which::Finalized => node.finalized(),
    };
    let last = told.replace((head.number, head.hash));
    if last == *told {
        return Vec::new();
    }
    let from = match last {
        Some((number, hash)) if node.history.hash_of(number) == Some(hash) => number + 1,
        _ => head.number,
    };
    let from = from.max(head.number.saturating_sub(HEADS_MAX - 1));
    (from..=head.number).filter_map(|number| node.history.by_number(number)).map(Block::header).collect()
}

fn runtime_version(node: &Node, told: &mut Json) -> Vec<Json> {
    let version = node.head().runtime.json();
    if version == *told {
        return Vec::new();
    }
    *told = version.clone();
    vec![version]
}

/// Keys and the values that were told of them.
pub struct Storage {
    /// The block whose state was told.
    looked: Option<Hash>,
    told: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl Storage {
    fn news(&mut self, node: &Node) -> Vec<Json> {
        let head = node.head();
        let is_first = self.looked.is_none();
        if self.looked.replace(head.hash) == Some(head.hash) {
            return Vec::new();
        }
        let mut changes = Vec::new();
        for (key, told) in &mut self.told {
            let value = node.storage(key, head);
            if is_first || value != *told {
                changes.push(json!([to_hex(key), value.as_deref().map(to_hex)]));
                *told = value;
            }
        }
        if changes.is_empty() {
            return Vec::new();
        }
        vec![json!({"block": to_hex(&head.hash), "changes": changes})]
    }
}

/// An extrinsic on its way. None usurps another here: the pool replaces nothing.
pub struct Watch {
    hash: Hash,
    /// It is in no block up to this one.
    searched: BlockNumber,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Submitted,
    /// In the pool, as far as was told.
    Ready,
    InBlock(BlockNumber, Hash),
    Over,
}

impl Watch {
    /// The next thing that happened to it.
    fn step(&mut self, node: &Node) -> Option<Json> {
        match self.stage {
            Stage::Submitted => {
                self.stage = Stage::Ready;
                Some(json!("ready"))
            }
            Stage::Ready => self.look(node),
            Stage::InBlock(number, block) => self.follow(node, number, block),
            Stage::Over => None,
        }
    }

    /// In a block by now, or out of the pool without one?
    fn look(&mut self, node: &Node) -> Option<Json> {
        let (best, finalized) = (node.head().number, node.finalized().number);
        let mut blocks = (self.searched + 1..=best).filter_map(|number| node.history.by_number(number));
        if let Some(block) = blocks.find(|block| self.is_in(block)) {
            self.stage = Stage::InBlock(block.number, block.hash);
            return Some(json!({"inBlock": to_hex(&block.hash)}));
        }
        self.searched = self.searched.max(finalized);
        if node.pool.holds(&self.hash) {
            return None;
        }
        self.stage = Stage::Over;
        Some(json!(if node.pool.has_banned(&self.hash) { "invalid" } else { "dropped" }))
    }

    fn is_in(&self, block: &Block) -> bool {
        block.extrinsics.iter().any(|bytes| blake2_256(bytes) == self.hash)
    }

    /// Final by now, or taken out by a fork?
    fn follow(&mut self, node: &Node, number: BlockNumber, block: Hash) -> Option<Json> {
        if node.history.hash_of(number) != Some(block) {
            self.stage = Stage::Ready;
            return Some(json!({"retracted": to_hex(&block)}));
        }
        if node.finalized().number < number {
            return None;
        }
        self.stage = Stage::Over;
        Some(json!({"finalized": to_hex(&block)}))
    }
}
