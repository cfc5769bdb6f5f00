//! Reports against what a hub must be able to rely on.

use super::*;
use crate::{
    machine::score::report::WorkerLine,
    units::{Hotkey, WorkerId, WorkerKey},
    wire::keys::Keypair,
};

fn hotkey(seed: u8) -> Hotkey {
    Keypair::from_seed([seed; 32]).unwrap().hotkey().clone()
}

fn key(seed: u8, number: usize) -> WorkerKey {
    WorkerKey::new(&hotkey(seed), &WorkerId::new(&format!("w{number:02}")))
}

fn at(seconds: u64) -> Wall {
    Wall::from_secs(1_795_000_000 + seconds)
}

#[test]
fn scores_come_as_miners_then_fifty_workers_a_frame() {
    let line = |number| WorkerLine {
        key: key(1, number),
        score: 0.666667,
        lease: 0.25,
        availability: 0.083333,
        participation_baseline: 14.4,
        participation_count: 1,
        mean_time_ms: 150.0,
        mean_devices: 1.0,
        performance: 3.858024691358025e-05,
    };
    let report = Report {
        workers: (0..55).map(line).collect(),
        miners: vec![(hotkey(1), 1.0)],
        average_score: 0.800062,
        average_challenge: 1.0,
        window_start: at(0),
        window_end: at(10_800),
        participation_threshold: 0.8,
        worker_cap: 100,
        unit: "1/s",
    };
    let frames = scores(at(10_801), at(10_800), &report);
    let ScoreReport::Miners(miners) = &frames[0] else { panic!() };
    assert_eq!(
        (miners.miner_scores.len(), miners.global_stats.total_workers, miners.effective_at.is_none()),
        (1, 55, true)
    );
    let workers: Vec<usize> = frames[1..]
        .iter()
        .map(|frame| match frame {
            ScoreReport::Workers(part) => part.worker_scores.len(),
            ScoreReport::Miners(_) => panic!("the miners come once"),
        })
        .collect();
    assert_eq!(workers, [50, 5]);
    let ScoreReport::Workers(part) = &frames[1] else { panic!() };
    let first = &part.worker_scores[0];
    assert_eq!((first.score, first.perf_score, first.lease_score), (0.666667, 0.666667, 0.25));
    assert_eq!(first.calculated_at, Stamp::micros(at(10_800)));
}
