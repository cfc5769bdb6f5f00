//! Tasks of the marketplace: asked for in polls, confirmed in the next, shown until they expire.

use serde_json::json;

use super::{
    validator::Mood,
    world::{World, heartbeat},
};
use crate::{
    metrics::Metric,
    units::{PeerId, WorkerId},
    wire::{json as wire_json, limits, messages::MarketTask, synapse::SynapseKind},
};

/// A task for ann that expires so many seconds from here.
fn task(world: &World, key: &str, left_s: f64) -> MarketTask {
    MarketTask {
        task_key: key.into(),
        worker_id: WorkerId::new("ann"),
        task_type: "vm_creation".into(),
        payload: wire_json::parse(r#"{"cpu":2}"#).unwrap(),
        priority: 0,
        expires_at: world.now.wall.as_secs_f64() + left_s,
    }
}

fn world() -> (World, PeerId) {
    let mut world = World::new(1);
    let ann = world.join("ann");
    (world, ann)
}

fn alive((world, ann): &mut (World, PeerId), secs: u64) {
    for _ in 0..secs / 10 {
        world.pass_secs(10);
        world.says(*ann, &heartbeat());
        world.alice.check_invariants();
    }
}

fn last_held(world: &mut World) -> Vec<String> {
    world.bob().polls.last().unwrap().market_tasks_held.clone().expect("it takes tasks")
}

fn shown(world: &World, key: &str) -> f64 {
    world.metric(Metric::MarketTaskExpires, &[key, "ann"])
}

#[test]
fn a_task_is_shown_and_its_key_goes_with_the_next_poll() {
    let mut both = world();
    alive(&mut both, 40);
    assert_eq!(last_held(&mut both.0), [] as [&str; 0]);
    let given = task(&both.0, "t1", 600.0);
    both.0.bob().market_tasks.push(given.clone());
    alive(&mut both, 80);
    assert_eq!(last_held(&mut both.0), ["t1"]);
    assert_eq!(shown(&both.0, "t1"), given.expires_at);
    assert_eq!(both.0.metric(Metric::MarketplaceTasks, &["taken"]), 1.0, "once");
    assert_eq!(both.0.metric(Metric::MarketplaceTasksOpen, &["held"]), 1.0);
}

#[test]
fn a_task_whose_answer_was_lost_comes_again() {
    let mut both = world();
    let given = task(&both.0, "t1", 600.0);
    both.0.bob().market_tasks.push(given);
    both.0.bob().set(SynapseKind::Task, Mood::Stalls);
    alive(&mut both, 60);
    assert_eq!(both.0.metric(Metric::MarketplaceTasksOpen, &["held"]), 0.0);
    both.0.bob().set(SynapseKind::Task, Mood::Serves);
    alive(&mut both, 60);
    assert_eq!(both.0.metric(Metric::MarketplaceTasksOpen, &["held"]), 1.0);
}

#[test]
fn a_task_goes_with_its_time_and_one_that_is_over_is_not_taken() {
    let mut both = world();
    let tasks = [task(&both.0, "t1", 120.0), task(&both.0, "late", -1.0)];
    both.0.bob().market_tasks.extend(tasks);
    alive(&mut both, 60);
    assert_eq!(both.0.metric(Metric::MarketplaceTasksOpen, &["held"]), 1.0);
    assert!(both.0.metric(Metric::MarketplaceTasks, &["late"]) >= 1.0);
    both.0.bob().market_tasks.clear();
    alive(&mut both, 80);
    assert_eq!((shown(&both.0, "t1"), both.0.metric(Metric::MarketplaceTasks, &["expired"])), (0.0, 1.0));
    alive(&mut both, 40);
    assert_eq!(last_held(&mut both.0), [] as [&str; 0]);
}

#[test]
fn what_a_validator_gives_is_bounded_and_bad_tasks_cost_no_challenge() {
    let mut both = world();
    let many: Vec<MarketTask> = (0..200).map(|n| task(&both.0, &format!("t{n:03}"), 9000.0)).collect();
    for few in many.chunks(limits::MARKET_TASKS_ANSWER) {
        both.0.bob().market_tasks = few.to_vec();
        alive(&mut both, 40);
    }
    assert_eq!(both.0.metric(Metric::MarketplaceTasksOpen, &["held"]), limits::MARKET_TASKS_HELD as f64);
    assert!(both.0.metric(Metric::MarketplaceTasks, &["full"]) >= 1.0);
    let bad = MarketTask { task_key: String::new(), ..task(&both.0, "", 60.0) };
    both.0.bob().market_tasks = vec![bad];
    both.0.bob().hand_out("c1", "ann");
    alive(&mut both, 40);
    assert!(both.0.metric(Metric::MarketplaceTasks, &["refused"]) >= 1.0);
    assert_eq!(both.0.told(both.1, "task_assignment").len(), 1, "{}", json!(both.0.workers[&both.1].frames));
}

#[test]
fn each_validator_is_told_of_its_own_and_one_that_left_is_forgotten() {
    let mut world = World::new(2);
    let ann = world.join("ann");
    let tasks = [task(&world, "ones", 9000.0), task(&world, "twos", 9000.0)];
    let [one, two] = tasks;
    world.validator(1).market_tasks.push(one);
    world.validator(2).market_tasks.push(two);
    let mut both = (world, ann);
    alive(&mut both, 80);
    let held = |world: &mut World, n| world.validator(n).polls.last().unwrap().market_tasks_held.clone().unwrap();
    assert_eq!((held(&mut both.0, 1), held(&mut both.0, 2)), (vec!["ones".to_owned()], vec!["twos".to_owned()]));
    let hotkey = both.0.validator(2).hotkey().clone();
    both.0.metagraph.as_mut().unwrap().neurons.retain(|neuron| neuron.hotkey != hotkey);
    alive(&mut both, 1300);
    assert_eq!((shown(&both.0, "ones") > 0.0, shown(&both.0, "twos")), (true, 0.0));
}
