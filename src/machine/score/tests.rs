//! The recorded scenarios of the reference implementation, the places where ours is different, and the laws
//! that any facts must obey.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
    sync::Arc,
    time::Duration,
};

use proptest::prelude::*;
use serde_json::Value;

use super::{ownership::Share, *};
use crate::{
    machine::availability::{AddressId, Beat, GpuSetId, Present, RosterId},
    units::{Hotkey, Uid, Wall, WorkerId},
};

const NOW_S: u64 = 1_768_478_550; // 2026-01-15T12:02:30Z

fn vectors() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/scoring.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Builds facts from a recorded scenario's rows, as the store would from heartbeats and challenges.
#[derive(Default)]
struct Scenario {
    facts: Facts,
    addresses: BTreeMap<String, AddressId>,
    sets: BTreeMap<BTreeSet<Arc<str>>, GpuSetId>,
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap()
}

fn minutes_ago(minutes: f64) -> Wall {
    Wall(NOW_S * 1_000_000_000) - Duration::from_secs_f64(minutes * 60.0)
}

fn key_of(row: &Value) -> WorkerKey {
    WorkerKey::new(&Hotkey::label(text(row, "hotkey")), &WorkerId::new(text(row, "worker_id")))
}

/// The reference looks at the hotkey of a claim alone; ours at the worker, and who proves a GPU names it too.
fn prover(input: &Value, gpu: &Value) -> Option<WorkerKey> {
    let rows = input["challenges"].as_array()?.iter().map(|run| &run["row"]);
    let mut proving = rows.filter(|row| !row["merkle_commitments"][text(gpu, "gpu_uuid")].is_null());
    proving.find(|row| row["hotkey"] == gpu["hotkey"]).map(key_of)
}

/// A run's rows with their moments.
fn run(run: &Value) -> impl Iterator<Item = (Wall, &Value)> {
    let (first, step) = (run["first_minutes_ago"].as_f64().unwrap(), run["step"].as_f64().unwrap());
    (0..run["count"].as_u64().unwrap()).map(move |n| (minutes_ago(first + step * n as f64), &run["row"]))
}

impl Scenario {
    fn of(input: &Value) -> Facts {
        let mut scenario = Scenario::default();
        scenario.facts.at = minutes_ago(0.0);
        scenario.subnet(input);
        scenario.claims(input);
        let mut beats: Vec<_> = input["heartbeats"].as_array().unwrap().iter().flat_map(run).collect();
        beats.sort_by_key(|(at, _)| *at);
        beats.into_iter().for_each(|(at, row)| scenario.heartbeat(at, row));
        // Rows were inserted run by run: a later run has the higher row ids.
        for (row_id, (at, row)) in input["challenges"].as_array().unwrap().iter().flat_map(run).enumerate() {
            scenario.challenge(at, row, row_id as u64);
        }
        scenario.facts.gpu_sets = scenario.sets.into_iter().map(|(uuids, id)| (id, uuids)).collect();
        scenario.facts
    }

    fn subnet(&mut self, input: &Value) {
        let hotkeys = input["metagraph_hotkeys"].as_array().unwrap();
        self.facts.metagraph = hotkeys.iter().map(|hotkey| Hotkey::label(hotkey.as_str().unwrap())).collect();
        for miner in input["miners"].as_array().unwrap() {
            let seen = if miner["is_online"] == true { self.facts.at } else { minutes_ago(31.0) };
            let facts = MinerFacts { seen, removed: miner["deleted"] == true, beats: Vec::new() };
            self.facts.miners.insert(Hotkey::label(text(miner, "hotkey")), facts);
        }
        for worker in input["workers"].as_array().unwrap() {
            let lease = worker["lease_score"].as_f64().map(leased);
            let facts = WorkerFacts { removed: worker["deleted"] == true, lease, ..WorkerFacts::default() };
            self.facts.workers.insert(key_of(worker), facts);
        }
    }

