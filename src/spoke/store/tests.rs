//! The store as the machine uses it, and as crashes, full disks and strange files treat it.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::{
    config::leases::LeaseSource,
    machine::{
        contract::store::{
            Asked, Calculation, ChallengeRow, End, HeartbeatWrite, KnownLeases, LeaseRow, LeasesWrite, Reach,
            ScoreRequest, Snapshot, StoredIntent, WeightOutcome, Work, WorkerSeen,
        },
        score::{Facts, Outcome, Policy, score},
    },
    units::{ChallengeId, Hotkey, Uid, WorkerId, WorkerKey},
};

mod carry;
mod extrinsics;
mod kinds;
mod leases;
mod log;
mod opening;
mod overrides;
mod rounds;
mod tasks;

const NOON: Wall = Wall(1_768_478_400_000_000_000);
const REACH: Reach = Reach { ranking: minutes(180), heard: minutes(169 * 60) };

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

fn worker_key(hotkey: &str, worker: &str) -> WorkerKey {
    WorkerKey::new(&Hotkey::label(hotkey), &WorkerId::new(worker))
}

fn heartbeat_of(hotkey: &str, at: Wall, workers: Vec<WorkerSeen>) -> Write {
    Write::Heartbeat(Box::new(HeartbeatWrite { hotkey: Hotkey::label(hotkey), at, workers, maintenance: None }))
}

fn heartbeat(hotkey: &str, at: Wall) -> Write {
    heartbeat_of(hotkey, at, vec![WorkerSeen::named("w1")])
}

fn row(id: &str, hotkey: &str, created: Wall) -> ChallengeRow {
    ChallengeRow {
        id: ChallengeId::new(id),
        target: worker_key(hotkey, "w1"),
        work: Work::CpuMatrix { n: 64, iterations: 1 },
        seed: "00".repeat(16),
        round_id: "round_1".into(),
        created,
    }
}

fn created(id: &str, hotkey: &str, at: Wall) -> Write {
    Write::ChallengeCreated(row(id, hotkey, at))
}

fn sent(id: &str, at: Wall) -> Write {
    Write::ChallengeSent { id: ChallengeId::new(id), at }
}

fn committed(id: &str, at: Wall, uuid: &str) -> Write {
    let commitments = vec![(uuid.to_string(), "ab".repeat(32))];
    Write::ChallengeCommitted {
        id: ChallengeId::new(id),
        at,
        computation_ms: 100.0,
        commitments,
        asked: Asked::Rows(vec![3, 5]),
    }
}

fn verifying(id: &str, at: Wall) -> Write {
    Write::ChallengeVerifying { id: ChallengeId::new(id), at }
}

fn ended(id: &str, at: Wall, end: End) -> Write {
    Write::ChallengeEnded { id: ChallengeId::new(id), at, end, verify_ms: Some(2.5) }
}

fn passed() -> End {
    End::Verified { success_count: 1, ops: 2.0 * 64.0 * 64.0 * 64.0, note: None, passed: vec![] }
}

fn verified(id: &str, hotkey: &str, at: Wall, uuid: &str) -> Vec<Write> {
    let end = passed();
    vec![created(id, hotkey, at), sent(id, at), committed(id, at, uuid), verifying(id, at), ended(id, at, end)]
}

/// What a machine may do with a store, in short.
trait Ask {
    fn commit_all(&mut self, writes: Vec<Write>) -> Result<(), StoreFault>;
    fn load(&mut self) -> Snapshot;
    fn facts(&mut self, at: Wall) -> Facts;
}

impl Ask for Store {
    fn commit_all(&mut self, writes: Vec<Write>) -> Result<(), StoreFault> {
        match self.serve(StoreRequest::Commit { batch: 7, writes }) {
            StoreReply::Committed { batch: 7 } => Ok(()),
            StoreReply::Failed { batch: Some(7), fault } => Err(fault),
            other => panic!("{other:?}"),
        }
    }

    fn load(&mut self) -> Snapshot {
        match self.serve(StoreRequest::Load) {
            StoreReply::Loaded(snapshot) => *snapshot,
            other => panic!("{other:?}"),
        }
    }

    fn facts(&mut self, at: Wall) -> Facts {
        self.facts_at(at, REACH).unwrap()
    }
}

fn a_store() -> Store {
    let mut store = Store::in_memory().unwrap();
    store.commit_all(vec![heartbeat("5A", NOON), heartbeat("5B", NOON)]).unwrap();
    store
}

