//! The validator's durable memory, as its machine sees it: load once, then batches of writes, each one
//! transaction: all of it or nothing. What must be durable before it is said waits for `Committed`.

use std::{collections::BTreeSet, time::Duration};

use super::{
    chain::{Reveal, SignedExtrinsic},
    task::TaskRow,
};
use crate::{
    config::leases::LeaseSource,
    machine::score::{Policy, Scores},
    units::{BlockNumber, ChallengeId, Hotkey, Uid, Wall, WorkerId, WorkerKey},
    wire::messages::gemm_i8::{GEMM_I8, Sample},
};

#[derive(Debug)]
pub enum StoreRequest {
    /// What the machine must know to go on after a restart. The first request, and only once.
    Load,
    /// One transaction. `batch` comes back in the answer.
    Commit { batch: u64, writes: Vec<Write> },
    /// Calculate scores from what the log has by now.
    Score(Box<ScoreRequest>),
}

#[derive(Debug)]
pub enum StoreReply {
    Loaded(Box<Snapshot>),
    Committed {
        batch: u64,
    },
    Scored(Box<Calculation>),
    /// Nothing of the request took effect; `batch` when it was a commit.
    Failed {
        batch: Option<u64>,
        fault: StoreFault,
    },
}

/// Why a request took no effect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreFault {
    /// No space left. The daemon stays up and says so; later batches work when there is space again.
    #[error("no space left for the database: {0}")]
    Full(String),
    /// A write that makes no sense (a second end of a challenge, an unknown challenge): a bug of ours, not bad luck.
    #[error("write {index} of the batch refused: {what}")]
    Refused { index: usize, what: String },
    /// Anything else the database says: I/O, corruption found late.
    #[error("database: {0}")]
    Broken(String),
}

/// One calculation, wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoreRequest {
    /// The moment that the windows end at.
    pub at: Wall,
    pub reach: Reach,
    /// Hotkeys of the subnet.
    pub metagraph: BTreeSet<Hotkey>,
    pub policy: Policy,
    /// Another policy, to be compared.
    pub shadow: Option<Policy>,
}

/// How far back facts reach: as far as the longest window that looks at them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Challenges and rounds.
    pub ranking: Duration,
    /// Heartbeats. Who was not heard for so long is not known any more.
    pub heard: Duration,
}

/// Scores, and all that is needed to calculate them again.
#[derive(Clone, Debug, PartialEq)]
pub struct Calculation {
    pub scores: Scores,
    pub shadow: Option<Scores>,
    /// The newest fact of the log that it saw.
    pub seq: u64,
    pub policy: Policy,
    pub reach: Reach,
    pub metagraph: BTreeSet<Hotkey>,
}

/// One durable change.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// A miner's heartbeat was accepted: the miner was seen, and this is all it said of its workers.
    Heartbeat(Box<HeartbeatWrite>),
    /// A round of challenges began, and these workers get none because there is no time to verify theirs: it
    /// lowers nobody's participation. Said only of rounds that pass somebody over.
    RoundBegan {
        at: Wall,
        passed_over: Vec<WorkerKey>,
    },
    /// A challenge exists. Durable before it is sent.
    ChallengeCreated(ChallengeRow),
    ChallengeSent {
        id: ChallengeId,
        at: Wall,
    },
    ChallengeCommitted {
        id: ChallengeId,
        at: Wall,
        /// Monotonic time from sent to committed.
        computation_ms: f64,
        /// (device uuid, Merkle root); the CPU is "-1" in `cpu_matrix`, "cpu" in `gemm_i8`.
        commitments: Vec<(String, String)>,
        /// What the validator then asked to see.
        asked: Asked,
    },
    ChallengeVerifying {
        id: ChallengeId,
        at: Wall,
    },
    /// Verified, failed or void, with the reason. Said once; a second end of one challenge is refused.
    ChallengeEnded {
        id: ChallengeId,
        at: Wall,
        end: End,
        verify_ms: Option<f64>,
    },
    /// Settings were changed. Durable before it is acknowledged.
    Overrides(Box<OverridesWrite>),
    /// A source said something of leases.
    Leases(LeasesWrite),
    /// One score calculation: what each miner got and why, and from what.
    Scored(Box<Calculation>),
    /// Which chain this is, by its genesis. Said once; never another.
    Genesis([u8; 32]),
    /// A weight vector that we mean to set. Durable before it is signed.
    WeightIntent {
        id: IntentId,
        at: Wall,
        at_block: BlockNumber,
        weights: Vec<(Uid, Hotkey, u16)>,
        basis: Box<WeightBasis>,
    },
    /// An extrinsic of ours that nobody has seen yet. Durable before it is submitted; the one before it is over.
    ExtrinsicSigned {
        at: Wall,
        errand: Errand,
        extrinsic: Box<SignedExtrinsic>,
    },
    /// A pool took it.
    ExtrinsicSubmitted {
        at: Wall,
        hash: [u8; 32],
    },
    /// It is in a block for good, or never will be.
    ExtrinsicOver {
        at: Wall,
        hash: [u8; 32],
        end: ExtrinsicEnd,
    },
    /// What became of an intent, beyond what became of its extrinsics.
    WeightOutcome {
        intent: IntentId,
        at: Wall,
        outcome: WeightOutcome,
    },
    /// A task of the marketplace. Durable before it is acknowledged.
    Task(Box<TaskRow>),
    /// Tasks that do not count any more: their keys, and when they expired.
    TasksOver(Vec<(String, Wall)>),
    /// Forget what lies before these moments; what a calculation that is kept has looked at stays, whatever they are.
    Prune {
        /// Verified challenges created before it keep only their verdict and time.
        ranking: Wall,
        /// Calculations and weights of before it go.
        kept: Wall,
        /// Challenges and rounds of before it go.
        events: Wall,
        /// Heartbeats of before it go, and workers and miners not heard since, but for those that a lease is on.
        availability: Wall,
    },
}

