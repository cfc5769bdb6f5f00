//! What a worker says of itself in one line.

use std::time::Duration;

use super::Scene;
use crate::machine::{Gone, Input, Machine};

fn line(scene: &Scene) -> String {
    scene.worker.status(scene.now)
}

fn without_gpus() -> Scene {
    let mut scene = Scene::with("gpu: {enable: false}\nminer_url: ws://10.0.0.1:7799/a-secret-path\n");
    assert_eq!(line(&scene), "starting: connecting to the miner 10.0.0.1:7799; idle; no proof given yet");
    scene.miner_answers();
    scene.miner_acknowledges();
    scene
}

#[test]
fn a_task_and_its_proof_are_told() {
    let mut scene = without_gpus();
    assert_eq!(line(&scene), "miner 10.0.0.1:7799 connected; idle; no proof given yet");
    scene.assign("c1");
    assert_eq!(line(&scene), "miner 10.0.0.1:7799 connected; computing cpu_matrix; no proof given yet");
    scene.compute();
    scene.ask_proof("c1", &[0]);
    scene.pass(Duration::from_secs(45));
    assert_eq!(line(&scene), "miner 10.0.0.1:7799 connected; idle; last proof given 40 s ago");
}

#[test]
fn a_miner_that_is_away_is_told_with_since_when_and_why() {
    let mut scene = without_gpus();
    scene.miner_closes(1001, "going away");
    scene.pass(Duration::from_secs(6));
    scene.miner_is_away();
    scene.advance(scene.now.mono + Duration::from_secs(174));
    assert_eq!(
        line(&scene),
        "miner 10.0.0.1:7799 not connected for 3 min: connection refused; idle; no proof given yet"
    );
}

#[test]
fn a_refusal_is_told_as_one() {
    let mut scene = Scene::with("gpu: {enable: false}\n");
    let reason = Gone::Protocol("upgrade refused: 401 token missing or wrong".into());
    scene.give(Input::DialFailed { peer: scene.peer(), reason });
    let told = "miner 127.0.0.1:7799 refuses this worker for some seconds: protocol: upgrade refused: 401";
    assert!(line(&scene).starts_with(told), "{}", line(&scene));
}

#[test]
fn gpus_are_counted_while_they_are_there() {
    let mut scene = Scene::registered();
    assert!(line(&scene).contains("; 0 GPUs; idle; "), "{}", line(&scene));
    scene.executor_is_up(true, &["G1", "G2"]);
    assert!(line(&scene).contains("; 2 GPUs; idle; "), "{}", line(&scene));
}

#[test]
fn a_stopping_worker_says_what_it_waits_for() {
    let mut scene = without_gpus();
    scene.assign("c1");
    scene.give(Input::Stop);
    assert_eq!(line(&scene), "stopping: cpu_matrix is being computed");
    scene.compute();
    assert_eq!(line(&scene), "stopping: a proof may be asked for");
}
