//! Commit-reveal as the simulated subtensor's pallet has it, by hash and timelocked.

use byteleap::{
    machine::contract::chain::WeightVector,
    spoke::{
        chain::{
            calls::{Arguments, commit_hash},
            rpc::to_hex,
            timelock::{self, Payload},
        },
        subtensor_sim::Hyperparameters,
    },
    units::Uid,
};
use scale_value::Value;
use serde_json::{Value as Json, json};

use crate::simulation::{NETUID, Simulation, key};

const TEMPO: u16 = 20;

/// Epochs begin with the blocks 20, 40, …
fn secret() -> Simulation {
    Simulation::new(of(1))
}

fn of(reveal_period: u64) -> Hyperparameters {
    Hyperparameters {
        tempo: TEMPO,
        commit_reveal: true,
        reveal_period,
        weights_rate_limit: 0,
        ..Hyperparameters::default()
    }
}

fn until(simulation: &mut Simulation, block: u64) {
    let missing = block.checked_sub(simulation.best()).expect("a block to come");
    simulation.blocks(u32::try_from(missing).unwrap());
}

fn number(of: impl Into<u128>) -> Value {
    Value::u128(of.into())
}

fn numbers(of: &[u16]) -> Value {
    Value::unnamed_composite(of.iter().map(|of| number(*of)))
}

fn commit(hash: [u8; 32]) -> Arguments {
    vec![("netuid", number(NETUID.0)), ("commit_hash", Value::from_bytes(hash))]
}

fn reveal(weights: &[(u16, u16)], salt: &[u16]) -> Arguments {
    let (uids, values): (Vec<_>, Vec<_>) = weights.iter().copied().unzip();
    vec![
        ("netuid", number(NETUID.0)),
        ("uids", numbers(&uids)),
        ("values", numbers(&values)),
        ("salt", numbers(salt)),
        ("version_key", number(7u8)),
    ]
}

fn hash_of(weights: &[(u16, u16)], salt: &[u16]) -> [u8; 32] {
    let weights = weights.iter().map(|(uid, weight)| (Uid(*uid), *weight)).collect();
    commit_hash(&key(1).account(), &WeightVector { netuid: NETUID, mechanism: 0, weights, version_key: 7 }, salt)
}

fn timelocked(commit: &[u8], reveal_round: u64, version: u16) -> Arguments {
    vec![
        ("netuid", number(NETUID.0)),
        ("commit", Value::from_bytes(commit)),
        ("reveal_round", number(reveal_round)),
        ("commit_reveal_version", number(version)),
    ]
}

fn last_round(simulation: &Simulation) -> u64 {
    simulation.storage(("Drand", "LastStoredRound"), &[], None)
}

/// Weights of the validator, sealed to a round of the chain's own beacon.
fn sealed(simulation: &Simulation, hotkey: u8, weights: &[(Uid, u16)], round: u64) -> Vec<u8> {
    use parity_scale_codec::Encode;
    #[derive(scale_decode::DecodeAsType)]
    struct BeaconConfig {
        public_key: Vec<u8>,
    }
    let BeaconConfig { public_key } = simulation.storage(("Drand", "BeaconConfig"), &[], None);
    let payload = Payload::new(&key(hotkey).account(), weights, 7).encode();
    timelock::seal(&payload, round, &public_key, [7; 32]).unwrap()
}

fn weights(simulation: &Simulation, at: Option<u64>) -> Vec<(u16, u16)> {
    simulation.storage(("SubtensorModule", "Weights"), &[&NETUID.0.to_le_bytes(), &[0, 0]], at)
}

fn last_update(simulation: &Simulation) -> u64 {
    let updates: Vec<u64> = simulation.storage(("SubtensorModule", "LastUpdate"), &[&NETUID.0.to_le_bytes()], None);
    updates[0]
}

fn held(simulation: &Simulation, epoch: u64) -> usize {
    let metadata = simulation.metadata();
    let item = metadata.storage("SubtensorModule", "TimelockedWeightCommits").unwrap();
    let key = item.key(&[&NETUID.0.to_le_bytes(), &epoch.to_le_bytes()]).unwrap();
    let stored = simulation.call("state_getStorage", json!([to_hex(&key)])).unwrap();
    stored.as_str().map_or(0, |text| usize::from(u8::from_str_radix(&text[2..4], 16).unwrap() / 4))
}

