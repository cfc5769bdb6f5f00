//! The marketplace's frames: a validator's recorded side, both halves of the handshake, and what is refused.

use base64::{Engine, engine::general_purpose::STANDARD};
use byteleap::{
    units::{Secret, Wall},
    wire::{
        keys::Keypair,
        limits,
        marketplace::{
            Ack, Body, BodyFault, ConfigUpdate, FrameFault, FromHub, HandshakeFault, Hello, HubError, HubOffer,
            HubSession, Incoming, Init, InitResponse, LeasePublish, Reaction, Reply, Skip, ToHub, kind,
        },
    },
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support;

const NOW: Wall = Wall(1_795_356_190_808_000_000);

fn hub() -> Keypair {
    support::keypair("meshhub")
}

fn validator() -> Keypair {
    support::keypair("validator")
}

fn hello_text(hello: &Hello) -> String {
    let token = Secret::new("test-token".into());
    hello.to_text(NOW, validator().hotkey(), &token, "byteleap-0.1.0", &["hardware_inspection"])
}

fn accepted() -> (Hello, HubSession, InitResponse) {
    let hello = Hello::new([1; 32], [2; 16]);
    let init = Init::parse(&hello_text(&hello)).unwrap();
    let offer = HubOffer::new([3; 32], [4; 16], "a1af556d-48d2-499e-a7e4-20d6627e56bc".into());
    let (session, answer) = offer.accept(&hub(), &init).unwrap();
    (hello, session, answer)
}

/// The validator's end and the hub's.
fn talk() -> (HubSession, HubSession) {
    let (hello, server, answer) = accepted();
    (hello.finish(validator().hotkey(), Some(hub().hotkey()), &answer).unwrap(), server)
}

fn body<B: Body>(incoming: Result<Incoming<B>, FrameFault>) -> Result<B, BodyFault> {
    match incoming {
        Ok(Incoming::Message { body, .. }) => body,
        Ok(Incoming::Error(error)) => panic!("{error:?}"),
        Err(fault) => panic!("{fault}"),
    }
}

fn bytes<const N: usize>(text: &Value) -> [u8; N] {
    STANDARD.decode(text.as_str().unwrap()).unwrap().try_into().unwrap()
}

/// The hub's end of a recorded session, made again from its secret.
fn recorded_hub(session: &Value) -> (HubSession, InitResponse) {
    let secret = hex::decode(session["server_private"].as_str().unwrap()).unwrap().try_into().unwrap();
    let id = session["session_id"].as_str().unwrap().to_owned();
    let data = json!({
        "validatorHotkey": session["client_hotkey"], "accessToken": "test-token",
        "clientPublicKey": session["client_public"], "clientNonce": session["client_nonce"],
    });
    let init = json!({"type": kind::SESSION_INIT, "timestamp": 0, "data": data});
    let offer = HubOffer::new(secret, bytes(&session["server_nonce"]), id);
    offer.accept(&hub(), &Init::parse(&init.to_string()).unwrap()).unwrap()
}

#[test]
fn the_hub_of_every_recorded_handshake_answers_as_recorded() {
    let recorded: Value = support::data("meshhub/handshakes.json");
    let sessions = recorded["sessions"].as_array().unwrap();
    for (session, answer) in sessions.iter().zip(recorded["init_responses"].as_array().unwrap()) {
        assert_eq!(Reply::parse(&answer.to_string()), Ok(Reply::Accepted(recorded_hub(session).1)));
    }
    assert_eq!(sessions.len(), 7);
}

#[test]
fn every_recorded_frame_of_a_validator_is_read_and_written_back() {
    let recorded: Value = support::data("meshhub/handshakes.json");
    let (mut session, _) = recorded_hub(&recorded["sessions"][0]);
    let messages: Value = support::data("meshhub/messages.json");
    let mut seen = 0;
    for message in messages["messages"].as_array().unwrap() {
        if message["direction"] == "meshhub_to_validator" {
            continue;
        }
        let said: ToHub = body(session.open(&message["frame"].to_string())).unwrap();
        assert_eq!(said.kind(), message["type"]);
        assert_eq!(serde_json::from_str::<Value>(&said.to_json()).unwrap(), message["plaintext"]);
        seen += 1;
    }
    assert_eq!(seen, 14);
}

#[test]
fn our_first_frame_has_the_recorded_fields() {
    let recorded: Value = support::data("meshhub/handshakes.json");
    let ours: Value = serde_json::from_str(&hello_text(&Hello::new([1; 32], [2; 16]))).unwrap();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&ours), keys(&recorded["first_init"]));
    assert_eq!(keys(&ours["data"]), keys(&recorded["first_init"]["data"]));
    assert_eq!((&ours["type"], &ours["timestamp"]), (&recorded["first_init"]["type"], &json!(1_795_356_190_808_u64)));
    let init = Init::parse(&recorded["first_init"].to_string()).unwrap();
    assert_eq!((init.access_token.reveal(), init.capabilities.len()), ("test-token", 2));
    assert!(!format!("{init:?}").contains("test-token"));
}