    fn claims(&mut self, input: &Value) {
        for gpu in input["gpu_inventory"].as_array().unwrap() {
            let seen = minutes_ago(gpu["seen_minutes_ago"].as_f64().unwrap());
            let worker = prover(input, gpu).unwrap_or_else(|| key_of(gpu));
            let claim = Claim { worker, since: seen, seen, proved: None, removed: gpu["deleted"] == true };
            self.facts.claims.entry(text(gpu, "gpu_uuid").into()).or_default().push(claim);
        }
    }

    fn set(&mut self, uuids: BTreeSet<Arc<str>>) -> Option<GpuSetId> {
        let next = NonZeroU32::new(self.sets.len() as u32 + 1).map(GpuSetId)?;
        (!uuids.is_empty()).then(|| *self.sets.entry(uuids).or_insert(next))
    }

    /// A worker that was never listed still sends heartbeats, but does not count among its miner's workers.
    fn worker(&mut self, row: &Value) -> &mut WorkerFacts {
        let unlisted = || WorkerFacts { removed: true, ..WorkerFacts::default() };
        self.facts.workers.entry(key_of(row)).or_insert_with(unlisted)
    }

    fn heartbeat(&mut self, at: Wall, row: &Value) {
        let named = row["public_ip"].as_str().filter(|ip| !ip.is_empty());
        let next = NonZeroU32::new(self.addresses.len() as u32 + 1).map(AddressId).unwrap();
        let address = named.map(|ip| *self.addresses.entry(ip.into()).or_insert(next));
        let items = row["gpu_utilization"].as_array().cloned().unwrap_or_default();
        let uuids = items.iter().map(|item| item["uuid"].as_str().or(item["gpu_uuid"].as_str()).unwrap().into());
        let gpus = self.set(uuids.collect());
        let worker = key_of(row);
        self.worker(row);
        facts_of::beat(&mut self.facts, &worker, at, (address, gpus));
    }

    fn challenge(&mut self, created: Wall, row: &Value, row_id: u64) {
        let commitments = row["merkle_commitments"].as_object();
        let uuids = commitments.into_iter().flatten().map(|(uuid, _)| uuid.as_str()).filter(|uuid| *uuid != "-1");
        let gpus = self.set(uuids.map(Arc::from).collect());
        let passed = row["is_success"] == true && row["verification_result"] == true;
        let outcome = if row["challenge_status"] == "verified" && passed {
            let success_count = row["success_count"].as_u64().map(|count| count as u32);
            Outcome::Verified { computation_ms: row["computation_time_ms"].as_f64(), success_count, gpus, ops: None }
        } else {
            Outcome::Failed("recorded as not passed".into())
        };
        self.worker(row).challenges.push(ChallengeFact { created, tie: row_id, outcome });
    }
}

fn policy_of(input: &Value) -> Policy {
    let number = |key: &str| input["config"][key].as_f64().unwrap();
    Policy {
        challenge_interval: Duration::from_secs_f64(number("validation.challenge_interval")),
        ranking_window: Duration::from_secs_f64(60.0 * number("validation.ranking_window_minutes")),
        participation_threshold: number("validation.participation_rate_threshold"),
        availability_hours: number("weight_management.availability.window_hours") as u32,
        lease_weight: number("weight_management.score_weights.lease_weight"),
        challenge_weight: number("weight_management.score_weights.challenge_weight"),
        ..Policy::reference_70_30()
    }
}

fn leased(score: f64) -> LeaseFact {
    LeaseFact { score, heard: minutes_ago(60.0) }
}

#[track_caller]
fn close(ours: f64, theirs: &Value, what: &str) {
    let theirs = theirs.as_f64().unwrap_or_else(|| panic!("{what}: no number recorded"));
    let tolerance = 1e-9 * theirs.abs();
    assert!((ours - theirs).abs() <= tolerance, "{what}: ours {ours}, recorded {theirs}");
}

fn ranked(scores: &Scores) -> Vec<&WorkerScore> {
    scores.workers.iter().filter(|worker| worker.rank.is_some()).collect()
}

fn recorded(name: &str) -> (Value, Scores, Policy) {
    let all = vectors();
    let found = all["scenarios"].as_array().unwrap().iter().find(|scenario| scenario["name"] == name);
    let scenario = found.unwrap_or_else(|| panic!("no scenario {name}")).clone();
    let policy = policy_of(&scenario["input"]);
    let scores = score(&Scenario::of(&scenario["input"]), &policy);
    (scenario, scores, policy)
}

