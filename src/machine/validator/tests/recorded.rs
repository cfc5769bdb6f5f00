//! The recorded requests of the reference implementation's miner, and of one that breaks the rules, against this
//! validator. Raw bytes are replayed where they need no session key that was not recorded; the others are made
//! again with the same content. What came back then must come back now, except as `DIFFERENCES.md` lists.

use serde_json::{Value, json};

use super::bench::{Back, Bench, CONFIG, Job, Miner, asked, keys};
use crate::{
    machine::contract::store::{ChallengeRow, Snapshot, Work, Write},
    units::{ChallengeId, Hotkey, Wall, WorkerId, WorkerKey},
    wire::{
        http::{Headers, Request},
        keys::Keypair,
        session::{Refusal, Session},
        synapse::{SynapseKind, parse_answer},
    },
};

macro_rules! raw {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/synapse_http/", $name, ".request.http")))),*]
    };
}

const INDEX: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/synapse_http/index.json"));
const WALLETS: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/wallets.json"));
const MINIMUM: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/axon_minimum.json"));

const GOOD: &[(&str, &[u8])] = raw![
    "good_01_SessionInitSynapse",
    "good_02_TaskSynapse_no_task",
    "good_03_HeartbeatSynapse",
    "good_04_TaskSynapse_compute_challenge_batch",
    "good_05_ChallengeSynapse",
    "good_06_ChallengeProofSynapse",
];

/// Bad requests that need no session.
const BARE: &[(&str, &[u8])] = raw![
    "error_01_unknown_session",
    "error_08_package_not_json",
    "error_09_package_missing_field",
    "error_10_request_null",
    "error_30_not_in_metagraph",
    "error_31_not_in_metagraph_session_init",
    "error_32_bad_signature",
    "error_33_signature_of_other_key",
    "error_34_missing_signature",
    "error_35_hotkey_header_missing",
    "error_36_wrong_target_hotkey",
    "error_37_nonce_too_old",
    "error_39_nonce_in_future",
    "error_41_nonce_missing",
    "error_42_nonce_not_number",
    "error_43_body_hash_mismatch",
    "error_44_unknown_synapse_name",
    "error_45_body_not_json",
    "error_46_body_wrong_field_type",
    "error_47_get_method",
    "error_48_put_method",
    "error_49_impersonate_by_body_hotkey",
    "error_51_impersonate_without_signature",
    "error_52_session_init_null",
    "error_53_session_init_short_key",
    "error_54_session_init_zero_key",
];

/// Where ours answers otherwise, on purpose.
const DIFFERENT: [(&str, u16); 8] = [
    ("error_34_missing_signature", 401),
    ("error_39_nonce_in_future", 401),
    ("error_42_nonce_not_number", 400),
    ("error_43_body_hash_mismatch", 401),
    ("error_46_body_wrong_field_type", 422),
    ("error_47_get_method", 405),
    ("error_49_impersonate_by_body_hotkey", 401),
    ("error_51_impersonate_without_signature", 401),
];

fn wallet(name: &str) -> Keypair {
    let wallets: Value = serde_json::from_str(WALLETS).unwrap();
    Keypair::from_mnemonic(wallets[name]["hot_mnemonic"].as_str().unwrap()).unwrap()
}

fn index() -> Value {
    serde_json::from_str(INDEX).unwrap()
}

fn request(bytes: &[u8]) -> Request {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Request::new(&mut fields);
    let length = head.parse(bytes).unwrap().unwrap();
    let mut headers = Headers::new();
    for field in head.headers.iter() {
        headers.push(field.name, String::from_utf8(field.value.to_vec()).unwrap());
    }
    let (method, target) = (head.method.unwrap().into(), head.path.unwrap().into());
    Request { method, target, headers, body: bytes[length..].to_vec() }
}

/// The validator of the recordings, some moments after this request was made.
fn recorded_validator() -> Bench {
    let miners = ["miner", "miner2", "miner3"].map(wallet);
    let text = "netuid: 128\nvalidation: {cpu: {matrix_size: 100, verification: {row_verification_count: 5, row_verification_count_variance: 0}}}\n";
    Bench::start(wallet("validator"), text, &miners.each_ref(), Snapshot::default())
}

fn set_wall(bench: &mut Bench, name: &str, request: &Request) {
    let nonce = request.headers.get("bt_header_dendrite_nonce").and_then(|text| text.parse().ok());
    let wall = nonce.unwrap_or(1_795_355_800_000_000_000_u64);
    bench.now.wall = Wall(match name {
        "error_37_nonce_too_old" => wall + 100_000_000_000,
        "error_39_nonce_in_future" => wall - 3_600_000_000_000,
        _ => wall + 1_000_000,
    });
}

