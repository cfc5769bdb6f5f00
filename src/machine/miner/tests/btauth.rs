//! Requests whose bodies are signed: offered to who announced it, and what happens when they are not taken.

use super::{
    validator::Mood,
    world::{World, heartbeat, result},
};
use crate::{metrics::Metric, units::PeerId, wire::synapse::SynapseKind};

/// A validator that takes them, and a worker.
fn with_btauth() -> (World, PeerId) {
    let mut world = World::new(1);
    world.bob().knows_btauth();
    let ann = world.join("ann");
    (world, ann)
}

fn pass_alive(world: &mut World, peer: PeerId, secs: u64) {
    for _ in 0..secs / 10 {
        world.pass_secs(10);
        world.says(peer, &heartbeat());
    }
}

#[test]
fn the_first_request_is_old_and_what_follows_an_announcement_is_signed_with_its_body() {
    let (mut world, ann) = with_btauth();
    pass_alive(&mut world, ann, 100);
    let nonces = &world.bob().nonces;
    assert_eq!(nonces.iter().filter(|(_, uuid)| !uuid.is_empty()).count(), 1, "the handshake: {nonces:?}");
    assert!(nonces.len() > 4 && world.bob().signed_bodies as usize == world.bob().nonces.len() - 1);
    assert_eq!(world.metric(Metric::SignedBodies, &[]), 1.0);
}

#[test]
fn who_announces_nothing_gets_the_old_headers() {
    let mut world = World::new(2);
    world.validator(2).knows_btauth();
    let ann = world.join("ann");
    pass_alive(&mut world, ann, 100);
    assert_eq!(world.validator(1).signed_bodies, 0);
    assert!(world.validator(1).nonces.len() > 4);
    assert!(world.validator(2).signed_bodies > 4, "each validator for itself");
    assert_eq!(world.metric(Metric::SignedBodies, &[]), 1.0);
}

#[test]
fn a_whole_challenge_goes_through_signed_bodies() {
    let (mut world, ann) = with_btauth();
    pass_alive(&mut world, ann, 40);
    world.bob().hand_out("c1", "ann");
    pass_alive(&mut world, ann, 40);
    world.says(ann, &result("ann", "c1"));
    let asked = world.told(ann, "proof_request")[0]["message_id"].clone();
    world.says(ann, &super::world::proof(&asked));
    assert_eq!((world.bob().commitments.len(), world.bob().proofs.len()), (1, 1));
    assert_eq!(world.bob().nonces.iter().filter(|(_, uuid)| !uuid.is_empty()).count(), 1);
}

#[test]
fn who_refuses_without_announcing_gets_the_same_message_with_old_headers() {
    let (mut world, ann) = with_btauth();
    pass_alive(&mut world, ann, 40);
    (world.bob().announces, world.bob().takes_signed_bodies) = (false, false);
    let (refused, beats) = (world.bob().signed_bodies, world.bob().heartbeats.len());
    pass_alive(&mut world, ann, 120);
    assert!(world.bob().heartbeats.len() >= beats + 2, "none was lost");
    let refusals = world.bob().signed_bodies - refused;
    assert!((1..=2).contains(&refusals), "{refusals} refused, one a lane at most");
    assert_eq!(world.bob().handshakes, 1, "the session is the same");
    assert_eq!(world.metric(Metric::SignedBodies, &[]), 0.0);
    assert_eq!(world.metric(Metric::Validators, &["blacklisted"]), 0.0);
}

#[test]
fn an_answer_that_lost_its_announcement_on_the_way_downgrades_nothing() {
    let (mut world, ann) = with_btauth();
    pass_alive(&mut world, ann, 40);
    world.bob().announces = false;
    let before = world.bob().nonces.len();
    pass_alive(&mut world, ann, 200);
    let nonces = &world.bob().nonces[before..];
    assert!(nonces.len() > 4 && nonces.iter().all(|(_, uuid)| uuid.is_empty()), "{nonces:?}");
}

#[test]
fn after_a_refusal_an_announcement_counts_again_in_ten_minutes() {
    let (mut world, ann) = with_btauth();
    pass_alive(&mut world, ann, 40);
    (world.bob().announces, world.bob().takes_signed_bodies) = (false, false);
    pass_alive(&mut world, ann, 100);
    world.bob().knows_btauth();
    let refused = world.bob().signed_bodies;
    pass_alive(&mut world, ann, 480);
    assert_eq!(world.bob().signed_bodies, refused);
    pass_alive(&mut world, ann, 200);
    assert!(world.bob().signed_bodies > refused);
}

#[test]
fn a_clock_that_signed_bodies_do_not_forgive_falls_back_to_what_does() {
    let (mut world, ann) = with_btauth();
    pass_alive(&mut world, ann, 40);
    world.bob().set(SynapseKind::Heartbeat, Mood::Status(401));
    pass_alive(&mut world, ann, 70);
    assert_eq!(world.metric(Metric::SignedBodies, &[]), 0.0);
    let before = world.bob().nonces.len();
    pass_alive(&mut world, ann, 70);
    let polls = &world.bob().nonces[before..];
    assert!(!polls.is_empty() && polls.iter().all(|(_, uuid)| !uuid.is_empty()), "{polls:?}");
}

#[test]
fn a_validator_with_too_much_to_do_is_not_taken_for_one_that_refuses() {
    let (mut world, ann) = with_btauth();
    pass_alive(&mut world, ann, 40);
    world.bob().set(SynapseKind::Heartbeat, Mood::FaultOnce(1003));
    pass_alive(&mut world, ann, 70);
    assert_eq!(world.metric(Metric::SignedBodies, &[]), 1.0);
}

#[test]
fn a_big_message_is_signed_when_it_was_encrypted_and_a_huge_one_not_with_its_body() {
    let (mut world, ann) = with_btauth();
    pass_alive(&mut world, ann, 40);
    for (challenge, letters, covered) in [("c1", 100_000, true), ("c2", 1_100_000, false)] {
        world.bob().hand_out(challenge, "ann");
        pass_alive(&mut world, ann, 40);
        world.says(ann, &result("ann", challenge));
        let asked = world.told(ann, "proof_request").last().unwrap()["message_id"].clone();
        let mut proof = super::world::proof(&asked);
        proof["data"]["proofs"][0]["row_hashes"] = serde_json::json!(["a".repeat(letters)]);
        let (before, done) = (world.bob().nonces.len(), world.bulk_done);
        world.says(ann, &proof);
        assert!(world.bulk_done >= done + 2, "read and encrypted off the loop");
        let sent = world.bob().nonces[before..].to_vec();
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[0].1.is_empty(), covered, "{letters}");
    }
    assert_eq!(world.bob().texts.len(), 4);
}