fn each_scenario(check: impl Fn(&str, &Value, &Scores, &Policy)) {
    let all = vectors();
    let scenarios = all["scenarios"].as_array().unwrap();
    assert_eq!(scenarios.len(), 22);
    for scenario in scenarios {
        let policy = policy_of(&scenario["input"]);
        let scores = score(&Scenario::of(&scenario["input"]), &policy);
        check(text(scenario, "name"), scenario, &scores, &policy);
    }
}

/// Where ours scores otherwise on purpose (`tests/data/DIFFERENCES.md`).
const REMOVED_MINERS: &str = "membership";
const UNIFORM_WEIGHTS: &str = "all_zero";

#[test]
fn every_recorded_ranking_is_ours() {
    each_scenario(|name, scenario, scores, _| {
        let recorded = scenario["workers_ranked"].as_array().unwrap();
        let ours = ranked(scores);
        assert_eq!(ours.len(), recorded.len(), "{name}");
        for (ours, theirs) in ours.iter().zip(recorded) {
            let what = format!("{name} {}", text(theirs, "key"));
            assert_eq!(format!("{}_{}", ours.key.hotkey, ours.key.worker), text(theirs, "key"), "{name}");
            assert_eq!(u64::from(ours.counted), theirs["actual_participation"].as_u64().unwrap(), "{what}");
            close(ours.time_ms, &theirs["avg_time_ms"], &what);
            close(f64::from(ours.counted).min(scores.baseline), &theirs["participation_score"], &what);
            close(scores.baseline, &theirs["baseline_expected"], &what);
            close(ours.devices, &theirs["success_count_avg"], &what);
            close(ours.lease.unwrap_or(0.0), &theirs["lease_score"], &what);
            close(ours.availability.value, &theirs["availability"], &what);
            close(ours.performance, &theirs["performance_score"], &what);
        }
    });
}

#[test]
fn every_recorded_raw_score_is_ours() {
    each_scenario(|name, scenario, scores, _| {
        let recorded = scenario["miner_raw_challenge_scores"].as_object().unwrap();
        assert_eq!(scores.raw.len(), recorded.len(), "{name}");
        for (hotkey, raw) in &scores.raw {
            close(*raw, &recorded[hotkey.as_str()], &format!("{name} {hotkey}"));
        }
    });
}

#[test]
fn every_recorded_weight_row_is_ours() {
    each_scenario(|name, scenario, scores, _| {
        if name == REMOVED_MINERS {
            return;
        }
        let recorded = scenario["weight_rows"].as_array().unwrap();
        assert_eq!(scores.miners.len(), recorded.len(), "{name}");
        for (ours, theirs) in scores.miners.iter().zip(recorded) {
            let what = format!("{name} {}", ours.hotkey);
            assert_eq!(ours.hotkey.as_str(), text(theirs, "hotkey"), "{name}");
            close(ours.weight, &theirs["weight"], &what);
            close(ours.challenge, &theirs["challenge_score"], &what);
            close(ours.lease, &theirs["lease_score"], &what);
            close(ours.availability, &theirs["availability_score"], &what);
        }
    });
}

fn uids_of(scenario: &Value) -> BTreeMap<Hotkey, Uid> {
    let hotkeys = scenario["input"]["metagraph_hotkeys"].as_array().unwrap().iter();
    hotkeys.enumerate().map(|(uid, hotkey)| (Hotkey::label(hotkey.as_str().unwrap()), Uid(uid as u16))).collect()
}

fn online_of(scores: &Scores) -> BTreeSet<Hotkey> {
    scores.miners.iter().filter(|miner| miner.online).map(|miner| miner.hotkey.clone()).collect()
}

