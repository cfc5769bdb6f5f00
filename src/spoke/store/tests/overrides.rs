//! Changes of settings: durable, listed, taken back; and what was scored under others can be calculated again.

use serde_json::json;

use super::*;
use crate::{
    machine::contract::store::{OverrideChange, OverridesWrite},
    spoke::store::overrides::{RevertError, Stored, revert},
};

fn change(key: &str, old: &str, new: &str) -> OverrideChange {
    OverrideChange { key: key.into(), old: old.into(), new: new.into() }
}

fn changed(at: Wall, message: &str, changes: Vec<OverrideChange>) -> Write {
    Write::Overrides(Box::new(OverridesWrite { at, message: Some(message.into()), changes }))
}

fn history(path: &Path) -> Vec<(String, String, Option<String>)> {
    let past = replay::Archive::open(path).unwrap().override_history().unwrap();
    past.into_iter().map(|change| (change.key, change.old, change.new)).collect()
}

fn keys(store: &Store) -> Vec<String> {
    store.overrides().unwrap().into_iter().map(|row| row.key).collect()
}

#[test]
fn changes_survive_the_end_of_the_process_and_the_last_one_counts() {
    let (_dir, path) = a_file();
    let mut store = open(&path).unwrap();
    store.commit_all(vec![changed(NOON, "cfg-1", vec![change("a", "1", "2"), change("b", "0.5", "[\"x\"]")])]).unwrap();
    store.commit_all(vec![changed(NOON + minutes(1), "cfg-2", vec![change("a", "2", "3")])]).unwrap();
    drop(store);
    let stored = open(&path).unwrap().overrides().unwrap();
    let (at, message) = (NOON + minutes(1), Some("cfg-2".to_owned()));
    assert_eq!(stored[0], Stored { key: "a".into(), value: json!(3), at, message, reverted: None });
    assert_eq!(stored[1].value, json!(["x"]));
    let of = |key: &str, old: &str, new: &str| (key.to_owned(), old.to_owned(), Some(new.to_owned()));
    assert_eq!(history(&path), [of("a", "1", "2"), of("b", "0.5", "[\"x\"]"), of("a", "2", "3")]);
}

#[test]
fn the_history_is_bounded() {
    let mut store = a_store();
    for number in 0..1010 {
        store.commit_all(vec![changed(NOON, "m", vec![change("a", "0", &number.to_string())])]).unwrap();
    }
    let count = |sql: &str| store.connection.query_row::<i64, _, _>(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(count("SELECT count(*) FROM override_history"), 1000);
    assert_eq!(
        count("SELECT CAST(new AS INTEGER) FROM override_history WHERE id = (SELECT max(id) FROM override_history)"),
        1009
    );
}

#[test]
fn what_is_taken_back_beside_a_running_validator_ends_with_its_next_start() {
    let (_dir, path) = a_file();
    let mut store = open(&path).unwrap();
    store.commit_all(vec![changed(NOON, "m", vec![change("a", "1", "2"), change("b", "1", "2")])]).unwrap();
    let taken = revert(&path, Some(&["a".to_owned()]), NOON + minutes(1)).unwrap();
    assert_eq!((taken.keys.as_slice(), taken.running), (&["a".to_owned()][..], true));
    // Twice is once.
    assert!(revert(&path, Some(&["a".to_owned()]), NOON + minutes(2)).unwrap().keys.is_empty());
    assert_eq!(history(&path).last().unwrap(), &("a".to_owned(), "2".to_owned(), None));
    assert_eq!(history(&path).len(), 3);
    // The running one goes on writing; a newer change of the key ends what was taken back.
    store.commit_all(vec![changed(NOON + minutes(3), "m2", vec![change("b", "2", "4")])]).unwrap();
    drop(store);
    assert_eq!(keys(&open(&path).unwrap()), ["b"]);
    let mut store = open(&path).unwrap();
    revert(&path, None, NOON + minutes(4)).unwrap();
    store.commit_all(vec![changed(NOON + minutes(5), "m3", vec![change("b", "4", "5")])]).unwrap();
    drop(store);
    assert_eq!(keys(&open(&path).unwrap()), ["b"]);
}

#[test]
fn what_is_taken_back_where_nothing_runs_is_gone_at_once_and_all_or_nothing() {
    let (_dir, path) = a_file();
    let mut store = open(&path).unwrap();
    store.commit_all(vec![changed(NOON, "m", vec![change("a", "1", "2"), change("b", "1", "2")])]).unwrap();
    drop(store);
    let wrong = revert(&path, Some(&["a".to_owned(), "c".to_owned()]), NOON).unwrap_err();
    assert!(matches!(wrong, RevertError::NotChanged(key) if key == "c"));
    let taken = revert(&path, None, NOON).unwrap();
    assert_eq!((taken.keys.len(), taken.running), (2, false));
    assert!(replay::Archive::open(&path).unwrap().overrides().unwrap().is_empty());
}

#[test]
fn what_was_scored_under_other_settings_is_the_same_again() {
    let mut store = a_store();
    let mut calculations = Vec::new();
    for (step, (interval, window, lease_weight)) in [(240, 180, 0.7), (480, 300, 0.9), (60, 60, 0.2)].iter().enumerate()
    {
        let at = NOON + minutes(200 * (step as u64 + 1));
        store.commit_all(verified(&format!("c{step}"), "5A", at - minutes(90), "-1")).unwrap();
        store.commit_all(vec![heartbeat("5A", at), leased(at, vec![(worker_key("5A", "w1"), 0.25)])]).unwrap();
        let policy = Policy {
            challenge_interval: Duration::from_secs(*interval),
            ranking_window: minutes(*window),
            lease_weight: *lease_weight,
            challenge_weight: 1.0 - lease_weight,
            ..Policy::reference_70_30()
        };
        let reach = Reach { ranking: minutes(*window), ..REACH };
        let request = ScoreRequest { policy, reach, ..wanted(at) };
        let StoreReply::Scored(calculation) = store.serve(StoreRequest::Score(Box::new(request))) else { panic!() };
        calculations.push((at, calculation.scores.miners[0].composite));
        store.commit_all(vec![Write::Scored(calculation)]).unwrap();
    }
    assert!(calculations[0].1 != calculations[1].1 && calculations[1].1 != calculations[2].1, "{calculations:?}");
    for &(at, _) in &calculations {
        let (recorded, again) = store.replay(at).unwrap().unwrap();
        assert_eq!((recorded.at, recorded.mismatch(&again)), (at, None));
    }
    // What the widest of them looked at is kept although the newest looks less far back.
    let now = NOON + minutes(700);
    let (events, availability) = (now - minutes(600 + 60), now - minutes(600) - REACH.heard);
    let prune = Write::Prune { ranking: now - minutes(60), kept: now - minutes(600), events, availability };
    store.commit_all(vec![prune]).unwrap();
    for (at, _) in calculations {
        let (recorded, again) = store.replay(at).unwrap().unwrap();
        assert_eq!((recorded.at, recorded.mismatch(&again)), (at, None));
    }
}
