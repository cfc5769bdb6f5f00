//! Scores out of the log: the same however they are reached, and the same again.

use proptest::prelude::*;

use super::*;
use crate::{
    machine::{
        contract::store::{Announced, Calculation, WeightBasis},
        score::PolicyName,
    },
    spoke::store::replay::{Archive, Became, Mismatch},
};

fn calculate(store: &mut Store, request: ScoreRequest) -> Calculation {
    match store.serve(StoreRequest::Score(Box::new(request))) {
        StoreReply::Scored(calculation) => *calculation,
        other => panic!("{other:?}"),
    }
}

/// Calculates, records, and calculates again from the log.
fn scored(store: &mut Store, at: Wall) -> Calculation {
    let calculation = calculate(store, wanted(at));
    store.commit_all(vec![Write::Scored(Box::new(calculation.clone()))]).unwrap();
    calculation
}

#[track_caller]
fn same_again(store: &Store, at: Wall) {
    let (recorded, again) = store.replay(at).unwrap().unwrap();
    assert_eq!((recorded.at, recorded.mismatch(&again)), (at, None));
}

#[test]
fn a_calculation_holds_up_no_commit() {
    let (_dir, path) = a_file();
    let mut store = open(&path).unwrap();
    store.commit_all(vec![heartbeat("5A", NOON)]).unwrap();
    let reading = Connection::open(&path).unwrap();
    let snapshot = reading.unchecked_transaction().unwrap();
    let miners = || snapshot.query_row("SELECT count(*) FROM miners", [], |row| row.get::<_, u32>(0)).unwrap();
    assert_eq!(miners(), 1);
    store.commit_all(vec![heartbeat("5B", NOON)]).unwrap();
    assert_eq!(miners(), 1, "a reader stays at its moment");
    drop(snapshot);
    assert_eq!(store.load().workers.len(), 2);
}

