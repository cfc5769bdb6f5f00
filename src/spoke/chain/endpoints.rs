//! Which endpoint to ask next: in the configured order, those in worse health last.
//!
//! Owns the health of each endpoint: its rest after a failure (with back-off), what its best block was, which chain it
//! is of, and when it may be asked again. Sends nothing and reads no clock.

use std::time::Duration;

use rand_chacha::ChaCha20Rng;

use crate::{
    machine::backoff::Backoff,
    units::{BlockNumber, Mono},
};

/// The first and the longest rest of an endpoint that failed.
const REST_FIRST: Duration = Duration::from_secs(2);
const REST_MAX: Duration = Duration::from_secs(300);

/// An endpoint's best block is looked at this often while it is asked at all.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Ten block times: a best block that stood still for so long belongs to a node that lies stalled.
const STANDSTILL: Duration = Duration::from_secs(120);
/// Blocks that an endpoint may be behind another.
const BEHIND_MAX: u64 = 20;
/// A chain grows by a block in this time, and by some more at once where a node sees several together.
const BLOCK_TIME: Duration = Duration::from_secs(12);
const BURST_BLOCKS: u64 = 5;

/// What fails now and then for the same reason is told at most this often.
const TELL_AGAIN: Duration = Duration::from_secs(600);

/// How an endpoint failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    Unreachable,
    RateLimited,
    /// It answers, and not from the present.
    Stalled,
}

/// The best block that an endpoint said.
#[derive(Clone, Copy)]
struct Best {
    number: BlockNumber,
    moved: Mono,
    looked: Mono,
    /// It was seen to grow as a chain does.
    is_paced: bool,
}

impl Best {
    /// A chain that begins anew, as those of tests do, moved as well.
    fn has_moved(&self, number: BlockNumber) -> bool {
        number > self.number || self.number - number > BEHIND_MAX
    }

    /// Whether growing to `number` by now, no faster than blocks are made, goes on with a chain.
    fn paces(&self, number: BlockNumber, now: Mono) -> bool {
        match number.checked_sub(self.number) {
            Some(0) => self.is_paced,
            Some(grown) => grown <= now.since(self.moved).as_secs() / BLOCK_TIME.as_secs() + BURST_BLOCKS,
            None => self.is_paced && !self.has_moved(number),
        }
    }

    fn stands_still(&self, now: Mono) -> bool {
        self.moved + STANDSTILL <= now
    }
}

struct Endpoint {
    backoff: Backoff,
    resting: Option<(Mono, Failure)>,
    /// When each failure was last news.
    told: [Option<Mono>; 3],
    /// It was told that it failed, and not yet that it works.
    is_owed: bool,
    best: Option<Best>,
    /// Of another chain: it is never asked again.
    strange: Option<[u8; 32]>,
    /// Not to be asked before: its pace.
    next: Mono,
}

/// The health of a list of endpoints, known by their place in it.
pub struct Endpoints {
    all: Vec<Endpoint>,
    jitter: ChaCha20Rng,
}

impl Endpoints {
    pub fn new(count: usize, jitter: ChaCha20Rng) -> Endpoints {
        let fresh = || Endpoint {
            backoff: Backoff::new(REST_FIRST, REST_MAX),
            resting: None,
            told: [None; 3],
            is_owed: false,
            best: None,
            strange: None,
            next: Mono::default(),
        };
        Endpoints { all: (0..count).map(|_| fresh()).collect(), jitter }
    }

    /// Whom to ask, in order: those in good health, those that lie stalled, those that could not be reached, the one
    /// whose rest ends first leading. One that asked for fewer requests is left alone, one of another chain for good.
    pub fn order(&self, now: Mono) -> Vec<usize> {
        let ours = (0..self.all.len()).filter(|place| self.all[*place].strange.is_none());
        let ranked = ours.filter_map(|place| match self.rest(place, now) {
            None => Some((0, now, place)),
            Some((_, Failure::Stalled)) => Some((1, now, place)),
            Some((until, Failure::Unreachable)) => Some((2, until, place)),
            Some((_, Failure::RateLimited)) => None,
        });
        let mut ranked: Vec<_> = ranked.collect();
        ranked.sort_unstable();
        ranked.into_iter().map(|(_, _, place)| place).collect()
    }

    fn rest(&self, place: usize, now: Mono) -> Option<(Mono, Failure)> {
        self.all.get(place)?.resting.filter(|(until, _)| *until > now)
    }

