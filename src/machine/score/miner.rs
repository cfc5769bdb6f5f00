//! From workers to miners: raw, normalised, leases, composite, weight.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use super::{
    facts::Facts,
    outcome::{MinerScore, WorkerScore},
    ownership::Owners,
    policy::{Base, Policy},
    worker::Unranked,
};
use crate::units::Hotkey;

/// The best `cap` of the values, best first.
fn best(values: impl Iterator<Item = f64>, cap: usize) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(|a, b| b.total_cmp(a));
    values.truncate(cap);
    values
}

/// Sum of the best workers' performance, of every hotkey that has a ranked one.
pub(super) fn raw(ranked: &[WorkerScore], cap: usize) -> BTreeMap<Hotkey, f64> {
    let mut by_hotkey: BTreeMap<&Hotkey, Vec<f64>> = BTreeMap::new();
    for worker in ranked {
        by_hotkey.entry(&worker.key.hotkey).or_default().push(worker.performance);
    }
    by_hotkey.into_iter().map(|(hotkey, all)| (hotkey.clone(), best(all.into_iter(), cap).iter().sum())).collect()
}

/// What a miner's workers say of leases and availability.
#[derive(Default)]
struct Roster {
    workers: u32,
    leases: Vec<f64>,
    reduced: u32,
    ranked: u32,
    availability_sum: f64,
}

fn rosters<'a>(
    facts: &'a Facts,
    policy: &Policy,
    ranked: &'a [WorkerScore],
    owners: &Owners,
) -> BTreeMap<&'a Hotkey, Roster> {
    let mut rosters: BTreeMap<&Hotkey, Roster> = BTreeMap::new();
    for (key, worker) in facts.workers.iter().filter(|(_, worker)| !worker.removed) {
        let roster = rosters.entry(&key.hotkey).or_default();
        roster.workers += 1;
        let lease = facts.lease(worker, policy.outage).unwrap_or(0.0);
        let counts = lease * owners.lease_share(key);
        roster.reduced += u32::from(lease > 0.0 && counts <= 0.0);
        roster.leases.push(counts);
    }
    let mut in_key_order: Vec<&WorkerScore> = ranked.iter().collect();
    in_key_order.sort_by(|a, b| a.key.cmp(&b.key));
    for worker in in_key_order {
        let roster = rosters.entry(&worker.key.hotkey).or_default();
        roster.ranked += 1;
        roster.availability_sum += worker.availability.value;
    }
    rosters
}

impl Roster {
    /// The lease score of the miner, 0–1.
    fn lease(&self, cap: usize) -> f64 {
        let sum: f64 = best(self.leases.iter().copied(), cap).iter().sum();
        let counted = self.leases.len().min(cap);
        if sum <= 0.0 || counted == 0 { 0.0 } else { (sum / counted as f64).min(1.0) }
    }

    fn mean_availability(&self) -> f64 {
        if self.ranked == 0 { 0.0 } else { self.availability_sum / f64::from(self.ranked) }
    }
}

/// The scored miners by hotkey, without weights, and their mean challenge score.
pub(super) fn composites(
    facts: &Facts,
    policy: &Policy,
    ranked: &[WorkerScore],
    raw: &BTreeMap<Hotkey, f64>,
    owners: &Owners,
) -> (Vec<MinerScore>, f64) {
    let largest = raw.values().copied().fold(0.0, f64::max);
    let normalised = |raw: f64| if largest > 0.0 { raw / largest } else { 0.0 };
    let rosters = rosters(facts, policy, ranked, owners);
    let none = Roster::default();
    let scored: BTreeSet<&Hotkey> = facts.metagraph.iter().collect();
    let miners = facts.miners.iter().filter(|(hotkey, miner)| !miner.removed && scored.contains(hotkey));
    let mut all: Vec<MinerScore> = miners
        .map(|(hotkey, miner)| {
            let raw = raw.get(hotkey).copied().unwrap_or(0.0);
            let online = miner.seen + policy.offline_after > facts.at;
            of_roster(hotkey, online, raw, normalised(raw), rosters.get(hotkey).unwrap_or(&none), policy)
        })
        .collect();
    let sum: f64 = all.iter().map(|miner| miner.own_challenge).sum();
    let mean = if all.is_empty() { 0.0 } else { sum / all.len() as f64 };
    all.iter_mut().for_each(|miner| compose(miner, mean, policy));
    (all, mean)
}

fn of_roster(hotkey: &Hotkey, online: bool, raw: f64, own: f64, roster: &Roster, policy: &Policy) -> MinerScore {
    MinerScore {
        hotkey: hotkey.clone(),
        online,
        workers: roster.workers,
        leased: u32::try_from(roster.leases.iter().filter(|lease| **lease > 0.0).count()).unwrap_or(u32::MAX),
        reduced: roster.reduced,
        ranked: roster.ranked,
        raw,
        own_challenge: own,
        challenge: own,
        replaced: false,
        lease: roster.lease(policy.worker_cap),
        availability: roster.mean_availability(),
        composite: 0.0,
        weight: 0.0,
    }
}

/// Replaces the challenge score of a leased miner, zeroes an offline one, and makes the composite.
fn compose(miner: &mut MinerScore, mean_challenge: f64, policy: &Policy) {
    if !miner.online {
        (miner.challenge, miner.lease, miner.availability) = (0.0, 0.0, 0.0);
        return;
    }
    if miner.lease > 0.0 {
        (miner.challenge, miner.replaced) = (mean_challenge, true);
    }
    if miner.lease == 0.0 && miner.challenge == 0.0 {
        miner.availability = 0.0;
    }
    miner.composite = miner.challenge * policy.challenge_weight + miner.lease * policy.lease_weight;
}

/// Gives each miner its share; `true` when there was nothing to share and all got the same.
pub(super) fn weigh(miners: &mut [MinerScore]) -> bool {
    let sum: f64 = miners.iter().map(|miner| miner.composite).sum();
    let all_zero = sum <= 0.0;
    let uniform = 1.0 / miners.len().max(1) as f64;
    for miner in miners {
        miner.weight = if all_zero { uniform } else { miner.composite / sum };
    }
    all_zero
}

/// Ranking order, for reports: participation falling; then time rising, or where challenges differ in size work per
/// time falling; then the newest verified challenge first.
pub(super) fn ranking(a: &Unranked, b: &Unranked, base: Base) -> Ordering {
    let pace = match base {
        Base::InverseTime => a.score.time_ms.total_cmp(&b.score.time_ms),
        Base::WorkPerTime => b.score.base.total_cmp(&a.score.base),
    };
    (b.score.participation.total_cmp(&a.score.participation))
        .then(pace)
        .then(b.newest.cmp(&a.newest))
        .then(a.score.key.cmp(&b.score.key))
}
