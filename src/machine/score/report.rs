//! The score report's numbers, as the marketplace gets them: some rounded to six digits, some not.
//! Says nothing about frames; only which number is which.

use super::{
    outcome::{Scores, WorkerScore},
    policy::Policy,
};
use crate::units::{Hotkey, Wall, WorkerKey};

/// One calculation, as reported.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Ranked workers, in order.
    pub workers: Vec<WorkerLine>,
    /// Weight of each scored miner, rounded.
    pub miners: Vec<(Hotkey, f64)>,
    /// Mean of the workers' rounded scores, rounded.
    pub average_score: f64,
    /// Mean challenge score of the miners, rounded.
    pub average_challenge: f64,
    pub window_start: Wall,
    pub window_end: Wall,
    pub participation_threshold: f64,
    pub worker_cap: usize,
    /// Of every `performance`.
    pub unit: &'static str,
}

#[derive(Clone, Debug, PartialEq)]
pub struct WorkerLine {
    pub key: WorkerKey,
    /// Rounded; reported both as score and as performance score.
    pub score: f64,
    pub lease: f64,
    /// Rounded.
    pub availability: f64,
    pub participation_baseline: f64,
    pub participation_count: u32,
    /// Of a challenge, per passed device.
    pub mean_time_ms: f64,
    pub mean_devices: f64,
    pub performance: f64,
}

/// To six digits, from the exact decimal value, half to even.
fn round6(value: f64) -> f64 {
    format!("{value:.6}").parse().unwrap_or(value)
}

pub fn report(scores: &Scores, policy: &Policy) -> Report {
    let ranked = scores.workers.iter().filter(|worker| worker.rank.is_some());
    let workers: Vec<WorkerLine> = ranked.map(line).collect();
    let sum: f64 = workers.iter().map(|worker| worker.score).sum();
    let average = if workers.is_empty() { 0.0 } else { sum / workers.len() as f64 };
    Report {
        miners: scores.miners.iter().map(|miner| (miner.hotkey.clone(), round6(miner.weight))).collect(),
        average_score: round6(average),
        average_challenge: round6(scores.mean_challenge),
        window_start: scores.at - policy.ranking_window,
        window_end: scores.at,
        participation_threshold: policy.participation_threshold,
        worker_cap: policy.worker_cap,
        unit: scores.unit,
        workers,
    }
}

fn line(worker: &WorkerScore) -> WorkerLine {
    WorkerLine {
        key: worker.key.clone(),
        score: round6(worker.score),
        lease: worker.lease.unwrap_or(0.0),
        availability: round6(worker.availability.value),
        participation_baseline: worker.baseline,
        participation_count: worker.counted,
        mean_time_ms: worker.time_ms,
        mean_devices: worker.devices,
        performance: worker.performance,
    }
}
