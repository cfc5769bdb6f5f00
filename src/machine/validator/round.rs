//! The rounds of challenges: when the next begins, and who is still to get one.
//!
//! Owns the workers that the round under way has not reached. A round is made in portions, so a large subnet
//! never holds up the loop. It makes no challenge itself.

use std::{collections::VecDeque, time::Duration};

use crate::units::{Mono, Now, Wall, WorkerKey};

/// Challenges made in one turn: drawing one takes some microseconds.
pub const PORTION: usize = 128;
/// Pause between two portions, so that the store keeps up.
const BREATH: Duration = Duration::from_millis(20);

#[derive(Debug, Default)]
pub struct Round {
    left: VecDeque<WorkerKey>,
    began: Wall,
    next: Mono,
}

impl Round {
    pub fn is_over(&self) -> bool {
        self.left.is_empty()
    }

    /// Begins a round; the next one is due an interval later.
    pub fn begin(&mut self, now: Now, interval: Duration, candidates: Vec<WorkerKey>) {
        self.left = candidates.into();
        self.began = now.wall;
        self.next = now.mono + interval;
    }

    /// The next portion of workers.
    pub fn take(&mut self) -> Vec<WorkerKey> {
        self.left.drain(..self.left.len().min(PORTION)).collect()
    }

    /// When the round under way began.
    pub fn began(&self) -> Wall {
        self.began
    }

    /// When to go on: with this round, or with the next.
    pub fn due(&self, now: Mono) -> Mono {
        if self.is_over() { self.next.max(now) } else { now + BREATH }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{Hotkey, WorkerId};

    #[test]
    fn a_long_round_is_made_in_portions() {
        let alice = Hotkey::label("alice");
        let workers = (0..200).map(|n| WorkerKey::new(&alice, &WorkerId::new(&n.to_string()))).collect();
        let now = Now { mono: Mono(5), wall: Wall(9) };
        let mut round = Round::default();
        round.begin(now, Duration::from_secs(240), workers);
        assert_eq!(round.take().len(), PORTION);
        assert_eq!(round.due(now.mono), now.mono + BREATH);
        assert_eq!(round.take().len(), 200 - PORTION);
        assert_eq!((round.due(now.mono), round.began()), (now.mono + Duration::from_secs(240), Wall(9)));
    }
}
