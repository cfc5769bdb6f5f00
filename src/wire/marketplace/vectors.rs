//! The recorded frames of the hub, opened with the recorded keys of the validator that got them.

use serde::Deserialize;
use serde_json::Value;

use super::{kind::*, *};
use crate::{units::Hotkey, wire::session::Session};

const HANDSHAKES: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/meshhub/handshakes.json"));
const MESSAGES: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/meshhub/messages.json"));

#[derive(Deserialize)]
struct Handshakes {
    sessions: Vec<Recorded>,
}

#[derive(Deserialize)]
struct Recorded {
    session_id: String,
    client_hotkey: Hotkey,
    server_hotkey: Hotkey,
    k_cs: String,
    k_sc: String,
}

#[derive(Deserialize)]
struct Messages {
    messages: Vec<Message>,
}

#[derive(Deserialize)]
struct Message {
    direction: String,
    tampered: bool,
    plaintext: Value,
    frame: Value,
}

/// The validator's end of the first recorded session, in which the hub said all that it said.
fn validator() -> HubSession {
    let handshakes: Handshakes = serde_json::from_str(HANDSHAKES).unwrap();
    let Recorded { session_id, client_hotkey, server_hotkey, k_cs, k_sc } = &handshakes.sessions[0];
    let key = |hex: &str| <[u8; 32]>::try_from(hex::decode(hex).unwrap()).unwrap();
    HubSession::recorded(Session::recorded(session_id, client_hotkey, server_hotkey, key(k_cs), key(k_sc)))
}

fn from_hub() -> Vec<Message> {
    let recorded: Messages = serde_json::from_str(MESSAGES).unwrap();
    recorded.messages.into_iter().filter(|message| message.direction == "meshhub_to_validator").collect()
}

/// The plaintext as its reader sees it, beside the recorded one.
fn opened(session: &mut HubSession, message: &Message) -> Result<Incoming<FromHub>, FrameFault> {
    session.open(&message.frame.to_string())
}

#[test]
fn every_frame_of_the_hub_opens_but_the_tampered_one() {
    let mut session = validator();
    for message in from_hub() {
        match opened(&mut session, &message) {
            Ok(Incoming::Message { kind, message_id, .. }) => {
                assert!(!message.tampered);
                assert_eq!(message.frame["type"], kind.as_str());
                assert_eq!(message.frame["messageId"].as_str(), message_id.as_deref());
            }
            Err(FrameFault::Package(_)) => assert!(message.tampered),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_leases_are_those_that_were_taken() {
    let mut session = validator();
    let publishes: Vec<LeasePublish> = from_hub()
        .iter()
        .filter_map(|message| match opened(&mut session, message) {
            Ok(Incoming::Message { body: Ok(FromHub::Leases(leases)), .. }) => Some(leases),
            _ => None,
        })
        .collect();
    let scores = |at: usize| -> Vec<(&str, f64)> {
        publishes[at].scores.iter().map(|(key, score)| (key.worker.as_str(), *score)).collect()
    };
    assert_eq!(scores(0), [("w00", 1.0), ("w01", 0.25), ("unknown", 1.0)]);
    let skipped = [(Skip::NoKey, 1), (Skip::NoColon, 1), (Skip::NoScore, 1), (Skip::NotNumber, 1)];
    assert_eq!(publishes[0].skipped.counts.clone().into_iter().collect::<Vec<_>>(), skipped);
    // The reference implementation takes 7.5 and −3.
    assert_eq!((scores(1), publishes[1].skipped.counts[&Skip::OutOfRange]), (vec![], 2));
    assert_eq!(scores(2), [("w00", 0.0), ("w01", 0.0)]);
    assert_eq!((scores(3), scores(4)), (vec![("w02", 0.5)], vec![("w02", 0.0)]));
}

#[test]
fn updates_and_tasks_are_read_as_sent_and_written_back() {
    let mut session = validator();
    for message in from_hub() {
        let Ok(Incoming::Message { body, kind, .. }) = opened(&mut session, &message) else { continue };
        match body {
            Ok(FromHub::Config(update)) => {
                assert_eq!(Value::Object(update.payload.clone()), message.plaintext["payload"]);
                assert_eq!(
                    FromHub::read(&kind, &FromHub::Config(update.clone()).to_json()),
                    Ok(FromHub::Config(update))
                );
            }
            Ok(FromHub::Task(task)) => {
                assert_eq!((task.key.as_str(), task.worker.worker.as_str()), ("task-1", "w00"));
                let full = message.plaintext.get("ttl").is_some();
                assert_eq!(task.ttl.map(|ttl| ttl.as_millis()), full.then_some(60_000));
                assert_eq!((task.priority, task.task_type.as_str()), (if full { 3 } else { 0 }, TASK_TYPE_DEFAULT));
                assert_eq!(FromHub::read(&kind, &FromHub::Task(task.clone()).to_json()), Ok(FromHub::Task(task)));
            }
            Ok(FromHub::Leases(_)) => assert_eq!(kind, LEASE_PUBLISH),
            Err(fault) => assert_eq!(
                fault,
                match kind.as_str() {
                    TASK_PUBLISH => BodyFault::NoTaskKey,
                    kind => BodyFault::UnknownType(kind.into()),
                }
            ),
        }
    }
}

#[test]
fn a_recorded_frame_sent_again_is_named_a_replay() {
    let mut session = validator();
    let frames = from_hub();
    opened(&mut session, &frames[0]).unwrap();
    opened(&mut session, &frames[2]).unwrap();
    assert_eq!(opened(&mut session, &frames[2]), Err(FrameFault::Replayed { seq: 3 }));
    assert_eq!(opened(&mut session, &frames[0]), Err(FrameFault::Replayed { seq: 1 }));
    assert_eq!(opened(&mut session, &frames[1]), Err(FrameFault::Reordered { seq: 2, highest: 3 }));
}

#[test]
fn a_swapped_outer_type_is_named() {
    let mut frame = from_hub().remove(0).frame;
    frame["type"] = CONFIG_UPDATE.into();
    let fault = FrameFault::Types { outer: CONFIG_UPDATE.into(), inner: LEASE_PUBLISH.into() };
    assert_eq!(validator().open::<FromHub>(&frame.to_string()), Err(fault));
    // And both names changed is a wrong tag.
    frame["encrypted"]["messageType"] = CONFIG_UPDATE.into();
    assert!(matches!(validator().open::<FromHub>(&frame.to_string()), Err(FrameFault::Package(_))));
}
