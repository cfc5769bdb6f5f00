//! Proofs that must be computed: the newest request of each validator, one at a time in the opening spoke.
//!
//! Owns the requests, and the written proofs until they are sent. A lost connection loses none of it: the
//! answer goes over whichever connection is there. It reads no request and writes no frame.

use std::collections::BTreeMap;

use crate::{
    machine::contract::open::{OpenId, OpenReply, OpenRequest, ToOpen},
    units::{ChallengeId, Hotkey, PeerId, Wall},
};

/// Openings that the spoke may hold at once.
pub const OPENING_DEPTH: usize = 1;
/// What written proofs may hold together while there is no connection: two of the longest frames. What is dropped is
/// asked for again by a miner that still wants it.
const READY_BYTES: usize = 32 << 20;

/// A request for a proof.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub validator: Hotkey,
    pub challenge: ChallengeId,
    pub message_id: String,
    pub received: Wall,
    /// The connection that it came over.
    pub from: PeerId,
    pub what: ToOpen,
}

#[derive(Debug)]
struct Entry {
    wanted: Wanted,
    /// Counts the requests: the order in which they are served.
    turn: u64,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Waiting,
    AtWork(OpenId),
    /// The frame.
    Ready(String),
    /// Over that connection.
    Sent(PeerId),
}

#[derive(Debug, Default)]
pub(super) struct Opens {
    entries: BTreeMap<Hotkey, Entry>,
    turns: u64,
    ids: u64,
    /// The spoke has not answered yet.
    in_spoke: bool,
}

impl Opens {
    /// Takes a request in place of an older one of the same validator. `false`: it was taken before, and its answer
    /// is on the way.
    pub fn want(&mut self, wanted: Wanted) -> (bool, Option<OpenId>) {
        let old = self.entries.get_mut(&wanted.validator);
        let same = |old: &&mut Entry| old.wanted.message_id == wanted.message_id;
        let lost = |old: &mut Entry| matches!(old.stage, Stage::Sent(peer) if peer != wanted.from);
        if old.filter(same).is_some_and(|old| !lost(old)) {
            return (false, None);
        }
        let called_off = self.forget(&wanted.validator);
        self.turns += 1;
        let entry = Entry { turn: self.turns, stage: Stage::Waiting, wanted };
        self.entries.insert(entry.wanted.validator.clone(), entry);
        (true, called_off)
    }

    /// Nobody wants that validator's proof any more. The opening that is to be called off for it.
    fn forget(&mut self, validator: &Hotkey) -> Option<OpenId> {
        match self.entries.remove(validator)?.stage {
            Stage::AtWork(id) => Some(id),
            Stage::Waiting | Stage::Ready(_) | Stage::Sent(_) => None,
        }
    }

    /// Keeps only what `wanted` says of validator and challenge; the opening to be called off.
    pub fn keep(&mut self, wanted: impl Fn(&Hotkey, &ChallengeId) -> bool) -> Option<OpenId> {
        let gone = self.entries.iter().filter(|(validator, entry)| !wanted(validator, &entry.wanted.challenge));
        let gone: Vec<Hotkey> = gone.map(|(validator, _)| validator.clone()).collect();
        // One at a time is at work.
        gone.iter().filter_map(|validator| self.forget(validator)).max()
    }

    /// The oldest request, once the spoke is idle.
    pub fn next(&mut self) -> Option<OpenRequest> {
        if self.in_spoke {
            return None;
        }
        let waiting = self.entries.values_mut().filter(|entry| matches!(entry.stage, Stage::Waiting));
        let entry = waiting.min_by_key(|entry| entry.turn)?;
        self.ids += 1;
        self.in_spoke = true;
        let id = OpenId(self.ids);
        entry.stage = Stage::AtWork(id);
        Some(OpenRequest { id, wanted: entry.wanted.what.clone() })
    }

    /// The spoke's answer: the request that it belongs to, if somebody still waits.
    pub fn finished(&mut self, reply: &OpenReply) -> Option<Wanted> {
        self.in_spoke = false;
        let at_work = |entry: &&Entry| matches!(entry.stage, Stage::AtWork(id) if id == reply.id);
        self.entries.values().find(at_work).map(|entry| entry.wanted.clone())
    }

    /// The frame that answers that validator's request. Over the limit the oldest frames are dropped; how many.
    pub fn ready(&mut self, validator: &Hotkey, frame: String) -> usize {
        if let Some(entry) = self.entries.get_mut(validator) {
            entry.stage = Stage::Ready(frame);
        }
        let mut dropped = 0;
        while self.ready_bytes() > READY_BYTES {
            let ready = self.entries.iter().filter(|(_, entry)| matches!(entry.stage, Stage::Ready(_)));
            let Some(oldest) = ready.min_by_key(|(_, entry)| entry.turn).map(|(hotkey, _)| hotkey.clone()) else {
                break;
            };
            self.entries.remove(&oldest);
            dropped += 1;
        }
        dropped
    }

    fn ready_bytes(&self) -> usize {
        let bytes = |entry: &Entry| if let Stage::Ready(frame) = &entry.stage { frame.len() } else { 0 };
        self.entries.values().map(bytes).sum()
    }

