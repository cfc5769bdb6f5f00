//! The metagraph: when to ask the chain for it, and the age of the last good answer.
//!
//! A round asks for the head, for a preflight when the head is of another runtime, and for the metagraph. Owns one
//! request in flight at most. A failure ends the round and keeps what was known; the wait before the next one
//! grows up to the interval. It reads nothing out of a metagraph: [`super::validators`] does.

use std::time::Duration;

use rand_core::RngCore;

use crate::{machine::backoff::Backoff, units::Mono};

/// Longest wait before the first attempt after a failure.
const FIRST_RETRY: Duration = Duration::from_secs(5);

/// A runtime is replaced within a block.
const UPGRADE_RETRY: Duration = Duration::from_secs(6);

/// How far a round has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Head,
    Preflight,
    Metagraph,
}

#[derive(Debug)]
pub struct Sync {
    interval: Duration,
    backoff: Backoff,
    /// What is asked for.
    asked: Option<Step>,
    next: Mono,
    last_good: Option<Mono>,
}

impl Sync {
    /// Due at once.
    pub fn new(interval: Duration) -> Sync {
        let backoff = Backoff::new(FIRST_RETRY.min(interval), interval);
        Sync { interval, backoff, asked: None, next: Mono::default(), last_good: None }
    }

    /// Whether to begin a round now; its first question counts as asked.
    pub fn take_due(&mut self, now: Mono) -> bool {
        let due = self.asked.is_none() && self.next <= now;
        if due {
            self.asked = Some(Step::Head);
        }
        due
    }

    /// The round's next question counts as asked.
    pub fn go_on(&mut self, step: Step) {
        self.asked = Some(step);
    }

    pub fn step(&self) -> Option<Step> {
        self.asked
    }

    pub fn succeeded(&mut self, now: Mono) {
        self.asked = None;
        self.last_good = Some(now);
        self.backoff.reset();
        self.next = now + self.interval;
    }

    /// Says when it will be tried again.
    pub fn failed(&mut self, now: Mono, rng: &mut impl RngCore) -> Duration {
        self.asked = None;
        let wait = self.backoff.wait(rng);
        self.next = now + wait;
        wait
    }

    /// Nothing failed; the chain can be read again in a moment.
    pub fn is_upgrading(&mut self, now: Mono) {
        self.asked = None;
        self.next = now + UPGRADE_RETRY.min(self.interval);
    }

    /// Age of what is known; `None` when nothing is.
    pub fn age(&self, now: Mono) -> Option<Duration> {
        self.last_good.map(|at| now.since(at))
    }

    pub fn deadline(&self) -> Option<Mono> {
        self.asked.is_none().then_some(self.next)
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::*;

    fn at(secs: u64) -> Mono {
        Mono(secs * 1_000_000_000)
    }

    #[test]
    fn one_request_at_a_time_at_the_interval() {
        let mut sync = Sync::new(Duration::from_secs(60));
        assert!(sync.take_due(at(0)));
        assert!(!sync.take_due(at(100)), "the first is not answered yet");
        assert_eq!(sync.deadline(), None);
        sync.succeeded(at(101));
        assert_eq!(sync.deadline(), Some(at(161)));
        assert!(!sync.take_due(at(160)) && sync.take_due(at(161)));
    }

    #[test]
    fn an_upgrade_is_waited_for_and_is_no_failure() {
        let mut sync = Sync::new(Duration::from_secs(60));
        assert!(sync.take_due(at(0)));
        sync.go_on(Step::Metagraph);
        sync.is_upgrading(at(10));
        assert_eq!((sync.step(), sync.deadline()), (None, Some(at(16))));
    }

    #[test]
    fn a_failure_keeps_the_age_and_tries_again_soon() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut sync = Sync::new(Duration::from_secs(60));
        assert_eq!(sync.age(at(5)), None);
        sync.take_due(at(0));
        sync.succeeded(at(1));
        sync.take_due(at(61));
        assert!(sync.failed(at(62), &mut rng) <= FIRST_RETRY);
        assert_eq!(sync.age(at(62)), Some(Duration::from_secs(61)));
        for _ in 0..20 {
            assert!(sync.take_due(at(10_000)));
            assert!(sync.failed(at(10), &mut rng) <= Duration::from_secs(60));
        }
    }
}
