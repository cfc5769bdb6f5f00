//! One worker's performance: how fast, how often, how present.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    facts::{ChallengeFact, Facts, NOT_FETCHED, Outcome, Span, WorkerFacts},
    outcome::{Availability, WorkerScore},
    ownership::{Owners, Share},
    policy::{Base, Policy},
    presence::Presence,
};
use crate::{
    machine::availability::{Buckets, GpuSetId, Window},
    units::{Wall, WorkerKey},
};

/// A mean time below this, in ms, was measured by no clock.
const LEAST_TIME_MS: f64 = 1e-12;
/// Reasons of failures that a score names.
const REASONS_NAMED: usize = 3;
/// 10⁹ operations a second.
const OPS_PER_MS: f64 = 1e6;

/// What a worker's challenges of the window add up to.
#[derive(Default)]
struct Tally {
    counted: u32,
    attempts: u32,
    disowned: u32,
    quarantined: u32,
    void: u32,
    not_fetched: u32,
    failures: BTreeMap<Arc<str>, u32>,
    /// Of these, those that the worker could not have ended otherwise.
    excused: u32,
    /// Each by its devices.
    time_sum_ms: f64,
    /// As measured.
    busy_ms: f64,
    ops: f64,
    devices_sum: f64,
    /// Sets of GPUs in verified challenges, whoever owns them.
    proved: BTreeSet<GpuSetId>,
    /// Newest verified challenge of its own.
    newest: Option<(Wall, u64)>,
}

impl Tally {
    fn of(challenges: &[ChallengeFact], from: Wall, base: Base, share: impl Fn(GpuSetId) -> Share) -> Tally {
        let mut window: Vec<&ChallengeFact> = challenges.iter().filter(|fact| fact.created >= from).collect();
        window.sort_by_key(|fact| (fact.created, fact.tie));
        let mut tally = Tally::default();
        window.into_iter().for_each(|fact| tally.add(fact, base, &share));
        tally
    }

    fn add(&mut self, fact: &ChallengeFact, base: Base, share: &impl Fn(GpuSetId) -> Share) {
        match fact.outcome {
            Outcome::Void(ref reason) => {
                let not_fetched = reason.starts_with(NOT_FETCHED);
                self.void += 1;
                self.not_fetched += u32::from(not_fetched);
                self.excused += u32::from(!not_fetched);
            }
            Outcome::Failed(ref reason) => {
                self.attempts += 1;
                *self.failures.entry(Arc::clone(reason)).or_default() += 1;
            }
            Outcome::Verified { computation_ms, success_count, gpus, ops } => {
                self.proved.extend(gpus);
                let (out, of) = match gpus.map(share) {
                    Some(Share::Disowned) => return self.disowned += 1,
                    Some(Share::Quarantined) => return self.quarantined += 1,
                    Some(Share::Own { quarantined, of }) => (quarantined, of),
                    None => (0, 0),
                };
                // What is in quarantine is taken off as if it had not passed.
                let success_count = success_count.map(|count| count.saturating_sub(out));
                let ops = ops.map(|ops| if out == 0 { ops } else { ops * f64::from(of - out) / f64::from(of) });
                self.attempts += 1;
                self.newest = Some((fact.created, fact.tie));
                match base {
                    Base::InverseTime => self.count(computation_ms, success_count, 0.0),
                    Base::WorkPerTime => {
                        let known = ops.filter(|ops| ops.is_finite() && *ops > 0.0);
                        known.into_iter().for_each(|ops| self.count(computation_ms, success_count, ops));
                    }
                }
            }
        }
    }

    fn count(&mut self, computation_ms: Option<f64>, success_count: Option<u32>, ops: f64) {
        let Some(time_ms) = computation_ms else { return };
        let devices = f64::from(success_count.unwrap_or(1).max(1));
        self.counted += 1;
        self.time_sum_ms += time_ms / devices;
        self.busy_ms += time_ms;
        self.ops += ops;
        self.devices_sum += devices;
    }

    fn frequent_failures(&self) -> Vec<(Arc<str>, u32)> {
        let mut all: Vec<_> = self.failures.iter().map(|(reason, count)| (Arc::clone(reason), *count)).collect();
        all.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        all.truncate(REASONS_NAMED);
        all
    }

    fn mean(&self, sum: f64) -> f64 {
        if self.counted == 0 { 0.0 } else { sum / f64::from(self.counted) }
    }

    /// What the challenges are worth; nothing when no clock measured them.
    fn base(&self, base: Base) -> f64 {
        let time_ms = match base {
            Base::InverseTime => self.mean(self.time_sum_ms),
            Base::WorkPerTime => self.busy_ms,
        };
        if !time_ms.is_finite() || time_ms < LEAST_TIME_MS {
            return 0.0;
        }
        match base {
            Base::InverseTime => 1.0 / time_ms,
            Base::WorkPerTime => self.ops / time_ms / OPS_PER_MS,
        }
    }
}

/// Everything about one hotkey's workers that only shows when they are looked at together.
pub(super) struct Fleet<'a> {
    facts: &'a Facts,
    policy: &'a Policy,
    workers: &'a [(&'a WorkerKey, &'a WorkerFacts)],
    window: Window,
    /// Made when the first worker needs it.
    presence: Option<Presence<'a>>,
}