/// The status, or the code of a session fault under status 200.
fn code(bench: &mut Bench, name: &str, bytes: &[u8]) -> u16 {
    let request = request(bytes);
    set_wall(bench, name, &request);
    let response = bench.request(request);
    match response.status {
        200 => Refusal::parse(&parse_answer(&response).unwrap()).map_or(200, |refusal| refusal.error_code),
        status => status,
    }
}

fn recorded_code(case: &Value) -> u16 {
    let status = case["status_line"].as_str().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let refusal = case["response_field"].as_str().and_then(Refusal::parse);
    refusal.map_or(status, |refusal| refusal.error_code)
}

#[test]
fn bad_requests_without_a_session_meet_the_recorded_answer() {
    let index = index();
    for (name, bytes) in BARE {
        let mut bench = recorded_validator();
        let case =
            index["errors"].as_array().unwrap().iter().find(|case| name.ends_with(case["name"].as_str().unwrap()));
        let listed = DIFFERENT.iter().find(|(listed, _)| listed == name).map(|(_, code)| *code);
        let recorded = recorded_code(case.unwrap());
        assert_ne!(listed, Some(recorded), "{name} does not differ");
        assert_eq!(code(&mut bench, name, bytes), listed.unwrap_or(recorded), "{name}");
    }
}

#[test]
fn a_hotkey_that_left_the_metagraph_is_refused_although_its_session_lives() {
    let bytes = include_bytes!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/synapse_http/error_59_left_metagraph_with_session.request.http"
    ));
    let mut bench = recorded_validator();
    bench.graph.neurons.retain(|neuron| neuron.hotkey != *wallet("miner3").hotkey());
    bench.seconds(61);
    assert_eq!(code(&mut bench, "error_59", bytes), 403);
}

/// The reference miner's end of its recorded session.
fn recorded_session(bench: &mut Bench) -> Session {
    let index = index();
    let recorded = &index["sessions"][0];
    let key = |name: &str| <[u8; 32]>::try_from(hex::decode(recorded[name].as_str().unwrap()).unwrap()).unwrap();
    let (up, down) = (key("k_cs_hex"), key("k_sc_hex"));
    let (miner, me) = (wallet("miner").hotkey().clone(), bench.me.clone());
    let id = index["good"][0]["response_plaintext"]["session_id"].as_str().unwrap();
    bench.validator.sessions.insert(bench.now.mono, &miner, Session::recorded(id, &me, &miner, down, up));
    Session::recorded(id, &miner, &me, up, down)
}

/// The plaintext that comes back for a recorded request, without its timestamp.
fn replay(bench: &mut Bench, session: &mut Session, at: usize, kind: SynapseKind) -> (Value, Value) {
    let (name, bytes) = GOOD[at];
    let request = request(bytes);
    set_wall(bench, name, &request);
    let text = parse_answer(&bench.request(request)).unwrap();
    let plain = session.open(kind, &text).unwrap_or_else(|fault| panic!("{name}: {fault}: {text}"));
    let timeless = |mut value: Value| {
        value.as_object_mut().unwrap().remove("timestamp");
        value
    };
    (timeless(serde_json::from_str(&plain).unwrap()), timeless(index()["good"][at]["response_plaintext"].clone()))
}

/// The challenge that the reference validator had made.
fn recorded_challenge() -> ChallengeRow {
    let data = index()["good"][3]["response_plaintext"]["task_data"]["challenges"][0]["data"].clone();
    let text = |name: &str| data[name].as_str().unwrap().to_owned();
    ChallengeRow {
        id: ChallengeId::new(&text("challenge_id")),
        target: WorkerKey::new(wallet("miner").hotkey(), &WorkerId::new(&text("worker_id"))),
        work: Work::CpuMatrix { n: 100, iterations: 1 },
        seed: text("seed"),
        round_id: text("round_id"),
        created: Wall(0),
    }
}

