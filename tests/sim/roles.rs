//! The three roles in their seats: the production machines with the production spokes' code, in virtual time.
//!
//! The store is SQLite in memory, the chain client speaks with the simulated node, products and proofs are really
//! computed. Only hardware reports and name resolution are made up.

use std::{cell::RefCell, collections::BTreeMap, num::NonZeroUsize, rc::Rc, sync::Arc, time::Duration};

use byteleap::{
    compute::{
        gemm_i8::{self, KeyPrefix},
        merkle::Tree,
    },
    config::{Role, miner, validator, worker},
    machine::{
        Message,
        contract::{
            cpu::{Answer, CpuOutcome, CpuReply, CpuTask, Split},
            gpu::ExecutorReply,
            lease_file::{self, LeaseSight},
            maintenance::{self, MaintenanceSight},
            open::{OpenOutcome, OpenReply, OpenRequest, ToOpen},
            probe::ProbeReply,
            receipts::{self, ReceiptsKeep, ReceiptsKept},
            resolve::ResolveReply,
            store::{StoreReply, StoreRequest, Write},
            validator_bulk,
            verify::VerifyReply,
        },
        miner::{self as miner_machine, Miner},
        validator::{self as validator_machine, Validator},
        worker::{self as worker_machine, Identity, Worker},
    },
    spoke::{
        bulk,
        chain::Chain,
        meshhub_sim::{Hub, Never, Script, Tokens},
        resolve,
        store::Store,
        subtensor_sim::{InProcess, Node},
        verify,
    },
    units::{Now, Secret, Wall, WorkerId},
    wire::{
        keys::Keypair,
        messages::{Raw, SystemInfo},
    },
};
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{RngCore, SeedableRng},
};

use crate::{
    cards::Gpu,
    liars::{Liar, Lie},
    seat::{Route, Seat, Spokes},
    subnet::Part,
    witness::Witness,
};

/// Threads that verify.
const VERIFIERS: usize = 2;
/// What each says that it took.
const VERIFY_MS: f64 = 3.0;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The simulated chain, shared by all who speak with it. Blocks are made when somebody looks.
pub type SharedNode = Rc<RefCell<Node>>;

/// What names one challenge's work: its seed, or what its keys are made from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Done {
    CpuMatrix([u8; 16]),
    GemmI8(String),
}

/// Who computed what: the world's own record, against which verdicts are held.
pub type Computed = Rc<RefCell<BTreeMap<Done, Vec<usize>>>>;

pub struct ValidatorSpokes {
    store: Store,
    witness: Rc<RefCell<Witness>>,
    chain: Chain<InProcess>,
    node: SharedNode,
}

impl Spokes<Validator> for ValidatorSpokes {
    fn route(&mut self, command: &validator_machine::Command) -> Route {
        match command {
            validator_machine::Command::Store(_) => {
                Route { spoke: "store", depth: validator_machine::STORE_DEPTH, takes: (ms(1), ms(900)) }
            }
            validator_machine::Command::Chain(_) => {
                Route { spoke: "chain", depth: validator_machine::CHAIN_DEPTH, takes: (ms(20), ms(2_000)) }
            }
            validator_machine::Command::Verify(_) => {
                Route { spoke: "verify", depth: VERIFIERS, takes: (ms(5), ms(400)) }
            }
            validator_machine::Command::Bulk(_) => {
                Route { spoke: "bulk", depth: validator_bulk::DEPTH, takes: (ms(1), ms(40)) }
            }
            validator_machine::Command::Resolve(_) => {
                Route { spoke: "resolve", depth: resolve::DEPTH, takes: (ms(1), ms(200)) }
            }
            validator_machine::Command::LeaseFile(_) => {
                Route { spoke: "leases", depth: lease_file::DEPTH, takes: (ms(1), ms(20)) }
            }
        }
    }

