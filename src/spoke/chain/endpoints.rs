//! Which endpoint to ask next: in the configured order, those that just failed last.
//!
//! Owns the health of each endpoint and its back-off. Sends nothing and reads no clock.

use std::time::Duration;

use rand_chacha::ChaCha20Rng;

use crate::{machine::backoff::Backoff, units::Mono};

/// The first and the longest rest of an endpoint that failed.
const REST_FIRST: Duration = Duration::from_secs(2);
const REST_MAX: Duration = Duration::from_secs(300);

/// How an endpoint failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    Unreachable,
    RateLimited,
}

struct Endpoint {
    backoff: Backoff,
    resting: Option<(Mono, Failure)>,
}

/// The health of a list of endpoints, known by their place in it.
pub struct Endpoints {
    all: Vec<Endpoint>,
    jitter: ChaCha20Rng,
}

impl Endpoints {
    pub fn new(count: usize, jitter: ChaCha20Rng) -> Endpoints {
        let fresh = || Endpoint { backoff: Backoff::new(REST_FIRST, REST_MAX), resting: None };
        Endpoints { all: (0..count).map(|_| fresh()).collect(), jitter }
    }

    /// Whom to ask, in order: first those in good health, then those that rest because they could not be
    /// reached, the one whose rest ends first leading. One that asked for fewer requests is left alone.
    pub fn order(&self, now: Mono) -> Vec<usize> {
        let rest = |place: usize| self.all[place].resting.filter(|(until, _)| *until > now);
        let (healthy, mut resting): (Vec<_>, Vec<_>) = (0..self.all.len()).partition(|place| rest(*place).is_none());
        resting.retain(|place| rest(*place).is_some_and(|(_, failure)| failure == Failure::Unreachable));
        resting.sort_by_key(|place| rest(*place).map(|(until, _)| until));
        healthy.into_iter().chain(resting).collect()
    }

    pub fn worked(&mut self, place: usize) {
        if let Some(endpoint) = self.all.get_mut(place) {
            endpoint.backoff.reset();
            endpoint.resting = None;
        }
    }

    pub fn failed(&mut self, place: usize, now: Mono, failure: Failure) {
        if let Some(endpoint) = self.all.get_mut(place) {
            endpoint.resting = Some((now + endpoint.backoff.wait(&mut self.jitter), failure));
        }
    }
}

#[cfg(test)]
mod tests {
    use rand_core::SeedableRng;

    use super::*;

    const START: Mono = Mono(0);

    fn three() -> Endpoints {
        Endpoints::new(3, ChaCha20Rng::seed_from_u64(1))
    }

    #[test]
    fn the_configured_order_holds_while_all_is_well() {
        assert_eq!(three().order(START), [0, 1, 2]);
    }

    #[test]
    fn an_endpoint_that_failed_is_asked_last_until_it_has_rested() {
        let mut endpoints = three();
        endpoints.failed(0, START, Failure::Unreachable);
        assert_eq!(endpoints.order(START), [1, 2, 0]);
        assert_eq!(endpoints.order(START + REST_FIRST), [0, 1, 2]);
    }

    #[test]
    fn an_endpoint_that_asked_for_fewer_requests_is_left_alone() {
        let mut endpoints = three();
        for place in 0..3 {
            endpoints.failed(place, START, Failure::RateLimited);
        }
        assert_eq!(endpoints.order(START), [0usize; 0]);
        endpoints.worked(1);
        assert_eq!(endpoints.order(START), [1]);
    }

    #[test]
    fn rests_grow_to_their_limit() {
        let mut endpoints = three();
        for _ in 0..30 {
            endpoints.failed(0, START, Failure::Unreachable);
        }
        assert_eq!(endpoints.order(START + REST_FIRST), [1, 2, 0]);
        assert_eq!(endpoints.order(START + REST_MAX), [0, 1, 2]);
    }
}
