//! What a miner said, out of its decrypted request: typed, and refused where a field breaks a rule of the wire.
//!
//! Pure functions, called on the loop for small bodies and in the bulk spoke for big ones. They judge form
//! alone; whether a challenge exists or a hotkey may speak is decided elsewhere.

use crate::{
    units::WorkerId,
    wire::{
        limits,
        messages::{self, CommitmentData, HeartbeatData, ProofData, REQUEST_CHALLENGE, TaskRequest},
        session::SessionFault,
        synapse::SynapseKind,
    },
};

/// A request of an encrypted synapse.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming {
    Heartbeat(Box<HeartbeatData>),
    Task(TaskRequest),
    Commitment(CommitmentData),
    Proof(Box<ProofData>),
}

/// Reads the plaintext of a synapse of this kind.
pub fn read(kind: SynapseKind, plaintext: &str) -> Result<Incoming, SessionFault> {
    match kind {
        SynapseKind::Heartbeat => heartbeat(messages::parse_request(plaintext)?),
        SynapseKind::Task => task(messages::parse_request(plaintext)?),
        SynapseKind::Challenge => messages::parse_request(plaintext).map(Incoming::Commitment),
        SynapseKind::ChallengeProof => messages::parse_request(plaintext).map(|proof| Incoming::Proof(Box::new(proof))),
        SynapseKind::SessionInit => Err(SessionFault::Body("a handshake is not encrypted".into())),
    }
}

fn heartbeat(data: HeartbeatData) -> Result<Incoming, SessionFault> {
    if data.workers.len() > limits::HEARTBEAT_WORKERS {
        let text = format!("{} workers, at most {}", data.workers.len(), limits::HEARTBEAT_WORKERS);
        return Err(SessionFault::Body(text));
    }
    match data.workers.iter().find(|worker| !is_usable(&worker.worker_id)) {
        Some(_) => Err(SessionFault::Body("worker_id is empty, too long or holds control characters".into())),
        None => Ok(Incoming::Heartbeat(Box::new(data))),
    }
}

fn task(request: TaskRequest) -> Result<Incoming, SessionFault> {
    match request.request_type == REQUEST_CHALLENGE {
        true => Ok(Incoming::Task(request)),
        false => Err(SessionFault::Body(format!("request_type must be {REQUEST_CHALLENGE:?}"))),
    }
}

fn is_usable(id: &WorkerId) -> bool {
    let text = id.as_str();
    !text.is_empty() && text.len() <= limits::WORKER_ID_BYTES && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(kind: SynapseKind, plaintext: &str) -> u16 {
        read(kind, plaintext).unwrap_err().code()
    }

    #[test]
    fn a_body_that_does_not_fit_its_model_is_4015_and_no_object_4011() {
        assert_eq!(refused(SynapseKind::Task, r#"{"hotkey":"x"}"#), 4015);
        assert_eq!(refused(SynapseKind::Task, r#"{"hotkey":"x","request_type":"lunch","timestamp":1}"#), 4015);
        assert_eq!(refused(SynapseKind::Task, "[]"), 4011);
        assert_eq!(refused(SynapseKind::Heartbeat, "no"), 4011);
    }

    #[test]
    fn one_bad_worker_refuses_the_whole_heartbeat() {
        let with = |worker: &str| {
            let good = r#"{"worker_id":"w1","status":"online"}"#;
            read(SynapseKind::Heartbeat, &format!(r#"{{"hotkey":"x","timestamp":1,"workers":[{good},{worker}]}}"#))
        };
        assert!(with(r#"{"worker_id":"w2","status":"busy"}"#).is_ok());
        for bad in [r#"{"worker_id":"w2","status":"sleeping"}"#, r#"{"worker_id":"","status":"online"}"#] {
            assert_eq!(with(bad).unwrap_err().code(), 4015);
        }
        assert_eq!(with(r#"{"worker_id":"a\nb","status":"online"}"#).unwrap_err().code(), 4015);
    }
}
