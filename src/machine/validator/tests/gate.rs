//! Who may speak, how often, and that nobody can lock another out.

use std::time::Duration;

use super::bench::{Back, Bench, CONFIG, Miner, keys};
use crate::{
    machine::contract::store::Snapshot,
    wire::{
        http::{Headers, Request},
        json,
        keys::signature_text,
        session::ClientHello,
        synapse::SynapseKind,
    },
};

const POLL: &str = r#"{"hotkey":"x","request_type":"challenge","timestamp":1}"#;

fn alice() -> (Bench, Miner) {
    let mut alice = Miner::new(1);
    let mut bench = Bench::new(&[&alice.keys]);
    alice.handshake(&mut bench).unwrap();
    (bench, alice)
}

/// The same request with one header taken out or replaced.
fn changed(request: &Request, name: &str, value: Option<&str>) -> Request {
    let mut headers = Headers::new();
    for (key, old) in request.headers.iter().filter(|(key, _)| *key != name) {
        headers.push(key, old);
    }
    if let Some(value) = value {
        headers.push(name, value);
    }
    Request { headers, ..request.clone() }
}

#[test]
fn naming_a_hotkey_without_its_signature_costs_that_hotkey_nothing() {
    let (mut bench, mut alice) = alice();
    let mut mallory = Miner::new(66);
    for count in 0..500 {
        let kind = if count % 2 == 0 { SynapseKind::SessionInit } else { SynapseKind::Task };
        let hello = mallory.hello(&bench);
        let request = mallory.call(&bench, kind, &json::text(&hello.request()));
        let claimed = changed(&request, "bt_header_dendrite_hotkey", Some(alice.hotkey().as_str()));
        let bare = changed(&claimed, "bt_header_dendrite_signature", None);
        for attack in [claimed, bare] {
            let response = bench.request_from(&format!("203.0.113.{}", count % 200), attack).unwrap();
            assert_eq!(response.status, 401);
        }
    }
    assert_eq!(bench.validator.sessions.of(alice.hotkey()), (1, 1), "one handshake counted, one session kept");
    assert_eq!(bench.validator.gate.counted(alice.hotkey()), 0);
    assert!(alice.say(&mut bench, SynapseKind::Task, POLL).plain().contains("no_task"));
    for _ in 0..4 {
        alice.handshake(&mut bench).unwrap();
    }
}

#[test]
fn the_rate_of_a_hotkey_counts_admitted_requests() {
    let text = format!("{CONFIG}security: {{rate_limit: {{window_seconds: 30, max_requests: 3}}}}\n");
    let mut alice = Miner::new(1);
    let mut bench = Bench::start(keys(200), &text, &[&alice.keys], Snapshot::default());
    alice.handshake(&mut bench).unwrap();
    for _ in 0..3 {
        alice.say(&mut bench, SynapseKind::Task, POLL).plain();
    }
    match alice.say(&mut bench, SynapseKind::Task, POLL) {
        Back::Fault(refusal) => assert_eq!((refusal.error.as_str(), refusal.error_code), ("rate_limited", 1003)),
        other => panic!("{other:?}"),
    }
    alice.handshake(&mut bench).expect("handshakes do not count");
    assert_eq!(alice.say(&mut bench, SynapseKind::Task, POLL).code(), 1003, "another session has no other rate");
    bench.seconds(31);
    alice.say(&mut bench, SynapseKind::Task, POLL).plain();
}

#[test]
fn a_source_address_is_cut_off_before_any_signature_is_looked_at() {
    let (mut bench, mut alice) = alice();
    let request = alice.call(&bench, SynapseKind::Task, "{}");
    let unsigned = changed(&request, "bt_header_dendrite_signature", None);
    let statuses: Vec<u16> =
        (0..610).map(|_| bench.request_from("203.0.113.5", unsigned.clone()).unwrap().status).collect();
    assert_eq!((statuses[599], statuses[600]), (401, 429));
    assert_eq!(bench.request(unsigned).status, 401, "another address is not concerned");
}

#[test]
fn handshakes_are_five_a_minute_and_sessions_three() {
    let (mut bench, mut alice) = alice();
    let first = alice.session.take();
    for _ in 0..4 {
        alice.handshake(&mut bench).unwrap();
    }
    match alice.handshake(&mut bench) {
        Err(Back::Fault(refusal)) => {
            assert_eq!(refusal.error, "Handshake rate limit exceeded: 5/5 in 60s");
            assert_eq!(refusal.error_code, 4018);
        }
        other => panic!("{other:?}"),
    }
    let newest = std::mem::replace(&mut alice.session, first);
    assert_eq!(alice.say(&mut bench, SynapseKind::Task, POLL).code(), 4012, "the first one was evicted");
    alice.session = newest;
    alice.say(&mut bench, SynapseKind::Task, POLL).plain();
    bench.seconds(61);
    alice.handshake(&mut bench).unwrap();
}

#[test]
fn the_session_used_least_recently_goes_first() {
    let (mut bench, mut alice) = alice();
    let first = alice.session.take();
    alice.handshake(&mut bench).unwrap();
    let second = alice.session.take();
    alice.handshake(&mut bench).unwrap();
    alice.session = first;
    alice.say(&mut bench, SynapseKind::Task, POLL).plain();
    let first = alice.session.take();
    alice.handshake(&mut bench).unwrap();
    alice.session = second;
    assert_eq!(alice.say(&mut bench, SynapseKind::Task, POLL).code(), 4012);
    alice.session = first;
    alice.say(&mut bench, SynapseKind::Task, POLL).plain();
}

