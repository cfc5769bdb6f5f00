//! The life of a challenge: created → sent → committed → verifying → verified, failed or void.
//!
//! Owns every challenge that has not ended, and remembers the last ends so that a late word about one is
//! answered rightly. Every time limit is a due moment of its stage. It computes no proof, draws nothing at
//! random and speaks with no peer: what must be stored waits in its outbox, the answers are return values.
//!
//! Failed is the worker's doing. Void counts for nothing: it was never fetched, or the fault was ours.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use super::{evidence, fault::Fault, lines};
use crate::{
    config::validator::Validation,
    machine::{
        contract::{
            store::{Asked, ChallengeRow, End, Work, Write},
            verify::DeviceVerdict,
        },
        score::NOT_FETCHED,
    },
    units::{ChallengeId, Hotkey, Mono, Now, Signer, WorkerId, WorkerKey},
    wire::messages,
};

/// Ends that are remembered for late requests.
pub const REMEMBERED_ENDS: usize = 4096;
/// A time limit is enforced by the clock this much after it passed: a request that arrived in time may still
/// wait its turn. Its arrival decides.
const GRACE: Duration = Duration::from_secs(1);
/// A proof that was not verified in this long ends its challenge.
const VERIFICATION_LIMIT: Duration = Duration::from_secs(3600);

/// The time limits of the stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Created and never fetched: void after this.
    pub fetch: Duration,
    /// Sent to commitment.
    pub commitment: Duration,
    /// Commitment to proof.
    pub proof: Duration,
    /// Proof to verdict.
    pub verification: Duration,
}

impl From<&Validation> for Limits {
    fn from(validation: &Validation) -> Limits {
        Limits {
            fetch: validation.challenge_interval,
            commitment: validation.challenge_timeout,
            proof: validation.proof_timeout,
            verification: VERIFICATION_LIMIT,
        }
    }
}

/// Where a challenge stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Stage {
    /// `durable`: the store has it; only then it may be sent.
    Created {
        durable: bool,
    },
    Sent {
        at: Mono,
    },
    Committed(Committed),
    /// What was asked is with the verifier.
    Verifying {
        computation_ms: f64,
        /// How sure a good verdict will be; `None`: not known of this kind.
        soundness_bits: Option<f64>,
    },
}

/// What the worker committed to and what it was then asked for. The proof is checked against this alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Committed {
    /// (device uuid, Merkle root in lower-case hex), in the order of the challenge.
    pub roots: Vec<(String, String)>,
    pub asked: Asked,
    pub computation_ms: f64,
}

/// A challenge that has not ended.
#[derive(Clone, Debug)]
pub struct Challenge {
    pub row: ChallengeRow,
    pub stage: Stage,
    due: Mono,
    /// How long its stage may last, as it was when the stage began: settings may change meanwhile.
    limit: Duration,
}

/// A commitment as the life cycle sees it.
#[derive(Clone, Debug)]
pub struct Commitment<'a> {
    pub id: &'a str,
    pub worker: &'a WorkerId,
    /// As sent.
    pub devices: &'a [messages::Commitment],
    /// Whose signatures count.
    pub signers: &'a [Signer],
    /// Why the worker commits to nothing, in its words.
    pub failure: Option<&'a str>,
    /// When its last byte arrived.
    pub arrived: Mono,
}

/// What follows from phase 1.
#[derive(Clone, Debug, PartialEq)]
pub enum Reaction {
    /// The worker must show this; it took so long to compute.
    Prove(Asked, Duration),
    /// The worker said that it cannot: its challenge is over.
    Over,
}

/// How many challenges came to each end since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    pub created: u64,
    pub verified: u64,
    pub failed: u64,
    pub void: u64,
    /// Of these void ones, how many an earlier process had left open.
    pub buried: u64,
}

/// Every open challenge.
#[derive(Debug)]
pub struct Challenges {
    limits: Limits,
    by_id: BTreeMap<ChallengeId, Challenge>,
    by_worker: BTreeMap<WorkerKey, ChallengeId>,
    due: BTreeSet<(Mono, ChallengeId)>,
    /// Not before this: some that are due are held by a request that is being read.
    look_again: Mono,
    ended: BTreeMap<ChallengeId, Hotkey>,
    ended_order: VecDeque<ChallengeId>,
    outbox: VecDeque<Write>,
    ends: Ends,
    by_kind: BTreeMap<&'static str, u64>,
    by_reason: BTreeMap<(&'static str, &'static str), u64>,
}

