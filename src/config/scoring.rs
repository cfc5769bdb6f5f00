//! Which policy scores, what of it is changed, and which other one runs beside it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    form::{Form, number_of},
    yaml::Node,
};

/// A named set of scoring rules: those that the subnet has had, and ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PolicyName {
    /// 70 % leases, 30 % challenges by 1/time: the running subnet's since October 2025.
    #[serde(rename = "reference-70-30")]
    Reference7030,
    /// 90 % leases, 10 % challenges by 1/time: since December 2025.
    #[serde(rename = "reference-90-10")]
    Reference9010,
    /// Leases alone: since 2026. Challenges are made, verified and shown, and earn nothing.
    #[serde(rename = "lease-only")]
    LeaseOnly,
    /// 70 % leases, 30 % challenges by work per time, so that their kinds and sizes compare. Addresses may change.
    #[serde(rename = "throughput")]
    Throughput,
}

impl PolicyName {
    pub const ALL: [PolicyName; 4] =
        [PolicyName::Reference7030, PolicyName::Reference9010, PolicyName::LeaseOnly, PolicyName::Throughput];

    pub fn as_str(self) -> &'static str {
        match self {
            PolicyName::Reference7030 => "reference-70-30",
            PolicyName::Reference9010 => "reference-90-10",
            PolicyName::LeaseOnly => "lease-only",
            PolicyName::Throughput => "throughput",
        }
    }

    /// Whether a bigger challenge costs its worker nothing, so that kinds and sizes may be mixed.
    pub fn counts_work(self) -> bool {
        self == PolicyName::Throughput
    }

    /// Shares of leases and of challenges; together 1.
    pub fn shares(self) -> (f64, f64) {
        match self {
            PolicyName::Reference7030 | PolicyName::Throughput => (0.70, 0.30),
            PolicyName::Reference9010 => (0.90, 0.10),
            PolicyName::LeaseOnly => (1.0, 0.0),
        }
    }
}

impl fmt::Display for PolicyName {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        to.write_str(self.as_str())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Scoring {
    pub policy: PolicyName,
    /// Calculated and compared each time, never submitted.
    pub shadow: Option<PolicyName>,
    pub lease_weight: f64,
    /// `1 − lease_weight`.
    pub challenge_weight: f64,
    /// In place of the policy's: what each change of address leaves of a worker's availability.
    pub address_change_factor: Option<f64>,
    /// In place of the policy's: workers of one miner that count.
    pub worker_cap: Option<u16>,
    /// Hours of announced maintenance in the availability window that `throughput` does not count as absence.
    pub maintenance_hours: u32,
}

const LEASES: &str = "weight_management.score_weights.lease_weight";
const CHALLENGES: &str = "weight_management.score_weights.challenge_weight";

pub(super) fn read(form: &mut Form) -> Scoring {
    let words = PolicyName::ALL.map(|policy| (policy.as_str(), policy));
    let default = PolicyName::Reference7030;
    let policy = form.word("scoring.policy", default.as_str(), &words).unwrap_or(default);
    let (lease_weight, challenge_weight) = match (share(form, LEASES), share(form, CHALLENGES)) {
        (None, None) => policy.shares(),
        (Some(leases), None) => (leases, 1.0 - leases),
        (None, Some(challenges)) => (1.0 - challenges, challenges),
        (Some(leases), Some(challenges)) => (leases, challenges),
    };
    Scoring {
        policy,
        shadow: shadow(form, policy),
        lease_weight,
        challenge_weight,
        address_change_factor: share(form, "scoring.address_change_factor"),
        worker_cap: form.value("scoring.worker_cap", Node::Null, "a whole number from 1 to 1000", |node| match node {
            Node::Whole(cap @ 1..=1000) => u16::try_from(*cap).ok(),
            _ => None,
        }),
        maintenance_hours: form.whole("scoring.maintenance_hours", 8, 0..=24),
    }
}

/// `None`: as the policy has it.
fn share(form: &mut Form, path: &'static str) -> Option<f64> {
    let read = |node: &Node| number_of(node).filter(|share| (0.0..=1.0).contains(share));
    form.value(path, Node::Null, "a number from 0 to 1, or null for the policy's", read)
}

fn shadow(form: &mut Form, policy: PolicyName) -> Option<PolicyName> {
    let names = PolicyName::ALL.map(PolicyName::as_str).join(", ");
    let read = |node: &Node| {
        let Node::Text(text) = node else { return None };
        PolicyName::ALL.into_iter().find(|policy| policy.as_str().eq_ignore_ascii_case(text))
    };
    let shadow = form.value("scoring.shadow", Node::Null, &format!("{names}, or null"), read)?;
    if shadow == policy {
        form.warn("scoring.shadow", "is scoring.policy itself; what differs is what this file changes of it");
    }
    Some(shadow)
}

pub(super) fn relations(form: &mut Form, scoring: &Scoring) {
    let whole = (scoring.lease_weight + scoring.challenge_weight - 1.0).abs() < 1e-9;
    form.relation(whole, LEASES, CHALLENGES, "1 less weight_management.score_weights.challenge_weight");
    if whole && scoring.lease_weight != scoring.policy.shares().0 {
        form.warn(LEASES, &format!("differs from the policy {}; this file's weights are used", scoring.policy));
    }
}
