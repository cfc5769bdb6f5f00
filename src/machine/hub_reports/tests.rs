//! Reports against the recorded sizes, and what a hub must be able to rely on.

use serde_json::json;

use super::*;
use crate::{
    machine::score::report::WorkerLine,
    units::{Hotkey, WorkerId},
    wire::{
        json::Raw,
        keys::Keypair,
        marketplace::{Network, Stats, Status},
    },
};

fn hotkey(seed: u8) -> Hotkey {
    Keypair::from_seed([seed; 32]).unwrap().hotkey().clone()
}

fn key(seed: u8, number: usize) -> WorkerKey {
    WorkerKey::new(&hotkey(seed), &WorkerId::new(&format!("w{number:02}")))
}

fn worker(seed: u8, number: usize) -> WorkerResources {
    let key = key(seed, number);
    WorkerResources {
        worker_id: key.worker.clone(),
        worker_key: key,
        worker_name: None,
        status: Status::Active,
        version: Some("0.1.0".into()),
        capabilities: vec!["cpu_matrix".into()],
        lease_score: 0.0,
        last_seen_at: Some(Stamp::offset(Wall::from_secs(1))),
        stats: Stats::default(),
        uptime_seconds: Some(100),
        network: Network::default(),
        os_info: None,
        hardware: Some(Hardware { cpu: Some(Raw::of(&json!({"model": "x"})).unwrap()), ..Hardware::default() }),
    }
}

fn miner(seed: u8, workers: usize) -> MinerResources {
    let workers = (0..workers).map(|number| worker(seed, number)).collect();
    MinerResources { hotkey: hotkey(seed), status: Status::Active, version: None, workers }
}

fn sizes(reports: &[ResourceReport]) -> Vec<usize> {
    reports.iter().map(|report| report.miners.iter().map(|miner| miner.workers.len()).sum()).collect()
}

fn at(seconds: u64) -> Wall {
    Wall::from_secs(1_795_000_000 + seconds)
}

#[test]
fn the_first_report_is_full_and_comes_in_frames_of_fifty() {
    let mut resources = Resources::default();
    let reports = resources.report(at(0), vec![miner(1, 60)]);
    assert_eq!(sizes(&reports), [50, 10]);
    assert!(reports.iter().all(|report| report.mode == ReportMode::Full && report.since.is_none()));
    let mut resources = Resources::default();
    let reports = resources.report(at(0), vec![miner(1, 30), miner(2, 0), miner(3, 30), miner(4, 45)]);
    assert_eq!(sizes(&reports), [50, 50, 5]);
    let hotkeys: Vec<Vec<Hotkey>> =
        reports.iter().map(|report| report.miners.iter().map(|miner| miner.hotkey.clone()).collect()).collect();
    assert_eq!(hotkeys, [vec![hotkey(1), hotkey(3)], vec![hotkey(3), hotkey(4)], vec![hotkey(4)]]);
}

#[test]
fn an_empty_snapshot_is_not_the_full_report() {
    let mut resources = Resources::default();
    assert!(resources.report(at(0), vec![]).is_empty());
    assert!(resources.report(at(90), vec![miner(1, 0)]).is_empty());
    assert_eq!(resources.report(at(180), vec![miner(1, 1)])[0].mode, ReportMode::Full);
}

#[test]
fn later_reports_hold_what_changed_and_hardware_where_that_changed() {
    let mut resources = Resources::default();
    resources.report(at(0), vec![miner(1, 3)]);
    assert!(resources.report(at(90), vec![miner(1, 3)]).is_empty());
    let mut changed = miner(1, 3);
    changed.workers[1].status = Status::Offline;
    let reports = resources.report(at(180), vec![changed.clone()]);
    assert_eq!((sizes(&reports), reports[0].mode), (vec![1], ReportMode::Delta));
    assert_eq!(reports[0].since, Some(Stamp::offset(at(0))), "the report before told it all up to then");
    let told = &reports[0].miners[0].workers[0];
    assert_eq!((told.worker_key.clone(), told.hardware.clone()), (key(1, 1), None));
    changed.workers[2].hardware = None;
    changed.workers.push(worker(1, 3));
    let reports = resources.report(at(270), vec![changed]);
    let hardware: Vec<bool> = reports[0].miners[0].workers.iter().map(|worker| worker.hardware.is_some()).collect();
    assert_eq!((hardware, reports[0].since.clone()), (vec![false, true], Some(Stamp::offset(at(180)))));
}

#[test]
fn a_new_session_hears_everything_again() {
    let mut resources = Resources::default();
    resources.report(at(0), vec![miner(1, 2)]);
    resources.forget();
    let reports = resources.report(at(90), vec![miner(1, 2)]);
    assert_eq!((sizes(&reports), reports[0].mode), (vec![2], ReportMode::Full));
    assert!(reports[0].miners[0].workers.iter().all(|worker| worker.hardware.is_some()));
}

#[test]
fn a_worker_that_went_and_came_back_is_told_with_its_hardware() {
    let mut resources = Resources::default();
    resources.report(at(0), vec![miner(1, 2)]);
    assert!(resources.report(at(90), vec![miner(1, 1)]).is_empty());
    let reports = resources.report(at(180), vec![miner(1, 2)]);
    assert!(sizes(&reports) == [1] && reports[0].miners[0].workers[0].hardware.is_some());
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