/// As the validator of these tests.
fn open(path: &Path) -> Result<Store, OpenError> {
    Store::open(path, &Hotkey::label("5Validator"))
}

fn a_file() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("validator.db");
    (dir, path)
}

#[test]
fn what_was_committed_is_there_after_a_restart() {
    let (_dir, path) = a_file();
    let mut store = open(&path).unwrap();
    store.commit_all(vec![heartbeat("5A", NOON), created("c1", "5A", NOON)]).unwrap();
    store.commit_all(vec![leased(NOON, vec![(worker_key("5Z", "later"), 0.5)])]).unwrap();
    let weights = vec![(Uid(3), Hotkey::label("5A"), 65535)];
    let intent = Write::WeightIntent { id: 1, at: NOON, at_block: 9, weights: weights.clone(), basis: Box::default() };
    let refused = WeightOutcome::Refused("a miner left".into());
    store.commit_all(vec![intent, Write::WeightOutcome { intent: 1, at: NOON, outcome: refused.clone() }]).unwrap();
    drop(store);
    let expected = Snapshot {
        open_challenges: vec![row("c1", "5A", NOON)],
        leases: KnownLeases {
            rows: vec![LeaseRow { key: worker_key("5Z", "later"), score: 0.5, heard: NOON, source: "file".into() }],
            heard: Some(NOON),
        },
        workers: vec![(worker_key("5A", "w1"), NOON)],
        intent: Some(StoredIntent { id: 1, at_block: 9, weights, outcome: Some(refused) }),
        ..Snapshot::default()
    };
    assert_eq!(open(&path).unwrap().load(), expected);
}

fn leased(at: Wall, scores: Vec<(WorkerKey, f64)>) -> Write {
    Write::Leases(LeasesWrite { at, source: LeaseSource::File, scores })
}

/// A calculation for all miners that the tests name.
fn wanted(at: Wall) -> ScoreRequest {
    let metagraph = ["5A", "5B", "5C"].map(Hotkey::label).into();
    ScoreRequest { at, reach: REACH, metagraph, policy: Policy::reference_70_30(), shadow: None }
}

fn calculated(facts: &Facts, scores: Scores) -> Write {
    let (policy, metagraph) = (Policy::reference_70_30(), facts.metagraph.clone());
    Write::Scored(Box::new(Calculation { scores, shadow: None, seq: 1, policy, reach: REACH, metagraph }))
}

/// What a kill leaves: the files as the kernel has them, log and all, with nobody to close them.
fn kill(path: &Path, into: &Path) -> PathBuf {
    let copy = into.join("after-the-kill.db");
    fs::copy(path, &copy).unwrap();
    let log = |path: &Path| PathBuf::from(format!("{}-wal", path.display()));
    fs::copy(log(path), log(&copy)).unwrap();
    copy
}

#[test]
fn a_kill_at_any_moment_loses_nothing_that_was_committed() {
    let (dir, path) = a_file();
    let mut store = open(&path).unwrap();
    store.commit_all(vec![heartbeat("5A", NOON)]).unwrap();
    let steps = verified("c1", "5A", NOON, "-1");
    for (done, step) in steps.into_iter().enumerate() {
        store.commit_all(vec![step]).unwrap();
        let mut after = open(&kill(&path, dir.path())).unwrap();
        let open = after.load().open_challenges.len();
        let verdicts = after.facts(NOON).workers[&worker_key("5A", "w1")].challenges.len();
        assert_eq!((open, verdicts), if done < 4 { (1, 0) } else { (0, 1) }, "after step {done}");
    }
}

#[test]
fn a_kill_within_a_batch_leaves_nothing_of_it() {
    let (dir, path) = a_file();
    let mut store = open(&path).unwrap();
    store.commit_all(vec![heartbeat("5A", NOON)]).unwrap();
    let transaction = store.connection.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    apply(&mut Batch::begin(&transaction).unwrap(), &created("c1", "5A", NOON)).unwrap();
    transaction.cache_flush().unwrap();
    let mut after = open(&kill(&path, dir.path())).unwrap();
    assert_eq!(after.load().open_challenges, []);
}

