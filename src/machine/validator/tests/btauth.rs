//! Requests whose bodies are signed, beside the others: same gate, same sessions, and what is refused by name.

use std::time::Duration;

use super::bench::{Back, Bench, Miner, keys};
use crate::{
    metrics::Metric,
    units::Wall,
    wire::{
        http::{Headers, Request},
        json,
        synapse::{OpenCall, SynapseKind, btauth},
    },
};

const POLL: &str = r#"{"hotkey":"x","request_type":"challenge","timestamp":1}"#;

/// The same call as [`Miner::call`], signed with its body at that moment.
fn signed(alice: &mut Miner, bench: &Bench, kind: SynapseKind, text: &str, at: Wall) -> Request {
    alice.requests += 1;
    let call = OpenCall { kind, to: bench.me.clone(), axon: "192.0.2.9:9091".parse().unwrap() };
    call.write(text).sign(&alice.keys, at.0 + alice.requests)
}

fn alice() -> (Bench, Miner) {
    let mut alice = Miner::new(1);
    let mut bench = Bench::new(&[&alice.keys]);
    alice.handshake(&mut bench).unwrap();
    (bench, alice)
}

/// A poll in alice's session, as it goes over the wire.
fn poll(alice: &mut Miner, bench: &Bench) -> Request {
    let package = alice.session.as_mut().unwrap().seal(SynapseKind::Task, POLL).unwrap();
    signed(alice, bench, SynapseKind::Task, &package, bench.now.wall)
}

/// The request with one header replaced, or taken out.
fn with(request: &Request, name: &str, value: Option<&str>) -> Request {
    let mut headers = Headers::new();
    request.headers.iter().filter(|(key, _)| *key != name).for_each(|(key, old)| headers.push(key, old));
    value.into_iter().for_each(|value| headers.push(name, value));
    Request { headers, ..request.clone() }
}

/// Status and label of a refusal.
fn refused(bench: &mut Bench, request: Request, label: &'static str) -> u16 {
    let code = |status| match status {
        400 => "400",
        401 => "401",
        403 => "403",
        other => panic!("{other}"),
    };
    let response = bench.request(request);
    assert_eq!(bench.counted(Metric::Refusals, &[code(response.status), label]), Some(1.0), "{label}: {response:?}");
    response.status
}

#[test]
fn a_session_is_made_and_used_with_signed_bodies() {
    let mut alice = Miner::new(1);
    let mut bench = Bench::new(&[&alice.keys]);
    let hello = alice.hello(&bench);
    let at = bench.now.wall;
    let request = signed(&mut alice, &bench, SynapseKind::SessionInit, &json::text(&hello.request()), at);
    let text = crate::wire::synapse::parse_answer(&bench.request(request)).unwrap();
    alice.session = Some(hello.finish(alice.hotkey(), &bench.me, &json::parse(&text).unwrap()).unwrap());
    let request = poll(&mut alice, &bench);
    let answer = bench.request(request);
    assert!(btauth::announces(&answer.headers));
    assert!(alice.understand(SynapseKind::Task, answer).plain().contains("no_task"));
}

#[test]
fn every_answer_announces_it_and_every_refusal() {
    let (mut bench, mut alice) = alice();
    let good = alice.call(&bench, SynapseKind::Task, "{}");
    let other = Request { target: "/NoSuchSynapse".into(), ..good.clone() };
    let get = Request { method: "GET".into(), ..good.clone() };
    for request in [other, get, with(&good, "bt_header_dendrite_hotkey", None), good] {
        let response = bench.request(request);
        assert!(btauth::announces(&response.headers), "{response:?}");
    }
}

