//! Connections of workers: registration, replacement, capacity, silence.

use serde_json::json;

use super::world::{World, heartbeat, registration, result};
use crate::{metrics::Metric, wire::messages::WorkerStatus};

#[test]
fn a_worker_registers_and_its_heartbeats_are_acknowledged() {
    let mut world = World::new(0);
    let ann = world.join("ann");
    assert_eq!(world.workers[&ann].frames[0], json!({"type": "registration_ack", "data": {"status": "registered"}}));
    assert_eq!(world.workers[&ann].frames[1], json!({"type": "heartbeat_ack"}));
    assert_eq!(world.metric(Metric::Workers, &["idle"]), 1.0);
}

#[test]
fn a_newer_connection_replaces_the_older_and_is_not_harmed_by_its_end() {
    let mut world = World::new(1);
    let older = world.join("ann");
    let newer = world.join("ann");
    assert_eq!(world.closed(older), Some(1001));
    assert_eq!(world.closed(newer), None);
    assert_eq!(world.metric(Metric::Workers, &["idle"]), 1.0);
    // What the old one still says is not heard; the new one works.
    world.says(older, &heartbeat());
    assert_eq!(world.told(older, "heartbeat_ack").len(), 1);
    world.bob().hand_out("c1", "ann");
    world.pass_secs(31);
    assert_eq!(world.told(newer, "task_assignment").len(), 1);
    assert_eq!(world.told(older, "task_assignment").len(), 0);
}

#[test]
fn a_replaced_connection_that_closes_late_does_not_take_the_newcomer_along() {
    let mut world = World::new(0);
    world.slow_close = true;
    let older = world.join("ann");
    let newer = world.join("ann");
    assert_eq!(world.closed(older), Some(1001));
    world.says(older, &registration("ann"));
    world.says(older, &heartbeat());
    assert_eq!(world.closed(newer), None, "what the older still says is not heard");
    world.let_go();
    world.says(newer, &heartbeat());
    assert_eq!(world.told(newer, "heartbeat_ack").len(), 2);
    assert_eq!(world.metric(Metric::Workers, &["idle"]), 1.0);
    world.pass_secs(200);
    world.let_go();
    assert_eq!((world.closed(newer), world.metric(Metric::Workers, &["idle"])), (Some(1001), 0.0));
}

#[test]
fn the_miner_is_full_at_max_workers_and_replacing_is_not_one_more() {
    let mut world = World::with("worker_management: {max_workers: 2}", 0);
    world.join("ann");
    let ben = world.join("ben");
    let third = world.connect();
    world.says(third, &registration("cora"));
    assert_eq!(world.workers[&third].closed, Some((4003, "miner full (2 of 2)".into())));
    assert_eq!(world.metric(Metric::WorkersRefused, &["miner_full"]), 1.0);
    let again = world.join("ben");
    assert_eq!((world.closed(ben), world.closed(again)), (Some(1001), None));
    world.cut(again);
    let cora = world.join("cora");
    assert_eq!(world.closed(cora), None, "a place was free");
}

#[test]
fn a_silent_worker_is_closed_and_forgotten() {
    let mut world = World::new(0);
    let ann = world.join("ann");
    let ben = world.join("ben");
    world.pass_secs(89);
    world.says(ben, &heartbeat());
    world.pass_secs(1);
    assert_eq!(world.workers[&ann].closed, Some((1001, "heartbeat timeout".into())));
    assert_eq!(world.closed(ben), None);
    assert_eq!(world.metric(Metric::Workers, &["idle"]), 1.0);
    assert_eq!(world.fault("silent"), 1.0);
}

#[test]
fn a_worker_that_stops_reporting_is_asked_for_a_sign_of_life() {
    let mut world = World::new(0);
    let ann = world.join("ann");
    world.pass_secs(59);
    assert_eq!(world.told(ann, "heartbeat_request").len(), 0);
    world.pass_secs(1);
    let message_id = world.told(ann, "heartbeat_request")[0]["message_id"].clone();
    world.pass_secs(20);
    assert_eq!(world.told(ann, "heartbeat_request").len(), 1, "once");
    world.says(
        ann,
        &json!({"type": "heartbeat_response", "worker_id": "ann", "timestamp": 1.0, "message_id": message_id}),
    );
    world.pass_secs(89);
    assert_eq!(world.closed(ann), None);
    world.pass_secs(1);
    assert_eq!(world.closed(ann), Some(1001));
}

#[test]
fn names_and_capabilities_are_kept_within_bounds() {
    let mut world = World::new(1);
    let ann = world.connect();
    let mut frame = registration("ann");
    frame["worker_name"] = json!("n".repeat(100_000));
    frame["capabilities"] = json!((0..1000).map(|n| format!("c{n}")).chain(["x".repeat(10_000)]).collect::<Vec<_>>());
    world.says(ann, &frame);
    world.pass_secs(3);
    let report = &world.bob().heartbeats[0].workers[0];
    assert_eq!((report.worker_name.as_ref().unwrap().len(), report.capabilities.len()), (128, 32));
}