/// What a challenge is whose stage lasted longer than it may.
fn overdue(stage: &Stage, limit: Duration) -> End {
    let s = limit.as_secs();
    match stage {
        Stage::Created { .. } => End::Void(format!("{NOT_FETCHED} within {s} s")),
        Stage::Sent { .. } => End::Failed(format!("no commitment within {s} s")),
        Stage::Committed(_) => End::Failed(format!("no proof within {s} s")),
        Stage::Verifying { .. } => End::Void(format!("not verified within {s} s")),
    }
}

/// The word of a metric for the reason of an end; everything that a verifier says is the proof's.
fn word_of(reason: &str) -> &'static str {
    const WORDS: [(&str, &str); 10] = [
        (NOT_FETCHED, "not_fetched"),
        ("no commitment", "no_commitment"),
        ("no proof", "no_proof"),
        ("not verified", "not_verified"),
        ("not stored", "not_stored"),
        ("validator restarted", "restart"),
        ("verification queue full", "queue_full"),
        ("worker: ", "worker"),
        ("commitment", "commitment_late"),
        ("unusable commitment", "commitment"),
    ];
    WORDS.iter().find(|(start, _)| reason.starts_with(start)).map_or("proof", |(_, word)| word)
}

impl Challenges {
    pub fn new(limits: Limits) -> Challenges {
        Challenges {
            limits,
            by_id: BTreeMap::new(),
            by_worker: BTreeMap::new(),
            due: BTreeSet::new(),
            look_again: Mono::default(),
            ended: BTreeMap::new(),
            ended_order: VecDeque::new(),
            outbox: VecDeque::new(),
            ends: Ends::default(),
            by_kind: BTreeMap::new(),
            by_reason: BTreeMap::new(),
        }
    }

