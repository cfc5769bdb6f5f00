//! What a real node said: blocks with their events, answers of runtime APIs, metadata; and an `Rpc` that says
//! it again.

use std::{fs, path::Path};

use byteleap::spoke::chain::{
    metadata::{Metadata, Storage},
    rpc::{Call, NodeError, Rpc, RpcError, from_hex},
};
use serde::Deserialize;
use serde_json::{Value as Json, json};

pub const V15: &str = "src/spoke/subtensor_sim/data/spec425_v15.scale";
pub const V14: &str = "src/spoke/subtensor_sim/data/spec425_v14.scale";

#[derive(Deserialize)]
pub struct Blocks {
    genesis: String,
    #[serde(rename = "runtimeVersion")]
    pub runtime_version: Json,
    pub blocks: Vec<Block>,
}

#[derive(Deserialize)]
pub struct Block {
    pub number: u64,
    pub hash: String,
    pub header: Json,
    pub extrinsics: Vec<String>,
    pub events: String,
}

impl Block {
    pub fn extrinsics(&self) -> Vec<Vec<u8>> {
        self.extrinsics.iter().map(|text| from_hex(text).unwrap()).collect()
    }
    pub fn events(&self) -> Vec<u8> {
        from_hex(&self.events).unwrap()
    }
    pub fn hash(&self) -> [u8; 32] {
        from_hex(&self.hash).unwrap().try_into().unwrap()
    }
}

impl Blocks {
    pub fn genesis(&self) -> [u8; 32] {
        from_hex(&self.genesis).unwrap().try_into().unwrap()
    }
    pub fn hash_of(&self, number: u64) -> Option<[u8; 32]> {
        match number {
            0 => Some(self.genesis()),
            _ => self.blocks.iter().find(|block| block.number == number).map(Block::hash),
        }
    }
}

pub fn read(path: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

pub fn metadata(path: &str) -> Metadata {
    Metadata::parse(&read(path)).unwrap()
}

pub fn blocks() -> Blocks {
    serde_json::from_slice(&read("tests/data/chain/blocks_spec425.json")).unwrap()
}

/// The recorded answer of a runtime API.
pub fn state_call(api: &str) -> Vec<u8> {
    let all: Json = serde_json::from_slice(&read("tests/data/chain/state_calls_spec425.json")).unwrap();
    from_hex(all["calls"][api]["result"].as_str().unwrap()).unwrap()
}

/// A node that says again what was recorded, and knows nothing else.
pub struct Recorded {
    pub blocks: Blocks,
    /// What the node says its spec version is.
    pub spec_version: u32,
    pub asked: Vec<String>,
}

impl Recorded {
    pub fn new() -> Recorded {
        Recorded { blocks: blocks(), spec_version: 425, asked: Vec::new() }
    }

    /// The hash of a block; blocks that were not recorded have made-up ones.
    fn hash(&self, number: u64) -> Option<Json> {
        let last = self.blocks.blocks.last()?.number;
        let hash = self.blocks.hash_of(number).or_else(|| (number < last).then(|| made_up(number)))?;
        Some(hex_json(hash))
    }

    fn answer(&self, call: &Call) -> Option<Json> {
        let first = &call.params[0];
        let last = self.blocks.blocks.last()?;
        Some(match call.method {
            "chain_getBlockHash" if first.is_array() => {
                let hash = |number: &Json| number.as_u64().and_then(|number| self.hash(number)).unwrap_or_default();
                first.as_array()?.iter().map(hash).collect()
            }
            "chain_getBlockHash" if first.is_null() => json!(last.hash),
            "chain_getBlockHash" => hex_json(self.blocks.hash_of(first.as_u64()?)?),
            "chain_getFinalizedHead" => json!(last.hash),
            "chain_getHeader" if first.is_null() => last.header.clone(),
            "chain_getHeader" => self.block(first)?.header.clone(),
            "chain_getBlock" => {
                let Some(block) = self.block(first) else { return Some(json!({"block": {"extrinsics": []}})) };
                json!({"block": {"header": block.header, "extrinsics": block.extrinsics}, "justifications": null})
            }
            "state_getRuntimeVersion" => {
                let mut version = self.blocks.runtime_version.clone();
                version["specVersion"] = json!(self.spec_version);
                version
            }
            "state_getStorage" if *first == hex_json(Storage::prefix_of("System", "Events")) => {
                json!(self.block(&call.params[1])?.events)
            }
            // Of all storage only the events are recorded.
            "state_getStorage" => Json::Null,
            "system_chain" => json!("Bittensor"),
            "state_call" if first == "Metadata_metadata_at_version" => {
                use parity_scale_codec::Encode;
                hex_json(Some(read(V15)).encode())
            }
            "state_call" => hex_json(state_call(first.as_str()?)),
            _ => return None,
        })
    }

    fn block(&self, hash: &Json) -> Option<&Block> {
        self.blocks.blocks.iter().find(|block| hash == &json!(block.hash))
    }
}

fn made_up(number: u64) -> [u8; 32] {
    let mut hash = [0xee; 32];
    hash[..8].copy_from_slice(&number.to_le_bytes());
    hash
}

fn hex_json(bytes: impl AsRef<[u8]>) -> Json {
    json!(format!("0x{}", hex::encode(bytes)))
}

impl Rpc for Recorded {
    fn batch(&mut self, calls: &[Call]) -> Result<Vec<Result<Json, NodeError>>, RpcError> {
        self.asked.extend(calls.iter().map(|call| call.method.to_owned()));
        let unknown = |call: &Call| NodeError { code: -32601, message: format!("not recorded: {call:?}"), data: None };
        Ok(calls.iter().map(|call| self.answer(call).ok_or_else(|| unknown(call))).collect())
    }
}
