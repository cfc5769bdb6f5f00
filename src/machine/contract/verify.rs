//! The verifiers, as the validator's machine sees them: one request is the proof of one challenge, of all its
//! devices. Which proof is next, and what a verdict means for anybody, is the machine's decision.

use crate::{
    compute::{
        cpu_matrix,
        gemm_i8::{self, GemmFault, Hash, KeyPrefix},
        gpu_matrix::{self, GpuFault, Rules},
        verify::{self, ProofFault},
    },
    units::ChallengeId,
    wire::messages::{
        DeviceProof,
        gemm_i8::{CHUNK_VALUES, GemmProof, GemmProofFault, Sample},
    },
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
        spec: cpu_matrix::Spec,
        /// The committed Merkle root, hex in lower case.
        root: String,
        /// Ascending, distinct, each below `spec.n`.
        rows: Vec<u32>,
        proof: DeviceProof,
    },
    /// The GPUs that committed, in the order of their commitments.
    GpuMatrix { rules: Rules, coordinates: Vec<(u32, u32)>, rows: Vec<u32>, gpus: Vec<GpuEvidence> },
    /// The devices that the challenge named, in its order.
    GemmI8 { spec: gemm_i8::Spec, devices: Vec<DeviceEvidence> },
}

/// One GPU's proof of `gpu_matrix`.
#[derive(Clone, Debug, PartialEq)]
pub struct GpuEvidence {
    pub gpu: gpu_matrix::Device,
    /// The committed Merkle root, hex in lower case.
    pub root: String,
    /// Those that are looked at in each row.
    pub columns: Vec<u32>,
    pub proof: DeviceProof,
}

/// One device's proof of `gemm_i8`.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceEvidence {
    /// Names the device.
    pub prefix: KeyPrefix,
    pub root: Hash,
    pub samples: Vec<Sample>,
    /// What could not be read fails, and keeps no other device from its verdict.
    pub proof: Result<GemmProof, GemmProofFault>,
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
    #[error(transparent)]
    GpuMatrix(#[from] GpuFault),
    #[error(transparent)]
    GemmI8(#[from] GemmFault),
    #[error(transparent)]
    Unreadable(#[from] GemmProofFault),
}

impl Evidence {
    /// The work of a verifier: one verdict for each device.
    pub fn verdicts(&self) -> Vec<DeviceVerdict> {
        match self {
            Evidence::CpuMatrix { spec, root, rows, proof } => {
                let verdict = verify::cpu(spec, root, rows, std::slice::from_ref(proof));
                vec![DeviceVerdict { uuid: proof.uuid.clone(), verdict: verdict.map_err(Into::into) }]
            }
            Evidence::GpuMatrix { rules, coordinates, rows, gpus } => {
                gpus.iter().map(|gpu| gpu.verdict(*rules, coordinates, rows)).collect()
            }
            Evidence::GemmI8 { spec, devices } => devices.iter().map(|device| device.verdict(spec)).collect(),
        }
    }

    /// About the memory that it holds while it waits.
    pub fn bytes(&self) -> usize {
        match self {
            Evidence::CpuMatrix { proof, .. } => bytes_of(proof),
            Evidence::GpuMatrix { gpus, .. } => gpus.iter().map(|gpu| bytes_of(&gpu.proof)).sum(),
            Evidence::GemmI8 { devices, .. } => devices.iter().map(DeviceEvidence::bytes).sum(),
        }
    }
}

fn bytes_of(proof: &DeviceProof) -> usize {
    let paths = proof.merkle_proofs.iter().flat_map(|path| &path.proof_hashes);
    let hashes = proof.row_hashes.iter().chain(paths).map(|hash| size_of::<String>() + hash.len());
    hashes.sum::<usize>() + proof.coordinate_values.len() * size_of::<f64>()
}

impl GpuEvidence {
    fn verdict(&self, rules: Rules, coordinates: &[(u32, u32)], rows: &[u32]) -> DeviceVerdict {
        let asked = gpu_matrix::Asked { coordinates, rows, rules, columns: &self.columns };
        let verdict = gpu_matrix::verify(&self.gpu, &self.root, &asked, &self.proof).map_err(Into::into);
        DeviceVerdict { uuid: self.proof.uuid.clone(), verdict }
    }
}

impl DeviceEvidence {
    fn verdict(&self, spec: &gemm_i8::Spec) -> DeviceVerdict {
        let verdict = match &self.proof {
            Ok(proof) => gemm_i8::verify(spec, &self.prefix, &self.root, &self.samples, proof).map_err(Into::into),
            Err(fault) => Err(fault.clone().into()),
        };
        DeviceVerdict { uuid: self.prefix.device().to_owned(), verdict }
    }

    fn bytes(&self) -> usize {
        const OPENING: usize = 128 + CHUNK_VALUES * size_of::<i32>();
        let openings = self.proof.as_ref().map_or(&[][..], |proof| &proof.openings);
        let opening = |hashes: usize| OPENING + hashes * size_of::<Hash>();
        let openings = openings.iter().map(|one| opening(one.chunk_path.len() + one.row_path.len())).sum::<usize>();
        let tops = self.proof.as_ref().map_or(0, |proof| proof.tops.len());
        openings + tops * size_of::<Hash>() + self.samples.len() * size_of::<Sample>()
    }
}
