//! What scoring may look at: typed, dated, complete for its windows, and nothing else.
//!
//! The store reads facts, the machine adds the metagraph, [`score`](super::score) only looks. Everything is
//! ordered, so equal facts are equal values however they were read.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    machine::{
        availability::{Beat, GpuSetId, Roster, RosterId},
        lease::OutageRule,
    },
    units::{Hotkey, Wall, WorkerKey},
};

/// How the reason of a void challenge begins that its miner never asked for. Every other void one is the validator's
/// doing.
pub const NOT_FETCHED: &str = "not fetched";

/// Everything that scoring may look at, as of one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// The moment that the windows end at.
    pub at: Wall,
    /// Hotkeys of the subnet. The store leaves it empty; the machine fills it in.
    pub metagraph: BTreeSet<Hotkey>,
    /// Every miner ever heard and not forgotten.
    pub miners: BTreeMap<Hotkey, MinerFacts>,
    pub workers: BTreeMap<WorkerKey, WorkerFacts>,
    /// What the ids in beats stand for.
    pub rosters: BTreeMap<RosterId, Arc<Roster>>,
    /// Who says to own which GPU, by uuid.
    pub claims: BTreeMap<Arc<str>, Vec<Claim>>,
    /// What the ids in rosters and challenges stand for.
    pub gpu_sets: BTreeMap<GpuSetId, BTreeSet<Arc<str>>>,
    /// When a source last said anything valid about leases; `None`: never.
    pub leases_heard: Option<Wall>,
}

impl Facts {
    /// What of a worker's lease is in force; `None` when it has none.
    pub fn lease(&self, worker: &WorkerFacts, rule: OutageRule) -> Option<f64> {
        worker.lease.map(|lease| rule.in_force(lease.score, self.leases_heard, self.at))
    }
}

/// A stretch of time: `from` is in it, `until` is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub from: Wall,
    pub until: Wall,
}

/// What a source said of one worker.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LeaseFact {
    pub score: f64,
    /// When it first said so; saying the same again is no new fact.
    pub heard: Wall,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct MinerFacts {
    /// Its last heartbeat, by our clock.
    pub seen: Wall,
    /// Taken out by the operator: not scored any more.
    pub removed: bool,
    /// Heartbeats of the availability window, in the order in which they were heard.
    pub beats: Vec<Beat>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct WorkerFacts {
    /// Gone from its miner for good: does not count among the miner's workers.
    pub removed: bool,
    /// `None`: it has no lease.
    pub lease: Option<LeaseFact>,
    /// Maintenance that its miner announced, none of it before it did so, and none over another.
    pub maintenance: Vec<Span>,
    /// Ended challenges of the ranking window, in any order.
    pub challenges: Vec<ChallengeFact>,
    /// Rounds in which the validator had no capacity to verify it, and gave it nothing: when each began.
    pub passed_over: Vec<Wall>,
}

/// A challenge that ended.
#[derive(Clone, Debug, PartialEq)]
pub struct ChallengeFact {
    pub created: Wall,
    /// Tells challenges of one instant apart, whatever the order in which they were stored.
    pub tie: u64,
    pub outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Verified {
        /// From hand-out to commitment; `None` (not measured) does not count.
        computation_ms: Option<f64>,
        /// Devices that passed; `None` and 0 are taken as 1.
        success_count: Option<u32>,
        /// The GPUs it was proved with; `None` for the CPU.
        gpus: Option<GpuSetId>,
        /// Arithmetic of the devices that passed, a multiplication and an addition being two; `None`: unknown.
        ops: Option<f64>,
    },
    /// The worker's doing.
    Failed(Arc<str>),
    /// Nobody can blame the worker: counts for nothing, and is not expected of it, unless it was never fetched.
    Void(Arc<str>),
}

/// One worker's word that a GPU is its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    pub worker: WorkerKey,
    /// First and last heartbeat that said so.
    pub since: Wall,
    pub seen: Wall,
    /// When the last challenge was made in which it proved the GPU.
    pub proved: Option<Wall>,
    /// Taken back.
    pub removed: bool,
}
