//! A validator on the bench: a small driver that stands in for the loop and the spokes, and miners that speak
//! to it with wire's own client side.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use serde::de::DeserializeOwned;

use super::node::FakeNode;
use crate::{
    compute,
    config::{Role, validator::Config},
    machine::{
        Exit, Gone, Input, Link, Machine, Message, Output,
        contract::{
            chain::{ChainReply, ChainRequest, Metagraph, Neuron},
            lease_file::LeaseSight,
            store::{Calculation, ScoreRequest, Snapshot, StoreFault, StoreReply, StoreRequest, Write},
            verify::{VerifyReply, VerifyRequest},
        },
        score::{Facts, score},
        validator::{Command, Event, Validator, serve_bulk},
    },
    metrics::{Metric, Page},
    units::{Hotkey, Mono, Netuid, Now, PeerId, Secret, Uid, Wall, WorkerId},
    wire::{
        http, json,
        keys::Keypair,
        messages::{
            Answer, ChallengeSpec, Commitment, CommitmentData, DeviceProof, HeartbeatResponse, MerkleProof, ProofData,
            ProofRequests, SessionInitResponse, StatusAnswer, TaskRequest, TaskResponse,
        },
        session::{ClientHello, Refusal, Session},
        synapse::{Call, SynapseKind, parse_answer},
    },
};

pub const NOON: Wall = Wall(1_800_000_000_000_000_000);

/// Small and fast, everything else by default.
pub const CONFIG: &str = "
netuid: 128
metagraph: {weight_update_tempo: 100}
validation:
  challenge_type: cpu_matrix
  cpu: {matrix_size: 100, size_variance: 0.0, verification: {row_verification_count: 5}}
";

pub fn config(text: &str) -> Config {
    Config::from_yaml(text).unwrap().config
}

pub fn keys(number: u8) -> Keypair {
    Keypair::from_seed([number; 32]).unwrap()
}

pub struct Bench {
    pub now: Now,
    pub validator: Validator,
    pub me: Hotkey,
    pub graph: Metagraph,
    /// What the store took, in order.
    pub written: Vec<Write>,
    /// The store answers every batch with this.
    pub store_fault: Option<StoreFault>,
    /// Proofs that wait for a verdict while `hold_verdicts`.
    pub held: VecDeque<VerifyRequest>,
    pub hold_verdicts: bool,
    /// Batches that wait for the store while `hold_store`.
    pub batches: VecDeque<u64>,
    pub hold_store: bool,
    pub node: FakeNode,
    pub facts: Facts,
    pub exit: Option<Exit>,
    pub answers: VecDeque<(PeerId, http::Response)>,
    /// What went out to the marketplace, and what was asked of the resolver.
    pub to_hub: VecDeque<Output<Command>>,
    /// What the next looks at the file of leases come to; with none left there is no file.
    pub sights: VecDeque<LeaseSight>,
    peers: u64,
}

impl Bench {
    /// A running validator whose metagraph holds it and these miners.
    pub fn new(miners: &[&Keypair]) -> Bench {
        Bench::start(keys(200), CONFIG, miners, Snapshot::default())
    }

    pub fn start(me: Keypair, config_text: &str, miners: &[&Keypair], snapshot: Snapshot) -> Bench {
        Bench::start_on(FakeNode::default(), me, config_text, miners, snapshot)
    }

    pub fn start_on(node: FakeNode, me: Keypair, config_text: &str, miners: &[&Keypair], snapshot: Snapshot) -> Bench {
        let hotkey = me.hotkey().clone();
        let hotkeys = [&hotkey].into_iter().chain(miners.iter().map(|keys| keys.hotkey()));
        let graph = metagraph(hotkeys);
        let config = config(config_text);
        let market = config.meshhub.clone();
        let mut validator = Validator::new(me, config, 1, ChaCha20Rng::seed_from_u64(7));
        if let Some(hub) = market {
            validator = validator.with_market(&hub, Secret::new("right".into()), ChaCha20Rng::seed_from_u64(8));
        }
        let mut bench = Bench {
            now: Now { mono: Mono(1_000_000_000), wall: NOON },
            validator,
            me: hotkey,
            graph,
            written: vec![],
            store_fault: None,
            held: VecDeque::new(),
            hold_verdicts: false,
            batches: VecDeque::new(),
            hold_store: false,
            node,
            facts: Facts::default(),
            exit: None,
            answers: VecDeque::new(),
            to_hub: VecDeque::new(),
            sights: VecDeque::new(),
            peers: 0,
        };
        bench.snapshot(snapshot);
        bench
    }

    fn snapshot(&mut self, snapshot: Snapshot) {
        self.input(Input::Deadline);
        self.input(Input::Event(Event::Store(StoreReply::Loaded(Box::new(snapshot)))));
    }

