//! Why a score is what it is, in words: a catalogue of reasons, each with what to do about it.
//!
//! Pure: what a score itemises decides which reasons hold. It explains and never scores.

use std::fmt;

use super::{
    outcome::{MinerScore, Scores, WorkerScore},
    policy::Policy,
};

/// Availability below this is worth a word: 24 minutes of silence in a week are not.
const PRESENT: f64 = 0.998;

/// Something that made a score what it is. The text of one says what was seen; [`remedy`](Reason::remedy), what to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Reason {
    MinerOffline,
    AllZero,
    LeaseSourceSilent { left: f64 },
    NoLease { share: f64 },
    IdleWorkersLowerLease { idle: u32, workers: u32 },
    ChallengeIsMean { mean: f64 },
    BeyondWorkerCap { workers: u32, cap: usize },
    OnLease { score: f64 },
    LeaseReduced { share: f64 },
    NotHeard { hours: u32 },
    NoChallenge,
    PassedOver { rounds: u32 },
    NotFetched { count: u32 },
    ChallengesFailed { failed: u32, of: u32, most: String },
    FewChallenges { counted: u32, baseline: f64 },
    WorkUnknown { count: u32 },
    GpuOfAnother { count: u32 },
    GpuInQuarantine { count: u32 },
    GpusNotShown { shown: u32, own: u32 },
    OftenAbsent { own: u32, of: u32 },
    MaintenanceExcused { steps: u32 },
    MaintenanceNotExcused { steps: u32, announced: u32, budget: u32 },
    AddressChanged { changes: u32, left: f64 },
    SlowerThanBest { share: f64 },
}

/// Everything that a receipt may give as a reason, with what to do about it.
pub const CATALOGUE: [(&str, &str); 24] = [
    ("miner_offline", "start the miner, or mend its way to the validator: it must be heard every few minutes"),
    ("all_zero", "nothing to do for a miner: the validator sets no weights until somebody earns"),
    (
        "lease_source_silent",
        "nothing to do for a miner: the validator hears nothing of leases, and lowers all of them until it does",
    ),
    ("no_lease", "offer the worker on the marketplace: most of the score is lease revenue"),
    (
        "idle_workers_lower_lease",
        "lease the idle workers too, or run them under another hotkey: the lease score is a mean",
    ),
    ("challenge_is_mean", "nothing to do: leased workers can not be challenged, so the mean of all miners is used"),
    ("beyond_worker_cap", "run the further workers under another hotkey: only the best ones of a miner count"),
    ("on_lease", "nothing to do: a leased worker gets no challenges"),
    ("lease_reduced", "run each GPU in one worker alone: a GPU that another names or proves too earns no lease"),
    (
        "not_heard",
        "start the worker, or mend its way to the miner; a miner that says something new with every heartbeat of an hour \
         is credited with none of its workers",
    ),
    (
        "no_challenge",
        "see that the worker is online and idle, and that its capabilities name a kind that the validator \
      makes (cpu_matrix, gemm_i8)",
    ),
    ("passed_over", "nothing to do: the validator had no time to verify it, and expects fewer challenges of it"),
    ("not_fetched", "see that the miner polls this validator and that the worker was idle: challenges waited in vain"),
    ("challenges_failed", "see the worker's log of that time: a failed challenge counts as one that was not done"),
    ("few_challenges", "keep the worker online and idle: it is scored in full with as many challenges as are expected"),
    (
        "work_unknown",
        "use a current miner and worker: the work of these challenges was not stated, so they do not count",
    ),
    (
        "gpu_of_another",
        "run each GPU in one worker, and keep it in that worker's heartbeats: another owns this one, or nobody names it",
    ),
    ("gpu_in_quarantine", "run each GPU in one worker: several prove this one, so it earns for none of them"),
    ("gpu_not_shown", "keep the GPU in the worker's heartbeats: see byteleap doctor gpu on its host"),
    (
        "often_absent",
        "keep worker and miner running: availability is measured in 5-minute steps over the window; a validator that was \
         away itself, or is younger than its window, has heard less of everybody",
    ),
    (
        "maintenance_excused",
        "nothing to do: announced maintenance is not expected of a worker, up to the policy's budget",
    ),
    (
        "maintenance_not_excused",
        "keep maintenance within the policy's budget, where it has one: what is over it counts as absence",
    ),
    ("address_changed", "give the host a static public address: each change lowers availability for a week"),
    ("slower_than_best", "nothing is wrong: the fastest worker of all sets the scale"),
];