#[test]
fn a_keeper_sees_what_was_committed() {
    let (_dir, path) = a_file();
    let mut store = open(&path).unwrap();
    let mut keeper = Keeper::open(&path).unwrap();
    for minute in 0..3 {
        store.commit_all(vec![heartbeat("5A", NOON + minutes(minute))]).unwrap();
        store.commit_all(verified(&format!("c{minute}"), "5A", NOON + minutes(minute), "-1")).unwrap();
        let request = wanted(NOON + minutes(minute));
        match keeper.score(&request) {
            StoreReply::Scored(calculation) => {
                assert_eq!(calculation.scores.workers[0].counted as u64, minute + 1);
                assert_eq!(*calculation, calculate(&mut store, request));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_came_after_a_score_does_not_change_it() {
    let mut store = a_store();
    let at = |minute| NOON + minutes(minute);
    store.commit_all(verified("c1", "5A", at(1), "-1")).unwrap();
    store.commit_all(vec![created("c2", "5B", at(1)), sent("c2", at(1))]).unwrap();
    let first = scored(&mut store, at(2));
    // Of the same bucket, of a moment before it, of a clock that was set back; a verdict on what was open then.
    store.commit_all(vec![heartbeat("5B", at(3)), heartbeat("5C", at(1)), began(at(1), "5A")]).unwrap();
    store.commit_all(vec![ended("c2", at(1), End::Failed("no commitment".into()))]).unwrap();
    store.commit_all(verified("c3", "5C", at(1), "-1")).unwrap();
    let second = scored(&mut store, at(9));
    same_again(&store, at(2));
    same_again(&store, at(9));
    assert_ne!(first.scores.digest(), second.scores.digest());
}

fn began(at: Wall, hotkey: &str) -> Write {
    Write::RoundBegan { at, passed_over: vec![worker_key(hotkey, "w1")] }
}

#[test]
fn a_fact_that_was_changed_is_named() {
    let mut store = a_store();
    store.commit_all(verified("c1", "5A", NOON, "-1")).unwrap();
    store.commit_all(verified("c2", "5B", NOON, "-1")).unwrap();
    scored(&mut store, NOON + minutes(1));
    let change = |sql: &str| store.connection.execute(sql, []).unwrap();
    change("UPDATE challenges SET computation_ms = 50.0 WHERE uuid = 'c2'");
    let (recorded, again) = store.replay(NOON + minutes(1)).unwrap().unwrap();
    let said = recorded.mismatch(&again).unwrap().to_string();
    assert_eq!(said, "5A: own challenge score was 1, and is 0.5 now");
    change("UPDATE challenges SET computation_ms = 100.0 WHERE uuid = 'c2'");
    change("UPDATE challenges SET verdict = 'failed' WHERE uuid = 'c2'");
    change("UPDATE challenges SET verdict = 'verified' WHERE uuid = 'c2'");
    same_again(&store, NOON + minutes(1));
}

#[test]
fn a_change_that_only_a_worker_shows_is_found_too() {
    let mut store = a_store();
    store.commit_all(verified("c1", "5A", NOON, "-1")).unwrap();
    store.commit_all(vec![created("c2", "5A", NOON)]).unwrap();
    store.commit_all(vec![ended("c2", NOON, End::Failed("not fetched".into()))]).unwrap();
    scored(&mut store, NOON + minutes(1));
    store.connection.execute("UPDATE challenges SET verdict = 'void' WHERE uuid = 'c2'", []).unwrap();
    let (recorded, again) = store.replay(NOON + minutes(1)).unwrap().unwrap();
    assert_eq!(recorded.mismatch(&again), Some(Mismatch::Workers));
}

#[test]
fn other_rules_under_the_same_name_are_no_difference_but_a_reason() {
    let mut store = a_store();
    scored(&mut store, NOON);
    let older = r#"UPDATE scorings SET policy = replace(policy, '"version":2', '"version":1')"#;
    assert_eq!(store.connection.execute(older, []).unwrap(), 1);
    let (recorded, again) = store.replay(NOON).unwrap().unwrap();
    let said = recorded.mismatch(&again).unwrap().to_string();
    assert_eq!(
        said,
        "it was scored by reference-70-30/1, and this program has reference-70-30/2: replay it with the version that made it"
    );
}

#[test]
fn a_shadow_is_kept_beside_and_decides_nothing() {
    let mut store = a_store();
    store.commit_all(verified("c1", "5A", NOON, "-1")).unwrap();
    store.commit_all(vec![leased(NOON, vec![(worker_key("5B", "w1"), 1.0)])]).unwrap();
    let request = wanted(NOON);
    let alone = calculate(&mut store, request.clone());
    let both = calculate(&mut store, ScoreRequest { shadow: Some(Policy::named(PolicyName::LeaseOnly)), ..request });
    assert_eq!(alone.scores, both.scores);
    store.commit_all(vec![Write::Scored(Box::new(both))]).unwrap();
    let sql = "SELECT group_concat(hotkey || ' ' || policy || ' ' || shadow, ', ' ORDER BY hotkey) FROM shadow_scores";
    let kept: String = store.connection.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(kept, "5A lease-only/1 0.0, 5B lease-only/1 1.0");
}

#[test]
fn a_clock_that_was_set_back_over_an_hour_costs_no_beat_of_after_it() {
    let mut store = Store::in_memory().unwrap();
    let late = NOON - Duration::from_secs(1);
    store.commit_all(vec![heartbeat("5A", NOON), heartbeat("5A", late)]).unwrap();
    let of_late = Reach { ranking: minutes(180), heard: minutes(1) };
    let beats = |store: &Store| store.facts_at(NOON, of_late).unwrap().miners[&Hotkey::label("5A")].beats.len();
    assert_eq!(beats(&store), 2, "a new book reads both");
    store.commit_all(vec![Write::Prune { ranking: late, kept: late, events: late, availability: late }]).unwrap();
    assert_eq!(beats(&store), 2, "neither lies behind the moment");
}

/// What happens to a subnet of three miners, a step each.
#[derive(Clone, Debug)]
enum Step {
    Beat { miner: u8, worker: u8, address: u8, gpus: u8, back_s: u64 },
    Challenge { miner: u8, passes: bool },
    PassedOver { miner: u8 },
    Lease { miner: u8, worker: u8, quarters: u8 },
    Maintenance { miner: u8, worker: u8, ahead_s: u64, length_s: u64, back_s: u64 },
    Prune,
    Score { back_s: u64 },
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
    let step = prop_oneof![
        6 => (0..3u8, 0..2u8, 0..3u8, 0..3u8, prop_oneof![9 => Just(0), 1 => 0..4000u64])
            .prop_map(|(miner, worker, address, gpus, back_s)| Step::Beat { miner, worker, address, gpus, back_s }),
        4 => (0..3u8, any::<bool>()).prop_map(|(miner, passes)| Step::Challenge { miner, passes }),
        1 => (0..3u8).prop_map(|miner| Step::PassedOver { miner }),
        2 => (0..3u8, 0..3u8, 0..3u8).prop_map(|(miner, worker, quarters)| Step::Lease { miner, worker, quarters }),
        2 => (0..3u8, 0..3u8, 0..2000u64, 0..6000u64, prop_oneof![9 => Just(0), 1 => 0..4000u64])
            .prop_map(|(miner, worker, ahead_s, length_s, back_s)| Step::Maintenance { miner, worker, ahead_s, length_s, back_s }),
        1 => Just(Step::Prune),
        3 => prop_oneof![6 => Just(0), 1 => 0..20_000u64].prop_map(|back_s| Step::Score { back_s }),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec((1..4000u64, step), 1..80)
}

fn hotkey(miner: u8) -> &'static str {
    ["5A", "5B", "5C"][usize::from(miner)]
}

fn beat(at: Wall, miner: u8, worker: u8, address: u8, gpus: u8) -> Write {
    let uuids: Vec<String> = (0..gpus).map(|n| format!("GPU-{n}")).collect();
    let seen = WorkerSeen {
        public_ip: (address > 0).then(|| format!("198.51.100.{address}")),
        gpus_present: uuids.iter().cloned().collect(),
        gpus_owned: uuids.into_iter().map(|uuid| (uuid, "H100".into())).collect(),
        ..WorkerSeen::named(["w1", "w2"][usize::from(worker)])
    };
    heartbeat_of(hotkey(miner), at, vec![seen])
}

fn challenge(n: usize, at: Wall, miner: u8, passes: bool) -> Vec<Write> {
    let id = format!("c{n}");
    let known = heartbeat(hotkey(miner), at);
    let mut writes = vec![known, created(&id, hotkey(miner), at), sent(&id, at), committed(&id, at, "GPU-0")];
    let end = match passes {
        true => End::Verified { success_count: 1, ops: 5e5, note: None, passed: vec!["GPU-0".into()] },
        false => End::Failed("wrong".into()),
    };
    writes.push(ended(&id, at, end));
    writes
}

/// Of no length: none is announced any more.
fn in_maintenance(heard: Wall, miner: u8, worker: u8, from: Wall, length_s: u64) -> Write {
    let Write::Heartbeat(mut write) = beat(heard, miner, 0, 0, 0) else { unreachable!() };
    let worker = WorkerId::new(["w1", "w2", "later"][usize::from(worker)]);
    let window = Announced { worker, from, until: from + Duration::from_secs(length_s) };
    write.maintenance = Some(if length_s > 0 { vec![window] } else { Vec::new() });
    Write::Heartbeat(write)
}

#[test]
fn maintenance_counts_from_when_it_was_announced_until_something_else_is() {
    let mut store = Store::in_memory().unwrap();
    let at = |minute| NOON + minutes(minute);
    let spans = |store: &mut Store, minute| {
        let facts = store.facts(at(minute));
        let spans = facts.workers.get(&worker_key("5A", "w1")).map(|worker| worker.maintenance.clone());
        let minute = |at: Wall| at.since(NOON).as_secs() / 60;
        spans.unwrap_or_default().iter().map(|span| (minute(span.from), minute(span.until))).collect::<Vec<_>>()
    };
    store.commit_all(vec![in_maintenance(at(10), 0, 0, at(0), 3600)]).unwrap();
    assert_eq!(spans(&mut store, 11), [(10, 60)], "nothing of before");
    store.commit_all(vec![in_maintenance(at(20), 0, 0, at(0), 3600), beat(at(25), 0, 0, 0, 0)]).unwrap();
    assert_eq!(spans(&mut store, 26), [(10, 60)], "the same again, and a heartbeat that says nothing of it");
    store.commit_all(vec![in_maintenance(at(30), 0, 0, at(0), 0)]).unwrap();
    assert_eq!(spans(&mut store, 31), [(10, 30)], "its operator ended it");
    store.commit_all(vec![in_maintenance(at(40), 0, 0, at(45), 600)]).unwrap();
    assert_eq!(spans(&mut store, 41), [(10, 30), (45, 55)]);
    store.commit_all(vec![in_maintenance(at(50), 0, 0, at(52), 1200)]).unwrap();
    assert_eq!(spans(&mut store, 51), [(10, 30), (45, 50), (52, 72)]);
    store.commit_all(vec![Write::Prune { ranking: at(0), kept: at(0), events: at(0), availability: at(51) }]).unwrap();
    assert_eq!(spans(&mut store, 52), [(52, 72)]);
}

#[test]
fn a_miner_that_changes_its_mind_all_day_fills_no_disk() {
    let mut store = Store::in_memory().unwrap();
    for second in 0..3000u64 {
        let at = NOON + Duration::from_secs(second);
        store.commit_all(vec![in_maintenance(at, 0, 0, at, 600 + second)]).unwrap();
    }
    let count: i64 = store.connection.query_row("SELECT count(*) FROM maintenance", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 2000);
    let tomorrow = NOON + minutes(24 * 60 + 400);
    store.commit_all(vec![in_maintenance(tomorrow, 0, 0, tomorrow, 60)]).unwrap();
    let newest: i64 = store.connection.query_row("SELECT max(at) FROM maintenance", [], |row| row.get(0)).unwrap();
    assert_eq!(newest, stamp(tomorrow));
}

const KEPT: Duration = minutes(240);

/// The moments of all calculations that the database says it has.
fn kept(store: &Store) -> Vec<Wall> {
    let mut all = store.connection.prepare("SELECT at FROM scorings").unwrap();
    all.query_map([], |row| row.get(0).map(wall)).unwrap().map(Result::unwrap).collect()
}

#[test]
fn what_a_kept_calculation_looked_at_is_kept_whatever_is_configured_now() {
    let mut store = Store::in_memory().unwrap();
    let at = |minute| NOON + minutes(minute);
    let mut writes = vec![heartbeat("5A", at(0))];
    writes.extend(verified("c1", "5A", at(10), "-1"));
    store.commit_all(writes).unwrap();
    scored(&mut store, at(60));
    let all = Write::Prune { ranking: at(60), kept: at(30), events: at(59), availability: at(59) };
    store.commit_all(vec![all]).unwrap();
    same_again(&store, at(60));
    let behind = Write::Prune { ranking: at(999), kept: at(61), events: at(999), availability: at(999) };
    store.commit_all(vec![behind]).unwrap();
    assert_eq!(kept(&store), []);
    let row = |sql: &str| store.connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!((row("SELECT count(*) FROM beats"), row("SELECT count(*) FROM challenges")), (0, 0));
}

#[test]
fn a_leased_miner_that_fell_silent_is_the_same_to_a_book_that_knew_it() {
    let mut store = Store::in_memory().unwrap();
    store.commit_all(vec![heartbeat("5A", NOON), leased(NOON, vec![(worker_key("5A", "w1"), 1.0)])]).unwrap();
    for hours in [1, 170] {
        let at = NOON + minutes(60 * hours);
        store.commit_all(vec![heartbeat("5B", at)]).unwrap();
        scored(&mut store, at);
        same_again(&store, at);
    }
}

#[test]
fn a_clock_that_was_set_back_asks_for_what_was_forgotten_and_gets_it() {
    let mut store = a_store();
    store.commit_all(verified("c1", "5A", NOON, "-1")).unwrap();
    scored(&mut store, NOON + minutes(200));
    let calculation = scored(&mut store, NOON + minutes(10));
    assert_eq!(calculation.scores.workers[0].counted, 1);
    same_again(&store, NOON + minutes(10));
}

#[test]
fn challenges_of_a_worker_that_no_roster_names_yet_are_counted_when_one_does() {
    let mut store = Store::in_memory().unwrap();
    for n in 0..=rosters::NEW_AN_HOUR as u64 {
        let seen = WorkerSeen { public_ip: Some(format!("198.51.100.{n}")), ..WorkerSeen::named("w1") };
        store.commit_all(vec![heartbeat_of("5A", NOON + Duration::from_secs(50 * n), vec![seen])]).unwrap();
    }
    let late = NOON + minutes(52);
    let seen = || vec![WorkerSeen::named("w1"), WorkerSeen::named("w2")];
    store.commit_all(vec![heartbeat_of("5A", late, seen())]).unwrap();
    let of_w2 = |write| match write {
        Write::ChallengeCreated(mut row) => {
            row.target = worker_key("5A", "w2");
            Write::ChallengeCreated(row)
        }
        other => other,
    };
    store.commit_all(verified("c1", "5A", late, "-1").into_iter().map(of_w2).collect()).unwrap();
    scored(&mut store, late + minutes(1));
    store.commit_all(vec![heartbeat_of("5A", NOON + minutes(61), seen())]).unwrap();
    let calculation = scored(&mut store, NOON + minutes(62));
    let counted = calculation.scores.workers.iter().map(|worker| (worker.key.worker.as_str(), worker.counted));
    assert_eq!(counted.collect::<Vec<_>>(), [("w2", 1), ("w1", 0)]);
    same_again(&store, NOON + minutes(62));
}

/// Within hours what it looked at lies behind it.
fn short(at: Wall) -> ScoreRequest {
    let reach = Reach { ranking: minutes(180), heard: minutes(300) };
    ScoreRequest { reach, policy: Policy { availability_hours: 5, ..wanted(at).policy }, ..wanted(at) }
}

/// As a validator does that keeps calculations for four hours.
fn prune_behind(at: Wall) -> Write {
    let Reach { ranking, heard } = short(at).reach;
    Write::Prune {
        ranking: at - ranking,
        kept: at - KEPT,
        events: at - KEPT - ranking,
        availability: at - KEPT - heard,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_score_of_any_history_is_calculated_again_to_the_bit(steps in steps()) {
        let mut store = Store::in_memory().unwrap();
        let mut at = NOON;
        for (n, (after_s, step)) in steps.into_iter().enumerate() {
            at = at + Duration::from_secs(after_s);
            let writes = match step {
                Step::Beat { miner, worker, address, gpus, back_s } =>
                    vec![beat(at - Duration::from_secs(back_s), miner, worker, address, gpus)],
                Step::Challenge { miner, passes } => challenge(n, at, miner, passes),
                Step::PassedOver { miner } => vec![Write::RoundBegan { at, passed_over: vec![worker_key(hotkey(miner), "w1")] }],
                Step::Lease { miner, worker, quarters } => {
                    let key = worker_key(hotkey(miner), ["w1", "w2", "later"][usize::from(worker)]);
                    vec![leased(at, vec![(key, f64::from(quarters) / 4.0)])]
                }
                Step::Maintenance { miner, worker, ahead_s, length_s, back_s } => {
                    let heard = at - Duration::from_secs(back_s);
                    vec![in_maintenance(heard, miner, worker, at + Duration::from_secs(ahead_s), length_s)]
                }
                Step::Prune => vec![prune_behind(at)],
                Step::Score { back_s } => {
                    let calculation = calculate(&mut store, short(at - Duration::from_secs(back_s)));
                    vec![Write::Scored(Box::new(calculation))]
                }
                Step::Restart => {
                    store.shelf = Shelf::default();
                    continue;
                }
            };
            store.commit_all(writes).unwrap();
        }
        for at in kept(&store) {
            let (recorded, again) = store.replay(at).unwrap().unwrap();
            prop_assert_eq!(recorded.mismatch(&again), None);
        }
    }

    #[test]
    fn two_machines_that_heard_the_same_in_another_order_score_the_same_to_the_bit(steps in steps()) {
        let mut at = NOON;
        let mut writes: Vec<(u8, Vec<Write>)> = Vec::new();
        for (n, (after_s, step)) in steps.into_iter().enumerate() {
            at = at + Duration::from_secs(after_s);
            match step {
                Step::Beat { miner, worker, address, gpus, .. } => {
                    writes.push((miner, vec![beat(at, miner, worker, address, gpus)]));
                }
                Step::Challenge { miner, passes } => writes.push((miner, challenge(n, at, miner, passes))),
                _ => {}
            }
        }
        let scored = |order: Vec<(u8, Vec<Write>)>| {
            let mut store = Store::in_memory().unwrap();
            order.into_iter().for_each(|(_, writes)| store.commit_all(writes).unwrap());
            calculate(&mut store, wanted(at)).scores.digest()
        };
        let mut miner_by_miner = writes.clone();
        miner_by_miner.sort_by_key(|(miner, _)| std::cmp::Reverse(*miner));
        prop_assert_eq!(scored(writes), scored(miner_by_miner));
    }
}

#[test]
fn weights_whose_calculation_was_not_kept_are_not_compared_with_another() {
    let (_dir, path) = a_file();
    let mut store = open(&path).unwrap();
    scored(&mut store, NOON + minutes(1));
    let archive = Archive::open(&path).unwrap();
    assert_eq!(archive.exactly(NOON + minutes(1)).unwrap().unwrap().at, NOON + minutes(1));
    assert_eq!(archive.exactly(NOON + minutes(2)).unwrap(), None, "its write was lost");
    assert!(archive.recorded(NOON + minutes(2)).unwrap().is_some());
}

#[test]
fn the_newest_that_became_of_weights_is_told() {
    let (_dir, path) = a_file();
    let mut store = open(&path).unwrap();
    let basis = Box::new(WeightBasis { scored_at: NOON, left_out: vec![], limit: u16::MAX });
    let weights = vec![(Uid(1), Hotkey::label("5A"), u16::MAX)];
    let intent = Write::WeightIntent { id: 1, at: NOON, at_block: 7, weights, basis };
    store.commit_all(vec![intent]).unwrap();
    let archive = Archive::open(&path).unwrap();
    assert_eq!(archive.became(1).unwrap(), None);
    let mut told = |outcome| {
        store.commit_all(vec![Write::WeightOutcome { intent: 1, at: NOON, outcome }]).unwrap();
        let Became { kind, block, reason, .. } = archive.became(1).unwrap().unwrap();
        (kind, block, reason)
    };
    assert_eq!(told(WeightOutcome::Refused("too fast".into())), ("refused".into(), None, Some("too fast".into())));
    assert_eq!(told(WeightOutcome::Confirmed { block: 9 }), ("confirmed".into(), Some(9), None));
}