    /// What stands on the metrics page.
    pub fn counted(&self, metric: Metric, labels: &[&'static str]) -> Option<f64> {
        let mut page = Page::default();
        self.validator.observe(&mut page);
        page.value(metric, labels)
    }

    /// One input, and everything that follows from it at once.
    pub fn input(&mut self, input: Input<Event>) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            self.validator.handle(self.now, input);
            while let Some(output) = self.validator.poll() {
                inputs.extend(self.output(output).map(Input::Event));
            }
            self.validator.check_invariants();
        }
    }

    fn output(&mut self, output: Output<Command>) -> Option<Event> {
        match output {
            Output::Send { peer, message: Message::Response(response) } => self.answers.push_back((peer, response)),
            Output::Exit(exit) => self.exit = Some(exit),
            Output::Command(Command::Store(request)) => return self.store(request).map(Event::Store),
            Output::Command(Command::Chain(request)) => return self.chain(request).map(Event::Chain),
            Output::Command(Command::LeaseFile(_)) => {
                let none = || LeaseSight::Unreadable("no such file".into());
                return Some(Event::LeaseFile(self.sights.pop_front().unwrap_or_else(none)));
            }
            Output::Command(Command::Bulk(request)) => return Some(Event::Bulk(serve_bulk(request))),
            Output::Command(Command::Verify(request)) => {
                self.held.push_back(*request);
                return if self.hold_verdicts { None } else { self.held.pop_front().map(verdict) };
            }
            Output::Send { message: Message::Text(_), .. }
            | Output::Dial { .. }
            | Output::Close { .. }
            | Output::Command(Command::Resolve(_)) => self.to_hub.push_back(output),
            other => panic!("a validator does not {other:?}"),
        }
        None
    }

    fn chain(&mut self, request: ChainRequest) -> Option<ChainReply> {
        self.node.serve(&mut self.graph, self.now.wall, request)
    }

    fn store(&mut self, request: StoreRequest) -> Option<StoreReply> {
        match request {
            StoreRequest::Load => None,
            StoreRequest::Score(request) => {
                let ScoreRequest { at, reach, metagraph, policy, shadow } = *request;
                let facts = Facts { at, metagraph: metagraph.clone(), ..self.facts.clone() };
                let shadow = shadow.map(|shadow| score(&facts, &shadow));
                let scores = score(&facts, &policy);
                let calculation = Calculation { scores, shadow, seq: 1, policy, reach, metagraph };
                Some(StoreReply::Scored(Box::new(calculation)))
            }
            StoreRequest::Commit { batch, writes } => {
                if let Some(fault) = self.store_fault.clone() {
                    return Some(StoreReply::Failed { batch: Some(batch), fault });
                }
                self.written.extend(writes);
                if self.hold_store {
                    self.batches.push_back(batch);
                    return None;
                }
                Some(StoreReply::Committed { batch })
            }
        }
    }

    /// Lets time pass; whatever falls due happens at its moment.
    pub fn wait(&mut self, span: Duration) {
        let end = self.now.mono + span;
        let mut steps = 0;
        while let Some(due) = self.validator.deadline().filter(|due| *due <= end) {
            steps += 1;
            assert!(steps < 100_000, "the validator asks for the same moment again and again: {due:?}");
            self.pass(due.since(self.now.mono));
            self.input(Input::Deadline);
        }
        self.pass(end.since(self.now.mono));
    }

    pub fn seconds(&mut self, seconds: u64) {
        self.wait(Duration::from_secs(seconds));
    }

    fn pass(&mut self, span: Duration) {
        self.now = Now { mono: self.now.mono + span, wall: self.now.wall + span };
    }

    /// A request on a connection of its own from that address, and what is answered within 20 ms.
    pub fn request_from(&mut self, address: &str, request: http::Request) -> Option<http::Response> {
        self.peers += 1;
        let peer = PeerId::accepted(self.peers);
        let remote = SocketAddr::new(address.parse().unwrap(), 4000);
        self.input(Input::Opened { peer, link: Link::Axon, remote });
        self.input(Input::Received { peer, message: Message::Request(request), at: self.now.mono });
        if self.answers.is_empty() {
            self.wait(Duration::from_millis(20));
        }
        self.input(Input::Closed { peer, reason: Gone::ByUs("done".into()) });
        let (answered, response) = self.answers.pop_front()?;
        assert_eq!(answered, peer);
        assert!(self.answers.is_empty(), "one answer a request");
        Some(response)
    }

    pub fn request(&mut self, request: http::Request) -> http::Response {
        self.request_from("192.0.2.1", request).expect("an answer")
    }

    pub fn ends(&self) -> super::super::challenges::Ends {
        self.validator.challenges.ends()
    }

    /// The ends that the store was told, as text.
    pub fn stored_ends(&self) -> Vec<String> {
        let end = |write: &Write| match write {
            Write::ChallengeEnded { end, .. } => Some(format!("{end:?}")),
            _ => None,
        };
        self.written.iter().filter_map(end).collect()
    }
}