    /// Whether one of these is in good health.
    pub fn any_healthy(&self, places: &[usize], now: Mono) -> bool {
        places.iter().any(|place| self.rest(*place, now).is_none())
    }

    /// How long until the first that asked for fewer requests may be asked again.
    pub fn shortest_rest(&self, now: Mono) -> Duration {
        let rests = (0..self.all.len()).filter_map(|place| self.rest(place, now));
        rests.map(|(until, _)| until.since(now)).min().unwrap_or_default()
    }

    /// It answered. Returns whether this is news. That it lies stalled no answer makes good, only its best block does.
    pub fn worked(&mut self, place: usize) -> bool {
        let Some(endpoint) = self.all.get_mut(place) else { return false };
        if !endpoint.resting.is_some_and(|(_, failure)| failure != Failure::Stalled) {
            return false;
        }
        endpoint.backoff.reset();
        endpoint.resting = None;
        std::mem::take(&mut endpoint.is_owed)
    }

    /// It failed, and rests, at least for `at_least`. Returns whether this is news: one that works and fails in turn, as
    /// at a limit of requests, is none each time.
    pub fn failed(&mut self, place: usize, now: Mono, failure: Failure, at_least: Duration) -> bool {
        let Some(endpoint) = self.all.get_mut(place) else { return false };
        let goes_on = endpoint.resting.is_some_and(|(_, before)| before == failure);
        let Some(told) = endpoint.told.get_mut(failure as usize) else { return false };
        let lately = told.is_some_and(|at| now.since(at) < TELL_AGAIN);
        let is_said = goes_on && endpoint.is_owed;
        let news = !lately && !is_said;
        if news {
            *told = Some(now);
            endpoint.is_owed = true;
        }
        let wait = endpoint.backoff.wait(&mut self.jitter).max(at_least.min(REST_MAX));
        endpoint.resting = Some((now + wait, failure));
        news
    }

    /// Whether it should be asked for its best block and its chain along with the next call.
    pub fn is_due(&self, place: usize, now: Mono) -> bool {
        let Some(endpoint) = self.all.get(place) else { return false };
        let stalled = endpoint.resting.is_some_and(|(_, failure)| failure == Failure::Stalled);
        stalled || endpoint.best.is_none_or(|best| best.looked + LOOK_EVERY <= now)
    }

    /// It is of another chain.
    pub fn is_strange(&mut self, place: usize, genesis: [u8; 32]) {
        if let Some(endpoint) = self.all.get_mut(place) {
            endpoint.strange = Some(genesis);
        }
    }

    /// An endpoint of another chain, when there are no others.
    pub fn all_strange(&self) -> Option<(usize, [u8; 32])> {
        let mut strange = self.all.iter().enumerate().map(|(place, endpoint)| Some((place, endpoint.strange?)));
        let first = strange.next().flatten()?;
        strange.all(|strange| strange.is_some()).then_some(first)
    }

    /// Its best block now. What is wrong with that, if anything; and whether it is news that nothing is any more.
    pub fn heard(&mut self, place: usize, number: BlockNumber, now: Mono) -> (Option<String>, bool) {
        let elsewhere = self.highest_elsewhere(place, now);
        let Some(endpoint) = self.all.get_mut(place) else { return (None, false) };
        let moved = endpoint.best.filter(|best| !best.has_moved(number)).map_or(now, |best| best.moved);
        let is_paced = endpoint.best.is_some_and(|best| best.paces(number, now));
        let best = Best { number, moved, looked: now, is_paced };
        endpoint.best = Some(best);
        let was = endpoint.resting.is_some_and(|(_, failure)| failure == Failure::Stalled);
        let wrong = elsewhere.filter(|highest| !is_paced && highest.saturating_sub(number) > BEHIND_MAX);
        let wrong = match wrong {
            Some(highest) => Some(format!("its best block is {number}, another endpoint said {highest}")),
            None => best.stands_still(now).then(|| {
                let standing_s = now.since(moved).as_secs();
                format!("its best block {number} has not moved for {standing_s} s")
            }),
        };
        let recovers = wrong.is_none() && was;
        if recovers {
            endpoint.resting = None;
            endpoint.backoff.reset();
        }
        (wrong, recovers && std::mem::take(&mut endpoint.is_owed))
    }

