//! The policy `throughput`, and rounds that the validator had no capacity for.

use super::*;

fn challenge(row: u64, computation_ms: f64, ops: Option<f64>, devices: u32) -> ChallengeFact {
    let outcome =
        Outcome::Verified { computation_ms: Some(computation_ms), success_count: Some(devices), gpus: None, ops };
    ChallengeFact { created: minutes_ago(4.0 * row as f64), tie: row, outcome }
}

/// So many rounds, all within the window.
fn rounds(count: u32) -> Vec<Wall> {
    (1..=count).map(|n| minutes_ago(0.1 * f64::from(n))).collect()
}

/// One miner a name; its worker has these challenges and was always there.
fn subnet(challenges: &[(&str, Vec<ChallengeFact>)]) -> Facts {
    let mut facts = Facts { at: minutes_ago(0.0), ..Facts::default() };
    for (hotkey, challenges) in challenges {
        facts_of::miner(&mut facts, hotkey);
        facts_of::worker(&mut facts, hotkey, "w1").challenges = challenges.clone();
        let key = WorkerKey::new(&Hotkey::label(hotkey), &WorkerId::new("w1"));
        facts_of::there_for_an_hour(&mut facts, &key, None);
    }
    facts
}

fn of<'a>(scores: &'a Scores, hotkey: &str) -> &'a WorkerScore {
    scores.workers.iter().find(|worker| worker.key.hotkey.as_str() == hotkey).unwrap()
}

#[test]
fn a_bigger_challenge_costs_nobody_points() {
    let steady = |ops: f64, ms: f64| (1..=36).map(|row| challenge(row, ms, Some(ops), 1)).collect::<Vec<_>>();
    let facts = subnet(&[("5Big", steady(1.1e12, 550.0)), ("5Small", steady(1.6e10, 8.0))]);
    let throughput = score(&facts, &Policy::throughput());
    assert_eq!((throughput.policy.to_string().as_str(), throughput.unit), ("throughput/2", "Gop/s"));
    for hotkey in ["5Big", "5Small"] {
        let worker = of(&throughput, hotkey);
        assert!((worker.base - 2000.0).abs() < 1e-9, "2 Tera-operations a second: {}", worker.base);
        assert_eq!(worker.participation, 1.0);
    }
    assert!(throughput.miners.iter().all(|miner| (miner.challenge - 1.0).abs() < 1e-12));
    let reference = score(&facts, &Policy::reference_70_30());
    assert!((reference.miners[0].challenge - 8.0 / 550.0).abs() < 1e-12, "{:?}", reference.miners[0]);
    assert_eq!(reference.unit, "1/ms");
}

#[test]
fn work_and_time_are_summed_before_they_are_divided() {
    let facts = subnet(&[("5A", vec![challenge(1, 100.0, Some(1e12), 1), challenge(2, 300.0, Some(1e12), 1)])]);
    let worker = of(&score(&facts, &Policy::throughput()), "5A").clone();
    assert_eq!((worker.ops, worker.busy_ms, worker.base), (2e12, 400.0, 5000.0));
}

#[test]
fn the_work_of_devices_adds_up_and_their_time_is_not_divided() {
    let facts = subnet(&[
        ("5Eight", vec![challenge(1, 500.0, Some(8e12), 8)]),
        ("5One", vec![challenge(1, 500.0, Some(1e12), 1)]),
    ]);
    let scores = score(&facts, &Policy::throughput());
    assert_eq!(of(&scores, "5Eight").base, 8.0 * of(&scores, "5One").base);
    assert_eq!((of(&scores, "5Eight").time_ms, of(&scores, "5Eight").devices), (62.5, 8.0));
}

#[test]
fn a_challenge_of_unknown_or_no_work_does_not_count() {
    for ops in [None, Some(0.0), Some(-1.0), Some(f64::NAN), Some(f64::INFINITY)] {
        let scores = score(&subnet(&[("5A", vec![challenge(1, 100.0, ops, 1)])]), &Policy::throughput());
        let worker = of(&scores, "5A");
        assert_eq!((worker.rank, worker.counted, worker.attempts, worker.performance), (None, 0, 1, 0.0), "{ops:?}");
    }
}