#[test]
fn a_second_verdict_is_refused_and_the_first_one_stays() {
    let mut store = a_store();
    store.commit_all(verified("c1", "5A", NOON, "-1")).unwrap();
    let again = ended("c1", NOON, End::Failed("late".into()));
    let fault = store.commit_all(vec![heartbeat("5C", NOON), again]).unwrap_err();
    let what = "challenge c1 failed: unknown, over before, or verified without a commitment".to_string();
    assert_eq!(fault, StoreFault::Refused { index: 1, what });
    let facts = store.facts(NOON);
    assert!(!facts.miners.contains_key(&Hotkey::label("5C")), "the whole batch is undone");
    let verdicts = &facts.workers[&worker_key("5A", "w1")].challenges;
    assert!(matches!(verdicts[..], [ref one] if matches!(one.outcome, Outcome::Verified { .. })));
}

#[test]
fn steps_out_of_order_are_refused() {
    let wrong: [(&str, Vec<Write>); 9] = [
        ("sent: unknown", vec![sent("c9", NOON)]),
        ("unknown worker", vec![created("c1", "5Nobody", NOON)]),
        ("exists", vec![created("c1", "5A", NOON), created("c1", "5B", NOON)]),
        ("another open one", vec![created("c1", "5A", NOON), created("c2", "5A", NOON)]),
        ("never sent", vec![created("c1", "5A", NOON), committed("c1", NOON, "-1")]),
        ("sent before", vec![created("c1", "5A", NOON), sent("c1", NOON), sent("c1", NOON)]),
        ("not committed", vec![created("c1", "5A", NOON), sent("c1", NOON), verifying("c1", NOON)]),
        ("without a commitment", vec![created("c1", "5A", NOON), ended("c1", NOON, passed())]),
        ("without an intent", vec![Write::WeightOutcome { intent: 1, at: NOON, outcome: WeightOutcome::Expired }]),
    ];
    for (what, writes) in wrong {
        let last = writes.len() - 1;
        match a_store().commit_all(writes) {
            Err(StoreFault::Refused { index, what: said }) => {
                assert_eq!(index, last, "{what}");
                assert!(said.contains(what), "{said}");
            }
            other => panic!("{what}: {other:?}"),
        }
    }
}

#[test]
fn numbers_that_are_none_are_refused() {
    let commit = |computation_ms| Write::ChallengeCommitted {
        id: ChallengeId::new("c1"),
        at: NOON,
        computation_ms,
        commitments: vec![],
        asked: Asked::Rows(vec![]),
    };
    for number in [f64::NAN, f64::INFINITY, -1.0] {
        let writes = vec![created("c1", "5A", NOON), sent("c1", NOON), commit(number)];
        assert!(matches!(a_store().commit_all(writes), Err(StoreFault::Refused { index: 2, .. })));
    }
    for score in [f64::NAN, 7.5, -3.0] {
        let leases = leased(NOON, vec![(worker_key("5A", "w1"), score)]);
        assert!(matches!(a_store().commit_all(vec![leases]), Err(StoreFault::Refused { index: 0, .. })));
    }
}

#[test]
fn a_worker_that_was_voided_can_be_challenged_again() {
    let mut store = a_store();
    store.commit_all(vec![created("c1", "5A", NOON)]).unwrap();
    let void = ended("c1", NOON, End::Void("validator restarted".into()));
    store.commit_all(vec![void, created("c2", "5A", NOON)]).unwrap();
    let open = store.load().open_challenges;
    assert_eq!(open.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ["c2"]);
}

#[test]
fn a_full_disk_undoes_the_batch_and_later_batches_work_when_there_is_space() {
    let (_dir, path) = a_file();
    let mut store = open(&path).unwrap();
    store.commit_all(vec![heartbeat("5A", NOON)]).unwrap();
    let limit = |store: &Store, pages: u32| {
        store.connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |row| row.get::<_, u32>(0)).unwrap()
    };
    limit(&store, 1);
    let big = WorkerSeen { hardware: Some("x".repeat(1 << 20)), ..WorkerSeen::named("w2") };
    let batch = || vec![heartbeat("5B", NOON), heartbeat_of("5B", NOON, vec![big.clone()])];
    assert!(matches!(store.commit_all(batch()), Err(StoreFault::Full(_))));
    assert_eq!(store.load().workers, [(worker_key("5A", "w1"), NOON)]);
    store.commit_all(vec![heartbeat("5A", NOON + minutes(1))]).unwrap();
    limit(&store, 1_000_000);
    store.commit_all(batch()).unwrap();
    assert_eq!(store.load().workers.len(), 3);
}