pub fn verdict(request: VerifyRequest) -> Event {
    let verdicts = request.evidence.verdicts();
    Event::Verified(VerifyReply { id: request.id, verdicts, verify_ms: 1.5 })
}

pub fn metagraph<'a>(hotkeys: impl Iterator<Item = &'a Hotkey>) -> Metagraph {
    let neuron = |(uid, hotkey): (u16, &Hotkey)| Neuron {
        uid: Uid(uid),
        hotkey: hotkey.clone(),
        coldkey: hotkey.clone(),
        axon: None,
        axon_block: 0,
        active: true,
        validator_permit: uid == 0,
        stake_tao: 1.0,
        last_update: 1000,
    };
    Metagraph {
        netuid: Netuid(128),
        block: 1050,
        tempo: 360,
        weights_rate_limit: 100,
        serving_rate_limit: 50,
        weights_version: 0,
        min_allowed_weights: 1,
        max_weights_limit: 65535,
        commit_reveal: false,
        reveal_period: 1,
        neurons: (0..).zip(hotkeys).map(neuron).collect(),
    }
}

/// A miner: keys, nonces, and at most one session.
pub struct Miner {
    pub keys: Keypair,
    pub session: Option<Session>,
    pub requests: u64,
}

/// What came back for an encrypted request.
#[derive(Debug)]
pub enum Back {
    /// The axon's own refusal: status and body.
    Axon(u16, String),
    /// A fault of the session, in plaintext.
    Fault(Refusal),
    Plain(String),
}

impl Back {
    pub fn plain(self) -> String {
        match self {
            Back::Plain(text) => text,
            other => panic!("{other:?}"),
        }
    }
    pub fn read<T: DeserializeOwned>(self) -> Answer<T> {
        Answer::parse(&self.plain()).unwrap()
    }
    pub fn code(self) -> u16 {
        match self {
            Back::Axon(status, _) => status,
            Back::Fault(refusal) => refusal.error_code,
            Back::Plain(text) => panic!("answered: {text}"),
        }
    }
    /// What the axon itself said.
    pub fn refusal(self) -> (u16, String) {
        match self {
            Back::Axon(status, body) => (status, body),
            other => panic!("{other:?}"),
        }
    }
    /// The `error` of an encrypted answer.
    pub fn error(self) -> String {
        match self.read::<serde_json::Value>() {
            Answer::Refused(error) => error,
            Answer::Given(value) => panic!("answered: {value}"),
        }
    }
}

impl Miner {
    pub fn new(number: u8) -> Miner {
        Miner { keys: keys(number), session: None, requests: 0 }
    }

    pub fn hotkey(&self) -> &Hotkey {
        self.keys.hotkey()
    }

    /// A signed request that carries this text, with a uuid and nonce of its own.
    pub fn call(&mut self, bench: &Bench, kind: SynapseKind, text: &str) -> http::Request {
        self.requests += 1;
        let uuid = format!("uuid-{}", self.requests);
        Call {
            kind,
            from: &self.keys,
            to: &bench.me,
            axon: "192.0.2.9:9091".parse().unwrap(),
            dendrite_ip: "192.0.2.1".parse().unwrap(),
            nonce: bench.now.wall.0 + self.requests,
            uuid: &uuid,
            timeout: Duration::from_secs(12),
        }
        .request(text)
    }

    pub fn hello(&mut self, bench: &Bench) -> ClientHello {
        let number = u8::try_from(self.requests % 250).unwrap();
        ClientHello::new([number + 1; 32], [number; 16], bench.now.wall)
    }

    /// Makes a session, or says why not.
    pub fn handshake(&mut self, bench: &mut Bench) -> Result<(), Back> {
        let hello = self.hello(bench);
        let request = self.call(bench, SynapseKind::SessionInit, &json::text(&hello.request()));
        let text = back(bench.request(request)).map_err(|refused| *refused)?;
        let answer: SessionInitResponse = match Refusal::parse(&text) {
            Some(refusal) => return Err(Back::Fault(refusal)),
            None => json::parse(&text).unwrap(),
        };
        self.session = Some(hello.finish(self.keys.hotkey(), &bench.me, &answer).unwrap());
        Ok(())
    }

    /// Seals the text, sends it, opens the answer.
    pub fn say(&mut self, bench: &mut Bench, kind: SynapseKind, text: &str) -> Back {
        let package = self.session.as_mut().expect("a session").seal(kind, text).unwrap();
        self.send_package(bench, kind, &package)
    }

    pub fn send_package(&mut self, bench: &mut Bench, kind: SynapseKind, package: &str) -> Back {
        let request = self.call(bench, kind, package);
        let response = bench.request(request);
        self.understand(kind, response)
    }

