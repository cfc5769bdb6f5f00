//! The chain spoke: one request of a machine is one conversation with a node.
//!
//! Runs on its own thread, `chain`. Owns the connections to the nodes, the runtime's metadata (fetched from
//! the node, and again when a block shows another spec version) and the hotkey that signs. Decides nothing:
//! when to ask, to retry or to give up is the machine's; which endpoint to ask is its own.

pub mod block;
pub mod cache;
pub mod calls;
pub mod endpoints;
pub mod epochs;
pub mod events;
pub mod extrinsic;
pub mod hash;
pub mod http;
pub mod hyperparameters;
pub mod metadata;
pub mod metagraph;
pub mod preflight;
pub mod rpc;
pub mod scale;
pub mod standing;
pub mod timelock;

mod answer;
mod entries;
mod envelope;
mod find;
mod inspect;
mod node;
mod read;
mod remedy;
mod runtime;
mod sample;
mod searches;
mod shown;
mod sign;
mod submit;

use std::collections::BTreeSet;

use serde_json::Value as Json;

use self::{
    cache::MetadataCache,
    metadata::ShapeFault,
    remedy::Refusal,
    rpc::{Call, NodeError, Rpc, RpcError},
    runtime::Runtimes,
    searches::Searches,
    timelock::TimelockFault,
};
use crate::{
    machine::contract::chain::{ChainFault, ChainFaultKind, ChainReply, ChainRequest},
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
    #[error("this is another chain: its genesis is {}, ours is {}", rpc::chain_text(.seen), rpc::chain_text(.known))]
    OtherChain { known: [u8; 32], seen: [u8; 32] },
    #[error("no hotkey was given to sign with")]
    NoKey,
}

impl ChainError {
    fn kind(&self) -> ChainFaultKind {
        match self {
            ChainError::Rpc(RpcError::OtherChain { .. }) => ChainFaultKind::OtherChain,
            ChainError::Rpc(RpcError::Unreachable { .. } | RpcError::Stopped) => ChainFaultKind::Unreachable,
            ChainError::Rpc(RpcError::RateLimited { .. }) => ChainFaultKind::RateLimited,
            ChainError::Node { .. } | ChainError::NoSubnet(_) => ChainFaultKind::Node,
            ChainError::Pool(refusal) => ChainFaultKind::Pool(refusal.fault),
            ChainError::Upgrading { .. } => ChainFaultKind::Upgrading,
            ChainError::Timelock(_) | ChainError::Shape(_) | ChainError::Answer { .. } => ChainFaultKind::Shape,
            ChainError::OtherChain { .. } => ChainFaultKind::OtherChain,
            ChainError::NoKey | ChainError::Randomness(_) => ChainFaultKind::NoKey,
        }
    }

    /// What an operator can do about it.
    fn remedy(&self) -> Option<&'static str> {
        match self {
            ChainError::Pool(refusal) => refusal.remedy,
            ChainError::NoSubnet(_) => Some(remedy::NETWORK),
            ChainError::OtherChain { .. } | ChainError::Rpc(RpcError::OtherChain { .. }) => Some(remedy::CHAIN),
            ChainError::Shape(_) => Some(remedy::UPDATE),
            _ => None,
        }
    }
}

/// The spoke. `serve` is what its thread runs.
pub struct Chain<R> {
    rpc: R,
    key: Option<Keypair>,
    /// Of our chain: the first that we saw.
    genesis: Option<[u8; 32]>,
    runtimes: Runtimes,
    cache: MetadataCache,
    /// Spec versions whose metagraph is not to be had in part.
    whole_metagraphs: BTreeSet<u32>,
    /// What is known of extrinsics on their way.
    searches: Searches,
}

impl<R> Chain<R> {
    /// The way to the node.
    pub fn rpc(&self) -> &R {
        &self.rpc
    }
}

impl<R: Rpc> Chain<R> {
    /// `key` signs; without one, requests that need it are refused.
    pub fn new(rpc: R, key: Option<Keypair>) -> Chain<R> {
        Chain {
            rpc,
            key,
            genesis: None,
            runtimes: Runtimes::default(),
            cache: MetadataCache::none(),
            whole_metagraphs: BTreeSet::new(),
            searches: Searches::default(),
        }
    }

    /// Keeps the metadata of runtimes there.
    pub fn keeping(mut self, cache: MetadataCache) -> Chain<R> {
        self.cache = cache;
        self
    }

    /// Answers one request; a failure is an answer too.
    pub fn serve(&mut self, request: ChainRequest) -> ChainReply {
        let asked = name(&request);
        self.answer(request).unwrap_or_else(|error| {
            let (kind, remedy) = (error.kind(), error.remedy());
            ChainReply::Failed(ChainFault { asked, kind, text: answer::bounded(&error.to_string()), remedy })
        })
    }

    fn answer(&mut self, request: ChainRequest) -> Result<ChainReply, ChainError> {
        Ok(match request {
            ChainRequest::Head => ChainReply::Head(self.head()?),
            ChainRequest::Metagraph(netuid) => ChainReply::Metagraph(Box::new(self.metagraph(netuid)?)),
            ChainRequest::Weights { netuid, mechanism, uid } => {
                ChainReply::Weights(self.weights(netuid, mechanism, uid)?)
            }
            ChainRequest::Sign(call) => ChainReply::Signed(Box::new(self.sign(&call)?)),
            ChainRequest::Submit(signed) => ChainReply::Submitted(self.submit(&signed)?),
            ChainRequest::Preflight => ChainReply::Preflight(Box::new(self.preflight()?)),
            ChainRequest::Standing { netuid, mechanism, uid, hotkey } => {
                ChainReply::Standing(Box::new(self.standing(netuid, mechanism, uid, &hotkey)?))
            }
            ChainRequest::Find(submission) => ChainReply::Found(self.find(&submission)?),
        })
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
}

fn name(request: &ChainRequest) -> &'static str {
    match request {
        ChainRequest::Head => "head",
        ChainRequest::Metagraph(_) => "metagraph",
        ChainRequest::Weights { .. } => "weights",
        ChainRequest::Find(_) => "find",
        ChainRequest::Preflight => "preflight",
        ChainRequest::Standing { .. } => "standing",
        ChainRequest::Sign(_) => "sign",
        ChainRequest::Submit(_) => "submit",
    }
}