#[test]
fn facts_are_what_the_heartbeats_said() {
    let mut store = Store::in_memory().unwrap();
    let gpus = |uuids: &[&str]| uuids.iter().map(|uuid| uuid.to_string()).collect::<BTreeSet<_>>();
    let seen = |ip: Option<&str>, present: &[&str]| WorkerSeen {
        public_ip: ip.map(str::to_string),
        gpus_present: gpus(present),
        gpus_owned: vec![("GPU-1".into(), "H200".into())],
        ..WorkerSeen::named("w1")
    };
    let at = |minute| NOON + minutes(minute);
    let beat = |minute, ip, present: &[&str]| heartbeat_of("5A", at(minute), vec![seen(ip, present)]);
    store.commit_all(vec![beat(0, Some("::1"), &["GPU-1", "GPU-2"]), beat(6, None, &["GPU-2", "GPU-1"])]).unwrap();
    store.commit_all(vec![beat(7, Some("::2"), &["GPU-1"]), heartbeat_of("5B", at(2), vec![seen(None, &[])])]).unwrap();
    let facts = store.facts(at(10));
    let beats = &facts.miners[&Hotkey::label("5A")].beats;
    assert_eq!(beats.iter().map(|beat| beat.at).collect::<Vec<_>>(), [at(0), at(6), at(7)]);
    let said = |beat: usize| facts.rosters[&beats[beat].roster.unwrap()][0].clone();
    assert!(said(0).address.is_some() && said(1).address.is_none());
    assert_ne!(said(0).address, said(2).address);
    let sets: Vec<usize> = (0..3).map(|beat| facts.gpu_sets[&said(beat).gpus.unwrap()].len()).collect();
    assert_eq!(sets, [2, 2, 1]);
    let claims = &facts.claims["GPU-1"];
    let claims: Vec<_> = claims.iter().map(|claim| (claim.worker.hotkey.as_str(), claim.since, claim.seen)).collect();
    assert_eq!(claims, [("5A", at(0), at(7)), ("5B", at(2), at(2))]);
}

#[test]
fn a_steady_miner_makes_one_roster_and_what_it_repeats_adds_nothing() {
    let mut store = Store::in_memory().unwrap();
    let beats = (0..169 * 12).map(|bucket| heartbeat("5A", NOON - minutes(5 * bucket))).rev().collect();
    store.commit_all(beats).unwrap();
    store.commit_all(vec![heartbeat("5A", NOON + Duration::from_secs(29))]).unwrap();
    let facts = store.facts(NOON);
    assert_eq!((facts.rosters.len(), facts.miners[&Hotkey::label("5A")].beats.len()), (1, 169 * 12));
    store.commit_all(vec![heartbeat("5A", NOON + Duration::from_secs(31))]).unwrap();
    assert_eq!(store.facts(NOON + minutes(1)).miners[&Hotkey::label("5A")].seen, NOON + Duration::from_secs(31));
}

#[test]
fn a_miner_that_says_something_new_each_time_is_credited_so_often_an_hour() {
    let mut store = Store::in_memory().unwrap();
    let named = |n: u64| vec![WorkerSeen { public_ip: Some(format!("198.51.100.{n}")), ..WorkerSeen::named("w1") }];
    let beats = (0..100).map(|n| heartbeat_of("5A", NOON + Duration::from_secs(n), named(n)));
    store.commit_all(beats.collect()).unwrap();
    let facts = store.facts(NOON + minutes(2));
    let miner = &facts.miners[&Hotkey::label("5A")];
    let credited = miner.beats.iter().filter(|beat| beat.roster.is_some()).count();
    assert_eq!((credited, facts.rosters.len()), (rosters::NEW_AN_HOUR as usize, rosters::NEW_AN_HOUR as usize));
    let silent = (miner.beats.len() - credited, miner.seen >= NOON + Duration::from_secs(60));
    assert_eq!(silent, (2, true), "that it is there is known");
    let addresses = "SELECT count(*) FROM addresses";
    let kept: i64 = store.connection.query_row(addresses, [], |row| row.get(0)).unwrap();
    assert_eq!(kept, i64::from(rosters::NEW_AN_HOUR), "what is not credited fills no disk either");
    store.commit_all(vec![heartbeat_of("5A", NOON + minutes(60), named(200))]).unwrap();
    assert!(store.facts(NOON + minutes(61)).miners[&Hotkey::label("5A")].beats.last().unwrap().roster.is_some());
}