    /// Other limits, for the stages that begin from now on.
    pub fn limit(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// A new challenge, unless its worker has an open one (`false`). It is stored first and sent later.
    pub fn create(&mut self, now: Now, row: ChallengeRow) -> bool {
        if self.by_worker.contains_key(&row.target) || self.by_id.contains_key(&row.id) {
            return false;
        }
        lines::moved("created", &row);
        self.ends.created += 1;
        *self.by_kind.entry(row.work.kind()).or_default() += 1;
        // behind the end of the worker's last one
        self.outbox.push_back(Write::ChallengeCreated(row.clone()));
        let limit = self.limits.fetch;
        let due = now.mono + limit;
        self.due.insert((due, row.id.clone()));
        self.by_worker.insert(row.target.clone(), row.id.clone());
        let stage = Stage::Created { durable: false };
        self.by_id.insert(row.id.clone(), Challenge { row, stage, due, limit });
        true
    }

    /// The store has it: from now on it may be sent.
    pub fn durable(&mut self, id: &ChallengeId) {
        if let Some(Challenge { stage: Stage::Created { durable }, .. }) = self.by_id.get_mut(id) {
            *durable = true;
        }
    }

    /// The store refused it: it never existed for its worker.
    pub fn not_stored(&mut self, id: &ChallengeId) {
        if let Some(challenge) = self.remove(id) {
            let end = End::Void("not stored".into());
            lines::ended(&challenge.row, &end, lines::Measured::default());
            self.count(&end);
        }
    }

    /// The stored challenges of this miner that nobody fetched yet; all of them count as sent now. With a
    /// list of idle workers, those of other workers stay for a later poll.
    pub fn hand_out(&mut self, now: Now, miner: &Hotkey, idle: Option<&[WorkerId]>) -> Vec<ChallengeRow> {
        let ready: Vec<ChallengeId> = self
            .of_miner(miner)
            .filter(|challenge| challenge.stage == Stage::Created { durable: true })
            .filter(|challenge| idle.is_none_or(|idle| idle.contains(&challenge.row.target.worker)))
            .map(|challenge| challenge.row.id.clone())
            .collect();
        ready.iter().filter_map(|id| self.send(now, id)).collect()
    }

    fn send(&mut self, now: Now, id: &ChallengeId) -> Option<ChallengeRow> {
        let row = self.enter(now, id, Stage::Sent { at: now.mono }, self.limits.commitment)?;
        lines::moved("sent", &row);
        self.outbox.push_back(Write::ChallengeSent { id: id.clone(), at: now.wall });
        Some(row)
    }

    /// Phase 1. `draw` picks what to prove and is called only for a commitment that stands.
    pub fn commit(
        &mut self,
        now: Now,
        miner: &Hotkey,
        commitment: &Commitment<'_>,
        draw: impl FnOnce(&ChallengeRow) -> Asked,
    ) -> Result<Reaction, Fault> {
        let nothing = commitment.devices.is_empty() && commitment.failure.is_none();
        if commitment.id.is_empty() || commitment.worker.as_str().is_empty() || nothing {
            return Err(Fault::CommitmentIncomplete);
        }
        let (row, sent) = self.awaiting_commitment(miner, commitment)?;
        self.check_arrival(now, &row, sent, commitment.arrived)?;
        if let (Some(why), []) = (commitment.failure, commitment.devices) {
            return self.give_up(now, &row, why);
        }
        let roots = evidence::roots(&row, commitment.devices, commitment.signers)
            .map_err(|reason| self.unusable(now, &row, reason))?;
        let asked = draw(&row);
        let computation = commitment.arrived.since(sent);
        let computation_ms = computation.as_secs_f64() * 1e3;
        lines::committed(&row, computation_ms);
        self.outbox.push_back(Write::ChallengeCommitted {
            id: row.id.clone(),
            at: now.wall,
            computation_ms,
            commitments: roots.clone(),
            asked: asked.clone(),
        });
        let committed = Committed { roots, asked: asked.clone(), computation_ms };
        self.enter(now, &row.id, Stage::Committed(committed), self.limits.proof);
        Ok(Reaction::Prove(asked, computation))
    }

    /// Only of `gemm_i8` a worker may say that it cannot: what speaks the other kinds knows no such word.
    fn give_up(&mut self, now: Now, row: &ChallengeRow, why: &str) -> Result<Reaction, Fault> {
        if !matches!(row.work, Work::GemmI8 { .. }) {
            return Err(Fault::CommitmentIncomplete);
        }
        self.end(now, &row.id, End::Failed(format!("worker: {}", evidence::shortened(why))), None);
        Ok(Reaction::Over)
    }

    fn unusable(&mut self, now: Now, row: &ChallengeRow, reason: String) -> Fault {
        let reason = format!("unusable commitment: {reason}");
        self.end(now, &row.id, End::Failed(reason.clone()), None);
        Fault::BadCommitment { id: row.id.clone(), reason }
    }

    fn awaiting_commitment(&self, miner: &Hotkey, commitment: &Commitment<'_>) -> Result<(ChallengeRow, Mono), Fault> {
        let id = ChallengeId::new(commitment.id);
        let Some(challenge) = self.of_hotkey(miner, &id) else {
            let ended = self.ended.get(&id) == Some(miner);
            return Err(if ended { Fault::Processed(id) } else { Fault::Inaccessible(commitment.id.into()) });
        };
        let expected = &challenge.row.target.worker;
        if expected != commitment.worker {
            return Err(Fault::OtherWorker { expected: expected.clone(), got: commitment.worker.clone() });
        }
        match challenge.stage {
            Stage::Sent { at } => Ok((challenge.row.clone(), at)),
            Stage::Created { .. } => Err(Fault::NotSent(id)),
            Stage::Committed(_) | Stage::Verifying { .. } => Err(Fault::Processed(id)),
        }
    }

    fn check_arrival(&mut self, now: Now, row: &ChallengeRow, sent: Mono, arrived: Mono) -> Result<(), Fault> {
        let told = self.by_id.get(&row.id).map_or(self.limits.commitment, |challenge| challenge.limit);
        let limit = sent + told;
        if arrived <= limit {
            return Ok(());
        }
        let late_ms = arrived.since(limit).as_millis() as u64;
        self.end(now, &row.id, End::Failed(format!("commitment {late_ms} ms late")), None);
        Err(Fault::Late { id: row.id.clone(), late_ms })
    }

    /// The committed challenge that a proof is about; changes nothing.
    pub fn awaiting_proof(&self, miner: &Hotkey, id: &str) -> Result<(&ChallengeRow, &Committed), Fault> {
        let key = ChallengeId::new(id);
        let Some(challenge) = self.of_hotkey(miner, &key) else {
            let ended = self.ended.get(&key) == Some(miner);
            return Err(if ended { Fault::NotCommitted(key) } else { Fault::Unknown(id.into()) });
        };
        match &challenge.stage {
            Stage::Committed(committed) => Ok((&challenge.row, committed)),
            _ => Err(Fault::NotCommitted(key)),
        }
    }

    /// Phase 2: its proof is in the queue.
    pub fn verifying(&mut self, now: Now, id: &ChallengeId) {
        let Some(Challenge { stage: Stage::Committed(committed), .. }) = self.by_id.get(id) else { return };
        let (computation_ms, soundness_bits) = (committed.computation_ms, evidence::soundness_bits(&committed.asked));
        let stage = Stage::Verifying { computation_ms, soundness_bits };
        self.enter(now, id, stage, self.limits.verification);
        self.outbox.push_back(Write::ChallengeVerifying { id: id.clone(), at: now.wall });
    }

    /// The verdict over a proof that was being verified. A challenge that ended meanwhile keeps its end.
    pub fn verdict(&mut self, now: Now, id: &ChallengeId, verdicts: &[DeviceVerdict], verify_ms: f64) {
        let Some(Challenge { row, stage: Stage::Verifying { .. }, .. }) = self.by_id.get(id) else { return };
        let end = evidence::end(&row.work, verdicts);
        self.end(now, id, end, Some(verify_ms));
    }

    /// Ends a challenge before its verdict: said once, whatever stage it is in.
    pub fn end(&mut self, now: Now, id: &ChallengeId, end: End, verify_ms: Option<f64>) {
        let Some(challenge) = self.remove(id) else { return };
        let (computation_ms, soundness_bits) = match &challenge.stage {
            Stage::Committed(committed) => (Some(committed.computation_ms), None),
            Stage::Verifying { computation_ms, soundness_bits } => (Some(*computation_ms), *soundness_bits),
            Stage::Created { .. } | Stage::Sent { .. } => (None, None),
        };
        let measured = lines::Measured { computation_ms, verify_ms, soundness_bits };
        lines::ended(&challenge.row, &end, measured);
        self.count(&end);
        self.remember(id, &challenge.row.target.hotkey);
        self.outbox.push_back(Write::ChallengeEnded { id: id.clone(), at: now.wall, end, verify_ms });
    }

    /// Challenges that an earlier process left open: their proofs were in its memory, so they end void.
    pub fn bury(&mut self, now: Now, left_open: Vec<ChallengeRow>) {
        for row in left_open {
            let end = End::Void("validator restarted".into());
            lines::ended(&row, &end, lines::Measured::default());
            self.count(&end);
            self.ends.buried += 1;
            self.remember(&row.id, &row.target.hotkey);
            self.outbox.push_back(Write::ChallengeEnded { id: row.id, at: now.wall, end, verify_ms: None });
        }
    }

    /// Ends whatever is overdue.
    pub fn expire(&mut self, now: Now, is_held: impl Fn(&Hotkey, Mono) -> bool) {
        let late: Vec<_> = self.due.iter().take_while(|(due, _)| *due + GRACE <= now.mono).cloned().collect();
        for (due, id) in late {
            let Some(challenge) = self.by_id.get(&id) else {
                self.due.remove(&(due, id));
                continue;
            };
            if is_held(&challenge.row.target.hotkey, due) {
                self.look_again = now.mono + GRACE;
                continue;
            }
            let end = overdue(&challenge.stage, challenge.limit);
            self.due.remove(&(due, id.clone()));
            self.end(now, &id, end, None);
        }
    }

    /// When the next challenge is overdue.
    pub fn deadline(&self) -> Option<Mono> {
        self.due.first().map(|(due, _)| (*due + GRACE).max(self.look_again))
    }

    /// What the store must be told, in order.
    pub fn next_write(&mut self) -> Option<Write> {
        self.outbox.pop_front()
    }

    pub fn is_open_for(&self, worker: &WorkerKey) -> bool {
        self.by_worker.contains_key(worker)
    }

    /// Its worker has done all it can: what it waits for is a verdict of ours.
    pub fn awaits_verdict(&self, worker: &WorkerKey) -> bool {
        let open = self.by_worker.get(worker).and_then(|id| self.by_id.get(id));
        matches!(open, Some(Challenge { stage: Stage::Verifying { .. }, .. }))
    }

    pub fn is_open(&self, id: &ChallengeId) -> bool {
        self.by_id.contains_key(id)
    }

    pub fn open(&self) -> impl Iterator<Item = &Challenge> {
        self.by_id.values()
    }

    pub fn ends(&self) -> Ends {
        self.ends
    }

    /// Challenges made since the start, by kind.
    pub fn created_by_kind(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.by_kind.iter().map(|(kind, count)| (*kind, *count))
    }

    /// Ends since the start by (end, reason), in words of a metric.
    pub fn ended_by_reason(&self) -> impl Iterator<Item = (&(&'static str, &'static str), &u64)> {
        self.by_reason.iter()
    }

    fn of_hotkey(&self, miner: &Hotkey, id: &ChallengeId) -> Option<&Challenge> {
        self.by_id.get(id).filter(|challenge| challenge.row.target.hotkey == *miner)
    }

    fn of_miner<'a>(&'a self, miner: &'a Hotkey) -> impl Iterator<Item = &'a Challenge> {
        let first = WorkerKey::new(miner, &WorkerId::new(""));
        self.by_worker
            .range(first..)
            .take_while(move |(key, _)| key.hotkey == *miner)
            .filter_map(|(_, id)| self.by_id.get(id))
    }

    fn enter(&mut self, now: Now, id: &ChallengeId, stage: Stage, limit: Duration) -> Option<ChallengeRow> {
        let due = now.mono + limit;
        let challenge = self.by_id.get_mut(id)?;
        self.due.remove(&(challenge.due, id.clone()));
        self.due.insert((due, id.clone()));
        challenge.stage = stage;
        (challenge.due, challenge.limit) = (due, limit);
        Some(challenge.row.clone())
    }

    fn remove(&mut self, id: &ChallengeId) -> Option<Challenge> {
        let challenge = self.by_id.remove(id)?;
        self.due.remove(&(challenge.due, id.clone()));
        self.by_worker.remove(&challenge.row.target);
        Some(challenge)
    }

    fn count(&mut self, end: &End) {
        let label = match end {
            End::Verified { .. } => ("verified", "proof"),
            End::Failed(reason) => ("failed", word_of(reason)),
            End::Void(reason) => ("void", word_of(reason)),
        };
        *self.by_reason.entry(label).or_default() += 1;
        match end {
            End::Verified { .. } => self.ends.verified += 1,
            End::Failed(_) => self.ends.failed += 1,
            End::Void(_) => self.ends.void += 1,
        }
    }

    fn remember(&mut self, id: &ChallengeId, miner: &Hotkey) {
        self.ended.insert(id.clone(), miner.clone());
        self.ended_order.push_back(id.clone());
        if self.ended_order.len() > REMEMBERED_ENDS
            && let Some(oldest) = self.ended_order.pop_front()
        {
            self.ended.remove(&oldest);
        }
    }

    /// Asks for other rows than were drawn, as a recording has them.
    #[cfg(test)]
    pub fn ask_for(&mut self, id: &ChallengeId, asked: Vec<u32>) {
        if let Some(Challenge { stage: Stage::Committed(committed), .. }) = self.by_id.get_mut(id) {
            committed.asked = Asked::Rows(asked);
        }
    }

    /// Panics when the tables contradict each other.
    pub fn check_invariants(&self) {
        assert_eq!(self.by_id.len(), self.by_worker.len(), "one open challenge a worker");
        assert_eq!(self.by_id.len(), self.due.len(), "every open challenge has one due moment");
        for (id, challenge) in &self.by_id {
            assert_eq!(self.by_worker.get(&challenge.row.target), Some(id));
            assert!(self.due.contains(&(challenge.due, id.clone())));
            assert!(!self.ended.contains_key(id), "challenge {id} is open and ended");
        }
        assert!(self.ended.len() <= REMEMBERED_ENDS && self.ended.len() == self.ended_order.len());
    }
}
