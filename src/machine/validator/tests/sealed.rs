//! Weights by each way that a subnet takes them, and nodes and runtimes that make it hard.

use super::{
    bench::{Bench, CONFIG, keys},
    node::{FakeNode, Fate, pool},
    weights::{outcomes, two_miners, two_miners_with},
};
use crate::{
    machine::{
        Exit,
        contract::{
            chain::{ChainCall, ChainFaultKind, Feature, PoolFault, PreflightRow, PreflightState},
            store::{Snapshot, StoredIntent},
        },
        validator::blocked::Blocked,
    },
    metrics::Metric,
    units::Uid,
};

/// A validator that is about to set its first weights.
fn due(change: impl FnOnce(&mut Bench)) -> Bench {
    let (mut bench, _, _) = two_miners(Snapshot::default());
    change(&mut bench);
    bench.seconds(419);
    bench
}

/// Calls that were signed, by name.
fn signed(bench: &Bench) -> Vec<&'static str> {
    let name = |call: &ChainCall| match call {
        ChainCall::ServeAxon { .. } => "serve_axon",
        ChainCall::SetWeights(_) => "open",
        ChainCall::CommitTimelocked(_) => "timelocked",
        ChainCall::CommitHash { .. } => "hash",
        ChainCall::RevealWeights { .. } => "reveal",
        ChainCall::BurnedRegister { .. } | ChainCall::RegisterLimit { .. } => "register",
    };
    bench.node.signed.iter().map(name).collect()
}

fn turn_epoch(bench: &mut Bench, opens: bool) {
    bench.node.turn_epoch(&mut bench.graph, opens);
    bench.seconds(120);
}

fn broken(feature: &'static [Feature]) -> PreflightRow {
    let name = "SubtensorModule.something".into();
    PreflightRow { kind: "call", name, used_by: feature, state: PreflightState::Missing }
}

/// A new runtime that lacks something.
fn upgrade(bench: &mut Bench, row: PreflightRow) {
    bench.node.spec_version += 1;
    bench.node.rows = vec![row];
}

#[test]
fn a_timelocked_commitment_is_confirmed_when_the_chain_has_opened_it() {
    let mut bench = due(|bench| bench.graph.commit_reveal = true);
    bench.seconds(200);
    assert_eq!(outcomes(&bench), ["intent at 1101: 1", "signed", "submitted", "Included { block: 1102 }"]);
    assert_eq!(bench.counted(Metric::WeightsAwaited, &[]), Some(1.0));
    assert!(bench.counted(Metric::SecondsSinceConfirmedWeights, &[]).unwrap() >= 200.0, "counted from the start");
    turn_epoch(&mut bench, true);
    assert_eq!(outcomes(&bench).last().unwrap(), "Confirmed { block: 1122 }");
    assert_eq!((signed(&bench), bench.counted(Metric::WeightsAwaited, &[])), (vec!["timelocked"], Some(0.0)));
    assert!(bench.counted(Metric::SecondsSinceConfirmedWeights, &[]).unwrap() < 120.0);
}

#[test]
fn a_commitment_that_the_chain_drops_in_silence_is_told() {
    let mut bench = due(|bench| bench.graph.commit_reveal = true);
    bench.seconds(200);
    turn_epoch(&mut bench, false);
    assert!(outcomes(&bench).last().unwrap().starts_with("Dropped"), "{:?}", outcomes(&bench));
    assert_eq!(bench.counted(Metric::WeightSubmissions, &["dropped"]), Some(1.0));
}

#[test]
fn a_chain_that_names_impossible_epochs_is_no_end_of_ours() {
    for hash in [false, true] {
        let mut bench = due(|bench| bench.graph.commit_reveal = true);
        if hash {
            upgrade(&mut bench, broken(&[Feature::TimelockedCommit]));
        }
        bench.seconds(200);
        bench.graph.reveal_period = u64::MAX;
        turn_epoch(&mut bench, true);
        bench.node.commits.iter_mut().for_each(|held| held.epoch = u64::MAX);
        turn_epoch(&mut bench, false);
        assert_eq!(bench.exit, None);
    }
}

