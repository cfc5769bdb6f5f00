//! What a lease is worth now: what its source last said, less what the silence since then takes.
//!
//! One rule for whoever asks: for scoring, for a replay of it, and for who is challenged. It keeps nothing and reads no
//! clock.
//!
//! An outage is the time since the source last said anything valid about leases, of whichever worker: a source that
//! names only what changed vouches for the rest by speaking. That its link is up says nothing of leases.

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use crate::config::leases::OnOutage;
use crate::{config::leases::Leases, units::Wall};

/// What an outage of the source does to leases. By default nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutageRule {
    pub on_outage: OnOutage,
    /// A silence as long as this is an outage.
    pub max_age: Duration,
}

impl From<&Leases> for OutageRule {
    fn from(settings: &Leases) -> OutageRule {
        OutageRule { on_outage: settings.on_outage, max_age: settings.max_age }
    }
}

impl OutageRule {
    /// What a lease score counts for at a moment. `heard`: when the source last said anything valid; `None`: nobody knows,
    /// which is the longest silence of all. No number is no lease.
    pub fn in_force(&self, score: f64, heard: Option<Wall>, at: Wall) -> f64 {
        if score.is_finite() { score * self.left(heard, at) } else { 0.0 }
    }

    /// What the silence leaves of every lease, 0–1.
    pub fn left(&self, heard: Option<Wall>, at: Wall) -> f64 {
        let age = heard.map(|heard| at.since(heard));
        match (self.on_outage, age) {
            (OnOutage::Hold, _) => 1.0,
            (OnOutage::Decay | OnOutage::Zero, None) => 0.0,
            (OnOutage::Zero, Some(age)) => f64::from(age < self.max_age),
            (OnOutage::Decay, Some(age)) if age < self.max_age => 1.0,
            (OnOutage::Decay, Some(age)) => (2.0 - age.as_secs_f64() / self.max_age.as_secs_f64()).clamp(0.0, 1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEARD: Wall = Wall(1_700_000_000_000_000_000);

    fn left(on_outage: OnOutage, minutes: u64) -> f64 {
        let rule = OutageRule { on_outage, max_age: Duration::from_secs(3600) };
        rule.in_force(0.5, Some(HEARD), HEARD + Duration::from_secs(60 * minutes))
    }

    #[test]
    fn an_outage_takes_what_the_rule_says_and_no_shorter_silence_does() {
        for (minutes, hold, decay, zero) in [
            (0, 0.5, 0.5, 0.5),
            (59, 0.5, 0.5, 0.5),
            (60, 0.5, 0.5, 0.0),
            (90, 0.5, 0.25, 0.0),
            (120, 0.5, 0.0, 0.0),
            (600, 0.5, 0.0, 0.0),
        ] {
            let all = [OnOutage::Hold, OnOutage::Decay, OnOutage::Zero].map(|rule| left(rule, minutes));
            assert_eq!(all, [hold, decay, zero], "after {minutes} minutes");
        }
    }

    #[test]
    fn what_was_heard_after_the_moment_is_of_no_age() {
        let rule = OutageRule { on_outage: OnOutage::Zero, max_age: Duration::from_secs(60) };
        assert_eq!(rule.in_force(1.0, Some(HEARD), HEARD - Duration::from_secs(9)), 1.0);
    }

    #[test]
    fn a_source_that_nobody_heard_is_in_outage() {
        let rule = |on_outage| OutageRule { on_outage, max_age: Duration::MAX };
        let left = [OnOutage::Hold, OnOutage::Decay, OnOutage::Zero].map(|it| rule(it).in_force(1.0, None, HEARD));
        assert_eq!(left, [1.0, 0.0, 0.0]);
        assert_eq!(rule(OnOutage::Hold).in_force(f64::NAN, Some(HEARD), HEARD), 0.0);
    }
}
