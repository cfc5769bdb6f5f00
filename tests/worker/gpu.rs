//! The real worker process and a GPU executor: a challenge from the assignment to the proof, an executor that dies in the
//! middle of one, and a host without any.

use std::{path::Path, sync::atomic::Ordering};

use byteleap::{
    compute::gemm_i8,
    wire::messages::gemm_i8::{GemmProof, Sample},
};
use serde_json::{Value, json};

use crate::{
    daemon::{Deadline, Door, Miner, Process, VALIDATOR, start_among},
    executor::{Challenge, Executor, GPUS},
};

const ID: &str = "00000000-0000-4000-8000-000000000001";
const N: u32 = 256;

pub fn challenge() -> Challenge {
    Challenge { id: ID.into(), seed: [0xab; 32], miner: "5A".into(), worker: "w1".into() }
}

/// A worker that is registered, and its miner.
fn registered(directory: &Path, yaml: &str) -> (Process, Miner) {
    registered_among(directory, yaml, &[])
}

/// The same, with more in the worker's environment.
pub fn registered_among(directory: &Path, yaml: &str, environment: &[(&str, &Path)]) -> (Process, Miner) {
    let mut door = Door::open();
    let worker = start_among(directory, door.port(), &format!("heartbeat_interval: 1\n{yaml}"), environment);
    let mut miner = Miner::accept(&mut door);
    miner.hear("register");
    miner.say(&json!({"type": "registration_ack", "data": {"status": "registered"}}));
    (worker, miner)
}

pub fn assign(miner: &mut Miner, devices: &[&str]) {
    let data = json!({"challenge_type": "gemm_i8", "version": 2, "challenge_id": ID, "worker_id": "w1",
        "miner_hotkey": "5A", "round_id": "round_1", "seed": "ab".repeat(32), "matrix_size": N, "rounds": 2,
        "devices": devices});
    let data = json!({"task_id": ID, "task_type": "gemm_i8", "challenge_id": ID, "data": data, "timeout": 60,
        "validator_hotkey": VALIDATOR});
    miner.say(&json!({"type": "task_assignment", "data": data}));
}

/// Heartbeats until one tells of so many GPUs.
pub fn hear_of(miner: &mut Miner, gpus: usize) -> Value {
    let end = Deadline::start();
    loop {
        end.check(&format!("a heartbeat with {gpus} GPUs"));
        let beat = miner.hear("heartbeat");
        if beat["data"]["system_info"]["gpu_plugin"].as_array().map(Vec::len) == Some(gpus) {
            return beat;
        }
    }
}

#[test]
fn gpus_compute_and_open_a_challenge_through_their_executor() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let socket = directory.path().join("gpu.sock");
    let executor = Executor::listen(&socket, challenge());
    let gpu = format!("gpu: {{auto_start: false, socket_path: {}}}\n", socket.display());
    let (_worker, mut miner) = registered(directory.path(), &gpu);
    let beat = hear_of(&mut miner, 2);
    assert_eq!(beat["data"]["capabilities"], json!(["cpu_matrix", "gemm_i8"]));
    assign(&mut miner, &GPUS);
    let result = miner.hear("task_result");
    let commitments = result["data"]["result"]["commitments"].as_array().expect("commitments").clone();
    let named: Vec<_> = commitments.iter().map(|one| one["uuid"].as_str().expect("a uuid")).collect();
    assert_eq!(named, GPUS, "{result}");

    let samples = [Sample { round: 1, row: 255, chunk: 0 }, Sample { round: 0, row: 7, chunk: 0 }];
    let requests = GPUS.map(|uuid| json!({"uuid": uuid, "samples": samples}));
    let data = json!({"validator_hotkey": VALIDATOR, "challenge_id": ID, "requests": requests});
    miner.say(&json!({"type": "proof_request", "message_id": "m1", "data": data}));
    let answer = miner.hear("proof_response");
    let proofs: Vec<GemmProof> = serde_json::from_value(answer["data"]["proofs"].clone()).expect("proofs");
    let spec = gemm_i8::Spec::new(N, 2).expect("a size");
    for (commitment, proof) in commitments.iter().zip(&proofs) {
        let root = hex::decode(commitment["merkle_root"].as_str().expect("a root")).expect("hex");
        let (prefix, root) = (challenge().prefix(&proof.uuid), root.try_into().expect("32 bytes"));
        assert_eq!(gemm_i8::verify(&spec, &prefix, &root, &samples, proof), Ok(()));
    }

    executor.dies.store(true, Ordering::SeqCst);
    assign(&mut miner, &GPUS);
    let result = miner.hear("task_result");
    let why = result["data"]["error"].as_str().expect("a reason");
    assert_eq!(why, "the GPUs: the executor ended the connection without an answer: it died, or was stopped");
}

#[test]
fn an_executor_that_goes_is_absent_in_a_heartbeat_and_back_when_it_is() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let socket = directory.path().join("gpu.sock");
    let gpu = format!("gpu: {{auto_start: false, socket_path: {}}}\n", socket.display());
    let _executor = Executor::listen(&socket, challenge());
    let (_worker, mut miner) = registered(directory.path(), &gpu);
    hear_of(&mut miner, 2);
    std::fs::remove_file(&socket).expect("the socket was there");
    hear_of(&mut miner, 0);
    let _again = Executor::listen(&socket, challenge());
    hear_of(&mut miner, 2);
}

#[test]
fn without_an_executor_the_cpu_serves() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (_worker, mut miner) = registered(directory.path(), "gpu: {binary_path: /nowhere/byteleap-gpu}\n");
    assert_eq!(hear_of(&mut miner, 0)["data"]["gpu_info"]["gpu_available"], json!(false));
    assign(&mut miner, &["cpu"]);
    assert_eq!(miner.hear("task_result")["data"]["success"], json!(true));
}