/// What one update changed of the settings.
#[derive(Clone, Debug, PartialEq)]
pub struct OverridesWrite {
    pub at: Wall,
    /// The update's own number; `None`: it had none.
    pub message: Option<String>,
    pub changes: Vec<OverrideChange>,
}

/// One setting; its values in JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverrideChange {
    pub key: String,
    pub old: String,
    pub new: String,
}

/// Lease scores in [0, 1], by worker, of which a later one counts; workers not named keep theirs.
#[derive(Clone, Debug, PartialEq)]
pub struct LeasesWrite {
    pub at: Wall,
    pub source: LeaseSource,
    pub scores: Vec<(WorkerKey, f64)>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct HeartbeatWrite {
    pub hotkey: Hotkey,
    /// When it arrived, by our clock.
    pub at: Wall,
    pub workers: Vec<WorkerSeen>,
    /// All maintenance that is announced; `None`: nothing is said of it, and what was said before stands.
    pub maintenance: Option<Vec<Announced>>,
}

/// A worker that will be away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced {
    pub worker: WorkerId,
    pub from: Wall,
    /// Later than `from`.
    pub until: Wall,
}

/// What a heartbeat said of one worker.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerSeen {
    pub worker: WorkerId,
    pub name: Option<String>,
    pub version: Option<String>,
    pub capabilities: Vec<String>,
    pub status: String,
    /// Public IP as reported; `None` when it said none.
    pub public_ip: Option<String>,
    /// UUIDs in `system_info.gpu_info` (availability).
    pub gpus_present: BTreeSet<String>,
    /// (UUID, model) in `system_info.gpu_plugin` (inventory).
    pub gpus_owned: Vec<(String, String)>,
    /// The rest of the hardware, JSON as sent; `None` when unchanged since the last write of this process.
    pub hardware: Option<String>,
}

impl WorkerSeen {
    /// A worker of which the heartbeat said no more than that it is there.
    pub fn named(worker: &str) -> WorkerSeen {
        WorkerSeen {
            worker: WorkerId::new(worker),
            name: None,
            version: None,
            capabilities: Vec::new(),
            status: String::new(),
            public_ip: None,
            gpus_present: BTreeSet::new(),
            gpus_owned: Vec::new(),
            hardware: None,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct ChallengeRow {
    pub id: ChallengeId,
    pub target: WorkerKey,
    pub work: Work,
    /// Hex, as sent.
    pub seed: String,
    pub round_id: String,
    pub created: Wall,
}

/// The kind `cpu_matrix`, as the wire and the store name it, and workers among their capabilities.
pub const CPU_MATRIX: &str = "cpu_matrix";
/// The same of `gpu_matrix`.
pub const GPU_MATRIX: &str = "gpu_matrix";

/// What a challenge has its worker compute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    CpuMatrix {
        n: u32,
        /// Factors B.
        iterations: u32,
    },
    /// The same size for each GPU that commits itself.
    GpuMatrix {
        n: u32,
        /// Factors every value.
        iterations: u32,
        /// The worker's GPUs, by its heartbeats: any of them may commit, no other.
        gpus: Vec<String>,
    },
    /// The same for each of the devices.
    GemmI8 {
        n: u32,
        /// Products in a row, each keyed by the one before.
        rounds: u32,
        devices: Vec<String>,
    },
}

impl Work {
    pub fn kind(&self) -> &'static str {
        match self {
            Work::CpuMatrix { .. } => CPU_MATRIX,
            Work::GpuMatrix { .. } => GPU_MATRIX,
            Work::GemmI8 { .. } => GEMM_I8,
        }
    }

    /// Rows and columns.
    pub fn matrix_size(&self) -> u32 {
        match self {
            Work::CpuMatrix { n, .. } | Work::GpuMatrix { n, .. } | Work::GemmI8 { n, .. } => *n,
        }
    }