impl Reason {
    /// As in the [`CATALOGUE`].
    pub fn code(&self) -> &'static str {
        match self {
            Reason::MinerOffline => "miner_offline",
            Reason::AllZero => "all_zero",
            Reason::LeaseSourceSilent { .. } => "lease_source_silent",
            Reason::NoLease { .. } => "no_lease",
            Reason::IdleWorkersLowerLease { .. } => "idle_workers_lower_lease",
            Reason::ChallengeIsMean { .. } => "challenge_is_mean",
            Reason::BeyondWorkerCap { .. } => "beyond_worker_cap",
            Reason::OnLease { .. } => "on_lease",
            Reason::LeaseReduced { .. } => "lease_reduced",
            Reason::NotHeard { .. } => "not_heard",
            Reason::NoChallenge => "no_challenge",
            Reason::PassedOver { .. } => "passed_over",
            Reason::NotFetched { .. } => "not_fetched",
            Reason::ChallengesFailed { .. } => "challenges_failed",
            Reason::FewChallenges { .. } => "few_challenges",
            Reason::WorkUnknown { .. } => "work_unknown",
            Reason::GpuOfAnother { .. } => "gpu_of_another",
            Reason::GpuInQuarantine { .. } => "gpu_in_quarantine",
            Reason::GpusNotShown { .. } => "gpu_not_shown",
            Reason::OftenAbsent { .. } => "often_absent",
            Reason::MaintenanceExcused { .. } => "maintenance_excused",
            Reason::MaintenanceNotExcused { .. } => "maintenance_not_excused",
            Reason::AddressChanged { .. } => "address_changed",
            Reason::SlowerThanBest { .. } => "slower_than_best",
        }
    }

    pub fn remedy(&self) -> &'static str {
        let found = CATALOGUE.iter().find(|(code, _)| *code == self.code());
        found.map_or("", |(_, remedy)| remedy)
    }
}

impl Reason {
    fn maintenance(&self, to: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Reason::MaintenanceExcused { steps } => {
                write!(to, "{steps} steps of 5 minutes of announced maintenance are not expected of it")
            }
            Reason::MaintenanceNotExcused { steps, announced, budget } => {
                write!(
                    to,
                    "{steps} of {announced} steps of 5 minutes of announced maintenance count as absence: the policy \
                     excuses {budget}"
                )
            }
            _ => Ok(()),
        }
    }
}

fn percent(share: f64) -> f64 {
    (share * 1000.0).round() / 10.0
}

impl fmt::Display for Reason {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Reason::MinerOffline => to.write_str("the miner was not heard lately: it is offline, and scores nothing"),
            Reason::AllZero => to.write_str("no miner of the subnet earned anything"),
            Reason::LeaseSourceSilent { left } => {
                write!(to, "the source of leases is silent, and {} % of each lease is left", percent(*left))
            }
            Reason::NoLease { share } => {
                write!(to, "no worker of the miner is on lease, which is {} % of the score", percent(*share))
            }
            Reason::IdleWorkersLowerLease { idle, workers } => {
                write!(to, "{idle} of {workers} workers are not on lease, and lower the mean that is the lease score")
            }
            Reason::ChallengeIsMean { mean } => {
                write!(to, "the miner has leases, so its challenge score is the mean of all miners, {mean:.6}")
            }
            Reason::BeyondWorkerCap { workers, cap } => write!(to, "the miner has {workers} workers, and {cap} count"),
            Reason::OnLease { score } => write!(to, "on lease with a score of {score}"),
            Reason::LeaseReduced { share } => {
                write!(to, "{} % of its lease counts: others name or prove GPUs of it", percent(*share))
            }
            Reason::NotHeard { hours } => write!(to, "no heartbeat named it in the last {hours} h"),
            Reason::NoChallenge => to.write_str("it had no challenge in the window"),
            Reason::PassedOver { rounds } => {
                write!(to, "{rounds} rounds passed it over, for want of time to verify its proof")
            }
            Reason::NotFetched { count } => write!(to, "{count} challenges were made for it and never fetched"),
            Reason::ChallengesFailed { failed, of, most } => {
                write!(to, "{failed} of {of} challenges failed, most of them so: {most}")
            }
            Reason::FewChallenges { counted, baseline } => {
                write!(to, "{counted} challenges counted, where {baseline:.1} make a full score")
            }
            Reason::WorkUnknown { count } => write!(to, "the time or the work of {count} challenges is not known"),
            Reason::GpuOfAnother { count } => {
                write!(to, "{count} challenges were proved with a GPU that another worker owns, or nobody")
            }
            Reason::GpuInQuarantine { count } => {
                write!(
                    to,
                    "{count} challenges were proved with GPUs that are in quarantine, for several workers prove them"
                )
            }
            Reason::GpusNotShown { shown, own } => write!(
                to,
                "its heartbeats came in {own} of the 5-minute steps, and showed the GPUs that it proved in {shown} of them"
            ),
            Reason::OftenAbsent { own, of } => {
                write!(
                    to,
                    "it was heard in {own} of {of} steps of 5 minutes ({} %)",
                    percent(f64::from(*own) / f64::from(*of))
                )
            }
            Reason::MaintenanceExcused { .. } | Reason::MaintenanceNotExcused { .. } => self.maintenance(to),
            Reason::AddressChanged { changes, left } => {
                write!(
                    to,
                    "its public address changed {changes} times, which leaves {} % of its availability",
                    percent(*left)
                )
            }
            Reason::SlowerThanBest { share } => {
                write!(to, "it computes at {} % of the pace of the fastest worker", percent(*share))
            }
        }
    }
}

