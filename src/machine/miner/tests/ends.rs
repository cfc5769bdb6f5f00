//! How a miner stops.

use super::{
    validator::Mood,
    world::{World, result},
};
use crate::{
    machine::{Exit, Input},
    wire::synapse::SynapseKind,
};

#[test]
fn it_says_goodbye_and_is_done() {
    let mut world = World::new(1);
    let ann = world.join("ann");
    world.pass_secs(5);
    world.give(Input::Stop);
    assert_eq!(world.workers[&ann].closed, Some((1001, "going away".into())));
    assert_eq!(world.exited, Some(Exit::Done));
}

#[test]
fn a_request_in_flight_is_waited_for_but_not_for_long() {
    let mut world = World::new(1);
    let ann = world.join("ann");
    world.bob().hand_out("c1", "ann");
    world.pass_secs(31);
    world.bob().set(SynapseKind::Challenge, Mood::Stalls);
    world.says(ann, &result("ann", "c1"));
    world.give(Input::Stop);
    assert_eq!(world.exited, None);
    world.pass_secs(3);
    assert_eq!(world.exited, Some(Exit::Done));
}

#[test]
fn who_comes_while_it_stops_is_sent_away() {
    let mut world = World::new(1);
    let ann = world.join("ann");
    world.bob().set_all(&Mood::Stalls);
    world.pass_secs(5);
    world.give(Input::Stop);
    let late = world.connect();
    assert_eq!((world.closed(ann), world.closed(late)), (Some(1001), Some(1001)));
    world.pass_secs(3);
    assert_eq!(world.exited, Some(Exit::Done));
}
