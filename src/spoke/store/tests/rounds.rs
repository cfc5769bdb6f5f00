//! Rounds that passed workers over.

use proptest::prelude::*;

use super::*;

fn began(at: Wall, workers: &[(&str, &str)]) -> Write {
    let passed_over = workers.iter().map(|(hotkey, worker)| worker_key(hotkey, worker)).collect();
    Write::RoundBegan { at, passed_over }
}

/// How often each known worker was passed over.
fn passed_over(facts: &Facts) -> Vec<(String, u32)> {
    let told = facts.workers.iter().map(|(key, worker)| (key.hotkey.to_string(), worker.passed_over.len() as u32));
    told.collect()
}

fn counts(store: &mut Store, at: Wall) -> Vec<u32> {
    passed_over(&store.facts(at)).into_iter().map(|(_, count)| count).collect()
}

fn rows(store: &Store) -> u32 {
    store.connection.query_row("SELECT count(*) FROM rounds", [], |row| row.get(0)).unwrap()
}

#[test]
fn each_round_counts_for_those_whom_it_passed_over() {
    let mut store = a_store();
    store.commit_all(vec![heartbeat("5C", NOON)]).unwrap();
    let at = |minute| NOON + minutes(minute);
    store.commit_all(vec![began(at(0), &[("5C", "w1"), ("5A", "w1")]), began(at(4), &[("5C", "w1")])]).unwrap();
    let expected = [("5A", 1), ("5B", 0), ("5C", 2)].map(|(hotkey, count)| (hotkey.to_string(), count));
    assert_eq!(passed_over(&store.facts(at(5))), expected);
}

#[test]
fn only_rounds_of_the_ranking_window_count() {
    let mut store = a_store();
    store.commit_all(vec![began(NOON, &[("5A", "w1")]), began(NOON + minutes(60), &[("5A", "w1")])]).unwrap();
    let at = |minute| NOON + minutes(minute);
    assert_eq!(counts(&mut store, at(180)), [2, 0]);
    assert_eq!(counts(&mut store, at(181)), [1, 0]);
    assert_eq!(counts(&mut store, at(241)), [0, 0]);
    store.commit_all(vec![Write::Prune { ranking: at(1), kept: at(1), events: at(1), availability: NOON }]).unwrap();
    assert_eq!((rows(&store), counts(&mut store, at(180))), (1, vec![1, 0]));
}

#[test]
fn a_round_is_told_once() {
    let mut store = a_store();
    store.commit_all(vec![began(NOON, &[("5A", "w1")])]).unwrap();
    let fault = store.commit_all(vec![heartbeat("5C", NOON), began(NOON, &[("5B", "w1")])]).unwrap_err();
    let what = format!("the round of {} ns: began before", NOON.0);
    assert_eq!(fault, StoreFault::Refused { index: 1, what });
    assert_eq!(counts(&mut store, NOON), [1, 0], "the first word stays");
}

#[test]
fn a_round_that_passes_over_nobody_leaves_nothing() {
    let mut store = a_store();
    store.commit_all(vec![began(NOON, &[]), began(NOON, &[])]).unwrap();
    assert_eq!(rows(&store), 0);
}

#[test]
fn strangers_and_doubles_are_left_out() {
    let mut store = a_store();
    let named = [("5B", "w1"), ("5Nobody", "w1"), ("5B", "w1"), ("5B", "w9")];
    store.commit_all(vec![began(NOON, &named)]).unwrap();
    assert_eq!(counts(&mut store, NOON), [0, 1]);
}

#[test]
fn a_list_that_nobody_wrote_fails_the_facts_and_nothing_else() {
    let mut store = a_store();
    store.connection.execute("INSERT INTO rounds VALUES (?1, x'80', 1)", [stamp(NOON)]).unwrap();
    let reply = store.serve(StoreRequest::Score(Box::new(wanted(NOON))));
    assert!(matches!(reply, StoreReply::Failed { batch: None, fault: StoreFault::Broken(_) }), "{reply:?}");
    store.commit_all(vec![heartbeat("5A", NOON)]).unwrap();
}

proptest! {
    #[test]
    fn rounds_count_as_if_they_were_counted_one_by_one(rounds in prop::collection::vec(prop::collection::vec(0..40usize, 0..60), 0..8)) {
        let name = |n: usize| format!("w{n:02}");
        let mut store = Store::in_memory().unwrap();
        let workers = (0..30).map(|n| WorkerSeen::named(&name(n))).collect();
        store.commit_all(vec![heartbeat_of("5A", NOON, workers)]).unwrap();
        let mut expected = [0; 30];
        for (n, round) in rounds.iter().enumerate() {
            let once: BTreeSet<usize> = round.iter().copied().filter(|n| *n < 30).collect();
            once.into_iter().for_each(|n| expected[n] += 1);
            let passed_over = round.iter().map(|n| worker_key("5A", &name(*n))).collect();
            store.commit_all(vec![Write::RoundBegan { at: NOON + minutes(n as u64), passed_over }]).unwrap();
        }
        prop_assert_eq!(counts(&mut store, NOON + minutes(10)), expected);
    }
}
