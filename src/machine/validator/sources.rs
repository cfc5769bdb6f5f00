//! How many requests one source address may make, before anything about them is known.
//!
//! Owns two generations of counters, a window each. Counts everything, verified or not: it shields the
//! signature check, it locks out no hotkey. Bounded: when a generation is full, further addresses go
//! uncounted, because refusing them would let a crowd of addresses lock everybody out.

use std::{collections::BTreeMap, net::IpAddr};

use crate::{config::validator::RateLimit, units::Mono};

/// Addresses counted in one window.
pub const COUNTED_ADDRESSES: usize = 16_384;

/// Requests by source address. IPv6 is counted by /64: one host owns all of it.
#[derive(Clone, Debug)]
pub struct Sources {
    limit: RateLimit,
    began: Mono,
    current: BTreeMap<IpAddr, u32>,
    previous: BTreeMap<IpAddr, u32>,
}

impl Sources {
    pub fn new(limit: RateLimit) -> Sources {
        Sources { limit, began: Mono(0), current: BTreeMap::new(), previous: BTreeMap::new() }
    }

    /// Counts one request, or refuses it. A refused one does not count.
    pub fn admit(&mut self, address: IpAddr, now: Mono) -> bool {
        self.turn(now);
        let address = counted_as(address);
        let current = self.current.get(&address).copied().unwrap_or(0);
        let previous = self.previous.get(&address).copied().unwrap_or(0);
        if f64::from(current) + f64::from(previous) * self.share_of_previous(now) >= f64::from(self.limit.max_requests)
        {
            return false;
        }
        if current > 0 || self.current.len() < COUNTED_ADDRESSES {
            self.current.insert(address, current + 1);
        }
        true
    }

    #[cfg(test)]
    pub fn counted(&self) -> usize {
        self.current.len()
    }

    /// Whole windows that passed turn the current counters into the previous ones.
    fn turn(&mut self, now: Mono) {
        let passed = now.since(self.began);
        if passed < self.limit.window {
            return;
        }
        let current = std::mem::take(&mut self.current);
        self.previous = if passed < self.limit.window * 2 { current } else { BTreeMap::new() };
        self.began = now;
    }

    fn share_of_previous(&self, now: Mono) -> f64 {
        let passed = now.since(self.began).as_secs_f64() / self.limit.window.as_secs_f64();
        (1.0 - passed).max(0.0)
    }
}

fn counted_as(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMIT: RateLimit = RateLimit { window: Duration::from_secs(30), max_requests: 600 };

    fn at(seconds: u64) -> Mono {
        Mono(seconds * 1_000_000_000)
    }

    fn admitted(sources: &mut Sources, address: &str, now: Mono, asked: usize) -> usize {
        let address = address.parse().unwrap();
        (0..asked).filter(|_| sources.admit(address, now)).count()
    }

    #[test]
    fn the_limit_holds_per_address() {
        let mut sources = Sources::new(LIMIT);
        assert_eq!(admitted(&mut sources, "192.0.2.1", at(1), 700), 600);
        assert_eq!(admitted(&mut sources, "192.0.2.2", at(1), 10), 10);
    }

    #[test]
    fn it_eases_as_the_window_passes() {
        let mut sources = Sources::new(LIMIT);
        admitted(&mut sources, "192.0.2.1", at(29), 600);
        assert_eq!(admitted(&mut sources, "192.0.2.1", at(30), 10), 0);
        assert_eq!(admitted(&mut sources, "192.0.2.1", at(45), 1000), 300);
        assert_eq!(admitted(&mut sources, "192.0.2.1", at(200), 1000), 600);
    }

    #[test]
    fn an_ipv6_host_cannot_spread_over_its_network() {
        let mut sources = Sources::new(LIMIT);
        assert_eq!(admitted(&mut sources, "2001:db8::1", at(1), 600), 600);
        assert_eq!(admitted(&mut sources, "2001:db8::2", at(1), 5), 0);
        assert_eq!(admitted(&mut sources, "2001:db8:0:1::2", at(1), 5), 5);
        assert_eq!(admitted(&mut sources, "::ffff:192.0.2.9", at(1), 600), 600);
        assert_eq!(admitted(&mut sources, "192.0.2.9", at(1), 1), 0);
    }

    #[test]
    fn a_crowd_of_addresses_fills_the_table_and_locks_out_nobody() {
        let mut sources = Sources::new(LIMIT);
        for count in 0..COUNTED_ADDRESSES as u32 + 100 {
            assert!(sources.admit(IpAddr::V4((0x0a00_0000 + count).into()), at(1)));
        }
        assert_eq!(sources.counted(), COUNTED_ADDRESSES);
        assert_eq!(admitted(&mut sources, "192.0.2.1", at(1), 10), 10);
    }
}
