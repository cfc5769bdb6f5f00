//! What the hub is told of scores: the frames, from the numbers.
//!
//! Pure. It knows no link and no clock; when to report is the validator's. Numbers are taken as
//! [`crate::machine::score::report`] rounded them.

#[cfg(test)]
mod tests;

use crate::{
    machine::score::report::Report,
    units::Wall,
    wire::marketplace::{
        Factors, GlobalStats, MinerScore, ScoreReport, ScoredMiners, ScoredWorkers, Stamp, WorkerScore,
    },
};

/// The frames of one calculation: the miners first, then the ranked workers.
pub fn scores(now: Wall, calculated_at: Wall, report: &Report) -> Vec<ScoreReport> {
    let (timestamp, version) = (Stamp::seconds(now), ScoreReport::VERSION.to_owned());
    let miners = ScoredMiners {
        miner_scores: report
            .miners
            .iter()
            .map(|(hotkey, weight)| MinerScore { hotkey: hotkey.clone(), weight: *weight })
            .collect(),
        global_stats: GlobalStats {
            total_workers: report.workers.len() as u64,
            average_score: report.average_score,
            average_challenge_norm: report.average_challenge,
            window_start: Stamp::micros(report.window_start),
            window_end: Stamp::micros(report.window_end),
            participation_threshold: report.participation_threshold,
            worker_cap: report.worker_cap as u64,
        },
        effective_at: None,
        timestamp: timestamp.clone(),
        version: version.clone(),
    };
    let workers = report.workers.chunks(ScoreReport::WORKERS).map(|lines| {
        let worker_scores = lines
            .iter()
            .map(|line| WorkerScore {
                worker_key: line.key.clone(),
                score: line.score,
                lease_score: line.lease,
                perf_score: line.score,
                factors: Factors {
                    availability: line.availability,
                    participation_baseline: line.participation_baseline,
                    participation_count: u64::from(line.participation_count),
                    avg_exec_ms: line.mean_time_ms,
                    avg_exec_gpus: line.mean_devices,
                    raw_perf_score: line.performance,
                },
                calculated_at: Stamp::micros(calculated_at),
            })
            .collect();
        let (timestamp, version) = (timestamp.clone(), version.clone());
        ScoreReport::Workers(ScoredWorkers { worker_scores, effective_at: None, timestamp, version })
    });
    std::iter::once(ScoreReport::Miners(miners)).chain(workers).collect()
}
