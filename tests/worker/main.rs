//! The worker's machine through a recorded session between the reference worker and the reference miner: what
//! the miner said is said to ours, and ours must answer as the recorded worker did. In `daemon`, the real process; in `gpu`,
//! the real process beside an executor.

mod daemon;
mod executor;
mod gpu;
mod nvml;

use std::{collections::BTreeSet, num::NonZeroUsize, time::Duration};

use byteleap::{
    compute::merkle::Tree,
    config::{Role, worker::Config},
    machine::{
        Gone, Input, Link, Machine, Message, Output,
        contract::{
            cpu::{Answer, CpuOutcome, CpuReply, CpuTask, Split},
            probe::ProbeReply,
            resolve::ResolveReply,
        },
        worker::{Command, Event, Identity, Worker},
    },
    units::{Mono, Now, PeerId, Wall, WorkerId},
    wire::json,
};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Recording {
    messages: Vec<Entry>,
}

#[derive(Clone, Deserialize)]
struct Entry {
    conn: u32,
    #[serde(default)]
    dir: String,
    #[serde(default)]
    msg: Value,
    /// Seconds since the first event.
    t: f64,
}

/// One connection of the recording, frames only.
fn recorded(conn: u32) -> Vec<Entry> {
    let path = format!("{}/tests/data/ws/cpu_flow.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{path}: {why}"));
    let recording: Recording = serde_json::from_str(&text).unwrap_or_else(|why| panic!("{path}: {why}"));
    recording.messages.into_iter().filter(|entry| entry.conn == conn && !entry.msg.is_null()).collect()
}

/// Our worker, set up as the recorded one was.
struct Stage {
    worker: Worker,
    now: Now,
    system_info: Value,
    peer: Option<PeerId>,
    said: Vec<Value>,
}

impl Stage {
    fn new(register: &Value) -> Stage {
        let text = |field: &str| register[field].as_str().expect("a recorded text").to_owned();
        let yaml = "heartbeat_interval: 2\nsystem_info_interval: 3600\ncapabilities: [cpu_matrix]";
        let identity = Identity {
            id: WorkerId::new(&text("worker_id")),
            name: Some(text("worker_name")),
            version: text("worker_version"),
        };
        let config = Config::from_yaml(yaml).expect("a good configuration").config;
        Stage {
            worker: Worker::new(&config, identity, None, ChaCha20Rng::seed_from_u64(1)),
            now: Now { mono: Mono::default(), wall: Wall::from_secs(1_795_355_817) },
            system_info: register["system_info"].clone(),
            peer: None,
            said: Vec::new(),
        }
    }

    fn give(&mut self, input: Input<Event>) {
        self.worker.handle(self.now, input);
        while let Some(output) = self.worker.poll() {
            match output {
                Output::Dial { peer, .. } => self.open(peer),
                Output::Send { message: Message::Text(text), .. } => {
                    self.said.push(serde_json::from_str(&text).expect("frames are JSON"));
                }
                Output::Command(command) => self.serve(command),
                other => panic!("not expected: {other:?}"),
            }
        }
    }

    fn open(&mut self, peer: PeerId) {
        self.peer = Some(peer);
        let remote = ([127, 0, 0, 1], 19412).into();
        self.give(Input::Opened { peer, link: Link::Miner, remote });
    }

    fn serve(&mut self, command: Command) {
        let event = match command {
            Command::Probe(_) => Event::Probe(
                ProbeReply {
                    info: json::parse(&self.system_info.to_string()).expect("a recorded probe"),
                    ..ProbeReply::default()
                }
                .into(),
            ),
            Command::Resolve(_) => {
                Event::Resolved(ResolveReply { addresses: Ok(vec![([127, 0, 0, 1], 19412).into()]) })
            }
            Command::Cpu(request) => {
                let CpuTask::CpuMatrix(spec) = request.task else { panic!("not recorded: {request:?}") };
                let tree = spec.matrices(|| true).and_then(|m| Tree::new(m.row_hashes(0..spec.n))).expect("a tree");
                let took = Duration::from_micros(773);
                let (answer, split) = (Answer::CpuMatrix(tree), Split::default());
                let outcome = CpuOutcome::Computed { answer, took, split, threads: NonZeroUsize::MIN };
                Event::Cpu(CpuReply { job: request.job, outcome })
            }
            // It is on its way for good.
            Command::Executor(_) => return,
            other => panic!("not expected: {other:?}"),
        };
        self.give(Input::Event(event));
    }

