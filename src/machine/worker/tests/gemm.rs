//! Challenges of `gemm_i8`, from the assignment to the proof.

use super::*;
use crate::{
    compute::gemm_i8::KeyPrefix,
    units::ChallengeId,
    wire::messages::gemm_i8::{GemmProof, Sample},
};

const C1: &str = "00000000-0000-4000-8000-000000000001";
const C2: &str = "00000000-0000-4000-8000-000000000002";
const ME: &str = "00000000000000a1";

/// What a miner hands on of a `gemm_i8` challenge.
fn assignment(challenge: &str, size: u32) -> Value {
    let data = json!({"challenge_type": "gemm_i8", "version": 2, "challenge_id": challenge, "worker_id": ME,
        "miner_hotkey": "5A", "round_id": "round_1", "seed": "07".repeat(32), "matrix_size": size, "rounds": 2,
        "devices": ["cpu"]});
    let data = json!({"task_id": challenge, "task_type": "gemm_i8", "challenge_id": challenge, "data": data,
        "timeout": 60, "validator_hotkey": VALIDATOR});
    json!({"type": "task_assignment", "data": data})
}

fn ask(challenge: &str, message_id: &str, samples: &Value) -> Value {
    let requests = json!([{"uuid": "cpu", "samples": samples}]);
    let data = json!({"validator_hotkey": VALIDATOR, "challenge_id": challenge, "requests": requests});
    json!({"type": "proof_request", "message_id": message_id, "data": data})
}

fn samples() -> Value {
    json!([[1, 255, 0], [0, 3, 0]])
}

/// A worker that has answered the challenge `C1`.
fn committed() -> Scene {
    let mut scene = Scene::registered();
    scene.miner_says(&assignment(C1, 256));
    scene.compute();
    scene.said("heartbeat");
    scene
}

fn root(result: &Value) -> [u8; 32] {
    let commitment = &result["data"]["result"]["commitments"][0];
    let text = commitment["merkle_root"].as_str().expect("a root");
    assert_eq!(*commitment, json!({"uuid": "cpu", "merkle_root": text, "sig_ver": 2, "sig_val": ""}));
    hex::decode(text).expect("hex").try_into().expect("32 bytes")
}

fn why(response: &Value) -> String {
    assert_eq!(response["data"]["success"], json!(false), "{response}");
    response["data"]["error"].as_str().expect("a reason").to_owned()
}

#[test]
fn a_challenge_is_computed_opened_and_proven() {
    let mut scene = committed();
    let result = scene.only("task_result");
    let root = root(&result);
    assert_eq!(result["data"]["result"]["matrix_size"], json!(256));
    let stamps = result["data"]["timestamps"].as_object().expect("stamps");
    let split = ["worker_generate_ms", "worker_multiply_ms", "worker_hash_ms"].map(|name| stamps[name].as_u64());
    assert_eq!(split, [Some(1), Some(5), Some(2)]);
    assert!(stamps.contains_key("worker_queue_ms"));

    scene.miner_says(&ask(C1, "m1", &samples()));
    assert!(scene.said("proof_response").is_empty(), "it is computed beside the loop");
    scene.open();
    let proof = scene.only("proof_response");
    assert_eq!((&proof["message_id"], &proof["data"]["success"]), (&json!("m1"), &json!(true)));
    let proofs: Vec<GemmProof> = serde_json::from_value(proof["data"]["proofs"].clone()).expect("proofs");
    let spec = gemm_i8::Spec::new(256, 2).expect("a size");
    let prefix = KeyPrefix::new(&ChallengeId::new(C1), &[7; 32], "5A", &WorkerId::new(ME), "cpu");
    let asked = [Sample { round: 1, row: 255, chunk: 0 }, Sample { round: 0, row: 3, chunk: 0 }];
    assert_eq!(gemm_i8::verify(&spec, &prefix, &root, &asked, &proofs[0]), Ok(()));
}

#[test]
fn a_host_too_small_says_what_it_has() {
    let mut scene = Scene::registered();
    scene.miner_says(&assignment(C1, 65_536));
    let job = scene.jobs.remove(0).job;
    scene.reply(job, CpuOutcome::TooLarge { needed_bytes: 4_500 << 20, available_bytes: 3_000 << 20 });
    let result = scene.only("task_result");
    assert_eq!(
        (why(&result).as_str(), &result["data"]["error_code"]),
        ("it needs 4500 MiB of memory, and this host can spare 3000 MiB", &json!(1005))
    );
}

