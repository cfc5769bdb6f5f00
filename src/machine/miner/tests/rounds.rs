//! Validators: rounds, sessions, silence, the metagraph.

use std::{collections::BTreeSet, time::Duration};

use super::{
    validator::Mood,
    world::{World, heartbeat, row},
};
use crate::{
    machine::{
        Exit, Input,
        contract::{chain::PreflightState, maintenance::MaintenanceSight},
    },
    metrics::Metric,
    units::WorkerId,
    wire::{messages::MaintenanceNotice, synapse::SynapseKind},
};

/// Lets time pass while the workers keep telling that they live.
fn pass_alive(world: &mut World, peers: &[crate::units::PeerId], secs: u64) {
    for _ in 0..secs / 10 {
        world.pass_secs(10);
        peers.iter().for_each(|peer| world.says(*peer, &heartbeat()));
    }
    world.pass_secs(secs % 10);
}

#[test]
fn without_workers_nobody_is_told_or_asked_anything() {
    let mut world = World::new(2);
    world.pass_secs(600);
    assert_eq!(world.bob().handshakes, 0);
    assert!(world.chain_asked >= 10, "but the metagraph is read");
}

#[test]
fn a_new_worker_is_reported_within_seconds_and_polls_follow_the_interval() {
    let mut world = World::new(1);
    let ann = world.join("ann");
    world.pass_secs(3);
    assert_eq!(world.bob().heartbeats.len(), 1);
    assert_eq!(world.bob().heartbeats[0].workers.len(), 1);
    pass_alive(&mut world, &[ann], 297);
    let polls = world.bob().polls.len();
    assert!((9..=11).contains(&polls), "{polls} polls in 300 s");
    let heartbeats = world.bob().heartbeats.len();
    assert!((5..=6).contains(&heartbeats), "{heartbeats} heartbeats in 300 s");
}

#[test]
fn announced_maintenance_is_told_soon_and_until_it_is_over() {
    let mut world = World::new(1);
    let ann = world.join("ann");
    world.pass_secs(3);
    assert_eq!(world.bob().heartbeats[0].maintenance, None, "there is no file");
    let from = world.now.wall.as_secs();
    let notice = MaintenanceNotice { worker_id: WorkerId::new("ann"), from, until: from + 100 };
    world.maintenance = MaintenanceSight::Read(vec![notice.clone()]);
    world.pass_secs(8);
    let told = |world: &mut World| world.bob().heartbeats.last().unwrap().maintenance.clone();
    assert_eq!(told(&mut world), Some(vec![notice]));
    pass_alive(&mut world, &[ann], 200);
    assert_eq!(told(&mut world), Some(vec![]));
}

#[test]
fn a_poll_names_the_idle_workers_and_none_is_made_when_all_are_busy() {
    let mut world = World::new(1);
    let ann = world.join("ann");
    let ben = world.join("ben");
    world.bob().hand_out("c1", "ann");
    pass_alive(&mut world, &[ann, ben], 40);
    let last = world.bob().polls.last().unwrap().clone();
    assert_eq!(last.idle_workers, Some(vec![WorkerId::new("ben")]));
    world.bob().hand_out("c2", "ben");
    pass_alive(&mut world, &[ann, ben], 30);
    let polls = world.bob().polls.len();
    assert_eq!(world.metric(Metric::Workers, &["busy"]), 1.0, "c1 is over by now");
    world.says(ann, &heartbeat());
    assert!(polls >= 2);
}

#[test]
fn one_session_serves_all_lanes_and_its_handshake_is_signed() {
    let mut world = World::new(1);
    let ann = world.join("ann");
    pass_alive(&mut world, &[ann], 300);
    assert_eq!((world.bob().handshakes, world.bob().signed_handshakes), (1, 1));
    assert_eq!(world.metric(Metric::Sessions, &[]), 1.0);
}

