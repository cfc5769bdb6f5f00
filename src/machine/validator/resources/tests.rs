//! Reports from heartbeats, and what a hub must be able to rely on.

use serde_json::{Value, json};

use super::*;
use crate::wire::json::text;

fn at(seconds: u64) -> Now {
    Now { mono: Mono(seconds * 1_000_000_000), wall: Wall::from_secs(1_795_000_000 + seconds) }
}

fn hotkey(miner: &str) -> Hotkey {
    Hotkey::label(miner)
}

fn worker(id: &str) -> Value {
    json!({
        "worker_id": id, "worker_name": "rack 7", "worker_version": "0.0.2", "capabilities": ["cpu_matrix"],
        "status": "online",
        "system_info": {
            "cpu_usage": 30.0, "memory_usage": 10.0, "disk_total": 200.0, "disk_free": 150.0, "uptime_seconds": 100.7,
            "public_ip": "198.51.100.20", "cpu_info": {"model": "x"}, "memory_info": {"total": 1},
            "storage_info": {"storage": []}, "motherboard_info": {}, "system_info": {"system": "Linux"},
            "gpu_plugin": [{"uuid": "GPU-1", "name": "NVIDIA H200"}],
        },
    })
}

/// The digests are the number of the hardware.
fn hear(resources: &mut Resources, now: Now, miner: &str, workers: &[Value], print: u64) {
    let data = json!({"hotkey": miner, "timestamp": 1.0, "workers": workers});
    let data: HeartbeatData = json::parse(&data.to_string()).unwrap();
    resources.heard(now, &hotkey(miner), &data, &vec![print; workers.len()]);
    resources.check_invariants();
}

fn crowd(count: usize) -> Vec<Value> {
    (0..count).map(|number| worker(&format!("w{number:02}"))).collect()
}

fn report(resources: &mut Resources, seconds: u64) -> Vec<ResourceReport> {
    let frames = resources.report(at(seconds), |_| 0.0);
    resources.check_invariants();
    frames
}

fn sizes(reports: &[ResourceReport]) -> Vec<usize> {
    reports.iter().map(|report| report.miners.iter().map(|miner| miner.workers.len()).sum()).collect()
}

fn told(reports: &[ResourceReport]) -> Vec<&WorkerResources> {
    reports.iter().flat_map(|report| report.miners.iter().flat_map(|miner| &miner.workers)).collect()
}

#[test]
fn a_worker_is_told_in_the_fields_that_were_recorded() {
    let mut resources = Resources::default();
    hear(&mut resources, at(10), "alice", &[worker("w00")], 1);
    let mut busier = worker("w00");
    busier["system_info"]["cpu_usage"] = json!(60.0);
    busier["system_info"]["memory_usage"] = json!(1e9);
    hear(&mut resources, at(20), "alice", &[busier], 1);
    let reports = resources.report(at(90), |_| 0.25);
    let miner: Value = serde_json::from_str(&text(&reports[0].miners[0])).unwrap();
    let expected = json!({
        "hotkey": hotkey("alice").as_str(), "status": "ACTIVE", "version": null,
        "workers": [{
            "workerKey": format!("{}:w00", hotkey("alice")), "workerId": "w00", "workerName": "rack 7",
            "status": "ACTIVE", "version": "0.0.2", "capabilities": ["cpu_matrix"], "leaseScore": 0.25,
            "lastSeenAt": Stamp::offset(at(20).wall).as_str(),
            "stats": {"avg_cpu_usage": 45.0, "avg_memory_usage": 10.0, "avg_storage_usage": 25.0},
            "uptimeSeconds": 100, "network": {"public_ip": "198.51.100.20"}, "os_info": {"system": "Linux"},
            "hardware": {
                "cpu": {"model": "x"}, "memory": {"total": 1}, "storage": {"storage": []}, "mb_info": {},
                "gpus": [{"name": "NVIDIA H200", "uuid": "GPU-1"}],
            },
        }],
    });
    assert_eq!(miner, expected);
}

#[test]
fn what_was_never_told_is_null() {
    let mut resources = Resources::default();
    hear(&mut resources, at(10), "alice", &[json!({"worker_id": "w", "status": "online"})], 1);
    let reports = report(&mut resources, 90);
    let worker = told(&reports)[0];
    assert_eq!((worker.stats.clone(), worker.uptime_seconds, &worker.os_info), (Stats::default(), None, &None));
    assert_eq!((&worker.worker_name, &worker.network.public_ip), (&None, &None));
    assert_eq!(worker.hardware, Some(Hardware::default()));
}

#[test]
fn the_first_report_is_full_and_comes_in_frames_of_fifty() {
    let mut resources = Resources::default();
    for (miner, workers) in [("a", 30), ("b", 0), ("c", 30), ("d", 45)] {
        hear(&mut resources, at(0), miner, &crowd(workers), 1);
    }
    let reports = report(&mut resources, 90);
    assert_eq!(sizes(&reports), [50, 50, 5]);
    assert!(reports.iter().all(|report| report.mode == ReportMode::Full && report.since.is_none()));
    let mut hotkeys: Vec<Vec<Hotkey>> =
        reports.iter().map(|report| report.miners.iter().map(|miner| miner.hotkey.clone()).collect()).collect();
    assert_eq!(hotkeys.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 1]);
    hotkeys.iter_mut().for_each(|frame| frame.dedup());
    assert_eq!(hotkeys.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 1]);
}

#[test]
fn without_workers_the_full_report_is_still_to_come() {
    let mut resources = Resources::default();
    assert!(report(&mut resources, 90).is_empty());
    hear(&mut resources, at(100), "alice", &[], 1);
    assert!(report(&mut resources, 180).is_empty());
    hear(&mut resources, at(200), "alice", &crowd(1), 1);
    assert_eq!(report(&mut resources, 270)[0].mode, ReportMode::Full);
}