/// Why this worker's score, and its miner's, are what they are: what costs most first. `best`: the highest base of all.
pub fn reasons(
    scores: &Scores,
    policy: &Policy,
    miner: Option<&MinerScore>,
    worker: &WorkerScore,
    best: f64,
) -> Vec<Reason> {
    let mut all = Vec::new();
    all.extend(scores.all_zero.then_some(Reason::AllZero));
    all.extend(miner.into_iter().flat_map(|miner| of_miner(scores, policy, miner)));
    all.extend(of_leases(worker));
    all.extend(of_challenges(policy, worker));
    all.extend(of_presence(policy, worker));
    let slower = policy.challenge_weight > 0.0 && worker.rank.is_some() && worker.base < best;
    all.extend(slower.then(|| Reason::SlowerThanBest { share: worker.base / best }));
    all
}

fn of_miner(scores: &Scores, policy: &Policy, miner: &MinerScore) -> Vec<Reason> {
    if !miner.online {
        return vec![Reason::MinerOffline];
    }
    let (leases_count, cap) = (policy.lease_weight > 0.0, policy.worker_cap);
    // Only so many count, the leased ones first.
    let counted = u32::try_from(cap).map_or(miner.workers, |cap| cap.min(miner.workers));
    let idle = counted.saturating_sub(miner.leased + miner.reduced);
    let none = miner.leased + miner.reduced == 0 && scores.leases_left > 0.0;
    let left = scores.leases_left;
    let cases = [
        (leases_count && left < 1.0, Reason::LeaseSourceSilent { left }),
        (leases_count && none, Reason::NoLease { share: policy.lease_weight }),
        (leases_count && miner.lease > 0.0 && idle > 0, Reason::IdleWorkersLowerLease { idle, workers: miner.workers }),
        (miner.replaced, Reason::ChallengeIsMean { mean: scores.mean_challenge }),
        (miner.workers as usize > cap, Reason::BeyondWorkerCap { workers: miner.workers, cap }),
    ];
    cases.into_iter().filter_map(|(holds, reason)| holds.then_some(reason)).collect()
}

fn of_leases(worker: &WorkerScore) -> Vec<Reason> {
    let Some(score) = worker.lease.filter(|score| *score > 0.0) else { return Vec::new() };
    let reduced = (worker.lease_share < 1.0).then_some(Reason::LeaseReduced { share: worker.lease_share });
    [Reason::OnLease { score }].into_iter().chain(reduced).collect()
}

fn of_challenges(policy: &Policy, worker: &WorkerScore) -> Vec<Reason> {
    if policy.challenge_weight <= 0.0 {
        return Vec::new();
    }
    let failed: u32 = worker.failed;
    let unknown = worker.attempts.saturating_sub(worker.counted + failed);
    let asked = worker.attempts + worker.disowned + worker.quarantined + worker.void;
    let leased = worker.lease.is_some_and(|score| score > 0.0);
    let most = worker.failures.first().map_or(String::new(), |(reason, _)| reason.to_string());
    let few = !leased && asked > 0 && f64::from(worker.counted) < worker.baseline;
    let cases = [
        (asked == 0 && !leased && worker.passed_over == 0 && worker.availability.own > 0, Reason::NoChallenge),
        (failed > 0, Reason::ChallengesFailed { failed, of: worker.attempts, most }),
        (worker.not_fetched > 0, Reason::NotFetched { count: worker.not_fetched }),
        (worker.disowned > 0, Reason::GpuOfAnother { count: worker.disowned }),
        (worker.quarantined > 0, Reason::GpuInQuarantine { count: worker.quarantined }),
        (unknown > 0, Reason::WorkUnknown { count: unknown }),
        (few, Reason::FewChallenges { counted: worker.counted, baseline: worker.baseline }),
        (worker.passed_over > 0, Reason::PassedOver { rounds: worker.passed_over }),
    ];
    cases.into_iter().filter_map(|(holds, reason)| holds.then_some(reason)).collect()
}

fn of_presence(policy: &Policy, worker: &WorkerScore) -> Vec<Reason> {
    let of = &worker.availability;
    if of.own == 0 {
        return vec![Reason::NotHeard { hours: policy.availability_hours }];
    }
    let expected = of.of.saturating_sub(of.excused);
    let often_absent = f64::from(of.own) < f64::from(expected) * PRESENT;
    let (announced, budget) = (of.announced, policy.maintenance_steps);
    let counted = announced.saturating_sub(of.excused);
    let cases = [
        (of.gpus_required > 0 && of.buckets < of.own, Reason::GpusNotShown { shown: of.buckets, own: of.own }),
        (often_absent, Reason::OftenAbsent { own: of.own, of: expected }),
        (of.excused > 0, Reason::MaintenanceExcused { steps: of.excused }),
        (counted > 0, Reason::MaintenanceNotExcused { steps: counted, announced, budget }),
        (of.address_factor < 1.0, Reason::AddressChanged { changes: of.address_changes, left: of.address_factor }),
    ];
    cases.into_iter().filter_map(|(holds, reason)| holds.then_some(reason)).collect()
}
