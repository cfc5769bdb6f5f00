//! The socket between a worker and its GPU executor: frames, requests and answers, as both sides have them.
//!
//! One request a connection: four bytes of length, little-endian, and so much JSON; the answer likewise. `gemm_i8` is our
//! extension, and `get_gpu_info` tells who has it. Types and their JSON alone: no socket, no time limit but by name.

mod reading;

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{
    json::{self, JsonFault, Raw},
    messages::gemm_i8::Sample,
};

pub use self::reading::{KEY_PREFIX_BYTES, REQUEST_BYTES, RequestFault, TaskFault, request, request_length};

/// Largest body of either direction.
pub const FRAME_BYTES: usize = 16 << 20;
/// Bytes before a body: its length.
pub const HEAD_BYTES: usize = 4;
/// How long a `ping` may take.
pub const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// How long any other request may take.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(300);
/// The version of the `gemm_i8` extension, in the answer to `get_gpu_info`.
pub const GEMM_I8_VERSION: u32 = 1;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Request {
    Ping,
    GetGpuInfo,
    SubmitChallenge {
        task: MatrixTask,
    },
    GetResultCoords {
        gpu_uuid: String,
        /// (row, column).
        queries: Vec<(u32, u32)>,
    },
    GetResultRows {
        gpu_uuid: String,
        row_indices: Vec<u32>,
    },
    /// Of all GPUs when none is named.
    ClearResultCache {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        gpu_uuid: Option<String>,
    },
    SubmitGemmI8 {
        task: GemmTask,
    },
    OpenGemmI8 {
        gpu_uuid: String,
        samples: Vec<Sample>,
    },
}

/// A `gpu_matrix` challenge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatrixTask {
    /// As the challenge writes it.
    pub seed: String,
    /// −1: every GPU.
    pub target_gpu_id: i64,
    pub matrix_size: u32,
    pub mode: i64,
    pub matrix_iterations: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GemmTask {
    pub matrix_size: u32,
    pub rounds: u32,
    /// Each once.
    pub devices: Vec<GemmDevice>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GemmDevice {
    pub uuid: String,
    /// Hex of the key's hash input up to and including the device.
    pub key_prefix: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pong {
    pub pong: bool,
}

/// The answer to `get_gpu_info`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GpuInfo {
    pub success: bool,
    pub gpu_count: u32,
    pub gpus: Vec<Map<String, Value>>,
    /// [`GEMM_I8_VERSION`] of an executor that computes `gemm_i8`; absent: the vendor's, which signs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gemm_i8: Option<u32>,
    /// Why there is no GPU, when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Submitted<R> {
    pub success: bool,
    pub results: Vec<R>,
}

/// One GPU's answer to `submit_challenge`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MatrixResult {
    pub gpu_uuid: String,
    pub merkle_root: String,
    pub row_hashes: Vec<String>,
    pub sig_ver: u8,
    pub sig_val: String,
}

/// One GPU's answer to `submit_gemm_i8`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GemmResult {
    pub gpu_uuid: String,
    pub merkle_root: String,
    #[serde(default)]
    pub timings_ms: Timings,
}

/// What the time of a device went into, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timings {
    pub generate: f64,
    pub multiply: f64,
    pub hash: f64,
    pub total: f64,
}

/// The answer to `get_result_coords`, in the order of the queries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Values {
    pub success: bool,
    pub values: Vec<f64>,
}

/// The answer to `get_result_rows`: by the row's number as text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rows {
    pub success: bool,
    pub matrix_size: u32,
    pub rows: BTreeMap<String, Vec<f64>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cleared {
    pub success: bool,
    pub cleared_count: u32,
}

/// The answer to `open_gemm_i8`: `tops` and `openings` as a proof has them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Opened {
    pub success: bool,
    pub tops: Raw,
    pub openings: Raw,
}

/// The answer to a request that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    pub success: bool,
    pub error: String,
}

