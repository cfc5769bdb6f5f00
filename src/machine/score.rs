//! Scoring: a pure function from dated, typed facts to scores and weights.
//!
//! Deterministic to the bit: facts are ordered, sums run in a defined order, nothing is drawn. It never
//! queries, never reads a clock, and never decides when weights are submitted.

pub mod emit;
pub mod facts;
mod miner;
pub mod outcome;
mod ownership;
pub mod policy;
mod presence;
pub mod reasons;
pub mod receipts;
pub mod report;
mod shadow;
mod worker;

pub use emit::{emit, submission};
pub use facts::{ChallengeFact, Claim, Facts, LeaseFact, MinerFacts, NOT_FETCHED, Outcome, Span, WorkerFacts};
pub use outcome::{Availability, Contested, MinerScore, Scores, WorkerScore};
pub use ownership::RELEASE;
pub use policy::{Base, Policy, PolicyId, PolicyName};
pub use report::{Report, report};
pub use shadow::{Difference, differences};

use self::ownership::Owners;
use crate::units::WorkerKey;

/// Scores the subnet as of `facts.at`.
pub fn score(facts: &Facts, policy: &Policy) -> Scores {
    let owners = Owners::of(facts, policy);
    let (ranked, unranked) = workers(facts, policy, &owners);
    let raw = miner::raw(&ranked, policy.worker_cap);
    let (mut miners, mean_challenge) = miner::composites(facts, policy, &ranked, &raw, &owners);
    let all_zero = miner::weigh(&mut miners);
    let workers = ranked.into_iter().chain(unranked).collect();
    Scores {
        at: facts.at,
        policy: policy.id,
        unit: policy.base.unit(),
        miners,
        workers,
        raw,
        mean_challenge,
        baseline: policy.baseline(0),
        contested: owners.contested(),
        all_zero,
        leases_left: policy.outage.left(facts.leases_heard, facts.at),
    }
}

/// The ranked workers in order, and those of whom no challenge counted, by key.
fn workers(facts: &Facts, policy: &Policy, owners: &Owners) -> (Vec<WorkerScore>, Vec<WorkerScore>) {
    let all: Vec<(&WorkerKey, &WorkerFacts)> = facts.workers.iter().collect();
    let fleets = all.chunk_by(|a, b| a.0.hotkey == b.0.hotkey);
    let fleets = fleets.map(|fleet| worker::Fleet::new(facts, policy, fleet));
    let scores = fleets.flat_map(|fleet| fleet.scores(owners));
    let (mut ranked, unranked): (Vec<_>, Vec<_>) = scores.partition(|worker| worker.score.counted > 0);
    ranked.sort_by(|a, b| miner::ranking(a, b, policy.base));
    let largest = ranked.iter().map(|worker| worker.score.performance).fold(0.0, f64::max);
    let place = |(rank, worker): (usize, worker::Unranked)| WorkerScore {
        rank: u32::try_from(rank).ok(),
        score: if largest > 0.0 { worker.score.performance / largest } else { 0.0 },
        ..worker.score
    };
    let ranked = ranked.into_iter().enumerate().map(place).collect();
    (ranked, unranked.into_iter().map(|worker| worker.score).collect())
}

#[cfg(test)]
mod tests;
