//! The real worker process against a miner of this test's own, over loopback: one challenge from registration to
//! proof, and a stop. Every wait has a deadline.

use std::{
    fs,
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use byteleap::{
    compute::{cpu_matrix::Spec, gemm_i8, verify},
    units::{ChallengeId, WorkerId},
    wire::messages::{
        DeviceProof,
        gemm_i8::{GemmProof, Sample},
    },
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tungstenite::{
    Message, WebSocket, accept_hdr,
    handshake::server::{ErrorResponse, Request, Response},
};

const PATIENCE: Duration = Duration::from_secs(60);
const TOKEN: &str = "a-token-of-this-test";
pub const VALIDATOR: &str = "5FLGJvNvq2seB59UkKb2ftuVRab1aHzMVxuPJtPAyfsZ3vKY";
const N: u32 = 64;
const SPEC: Spec = Spec { seed: [0xab; 16], n: N, iterations: 2 };

/// A worker process that does not outlive its test.
pub struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already when the test passed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(directory: &Path, port: u16) -> Process {
    start_with(directory, port, "")
}

/// `yaml`: further settings.
pub fn start_with(directory: &Path, port: u16, yaml: &str) -> Process {
    start_among(directory, port, yaml, &[])
}

/// The same, with more in its environment.
pub fn start_among(directory: &Path, port: u16, yaml: &str, environment: &[(&str, &Path)]) -> Process {
    let token = directory.join("token");
    fs::write(&token, TOKEN).expect("a writable directory");
    let config = directory.join("worker.yaml");
    let text = format!(
        "miner_url: ws://localhost:{port}\ntoken_file: {}\nworker_id: w1\nreconnect_interval: 0.1\n{yaml}",
        token.display()
    );
    fs::write(&config, text).expect("a writable directory");
    let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
    command.envs(environment.iter().copied());
    command.arg("--config").arg(config).stderr(Stdio::inherit());
    Process(command.spawn().expect("the worker starts"))
}

/// A miner's port.
pub struct Door {
    listener: mio::net::TcpListener,
    poll: mio::Poll,
}

impl Door {
    pub fn open() -> Door {
        let mut listener = mio::net::TcpListener::bind(([127, 0, 0, 1], 0).into()).expect("a free port");
        let poll = mio::Poll::new().expect("an event queue");
        poll.registry().register(&mut listener, mio::Token(0), mio::Interest::READABLE).expect("a watched socket");
        Door { listener, poll }
    }

    pub fn port(&self) -> u16 {
        self.listener.local_addr().expect("an address").port()
    }

    /// The next connection, within the test's patience.
    fn accept(&mut self) -> TcpStream {
        let mut events = mio::Events::with_capacity(1);
        loop {
            if let Ok((stream, _)) = self.listener.accept() {
                let stream = TcpStream::from(std::os::fd::OwnedFd::from(stream));
                stream.set_nonblocking(false).expect("a socket option");
                return stream;
            }
            self.poll.poll(&mut events, Some(PATIENCE)).expect("an event queue");
            assert!(!events.is_empty(), "no worker came in time");
        }
    }
}

/// No wait for something to be said outlasts it, however much else is said meanwhile.
pub struct Deadline(crossbeam::channel::Receiver<std::time::Instant>);

impl Deadline {
    pub fn start() -> Deadline {
        Deadline(crossbeam::channel::after(PATIENCE))
    }

    pub fn check(&self, awaited: &str) {
        assert!(self.0.try_recv().is_err(), "not in time: {awaited}");
    }
}

/// A miner's side of one connection.
pub struct Miner(WebSocket<TcpStream>);

impl Miner {
    pub fn accept(door: &mut Door) -> Miner {
        let stream = door.accept();
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket option");
        Miner(accept_hdr(stream, bears_the_token).expect("an upgrade"))
    }

    pub fn say(&mut self, frame: &Value) {
        self.0.send(Message::text(frame.to_string())).expect("an open connection");
    }

    /// The next frame of that type; others are passed over.
    pub fn hear(&mut self, kind: &str) -> Value {
        let end = Deadline::start();
        loop {
            end.check(kind);
            if let Message::Text(text) = self.0.read().expect("a frame in time") {
                let frame: Value = serde_json::from_str(&text).expect("a frame is JSON");
                if frame["type"] == kind {
                    return frame;
                }
            }
        }
    }

    fn hear_close(&mut self) -> u16 {
        loop {
            if let Message::Close(Some(frame)) = self.0.read().expect("a frame in time") {
                return frame.code.into();
            }
        }
    }
}

#[expect(clippy::result_large_err, reason = "the signature is tungstenite's")]
fn bears_the_token(request: &Request, response: Response) -> Result<Response, ErrorResponse> {
    let bearer = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    assert_eq!(bearer, Some(format!("Bearer {TOKEN}").as_str()));
    Ok(response)
}

#[test]
fn a_worker_process_registers_computes_proves_and_stops() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut door = Door::open();
    let mut worker = start(directory.path(), door.port());
    let mut miner = Miner::accept(&mut door);
    let register = miner.hear("register");
    assert_eq!((&register["worker_id"], &register["capabilities"]), (&json!("w1"), &json!(["cpu_matrix", "gemm_i8"])));
    assert!(register["system_info"]["cpu_count"].as_u64().is_some_and(|cores| cores > 0), "{register}");
    miner.say(&json!({"type": "registration_ack", "data": {"status": "registered"}}));
    assert_eq!(miner.hear("heartbeat")["data"]["status"], json!("online"));

    let data =
        json!({"challenge_type": "cpu_matrix", "matrix_size": N, "iterations": 2, "seed": hex::encode(SPEC.seed)});
    let data = json!({"task_id": "c1", "task_type": "cpu_matrix", "challenge_id": "c1", "data": data, "timeout": 60,
        "validator_hotkey": VALIDATOR});
    miner.say(&json!({"type": "task_assignment", "data": data}));
    let result = miner.hear("task_result");
    assert_eq!(result["data"]["success"], json!(true), "{result}");
    let root = result["data"]["result"]["commitments"][0]["merkle_root"].as_str().expect("a root").to_owned();

    let requests = json!([{"uuid": "-1", "rows": [1, 63], "coordinates": []}]);
    let data = json!({"validator_hotkey": VALIDATOR, "challenge_id": "c1", "requests": requests});
    miner.say(&json!({"type": "proof_request", "message_id": "m1", "data": data}));
    let proof = miner.hear("proof_response");
    let proofs: Vec<DeviceProof> = serde_json::from_value(proof["data"]["proofs"].clone()).expect("proofs");
    assert_eq!(verify::cpu(&SPEC, &root, &[1, 63], &proofs), Ok(()));

    let pid = Pid::from_child(&worker.0);
    kill_process(pid, Signal::TERM).expect("the worker runs");
    assert_eq!(miner.hear_close(), 1000);
    drop(miner);
    assert!(worker.0.wait().expect("the worker ends").success());
}

#[test]
fn a_worker_process_opens_what_it_committed_to() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut door = Door::open();
    let _worker = start(directory.path(), door.port());
    let mut miner = Miner::accept(&mut door);
    miner.hear("register");
    miner.say(&json!({"type": "registration_ack", "data": {"status": "registered"}}));

    let id = "00000000-0000-4000-8000-000000000001";
    let data = json!({"challenge_type": "gemm_i8", "version": 2, "challenge_id": id, "worker_id": "w1",
        "miner_hotkey": "5A", "round_id": "round_1", "seed": "ab".repeat(32), "matrix_size": 512, "rounds": 2,
        "devices": ["cpu"]});
    let data = json!({"task_id": id, "task_type": "gemm_i8", "challenge_id": id, "data": data, "timeout": 60,
        "validator_hotkey": VALIDATOR});
    miner.say(&json!({"type": "task_assignment", "data": data}));
    let result = miner.hear("task_result");
    let commitment = &result["data"]["result"]["commitments"][0];
    assert_eq!((&commitment["uuid"], &commitment["sig_ver"]), (&json!("cpu"), &json!(2)), "{result}");
    let root = hex::decode(commitment["merkle_root"].as_str().expect("a root")).expect("hex");

    let samples = [Sample { round: 1, row: 511, chunk: 1 }, Sample { round: 0, row: 7, chunk: 0 }];
    let requests = json!([{"uuid": "cpu", "samples": samples}]);
    let data = json!({"validator_hotkey": VALIDATOR, "challenge_id": id, "requests": requests});
    miner.say(&json!({"type": "proof_request", "message_id": "m1", "data": data}));
    let answer = miner.hear("proof_response");
    let proofs: Vec<GemmProof> = serde_json::from_value(answer["data"]["proofs"].clone()).expect("proofs");
    let spec = gemm_i8::Spec::new(512, 2).expect("a size");
    let worker = WorkerId::new("w1");
    let prefix = gemm_i8::KeyPrefix::new(&ChallengeId::new(id), &[0xab; 32], "5A", &worker, "cpu");
    let root = root.try_into().expect("32 bytes");
    assert_eq!(gemm_i8::verify(&spec, &prefix, &root, &samples, &proofs[0]), Ok(()));
}

