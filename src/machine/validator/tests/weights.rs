//! Scores, weights and the chain; clocks that move.

use super::bench::{Bench, CONFIG, Miner, keys};
use crate::{
    machine::{
        Input,
        availability::{Beat, Present, RosterId},
        contract::store::{Snapshot, StoreReply, Write},
        score::{ChallengeFact, Facts, MinerFacts, Outcome},
        validator::{Event, blocked::Blocked},
    },
    units::{Hotkey, Mono, Uid, Wall, WorkerId, WorkerKey},
};

const ROSTER: RosterId = RosterId(std::num::NonZeroU32::MIN);

/// Facts in which these miners have one worker each, challenged with success and always there.
fn facts(miners: &[&Hotkey], at: Wall) -> Facts {
    let mut facts = Facts::default();
    for miner in miners {
        let beats = vec![Beat { at, roster: Some(ROSTER) }];
        let seen = at + std::time::Duration::from_secs(400);
        facts.miners.insert((*miner).clone(), MinerFacts { seen, removed: false, beats });
        let worker = facts.workers.entry(WorkerKey::new(miner, &WorkerId::new("w1"))).or_default();
        let outcome = Outcome::Verified { computation_ms: Some(100.0), success_count: Some(1), gpus: None, ops: None };
        worker.challenges.push(ChallengeFact { created: at, tie: 1, outcome });
    }
    let present = Present { worker: WorkerId::new("w1"), address: None, gpus: None, owned: None };
    facts.rosters.insert(ROSTER, [present].into());
    facts
}

/// A validator with two miners, of whom the first is heard from; enough blocks have passed.
pub fn two_miners(snapshot: Snapshot) -> (Bench, Miner, Miner) {
    two_miners_with(CONFIG, snapshot)
}

pub fn two_miners_with(config: &str, snapshot: Snapshot) -> (Bench, Miner, Miner) {
    let (mut alice, bob) = (Miner::new(1), Miner::new(2));
    let mut bench = Bench::start(keys(200), config, &[&alice.keys, &bob.keys], snapshot);
    alice.handshake(&mut bench).unwrap();
    alice.heartbeat(&mut bench, &["w1"]);
    bench.facts = facts(&[alice.hotkey(), bob.hotkey()], bench.now.wall);
    bench.facts.miners.get_mut(bob.hotkey()).unwrap().seen = Wall(0);
    bench.graph.block = 1101;
    (bench, alice, bob)
}

pub fn outcomes(bench: &Bench) -> Vec<String> {
    let of = |write: &Write| match write {
        Write::WeightIntent { at_block, weights, .. } => Some(format!("intent at {at_block}: {}", weights.len())),
        Write::ExtrinsicSigned { .. } => Some("signed".into()),
        Write::ExtrinsicSubmitted { .. } => Some("submitted".into()),
        Write::ExtrinsicOver { end, .. } => Some(format!("{end:?}")),
        Write::WeightOutcome { outcome, .. } => Some(format!("{outcome:?}")),
        _ => None,
    };
    bench.written.iter().filter_map(of).collect()
}

#[test]
fn weights_are_intended_submitted_included_and_confirmed() {
    let (mut bench, mut alice, _) = two_miners(Snapshot::default());
    bench.seconds(419);
    assert_eq!(bench.node.submitted.len(), 0, "nothing is submitted before a score was calculated");
    bench.seconds(200);
    let confirmed =
        ["intent at 1101: 1", "signed", "submitted", "Included { block: 1102 }", "Confirmed { block: 1102 }"];
    assert_eq!(outcomes(&bench), confirmed);
    assert_eq!(bench.node.submitted, [[(Uid(1), 65535)]], "bob was never heard, so his weight is dropped");
    bench.seconds(2000);
    assert_eq!(bench.node.submitted.len(), 1, "and not again before the tempo has passed");
    bench.graph.block += 100;
    bench.seconds(100);
    assert_eq!(bench.node.submitted.len(), 1, "everybody is offline by now");
    alice.heartbeat(&mut bench, &["w1"]);
    bench.facts = facts(&[alice.hotkey()], bench.now.wall);
    bench.seconds(500);
    assert_eq!(bench.node.submitted.len(), 2);
}

#[test]
fn a_restart_takes_no_weight_from_a_miner_that_the_store_heard_lately() {
    let (mut bench, _, bob) = two_miners(Snapshot::default());
    bench.facts.miners.get_mut(bob.hotkey()).unwrap().seen = bench.now.wall;
    bench.seconds(600);
    assert_eq!(bench.node.submitted, [[(Uid(1), 65535), (Uid(2), 65535)]]);
}

#[test]
fn a_stopping_validator_sleeps_until_the_store_answers() {
    let (mut bench, _, _) = two_miners(Snapshot::default());
    bench.seconds(230);
    bench.hold_store = true;
    bench.seconds(11);
    bench.input(Input::Stop);
    assert_eq!(bench.exit, None, "new challenges are not durable yet");
    bench.now.mono = bench.now.mono + std::time::Duration::from_secs(700);
    bench.input(Input::Deadline);
    let due = crate::machine::Machine::deadline(&bench.validator);
    assert!(due.is_none_or(|due| due > bench.now.mono), "woken at {due:?} for what a stopping one never does");
}

