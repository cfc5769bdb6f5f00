//! Each reason of the catalogue, out of a subnet that has it.

use std::collections::BTreeMap;

use super::{
    super::reasons::{CATALOGUE, reasons},
    *,
};
use crate::machine::lease::{OnOutage, OutageRule};

const GPU: GpuSetId = GpuSetId(NonZeroU32::MIN);

/// Two miners with a worker each that is there and has one challenge of 100 ms a round; then it is bent.
fn subnet() -> Facts {
    let mut facts = Facts { at: minutes_ago(0.0), ..Facts::default() };
    facts.gpu_sets.insert(GPU, BTreeSet::from(["GPU-X".into()]));
    for hotkey in ["5A", "5B"] {
        facts_of::miner(&mut facts, hotkey);
        let key = WorkerKey::new(&Hotkey::label(hotkey), &WorkerId::new("w1"));
        (0..12 * 169).rev().for_each(|n| {
            let at = facts.at - Duration::from_secs(300 * n);
            facts_of::beat(&mut facts, &key, at, (None, None));
        });
        facts_of::worker(&mut facts, hotkey, "w1").challenges = (1..=40).map(|n| passed(n, None)).collect();
    }
    facts
}

fn passed(n: u64, gpus: Option<GpuSetId>) -> ChallengeFact {
    let outcome = Outcome::Verified { computation_ms: Some(100.0), success_count: Some(1), gpus, ops: Some(1e12) };
    ended(n, outcome)
}

fn ended(n: u64, outcome: Outcome) -> ChallengeFact {
    ChallengeFact { created: minutes_ago(4.0 * n as f64), tie: n, outcome }
}

fn all_of(n: u64, outcome: Outcome) -> Vec<ChallengeFact> {
    (1..=n).map(|n| ended(n, outcome.clone())).collect()
}

/// What is said of 5A's worker.
fn said(facts: &Facts, policy: &Policy) -> BTreeMap<&'static str, String> {
    let scores = score(facts, policy);
    let of = |hotkey: &Hotkey| hotkey.as_str() == "5A";
    let miner = scores.miners.iter().find(|miner| of(&miner.hotkey));
    let worker = scores.workers.iter().find(|worker| of(&worker.key.hotkey)).unwrap();
    let best = scores.workers.iter().map(|worker| worker.base).fold(0.0, f64::max);
    let reasons = reasons(&scores, policy, miner, worker, best);
    assert!(reasons.iter().all(|reason| !reason.remedy().is_empty()), "{reasons:?}");
    reasons.iter().map(|reason| (reason.code(), reason.to_string())).collect()
}

fn claim(facts: &mut Facts, hotkey: &str, proved: Option<f64>) {
    let worker = WorkerKey::new(&Hotkey::label(hotkey), &WorkerId::new("w1"));
    let (since, seen, proved) = (minutes_ago(500.0), minutes_ago(1.0), proved.map(minutes_ago));
    let claim = Claim { worker, since, seen, proved, removed: false };
    facts.claims.entry("GPU-X".into()).or_default().push(claim);
}

/// A code, what is bent, and the text.
type Case = (&'static str, fn(&mut Facts), &'static str);

fn first(facts: &mut Facts) -> &mut WorkerFacts {
    facts_of::worker(facts, "5A", "w1")
}

