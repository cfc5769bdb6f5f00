//! The driver: one miner, its workers' connections, its validators, its spokes, and the time.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::Duration,
};

use serde_json::{Value, json};

use super::validator::{Mood, Validator};
use crate::{
    config::{Role, miner::Config},
    machine::{
        Dial, Exit, Gone, Input, Link, Machine, Message, Output,
        contract::{
            bulk::MinerBulk,
            chain::{
                ChainFault, ChainFaultKind, ChainReply, ChainRequest, Feature, Head, Metagraph, Neuron, Preflight,
                PreflightRow, PreflightState,
            },
            maintenance::MaintenanceSight,
            receipts::{ReceiptsKeep, ReceiptsKept},
        },
        miner::{BULK_DEPTH, Command, Event, Miner},
    },
    metrics::{Metric, Page},
    units::{Mono, Netuid, Now, PeerId, Uid, Wall},
    wire::{http, keys::Keypair},
};

const NOON_S: u64 = 1_800_000_000;

/// Settings of most tests; more lines of YAML may follow.
const YAML: &str = "heartbeat_interval: 60\ntask_poll_interval: 30\n";

/// A connection of a worker, as the worker sees it.
#[derive(Debug, Default)]
pub struct WorkerEnd {
    pub frames: Vec<Value>,
    /// The same, as they were sent.
    pub texts: Vec<String>,
    pub closed: Option<(u16, String)>,
}

/// What a spoke or a network does between a wish and its answer.
pub struct World {
    pub alice: Miner,
    pub now: Now,
    pub validators: BTreeMap<SocketAddr, Validator>,
    pub workers: BTreeMap<PeerId, WorkerEnd>,
    /// What the chain answers; `None`: it cannot be reached.
    pub metagraph: Option<Metagraph>,
    /// The node is of another one.
    pub other_chain: bool,
    pub chain_asked: u32,
    pub head: Head,
    /// Empty: it does not come.
    pub preflight: Vec<PreflightRow>,
    /// The next metagraph is refused, because the runtime changed since the head.
    pub mid_upgrade: bool,
    pub bulk_done: u32,
    /// What was handed to the disk.
    pub receipts: Vec<ReceiptsKeep>,
    /// The bulk spoke is slow: its work waits for [`World::work_bulk`].
    pub slow_bulk: bool,
    /// What the next look at the file of maintenance comes to.
    pub maintenance: MaintenanceSight,
    bulk: VecDeque<MinerBulk>,
    /// Workers are slow to let go: what the miner closes is gone with [`World::let_go`].
    pub slow_close: bool,
    closing: Vec<(PeerId, String)>,
    pub exited: Option<Exit>,
    /// Requests that a validator stalls.
    pub stalled: Vec<(PeerId, http::Request)>,
    /// Frames of workers are put here instead of delivered, when the test looks at the order.
    inputs: VecDeque<Input<Event>>,
    accepted: u64,
}

impl World {
    pub fn new(validators: u8) -> World {
        World::with("", validators)
    }

    /// `yaml`: further settings.
    pub fn with(yaml: &str, validators: u8) -> World {
        let mut world = World::before(yaml, validators);
        world.give(Input::Deadline);
        world
    }

    /// Nothing has begun yet.
    pub fn before(yaml: &str, validators: u8) -> World {
        let config = Config::from_yaml(&format!("{YAML}{yaml}")).unwrap().config;
        let key = Keypair::from_seed([1; 32]).unwrap();
        let now = Now { mono: Mono(0), wall: Wall::from_secs(NOON_S) };
        let validators: Vec<_> = (1..=validators).map(Validator::new).collect();
        let metagraph = metagraph(&key, &validators);
        World {
            alice: Miner::new(&config, key, now, [9; 32]),
            now,
            validators: validators.into_iter().map(|validator| (validator.axon, validator)).collect(),
            workers: BTreeMap::new(),
            metagraph: Some(metagraph),
            other_chain: false,
            chain_asked: 0,
            head: head(),
            preflight: vec![row(PreflightState::Good)],
            mid_upgrade: false,
            bulk_done: 0,
            receipts: Vec::new(),
            slow_bulk: false,
            maintenance: MaintenanceSight::Absent,
            bulk: VecDeque::new(),
            slow_close: false,
            closing: Vec::new(),
            exited: None,
            stalled: Vec::new(),
            inputs: VecDeque::new(),
            accepted: 0,
        }
    }