#[test]
fn the_reference_miners_session_goes_as_recorded_to_a_good_verdict() {
    let mut bench = recorded_validator();
    let handshake = request(GOOD[0].1);
    set_wall(&mut bench, "good_01", &handshake);
    let answer: Value = serde_json::from_str(&parse_answer(&bench.request(handshake)).unwrap()).unwrap();
    let fields = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let mut recorded = fields(&index()["good"][0]["response_plaintext"]);
    recorded.sort();
    assert_eq!(fields(&answer), recorded);

    let mut session = recorded_session(&mut bench);
    for (at, kind) in [(1, SynapseKind::Task), (2, SynapseKind::Heartbeat)] {
        let (ours, recorded) = replay(&mut bench, &mut session, at, kind);
        assert_eq!(ours, recorded, "{}", GOOD[at].0);
    }
    let row = recorded_challenge();
    let id = row.id.clone();
    assert!(bench.validator.challenges.create(bench.now, row));
    bench.validator.challenges.durable(&id);
    let (ours, recorded) = replay(&mut bench, &mut session, 3, SynapseKind::Task);
    assert_eq!(ours, recorded);
    let (ours, recorded) = replay(&mut bench, &mut session, 4, SynapseKind::Challenge);
    let rows = |value: &Value| serde_json::from_value::<Vec<u32>>(value["proof_requests"][0]["rows"].clone()).unwrap();
    assert_eq!(rows(&ours).len(), rows(&recorded).len());
    assert_eq!(json!({"uuid": "-1", "coordinates": [], "rows": rows(&ours)}), ours["proof_requests"][0]);
    bench.validator.challenges.ask_for(&id, rows(&recorded));
    let (ours, recorded) = replay(&mut bench, &mut session, 5, SynapseKind::ChallengeProof);
    assert_eq!(ours, recorded);
    assert_eq!(bench.ends().verified, 1, "{:?}", bench.stored_ends());
}

#[test]
fn the_reference_miners_heartbeat_is_stored_with_what_it_says() {
    let mut bench = recorded_validator();
    let mut session = recorded_session(&mut bench);
    replay(&mut bench, &mut session, 2, SynapseKind::Heartbeat);
    let heartbeat = bench.written.iter().find(|write| matches!(write, Write::Heartbeat(_)));
    let Some(Write::Heartbeat(write)) = heartbeat else { panic!("{:?}", bench.written) };
    let worker = &write.workers[0];
    assert_eq!((worker.worker.as_str(), worker.name.as_deref()), ("00000000000000a1", Some("worker-01")));
    assert_eq!((worker.version.as_deref(), worker.status.as_str()), (Some("0.0.2"), "online"));
    assert_eq!(worker.public_ip.as_deref(), Some("198.51.100.20"));
    assert!(worker.hardware.as_deref().is_some_and(|text| text.contains("Test CPU")));
}

/// Alice with a session, one worker, and the recorded bad requests made again.
struct Scene {
    bench: Bench,
    alice: Miner,
    index: Value,
}

impl Scene {
    fn new() -> Scene {
        let mut alice = Miner::new(1);
        let mut bench = Bench::start(keys(200), CONFIG, &[&alice.keys], Snapshot::default());
        alice.handshake(&mut bench).unwrap();
        Scene { bench, alice, index: index() }
    }

    fn case(&self, name: &str) -> Value {
        let errors = self.index["errors"].as_array().unwrap();
        errors.iter().find(|case| case["name"] == name).unwrap_or_else(|| panic!("no case {name}")).clone()
    }

    /// Sends this text encrypted, and compares with the recorded reaction: the code of a fault, or the answer.
    fn same(&mut self, name: &str, kind: SynapseKind, text: &str) {
        let back = self.alice.say(&mut self.bench, kind, text);
        self.compare(name, back);
    }

    fn compare(&self, name: &str, back: Back) {
        let case = self.case(name);
        match back {
            Back::Fault(refusal) => assert_eq!(refusal.error_code, recorded_code(&case), "{name}: {}", refusal.error),
            Back::Axon(status, body) => assert_eq!(status, recorded_code(&case), "{name}: {body}"),
            Back::Plain(text) => {
                let (mut ours, mut recorded): (Value, Value) =
                    (serde_json::from_str(&text).unwrap(), case["response_decrypted"].clone());
                for value in [&mut ours, &mut recorded] {
                    value.as_object_mut().unwrap_or_else(|| panic!("{name}: {text}")).remove("timestamp");
                }
                assert_eq!(ours, recorded, "{name}");
            }
        }
    }
}

const POLL: &str = r#"{"hotkey":"x","request_type":"challenge","timestamp":1}"#;