#[test]
fn nonces_rise_and_uuids_never_repeat_also_when_the_wall_clock_goes_back() {
    let mut world = World::new(1);
    let ann = world.join("ann");
    pass_alive(&mut world, &[ann], 100);
    world.now.wall = world.now.wall - Duration::from_secs(3600);
    pass_alive(&mut world, &[ann], 100);
    assert_eq!(world.metric(Metric::WallAlarm, &[]), 1.0);
    let nonces = &world.bob().nonces;
    assert!(nonces.len() > 6 && nonces.windows(2).all(|pair| pair[0].0 < pair[1].0));
    let uuids: BTreeSet<_> = nonces.iter().map(|(_, uuid)| uuid).collect();
    assert_eq!(uuids.len(), nonces.len());
}

#[test]
fn a_session_is_renewed_before_it_ends() {
    let mut world = World::new(1);
    world.bob().lifetime_s = 900;
    let ann = world.join("ann");
    pass_alive(&mut world, &[ann], 590);
    assert_eq!(world.bob().handshakes, 1);
    pass_alive(&mut world, &[ann], 60);
    assert_eq!(world.bob().handshakes, 2, "300 s before its end");
    pass_alive(&mut world, &[ann], 400);
    assert_eq!(world.bob().handshakes, 2);
}

#[test]
fn lanes_that_wait_for_a_session_share_one_handshake() {
    let mut world = World::new(1);
    world.bob().set(SynapseKind::SessionInit, Mood::Stalls);
    world.join("ann");
    world.pass_secs(5);
    assert_eq!(world.stalled.len(), 1, "heartbeat and poll wait behind one handshake");
}

#[test]
fn a_validator_that_stalls_one_lane_stalls_no_other() {
    let mut world = World::new(2);
    let ann = world.join("ann");
    world.validator(1).set(SynapseKind::Heartbeat, Mood::Stalls);
    pass_alive(&mut world, &[ann], 300);
    let (stalling, other) = (world.validator(1).polls.len(), world.validator(2).polls.len());
    assert!(stalling >= 9 && other >= 9, "{stalling} and {other} polls in 300 s");
    assert!(world.stalled.len() <= 1, "at most one in flight on its lane");
}

#[test]
fn a_silent_validator_does_not_slow_the_polling_of_others() {
    let mut world = World::new(3);
    world.validator(1).set_all(&Mood::Stalls);
    world.validator(2).set_all(&Mood::Down);
    let ann = world.join("ann");
    pass_alive(&mut world, &[ann], 300);
    assert!(world.validator(3).polls.len() >= 9);
    assert_eq!(world.validator(3).handshakes, 1);
}

#[test]
fn a_silent_worker_does_not_stop_the_polling_for_others() {
    let mut world = World::new(1);
    let ann = world.join("ann");
    let _mute = world.join("mute");
    world.bob().hand_out("c1", "mute");
    pass_alive(&mut world, &[ann], 300);
    assert!(world.bob().polls.len() >= 9);
    assert_eq!(world.metric(Metric::Workers, &["idle"]), 1.0, "the silent one is gone");
}

#[test]
fn polls_come_in_time_while_a_worker_is_gone_in_the_middle_of_its_task() {
    let mut world = World::with("worker_management: {heartbeat_interval: 100, heartbeat_timeout: 1000}", 1);
    let ann = world.join("ann");
    world.bob().hand_out("c1", "ann");
    world.join("ben");
    world.pass_secs(1);
    world.cut(ann);
    let polls = world.bob().polls.len();
    world.pass_secs(31);
    assert_eq!(world.bob().polls.len(), polls + 1);
    assert_eq!((world.metric(Metric::Workers, &["idle"]), world.metric(Metric::Workers, &["busy"])), (1.0, 0.0));
}

#[test]
fn answers_in_a_lost_session_still_count() {
    let mut world = World::new(1);
    let (ann, ben) = (world.join("ann"), world.join("ben"));
    world.bob().hand_out("c1", "ann");
    world.bob().hand_out("c2", "ben");
    world.pass_secs(31);
    world.bob().set(SynapseKind::Challenge, Mood::Stalls);
    world.says(ann, &super::world::result("ann", "c1"));
    world.bob().set(SynapseKind::Challenge, Mood::FaultOnce(4020));
    world.says(ben, &super::world::result("ben", "c2"));
    world.bob().set(SynapseKind::Challenge, Mood::Serves);
    world.answer_stalled();
    assert_eq!(world.told(ann, "proof_request").len(), 1);
    assert_eq!(world.told(ben, "proof_request").len(), 1);
    assert_eq!(world.bob().handshakes, 2);
}

