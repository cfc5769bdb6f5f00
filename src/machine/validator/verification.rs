//! Proofs that wait for a verifier, and how many verifiers are busy.
//!
//! Owns the queue: bounded in number and bytes, newest first, because the newest proof is the one whose challenge is
//! least likely to be overdue. Decides nothing about a proof; a full queue is the caller's to answer.

use std::collections::{BTreeMap, VecDeque};

use super::capacity::Shape;
use crate::{machine::contract::verify::VerifyRequest, units::ChallengeId};

/// Bytes of the proofs that wait, together. One proof has some MiB at most, so that a few of the largest fit.
pub const MOST_BYTES: usize = 256 << 20;

#[derive(Debug)]
pub struct Verification {
    waiting: VecDeque<(VerifyRequest, usize)>,
    bytes: usize,
    most_waiting: usize,
    verifiers: usize,
    busy: BTreeMap<ChallengeId, Shape>,
}

impl Verification {
    /// `verifiers`: threads that verify, at least 1; `most_waiting`: proofs that may wait for them.
    pub fn new(verifiers: usize, most_waiting: usize) -> Verification {
        let verifiers = verifiers.max(1);
        Verification { waiting: VecDeque::new(), bytes: 0, most_waiting, verifiers, busy: BTreeMap::new() }
    }

    /// Queues a proof, unless the queue is full (`false`).
    pub fn push(&mut self, request: VerifyRequest) -> bool {
        let bytes = request.evidence.bytes();
        let room = self.waiting.len() < self.most_waiting && self.bytes.saturating_add(bytes) <= MOST_BYTES;
        if room {
            self.bytes += bytes;
            self.waiting.push_back((request, bytes));
        }
        room
    }

    /// The newest proof, when a verifier is free.
    pub fn next(&mut self) -> Option<VerifyRequest> {
        if self.busy.len() >= self.verifiers {
            return None;
        }
        let (request, bytes) = self.waiting.pop_back()?;
        self.bytes -= bytes;
        self.busy.insert(request.id.clone(), Shape::of_evidence(&request.evidence));
        Some(request)
    }

    /// A verifier answered; what it verified.
    pub fn done(&mut self, id: &ChallengeId) -> Option<Shape> {
        self.busy.remove(id)
    }

    /// Drops proofs whose challenge ended while they waited.
    pub fn retain(&mut self, open: impl Fn(&ChallengeId) -> bool) {
        self.waiting.retain(|(request, _)| open(&request.id));
        self.bytes = self.waiting.iter().map(|(_, bytes)| bytes).sum();
    }

    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Of the proofs that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Panics when a bound does not hold.
    pub fn check_invariants(&self) {
        assert!(self.waiting.len() <= self.most_waiting, "the proof queue is over its bound");
        assert!(self.bytes <= MOST_BYTES, "the proof queue is over its bound in bytes");
        assert_eq!(self.bytes, self.waiting.iter().map(|(_, bytes)| bytes).sum::<usize>());
        assert!(self.busy.len() <= self.verifiers, "more proofs handed out than there are verifiers");
        let twice = self.waiting.iter().any(|(request, _)| self.busy.contains_key(&request.id));
        assert!(!twice, "a proof is queued twice");
    }
}