    /// The only validator, or the first.
    pub fn bob(&mut self) -> &mut Validator {
        self.validators.values_mut().next().unwrap()
    }

    /// Validator number `n`, from 1.
    pub fn validator(&mut self, number: u8) -> &mut Validator {
        self.validators.get_mut(&SocketAddr::from(([192, 0, 2, number], 9091))).unwrap()
    }

    pub fn give(&mut self, input: Input<Event>) {
        self.inputs.push_back(input);
        while let Some(input) = self.inputs.pop_front() {
            self.alice.handle(self.now, input);
            while let Some(wish) = self.alice.poll() {
                self.grant(wish);
            }
        }
    }

    /// Lets time pass; every deadline on the way is kept.
    pub fn pass(&mut self, span: Duration) {
        let target = self.now.mono + span;
        for _ in 0..100_000 {
            match self.alice.deadline().filter(|deadline| *deadline <= target) {
                Some(deadline) => {
                    self.move_to(deadline.max(self.now.mono));
                    self.give(Input::Deadline);
                }
                None => return self.move_to(target),
            }
        }
        panic!("the machine asks for the same moment again and again: {:?}", self.alice.deadline());
    }

    pub fn pass_secs(&mut self, secs: u64) {
        self.pass(Duration::from_secs(secs));
    }

    fn move_to(&mut self, mono: Mono) {
        self.now = Now { mono, wall: self.now.wall + mono.since(self.now.mono) };
    }

    fn grant(&mut self, wish: Output<Command>) {
        match wish {
            Output::Dial { peer, dial: Dial::Http { to, request, timeout } } => {
                assert!(!timeout.is_zero());
                self.call(peer, to, request);
            }
            Output::Dial { dial, .. } => panic!("a miner dials validators only: {dial:?}"),
            Output::Send { peer, message: Message::Text(text) } => {
                let end = self.workers.get_mut(&peer).expect("sent to a worker");
                assert!(end.closed.is_none(), "said after the close: {text}");
                end.frames.push(serde_json::from_str(&text).unwrap());
                end.texts.push(text);
            }
            Output::Send { message, .. } => panic!("a miner says frames only: {message:?}"),
            Output::Close { peer, .. } if peer.is_dialed() => self.hang_up(peer),
            Output::Close { peer, code, reason } => {
                self.workers.get_mut(&peer).expect("a worker's").closed = Some((code, reason.clone()));
                match self.slow_close {
                    true => self.closing.push((peer, reason)),
                    false => self.inputs.push_back(Input::Closed { peer, reason: Gone::ByUs(reason) }),
                }
            }
            Output::Command(Command::Chain(request)) => {
                let reply = self.ask_chain(&request);
                self.inputs.push_back(Input::Event(Event::Chain(reply)));
            }
            Output::Command(Command::Receipts(request)) => {
                let (validator, kept) = (request.validator.clone(), request.receipts.len());
                self.receipts.push(*request);
                let kept = ReceiptsKept { validator, kept, at: None, faults: Vec::new() };
                self.inputs.push_back(Input::Event(Event::Receipts(kept)));
            }
            Output::Command(Command::Maintenance(_)) => {
                let sight = self.maintenance.clone();
                self.inputs.push_back(Input::Event(Event::Maintenance(sight)));
            }
            Output::Command(Command::Bulk(request)) if self.slow_bulk => {
                self.bulk.push_back(request);
                assert!(self.bulk.len() <= BULK_DEPTH, "more than its channel holds");
            }
            Output::Command(Command::Bulk(request)) => {
                self.bulk_done += 1;
                self.inputs.push_back(Input::Event(Event::Bulk(request.work())));
            }
            Output::Exit(exit) => {
                assert!(self.exited.is_none(), "it ends once");
                self.exited = Some(exit);
            }
        }
    }

