//! What a miner says of itself in one line.

use std::time::Duration;

use super::{validator::Mood, world::World};
use crate::{
    machine::{Input, Machine},
    wire::synapse::SynapseKind,
};

fn line(world: &World) -> String {
    world.alice.status(world.now)
}

#[test]
fn before_the_chain_has_answered_it_says_what_it_waits_for() {
    let mut world = World::before("", 2);
    let metagraph = world.metagraph.take();
    assert_eq!(line(&world), "0 workers connected (0 computing); starting: no node of the chain has answered yet");
    world.metagraph = metagraph;
    world.give(Input::Deadline);
    assert!(!line(&world).contains("starting"), "{}", line(&world));
}

#[test]
fn workers_validators_and_the_chain_are_told() {
    let mut world = World::new(2);
    world.join("w1");
    world.join("w2");
    world.pass_secs(70);
    let block = world.head.best;
    assert!(
        line(&world).starts_with(&format!(
            "2 workers connected (0 computing); 2 of 2 validators answering; chain block {block}, "
        )),
        "{}",
        line(&world)
    );
}

#[test]
fn a_validator_that_does_not_answer_is_not_counted() {
    let mut world = World::new(2);
    world.join("w1");
    for kind in SynapseKind::ALL {
        world.bob().moods.insert(kind, Mood::Down);
    }
    world.pass(Duration::from_secs(120));
    assert!(line(&world).contains("; 1 of 2 validators answering"), "{}", line(&world));
}

#[test]
fn an_unregistered_hotkey_and_a_stop_are_told() {
    let mut world = World::before("", 1);
    world.metagraph.as_mut().unwrap().neurons.remove(0);
    world.give(Input::Deadline);
    assert!(line(&world).ends_with("; hotkey not registered: validators refuse it"), "{}", line(&world));
    world.slow_close = true;
    world.join("w1");
    world.give(Input::Stop);
    assert_eq!(line(&world), "stopping: 0 requests in flight, 1 connection to close");
}