#[test]
fn a_hash_is_revealed_in_its_epoch_with_the_salt_that_it_was_made_of() {
    let config = format!("{CONFIG}\nweights: {{commit_reveal: hash}}");
    let (mut bench, _, _) = two_miners_with(&config, Snapshot::default());
    bench.graph.commit_reveal = true;
    bench.seconds(600);
    assert_eq!(signed(&bench), ["hash"]);
    turn_epoch(&mut bench, true);
    assert_eq!(signed(&bench), ["hash", "reveal"]);
    let [ChainCall::CommitHash { weights: committed, salt }, ChainCall::RevealWeights { weights, salt: same }] =
        &bench.node.signed[..]
    else {
        panic!("{:?}", bench.node.signed)
    };
    assert_eq!((committed, salt), (weights, same));
    assert!(salt.iter().any(|word| *word != salt[0]), "{salt:?} is no secret");
    bench.seconds(60);
    assert!(outcomes(&bench).last().unwrap().starts_with("Confirmed"), "{:?}", outcomes(&bench));
}

#[test]
fn a_reveal_that_fails_is_tried_again_while_its_epoch_lasts() {
    let config = format!("{CONFIG}\nweights: {{commit_reveal: hash}}");
    let (mut bench, _, _) = two_miners_with(&config, Snapshot::default());
    bench.graph.commit_reveal = true;
    bench.seconds(600);
    bench.node.pool_faults = vec![pool(PoolFault::Refused)];
    turn_epoch(&mut bench, true);
    bench.seconds(120);
    assert_eq!(signed(&bench), ["hash", "reveal", "reveal"]);
    assert!(outcomes(&bench).last().unwrap().starts_with("Confirmed"), "{:?}", outcomes(&bench));
}

#[test]
fn a_hash_whose_epoch_went_by_is_told() {
    let config = format!("{CONFIG}\nweights: {{commit_reveal: hash}}");
    let (mut bench, _, _) = two_miners_with(&config, Snapshot::default());
    bench.graph.commit_reveal = true;
    bench.seconds(600);
    bench.node.turn_epoch(&mut bench.graph, true);
    turn_epoch(&mut bench, true);
    assert!(outcomes(&bench).last().unwrap().starts_with("Dropped"), "{:?}", outcomes(&bench));
}

#[test]
fn a_runtime_without_timelocks_gets_hashes_and_one_without_either_nothing() {
    let mut bench = due(|bench| {
        bench.graph.commit_reveal = true;
        upgrade(bench, broken(&[Feature::TimelockedCommit]));
    });
    bench.seconds(60);
    assert_eq!(signed(&bench), ["hash"]);
    assert_eq!(bench.counted(Metric::ChainPreflight, &["call", "SubtensorModule.something"]), Some(0.0));
    let mut neither = due(|bench| {
        bench.graph.commit_reveal = true;
        upgrade(bench, broken(&[Feature::TimelockedCommit, Feature::HashCommit]));
    });
    neither.seconds(300);
    assert_eq!(signed(&neither).len(), 0);
    assert_eq!(neither.validator.epoch.blocked(), Some(Blocked::Broken(Feature::HashCommit)));
}

/// The version that a subnet's commitments must have is no part of the runtime: it may change at any time.
#[test]
fn commitments_of_a_kind_that_nobody_can_make_hold_weights_by_name_until_that_passes() {
    let mut bench = due(|bench| {
        bench.graph.commit_reveal = true;
        bench.node.strange_timelocks = true;
        bench.node.rows = vec![broken(&[Feature::TimelockedCommit, Feature::HashCommit])];
    });
    bench.seconds(600);
    let intents = outcomes(&bench).iter().filter(|line| line.starts_with("intent")).count();
    assert_eq!((signed(&bench).len(), intents), (0, 1), "{:?}", outcomes(&bench));
    assert_eq!(bench.validator.epoch.blocked(), Some(Blocked::Broken(Feature::HashCommit)));
    bench.node.strange_timelocks = false;
    bench.node.rows.clear();
    bench.seconds(600);
    assert_eq!(signed(&bench), ["timelocked"], "{:?}", bench.validator.epoch.blocked());
}

/// The refusal comes before the head tells of the new runtime: nothing else is begun before that was looked through.
#[test]
fn a_runtime_that_nobody_can_sign_for_holds_weights_until_the_next_one() {
    let mut bench = due(|bench| bench.node.unsignable = true);
    bench.node.rows = vec![broken(&[Feature::Signing])];
    bench.seconds(600);
    let intents = outcomes(&bench).iter().filter(|line| line.starts_with("intent")).count();
    assert_eq!((signed(&bench).len(), intents), (0, 1), "{:?}", outcomes(&bench));
    assert_eq!(bench.validator.epoch.blocked(), Some(Blocked::Broken(Feature::Signing)));
    bench.node.unsignable = false;
    bench.node.spec_version += 1;
    bench.node.rows.clear();
    bench.seconds(600);
    assert!(signed(&bench).contains(&"open"), "{:?}", bench.validator.epoch.blocked());
}