#[test]
fn bad_packages_meet_the_recorded_answer() {
    let mut scene = Scene::new();
    let session = scene.alice.session.as_mut().unwrap();
    let empty = session.seal(SynapseKind::Heartbeat, r#"{"hotkey":"x","timestamp":1,"workers":[]}"#).unwrap();
    for name in ["heartbeat_no_workers", "replay_same_seq"] {
        let back = scene.alice.send_package(&mut scene.bench, SynapseKind::Heartbeat, &empty);
        scene.compare(name, back);
    }
    for (name, seq) in [("seq_jump_too_far", 5000), ("seq_zero", 0)] {
        let package = scene.alice.session.as_ref().unwrap().seal_as(seq, SynapseKind::Task, POLL);
        let back = scene.alice.send_package(&mut scene.bench, SynapseKind::Task, &package);
        scene.compare(name, back);
    }
    let task = scene.alice.session.as_mut().unwrap().seal(SynapseKind::Task, POLL).unwrap();
    let back = scene.alice.send_package(&mut scene.bench, SynapseKind::Heartbeat, &task);
    scene.compare("wrong_type_in_package", back);
    let at = task.find("ciphertext").unwrap() + 15;
    let other = if &task[at..=at] == "A" { "B" } else { "A" };
    let tampered = format!("{}{other}{}", &task[..at], &task[at + 1..]);
    let back = scene.alice.send_package(&mut scene.bench, SynapseKind::Task, &tampered);
    scene.compare("ciphertext_tampered", back);
}

#[test]
fn bad_bodies_meet_the_recorded_answer() {
    let mut scene = Scene::new();
    scene.same("payload_wrong_shape", SynapseKind::Task, r#"{"hotkey":"x"}"#);
    scene.same("payload_is_list", SynapseKind::Task, "[1]");
    scene.same("task_other_hotkey_inside", SynapseKind::Task, POLL);
    let commit = |id: &str, list: &str| format!(r#"{{"challenge_id":"{id}","worker_id":"w","commitments":[{list}]}}"#);
    let good = r#"{"uuid":"-1","merkle_root":"ab","sig_ver":0,"sig_val":""}"#;
    scene.same("commit_unknown_challenge", SynapseKind::Challenge, &commit("nope", good));
    scene.same("commit_empty_list", SynapseKind::Challenge, &commit("nope", ""));
    scene.same("commit_bad_root", SynapseKind::Challenge, &commit("nope", r#"{"uuid":"-1","merkle_root":"zz"}"#));
    let proof = |list: &str| format!(r#"{{"challenge_id":"nope","proofs":[{list}]}}"#);
    scene.same("proof_unknown_challenge", SynapseKind::ChallengeProof, &proof(r#"{"uuid":"-1","row_hashes":["a"]}"#));
    scene.same("proof_empty", SynapseKind::ChallengeProof, &proof(""));
    let heartbeat = |worker: &str| format!(r#"{{"hotkey":"x","timestamp":1,"workers":[{worker}]}}"#);
    let sleeping = heartbeat(r#"{"worker_id":"w","status":"sleeping","capabilities":[]}"#);
    scene.same("heartbeat_bad_worker_status", SynapseKind::Heartbeat, &sleeping);
    let bare = heartbeat(r#"{"worker_id":"w","status":"online","capabilities":["cpu_matrix"]}"#);
    scene.same("heartbeat_worker_without_sysinfo", SynapseKind::Heartbeat, &bare);
}

/// A text of the recording with its challenge's id replaced by ours.
fn recorded_error(scene: &Scene, name: &str, job: &Job) -> String {
    let case = scene.case(name);
    let text = case["response_decrypted"]["error"].as_str().unwrap();
    text.replace("0739a821-ef8b-46a6-bf23-c8b78ce01201", job.id.as_str())
        .replace("109d12ea-eca6-4716-be64-42dfc7e455ca", job.id.as_str())
        .replace("00000000000000b2", job.worker.as_str())
}

#[test]
fn commitments_and_proofs_out_of_turn_meet_the_recorded_answer() {
    let mut scene = Scene::new();
    let worker = "0000000000000001";
    for _ in 0..4 {
        scene.alice.heartbeat(&mut scene.bench, &[worker]);
        scene.bench.seconds(61);
    }
    let Scene { bench, alice, .. } = &mut scene;
    let job = alice.poll(bench, None).remove(0);
    let root = job.root();
    let commitment = |worker: &str| {
        json!({"challenge_id": job.id, "worker_id": worker, "commitments": [{"uuid": "-1", "merkle_root": root}]})
            .to_string()
    };
    let wrong = alice.say(bench, SynapseKind::Challenge, &commitment("0000000000000bad")).error();
    let early = alice.prove(bench, &job, &[0]).error();
    let rows = asked(alice.say(bench, SynapseKind::Challenge, &commitment(worker)));
    let twice = alice.say(bench, SynapseKind::Challenge, &commitment(worker)).error();
    let proof = |uuid: &str| json!({"challenge_id": job.id, "proofs": [{"uuid": uuid, "row_hashes": []}]}).to_string();
    let other = alice.say(bench, SynapseKind::ChallengeProof, &proof("GPU-1")).error();
    let empty = alice.say(bench, SynapseKind::ChallengeProof, &proof("-1")).error();
    let foreign = r#"{"challenge_id":"109d12ea-eca6-4716-be64-42dfc7e455ca","proofs":[{"uuid":"-1"}]}"#;
    let foreign = alice.say(bench, SynapseKind::ChallengeProof, foreign).error();
    bench.hold_verdicts = true;
    let good: Value = serde_json::from_str(&alice.prove(bench, &job, &rows).plain()).unwrap();
    let again = alice.prove(bench, &job, &rows).error();
    for (name, ours) in [
        ("commit_wrong_worker", wrong),
        ("proof_before_commit", early),
        ("commit_twice", twice),
        ("proof_wrong_uuid", other),
        ("proof_no_hashes", empty),
        ("proof_twice", again),
    ] {
        assert_eq!(ours, recorded_error(&scene, name, &job), "{name}");
    }
    assert_eq!(foreign, scene.case("proof_other_hotkeys_challenge")["response_decrypted"]["error"].as_str().unwrap());
    let mut recorded = scene.case("proof_good")["response_decrypted"].clone();
    recorded["challenge_id"] = json!(job.id);
    assert_eq!(good, recorded);
}

/// The one changed thing of a row of `axon_minimum.json`, applied to a good request.
fn with_change(row: &Value, good: &Request, hotkey: &Hotkey) -> Request {
    let changed = row["changed"].as_str().unwrap();
    let mut body: Value = serde_json::from_slice(&good.body).unwrap();
    let keep = |name: &str| -> bool {
        const NEEDED: [&str; 6] = [
            "bt_header_dendrite_hotkey",
            "bt_header_dendrite_nonce",
            "bt_header_dendrite_uuid",
            "bt_header_dendrite_signature",
            "bt_header_axon_hotkey",
            "computed_body_hash",
        ];
        match row["kind"].as_str().unwrap() {
            "header_dropped" => name != changed,
            "headers_only_needed" => NEEDED.contains(&name),
            _ => true,
        }
    };
    let mut headers = Headers::new();
    for (name, value) in good.headers.iter().filter(|(name, _)| keep(name)) {
        headers.push(name, value);
    }
    match row["kind"].as_str().unwrap() {
        "body_field_dropped" => drop(body.as_object_mut().unwrap().remove(changed)),
        "body_minimal" => body = json!({"request": body["request"], "dendrite": {"hotkey": hotkey}}),
        "body_request_only" => body = json!({"request": body["request"]}),
        "body_extra_field" => body["surprise"] = json!(1),
        "body_hotkey_none" => body["dendrite"]["hotkey"] = Value::Null,
        _ => {}
    }
    Request { headers, body: body.to_string().into_bytes(), ..good.clone() }
}

/// What may be left out of a request is what the reference's axon does without, except for a signature; and
/// the sender is known from the verified header alone, so a body that is silent about it will do.
#[test]
fn what_may_be_left_out_is_as_recorded() {
    let minimum: Value = serde_json::from_str(MINIMUM).unwrap();
    for row in minimum["rows"].as_array().unwrap() {
        let mut scene = Scene::new();
        let package = scene.alice.session.as_mut().unwrap().seal(SynapseKind::Task, POLL).unwrap();
        let good = scene.alice.call(&scene.bench, SynapseKind::Task, &package);
        let request = with_change(row, &good, scene.alice.hotkey());
        let response = scene.bench.request(request);
        let back = scene.alice.understand(SynapseKind::Task, response);
        let (works, code) = match back {
            Back::Plain(_) => (true, 200),
            Back::Fault(refusal) => (false, refusal.error_code),
            Back::Axon(status, _) => (false, status),
        };
        let (kind, changed) = (row["kind"].as_str().unwrap(), row["changed"].as_str().unwrap());
        let status = u16::try_from(row["http_status"].as_u64().unwrap()).unwrap();
        let recorded = row["answer"]["error_code"].as_u64().map_or(status, |code| u16::try_from(code).unwrap());
        let expected = match (kind, changed) {
            ("header_dropped", "bt_header_dendrite_signature") => (false, 401),
            ("body_field_dropped", "dendrite") | ("body_request_only" | "body_hotkey_none", _) => (true, 200),
            _ => (row["works"].as_bool().unwrap(), recorded),
        };
        assert_eq!((works, code), expected, "{kind}: {changed}");
    }
}
