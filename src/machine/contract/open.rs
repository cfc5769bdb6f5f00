//! The openings of a worker's `gemm_i8` answers: the rows asked for are computed again, beside whatever product the
//! executor has at hand.
//!
//! An opening may be called off, like a product: by a flag that is looked at between two pieces of it.

use std::{sync::Arc, time::Duration};

use crate::{
    compute::gemm_i8,
    wire::messages::{Raw, gemm_i8::Sample},
};

/// An opening, by a number that the machine never uses again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OpenId(pub u64);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenRequest {
    pub id: OpenId,
    pub answer: Arc<gemm_i8::Answer>,
    /// At least one, each within the answer.
    pub samples: Vec<Sample>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct OpenReply {
    pub id: OpenId,
    pub outcome: OpenOutcome,
}

#[derive(Clone, Debug, PartialEq)]
pub enum OpenOutcome {
    /// The proof of the device as JSON: megabytes that the loop has not to write itself.
    Opened {
        proof: Raw,
        took: Duration,
    },
    CalledOff,
    /// The answer cannot be opened so, and why.
    Refused(String),
}