const CASES: [Case; 21] = [
    (
        "miner_offline",
        |facts| facts.miners.get_mut(&Hotkey::label("5A")).unwrap().seen = minutes_ago(31.0),
        "the miner was not heard lately: it is offline, and scores nothing",
    ),
    (
        "all_zero",
        |facts| facts.workers.values_mut().for_each(|worker| worker.challenges.clear()),
        "no miner of the subnet earned anything",
    ),
    ("no_lease", |_| {}, "no worker of the miner is on lease, which is 70 % of the score"),
    (
        "idle_workers_lower_lease",
        |facts| {
            first(facts).lease = Some(leased(1.0));
            facts_of::worker(facts, "5A", "w2");
        },
        "1 of 2 workers are not on lease, and lower the mean that is the lease score",
    ),
    (
        "challenge_is_mean",
        |facts| first(facts).lease = Some(leased(1.0)),
        "the miner has leases, so its challenge score is the mean of all miners, 1.000000",
    ),
    (
        "beyond_worker_cap",
        |facts| (2..=101).for_each(|n| facts_of::worker(facts, "5A", &format!("w{n}")).lease = None),
        "the miner has 101 workers, and 100 count",
    ),
    ("on_lease", |facts| first(facts).lease = Some(leased(0.5)), "on lease with a score of 0.5"),
    (
        "lease_reduced",
        |facts| {
            first(facts).lease = Some(leased(1.0));
            claim(facts, "5A", None);
            claim(facts, "5B", Some(5.0));
        },
        "0 % of its lease counts: others name or prove GPUs of it",
    ),
    (
        "not_heard",
        |facts| facts.miners.get_mut(&Hotkey::label("5A")).unwrap().beats.clear(),
        "no heartbeat named it in the last 169 h",
    ),
    ("no_challenge", |facts| first(facts).challenges.clear(), "it had no challenge in the window"),
    (
        "passed_over",
        |facts| first(facts).passed_over = vec![minutes_ago(8.0), minutes_ago(4.0)],
        "2 rounds passed it over, for want of time to verify its proof",
    ),
    (
        "not_fetched",
        |facts| first(facts).challenges = all_of(3, Outcome::Void("not fetched within 240 s".into())),
        "3 challenges were made for it and never fetched",
    ),
    (
        "challenges_failed",
        |facts| {
            let failed = |n, reason: &str| ended(n, Outcome::Failed(reason.into()));
            first(facts).challenges =
                vec![failed(1, "late"), failed(2, "wrong rows"), failed(3, "wrong rows"), passed(4, None)];
        },
        "3 of 4 challenges failed, most of them so: wrong rows",
    ),
    (
        "few_challenges",
        |facts| first(facts).challenges.truncate(9),
        "9 challenges counted, where 36.0 make a full score",
    ),
    (
        "work_unknown",
        |facts| {
            let outcome = Outcome::Verified { computation_ms: None, success_count: Some(1), gpus: None, ops: None };
            first(facts).challenges.push(ended(41, outcome));
        },
        "the time or the work of 1 challenges is not known",
    ),
    (
        "gpu_of_another",
        |facts| {
            claim(facts, "5B", Some(5.0));
            first(facts).challenges = vec![passed(1, Some(GPU))];
        },
        "1 challenges were proved with a GPU that another worker owns, or nobody",
    ),
    (
        "gpu_in_quarantine",
        |facts| {
            for hotkey in ["5A", "5B"] {
                claim(facts, hotkey, Some(4.0));
                facts_of::worker(facts, hotkey, "w1").challenges = vec![passed(1, Some(GPU))];
            }
        },
        "1 challenges were proved with GPUs that are in quarantine, for several workers prove them",
    ),
    (
        "gpu_not_shown",
        |facts| {
            claim(facts, "5A", Some(4.0));
            first(facts).challenges = vec![passed(1, Some(GPU))];
        },
        "its heartbeats came in 2028 of the 5-minute steps, and showed the GPUs that it proved in 0 of them",
    ),
    (
        "often_absent",
        |facts| {
            let beats = &mut facts.miners.get_mut(&Hotkey::label("5A")).unwrap().beats;
            beats.drain(..beats.len() / 2);
        },
        "it was heard in 1014 of 2028 steps of 5 minutes (50 %)",
    ),
    (
        "maintenance_not_excused",
        |facts| {
            away_in_maintenance(facts, 24);
        },
        "24 of 24 steps of 5 minutes of announced maintenance count as absence: the policy excuses 0",
    ),
    (
        "address_changed",
        |facts| {
            let key = WorkerKey::new(&Hotkey::label("5A"), &WorkerId::new("w1"));
            for n in 1..=3u32 {
                let address = NonZeroU32::new(n).map(AddressId);
                facts_of::beat(facts, &key, minutes_ago(4.0 - f64::from(n)), (address, None));
            }
        },
        "its public address changed 2 times, which leaves 25 % of its availability",
    ),
];

