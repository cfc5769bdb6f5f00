//! What is on its way to the chain, as a restart finds it.

use super::*;
use crate::machine::contract::{
    chain::{Reveal, SignedExtrinsic, Submission},
    store::{AwaitedWeights, Errand, ExtrinsicEnd, IntentId, WeightPath},
};

const REVEAL: Reveal = Reveal { drand_round: 77, commit_epoch: 5, block: 400 };

fn intent(id: IntentId) -> Write {
    let weights = vec![(Uid(3), Hotkey::label("5A"), 65535)];
    Write::WeightIntent { id, at: NOON, at_block: 9, weights, basis: Box::default() }
}

fn extrinsic(number: u8) -> SignedExtrinsic {
    let submission = Submission { hash: [number; 32], after: 9, until: 41 };
    SignedExtrinsic { bytes: vec![number, 0, 255], submission, nonce: 4, reveal: Some(REVEAL) }
}

fn signed(number: u8, errand: Errand) -> Write {
    Write::ExtrinsicSigned { at: NOON, errand, extrinsic: Box::new(extrinsic(number)) }
}

fn weights(intent: IntentId, path: WeightPath) -> Errand {
    Errand::Weights { intent, path, version_key: u64::MAX }
}

fn over(number: u8, end: ExtrinsicEnd) -> Write {
    Write::ExtrinsicOver { at: NOON, hash: [number; 32], end }
}

fn included(number: u8) -> Write {
    over(number, ExtrinsicEnd::Included { block: 11 })
}

fn became(intent: IntentId, outcome: WeightOutcome) -> Write {
    Write::WeightOutcome { intent, at: NOON + minutes(1), outcome }
}

fn kept(writes: Vec<Write>) -> Snapshot {
    let (_dir, path) = a_file();
    let mut store = open(&path).unwrap();
    writes.into_iter().for_each(|write| store.commit_all(vec![write]).unwrap());
    drop(store);
    open(&path).unwrap().load()
}

#[test]
fn a_signed_extrinsic_is_there_after_a_restart_until_it_is_over() {
    for errand in [weights(1, WeightPath::Open), weights(1, WeightPath::Hash { salt: vec![0, 7, 65535] }), Errand::Axon]
    {
        let writes = vec![intent(1), signed(1, errand.clone())];
        assert_eq!(kept(writes.clone()).in_flight, Some((errand.clone(), extrinsic(1))));
        let submitted = Write::ExtrinsicSubmitted { at: NOON, hash: [1; 32] };
        let writes = [writes, vec![submitted]].concat();
        assert_eq!(kept(writes.clone()).in_flight, Some((errand, extrinsic(1))));
        assert_eq!(kept([writes, vec![over(1, ExtrinsicEnd::Expired)]].concat()).in_flight, None);
    }
}

#[test]
fn one_extrinsic_is_on_its_way() {
    let writes = vec![intent(1), signed(1, weights(1, WeightPath::Open)), signed(2, Errand::Axon)];
    assert_eq!(kept(writes.clone()).in_flight, Some((Errand::Axon, extrinsic(2))));
    let late = [writes, vec![included(2), over(1, ExtrinsicEnd::Expired)]].concat();
    let snapshot = kept(late);
    assert_eq!(snapshot.in_flight, None);
    assert_eq!(snapshot.intent.unwrap().outcome, Some(WeightOutcome::Expired));
}

#[test]
fn included_weights_are_awaited_until_something_became_of_them() {
    let path = WeightPath::Hash { salt: vec![1, 2] };
    let writes = vec![
        intent(1),
        signed(1, weights(1, WeightPath::Open)),
        over(1, ExtrinsicEnd::Refused("CommitRevealEnabled".into())),
        signed(2, weights(1, path.clone())),
        included(2),
        intent(2),
        signed(3, weights(2, WeightPath::Timelocked)),
        included(3),
        signed(4, Errand::Reveal { intent: 1 }),
        included(4),
    ];
    let awaited = |intent, path| AwaitedWeights {
        intent,
        weights: vec![(Uid(3), 65535)],
        path,
        version_key: u64::MAX,
        included: 11,
        reveal: Some(REVEAL),
    };
    let snapshot = kept(writes.clone());
    assert_eq!(snapshot.awaited, [awaited(1, path), awaited(2, WeightPath::Timelocked)]);
    assert_eq!(snapshot.confirmed, None);
    let snapshot = kept([writes, vec![became(1, WeightOutcome::Confirmed { block: 12 })]].concat());
    assert_eq!(snapshot.awaited, [awaited(2, WeightPath::Timelocked)]);
    assert_eq!(snapshot.confirmed, Some(NOON + minutes(1)));
}

