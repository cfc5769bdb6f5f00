//! What is wrong with a commitment or a proof: the text that the miner gets back, and the word of the metric.
//!
//! Values only. Whether a fault ends the challenge is decided where it is found.

use crate::{
    units::{ChallengeId, WorkerId},
    wire::messages::CPU_UUID,
};

/// Why a request about a challenge changed nothing, or ended it. The texts are those that miners know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("Missing challenge_id, worker_id, or commitments")]
    CommitmentIncomplete,
    #[error("Challenge {0} not found or not accessible")]
    Inaccessible(String),
    #[error("Worker ID mismatch: expected {expected}, got {got}")]
    OtherWorker { expected: WorkerId, got: WorkerId },
    #[error("Challenge {0} already processed")]
    Processed(ChallengeId),
    #[error("Challenge {0} was not handed out")]
    NotSent(ChallengeId),
    #[error("Challenge {id} expired: its commitment came {late_ms} ms late")]
    Late { id: ChallengeId, late_ms: u64 },
    #[error("Challenge {id} failed: {reason}")]
    BadCommitment { id: ChallengeId, reason: String },
    #[error("Missing challenge_id or proofs")]
    ProofIncomplete,
    #[error("Challenge {0} not found")]
    Unknown(String),
    #[error("Challenge {0} not in committed state")]
    NotCommitted(ChallengeId),
    #[error("Missing proofs for verified commitments: {{'{CPU_UUID}'}}")]
    OtherDevices,
    #[error("CPU proof missing row_hashes")]
    NoRowHashes,
    #[error("Challenge {id} asks for a proof of {asked}, got one of {got}")]
    OtherKind { id: ChallengeId, asked: &'static str, got: &'static str },
    #[error("Challenge {id} failed: {reason}")]
    BadProof { id: ChallengeId, reason: String },
    #[error("Challenge {0} is void: too many proofs wait for verification")]
    QueueFull(ChallengeId),
    #[error("Receipts are being signed already; ask again in a few seconds")]
    ReceiptsBusy,
    #[error("Receipts were asked for too often since the last calculation; they do not change before the next")]
    ReceiptsAskedOften,
}

impl Fault {
    /// As a label of a counter.
    pub fn label(&self) -> &'static str {
        match self {
            Fault::CommitmentIncomplete => "commitment_incomplete",
            Fault::Inaccessible(_) => "inaccessible",
            Fault::OtherWorker { .. } => "other_worker",
            Fault::Processed(_) => "already_processed",
            Fault::NotSent(_) => "not_sent",
            Fault::Late { .. } => "late",
            Fault::BadCommitment { .. } => "bad_commitment",
            Fault::ProofIncomplete => "proof_incomplete",
            Fault::Unknown(_) => "unknown_challenge",
            Fault::NotCommitted(_) => "not_committed",
            Fault::OtherDevices => "other_devices",
            Fault::NoRowHashes => "no_row_hashes",
            Fault::OtherKind { .. } => "other_kind",
            Fault::BadProof { .. } => "bad_proof",
            Fault::QueueFull(_) => "queue_full",
            Fault::ReceiptsBusy => "receipts_busy",
            Fault::ReceiptsAskedOften => "receipts_asked_often",
        }
    }
}