    /// A frame to be sent over that connection, with whom and what it proves.
    pub fn next_ready(&mut self, over: PeerId) -> Option<(String, Hotkey, ChallengeId)> {
        let entry = self.entries.values_mut().find(|entry| matches!(entry.stage, Stage::Ready(_)))?;
        let Stage::Ready(frame) = std::mem::replace(&mut entry.stage, Stage::Sent(over)) else { return None };
        Some((frame, entry.wanted.validator.clone(), entry.wanted.challenge.clone()))
    }

    /// Drops everything, at the end of the worker: the opening to be called off.
    pub fn abandon(&mut self) -> Option<OpenId> {
        self.keep(|_, _| false)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        compute::gemm_i8::{self, KeyPrefix, Spec},
        machine::contract::open::OpenOutcome,
        units::WorkerId,
        wire::messages::gemm_i8::Sample,
    };

    const FIRST: PeerId = PeerId::dialed(1);
    const SECOND: PeerId = PeerId::dialed(2);

    fn wanted(validator: &str, message_id: &str, from: PeerId) -> Wanted {
        let challenge = ChallengeId::new("c");
        let prefix = KeyPrefix::new(&challenge, &[1; 32], "5A", &WorkerId::new("w"), "cpu");
        let answer = gemm_i8::compute(Spec::new(256, 1).unwrap(), prefix).unwrap();
        Wanted {
            validator: Hotkey::label(validator),
            challenge,
            message_id: message_id.into(),
            received: Wall::default(),
            from,
            what: ToOpen::Cpu { answer: Arc::new(answer), samples: vec![Sample { round: 0, row: 0, chunk: 0 }] },
        }
    }

    fn done(id: OpenId) -> OpenReply {
        OpenReply { id, outcome: OpenOutcome::CalledOff }
    }

    #[test]
    fn one_opening_at_a_time_and_the_oldest_first() {
        let mut opens = Opens::default();
        for validator in ["b", "a"] {
            assert_eq!(opens.want(wanted(validator, "m", FIRST)), (true, None));
        }
        let first = opens.next().unwrap();
        assert!(opens.next().is_none());
        assert_eq!(opens.finished(&done(first.id)).unwrap().validator, Hotkey::label("b"));
        let second = opens.next().unwrap();
        assert!(second.id > first.id);
        assert_eq!(opens.finished(&done(second.id)).unwrap().validator, Hotkey::label("a"));
    }

    #[test]
    fn a_newer_request_of_a_validator_takes_the_place_of_the_older() {
        let mut opens = Opens::default();
        opens.want(wanted("a", "m1", FIRST));
        let old = opens.next().unwrap();
        assert_eq!(opens.want(wanted("a", "m2", FIRST)), (true, Some(old.id)));
        assert!(opens.next().is_none(), "the spoke has not let go yet");
        assert!(opens.finished(&done(old.id)).is_none());
        let new = opens.next().unwrap();
        assert_eq!(opens.finished(&done(new.id)).unwrap().message_id, "m2");
    }

    #[test]
    fn the_same_request_is_answered_once_over_each_connection() {
        let mut opens = Opens::default();
        opens.want(wanted("a", "m", FIRST));
        assert_eq!(opens.want(wanted("a", "m", FIRST)), (false, None), "it waits");
        let request = opens.next().unwrap();
        assert_eq!(opens.want(wanted("a", "m", SECOND)), (false, None), "it is at work");
        let validator = opens.finished(&done(request.id)).unwrap().validator;
        assert_eq!(opens.ready(&validator, "frame".into()), 0);
        assert_eq!(opens.want(wanted("a", "m", SECOND)), (false, None), "it is ready");
        let sent = opens.next_ready(SECOND);
        assert_eq!(sent, Some(("frame".into(), validator, ChallengeId::new("c"))));
        assert_eq!(opens.next_ready(SECOND), None);
        assert_eq!(opens.want(wanted("a", "m", SECOND)), (false, None), "it was sent there");
        assert_eq!(opens.want(wanted("a", "m", PeerId::dialed(3))), (true, None), "it may be lost");
    }

    #[test]
    fn what_is_not_kept_any_more_is_called_off() {
        let mut opens = Opens::default();
        for validator in ["a", "b"] {
            opens.want(wanted(validator, "m", FIRST));
        }
        let request = opens.next().unwrap();
        assert_eq!(opens.keep(|validator, _| *validator != Hotkey::label("b")), None);
        assert_eq!(opens.keep(|_, challenge| challenge.as_str() != "c"), Some(request.id));
        assert!(opens.finished(&done(request.id)).is_none() && opens.next().is_none());
    }

    #[test]
    fn proofs_that_wait_for_a_connection_are_bounded() {
        let mut opens = Opens::default();
        let mut dropped = Vec::new();
        for validator in ["c", "a", "b"] {
            opens.want(wanted(validator, "m", FIRST));
            dropped.push(opens.ready(&Hotkey::label(validator), "x".repeat(READY_BYTES / 2)));
        }
        assert_eq!(dropped, [0, 0, 1]);
        let left = std::iter::from_fn(|| opens.next_ready(FIRST)).map(|(_, validator, _)| validator);
        assert_eq!(left.collect::<Vec<_>>(), [Hotkey::label("a"), Hotkey::label("b")]);
    }
}
