//! The worker's signs of life: when to measure the machine, when to send a heartbeat.
//!
//! Owns the last measurement. A measurement that does not come delays no heartbeat: the last one is sent
//! again, or nothing is known.

use std::time::Duration;

use crate::{units::Mono, wire::messages::SystemInfo};

/// How long the first registration waits for the first measurement.
const FIRST_PROBE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Pulse {
    heartbeat_interval: Duration,
    probe_interval: Duration,
    info: Option<SystemInfo>,
    probe: Probe,
    /// Whether the worker may register: it was measured once, or that took too long.
    ready: bool,
    /// When the next heartbeat is due, while registered.
    beat_at: Option<Mono>,
}

#[derive(Debug)]
enum Probe {
    Due { at: Mono },
    Asked { at: Mono },
}

impl Pulse {
    pub fn new(heartbeat_interval: Duration, probe_interval: Duration) -> Pulse {
        let probe = Probe::Due { at: Mono::default() };
        Pulse { heartbeat_interval, probe_interval, info: None, probe, ready: false, beat_at: None }
    }

    /// What is known of the machine.
    pub fn info(&self) -> SystemInfo {
        self.info.clone().unwrap_or_default()
    }

    /// Whether it is time to register: the machine was measured, or the first measurement takes too long.
    pub fn ready(&mut self, now: Mono) -> bool {
        let late = matches!(self.probe, Probe::Asked { at } if now >= at + FIRST_PROBE);
        self.ready = self.ready || late || self.info.is_some();
        self.ready
    }

    /// Whether to ask for a measurement now; one at a time.
    pub fn wants_probe(&mut self, now: Mono) -> bool {
        let due = matches!(self.probe, Probe::Due { at } if at <= now);
        if due {
            self.probe = Probe::Asked { at: now };
        }
        due
    }

    pub fn probed(&mut self, now: Mono, info: SystemInfo) {
        self.info = Some(info);
        self.probe = Probe::Due { at: now + self.probe_interval };
    }

    pub fn registered(&mut self, now: Mono) {
        self.beat_at = Some(now);
    }

    /// There is news that no heartbeat should wait for.
    pub fn news(&mut self, now: Mono) {
        self.beat_at = self.beat_at.map(|at| at.min(now));
    }

    pub fn lost(&mut self) {
        self.beat_at = None;
    }

    /// Whether to send a heartbeat now.
    pub fn wants_beat(&mut self, now: Mono) -> bool {
        let due = self.beat_at.is_some_and(|at| at <= now);
        if due {
            self.beat_at = Some(now + self.heartbeat_interval);
        }
        due
    }

    pub fn deadline(&self) -> Option<Mono> {
        let probe = match self.probe {
            Probe::Due { at } => Some(at),
            Probe::Asked { at } => (!self.ready).then(|| at + FIRST_PROBE),
        };
        probe.into_iter().chain(self.beat_at).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Mono {
        Mono::default() + Duration::from_secs(seconds)
    }

    fn pulse() -> Pulse {
        Pulse::new(Duration::from_secs(30), Duration::from_secs(60))
    }

    #[test]
    fn the_first_heartbeat_comes_with_the_registration_then_one_an_interval() {
        let mut pulse = pulse();
        assert!(!pulse.wants_beat(at(0)));
        pulse.registered(at(3));
        let beats: Vec<u64> = (0..100).filter(|second| pulse.wants_beat(at(*second))).collect();
        assert_eq!(beats, [3, 33, 63, 93]);
        pulse.lost();
        assert!(!pulse.wants_beat(at(1000)));
    }

    #[test]
    fn one_measurement_at_a_time() {
        let mut pulse = pulse();
        assert!(pulse.wants_probe(at(0)));
        assert!(!pulse.wants_probe(at(100)));
        pulse.probed(at(100), SystemInfo::empty());
        assert_eq!(pulse.deadline(), Some(at(160)));
        assert!(!pulse.wants_probe(at(159)) && pulse.wants_probe(at(160)));
    }

    #[test]
    fn a_measurement_that_hangs_does_not_keep_the_worker_away() {
        let mut pulse = pulse();
        assert!(!pulse.ready(at(0)));
        pulse.wants_probe(at(0));
        assert!(!pulse.ready(at(9)));
        assert_eq!(pulse.deadline(), Some(at(10)));
        assert!(pulse.ready(at(10)));
        assert_eq!(pulse.deadline(), None);
    }
}
