//! Rounds that cannot reach everybody: whom they pass over, in which turn, and what is written down of it.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    bench::{Bench, Miner, NOON},
    gemm::{alice, beat, next_round, offering},
};
use crate::{
    machine::{
        Input,
        contract::store::{StoreFault, Write},
        validator::fleet::{Offer, Word},
    },
    metrics::Metric,
    units::{Hotkey, WorkerId, WorkerKey},
    wire::{
        json,
        messages::{CommitmentData, WorkFailure},
        synapse::SynapseKind,
    },
};

/// One verifier, and GPU challenges of which it is expected to check eleven in an interval.
const HEAVY: &str = "
netuid: 128
scoring: {policy: throughput}
validation:
  verification_concurrent: 1
  challenge_type: auto
  gemm_i8: {gpu: {matrix_size: 65536, rounds: 1}, samples: 1024}
";

const EACH: usize = 11;

/// So many workers with a GPU each.
fn crowd(count: usize) -> Vec<String> {
    (0..count).map(|n| offering(&format!("w{n:02}"), &[&format!("GPU-{n}")])).collect()
}

/// The workers that get a challenge, all of whom give it up at once.
fn served(bench: &mut Bench, miner: &mut Miner) -> BTreeSet<WorkerId> {
    let tasks = miner.tasks(bench, None);
    for task in &tasks {
        let failure = WorkFailure { code: 1005, reason: "not today".into() };
        let data = CommitmentData::failed(task.challenge_id.clone(), task.target_worker_id.clone(), failure);
        miner.say(bench, SynapseKind::Challenge, &json::text(&data)).plain();
    }
    tasks.into_iter().map(|task| task.target_worker_id).collect()
}

/// The workers of each round that was written down as passing somebody over.
fn passed_over(bench: &Bench) -> Vec<Vec<WorkerKey>> {
    let list = |write: &Write| match write {
        Write::RoundBegan { passed_over, .. } => Some(passed_over.clone()),
        _ => None,
    };
    bench.written.iter().filter_map(list).collect()
}

#[test]
fn what_cannot_be_verified_is_not_issued_and_everybody_has_his_turn() {
    let (mut bench, mut alice) = alice(HEAVY);
    let workers = crowd(40);
    let mut times: BTreeMap<WorkerId, u32> = BTreeMap::new();
    for round in 1..=4 {
        next_round(&mut bench, &mut alice, &workers);
        let served = served(&mut bench, &mut alice);
        assert_eq!(served.len(), EACH, "round {round}");
        served.into_iter().for_each(|worker| *times.entry(worker).or_default() += 1);
        let lists = passed_over(&bench);
        assert_eq!((lists.len(), lists[round - 1].len()), (round, 40 - EACH));
    }
    assert_eq!(times.len(), 40, "nobody waits for a fifth round");
    assert_eq!(bench.counted(Metric::ChallengesPassedOver, &[]), Some(4.0 * (40 - EACH) as f64));
    assert_eq!(bench.counted(Metric::VerifyCapacitySeconds, &[]), Some(180.0));
}

#[test]
fn what_is_under_way_is_taken_off_the_next_round() {
    let (mut bench, mut alice) = alice(&format!("{HEAVY}\n  challenge_timeout: 400"));
    let workers = crowd(40);
    next_round(&mut bench, &mut alice, &workers);
    assert_eq!(alice.tasks(&mut bench, None).len(), EACH);
    assert!(bench.counted(Metric::VerifyReservedSeconds, &[]).unwrap() >= 180.0);
    next_round(&mut bench, &mut alice, &workers);
    let lists = passed_over(&bench);
    assert_eq!(lists.iter().map(Vec::len).collect::<Vec<_>>(), [29, 29], "eleven are open, and no time is left");
    assert_eq!(bench.ends().created, EACH as u64);
}

#[test]
fn what_nobody_fetched_costs_the_next_round_nothing() {
    let (mut bench, mut alice) = alice(HEAVY);
    let workers = crowd(40);
    next_round(&mut bench, &mut alice, &workers);
    assert_eq!(bench.counted(Metric::VerifyReservedSeconds, &[]), Some(0.0));
    next_round(&mut bench, &mut alice, &workers);
    let lists = passed_over(&bench);
    assert_eq!(lists.iter().map(Vec::len).collect::<Vec<_>>(), [29, 18], "eleven more of those who had none");
    assert_eq!(bench.ends().created, 2 * EACH as u64);
}

#[test]
fn a_round_that_reaches_everybody_is_not_worth_a_word() {
    let (mut bench, mut alice) = alice(HEAVY);
    let workers = crowd(EACH);
    next_round(&mut bench, &mut alice, &workers);
    assert_eq!(served(&mut bench, &mut alice).len(), EACH);
    assert_eq!((passed_over(&bench).len(), bench.counted(Metric::ChallengesPassedOver, &[])), (0, None));
}

#[test]
fn who_offers_less_costs_less() {
    let (mut bench, mut alice) = alice(HEAVY);
    let cheap = |n: usize| format!(r#"{{"worker_id":"c{n:02}","status":"online","capabilities":["cpu_matrix"]}}"#);
    let workers: Vec<String> = (0..90).map(cheap).collect();
    next_round(&mut bench, &mut alice, &workers);
    assert_eq!((alice.tasks(&mut bench, None).len(), passed_over(&bench).len()), (90, 0));
}

#[test]
fn the_largest_subnet_is_served_in_bounded_rounds() {
    let (mut bench, mut alice) = alice(HEAVY);
    beat(&mut bench, &mut alice, &[]);
    bench.seconds(239);
    for miner in 0..256 {
        let hotkey = Hotkey::label(&format!("miner-{miner:03}"));
        let word = |n: u32| Word {
            worker: WorkerId::new(&format!("w{n}")),
            online: true,
            cpu_matrix: true,
            gemm_i8: true,
            gpu_matrix: false,
            gpus: [format!("GPU-{miner}-{n}")].into(),
            inventory: [].into(),
            hardware: 1,
        };
        bench.validator.fleet.heard(bench.now.mono, &hotkey, (0..100).map(word).collect());
    }
    bench.seconds(1);
    let lists = passed_over(&bench);
    assert_eq!((lists.len(), lists[0].len(), bench.ends().created), (1, 25_600 - EACH, EACH as u64));
    bench.input(Input::Deadline);
    let wanted = bench.validator.config.validation.challenge_type;
    let offers = bench.validator.fleet.candidates(bench.now.mono, wanted, |_| false);
    assert!(offers.iter().all(|able| matches!(&able.offer, Offer::GemmI8 { gpus } if gpus.len() == 1)));
}

#[test]
fn who_gets_none_because_the_store_is_behind_is_passed_over_too() {
    let (mut bench, mut alice) = alice(HEAVY);
    let workers = crowd(3);
    for _ in 0..3 {
        beat(&mut bench, &mut alice, &workers);
        bench.seconds(60);
    }
    beat(&mut bench, &mut alice, &workers);
    bench.store_fault = Some(StoreFault::Full("disk".into()));
    let note = || Write::RoundBegan { at: NOON, passed_over: vec![] };
    while bench.validator.ledger.has_room() {
        bench.validator.ledger.must(note());
    }
    bench.seconds(61);
    assert_eq!((bench.ends().created, bench.counted(Metric::ChallengesPassedOver, &[])), (0, Some(3.0)));
}
