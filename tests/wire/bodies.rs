//! The bodies inside the packages: what was recorded is read, and written back as it was.

use byteleap::wire::{
    json,
    messages::{
        Answer, ChallengeData, CommitmentData, HeartbeatData, HeartbeatResponse, ProofData, ProofRequests, Raw,
        StatusAnswer, TaskRequest, TaskResponse, WorkerStatus, parse_request,
    },
    session::SessionFault,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::support;

fn good() -> Vec<Value> {
    support::data::<Value>("synapse_http/index.json")["good"].as_array().unwrap().clone()
}

/// A recorded plaintext read as a `T`, and the same again as `T` writes it.
fn survives<T: DeserializeOwned + Serialize>(recorded: &Value) -> T {
    let body: T = parse_request(&recorded.to_string()).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&json::text(&body)).unwrap(), *recorded);
    body
}

#[test]
fn recorded_bodies_are_read_and_written_back() {
    let cases = good();
    let (up, down) = (|at: usize| &cases[at]["request_plaintext"], |at: usize| &cases[at]["response_plaintext"]);
    survives::<TaskRequest>(up(1));
    assert_eq!(survives::<TaskResponse>(down(1)).challenges(), []);
    let heartbeat = survives::<HeartbeatData>(up(2));
    assert_eq!(heartbeat.workers[0].status, WorkerStatus::Online);
    assert_eq!(heartbeat.workers[0].system_info.public_ip(), Some("198.51.100.20"));
    assert_eq!(survives::<HeartbeatResponse>(down(2)).workers_processed, 1);
    let challenge = survives::<TaskResponse>(down(3)).challenges().remove(0);
    let data = ChallengeData::read(&challenge.data).unwrap();
    assert_eq!((data.matrix_size, data.iterations, challenge.timeout), (100, 1, 60));
    assert_eq!(json::text(&data.seed), json::text(&hex_bytes("e6b5a58a76afa40e4721b7d510173698")));
    survives::<CommitmentData>(up(4));
    assert_eq!(survives::<ProofRequests>(down(4)).proof_requests[0].rows, [25, 43, 45, 69, 82]);
    assert_eq!(survives::<ProofData>(up(5)).proofs[0].merkle_proofs.len(), 5);
    survives::<ProofData<Raw>>(up(5));
    survives::<StatusAnswer>(down(5));
}

fn hex_bytes(text: &str) -> [u8; 16] {
    hex::decode(text).unwrap().try_into().unwrap()
}

fn code<T: DeserializeOwned>(body: Value) -> u16 {
    parse_request::<T>(&body.to_string()).err().map_or(0, |fault| fault.code())
}

#[test]
fn recorded_faults_of_bodies_get_the_recorded_code() {
    assert_eq!(code::<TaskRequest>(json!({"hotkey": "x"})), 4015);
    assert_eq!(code::<TaskRequest>(json!([1, 2])), 4011);
    assert_eq!(code::<TaskRequest>(json!("text")), 4011);
    assert_eq!(parse_request::<TaskRequest>("{oops").unwrap_err().code(), 4011);
    let bad_root = json!({"challenge_id": "c", "worker_id": "w", "commitments": [{"uuid": "-1", "merkle_root": "zz"}]});
    assert_eq!(code::<CommitmentData>(bad_root), 4015);
    let bad_status = json!({"hotkey": "h", "timestamp": 1, "workers": [{"worker_id": "w", "status": "sleeping"}]});
    assert_eq!(code::<HeartbeatData>(bad_status), 4015);
}

#[test]
fn what_the_processing_judges_is_read() {
    assert_eq!(code::<CommitmentData>(json!({"challenge_id": "c", "worker_id": "w", "commitments": []})), 0);
    assert_eq!(code::<ProofData>(json!({"challenge_id": "c", "proofs": []})), 0);
    let no_hashes = json!({"challenge_id": "c", "proofs": [{"uuid": "-1"}]});
    assert_eq!(code::<ProofData>(no_hashes), 0);
    let worker = json!({"worker_id": "w", "status": "online", "capabilities": ["cpu_matrix"]});
    assert_eq!(code::<HeartbeatData>(json!({"hotkey": "h", "timestamp": 1, "workers": [worker]})), 0);
}

#[test]
fn an_encrypted_error_is_an_answer() {
    let refused = Answer::<ProofRequests>::parse(r#"{"error":"Challenge nope not found or not accessible"}"#).unwrap();
    assert_eq!(refused, Answer::Refused("Challenge nope not found or not accessible".into()));
    let given = Answer::<ProofRequests>::parse(r#"{"proof_requests":[{"uuid":"-1","rows":[5],"coordinates":[]}]}"#);
    assert!(matches!(given, Ok(Answer::Given(requests)) if requests.proof_requests[0].rows == [5]));
    assert!(Answer::<ProofRequests>::parse("{}").is_err());
}

#[test]
fn a_list_of_idle_workers_is_an_extension() {
    let request = r#"{"hotkey":"h","request_type":"challenge","idle_workers":["a","b"]}"#;
    let request: TaskRequest = parse_request(request).unwrap();
    assert_eq!(request.idle_workers.unwrap().len(), 2);
    let reference: TaskRequest = parse_request(r#"{"hotkey":"h","request_type":"challenge"}"#).unwrap();
    assert_eq!(reference.idle_workers, None);
}

#[test]
fn a_heartbeat_with_too_many_or_too_long_names_is_refused() {
    let with = |worker: Value, count: usize| json!({"hotkey": "h", "timestamp": 1, "workers": vec![worker; count]});
    let worker = json!({"worker_id": "w", "status": "online"});
    assert_eq!(
        (code::<HeartbeatData>(with(worker.clone(), 1024)), code::<HeartbeatData>(with(worker, 1025))),
        (0, 4015)
    );
    let long = json!({"worker_id": "w".repeat(129), "status": "online"});
    assert_eq!(code::<HeartbeatData>(with(long, 1)), 4015);
}

#[test]
fn a_number_that_is_none_is_read_in_a_body() {
    let text = r#"{"hotkey":"h","timestamp":1,"workers":[{"worker_id":"w","status":"busy","connected_at":NaN,
        "system_info":{"cpu_usage":Infinity,"note":-Infinity}}]}"#;
    let heartbeat: HeartbeatData = parse_request(text).unwrap();
    assert_eq!(heartbeat.workers[0].connected_at, None);
    assert_eq!(heartbeat.workers[0].system_info.as_json(), r#"{"note":null}"#);
    assert!(matches!(parse_request::<HeartbeatData>(&text.replace(":1,", ":NaN,")), Err(SessionFault::Body(_))));
}
