//! Synapses over HTTP: recorded requests are judged as recorded, and ours look like the recorded ones.

use std::{collections::BTreeMap, time::Duration};

use byteleap::{
    units::{Hotkey, Wall},
    wire::{
        http::{Headers, Request, Response},
        messages::parse_handshake,
        session::{Offer, Package, SessionFault},
        synapse::{AxonRefusal, BODY_HASH, Body, Call, CallFault, Head, SynapseKind, answer, kind_of, parse_answer},
    },
};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::support;

/// All that the wire can say of a request, in the order of the axon's checks; nonces and metagraph apart.
fn gate(request: &Request, me: &Hotkey, now: Option<Wall>) -> Result<(SynapseKind, Head, Body), AxonRefusal> {
    let kind = kind_of(&request.target).ok_or_else(|| AxonRefusal::unknown_synapse(&request.target))?;
    if request.method != "POST" {
        return Err(AxonRefusal::Method);
    }
    let head = Head::parse(&request.headers)?;
    head.fresh_nonce(now.or(head.nonce.map(Wall)).unwrap_or_default())?;
    head.verify(me)?;
    let body = Body::parse(&request.body)?;
    body.speaks_for(&head.hotkey)?;
    Ok((kind, head, body))
}

fn validator() -> Hotkey {
    support::keypair("validator").hotkey().clone()
}

fn index() -> Value {
    support::data("synapse_http/index.json")
}

fn good_requests() -> Vec<(Value, Request, Response)> {
    let files = |case: &Value, at: usize| case["files"][at].as_str().unwrap().to_owned();
    let cases = index()["good"].as_array().unwrap().clone();
    cases
        .into_iter()
        .map(|case| {
            let (request, response) = (support::request(&files(&case, 0)), support::response(&files(&case, 1)));
            (case, request, response)
        })
        .collect()
}

#[test]
fn every_recorded_good_request_passes_the_gate() {
    for (case, request, _) in good_requests() {
        let (kind, head, body) = gate(&request, &validator(), None).unwrap();
        assert_eq!(case["synapse"], kind.class());
        assert_eq!(head.hotkey, *support::keypair("miner").hotkey());
        assert_eq!(body.request.as_deref(), support::body(&request.body)["request"].as_str());
    }
}

#[test]
fn every_recorded_good_answer_is_read() {
    for (_, _, response) in good_requests() {
        let expected = support::body(&response.body)["response"].clone();
        assert_eq!(expected, parse_answer(&response).unwrap());
    }
}

#[test]
fn our_requests_have_every_recorded_header_and_field() {
    for (case, request, _) in good_requests() {
        let head = Head::parse(&request.headers).unwrap();
        let miner = support::keypair("miner");
        let call = Call {
            kind: kind_of(&request.target).unwrap(),
            from: &miner,
            to: &validator(),
            axon: request.headers.get("host").unwrap().parse().unwrap(),
            dendrite_ip: head.dendrite_ip.clone().unwrap().parse().unwrap(),
            nonce: head.nonce.unwrap(),
            uuid: head.uuid.as_deref().unwrap(),
            timeout: head.timeout.unwrap(),
        };
        let ours = call.request(support::body(&request.body)["request"].as_str().unwrap());
        assert!(gate(&ours, &validator(), None).is_ok(), "{}", case["synapse"]);
        same_fields(&request.headers, &ours.headers, &["user-agent", "accept-encoding", "content-length"]);
        same_json(support::body(&request.body), support::body(&ours.body), &[]);
    }
}

#[test]
fn our_answers_have_every_recorded_header_and_field() {
    for (_, request, response) in good_requests() {
        let (kind, head, _) = gate(&request, &validator(), None).unwrap();
        let recorded = support::body(&response.body);
        let process_time = Duration::from_secs_f64(recorded["axon"]["process_time"].as_f64().unwrap());
        let ours = answer(kind, &head, recorded["response"].as_str().unwrap(), process_time);
        let timed = ["date", "server", "content-length", "bt_header_axon_process_time"];
        same_fields(&response.headers, &ours.headers, &timed);
        // Not echoed: a dendrite keeps its own.
        same_json(recorded.clone(), support::body(&ours.body), &["request"]);
        assert_eq!(parse_answer(&ours).unwrap(), recorded["response"]);
    }
}

