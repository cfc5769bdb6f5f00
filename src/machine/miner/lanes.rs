//! The lanes to each validator: heartbeats, task polls, commitments, proofs and receipts each go their own way, so a
//! validator that stalls one of them stalls nothing else.
//!
//! Owns what waits and how much is in flight on each lane. It decides neither when something is sent nor
//! what an answer means.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use super::flows::FlowKey;
use crate::{
    machine::backoff::Backoff,
    units::{Hotkey, Mono},
    wire::{
        limits::{PROOF_TIMEOUT, TASK_TIMEOUT},
        synapse::SynapseKind,
    },
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    Heartbeat,
    Poll,
    Commitment,
    Proof,
    Receipts,
}

/// What a message to a validator is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    Heartbeat,
    Poll,
    Commit(FlowKey),
    /// Says that there will be no commitment; nothing follows from the answer.
    Report(FlowKey),
    Submit(FlowKey),
    Receipts,
}

impl Purpose {
    pub fn lane(&self) -> Lane {
        match self {
            Purpose::Heartbeat => Lane::Heartbeat,
            Purpose::Poll => Lane::Poll,
            Purpose::Commit(_) | Purpose::Report(_) => Lane::Commitment,
            Purpose::Submit(_) => Lane::Proof,
            Purpose::Receipts => Lane::Receipts,
        }
    }
}

impl Lane {
    pub const ALL: [Lane; 5] = [Lane::Heartbeat, Lane::Poll, Lane::Commitment, Lane::Proof, Lane::Receipts];

    pub fn kind(self) -> SynapseKind {
        match self {
            Lane::Heartbeat => SynapseKind::Heartbeat,
            Lane::Poll => SynapseKind::Task,
            Lane::Commitment => SynapseKind::Challenge,
            Lane::Proof => SynapseKind::ChallengeProof,
            Lane::Receipts => SynapseKind::Receipt,
        }
    }

    /// Requests in flight at once. A flow has one at a time; several flows run side by side, because a
    /// worker's time counts until its commitment has arrived.
    fn width(self) -> usize {
        match self {
            Lane::Heartbeat | Lane::Poll | Lane::Receipts => 1,
            Lane::Commitment => 16,
            Lane::Proof => 4,
        }
    }

    /// How long an answer is waited for. `usual` is the operator's `communication.request_timeout`.
    pub fn timeout(self, usual: Duration) -> Duration {
        match self {
            Lane::Heartbeat | Lane::Commitment | Lane::Receipts => usual,
            Lane::Poll => usual.min(TASK_TIMEOUT),
            Lane::Proof => usual.max(PROOF_TIMEOUT),
        }
    }
}

/// One message to a validator, not yet encrypted.
#[derive(Clone, Debug)]
pub struct Job {
    pub to: Hotkey,
    pub purpose: Purpose,
    pub plaintext: Arc<str>,
    /// It was repeated already because its session was lost.
    pub repeated: bool,
    /// Connections that were tried for it and never opened.
    pub dials: u32,
    /// The waits after refusals for too many requests, and until when it is worth them.
    pub pace: Backoff,
    pub until: Mono,
    pub not_before: Mono,
    /// When it is dropped if it could not be sent until then.
    pub give_up: Mono,
}

#[derive(Debug, Default)]
struct Queue {
    in_flight: usize,
    waiting: VecDeque<Job>,
}

#[derive(Debug, Default)]
pub struct Lanes {
    queues: BTreeMap<(Hotkey, Lane), Queue>,
}

impl Lanes {
    pub fn push(&mut self, job: Job) {
        self.queue(&job.to.clone(), job.purpose.lane()).waiting.push_back(job);
    }

    /// A job comes back to the head of its lane.
    pub fn put_back(&mut self, job: Job) {
        self.queue(&job.to.clone(), job.purpose.lane()).waiting.push_front(job);
    }

    fn queue(&mut self, to: &Hotkey, lane: Lane) -> &mut Queue {
        self.queues.entry((to.clone(), lane)).or_default()
    }

    /// The next job that may fly on that lane; it counts as in flight.
    pub fn take(&mut self, to: &Hotkey, lane: Lane, now: Mono) -> Option<Job> {
        let queue = self.queues.get_mut(&(to.clone(), lane))?;
        if queue.in_flight >= lane.width() {
            return None;
        }
        let ready = queue.waiting.iter().position(|job| job.not_before <= now)?;
        let job = queue.waiting.remove(ready)?;
        queue.in_flight += 1;
        Some(job)
    }

    /// A flight on that lane is over.
    pub fn landed(&mut self, to: &Hotkey, lane: Lane) {
        let key = (to.clone(), lane);
        let Some(queue) = self.queues.get_mut(&key) else { return };
        queue.in_flight = queue.in_flight.saturating_sub(1);
        if queue.in_flight == 0 && queue.waiting.is_empty() {
            self.queues.remove(&key);
        }
    }

    /// Nothing waits and nothing flies.
    pub fn is_idle(&self, to: &Hotkey, lane: Lane) -> bool {
        !self.queues.contains_key(&(to.clone(), lane))
    }

    pub fn is_used(&self, to: &Hotkey) -> bool {
        Lane::ALL.into_iter().any(|lane| !self.is_idle(to, lane))
    }

