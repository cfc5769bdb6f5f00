//! Blocks: drafting one, and the ones that were made.
//!
//! Roots are hashes of what they stand for, not Merkle tries: nothing here proves storage.

use std::{collections::VecDeque, sync::Arc};

use parity_scale_codec::{Compact, Encode};
use scale_value::Value;
use serde_json::{Value as Json, json};

use super::{
    Dispatched, event,
    subnet::{Neuron, Subnet},
};
use crate::{
    spoke::chain::{
        hash::blake2_256,
        metadata::{Metadata, ShapeFault},
        rpc::to_hex,
    },
    units::{AccountId, BlockNumber, Wall},
};

/// Blocks that are kept. A real node knows as many hashes (`System.BlockHashCount` is 2400).
const BLOCKS_MAX: usize = 2400;

/// Blocks between the best and the finalized one.
const FINALITY_LAG: u64 = 2;

/// Version 4, unsigned: an inherent.
const BARE_V4: u8 = 4;

pub type Hash = [u8; 32];

pub struct Block {
    pub number: BlockNumber,
    pub hash: Hash,
    parent: Hash,
    state_root: Hash,
    extrinsics_root: Hash,
    pub extrinsics: Vec<Vec<u8>>,
    /// SCALE of `System.Events`.
    pub events: Vec<u8>,
    pub timestamp_ms: u64,
    pub subnet: Arc<Subnet>,
}

impl Block {
    fn new(parent: Hash, number: BlockNumber, draft: Draft, events: Vec<u8>, subnet: Arc<Subnet>) -> Block {
        let state_root = blake2_256(&(number, subnet.netuid.0, standing(&subnet)).encode());
        let extrinsics_root = blake2_256(&draft.extrinsics.encode());
        let header = (parent, Compact(number), state_root, extrinsics_root, Vec::<u8>::new());
        Block {
            number,
            hash: blake2_256(&header.encode()),
            parent,
            state_root,
            extrinsics_root,
            extrinsics: draft.extrinsics,
            events,
            timestamp_ms: draft.timestamp_ms,
            subnet,
        }
    }

    pub fn header(&self) -> Json {
        json!({
            "parentHash": to_hex(&self.parent),
            "number": format!("{:#x}", self.number),
            "stateRoot": to_hex(&self.state_root),
            "extrinsicsRoot": to_hex(&self.extrinsics_root),
            "digest": {"logs": []},
        })
    }

    pub fn json(&self) -> Json {
        let extrinsics: Vec<_> = self.extrinsics.iter().map(|bytes| to_hex(bytes)).collect();
        json!({"block": {"header": self.header(), "extrinsics": extrinsics}, "justifications": null})
    }
}

/// What tells one state from another: who is there, and when each last changed something.
fn standing(subnet: &Subnet) -> Vec<(AccountId, u64, u64)> {
    let of = |neuron: &Neuron| (neuron.hotkey, neuron.last_update, neuron.axon.map_or(0, |axon| axon.block));
    subnet.neurons.iter().map(of).collect()
}

/// A block in the making.
#[derive(Default)]
pub struct Draft {
    extrinsics: Vec<Vec<u8>>,
    records: Vec<Value>,
    timestamp_ms: u64,
}

impl Draft {
    /// Begins with the author's timestamp.
    pub fn new(metadata: &Metadata, wall: Wall) -> Draft {
        let mut draft = Draft { timestamp_ms: wall.as_millis(), ..Draft::default() };
        let now = vec![("now", Value::u128(wall.as_millis().into()))];
        match metadata.call("Timestamp", "set", now) {
            Ok(call) => {
                let body = [&[BARE_V4][..], &call].concat();
                draft.push(metadata, &body.encode(), Ok(Vec::new()));
            }
            Err(fault) => log::error!(target: "subtensor-sim", "no timestamp in the (simulated) block: {fault}"),
        }
        draft
    }

    /// Adds an extrinsic that was executed.
    pub fn push(&mut self, metadata: &Metadata, bytes: &[u8], dispatched: Dispatched) {
        let index = u32::try_from(self.extrinsics.len()).unwrap_or(u32::MAX);
        match event::records(metadata, index, &dispatched) {
            Ok(records) => self.records.extend(records),
            Err(fault) => log::error!(target: "subtensor-sim", "no events for a (simulated) extrinsic: {fault}"),
        }
        self.extrinsics.push(bytes.to_vec());
    }

    pub fn finish(mut self, metadata: &Metadata, parent: &Block, subnet: Arc<Subnet>) -> Block {
        let records = Value::unnamed_composite(std::mem::take(&mut self.records));
        let events = encode_events(metadata, &records).unwrap_or_else(|fault| {
            log::error!(target: "subtensor-sim", "events of a (simulated) block: {fault}");
            vec![0]
        });
        Block::new(parent.hash, parent.number + 1, self, events, subnet)
    }
}

fn encode_events(metadata: &Metadata, records: &Value) -> Result<Vec<u8>, ShapeFault> {
    metadata.encode("System.Events", metadata.storage("System", "Events")?.value, records)
}

/// The blocks that are known, oldest first; never empty.
pub struct History {
    genesis: Hash,
    best: Block,
    /// All before the best one.
    older: VecDeque<Block>,
}

impl History {
    pub fn new(subnet: Arc<Subnet>) -> History {
        let genesis = Block::new([0; 32], 0, Draft::default(), vec![0], subnet);
        History { genesis: genesis.hash, best: genesis, older: VecDeque::new() }
    }

    pub fn push(&mut self, block: Block) {
        self.older.push_back(std::mem::replace(&mut self.best, block));
        if self.older.len() > BLOCKS_MAX {
            self.older.pop_front();
        }
    }

    pub fn genesis(&self) -> Hash {
        self.genesis
    }

    pub fn best(&self) -> &Block {
        &self.best
    }

    pub fn finalized(&self) -> &Block {
        let number = self.best.number.saturating_sub(FINALITY_LAG);
        self.by_number(number).unwrap_or(&self.best)
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
        std::iter::once(&self.best).chain(self.older.iter().rev()).find(|block| block.hash == *hash)
    }

    /// Hash of a block, also of the first one when that is no longer kept.
    pub fn hash_of(&self, number: BlockNumber) -> Option<Hash> {
        if number == 0 { Some(self.genesis) } else { self.by_number(number).map(|block| block.hash) }
    }
}