#[test]
fn every_recorded_submission_is_ours() {
    each_scenario(|name, scenario, scores, _| {
        if [REMOVED_MINERS, UNIFORM_WEIGHTS].contains(&name) {
            return;
        }
        let vector = submission(scores, &uids_of(scenario), &online_of(scores));
        let empty = vec![];
        let list = |which: &str, key: &str| scenario[which][0][key].as_array().unwrap_or(&empty).clone();
        let uids: Vec<u64> = vector.iter().map(|(uid, _, _)| u64::from(uid.0)).collect();
        assert_eq!(serde_json::to_value(uids).unwrap(), Value::from(list("submitted_float", "uids")), "{name}");
        for ((uid, _, weight), theirs) in vector.iter().zip(&list("submitted_float", "weights")) {
            close(*weight, theirs, &format!("{name} uid {}", uid.0));
        }
        let weights: Vec<(u64, f64)> = vector.iter().map(|(uid, _, weight)| (u64::from(uid.0), *weight)).collect();
        let (uids, shares): (Vec<u64>, Vec<u16>) = emit(&weights).into_iter().unzip();
        assert_eq!(serde_json::to_value(uids).unwrap(), Value::from(list("submitted_to_chain", "uids")), "{name}");
        assert_eq!(serde_json::to_value(shares).unwrap(), Value::from(list("submitted_to_chain", "weights")), "{name}");
    });
}

#[test]
fn every_recorded_conversion_to_u16_is_ours() {
    let all = vectors();
    for case in all["emit_conversion"].as_array().unwrap() {
        let uids = case["uids"].as_array().unwrap().iter().map(|uid| uid.as_u64().unwrap());
        let weights = case["weights"].as_array().unwrap().iter().map(|weight| weight.as_f64().unwrap());
        let (uids, shares): (Vec<u64>, Vec<u16>) = emit(&uids.zip(weights).collect::<Vec<_>>()).into_iter().unzip();
        assert_eq!(serde_json::to_value(uids).unwrap(), case["emit_uids"], "{}", case["name"]);
        assert_eq!(serde_json::to_value(shares).unwrap(), case["emit_weights"], "{}", case["name"]);
    }
}

#[test]
fn every_recorded_score_report_is_ours() {
    each_scenario(|name, scenario, scores, policy| {
        let ours = report(scores, policy);
        let theirs = &scenario["meshhub_payload"];
        let exact = |ours: f64, theirs: &Value| assert_eq!(ours, theirs.as_f64().unwrap(), "{name}");
        exact(ours.average_score, &theirs["globalStats"]["averageScore"]);
        exact(ours.workers.len() as f64, &theirs["globalStats"]["totalWorkers"]);
        assert_eq!((ours.window_end.as_secs(), ours.worker_cap), (NOW_S, 100));
        for (line, theirs) in ours.workers.iter().zip(theirs["workerScores"].as_array().unwrap()) {
            assert_eq!(line.key.to_string(), text(theirs, "workerKey"), "{name}");
            exact(line.score, &theirs["score"]);
            exact(line.lease, &theirs["leaseScore"]);
            exact(line.score, &theirs["perfScore"]);
            exact(line.availability, &theirs["factors"]["availability"]);
            close(line.participation_baseline, &theirs["factors"]["participationBaseline"], name);
            exact(f64::from(line.participation_count), &theirs["factors"]["participationCount"]);
            close(line.mean_time_ms, &theirs["factors"]["avgExecMs"], name);
            close(line.mean_devices, &theirs["factors"]["avgExecGpus"], name);
            close(line.performance, &theirs["factors"]["rawPerfScore"], name);
        }
        if name != REMOVED_MINERS {
            exact(ours.average_challenge, &theirs["globalStats"]["averageChallengeNorm"]);
            for ((hotkey, weight), theirs) in ours.miners.iter().zip(theirs["minerScores"].as_array().unwrap()) {
                assert_eq!(hotkey.as_str(), text(theirs, "hotkey"), "{name}");
                exact(*weight, &theirs["weight"]);
            }
        }
    });
}

#[test]
fn weights_that_are_uniform_because_all_is_zero_are_stored_but_not_submitted() {
    let (scenario, scores, _) = recorded(UNIFORM_WEIGHTS);
    assert!(scores.all_zero);
    assert!(scores.miners.iter().all(|miner| miner.weight == 1.0 / 3.0));
    assert_eq!(scenario["submitted_to_chain"][0]["weights"].as_array().unwrap().len(), 3);
    assert_eq!(submission(&scores, &uids_of(&scenario), &online_of(&scores)), []);
}