    /// Validators for whom something waits that may fly now.
    pub fn waiting_for(&self, now: Mono) -> Vec<Hotkey> {
        let ready = |queue: &Queue| queue.waiting.iter().any(|job| job.not_before <= now);
        let mut all: Vec<_> =
            self.queues.iter().filter(|(_, queue)| ready(queue)).map(|(key, _)| key.0.clone()).collect();
        all.dedup();
        all
    }

    /// What waits on that lane.
    pub fn waiting(&self, to: &Hotkey, lane: Lane) -> impl Iterator<Item = &Job> {
        self.queues.get(&(to.clone(), lane)).into_iter().flat_map(|queue| &queue.waiting)
    }

    /// Messages that wait or fly.
    pub fn len(&self) -> usize {
        self.queues.values().map(|queue| queue.in_flight + queue.waiting.len()).sum()
    }

    /// Takes out every job that waited too long.
    pub fn expire(&mut self, now: Mono) -> Vec<Job> {
        let mut late = Vec::new();
        for queue in self.queues.values_mut() {
            let (over, rest): (Vec<_>, Vec<_>) = queue.waiting.drain(..).partition(|job| job.give_up <= now);
            queue.waiting = rest.into();
            late.extend(over);
        }
        self.queues.retain(|_, queue| queue.in_flight > 0 || !queue.waiting.is_empty());
        late
    }

    /// Takes out everything that waits.
    pub fn clear(&mut self) {
        self.queues.values_mut().for_each(|queue| queue.waiting.clear());
        self.queues.retain(|_, queue| queue.in_flight > 0);
    }

    /// When the next waiting job is given up or may be tried again.
    pub fn deadline(&self, now: Mono) -> Option<Mono> {
        let jobs = self.queues.values().flat_map(|queue| &queue.waiting);
        jobs.map(|job| if job.not_before > now { job.not_before.min(job.give_up) } else { job.give_up }).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::ChallengeId;

    fn at(secs: u64) -> Mono {
        Mono(secs * 1_000_000_000)
    }

    fn job(to: &str, purpose: Purpose) -> Job {
        let to = Hotkey::label(to);
        let pace = Backoff::new(Duration::from_secs(1), Duration::from_secs(8));
        let (not_before, until, give_up) = (at(0), at(0), at(60));
        Job { to, purpose, plaintext: "{}".into(), repeated: false, dials: 0, pace, until, not_before, give_up }
    }

    fn commit(challenge: u32) -> Purpose {
        let validator = Hotkey::label("bob");
        Purpose::Commit(FlowKey { validator, challenge: ChallengeId::new(&challenge.to_string()) })
    }

    #[test]
    fn one_heartbeat_and_one_poll_fly_at_a_time_and_neither_waits_for_the_other() {
        let (mut lanes, bob, carol) = (Lanes::default(), Hotkey::label("bob"), Hotkey::label("carol"));
        for to in ["bob", "bob", "carol"] {
            lanes.push(job(to, Purpose::Heartbeat));
        }
        lanes.push(job("bob", Purpose::Poll));
        assert!(lanes.take(&bob, Lane::Heartbeat, at(1)).is_some());
        assert!(lanes.take(&bob, Lane::Heartbeat, at(1)).is_none());
        assert!(lanes.take(&bob, Lane::Poll, at(1)).is_some());
        assert!(lanes.take(&carol, Lane::Heartbeat, at(1)).is_some());
        lanes.landed(&bob, Lane::Heartbeat);
        assert!(lanes.take(&bob, Lane::Heartbeat, at(1)).is_some());
    }

    #[test]
    fn flows_run_side_by_side_within_a_bound() {
        let (mut lanes, bob) = (Lanes::default(), Hotkey::label("bob"));
        (0..100).for_each(|challenge| lanes.push(job("bob", commit(challenge))));
        let flying = std::iter::from_fn(|| lanes.take(&bob, Lane::Commitment, at(0))).count();
        assert_eq!((flying, lanes.len()), (16, 100));
    }

    #[test]
    fn a_job_that_must_wait_lets_others_pass() {
        let (mut lanes, bob) = (Lanes::default(), Hotkey::label("bob"));
        lanes.push(Job { not_before: at(5), ..job("bob", commit(1)) });
        assert_eq!(lanes.deadline(at(0)), Some(at(5)));
        assert!(lanes.take(&bob, Lane::Commitment, at(0)).is_none());
        lanes.push(job("bob", commit(2)));
        assert_eq!(lanes.take(&bob, Lane::Commitment, at(0)).unwrap().purpose, commit(2));
        assert_eq!(lanes.take(&bob, Lane::Commitment, at(5)).unwrap().purpose, commit(1));
    }

    #[test]
    fn what_waits_too_long_is_given_up_and_leaves_nothing_behind() {
        let mut lanes = Lanes::default();
        lanes.push(job("bob", Purpose::Poll));
        assert_eq!(lanes.deadline(at(0)), Some(at(60)));
        assert!(lanes.expire(at(59)).is_empty());
        assert_eq!(lanes.expire(at(60)).len(), 1);
        assert!(!lanes.is_used(&Hotkey::label("bob")));
        assert_eq!(lanes.deadline(at(60)), None);
    }
}
