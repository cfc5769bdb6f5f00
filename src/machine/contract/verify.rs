//! The verifiers, as the validator's machine sees them: one request is one proof of one challenge. Which proof
//! is next, and what a verdict means for anybody, is the machine's decision.

use crate::{
    compute::{cpu_matrix::Spec, verify::ProofFault},
    units::ChallengeId,
    wire::messages::DeviceProof,
};

/// A proof beside what it must show. The rows are those that the validator drew, kept since the commitment.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifyRequest {
    pub id: ChallengeId,
    pub spec: Spec,
    /// The committed Merkle root, hex in lower case.
    pub root: String,
    /// Ascending, distinct, each below `spec.n`.
    pub rows: Vec<u32>,
    pub proof: DeviceProof,
}

#[derive(Clone, Debug, PartialEq)]
pub struct VerifyReply {
    pub id: ChallengeId,
    pub verdict: Result<(), ProofFault>,
    /// How long the verifier worked, in milliseconds.
    pub verify_ms: f64,
}