#[test]
fn a_removed_miner_is_not_scored() {
    let (scenario, scores, _) = recorded(REMOVED_MINERS);
    assert_eq!(scenario["weight_rows"].as_array().unwrap().len(), 2);
    let ours: Vec<(&str, f64)> = scores.miners.iter().map(|miner| (miner.hotkey.as_str(), miner.weight)).collect();
    assert_eq!(ours, [("5A", 1.0)]);
}

#[test]
fn a_failed_challenge_lowers_the_share_of_successes() {
    let (_, scores, _) = recorded("statuses");
    let attempts: Vec<_> = ranked(&scores).iter().map(|worker| (worker.counted, worker.attempts)).collect();
    // The reference implementation reports 20 of 20 for the last: it looks at verified rows alone.
    assert_eq!(attempts, [(23, 33), (20, 40), (20, 40)]);
}

mod ownership;
mod reasons;
mod throughput;

mod facts_of {
    //! Small subnets by hand.
    use super::*;

    pub fn miner(facts: &mut Facts, hotkey: &str) {
        facts.metagraph.insert(Hotkey::label(hotkey));
        facts.miners.insert(Hotkey::label(hotkey), MinerFacts { seen: facts.at, ..MinerFacts::default() });
    }

    pub fn worker<'a>(facts: &'a mut Facts, hotkey: &str, worker: &str) -> &'a mut WorkerFacts {
        let key = WorkerKey::new(&Hotkey::label(hotkey), &WorkerId::new(worker));
        facts.workers.entry(key).or_default()
    }

    /// One heartbeat of one worker.
    pub fn beat(facts: &mut Facts, key: &WorkerKey, at: Wall, said: (Option<AddressId>, Option<GpuSetId>)) {
        let (address, gpus) = said;
        let present = Present { worker: key.worker.clone(), address, gpus, owned: None };
        let known = facts.rosters.iter().find(|(_, roster)| ***roster == [present.clone()]).map(|(id, _)| *id);
        let id = known.unwrap_or_else(|| {
            let next = NonZeroU32::new(facts.rosters.len() as u32 + 1).map(RosterId).unwrap();
            facts.rosters.insert(next, [present].into());
            next
        });
        let miner = facts
            .miners
            .entry(key.hotkey.clone())
            .or_insert_with(|| MinerFacts { removed: true, ..MinerFacts::default() });
        miner.beats.push(Beat { at, roster: Some(id) });
    }

    /// A heartbeat in each bucket of the last hour.
    pub fn there_for_an_hour(facts: &mut Facts, key: &WorkerKey, gpus: Option<GpuSetId>) {
        (1..=12).rev().for_each(|n| beat(facts, key, facts.at - Duration::from_secs(300 * n), (None, gpus)));
    }
}

#[test]
fn a_lease_outside_its_range_or_no_number_breaks_nothing() {
    let mut facts = Facts { at: minutes_ago(0.0), ..Facts::default() };
    for (hotkey, lease) in [("5A", 7.5), ("5B", -3.0), ("5C", f64::NAN), ("5D", 0.5)] {
        facts_of::miner(&mut facts, hotkey);
        facts_of::worker(&mut facts, hotkey, "w1").lease = Some(leased(lease));
    }
    let scores = score(&facts, &Policy::reference_70_30());
    let leases: Vec<f64> = scores.miners.iter().map(|miner| miner.lease).collect();
    assert_eq!(leases, [1.0, 0.0, 0.0, 0.5]);
}

#[test]
fn who_left_the_chain_or_went_offline_since_gets_nothing_and_nobody_more() {
    let (scenario, scores, _) = recorded("basic_two_miners");
    let mut uids = uids_of(&scenario);
    let mut online = online_of(&scores);
    online.remove(&Hotkey::label("5A"));
    let weights: Vec<f64> = submission(&scores, &uids, &online).iter().map(|(_, _, weight)| *weight).collect();
    assert_eq!(weights, [0.0, scores.miners[1].weight]);
    uids.remove(&Hotkey::label("5A"));
    assert_eq!(submission(&scores, &uids, &online).len(), 1);
    online.clear();
    assert_eq!(submission(&scores, &uids, &online), []);
}