#[test]
fn a_validator_that_never_answers_is_passed_over_and_asked_again_later() {
    let mut world = World::with("metagraph: {blacklist: {threshold: 3, ttl_seconds: 600}}", 2);
    world.validator(1).set_all(&Mood::Down);
    let ann = world.join("ann");
    pass_alive(&mut world, &[ann], 120);
    assert_eq!(world.metric(Metric::Validators, &["blacklisted"]), 1.0);
    world.validator(1).set_all(&Mood::Serves);
    pass_alive(&mut world, &[ann], 300);
    assert_eq!(world.validator(1).handshakes, 0, "left alone");
    pass_alive(&mut world, &[ann], 400);
    assert!(world.validator(1).handshakes > 0);
    assert_eq!(world.metric(Metric::Validators, &["blacklisted"]), 0.0);
}

#[test]
fn a_cut_line_passes_nobody_over() {
    let mut world = World::new(2);
    let ann = world.join("ann");
    pass_alive(&mut world, &[ann], 60);
    for number in [1, 2] {
        world.validator(number).set_all(&Mood::Down);
    }
    pass_alive(&mut world, &[ann], 1200);
    assert_eq!(world.metric(Metric::Validators, &["blacklisted"]), 0.0);
    for number in [1, 2] {
        world.validator(number).set_all(&Mood::Serves);
        world.validator(number).polls.clear();
    }
    pass_alive(&mut world, &[ann], 60);
    assert!(!world.validator(1).polls.is_empty() && !world.validator(2).polls.is_empty(), "at once");
}

#[test]
fn handshakes_stay_under_the_validators_limit() {
    let mut world = World::new(1);
    world.bob().set(SynapseKind::Heartbeat, Mood::Fault(4012));
    world.bob().set(SynapseKind::Task, Mood::Fault(4012));
    let mut peers = Vec::new();
    // Each newcomer hastens a heartbeat, and each heartbeat loses the session.
    for number in 0..30 {
        peers.push(world.join(&format!("w{number}")));
        world.pass_secs(2);
    }
    assert!(world.bob().handshakes <= 5, "{} in a minute", world.bob().handshakes);
}

#[test]
fn a_refusing_validator_is_there() {
    let mut world = World::with("metagraph: {blacklist: {threshold: 2, ttl_seconds: 600}}", 2);
    world.validator(1).set_all(&Mood::Status(403));
    let ann = world.join("ann");
    pass_alive(&mut world, &[ann], 600);
    assert_eq!(world.metric(Metric::Validators, &["blacklisted"]), 0.0);
    assert!(world.metric(Metric::Calls, &["SessionInitSynapse", "status"]) > 2.0);
}

#[test]
fn without_the_chain_the_last_metagraph_stays_in_use() {
    let mut world = World::new(1);
    let ann = world.join("ann");
    pass_alive(&mut world, &[ann], 30);
    world.metagraph = None;
    pass_alive(&mut world, &[ann], 600);
    assert!(world.bob().polls.len() >= 19);
    assert!(world.metric(Metric::MetagraphAgeSeconds, &[]) > 560.0);
    assert!(world.metric(Metric::ChainRequests, &["head", "failed"]) > 5.0);
}

#[test]
fn no_endpoint_of_the_right_chain_ends_it_at_the_start_and_not_later() {
    let mut world = World::before("", 1);
    world.other_chain = true;
    world.give(Input::Deadline);
    assert_eq!(world.exited, Some(Exit::Config("this is another chain".into())));
    let mut world = World::new(1);
    let ann = world.join("ann");
    world.other_chain = true;
    pass_alive(&mut world, &[ann], 300);
    assert_eq!(world.exited, None, "the validators that it knows still pay");
}