#[test]
fn a_time_that_no_clock_measured_is_worth_nothing() {
    let scores = score(&subnet(&[("5A", vec![challenge(1, 0.0, Some(1e12), 1)])]), &Policy::throughput());
    assert_eq!((of(&scores, "5A").counted, of(&scores, "5A").base), (1, 0.0));
}

#[test]
fn the_ranking_is_by_participation_and_then_by_work_per_time() {
    let often = |ms: f64| (1..=40).map(|row| challenge(row, ms, Some(1e12), 1)).collect::<Vec<_>>();
    let seldom = vec![challenge(1, 1.0, Some(1e12), 1)];
    let mut bigger = often(200.0);
    bigger.iter_mut().for_each(|fact| fact.outcome = challenge(1, 200.0, Some(4e12), 1).outcome);
    let facts = subnet(&[("5Seldom", seldom), ("5Often", often(100.0)), ("5Bigger", bigger)]);
    let ranked: Vec<_> =
        score(&facts, &Policy::throughput()).workers.iter().map(|worker| worker.key.hotkey.to_string()).collect();
    assert_eq!(ranked, ["5Bigger", "5Often", "5Seldom"]);
}

#[test]
fn rounds_that_passed_a_worker_over_are_not_expected_of_it() {
    let twelve = || (1..=12).map(|row| challenge(row, 100.0, Some(1e12), 1)).collect::<Vec<_>>();
    let mut facts = subnet(&[("5Passed", twelve()), ("5Silent", twelve())]);
    facts_of::worker(&mut facts, "5Passed", "w1").passed_over = rounds(30);
    for policy in [Policy::reference_70_30(), Policy::throughput()] {
        let scores = score(&facts, &policy);
        let (passed, silent) = (of(&scores, "5Passed"), of(&scores, "5Silent"));
        assert_eq!((passed.passed_over, passed.baseline, passed.participation), (30, 12.0, 1.0));
        assert_eq!((silent.passed_over, silent.baseline, silent.participation), (0, 36.0, 12.0 / 36.0));
        let report = report(&scores, &policy);
        let baselines: Vec<f64> = report.workers.iter().map(|line| line.participation_baseline).collect();
        assert_eq!((baselines, report.unit), (vec![12.0, 36.0], policy.base.unit()));
    }
}

#[test]
fn what_the_validator_left_without_a_verdict_is_not_expected_either() {
    let with_void = |reason: &str| {
        let void = |row| ChallengeFact { outcome: Outcome::Void(reason.into()), ..challenge(row, 100.0, None, 1) };
        (1..=30).map(void).chain((31..=42).map(|row| challenge(row, 100.0, Some(1e12), 1))).collect::<Vec<_>>()
    };
    let ours = ["verification queue full", "not verified within 300 s", "validator restarted"];
    for (reason, baseline) in ours.map(|reason| (reason, 12.0)).into_iter().chain([("not fetched within 240 s", 36.0)])
    {
        let facts = subnet(&[("5A", with_void(reason))]);
        for policy in [Policy::reference_70_30(), Policy::throughput()] {
            let scores = score(&facts, &policy);
            let worker = of(&scores, "5A");
            assert_eq!((worker.counted, worker.void, worker.baseline), (12, 30, baseline), "{reason}");
            assert_eq!(worker.participation, 12.0 / baseline, "{reason}");
        }
    }
}

#[test]
fn a_worker_that_every_round_passed_over_needs_one_challenge() {
    for passed_over in [45, 46, 1000] {
        let mut facts = subnet(&[("5A", vec![challenge(1, 100.0, Some(1e12), 1)]), ("5B", vec![])]);
        for hotkey in ["5A", "5B"] {
            facts_of::worker(&mut facts, hotkey, "w1").passed_over = rounds(passed_over);
        }
        let scores = score(&facts, &Policy::throughput());
        assert_eq!((of(&scores, "5A").baseline, of(&scores, "5A").participation), (0.0, 1.0));
        assert_eq!(of(&scores, "5B").rank, None, "no challenge, no place in the ranking");
    }
}

