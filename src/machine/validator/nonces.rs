//! Which nonces were seen: a signed request counts once.
//!
//! Owns the last nonce of each (hotkey, dendrite uuid). It is asked before the signature is checked and told
//! after it, so a name without a signature leaves no trace here. How old a nonce may be is the wire's rule.
//! Bounded by [`NONCES_PER_HOTKEY`]; what is forgotten leaves a floor behind, so forgetting never lets a
//! request in twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    units::{Hotkey, Wall},
    wire::limits::{NONCE_SLACK, NONCE_TIMEOUT, NONCES_PER_HOTKEY},
};

/// The last nonces of all hotkeys. The caller admits only hotkeys of the metagraph, which bounds their number.
#[derive(Clone, Debug, Default)]
pub struct Nonces {
    seen: BTreeMap<Hotkey, Seen>,
}

#[derive(Clone, Debug, Default)]
struct Seen {
    last: BTreeMap<Arc<str>, u64>,
    by_age: BTreeSet<(u64, Arc<str>)>,
    /// Highest nonce that was forgotten: nothing new may be at or below it.
    floor: u64,
}

impl Nonces {
    /// Whether this nonce, or a greater one, was processed for this hotkey and uuid. Changes nothing.
    pub fn is_used(&self, hotkey: &Hotkey, uuid: &str, nonce: u64) -> bool {
        self.seen.get(hotkey).is_some_and(|seen| nonce <= seen.last.get(uuid).copied().unwrap_or(seen.floor))
    }

    /// Remembers the nonce of a request whose signature was good.
    pub fn remember(&mut self, hotkey: &Hotkey, uuid: &str, nonce: u64, wall: Wall) {
        let seen = match self.seen.get_mut(hotkey) {
            Some(seen) => seen,
            None => self.seen.entry(hotkey.clone()).or_default(),
        };
        let uuid: Arc<str> = uuid.into();
        if let Some(last) = seen.last.insert(uuid.clone(), nonce) {
            seen.by_age.remove(&(last, uuid.clone()));
        }
        seen.by_age.insert((nonce, uuid));
        seen.forget(wall);
    }

    /// Forgets hotkeys that left the metagraph.
    pub fn retain(&mut self, known: impl Fn(&Hotkey) -> bool) {
        self.seen.retain(|hotkey, _| known(hotkey));
    }

    /// The most nonces kept for one hotkey.
    #[cfg(test)]
    pub fn longest(&self) -> usize {
        self.seen.values().map(|seen| seen.last.len()).max().unwrap_or(0)
    }
}

impl Seen {
    fn forget(&mut self, wall: Wall) {
        let refused_anyway = (wall - (NONCE_SLACK + NONCE_TIMEOUT)).0;
        while let Some((nonce, uuid)) = self.by_age.first().cloned() {
            if nonce > refused_anyway && self.last.len() <= NONCES_PER_HOTKEY {
                return;
            }
            self.floor = self.floor.max(nonce);
            self.last.remove(&uuid);
            self.by_age.remove(&(nonce, uuid));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOON: Wall = Wall(1_800_000_000_000_000_000);

    fn alice() -> Hotkey {
        Hotkey::label("alice")
    }

    #[test]
    fn a_nonce_counts_once_and_later_ones_must_grow() {
        let mut nonces = Nonces::default();
        assert!(!nonces.is_used(&alice(), "u", NOON.0));
        nonces.remember(&alice(), "u", NOON.0, NOON);
        assert!(nonces.is_used(&alice(), "u", NOON.0) && nonces.is_used(&alice(), "u", NOON.0 - 1));
        assert!(!nonces.is_used(&alice(), "u", NOON.0 + 1));
        assert!(!nonces.is_used(&alice(), "another", NOON.0));
        assert!(!nonces.is_used(&Hotkey::label("bob"), "u", NOON.0));
    }

    #[test]
    fn what_is_forgotten_cannot_come_again() {
        let mut nonces = Nonces::default();
        for count in 0..NONCES_PER_HOTKEY as u64 + 10 {
            nonces.remember(&alice(), &format!("u{count}"), NOON.0 + count, NOON);
        }
        assert_eq!(nonces.longest(), NONCES_PER_HOTKEY);
        assert!(nonces.is_used(&alice(), "u3", NOON.0 + 3));
        assert!(nonces.is_used(&alice(), "u2050", NOON.0 + 2050));
        assert!(!nonces.is_used(&alice(), "u3", NOON.0 + 10));
    }

    #[test]
    fn nonces_older_than_any_window_are_dropped() {
        let mut nonces = Nonces::default();
        nonces.remember(&alice(), "early", NOON.0, NOON);
        let later = NOON + Duration::from_secs(400);
        nonces.remember(&alice(), "late", later.0, later);
        assert_eq!(nonces.longest(), 1);
        assert!(nonces.is_used(&alice(), "early", NOON.0));
    }
}
