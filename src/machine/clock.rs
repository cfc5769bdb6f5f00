//! The two clocks against each other, and the numbers made from the wall clock.
//!
//! Owns the last nonce given out and the distance between the clocks. Reads no clock: every instant is
//! handed in. Decides nothing about what pauses while the alarm stands; the machines do.

use std::time::Duration;

use crate::units::{Mono, Now, Wall};

/// How far the wall clock may leave the monotonic one before it counts as moved.
pub const DRIFT_LIMIT: Duration = Duration::from_secs(30);

/// How long a moved wall clock must stay where it is before it is believed again.
pub const SETTLE: Duration = Duration::from_secs(600);

/// Request nonces: nanoseconds since the epoch, each greater than every one before, also when the wall
/// clock stands still or goes back.
#[derive(Clone, Debug, Default)]
pub struct Nonces {
    last: u64,
}

impl Nonces {
    pub fn next(&mut self, wall: Wall) -> u64 {
        self.last = self.last.saturating_add(1).max(wall.0);
        self.last
    }
}

/// What the last sample changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriftChange {
    /// The wall clock left the monotonic one by more than [`DRIFT_LIMIT`]; positive is forward.
    Moved { nanos: i128 },
    /// It is back where it was, or stayed where it went for [`SETTLE`]: stamps may be believed again.
    Settled,
}

/// Watches the wall clock move against the monotonic one.
#[derive(Clone, Debug, Default)]
pub struct Drift {
    /// wall − mono, as first seen or as last believed.
    believed: Option<i128>,
    alarm: Option<Alarm>,
}

#[derive(Clone, Debug)]
struct Alarm {
    offset: i128,
    since: Mono,
}

fn far(a: i128, b: i128) -> bool {
    (a - b).unsigned_abs() > DRIFT_LIMIT.as_nanos()
}

impl Drift {
    /// Takes one sample; tells only changes of state.
    pub fn sample(&mut self, now: Now) -> Option<DriftChange> {
        let offset = i128::from(now.wall.0) - i128::from(now.mono.0);
        let believed = *self.believed.get_or_insert(offset);
        if !far(offset, believed) {
            return self.alarm.take().map(|_| DriftChange::Settled);
        }
        match &self.alarm {
            Some(alarm) if far(offset, alarm.offset) => self.raise(now, offset, believed),
            Some(alarm) if now.mono.since(alarm.since) >= SETTLE => {
                self.believed = Some(offset);
                self.alarm = None;
                Some(DriftChange::Settled)
            }
            Some(_) => None,
            None => self.raise(now, offset, believed),
        }
    }

    /// Whether stamps of the wall clock cannot be trusted now.
    pub fn alarmed(&self) -> bool {
        self.alarm.is_some()
    }

    fn raise(&mut self, now: Now, offset: i128, believed: i128) -> Option<DriftChange> {
        self.alarm = Some(Alarm { offset, since: now.mono });
        Some(DriftChange::Moved { nanos: offset - believed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: u64 = 1_800_000_000;

    fn at(mono_s: u64, wall_s: u64) -> Now {
        Now { mono: Mono(mono_s * 1_000_000_000), wall: Wall::from_secs(wall_s) }
    }

    #[test]
    fn nonces_follow_the_wall_clock_and_never_go_back() {
        let mut nonces = Nonces::default();
        assert_eq!(nonces.next(Wall(1000)), 1000);
        assert_eq!(nonces.next(Wall(1000)), 1001);
        assert_eq!(nonces.next(Wall(10)), 1002);
        assert_eq!(nonces.next(Wall(5000)), 5000);
    }

    #[test]
    fn clocks_that_run_together_raise_nothing() {
        let mut drift = Drift::default();
        assert_eq!(drift.sample(at(0, NOON)), None);
        assert_eq!(drift.sample(at(1000, NOON + 1030)), None);
        assert!(!drift.alarmed());
    }

    #[test]
    fn a_step_alarms_once_and_clears_when_the_clock_comes_back() {
        let mut drift = Drift::default();
        drift.sample(at(0, NOON));
        assert_eq!(drift.sample(at(1, NOON - 40)), Some(DriftChange::Moved { nanos: -41_000_000_000 }));
        assert_eq!(drift.sample(at(2, NOON - 39)), None);
        assert!(drift.alarmed());
        assert_eq!(drift.sample(at(3, NOON + 3)), Some(DriftChange::Settled));
        assert!(!drift.alarmed());
    }

    #[test]
    fn a_corrected_clock_is_believed_after_it_has_held_for_a_while() {
        let mut drift = Drift::default();
        drift.sample(at(0, NOON));
        assert!(drift.sample(at(10, NOON + 3610)).is_some());
        assert_eq!(drift.sample(at(609, NOON + 4209)), None);
        assert_eq!(drift.sample(at(610, NOON + 4210)), Some(DriftChange::Settled));
        assert_eq!(drift.sample(at(700, NOON + 4300)), None);
    }

    #[test]
    fn a_clock_that_keeps_jumping_is_not_believed() {
        let mut drift = Drift::default();
        drift.sample(at(0, NOON));
        assert!(drift.sample(at(10, NOON + 1010)).is_some());
        assert!(drift.sample(at(500, NOON + 2500)).is_some());
        assert_eq!(drift.sample(at(700, NOON + 2700)), None);
        assert!(drift.alarmed());
    }
}
