//! One trouble of the chain at a time, in fair weather otherwise: what it does to weights, and that they are set again.
//!
//! What must hold at any time is held by [`crate::chain_watch`] after every step of each of these runs.

use std::time::Duration;

use byteleap::spoke::subtensor_sim::{Broken, RateCode, Retracted, UpgradeKind};
use serde_json::json;

use crate::{
    subnet::{Part, Subnet},
    world::World,
};

const BLOCK: Duration = Duration::from_secs(12);
/// From the start, or from the end of a trouble, until weights must be confirmed: the first scores, the tempo of
/// weights, finality, and what a client waits for that was refused.
const PATIENCE: Duration = Duration::from_secs(60 * 12);
/// The validator's.
const VALIDATOR: usize = 0;

/// The seed says how weights are set: 0 in the open, 1 timelocked, 5 by a hash.
fn small(seed: u64) -> Subnet {
    let validation = json!({"gemm_i8": {"cpu": {"matrix_size": 256, "rounds": 2}}});
    Subnet::of(seed, &validation, vec![vec![Part { only_cpu_matrix: true, ..Part::HONEST }]])
}

fn confirmed(subnet: &Subnet) -> u32 {
    subnet.witness.borrow().chain.confirmed
}

/// Runs until `count` further vectors were confirmed; how long that took.
fn until_confirmed(subnet: &mut Subnet, count: u32, what: &str) -> Duration {
    let (since, witness) = (subnet.world.now().mono, subnet.witness.clone());
    let wanted = confirmed(subnet) + count;
    let done = subnet.run(since + PATIENCE * count, |_: &mut World| witness.borrow().chain.confirmed >= wanted);
    assert!(done, "{what}: weights are not confirmed; {} steps so far", subnet.witness.borrow().chain.steps);
    subnet.world.now().mono.since(since)
}

/// The trouble, for so long, then fair weather: weights must be confirmed again.
fn survives(what: &str, seed: u64, span: Duration, trouble: impl FnOnce(&mut Subnet)) {
    let mut subnet = small(seed);
    until_confirmed(&mut subnet, 1, "before the trouble");
    trouble(&mut subnet);
    subnet.calm(span);
    subnet.calm_chain();
    until_confirmed(&mut subnet, 2, what);
    assert!(subnet.world.exits.is_empty(), "{what}: {:?}", subnet.world.exits);
}

#[test]
fn upgrades_with_other_indices_go_unnoticed() {
    for seed in [0, 1] {
        let mut subnet = small(seed);
        let usual = until_confirmed(&mut subnet, 2, "before the upgrades") / 2;
        for kind in [UpgradeKind::Shuffle, UpgradeKind::Newtype, UpgradeKind::EmptyExtension] {
            subnet.node.borrow_mut().upgrade(kind).expect("a runtime like the last");
            let took = until_confirmed(&mut subnet, 1, "after an upgrade");
            assert!(took <= usual * 2 + BLOCK * 20, "{kind:?}: {took:?} where {usual:?} is usual");
        }
        let chain = &subnet.witness.borrow().chain;
        assert_eq!((chain.refused, chain.dropped), (0, 0));
    }
}

#[test]
fn an_extension_that_we_cannot_sign_stops_writing_and_nothing_else() {
    let mut subnet = small(0);
    until_confirmed(&mut subnet, 1, "before the upgrade");
    subnet.node.borrow_mut().upgrade(UpgradeKind::Extension).expect("a runtime like the last");
    // what is on its way ends
    subnet.calm(BLOCK * 20);
    let (calls, verdicts) = (subnet.witness.borrow().chain.calls, subnet.witness.borrow().verdicts());
    subnet.calm(PATIENCE);
    assert_eq!(subnet.witness.borrow().chain.calls, calls, "nothing is sent");
    assert!(subnet.witness.borrow().verdicts() > verdicts, "challenges go on");
    assert!(subnet.world.exits.is_empty(), "{:?}", subnet.world.exits);
}

#[test]
fn storms_of_too_many_requests_pass() {
    for code in [RateCode::Http429, RateCode::Json32999] {
        survives("a storm", 0, BLOCK * 30, |subnet| subnet.limit_rate(Some((0, code))));
        survives("a drizzle", 1, BLOCK * 30, |subnet| subnet.limit_rate(Some((1, code))));
    }
}

