//! What the validator made durable, as the world saw it, held against what really happened.
//!
//! The witness stands behind the store: it hears of a batch only when the batch took effect.

use std::collections::{BTreeMap, BTreeSet};

use byteleap::{
    compute::gemm_i8::KeyPrefix,
    machine::{
        contract::store::{ChallengeRow, End, WeightOutcome, Work, Write},
        score::{MinerScore, Scores, WorkerScore},
    },
    units::{ChallengeId, Hotkey, Wall, WorkerKey},
};

use crate::{
    chain_watch::ChainWatch,
    roles::{Computed, Done, Honesty},
};

/// A reason with one of these is about a proof, and not about the way that it took.
/// After so many calculations all of them are made again.
const CALCULATED_AGAIN: usize = 100;
const PROOF_WORDS: [&str; 7] = ["row", "merkle", "Merkle", "chunk", "values", "opening", " tops "];

/// What had to be computed for a challenge: by its own worker, for its own hotkey.
fn done(row: &ChallengeRow) -> Vec<Done> {
    match &row.work {
        Work::CpuMatrix { .. } => vec![Done::CpuMatrix(bytes(&row.seed))],
        Work::GpuMatrix { .. } => unreachable!("only a closed executor signs gpu_matrix: no worker here has one"),
        Work::GemmI8 { devices, .. } => {
            let prefix = |device: &String| {
                let (hotkey, worker) = (row.target.hotkey.as_str(), &row.target.worker);
                KeyPrefix::new(&row.id, &bytes(&row.seed), hotkey, worker, device)
            };
            devices.iter().map(|device| Done::GemmI8(prefix(device).to_hex())).collect()
        }
    }
}

fn bytes<const N: usize>(hex_digits: &str) -> [u8; N] {
    hex::decode(hex_digits).ok().and_then(|bytes| bytes.try_into().ok()).expect("a seed of that length")
}

/// Who a worker is.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    pub seat: usize,
    /// Whether it can be trusted.
    pub honesty: Honesty,
    /// The challenge that it is to get.
    pub kind: &'static str,
}

#[derive(Default)]
pub struct Witness {
    created: BTreeMap<ChallengeId, ChallengeRow>,
    /// When each became durable, by the validator's wall clock.
    durable: BTreeMap<ChallengeId, Wall>,
    /// Tasks of the marketplace, none of which expires here.
    pub tasks: BTreeSet<String>,
    /// Stamps of the validator cannot be compared any more.
    pub clock_moved: bool,
    sent: BTreeSet<ChallengeId>,
    ended: BTreeMap<ChallengeId, (End, Wall)>,
    open: BTreeMap<WorkerKey, ChallengeId>,
    pub workers: BTreeMap<WorkerKey, Member>,
    pub computed: Computed,
    /// When the chain last confirmed weights.
    pub confirmed: Option<Wall>,
    /// Workers of whom a challenge of a GPU counts, and GPUs in quarantine, in the newest calculation.
    pub earns_by_gpu: BTreeSet<WorkerKey>,
    pub in_quarantine: usize,
    /// Lease score and weight of each miner, in the newest calculation.
    pub scored: BTreeMap<Hotkey, (f64, f64)>,
    pub chain: ChainWatch,
    /// When scores were calculated.
    calculated: Vec<Wall>,
}

impl Witness {
    /// Notes a calculation; now and then all that were noted are to be calculated again.
    pub fn was_calculated(&mut self, at: Wall) -> Vec<Wall> {
        self.calculated.push(at);
        if self.calculated.len().is_multiple_of(CALCULATED_AGAIN) { self.calculated.clone() } else { Vec::new() }
    }

    pub fn calculations(&self) -> usize {
        self.calculated.len()
    }

    /// A batch took effect.
    pub fn saw(&mut self, wall: Wall, writes: &[Write]) {
        for write in writes {
            self.chain.look();
            self.chain.saw(write);
            match write {
                Write::ChallengeCreated(row) => self.was_created(wall, row),
                Write::ChallengeSent { id, at } => {
                    let durable = self.durable.get(id).is_some_and(|durable| durable <= at);
                    assert!(durable || self.clock_moved, "challenge {id} was sent before it was durable");
                    assert!(self.sent.insert(id.clone()), "challenge {id} was sent twice");
                }
                Write::ChallengeEnded { id, at, end, .. } => self.has_ended(id, *at, end),
                Write::Task(task) => {
                    assert!(self.tasks.insert(task.key.clone()), "task {:?} was stored twice", task.key)
                }
                Write::Scored(calculation) => self.was_scored(&calculation.scores),
                Write::WeightOutcome { at, outcome: WeightOutcome::Confirmed { .. }, .. } => self.confirmed = Some(*at),
                _ => {}
            }
        }
    }

