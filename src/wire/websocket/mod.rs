//! Worker ↔ miner: one JSON object a WebSocket text frame. Types, their texts, and the close codes.
//!
//! It keeps no connection state: what an unknown or malformed frame leads to is the machine's to decide (after the
//! registration: nothing).

mod registration;
mod to_miner;
mod to_worker;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub use self::{
    registration::{Register, RegisterRefusal},
    to_miner::{
        ChallengeResult, GpuSummary, Heartbeat, HeartbeatResponse, ProofDebug, ProofOutcome, ProofResponse,
        TaskOutcome, TaskResult, ToMiner, is_filled_list,
    },
    to_worker::{ProofDemand, ProofRequest, TaskAssignment, ToWorker},
};
use crate::wire::json::{self, JsonFault};

/// Close codes of the miner.
pub mod close {
    /// Replaced by a newer connection of the same worker, heartbeat timeout, or going away.
    pub const GOING_AWAY: u16 = 1001;
    /// The first message is no valid registration.
    pub const BAD_REGISTRATION: u16 = 4000;
    pub const NO_WORKER_ID: u16 = 4001;
    pub const NO_WORKER_VERSION: u16 = 4002;
    /// The miner has as many workers as it may.
    pub const FULL: u16 = 4003;
}

/// Why a frame says nothing to us.
#[derive(Debug, thiserror::Error)]
pub enum FrameFault {
    #[error("frame: {0}")]
    NotJson(String),
    #[error("frame is no object with a type: {0}")]
    NoType(String),
    #[error("unknown frame {0:?}")]
    UnknownType(String),
    #[error("{kind}: {why}")]
    Malformed { kind: &'static str, why: String },
}

/// Reads the `type` of a frame, nothing else.
fn type_of(text: &str) -> Result<String, FrameFault> {
    #[derive(Deserialize)]
    struct Typed {
        #[serde(rename = "type")]
        kind: String,
    }
    match json::object::<Typed>(text) {
        Ok(typed) => Ok(typed.kind),
        Err(JsonFault::Syntax(why)) => Err(FrameFault::NotJson(why)),
        Err(fault) => Err(FrameFault::NoType(fault.to_string())),
    }
}

fn body<T: DeserializeOwned>(kind: &'static str, text: &str) -> Result<T, FrameFault> {
    json::object(text).map_err(|fault| FrameFault::Malformed { kind, why: fault.to_string() })
}

/// `{"type": …, "data": …}`
fn data<T: DeserializeOwned>(kind: &'static str, text: &str) -> Result<T, FrameFault> {
    #[derive(Deserialize)]
    struct Data<T> {
        data: T,
    }
    body::<Data<T>>(kind, text).map(|body| body.data)
}

/// A frame of fields at the top level.
#[derive(Serialize)]
struct Flat<'a, T> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(flatten)]
    fields: &'a T,
}

/// A frame whose fields are in `data`.
#[derive(Serialize)]
struct WithData<'a, T> {
    #[serde(rename = "type")]
    kind: &'static str,
    data: &'a T,
}

/// An unknown type shortened to what a log line bears.
fn shortened(kind: &str) -> String {
    kind.chars().take(64).collect()
}