/// A worker's score before it is ranked among all.
pub(super) struct Unranked {
    pub(super) score: WorkerScore,
    /// Newest verified challenge: the last word between equals.
    pub(super) newest: Option<(Wall, u64)>,
}

impl<'a> Fleet<'a> {
    /// All workers of one hotkey.
    pub(super) fn new(facts: &'a Facts, policy: &'a Policy, workers: &'a [(&'a WorkerKey, &'a WorkerFacts)]) -> Self {
        let window = Window::ending(facts.at, policy.availability_hours);
        Fleet { facts, policy, workers, window, presence: None }
    }

    /// Scores of the hotkey's workers.
    pub(super) fn scores(mut self, owners: &Owners) -> Vec<Unranked> {
        let from = self.facts.at - self.policy.ranking_window;
        let mut scores = Vec::new();
        for (key, worker) in self.workers {
            let tally = Tally::of(&worker.challenges, from, self.policy.base, |set| owners.share(set, key));
            let availability = self.availability(key, &worker.maintenance, &tally.proved);
            let mut scored = unranked(key, worker, from, &tally, availability, self.policy);
            scored.score.lease_share = owners.lease_share(key);
            scored.score.lease = self.facts.lease(worker, self.policy.outage);
            scores.push(scored);
        }
        scores
    }

    fn availability(&mut self, key: &WorkerKey, maintenance: &[Span], proved: &BTreeSet<GpuSetId>) -> Availability {
        let (facts, window) = (self.facts, self.window);
        let uuids: BTreeSet<&str> =
            proved.iter().filter_map(|set| facts.gpu_sets.get(set)).flatten().map(|uuid| &**uuid).collect();
        let of_hotkey = || Presence::of(facts, facts.miners.get(&key.hotkey), window);
        let presence = self.presence.get_or_insert_with(of_hotkey);
        let Some(here) = presence.own(&key.worker) else {
            let announced = missed(window, maintenance, &Buckets::none(window));
            return itemised(0, announced, uuids.len(), 0, window, self.policy);
        };
        let (own, changes) = (here.buckets.count(), here.address_changes);
        let (counted, announced) = if uuids.is_empty() {
            (own, missed(window, maintenance, &here.buckets))
        } else {
            let shown = presence.showing_all(&uuids);
            (shown.count(), missed(window, maintenance, &shown))
        };
        Availability { own, ..itemised(counted, announced, uuids.len(), changes, window, self.policy) }
    }
}

/// Buckets of announced maintenance that are not among these.
fn missed(window: Window, maintenance: &[Span], present: &Buckets) -> u32 {
    if maintenance.is_empty() {
        return 0;
    }
    let mut announced = Buckets::none(window);
    maintenance.iter().for_each(|span| announced.mark_all(span.from, span.until));
    announced.subtract(present);
    announced.count()
}

fn itemised(counted: u32, announced: u32, gpus: usize, changes: u32, window: Window, policy: &Policy) -> Availability {
    let address_factor = policy.after_address_changes(changes);
    let of = window.buckets();
    let excused = announced.min(policy.maintenance_steps);
    let expected = of.saturating_sub(excused);
    let share = if expected == 0 { 0.0 } else { (f64::from(counted) / f64::from(expected)).min(1.0) };
    Availability {
        buckets: counted,
        of,
        own: 0,
        announced,
        excused,
        gpus_required: u32::try_from(gpus).unwrap_or(u32::MAX),
        address_changes: changes,
        address_factor,
        value: share * address_factor,
    }
}

/// Where nothing was expected, any counted challenge is all of it.
fn participation(counted: u32, baseline: f64) -> f64 {
    if counted == 0 { 0.0 } else { (f64::from(counted) / baseline).min(1.0) }
}

fn passed_over(worker: &WorkerFacts, from: Wall) -> u32 {
    u32::try_from(worker.passed_over.iter().filter(|at| **at >= from).count()).unwrap_or(u32::MAX)
}

fn unranked(
    key: &WorkerKey,
    worker: &WorkerFacts,
    from: Wall,
    tally: &Tally,
    availability: Availability,
    policy: &Policy,
) -> Unranked {
    let base = tally.base(policy.base);
    let passed_over = passed_over(worker, from);
    let baseline = policy.baseline(passed_over.saturating_add(tally.excused));
    let participation = participation(tally.counted, baseline);
    let performance = base * participation * availability.value;
    let score = WorkerScore {
        key: key.clone(),
        rank: None,
        counted: tally.counted,
        attempts: tally.attempts,
        disowned: tally.disowned,
        quarantined: tally.quarantined,
        void: tally.void,
        not_fetched: tally.not_fetched,
        failed: tally.failures.values().sum(),
        failures: tally.frequent_failures(),
        time_ms: tally.mean(tally.time_sum_ms),
        devices: tally.mean(tally.devices_sum),
        busy_ms: tally.busy_ms,
        ops: tally.ops,
        base,
        passed_over,
        baseline,
        participation,
        availability,
        performance,
        score: 0.0,
        lease: None,
        lease_share: 1.0,
    };
    Unranked { score, newest: tally.newest }
}
