//! A GPU's challenge from the round to the weights, and what becomes of it when a process or the card is gone in the middle.

use std::os::unix::{fs::FileTypeExt, net::UnixStream};

use byteleap::devnet::ledger::Ledger;

use crate::stage::{Stage, executor_of, is_executor, kill};

#[test]
fn a_gpu_is_challenged_verified_scored_and_comes_back_after_each_fault() {
    let mut stage = Stage::start(1);
    earns(&mut stage);
    survives_its_executor(&mut stage);
    survives_a_lost_card(&mut stage);
    goes_and_comes_with_its_worker(&mut stage);
    stage.subnet.stop().unwrap_or_else(|why| panic!("{why}"));
}

fn earns(stage: &mut Stage) {
    let challenge = stage.verified_anew(&Ledger::default());
    assert_eq!((challenge.kind.as_str(), challenge.reason), ("gemm_i8", None));
    let after = stage.ledger().last_verdict;
    stage.until("confirmed weights that know of it", |stage| {
        let ledger = stage.ledger();
        let confirmed = ledger.confirmed.filter(|weights| weights.at > after)?;
        let score = ledger.scores.first().filter(|score| score.challenge > 0.0 && score.weight > 0.0)?;
        confirmed.weights.iter().any(|(_, hotkey, share)| *hotkey == score.hotkey && *share > 0).then_some(())
    });
    assert!(stage.gpus_told() == Some(1), "the heartbeat tells of the GPU");
}

/// `kill -9` in the middle of a task.
fn survives_its_executor(stage: &mut Stage) {
    let (challenge, executor) = stage.computing();
    let before = stage.ledger();
    kill(executor);
    stage.until("a heartbeat without the GPU", |stage| (stage.gpus_told() == Some(0)).then_some(()));
    let end = stage.ended(&challenge.challenge_id);
    let why = end.reason.unwrap_or_default();
    assert_eq!(end.verdict, "failed", "{why}");
    assert!(why.contains("the GPUs: the executor ended the connection without an answer"), "{why}");
    assert!(stage.worker_said("the executor has ended (signal: 9"), "the log names the end");
    stage.verified_anew(&before);
    let again = executor_of(stage.worker(0)).expect("the executor of a GPU that was verified");
    assert_ne!(again, executor);
}

/// The card is gone for the driver in the middle of a task; the next executor has it again.
fn survives_a_lost_card(stage: &mut Stage) {
    stage.set_knobs("FAKE_CUDA_VANISH_AFTER=cuLaunchKernel:3\n");
    let before = stage.ledger();
    let executor = executor_of(stage.worker(0)).expect("a running executor");
    kill(executor);
    let (challenge, why) = stage.until("a challenge that fails by the card", |stage| {
        let challenges = stage.ledger().challenges.into_iter().filter(|one| one.verdict == "failed");
        let new = |id: &str| before.challenges.iter().all(|known| known.challenge_id != id || !known.has_ended());
        let mut lost = challenges.filter_map(|one| Some((one.challenge_id, one.reason?))).filter(|(id, _)| new(id));
        lost.find(|(_, why)| why.contains("CUDA error 46 "))
    });
    assert!(why.contains("device GPU-") || why.contains("the GPUs: "), "{challenge}: {why}");
    stage.set_knobs("");
    let before = stage.ledger();
    stage.verified_anew(&before);
}

/// Its executor goes with it, and what is left of the socket is no hindrance.
fn goes_and_comes_with_its_worker(stage: &mut Stage) {
    let (challenge, executor) = stage.computing();
    let before = stage.ledger();
    stage.subnet.kill("worker-0-0").expect("a running worker");
    stage.subnet.restart("worker-0-0").expect("a worker that starts again");
    stage.until("the end of the executor", |_| (!is_executor(executor)).then_some(()));
    let end = stage.ended(&challenge.challenge_id);
    let why = end.reason.as_deref().unwrap_or_default();
    assert!(end.verdict == "failed" && why.contains("came back without the task"), "{end:?}");
    stage.verified_anew(&before);
    let socket = stage.socket();
    assert!(socket.symlink_metadata().is_ok_and(|found| found.file_type().is_socket()));
    UnixStream::connect(socket).expect("the new executor listens there");
}
