//! The verifiers, as the validator's machine sees them: one request is the proof of one challenge, of all its
//! devices. Which proof is next, and what a verdict means for anybody, is the machine's decision.

use crate::{
    compute::{self, cpu_matrix::Spec, verify::ProofFault},
    units::ChallengeId,
    wire::messages::DeviceProof,
};

/// A proof beside what it must show.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifyRequest {
    pub id: ChallengeId,
    pub evidence: Evidence,
}

/// What was asked is what the validator drew, kept since the commitment.
#[derive(Clone, Debug, PartialEq)]
pub enum Evidence {
    CpuMatrix {
        spec: Spec,
        /// The committed Merkle root, hex in lower case.
        root: String,
        /// Ascending, distinct, each below `spec.n`.
        rows: Vec<u32>,
        proof: DeviceProof,
    },
}

impl Evidence {
    /// The work of a verifier: one verdict for each device.
    pub fn verdicts(&self) -> Vec<DeviceVerdict> {
        match self {
            Evidence::CpuMatrix { spec, root, rows, proof } => {
                let verdict = compute::verify::cpu(spec, root, rows, std::slice::from_ref(proof));
                vec![DeviceVerdict { uuid: proof.uuid.clone(), verdict: verdict.map_err(Into::into) }]
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct VerifyReply {
    pub id: ChallengeId,
    /// One for each device, in the order of the request; never empty.
    pub verdicts: Vec<DeviceVerdict>,
    /// How long the verifier worked, in milliseconds.
    pub verify_ms: f64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct DeviceVerdict {
    pub uuid: String,
    pub verdict: Result<(), VerifyFault>,
}

/// Why a device did not show what it committed to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyFault {
    #[error(transparent)]
    CpuMatrix(#[from] ProofFault),
}
