//! The CPU executor of a worker: one product at a time, on as many threads as it was given.
//!
//! A product may be called off; it is then answered like any other, with [`CpuOutcome::CalledOff`]. The
//! calling-off itself is a flag that the executor looks at between two blocks, not a request in its queue.

use std::{num::NonZeroUsize, time::Duration};

use crate::compute::{cpu_matrix::Spec, merkle::Tree};

/// A product, by a number that the machine never uses again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CpuJob(pub u64);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuRequest {
    pub job: CpuJob,
    pub spec: Spec,
}

#[derive(Clone, Debug, PartialEq)]
pub struct CpuReply {
    pub job: CpuJob,
    pub outcome: CpuOutcome,
}

#[derive(Clone, Debug, PartialEq)]
pub enum CpuOutcome {
    /// The tree over the row hashes, and what it cost: from the drawing of the matrices to the root.
    Computed {
        tree: Tree,
        took: Duration,
        threads: NonZeroUsize,
    },
    CalledOff,
}