#[test]
fn a_session_ends_after_six_hours() {
    let (mut bench, mut alice) = alice();
    bench.seconds(21_599);
    alice.say(&mut bench, SynapseKind::Task, POLL).plain();
    bench.seconds(1);
    assert_eq!(alice.say(&mut bench, SynapseKind::Task, POLL).code(), 4012);
}

#[test]
fn a_session_belongs_to_the_hotkey_that_made_it() {
    let mut alice = Miner::new(1);
    let mut bob = Miner::new(2);
    let mut bench = Bench::new(&[&alice.keys, &bob.keys]);
    alice.handshake(&mut bench).unwrap();
    bob.handshake(&mut bench).unwrap();
    let package = alice.session.as_mut().unwrap().seal(SynapseKind::Task, POLL).unwrap();
    assert_eq!(bob.send_package(&mut bench, SynapseKind::Task, &package).code(), 4012);
    alice.send_package(&mut bench, SynapseKind::Task, &package).plain();
}

#[test]
fn a_body_that_names_another_hotkey_is_refused() {
    let (mut bench, mut alice) = alice();
    let request = alice.call(&bench, SynapseKind::Task, "{}");
    let body = String::from_utf8(request.body.clone()).unwrap();
    let other = body.replace(alice.hotkey().as_str(), keys(2).hotkey().as_str());
    let response = bench.request(Request { body: other.into_bytes(), ..request });
    assert_eq!(response.status, 401);
}

#[test]
fn a_signed_handshake_is_answered_signed_and_can_be_required() {
    let text = format!("{CONFIG}security: {{require_signed_handshake: true}}\n");
    let mut alice = Miner::new(1);
    let mut bench = Bench::start(keys(200), &text, &[&alice.keys], Snapshot::default());
    assert_eq!(alice.handshake(&mut bench).unwrap_err().code(), 4018);
    let mut hello = ClientHello::new([5; 32], [6; 16], bench.now.wall);
    let signed = hello.signed_request(&alice.keys, &bench.me);
    let request = alice.call(&bench, SynapseKind::SessionInit, &json::text(&signed));
    let text = crate::wire::synapse::parse_answer(&bench.request(request)).unwrap();
    let session = hello.finish(alice.hotkey(), &bench.me, &json::parse(&text).unwrap()).unwrap();
    assert!(session.peer_signed());
    let forged = crate::wire::messages::SessionInitRequest { sig: Some(signature_text(&[1; 64])), ..signed };
    let request = alice.call(&bench, SynapseKind::SessionInit, &json::text(&forged));
    let text = crate::wire::synapse::parse_answer(&bench.request(request)).unwrap();
    assert!(text.contains("4018"), "{text}");
}

#[test]
fn a_nonce_counts_once_and_its_age_is_limited() {
    let (mut bench, mut alice) = alice();
    let package = alice.session.as_mut().unwrap().seal(SynapseKind::Task, POLL).unwrap();
    let request = alice.call(&bench, SynapseKind::Task, &package);
    assert_eq!(bench.request(request.clone()).status, 200);
    assert_eq!(bench.request(request).status, 401);
    let aged = alice.call(&bench, SynapseKind::Task, &package);
    bench.seconds(17);
    assert_eq!(bench.request(aged.clone()).status, 401);
    let patient = changed(&aged, "timeout", Some("200.0"));
    assert_eq!(bench.request(patient).status, 200, "the sender waits that long");
    bench.now.wall = bench.now.wall + Duration::from_secs(20);
    let ahead = alice.call(&bench, SynapseKind::Task, &package);
    bench.now.wall = bench.now.wall - Duration::from_secs(20);
    assert_eq!(bench.request(ahead).status, 401);
}

#[test]
fn strangers_stay_out_also_when_the_chain_forgets_the_subnet() {
    let mut alice = Miner::new(1);
    let mut bench = Bench::new(&[]);
    let (status, body) = alice.handshake(&mut bench).unwrap_err().refusal();
    assert_eq!(status, 403);
    assert_eq!(body, r#"{"message":"Forbidden. Key is blacklisted: hotkey_not_in_metagraph."}"#);
    bench.graph.neurons.clear();
    bench.seconds(61);
    assert_eq!(
        bench.request(alice.call(&bench, SynapseKind::SessionInit, "{}")).status,
        403,
        "the last good one stays"
    );
}

#[test]
fn big_bodies_take_the_detour_and_arrive_at_the_same_place() {
    let (mut bench, mut alice) = alice();
    let padding = "x".repeat(100_000);
    let text = format!(r#"{{"hotkey":"x","timestamp":1,"workers":[],"padding":"{padding}"}}"#);
    assert!(alice.say(&mut bench, SynapseKind::Heartbeat, &text).plain().contains("for 0 workers"));
    let package = alice.session.as_mut().unwrap().seal(SynapseKind::Heartbeat, &text).unwrap();
    alice.send_package(&mut bench, SynapseKind::Heartbeat, &package).plain();
    assert_eq!(alice.send_package(&mut bench, SynapseKind::Heartbeat, &package).code(), 4020, "a number counts once");
    let wrong = format!(r#"{{"hotkey":"x","padding":"{padding}"}}"#);
    assert_eq!(alice.say(&mut bench, SynapseKind::Task, &wrong).code(), 4015);
    let request = alice.call(&bench, SynapseKind::SessionInit, &padding);
    assert_eq!(bench.request(request).status, 413);
    let request = alice.call(&bench, SynapseKind::Task, &padding);
    let broken = Request { body: request.body[1..].to_vec(), ..request };
    assert_eq!(bench.request(broken).status, 422);
}
