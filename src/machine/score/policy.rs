//! A scoring policy: a name, a version, and every number that the arithmetic uses.
//!
//! The subnet has changed its policy before and will again; two scores can be compared when their policies
//! are equal values, and only then.

use std::time::Duration;

/// Which policy made a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyId {
    pub name: &'static str,
    /// Raised whenever the same facts would score otherwise under the same name.
    pub version: u32,
}

/// What a worker's challenges are worth before participation and availability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// 1/t of the mean time t of a challenge per passed device, in 1/ms. A bigger challenge costs points.
    InverseTime,
    /// The work of all counted challenges by their time, in 10⁹ operations a second. The time is the worker's, not
    /// divided by its devices: their work adds up already. A challenge of unknown work does not count.
    WorkPerTime,
}

impl Base {
    /// Unit of base, performance and raw scores.
    pub fn unit(self) -> &'static str {
        match self {
            Base::InverseTime => "1/ms",
            Base::WorkPerTime => "Gop/s",
        }
    }
}

/// All parameters of one policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    pub id: PolicyId,
    pub base: Base,
    /// Challenges created in this long before now are looked at.
    pub ranking_window: Duration,
    /// One challenge a worker in each of these.
    pub challenge_interval: Duration,
    /// Share of the possible challenges that counts as full participation, 0.1–1.
    pub participation_threshold: f64,
    /// Hours of heartbeats that availability looks at.
    pub availability_hours: u32,
    /// Availability is multiplied by this for each change of address …
    pub address_change_factor: f64,
    /// … and is nothing when the product falls below this.
    pub address_change_floor: f64,
    /// Workers of one miner that count, the best first.
    pub worker_cap: usize,
    /// A miner without a heartbeat for this long is offline.
    pub offline_after: Duration,
    /// Share of the challenge score in the composite, 0–1.
    pub challenge_weight: f64,
    /// Share of the lease score in the composite, 0–1.
    pub lease_weight: f64,
}

impl Policy {
    /// 70 % leases, 30 % challenges: the policy of the running subnet since October 2025.
    pub fn reference_70_30() -> Policy {
        Policy {
            id: PolicyId { name: "reference-70-30", version: 1 },
            base: Base::InverseTime,
            ranking_window: Duration::from_secs(180 * 60),
            challenge_interval: Duration::from_secs(240),
            participation_threshold: 0.80,
            availability_hours: 169,
            address_change_factor: 0.5,
            address_change_floor: 0.1,
            worker_cap: 100,
            offline_after: Duration::from_secs(30 * 60),
            challenge_weight: 0.30,
            lease_weight: 0.70,
        }
    }

    /// As `reference-70-30`, with work per time in place of 1/time: challenges of different kinds and sizes compare.
    pub fn throughput() -> Policy {
        Policy { id: PolicyId { name: "throughput", version: 1 }, base: Base::WorkPerTime, ..Policy::reference_70_30() }
    }

    /// Counted challenges that make full participation of a worker that had no challenge in `passed_over` rounds,
    /// or one that the validator left without a verdict: a fraction, not rounded. Never below 0.
    pub fn baseline(&self, passed_over: u32) -> f64 {
        let possible = self.ranking_window.as_secs_f64() / self.challenge_interval.as_secs_f64();
        (possible - f64::from(passed_over)).max(0.0) * self.participation_threshold
    }
}