    /// What the others said, as long as it moved lately: a height of long ago, or one that no blocks follow, says
    /// nothing of the present. Held only against an endpoint that was not seen to follow a chain itself: a lie about a
    /// height costs nothing, blocks in their time do. Of two that both grow as a chain does nobody here can tell which
    /// is right, so the configured order stands; the time in the blocks tells, and the machine looks at that.
    fn highest_elsewhere(&self, place: usize, now: Mono) -> Option<BlockNumber> {
        let others = self.all.iter().enumerate().filter(|(other, _)| *other != place).map(|(_, endpoint)| endpoint);
        let bests = others.filter(|endpoint| endpoint.strange.is_none()).filter_map(|endpoint| endpoint.best);
        bests.filter(|best| !best.stands_still(now)).map(|best| best.number).max()
    }

    /// How long to wait until it may be asked, at one request each `interval`; the request after that is counted from
    /// then on.
    pub fn pace(&mut self, place: usize, now: Mono, interval: Duration) -> Duration {
        let Some(endpoint) = self.all.get_mut(place) else { return Duration::ZERO };
        let at = endpoint.next.max(now);
        endpoint.next = at + interval;
        at.since(now)
    }
}

#[cfg(test)]
mod tests {
    use rand_core::SeedableRng;

    use super::*;

    const START: Mono = Mono(0);
    const NONE: Duration = Duration::ZERO;

    fn three() -> Endpoints {
        Endpoints::new(3, ChaCha20Rng::seed_from_u64(1))
    }

    fn after(seconds: u64) -> Mono {
        START + Duration::from_secs(seconds)
    }

    #[test]
    fn the_configured_order_holds_while_all_is_well() {
        assert_eq!(three().order(START), [0, 1, 2]);
    }

    #[test]
    fn an_endpoint_that_failed_is_asked_last_until_it_has_rested() {
        let mut endpoints = three();
        assert!(endpoints.failed(0, START, Failure::Unreachable, NONE));
        assert_eq!(endpoints.order(START), [1, 2, 0]);
        assert_eq!(endpoints.order(START + REST_FIRST), [0, 1, 2]);
        assert!(!endpoints.failed(0, START, Failure::Unreachable, NONE), "no news");
        assert_eq!([endpoints.worked(0), endpoints.worked(0)], [true, false]);
    }

    #[test]
    fn one_that_works_and_fails_in_turn_is_told_once_in_a_while() {
        let mut endpoints = three();
        let mut news = |seconds| {
            let failed = endpoints.failed(0, after(seconds), Failure::RateLimited, NONE);
            (failed, endpoints.worked(0))
        };
        assert_eq!([0, 10, 20, 599].map(&mut news), [(true, true), (false, false), (false, false), (false, false)]);
        assert_eq!([600, 610].map(&mut news), [(true, true), (false, false)]);
        let mut failed = |seconds, failure| endpoints.failed(0, after(seconds), failure, NONE);
        assert!(!failed(620, Failure::RateLimited) && !failed(1199, Failure::RateLimited));
        assert!(failed(1200, Failure::RateLimited), "an end that was told as none is told after a while");
        assert!(endpoints.failed(0, after(1201), Failure::Unreachable, NONE), "another reason is news");
    }

    #[test]
    fn an_endpoint_that_asked_for_fewer_requests_is_left_alone() {
        let mut endpoints = three();
        for place in 0..3 {
            endpoints.failed(place, START, Failure::RateLimited, NONE);
        }
        assert_eq!(endpoints.order(START), [0usize; 0]);
        assert!(endpoints.shortest_rest(START) > NONE && endpoints.shortest_rest(START) <= REST_FIRST);
        endpoints.worked(1);
        assert_eq!(endpoints.order(START), [1]);
    }

    #[test]
    fn an_endpoint_is_left_alone_for_as_long_as_it_asks_within_reason() {
        let mut endpoints = three();
        endpoints.failed(0, START, Failure::RateLimited, Duration::from_secs(60));
        assert_eq!((endpoints.order(after(59)), endpoints.order(after(60))), (vec![1, 2], vec![0, 1, 2]));
        endpoints.failed(0, START, Failure::RateLimited, Duration::from_secs(1 << 40));
        assert_eq!(endpoints.order(START + REST_MAX), [0, 1, 2]);
    }

    #[test]
    fn rests_grow_to_their_limit() {
        let mut endpoints = three();
        for _ in 0..30 {
            endpoints.failed(0, START, Failure::Unreachable, NONE);
        }
        assert_eq!(endpoints.order(START + REST_FIRST), [1, 2, 0]);
        assert_eq!(endpoints.order(START + REST_MAX), [0, 1, 2]);
    }

