//! What the validator says inside encrypted frames: acknowledgements, heartbeats, resources, scores.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Body, BodyFault, body, kind, resources::ResourceReport, scores::ScoreReport};
use crate::wire::json;

#[derive(Clone, Debug, PartialEq)]
pub enum ToHub {
    Ack(Ack),
    Heartbeat(Heartbeat),
    Resources(ResourceReport),
    Scores(ScoreReport),
}

/// `MESH_ACK_V1`: what became of a frame that had a `messageId`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ack {
    pub message_id: String,
    pub message_type: String,
    pub status: AckStatus,
    /// Of a failed one: `error`, and what belongs to it.
    #[serde(default)]
    pub metadata: Map<String, Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AckStatus {
    Accepted,
    Failed,
}

impl Ack {
    pub fn accepted(message_id: &str, message_type: &str) -> Ack {
        let (message_id, message_type) = (message_id.into(), message_type.into());
        Ack { message_id, message_type, status: AckStatus::Accepted, metadata: Map::new() }
    }

    /// `error` names what was wrong.
    pub fn failed(message_id: &str, message_type: &str, error: &str) -> Ack {
        let (message_id, message_type) = (message_id.into(), message_type.into());
        let metadata = Map::from_iter([("error".to_owned(), Value::from(error))]);
        Ack { message_id, message_type, status: AckStatus::Failed, metadata }
    }
}

/// `MESH_HEARTBEAT_V1`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Heartbeat {
    pub version: String,
    pub statistics: Statistics,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statistics {
    /// Milliseconds.
    pub uptime: u64,
    pub active_workers: u64,
    pub active_miners: u64,
    pub total_tasks: u64,
    /// 1.0 where there were no tasks.
    pub success_rate: f64,
    pub pending_verifications: u64,
}

impl Body for ToHub {
    fn kind(&self) -> &'static str {
        match self {
            ToHub::Ack(_) => kind::ACK,
            ToHub::Heartbeat(_) => kind::HEARTBEAT,
            ToHub::Resources(_) => kind::RESOURCE_REPORT,
            ToHub::Scores(_) => kind::SCORE_REPORT,
        }
    }

    fn to_json(&self) -> String {
        match self {
            ToHub::Ack(ack) => json::text(ack),
            ToHub::Heartbeat(heartbeat) => json::text(heartbeat),
            ToHub::Resources(report) => json::text(report),
            ToHub::Scores(report) => json::text(report),
        }
    }

    fn read(kind: &str, plaintext: &str) -> Result<ToHub, BodyFault> {
        match kind {
            kind::ACK => body(kind::ACK, plaintext).map(ToHub::Ack),
            kind::HEARTBEAT => body(kind::HEARTBEAT, plaintext).map(ToHub::Heartbeat),
            kind::RESOURCE_REPORT => body(kind::RESOURCE_REPORT, plaintext).map(ToHub::Resources),
            kind::SCORE_REPORT => ScoreReport::read(plaintext).map(ToHub::Scores),
            other => Err(BodyFault::UnknownType(other.chars().take(100).collect())),
        }
    }
}