/// The pool's refusal.
fn custom(answer: Result<Json, byteleap::spoke::chain::rpc::NodeError>) -> String {
    answer.unwrap_err().data_text()
}

#[test]
fn epochs_are_kept_by_state() {
    let mut simulation = secret();
    let epoch = |simulation: &Simulation, item: &'static str| -> u64 {
        simulation.storage(("SubtensorModule", item), &[&NETUID.0.to_le_bytes()], None)
    };
    until(&mut simulation, 45);
    let state = ["SubnetEpochIndex", "LastEpochBlock", "BlocksSinceLastStep"].map(|item| epoch(&simulation, item));
    assert_eq!(state, [2, 40, 5]);
    let next = simulation.call("state_call", json!(["SubnetInfoRuntimeApi_get_next_epoch_start_block", "0x8000"]));
    assert_eq!(next.unwrap(), json!("0x013c00000000000000"));
    simulation.call("sim_triggerEpoch", json!([50])).unwrap();
    simulation.blocks(1);
    assert_eq!(epoch(&simulation, "PendingEpochAt"), 50);
    until(&mut simulation, 51);
    let state = ["SubnetEpochIndex", "LastEpochBlock", "PendingEpochAt"].map(|item| epoch(&simulation, item));
    assert_eq!(state, [3, 50, 0]);
}

#[test]
fn a_reveal_that_is_endless_epochs_away_is_too_early() {
    let mut simulation = Simulation::new(of(u64::MAX));
    let (weights, salt) = ([(1, 7)], [3; 8]);
    until(&mut simulation, 25);
    simulation.put(&key(1), "commit_weights", commit(hash_of(&weights, &salt))).unwrap();
    simulation.blocks(1);
    assert_eq!(simulation.results(), [(26, "success".into())]);
    let refusal = custom(simulation.put(&key(1), "reveal_weights", reveal(&weights, &salt)));
    assert_eq!(refusal, "Custom error: 17");
    simulation.put(&key(1), "commit_weights", commit([1; 32])).unwrap();
    simulation.blocks(1);
    assert_eq!(simulation.results().len(), 2);
}

#[test]
fn timelocked_weights_are_opened_by_the_chain_itself() {
    let mut simulation = secret();
    let round = last_round(&simulation) + 4 * 18;
    let commit = sealed(&simulation, 1, &[(Uid(1), 50), (Uid(2), 100)], round);
    simulation.put(&key(1), "commit_timelocked_weights", timelocked(&commit, round, 4)).unwrap();
    simulation.blocks(1);
    assert_eq!((last_update(&simulation), held(&simulation, 0)), (6, 1));
    until(&mut simulation, 23);
    assert_eq!((weights(&simulation, None), held(&simulation, 0)), (vec![], 1), "its pulse is yet to come");
    until(&mut simulation, 24);
    assert_eq!((weights(&simulation, None), held(&simulation, 0)), (vec![(1, 32767), (2, 65535)], 0));
    assert_eq!(last_update(&simulation), 6, "a reveal does not move it");
    assert_eq!(simulation.results(), [(6, "success".into()), (24, "commit opened".into())]);
}

#[test]
fn a_reveal_is_an_event_of_the_beginning_of_its_block() {
    let mut simulation = secret();
    let round = last_round(&simulation) + 4 * 18;
    let commit = sealed(&simulation, 1, &[(Uid(1), 1)], round);
    simulation.put(&key(1), "commit_timelocked_weights", timelocked(&commit, round, 4)).unwrap();
    until(&mut simulation, 24);
    let metadata = simulation.metadata();
    let events =
        simulation.bytes("state_getStorage", json!([to_hex(metadata.storage("System", "Events").unwrap().prefix())]));
    let names = |event: &str| metadata.event_prefix("SubtensorModule", event).unwrap();
    // How many, the phase of the first (2: Initialization), its event: subnet and uid; then the same of the second.
    assert_eq!((events[1], [events[2], events[3]]), (2, names("WeightsSet")));
    assert_eq!((events[9], [events[10], events[11]]), (2, names("TimelockedWeightsRevealed")));
}

