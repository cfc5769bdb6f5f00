//! `MESH_RESOURCE_REPORT_V1`: the workers behind this validator. At most [`ResourceReport::WORKERS`] a frame.

use serde::{Deserialize, Serialize};

use super::{Stamp, leases::key_text};
use crate::{
    units::{Hotkey, WorkerId, WorkerKey},
    wire::json::Raw,
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResourceReport {
    pub mode: ReportMode,
    /// Of a delta: when the report before it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Stamp>,
    /// Those with workers in this frame.
    pub miners: Vec<MinerResources>,
}

impl ResourceReport {
    /// Most workers of one frame.
    pub const WORKERS: usize = 50;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReportMode {
    Full,
    Delta,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    Active,
    Offline,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MinerResources {
    pub hotkey: Hotkey,
    pub status: Status,
    pub version: Option<String>,
    pub workers: Vec<WorkerResources>,
}

/// One worker. What was never told is null.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerResources {
    #[serde(with = "key_text")]
    pub worker_key: WorkerKey,
    pub worker_id: WorkerId,
    pub worker_name: Option<String>,
    pub status: Status,
    pub version: Option<String>,
    pub capabilities: Vec<String>,
    pub lease_score: f64,
    pub last_seen_at: Option<Stamp>,
    pub stats: Stats,
    pub uptime_seconds: Option<u64>,
    pub network: Network,
    /// As the worker told it.
    #[serde(rename = "os_info")]
    pub os_info: Option<Raw>,
    /// Only when it changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardware: Option<Hardware>,
}

/// Means in per cent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    pub avg_cpu_usage: Option<f64>,
    pub avg_memory_usage: Option<f64>,
    pub avg_storage_usage: Option<f64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Network {
    pub public_ip: Option<String>,
}

/// As the worker told it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Hardware {
    pub cpu: Option<Raw>,
    pub memory: Option<Raw>,
    pub storage: Option<Raw>,
    pub gpus: Option<Raw>,
    pub mb_info: Option<Raw>,
}