#[test]
fn stored_challenges_score_as_if_they_had_never_left() {
    let mut store = a_store();
    let moments = |hotkey: &'static str| {
        (0..40).flat_map(move |n| {
            let at = NOON + minutes(n);
            let beat = heartbeat(hotkey, at);
            [beat].into_iter().chain(verified(&format!("{hotkey}-{n}"), hotkey, at, "-1"))
        })
    };
    store.commit_all(moments("5A").collect()).unwrap();
    store.commit_all(moments("5B").take(6 * 18).collect()).unwrap();
    let mut facts = store.facts(NOON + minutes(41));
    facts.metagraph = facts.miners.keys().cloned().collect();
    let scores = score(&facts, &Policy { availability_hours: 1, ..Policy::reference_70_30() });
    let counted: Vec<u32> = scores.workers.iter().map(|worker| worker.counted).collect();
    let challenge: Vec<f64> = scores.miners.iter().map(|miner| miner.challenge).collect();
    assert_eq!((counted, challenge), (vec![40, 18], vec![1.0, 0.25]));
    let scored = calculated(&facts, scores);
    store.commit_all(vec![scored.clone(), scored]).unwrap();
    let rows = |table| store.connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0));
    let counts: (u32, u32) = (rows("scores").unwrap(), rows("worker_scores").unwrap());
    assert_eq!(counts, (2, 2));
}

#[test]
fn pruning_compacts_then_forgets_and_keeps_what_matters() {
    let mut store = a_store();
    let lease = leased(NOON, vec![(worker_key("5B", "w1"), 1.0)]);
    let weights = vec![(Uid(1), Hotkey::label("5A"), 65535)];
    let intent =
        |id| Write::WeightIntent { id, at: NOON, at_block: 1, weights: weights.clone(), basis: Box::default() };
    let confirmed = |intent| Write::WeightOutcome { intent, at: NOON, outcome: WeightOutcome::Confirmed { block: 2 } };
    store.commit_all(vec![lease, intent(1), confirmed(1), intent(2), confirmed(2)]).unwrap();
    store.commit_all(verified("c1", "5A", NOON, "GPU-1")).unwrap();
    let hours = |count: u64| NOON + minutes(60 * count);
    let prune = |ranking, events, availability| Write::Prune {
        ranking: hours(ranking),
        kept: hours(events),
        events: hours(events),
        availability: hours(availability),
    };
    let row = |store: &Store, sql: &str| store.connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    store.commit_all(vec![prune(1, 0, 0)]).unwrap();
    let kept =
        "SELECT count(*) FROM challenges WHERE verdict = 'verified' AND computation_ms = 100.0 AND commitments IS NULL";
    assert_eq!(row(&store, kept), 1);
    store.commit_all(vec![prune(200, 200, 200)]).unwrap();
    assert_eq!(row(&store, "SELECT count(*) FROM challenges"), 0);
    assert_eq!(row(&store, "SELECT count(*) FROM beats"), 0);
    assert_eq!(row(&store, "SELECT count(*) FROM weight_intents"), 1);
    assert_eq!(store.load().workers, [(worker_key("5B", "w1"), NOON)], "a leased worker stays");
    assert_eq!(store.load().intent.unwrap().outcome, Some(WeightOutcome::Confirmed { block: 2 }));
}

#[test]
fn a_worker_is_forgotten_after_its_last_hour_is() {
    let mut store = a_store();
    let mut prune = |minute| {
        let at = NOON + minutes(minute);
        store.commit_all(vec![Write::Prune { ranking: at, kept: at, events: at, availability: at }]).unwrap();
        store.load().workers.len()
    };
    // The newest row stays, so that no number is given twice.
    assert_eq!([prune(30), prune(59), prune(60), prune(61)], [2, 2, 2, 1]);
}

#[test]
fn an_open_challenge_is_never_pruned() {
    let mut store = a_store();
    store.commit_all(vec![created("c1", "5A", NOON)]).unwrap();
    let later = NOON + minutes(60 * 999);
    store.commit_all(vec![Write::Prune { ranking: later, kept: later, events: later, availability: later }]).unwrap();
    assert_eq!(store.load().open_challenges.len(), 1);
    store.commit_all(vec![ended("c1", later, End::Void("never fetched".into()))]).unwrap();
}