#[test]
fn bad_commitments_are_dropped_without_a_word() {
    let mut simulation = secret();
    let round = last_round(&simulation) + 4 * 18;
    let of_another = sealed(&simulation, 2, &[(Uid(1), 1)], round);
    let to_another_round = sealed(&simulation, 1, &[(Uid(1), 1)], round + 1);
    let of_nobody = sealed(&simulation, 1, &[(Uid(77), 1)], round);
    for commit in [vec![1, 2, 3], of_another, to_another_round, of_nobody] {
        simulation.put(&key(1), "commit_timelocked_weights", timelocked(&commit, round, 4)).unwrap();
    }
    simulation.blocks(1);
    assert_eq!(held(&simulation, 0), 4, "all were taken");
    until(&mut simulation, 30);
    assert_eq!((held(&simulation, 0), weights(&simulation, None)), (0, vec![]));
    let journal = simulation.journal();
    let why: Vec<_> =
        journal.iter().filter(|line| line["result"] == "commit dropped").map(|line| &line["error"]).collect();
    assert_eq!(why.len(), 4);
    assert_eq!((why[1], why[3]), (&json!("weights of another hotkey"), &json!("UidVecContainInvalidOne")));
}

#[test]
fn a_commitment_whose_round_comes_after_its_epoch_is_gone() {
    let mut simulation = secret();
    let round = last_round(&simulation) + 4 * 100;
    let commit = sealed(&simulation, 1, &[(Uid(1), 1)], round);
    simulation.put(&key(1), "commit_timelocked_weights", timelocked(&commit, round, 4)).unwrap();
    until(&mut simulation, 40);
    assert_eq!(held(&simulation, 0), 1);
    until(&mut simulation, 41);
    assert_eq!(held(&simulation, 0), 0);
    until(&mut simulation, 120);
    assert_eq!(weights(&simulation, None), vec![]);
}

#[test]
fn the_reveal_period_counts_epochs() {
    let mut simulation = Simulation::new(of(2));
    let round = last_round(&simulation) + 8;
    let commit = sealed(&simulation, 1, &[(Uid(1), 1)], round);
    simulation.put(&key(1), "commit_timelocked_weights", timelocked(&commit, round, 4)).unwrap();
    until(&mut simulation, 40);
    assert_eq!(weights(&simulation, None), vec![]);
    until(&mut simulation, 41);
    assert_eq!(weights(&simulation, None), vec![(1, 65535)]);
}

#[test]
fn timelocked_commitments_are_refused_by_number_and_by_name() {
    let mut simulation = secret();
    let round = last_round(&simulation);
    let put = |simulation: &Simulation, signer: u8, round: u64, version: u16| {
        simulation.put(&key(signer), "commit_timelocked_weights", timelocked(&[1], round, version))
    };
    assert_eq!(custom(put(&simulation, 1, round - 1, 4)), "Custom error: 15");
    put(&simulation, 1, round, 4).unwrap();
    put(&simulation, 2, round + 100, 3).unwrap();
    put(&simulation, 9, round + 100, 4).unwrap();
    simulation.blocks(1);
    let mut errors: Vec<_> =
        simulation.results().into_iter().map(|(_, error)| error).filter(|of| of != "failed").collect();
    errors.sort_unstable();
    let late = "InvalidRevealRound";
    assert_eq!(errors[..3], ["HotKeyNotRegisteredInSubNet", "IncorrectCommitRevealVersion", late]);
    let long = simulation.put(&key(1), "commit_timelocked_weights", timelocked(&[0; 5001], round + 100, 4));
    assert_eq!(long.unwrap_err().code, 1001);
}

#[test]
fn ten_commitments_may_wait() {
    let mut simulation = secret();
    let round = last_round(&simulation) + 1000;
    for _ in 0..11 {
        simulation.put(&key(1), "commit_timelocked_weights", timelocked(&[1], round, 4)).unwrap();
        simulation.put(&key(3), "commit_weights", commit([1; 32])).unwrap();
    }
    simulation.blocks(1);
    let errors: Vec<_> = simulation.results().into_iter().filter(|(_, result)| result != "success").collect();
    assert_eq!(errors, [(6, "TooManyUnrevealedCommits".into()), (6, "TooManyUnrevealedCommits".into())]);
}