fn work() -> impl Strategy<Value = Option<f64>> {
    prop::option::weighted(0.9, 0.0..1e16f64)
}

fn policies() -> impl Strategy<Value = Policy> {
    prop_oneof![Just(Policy::reference_70_30()), Just(Policy::throughput())]
}

fn challenges() -> impl Strategy<Value = Vec<ChallengeFact>> {
    let outcome = prop_oneof![
        6 => (prop::option::weighted(0.9, 0.0..1e7f64), prop::option::of(0..9u32), prop::option::of(1..5u32), work())
            .prop_map(|(computation_ms, success_count, set, ops)| Outcome::Verified {
                computation_ms,
                success_count,
                gpus: set.and_then(NonZeroU32::new).map(GpuSetId),
                ops,
            }),
        1 => Just(Outcome::Failed("wrong rows".into())),
        1 => Just(Outcome::Void("restart".into())),
    ];
    let fact = (0.0..200.0f64, any::<u32>(), outcome);
    let fact =
        fact.prop_map(|(ago, row, outcome)| ChallengeFact { created: minutes_ago(ago), tie: row.into(), outcome });
    prop::collection::vec(fact, 0..40)
}

/// Minutes before now, and what was said: address and GPUs, of which worker.
fn beats() -> impl Strategy<Value = Vec<(f64, u8, Option<AddressId>, Option<GpuSetId>)>> {
    let id = |ids: std::ops::Range<u32>| prop::option::of(ids.prop_map(|id| NonZeroU32::new(id).unwrap()));
    let beat = (0.0..12_000.0f64, 0..4u8, id(1..3), id(1..5));
    let beat = beat.prop_map(|(ago, worker, address, set)| (ago, worker, address.map(AddressId), set.map(GpuSetId)));
    prop::collection::vec(beat, 0..20)
}

prop_compose! {
    fn a_worker()(
        removed in prop::bool::weighted(0.1),
        lease in prop::option::of(prop_oneof![Just(0.0), 0.0..1.0f64].prop_map(leased)),
        challenges in challenges(),
        passed_over in prop_oneof![Just(0), 0..60u32],
    ) -> WorkerFacts {
        let passed_over = (0..passed_over).map(|n| minutes_ago(4.0 * f64::from(n))).collect();
        WorkerFacts { removed, lease, challenges, passed_over, ..WorkerFacts::default() }
    }
}

prop_compose! {
    fn subnets()(
        workers in prop::collection::vec((0..5u8, 0..4u8, a_worker()), 0..12),
        seen in prop::collection::vec((0.0..40.0f64, any::<bool>(), beats()), 5),
        claims in prop::collection::vec((1..7u8, 0..5u8, 0..4u8, 0.0..400.0f64, 0.0..400.0f64, prop::option::of(0.0..400.0f64)), 0..24),
    ) -> Facts {
        let hotkey = |n: u8| Hotkey::label(&format!("5{n}"));
        let mut facts = Facts { at: minutes_ago(0.0), ..Facts::default() };
        for (n, (ago, member, beats)) in seen.into_iter().enumerate() {
            let hotkey = hotkey(n as u8);
            facts.miners.insert(hotkey.clone(), MinerFacts { seen: minutes_ago(ago), ..MinerFacts::default() });
            for (ago, worker, address, gpus) in beats {
                let key = WorkerKey::new(&hotkey, &WorkerId::new(&format!("w{worker}")));
                facts_of::beat(&mut facts, &key, minutes_ago(ago), (address, gpus));
            }
            facts.metagraph.extend(member.then_some(hotkey));
        }
        for (miner, worker, known) in workers {
            let key = WorkerKey::new(&hotkey(miner), &WorkerId::new(&format!("w{worker}")));
            facts.workers.insert(key, known);
        }
        for (gpu, miner, worker, since, seen, proved) in claims {
            let worker = WorkerKey::new(&hotkey(miner), &WorkerId::new(&format!("w{worker}")));
            let (since, seen, proved) = (minutes_ago(since), minutes_ago(seen), proved.map(minutes_ago));
            let claim = Claim { worker, since, seen, proved, removed: false };
            facts.claims.entry(format!("GPU-{gpu}").into()).or_default().push(claim);
        }
        for id in 1..5u32 {
            let uuids = (0..=id % 3).map(|n| format!("GPU-{}", id + n).into()).collect();
            facts.gpu_sets.extend(NonZeroU32::new(id).map(|id| (GpuSetId(id), uuids)));
        }
        facts
    }
}

