//! What the loop counts of itself, and the words that its labels use. Never of a peer: labels are bounded.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    machine::{Gone, Link},
    metrics::{Counters, Metric, Page},
    net::peer::Door,
    units::Now,
    version,
};

#[derive(Debug)]
pub(super) struct LoopCounters {
    counters: Counters,
    open: BTreeMap<Door, u64>,
    longest_turn: Duration,
    started: Now,
}

pub(super) fn label(door: Door) -> &'static str {
    match door {
        Door::Machine(Link::Axon) => "axon",
        Door::Machine(Link::Workers) => "workers",
        Door::Machine(Link::Miner) => "miner",
        Door::Machine(Link::Validator) => "validator",
        Door::Machine(Link::Marketplace) => "marketplace",
        Door::Machine(Link::Chain) => "chain",
        Door::Metrics => "metrics",
    }
}

fn reason_label(reason: &Gone) -> &'static str {
    match reason {
        Gone::ByUs(_) => "by_us",
        Gone::ByPeer { .. } => "by_peer",
        Gone::Io(_) => "io",
        Gone::Tls(_) => "tls",
        Gone::Protocol(_) => "protocol",
        Gone::Limit(_) => "limit",
        Gone::Timeout(_) => "timeout",
    }
}

impl LoopCounters {
    pub(super) fn new(started: Now) -> LoopCounters {
        LoopCounters { counters: Counters::default(), open: BTreeMap::new(), longest_turn: Duration::ZERO, started }
    }

    pub(super) fn opened(&mut self, door: Door) {
        *self.open.entry(door).or_default() += 1;
        self.counters.count(Metric::ConnectionsOpened, &[label(door)]);
    }

    /// `opened`: whether it was counted as such.
    pub(super) fn gone(&mut self, door: Door, reason: &Gone, opened: bool, dialed: bool) {
        if opened {
            let open = self.open.entry(door).or_default();
            *open = open.saturating_sub(1);
        }
        let metric = if dialed && !opened { Metric::DialsFailed } else { Metric::ConnectionsClosed };
        self.counters.count(metric, &[label(door), reason_label(reason)]);
    }

    pub(super) fn refused(&mut self, listener: &'static str, limit: &'static str) {
        self.counters.count(Metric::ConnectionsRefused, &[listener, limit]);
    }

    pub(super) fn moved(&mut self, door: Door, bytes_in: usize, bytes_out: usize) {
        if bytes_in > 0 {
            self.counters.add(Metric::ReceivedBytes, &[label(door)], bytes_in as u64);
        }
        if bytes_out > 0 {
            self.counters.add(Metric::SentBytes, &[label(door)], bytes_out as u64);
        }
    }

    pub(super) fn turned(&mut self, length: Duration) {
        self.counters.count(Metric::Turns, &[]);
        self.counters.observe(Metric::TurnSeconds, &[], length);
        self.longest_turn = self.longest_turn.max(length);
    }

    pub(super) fn write(&self, now: Now, page: &mut Page) {
        self.counters.write(page);
        for (door, open) in &self.open {
            page.set(Metric::Connections, &[label(*door)], *open as f64);
        }
        page.set(Metric::TurnLongestSeconds, &[], self.longest_turn.as_secs_f64());
        page.set(Metric::UptimeSeconds, &[], now.mono.since(self.started.mono).as_secs_f64());
        page.set(Metric::BuildInfo, &[version::VERSION, version::REVISION], 1.0);
        let moved = |now: u64, then: u64| i128::from(now) - i128::from(then);
        let drift = moved(now.wall.0, self.started.wall.0) - moved(now.mono.0, self.started.mono.0);
        page.set(Metric::WallDriftSeconds, &[], drift as f64 / 1e9);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{Mono, Wall};

    #[test]
    fn open_connections_and_their_ends_are_counted() {
        let mut counters = LoopCounters::new(Now::default());
        let axon = Door::Machine(Link::Axon);
        counters.opened(axon);
        counters.opened(axon);
        counters.gone(axon, &Gone::Timeout("idle".into()), true, false);
        counters.gone(Door::Machine(Link::Validator), &Gone::Io("refused".into()), false, true);
        let mut page = Page::default();
        counters.write(Now::default(), &mut page);
        assert_eq!(page.value(Metric::Connections, &["axon"]), Some(1.0));
        assert_eq!(page.value(Metric::ConnectionsOpened, &["axon"]), Some(2.0));
        assert_eq!(page.value(Metric::ConnectionsClosed, &["axon", "timeout"]), Some(1.0));
        assert_eq!(page.value(Metric::DialsFailed, &["validator", "io"]), Some(1.0));
    }

    #[test]
    fn drift_is_the_wall_clock_against_the_monotonic_one() {
        let counters = LoopCounters::new(Now { mono: Mono(0), wall: Wall::from_secs(1000) });
        let mut page = Page::default();
        counters.write(Now { mono: Mono(10_000_000_000), wall: Wall::from_secs(1005) }, &mut page);
        assert_eq!(page.value(Metric::WallDriftSeconds, &[]), Some(-5.0));
        assert_eq!(page.value(Metric::UptimeSeconds, &[]), Some(10.0));
    }
}
