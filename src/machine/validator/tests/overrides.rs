//! Updates of the configuration: what a hub hears of them, and what the validator does by them.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    bench::{Bench, CONFIG, Miner},
    market::{Hub, MARKET, bench_with, join},
};
use crate::{
    machine::{
        Input,
        contract::store::{OverrideChange, StoreFault, StoreReply, Write},
        validator::Event,
    },
    metrics::Metric,
    wire::marketplace::{Ack, AckStatus, ConfigUpdate, FromHub, ToHub, kind},
};

fn offer(bench: &mut Bench, hub: &mut Hub, id: Option<&str>, payload: &Value) -> Vec<Ack> {
    let payload = payload.as_object().unwrap().clone();
    hub.say(bench, id, &FromHub::Config(ConfigUpdate { payload }));
    // The store is given writes in company.
    bench.wait(Duration::from_millis(200));
    acks(bench, hub)
}

fn acks(bench: &mut Bench, hub: &mut Hub) -> Vec<Ack> {
    let acks = hub.heard(bench).into_iter().filter_map(|body| match body {
        ToHub::Ack(ack) => Some(ack),
        _ => None,
    });
    acks.collect()
}

fn stored(bench: &Bench) -> Vec<OverrideChange> {
    let of = |write: &Write| match write {
        Write::Overrides(update) => update.changes.clone(),
        _ => vec![],
    };
    bench.written.iter().flat_map(of).collect()
}

fn change(key: &str, old: &str, new: &str) -> OverrideChange {
    OverrideChange { key: key.into(), old: old.into(), new: new.into() }
}

/// A hub in its session with a validator of that configuration.
fn stage(config: &str, miners: &[&Miner]) -> (Bench, Hub) {
    let mut bench = bench_with(config, miners);
    let hub = join(&mut bench);
    (bench, hub)
}

fn plain() -> (Bench, Hub) {
    stage(&format!("{CONFIG}{MARKET}"), &[])
}

fn in_force(bench: &Bench) -> Option<f64> {
    bench.counted(Metric::ConfigOverrides, &["in_force"])
}

/// The acknowledgements that were recorded of the original, by its updates in their order.
#[test]
fn the_recorded_updates_are_answered_as_recorded_or_refused_by_name() {
    let recorded = |file: &str| -> Value { serde_json::from_str(file).unwrap() };
    let messages = recorded(include_str!("../../../../tests/data/meshhub/messages.json"));
    let reactions = recorded(include_str!("../../../../tests/data/meshhub/reactions.json"));
    let ack_of = |id: &str| {
        let all = reactions["reactions"].as_array().unwrap().iter();
        all.map(|reaction| &reaction["ack"]).find(|ack| ack["messageId"] == id).cloned()
    };
    let (mut bench, mut hub) = plain();
    let mut seen = 0;
    let updates = messages["messages"].as_array().unwrap().iter();
    for update in updates
        .filter(|message| message["type"] == kind::CONFIG_UPDATE && message["plaintext"]["payload"] != Value::Null)
    {
        let id = update["frame"]["messageId"].as_str();
        let acks = offer(&mut bench, &mut hub, id, &update["plaintext"]["payload"]);
        let Some(id) = id else {
            assert!(acks.is_empty(), "no ID, no word");
            continue;
        };
        let [ack] = &acks[..] else { panic!("{id}: {acks:?}") };
        let ours = serde_json::to_value(ack).unwrap();
        seen += 1;
        match id {
            // What of it is ignored, the original does not say.
            "cfg-1" => {
                assert_eq!((ack.status, &ours["metadata"]), (AckStatus::Accepted, &json!({"ignored": ["database"]})))
            }
            // The original accepts both, and fails later.
            "cfg-3" => assert_eq!(
                (ack.status, &ours["metadata"]["error"]),
                (AckStatus::Failed, &json!("validation: is \"text\"; allowed: a section of keys"))
            ),
            "cfg-4" => assert!(
                ack.status == AckStatus::Failed
                    && ours["metadata"]["error"]
                        .as_str()
                        .unwrap()
                        .starts_with("validation.challenge_interval: is \"oops\"; allowed: seconds")
            ),
            _ => assert_eq!(
                Some(ours),
                ack_of(id).or_else(|| Some(
                    json!({"messageId": id, "messageType": kind::CONFIG_UPDATE, "metadata": {}, "status": "accepted"})
                )),
                "{id}"
            ),
        }
    }
    assert!(seen >= 5, "{seen}");
    let last = stored(&bench);
    assert_eq!(last.last(), Some(&change("validation.challenge_timeout", "60", "61")), "{last:?}");
}