#[test]
fn what_is_broken_elsewhere_does_not_stop_weights() {
    let mut bench = due(|bench| upgrade(bench, broken(&[Feature::ServeAxon, Feature::Register])));
    bench.seconds(60);
    assert_eq!(signed(&bench), ["open"]);
}

#[test]
fn a_subnet_that_turns_commit_reveal_on_meanwhile_gets_a_commitment() {
    let mut bench = due(|bench| bench.node.fates = vec![Fate::Refused("SubtensorModule.CommitRevealEnabled".into())]);
    bench.seconds(2);
    bench.graph.commit_reveal = true;
    bench.seconds(120);
    assert_eq!(signed(&bench), ["open", "timelocked"]);
}

#[test]
fn a_lost_answer_hands_the_same_bytes_in_again() {
    let mut bench = due(|bench| bench.node.pool_faults = vec![ChainFaultKind::Unreachable]);
    bench.node.fates = vec![Fate::Pending, Fate::Pending, Fate::Pending];
    bench.seconds(200);
    assert_eq!((signed(&bench), &bench.node.offers[..2]), (vec!["open"], &[1, 1][..]));
    assert!(outcomes(&bench).last().unwrap().starts_with("Confirmed"), "{:?}", outcomes(&bench));
}

#[test]
fn a_node_that_forgets_gets_the_same_bytes_again() {
    let mut bench = due(|bench| bench.node.fates = vec![Fate::Pending; 5]);
    bench.seconds(200);
    assert_eq!(signed(&bench), ["open"]);
    assert!(bench.node.offers.len() > 2, "{:?}", bench.node.offers);
    assert!(bench.node.offers.iter().all(|number| *number == 1));
    assert!(outcomes(&bench).last().unwrap().starts_with("Confirmed"), "{:?}", outcomes(&bench));
}

#[test]
fn a_fork_that_drops_it_gets_the_same_bytes_again() {
    let in_a_block = Fate::In { block: 1102, is_final: false };
    let mut bench = due(|bench| bench.node.fates = vec![in_a_block.clone(), Fate::Pending, in_a_block]);
    bench.seconds(200);
    assert_eq!((signed(&bench), bench.node.offers.clone()), (vec!["open"], vec![1, 1]));
    assert_eq!(outcomes(&bench).last().unwrap(), "Confirmed { block: 1102 }");
}

#[test]
fn a_refusal_that_a_fork_takes_back_is_not_signed_anew() {
    let refused = Fate::RefusedForNow("SubtensorModule.NeuronNoValidatorPermit".into());
    let mut bench = due(|bench| bench.node.fates = vec![Fate::Pending, refused.clone(), refused]);
    bench.seconds(200);
    assert_eq!((signed(&bench), bench.node.offers.clone()), (vec!["open"], vec![1, 1]));
    assert!(outcomes(&bench).last().unwrap().starts_with("Confirmed"), "{:?}", outcomes(&bench));
}

#[test]
fn only_what_can_never_be_included_is_signed_anew() {
    for kind in [pool(PoolFault::Stale), pool(PoolFault::SignAgain)] {
        let mut bench = due(|bench| bench.node.pool_faults = vec![kind]);
        // The pool may have seen a block that the node does not show yet: two looks that miss it are no proof.
        bench.node.fates = vec![Fate::Pending; 40];
        bench.seconds(60);
        assert_eq!(signed(&bench), ["open"], "{kind:?}");
        bench.graph.block += 11;
        bench.seconds(120);
        bench.node.offers.dedup();
        assert_eq!((signed(&bench), bench.node.offers.clone()), (vec!["open", "open"], vec![1, 2]), "{kind:?}");
        let mut included = due(|bench| bench.node.pool_faults = vec![kind]);
        included.seconds(120);
        assert_eq!(signed(&included), ["open"], "the chain has it already: {kind:?}");
    }
    let mut expired = due(|bench| bench.node.fates = vec![Fate::Expired]);
    expired.seconds(120);
    assert_eq!(signed(&expired), ["open", "open"]);
}

#[test]
fn an_older_extrinsic_in_the_pool_is_waited_for() {
    let mut bench = due(|bench| bench.node.pool_faults = vec![pool(PoolFault::Occupied); 2]);
    bench.node.fates = vec![Fate::Pending; 2];
    bench.seconds(300);
    assert_eq!((signed(&bench), bench.node.offers.clone()), (vec!["open"], vec![1, 1, 1]));
    assert!(outcomes(&bench).last().unwrap().starts_with("Confirmed"), "{:?}", outcomes(&bench));
}