#[test]
fn recorded_errors_are_read_and_the_right_ones_end_the_connection() {
    let recorded: Value = support::data("meshhub/handshakes.json");
    let (mut session, _) = talk();
    for error in recorded["errors_sent"].as_array().unwrap() {
        let code = error["data"]["code"].as_i64().unwrap();
        let Ok(Reply::Refused(read)) = Reply::parse(&error.to_string()) else { panic!() };
        assert_eq!(session.open::<FromHub>(&error.to_string()), Ok(Incoming::Error(read.clone())));
        let reaction = if code == 4999 { Reaction::Ignore } else { Reaction::Reconnect };
        assert_eq!((read.code, read.reaction()), (code, reaction));
        assert_eq!(Reply::parse(&read.to_text(NOW)), Ok(Reply::Refused(read)));
    }
}

#[test]
fn both_sides_read_each_other_and_never_themselves() {
    let (mut client, mut server) = talk();
    assert_eq!((client.id(), client.peer(), server.peer()), (server.id(), hub().hotkey(), validator().hotkey()));
    let ack = ToHub::Ack(Ack::failed("cfg-1", kind::CONFIG_UPDATE, "no_allowed_root"));
    let text = client.seal(NOW, None, &ack).unwrap();
    assert_eq!(body(server.open(&text)), Ok(ack));
    assert!(matches!(client.open::<ToHub>(&text), Err(FrameFault::Package(_))));
    let update =
        FromHub::Config(ConfigUpdate { payload: json!({"validation": {"a": 1}}).as_object().unwrap().clone() });
    let text = server.seal(NOW, Some("cfg-1"), &update).unwrap();
    let expected =
        Incoming::Message { message_id: Some("cfg-1".into()), kind: kind::CONFIG_UPDATE.into(), body: Ok(update) };
    assert_eq!(client.open(&text), Ok(expected));
}

#[test]
fn another_hub_than_the_pinned_one_gets_no_session() {
    let (hello, _, answer) = accepted();
    let fault = hello.finish(validator().hotkey(), Some(validator().hotkey()), &answer).unwrap_err();
    assert!(matches!(&fault, HandshakeFault::WrongServer { told, .. } if told == hub().hotkey()));
    assert!(fault.to_string().contains("meshhub.server_hotkey"), "{fault}");
    // A hub that only claims to be the pinned one derives other keys than it should.
    let (hello, _, answer) = accepted();
    let claimed = InitResponse { server_hotkey: support::keypair("miner").hotkey().clone(), ..answer };
    let mut client = hello.finish(validator().hotkey(), None, &claimed).unwrap();
    let (_, mut server) = talk();
    let text = client.seal(NOW, None, &ToHub::Ack(Ack::accepted("m", "t"))).unwrap();
    assert!(matches!(server.open::<ToHub>(&text), Err(FrameFault::Package(_))));
}

#[test]
fn a_handshake_that_cannot_give_keys_is_named() {
    let answer = accepted().2;
    let zero = STANDARD.encode([0; 32]);
    for bad in [
        InitResponse { validator_ephemeral_public_key: zero, ..answer.clone() },
        InitResponse { validator_ephemeral_public_key: "!".into(), ..answer.clone() },
        InitResponse { server_nonce: "AAAA".into(), ..answer.clone() },
        InitResponse { session_id: String::new(), ..answer.clone() },
        InitResponse { session_id: "s".repeat(129), ..answer },
    ] {
        let fault = accepted().0.finish(validator().hotkey(), None, &bad).unwrap_err();
        assert!(matches!(fault, HandshakeFault::Session(_)), "{bad:?}");
    }
    for text in ["", "{", "[]", r#"{"type":"MESH_LEASE_PUBLISH_V1","data":{}}"#, r#"{"type":"MESH_SESSION_INIT_V1"}"#] {
        assert!(Init::parse(text).is_err() && Reply::parse(text).is_err(), "{text}");
    }
}

