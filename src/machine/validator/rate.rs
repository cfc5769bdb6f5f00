//! How many verified requests one hotkey may make in any stretch of time.
//!
//! Owns the moments of the last admitted requests of each hotkey. Counts only what the caller verified, so
//! naming a hotkey uses up nothing of its allowance; a refused request does not count either.

use std::collections::{BTreeMap, VecDeque};

use crate::{
    config::validator::RateLimit,
    units::{Hotkey, Mono},
};

/// A sliding window per hotkey. The caller admits only hotkeys of the metagraph, which bounds their number.
#[derive(Clone, Debug)]
pub struct Rate {
    limit: RateLimit,
    admitted: BTreeMap<Hotkey, VecDeque<Mono>>,
}

impl Rate {
    pub fn new(limit: RateLimit) -> Rate {
        Rate { limit, admitted: BTreeMap::new() }
    }

    /// Counts one verified request, or refuses it.
    pub fn admit(&mut self, hotkey: &Hotkey, now: Mono) -> bool {
        let moments = match self.admitted.get_mut(hotkey) {
            Some(moments) => moments,
            None => self.admitted.entry(hotkey.clone()).or_default(),
        };
        while moments.front().is_some_and(|first| now.since(*first) >= self.limit.window) {
            moments.pop_front();
        }
        if moments.len() >= self.limit.max_requests as usize {
            return false;
        }
        moments.push_back(now);
        true
    }

    /// Requests of this hotkey inside the window that ended with its last one.
    #[cfg(test)]
    pub fn counted(&self, hotkey: &Hotkey) -> usize {
        self.admitted.get(hotkey).map_or(0, VecDeque::len)
    }

    /// Forgets hotkeys that left the metagraph.
    pub fn retain(&mut self, known: impl Fn(&Hotkey) -> bool) {
        self.admitted.retain(|hotkey, _| known(hotkey));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Mono {
        Mono(seconds * 1_000_000_000)
    }

    #[test]
    fn the_window_slides_and_refused_requests_do_not_count() {
        let mut rate = Rate::new(RateLimit { window: Duration::from_secs(30), max_requests: 3 });
        let alice = Hotkey::label("alice");
        assert!(rate.admit(&alice, at(0)) && rate.admit(&alice, at(10)) && rate.admit(&alice, at(20)));
        assert!(!rate.admit(&alice, at(29)));
        assert!(rate.admit(&alice, at(30)));
        assert!(!rate.admit(&alice, at(31)));
        assert!(rate.admit(&Hotkey::label("bob"), at(31)));
        assert_eq!(rate.counted(&alice), 3);
    }
}