#[test]
fn an_intent_lives_at_most_one_tempo() {
    let mut bench = due(|bench| bench.graph.tempo = 10);
    bench.node.pool_faults = vec![pool(PoolFault::TooSoon); 2];
    bench.seconds(2);
    assert_eq!(outcomes(&bench).last().unwrap(), r#"Refused("Pool(TooSoon)")"#);
    bench.graph.block += 11;
    bench.seconds(60);
    assert!(
        outcomes(&bench).contains(&r#"Refused("no block took it within one tempo")"#.into()),
        "{:?}",
        outcomes(&bench)
    );
    assert!(outcomes(&bench).contains(&"intent at 1112: 1".into()), "{:?}", outcomes(&bench));
}

#[test]
fn nothing_is_submitted_to_another_chain() {
    let known = Snapshot { genesis: Some([2; 32]), ..Snapshot::default() };
    let bench = Bench::start(keys(200), CONFIG, &[], known);
    assert_eq!((signed(&bench).len(), bench.counted(Metric::ChainBlock, &[])), (0, None));
    let Some(Exit::Config(text)) = &bench.exit else { panic!("{:?}", bench.exit) };
    assert!(text.contains("this is another chain") && text.contains("database.url"), "{text}");
}

#[test]
fn no_endpoint_of_our_chain_ends_the_process_for_its_operator_at_the_start_and_for_a_restart_later() {
    let elsewhere = |node: &mut FakeNode| node.other_chain = true;
    let mut node = FakeNode::default();
    elsewhere(&mut node);
    let bench = Bench::start_on(node, keys(200), CONFIG, &[], Snapshot::default());
    assert_eq!(bench.exit, Some(Exit::Config("OtherChain; see to it".into())));
    let mut bench = due(|_| {});
    elsewhere(&mut bench.node);
    bench.seconds(60);
    assert_eq!(bench.exit, Some(Exit::Failed("OtherChain; see to it".into())));
}

#[test]
fn a_metagraph_of_a_node_that_lies_stalled_is_as_old_as_the_nodes_last_block() {
    let mut bench = due(|bench| bench.node.stalled_at = Some(super::bench::NOON));
    assert_eq!((signed(&bench).len(), bench.validator.epoch.blocked()), (0, Some(Blocked::StaleMetagraph)));
    assert!(bench.counted(Metric::MetagraphAgeSeconds, &[]).unwrap() > 300.0);
    for minutes in [1, 2] {
        bench.node.stalled_at = Some(super::bench::NOON + std::time::Duration::from_secs(60 * minutes));
        bench.graph.block += 10 * minutes;
        bench.seconds(60);
        let blocked = bench.validator.epoch.blocked();
        assert!(matches!(blocked, Some(Blocked::StaleMetagraph | Blocked::ClockOff)), "{blocked:?}");
        assert_eq!(signed(&bench).len(), 0);
    }
    bench.node.stalled_at = None;
    bench.graph.block += 30;
    bench.seconds(120);
    assert_eq!(signed(&bench), ["open"], "it is in sync again");
}

#[test]
fn a_metagraph_far_behind_the_head_is_of_a_node_that_lies_stalled() {
    let mut bench = due(|bench| bench.node.ahead = 26);
    assert_eq!((signed(&bench).len(), bench.validator.epoch.blocked()), (0, Some(Blocked::StaleMetagraph)));
    bench.node.ahead = 0;
    bench.seconds(120);
    assert_eq!(signed(&bench), ["open"]);
}

#[test]
fn an_intent_that_was_stored_and_never_signed_is_signed_after_a_restart() {
    let weights = vec![(Uid(1), keys(1).hotkey().clone(), u16::MAX)];
    let stored = StoredIntent { id: 7, at_block: 1050, weights, outcome: None };
    let (mut bench, _, _) = two_miners(Snapshot { intent: Some(stored), ..Snapshot::default() });
    bench.seconds(60);
    assert_eq!(signed(&bench), ["open"]);
    assert!(outcomes(&bench).last().unwrap().starts_with("Confirmed"), "{:?}", outcomes(&bench));
}

#[test]
fn nothing_is_submitted_while_our_clock_is_far_from_the_chains() {
    let minutes = |bench: &mut Bench, minutes: u64| {
        for _ in 0..minutes * 2 {
            bench.seconds(30);
            bench.graph.block += 2;
        }
    };
    for clock_s in [-60, 60] {
        let (mut bench, _, _) = two_miners(Snapshot::default());
        bench.node.clock_s = clock_s;
        minutes(&mut bench, 10);
        assert_eq!((signed(&bench).len(), bench.validator.epoch.blocked()), (0, Some(Blocked::ClockOff)));
        assert_eq!(bench.counted(Metric::ChainClockSkewSeconds, &[]), Some(-clock_s as f64));
        assert_eq!(bench.counted(Metric::ScoringPaused, &["clock_off"]), Some(1.0));
        bench.node.clock_s = 0;
        minutes(&mut bench, 3);
        assert_eq!(signed(&bench), ["open"]);
    }
}

#[test]
fn weights_that_are_not_confirmed_for_three_tempos_are_an_alarm() {
    let (mut bench, _, _) = two_miners(Snapshot::default());
    bench.graph.neurons[0].validator_permit = false;
    bench.seconds(3 * 360 * 12 - 60);
    assert_eq!(bench.counted(Metric::WeightsOverdue, &[]), Some(0.0));
    bench.seconds(120);
    assert_eq!(bench.counted(Metric::WeightsOverdue, &[]), Some(1.0));
}

#[test]
fn a_chain_that_cannot_be_read_is_an_alarm_after_three_tempos_too() {
    let (mut bench, _, _) = two_miners(Snapshot::default());
    bench.node.unreachable = true;
    bench.seconds(3 * 360 * 12 + 120);
    assert_eq!(bench.counted(Metric::WeightsOverdue, &[]), Some(1.0));
    assert_eq!(bench.validator.epoch.blocked(), Some(Blocked::StaleMetagraph));
}

#[test]
fn a_chain_that_was_never_read_is_an_alarm_too() {
    let mut node = FakeNode::default();
    node.unreachable = true;
    let mut bench = Bench::start_on(node, keys(200), CONFIG, &[], Snapshot::default());
    bench.seconds(3 * 100 * 12 + 120);
    assert_eq!(bench.counted(Metric::WeightsOverdue, &[]), Some(1.0));
    assert_eq!(bench.validator.epoch.blocked(), Some(Blocked::NoMetagraph));
    assert_eq!(bench.counted(Metric::ScoringPaused, &["no_metagraph"]), Some(1.0));
}

#[test]
fn an_extrinsic_whose_end_no_node_can_tell_any_more_does_not_stop_the_next() {
    let mut bench = due(|bench| bench.node.pruned = true);
    bench.seconds(900);
    assert_eq!(signed(&bench), ["open"], "a node may have a bad hour while its state is there");
    bench.graph.block += 400;
    bench.seconds(600);
    assert!(outcomes(&bench).contains(&"Expired".into()), "{:?}", outcomes(&bench));
    bench.node.pruned = false;
    bench.seconds(900);
    assert_eq!(signed(&bench), ["open", "open"]);
    assert!(outcomes(&bench).last().unwrap().starts_with("Confirmed"), "{:?}", outcomes(&bench));
}

#[test]
fn the_last_confirmation_is_counted_from_across_a_restart() {
    let (mut bench, _, _) = two_miners(Snapshot { confirmed: Some(super::bench::NOON), ..Snapshot::default() });
    bench.seconds(100);
    assert_eq!(bench.counted(Metric::SecondsSinceConfirmedWeights, &[]), Some(100.0));
}

#[test]
fn an_axon_is_announced_once_and_when_the_chain_lets_us() {
    let config = format!("{CONFIG}\nexternal_ip: 192.0.2.9");
    let (mut bench, _, _) = two_miners_with(&config, Snapshot::default());
    bench.seconds(60);
    assert_eq!(signed(&bench), ["serve_axon"]);
    bench.graph.neurons[0].axon = Some("192.0.2.10:9091".parse().unwrap());
    bench.graph.neurons[0].axon_block = 1101;
    bench.seconds(300);
    assert_eq!(signed(&bench), ["serve_axon"], "the chain lets an axon move every 50 blocks");
    bench.graph.block = 1160;
    bench.seconds(90);
    let announced = |bench: &Bench| signed(bench).into_iter().filter(|call| *call == "serve_axon").count();
    assert_eq!(announced(&bench), 2);
    bench.graph.block = 1300;
    bench.seconds(90);
    assert_eq!(announced(&bench), 2, "the chain tells what we want");
}

#[test]
fn a_metagraph_that_is_too_old_is_not_acted_on() {
    let mut bench = due(|bench| bench.node.silent = true);
    bench.seconds(60);
    assert_eq!((signed(&bench).len(), bench.validator.epoch.blocked()), (0, Some(Blocked::StaleMetagraph)));
}
