//! The recorded scoring scenarios, told to the store as a validator would: heartbeats, challenges, leases.
//! What comes out again must score as recorded. And what a killed validator finds in it again.

mod restart;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use byteleap::{
    config::leases::LeaseSource,
    machine::{
        contract::store::{
            Asked, ChallengeRow, End, HeartbeatWrite, LeasesWrite, Reach, StoreReply, StoreRequest, Work, WorkerSeen,
            Write,
        },
        score::{Facts, Policy, score},
    },
    spoke::store::Store,
    units::{ChallengeId, Hotkey, Wall, WorkerId, WorkerKey},
};
use serde_json::Value;

const NOW: Wall = Wall(1_768_478_550_000_000_000); // 2026-01-15T12:02:30Z

/// What a store of ours cannot be told: a time that was not measured, rows marked as deleted, leases below 0, a claim of a
/// worker without a heartbeat.
const NOT_TOLD: [&str; 6] =
    ["statuses", "lease_null_and_deleted", "gpu_inventory_stale", "membership", "lease_cap_100", "gpu_presence"];

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap()
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().unwrap().iter()
}

fn minutes_ago(minutes: f64) -> Wall {
    NOW - Duration::from_secs_f64(60.0 * minutes)
}

/// The rows of all runs, each with its moment, oldest first.
fn rows<'a>(input: &'a Value, key: &str) -> Vec<(Wall, &'a Value)> {
    let run = |run: &'a Value| {
        let (first, step) = (run["first_minutes_ago"].as_f64().unwrap(), run["step"].as_f64().unwrap());
        (0..run["count"].as_u64().unwrap()).map(move |n| (minutes_ago(first + step * n as f64), &run["row"]))
    };
    let mut rows: Vec<_> = list(input, key).flat_map(run).collect();
    rows.sort_by_key(|(at, _)| *at);
    rows
}

fn heartbeat(hotkey: &str, at: Wall, seen: WorkerSeen) -> Write {
    Write::Heartbeat(Box::new(HeartbeatWrite {
        hotkey: Hotkey::label(hotkey),
        at,
        workers: vec![seen],
        maintenance: None,
    }))
}

/// Every worker was heard once, long before any window.
fn first_words(input: &Value) -> impl Iterator<Item = Write> {
    let long_ago = minutes_ago(200.0 * 60.0);
    list(input, "workers")
        .map(move |worker| heartbeat(text(worker, "hotkey"), long_ago, WorkerSeen::named(text(worker, "worker_id"))))
}

fn claims(input: &Value) -> impl Iterator<Item = Write> {
    list(input, "gpu_inventory").map(|gpu| {
        let gpus_owned = vec![(text(gpu, "gpu_uuid").to_string(), "H200".to_string())];
        let seen = WorkerSeen { gpus_owned, ..WorkerSeen::named(text(gpu, "worker_id")) };
        heartbeat(text(gpu, "hotkey"), minutes_ago(gpu["seen_minutes_ago"].as_f64().unwrap()), seen)
    })
}

/// A miner says all that it has to say at one moment in one heartbeat.
fn heartbeats(input: &Value) -> impl Iterator<Item = Write> {
    let mut said: BTreeMap<(Wall, &str), Vec<WorkerSeen>> = BTreeMap::new();
    for (at, row) in rows(input, "heartbeats") {
        let gpus_present: BTreeSet<String> =
            list(row, "gpu_utilization").map(|item| text(item, "uuid").to_string()).collect();
        let public_ip = row["public_ip"].as_str().map(str::to_string);
        let seen = WorkerSeen { public_ip, gpus_present, ..WorkerSeen::named(text(row, "worker_id")) };
        said.entry((at, text(row, "hotkey"))).or_default().push(seen);
    }
    let beat =
        |((at, hotkey), workers)| HeartbeatWrite { hotkey: Hotkey::label(hotkey), at, workers, maintenance: None };
    said.into_iter().map(move |said| Write::Heartbeat(Box::new(beat(said))))
}

fn challenges(input: &Value) -> impl Iterator<Item = Write> {
    rows(input, "challenges").into_iter().enumerate().flat_map(|(n, (at, row))| {
        let id = ChallengeId::new(&format!("challenge-{n}"));
        let created = ChallengeRow {
            id: id.clone(),
            target: WorkerKey::new(&Hotkey::label(text(row, "hotkey")), &WorkerId::new(text(row, "worker_id"))),
            work: Work::CpuMatrix { n: 100, iterations: 1 },
            seed: String::new(),
            round_id: String::new(),
            created: at,
        };
        let roots = row["merkle_commitments"].as_object().unwrap();
        let commitments = roots.iter().map(|(uuid, root)| (uuid.clone(), root.as_str().unwrap().into())).collect();
        let computation_ms = row["computation_time_ms"].as_f64().unwrap();
        let success_count = row["success_count"].as_u64().unwrap_or(0) as u32;
        let passed = roots.keys().cloned().collect();
        let end = End::Verified { success_count, ops: 2e6, note: None, passed };
        [
            Write::ChallengeCreated(created),
            Write::ChallengeSent { id: id.clone(), at },
            Write::ChallengeCommitted { id: id.clone(), at, computation_ms, commitments, asked: Asked::Rows(vec![]) },
            Write::ChallengeVerifying { id: id.clone(), at },
            Write::ChallengeEnded { id, at, end, verify_ms: None },
        ]
    })
}

