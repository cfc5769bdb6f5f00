//! What a worker says.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use serde_json::{Map, Value};

use super::{Flat, FrameFault, Register, WithData, body, data, shortened, type_of};
use crate::{
    units::WorkerId,
    wire::{
        code::Code,
        json::{self, JsonFault, Raw},
        messages::{Commitment, SystemInfo},
    },
};

/// A frame of a worker.
#[derive(Clone, Debug, PartialEq)]
pub enum ToMiner {
    Register(Register),
    Heartbeat(Heartbeat),
    TaskResult(TaskResult),
    ProofResponse(ProofResponse),
    HeartbeatResponse(HeartbeatResponse),
}

/// Without `system_info` it is malformed: ignored, not acknowledged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Heartbeat {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_tasks: Option<u32>,
    pub system_info: SystemInfo,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_info: Option<GpuSummary>,
    /// `None`: as registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Vec<String>>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GpuSummary {
    #[serde(default)]
    pub gpu_available: bool,
    #[serde(default)]
    pub gpu_count: u32,
    /// As the probe gave them.
    #[serde(default)]
    pub gpu_details: Vec<Map<String, Value>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskResult {
    pub worker_id: WorkerId,
    /// The challenge's id.
    pub task_id: String,
    /// Unix seconds.
    #[serde(default)]
    pub timestamp: Option<f64>,
    pub data: TaskOutcome,
}

/// `success` and `error_code` are always written: miners of the reference implementation drop a result without.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskOutcome {
    /// A result that does not say is none.
    #[serde(default)]
    pub success: bool,
    #[serde(default)]
    pub error_code: i64,
    #[serde(default)]
    pub result: Option<ChallengeResult>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// Unix ms by name: `worker_task_received_ts`, `worker_task_completed_ts`; and what took how many ms.
    #[serde(default)]
    pub timestamps: Map<String, Value>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChallengeResult {
    #[serde(default)]
    pub computation_time_ms: Option<f64>,
    #[serde(default)]
    pub matrix_size: Option<u32>,
    /// An array of [`Commitment`]s with something in it, passed on as sent; `None`: an empty one.
    #[serde(default, deserialize_with = "filled", serialize_with = "or_empty")]
    pub commitments: Option<Raw>,
}

impl ChallengeResult {
    pub fn new(took: Duration, matrix_size: u32, commitments: &[Commitment]) -> Result<ChallengeResult, JsonFault> {
        let computation_time_ms = Some(took.as_secs_f64() * 1e3);
        Ok(ChallengeResult {
            computation_time_ms,
            matrix_size: Some(matrix_size),
            commitments: Some(Raw::of(&commitments)?),
        })
    }
}

impl TaskOutcome {
    pub fn done(result: ChallengeResult, timestamps: Map<String, Value>) -> TaskOutcome {
        TaskOutcome { success: true, result: Some(result), timestamps, ..TaskOutcome::default() }
    }
    pub fn failed(error_code: Code, why: &str) -> TaskOutcome {
        TaskOutcome {
            error_code: error_code.into(),
            result: Some(ChallengeResult::default()),
            error: Some(why.into()),
            error_message: Some(why.into()),
            ..TaskOutcome::default()
        }
    }
}