#[test]
fn a_worker_that_was_cut_off_comes_back() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut door = Door::open();
    let _worker = start(directory.path(), door.port());
    for _ in 0..3 {
        let mut miner = Miner::accept(&mut door);
        assert_eq!(miner.hear("register")["worker_id"], json!("w1"));
    }
}

/// A product of this side is not done before the worker is asked to end.
const LARGE: u32 = 6000;
const END_WITHIN: Duration = Duration::from_secs(5);

#[test]
fn a_worker_process_ends_soon_in_the_middle_of_a_product() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut door = Door::open();
    let mut worker = start_with(directory.path(), door.port(), "heartbeat_interval: 0.1\ngpu: {enable: false}\n");
    let mut miner = Miner::accept(&mut door);
    miner.hear("register");
    miner.say(&json!({"type": "registration_ack", "data": {"status": "registered"}}));
    let data =
        json!({"challenge_type": "cpu_matrix", "matrix_size": LARGE, "iterations": 9, "seed": hex::encode(SPEC.seed)});
    let data = json!({"task_id": "c1", "task_type": "cpu_matrix", "challenge_id": "c1", "data": data, "timeout": 600,
        "validator_hotkey": VALIDATOR});
    miner.say(&json!({"type": "task_assignment", "data": data}));
    while miner.hear("heartbeat")["data"]["status"] != json!("busy") {}
    kill_process(Pid::from_child(&worker.0), Signal::TERM).expect("the worker runs");
    let (end, ticks) = (crossbeam::channel::after(END_WITHIN), crossbeam::channel::tick(Duration::from_millis(10)));
    loop {
        if let Some(status) = worker.0.try_wait().expect("a child") {
            break assert_eq!(status.code(), Some(0));
        }
        crossbeam::select! {
            recv(ticks) -> _ => {},
            recv(end) -> _ => panic!("it goes on"),
        }
    }
}
