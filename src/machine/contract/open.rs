//! The openings of a worker's answers: the rows asked for are computed again, beside whatever product the executor has
//! at hand, or asked of the GPU executor.
//!
//! An opening may be called off, like a product: by a flag that is looked at between two pieces of it.

use std::{sync::Arc, time::Duration};

use super::gpu::GpuAnswer;
use crate::{
    compute::gemm_i8,
    wire::messages::{DeviceRequest, Raw, gemm_i8::Sample},
};

/// An opening, by a number that the machine never uses again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OpenId(pub u64);

#[derive(Clone, Debug, PartialEq)]
pub struct OpenRequest {
    pub id: OpenId,
    pub wanted: ToOpen,
}

/// What is to be opened.
#[derive(Clone, Debug, PartialEq)]
pub enum ToOpen {
    /// At least one sample, each within the answer.
    Cpu { answer: Arc<gemm_i8::Answer>, samples: Vec<Sample> },
    /// At least one request, each to another device of the answer and within it.
    Gpu { answer: Arc<GpuAnswer>, requests: Vec<DeviceRequest> },
}

#[derive(Clone, Debug, PartialEq)]
pub struct OpenReply {
    pub id: OpenId,
    pub outcome: OpenOutcome,
}

#[derive(Clone, Debug, PartialEq)]
pub enum OpenOutcome {
    /// The proofs of the devices, a list as JSON: megabytes that the loop has not to write itself.
    Opened {
        proofs: Raw,
        took: Duration,
    },
    CalledOff,
    /// The answer cannot be opened so, and why.
    Refused(String),
}