#[test]
fn nothing_is_submitted_before_the_intent_is_durable() {
    let (mut bench, _, _) = two_miners(Snapshot::default());
    bench.seconds(400);
    bench.hold_store = true;
    bench.seconds(100);
    assert_eq!(bench.node.submitted.len(), 0);
}

#[test]
fn a_slot_that_changes_hands_while_the_intent_is_stored_gets_no_weight_of_another() {
    let (mut bench, _, _) = two_miners(Snapshot::default());
    bench.seconds(400);
    bench.hold_store = true;
    bench.seconds(60);
    bench.graph.neurons[1].hotkey = Miner::new(7).hotkey().clone();
    bench.seconds(120);
    bench.hold_store = false;
    while let Some(batch) = bench.batches.pop_front() {
        bench.input(Input::Event(Event::Store(StoreReply::Committed { batch })));
    }
    bench.seconds(5);
    assert_eq!(bench.node.submitted.len(), 0);
    assert_eq!(outcomes(&bench), ["intent at 1101: 1", r#"Refused("a miner of it left the subnet")"#]);
}

#[test]
fn what_is_all_zero_is_not_submitted() {
    let (mut bench, _, _) = two_miners(Snapshot::default());
    bench.facts.workers.clear();
    bench.seconds(1000);
    assert_eq!((bench.node.submitted.len(), bench.validator.epoch.blocked()), (0, Some(Blocked::AllZero)));
}

#[test]
fn a_refused_submission_is_tried_five_times_and_then_left_for_later() {
    let (mut bench, _, _) = two_miners(Snapshot::default());
    bench.node.refuse_weights = Some("SubtensorModule.SettingWeightsTooFast".into());
    bench.seconds(430);
    bench.seconds(30);
    let tried = bench.node.submitted.len();
    assert!((1..=5).contains(&tried), "{tried}");
    bench.seconds(240);
    let intents = outcomes(&bench).iter().filter(|text| text.starts_with("intent")).count();
    let refused = outcomes(&bench).iter().filter(|text| text.contains("SettingWeightsTooFast in block")).count();
    assert_eq!(refused, bench.node.submitted.len());
    assert!(bench.node.submitted.len() <= 5 * intents, "{} for {intents} intents", bench.node.submitted.len());
    bench.node.refuse_weights = None;
    bench.seconds(400);
    assert!(outcomes(&bench).last().unwrap().starts_with("Confirmed"), "{:?}", outcomes(&bench));
}

#[test]
fn reasons_not_to_submit_have_names() {
    let blocked = |change: &dyn Fn(&mut Bench)| {
        let (mut bench, _, _) = two_miners(Snapshot::default());
        change(&mut bench);
        bench.seconds(600);
        assert_eq!(bench.node.submitted.len(), 0);
        bench.validator.epoch.blocked()
    };
    assert_eq!(blocked(&|bench| bench.graph.neurons[0].validator_permit = false), Some(Blocked::NoPermit));
    assert_eq!(blocked(&|bench| bench.graph.max_weights_limit = 20_000), Some(Blocked::OverLimit));
    assert_eq!(blocked(&|bench| bench.node.upgrading = true), Some(Blocked::Upgrading));
    assert_eq!(blocked(&|bench| bench.graph.weights_rate_limit = 500), Some(Blocked::TooSoon));
    assert_eq!(blocked(&|bench| bench.graph.min_allowed_weights = 2), Some(Blocked::TooFew));
    assert_eq!(blocked(&|bench| drop(bench.graph.neurons.remove(0))), Some(Blocked::NotRegistered));
}

#[test]
fn a_wall_clock_that_moves_pauses_scores_and_submission() {
    let (mut bench, _, _) = two_miners(Snapshot::default());
    bench.seconds(400);
    bench.now.wall = bench.now.wall + std::time::Duration::from_secs(86_400);
    bench.seconds(500);
    assert_eq!(bench.node.submitted.len(), 0);
    assert!(!bench.written.iter().any(|write| matches!(write, Write::Scored(_) | Write::Prune { .. })));
    bench.seconds(700);
    assert!(
        bench.written.iter().any(|write| matches!(write, Write::Scored(_))),
        "a clock that holds is believed again"
    );
}

#[test]
fn an_idle_validator_sleeps() {
    let mut bench = Bench::new(&[]);
    bench.seconds(300);
    let mut wakes = 0;
    let end = bench.now.mono + std::time::Duration::from_secs(300);
    while let Some(due) = crate::machine::Machine::deadline(&bench.validator).filter(|due| *due <= end) {
        wakes += 1;
        bench.now.mono = Mono(due.0.max(bench.now.mono.0));
        bench.input(Input::Deadline);
    }
    assert!(wakes < 80, "{wakes} wake-ups in five minutes");
}