proptest! {
    #[test]
    fn the_same_facts_score_the_same(facts in subnets(), policy in policies()) {
        prop_assert_eq!(score(&facts, &policy), score(&facts.clone(), &policy));
    }

    #[test]
    fn being_passed_over_never_lowers_a_score(facts in subnets(), more in 0..60u32, who in any::<prop::sample::Index>(), policy in policies()) {
        prop_assume!(!facts.workers.is_empty());
        let key = facts.workers.keys().nth(who.index(facts.workers.len())).cloned().unwrap();
        let mut passed = facts.clone();
        passed.workers.get_mut(&key).unwrap().passed_over.extend(rounds(more));
        let (before, after) = (score(&facts, &policy), score(&passed, &policy));
        let find = |scores: &Scores, key: &WorkerKey| scores.workers.iter().find(|worker| worker.key == *key).cloned();
        for worker in &before.workers {
            let now = find(&after, &worker.key).unwrap();
            if worker.key == key {
                prop_assert!(now.participation >= worker.participation && now.performance >= worker.performance);
                prop_assert!(now.score >= worker.score && now.rank <= worker.rank, "{worker:?} {now:?}");
            } else {
                prop_assert_eq!(now.performance, worker.performance);
            }
        }
        prop_assert!(before.raw.iter().all(|(hotkey, raw)| after.raw[hotkey] >= *raw));
    }

    #[test]
    fn more_work_in_the_same_time_never_lowers_a_score(facts in subnets(), factor in 1.0..10.0f64, who in any::<prop::sample::Index>()) {
        prop_assume!(!facts.workers.is_empty());
        let key = facts.workers.keys().nth(who.index(facts.workers.len())).cloned().unwrap();
        let mut better = facts.clone();
        for fact in &mut better.workers.get_mut(&key).unwrap().challenges {
            if let Outcome::Verified { ops: Some(ops), .. } = &mut fact.outcome {
                *ops *= factor;
            }
        }
        let performance = |facts: &Facts| score(facts, &Policy::throughput()).workers.iter().find(|worker| worker.key == key).map(|worker| worker.performance);
        prop_assert!(performance(&better) >= performance(&facts));
    }
}

/// Of `hours` in maintenance the worker was away for all but the first, over a window of four.
fn away(hours: u64, policy: Policy) -> Availability {
    let mut facts = Facts { at: Wall::from_secs(NOW_S / 3600 * 3600), ..Facts::default() };
    facts_of::miner(&mut facts, "5A");
    let key = WorkerKey::new(&Hotkey::label("5A"), &WorkerId::new("w1"));
    let begin = facts.at - Duration::from_secs(hours * 3600);
    let span = Span { from: begin, until: facts.at };
    facts_of::worker(&mut facts, "5A", "w1").maintenance = vec![span];
    for step in 1..=48 {
        let at = facts.at - Duration::from_secs(300 * step);
        if at < begin + Duration::from_secs(3600) {
            facts_of::beat(&mut facts, &key, at, (None, None));
        }
    }
    let policy = Policy { availability_hours: 4, ..policy };
    of(&score(&facts, &policy), "5A").availability.clone()
}

#[test]
fn announced_maintenance_is_not_expected_of_a_worker_up_to_the_budget() {
    let excused = away(3, Policy::throughput());
    assert_eq!((excused.buckets, excused.announced, excused.excused, excused.value), (24, 24, 24, 1.0));
    let budget = away(3, Policy { maintenance_steps: 12, ..Policy::throughput() });
    assert_eq!((budget.announced, budget.excused, budget.value), (24, 12, 24.0 / 36.0));
    let reference = away(3, Policy::reference_70_30());
    assert_eq!((reference.announced, reference.excused, reference.value), (24, 0, 0.5));
    assert_eq!(away(0, Policy::throughput()).announced, 0);
}
