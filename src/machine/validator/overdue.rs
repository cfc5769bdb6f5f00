//! How long it is since the chain confirmed weights of ours, and when that is worth an alarm.
//!
//! Owns the moment of the last confirmation, also that of an earlier process. Decides nothing about weights.

use std::time::Duration;

use crate::units::{Mono, Now, Wall};

/// Tempos without confirmed weights that an operator must hear of.
const TEMPOS: u32 = 3;

#[derive(Debug, Default)]
pub struct Overdue {
    confirmed: Option<Wall>,
    /// Since when this process could have set weights.
    since: Option<Mono>,
    told: Option<Mono>,
}

impl Overdue {
    /// A confirmation, or the last one of an earlier process.
    pub fn confirmed_at(&mut self, at: Wall) {
        self.confirmed = Some(at);
        self.told = None;
    }

    /// Since the last confirmation; `None` before the first.
    pub fn confirmed(&self, now: Now) -> Option<Duration> {
        self.confirmed.map(|at| now.wall.since(at))
    }

    /// Since the last confirmation; before the first one, since this process could have set weights. `None` before that.
    pub fn age(&self, now: Now) -> Option<Duration> {
        let waited = self.since.map(|since| now.mono.since(since));
        self.confirmed(now).or(waited)
    }

    /// Says so when it is long, once a tempo. `why`: what stands in the way.
    pub fn watch(&mut self, now: Now, tempo: Duration, why: &str) {
        self.since.get_or_insert(now.mono);
        let age = self.age(now).unwrap_or_default();
        let told = self.told.is_some_and(|told| now.mono.since(told) < tempo);
        if age < tempo * TEMPOS || told {
            return;
        }
        self.told = Some(now.mono);
        log::error!(
            target: "validator",
            "no weights of ours were confirmed for {} min ({TEMPOS} tempos are {} min): {why}",
            age.as_secs() / 60,
            (tempo * TEMPOS).as_secs() / 60
        );
    }

    /// Whether the alarm stands.
    pub fn alarmed(&self) -> bool {
        self.told.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPO: Duration = Duration::from_secs(4320);

    fn at(minutes: u64) -> Now {
        Now { mono: Mono(0) + Duration::from_secs(60 * minutes), wall: Wall::from_secs(1_800_000_000 + 60 * minutes) }
    }

    #[test]
    fn the_alarm_comes_after_three_tempos_and_goes_with_a_confirmation() {
        let mut overdue = Overdue::default();
        let mut alarmed = |minutes: u64, confirmed: Option<u64>| {
            confirmed.into_iter().for_each(|minutes| overdue.confirmed_at(at(minutes).wall));
            overdue.watch(at(minutes), TEMPO, "not_scored");
            overdue.alarmed()
        };
        assert_eq!([alarmed(0, None), alarmed(215, None), alarmed(216, None)], [false, false, true]);
        assert_eq!([alarmed(220, Some(219)), alarmed(434, None), alarmed(435, None)], [false, false, true]);
    }

    #[test]
    fn a_confirmation_of_an_earlier_process_counts() {
        let mut overdue = Overdue::default();
        overdue.confirmed_at(at(0).wall);
        overdue.watch(at(500), TEMPO, "not_scored");
        assert!(overdue.alarmed());
    }
}
