//! A worker, its miner and its spokes, in the words of the trade.

use std::{num::NonZeroUsize, time::Duration};

use rand_core::SeedableRng;
use serde_json::{Value, json};

use super::*;
use crate::{
    compute::{cpu_matrix::Spec, gemm_i8, merkle::Tree, verify},
    config::Role,
    machine::{
        Link,
        contract::{
            cpu::{Answer, CpuOutcome, CpuTask, Split},
            inventory::Inventory,
            open::ToOpen,
        },
    },
    wire::{
        json as wire_json,
        messages::{DeviceProof, Raw},
    },
};

mod gemm;
mod gpu;
mod status;

const VALIDATOR: &str = "5FLGJvNvq2seB59UkKb2ftuVRab1aHzMVxuPJtPAyfsZ3vKY";
const SEED: &str = "000102030405060708090a0b0c0d0e0f";
const N: u32 = 12;

/// A worker with spokes that answer at once, except the executor, which answers when told.
struct Scene {
    worker: Worker,
    now: Now,
    frames: Vec<Value>,
    closed: Vec<(PeerId, u16)>,
    dialed: Vec<PeerId>,
    jobs: Vec<CpuRequest>,
    called_off: Vec<CpuJob>,
    gpu_jobs: Vec<GpuRequest>,
    gpu_called_off: Vec<GpuJob>,
    gpu_answers: Vec<gemm_i8::Answer>,
    /// What was asked of the spoke that looks after the executor.
    executor: Vec<ExecutorRequest>,
    left: bool,
    /// What the probe finds of the GPUs.
    inventory: Inventory,
    openings: Vec<OpenRequest>,
    openings_called_off: Vec<OpenId>,
    exit: Option<Exit>,
    name_server: Result<Vec<std::net::SocketAddr>, String>,
}

impl Scene {
    fn new() -> Scene {
        Scene::with("")
    }

    /// `yaml`: further settings.
    fn with(yaml: &str) -> Scene {
        let config = Config::from_yaml(&format!("reconnect_interval: 5\n{yaml}")).expect("a good configuration").config;
        let identity = Identity { id: WorkerId::new("00000000000000a1"), name: None, version: "1.0".into() };
        let worker = Worker::new(&config, identity, None, ChaCha20Rng::seed_from_u64(4));
        let mut scene = Scene {
            worker,
            now: Now { mono: Mono::default(), wall: Wall::from_secs(1_800_000_000) },
            frames: Vec::new(),
            closed: Vec::new(),
            dialed: Vec::new(),
            jobs: Vec::new(),
            called_off: Vec::new(),
            gpu_jobs: Vec::new(),
            gpu_called_off: Vec::new(),
            gpu_answers: Vec::new(),
            executor: Vec::new(),
            left: false,
            inventory: Inventory::default(),
            openings: Vec::new(),
            openings_called_off: Vec::new(),
            exit: None,
            name_server: Ok(vec![([127, 0, 0, 1], 7799).into()]),
        };
        scene.give(Input::Deadline);
        scene
    }

    /// A worker that its miner has registered.
    fn registered() -> Scene {
        let mut scene = Scene::new();
        scene.miner_answers();
        scene.miner_acknowledges();
        scene
    }

    fn give(&mut self, input: Input<Event>) {
        self.worker.handle(self.now, input);
        while let Some(output) = self.worker.poll() {
            match output {
                Output::Dial { peer, .. } => self.dialed.push(peer),
                Output::Send { message: Message::Text(text), .. } => {
                    self.frames.push(serde_json::from_str(&text).expect("frames are JSON"));
                }
                Output::Send { message, .. } => panic!("no text: {message:?}"),
                Output::Close { peer, code, .. } => self.closed.push((peer, code)),
                Output::Command(command) => self.serve(command),
                Output::Exit(exit) => self.exit = Some(exit),
            }
        }
    }