/// The answer to a proof request. The proofs are passed on as sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProofResponse {
    pub message_id: String,
    pub data: ProofOutcome,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProofOutcome {
    #[serde(default)]
    pub success: bool,
    /// An array of [`crate::wire::messages::DeviceProof`]s, or of another challenge type's.
    #[serde(default, deserialize_with = "array", skip_serializing_if = "Option::is_none")]
    pub proofs: Option<Raw>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Always written: miners of the reference implementation need it.
    #[serde(default)]
    pub debug: ProofDebug,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProofDebug {
    /// Unix ms by name: `worker_proof_request_received_ts`, `worker_proof_completed_ts`.
    #[serde(default)]
    pub phase2_timestamps: Map<String, Value>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeartbeatResponse {
    pub worker_id: WorkerId,
    /// Unix seconds.
    #[serde(default)]
    pub timestamp: Option<f64>,
    pub message_id: String,
}

impl ProofOutcome {
    /// `proofs` is an array.
    pub fn done(proofs: Raw, phase2_timestamps: Map<String, Value>) -> ProofOutcome {
        let debug = ProofDebug { phase2_timestamps };
        ProofOutcome { success: true, proofs: Some(proofs), debug, error: None }
    }
    pub fn failed(why: &str) -> ProofOutcome {
        ProofOutcome { error: Some(why.into()), ..ProofOutcome::default() }
    }
}

fn array<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Raw>, D::Error> {
    match Option::<Raw>::deserialize(from)? {
        Some(raw) if !raw.as_str().starts_with('[') => Err(D::Error::custom("an array is wanted")),
        list => Ok(list),
    }
}

/// An empty array is none.
fn filled<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Raw>, D::Error> {
    Ok(array(from)?.filter(is_filled_list))
}

fn or_empty<S: Serializer>(list: &Option<Raw>, to: S) -> Result<S::Ok, S::Error> {
    match list {
        Some(list) => list.serialize(to),
        None => [(); 0].serialize(to),
    }
}

/// Whether it is a list with something in it. The text is JSON already.
pub fn is_filled_list(raw: &Raw) -> bool {
    let inner = raw.as_str().trim_start().strip_prefix('[').map(str::trim_start);
    inner.is_some_and(|inner| !inner.starts_with(']'))
}

impl ToMiner {
    pub fn parse(text: &str) -> Result<ToMiner, FrameFault> {
        match type_of(text)?.as_str() {
            "register" => body::<Register>("register", text)?
                .checked()
                .map(ToMiner::Register)
                .map_err(|why| FrameFault::Malformed { kind: "register", why: why.to_string() }),
            "heartbeat" => data("heartbeat", text).map(ToMiner::Heartbeat),
            "task_result" => body("task_result", text).map(ToMiner::TaskResult),
            "proof_response" => body("proof_response", text).map(ToMiner::ProofResponse),
            "heartbeat_response" => body("heartbeat_response", text).map(ToMiner::HeartbeatResponse),
            other => Err(FrameFault::UnknownType(shortened(other))),
        }
    }

    pub fn to_text(&self) -> String {
        match self {
            ToMiner::Register(fields) => json::text(&Flat { kind: "register", fields }),
            ToMiner::Heartbeat(data) => json::text(&WithData { kind: "heartbeat", data }),
            ToMiner::TaskResult(fields) => json::text(&Flat { kind: "task_result", fields }),
            ToMiner::ProofResponse(fields) => json::text(&Flat { kind: "proof_response", fields }),
            ToMiner::HeartbeatResponse(fields) => json::text(&Flat { kind: "heartbeat_response", fields }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_result_says_so_and_why() {
        let data = TaskOutcome::failed(1006, "out of memory");
        let result = TaskResult { worker_id: WorkerId::new("w"), task_id: "t".into(), timestamp: Some(1.0), data };
        let text = ToMiner::TaskResult(result.clone()).to_text();
        assert!(text.contains(r#""success":false,"error_code":1006,"result":{"#), "{text}");
        assert_eq!(ToMiner::parse(&text).unwrap(), ToMiner::TaskResult(result));
    }

    #[test]
    fn a_result_without_success_is_a_failed_one() {
        let text = r#"{"type":"task_result","worker_id":"w","task_id":"t","data":{"error":"x","took":Infinity}}"#;
        let ToMiner::TaskResult(result) = ToMiner::parse(text).unwrap() else { panic!("{text}") };
        assert_eq!((result.data.success, result.data.error.as_deref()), (false, Some("x")));
    }

    #[test]
    fn proofs_pass_as_they_were_sent() {
        let text = r#"{"type":"proof_response","message_id":"m","data":{"success":true,"proofs":[ {"uuid":"-1"} ]}}"#;
        let ToMiner::ProofResponse(response) = ToMiner::parse(text).unwrap() else { panic!("{text}") };
        assert_eq!(response.data.proofs.unwrap().as_str(), r#"[ {"uuid":"-1"} ]"#);
        assert!(ToMiner::parse(&text.replace("[ {", "{").replace("} ]", "}")).is_err());
    }

    #[test]
    fn commitments_pass_as_they_were_sent_whatever_is_in_them() {
        let with = |commitments: &str| {
            let result = format!(r#"{{"computation_time_ms":1.5,"matrix_size":256,"commitments":{commitments}}}"#);
            let data = format!(r#"{{"success":true,"error_code":0,"result":{result},"timestamps":{{}}}}"#);
            format!(r#"{{"type":"task_result","worker_id":"w","task_id":"t","timestamp":1.0,"data":{data}}}"#)
        };
        let sent = with(r#"[ {"uuid":"cpu", "sig_ver":9,"new":[1.50]} ]"#);
        assert_eq!(ToMiner::parse(&sent).unwrap().to_text(), sent);
        for nothing in ["[]", "[ ]", "null"] {
            assert_eq!(ToMiner::parse(&with(nothing)).unwrap().to_text(), with("[]"), "{nothing}");
        }
        assert!(ToMiner::parse(&with("{}")).is_err());
    }

    #[test]
    fn a_refused_proof_carries_a_debug_object() {
        let response = ProofResponse { message_id: "m".into(), data: ProofOutcome::failed("no such challenge") };
        assert!(ToMiner::ProofResponse(response).to_text().contains(r#""debug":{"phase2_timestamps":{}}"#));
    }
}