    pub fn understand(&mut self, kind: SynapseKind, response: http::Response) -> Back {
        let text = match back(response) {
            Ok(text) => text,
            Err(refused) => return *refused,
        };
        match Refusal::parse(&text) {
            Some(refusal) => Back::Fault(refusal),
            None => Back::Plain(self.session.as_mut().expect("a session").open(kind, &text).unwrap()),
        }
    }

    pub fn heartbeat(&mut self, bench: &mut Bench, workers: &[&str]) -> HeartbeatResponse {
        let worker = |id: &&str| {
            format!(
                r#"{{"worker_id":"{id}","status":"online","capabilities":["cpu_matrix"],"system_info":{{"cpu_count":4,"public_ip":"198.51.100.7"}}}}"#
            )
        };
        let workers: Vec<String> = workers.iter().map(worker).collect();
        let text = format!(r#"{{"hotkey":"x","timestamp":1,"workers":[{}]}}"#, workers.join(","));
        json::parse(&self.say(bench, SynapseKind::Heartbeat, &text).plain()).unwrap()
    }

    pub fn poll(&mut self, bench: &mut Bench, idle: Option<&[&str]>) -> Vec<Job> {
        self.tasks(bench, idle).iter().map(Job::new).collect()
    }

    /// The challenges of a poll, of any kind.
    pub fn tasks(&mut self, bench: &mut Bench, idle: Option<&[&str]>) -> Vec<ChallengeSpec> {
        let idle = idle.map(|ids| ids.iter().map(|id| WorkerId::new(id)).collect());
        let request = json::text(&TaskRequest::poll(self.hotkey(), idle, bench.now.wall));
        let response: TaskResponse = json::parse(&self.say(bench, SynapseKind::Task, &request).plain()).unwrap();
        response.challenges().to_vec()
    }

    pub fn commit(&mut self, bench: &mut Bench, job: &Job) -> Back {
        let data = CommitmentData::new(job.id.clone(), job.worker.clone(), vec![Commitment::cpu(job.tree.root())]);
        self.say(bench, SynapseKind::Challenge, &json::text(&data))
    }

    pub fn prove(&mut self, bench: &mut Bench, job: &Job, rows: &[u32]) -> Back {
        let data = ProofData::new(job.id.clone(), vec![job.proof(rows)]);
        self.say(bench, SynapseKind::ChallengeProof, &json::text(&data))
    }

    /// Both phases, honestly.
    pub fn work(&mut self, bench: &mut Bench, job: &Job) -> StatusAnswer {
        let rows = asked(self.commit(bench, job));
        match self.prove(bench, job, &rows).read() {
            Answer::Given(status) => status,
            Answer::Refused(error) => panic!("{error}"),
        }
    }
}

/// The rows that an answer to a commitment asks for.
pub fn asked(back: Back) -> Vec<u32> {
    match back.read::<ProofRequests>() {
        Answer::Given(requests) => requests.proof_requests[0].rows.clone(),
        Answer::Refused(error) => panic!("{error}"),
    }
}

fn back(response: http::Response) -> Result<String, Box<Back>> {
    let body = String::from_utf8(response.body.clone()).unwrap();
    match response.status {
        200 => Ok(parse_answer(&response).unwrap()),
        status => Err(Box::new(Back::Axon(status, body))),
    }
}

/// A challenge in the hands of an honest worker.
pub struct Job {
    pub id: crate::units::ChallengeId,
    pub worker: WorkerId,
    pub timeout: u32,
    tree: compute::merkle::Tree,
}

impl Job {
    pub fn new(spec: &ChallengeSpec) -> Job {
        let data = crate::wire::messages::ChallengeData::read(&spec.data).unwrap();
        let matrices = compute::cpu_matrix::Spec { seed: data.seed, n: data.matrix_size, iterations: data.iterations }
            .matrices(|| true)
            .unwrap();
        let tree = compute::merkle::Tree::new(matrices.row_hashes(0..data.matrix_size)).unwrap();
        Job { id: spec.challenge_id.clone(), worker: spec.target_worker_id.clone(), timeout: spec.timeout, tree }
    }

    pub fn root(&self) -> String {
        self.tree.root()
    }

    pub fn proof(&self, rows: &[u32]) -> DeviceProof {
        let hash = |row: &u32| self.tree.leaves()[*row as usize].to_string();
        let path = |row: &u32| {
            let path = self.tree.prove(*row).unwrap();
            MerkleProof {
                leaf_index: *row,
                leaf_hash: hash(row),
                proof_hashes: path.siblings,
                proof_directions: path.on_the_right,
            }
        };
        DeviceProof::cpu(rows.iter().map(hash).collect(), rows.iter().map(path).collect())
    }
}
