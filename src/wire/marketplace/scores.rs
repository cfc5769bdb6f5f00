//! `MESH_SCORE_REPORT_V1`: the outcome of a calculation, in two kinds of frames: the miners' first, then the workers',
//! at most [`ScoreReport::WORKERS`] a frame. Numbers are written as given; who rounds them is `machine::score::report`.

use serde::{Deserialize, Serialize};

use super::{BodyFault, Stamp, body, kind, leases::key_text};
use crate::units::{Hotkey, WorkerKey};

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ScoreReport {
    Miners(ScoredMiners),
    Workers(ScoredWorkers),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScoredMiners {
    pub miner_scores: Vec<MinerScore>,
    pub global_stats: GlobalStats,
    /// Null: at once.
    pub effective_at: Option<Stamp>,
    pub timestamp: Stamp,
    /// [`ScoreReport::VERSION`].
    pub version: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScoredWorkers {
    pub worker_scores: Vec<WorkerScore>,
    /// Null: at once.
    pub effective_at: Option<Stamp>,
    pub timestamp: Stamp,
    /// [`ScoreReport::VERSION`].
    pub version: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MinerScore {
    pub hotkey: Hotkey,
    pub weight: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GlobalStats {
    pub total_workers: u64,
    pub average_score: f64,
    pub average_challenge_norm: f64,
    pub window_start: Stamp,
    pub window_end: Stamp,
    pub participation_threshold: f64,
    pub worker_cap: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerScore {
    #[serde(with = "key_text")]
    pub worker_key: WorkerKey,
    pub score: f64,
    pub lease_score: f64,
    pub perf_score: f64,
    pub factors: Factors,
    pub calculated_at: Stamp,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Factors {
    pub availability: f64,
    pub participation_baseline: f64,
    pub participation_count: u64,
    pub avg_exec_ms: f64,
    pub avg_exec_gpus: f64,
    pub raw_perf_score: f64,
}

impl ScoreReport {
    pub const VERSION: &str = "1.0";
    /// Most workers of one frame.
    pub const WORKERS: usize = 50;

    pub(super) fn read(plaintext: &str) -> Result<ScoreReport, BodyFault> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Which {
            #[serde(default)]
            worker_scores: Option<serde::de::IgnoredAny>,
        }
        match body::<Which>(kind::SCORE_REPORT, plaintext)?.worker_scores {
            Some(_) => body(kind::SCORE_REPORT, plaintext).map(ScoreReport::Workers),
            None => body(kind::SCORE_REPORT, plaintext).map(ScoreReport::Miners),
        }
    }
}
