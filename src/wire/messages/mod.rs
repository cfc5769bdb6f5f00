//! The bodies inside the sessions' packages, and the handshake's own two. Types and their JSON, no decisions.
//!
//! Fields beyond these are tolerated; where a value is only passed on ([`Raw`], [`SystemInfo`], the `extra` of a
//! [`Commitment`]) they are kept. Numbers that JSON lacks are read as `null` and never written.

mod challenge;
pub mod gemm_i8;
mod hardware;
mod heartbeat;
mod market_task;
mod task;

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, Error as _},
};

pub use self::{
    challenge::{
        CPU_UUID, Commitment, CommitmentData, DebugInfo, DeviceProof, DeviceRequest, MerkleProof, ProofData,
        ProofRequests, StatusAnswer, WorkFailure,
    },
    hardware::{Gpu, SystemInfo},
    heartbeat::{
        EARLIEST_NOTICE, HeartbeatData, HeartbeatResponse, LONGEST_MAINTENANCE, MaintenanceNotice, WorkerInfo,
        WorkerStatus,
    },
    market_task::MarketTask,
    task::{
        ChallengeData, ChallengeSpec, REQUEST_CHALLENGE, TASK_BATCH, TASK_NONE, TaskData, TaskRequest, TaskResponse,
    },
};
pub use crate::wire::json::Raw;
use crate::{
    units::WorkerId,
    wire::{
        json::{self, JsonFault},
        limits,
        session::SessionFault,
    },
};

/// The version that all bodies carry.
pub const SCHEMA_VERSION: u32 = 1;

fn schema_version() -> u32 {
    SCHEMA_VERSION
}

/// Miner → validator: a fresh key and nonce for a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionInitRequest {
    /// Base64 of 32 bytes. The text as sent goes into the keys.
    pub miner_eph_pub32: String,
    /// Base64 of 16 bytes.
    pub client_nonce16: String,
    /// Unix seconds; nobody checks it.
    #[serde(default)]
    pub created_at: Option<f64>,
    /// The miner's sr25519 signature over [`crate::wire::session::handshake_text`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sig: Option<String>,
}

/// Validator → miner: its half of the handshake.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionInitResponse {
    /// Base64 of 32 bytes.
    pub validator_eph_pub32: String,
    pub session_id: String,
    /// Base64 of 16 bytes.
    pub server_nonce16: String,
    /// Unix seconds.
    pub expires_at: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sig: Option<String>,
}

/// Reads a decrypted request: no JSON object is 4011, an object of another shape 4015.
pub fn parse_request<T: DeserializeOwned>(plaintext: &str) -> Result<T, SessionFault> {
    json::object(plaintext).map_err(|fault| match fault {
        JsonFault::Syntax(_) | JsonFault::NotObject => SessionFault::Package(fault.to_string()),
        JsonFault::Shape(text) => SessionFault::Body(text),
    })
}

/// Reads the `request` of a handshake; whatever is wrong with it is 4018.
pub fn parse_handshake(request: &str) -> Result<SessionInitRequest, SessionFault> {
    json::object(request).map_err(|fault| SessionFault::Handshake(fault.to_string()))
}

/// A decrypted answer: what was asked for, or the validator's reason why not.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer<T> {
    Given(T),
    Refused(String),
}

impl<T: DeserializeOwned> Answer<T> {
    /// `{"error": text}` is a refusal; everything else must be a `T`.
    pub fn parse(plaintext: &str) -> Result<Answer<T>, JsonFault> {
        #[derive(Deserialize)]
        struct Refusal {
            #[serde(default)]
            error: Option<String>,
        }
        match json::object::<Refusal>(plaintext)?.error {
            Some(error) => Ok(Answer::Refused(error)),
            None => json::object(plaintext).map(Answer::Given),
        }
    }
}

/// The encrypted answer when processing failed (unknown challenge, wrong state …).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Failure {
    pub error: String,
}

/// A worker id of at most [`limits::WORKER_ID_BYTES`].
fn worker_id<'de, D: Deserializer<'de>>(from: D) -> Result<WorkerId, D::Error> {
    let id = WorkerId::deserialize(from)?;
    match id.as_str().len() <= limits::WORKER_ID_BYTES {
        true => Ok(id),
        false => Err(D::Error::custom(format!("worker_id of more than {} bytes", limits::WORKER_ID_BYTES))),
    }
}

/// Numbers that some writers send as `2.0`: whole, not negative.
pub(in crate::wire) mod whole {
    use serde::{Deserialize, Deserializer, de::Error};

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
        let number = f64::deserialize(from)?;
        match number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number) {
            true => Ok(number as u32),
            false => Err(D::Error::custom(format!("{number} is no whole number of 32 bits"))),
        }
    }
}
