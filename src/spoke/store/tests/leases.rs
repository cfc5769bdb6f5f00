//! Leases as facts: what was in force at any kept moment can be read again, and an outage with it.

use super::*;
use crate::machine::{
    lease::{OnOutage, OutageRule},
    score::LeaseFact,
};

fn lease_of(facts: &Facts, hotkey: &str, worker: &str) -> Option<LeaseFact> {
    facts.workers.get(&worker_key(hotkey, worker)).and_then(|worker| worker.lease)
}

fn rows(store: &Store, table: &str) -> u32 {
    store.connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

#[test]
fn only_what_changed_is_a_new_fact_and_every_word_is_heard() {
    let mut store = a_store();
    let said = |minute, score| leased(NOON + minutes(minute), vec![(worker_key("5A", "w1"), score)]);
    store.commit_all(vec![said(0, 0.0), said(1, 0.5), said(2, 0.5), leased(NOON + minutes(3), vec![])]).unwrap();
    assert_eq!((rows(&store, "lease_events"), rows(&store, "lease_words")), (1, 4));
    let facts = store.facts(NOON + minutes(4));
    assert_eq!(lease_of(&facts, "5A", "w1"), Some(LeaseFact { score: 0.5, heard: NOON + minutes(1) }));
    assert_eq!(facts.leases_heard, Some(NOON + minutes(3)));
    store.commit_all(vec![said(5, 0.0)]).unwrap();
    assert_eq!(lease_of(&store.facts(NOON + minutes(6)), "5A", "w1"), None);
    assert_eq!(store.load().leases, KnownLeases { rows: vec![], heard: Some(NOON + minutes(5)) });
}

#[test]
fn a_lease_waits_for_its_worker_to_appear() {
    let mut store = a_store();
    store.commit_all(vec![leased(NOON, vec![(worker_key("5C", "w1"), 1.0)])]).unwrap();
    let mut scored_lease = |at| match store.serve(StoreRequest::Score(Box::new(wanted(at)))) {
        StoreReply::Scored(found) => {
            let found = found.scores.miners.iter().find(|miner| miner.hotkey == Hotkey::label("5C")).map(|it| it.lease);
            store.commit_all(vec![heartbeat("5C", at)]).unwrap();
            found
        }
        other => panic!("{other:?}"),
    };
    assert_eq!([scored_lease(NOON + minutes(1)), scored_lease(NOON + minutes(2))], [None, Some(1.0)]);
}

#[test]
fn an_outage_is_in_the_score_and_in_its_replay_as_the_policy_of_then_has_it() {
    let mut store = a_store();
    store.commit_all(vec![leased(NOON, vec![(worker_key("5A", "w1"), 1.0)])]).unwrap();
    let at = NOON + minutes(90);
    store.commit_all(vec![heartbeat("5A", at)]).unwrap();
    for (on_outage, expected) in [(OnOutage::Hold, 1.0), (OnOutage::Decay, 0.5), (OnOutage::Zero, 0.0)] {
        let outage = OutageRule { on_outage, max_age: minutes(60) };
        let policy = Policy { outage, ..Policy::reference_70_30() };
        let StoreReply::Scored(calculation) =
            store.serve(StoreRequest::Score(Box::new(ScoreRequest { policy, ..wanted(at) })))
        else {
            panic!("not scored")
        };
        let lease = calculation.scores.miners.iter().find(|it| it.hotkey == Hotkey::label("5A")).unwrap().lease;
        assert_eq!(lease, expected, "{on_outage:?}");
        store.commit_all(vec![Write::Scored(calculation)]).unwrap();
        // What the source says later changes no score of before.
        store.commit_all(vec![leased(at, vec![(worker_key("5A", "w1"), 1.0)])]).unwrap();
        let (recorded, again) = store.replay(at).unwrap().unwrap();
        assert_eq!(recorded.mismatch(&again), None);
        store.connection.execute("DELETE FROM lease_words WHERE at > (SELECT min(at) FROM lease_words)", []).unwrap();
    }
}

#[test]
fn leases_of_an_older_file_are_the_marketplaces_and_of_the_log() {
    let (_dir, path) = a_file();
    let old = Connection::open(&path).unwrap();
    for sql in &schema::MIGRATIONS[..5] {
        old.execute_batch(sql).unwrap();
    }
    old.pragma_update(None, "application_id", schema::APPLICATION_ID).unwrap();
    old.pragma_update(None, "user_version", 5).unwrap();
    let noon = stamp(NOON);
    old.execute_batch(&format!("INSERT INTO leases VALUES ('5A', 'w1', 0.5, {noon}), ('5A', 'w2', 0.0, {noon});"))
        .unwrap();
    drop(old);
    let mut store = open(&path).unwrap();
    let row = LeaseRow { key: worker_key("5A", "w1"), score: 0.5, heard: NOON, source: "meshhub".into() };
    assert_eq!(store.load().leases, KnownLeases { rows: vec![row], heard: Some(NOON) });
    store.commit_all(vec![heartbeat("5A", NOON)]).unwrap();
    let facts = store.facts(NOON);
    assert_eq!(lease_of(&facts, "5A", "w1"), Some(LeaseFact { score: 0.5, heard: NOON }));
    assert_eq!(facts.leases_heard, Some(NOON));
}

#[test]
fn pruning_keeps_what_was_in_force_at_its_moment() {
    let mut store = a_store();
    let said = |minute, score| leased(NOON + minutes(minute), vec![(worker_key("5A", "w1"), score)]);
    store.commit_all(vec![said(0, 0.25), said(10, 0.5), said(20, 0.0), said(30, 0.75)]).unwrap();
    let mut after = |minute| {
        let (events, long_ago) = (NOON + minutes(minute), Wall(0));
        store.commit_all(vec![Write::Prune { ranking: events, kept: events, events, availability: long_ago }]).unwrap();
        (rows(&store, "lease_events"), rows(&store, "lease_words"))
    };
    assert_eq!([after(0), after(15), after(25), after(999)], [(4, 4), (3, 3), (1, 2), (1, 1)]);
}
