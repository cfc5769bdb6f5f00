//! Blocks: drafting one, and what it is when it is made.
//!
//! Roots are hashes of what they stand for, not Merkle tries: nothing here proves storage.

use std::sync::Arc;

use parity_scale_codec::{Compact, Encode};
use scale_value::Value;
use serde_json::{Value as Json, json};

use super::{
    Dispatched,
    event::{self, Event},
    runtime::Runtime,
    subnet::{Neuron, Subnet},
};
use crate::{
    spoke::chain::{
        hash::blake2_256,
        metadata::{Metadata, ShapeFault},
        rpc::to_hex,
    },
    units::{AccountId, BlockNumber},
};

/// Version 4, unsigned: an inherent.
const BARE_V4: u8 = 4;

pub type Hash = [u8; 32];

pub struct Block {
    pub number: BlockNumber,
    pub hash: Hash,
    pub parent: Hash,
    state_root: Hash,
    extrinsics_root: Hash,
    pub extrinsics: Vec<Vec<u8>>,
    /// SCALE of `System.Events`, by the runtime that executed the block.
    pub events: Vec<u8>,
    pub timestamp_ms: u64,
    pub subnet: Arc<Subnet>,
    /// What executed it, and so wrote its storage.
    pub executor: Arc<Runtime>,
    /// What its state holds: the runtime of the next block. Another one than the executor in the block of an
    /// upgrade alone.
    pub runtime: Arc<Runtime>,
}

impl Block {
    pub fn genesis(subnet: Arc<Subnet>, runtime: Arc<Runtime>) -> Block {
        let draft = Draft {
            extrinsics: Vec::new(),
            records: Vec::new(),
            timestamp_ms: 0,
            executor: runtime.clone(),
            branch: 0,
        };
        Block::new([0; 32], 0, draft, vec![0], subnet, runtime)
    }

    fn new(
        parent: Hash,
        number: BlockNumber,
        draft: Draft,
        events: Vec<u8>,
        subnet: Arc<Subnet>,
        runtime: Arc<Runtime>,
    ) -> Block {
        let state_root = blake2_256(&(number, draft.branch, subnet.netuid.0, standing(&subnet)).encode());
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
            executor: draft.executor,
            runtime,
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
    let of = |neuron: &Neuron| (neuron.hotkey, neuron.held(0).last_update, neuron.axon.map_or(0, |axon| axon.block));
    subnet.neurons.iter().map(of).collect()
}

/// A block in the making.
pub struct Draft {
    extrinsics: Vec<Vec<u8>>,
    records: Vec<Value>,
    timestamp_ms: u64,
    executor: Arc<Runtime>,
    /// Forks so far: it tells the blocks of two branches apart.
    branch: u64,
}

impl Draft {
    /// Begins with what the chain does by itself, and the author's timestamp.
    pub fn new(executor: Arc<Runtime>, timestamp_ms: u64, branch: u64, initial: &[Event]) -> Draft {
        let records = event::initialization(initial);
        let mut draft = Draft { extrinsics: Vec::new(), records, timestamp_ms, executor, branch };
        let now = vec![("now", Value::u128(timestamp_ms.into()))];
        match draft.executor.metadata.call("Timestamp", "set", now) {
            Ok(call) => {
                let body = [&[BARE_V4][..], &call].concat();
                draft.push(&body.encode(), None, Ok(Vec::new()));
            }
            Err(fault) => log::error!(target: "subtensor-sim", "no timestamp in the (simulated) block: {fault}"),
        }
        draft
    }

    /// Adds an extrinsic that was executed; an inherent has no signer.
    pub fn push(&mut self, bytes: &[u8], signer: Option<&AccountId>, dispatched: Dispatched) {
        let index = u32::try_from(self.extrinsics.len()).unwrap_or(u32::MAX);
        match event::records(&self.executor.metadata, index, signer, &dispatched) {
            Ok(records) => self.records.extend(records),
            Err(fault) => log::error!(target: "subtensor-sim", "no events for a (simulated) extrinsic: {fault}"),
        }
        self.extrinsics.push(bytes.to_vec());
    }

    /// `upgrade`: the runtime that this block puts in place, if any.
    pub fn finish(mut self, parent: &Block, subnet: Arc<Subnet>, upgrade: Option<Arc<Runtime>>) -> Block {
        if upgrade.is_some() {
            self.records.extend(event::initialization(&[Event::system("CodeUpdated")]));
        }
        let records = Value::unnamed_composite(std::mem::take(&mut self.records));
        let events = encode_events(&self.executor.metadata, &records).unwrap_or_else(|fault| {
            log::error!(target: "subtensor-sim", "events of a (simulated) block: {fault}");
            vec![0]
        });
        let runtime = upgrade.unwrap_or_else(|| self.executor.clone());
        Block::new(parent.hash, parent.number + 1, self, events, subnet, runtime)
    }
}

fn encode_events(metadata: &Metadata, records: &Value) -> Result<Vec<u8>, ShapeFault> {
    metadata.encode("System.Events", metadata.storage("System", "Events")?.value, records)
}