#[test]
fn ten_seconds_back_and_two_ahead() {
    let (mut bench, mut alice) = alice();
    let at = |bench: &mut Bench, alice: &mut Miner, at: Wall| {
        let package = alice.session.as_mut().unwrap().seal(SynapseKind::Task, POLL).unwrap();
        // `signed` adds a few nanoseconds to its moment
        let request = signed(alice, bench, SynapseKind::Task, &package, at - Duration::from_nanos(alice.requests + 1));
        bench.request(request).status
    };
    let now = bench.now.wall;
    assert_eq!(at(&mut bench, &mut alice, now - Duration::from_secs(10)), 200);
    let now = bench.now.wall;
    assert_eq!(at(&mut bench, &mut alice, now - Duration::from_nanos(10_000_000_001)), 401);
    assert_eq!(bench.counted(Metric::Refusals, &["401", "nonce_too_old"]), Some(1.0));
    let now = bench.now.wall;
    assert_eq!(at(&mut bench, &mut alice, now + Duration::from_secs(2)), 200);
    let now = bench.now.wall;
    assert_eq!(at(&mut bench, &mut alice, now + Duration::from_nanos(2_000_000_001)), 401);
    assert_eq!(bench.counted(Metric::Refusals, &["401", "nonce_in_future"]), Some(1.0));
}

#[test]
fn a_senders_patience_buys_no_older_nonce() {
    let (mut bench, mut alice) = alice();
    let request = with(&poll(&mut alice, &bench), "timeout", Some("300.0"));
    bench.seconds(11);
    assert_eq!(refused(&mut bench, request, "nonce_too_old"), 401);
}

#[test]
fn a_request_for_another_receiver_or_for_nobody_is_refused() {
    let (mut bench, mut alice) = alice();
    let request = poll(&mut alice, &bench);
    let elsewhere = with(&request, "x-bittensor-receiver", Some(keys(99).hotkey().as_str()));
    assert_eq!(bench.request(elsewhere).status, 401);
    assert_eq!(bench.request(with(&request, "x-bittensor-receiver", Some("-"))).status, 401);
    assert_eq!(bench.request(with(&request, "x-bittensor-receiver", None)).status, 401);
    assert_eq!(bench.counted(Metric::Refusals, &["401", "wrong_receiver"]), Some(3.0));
    let call =
        OpenCall { kind: SynapseKind::Task, to: keys(99).hotkey().clone(), axon: "192.0.2.9:9091".parse().unwrap() };
    let readdressed = call.write("{}").sign(&alice.keys, bench.now.wall.0);
    let readdressed = with(&readdressed, "x-bittensor-receiver", Some(bench.me.as_str()));
    assert_eq!(refused(&mut bench, readdressed, "signature"), 401);
}

#[test]
fn a_changed_body_is_refused_before_it_is_read() {
    let (mut bench, mut alice) = alice();
    let request = poll(&mut alice, &bench);
    let mut body = request.body.clone();
    body.push(b' ');
    assert_eq!(bench.request(Request { body, ..request.clone() }).status, 401, "one letter that means nothing");
    let broken = Request { body: b"no JSON".to_vec(), ..request.clone() };
    assert_eq!(bench.request(broken).status, 401, "it is not even parsed");
    assert_eq!(bench.counted(Metric::Refusals, &["401", "signature"]), Some(2.0));
    assert_eq!(bench.validator.gate.counted(alice.hotkey()), 0);
    let other = Request { target: "/TaskSynapse?x=1".into(), ..request.clone() };
    assert_eq!(bench.request(other).status, 401, "the target is signed, too");
    let answer = bench.request(request);
    assert!(alice.understand(SynapseKind::Task, answer).plain().contains("no_task"), "nothing was used up");
}

#[test]
fn a_request_counts_once_and_its_neighbours_in_any_order() {
    let (mut bench, mut alice) = alice();
    let (first, second) = (poll(&mut alice, &bench), poll(&mut alice, &bench));
    assert_eq!(bench.request(second.clone()).status, 200);
    assert_eq!(bench.request(first.clone()).status, 200, "an earlier nonce that comes later");
    for again in [first, second] {
        assert_eq!(bench.request(again).status, 401);
    }
    assert_eq!(bench.counted(Metric::Refusals, &["401", "replayed"]), Some(2.0));
}

#[test]
fn a_nonce_without_its_signature_is_not_used_up() {
    let (mut bench, mut alice) = alice();
    let request = poll(&mut alice, &bench);
    let forged = with(&request, "x-bittensor-signature", Some(&format!("0x{}", "01".repeat(64))));
    assert_eq!(refused(&mut bench, forged, "signature"), 401);
    assert_eq!(bench.request(request).status, 200);
}