    /// The moment of a recorded event.
    fn at(&mut self, seconds: f64) {
        let passed = Duration::from_secs_f64(seconds);
        let started = self.now.wall - self.now.mono.since(Mono::default());
        self.now = Now { mono: Mono::default() + passed, wall: started + passed };
        self.give(Input::Deadline);
    }

    fn miner_says(&mut self, frame: &Value) {
        let peer = self.peer.expect("the worker has dialed");
        let message = Message::Text(frame.to_string());
        self.give(Input::Received { peer, message, at: self.now.mono });
    }

    /// The first frame of this type that we said and did not compare yet.
    fn take(&mut self, kind: &str) -> Value {
        let at = self.said.iter().position(|frame| frame["type"] == kind);
        self.said.remove(at.unwrap_or_else(|| panic!("no {kind} in {:?}", self.said)))
    }
}

/// Puts what clocks decide, and ours cannot know, to one value in both; drops what only the reference adds.
fn settle(mut frame: Value) -> Value {
    const ADDED: [&str; 4] = ["computation_time_ms", "plugin_name", "cpu_cores_used", "challenge_id"];
    if let Some(data) = frame["data"].as_object_mut() {
        ADDED.iter().for_each(|name| drop(data.remove(*name)));
    }
    let clocks = ["/timestamp", "/data/result/computation_time_ms"];
    clocks.iter().filter_map(|at| frame.pointer(at).map(|_| *at)).collect::<Vec<_>>().into_iter().for_each(|at| {
        let value = frame.pointer_mut(at).expect("it was there");
        assert!(value.is_f64(), "{at}");
        *value = Value::Null;
    });
    for at in ["/data/timestamps", "/data/debug/phase2_timestamps"] {
        if let Some(stamps) = frame.pointer_mut(at).and_then(Value::as_object_mut) {
            assert!(stamps.values().all(Value::is_u64), "{stamps:?}");
            stamps.values_mut().for_each(|stamp| *stamp = Value::Null);
        }
    }
    frame
}

#[test]
fn ours_says_what_the_recorded_worker_said() {
    let entries = recorded(1);
    let mut stage = Stage::new(&entries[0].msg);
    let mut compared = BTreeSet::new();
    for Entry { dir, msg, t, .. } in entries {
        if dir == "miner_to_worker" {
            stage.at(t);
            stage.miner_says(&msg);
            continue;
        }
        stage.at(t);
        let kind = msg["type"].as_str().expect("a type").to_owned();
        assert_eq!(settle(stage.take(&kind)), settle(msg), "{kind} at {t} s");
        compared.insert(kind);
    }
    assert_eq!(compared.len(), 4, "{compared:?}");
    // The recording leaves out heartbeats beyond the third.
    stage.said.retain(|frame| frame["type"] != "heartbeat");
    assert!(stage.said.is_empty(), "said beyond the recording: {:?}", stage.said);
}

#[test]
fn a_miner_that_stops_is_dialed_again() {
    let entries = recorded(2);
    let mut stage = Stage::new(&entries[0].msg);
    stage.at(0.0);
    stage.miner_says(&entries[1].msg);
    let first = stage.peer.expect("the worker has dialed");
    stage.give(Input::Closed { peer: first, reason: Gone::ByPeer { code: 1000, reason: String::new() } });
    stage.said.clear();
    stage.at(5.0);
    assert_ne!(stage.peer, Some(first));
    assert_eq!(settle(stage.take("register")), settle(entries[0].msg.clone()));
}
