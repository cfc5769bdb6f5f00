//! The chain spoke: one request of a machine is one conversation with a node.
//!
//! Runs on its own thread, `chain`. Owns the connections to the nodes, the runtime's metadata (fetched from
//! the node, and again when a block shows another spec version) and the hotkey that signs. Decides nothing:
//! when to ask, to retry or to give up is the machine's; which endpoint to ask is its own.

pub mod cache;
pub mod calls;
pub mod endpoints;
pub mod epochs;
pub mod events;
pub mod extrinsic;
pub mod hash;
pub mod http;
pub mod metadata;
pub mod metagraph;
pub mod rpc;
pub mod scale;
pub mod timelock;

mod answer;

mod find;
mod inspect;
mod remedy;
mod runtime;
mod searches;
mod shown;
mod sign;
mod submit;

use std::sync::Arc;

use serde_json::{Value as Json, json};

use self::{
    metadata::ShapeFault,
    remedy::Refusal,
    rpc::{Call, NodeError, Rpc, RpcError},
    runtime::Runtime,
    searches::Searches,
    timelock::TimelockFault,
};
use crate::{
    machine::contract::chain::{
        ChainCall, ChainFault, ChainFaultKind, ChainReply, ChainRequest, Head, Metagraph, WeightVector,
    },
    units::{BlockNumber, Netuid, Uid},
    wire::keys::Keypair,
};

