//! The recorded conversations between the reference implementation's worker and miner, ours in the miner's place.

use std::{collections::BTreeMap, fs, time::Duration};

use serde_json::Value;

use super::{
    validator::keys,
    world::{World, registration},
};
use crate::{units::PeerId, wire::messages::ChallengeSpec};

fn recording(name: &str) -> Value {
    let path = format!("{}/tests/data/ws/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// What the recorded miner's validator handed out, from what the miner then told its worker.
fn spec(assignment: &Value) -> ChallengeSpec {
    let data = &assignment["data"];
    let mut spec = super::validator::challenge(data["challenge_id"].as_str().unwrap(), "");
    spec.target_worker_id = serde_json::from_value(data["data"]["worker_id"].clone()).unwrap();
    spec.challenge_type = data["task_type"].as_str().unwrap().into();
    spec.timeout = data["timeout"].as_u64().unwrap() as u32;
    spec.data = crate::wire::messages::Raw::of(&data["data"]).unwrap();
    spec
}

/// Plays the worker's side of a recording; what ours tells must have the recorded fields.
fn replay(name: &str) -> World {
    let flow = recording(name);
    let messages = flow["messages"].as_array().unwrap();
    let mut world = World::new(1);
    let mut connections: BTreeMap<u64, PeerId> = BTreeMap::new();
    let mut seen: BTreeMap<PeerId, usize> = BTreeMap::new();
    let mut message_ids: BTreeMap<String, Value> = BTreeMap::new();
    for (at, message) in messages.iter().enumerate() {
        let conn = message["conn"].as_u64().unwrap();
        match (message["event"].as_str(), message["dir"].as_str()) {
            (Some("open"), _) => {
                let peer = world.connect();
                connections.insert(conn, peer);
            }
            (Some("closed_by"), _) if message["side"] == "worker" => world.cut(connections[&conn]),
            (_, Some("worker_to_miner")) => {
                prepare(&mut world, &messages[at + 1..]);
                let mut said = message["msg"].clone();
                if let Some(ours) = said["message_id"].as_str().and_then(|theirs| message_ids.get(theirs)) {
                    said["message_id"] = ours.clone();
                }
                world.says(connections[&conn], &said);
            }
            (_, Some("miner_to_worker")) => {
                let peer = connections[&conn];
                let said = next_frame(&mut world, peer, &mut seen, &message["msg"]);
                if let Some(theirs) = message["msg"]["message_id"].as_str() {
                    message_ids.insert(theirs.into(), said["message_id"].clone());
                }
            }
            _ => {}
        }
    }
    world
}

/// Sets the validator up so that it asks what the recorded one asked next.
fn prepare(world: &mut World, ahead: &[Value]) {
    let next = ahead.iter().find(|message| message["msg"]["type"] == "proof_request");
    if let Some(request) = next {
        world.bob().wants = request["msg"]["data"]["requests"].to_string();
    }
}

/// The next frame that ours tells, which must be as the recorded one, apart from ids and hotkeys.
fn next_frame(world: &mut World, peer: PeerId, seen: &mut BTreeMap<PeerId, usize>, recorded: &Value) -> Value {
    if recorded["type"] == "task_assignment" {
        world.bob().challenges.push(spec(recorded));
        for _ in 0..62 {
            if world.workers[&peer].frames.len() > seen.get(&peer).copied().unwrap_or(0) {
                break;
            }
            world.pass(Duration::from_millis(500));
        }
    }
    let index = seen.entry(peer).or_insert(0);
    let said = world.workers[&peer].frames.get(*index).unwrap_or_else(|| panic!("nothing said, recorded: {recorded}"));
    let said = said.clone();
    *index += 1;
    assert_eq!((&said["type"], keys(&said)), (&recorded["type"], keys(recorded)));
    if recorded["data"].is_object() {
        assert_eq!(keys(&said["data"]), keys(&recorded["data"]));
        for field in ["task_id", "task_type", "challenge_id", "data", "timeout", "requests", "status"] {
            assert_eq!(said["data"][field], recorded["data"][field], "{field}");
        }
    }
    said
}

#[test]
fn the_recorded_cpu_rounds_pass() {
    let mut world = replay("cpu_flow.json");
    assert_eq!((world.flows_ended("accepted"), world.bob().proofs.len()), (2.0, 2));
    assert_eq!(world.bob().commitments.len(), 2);
}

#[test]
fn the_recorded_gpu_rounds_pass() {
    let mut world = replay("gpu_flow.json");
    let accepted = world.flows_ended("accepted");
    assert!(accepted >= 2.0, "{accepted}");
    assert_eq!(world.bob().proofs.len(), accepted as usize);
    assert!(world.bob().commitments.iter().all(|commitment| commitment.commitments.len() == 2));
}

/// Cases whose reaction differs on purpose, with ours: see `tests/data/DIFFERENCES.md`.
fn ours_differs(name: &str) -> Option<u16> {
    match name {
        "not_json" => Some(4000),
        "silent" => Some(4000),
        _ => None,
    }
}

#[test]
fn every_recorded_bad_case_is_met_as_recorded() {
    let cases = recording("bad_cases.json");
    for case in cases["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        if name == "same_id_twice" {
            continue;
        }
        let mut world = World::with("worker_management: {heartbeat_interval: 2, heartbeat_timeout: 6}", 0);
        let peer = world.connect();
        let mut seen = 0;
        for event in case["events"].as_array().unwrap() {
            if let Some(sent) = event.get("send") {
                world.says_text(peer, sent_text(sent));
            } else if let Some(received) = event.get("recv") {
                assert_eq!(world.workers[&peer].frames.get(seen), Some(received), "{name}");
                seen += 1;
            } else if let Some(closed) = event.get("closed_by_miner") {
                if matches!(name, "silent" | "heartbeat_timeout") {
                    world.pass_secs(30);
                }
                let code = ours_differs(name).map_or(closed["code"].as_u64(), |code| Some(code.into()));
                assert_eq!(world.closed(peer).map(u64::from), code, "{name}");
            } else if event.get("still_open").is_some() {
                assert_eq!(world.closed(peer), None, "{name}");
                assert_eq!(world.workers[&peer].frames.len(), seen, "{name}: nothing else was said");
            }
        }
    }
}

/// A frame as it was sent: a text, an object, or the bytes of a binary frame, which the loop hands on as text.
fn sent_text(sent: &Value) -> String {
    match sent.as_str() {
        Some(text) => match text.strip_prefix("0x") {
            Some(digits) => String::from_utf8(hex::decode(digits).unwrap()).unwrap(),
            None => text.to_owned(),
        },
        None => sent.to_string(),
    }
}

#[test]
fn the_recorded_second_registration_keeps_the_newcomer_registered() {
    let mut world = World::new(1);
    let (a, b) = (world.connect(), world.connect());
    world.says(a, &registration("00000000000000c1"));
    world.says(b, &registration("00000000000000c1"));
    assert_eq!((world.closed(a), world.closed(b)), (Some(1001), None));
    world.says(b, &super::world::heartbeat());
    world.bob().hand_out("c1", "00000000000000c1");
    world.pass_secs(31);
    assert_eq!(world.told(b, "task_assignment").len(), 1, "tasks reach it");
    world.pass_secs(90);
    assert_eq!(world.closed(b), Some(1001), "and so do timeouts");
}
