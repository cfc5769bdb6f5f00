//! `HeartbeatSynapse`: what a miner says of its workers, and the validator's answer.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, de::Error};
use serde_json::Value;

use super::{SCHEMA_VERSION, SystemInfo, schema_version, worker_id};
use crate::{
    units::{Wall, WorkerId},
    wire::{
        code::{self, Code},
        limits,
    },
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeartbeatData {
    /// The miner by its own word; what counts is the peer of the session.
    pub hotkey: String,
    /// Unix seconds.
    pub timestamp: f64,
    /// At most [`crate::wire::limits::HEARTBEAT_WORKERS`].
    #[serde(default, deserialize_with = "bounded_workers")]
    pub workers: Vec<WorkerInfo>,
    #[serde(default)]
    pub miner_info: Option<SystemInfo>,
    /// Extension: what this miner passes on between validators and workers that not every miner does, e.g.
    /// `gemm_i8`. What is no text says nothing.
    #[serde(default, deserialize_with = "texts", skip_serializing_if = "Vec::is_empty")]
    pub miner_features: Vec<String>,
    /// Extension: the maintenance that its operator announces, all of it; at most [`limits::HEARTBEAT_WORKERS`]. `None`:
    /// nothing is said of it, and what was said before stands.
    #[serde(default, deserialize_with = "notices", skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<Vec<MaintenanceNotice>>,
    #[serde(default = "schema_version")]
    pub schema_version: u32,
}

/// Longer ones are cut: what is away for longer is not in maintenance.
pub const LONGEST_MAINTENANCE: Duration = Duration::from_secs(24 * 3600);

/// What begins later than this from now is not taken yet.
pub const EARLIEST_NOTICE: Duration = Duration::from_secs(7 * 24 * 3600);

/// A worker that will be away, by its operator's word.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MaintenanceNotice {
    pub worker_id: WorkerId,
    /// Unix seconds.
    pub from: u64,
    /// Unix seconds.
    pub until: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerInfo {
    #[serde(deserialize_with = "worker_id")]
    pub worker_id: WorkerId,
    #[serde(default)]
    pub worker_name: Option<String>,
    #[serde(default)]
    pub worker_version: Option<String>,
    /// `cpu_matrix`, `gpu_matrix`, `gemm_i8`.
    #[serde(default)]
    pub capabilities: Vec<String>,
    pub status: WorkerStatus,
    #[serde(default)]
    pub system_info: SystemInfo,
    /// Unix seconds.
    #[serde(default)]
    pub connected_at: Option<f64>,
    /// Unix seconds.
    #[serde(default)]
    pub last_heartbeat: Option<f64>,
}

fn bounded_workers<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<WorkerInfo>, D::Error> {
    let workers = Vec::<WorkerInfo>::deserialize(from)?;
    match workers.len() <= limits::HEARTBEAT_WORKERS {
        true => Ok(workers),
        false => Err(D::Error::custom(format!("{} workers, at most {}", workers.len(), limits::HEARTBEAT_WORKERS))),
    }
}

/// An extension may spoil nobody's heartbeat: another shape is as good as none.
fn texts<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let Value::Array(entries) = Value::deserialize(from)? else { return Ok(Vec::new()) };
    let texts = entries.into_iter().filter_map(|entry| if let Value::String(text) = entry { Some(text) } else { None });
    Ok(texts.collect())
}

fn notices<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<MaintenanceNotice>>, D::Error> {
    let Value::Array(entries) = Value::deserialize(from)? else { return Ok(None) };
    if entries.len() > limits::HEARTBEAT_WORKERS {
        return Ok(None);
    }
    Ok(Some(entries.into_iter().filter_map(|entry| serde_json::from_value(entry).ok()).collect()))
}

/// Another word refuses the whole heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkerStatus {
    Online,
    Busy,
    Offline,
}