/// Every recorded field is in ours with the same value; sizes are our own, signatures are randomised.
fn same_fields(recorded: &Headers, ours: &Headers, apart: &[&str]) {
    for (name, value) in recorded.iter().filter(|(name, _)| !apart.contains(name)) {
        let ours = ours.get(name).unwrap_or_else(|| panic!("no {name}"));
        match name {
            "header_size" | "total_size" => assert!(ours.parse::<u64>().is_ok(), "{name}: {ours}"),
            "bt_header_dendrite_signature" => assert_eq!(ours.len(), value.len()),
            _ => assert_eq!(ours, value, "{name}"),
        }
    }
}

fn same_json(mut recorded: Value, mut ours: Value, apart: &[&str]) {
    for side in [&mut recorded, &mut ours] {
        side["dendrite"]["signature"].take();
        side["axon"]["process_time"].take();
        side["total_size"].take();
        apart.iter().for_each(|name| _ = side[*name].take());
    }
    assert_eq!(ours, recorded);
}

/// What ours says to a recorded error case; `None` where the wire has nothing against it.
fn verdict(name: &str) -> Option<AxonRefusal> {
    let request = error_request(name);
    let hundred_seconds_later = |head: &Head| Wall(head.nonce.unwrap()) + Duration::from_secs(100);
    let now = match name {
        "nonce_too_old" | "nonce_old_but_long_timeout" => {
            Head::parse(&request.headers).ok().map(|head| hundred_seconds_later(&head))
        }
        "nonce_in_future" => {
            let head = Head::parse(&request.headers).unwrap();
            Some(Wall(head.nonce.unwrap()) - Duration::from_secs(3600))
        }
        _ => None,
    };
    gate(&request, &validator(), now).err()
}

fn error_case(name: &str) -> Value {
    let cases = index()["errors"].as_array().unwrap().clone();
    cases.into_iter().find(|case| case["name"] == name).unwrap()
}

fn error_request(name: &str) -> Request {
    support::request(error_case(name)["files"][0].as_str().unwrap())
}

/// Recorded with another outcome; ours refuses with this status (see DIFFERENCES.md).
const REFUSED_HERE: [(&str, u16); 9] = [
    ("missing_signature", 401),
    ("nonce_in_future", 401),
    ("nonce_not_number", 400),
    ("body_hash_mismatch", 401),
    ("body_wrong_field_type", 422),
    ("get_method", 405),
    ("impersonate_by_body_hotkey", 401),
    ("impersonated_heartbeat", 401),
    ("impersonate_without_signature", 401),
];

/// Refused by what the validator's machine keeps, not by the wire.
const STATEFUL: [(&str, AxonRefusal); 4] = [
    ("not_in_metagraph", AxonRefusal::NotInMetagraph),
    ("not_in_metagraph_session_init", AxonRefusal::NotInMetagraph),
    ("left_metagraph_with_session", AxonRefusal::NotInMetagraph),
    ("nonce_reused", AxonRefusal::NonceReused),
];

#[test]
fn recorded_error_cases_get_the_recorded_status_and_text() {
    let stateful: BTreeMap<_, _> = STATEFUL.into();
    let refused_here: BTreeMap<_, _> = REFUSED_HERE.into();
    for case in index()["errors"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        if refused_here.contains_key(name) {
            continue;
        }
        let recorded = support::response(case["files"][1].as_str().unwrap());
        let refusal = stateful.get(name).cloned().or_else(|| verdict(name));
        let Some(refusal) = refusal else {
            assert_eq!(recorded.status, 200, "{name}");
            continue;
        };
        let ours = refusal.response();
        assert_eq!(
            (ours.status, ours.headers.get("content-type")),
            (recorded.status, Some("application/json")),
            "{name}"
        );
        assert_eq!(kind_of_text(&ours), kind_of_text(&recorded), "{name}");
    }
}

/// The text of a refusal up to where it goes into details of its own.
fn kind_of_text(response: &Response) -> String {
    let body = support::body(&response.body);
    let text = body["message"].as_str().or(body["detail"].as_str()).unwrap_or("Unprocessable");
    let kinds = [
        "Not Verified with error: Signature mismatch",
        "Not Verified with error: Nonce is too old: acceptable delta is 16.00 seconds",
        "Unprocessable",
        "Synapse name 'NoSuchSynapse' not found. Available synapses ['",
    ];
    kinds.into_iter().find(|kind| text.starts_with(kind)).unwrap_or(text).into()
}

fn refused_here(name: &str) -> AxonRefusal {
    let refusal = verdict(name).unwrap_or_else(|| panic!("{name} passed"));
    let (_, status) = REFUSED_HERE.into_iter().find(|(case, _)| *case == name).unwrap();
    assert_eq!(refusal.status(), status, "{name}: {refusal}");
    refusal
}