#[test]
fn it_is_acknowledged_when_it_is_durable_and_not_before() {
    let (mut bench, mut hub) = plain();
    bench.hold_store = true;
    assert_eq!(offer(&mut bench, &mut hub, Some("cfg-1"), &json!({"validation": {"challenge_interval": 60}})), []);
    bench.seconds(1);
    assert_eq!((acks(&mut bench, &mut hub).len(), in_force(&bench)), (0, Some(0.0)));
    // Another one waits behind it, and sees what it came to.
    assert_eq!(offer(&mut bench, &mut hub, Some("cfg-2"), &json!({"validation": {"challenge_interval": 50}})), []);
    bench.hold_store = false;
    while let Some(batch) = bench.batches.pop_front() {
        bench.input(Input::Event(Event::Store(StoreReply::Committed { batch })));
    }
    bench.seconds(1);
    let ids: Vec<String> = acks(&mut bench, &mut hub).into_iter().map(|ack| ack.message_id).collect();
    assert_eq!(ids, ["cfg-1", "cfg-2"]);
    let key = "validation.challenge_interval";
    assert_eq!(stored(&bench), [change(key, "240", "60"), change(key, "60", "50")]);
    assert_eq!(in_force(&bench), Some(1.0));
}

#[test]
fn what_the_store_does_not_take_is_not_in_force_and_is_acknowledged_as_failed() {
    let (mut bench, mut hub) = plain();
    bench.store_fault = Some(StoreFault::Full("no space".into()));
    let mut heard = offer(&mut bench, &mut hub, Some("cfg-1"), &json!({"validation": {"challenge_interval": 60}}));
    bench.seconds(1);
    heard.extend(acks(&mut bench, &mut hub));
    let [ack] = &heard[..] else { panic!("{heard:?}") };
    assert!(
        ack.status == AckStatus::Failed && ack.metadata["error"].as_str().unwrap().contains("not stored"),
        "{ack:?}"
    );
    assert_eq!(in_force(&bench), Some(0.0));
    bench.store_fault = None;
    bench.seconds(2);
    let mut heard = offer(&mut bench, &mut hub, Some("cfg-2"), &json!({"validation": {"challenge_interval": 60}}));
    bench.seconds(1);
    heard.extend(acks(&mut bench, &mut hub));
    assert_eq!((heard[0].status, in_force(&bench)), (AckStatus::Accepted, Some(1.0)));
}

#[test]
fn updates_behind_one_that_is_being_stored_are_bounded() {
    let (mut bench, mut hub) = plain();
    bench.hold_store = true;
    let mut refused = Vec::new();
    for number in 0..20 {
        let payload = json!({"validation": {"challenge_interval": 60 + number}});
        refused.extend(offer(&mut bench, &mut hub, Some(&format!("cfg-{number}")), &payload));
    }
    assert_eq!(refused.iter().map(|ack| ack.message_id.as_str()).collect::<Vec<_>>(), ["cfg-17", "cfg-18", "cfg-19"]);
    assert!(refused[0].metadata["error"].as_str().unwrap().contains("16 updates wait"), "{refused:?}");
}

#[test]
fn rounds_come_by_the_new_interval_and_sizes_are_the_new_ones() {
    let mut miner = Miner::new(1);
    let (mut bench, mut hub) = stage(&format!("{CONFIG}{MARKET}"), &[&miner]);
    miner.handshake(&mut bench).unwrap();
    miner.heartbeat(&mut bench, &["w00"]);
    let update = json!({"validation": {"challenge_interval": 30, "cpu": {"matrix_size": 120}}});
    offer(&mut bench, &mut hub, Some("cfg-1"), &update);
    bench.seconds(31);
    let tasks = miner.tasks(&mut bench, None);
    assert_eq!(tasks.len(), 1, "a round after 30 s instead of 240");
    let data: Value = serde_json::from_str(tasks[0].data.as_str()).unwrap();
    assert_eq!(data["matrix_size"], 120, "{data}");
    assert_eq!(bench.counted(Metric::ConfigUpdates, &["accepted"]), Some(1.0));
}