    fn serve(&mut self, now: Now, command: validator_machine::Command) -> Option<validator_machine::Event> {
        Some(match command {
            validator_machine::Command::Store(request) => validator_machine::Event::Store(self.write(now, request)),
            validator_machine::Command::Chain(request) => {
                self.node.borrow_mut().advance(now);
                validator_machine::Event::Chain(self.chain.serve(request))
            }
            validator_machine::Command::Verify(request) => {
                // what was really measured would make each run another one
                let reply = VerifyReply { verify_ms: VERIFY_MS, ..verify::serve(*request) };
                validator_machine::Event::Verified(reply)
            }
            validator_machine::Command::Bulk(request) => {
                validator_machine::Event::Bulk(validator_machine::serve_bulk(request))
            }
            validator_machine::Command::Resolve(request) => validator_machine::Event::Resolved(resolve::serve(request)),
            validator_machine::Command::LeaseFile(_) => {
                let why = "no validator of this subnet has a file of leases";
                validator_machine::Event::LeaseFile(LeaseSight::Unreadable(why.into()))
            }
        })
    }

    fn survives_crash(&self, command: &validator_machine::Command) -> bool {
        matches!(command, validator_machine::Command::Store(_) | validator_machine::Command::Chain(_))
    }
}

impl ValidatorSpokes {
    fn write(&mut self, now: Now, request: StoreRequest) -> StoreReply {
        let writes = if let StoreRequest::Commit { writes, .. } = &request { writes.clone() } else { Vec::new() };
        let reply = self.store.serve(request);
        match &reply {
            StoreReply::Failed { fault, .. } => panic!("the store refused: {fault}: {writes:?}"),
            _ => self.witness.borrow_mut().saw(now.wall, &writes),
        }
        writes.iter().for_each(|write| self.calculate_again(write));
        reply
    }

    fn is_the_same_again(&self, at: Wall) {
        let (recorded, again) = self.store.replay(at).expect("the log can be read").expect("a calculation");
        assert_eq!((recorded.at, recorded.mismatch(&again)), (at, None));
    }

    /// What was scored, and the weights made from it, follow from the log, whatever came after.
    fn calculate_again(&self, write: &Write) {
        let until = match write {
            Write::Scored(calculation) => calculation.scores.at - Duration::from_nanos(1),
            Write::WeightIntent { basis, .. } => basis.scored_at,
            _ => return,
        };
        if let Write::Scored(calculation) = write {
            let moments = self.witness.borrow_mut().was_calculated(calculation.scores.at);
            moments.into_iter().for_each(|at| self.is_the_same_again(at));
        }
        let Some((recorded, again)) = self.store.replay(until).expect("the log can be read") else { return };
        assert_eq!(recorded.mismatch(&again), None, "scores of {:?}", recorded.at);
        if let Write::WeightIntent { id, .. } = write {
            let weights = self.store.recorded_weights(Some(*id)).expect("the log can be read");
            assert_eq!(weights.and_then(|weights| weights.mismatch(&again)), None, "weights {id}");
        }
    }
}

pub struct MinerSpokes {
    chain: Chain<InProcess>,
    node: SharedNode,
}

/// What an honest validator gives verifies, whatever came in between.
fn verified(request: &ReceiptsKeep) -> ReceiptsKept {
    let ReceiptsKeep { validator, miner, netuid, receipts, .. } = request;
    let opened: Vec<_> = receipts
        .iter()
        .map(|signed| signed.open(validator, miner, *netuid).expect("a receipt that verifies"))
        .collect();
    let at = opened.iter().map(|receipt| Wall::from_secs(receipt.at_s)).max();
    ReceiptsKept { validator: validator.clone(), kept: opened.len(), at, faults: Vec::new() }
}

