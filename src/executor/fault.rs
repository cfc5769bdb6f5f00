//! Why a request is not done, in the words that go to its sender and into the log.

use crate::{
    compute::gemm_i8::{OpenFault, SpecFault},
    cuda::{Fault, FaultKind},
    wire::{gpu_socket::RequestFault, messages::gemm_i8::Sample},
};

#[derive(Debug, thiserror::Error)]
pub enum JobFault {
    #[error(transparent)]
    Request(#[from] RequestFault),
    #[error(transparent)]
    Spec(#[from] SpecFault),
    #[error("no GPU {uuid:?} here; there are: {known}")]
    Unknown { uuid: String, known: String },
    #[error("the GPUs are still being opened after {waited_s} s; ask again, or see in the log what it waits for")]
    Opening { waited_s: u64 },
    #[error("{uuid} is busy: one job runs and another waits; ask again when one is done")]
    Busy { uuid: String },
    #[error(
        "{uuid}: n = {n} needs {needed_mib} MiB of GPU memory, {free_mib} MiB are free; take a smaller matrix_size"
    )]
    TooLarge { uuid: String, n: u32, needed_mib: u64, free_mib: u64 },
    #[error("{rounds} rounds of n = {n} keep {needed_mib} MiB of row hashes, the limit is {limit_mib} MiB")]
    TooMuchKept { n: u32, rounds: u32, needed_mib: u64, limit_mib: u64 },
    #[error("{uuid}: {fault}{}", remedy(.fault))]
    Cuda { uuid: String, fault: Fault },
    #[error("{uuid}: nothing to open; a result is kept until the next job, clear_result_cache, or 10 minutes")]
    NothingKept { uuid: String },
    #[error("{uuid}: {fault}")]
    Open { uuid: String, fault: OpenFault },
    #[error(
        "{uuid}: {sample} computed again is not what was committed to: the GPU is not reliable; check its ECC and XID state"
    )]
    Unreliable { uuid: String, sample: Sample },
    #[error("called off: whoever asked has gone")]
    CalledOff,
    #[error(
        "this executor computes gemm_i8 and signs nothing: gpu_matrix needs the vendor's executor as gpu.binary_path"
    )]
    Unsigned,
    #[error("the answer would have {got} bytes, a frame has at most {limit}: ask for fewer samples at a time")]
    AnswerTooLong { got: usize, limit: usize },
    #[error("{uuid}: its thread has ended")]
    Ended { uuid: String },
}

fn remedy(fault: &Fault) -> &'static str {
    match fault.kind() {
        FaultKind::Sticky => "; the context is lost, and this process ends: start it again",
        FaultKind::Absent => "; the device has gone",
        FaultKind::Memory | FaultKind::Other => "",
    }
}

impl JobFault {
    /// Whether nothing but a new process helps.
    pub fn is_sticky(&self) -> bool {
        matches!(self, JobFault::Cuda { fault, .. } if [FaultKind::Sticky, FaultKind::Absent].contains(&fault.kind()))
    }
}
