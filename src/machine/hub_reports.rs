//! What the hub is told of scores and resources: the frames, from the numbers and from the workers as they are.
//!
//! Owns what the hub has been told in this session, so that later reports hold only what changed. It knows no link and
//! no clock; when to report is the validator's. Numbers are taken as [`crate::machine::score::report`] rounded them.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::{
    machine::score::report::Report,
    units::{Wall, WorkerKey},
    wire::marketplace::{
        Factors, GlobalStats, Hardware, MinerResources, MinerScore, ReportMode, ResourceReport, ScoreReport,
        ScoredMiners, ScoredWorkers, Stamp, WorkerResources, WorkerScore,
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

/// What the hub has been told of workers in this session.
#[derive(Debug, Default)]
pub struct Resources {
    /// When the last report was made; `None` until the full one was.
    last: Option<Wall>,
    told: BTreeMap<WorkerKey, Told>,
}

#[derive(Debug)]
struct Told {
    /// Without its hardware.
    worker: WorkerResources,
    hardware: Option<Hardware>,
}

impl Resources {
    /// A new session: the hub may remember nothing, so the next report is a full one.
    pub fn forget(&mut self) {
        *self = Resources::default();
    }

    /// The frames that tell of all these, each with its hardware: everything at first, later only workers of whom
    /// something changed, and hardware only where that changed. Nothing where there is nothing to tell; as long as
    /// there are no workers, the full report is still to come.
    pub fn report(&mut self, now: Wall, miners: Vec<MinerResources>) -> Vec<ResourceReport> {
        let since = self.last;
        let mode = if since.is_some() { ReportMode::Delta } else { ReportMode::Full };
        let mut known = BTreeMap::new();
        let mut changed = Vec::new();
        for mut miner in miners {
            let workers = std::mem::take(&mut miner.workers);
            let news: Vec<_> = workers.into_iter().filter_map(|worker| self.news(worker, &mut known)).collect();
            if !news.is_empty() {
                changed.push(MinerResources { workers: news, ..miner });
            }
        }
        self.told = known;
        if changed.is_empty() {
            return Vec::new();
        }
        self.last = Some(now);
        let since = since.map(Stamp::offset);
        let report = |miners| ResourceReport { mode, since: since.clone(), miners };
        frames(changed).into_iter().map(report).collect()
    }

    /// The worker as it is to be told, or nothing; takes note of it either way.
    fn news(&mut self, mut worker: WorkerResources, known: &mut BTreeMap<WorkerKey, Told>) -> Option<WorkerResources> {
        let (key, hardware) = (worker.worker_key.clone(), worker.hardware.take());
        let before = self.told.remove(&key);
        let same_hardware = before.as_ref().is_some_and(|told| told.hardware == hardware);
        let same = same_hardware && before.is_some_and(|told| told.worker == worker);
        known.insert(key, Told { worker: worker.clone(), hardware: hardware.clone() });
        worker.hardware = hardware.filter(|_| !same_hardware);
        (!same).then_some(worker)
    }
}

/// At most [`ResourceReport::WORKERS`] a frame; a miner with more is in several.
fn frames(miners: Vec<MinerResources>) -> Vec<Vec<MinerResources>> {
    let mut frames: Vec<Vec<MinerResources>> = Vec::new();
    let mut room = 0;
    for miner in miners {
        let MinerResources { hotkey, status, version, workers } = miner;
        let mut workers = workers.into_iter().peekable();
        while workers.peek().is_some() {
            if room == 0 {
                frames.push(Vec::new());
                room = ResourceReport::WORKERS;
            }
            let workers: Vec<WorkerResources> = workers.by_ref().take(room).collect();
            room -= workers.len();
            let part = MinerResources { hotkey: hotkey.clone(), status, version: version.clone(), workers };
            frames.last_mut().into_iter().for_each(|frame| frame.push(part.clone()));
        }
    }
    frames
}