impl Spokes<Miner> for MinerSpokes {
    fn route(&mut self, command: &miner_machine::Command) -> Route {
        match command {
            miner_machine::Command::Chain(_) => {
                Route { spoke: "chain", depth: miner_machine::CHAIN_DEPTH, takes: (ms(20), ms(2_000)) }
            }
            miner_machine::Command::Bulk(_) => {
                Route { spoke: "bulk", depth: miner_machine::BULK_DEPTH, takes: (ms(1), ms(40)) }
            }
            miner_machine::Command::Receipts(_) => {
                Route { spoke: "receipts", depth: receipts::DEPTH, takes: (ms(1), ms(400)) }
            }
            miner_machine::Command::Maintenance(_) => {
                Route { spoke: "maintenance", depth: maintenance::DEPTH, takes: (ms(1), ms(20)) }
            }
        }
    }

    fn serve(&mut self, now: Now, command: miner_machine::Command) -> Option<miner_machine::Event> {
        Some(match command {
            miner_machine::Command::Chain(request) => {
                self.node.borrow_mut().advance(now);
                miner_machine::Event::Chain(self.chain.serve(request))
            }
            miner_machine::Command::Bulk(request) => miner_machine::Event::Bulk(bulk::serve_miner(request)),
            miner_machine::Command::Receipts(request) => miner_machine::Event::Receipts(verified(&request)),
            miner_machine::Command::Maintenance(_) => miner_machine::Event::Maintenance(MaintenanceSight::Absent),
        })
    }

    fn survives_crash(&self, _command: &miner_machine::Command) -> bool {
        false
    }
}

/// How a worker takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Honesty {
    Honest,
    Liar(Lie),
}

pub struct WorkerSpokes {
    seat: usize,
    liar: Option<Liar>,
    gpu: Option<Gpu>,
    computed: Computed,
}

impl Spokes<Worker> for WorkerSpokes {
    fn route(&mut self, command: &worker_machine::Command) -> Route {
        match command {
            worker_machine::Command::Cpu(_) => {
                let late = self.liar.as_ref().is_some_and(Liar::is_late);
                let takes = if late { (ms(25_000), ms(30_000)) } else { (ms(50), ms(3_000)) };
                Route { spoke: "cpu", depth: worker_machine::EXECUTOR_DEPTH, takes }
            }
            worker_machine::Command::Open(_) => {
                Route { spoke: "open", depth: worker_machine::OPENING_DEPTH, takes: (ms(5), ms(500)) }
            }
            worker_machine::Command::Gpu(_) => {
                Route { spoke: "gpu", depth: worker_machine::EXECUTOR_DEPTH, takes: (ms(50), ms(3_000)) }
            }
            worker_machine::Command::Executor(_) => {
                let takes = if self.gpu.is_some() { (ms(1_000), ms(5_000)) } else { (ms(1), ms(100)) };
                Route { spoke: "gpu-watch", depth: 1, takes }
            }
            worker_machine::Command::CallOff(_)
            | worker_machine::Command::CallOffOpening(_)
            | worker_machine::Command::CallOffGpu(_)
            | worker_machine::Command::LeaveExecutor => {
                Route { spoke: "flag", depth: usize::MAX, takes: (ms(0), ms(0)) }
            }
            worker_machine::Command::Probe(_) => Route { spoke: "probe", depth: 1, takes: (ms(5), ms(50)) },
            worker_machine::Command::Resolve(_) => Route { spoke: "resolve", depth: 1, takes: (ms(1), ms(500)) },
        }
    }