#[test]
fn a_worker_that_offers_one_kind_alone_says_so_and_computes_no_other() {
    let mut scene = Scene::with("capabilities: [cpu_matrix]");
    scene.miner_answers();
    assert_eq!(scene.only("register")["capabilities"], json!(["cpu_matrix"]));
    scene.miner_acknowledges();
    assert_eq!(scene.only("heartbeat")["data"]["capabilities"], json!(["cpu_matrix"]));
    scene.miner_says(&assignment(C1, 256));
    assert_eq!(why(&scene.only("task_result")), "this worker computes cpu_matrix, not gemm_i8");
    assert!(scene.jobs.is_empty());
}

#[test]
fn a_bad_proof_request_is_refused_by_name_and_at_once() {
    let mut scene = committed();
    let mut refused = |requests: Value| {
        let data = json!({"validator_hotkey": VALIDATOR, "challenge_id": C1, "requests": requests});
        scene.miner_says(&json!({"type": "proof_request", "message_id": "m", "data": data}));
        assert!(scene.openings.is_empty());
        why(&scene.only("proof_response"))
    };
    let of = |uuid: &str, samples: Value| json!([{"uuid": uuid, "samples": samples}]);
    let cases = [
        (of("GPU-1", samples()), r#"device "GPU-1" asked"#),
        (json!([{"uuid": "cpu", "samples": [[0, 0, 0]]}, {"uuid": "cpu", "samples": [[0, 0, 0]]}]), "2 devices asked"),
        (of("cpu", json!([])), "0 samples asked"),
        (of("cpu", json!(vec![[0, 0, 0]; 1025])), "1025 samples asked"),
        (of("cpu", json!([[2, 0, 0]])), "round 2 row 0 chunk 0 asked of 2 rounds"),
        (of("cpu", json!([[0, 256, 0]])), "row 256"),
        (of("cpu", json!([[0, 0, 1]])), "chunk 1"),
        (of("cpu", json!([[0, 0]])), "the proof request: "),
        (json!([{"uuid": "cpu", "rows": [1], "coordinates": []}]), "rows or coordinates asked"),
        (json!("all"), "the proof request: "),
    ];
    for (requests, named) in cases {
        let why = refused(requests.clone());
        assert!(why.contains(named), "{requests}: {why}");
    }
}

#[test]
fn a_proof_goes_over_whichever_connection_is_there_and_once_over_each() {
    let mut scene = committed();
    scene.miner_says(&ask(C1, "m1", &samples()));
    scene.miner_closes(1006, "");
    scene.open();
    assert!(scene.said("proof_response").is_empty());
    scene.pass(Duration::from_secs(10));
    scene.miner_answers();
    scene.miner_acknowledges();
    assert_eq!(scene.only("proof_response")["data"]["success"], json!(true));
    // The miner, who cannot know, asks once more.
    scene.miner_says(&ask(C1, "m1", &samples()));
    assert!(scene.openings.is_empty() && scene.said("proof_response").is_empty());
    // Under another id it is another request.
    scene.miner_says(&ask(C1, "m2", &samples()));
    scene.open();
    assert_eq!(scene.only("proof_response")["message_id"], json!("m2"));
}

#[test]
fn a_proof_does_not_wait_for_the_product_of_the_next_challenge() {
    let mut scene = committed();
    let other = "5GzrzkuT6kzZj7QMFBSiZwJ1GMmQdrMhzJoirW61nAuU7DMx";
    let mut next = assignment(C2, 256);
    next["data"]["validator_hotkey"] = json!(other);
    scene.miner_says(&next);
    assert_eq!(scene.jobs.len(), 1);
    scene.miner_says(&ask(C1, "m1", &samples()));
    scene.open();
    assert_eq!(scene.only("proof_response")["data"]["success"], json!(true));
}

#[test]
fn a_newer_challenge_of_the_validator_calls_the_opening_off() {
    let mut scene = committed();
    scene.miner_says(&ask(C1, "m1", &samples()));
    let id = scene.openings[0].id;
    scene.miner_says(&assignment(C2, 256));
    assert_eq!(scene.openings_called_off, [id]);
    scene.open();
    assert!(scene.said("proof_response").is_empty(), "nobody waits for it");
    scene.compute();
    scene.miner_says(&ask(C2, "m2", &samples()));
    scene.open();
    assert_eq!(scene.only("proof_response")["message_id"], json!("m2"));
}

#[test]
fn a_stopping_worker_proves_what_it_has_begun_or_calls_it_off() {
    let mut scene = committed();
    scene.miner_says(&ask(C1, "m1", &samples()));
    scene.give(Input::Stop);
    assert_eq!(scene.exit, None);
    scene.open();
    assert_eq!((scene.said("proof_response").len(), scene.exit.clone()), (1, Some(Exit::Done)));

    let mut late = committed();
    late.miner_says(&ask(C1, "m1", &samples()));
    late.give(Input::Stop);
    late.pass(DRAIN);
    assert_eq!((late.openings_called_off.len(), late.exit), (1, Some(Exit::Done)));
}
