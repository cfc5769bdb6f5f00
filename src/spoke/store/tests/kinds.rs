//! Challenges of either kind: what they ask, and the work that scoring gets.

use super::*;
use crate::wire::messages::gemm_i8::Sample;

fn gemm(id: &str, devices: &[&str]) -> ChallengeRow {
    let devices = devices.iter().map(|uuid| uuid.to_string()).collect();
    ChallengeRow { work: Work::GemmI8 { n: 512, rounds: 3, devices }, seed: "ab".repeat(32), ..row(id, "5A", NOON) }
}

fn opened(id: &str, devices: &[&str], end: End) -> Vec<Write> {
    let sample = Sample { round: 2, row: 511, chunk: 1 };
    let asked = devices.iter().map(|uuid| (uuid.to_string(), vec![sample; 16])).collect();
    let commitments = devices.iter().map(|uuid| (uuid.to_string(), "cd".repeat(32))).collect();
    let committed = Write::ChallengeCommitted {
        id: ChallengeId::new(id),
        at: NOON,
        computation_ms: 80.0,
        commitments,
        asked: Asked::Samples(asked),
    };
    let created = Write::ChallengeCreated(gemm(id, devices));
    vec![created, sent(id, NOON), committed, verifying(id, NOON), ended(id, NOON, end)]
}

fn facts_of(store: &mut Store) -> Outcome {
    let facts = store.facts(NOON);
    facts.workers[&worker_key("5A", "w1")].challenges[0].outcome.clone()
}

#[test]
fn a_challenge_is_loaded_as_it_was_made() {
    let mut store = a_store();
    let row = gemm("c1", &["GPU-1", "GPU-2"]);
    store.commit_all(vec![Write::ChallengeCreated(row.clone())]).unwrap();
    assert_eq!(store.load().open_challenges, [row]);
}

#[test]
fn the_work_of_a_challenge_is_what_its_passed_devices_did() {
    let mut store = a_store();
    let end = End::Verified {
        success_count: 1,
        ops: 8.05e8,
        note: Some("GPU-2 failed: no opening".into()),
        passed: vec!["GPU-1".into()],
    };
    store.commit_all(opened("c1", &["GPU-1", "GPU-2"], end)).unwrap();
    let Outcome::Verified { computation_ms, success_count, gpus, ops } = facts_of(&mut store) else { panic!() };
    assert_eq!((computation_ms, success_count, ops), (Some(80.0), Some(1), Some(8.05e8)));
    assert_eq!(store.facts(NOON).gpu_sets[&gpus.unwrap()].len(), 1);
}

#[test]
fn the_cpu_is_no_gpu_that_somebody_must_own() {
    let mut store = a_store();
    store
        .commit_all(opened("c1", &["cpu"], End::Verified { success_count: 1, ops: 8e8, note: None, passed: vec![] }))
        .unwrap();
    assert!(matches!(facts_of(&mut store), Outcome::Verified { gpus: None, .. }));
}

#[test]
fn work_that_is_no_number_is_refused() {
    for ops in [f64::NAN, f64::INFINITY, -1.0] {
        let writes = opened("c1", &["cpu"], End::Verified { success_count: 1, ops, note: None, passed: vec![] });
        assert!(matches!(a_store().commit_all(writes), Err(StoreFault::Refused { index: 4, .. })));
    }
}

#[test]
fn compacting_keeps_the_work_and_drops_what_was_asked() {
    let mut store = a_store();
    store
        .commit_all(opened("c1", &["cpu"], End::Verified { success_count: 1, ops: 8e8, note: None, passed: vec![] }))
        .unwrap();
    let kept = |store: &Store| {
        let sql = "SELECT samples IS NULL, ops, devices FROM challenges";
        let read = |row: &rusqlite::Row| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        store.connection.query_row(sql, [], read).unwrap()
    };
    let whole: (bool, f64, String) = kept(&store);
    assert_eq!(whole, (false, 8e8, r#"["cpu"]"#.into()));
    let later = NOON + minutes(1);
    store.commit_all(vec![Write::Prune { ranking: later, kept: NOON, events: NOON, availability: NOON }]).unwrap();
    let compacted: (bool, f64, String) = kept(&store);
    assert_eq!(compacted, (true, 8e8, r#"["cpu"]"#.into()));
}

#[test]
fn scores_are_kept_with_their_unit_and_what_was_expected() {
    let mut store = a_store();
    store
        .commit_all(opened("c1", &["cpu"], End::Verified { success_count: 1, ops: 8e8, note: None, passed: vec![] }))
        .unwrap();
    store.commit_all(vec![Write::RoundBegan { at: NOON, passed_over: vec![worker_key("5A", "w1")] }]).unwrap();
    let mut facts = store.facts(NOON);
    facts.metagraph = facts.miners.keys().cloned().collect();
    let policy = Policy { availability_hours: 1, ..Policy::throughput() };
    store.commit_all(vec![calculated(&facts, score(&facts, &policy))]).unwrap();
    let sql = "SELECT base, unit, busy_ms, ops, passed_over, baseline FROM worker_scores";
    let read = |row: &rusqlite::Row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?));
    let kept: (f64, String, f64, f64, u32, f64) = store.connection.query_row(sql, [], read).unwrap();
    assert_eq!(kept, (10.0, "Gop/s".into(), 80.0, 8e8, 1, 44.0 * 0.8));
    let units: String = store.connection.query_row("SELECT DISTINCT unit FROM scores", [], |row| row.get(0)).unwrap();
    assert_eq!(units, "Gop/s");
}

/// Who claims the GPU, and when each proved it last.
fn proven(store: &mut Store, at: Wall) -> Vec<(String, Option<Wall>)> {
    let facts = store.facts(at);
    facts.claims["GPU-1"].iter().map(|claim| (claim.worker.to_string(), claim.proved)).collect()
}

#[test]
fn a_claim_is_a_workers_and_keeps_its_last_proof() {
    let mut store = a_store();
    let names =
        |name: &str| WorkerSeen { gpus_owned: vec![("GPU-1".into(), "H200".into())], ..WorkerSeen::named(name) };
    store.commit_all(vec![heartbeat_of("5A", NOON, vec![names("w1"), names("w2")])]).unwrap();
    let end = End::Verified { success_count: 1, ops: 8e8, note: None, passed: vec!["GPU-1".into()] };
    store.commit_all(opened("c1", &["GPU-1"], end)).unwrap();
    let known = [("5A:w1".to_owned(), Some(NOON)), ("5A:w2".to_owned(), None)];
    assert_eq!(proven(&mut store, NOON), known);
    let later = NOON + minutes(400);
    store.commit_all(vec![heartbeat_of("5A", later, vec![names("w1"), names("w2")])]).unwrap();
    store.commit_all(vec![Write::Prune { ranking: later, kept: later, events: later, availability: NOON }]).unwrap();
    assert_eq!(proven(&mut store, later), known, "longer than its challenge");
}