proptest! {
    #[test]
    fn scores_lie_between_zero_and_one(facts in subnets(), policy in policies()) {
        let scores = score(&facts, &policy);
        for miner in &scores.miners {
            for value in [miner.own_challenge, miner.challenge, miner.lease, miner.availability, miner.composite, miner.weight] {
                prop_assert!((0.0..=1.0).contains(&value), "{miner:?}");
            }
        }
        for worker in &scores.workers {
            for value in [worker.participation, worker.availability.value, worker.score] {
                prop_assert!((0.0..=1.0).contains(&value), "{worker:?}");
            }
        }
    }

    #[test]
    fn weights_sum_to_one(facts in subnets(), policy in policies()) {
        let scores = score(&facts, &policy);
        let sum: f64 = scores.miners.iter().map(|miner| miner.weight).sum();
        prop_assert!(scores.miners.is_empty() || (sum - 1.0).abs() < 1e-9, "{sum}");
        prop_assert_eq!(scores.all_zero, scores.miners.iter().all(|miner| miner.composite == 0.0));
    }

    #[test]
    fn the_order_of_the_input_changes_nothing(facts in subnets(), seed in any::<u64>(), policy in policies()) {
        let mut shuffled = facts.clone();
        let turn = |length: usize| if length == 0 { 0 } else { (seed % length as u64) as usize };
        for worker in shuffled.workers.values_mut() {
            // Equal rows of one instant cannot occur in a store: leave no ties to the order of the list.
            worker.challenges.dedup_by_key(|fact| (fact.created, fact.tie));
            let by = turn(worker.challenges.len());
            worker.challenges.rotate_left(by);
            worker.challenges.reverse();
        }
        for miner in shuffled.miners.values_mut() {
            let by = turn(miner.beats.len());
            miner.beats.rotate_left(by);
        }
        for claims in shuffled.claims.values_mut() {
            let by = turn(claims.len());
            claims.rotate_left(by);
        }
        prop_assert_eq!(score(&facts, &policy), score(&shuffled, &policy));
    }

    #[test]
    fn a_challenge_that_nobody_fetched_changes_nothing(facts in subnets(), ago in 0.0..200.0f64, policy in policies()) {
        let mut with_void = facts.clone();
        for worker in with_void.workers.values_mut() {
            let outcome = Outcome::Void("not fetched within 240 s".into());
            worker.challenges.push(ChallengeFact { created: minutes_ago(ago), tie: u64::MAX, outcome });
        }
        let (without, with) = (score(&facts, &policy), score(&with_void, &policy));
        prop_assert_eq!(without.miners, with.miners);
        let forget = |worker: &WorkerScore| WorkerScore { void: 0, not_fetched: 0, ..worker.clone() };
        let without: Vec<_> = without.workers.iter().filter(|worker| worker.rank.is_some()).map(forget).collect();
        let with: Vec<_> = with.workers.iter().filter(|worker| worker.rank.is_some()).map(forget).collect();
        prop_assert_eq!(without, with);
    }

    #[test]
    fn what_goes_to_the_chain_has_a_largest_of_65535(weights in prop::collection::vec(prop::num::f64::ANY, 0..20)) {
        let weights: Vec<(usize, f64)> = weights.into_iter().enumerate().collect();
        let emitted = emit(&weights);
        prop_assert!(emitted.is_empty() || emitted.iter().any(|(_, share)| *share == u16::MAX));
        prop_assert!(emitted.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}