impl WorkerStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            WorkerStatus::Online => "online",
            WorkerStatus::Busy => "busy",
            WorkerStatus::Offline => "offline",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeartbeatResponse {
    pub error_code: Code,
    #[serde(default)]
    pub message: Option<String>,
    #[serde(default)]
    pub workers_processed: u32,
    /// Unix seconds.
    #[serde(default)]
    pub timestamp: Option<f64>,
    #[serde(default)]
    pub request_id: Option<String>,
    #[serde(default = "schema_version")]
    pub schema_version: u32,
}

impl HeartbeatResponse {
    pub fn accepted(workers: u32, now: Wall) -> HeartbeatResponse {
        HeartbeatResponse {
            error_code: code::SUCCESS,
            message: Some(format!("Processed heartbeat for {workers} workers")),
            workers_processed: workers,
            timestamp: Some(now.as_secs_f64()),
            request_id: None,
            schema_version: SCHEMA_VERSION,
        }
    }
    /// The validator could not take it; `why` goes to the miner's log.
    pub fn failed(why: &str, now: Wall) -> HeartbeatResponse {
        HeartbeatResponse {
            error_code: code::HEARTBEAT_FAILED,
            message: Some(why.into()),
            workers_processed: 0,
            ..HeartbeatResponse::accepted(0, now)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{messages::parse_request, session::SessionFault};

    #[test]
    fn an_empty_heartbeat_is_one() {
        let text = r#"{"hotkey":"5A","timestamp":1.5,"workers":[],"miner_info":null,"schema_version":1}"#;
        assert_eq!(parse_request::<HeartbeatData>(text).unwrap().workers, []);
    }

    #[test]
    fn features_are_an_extension_that_is_left_out_when_there_are_none() {
        let read = |features: &str| {
            let text = format!(
                r#"{{"hotkey":"5A","timestamp":1.5,"workers":[],"miner_info":null,{features}"schema_version":1}}"#
            );
            parse_request::<HeartbeatData>(&text).unwrap()
        };
        assert_eq!(read(r#""miner_features":["gemm_i8","later"],"#).miner_features, ["gemm_i8", "later"]);
        assert_eq!(read(r#""miner_features":[7,"gemm_i8"],"#).miner_features, ["gemm_i8"]);
        for none in ["", r#""miner_features":null,"#, r#""miner_features":{"gemm_i8":true},"#] {
            assert!(!crate::wire::json::text(&read(none)).contains("miner_features"), "{none}");
        }
    }

    #[test]
    fn maintenance_is_an_extension_and_of_another_shape_it_says_nothing() {
        let read = |maintenance: &str| {
            let text = format!(r#"{{"hotkey":"5A","timestamp":1.5,"workers":[]{maintenance}}}"#);
            parse_request::<HeartbeatData>(&text).unwrap().maintenance
        };
        let notice = r#"{"worker_id":"w","from":10,"until":20}"#;
        let read_back = MaintenanceNotice { worker_id: WorkerId::new("w"), from: 10, until: 20 };
        assert_eq!(read(&format!(r#","maintenance":[{notice},7,{{"worker_id":"x"}}]"#)), Some(vec![read_back]));
        assert_eq!(read(r#","maintenance":[]"#), Some(vec![]));
        let many = vec![notice; limits::HEARTBEAT_WORKERS + 1].join(",");
        for nothing in ["", r#","maintenance":null"#, r#","maintenance":{}"#, &format!(r#","maintenance":[{many}]"#)] {
            assert_eq!(read(nothing), None);
        }
    }

    #[test]
    fn a_worker_needs_a_name_and_a_known_status() {
        let with = |worker: &str| {
            let text = format!(r#"{{"hotkey":"5A","timestamp":1,"workers":[{worker}]}}"#);
            parse_request::<HeartbeatData>(&text)
        };
        assert!(with(r#"{"worker_id":"w","status":"busy","capabilities":[]}"#).is_ok());
        for worker in [r#"{"worker_id":"w","status":"sleeping"}"#, r#"{"status":"online"}"#, "1"] {
            assert!(matches!(with(worker), Err(SessionFault::Body(_))), "{worker}");
        }
    }
}
