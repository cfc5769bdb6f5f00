//! When each validator is next sent a heartbeat, next asked for tasks, and next for receipts.
//!
//! Owns one pair of due times a validator, so none waits for another. It sends nothing and knows nothing of
//! answers; what cannot be sent when it is due is skipped, not queued.

use std::{collections::BTreeMap, time::Duration};

use rand_core::RngCore;

use crate::units::{Hotkey, Mono};

/// First messages to newly listed validators are spread over this span.
const SPREAD: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Round {
    Heartbeat,
    Poll,
    Receipts,
}

/// Which rounds there is reason for: without workers there is nothing to report, without idle ones nothing
/// to ask for. What falls due meanwhile waits and goes out as soon as there is reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reason {
    pub heartbeat: bool,
    pub poll: bool,
    pub receipts: bool,
}

impl Reason {
    fn holds(self, round: Round) -> bool {
        match round {
            Round::Heartbeat => self.heartbeat,
            Round::Poll => self.poll,
            Round::Receipts => self.receipts,
        }
    }
}

#[derive(Debug)]
pub struct Schedule {
    heartbeat_every: Duration,
    poll_every: Duration,
    receipts_every: Duration,
    due: BTreeMap<(Hotkey, Round), Mono>,
}

impl Schedule {
    pub fn new(heartbeat_every: Duration, poll_every: Duration, receipts_every: Duration) -> Schedule {
        Schedule { heartbeat_every, poll_every, receipts_every, due: BTreeMap::new() }
    }

    /// Keeps exactly these validators; new ones are due at once, spread a little.
    pub fn keep<'a>(&mut self, now: Mono, listed: impl Iterator<Item = &'a Hotkey>, rng: &mut impl RngCore) {
        let mut old = std::mem::take(&mut self.due);
        for hotkey in listed {
            for round in [Round::Heartbeat, Round::Poll, Round::Receipts] {
                let key = (hotkey.clone(), round);
                let due =
                    old.remove(&key).unwrap_or_else(|| now + SPREAD.mul_f64(rng.next_u32() as f64 / 2f64.powi(32)));
                self.due.insert(key, due);
            }
        }
    }

    /// Every round that is due and has a reason, each moved on by its interval.
    pub fn take_due(&mut self, now: Mono, reason: Reason) -> Vec<(Hotkey, Round)> {
        let (heartbeat_every, poll_every, receipts_every) =
            (self.heartbeat_every, self.poll_every, self.receipts_every);
        let every = |round| match round {
            Round::Heartbeat => heartbeat_every,
            Round::Poll => poll_every,
            Round::Receipts => receipts_every,
        };
        let ready = self.due.iter_mut().filter(|((_, round), due)| reason.holds(*round) && **due <= now);
        ready
            .map(|(key, due)| {
                *due = now + every(key.1);
                key.clone()
            })
            .collect()
    }

    /// A worker came: every heartbeat is due by `by` at the latest.
    pub fn hasten_heartbeats(&mut self, by: Mono) {
        let heartbeats = self.due.iter_mut().filter(|((_, round), _)| *round == Round::Heartbeat);
        heartbeats.for_each(|(_, due)| *due = by.min(*due));
    }

    /// When the next round with a reason falls due.
    pub fn next(&self, reason: Reason) -> Option<Mono> {
        self.due.iter().filter(|((_, round), _)| reason.holds(*round)).map(|(_, due)| *due).min()
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::*;

    const BOTH: Reason = Reason { heartbeat: true, poll: true, receipts: false };

    fn at(secs: u64) -> Mono {
        Mono(secs * 1_000_000_000)
    }

    fn schedule(names: &[&str]) -> Schedule {
        let mut schedule = Schedule::new(Duration::from_secs(60), Duration::from_secs(30), Duration::from_secs(300));
        let listed: Vec<_> = names.iter().map(|name| Hotkey::label(name)).collect();
        schedule.keep(at(0), listed.iter(), &mut ChaCha20Rng::seed_from_u64(1));
        schedule
    }

    #[test]
    fn a_new_validator_hears_of_us_within_a_second_and_then_at_the_intervals() {
        let mut schedule = schedule(&["bob"]);
        assert_eq!(schedule.take_due(at(1), BOTH).len(), 2);
        assert_eq!(schedule.take_due(at(30), BOTH), []);
        assert_eq!(schedule.next(BOTH), Some(at(31)));
        assert_eq!(schedule.take_due(at(31), BOTH), [(Hotkey::label("bob"), Round::Poll)]);
        assert_eq!(schedule.take_due(at(61), BOTH).len(), 2);
    }

    #[test]
    fn without_a_reason_a_round_waits_and_then_goes_at_once() {
        let mut schedule = schedule(&["bob"]);
        let no_idle = Reason { heartbeat: true, ..Reason::default() };
        assert_eq!(schedule.take_due(at(40), no_idle), [(Hotkey::label("bob"), Round::Heartbeat)]);
        assert_eq!(schedule.next(no_idle), Some(at(100)));
        assert_eq!(schedule.next(Reason::default()), None);
        assert_eq!(schedule.take_due(at(41), BOTH), [(Hotkey::label("bob"), Round::Poll)]);
    }

    #[test]
    fn a_new_worker_hastens_the_heartbeat_only() {
        let mut schedule = schedule(&["bob"]);
        schedule.take_due(at(1), BOTH);
        schedule.hasten_heartbeats(at(5));
        assert_eq!(schedule.take_due(at(5), BOTH), [(Hotkey::label("bob"), Round::Heartbeat)]);
    }

    #[test]
    fn those_who_stay_keep_their_times_and_those_who_left_are_gone() {
        let mut schedule = schedule(&["bob", "carol"]);
        schedule.take_due(at(1), BOTH);
        let (carol, dave) = (Hotkey::label("carol"), Hotkey::label("dave"));
        schedule.keep(at(2), [&carol, &dave].into_iter(), &mut ChaCha20Rng::seed_from_u64(1));
        let due = schedule.take_due(at(3), BOTH);
        assert_eq!(due, [(dave.clone(), Round::Heartbeat), (dave, Round::Poll)]);
        assert_eq!(schedule.take_due(at(31), BOTH), [(carol, Round::Poll)]);
    }
}
