//! A simulated subnet in virtual time, and extrinsics for it that are made with whatever runtime it runs.

use std::{cell::RefCell, rc::Rc, time::Duration};

use byteleap::{
    spoke::{
        chain::{
            Chain,
            calls::{Arguments, PALLET},
            extrinsic::{Context, Era, sign},
            metadata::Metadata,
            rpc::{Call, NodeError, Rpc, from_hex, to_hex},
        },
        subtensor_sim::{Genesis, GenesisNeuron, Hyperparameters, InProcess, Node},
    },
    units::{Mono, Netuid, Now, Wall},
    wire::keys::Keypair,
};
use parity_scale_codec::Decode;
use serde_json::{Value as Json, json};

pub const NETUID: Netuid = Netuid(128);
pub const BLOCK_TIME: Duration = Duration::from_secs(12);

pub fn key(seed: u8) -> Keypair {
    Keypair::from_seed([seed; 32]).unwrap()
}

/// A subnet with a validator (uid 0) and two miners, and virtual time.
pub struct Simulation {
    pub node: Rc<RefCell<Node>>,
    pub now: Now,
}

impl Simulation {
    pub fn new(hyperparameters: Hyperparameters) -> Simulation {
        let neuron = |uid: u16| GenesisNeuron {
            uid,
            hotkey: key(uid as u8 + 1).hotkey().clone(),
            coldkey: key(100).hotkey().clone(),
            stake_tao: 1000.0,
            validator_permit: uid == 0,
            axon: (uid == 2).then(|| "198.51.100.10:8091".parse().unwrap()),
        };
        Simulation::of(Genesis::new(NETUID, (0..3).map(neuron).collect(), hyperparameters).unwrap())
    }

    pub fn of(genesis: Genesis) -> Simulation {
        let now = Now { mono: Mono(0), wall: Wall::from_secs(1_800_000_000) };
        let node = Rc::new(RefCell::new(Node::new(genesis, BLOCK_TIME, now).unwrap()));
        let mut simulation = Simulation { node, now };
        simulation.blocks(5);
        simulation
    }

    pub fn plain() -> Simulation {
        Simulation::new(Hyperparameters::default())
    }

    /// So much time passes.
    pub fn pass(&mut self, time: Duration) {
        self.now = Now { mono: self.now.mono + time, wall: self.now.wall + time };
        self.node.borrow_mut().advance(self.now);
    }

    pub fn blocks(&mut self, count: u32) {
        (0..count).for_each(|_| self.pass(BLOCK_TIME));
    }

    pub fn rpc(&self) -> InProcess {
        InProcess::new(self.node.clone())
    }

    pub fn chain(&self, key: &Keypair) -> Chain<InProcess> {
        Chain::new(self.rpc(), Some(key.clone()))
    }

    pub fn call(&self, method: &'static str, params: Json) -> Result<Json, NodeError> {
        self.rpc().batch(&[Call::new(method, params)]).unwrap().remove(0)
    }

    pub fn bytes(&self, method: &'static str, params: Json) -> Vec<u8> {
        from_hex(self.call(method, params).unwrap().as_str().unwrap()).unwrap()
    }

    pub fn best(&self) -> u64 {
        self.node.borrow().best()
    }

    pub fn block_hash(&self, number: u64) -> [u8; 32] {
        self.bytes("chain_getBlockHash", json!([number])).try_into().unwrap()
    }

    /// Which block each journalled extrinsic is of, and how it ended: the pallet's error where it has one.
    pub fn results(&self) -> Vec<(u64, String)> {
        let result = |line: &Json| {
            let error = line["error"].as_str().and_then(|error| error.strip_prefix("SubtensorModule."));
            error.or(line["result"].as_str()).unwrap().to_owned()
        };
        self.journal().iter().map(|line| (line["block"].as_u64().unwrap(), result(line))).collect()
    }

    pub fn journal(&self) -> Vec<Json> {
        let lines = std::iter::from_fn(|| self.node.borrow_mut().take_journal_line());
        lines.map(|line| serde_json::from_str(&line).unwrap()).collect()
    }

    /// What a well-made extrinsic of `signer` binds now.
    pub fn context(&self, birth: u64, nonce: u64) -> Context {
        let version = self.call("state_getRuntimeVersion", json!([])).unwrap();
        Context {
            genesis: self.block_hash(0),
            spec_version: u32::try_from(version["specVersion"].as_u64().unwrap()).unwrap(),
            transaction_version: 1,
            era: Some(Era::from_birth(birth, 8)),
            birth_hash: self.block_hash(birth),
            nonce,
        }
    }

    /// The metadata of the runtime that executes what is submitted now.
    pub fn metadata(&self) -> Metadata {
        let answer = self.bytes("state_call", json!(["Metadata_metadata_at_version", "0x0f000000"]));
        Metadata::parse(&Option::<Vec<u8>>::decode(&mut &*answer).unwrap().unwrap()).unwrap()
    }

    /// A call of `signer`, signed for the best block.
    pub fn signed(&self, signer: &Keypair, call: &str, arguments: Arguments) -> Vec<u8> {
        let metadata = self.metadata();
        let nonce = self.call("system_accountNextIndex", json!([signer.hotkey()])).unwrap().as_u64().unwrap();
        let call = metadata.call(PALLET, call, arguments).unwrap();
        sign(&metadata, signer, &self.context(self.best(), nonce), &call).unwrap()
    }

    pub fn submit(&self, bytes: &[u8]) -> Result<Json, NodeError> {
        self.call("author_submitExtrinsic", json!([to_hex(bytes)]))
    }

    /// Signs a call and hands it in.
    pub fn put(&self, signer: &Keypair, call: &str, arguments: Arguments) -> Result<Json, NodeError> {
        self.submit(&self.signed(signer, call, arguments))
    }

    /// What a storage item of a pallet holds at a block (the best one without it); the default where it holds none.
    pub fn storage<T: scale_decode::DecodeAsType>(&self, item: (&str, &str), parts: &[&[u8]], at: Option<u64>) -> T {
        let hash = self.block_hash(at.unwrap_or_else(|| self.best()));
        // Written by the runtime that executed the block, which is the one of its parent's state.
        let parent = self.block_hash(at.unwrap_or_else(|| self.best()).saturating_sub(1));
        let answer = self.bytes("state_call", json!(["Metadata_metadata_at_version", "0x0f000000", to_hex(&parent)]));
        let metadata = Metadata::parse(&Option::<Vec<u8>>::decode(&mut &*answer).unwrap().unwrap()).unwrap();
        let of = metadata.storage(item.0, item.1).unwrap();
        let stored = self.call("state_getStorage", json!([to_hex(&of.key(parts).unwrap()), to_hex(&hash)])).unwrap();
        let bytes = stored.as_str().map_or_else(|| of.default.clone().unwrap(), |text| from_hex(text).unwrap());
        metadata.decode(item.1, of.value, &bytes).unwrap()
    }
}