#[test]
fn each_reason_is_given_where_it_holds_and_says_what_was_seen() {
    let policy = Policy::reference_70_30();
    for (code, bend, expected) in CASES {
        let mut facts = subnet();
        bend(&mut facts);
        let said = said(&facts, &policy);
        assert_eq!(said.get(code).map(String::as_str), Some(expected), "{code}: {said:?}");
    }
    let mut facts = subnet();
    facts_of::worker(&mut facts, "5B", "w1").challenges.iter_mut().for_each(|fact| {
        let Outcome::Verified { computation_ms, .. } = &mut fact.outcome else { return };
        *computation_ms = Some(50.0);
    });
    assert_eq!(said(&facts, &policy)["slower_than_best"], "it computes at 50 % of the pace of the fastest worker");
    let mut facts = subnet();
    away_in_maintenance(&mut facts, 24);
    let said = said(&facts, &Policy::throughput());
    assert_eq!(said["maintenance_excused"], "24 steps of 5 minutes of announced maintenance are not expected of it");
    assert!(!said.contains_key("often_absent") && !said.contains_key("maintenance_not_excused"), "{said:?}");
}

#[test]
fn a_loss_is_put_down_to_what_caused_it() {
    let policy = Policy::reference_70_30();
    let mut facts = subnet();
    first(&mut facts).lease = Some(leased(1.0));
    claim(&mut facts, "5A", None);
    claim(&mut facts, "5B", Some(5.0));
    let told = said(&facts, &policy);
    assert!(!told.contains_key("no_lease") && !told.contains_key("idle_workers_lower_lease"), "{told:?}");

    let mut facts = subnet();
    first(&mut facts).lease = Some(leased(1.0));
    facts.leases_heard = Some(facts.at - Duration::from_secs(5400));
    let outage = |on_outage| OutageRule { on_outage, max_age: Duration::from_secs(3600) };
    let told = said(&facts, &Policy { outage: outage(OnOutage::Decay), ..policy.clone() });
    assert_eq!(told["lease_source_silent"], "the source of leases is silent, and 50 % of each lease is left");
    let told = said(&facts, &Policy { outage: outage(OnOutage::Zero), ..policy.clone() });
    assert!(told.contains_key("lease_source_silent") && !told.contains_key("no_lease"), "{told:?}");

    let mut facts = subnet();
    (1..=150).for_each(|n| facts_of::worker(&mut facts, "5A", &format!("w{n}")).lease = Some(leased(1.0)));
    (151..=160).for_each(|n| facts_of::worker(&mut facts, "5A", &format!("w{n}")).lease = None);
    let told = said(&facts, &policy);
    assert!(!told.contains_key("idle_workers_lower_lease"), "those beyond the cap lower nothing: {told:?}");

    let mut facts = subnet();
    first(&mut facts).challenges.clear();
    first(&mut facts).passed_over = vec![minutes_ago(4.0)];
    assert!(!said(&facts, &policy).contains_key("no_challenge"));

    let mut facts = subnet();
    first(&mut facts).challenges.truncate(9);
    let told = said(&facts, &policy);
    assert!(told.contains_key("few_challenges") && !told.contains_key("slower_than_best"), "it is as fast as any");
    let told = said(&facts, &Policy::lease_only());
    assert!(!told.contains_key("few_challenges"), "challenges earn nothing");
}

/// The first worker was away for so many steps, and its miner had said so.
fn away_in_maintenance(facts: &mut Facts, steps: u64) {
    let span = Span {
        from: facts.at - Duration::from_secs(300 * (steps + 100)),
        until: facts.at - Duration::from_secs(300 * 100),
    };
    let beats = &mut facts.miners.get_mut(&Hotkey::label("5A")).unwrap().beats;
    beats.retain(|beat| !(span.from..span.until).contains(&beat.at));
    first(facts).maintenance = vec![span];
}

#[test]
fn the_catalogue_holds_what_the_cases_show_and_nothing_more() {
    let shown: BTreeSet<&str> = CASES
        .iter()
        .map(|(code, ..)| *code)
        .chain(["slower_than_best", "maintenance_excused", "lease_source_silent"])
        .collect();
    assert_eq!(shown, CATALOGUE.iter().map(|(code, _)| *code).collect());
}

#[test]
fn a_worker_with_nothing_to_say_of_has_no_reasons() {
    let scores = said(&subnet(), &Policy { lease_weight: 0.0, challenge_weight: 1.0, ..Policy::reference_70_30() });
    assert_eq!(scores, BTreeMap::new());
}