/// Why an answer is of no use.
#[derive(Debug, thiserror::Error)]
pub enum AnswerFault {
    #[error("the executor refuses: {0}")]
    Refused(String),
    #[error("the executor's answer is not understood: {0}")]
    Shape(#[from] JsonFault),
}

impl Failed {
    pub fn new(error: impl Into<String>) -> Failed {
        Failed { success: false, error: error.into() }
    }
}

/// Reads the body of an answer that is expected to be a `T`.
pub fn answer<T: DeserializeOwned>(text: &str) -> Result<T, AnswerFault> {
    #[derive(Deserialize)]
    struct Outcome {
        #[serde(default)]
        success: Option<bool>,
        #[serde(default)]
        error: Option<String>,
    }
    let outcome: Outcome = json::parse(text)?;
    if outcome.success == Some(false) {
        let said = outcome.error.unwrap_or_else(|| "no reason given".into());
        return Err(AnswerFault::Refused(said.chars().filter(|c| !c.is_control()).take(400).collect()));
    }
    Ok(json::parse(text)?)
}

/// A body with its length before it; `None`: longer than a frame may be.
pub fn frame(body: &str) -> Option<Vec<u8>> {
    let length = u32::try_from(body.len()).ok().filter(|length| *length as usize <= FRAME_BYTES)?;
    Some([&length.to_le_bytes()[..], body.as_bytes()].concat())
}

/// The length of the body behind this head; `None`: longer than a frame may be, or nothing.
pub fn body_length(head: [u8; HEAD_BYTES]) -> Option<usize> {
    let length = u32::from_le_bytes(head) as usize;
    (1..=FRAME_BYTES).contains(&length).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(request: &Request, text: &str) {
        assert_eq!(json::text(request), text);
        assert_eq!(json::parse::<Request>(text).unwrap(), *request);
    }

    #[test]
    fn requests_are_written_as_executors_read_them() {
        round_trip(&Request::Ping, r#"{"command":"ping"}"#);
        round_trip(&Request::GetGpuInfo, r#"{"command":"get_gpu_info"}"#);
        let task = MatrixTask { seed: "ab".into(), target_gpu_id: -1, matrix_size: 64, mode: 0, matrix_iterations: 2 };
        let text = r#"{"command":"submit_challenge","task":{"seed":"ab","target_gpu_id":-1,"matrix_size":64,"mode":0,"matrix_iterations":2}}"#;
        round_trip(&Request::SubmitChallenge { task }, text);
        let coords = Request::GetResultCoords { gpu_uuid: "G".into(), queries: vec![(1, 2)] };
        round_trip(&coords, r#"{"command":"get_result_coords","gpu_uuid":"G","queries":[[1,2]]}"#);
        let rows = Request::GetResultRows { gpu_uuid: "G".into(), row_indices: vec![3] };
        round_trip(&rows, r#"{"command":"get_result_rows","gpu_uuid":"G","row_indices":[3]}"#);
        round_trip(&Request::ClearResultCache { gpu_uuid: None }, r#"{"command":"clear_result_cache"}"#);
        let device = GemmDevice { uuid: "G".into(), key_prefix: "0a".into() };
        let task = GemmTask { matrix_size: 256, rounds: 2, devices: vec![device] };
        let text = r#"{"command":"submit_gemm_i8","task":{"matrix_size":256,"rounds":2,"devices":[{"uuid":"G","key_prefix":"0a"}]}}"#;
        round_trip(&Request::SubmitGemmI8 { task }, text);
        let open = Request::OpenGemmI8 { gpu_uuid: "G".into(), samples: vec![Sample { round: 0, row: 1, chunk: 2 }] };
        round_trip(&open, r#"{"command":"open_gemm_i8","gpu_uuid":"G","samples":[[0,1,2]]}"#);
        for bad in ["{}", r#"{"command":"pong"}"#, r#"{"command":"get_result_rows","gpu_uuid":"G","row_indices":[-1]}"#]
        {
            assert!(json::parse::<Request>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_failure_is_told_in_the_executors_words_and_another_shape_is_a_fault() {
        let refused = answer::<Values>(r#"{"success":false,"error":"out of\n memory"}"#).unwrap_err();
        assert_eq!(refused.to_string(), "the executor refuses: out of memory");
        assert!(matches!(answer::<Values>(r#"{"success":true}"#), Err(AnswerFault::Shape(_))));
        assert!(matches!(answer::<Values>("nothing"), Err(AnswerFault::Shape(_))));
        assert_eq!(answer::<Values>(r#"{"success":true,"values":[1.5]}"#).unwrap().values, [1.5]);
        assert!(answer::<Pong>(r#"{"pong":true}"#).unwrap().pong);
    }

    #[test]
    fn who_does_gemm_i8_says_so() {
        let vendor: GpuInfo = answer(r#"{"success":true,"gpu_count":1,"gpus":[{"uuid":"G","name":"H100"}]}"#).unwrap();
        assert_eq!((vendor.gemm_i8, vendor.gpus[0]["name"].as_str()), (None, Some("H100")));
        let ours = json::text(&GpuInfo { gemm_i8: Some(GEMM_I8_VERSION), ..vendor });
        assert!(ours.contains(r#""gemm_i8":1"#), "{ours}");
    }

    #[test]
    fn a_frame_has_its_length_before_it_and_a_bound() {
        assert_eq!(frame("{}"), Some(vec![2, 0, 0, 0, b'{', b'}']));
        assert_eq!((body_length([2, 0, 0, 0]), body_length([0; 4]), body_length([1, 0, 0, 1])), (Some(2), None, None));
        assert_eq!(body_length([0, 0, 0, 1]), Some(FRAME_BYTES));
    }
}