#[test]
fn the_last_confirmation_is_remembered_when_its_weights_are_forgotten() {
    let mut store = Store::in_memory().unwrap();
    store.commit_all(vec![intent(1), became(1, WeightOutcome::Confirmed { block: 12 }), intent(2)]).unwrap();
    store.commit_all(vec![signed(1, Errand::Axon), signed(2, Errand::Axon)]).unwrap();
    let later = NOON + minutes(60 * 999);
    store.commit_all(vec![Write::Prune { ranking: later, kept: later, events: later, availability: later }]).unwrap();
    let snapshot = store.load();
    assert_eq!(snapshot.confirmed, Some(NOON + minutes(1)));
    assert_eq!(snapshot.in_flight, Some((Errand::Axon, extrinsic(2))));
    assert_eq!(snapshot.intent.map(|intent| intent.id), Some(2));
    let count: u32 = store.connection.query_row("SELECT count(*) FROM extrinsics", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 1);
}

#[test]
fn a_database_is_of_one_chain() {
    let mut store = Store::in_memory().unwrap();
    store.commit_all(vec![Write::Genesis([1; 32]), Write::Genesis([1; 32])]).unwrap();
    assert_eq!(store.load().genesis, Some([1; 32]));
    store.commit_all(vec![Write::Genesis([2; 32])]).unwrap_err();
    assert_eq!(store.load().genesis, Some([1; 32]));
}

#[test]
fn what_belongs_to_nothing_is_refused() {
    for writes in [
        vec![signed(1, weights(1, WeightPath::Open))],
        vec![included(9)],
        vec![Write::ExtrinsicSubmitted { at: NOON, hash: [9; 32] }],
        vec![intent(1), intent(1)],
    ] {
        let refused = Store::in_memory().unwrap().commit_all(writes.clone());
        assert!(matches!(refused, Err(StoreFault::Refused { .. })), "{writes:?}: {refused:?}");
    }
}

/// A database of the schema before extrinsics.
#[test]
fn an_older_file_keeps_its_weights_and_when_they_were_confirmed() {
    let (_dir, path) = a_file();
    let old = Connection::open(&path).unwrap();
    old.execute_batch(include_str!("../migrations/0001_first.sql")).unwrap();
    old.execute_batch(include_str!("../migrations/0002_gemm_i8.sql")).unwrap();
    old.pragma_update(None, "application_id", schema::APPLICATION_ID).unwrap();
    old.pragma_update(None, "user_version", 2).unwrap();
    old.execute_batch(
        "INSERT INTO weight_intents (id, at, at_block, weights) VALUES (1, 5, 9, '[[3,\"5A\",65535]]');
         INSERT INTO weight_outcomes (intent, at, kind, block) VALUES (1, 7, 'confirmed', 12);
         INSERT INTO weight_intents (id, at, at_block, weights) VALUES (2, 8, 99, '[[3,\"5A\",65535]]');
         INSERT INTO weight_outcomes (intent, at, kind, hash, block, until) VALUES (2, 8, 'submitted', x'07', 9, 73);",
    )
    .unwrap();
    drop(old);
    let snapshot = open(&path).unwrap().load();
    assert_eq!((snapshot.confirmed, snapshot.genesis), (Some(Wall(7)), None));
    assert_eq!((snapshot.in_flight, snapshot.awaited), (None, vec![]));
    let intent = snapshot.intent.unwrap();
    assert_eq!((intent.id, intent.at_block, intent.outcome), (2, 99, Some(WeightOutcome::Submitted)));
}