#[test]
fn a_chain_that_stalls_is_taken_up_where_it_goes_on() {
    survives("a stall", 0, BLOCK * 40, |subnet| subnet.node.borrow_mut().stall(true));
    survives("a node far behind", 0, BLOCK * 40, |subnet| subnet.lag(25));
}

#[test]
fn a_pool_that_forgets_is_given_the_same_again() {
    for seed in [0, 1, 5] {
        survives("lost extrinsics", seed, Duration::ZERO, |subnet| {
            subnet.node.borrow_mut().lose_extrinsics(2);
            subnet.calm(BLOCK * 30);
        });
        survives("a forgotten pool", seed, Duration::ZERO, |subnet| {
            for _ in 0..240 {
                subnet.node.borrow_mut().forget_pool();
                subnet.calm(Duration::from_secs(2));
            }
        });
    }
}

#[test]
fn a_fork_that_drops_an_included_extrinsic_costs_no_second_one() {
    for (seed, how) in [(0, Retracted::Lost), (0, Retracted::BackInPool), (1, Retracted::Lost), (5, Retracted::Lost)] {
        survives("forks", seed, Duration::ZERO, |subnet| {
            for _ in 0..30 {
                subnet.calm(BLOCK);
                subnet.fork(how);
            }
        });
    }
}

/// Refused in the block that the fork takes out, and good in the one that has it then.
#[test]
fn a_fork_that_turns_a_refusal_into_a_success_costs_no_second_one() {
    for depth in [1, 2] {
        let mut subnet = small(0);
        subnet.node.borrow_mut().set_finality_lag(6);
        let (end, witness) = (subnet.world.now().mono + PATIENCE, subnet.witness.clone());
        assert!(subnet.run(end, |_| witness.borrow().chain.extrinsics() == 1), "no weights were signed");
        let commit_reveal = |subnet: &Subnet, on: bool| {
            subnet.node.borrow_mut().set_hyperparameter("commit_reveal", &json!(on)).expect("a hyper-parameter");
        };
        commit_reveal(&subnet, true);
        assert!(subnet.run(end, |_| witness.borrow().chain.failed == 1), "no block refused it");
        subnet.calm(BLOCK * (depth - 1));
        subnet.node.borrow_mut().fork(u64::from(depth), Retracted::BackInPool).expect("blocks that are not final");
        commit_reveal(&subnet, false);
        until_confirmed(&mut subnet, 1, "after the fork");
        assert_eq!(witness.borrow().chain.extrinsics(), 1, "signed for one vector");
    }
}

#[test]
fn answers_that_never_come_set_nothing_twice() {
    for (seed, how) in [(0, Broken::Answer), (1, Broken::Answer), (5, Broken::Answer), (0, Broken::Garbled)] {
        survives("lost answers", seed, Duration::ZERO, |subnet| {
            for _ in 0..60 {
                subnet.link.break_next(how, 3);
                subnet.calm(Duration::from_secs(8));
            }
        });
    }
}

#[test]
fn a_clock_that_is_a_minute_off_stops_weights_until_it_is_right() {
    for seconds in [60, -60] {
        let mut subnet = small(0);
        until_confirmed(&mut subnet, 1, "before");
        subnet.witness.borrow_mut().clock_moved = true;
        subnet.world.set_wall_error(VALIDATOR, seconds);
        subnet.calm(BLOCK * 20);
        let calls = subnet.witness.borrow().chain.calls;
        subnet.calm(BLOCK * 30);
        assert_eq!(subnet.witness.borrow().chain.calls, calls, "{seconds} s: nothing is sent");
        subnet.world.set_wall_error(VALIDATOR, 0);
        until_confirmed(&mut subnet, 2, "after the clock was set right");
    }
}

#[test]
fn a_crash_after_any_step_loses_and_doubles_nothing() {
    for seed in [0, 1, 5] {
        // the steps of two intents: each durable, signed, submitted, over, confirmed
        for step in 1..=10 {
            let mut subnet = small(seed);
            let witness = subnet.witness.clone();
            let end = subnet.world.now().mono + PATIENCE * 2;
            let reached = subnet.run(end, |_| witness.borrow().chain.steps >= step);
            assert!(reached, "step {step} of seed {seed} never came");
            subnet.world.crash(VALIDATOR, Duration::from_secs(5 + step * 7));
            until_confirmed(&mut subnet, 1, &format!("after a crash at step {step} of seed {seed}"));
        }
    }
}
