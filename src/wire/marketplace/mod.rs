//! Validator (client) ↔ compute marketplace (hub): JSON text frames over one WebSocket, plain until the handshake is
//! done and encrypted from then on, except for the hub's errors. Both sides' frames are written and read here.
//!
//! It decides nothing: when to dial, what an update may change, how old a lease may be are the machine's. The package
//! is [`crate::wire::session`]'s under other names, with a frame's type in the place of the synapse type. Two checks go
//! beyond the reference implementation's: the `type` outside must be the `messageType` that the tag binds, and a
//! number counts once and only upwards, for a WebSocket keeps order and a sealed frame that comes late was held back.
//! What no tag binds is the outer `timestamp`, `messageId`, and all of `MESH_ERROR_V1`: TLS is what protects those, and
//! the handshake, which neither side signs.

mod frame;
mod from_hub;
mod handshake;
mod leases;
mod resources;
mod scores;
mod session;
mod stamp;
mod to_hub;

#[cfg(test)]
mod vectors;

pub use self::{
    frame::{FrameFault, HubError, Reaction},
    from_hub::{ConfigUpdate, FromHub, TASK_TYPE_DEFAULT, TaskPublish},
    handshake::{HandshakeFault, Hello, HubOffer, Init, InitResponse, Reply},
    leases::{LeasePublish, Skip, Skipped, parse_worker_key},
    resources::{Hardware, MinerResources, Network, ReportMode, ResourceReport, Stats, Status, WorkerResources},
    scores::{Factors, GlobalStats, MinerScore, ScoreReport, ScoredMiners, ScoredWorkers, WorkerScore},
    session::{HubOpener, HubSession, Incoming, Opened},
    stamp::Stamp,
    to_hub::{Ack, AckStatus, Heartbeat, Statistics, ToHub},
};

/// The types of frames.
pub mod kind {
    pub const SESSION_INIT: &str = "MESH_SESSION_INIT_V1";
    pub const SESSION_INIT_RESPONSE: &str = "MESH_SESSION_INIT_RESPONSE_V1";
    pub const ERROR: &str = "MESH_ERROR_V1";
    pub const LEASE_PUBLISH: &str = "MESH_LEASE_PUBLISH_V1";
    pub const CONFIG_UPDATE: &str = "MESH_CONFIG_UPDATE_V1";
    pub const TASK_PUBLISH: &str = "MESH_TASK_PUBLISH_V1";
    pub const ACK: &str = "MESH_ACK_V1";
    pub const HEARTBEAT: &str = "MESH_HEARTBEAT_V1";
    pub const RESOURCE_REPORT: &str = "MESH_RESOURCE_REPORT_V1";
    pub const SCORE_REPORT: &str = "MESH_SCORE_REPORT_V1";
}

/// Why a frame whose tag was good says nothing to us.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// Not for this side, or of a later protocol.
    #[error("unknown type {0:?}")]
    UnknownType(String),
    /// Without its `taskKey` a task is nobody's: ignored, and not acknowledged.
    #[error("task without a taskKey")]
    NoTaskKey,
    #[error("{kind}: {why}")]
    Malformed { kind: &'static str, why: String },
}

impl BodyFault {
    /// Whether the frame, if it has a `messageId`, is to be acknowledged as failed.
    pub fn is_acknowledged(&self) -> bool {
        matches!(self, BodyFault::Malformed { .. })
    }

    /// For counters.
    pub fn label(&self) -> &'static str {
        match self {
            BodyFault::UnknownType(_) => "unknown_type",
            BodyFault::NoTaskKey => "no_task_key",
            BodyFault::Malformed { .. } => "malformed_body",
        }
    }
}

/// What one side says inside encrypted frames.
pub trait Body: Sized {
    fn kind(&self) -> &'static str;
    /// The plaintext.
    fn to_json(&self) -> String;
    /// Reads a plaintext of that type.
    fn read(kind: &str, plaintext: &str) -> Result<Self, BodyFault>;
}

/// A plaintext of a type that one struct describes.
fn body<T: serde::de::DeserializeOwned>(kind: &'static str, plaintext: &str) -> Result<T, BodyFault> {
    crate::wire::json::object(plaintext).map_err(|fault| malformed(kind, fault))
}

fn malformed(kind: &'static str, why: impl ToString) -> BodyFault {
    BodyFault::Malformed { kind, why: why.to_string() }
}