    #[test]
    fn a_best_block_that_stands_still_is_named_and_one_that_moves_again_forgiven() {
        let mut endpoints = three();
        assert!(endpoints.is_due(0, START));
        assert_eq!(endpoints.heard(0, 100, START), (None, false));
        assert!(!endpoints.is_due(0, after(29)) && endpoints.is_due(0, after(30)));
        assert_eq!(endpoints.heard(0, 100, after(119)), (None, false));
        let (wrong, _) = endpoints.heard(0, 100, after(120));
        assert_eq!(wrong.unwrap(), "its best block 100 has not moved for 120 s");
        endpoints.failed(0, after(120), Failure::Stalled, NONE);
        endpoints.failed(2, after(120), Failure::Unreachable, NONE);
        assert_eq!(endpoints.order(after(120)), [1, 0, 2]);
        assert!(!endpoints.worked(0), "an answer is no proof of life");
        assert!(endpoints.is_due(0, after(120)), "its next answer must prove it");
        assert_eq!(endpoints.heard(0, 101, after(121)), (None, true));
        assert_eq!(endpoints.order(after(121)), [0, 1, 2]);
    }

    #[test]
    fn an_endpoint_far_behind_another_is_named() {
        let mut endpoints = three();
        endpoints.heard(1, 1000, START);
        assert_eq!(endpoints.heard(0, 980, START), (None, false));
        let (wrong, _) = endpoints.heard(0, 979, START);
        assert_eq!(wrong.unwrap(), "its best block is 979, another endpoint said 1000");
        endpoints.is_strange(1, [1; 32]);
        assert_eq!(endpoints.heard(0, 979, START).0, None, "what another chain said does not count");
    }

    #[test]
    fn a_height_that_nobody_can_have_does_not_hold_against_one_that_follows_the_chain() {
        let mut endpoints = three();
        endpoints.heard(1, 1 << 40, START);
        assert!(endpoints.heard(0, 100, START).0.is_some(), "of two first heights the higher one is believed");
        endpoints.heard(1, (1 << 40) + 3, after(36));
        assert_eq!(endpoints.heard(0, 103, after(36)), (None, false), "it moves as a chain does");
        assert!(endpoints.heard(2, 103, after(36)).0.is_some(), "of this one nothing is known yet");
    }

    #[test]
    fn one_that_catches_up_is_behind_until_it_is_there() {
        let mut endpoints = three();
        endpoints.heard(1, 1000, START);
        endpoints.heard(0, 100, START);
        endpoints.heard(1, 1003, after(36));
        assert!(endpoints.heard(0, 600, after(36)).0.is_some(), "no chain is so fast");
        assert_eq!(endpoints.heard(0, 1003, after(40)).0, None);
    }

    #[test]
    fn a_height_that_was_said_long_ago_does_not_count() {
        let mut endpoints = three();
        endpoints.heard(1, 1000, START);
        assert!(endpoints.heard(0, 900, after(119)).0.is_some());
        assert_eq!(endpoints.heard(2, 901, after(120)).0, None);
    }

    #[test]
    fn a_chain_that_begins_anew_does_not_stand_still() {
        let mut endpoints = three();
        endpoints.heard(0, 1000, START);
        assert_eq!(endpoints.heard(0, 5, after(500)), (None, false));
    }

    #[test]
    fn an_endpoint_of_another_chain_is_never_asked_again() {
        let mut endpoints = three();
        endpoints.is_strange(0, [1; 32]);
        endpoints.is_strange(1, [2; 32]);
        assert_eq!((endpoints.order(after(1 << 30)), endpoints.all_strange()), (vec![2], None));
        endpoints.is_strange(2, [3; 32]);
        assert_eq!((endpoints.order(START), endpoints.all_strange()), (vec![], Some((0, [1; 32]))));
    }

    #[test]
    fn requests_keep_their_distance() {
        let mut endpoints = three();
        let second = Duration::from_secs(1);
        let mut pace = |place, now| endpoints.pace(place, now, second);
        assert_eq!([pace(0, START), pace(0, START), pace(0, START)], [NONE, second, 2 * second]);
        assert_eq!(pace(1, START), NONE, "each endpoint has a pace of its own");
        assert_eq!(pace(0, after(10)), NONE);
    }
}