#[test]
fn a_runtime_upgrade_costs_no_metagraph_and_no_patience() {
    let mut world = World::new(1);
    let ann = world.join("ann");
    pass_alive(&mut world, &[ann], 30);
    world.head.upgrading = true;
    world.head.spec_version = 426;
    pass_alive(&mut world, &[ann], 60);
    assert_eq!(world.chain_asked, 1, "nothing is read while the storage is not migrated");
    world.head.upgrading = false;
    world.mid_upgrade = true;
    pass_alive(&mut world, &[ann], 13);
    assert_eq!(world.chain_asked, 3, "refused once, and asked again after seconds");
    assert!(world.metric(Metric::MetagraphAgeSeconds, &[]) < 13.0);
    assert_eq!(world.metric(Metric::ChainRequests, &["preflight", "good"]), 2.0, "one for each runtime");
    assert_eq!(world.metric(Metric::Validators, &["served"]), 1.0);
}

#[test]
fn what_a_runtime_lacks_is_on_the_page_and_the_rest_goes_on() {
    let mut world = World::new(1);
    world.preflight = vec![row(PreflightState::Missing)];
    world.head.spec_version = 426;
    let ann = world.join("ann");
    pass_alive(&mut world, &[ann], 70);
    assert_eq!(world.metric(Metric::ChainPreflight, &["runtime API", "get_metagraph"]), 0.0);
    assert_eq!(world.metric(Metric::ChainBlock, &[]), 1000.0);
    assert!(!world.bob().heartbeats.is_empty());
}

#[test]
fn a_preflight_that_does_not_come_is_asked_for_again() {
    let mut world = World::new(1);
    world.preflight.clear();
    world.head.spec_version = 426;
    let ann = world.join("ann");
    pass_alive(&mut world, &[ann], 130);
    assert_eq!(world.chain_asked, 3);
    assert_eq!(world.metric(Metric::ChainRequests, &["preflight", "failed"]), 2.0);
}

#[test]
fn a_hotkey_that_is_not_registered_shows() {
    let mut world = World::new(1);
    let ann = world.join("ann");
    pass_alive(&mut world, &[ann], 10);
    assert_eq!(world.metric(Metric::HotkeyRegistered, &[]), 1.0);
    world.metagraph.as_mut().unwrap().neurons.remove(0);
    pass_alive(&mut world, &[ann], 70);
    assert_eq!(world.metric(Metric::HotkeyRegistered, &[]), 0.0);
}

#[test]
fn a_whitelisted_validator_with_an_address_works_without_the_chain() {
    let bob = World::new(1).bob().hotkey().clone();
    let yaml = format!("metagraph:\n  validator_whitelist:\n    {bob}: \"192.0.2.1:9091\"\n");
    let mut world = World::with(&yaml, 2);
    world.metagraph = None;
    world.join("ann");
    world.pass_secs(5);
    assert_eq!(world.validator(1).heartbeats.len(), 1);
    assert_eq!(world.validator(2).handshakes, 0);
}

#[test]
fn a_validator_that_leaves_the_metagraph_is_told_no_more() {
    let mut world = World::new(2);
    let ann = world.join("ann");
    pass_alive(&mut world, &[ann], 30);
    let gone = world.validator(2).hotkey().clone();
    world.metagraph.as_mut().unwrap().neurons.retain(|neuron| neuron.hotkey != gone);
    pass_alive(&mut world, &[ann], 60);
    let polls = world.validator(2).polls.len();
    pass_alive(&mut world, &[ann], 120);
    assert_eq!(world.validator(2).polls.len(), polls);
    assert_eq!(world.metric(Metric::Validators, &["served"]), 1.0);
}

#[test]
fn a_hundred_large_reports_go_in_several_heartbeats_of_bounded_size() {
    let mut world = World::new(1);
    for number in 0..20 {
        let peer = world.connect();
        let mut frame = super::world::registration(&format!("w{number:02}"));
        frame["system_info"]["notes"] = serde_json::json!("x".repeat(60_000));
        world.says(peer, &frame);
    }
    world.pass_secs(3);
    let reports: Vec<usize> = world.bob().heartbeats.iter().map(|report| report.workers.len()).collect();
    assert!(reports.len() >= 2 && reports.iter().sum::<usize>() == 20, "{reports:?}");
}
