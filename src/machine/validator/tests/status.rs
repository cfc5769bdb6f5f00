//! What a validator says of itself in one line.

use super::{
    bench::{Bench, CONFIG, Miner, config, keys},
    market::MARKET,
    weights::two_miners,
};
use crate::{
    machine::{Input, Machine, contract::store::Snapshot, validator::Validator},
    units::Now,
};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

fn line(bench: &Bench) -> String {
    bench.validator.status(bench.now)
}

#[test]
fn before_the_store_has_answered_it_says_what_it_waits_for() {
    let validator = Validator::new(keys(200), config(CONFIG), 1, ChaCha20Rng::seed_from_u64(7));
    assert_eq!(validator.status(Now::default()), "starting: the database is being read");
}

#[test]
fn weights_miners_and_the_chain_are_told() {
    let (mut bench, mut alice, _) = two_miners(Snapshot::default());
    assert!(line(&bench).starts_with("no weights confirmed yet"), "{}", line(&bench));
    assert!(line(&bench).contains("; 1 miner, 1 worker alive"), "{}", line(&bench));
    bench.seconds(619);
    alice.heartbeat(&mut bench, &["w1", "w2"]);
    let told = line(&bench);
    assert!(told.starts_with("weights confirmed "), "{told}");
    assert!(told.contains(" ago; 1 miner, 2 workers alive ("), "{told}");
    assert!(told.contains("; chain block 1"), "{told}");
    assert!(!told.contains("marketplace"), "{told}");
}

#[test]
fn what_holds_weights_back_is_told() {
    let mut bench = Bench::new(&[&Miner::new(1).keys]);
    bench.graph.neurons[0].validator_permit = false;
    bench.seconds(800);
    assert!(line(&bench).contains("no weights confirmed yet, held back: no_permit; "), "{}", line(&bench));
}

#[test]
fn the_marketplaces_link_is_told() {
    let mut bench = super::market::bench_with(&format!("{CONFIG}{MARKET}"), &[]);
    assert!(line(&bench).ends_with("; marketplace link not up yet"), "{}", line(&bench));
    let hub = super::market::join(&mut bench);
    assert!(line(&bench).ends_with("; marketplace link up"), "{}", line(&bench));
    let reason = crate::machine::Gone::Io("reset".into());
    bench.input(Input::Closed { peer: hub.peer, reason });
    assert!(line(&bench).ends_with("; marketplace link down for some seconds"), "{}", line(&bench));
}

#[test]
fn a_stopping_validator_says_what_it_waits_for() {
    let (mut bench, ..) = two_miners(Snapshot::default());
    bench.input(Input::Stop);
    assert_eq!(line(&bench), "stopping: what was accepted is being written down");
}
