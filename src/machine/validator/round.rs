//! The rounds of challenges: when the next begins, whom it reaches, and who is still to get his challenge.
//!
//! Owns the workers that the round under way has not reached. A round is made in portions, so a large subnet never
//! holds up the loop. It makes no challenge itself.
//!
//! When there is no time to verify everybody, those who have had no challenge for the most rounds come first, and
//! chance decides among equals: nobody can foresee a round, and nobody is left out for longer than it takes to reach
//! all who waited as long.

use std::{collections::VecDeque, time::Duration};

use rand_chacha::ChaCha20Rng;
use rand_core::RngCore;

use super::fleet::{Able, Offer};
use crate::units::{Mono, Now, Wall, WorkerKey};

/// Challenges made in one turn: drawing one takes some microseconds.
pub const PORTION: usize = 128;
/// Pause between two portions, so that the store keeps up.
const BREATH: Duration = Duration::from_millis(20);

/// A worker that could get a challenge, and what the verification of it is expected to need.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    pub able: Able,
    pub expected_ms: f64,
}

#[derive(Debug, Default)]
pub struct Round {
    left: VecDeque<(WorkerKey, Offer)>,
    began: Wall,
    next: Mono,
}

/// What a round came to.
#[derive(Debug, Default, PartialEq)]
pub struct Reach {
    pub issued: usize,
    /// What verifying these is expected to need.
    pub expected_ms: f64,
    pub passed_over: Vec<WorkerKey>,
}

impl Round {
    pub fn is_over(&self) -> bool {
        self.left.is_empty()
    }

    /// Begins a round of challenges whose verification is expected to need no more than `spare_ms`, save the last of
    /// them: so one that alone needs more than an interval has its turn too. The next round is due an interval later.
    pub fn begin(
        &mut self,
        now: Now,
        interval: Duration,
        candidates: Vec<Candidate>,
        spare_ms: f64,
        rng: &mut ChaCha20Rng,
    ) -> Reach {
        self.began = now.wall;
        self.next = now.mono + interval;
        let needed: f64 = candidates.iter().map(|candidate| candidate.expected_ms).sum();
        let candidates = if needed > spare_ms { in_turn(candidates, rng) } else { candidates };
        let mut reach = Reach::default();
        for Candidate { able: Able { target, offer, .. }, expected_ms } in candidates {
            if reach.expected_ms < spare_ms {
                reach.expected_ms += expected_ms;
                self.left.push_back((target, offer));
            } else {
                reach.passed_over.push(target);
            }
        }
        reach.issued = self.left.len();
        reach
    }

    /// The next portion of workers.
    pub fn take(&mut self) -> Vec<(WorkerKey, Offer)> {
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

/// Those who wait longest first, in random order among equals.
fn in_turn(mut candidates: Vec<Candidate>, rng: &mut ChaCha20Rng) -> Vec<Candidate> {
    candidates.sort_by_cached_key(|candidate| (candidate.able.served, rng.next_u64()));
    candidates
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand_core::SeedableRng;

    use super::*;
    use crate::units::{Hotkey, WorkerId};

    const INTERVAL: Duration = Duration::from_secs(240);
    const NOW: Now = Now { mono: Mono(5), wall: Wall(9) };

    /// So many workers, each of which needs 10 ms, and the rounds that served them last.
    struct Crowd(Vec<Able>, u64);

    impl Crowd {
        fn new(count: usize) -> Crowd {
            let alice = Hotkey::label("alice");
            let target = |n: usize| WorkerKey::new(&alice, &WorkerId::new(&format!("{n:05}")));
            Crowd((0..count).map(|n| Able { target: target(n), offer: Offer::CpuMatrix, served: 0 }).collect(), 0)
        }

        fn candidates(&self) -> Vec<Candidate> {
            self.0.iter().map(|able| Candidate { able: able.clone(), expected_ms: 10.0 }).collect()
        }

        /// The workers that a round reaches.
        fn reached(&mut self, spare_ms: f64, rng: &mut ChaCha20Rng) -> BTreeSet<WorkerKey> {
            let mut round = Round::default();
            let reach = round.begin(NOW, INTERVAL, self.candidates(), spare_ms, rng);
            assert_eq!(reach.issued + reach.passed_over.len(), self.0.len());
            let portions = std::iter::from_fn(|| Some(round.take()).filter(|portion| !portion.is_empty()));
            let reached: BTreeSet<_> = portions.flatten().map(|(key, _)| key).collect();
            self.1 += 1;
            let served = self.0.iter_mut().filter(|able| reached.contains(&able.target));
            served.for_each(|able| able.served = self.1);
            reached
        }
    }

    #[test]
    fn a_long_round_is_made_in_portions() {
        let mut round = Round::default();
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let reach = round.begin(NOW, INTERVAL, Crowd::new(200).candidates(), 1e9, &mut rng);
        assert_eq!((reach.issued, reach.expected_ms, reach.passed_over), (200, 2000.0, vec![]));
        assert_eq!(round.take().len(), PORTION);
        assert_eq!(round.due(NOW.mono), NOW.mono + BREATH);
        assert_eq!(round.take().len(), 200 - PORTION);
        assert_eq!((round.due(NOW.mono), round.began()), (NOW.mono + INTERVAL, Wall(9)));
    }

    #[test]
    fn nobody_is_passed_over_twice_while_others_are_served_twice() {
        let (mut crowd, mut rng) = (Crowd::new(100), ChaCha20Rng::seed_from_u64(2));
        let rounds: Vec<_> = (0..4).map(|_| crowd.reached(250.0, &mut rng)).collect();
        assert!(rounds.iter().all(|reached| reached.len() == 25));
        let all: BTreeSet<_> = rounds.iter().flatten().collect();
        assert_eq!(all.len(), 100, "four rounds of a quarter each reach everybody");
    }

    #[test]
    fn who_comes_first_is_drawn_by_chance() {
        let first = |seed| Crowd::new(100).reached(250.0, &mut ChaCha20Rng::seed_from_u64(seed));
        assert_ne!(first(1), first(2));
        assert_eq!(first(1), first(1), "and by nothing else");
    }

    #[test]
    fn no_time_reaches_nobody_and_a_little_time_somebody() {
        let mut rng = ChaCha20Rng::seed_from_u64(3);
        let mut reached = |spare_ms| Crowd::new(10).reached(spare_ms, &mut rng).len();
        assert_eq!([reached(0.0), reached(-50.0), reached(1.0), reached(100.0)], [0, 0, 1, 10]);
    }

    #[test]
    fn the_whole_subnet_has_its_turn_in_time() {
        const ALL: usize = 256 * 100;
        let (mut crowd, mut rng) = (Crowd::new(ALL), ChaCha20Rng::seed_from_u64(5));
        let rounds: Vec<_> = (0..10).map(|_| crowd.reached(25_600.0, &mut rng)).collect();
        let all: BTreeSet<_> = rounds.iter().flatten().collect();
        assert_eq!(all.len(), ALL);
    }
}