#[test]
fn later_reports_hold_who_was_heard_and_hardware_where_it_changed() {
    let mut resources = Resources::default();
    hear(&mut resources, at(0), "alice", &crowd(3), 1);
    report(&mut resources, 90);
    assert!(report(&mut resources, 180).is_empty(), "nobody was heard");
    hear(&mut resources, at(190), "alice", &crowd(2), 1);
    hear(&mut resources, at(200), "alice", &[worker("w01"), worker("new")], 2);
    let reports = report(&mut resources, 270);
    assert_eq!((reports[0].mode, reports[0].since.clone()), (ReportMode::Delta, Some(Stamp::offset(at(90).wall))));
    let with: Vec<(&str, bool)> =
        told(&reports).iter().map(|worker| (worker.worker_id.as_str(), worker.hardware.is_some())).collect();
    assert_eq!(with, [("new", true), ("w00", false), ("w01", true)]);
}

#[test]
fn a_lease_is_news_and_so_is_silence_once() {
    let mut resources = Resources::default();
    hear(&mut resources, at(0), "alice", &crowd(2), 1);
    report(&mut resources, 90);
    let first = WorkerKey::new(&hotkey("alice"), &WorkerId::new("w00"));
    let reports = resources.report(at(180), |key| f64::from(*key == first));
    assert_eq!(told(&reports).iter().map(|worker| worker.lease_score).collect::<Vec<_>>(), [1.0]);
    let reports = report(&mut resources, 360);
    let status = |reports: &[ResourceReport]| told(reports).iter().map(|worker| worker.status).collect::<Vec<_>>();
    assert_eq!((status(&reports), reports[0].miners[0].status), (vec![Status::Offline; 2], Status::Offline));
    assert!(report(&mut resources, 450).is_empty());
    hear(&mut resources, at(460), "alice", &crowd(1), 1);
    let reports = report(&mut resources, 540);
    assert_eq!(status(&reports), [Status::Active]);
    assert!(told(&reports)[0].hardware.is_some(), "who comes back is told whole");
}

#[test]
fn a_worker_that_its_miner_calls_offline_is_told_so() {
    let mut resources = Resources::default();
    let mut gone = worker("w00");
    gone["status"] = json!("offline");
    hear(&mut resources, at(0), "alice", &[gone, worker("w01")], 1);
    let reports = report(&mut resources, 90);
    let status: Vec<Status> = told(&reports).iter().map(|worker| worker.status).collect();
    assert_eq!((status, reports[0].miners[0].status), (vec![Status::Offline, Status::Active], Status::Active));
}

#[test]
fn a_new_session_hears_everything_again_and_hardware_with_the_next_heartbeat() {
    let mut resources = Resources::default();
    hear(&mut resources, at(0), "alice", &crowd(2), 1);
    report(&mut resources, 90);
    resources.forget();
    hear(&mut resources, at(100), "alice", &crowd(1), 1);
    let reports = report(&mut resources, 180);
    assert_eq!((sizes(&reports), reports[0].mode), (vec![2], ReportMode::Full));
    let hardware: Vec<bool> = told(&reports).iter().map(|worker| worker.hardware.is_some()).collect();
    assert_eq!(hardware, [true, false]);
    hear(&mut resources, at(190), "alice", &crowd(2), 1);
    let reports = report(&mut resources, 270);
    let hardware: Vec<bool> = told(&reports).iter().map(|worker| worker.hardware.is_some()).collect();
    assert_eq!(hardware, [false, true]);
}

#[test]
fn no_miner_makes_the_table_or_what_waits_grow_without_bound() {
    let mut resources = Resources::default();
    let long = |id: &str| {
        let mut worker = worker(id);
        worker["system_info"]["cpu_info"] = json!({"x": "y".repeat(HARDWARE_BYTES - 200)});
        worker["system_info"]["storage_info"] = json!({"x": "y".repeat(1000)});
        worker["system_info"]["system_info"] = json!({"x": "y".repeat(OS_BYTES)});
        worker
    };
    for miner in 0..70 {
        let workers: Vec<Value> = (0..100).map(|n| long(&format!("w{n}"))).collect();
        hear(&mut resources, at(miner), &format!("m{miner}"), &workers, 1);
    }
    hear(&mut resources, at(20), "m0", &crowd(100), 1);
    assert!(resources.waiting > MOST_WAITING / 2 && resources.take_postponed() > 0);
    let of_miner = |miner: &str| {
        resources.miners[&self::hotkey(miner)]
            .values()
            .filter_map(|known| known.hardware.as_ref())
            .map(bytes)
            .sum::<usize>()
    };
    assert!(of_miner("m3") <= MOST_OF_MINER && of_miner("m3") > MOST_OF_MINER / 2);
    let reports = report(&mut resources, 90);
    let biggest = reports.iter().map(|report| text(report).len()).max().unwrap();
    assert!(biggest < 2 * FRAME_BYTES, "{biggest}");
    assert!(told(&reports).iter().any(|worker| worker.hardware.is_none()));
    let long = |hardware: &Hardware| hardware.cpu.as_ref().is_some_and(|cpu| cpu.as_str().len() > 1000);
    let passed_on = told(&reports).into_iter().filter_map(|worker| worker.hardware.clone()).find(long).unwrap();
    assert_eq!(passed_on.storage, None, "what does not fit is left out");
    assert_eq!(resources.waiting, 0);
    resources.retain(|hotkey| hotkey == &self::hotkey("m3"));
    resources.check_invariants();
    assert_eq!(resources.miners.len(), 1);
}
