//! Challenges on their way: both phases, every way they end, and who may say what.

use serde_json::json;

use super::{
    validator::{LOST_SESSION, Mood},
    world::{World, heartbeat, proof, result},
};
use crate::{metrics::Metric, units::PeerId, wire::synapse::SynapseKind};

/// A world with Bob's challenge `c1` in the hands of Ann.
fn with_task() -> (World, PeerId) {
    let mut world = World::new(1);
    let ann = world.join("ann");
    world.bob().hand_out("c1", "ann");
    world.pass_secs(1);
    assert_eq!(world.told(ann, "task_assignment").len(), 1);
    (world, ann)
}

fn busy(world: &World) -> f64 {
    world.metric(Metric::Workers, &["busy"])
}

#[test]
fn a_challenge_goes_all_the_way() {
    let (mut world, ann) = with_task();
    let assignment = &world.told(ann, "task_assignment")[0]["data"];
    assert_eq!((&assignment["task_id"], &assignment["challenge_id"]), (&json!("c1"), &json!("c1")));
    assert_eq!((&assignment["task_type"], &assignment["timeout"]), (&json!("cpu_matrix"), &json!(60)));
    assert_eq!(assignment["data"]["matrix_size"], 110);
    assert_eq!(busy(&world), 1.0);

    world.says(ann, &result("ann", "c1"));
    let commitment = &world.bob().commitments[0];
    assert_eq!((commitment.challenge_id.as_str(), commitment.worker_id.as_str()), ("c1", "ann"));
    assert_eq!(commitment.commitments[0].merkle_root, "81dd");

    let request = world.told(ann, "proof_request")[0].clone();
    assert_eq!(request["data"]["requests"], json!([{"uuid": "-1", "rows": [13, 15], "coordinates": []}]));
    assert_eq!(request["data"]["challenge_id"], "c1");
    assert_eq!(request["data"]["validator_hotkey"], world.bob().hotkey().as_str());
    world.says(ann, &proof(&request["message_id"]));

    let proved = &world.bob().proofs[0];
    assert_eq!(proved.challenge_id.as_str(), "c1");
    assert_eq!(proved.proofs.as_str(), r#"[{"merkle_proofs":[],"row_hashes":["aa"],"uuid":"-1"}]"#);
    let stamps = &proved.debug_info.as_ref().unwrap().timestamps;
    let names: Vec<_> = stamps.keys().map(String::as_str).collect();
    assert!(names.contains(&"miner_task_received_ts") && names.contains(&"worker_proof_completed_ts"), "{names:?}");
    assert_eq!((world.flows_ended("accepted"), busy(&world)), (1.0, 0.0));
}

#[test]
fn a_result_from_another_worker_is_not_taken() {
    let (mut world, _) = with_task();
    let eve = world.join("eve");
    world.says(eve, &result("eve", "c1"));
    world.says(eve, &result("ann", "c1"));
    assert!(world.bob().commitments.is_empty());
    assert_eq!((world.fault("foreign_result"), world.fault("wrong_name")), (1.0, 1.0));
    assert_eq!(busy(&world), 1.0);
}

#[test]
fn a_proof_is_taken_only_from_who_was_asked_and_for_what_was_asked() {
    let (mut world, ann) = with_task();
    let eve = world.join("eve");
    world.says(ann, &result("ann", "c1"));
    let message_id = world.told(ann, "proof_request")[0]["message_id"].clone();
    world.says(eve, &proof(&message_id));
    world.says(ann, &proof(&json!("another")));
    assert!(world.bob().proofs.is_empty());
    assert_eq!(world.fault("foreign_proof"), 2.0);
    world.says(ann, &proof(&message_id));
    world.says(ann, &proof(&message_id));
    assert_eq!(world.bob().proofs.len(), 1, "and once");
}

#[test]
fn a_result_said_twice_is_committed_once() {
    let (mut world, ann) = with_task();
    world.says(ann, &result("ann", "c1"));
    world.says(ann, &result("ann", "c1"));
    assert_eq!(world.bob().commitments.len(), 1);
    assert_eq!(world.fault("result_twice"), 1.0);
}

#[test]
fn a_challenge_handed_out_twice_is_assigned_once() {
    let (mut world, ann) = with_task();
    world.says(ann, &json!({"type": "task_result", "worker_id": "ann", "task_id": "c1", "data": {"success": false, "error_code": 1006}}));
    world.bob().hand_out("c1", "ann");
    world.pass_secs(30);
    assert_eq!(world.told(ann, "task_assignment").len(), 1);
    assert_eq!(world.fault("duplicate_challenge"), 1.0);
}

#[test]
fn a_worker_that_fails_is_free_at_once() {
    for data in [json!({"success": false, "error_code": 1006, "error": "no memory"}), json!({"error": "x"})] {
        let (mut world, ann) = with_task();
        world.says(ann, &json!({"type": "task_result", "worker_id": "ann", "task_id": "c1", "data": data}));
        assert_eq!((world.flows_ended("worker_failed"), busy(&world)), (1.0, 0.0));
        assert!(world.bob().commitments.is_empty());
    }
}

#[test]
fn a_proof_that_fails_frees_the_worker() {
    let (mut world, ann) = with_task();
    world.says(ann, &result("ann", "c1"));
    let message_id = world.told(ann, "proof_request")[0]["message_id"].clone();
    world.says(ann, &json!({"type": "proof_response", "message_id": message_id, "data": {"success": false, "error": "gone", "debug": {}}}));
    assert_eq!((world.flows_ended("worker_failed"), busy(&world)), (1.0, 0.0));
}

#[test]
fn a_worker_that_never_answers_is_free_after_the_challenges_time() {
    let (mut world, _) = with_task();
    world.pass_secs(58);
    assert_eq!(busy(&world), 1.0);
    world.pass_secs(2);
    assert_eq!((world.flows_ended("late_result"), busy(&world)), (1.0, 0.0));
}

#[test]
fn a_worker_that_never_proves_is_free_after_half_a_minute() {
    let (mut world, ann) = with_task();
    world.says(ann, &result("ann", "c1"));
    world.pass_secs(29);
    assert_eq!(busy(&world), 1.0);
    world.pass_secs(1);
    assert_eq!((world.flows_ended("late_proof"), busy(&world)), (1.0, 0.0));
    let message_id = world.told(ann, "proof_request")[0]["message_id"].clone();
    world.says(ann, &proof(&message_id));
    assert!(world.bob().proofs.is_empty(), "too late");
}

#[test]
fn a_refusal_of_the_validator_frees_the_worker() {
    for (kind, mood) in [
        (SynapseKind::Challenge, Mood::Error("Challenge c1 not found or not accessible")),
        (SynapseKind::ChallengeProof, Mood::Error("Challenge c1 not found")),
        (SynapseKind::Challenge, Mood::Fault(4015)),
    ] {
        let (mut world, ann) = with_task();
        world.bob().set(kind, mood);
        world.says(ann, &result("ann", "c1"));
        if let Some(request) = world.told(ann, "proof_request").first() {
            let message_id = request["message_id"].clone();
            world.says(ann, &proof(&message_id));
        }
        assert_eq!((world.flows_ended("refused"), busy(&world)), (1.0, 0.0), "{kind:?}");
    }
}

/// Time passes, and the worker lives.
fn pass_alive(world: &mut World, worker: PeerId, secs: u64) {
    for _ in 0..secs / 10 {
        world.pass_secs(10);
        world.says(worker, &heartbeat());
    }
}

#[test]
fn a_validator_that_stalls_a_proof_holds_no_worker() {
    let mut world = World::new(2);
    let ann = world.join("ann");
    world.validator(1).hand_out("c1", "ann");
    world.pass_secs(1);
    world.says(ann, &result("ann", "c1"));
    world.validator(1).set(SynapseKind::ChallengeProof, Mood::Stalls);
    let message_id = world.told(ann, "proof_request")[0]["message_id"].clone();
    world.says(ann, &proof(&message_id));
    assert_eq!((busy(&world), world.metric(Metric::Flows, &["submitting"])), (0.0, 1.0));
    world.validator(2).hand_out("c2", "ann");
    pass_alive(&mut world, ann, 40);
    assert_eq!(world.told(ann, "task_assignment").len(), 2);
    world.says(ann, &result("ann", "c2"));
    let message_id = world.told(ann, "proof_request")[1]["message_id"].clone();
    world.says(ann, &proof(&message_id));
    assert_eq!(world.flows_ended("accepted"), 1.0);
    // What was stalled counts when it is answered, and ends in any case.
    world.answer_stalled();
    assert_eq!(world.flows_ended("accepted"), 2.0);
}

#[test]
fn a_stalled_proof_ends_by_its_timeout() {
    let (mut world, ann) = with_task();
    world.says(ann, &result("ann", "c1"));
    world.bob().set(SynapseKind::ChallengeProof, Mood::Stalls);
    let message_id = world.told(ann, "proof_request")[0]["message_id"].clone();
    world.says(ann, &proof(&message_id));
    pass_alive(&mut world, ann, 310);
    assert_eq!((world.flows_ended("unanswered"), world.metric(Metric::Flows, &["submitting"])), (1.0, 0.0));
}

#[test]
fn a_commitment_that_came_with_too_many_requests_is_sent_again_in_the_challenges_time() {
    let (mut world, ann) = with_task();
    world.bob().set(SynapseKind::Challenge, Mood::Fault(1003));
    world.says(ann, &result("ann", "c1"));
    let before = world.bob().nonces.len();
    world.pass_secs(20);
    let attempts = world.bob().nonces.len() - before;
    assert!((2..=8).contains(&attempts), "{attempts} in 20 s");
    assert_eq!((busy(&world), world.bob().handshakes), (1.0, 1));
    world.bob().set(SynapseKind::Challenge, Mood::Serves);
    world.pass_secs(8);
    assert_eq!((world.bob().commitments.len(), world.told(ann, "proof_request").len()), (1, 1));
}

#[test]
fn a_rate_limit_that_outlasts_the_challenge_ends_its_flow() {
    let (mut world, ann) = with_task();
    world.bob().set(SynapseKind::Challenge, Mood::Fault(1003));
    world.says(ann, &result("ann", "c1"));
    pass_alive(&mut world, ann, 60);
    assert_eq!((world.flows_ended("refused"), busy(&world)), (1.0, 0.0));
    assert_eq!(world.metric(Metric::QueueDepth, &["validators"]), 0.0);
}

#[test]
fn a_proof_that_came_with_too_many_requests_is_sent_again() {
    let (mut world, ann) = with_task();
    world.says(ann, &result("ann", "c1"));
    world.bob().set(SynapseKind::ChallengeProof, Mood::FaultOnce(1003));
    let message_id = world.told(ann, "proof_request")[0]["message_id"].clone();
    world.says(ann, &proof(&message_id));
    assert_eq!((world.flows_ended("accepted"), busy(&world)), (0.0, 0.0));
    world.pass_secs(1);
    assert_eq!(world.flows_ended("accepted"), 1.0);
}

#[test]
fn a_validator_that_stalls_a_commitment_holds_its_worker_for_the_timeout_only() {
    let (mut world, ann) = with_task();
    world.bob().set(SynapseKind::Challenge, Mood::Stalls);
    world.says(ann, &result("ann", "c1"));
    world.pass_secs(40);
    assert_eq!((world.flows_ended("unanswered"), busy(&world)), (1.0, 0.0));
    assert!(world.stalled.is_empty(), "its request was cancelled");
}

#[test]
fn a_commitment_whose_connection_is_refused_is_tried_again() {
    let (mut world, ann) = with_task();
    world.bob().set(SynapseKind::Challenge, Mood::Down);
    world.says(ann, &result("ann", "c1"));
    assert_eq!(busy(&world), 1.0);
    world.bob().set(SynapseKind::Challenge, Mood::Serves);
    world.pass_secs(1);
    assert_eq!(world.bob().commitments.len(), 1);
    assert_eq!(world.told(ann, "proof_request").len(), 1);
}

#[test]
fn the_retries_of_a_refused_connection_end() {
    let (mut world, ann) = with_task();
    world.bob().set(SynapseKind::Challenge, Mood::Down);
    world.says(ann, &result("ann", "c1"));
    world.pass_secs(4);
    assert_eq!((world.flows_ended("unanswered"), busy(&world)), (1.0, 0.0));
}

#[test]
fn a_lost_session_is_made_anew_and_the_message_repeated_once() {
    let (mut world, ann) = with_task();
    let before = world.bob().handshakes;
    world.bob().forget_sessions();
    world.says(ann, &result("ann", "c1"));
    assert_eq!(world.bob().handshakes, before + 1);
    assert_eq!(world.bob().commitments.len(), 1);
    assert_eq!(world.told(ann, "proof_request").len(), 1);
}

#[test]
fn only_codes_that_say_so_cost_the_session_and_only_once() {
    for code in LOST_SESSION.into_iter().chain([4015]) {
        let (mut world, ann) = with_task();
        let before = world.bob().handshakes;
        world.bob().set(SynapseKind::Challenge, Mood::Fault(code));
        world.says(ann, &result("ann", "c1"));
        let expected = if LOST_SESSION.contains(&code) { before + 1 } else { before };
        assert_eq!(world.bob().handshakes, expected, "{code}");
        assert_eq!(world.flows_ended("refused"), 1.0, "{code}: not repeated for ever");
    }
}

#[test]
fn a_busy_worker_gets_the_next_challenge_when_its_flow_ended() {
    let mut world = World::new(2);
    let ann = world.join("ann");
    world.validator(1).hand_out("c1", "ann");
    world.validator(2).hand_out("c2", "ann");
    world.pass_secs(31);
    assert_eq!(world.told(ann, "task_assignment").len(), 1, "one at a time");
    let first = world.told(ann, "task_assignment")[0]["data"]["challenge_id"].as_str().unwrap().to_owned();
    world.says(ann, &result("ann", &first));
    let message_id = world.told(ann, "proof_request")[0]["message_id"].clone();
    world.says(ann, &proof(&message_id));
    assert_eq!(world.told(ann, "task_assignment").len(), 2);
}

#[test]
fn a_challenge_for_an_unknown_or_unable_worker_ends_counted() {
    let mut world = World::new(1);
    let ann = world.join("ann");
    world.bob().hand_out("c1", "ghost");
    let mut gpu = super::validator::challenge("c2", "ann");
    gpu.challenge_type = "gpu_matrix".into();
    let mut huge = super::validator::challenge("c3", "ann");
    huge.data = crate::wire::messages::Raw::of(&"x".repeat(1 << 19)).unwrap();
    huge.challenge_id = crate::units::ChallengeId::new(&"i".repeat(200));
    world.bob().challenges.extend([gpu, huge]);
    world.pass_secs(31);
    for why in ["declined_unknown_worker", "declined_incapable", "declined_too_large"] {
        assert_eq!(world.flows_ended(why), 1.0, "{why}");
    }
    assert_eq!((world.told(ann, "task_assignment").len(), busy(&world)), (0, 0.0));
}

#[test]
fn a_worker_that_reconnects_goes_on_with_its_task() {
    let (mut world, ann) = with_task();
    world.cut(ann);
    let again = world.join("ann");
    assert_eq!(busy(&world), 1.0, "it has its task still");
    world.says(again, &result("ann", "c1"));
    assert_eq!(world.bob().commitments.len(), 1);
    world.cut(again);
    let third = world.join("ann");
    assert_eq!(world.told(third, "proof_request").len(), 1, "asked again");
    let message_id = world.told(third, "proof_request")[0]["message_id"].clone();
    world.says(third, &proof(&message_id));
    assert_eq!(world.flows_ended("accepted"), 1.0);
}

#[test]
fn large_proofs_are_encrypted_in_the_spoke() {
    let (mut world, ann) = with_task();
    world.says(ann, &result("ann", "c1"));
    let message_id = world.told(ann, "proof_request")[0]["message_id"].clone();
    let values: Vec<f64> = (0..60_000).map(f64::from).collect();
    let proofs = json!([{"uuid": "-1", "coordinate_values": values}]);
    world.says(ann, &json!({"type": "proof_response", "message_id": message_id, "data": {"success": true, "proofs": proofs, "debug": {}}}));
    assert_eq!(world.bulk_done, 2, "read, and encrypted");
    assert_eq!((world.bob().proofs.len(), world.flows_ended("accepted")), (1, 1.0));
}
