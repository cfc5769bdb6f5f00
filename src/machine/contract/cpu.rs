//! The CPU executor of a worker: one product at a time, on as many threads as it was given.
//!
//! A product may be called off; it is then answered like any other, with [`CpuOutcome::CalledOff`]. The
//! calling-off itself is a flag that the executor looks at between two blocks, not a request in its queue.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use super::gpu::GpuAnswer;
use crate::compute::{
    cpu_matrix,
    gemm_i8::{self, KeyPrefix},
    merkle::Tree,
};

/// A product, by a number that the machine never uses again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CpuJob(pub u64);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuRequest {
    pub job: CpuJob,
    pub task: CpuTask,
}

/// What is to be computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CpuTask {
    CpuMatrix(cpu_matrix::Spec),
    GemmI8 { spec: gemm_i8::Spec, prefix: KeyPrefix },
}

#[derive(Clone, Debug, PartialEq)]
pub struct CpuReply {
    pub job: CpuJob,
    pub outcome: CpuOutcome,
}

#[derive(Clone, Debug, PartialEq)]
pub enum CpuOutcome {
    /// What it cost is from the drawing of the matrices to the root.
    Computed {
        answer: Answer,
        took: Duration,
        split: Split,
        threads: NonZeroUsize,
    },
    CalledOff,
    /// Found before anything was computed.
    TooLarge {
        needed_bytes: u64,
        /// What the host can spare now.
        available_bytes: u64,
    },
}

/// What a commitment is made from, and what its proofs need.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    CpuMatrix(Tree),
    /// Openings are computed from it elsewhere while the machine keeps it.
    GemmI8(Arc<gemm_i8::Answer>),
    /// Openings are asked of the executor that has it.
    Gpu(Arc<GpuAnswer>),
}

impl Answer {
    pub fn bytes(&self) -> usize {
        match self {
            Answer::CpuMatrix(tree) => tree.bytes(),
            Answer::GemmI8(answer) => answer.bytes(),
            Answer::Gpu(answer) => answer.bytes(),
        }
    }
}

/// What the time went into, as far as the executor can tell its parts apart: for people, nothing is decided by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Split {
    pub generate: Duration,
    pub multiply: Duration,
    pub hash: Duration,
}