    fn serve(&mut self, now: Now, command: worker_machine::Command) -> Option<worker_machine::Event> {
        Some(match command {
            worker_machine::Command::Cpu(request) => {
                let (took, split) = (ms(1), Split::default());
                let answer = self.answer(request.task)?;
                let outcome = CpuOutcome::Computed { answer, took, split, threads: NonZeroUsize::MIN };
                worker_machine::Event::Cpu(CpuReply { job: request.job, outcome })
            }
            worker_machine::Command::Open(request) => {
                let proofs = match &request.wanted {
                    ToOpen::Gpu { requests, .. } => self.gpu.as_ref()?.open(requests)?,
                    ToOpen::Cpu { .. } => Raw::of(&[self.proof(&request)?]).ok()?,
                };
                let outcome = OpenOutcome::Opened { proofs, took: ms(1) };
                worker_machine::Event::Opened(OpenReply { id: request.id, outcome })
            }
            // the work goes on; its result is one that nobody waits for any more
            worker_machine::Command::CallOff(_)
            | worker_machine::Command::CallOffOpening(_)
            | worker_machine::Command::CallOffGpu(_)
            | worker_machine::Command::LeaveExecutor => return None,
            worker_machine::Command::Gpu(request) => {
                let (seat, computed) = (self.seat, &self.computed);
                let note = |prefix: &KeyPrefix| {
                    computed.borrow_mut().entry(Done::GemmI8(prefix.to_hex())).or_default().push(seat);
                };
                worker_machine::Event::Gpu(self.gpu.as_mut()?.compute(now.mono, request, note))
            }
            worker_machine::Command::Executor(_) => {
                let none = || ExecutorReply::Down("no GPU executor on this host".into());
                let gpu = self.gpu.as_ref().map_or_else(none, |gpu| gpu.executor(now.mono));
                worker_machine::Event::Executor(gpu)
            }
            worker_machine::Command::Probe(_) => {
                worker_machine::Event::Probe(ProbeReply { info: hardware(), ..ProbeReply::default() }.into())
            }
            worker_machine::Command::Resolve(request) => {
                let address = format!("{}:{}", request.host, request.port);
                let addresses = address.parse().map(|address| vec![address]).map_err(|_| address);
                worker_machine::Event::Resolved(ResolveReply { addresses })
            }
        })
    }

    fn said(&mut self, message: Message) -> Message {
        match &self.liar {
            Some(liar) => liar.said(message),
            None => message,
        }
    }

    fn survives_crash(&self, _command: &worker_machine::Command) -> bool {
        false
    }
}

impl WorkerSpokes {
    fn answer(&mut self, task: CpuTask) -> Option<Answer> {
        let done = match &task {
            CpuTask::CpuMatrix(spec) => Done::CpuMatrix(spec.seed),
            CpuTask::GemmI8 { prefix, .. } => Done::GemmI8(prefix.to_hex()),
        };
        if self.liar.is_none() {
            self.computed.borrow_mut().entry(done).or_default().push(self.seat);
        }
        match task {
            CpuTask::CpuMatrix(spec) => {
                let rows = spec.matrices(|| true)?.row_hashes(0..spec.n);
                let tree = self.liar.as_mut().map_or_else(|| Tree::new(rows.clone()), |liar| liar.tree(rows.clone()));
                tree.map(Answer::CpuMatrix)
            }
            CpuTask::GemmI8 { spec, prefix } => {
                let answer = match &mut self.liar {
                    Some(liar) => Some(liar.answer(spec, &prefix)),
                    None => gemm_i8::compute(spec, prefix),
                };
                answer.map(|answer| Answer::GemmI8(Arc::new(answer)))
            }
        }
    }

    fn proof(&mut self, request: &OpenRequest) -> Option<Raw> {
        let ToOpen::Cpu { answer, samples } = &request.wanted else { return None };
        match &mut self.liar {
            Some(liar) => Some(liar.proof(answer.root(), samples)),
            None => Raw::of(&gemm_i8::open(answer, samples).ok()?).ok(),
        }
    }
}

fn hardware() -> SystemInfo {
    let facts = serde_json::json!({
        "cpu_count": 8, "cpu_usage": 1.0, "memory_total": 32_000, "memory_available": 30_000, "memory_usage": 6.0,
        "disk_total": 500, "disk_free": 400, "gpu_info": [], "gpu_plugin": [], "public_ip": "198.51.100.7",
    });
    SystemInfo::of(&facts).expect("plain JSON")
}

