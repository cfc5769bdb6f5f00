//! Why an assignment is not computed: the words for the miner, their code, and the label of the metric.

use std::time::Duration;

use crate::{
    compute::{cpu_matrix, gemm_i8},
    units::{ChallengeId, WorkerId},
    wire::{
        code::{self, Code},
        messages::gemm_i8::GemmTaskFault,
    },
};

const MIB: u64 = 1 << 20;

/// Why an assignment is not computed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("this worker computes {offered}, not {asked}")]
    NotOffered { asked: String, offered: String },
    #[error("the challenge in the task is {0}")]
    OtherType(String),
    #[error("the task's data: {0}")]
    Data(String),
    #[error("the task's data: {0}")]
    CpuSpec(#[from] cpu_matrix::SpecFault),
    #[error("the task's data: {0}")]
    Gemm(#[from] GemmTaskFault),
    #[error("the task's data: {0}")]
    GemmSpec(#[from] gemm_i8::SpecFault),
    #[error("the task's data are of challenge {0}")]
    OtherChallenge(ChallengeId),
    #[error("the task's data are for worker {0}")]
    OtherWorker(WorkerId),
    #[error("devices {asked} are asked; this worker has {}", listed(.has))]
    Devices { asked: String, has: Vec<String> },
    #[error("the GPUs: {0}")]
    Gpu(String),
    #[error("it needs {} MiB of memory, and this host can spare {} MiB", needed_bytes.div_ceil(MIB), available_bytes / MIB)]
    TooLarge { needed_bytes: u64, available_bytes: u64 },
    #[error("busy with task {0}")]
    Busy(String),
    #[error("the worker is stopping")]
    Stopping,
    #[error("not finished within the task's {} s", .0.as_secs())]
    TimedOut(Duration),
    #[error("the computation was called off")]
    CalledOff,
}

impl Refusal {
    pub fn code(&self) -> Code {
        match self {
            Refusal::TooLarge { .. } | Refusal::Busy(_) | Refusal::Stopping => code::TASK_FAILED,
            Refusal::TimedOut(_) => code::TIMEOUT,
            Refusal::CalledOff | Refusal::Gpu(_) => code::CHALLENGE_FAILED,
            _ => code::INVALID_REQUEST,
        }
    }

    /// For the counter of tasks.
    pub fn label(&self) -> &'static str {
        match self {
            Refusal::TooLarge { .. } => "too_large",
            Refusal::Busy(_) => "busy",
            Refusal::Stopping => "stopping",
            Refusal::TimedOut(_) => "timeout",
            Refusal::CalledOff => "called_off",
            Refusal::Gpu(_) => "gpu",
            _ => "invalid",
        }
    }
}

fn listed(has: &[String]) -> String {
    match has {
        [] => "no GPU now, only its CPU, \"cpu\"".into(),
        _ => format!("{} or its CPU, \"cpu\"", has.join(", ")),
    }
}