#[test]
fn a_missing_header_is_named() {
    let (mut bench, mut alice) = alice();
    let request = poll(&mut alice, &bench);
    for name in ["x-bittensor-version", "x-bittensor-hotkey", "x-bittensor-nonce", "x-bittensor-signature"] {
        let response = bench.request(with(&request, name, None));
        let body = String::from_utf8(response.body).unwrap();
        assert_eq!((response.status, body.contains(&format!("missing header {name}"))), (401, true), "{body}");
    }
    for (name, value) in [
        ("x-bittensor-version", "2"),
        ("x-bittensor-crypto", "ed25519"),
        ("x-bittensor-nonce", "soon"),
        ("x-bittensor-signature", "0x12"),
    ] {
        let response = bench.request(with(&request, name, Some(value)));
        let body = String::from_utf8(response.body).unwrap();
        assert_eq!((response.status, body.contains(name)), (400, true), "{body}");
    }
    let nobody = with(&request, "x-bittensor-hotkey", Some("nobody"));
    assert_eq!(refused(&mut bench, nobody, "not_in_metagraph"), 403);
    let stranger = with(&request, "x-bittensor-hotkey", Some(keys(66).hotkey().as_str()));
    assert_eq!(bench.request(stranger).status, 403);
}

#[test]
fn both_kinds_of_headers_at_once_are_refused() {
    let (mut bench, mut alice) = alice();
    let old = alice.call(&bench, SynapseKind::Task, "{}");
    let new = poll(&mut alice, &bench);
    for name in ["bt_header_dendrite_hotkey", "bt_header_dendrite_nonce", "bt_header_dendrite_signature"] {
        let both = with(&new, name, old.headers.get(name));
        let response = bench.request(both);
        assert_eq!(response.status, 400);
        assert!(String::from_utf8(response.body).unwrap().contains("send one kind"));
    }
    let mixed = with(&old, "x-bittensor-signature", new.headers.get("x-bittensor-signature"));
    assert_eq!(bench.request(mixed).status, 400);
}

#[test]
fn a_big_body_is_verified_where_it_is_read() {
    let (mut bench, mut alice) = alice();
    let padding = "x".repeat(100_000);
    let text = format!(r#"{{"hotkey":"x","timestamp":1,"workers":[],"padding":"{padding}"}}"#);
    let package = alice.session.as_mut().unwrap().seal(SynapseKind::Heartbeat, &text).unwrap();
    let at = bench.now.wall;
    let request = signed(&mut alice, &bench, SynapseKind::Heartbeat, &package, at);
    let mut body = request.body.clone();
    let last = body.len() - 2;
    body[last] = b' ';
    let changed = bench.request(Request { body, ..request.clone() });
    assert_eq!(changed.status, 401, "before it is parsed, or it were a 422");
    assert_eq!(bench.validator.gate.counted(alice.hotkey()), 0, "and nothing is the hotkey's");
    let answer = bench.request(request.clone());
    assert!(alice.understand(SynapseKind::Heartbeat, answer).plain().contains("for 0 workers"));
    assert_eq!(bench.validator.gate.counted(alice.hotkey()), 1);
    assert_eq!(refused(&mut bench, request, "replayed"), 401);
}

#[test]
fn big_bodies_count_against_the_rate_of_their_hotkey() {
    let text = format!("{}security: {{rate_limit: {{window_seconds: 30, max_requests: 1}}}}\n", super::bench::CONFIG);
    let mut alice = Miner::new(1);
    let mut bench = Bench::start(keys(200), &text, &[&alice.keys], Default::default());
    alice.handshake(&mut bench).unwrap();
    let text = format!(r#"{{"hotkey":"x","timestamp":1,"workers":[],"padding":"{}"}}"#, "x".repeat(100_000));
    let mut say = |bench: &mut Bench| {
        let package = alice.session.as_mut().unwrap().seal(SynapseKind::Heartbeat, &text).unwrap();
        let at = bench.now.wall;
        let request = signed(&mut alice, bench, SynapseKind::Heartbeat, &package, at);
        let response = bench.request(request);
        alice.understand(SynapseKind::Heartbeat, response)
    };
    say(&mut bench).plain();
    match say(&mut bench) {
        Back::Fault(refusal) => assert_eq!(refusal.error_code, 1003),
        other => panic!("{other:?}"),
    }
}
