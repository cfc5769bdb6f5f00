//! A scoring policy: a name, a version, and every number that the arithmetic uses.
//!
//! The subnet has changed its policy before and will again; two scores can be compared when their policies
//! are equal values, and only then.

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use crate::config::scoring::PolicyName;
use crate::machine::{availability::BUCKETS_AN_HOUR, lease::OutageRule};

/// Which policy made a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyId {
    pub name: PolicyName,
    /// Raised whenever the same facts would score otherwise under the same name.
    pub version: u32,
}

impl std::fmt::Display for PolicyId {
    fn fmt(&self, to: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(to, "{}/{}", self.name, self.version)
    }
}

/// What a worker's challenges are worth before participation and availability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// Availability is multiplied by this for each change of address; 1: addresses may change …
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
    /// What is left of leases while their source is silent. Calculations of before there was a choice held them.
    #[serde(default)]
    pub outage: OutageRule,
    /// 5-minute steps of announced maintenance in the availability window that are not expected of a worker. None in
    /// calculations of before there was a choice.
    #[serde(default)]
    pub maintenance_steps: u32,
}

impl Policy {
    /// The policy of that name, nothing of it changed.
    pub fn named(name: PolicyName) -> Policy {
        match name {
            PolicyName::Reference7030 => Policy::reference_70_30(),
            PolicyName::Reference9010 => Policy::reference_90_10(),
            PolicyName::LeaseOnly => Policy::lease_only(),
            PolicyName::Throughput => Policy::throughput(),
        }
    }

    fn reference(name: PolicyName, version: u32) -> Policy {
        let (lease_weight, challenge_weight) = name.shares();
        Policy {
            id: PolicyId { name, version },
            base: Base::InverseTime,
            ranking_window: Duration::from_secs(180 * 60),
            challenge_interval: Duration::from_secs(240),
            participation_threshold: 0.80,
            availability_hours: 169,
            address_change_factor: 0.5,
            address_change_floor: 0.1,
            worker_cap: 100,
            offline_after: Duration::from_secs(30 * 60),
            challenge_weight,
            lease_weight,
            outage: OutageRule::default(),
            maintenance_steps: 0,
        }
    }

    pub fn reference_70_30() -> Policy {
        Policy::reference(PolicyName::Reference7030, 2)
    }

    pub fn reference_90_10() -> Policy {
        Policy::reference(PolicyName::Reference9010, 1)
    }

    pub fn lease_only() -> Policy {
        Policy::reference(PolicyName::LeaseOnly, 1)
    }

    /// As `reference-70-30`, with work per time, without a price on changes of address, and with eight hours of announced
    /// maintenance a week.
    pub fn throughput() -> Policy {
        Policy {
            base: Base::WorkPerTime,
            address_change_factor: 1.0,
            maintenance_steps: 8 * BUCKETS_AN_HOUR,
            ..Policy::reference(PolicyName::Throughput, 2)
        }
    }

    /// What so many changes of address leave of a worker's availability, 0–1. By multiplication alone: a power is not
    /// the same to the bit everywhere.
    pub fn after_address_changes(&self, changes: u32) -> f64 {
        let mut left = 1.0;
        let changes = if self.address_change_factor < 1.0 { changes } else { 0 };
        for _ in 0..changes {
            left *= self.address_change_factor;
            if left < self.address_change_floor {
                return 0.0;
            }
        }
        left
    }

    /// Counted challenges that make full participation of a worker that had no challenge in `passed_over` rounds,
    /// or one that the validator left without a verdict: a fraction, not rounded. Never below 0.
    pub fn baseline(&self, passed_over: u32) -> f64 {
        let possible = self.ranking_window.as_secs_f64() / self.challenge_interval.as_secs_f64();
        (possible - f64::from(passed_over)).max(0.0) * self.participation_threshold
    }
}
