//! What a miner says.

use serde::{Deserialize, Serialize};

use super::{Flat, FrameFault, WithData, body, data, shortened, type_of};
use crate::{
    units::{ChallengeId, Hotkey},
    wire::json::{self, Raw},
};

/// A frame of a miner.
#[derive(Clone, Debug, PartialEq)]
pub enum ToWorker {
    RegistrationAck,
    HeartbeatAck,
    TaskAssignment(TaskAssignment),
    ProofRequest(ProofRequest),
    /// Asks for a sign of life under that message id.
    HeartbeatRequest(String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskAssignment {
    /// The challenge's id.
    pub task_id: String,
    /// `cpu_matrix`, `gpu_matrix`, `gemm_i8`, or what a later version brings.
    pub task_type: String,
    pub challenge_id: ChallengeId,
    /// A [`crate::wire::messages::ChallengeData`], or another type's.
    pub data: Raw,
    /// Seconds, 1 … 300.
    #[serde(deserialize_with = "crate::wire::messages::whole::deserialize")]
    pub timeout: u32,
    pub validator_hotkey: Hotkey,
}

/// Phase 2: what the validator wants to see of a challenge that this worker computed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProofRequest {
    /// Comes back in the answer.
    pub message_id: String,
    pub data: ProofDemand,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProofDemand {
    pub validator_hotkey: Hotkey,
    pub challenge_id: ChallengeId,
    /// An array of [`crate::wire::messages::DeviceRequest`]s, passed on as the validator sent it.
    pub requests: Raw,
}

impl ToWorker {
    pub fn parse(text: &str) -> Result<ToWorker, FrameFault> {
        match type_of(text)?.as_str() {
            "registration_ack" => Ok(ToWorker::RegistrationAck),
            "heartbeat_ack" => Ok(ToWorker::HeartbeatAck),
            "task_assignment" => data("task_assignment", text).map(ToWorker::TaskAssignment),
            "proof_request" => body("proof_request", text).map(ToWorker::ProofRequest),
            "heartbeat_request" => {
                let asked: MessageId = body("heartbeat_request", text)?;
                Ok(ToWorker::HeartbeatRequest(asked.message_id))
            }
            other => Err(FrameFault::UnknownType(shortened(other))),
        }
    }

    pub fn to_text(&self) -> String {
        match self {
            ToWorker::RegistrationAck => r#"{"type":"registration_ack","data":{"status":"registered"}}"#.into(),
            ToWorker::HeartbeatAck => r#"{"type":"heartbeat_ack"}"#.into(),
            ToWorker::TaskAssignment(data) => json::text(&WithData { kind: "task_assignment", data }),
            ToWorker::ProofRequest(fields) => json::text(&Flat { kind: "proof_request", fields }),
            ToWorker::HeartbeatRequest(id) => {
                json::text(&Flat { kind: "heartbeat_request", fields: &MessageId { message_id: id.clone() } })
            }
        }
    }
}

#[derive(Serialize, Deserialize)]
struct MessageId {
    message_id: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acknowledgement_needs_no_data() {
        assert_eq!(ToWorker::parse(r#"{"type":"heartbeat_ack"}"#).unwrap(), ToWorker::HeartbeatAck);
        assert_eq!(ToWorker::parse(&ToWorker::RegistrationAck.to_text()).unwrap(), ToWorker::RegistrationAck);
    }

    #[test]
    fn what_a_worker_cannot_use_is_named() {
        let fault = |text: &str| ToWorker::parse(text).unwrap_err().to_string();
        assert_eq!(fault(r#"{"type":"what"}"#), r#"unknown frame "what""#);
        assert!(fault("{{{").starts_with("frame: "));
        assert!(fault("[1]").starts_with("frame is no object with a type"));
        assert!(fault(r#"{"type":"proof_request","message_id":"m"}"#).starts_with("proof_request: "));
    }
}