    fn ask_chain(&mut self, request: &ChainRequest) -> ChainReply {
        let asked = match request {
            ChainRequest::Head => "head",
            ChainRequest::Preflight => "preflight",
            request => {
                assert_eq!(request, &ChainRequest::Metagraph(Netuid(128)));
                self.chain_asked += 1;
                "metagraph"
            }
        };
        let failed = |kind, text: &str| ChainReply::Failed(ChainFault { asked, kind, text: text.into(), remedy: None });
        let Some(metagraph) = &self.metagraph else {
            return failed(ChainFaultKind::Unreachable, "no endpoint answered");
        };
        if self.other_chain {
            return failed(ChainFaultKind::OtherChain, "this is another chain");
        }
        match request {
            ChainRequest::Head => ChainReply::Head(self.head.clone()),
            ChainRequest::Preflight if self.preflight.is_empty() => failed(ChainFaultKind::Unreachable, "cut off"),
            ChainRequest::Preflight => {
                let (spec_version, rows) = (self.head.spec_version, self.preflight.clone());
                ChainReply::Preflight(Box::new(Preflight { spec_version, metadata_version: 15, rows }))
            }
            _ if self.mid_upgrade => {
                self.mid_upgrade = false;
                failed(ChainFaultKind::Upgrading, "runtime 425 is being replaced")
            }
            _ => ChainReply::Metagraph(Box::new(metagraph.clone())),
        }
    }

    fn call(&mut self, peer: PeerId, to: SocketAddr, request: http::Request) {
        let now = self.now;
        let validator = self.validators.get_mut(&to).expect("a validator's address");
        let mood = validator.mood(&request.target);
        if mood == Mood::Down {
            let reason = Gone::Io("connection refused".into());
            return self.inputs.push_back(Input::DialFailed { peer, reason });
        }
        self.inputs.push_back(Input::Opened { peer, link: Link::Validator, remote: to });
        if mood == Mood::Stalls {
            return self.stalled.push((peer, request));
        }
        let response = validator.serve(now, &request);
        self.inputs.push_back(Input::Received { peer, message: Message::Response(response), at: now.mono });
        let reason = Gone::ByPeer { code: 0, reason: "answered".into() };
        self.inputs.push_back(Input::Closed { peer, reason });
    }

    fn hang_up(&mut self, peer: PeerId) {
        self.stalled.retain(|(stalled, _)| *stalled != peer);
        self.inputs.push_back(Input::Closed { peer, reason: Gone::ByUs("cancelled".into()) });
    }

    /// Connections that the miner closed are gone.
    pub fn let_go(&mut self) {
        for (peer, reason) in std::mem::take(&mut self.closing) {
            self.give(Input::Closed { peer, reason: Gone::ByUs(reason) });
        }
    }

    /// The bulk spoke works on everything that waits for it.
    pub fn work_bulk(&mut self) {
        while let Some(request) = self.bulk.pop_front() {
            self.bulk_done += 1;
            self.give(Input::Event(Event::Bulk(request.work())));
        }
    }

    /// The validators answer what they stalled.
    pub fn answer_stalled(&mut self) {
        for (peer, request) in std::mem::take(&mut self.stalled) {
            let to = request.headers.get("host").unwrap().parse().unwrap();
            let response = self.validators.get_mut::<SocketAddr>(&to).unwrap().serve(self.now, &request);
            self.give(Input::Received { peer, message: Message::Response(response), at: self.now.mono });
            self.give(Input::Closed { peer, reason: Gone::ByPeer { code: 0, reason: "answered".into() } });
        }
    }

    /// A worker's connection opens.
    pub fn connect(&mut self) -> PeerId {
        self.accepted += 1;
        let peer = PeerId::accepted(self.accepted);
        self.workers.insert(peer, WorkerEnd::default());
        self.give(Input::Opened { peer, link: Link::Workers, remote: "127.0.0.1:50000".parse().unwrap() });
        peer
    }

    pub fn says(&mut self, peer: PeerId, frame: &Value) {
        self.says_text(peer, frame.to_string());
    }

    pub fn says_text(&mut self, peer: PeerId, text: String) {
        let at = self.now.mono;
        self.give(Input::Received { peer, message: Message::Text(text), at });
    }

    /// A worker connects, registers and is ready for work.
    pub fn join(&mut self, worker: &str) -> PeerId {
        self.join_able(worker, &["cpu_matrix"])
    }