#[test]
fn a_challenge_that_is_out_keeps_the_time_that_it_was_given() {
    let mut miner = Miner::new(1);
    let (mut bench, mut hub) = stage(&format!("{CONFIG}{MARKET}"), &[&miner]);
    miner.handshake(&mut bench).unwrap();
    miner.heartbeat(&mut bench, &["w00"]);
    bench.seconds(240);
    let jobs = miner.poll(&mut bench, None);
    offer(&mut bench, &mut hub, Some("cfg-1"), &json!({"validation": {"challenge_timeout": 5}}));
    bench.seconds(30);
    miner.work(&mut bench, &jobs[0]);
    assert_eq!((bench.ends().verified, bench.ends().failed), (1, 0), "{:?}", bench.stored_ends());
}

#[test]
fn the_next_calculation_is_by_the_new_policy() {
    let (mut bench, mut hub) = plain();
    bench.seconds(430);
    let update = json!({
        "validation": {"ranking_window_minutes": 60},
        "weight_management": {"recalculate_interval": 30, "score_weights": {"lease_weight": 0.2}},
    });
    offer(&mut bench, &mut hub, Some("cfg-1"), &update);
    bench.seconds(3700);
    let policies: Vec<(u64, f64)> = bench
        .written
        .iter()
        .filter_map(|write| match write {
            Write::Scored(of) => Some((of.policy.ranking_window.as_secs() / 60, of.policy.lease_weight)),
            _ => None,
        })
        .collect();
    assert_eq!((policies[0], policies.last()), ((180, 0.7), Some(&(60, 0.2))));
    assert!(policies.len() > 100, "{}", policies.len());
}

#[test]
fn what_waits_for_a_restart_is_said_until_it_is_taken_back() {
    let (mut bench, mut hub) = plain();
    let verifiers = |count: i64| json!({"validation": {"verification_concurrent": count}});
    let acks = offer(&mut bench, &mut hub, Some("cfg-1"), &verifiers(3));
    assert_eq!(acks[0].metadata["restart"], json!(["validation.verification_concurrent"]));
    assert_eq!(bench.counted(Metric::ConfigOverrides, &["restart"]), Some(1.0));
    offer(&mut bench, &mut hub, Some("cfg-2"), &verifiers(-1));
    assert_eq!(bench.counted(Metric::ConfigOverrides, &["restart"]), Some(0.0));
}

#[test]
fn what_is_so_already_is_no_change_and_what_has_no_effect_is_said() {
    let (mut bench, mut hub) = plain();
    let update = json!({"validation": {"challenge_interval": 240.0, "cpu": {"matrix_size": 100}}});
    let acks = offer(&mut bench, &mut hub, Some("cfg-1"), &update);
    assert_eq!((acks[0].status, acks[0].metadata.len(), stored(&bench).len()), (AckStatus::Accepted, 0, 0));
    let acks = offer(&mut bench, &mut hub, Some("cfg-2"), &json!({"validation": {"verification_interval": 10}}));
    assert_eq!(acks[0].metadata["without_effect"], json!(["validation.verification_interval"]));
}

#[test]
fn what_a_hub_says_again_is_written_again_for_it_may_have_been_taken_back() {
    let (mut bench, mut hub) = plain();
    let update = json!({"validation": {"challenge_interval": 300}});
    for times in 1..=2 {
        let acks = offer(&mut bench, &mut hub, Some("again"), &update);
        assert_eq!(acks[0].status, AckStatus::Accepted);
        assert_eq!(stored(&bench).len(), times, "a row that was marked to end with the next start is whole again");
    }
}

#[test]
fn what_a_hub_calls_its_update_is_kept_without_our_token_in_it() {
    let (mut bench, mut hub) = plain();
    offer(&mut bench, &mut hub, Some("all is right\n"), &json!({"validation": {"challenge_interval": 60}}));
    let message = bench.written.iter().find_map(|write| match write {
        Write::Overrides(update) => update.message.clone(),
        _ => None,
    });
    assert_eq!(message.as_deref(), Some("all is (the token)_"));
}

#[test]
fn a_validator_that_refuses_takes_nothing_and_says_so() {
    let market = MARKET.trim_end().trim_end_matches('}').to_owned() + ", configuration: refuse}\n";
    let (mut bench, mut hub) = stage(&format!("{CONFIG}{market}"), &[]);
    let acks = offer(&mut bench, &mut hub, Some("cfg-1"), &json!({"validation": {"challenge_interval": 60}}));
    assert!(acks[0].metadata["error"].as_str().unwrap().contains("meshhub.configuration: refuse"), "{acks:?}");
    assert_eq!((stored(&bench).len(), bench.counted(Metric::ConfigUpdates, &["refused"])), (0, Some(1.0)));
}