/// A miner that is there now, with one worker.
fn heartbeat_now(miner: &Hotkey) -> Write {
    heartbeat(miner.as_str(), NOW, WorkerSeen::named("w1"))
}

/// A challenge that its worker passed.
fn challenged(miner: &Hotkey) -> Vec<Write> {
    let row = serde_json::json!({"hotkey": miner.as_str(), "worker_id": "w1", "merkle_commitments": {"-1": "00"},
        "computation_time_ms": 100.0, "success_count": 1});
    let runs = serde_json::json!({"challenges": [{"first_minutes_ago": 1.0, "step": 0.0, "count": 1, "row": row}]});
    challenges(&runs).collect()
}

fn leases(input: &Value) -> Write {
    let leased = list(input, "workers").filter_map(|worker| {
        let key = WorkerKey::new(&Hotkey::label(text(worker, "hotkey")), &WorkerId::new(text(worker, "worker_id")));
        Some((key, worker["lease_score"].as_f64()?.min(1.0)))
    });
    Write::Leases(LeasesWrite { at: NOW, source: LeaseSource::File, scores: leased.collect() })
}

fn commit(store: &mut Store, writes: Vec<Write>) {
    let reply = store.serve(StoreRequest::Commit { batch: 1, writes });
    assert!(matches!(reply, StoreReply::Committed { batch: 1 }), "{reply:?}");
}

fn told(input: &Value, policy: &Policy) -> Facts {
    let mut store = Store::in_memory().unwrap();
    commit(&mut store, first_words(input).chain([leases(input)]).collect());
    commit(&mut store, claims(input).chain(heartbeats(input)).collect());
    commit(&mut store, challenges(input).collect());
    // Every worker was heard within this, most of them in no window of the policy's.
    let reach = Reach { ranking: policy.ranking_window, heard: Duration::from_secs(14 * 24 * 3600) };
    let facts = store.facts_at(NOW, reach).unwrap();
    // Pruning what no window reaches must not change a score.
    let (ranking, availability) = (NOW - reach.ranking, NOW - reach.heard);
    commit(&mut store, vec![Write::Prune { ranking, kept: ranking, events: ranking, availability }]);
    assert_eq!(score(&facts, policy).raw, score(&store.facts_at(NOW, reach).unwrap(), policy).raw);
    online(facts, input)
}

/// The recordings say who is online beside the heartbeats.
fn online(mut facts: Facts, input: &Value) -> Facts {
    facts.metagraph = list(input, "metagraph_hotkeys").map(|hotkey| Hotkey::label(hotkey.as_str().unwrap())).collect();
    for miner in list(input, "miners") {
        let seen = if miner["is_online"] == true { NOW } else { minutes_ago(31.0) };
        facts.miners.get_mut(&Hotkey::label(text(miner, "hotkey"))).unwrap().seen = seen;
    }
    facts
}

fn policy_of(input: &Value) -> Policy {
    let number = |key: &str| input["config"][key].as_f64().unwrap();
    Policy {
        challenge_interval: Duration::from_secs_f64(number("validation.challenge_interval")),
        ranking_window: Duration::from_secs_f64(60.0 * number("validation.ranking_window_minutes")),
        participation_threshold: number("validation.participation_rate_threshold"),
        availability_hours: number("weight_management.availability.window_hours") as u32,
        ..Policy::reference_70_30()
    }
}

#[track_caller]
fn close(ours: f64, theirs: &Value, what: &str) {
    let theirs = theirs.as_f64().unwrap();
    assert!((ours - theirs).abs() <= 1e-9 * theirs.abs(), "{what}: ours {ours}, recorded {theirs}");
}

#[test]
fn recorded_scenarios_score_the_same_through_the_store() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/scoring.json");
    let vectors: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut done = 0;
    for scenario in list(&vectors, "scenarios").filter(|scenario| !NOT_TOLD.contains(&text(scenario, "name"))) {
        let (name, input) = (text(scenario, "name"), &scenario["input"]);
        let policy = policy_of(input);
        let scores = score(&told(input, &policy), &policy);
        let raw = scenario["miner_raw_challenge_scores"].as_object().unwrap();
        let ours: BTreeMap<&str, f64> = scores.raw.iter().map(|(hotkey, raw)| (hotkey.as_str(), *raw)).collect();
        assert!(ours.keys().copied().eq(raw.keys().map(String::as_str).collect::<BTreeSet<_>>()), "{name}");
        ours.iter().for_each(|(hotkey, ours)| close(*ours, &raw[*hotkey], name));
        for (miner, recorded) in scores.miners.iter().zip(list(scenario, "weight_rows")) {
            assert_eq!(miner.hotkey.as_str(), text(recorded, "hotkey"), "{name}");
            close(miner.weight, &recorded["weight"], name);
            close(miner.availability, &recorded["availability_score"], name);
        }
        done += 1;
    }
    assert_eq!(done, 16);
}