#[test]
fn a_missing_signature_is_refused() {
    assert_eq!(refused_here("missing_signature"), AxonRefusal::MissingSignature);
    assert_eq!(refused_here("impersonate_without_signature"), AxonRefusal::MissingSignature);
}

#[test]
fn a_nonce_from_the_future_is_refused() {
    let allowed_s = 16.0;
    assert_eq!(refused_here("nonce_in_future"), AxonRefusal::NonceInFuture { allowed_s, ahead_s: 3600.0 });
}

#[test]
fn a_nonce_that_is_no_number_is_a_bad_request() {
    assert_eq!(refused_here("nonce_not_number"), AxonRefusal::BadHeader("bt_header_dendrite_nonce"));
}

#[test]
fn another_body_hash_is_refused_even_when_signed() {
    assert_eq!(refused_here("body_hash_mismatch"), AxonRefusal::BodyHash);
}

#[test]
fn a_body_field_of_another_type_is_unprocessable() {
    assert!(matches!(refused_here("body_wrong_field_type"), AxonRefusal::Body(_)));
}

#[test]
fn get_is_not_allowed() {
    assert_eq!(refused_here("get_method"), AxonRefusal::Method);
}

#[test]
fn a_body_cannot_speak_for_another_hotkey() {
    assert_eq!(refused_here("impersonate_by_body_hotkey"), AxonRefusal::OtherHotkey);
    assert_eq!(refused_here("impersonated_heartbeat"), AxonRefusal::OtherHotkey);
}

#[test]
fn an_old_version_does_not_excuse_an_old_nonce() {
    let mut request = error_request("nonce_too_old");
    let mut headers = Headers::new();
    for (name, value) in request.headers.iter() {
        headers.push(name, if name == "bt_header_dendrite_version" { "7001999" } else { value });
    }
    request.headers = headers;
    let head = Head::parse(&request.headers).unwrap();
    let now = Wall(head.nonce.unwrap()) + Duration::from_secs(100);
    assert!(matches!(gate(&request, &validator(), Some(now)), Err(AxonRefusal::NonceTooOld { .. })));
}

#[test]
fn recorded_faults_of_packages_and_handshakes_get_the_recorded_code() {
    for (name, fault) in [
        ("package_not_json", package_fault("package_not_json")),
        ("package_missing_field", package_fault("package_missing_field")),
        ("request_null", SessionFault::empty_request()),
        ("session_init_short_key", handshake_fault("session_init_short_key")),
        ("session_init_zero_key", handshake_fault("session_init_zero_key")),
        ("session_init_null", SessionFault::empty_handshake()),
        ("unknown_session", SessionFault::Unknown("00000000-0000-4000-8000-00000000dead".into())),
        ("replay_same_seq", SessionFault::Sequence),
        ("handshake_rate_limited", SessionFault::HandshakeRate { count: 5, limit: 5, window_s: 60 }),
        ("rate_limited", SessionFault::RateLimited),
    ] {
        let recorded: Value = serde_json::from_str(error_case(name)["response_field"].as_str().unwrap()).unwrap();
        let ours: Value = serde_json::from_str(&fault.to_json()).unwrap();
        assert_eq!(ours["error_code"], recorded["error_code"], "{name}");
        if ["unknown_session", "replay_same_seq", "handshake_rate_limited", "rate_limited"].contains(&name) {
            assert_eq!(ours, recorded, "{name}");
        }
    }
}

fn request_text(name: &str) -> String {
    let (_, _, body) = gate(&error_request(name), &validator(), None).unwrap();
    body.request.unwrap()
}

fn package_fault(name: &str) -> SessionFault {
    Package::parse(&request_text(name)).unwrap_err()
}

fn handshake_fault(name: &str) -> SessionFault {
    let request = parse_handshake(&request_text(name)).unwrap();
    let offer = Offer {
        secret: Zeroizing::new([7; 32]),
        nonce: [7; 16],
        session_id: "57e3419a-343b-4da7-9890-cbaf40df6e28".into(),
        expires_at: Wall::from_secs(1),
    };
    offer.accept(support::keypair("miner2").hotkey(), &support::keypair("validator"), &request).unwrap_err()
}

#[test]
fn a_null_request_has_no_text() {
    for name in ["request_null", "session_init_null"] {
        assert_eq!(gate(&error_request(name), &validator(), None).unwrap().2.request, None);
    }
}