    fn was_created(&mut self, wall: Wall, row: &ChallengeRow) {
        let Member { kind, .. } = self.workers[&row.target];
        assert_eq!(row.work.kind(), kind, "{} got another challenge than the strongest that it offers", row.target);
        self.durable.insert(row.id.clone(), wall);
        let before = self.open.insert(row.target.clone(), row.id.clone());
        assert!(before.is_none(), "{} has two open challenges: {before:?} and {}", row.target, row.id);
        assert!(self.created.insert(row.id.clone(), row.clone()).is_none(), "challenge {} was created twice", row.id);
    }

    /// Challenges that a worker was given so far.
    pub fn given(&self, worker: &WorkerKey) -> usize {
        self.created.values().filter(|row| row.target == *worker).count()
    }

    /// A GPU earns for one worker at a time: no worker here has two.
    fn was_scored(&mut self, scores: &Scores) {
        let of = |miner: &MinerScore| (miner.hotkey.clone(), (miner.lease, miner.weight));
        self.scored = scores.miners.iter().map(of).collect();
        let of_cpu = |end: &End| matches!(end, End::Verified { passed, .. } if !passed.iter().any(|uuid| uuid.starts_with("GPU-")));
        let by_gpu = |worker: &&WorkerScore| {
            let own = self.ended.iter().filter(|(id, _)| self.created[*id].target == worker.key);
            worker.counted as usize > own.filter(|(_, (end, _))| of_cpu(end)).count()
        };
        let by_gpu = scores.workers.iter().filter(by_gpu).map(|worker| worker.key.clone());
        self.earns_by_gpu = by_gpu.collect();
        let mut by_uuid: BTreeMap<&str, BTreeSet<&WorkerKey>> = BTreeMap::new();
        for (id, (end, _)) in &self.ended {
            let (End::Verified { passed, .. }, target) = (end, &self.created[id].target) else { continue };
            for uuid in passed.iter().filter(|uuid| uuid.starts_with("GPU-") && self.earns_by_gpu.contains(target)) {
                by_uuid.entry(uuid).or_default().insert(target);
            }
        }
        assert!(by_uuid.values().all(|workers| workers.len() <= 1), "a GPU earns for several workers: {by_uuid:?}");
        self.in_quarantine = scores.contested.len();
    }

    fn has_ended(&mut self, id: &ChallengeId, at: Wall, end: &End) {
        let row = self.created.get(id).unwrap_or_else(|| panic!("a verdict on {id}, which nobody created"));
        assert_eq!(self.open.remove(&row.target).as_ref(), Some(id), "a verdict on {id}, which was not open");
        let before = self.ended.insert(id.clone(), (end.clone(), at));
        assert!(before.is_none(), "challenge {id} ended twice: {before:?}, then {end:?}");
        let Member { seat, honesty, .. } = self.workers[&row.target];
        match end {
            End::Verified { success_count, ops, .. } => {
                for done in done(row) {
                    let computed = self.computed.borrow();
                    let by = computed.get(&done).map(Vec::as_slice).unwrap_or_default();
                    assert!(by.contains(&seat), "{id} is credited to seat {seat}, but {by:?} computed it");
                }
                assert_eq!(honesty, Honesty::Honest, "a liar was verified: {id}");
                assert_eq!((*success_count, *ops), (1, row.work.ops()), "{id} is credited with other work");
            }
            // the network was bad, or the worker was; a wrong proof can only be a liar's
            End::Failed(why) => {
                let proof = PROOF_WORDS.iter().any(|word| why.contains(word));
                assert!(honesty != Honesty::Honest || !proof, "an honest worker's proof failed: {id}: {why}");
            }
            End::Void(_) => {}
        }
    }

    /// How the challenges of each worker ended, in the order of the workers' ids.
    pub fn ends(&self) -> Vec<(Honesty, Vec<End>)> {
        let of = |key: &WorkerKey| {
            let ended = self.ended.iter().filter(|(id, _)| self.created[*id].target == *key);
            ended.map(|(_, (end, _))| end.clone()).collect()
        };
        self.workers.iter().map(|(key, member)| (member.honesty, of(key))).collect()
    }

    /// Verdicts on one worker's challenges that were created after `since`.
    pub fn verified_since(&self, worker: &WorkerKey, since: Wall) -> usize {
        let of_worker = |(id, (end, _)): (&ChallengeId, &(End, Wall))| {
            let row = &self.created[id];
            row.target == *worker && row.created >= since && matches!(end, End::Verified { .. })
        };
        self.ended.iter().filter(|entry| of_worker(*entry)).count()
    }

    pub fn verdicts(&self) -> usize {
        self.ended.len()
    }
}
