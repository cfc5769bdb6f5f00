//! The GPU executor of a worker, as its machine sees it: a program of its own behind a socket, which may be away at any
//! moment. One spoke looks after the program, another gives it jobs, so that neither waits for the other.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Map, Value};

use super::{cpu::Split, inventory::PciAddress};
use crate::{
    compute::{
        gemm_i8::{self, KeyPrefix},
        merkle::Tree,
    },
    wire::messages::Commitment,
};

/// A job on all GPUs that it names, by a number that the machine never uses again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GpuJob(pub u64);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuRequest {
    pub job: GpuJob,
    pub task: GpuTask,
}

/// What is to be computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GpuTask {
    /// On each device that a prefix names.
    GemmI8 { spec: gemm_i8::Spec, prefixes: Vec<KeyPrefix> },
    /// On all GPUs that the executor has.
    GpuMatrix {
        /// Hex, as the challenge writes it.
        seed: String,
        n: u32,
        iterations: u32,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub struct GpuReply {
    pub job: GpuJob,
    pub outcome: GpuOutcome,
}

#[derive(Clone, Debug, PartialEq)]
pub enum GpuOutcome {
    Computed {
        answer: GpuAnswer,
        took: Duration,
        /// Of the slowest device.
        split: Split,
    },
    CalledOff,
    /// The executor says so, or is gone.
    Failed(String),
}

/// What the GPUs commit to. The products stay with the executor until its next job.
#[derive(Clone, Debug, PartialEq)]
pub struct GpuAnswer {
    pub commitments: Vec<Commitment>,
    pub kept: GpuKept,
}

/// What openings need beside the executor.
#[derive(Clone, Debug, PartialEq)]
pub enum GpuKept {
    GemmI8(gemm_i8::Spec),
    /// The trees over the row hashes, by device.
    GpuMatrix {
        n: u32,
        trees: BTreeMap<String, Tree>,
    },
}

impl GpuAnswer {
    pub fn bytes(&self) -> usize {
        match &self.kept {
            GpuKept::GemmI8(_) => 0,
            GpuKept::GpuMatrix { trees, .. } => trees.values().map(Tree::bytes).sum(),
        }
    }

    pub fn has(&self, uuid: &str) -> bool {
        self.commitments.iter().any(|one| one.uuid == uuid)
    }
}

/// Looks after the executor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecutorRequest {
    /// Start it, or find it where somebody else starts it, and wait until it answers.
    Start,
    /// Wait a little, and ask it again; answered at once when it ends.
    Watch,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ExecutorReply {
    Up(ExecutorInfo),
    /// It is not there, and why. What was started is gone.
    Down(String),
}

/// What the executor says of itself and its GPUs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExecutorInfo {
    /// It computes `gemm_i8`. One that does not is the vendor's, and signs `gpu_matrix`.
    pub gemm_i8: bool,
    pub gpus: Vec<ExecutorGpu>,
    /// Why there is no GPU, in its words.
    pub note: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ExecutorGpu {
    pub uuid: String,
    pub name: String,
    /// All of its word, as heartbeats pass it on.
    pub told: Map<String, Value>,
}

impl ExecutorGpu {
    /// Where it is plugged in, if the executor says so.
    pub fn pci(&self) -> Option<PciAddress> {
        self.told.get("pci_bus_id")?.as_str()?.parse().ok()
    }
}
