//! What a miner passes on without knowing it, and what a validator of `gemm_i8` is told when nothing comes.

use serde_json::{Value, json};

use super::{
    validator::{challenge_of, keys},
    world::{World, result},
};
use crate::{
    units::PeerId,
    wire::{
        limits::{COMMITMENTS_BYTES, WORKER_FRAME_BYTES},
        messages::WorkFailure,
    },
};

/// A world with a challenge `c1` of that kind in the hands of Ann.
fn with_task(kind: &str, data: &str) -> (World, PeerId) {
    let mut world = World::new(1);
    let ann = world.join_able("ann", &["cpu_matrix", "gemm_i8", "later_v3"]);
    world.bob().challenges.push(challenge_of(kind, "c1", "ann", data));
    world.pass_secs(1);
    assert_eq!(world.told(ann, "task_assignment").len(), 1);
    (world, ann)
}

/// Ann's result with that list of commitments, written by another hand than ours.
fn committed(list: &str) -> String {
    let data = format!(r#"{{"success": true, "error_code": 0, "result": {{"commitments": {list}}}}}"#);
    format!(r#"{{"type": "task_result", "worker_id": "ann", "task_id": "c1", "data": {data}}}"#)
}

fn failed(data: &Value) -> Value {
    json!({"type": "task_result", "worker_id": "ann", "task_id": "c1", "data": data})
}

#[test]
fn a_miner_says_in_every_heartbeat_what_it_passes_on() {
    let mut world = World::new(2);
    world.join("ann");
    world.pass_secs(1);
    for number in [1, 2] {
        assert_eq!(world.validator(number).heartbeats[0].miner_features, ["gemm_i8"]);
    }
}

#[test]
fn a_challenge_of_any_type_goes_through_both_phases_byte_for_byte() {
    let data = r#"{ "version":2, "seed" : "00", "new": [1.50, {"é": null}]}"#;
    let commitments = r#"[{"uuid":"cpu","merkle_root":"zz", "sig_ver": 9,"sig_val":"","weight":1.0} , 7]"#;
    let wanted = r#"[ {"uuid":"cpu","samples":[[0,1,2]],"deep":{"a":[]}}]"#;
    let proofs = r#"[{"uuid": "cpu","tops":["00"],  "openings":[ ],"x":1e3}]"#;
    for kind in ["gemm_i8", "later_v3", "cpu_matrix"] {
        let (mut world, ann) = with_task(kind, data);
        let frames = world.workers[&ann].texts.join("\n");
        assert!(frames.contains(&format!(r#""data":{data}"#)), "{kind}: {frames}");
        world.bob().wants = wanted.into();
        world.says_text(ann, committed(commitments));
        let said = &world.bob().texts[0];
        assert!(said.contains(&format!(r#""commitments":{commitments},"#)), "{kind}: {said}");
        let frames = world.workers[&ann].texts.join("\n");
        assert!(frames.contains(&format!(r#""requests":{wanted}"#)), "{kind}: {frames}");
        let message_id = world.told(ann, "proof_request")[0]["message_id"].clone();
        let answer = format!(r#"{{"success":true,"proofs":{proofs},"debug":{{}}}}"#);
        world.says_text(ann, format!(r#"{{"type":"proof_response","message_id":{message_id},"data":{answer}}}"#));
        let said = &world.bob().texts[1];
        assert!(said.contains(&format!(r#""proofs":{proofs},"#)), "{kind}: {said}");
        assert_eq!(world.flows_ended("accepted"), 1.0, "{kind}");
    }
}

#[test]
fn a_type_that_the_worker_does_not_offer_is_declined() {
    let mut world = World::new(1);
    let ann = world.join_able("ann", &["cpu_matrix"]);
    world.bob().challenges.push(challenge_of("later_v3", "c1", "ann", "{}"));
    world.pass_secs(1);
    assert_eq!((world.told(ann, "task_assignment").len(), world.flows_ended("declined_incapable")), (0, 1.0));
    assert!(world.bob().texts.is_empty());
}

#[test]
fn what_is_passed_on_stays_within_its_limits() {
    let (mut world, ann) = with_task("gemm_i8", "{}");
    world.says_text(ann, committed(&format!(r#"["{}"]"#, "x".repeat(COMMITMENTS_BYTES))));
    assert_eq!(world.flows_ended("worker_failed"), 1.0);
    let failure = world.bob().commitments[0].failure.clone().unwrap();
    assert!(failure.reason.contains("at most 262144 are passed on"), "{failure:?}");

    let (mut world, ann) = with_task("gemm_i8", "{}");
    world.bob().wants = format!(r#"["{}"]"#, "x".repeat(WORKER_FRAME_BYTES));
    world.says(ann, &result("ann", "c1"));
    assert_eq!((world.told(ann, "proof_request").len(), world.flows_ended("refused")), (0, 1.0));
}

#[test]
fn a_validator_that_wants_nothing_proved_ends_the_flow() {
    for nothing in ["[]", "[ ]", "{}", "7"] {
        let (mut world, ann) = with_task("gemm_i8", "{}");
        world.bob().wants = nothing.into();
        world.says(ann, &result("ann", "c1"));
        assert_eq!((world.told(ann, "proof_request").len(), world.flows_ended("refused")), (0, 1.0), "{nothing}");
    }
}

#[test]
fn the_validator_of_a_gemm_challenge_is_told_that_its_worker_failed() {
    let (mut world, ann) = with_task("gemm_i8", "{}");
    let why = "it needs 4500 MiB\nof memory, and this host can spare 3000 MiB";
    world.says(ann, &failed(&json!({"success": false, "error_code": 1005, "error": why})));
    let told = world.bob().commitments[0].clone();
    assert_eq!((told.challenge_id.as_str(), told.worker_id.as_str(), told.commitments.len()), ("c1", "ann", 0));
    assert_eq!(told.failure, Some(WorkFailure { code: 1005, reason: why.replace('\n', " ") }));
    assert_eq!((world.flows_ended("worker_failed"), world.flows_ended("refused")), (1.0, 0.0));
    assert!(world.told(ann, "proof_request").is_empty());
}

#[test]
fn it_is_told_that_its_challenge_has_no_taker() {
    let mut world = World::new(1);
    world.join_able("ann", &["cpu_matrix"]);
    for worker in ["ann", "ghost"] {
        world.bob().challenges.push(challenge_of("gemm_i8", worker, worker, "{}"));
    }
    world.pass_secs(1);
    let reasons = world.bob().commitments.iter().map(|told| told.failure.clone().unwrap().reason);
    assert_eq!(reasons.collect::<Vec<_>>(), ["declined: the worker does not do this kind", "declined: no such worker"]);
}

#[test]
fn a_validator_of_the_first_version_never_hears_of_a_failure() {
    for kind in ["cpu_matrix", "later_v3"] {
        let (mut world, ann) = with_task(kind, "{}");
        world.says(ann, &failed(&json!({"success": false, "error_code": 1006, "error": "no memory"})));
        assert_eq!(world.flows_ended("worker_failed"), 1.0);
        assert!(world.bob().texts.is_empty(), "{kind}");
    }
    let (mut world, ann) = with_task("cpu_matrix", "{}");
    world.says(ann, &result("ann", "c1"));
    let said: Value = serde_json::from_str(&world.bob().texts[0]).unwrap();
    let fields = ["challenge_id", "commitments", "schema_version", "worker_id"].map(str::to_owned);
    assert_eq!(keys(&said), fields.into());
}

#[test]
fn a_proof_that_takes_its_time_is_waited_for() {
    let (mut world, ann) = with_task("gemm_i8", "{}");
    world.says(ann, &result("ann", "c1"));
    world.pass_secs(60);
    world.says(ann, &super::world::heartbeat());
    world.pass_secs(38);
    assert_eq!(world.flows_ended("late_proof"), 0.0);
    world.pass_secs(2);
    assert_eq!(world.flows_ended("late_proof"), 1.0);
}

fn lost_reasons(world: &mut World) -> Vec<String> {
    world.bob().commitments.iter().filter_map(|told| Some(told.failure.clone()?.reason)).collect()
}

#[test]
fn a_worker_that_was_started_anew_has_lost_its_task_and_its_validator_hears_it_at_once() {
    let (mut world, _) = with_task("gemm_i8", "{}");
    let again = world.join_able("ann", &["gemm_i8"]);
    world.pass_secs(4);
    assert!(lost_reasons(&mut world).is_empty(), "it may still hold the result");
    world.pass_secs(1);
    let told = lost_reasons(&mut world);
    assert!(told.len() == 1 && told[0].contains("came back without the task"), "{told:?}");
    assert_eq!((world.flows_ended("worker_failed"), world.closed(again)), (1.0, None));
}

#[test]
fn a_worker_that_comes_back_with_its_task_goes_on_with_it() {
    let (mut world, _) = with_task("gemm_i8", "{}");
    let again = world.join_able("ann", &["gemm_i8"]);
    // said before the result that it held, as our workers do
    world.says(again, &super::world::heartbeat());
    world.pass_secs(2);
    world.says(again, &result("ann", "c1"));
    world.pass_secs(10);
    assert_eq!((lost_reasons(&mut world).len(), world.told(again, "proof_request").len()), (0, 1));
}

#[test]
fn a_worker_that_stays_away_in_the_middle_of_a_task_is_reported_before_its_time_is_over() {
    let (mut world, ann) = with_task("gemm_i8", "{}");
    world.cut(ann);
    world.pass_secs(44);
    assert!(lost_reasons(&mut world).is_empty(), "it may come back");
    world.pass_secs(1);
    let told = lost_reasons(&mut world);
    assert!(told.len() == 1 && told[0].contains("has not come back"), "{told:?}");
}

#[test]
fn a_validator_of_the_first_version_hears_nothing_of_a_restart() {
    let (mut world, _) = with_task("cpu_matrix", "{}");
    world.join("ann");
    world.pass_secs(30);
    assert!(world.bob().texts.is_empty());
    assert_eq!(world.flows_ended("worker_failed"), 0.0, "its workers may bring the result all the same");
}