#[test]
fn who_does_not_register_in_time_is_closed() {
    let mut world = World::new(0);
    let mute = world.connect();
    world.pass_secs(29);
    assert_eq!(world.closed(mute), None);
    world.pass_secs(1);
    assert_eq!(world.closed(mute), Some(4000));
}

#[test]
fn a_second_registration_on_one_connection_changes_nothing() {
    let mut world = World::new(0);
    let ann = world.join("ann");
    world.says(ann, &registration("other"));
    assert_eq!(world.told(ann, "registration_ack").len(), 1);
    assert_eq!(world.fault("second_registration"), 1.0);
}

#[test]
fn a_fresh_worker_is_told_nothing_in_the_instant_of_its_acknowledgement() {
    let mut world = World::new(1);
    world.bob().hand_out("c1", "ann");
    world.pass_secs(5);
    let ann = world.connect();
    world.says(ann, &registration("ann"));
    assert_eq!(world.bob().polls.len(), 1, "the poll waited for somebody idle");
    assert_eq!(world.workers[&ann].frames.len(), 1, "the acknowledgement, and nothing else");
    world.pass_secs(1);
    assert_eq!(world.told(ann, "task_assignment").len(), 1);
}

fn large(worker: &str) -> serde_json::Value {
    let mut frame = registration(worker);
    frame["system_info"]["notes"] = json!("x".repeat(100_000));
    frame
}

#[test]
fn large_frames_are_read_in_the_spoke_and_stay_in_order() {
    let mut world = World::new(1);
    world.slow_bulk = true;
    let ann = world.connect();
    world.says(ann, &large("ann"));
    world.says(ann, &heartbeat());
    assert!(world.workers[&ann].frames.is_empty());
    world.work_bulk();
    assert_eq!(world.bulk_done, 2, "the heartbeat behind it went the same way");
    assert_eq!((world.told(ann, "registration_ack").len(), world.told(ann, "heartbeat_ack").len()), (1, 1));
    world.says(ann, &heartbeat());
    assert_eq!((world.bulk_done, world.told(ann, "heartbeat_ack").len()), (2, 2), "later ones do not");
}

#[test]
fn a_flood_of_large_frames_ends_its_connection_and_no_other() {
    let mut world = World::new(1);
    world.slow_bulk = true;
    let peers: Vec<_> = (0..10).map(|_| world.connect()).collect();
    for peer in &peers {
        (0..4).for_each(|_| world.says(*peer, &large("w")));
    }
    (0..20).for_each(|_| world.says(peers[0], &large("w")));
    assert_eq!(world.closed(peers[0]), Some(1008));
    assert_eq!(world.fault("large_frames"), 1.0);
    world.work_bulk();
    assert_eq!(world.closed(peers[9]), None, "the last of that name");
}

#[test]
fn system_information_has_a_bound() {
    let mut world = World::new(0);
    let mut huge = heartbeat();
    huge["data"]["system_info"]["notes"] = json!("x".repeat(300_000));
    let ann = world.join("ann");
    world.says(ann, &huge);
    assert_eq!(world.told(ann, "heartbeat_ack").len(), 1, "only the first was taken");
    assert_eq!(world.fault("system_info_too_large"), 1.0);
    assert_eq!(world.closed(ann), None);
}

#[test]
fn heartbeats_to_the_validator_pass_on_what_workers_say() {
    let mut world = World::new(1);
    world.join("ann");
    let ben = world.connect();
    world.says(ben, &registration("ben"));
    world.says_text(ben, r#"{"type":"heartbeat","data":{"system_info":{"cpu_count":8,"fans":[1.50],"x":NaN},"capabilities":["gpu_matrix"]}}"#.into());
    world.bob().hand_out("c1", "ann");
    world.pass_secs(63);
    let report = world.bob().heartbeats.last().unwrap();
    let [ann, ben] = &report.workers[..] else { panic!("{report:?}") };
    assert_eq!((ann.worker_id.as_str(), ann.status), ("ann", WorkerStatus::Busy));
    assert_eq!((ben.worker_id.as_str(), ben.status), ("ben", WorkerStatus::Online));
    assert_eq!(ben.system_info.as_json(), r#"{"cpu_count":8,"fans":[1.50],"x":null}"#);
    assert_eq!(ben.capabilities, ["gpu_matrix"]);
}

#[test]
fn results_nobody_asked_for_change_nothing() {
    let mut world = World::new(1);
    let ann = world.join("ann");
    world.says(ann, &result("ann", "c1"));
    world.says(ann, &result("ben", "c1"));
    world.says(ann, &json!({"type": "proof_response", "message_id": "none", "data": {"success": true, "proofs": []}}));
    assert_eq!(
        (world.fault("foreign_result"), world.fault("wrong_name"), world.fault("foreign_proof")),
        (1.0, 1.0, 1.0)
    );
    assert_eq!(world.closed(ann), None);
    assert!(world.bob().commitments.is_empty());
}
