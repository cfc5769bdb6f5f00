//! Proofs that wait for a verifier, and how many verifiers are busy.
//!
//! Owns the queue: bounded, newest first, because the newest proof is the one whose challenge is least
//! likely to be overdue. Decides nothing about a proof; a full queue is the caller's to answer.

use std::collections::{BTreeSet, VecDeque};

use crate::{machine::contract::verify::VerifyRequest, units::ChallengeId};

#[derive(Debug)]
pub struct Verification {
    waiting: VecDeque<VerifyRequest>,
    most_waiting: usize,
    verifiers: usize,
    busy: BTreeSet<ChallengeId>,
}

impl Verification {
    /// `verifiers`: threads that verify, at least 1; `most_waiting`: proofs that may wait for them.
    pub fn new(verifiers: usize, most_waiting: usize) -> Verification {
        Verification { waiting: VecDeque::new(), most_waiting, verifiers: verifiers.max(1), busy: BTreeSet::new() }
    }

    pub fn is_full(&self) -> bool {
        self.waiting.len() >= self.most_waiting
    }

    /// Queues a proof. The caller looked at [`Verification::is_full`] first.
    pub fn push(&mut self, request: VerifyRequest) {
        debug_assert!(!self.is_full(), "a proof was queued past the bound");
        self.waiting.push_back(request);
    }

    /// The newest proof, when a verifier is free.
    pub fn next(&mut self) -> Option<VerifyRequest> {
        if self.busy.len() >= self.verifiers {
            return None;
        }
        let request = self.waiting.pop_back()?;
        self.busy.insert(request.id.clone());
        Some(request)
    }

    /// A verifier answered.
    pub fn done(&mut self, id: &ChallengeId) {
        self.busy.remove(id);
    }

    /// Drops proofs whose challenge ended while they waited.
    pub fn retain(&mut self, open: impl Fn(&ChallengeId) -> bool) {
        self.waiting.retain(|request| open(&request.id));
    }

    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Panics when a bound does not hold.
    pub fn check_invariants(&self) {
        assert!(self.waiting.len() <= self.most_waiting, "the proof queue is over its bound");
        assert!(self.busy.len() <= self.verifiers, "more proofs handed out than there are verifiers");
        assert!(self.waiting.iter().all(|request| !self.busy.contains(&request.id)), "a proof is queued twice");
    }
}