#[test]
fn a_hash_is_revealed_in_its_epoch_and_at_no_other_time() {
    let mut simulation = secret();
    let (row, salt) = ([(1, 100), (2, 50)], [3, 4]);
    simulation.put(&key(1), "commit_weights", commit(hash_of(&row, &salt))).unwrap();
    simulation.blocks(1);
    assert_eq!(last_update(&simulation), 6);
    let held: Vec<([u8; 32], u64, u64, u64)> =
        simulation.storage(("SubtensorModule", "WeightCommits"), &[&NETUID.0.to_le_bytes(), &key(1).account()], None);
    assert_eq!(held, [(hash_of(&row, &salt), 6, 20, 39)]);
    assert_eq!(custom(simulation.put(&key(1), "reveal_weights", reveal(&row, &salt))), "Custom error: 17");
    assert_eq!(custom(simulation.put(&key(1), "reveal_weights", reveal(&row, &[9]))), "Custom error: 16");
    until(&mut simulation, 20);
    simulation.put(&key(1), "reveal_weights", reveal(&row, &salt)).unwrap();
    simulation.blocks(1);
    assert_eq!((weights(&simulation, None), last_update(&simulation)), (vec![(1, 65535), (2, 32767)], 6));
    assert_eq!(custom(simulation.put(&key(1), "reveal_weights", reveal(&row, &salt))), "Custom error: 16", "once");
}

#[test]
fn a_reveal_that_waits_beyond_its_epoch_is_expired() {
    let mut simulation = secret();
    simulation.put(&key(1), "commit_weights", commit(hash_of(&[(1, 1)], &[]))).unwrap();
    until(&mut simulation, 39);
    // It was good for block 39; block 40 begins another epoch.
    simulation.put(&key(1), "reveal_weights", reveal(&[(1, 1)], &[])).unwrap();
    simulation.blocks(1);
    assert_eq!(simulation.results().last().unwrap(), &(40, "ExpiredWeightCommit".into()));
}

#[test]
fn commitments_are_limited_in_rate_and_to_subnets_that_want_them() {
    let mut simulation = Simulation::new(Hyperparameters { weights_rate_limit: 5, ..of(1) });
    simulation.put(&key(1), "commit_weights", commit([1; 32])).unwrap();
    simulation.put(&key(1), "commit_weights", commit([2; 32])).unwrap();
    simulation.blocks(1);
    assert_eq!(simulation.results(), [(6, "success".into()), (6, "CommittingWeightsTooFast".into())]);
    let mut plain = Simulation::plain();
    plain.put(&key(1), "commit_weights", commit([1; 32])).unwrap();
    plain.blocks(1);
    assert_eq!(plain.results(), [(6, "CommitRevealDisabled".into())]);
}

#[test]
fn a_mechanism_has_weights_of_its_own() {
    let mut simulation = Simulation::new(Hyperparameters { mechanisms: 2, ..Hyperparameters::default() });
    let row = |mechanism: u8| {
        vec![
            ("netuid", number(NETUID.0)),
            ("mecid", number(mechanism)),
            ("dests", numbers(&[2])),
            ("weights", numbers(&[1])),
            ("version_key", number(7u8)),
        ]
    };
    simulation.put(&key(1), "set_mechanism_weights", row(1)).unwrap();
    simulation.put(&key(1), "set_mechanism_weights", row(2)).unwrap();
    simulation.blocks(1);
    assert_eq!(simulation.results(), [(6, "success".into()), (6, "MechanismDoesNotExist".into())]);
    let index = (4096 + NETUID.0).to_le_bytes();
    let second: Vec<(u16, u16)> = simulation.storage(("SubtensorModule", "Weights"), &[&index, &[0, 0]], None);
    assert_eq!((weights(&simulation, None), second), (vec![], vec![(2, 65535)]));
    let updates: Vec<u64> = simulation.storage(("SubtensorModule", "LastUpdate"), &[&index], None);
    assert_eq!((last_update(&simulation), updates), (0, vec![6, 0, 0]));
}

#[test]
fn the_round_of_a_block_to_come_is_foreseen_by_the_published_beacon_at_any_pace() {
    #[derive(scale_decode::DecodeAsType)]
    struct BeaconConfig {
        period: u32,
        genesis_time: u32,
    }
    let simulation = secret();
    // Ten blocks in no time.
    simulation.node.borrow_mut().make_blocks(10);
    let now_ms: u64 = simulation.storage(("Timestamp", "Now"), &[], None);
    let BeaconConfig { period, genesis_time } = simulation.storage(("Drand", "BeaconConfig"), &[], None);
    let foreseen = (now_ms / 1000 + 5 * 12 - u64::from(genesis_time)) / u64::from(period);
    simulation.node.borrow_mut().make_blocks(5);
    assert_eq!(last_round(&simulation), foreseen);
}
