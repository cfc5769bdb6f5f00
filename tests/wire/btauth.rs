//! `btauth/1` against requests that Bittensor 11's own package signed: the same bytes are signed, and each of its
//! headers is read.

use byteleap::{
    units::{Hotkey, Wall},
    wire::{
        http::{Headers, Request},
        synapse::{
            AxonRefusal, Head, OpenCall, Signs, SynapseKind,
            btauth::{Claim, Unsigned},
        },
    },
};
use serde_json::Value;

use crate::support;

fn request(case: &Value) -> Request {
    let text = |name: &str| case[name].as_str().unwrap().to_owned();
    let mut headers = Headers::new();
    for (name, value) in case["headers"].as_object().unwrap() {
        headers.push(name, value.as_str().unwrap());
    }
    Request { method: text("method"), target: text("target"), headers, body: text("body").into_bytes() }
}

fn validator() -> Hotkey {
    support::keypair("validator").hotkey().clone()
}

/// What the wire says of it at its own moment.
fn gate(request: &Request) -> Result<Head, AxonRefusal> {
    let head = Head::parse(&request.headers)?;
    head.is_for(&validator())?;
    head.fresh_nonce(Wall(head.nonce.unwrap()))?;
    Claim::of(&head, request, &validator()).expect("its body is signed").verify(&request.body)?;
    Ok(head)
}

fn recorded() -> Value {
    support::data("btauth/signed.json")
}

#[test]
fn what_bittensor_signed_is_verified() {
    for case in recorded()["good"].as_array().unwrap() {
        let head = gate(&request(case)).unwrap_or_else(|refusal| panic!("{}: {refusal}", case["name"]));
        assert_eq!((head.signs, head.nonce), (Signs::Body, case["nonce"].as_u64()));
        assert_eq!(head.hotkey, *support::keypair("miner").hotkey());
    }
}

#[test]
fn every_part_that_is_signed_counts() {
    for case in recorded()["good"].as_array().unwrap() {
        let good = request(case);
        let body = [good.body.as_slice(), b" "].concat();
        let changes = [
            Request { body, ..good.clone() },
            Request { target: format!("{}&", good.target), ..good.clone() },
            Request { method: "PUT".into(), ..good.clone() },
            replaced(&good, "x-bittensor-nonce", &(good_nonce(&good) + 1).to_string()),
            replaced(&good, "x-bittensor-hotkey", validator().as_str()),
        ];
        for changed in changes {
            assert_eq!(gate(&changed), Err(AxonRefusal::Signature), "{}", case["name"]);
        }
    }
}

fn good_nonce(request: &Request) -> u64 {
    Head::parse(&request.headers).unwrap().nonce.unwrap()
}

fn replaced(request: &Request, name: &str, value: &str) -> Request {
    let mut headers = Headers::new();
    for (key, old) in request.headers.iter() {
        headers.push(key, if key == name { value } else { old });
    }
    Request { headers, ..request.clone() }
}

#[test]
fn a_request_for_nobody_in_particular_is_for_nobody() {
    assert_eq!(gate(&request(&recorded()["unbound"])), Err(AxonRefusal::WrongReceiver));
}

#[test]
fn ours_has_the_headers_that_bittensor_makes() {
    for case in recorded()["good"].as_array().unwrap() {
        let theirs = request(case);
        let bare = Request { headers: Headers::new(), ..theirs.clone() };
        let ours = Unsigned::new(bare, validator()).sign(&support::keypair("miner"), good_nonce(&theirs));
        assert_eq!(ours.headers.iter().count(), theirs.headers.iter().count());
        for (name, value) in theirs.headers.iter().filter(|(name, _)| *name != "x-bittensor-signature") {
            assert_eq!(ours.headers.get(name), Some(value));
        }
        gate(&ours).unwrap();
    }
}

#[test]
fn our_calls_pass_the_gate_and_say_what_they_carry() {
    for kind in SynapseKind::ALL {
        let call = OpenCall { kind, to: validator(), axon: "192.0.2.9:9091".parse().unwrap() };
        let request = call.write("a \"text\"").sign(&support::keypair("miner"), 7);
        gate(&request).unwrap();
        assert_eq!((request.target.as_str(), request.headers.get("host")), (kind.path(), Some("192.0.2.9:9091")));
        assert_eq!(support::body(&request.body)["request"], "a \"text\"");
    }
}

#[test]
fn a_head_whose_body_is_signed_is_not_verified_by_its_header_alone() {
    let request = request(&recorded()["good"][0]);
    let head = Head::parse(&request.headers).unwrap();
    assert!(head.verify(&validator()).is_err());
}