    fn serve(&mut self, command: Command) {
        let event = match command {
            Command::Cpu(request) => return self.jobs.push(request),
            Command::CallOff(job) => return self.called_off.push(job),
            Command::Gpu(request) => return self.gpu_jobs.push(request),
            Command::CallOffGpu(job) => return self.gpu_called_off.push(job),
            Command::Executor(request) => return self.executor.push(request),
            Command::LeaveExecutor => return self.left = true,
            Command::Open(request) => return self.openings.push(request),
            Command::CallOffOpening(id) => return self.openings_called_off.push(id),
            Command::Probe(ProbeRequest) => Event::Probe(
                ProbeReply { info: wire_json::parse(r#"{"cpu_count":2}"#).unwrap(), gpus: self.inventory.clone() }
                    .into(),
            ),
            Command::Resolve(_) => Event::Resolved(ResolveReply { addresses: self.name_server.clone() }),
        };
        self.give(Input::Event(event));
    }

    fn peer(&self) -> PeerId {
        *self.dialed.last().expect("the worker has dialed")
    }

    fn miner_answers(&mut self) {
        let remote = ([127, 0, 0, 1], 7799).into();
        self.give(Input::Opened { peer: self.peer(), link: Link::Miner, remote });
    }

    fn miner_acknowledges(&mut self) {
        self.miner_says(&json!({"type": "registration_ack", "data": {"status": "registered"}}));
    }

    fn miner_says(&mut self, frame: &Value) {
        self.miner_says_text(&frame.to_string());
    }

    fn miner_says_text(&mut self, text: &str) {
        let (peer, message) = (self.peer(), Message::Text(text.into()));
        self.give(Input::Received { peer, message, at: self.now.mono });
    }

    fn miner_closes(&mut self, code: u16, reason: &str) {
        let reason = Gone::ByPeer { code, reason: reason.into() };
        self.give(Input::Closed { peer: self.peer(), reason });
    }

    fn miner_is_away(&mut self) {
        self.give(Input::DialFailed { peer: self.peer(), reason: Gone::Io("connection refused".into()) });
    }

    /// Time passes, deadline by deadline.
    fn pass(&mut self, span: Duration) {
        let end = self.now.mono + span;
        while let Some(due) = self.worker.deadline().filter(|due| *due <= end) {
            self.advance(due.max(self.now.mono));
            self.give(Input::Deadline);
        }
        self.advance(end);
    }

    fn advance(&mut self, to: Mono) {
        let span = to.since(self.now.mono);
        self.now = Now { mono: to, wall: self.now.wall + span };
    }

    fn assign(&mut self, task: &str) {
        self.assign_with(task, "cpu_matrix", N);
    }

    fn assign_with(&mut self, task: &str, kind: &str, n: u32) {
        let data = json!({"challenge_type": kind, "matrix_size": n, "iterations": 1, "seed": SEED});
        let data = json!({"task_id": task, "task_type": kind, "challenge_id": task, "data": data,
            "timeout": 60, "validator_hotkey": VALIDATOR});
        self.miner_says(&json!({"type": "task_assignment", "data": data}));
    }

    /// The executor finishes its oldest product.
    fn compute(&mut self) {
        let request = self.jobs.remove(0);
        let answer = match request.task {
            CpuTask::CpuMatrix(spec) => Answer::CpuMatrix(tree(spec)),
            CpuTask::GemmI8 { spec, prefix } => {
                Answer::GemmI8(gemm_i8::compute(spec, prefix).expect("an answer").into())
            }
        };
        let ms = Duration::from_millis;
        let split = Split { generate: ms(1), multiply: ms(5), hash: ms(2) };
        self.reply(request.job, CpuOutcome::Computed { answer, took: ms(8), split, threads: NonZeroUsize::MIN });
    }

    fn reply(&mut self, job: CpuJob, outcome: CpuOutcome) {
        self.give(Input::Event(Event::Cpu(CpuReply { job, outcome })));
    }

    /// The opening spoke finishes its oldest opening.
    fn open(&mut self) {
        let request = self.openings.remove(0);
        let proofs = match request.wanted {
            ToOpen::Cpu { answer, samples } => {
                vec![gemm_i8::open(&answer, &samples).expect("samples within the answer")]
            }
            ToOpen::Gpu { requests, .. } => self.gpu_proofs(&requests),
        };
        let (proofs, took) = (Raw::of(&proofs).expect("JSON"), Duration::from_millis(3));
        let reply = OpenReply { id: request.id, outcome: OpenOutcome::Opened { proofs, took } };
        self.give(Input::Event(Event::Opened(reply)));
    }

    fn ask_proof(&mut self, challenge: &str, rows: &[u32]) {
        let requests = json!([{"uuid": "-1", "rows": rows, "coordinates": []}]);
        let data = json!({"validator_hotkey": VALIDATOR, "challenge_id": challenge, "requests": requests});
        self.miner_says(&json!({"type": "proof_request", "message_id": "m1", "data": data}));
    }

    /// The frames of one type since the last look.
    fn said(&mut self, kind: &str) -> Vec<Value> {
        let (wanted, others) = std::mem::take(&mut self.frames).into_iter().partition(|frame| frame["type"] == kind);
        self.frames = others;
        wanted
    }

    fn only(&mut self, kind: &str) -> Value {
        let said = self.said(kind);
        assert_eq!(said.len(), 1, "{kind}: {said:?}");
        said.into_iter().next().unwrap_or_default()
    }
}

fn tree(spec: Spec) -> Tree {
    spec.matrices(|| true).and_then(|m| Tree::new(m.row_hashes(0..spec.n))).expect("a tree")
}

#[test]
fn a_challenge_is_computed_and_proven() {
    let mut scene = Scene::registered();
    scene.assign("c1");
    let CpuTask::CpuMatrix(spec) = scene.jobs[0].task else { panic!("a task of another kind") };
    scene.compute();
    let result = scene.only("task_result");
    assert_eq!((&result["task_id"], &result["worker_id"]), (&json!("c1"), &json!("00000000000000a1")));
    assert_eq!((&result["data"]["success"], &result["data"]["error_code"]), (&json!(true), &json!(0)));
    let root = result["data"]["result"]["commitments"][0]["merkle_root"].as_str().expect("a root").to_owned();

    scene.ask_proof("c1", &[0, 7, 11]);
    let proof = scene.only("proof_response");
    assert_eq!((&proof["message_id"], &proof["data"]["success"]), (&json!("m1"), &json!(true)));
    let proofs: Vec<DeviceProof> = serde_json::from_value(proof["data"]["proofs"].clone()).expect("proofs");
    assert_eq!(verify::cpu(&spec, &root, &[0, 7, 11], &proofs), Ok(()));
}

#[test]
fn the_first_frame_is_the_registration_and_the_second_a_heartbeat() {
    let mut scene = Scene::new();
    scene.miner_answers();
    assert_eq!(scene.only("register")["capabilities"], json!(["cpu_matrix", "gemm_i8"]));
    assert!(scene.frames.is_empty());
    scene.miner_acknowledges();
    let beat = scene.only("heartbeat");
    assert_eq!((&beat["data"]["status"], &beat["data"]["active_tasks"]), (&json!("online"), &json!(0)));
    assert_eq!(beat["data"]["system_info"]["cpu_count"], json!(2));
}

#[test]
fn heartbeats_go_on_and_say_busy_during_a_task() {
    let mut scene = Scene::registered();
    scene.assign("c1");
    scene.said("heartbeat");
    scene.pass(Duration::from_secs(31));
    let beat = scene.only("heartbeat");
    assert_eq!((&beat["data"]["status"], &beat["data"]["active_tasks"]), (&json!("busy"), &json!(1)));
}

#[test]
fn a_miner_that_is_not_up_yet_is_waited_for() {
    let mut scene = Scene::new();
    for _ in 0..4 {
        let dials = scene.dialed.len();
        scene.miner_is_away();
        assert_eq!(scene.dialed.len(), dials);
        scene.pass(Duration::from_secs(60));
        assert_eq!(scene.dialed.len(), dials + 1);
    }
    scene.miner_answers();
    scene.miner_acknowledges();
    assert_eq!(scene.said("register").len(), 1);
    assert_eq!(scene.exit, None);
}

#[test]
fn a_name_that_does_not_resolve_is_asked_for_again() {
    let mut scene = Scene::registered();
    scene.name_server = Err("no such host".into());
    scene.miner_closes(1001, "going away");
    let dials = scene.dialed.len();
    scene.pass(Duration::from_secs(30));
    assert_eq!(scene.dialed.len(), dials);
    scene.name_server = Ok(vec![([127, 0, 0, 1], 7799).into()]);
    scene.pass(Duration::from_secs(60));
    assert_eq!(scene.dialed.len(), dials + 1);
}

#[test]
fn a_full_miner_and_a_refused_token_are_left_alone_for_long() {
    let mut full = Scene::new();
    full.miner_answers();
    full.miner_closes(4003, "miner full (100 of 100)");
    full.pass(Duration::from_secs(29));
    assert_eq!(full.dialed.len(), 1);
    full.pass(Duration::from_secs(31));
    assert_eq!(full.dialed.len(), 2);

    let mut refused = Scene::new();
    let reason = Gone::Protocol("upgrade refused: 401 token missing or wrong".into());
    refused.give(Input::DialFailed { peer: refused.peer(), reason });
    refused.pass(Duration::from_secs(29));
    assert_eq!(refused.dialed.len(), 1);
}

#[test]
fn a_result_that_found_no_connection_is_sent_over_the_next_one() {
    let mut scene = Scene::registered();
    scene.assign("c1");
    scene.miner_closes(1006, "");
    scene.compute();
    assert!(scene.said("task_result").is_empty());
    scene.pass(Duration::from_secs(10));
    scene.miner_answers();
    assert!(scene.said("task_result").is_empty());
    scene.miner_acknowledges();
    assert_eq!(scene.only("task_result")["data"]["success"], json!(true));
    scene.ask_proof("c1", &[3]);
    assert_eq!(scene.only("proof_response")["data"]["success"], json!(true));
}

#[test]
fn a_result_whose_time_is_over_is_not_sent() {
    let mut scene = Scene::registered();
    scene.assign("c1");
    scene.miner_closes(1006, "");
    scene.compute();
    scene.pass(Duration::from_secs(61));
    scene.miner_answers();
    scene.miner_acknowledges();
    assert!(scene.said("task_result").is_empty());
}

#[test]
fn a_task_that_takes_too_long_is_called_off_and_reported() {
    let mut scene = Scene::registered();
    scene.assign("c1");
    scene.pass(Duration::from_secs(60));
    assert_eq!(scene.called_off, [scene.jobs[0].job]);
    let result = scene.only("task_result");
    assert_eq!((&result["data"]["success"], &result["data"]["error_code"]), (&json!(false), &json!(1002)));
    scene.compute();
    assert!(scene.said("task_result").is_empty());
}

#[test]
fn a_second_task_is_refused_while_the_first_is_computed() {
    let mut scene = Scene::registered();
    scene.assign("c1");
    scene.assign("c2");
    let refused = scene.only("task_result");
    assert_eq!((&refused["task_id"], &refused["data"]["error_code"]), (&json!("c2"), &json!(1005)));
    scene.assign("c1");
    assert!(scene.said("task_result").is_empty());
    scene.compute();
    assert_eq!(scene.only("task_result")["task_id"], json!("c1"));
}

#[test]
fn a_miner_that_has_forgotten_a_task_gives_another() {
    let mut scene = Scene::registered();
    scene.assign("c1");
    scene.miner_closes(1006, "");
    scene.pass(Duration::from_secs(10));
    scene.miner_answers();
    scene.miner_acknowledges();
    scene.assign("c2");
    assert_eq!(scene.called_off, [scene.jobs[0].job]);
    scene.compute();
    scene.compute();
    assert_eq!(scene.only("task_result")["task_id"], json!("c2"));
}

#[test]
fn what_cannot_be_computed_is_answered_with_success_and_error_code() {
    let mut scene = Scene::registered();
    scene.assign_with("g1", "gpu_matrix", N);
    scene.assign_with("b1", "cpu_matrix", 20_000);
    scene.miner_says(&json!({"type": "task_assignment", "data": {"task_id": "u1", "timeout": "soon"}}));
    for task in ["g1", "b1", "u1"] {
        let at = scene.frames.iter().position(|frame| frame["task_id"] == *task);
        let refused = scene.frames.remove(at.expect(task));
        assert_eq!(
            (&refused["data"]["success"], &refused["data"]["error_code"]),
            (&json!(false), &json!(1000)),
            "{task}"
        );
    }
    assert!(scene.jobs.is_empty());
}

#[test]
fn a_proof_of_an_unknown_challenge_is_refused_by_name() {
    let mut scene = Scene::registered();
    scene.ask_proof("never given", &[1]);
    let refused = scene.only("proof_response");
    assert_eq!(refused["data"]["success"], json!(false));
    assert!(refused["data"]["error"].as_str().is_some_and(|why| why.contains("never given")), "{refused}");
    assert!(refused["data"]["debug"].is_object());
}

#[test]
fn a_newer_challenge_of_a_validator_ends_the_older_one() {
    let mut scene = Scene::registered();
    scene.assign("c1");
    scene.compute();
    scene.assign("c2");
    scene.ask_proof("c1", &[1]);
    assert_eq!(scene.only("proof_response")["data"]["success"], json!(false));
}

#[test]
fn a_sign_of_life_is_given_when_asked() {
    let mut scene = Scene::registered();
    scene.miner_says(&json!({"type": "heartbeat_request", "message_id": "h7"}));
    let answer = scene.only("heartbeat_response");
    assert_eq!((&answer["message_id"], &answer["timestamp"]), (&json!("h7"), &json!(1_800_000_000.0)));
}

#[test]
fn wrong_frames_are_counted_and_change_nothing() {
    let mut scene = Scene::new();
    scene.miner_answers();
    scene.said("register");
    scene.assign("too early");
    for text in ["{{{", "[1]", r#"{"type":"what"}"#, r#"{"type":"proof_request"}"#, ""] {
        scene.miner_says_text(text);
    }
    scene.miner_acknowledges();
    scene.miner_acknowledges();
    scene.said("heartbeat");
    assert!(scene.frames.is_empty() && scene.closed.is_empty() && scene.jobs.is_empty());
    let mut page = Page::default();
    scene.worker.observe(&mut page);
    let faults = ["bad_frame", "early_frame", "stray_ack"].map(|name| page.value(Metric::Faults, &[name]));
    assert_eq!(faults, [Some(5.0), Some(1.0), Some(1.0)]);
}

#[test]
fn an_idle_worker_stops_at_once() {
    let mut scene = Scene::registered();
    scene.give(Input::Stop);
    assert_eq!((scene.closed.as_slice(), scene.exit), ([(scene.dialed[0], 1000)].as_slice(), Some(Exit::Done)));
}

#[test]
fn a_stopping_worker_finishes_what_it_has_begun() {
    let mut scene = Scene::registered();
    scene.assign("c1");
    scene.give(Input::Stop);
    assert_eq!(scene.exit, None);
    scene.assign("c2");
    assert_eq!(scene.only("task_result")["data"]["error_code"], json!(1005));
    scene.compute();
    assert_eq!(scene.only("task_result")["data"]["success"], json!(true));
    assert_eq!(scene.exit, None);
    scene.ask_proof("c1", &[2]);
    assert_eq!(scene.only("proof_response")["data"]["success"], json!(true));
    assert_eq!(scene.exit, Some(Exit::Done));
}

#[test]
fn a_stopping_worker_does_not_wait_for_ever() {
    let mut scene = Scene::registered();
    scene.assign("c1");
    scene.give(Input::Stop);
    scene.pass(DRAIN);
    assert_eq!((scene.called_off.len(), scene.exit), (1, Some(Exit::Done)));

    let mut cut = Scene::registered();
    cut.assign("c1");
    cut.give(Input::Stop);
    cut.miner_closes(1006, "");
    assert_eq!(cut.exit, Some(Exit::Done));
}

#[test]
fn a_worker_alone_does_not_spin() {
    let mut scene = Scene::new();
    for _ in 0..1000 {
        let Some(due) = scene.worker.deadline() else { break };
        assert!(due > scene.now.mono, "a deadline that does not move");
        scene.advance(due);
        scene.give(Input::Deadline);
    }
}
