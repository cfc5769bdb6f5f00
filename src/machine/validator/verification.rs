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
    most_bytes: usize,
    verifiers: usize,
    /// How many waited when the bound was last changed.
    stayed: usize,
    busy: BTreeMap<ChallengeId, Shape>,
}

impl Verification {
    /// `verifiers`: threads that verify, at least 1; `most_waiting`: proofs that may wait for them.
    pub fn new(verifiers: usize, most_waiting: usize) -> Verification {
        let (verifiers, most_bytes) = (verifiers.max(1), MOST_BYTES);
        Verification {
            waiting: VecDeque::new(),
            bytes: 0,
            most_waiting,
            most_bytes,
            verifiers,
            stayed: 0,
            busy: BTreeMap::new(),
        }
    }

    /// Another bound for the queue; what waits already stays.
    pub fn let_wait(&mut self, most_waiting: usize) {
        self.stayed = self.waiting.len();
        self.most_waiting = most_waiting;
    }

    /// Queues a proof, unless the queue is full (`false`).
    pub fn push(&mut self, request: VerifyRequest) -> bool {
        let bytes = request.evidence.bytes();
        let room = self.waiting.len() < self.most_waiting && self.bytes.saturating_add(bytes) <= self.most_bytes;
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
        assert!(self.waiting.len() <= self.most_waiting.max(self.stayed), "the proof queue is over its bound");
        assert!(self.bytes <= self.most_bytes, "the proof queue is over its bound in bytes");
        assert_eq!(self.bytes, self.waiting.iter().map(|(_, bytes)| bytes).sum::<usize>());
        assert!(self.busy.len() <= self.verifiers, "more proofs handed out than there are verifiers");
        let twice = self.waiting.iter().any(|(request, _)| self.busy.contains_key(&request.id));
        assert!(!twice, "a proof is queued twice");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        compute::gemm_i8::{KeyPrefix, Spec},
        machine::contract::verify::{DeviceEvidence, Evidence},
        units::WorkerId,
        wire::messages::gemm_i8::{CHUNK_VALUES, GemmProof, Opening, Sample},
    };

    /// A proof of a device that opens so many chunks.
    fn proof(name: &str, openings: usize) -> VerifyRequest {
        let id = ChallengeId::new(name);
        let opening = Opening {
            round: 0,
            row: 0,
            chunk: 0,
            values: Box::new([0; CHUNK_VALUES]),
            chunk_path: vec![],
            row_path: vec![[0; 32]; 8],
        };
        let shown = GemmProof { uuid: "cpu".into(), tops: vec![[0; 32]], openings: vec![opening; openings] };
        let device = DeviceEvidence {
            prefix: KeyPrefix::new(&id, &[0; 32], "5A", &WorkerId::new("w"), "cpu"),
            root: [0; 32],
            samples: vec![Sample { round: 0, row: 0, chunk: 0 }; openings],
            proof: Ok(shown),
        };
        VerifyRequest { id, evidence: Evidence::GemmI8 { spec: Spec::new(256, 1).unwrap(), devices: vec![device] } }
    }

    fn names(queue: &mut Verification) -> Vec<String> {
        std::iter::from_fn(|| queue.next()).map(|request| request.id.to_string()).collect()
    }

    #[test]
    fn the_newest_proof_is_verified_first_by_as_many_as_there_are() {
        let mut queue = Verification::new(2, 10);
        ["a", "b", "c"].into_iter().for_each(|name| assert!(queue.push(proof(name, 1))));
        assert_eq!(names(&mut queue), ["c", "b"]);
        let done = Shape::GemmI8 { n: 256, rounds: 1, devices: 1, samples: 1 };
        assert_eq!((queue.done(&ChallengeId::new("c")), queue.done(&ChallengeId::new("c"))), (Some(done), None));
        assert_eq!(names(&mut queue), ["a"]);
        queue.check_invariants();
    }

    #[test]
    fn the_queue_is_bounded_in_number_and_in_bytes() {
        let mut queue = Verification { most_bytes: 20_000, ..Verification::new(1, 3) };
        assert!(queue.push(proof("a", 10)) && !queue.push(proof("b", 10)), "14,112 bytes each");
        assert!(queue.push(proof("c", 1)) && queue.push(proof("d", 1)) && !queue.push(proof("e", 1)));
        queue.check_invariants();
        queue.retain(|id| id.as_str() != "a");
        assert!(queue.bytes() < 3000 && queue.push(proof("b", 10)));
        queue.check_invariants();
    }
}