/// A good request of ours as header and body fields that a test may take away.
fn task_request() -> (Vec<(String, String)>, Value) {
    let miner = support::keypair("miner2");
    let call = Call {
        kind: SynapseKind::Task,
        from: &miner,
        to: &validator(),
        axon: "127.0.0.1:19310".parse().unwrap(),
        dendrite_ip: "203.0.113.7".parse().unwrap(),
        nonce: 1_795_357_393_209_812_443,
        uuid: "4040d7ac-e680-11f1-a675-02fc00000001",
        timeout: Duration::from_secs(10),
    };
    let request = call.request("{}");
    let headers = request.headers.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    (headers, support::body(&request.body))
}

fn assembled(headers: &[(String, String)], body: &Value) -> Request {
    let mut fields = Headers::new();
    headers.iter().for_each(|(name, value)| fields.push(name, value.clone()));
    Request { method: "POST".into(), target: "/TaskSynapse".into(), headers: fields, body: body.to_string().into() }
}

/// Needed here, not by the reference implementation; and the reverse (see DIFFERENCES.md).
const MORE_NEEDED: &str = "bt_header_dendrite_signature";
const BODY_HOTKEY_NOT_NEEDED: [&str; 4] = ["dendrite", "only request", "dendrite.hotkey null", "request"];

#[test]
fn what_may_be_left_out_is_what_the_reference_does_without() {
    let minimum: Value = support::data("axon_minimum.json");
    for row in minimum["rows"].as_array().unwrap() {
        let changed = row["changed"].as_str().unwrap();
        let (mut headers, mut body) = task_request();
        match row["kind"].as_str().unwrap() {
            "good" => {}
            "header_dropped" => headers.retain(|(name, _)| name != changed),
            "headers_only_needed" => headers.retain(|(name, _)| {
                let name = name.trim_start_matches("bt_header_dendrite_").trim_start_matches("bt_header_");
                ["hotkey", "nonce", "uuid", "signature", "axon_hotkey", "computed_body_hash"].contains(&name)
            }),
            "body_field_dropped" => _ = body.as_object_mut().unwrap().remove(changed),
            "body_minimal" => {
                body = serde_json::json!({"request": "{}", "dendrite": {"hotkey": body["dendrite"]["hotkey"]}});
            }
            "body_request_only" => body = serde_json::json!({"request": "{}"}),
            "body_extra_field" => body["foo"] = 1.into(),
            "body_hotkey_none" => _ = body["dendrite"]["hotkey"].take(),
            other => panic!("{other} is not known here"),
        }
        let verdict = gate(&assembled(&headers, &body), &validator(), None);
        let expected = match changed {
            MORE_NEEDED => Err(401),
            _ if BODY_HOTKEY_NOT_NEEDED.contains(&changed) => Ok(()),
            _ if row["works"] == true => Ok(()),
            _ => Err(row["http_status"].as_u64().unwrap() as u16),
        };
        assert_eq!(verdict.map(|_| ()).map_err(|refusal| refusal.status()), expected, "{changed}");
    }
}

#[test]
fn answers_are_read_as_the_reference_reads_them() {
    let cases: Vec<Value> = support::data("dendrite_tolerance.json");
    for case in cases {
        let name = case["case"].as_str().unwrap();
        // Framing is the loop's; a status of 1.0 stands for HTTP/1.0.
        if ["chunked", "closed_without_answer"].contains(&name) {
            continue;
        }
        let mut headers = Headers::new();
        for line in case["sent_headers"].as_str().unwrap().lines() {
            let (name, value) = line.split_once(": ").unwrap();
            headers.push(name, value);
        }
        let status = case["sent_status"].as_u64().unwrap_or(200) as u16;
        let response = Response { status, headers, body: case["sent_body"].as_str().unwrap().into() };
        assert_eq!(parse_answer(&response).ok().as_deref(), case["response"].as_str(), "{name}");
    }
}

#[test]
fn a_refusal_of_the_axon_is_read_as_one() {
    let fault = parse_answer(&AxonRefusal::NotInMetagraph.response()).unwrap_err();
    let message = "Forbidden. Key is blacklisted: hotkey_not_in_metagraph.".into();
    assert_eq!(fault, CallFault::Status { status: 403, message });
}

#[test]
fn the_body_hash_is_that_of_nothing() {
    for (_, request, _) in good_requests() {
        assert_eq!(request.headers.get("computed_body_hash"), Some(BODY_HASH));
    }
}