    /// The same for one that can do these kinds.
    pub fn join_able(&mut self, worker: &str, kinds: &[&str]) -> PeerId {
        let peer = self.connect();
        let mut frame = registration(worker);
        frame["capabilities"] = json!(kinds);
        self.says(peer, &frame);
        self.says(peer, &heartbeat());
        peer
    }

    /// A worker's connection breaks.
    pub fn cut(&mut self, peer: PeerId) {
        self.give(Input::Closed { peer, reason: Gone::Io("reset".into()) });
    }

    /// Frames of that type that the miner sent on a connection.
    pub fn told(&self, peer: PeerId, kind: &str) -> Vec<&Value> {
        self.workers[&peer].frames.iter().filter(|frame| frame["type"] == kind).collect()
    }

    pub fn closed(&self, peer: PeerId) -> Option<u16> {
        Some(self.workers[&peer].closed.as_ref()?.0)
    }

    pub fn metric(&self, metric: Metric, labels: &[&str]) -> f64 {
        let mut page = Page::default();
        self.alice.write_metrics(&mut page);
        page.value(metric, labels).unwrap_or(0.0)
    }

    pub fn fault(&self, name: &str) -> f64 {
        self.metric(Metric::Faults, &[name])
    }

    pub fn flows_ended(&self, how: &str) -> f64 {
        self.metric(Metric::FlowsEnded, &[how])
    }
}

pub fn registration(worker: &str) -> Value {
    json!({
        "type": "register", "worker_id": worker, "worker_name": "w", "worker_version": "0.0.2",
        "capabilities": ["cpu_matrix"], "system_info": {"cpu_count": 2},
    })
}

pub fn heartbeat() -> Value {
    json!({"type": "heartbeat", "data": {"status": "online", "active_tasks": 0, "system_info": {"cpu_count": 2}}})
}

pub fn result(worker: &str, challenge: &str) -> Value {
    let commitment = json!({"uuid": "-1", "merkle_root": "81dd", "sig_ver": 0, "sig_val": ""});
    json!({
        "type": "task_result", "worker_id": worker, "task_id": challenge, "timestamp": 1.5,
        "data": {
            "success": true, "error_code": 0,
            "result": {"computation_time_ms": 0.7, "matrix_size": 110, "commitments": [commitment]},
            "timestamps": {"worker_task_received_ts": 1, "worker_task_completed_ts": 2},
        },
    })
}

pub fn proof(message_id: &Value) -> Value {
    let proofs = json!([{"uuid": "-1", "row_hashes": ["aa"], "merkle_proofs": []}]);
    let debug = json!({"phase2_timestamps": {"worker_proof_completed_ts": 4}});
    json!({"type": "proof_response", "message_id": message_id, "data": {"success": true, "proofs": proofs, "debug": debug}})
}

fn head() -> Head {
    let (genesis, chain) = ([1; 32], "Bittensor".to_owned());
    Head { best: 1000, finalized: 997, best_at: None, spec_version: 425, upgrading: false, genesis, chain }
}

/// The one thing of the runtime that a miner needs.
pub fn row(state: PreflightState) -> PreflightRow {
    PreflightRow { kind: "runtime API", name: "get_metagraph".into(), used_by: &[Feature::Metagraph], state }
}

fn metagraph(miner: &Keypair, validators: &[Validator]) -> Metagraph {
    let neuron = |uid: usize, key: &Keypair, axon: Option<SocketAddr>| Neuron {
        uid: Uid(uid as u16),
        hotkey: key.hotkey().clone(),
        coldkey: key.hotkey().clone(),
        axon,
        axon_block: 0,
        active: true,
        validator_permit: axon.is_some(),
        stake_tao: if axon.is_some() { 20_000.0 } else { 0.0 },
        last_update: 0,
    };
    let mut neurons = vec![neuron(0, miner, None)];
    neurons.extend(
        validators.iter().enumerate().map(|(n, validator)| neuron(n + 1, &validator.key, Some(validator.axon))),
    );
    Metagraph {
        netuid: Netuid(128),
        block: 1000,
        tempo: 360,
        weights_rate_limit: 100,
        serving_rate_limit: 50,
        weights_version: 0,
        min_allowed_weights: 1,
        max_weights_limit: u16::MAX,
        commit_reveal: false,
        reveal_period: 1,
        neurons,
    }
}
