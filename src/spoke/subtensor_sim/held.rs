//! Answers that a slow node holds back: bounded, each with the moment when it is due. Nothing is decided here.

use std::collections::BTreeMap;

use crate::{
    machine::Message,
    units::{Mono, PeerId},
};

/// Answers that may be held back at once; beyond, the first one goes early.
const HELD_MAX: usize = 1024;

#[derive(Default)]
pub struct Held {
    by_time: BTreeMap<(Mono, u64), (PeerId, Message)>,
    count: u64,
}

impl Held {
    /// Holds an answer back until `due`.
    pub fn push(&mut self, due: Mono, peer: PeerId, message: Message) {
        self.count += 1;
        self.by_time.insert((due, self.count), (peer, message));
    }

    /// The next answer that is due, or that there is no room for.
    pub fn pop(&mut self, now: Mono) -> Option<(PeerId, Message)> {
        let due = self.deadline()?;
        if now < due && self.by_time.len() <= HELD_MAX {
            return None;
        }
        self.by_time.pop_first().map(|(_, answer)| answer)
    }

    pub fn deadline(&self) -> Option<Mono> {
        self.by_time.first_key_value().map(|((due, _), _)| *due)
    }

    /// The connection is gone.
    pub fn forget(&mut self, peer: PeerId) {
        self.by_time.retain(|_, (of, _)| *of != peer);
    }
}