    /// Operations of one device, a multiplication and an addition being two.
    pub fn ops(&self) -> f64 {
        let (n, products) = match self {
            Work::CpuMatrix { n, iterations } => (*n, *iterations),
            // More iterations are no more work: they are a factor.
            Work::GpuMatrix { n, .. } => (*n, 1),
            Work::GemmI8 { n, rounds, .. } => (*n, *rounds),
        };
        2.0 * f64::from(n).powi(3) * f64::from(products)
    }
}

/// What a validator asked to see after the commitment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Of `cpu_matrix`: ascending, distinct.
    Rows(Vec<u32>),
    /// Of `gpu_matrix`, the same of each GPU: (row, column) in drawing order; rows ascending; all distinct.
    Values { coordinates: Vec<(u32, u32)>, rows: Vec<u32> },
    /// Of `gemm_i8`: by device, in the order of the challenge.
    Samples(Vec<(String, Vec<Sample>)>),
}

/// How a challenge ended.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    Verified {
        /// Devices that passed.
        success_count: u32,
        /// Operations of the devices that passed.
        ops: f64,
        /// Which devices failed and why; `None`: none did.
        note: Option<String>,
        /// The devices that passed: what their worker has proven to have.
        passed: Vec<String>,
    },
    /// The worker's doing.
    Failed(String),
    /// Nobody can blame the worker: counts for nothing.
    Void(String),
}

/// What weights were made from: with it they can be made again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WeightBasis {
    /// The calculation.
    pub scored_at: Wall,
    /// Scored miners with a weight that were given none, and why.
    pub left_out: Vec<(Hotkey, &'static str)>,
    /// The largest share that the chain allowed, of 65535.
    pub limit: u16,
}

/// Intents are numbered in the order in which they were made.
pub type IntentId = u64;

/// What an extrinsic of ours is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Errand {
    /// Announces our axon.
    Axon,
    /// Sets the weights of an intent, or commits to them.
    Weights { intent: IntentId, path: WeightPath, version_key: u64 },
    /// Reveals what a hash committed to.
    Reveal { intent: IntentId },
}

/// How weights reach the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WeightPath {
    Open,
    /// The chain opens them by itself.
    Timelocked,
    /// We must reveal them, with this salt.
    Hash {
        salt: Vec<u16>,
    },
}

impl WeightPath {
    pub fn name(&self) -> &'static str {
        match self {
            WeightPath::Open => "open",
            WeightPath::Timelocked => "timelocked",
            WeightPath::Hash { .. } => "hash",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExtrinsicEnd {
    /// Its call succeeded in this block, which is final.
    Included { block: BlockNumber },
    /// By the pool, or by the chain in a block.
    Refused(String),
    /// No block can include it any more.
    Expired,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WeightOutcome {
    /// A node took an extrinsic of it.
    Submitted,
    /// Its extrinsic is in this block.
    Included {
        block: BlockNumber,
    },
    /// The finalized chain shows these weights as ours.
    Confirmed {
        block: BlockNumber,
    },
    Refused(String),
    Expired,
    /// The commitment went in, and the weights never came out.
    Dropped(String),
    /// Newer weights of ours came out instead.
    Superseded,
}

/// What a validator knows when it starts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Challenges that had not ended when the process did.
    pub open_challenges: Vec<ChallengeRow>,
    pub leases: KnownLeases,
    /// Known workers with their last heartbeat.
    pub workers: Vec<(WorkerKey, Wall)>,
    /// The chain that this validator has always been on.
    pub genesis: Option<[u8; 32]>,
    /// The newest weight intent.
    pub intent: Option<StoredIntent>,
    /// The extrinsic that may be in a pool or a block.
    pub in_flight: Option<(Errand, SignedExtrinsic)>,
    /// Weights that are in a block and not confirmed yet, oldest first.
    pub awaited: Vec<AwaitedWeights>,
    /// When weights were last confirmed.
    pub confirmed: Option<Wall>,
    /// Tasks of the marketplace, expired ones among them.
    pub tasks: Vec<TaskRow>,
}

/// The leases that there are, and when a source last said anything valid of any; `None`: never.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KnownLeases {
    pub rows: Vec<LeaseRow>,
    pub heard: Option<Wall>,
}

/// One lease above 0.
#[derive(Clone, Debug, PartialEq)]
pub struct LeaseRow {
    pub key: WorkerKey,
    pub score: f64,
    /// When its source first said so.
    pub heard: Wall,
    pub source: String,
}

/// A weight vector that was meant to be set, and how far it came.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredIntent {
    pub id: IntentId,
    pub at_block: BlockNumber,
    pub weights: Vec<(Uid, Hotkey, u16)>,
    pub outcome: Option<WeightOutcome>,
}

/// Weights whose extrinsic is in a block for good, and which the chain is yet to show as ours.
#[derive(Clone, Debug, PartialEq)]
pub struct AwaitedWeights {
    pub intent: IntentId,
    pub weights: Vec<(Uid, u16)>,
    pub path: WeightPath,
    pub version_key: u64,
    pub included: BlockNumber,
    /// `None` in the open.
    pub reveal: Option<Reveal>,
}
