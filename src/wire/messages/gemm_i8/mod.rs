//! The sound challenge `gemm_i8`: its task, what a validator asks of a device, and the device's proof.
//!
//! Types and their exact JSON, read strictly: both ends are of this make, so a missing or further field, another
//! length or another spelling is a fault with a name. Whether a task fits a host and whether a proof is right is
//! `compute::gemm_i8`'s to say.

mod proof;
mod task;

use serde::{Deserialize, Serialize};

pub use self::{
    proof::{GemmProof, GemmProofFault, Opening, OpeningFault},
    task::{GemmI8Data, GemmTaskFault},
};

/// The challenge's type, and the capability that offers it.
pub const GEMM_I8: &str = "gemm_i8";
/// The device that stands for all cores of a worker without GPUs.
pub const CPU_DEVICE: &str = "cpu";
/// The only version of the task there is.
pub const VERSION: u32 = 2;
/// `sig_ver` of a commitment: nothing is signed, the root binds.
pub const COMMITMENT_SIG_VER: u8 = 2;
/// int32 values of one chunk: what BLAKE3 hashes as one, and what one sample opens.
pub const CHUNK_VALUES: usize = 256;

/// One chunk of one row of one round that a device is to open. Travels as `[round, row, chunk]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "(u32, u32, u32)", into = "(u32, u32, u32)")]
pub struct Sample {
    pub round: u32,
    pub row: u32,
    pub chunk: u32,
}

impl From<(u32, u32, u32)> for Sample {
    fn from((round, row, chunk): (u32, u32, u32)) -> Sample {
        Sample { round, row, chunk }
    }
}

impl From<Sample> for (u32, u32, u32) {
    fn from(sample: Sample) -> (u32, u32, u32) {
        (sample.round, sample.row, sample.chunk)
    }
}

impl std::fmt::Display for Sample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "round {} row {} chunk {}", self.round, self.row, self.chunk)
    }
}

/// What serde says of a wrong shape quotes the sender's words: so much of it, and no control characters.
fn shortened(why: &impl std::fmt::Display) -> String {
    let text = why.to_string();
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json;

    #[test]
    fn a_sample_is_three_whole_numbers() {
        let sample = Sample { round: 1, row: 2, chunk: 3 };
        assert_eq!(json::text(&sample), "[1,2,3]");
        assert_eq!(json::parse::<Sample>("[1,2,3]").unwrap(), sample);
        for bad in ["[1,2]", "[1,2,3,4]", "[1,2,-3]", "[1,2,3.0]", "[1,2,4294967296]", "{}", r#"{"round":1}"#] {
            assert!(json::parse::<Sample>(bad).is_err(), "{bad}");
        }
    }
}