/// A key that a seed gives, for the member of that number.
pub fn key(seed: u64, member: u8) -> Keypair {
    let mut bytes = [member; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    Keypair::from_seed(bytes).expect("32 bytes")
}

fn settings<T: Role>(yaml: &serde_json::Value) -> T {
    T::from_yaml(&yaml.to_string()).unwrap_or_else(|why| panic!("{why}")).config
}

/// A generator for each life of each seat.
fn lives(seed: u64, seat: usize) -> impl FnMut() -> ChaCha20Rng {
    let mut rng = ChaCha20Rng::seed_from_u64(seed ^ (seat as u64 + 1) << 48);
    move || ChaCha20Rng::from_rng(&mut rng)
}

pub fn validator(
    seed: u64,
    now: Now,
    key: Keypair,
    yaml: &serde_json::Value,
    (node, link): (&SharedNode, &InProcess),
    witness: &Rc<RefCell<Witness>>,
) -> Seat<Validator, ValidatorSpokes> {
    let config: validator::Config = settings(yaml);
    let mut rng = lives(seed, 0);
    let chain = Chain::new(link.clone(), Some(key.clone()));
    let spokes = ValidatorSpokes {
        store: Store::in_memory().expect("a store in memory"),
        witness: witness.clone(),
        chain,
        node: node.clone(),
    };
    let build = Box::new(move |_| {
        let market = config.meshhub.clone();
        let validator = Validator::new(key.clone(), config.clone(), VERIFIERS, rng());
        match market {
            Some(hub) => validator.with_market(&hub, Secret::new(TOKEN.into()), rng()),
            None => validator,
        }
    });
    Seat::new(now, build, spokes, Validator::check_invariants)
}

/// The access token that the hub takes.
const TOKEN: &str = "of the simulated world";

pub struct HubSpokes;

impl Spokes<Hub> for HubSpokes {
    fn route(&mut self, command: &Never) -> Route {
        match *command {}
    }

    fn serve(&mut self, _now: Now, command: Never) -> Option<Never> {
        match command {}
    }

    fn survives_crash(&self, command: &Never) -> bool {
        match *command {}
    }
}

/// The marketplace, playing that script from each of its starts.
pub fn hub(seed: u64, seat: usize, now: Now, script: &Script) -> Seat<Hub, HubSpokes> {
    let (mut rng, script) = (lives(seed, seat), script.clone());
    let tokens = Tokens::read(TOKEN).expect("a token");
    let every = Some(Duration::from_secs(60));
    let build = Box::new(move |_| Hub::new(key(seed, 250), tokens.clone(), script.clone(), every, rng()));
    Seat::new(now, build, HubSpokes, |_| ())
}

pub fn miner(
    seed: u64,
    seat: usize,
    now: Now,
    key: Keypair,
    yaml: &serde_json::Value,
    node: &SharedNode,
) -> Seat<Miner, MinerSpokes> {
    let config: miner::Config = settings(yaml);
    let mut rng = lives(seed, seat);
    let spokes = MinerSpokes { chain: Chain::new(InProcess::new(node.clone()), None), node: node.clone() };
    let build = Box::new(move |now| {
        let mut seed = [0; 32];
        rng().fill_bytes(&mut seed);
        Miner::new(&config, key.clone(), now, seed)
    });
    Seat::new(now, build, spokes, Miner::check_invariants)
}

pub fn worker(
    seed: u64,
    seat: usize,
    now: Now,
    yaml: &serde_json::Value,
    part: Part,
    computed: &Computed,
) -> Seat<Worker, WorkerSpokes> {
    let config: worker::Config = settings(yaml);
    let mut rng = lives(seed, seat);
    let id = config.id.clone().unwrap_or_else(|| WorkerId::new("unnamed"));
    let identity = Identity { id, name: config.name.clone(), version: "0.1.0".into() };
    let liar = match part.honesty {
        Honesty::Honest => None,
        Honesty::Liar(lie) => Some(Liar::new(lie, seed)),
    };
    let spokes = WorkerSpokes { seat, liar, gpu: part.card.map(Gpu::new), computed: computed.clone() };
    let build = Box::new(move |_| Worker::new(&config, identity.clone(), None, rng()));
    Seat::new(now, build, spokes, |_| ())
}
