//! Worker ↔ miner: recorded conversations are read frame by frame, and written back as they were.

use byteleap::wire::websocket::{Register, ToMiner, ToWorker};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support;

/// Whether `ours` says all that `recorded` does; further fields of a task result are only tolerated.
fn covers(ours: &Value, recorded: &Value, apart: &[&str]) -> bool {
    match (ours, recorded) {
        (Value::Object(ours), Value::Object(recorded)) => recorded.iter().all(|(name, value)| {
            apart.contains(&name.as_str()) || ours.get(name).is_some_and(|ours| covers(ours, value, apart))
        }),
        (ours, recorded) => ours == recorded,
    }
}

/// What the reference implementation's worker adds to what the protocol knows.
const FURTHER: [&str; 6] =
    ["computation_time_ms", "plugin_name", "cpu_cores_used", "plugin", "execution_time", "last_updated"];

fn replay(file: &str) -> usize {
    let flow: Value = support::data(file);
    let frames = flow["messages"].as_array().unwrap().iter().filter(|message| message["msg"].is_object());
    let mut count = 0;
    for message in frames {
        let recorded = &message["msg"];
        let text = recorded.to_string();
        let ours = match message["dir"].as_str().unwrap() {
            "worker_to_miner" => ToMiner::parse(&text).unwrap().to_text(),
            _ => ToWorker::parse(&text).unwrap().to_text(),
        };
        let further = if recorded["type"] == "task_result" { with_challenge_id() } else { FURTHER.to_vec() };
        assert!(covers(&serde_json::from_str(&ours).unwrap(), recorded, &further), "{text}\n{ours}");
        count += 1;
    }
    count
}

fn with_challenge_id() -> Vec<&'static str> {
    [&FURTHER[..], &["challenge_id"]].concat()
}

#[test]
fn recorded_conversations_are_read_and_written_back() {
    assert_eq!(replay("ws/cpu_flow.json"), 18);
    assert_eq!(replay("ws/gpu_flow.json"), 18);
}

fn case(name: &str) -> Value {
    let cases: Value = support::data("ws/bad_cases.json");
    cases["cases"].as_array().unwrap().iter().find(|case| case["name"] == name).unwrap().clone()
}

fn text(sent: &Value) -> String {
    match sent.as_str() {
        Some(text) => match text.strip_prefix("0x") {
            Some(hex) => String::from_utf8(hex::decode(hex).unwrap()).unwrap(),
            None => text.into(),
        },
        None => sent.to_string(),
    }
}

#[test]
fn a_first_frame_is_registered_or_closed_as_recorded() {
    let cases: Value = support::data("ws/bad_cases.json");
    for case in cases["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let events = case["events"].as_array().unwrap();
        // A text "register" stands for a good registration there; who is silent sent nothing.
        if ["same_id_twice", "silent", "not_json"].contains(&name) {
            continue;
        }
        let verdict = Register::parse_first(&text(&events[0]["send"]));
        match &events[1]["closed_by_miner"] {
            Value::Null => assert!(verdict.is_ok(), "{name}"),
            closed => {
                let refusal = verdict.unwrap_err();
                assert_eq!(json!({"code": refusal.close_code(), "reason": refusal.to_string()}), *closed, "{name}");
            }
        }
    }
}

#[test]
fn a_first_frame_that_is_no_json_is_an_invalid_registration() {
    let refusal = Register::parse_first(&text(&case("not_json")["events"][0]["send"])).unwrap_err();
    assert_eq!((refusal.close_code(), refusal.to_string().as_str()), (4000, "Invalid registration"));
}

/// The frames after the registration, with whether the miner took them.
#[test]
fn later_frames_are_taken_or_ignored_as_recorded() {
    let ignored = ["heartbeat_without_system_info", "unknown_message", "bad_json_later", "message_is_list"];
    let taken = ["heartbeat", "heartbeat_minimal", "task_result_infinity", "proof_response_unknown_id"];
    for (name, expected) in ignored.map(|name| (name, false)).into_iter().chain(taken.map(|name| (name, true))) {
        let case = case(name);
        let sent = case["events"].as_array().unwrap().iter().filter(|event| !event["send"].is_null()).nth(1).unwrap();
        assert_eq!(ToMiner::parse(&text(&sent["send"])).is_ok(), expected, "{name}");
    }
}

#[test]
fn a_task_result_without_success_frees_the_worker() {
    let case = case("task_result_without_success");
    let ToMiner::TaskResult(result) = ToMiner::parse(&text(&case["events"][2]["send"])).unwrap() else { panic!() };
    assert!(!result.data.success);
}

#[test]
fn an_id_is_trimmed_and_bounded() {
    let with = |id: &str| {
        Register::parse_first(&json!({"type": "register", "worker_id": id, "worker_version": "1"}).to_string())
    };
    assert_eq!(with(" w1 ").unwrap().worker_id.as_str(), "w1");
    assert_eq!(with(&"w".repeat(129)).unwrap_err().close_code(), 4001);
}

#[test]
fn lists_are_no_frames() {
    for text in [r#"["heartbeat_ack"]"#, r#"["register","w","n","1",[],{}]"#, "[]", "5", "null"] {
        assert!(ToWorker::parse(text).is_err() && ToMiner::parse(text).is_err(), "{text}");
        assert!(Register::parse_first(text).is_err(), "{text}");
    }
}

/// Some JSON near the frames: known keys, any values.
fn near_frame() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "(register|heartbeat|task_result|proof_response|task_assignment|proof_request|w|1)".prop_map(Value::from),
    ];
    let keys = "(type|data|worker_id|worker_version|capabilities|system_info|message_id|task_id|proofs|success|result)";
    leaf.prop_recursive(3, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(keys, inner, 0..6).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_read_is_written_so_that_it_is_read_again(frame in near_frame()) {
        let text = frame.to_string();
        if let Ok(frame) = ToMiner::parse(&text) {
            prop_assert_eq!(ToMiner::parse(&frame.to_text()).unwrap(), frame);
        }
        if let Ok(frame) = ToWorker::parse(&text) {
            prop_assert_eq!(ToWorker::parse(&frame.to_text()).unwrap(), frame);
        }
    }

    #[test]
    fn no_text_makes_a_parser_panic(text in ".{0,200}") {
        prop_assert!(ToMiner::parse(&text).is_err() && ToWorker::parse(&text).is_err());
    }
}