/// Why a conversation with a node came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    #[error(transparent)]
    Rpc(#[from] RpcError),
    #[error("{method}: {error}")]
    Node { method: &'static str, error: NodeError },
    #[error(transparent)]
    Pool(#[from] Refusal),
    #[error("the runtime is being upgraded from spec {from} to {to}: the next block can be read again")]
    Upgrading { from: u32, to: u32 },
    #[error("weights are not encrypted: {0}")]
    Timelock(#[from] TimelockFault),
    #[error("no randomness from the system: {0}")]
    Randomness(String),
    #[error(transparent)]
    Shape(#[from] ShapeFault),
    #[error("{method} answered {what}")]
    Answer { method: &'static str, what: String },
    #[error("subnet {0} does not exist")]
    NoSubnet(u16),
    #[error("no hotkey was given to sign with")]
    NoKey,
}

impl ChainError {
    fn kind(&self) -> ChainFaultKind {
        match self {
            ChainError::Rpc(RpcError::Unreachable { .. }) => ChainFaultKind::Unreachable,
            ChainError::Rpc(RpcError::RateLimited { .. }) => ChainFaultKind::RateLimited,
            ChainError::Node { .. } | ChainError::NoSubnet(_) => ChainFaultKind::Node,
            ChainError::Pool(refusal) => ChainFaultKind::Pool(refusal.fault),
            ChainError::Upgrading { .. } => ChainFaultKind::Upgrading,
            ChainError::Timelock(_) | ChainError::Shape(_) | ChainError::Answer { .. } => ChainFaultKind::Shape,
            ChainError::NoKey | ChainError::Randomness(_) => ChainFaultKind::NoKey,
        }
    }

    /// What an operator can do about it.
    fn remedy(&self) -> Option<&'static str> {
        match self {
            ChainError::Pool(refusal) => refusal.remedy,
            ChainError::NoSubnet(_) => Some(remedy::NETWORK),
            ChainError::Shape(_) => Some(remedy::UPDATE),
            _ => None,
        }
    }
}

/// The spoke. `serve` is what its thread runs.
pub struct Chain<R> {
    rpc: R,
    key: Option<Keypair>,
    runtime: Option<Arc<Runtime>>,
    /// What is known of extrinsics on their way.
    searches: Searches,
}

impl<R: Rpc> Chain<R> {
    /// `key` signs; without one, requests that need it are refused.
    pub fn new(rpc: R, key: Option<Keypair>) -> Chain<R> {
        Chain { rpc, key, runtime: None, searches: Searches::default() }
    }

    /// Answers one request; a failure is an answer too.
    pub fn serve(&mut self, request: ChainRequest) -> ChainReply {
        let asked = name(&request);
        self.answer(request).unwrap_or_else(|error| {
            let (kind, remedy) = (error.kind(), error.remedy());
            ChainReply::Failed(ChainFault { asked, kind, text: error.to_string(), remedy })
        })
    }

    fn answer(&mut self, request: ChainRequest) -> Result<ChainReply, ChainError> {
        Ok(match request {
            ChainRequest::Head => ChainReply::Head(self.head()?),
            ChainRequest::Metagraph(netuid) => ChainReply::Metagraph(Box::new(self.metagraph(netuid)?)),
            ChainRequest::Weights { netuid, uid, .. } => ChainReply::Weights(self.weights(netuid, uid)?),
            ChainRequest::Sign(call) => ChainReply::Signed(Box::new(self.sign(&call)?)),
            ChainRequest::Submit(signed) => ChainReply::Submitted(self.submit(&signed)?),
            ChainRequest::ServeAxon { netuid, ip, port, version } => {
                let signed = self.sign(&ChainCall::ServeAxon { netuid, ip, port, version })?;
                ChainReply::Submitted(self.submit(&signed)?)
            }
            ChainRequest::SetWeights { netuid, weights, version_key } => {
                let vector = WeightVector { netuid, mechanism: 0, weights, version_key };
                let signed = self.sign(&ChainCall::SetWeights(vector))?;
                ChainReply::Submitted(self.submit(&signed)?)
            }
            ChainRequest::Preflight | ChainRequest::Standing { .. } => return Err(ChainError::NoKey),
            ChainRequest::Find(submission) => ChainReply::Found(self.find(&submission)?),
        })
    }

    fn head(&mut self) -> Result<Head, ChainError> {
        let calls = [
            Call::new("chain_getHeader", json!([])),
            Call::new("chain_getFinalizedHead", json!([])),
            Call::new("system_chain", json!([])),
        ];
        let (runtime, answers) = self.with_runtime(|_| Ok(calls.to_vec()))?;
        let [best, finalized, chain] = answer::exactly(answers)?;
        let best = answer::header_number(&best)?;
        let finalized = self.number_of(&answer::hash("chain_getFinalizedHead", &finalized)?)?;
        runtime.check.clone()?;
        let chain = chain.as_str().unwrap_or_default().to_owned();
        Ok(Head {
            best,
            finalized,
            best_at: None,
            spec_version: runtime.spec_version,
            upgrading: false,
            genesis: runtime.genesis,
            chain,
        })
    }

    fn metagraph(&mut self, netuid: Netuid) -> Result<Metagraph, ChainError> {
        let call = Call::state(metagraph::API, &netuid.0.to_le_bytes(), None);
        let (runtime, answers) = self.with_runtime(|_| Ok(vec![call.clone()]))?;
        let [bytes] = answer::exactly(answers)?;
        let bytes = answer::bytes(metagraph::API, &bytes)?;
        metagraph::decode(&runtime.metadata, &bytes)?.ok_or(ChainError::NoSubnet(netuid.0))
    }

    /// What the neuron set in the subnet's first mechanism; never having set any is an empty list.
    fn weights(&mut self, netuid: Netuid, uid: Uid) -> Result<Vec<(Uid, u16)>, ChainError> {
        let (runtime, answers) = self.with_runtime(|runtime| {
            let item = runtime.metadata.storage("SubtensorModule", "Weights")?;
            let key = item.key(&[&netuid.0.to_le_bytes(), &uid.0.to_le_bytes()])?;
            Ok(vec![Call::storage(&key, None)])
        })?;
        let [stored] = answer::exactly(answers)?;
        let item = runtime.metadata.storage("SubtensorModule", "Weights")?;
        let bytes = match &stored {
            Json::Null => item.default.clone().unwrap_or_default(),
            stored => answer::bytes("state_getStorage", stored)?,
        };
        let weights: Vec<(u16, u16)> = runtime.metadata.decode("SubtensorModule.Weights", item.value, &bytes)?;
        Ok(weights.into_iter().map(|(uid, weight)| (Uid(uid), weight)).collect())
    }

    /// The results of calls of which none may fail.
    fn all(&mut self, calls: &[Call]) -> Result<Vec<Json>, ChainError> {
        let answers = self.rpc.batch(calls)?.into_iter().zip(calls);
        let results =
            answers.map(|(answer, call)| answer.map_err(|error| ChainError::Node { method: call.method, error }));
        results.collect()
    }

    fn one(&mut self, call: Call) -> Result<Json, ChainError> {
        let [result] = answer::exactly(self.all(&[call])?)?;
        Ok(result)
    }

    fn number_of(&mut self, hash: &[u8; 32]) -> Result<BlockNumber, ChainError> {
        answer::header_number(&self.one(Call::new("chain_getHeader", json!([rpc::to_hex(hash)])))?)
    }
}

fn name(request: &ChainRequest) -> &'static str {
    match request {
        ChainRequest::Head => "head",
        ChainRequest::Metagraph(_) => "metagraph",
        ChainRequest::Weights { .. } => "weights",
        ChainRequest::ServeAxon { .. } => "serve_axon",
        ChainRequest::SetWeights { .. } => "set_weights",
        ChainRequest::Find(_) => "find",
        ChainRequest::Preflight => "preflight",
        ChainRequest::Standing { .. } => "standing",
        ChainRequest::Sign(_) => "sign",
        ChainRequest::Submit(_) => "submit",
    }
}