#[test]
fn numbers_go_upwards_only_and_not_by_leaps() {
    let (mut client, mut server) = talk();
    let mut sent: Vec<String> =
        (0..2100).map(|_| server.seal(NOW, None, &FromHub::Leases(LeasePublish::default())).unwrap()).collect();
    let mut open = |at: usize| client.open::<FromHub>(&sent[at]).map(|_| ());
    assert_eq!((open(0), open(4)), (Ok(()), Ok(())));
    assert_eq!(open(4), Err(FrameFault::Replayed { seq: 5 }));
    assert_eq!(open(2), Err(FrameFault::Reordered { seq: 3, highest: 5 }));
    assert_eq!(open(2099), Err(FrameFault::TooFar { seq: 2100, highest: 5 }));
    assert_eq!((open(1500), open(1501)), (Ok(()), Ok(())));
    assert_eq!(open(3), Err(FrameFault::Reordered { seq: 4, highest: 1502 }));
    // A number is taken only when the tag was good.
    let bad = sent[1600].replace("\"sequence\":1601", "\"sequence\":1603");
    assert!(matches!(client.open::<FromHub>(&bad), Err(FrameFault::Package(_))));
    assert!(client.open::<FromHub>(&sent.remove(1600)).is_ok());
}

#[test]
fn an_unknown_type_takes_its_number_and_says_so() {
    let (mut client, mut server) = talk();
    let text = server.seal_text(NOW, None, "MESH_UNKNOWN_V1", r#"{"x":1}"#).unwrap();
    let fault = body::<FromHub>(client.open(&text)).unwrap_err();
    assert_eq!((fault.label(), fault.is_acknowledged()), ("unknown_type", false));
    assert_eq!(client.open::<FromHub>(&text), Err(FrameFault::Replayed { seq: 1 }));
}

#[test]
fn what_is_no_frame_of_a_session_is_named() {
    let (mut client, mut server) = talk();
    let mut label = |text: &str| client.open::<FromHub>(text).unwrap_err().label();
    let good = server.seal(NOW, None, &FromHub::Leases(LeasePublish::default())).unwrap();
    assert_eq!(label("{"), "not_json");
    assert_eq!(label("[]"), "no_frame");
    assert_eq!(label(r#"{"type":7}"#), "no_frame");
    assert_eq!(label(r#"{"type":"MESH_LEASE_PUBLISH_V1","data":{"workerScores":[]}}"#), "plain");
    assert_eq!(label(r#"{"type":"MESH_ERROR_V1","data":{"code":"gone"}}"#), "no_frame");
    assert_eq!(label(&good.replace("\"v1\"", "\"v2\"")), "package");
    assert_eq!(label(&good.replace("a1af556d", "b1af556d")), "package");
    assert_eq!(label(&format!("{{\"x\":\"{}\"}}", "y".repeat(limits::MARKETPLACE_BYTES))), "too_big");
    assert!(client.open::<FromHub>(&good).is_ok());
}

fn publish(items: &str) -> LeasePublish {
    match FromHub::read(kind::LEASE_PUBLISH, &format!("{{\"workerScores\":[{items}]}}")) {
        Ok(FromHub::Leases(leases)) => leases,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_bad_lease_costs_itself_alone_and_is_counted_by_reason() {
    let key = format!("{}:w1", validator().hotkey());
    let item = |score: &str| format!("{{\"workerKey\":\"{key}\",\"score\":{score}}}");
    let one = |text: &str| {
        let read = publish(text);
        assert_eq!(read.skipped.total() as usize + read.scores.len(), 1, "{text}");
        read.skipped.counts.into_keys().next()
    };
    for good in ["0", "1", "0.5", "-0.0", "\"1\"", "\" 0.25 \"", "\"1e-3\"", "5e-324"] {
        assert_eq!(one(&item(good)), None, "{good}");
    }
    for (score, why) in [
        ("null", Skip::NoScore),
        ("NaN", Skip::NoScore),
        ("-Infinity", Skip::NoScore),
        ("\"nan\"", Skip::NotNumber),
        ("\"\"", Skip::NotNumber),
        ("\"abc\"", Skip::NotNumber),
        ("true", Skip::NotNumber),
        ("[1]", Skip::NotNumber),
        ("{}", Skip::NotNumber),
        ("7.5", Skip::OutOfRange),
        ("-3", Skip::OutOfRange),
        ("1.0000000000000002", Skip::OutOfRange),
        ("\"inf\"", Skip::OutOfRange),
        ("\"-1e-300\"", Skip::OutOfRange),
    ] {
        assert_eq!(one(&item(score)), Some(why), "{score}");
    }
    for (text, why) in [
        ("7", Skip::NotObject),
        ("[\"a:b\",1]", Skip::NotObject),
        ("{\"score\":1}", Skip::NoKey),
        ("{\"workerKey\":7,\"score\":1}", Skip::NoKey),
        ("{\"workerKey\":\"no-colon\",\"score\":1}", Skip::NoColon),
        ("{\"workerKey\":\"nobody:w\",\"score\":1}", Skip::NotHotkey),
    ] {
        assert_eq!(one(text), Some(why), "{text}");
    }
    assert_eq!(one(&format!("{{\"workerKey\":\"{}:\",\"score\":1}}", validator().hotkey())), Some(Skip::NotWorker));
    let long = format!("{{\"workerKey\":\"{key}{}\",\"score\":1}}", "w".repeat(200));
    assert_eq!(one(&long), Some(Skip::NotWorker));
    let nested = publish(&format!("{{\"workerKey\":\"{key}:a:b\",\"score\":1}}"));
    assert_eq!(nested.scores[0].0.worker.as_str(), "w1:a:b");
}

#[test]
fn examples_of_what_was_skipped_are_few_and_short() {
    let bad = format!("{{\"workerKey\":\"{}\",\"score\":1}}", "é".repeat(500));
    let read = publish(&vec![bad; 1000].join(","));
    assert_eq!((read.skipped.total(), read.skipped.examples.len()), (1000, 4));
    assert!(read.skipped.examples.iter().all(|(text, _)| text.chars().count() == 160));
}

#[test]
fn updates_have_bounds() {
    let read = |payload: &str| FromHub::read(kind::CONFIG_UPDATE, &format!("{{\"payload\":{payload}}}"));
    let nested = |levels: usize| format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels));
    assert!(read(&nested(8)).is_ok());
    for bad in [&nested(9), &nested(200), "\"text\"", "[]", "7", &format!("{{\"a\":\"{}\"}}", "x".repeat(1 << 16))] {
        let fault = read(bad).unwrap_err();
        assert!(fault.is_acknowledged(), "{fault}");
    }
    let empty = FromHub::Config(ConfigUpdate { payload: Default::default() });
    assert_eq!(FromHub::read(kind::CONFIG_UPDATE, "{}"), Ok(empty.clone()));
    assert_eq!(read("null"), Ok(empty));
}

#[test]
fn tasks_have_bounds() {
    let read = |task: Value| FromHub::read(kind::TASK_PUBLISH, &task.to_string());
    let worker = format!("{}:w1", validator().hotkey());
    let good = json!({"taskKey": "t", "workerKey": worker});
    let Ok(FromHub::Task(task)) = read(good.clone()) else { panic!() };
    assert_eq!((task.payload.as_str(), task.priority, task.ttl), ("{}", 0, None));
    let with = |field: &str, value: Value| {
        let mut task = good.clone();
        task[field] = value;
        read(task)
    };
    assert_eq!(with("taskKey", Value::Null), Err(BodyFault::NoTaskKey));
    assert_eq!(with("taskKey", json!("")), Err(BodyFault::NoTaskKey));
    for (field, value) in [
        ("taskKey", json!(7)),
        ("taskKey", json!("t".repeat(257))),
        ("workerKey", json!("no-colon")),
        ("workerKey", Value::Null),
        ("taskType", json!("t".repeat(257))),
        ("payload", json!([])),
        ("payload", json!({"x": "y".repeat(1 << 16)})),
        ("priority", json!("high")),
        ("ttl", json!(-1)),
    ] {
        let fault = with(field, value).unwrap_err();
        assert!(fault.is_acknowledged(), "{field}: {fault}");
    }
}

#[test]
fn an_error_says_what_to_do() {
    let error = HubError { code: HubError::BAD_TOKEN, message: String::new() };
    assert!(error.meaning().contains("meshhub.access_token_file"));
}

proptest! {
    #[test]
    fn a_changed_byte_is_refused(at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let (mut client, mut server) = talk();
        let update = FromHub::Config(ConfigUpdate { payload: Default::default() });
        let text = server.seal(NOW, Some("m"), &update).unwrap();
        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = to;
        let Ok(changed) = String::from_utf8(bytes) else { return Ok(()) };
        // What no tag binds may change: the timestamp and the messageId. The body is the hub's, or there is none.
        if let Ok(Incoming::Message { kind: read, body, .. }) = client.open::<FromHub>(&changed) {
            prop_assert_eq!((read.as_str(), body), (kind::CONFIG_UPDATE, Ok(update)));
        }
    }

    #[test]
    fn no_text_makes_a_session_panic(text in ".{0,300}") {
        let (mut client, _) = talk();
        prop_assert!(client.open::<FromHub>(&text).is_err());
    }
}
