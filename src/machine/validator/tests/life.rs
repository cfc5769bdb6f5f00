//! The life of challenges, heartbeats and their durability.

use std::time::Duration;

use super::bench::{Bench, Miner, asked, keys, verdict};
use crate::{
    machine::{
        Exit, Input,
        contract::{
            store::{Asked, ChallengeRow, Snapshot, StoreFault, Work, Write},
            verify::VerifyReply,
        },
        validator::{Event, axon::Pending},
    },
    metrics::Metric,
    units::{ChallengeId, Hotkey, PeerId, Wall, WorkerId, WorkerKey},
    wire::{
        json, limits,
        messages::{Commitment, CommitmentData, ProofData, gemm_i8::GemmProofFault},
        synapse::{Head, SynapseKind},
    },
};

/// A validator, and alice with a session and these workers.
fn alice_with(workers: &[&str]) -> (Bench, Miner) {
    let mut alice = Miner::new(1);
    let mut bench = Bench::new(&[&alice.keys]);
    alice.handshake(&mut bench).unwrap();
    assert_eq!(alice.heartbeat(&mut bench, workers).error_code, 0);
    (bench, alice)
}

/// Waits for the next round; heartbeats go on meanwhile, as a miner's do.
fn next_round(bench: &mut Bench, alice: &mut Miner, workers: &[&str]) {
    for _ in 0..4 {
        bench.seconds(60);
        alice.heartbeat(bench, workers);
    }
}

#[test]
fn a_challenge_goes_from_created_to_verified() {
    let (mut bench, mut alice) = alice_with(&["w1", "w2"]);
    assert_eq!(alice.poll(&mut bench, None).len(), 0);
    next_round(&mut bench, &mut alice, &["w1", "w2"]);
    let jobs = alice.poll(&mut bench, None);
    assert_eq!(jobs.len(), 2);
    assert_eq!(jobs[0].timeout, 60);
    assert_eq!(alice.poll(&mut bench, None).len(), 0, "handed out once");
    for job in &jobs {
        let status = alice.work(&mut bench, job);
        assert_eq!((status.challenge_status.as_str(), status.challenge_id.as_ref()), ("queued", Some(&job.id)));
    }
    bench.seconds(1);
    assert_eq!(bench.ends().verified, 2);
    assert_eq!(bench.stored_ends(), ["Verified { success_count: 1, ops: 2000000.0, note: None, passed: [\"-1\"] }"; 2]);
}

#[test]
fn the_store_hears_of_every_step_in_order() {
    let (mut bench, mut alice) = alice_with(&["w1"]);
    next_round(&mut bench, &mut alice, &["w1"]);
    let job = alice.poll(&mut bench, None).remove(0);
    bench.wait(std::time::Duration::from_millis(250));
    alice.work(&mut bench, &job);
    bench.seconds(1);
    let step = |write: &Write| match write {
        Write::ChallengeCreated(_) => Some("created"),
        Write::ChallengeSent { .. } => Some("sent"),
        Write::ChallengeCommitted { computation_ms, asked, .. } => {
            assert_eq!(*computation_ms, 250.0);
            assert!(matches!(asked, Asked::Rows(rows) if !rows.is_empty()));
            Some("committed")
        }
        Write::ChallengeVerifying { .. } => Some("verifying"),
        Write::ChallengeEnded { verify_ms, .. } => {
            assert_eq!(*verify_ms, Some(1.5));
            Some("ended")
        }
        _ => None,
    };
    let steps: Vec<_> = bench.written.iter().filter_map(step).collect();
    assert_eq!(steps, ["created", "sent", "committed", "verifying", "ended"]);
}

#[test]
fn a_challenge_is_durable_before_it_is_sent() {
    let (mut bench, mut alice) = alice_with(&["w1"]);
    bench.seconds(180);
    alice.heartbeat(&mut bench, &["w1"]);
    bench.hold_store = true;
    bench.seconds(61);
    assert_eq!(bench.ends().created, 1);
    assert_eq!(alice.poll(&mut bench, None).len(), 0, "the store has not confirmed it");
    bench.hold_store = false;
    while let Some(batch) = bench.batches.pop_front() {
        bench.input(Input::Event(Event::Store(crate::machine::contract::store::StoreReply::Committed { batch })));
    }
    assert_eq!(alice.poll(&mut bench, None).len(), 1);
}

#[test]
fn only_idle_workers_get_their_challenge_when_the_miner_names_them() {
    let (mut bench, mut alice) = alice_with(&["w1", "w2"]);
    next_round(&mut bench, &mut alice, &["w1", "w2"]);
    let first = alice.poll(&mut bench, Some(&["w2"]));
    assert_eq!(first.iter().map(|job| job.worker.as_str()).collect::<Vec<_>>(), ["w2"]);
    assert_eq!(alice.poll(&mut bench, Some(&[])).len(), 0);
    assert_eq!(alice.poll(&mut bench, Some(&["w1", "w2"])).len(), 1);
}

#[test]
fn a_worker_has_at_most_one_open_challenge() {
    let (mut bench, mut alice) = alice_with(&["w1"]);
    next_round(&mut bench, &mut alice, &["w1"]);
    let job = alice.poll(&mut bench, None).remove(0);
    let rows = asked(alice.commit(&mut bench, &job));
    bench.hold_verdicts = true;
    alice.prove(&mut bench, &job, &rows);
    next_round(&mut bench, &mut alice, &["w1"]);
    assert_eq!(alice.poll(&mut bench, None).len(), 0);
    let held = bench.held.pop_front().unwrap();
    bench.input(Input::Event(verdict(held)));
    next_round(&mut bench, &mut alice, &["w1"]);
    assert_eq!(alice.poll(&mut bench, None).len(), 1);
}

#[test]
fn who_waits_for_our_verdict_is_passed_over_and_who_is_silent_is_not() {
    let (mut bench, mut alice) = alice_with(&["w1", "w2"]);
    next_round(&mut bench, &mut alice, &["w1", "w2"]);
    let mut jobs = alice.poll(&mut bench, None);
    jobs.sort_by(|a, b| a.worker.cmp(&b.worker));
    let rows = asked(alice.commit(&mut bench, &jobs[0]));
    bench.hold_verdicts = true;
    alice.prove(&mut bench, &jobs[0], &rows);
    next_round(&mut bench, &mut alice, &["w1", "w2"]);
    let list = |write: &Write| match write {
        Write::RoundBegan { passed_over, .. } => Some(passed_over.clone()),
        _ => None,
    };
    let lists: Vec<_> = bench.written.iter().filter_map(list).collect();
    assert_eq!(lists, [[WorkerKey::new(alice.hotkey(), &WorkerId::new("w1"))]]);
}

#[test]
fn only_proofs_that_pass_say_how_fast_proofs_are_verified() {
    let (mut bench, mut alice) = alice_with(&["w1"]);
    let expected = |bench: &mut Bench| bench.counted(Metric::VerifyExpectedSeconds, &["cpu_matrix"]).unwrap();
    let first = expected(&mut bench);
    let mut verified = |passes: bool| {
        next_round(&mut bench, &mut alice, &["w1"]);
        let job = alice.poll(&mut bench, None).remove(0);
        let rows = asked(alice.commit(&mut bench, &job));
        bench.hold_verdicts = true;
        alice.prove(&mut bench, &job, &rows);
        let request = bench.held.pop_front().unwrap();
        let mut verdicts = request.evidence.verdicts();
        if !passes {
            verdicts[0].verdict = Err(GemmProofFault::Top { round: 0 }.into());
        }
        bench.input(Input::Event(Event::Verified(VerifyReply { id: request.id, verdicts, verify_ms: 0.01 })));
        expected(&mut bench)
    };
    assert_eq!(verified(false), first, "a prover can make this look quick");
    assert!(verified(true) < first);
}

#[test]
fn a_commitment_in_time_counts_and_a_late_one_fails() {
    let (mut bench, mut alice) = alice_with(&["w1", "w2"]);
    next_round(&mut bench, &mut alice, &["w1", "w2"]);
    let jobs = alice.poll(&mut bench, None);
    bench.seconds(60);
    assert!(!asked(alice.commit(&mut bench, &jobs[0])).is_empty());
    bench.wait(std::time::Duration::from_millis(500));
    let error = alice.commit(&mut bench, &jobs[1]).error();
    assert!(error.contains("expired: its commitment came"), "{error}");
    assert_eq!((bench.ends().failed, bench.ends().void), (1, 0));
}

#[test]
fn silence_fails_the_worker_and_a_challenge_that_nobody_fetched_is_void() {
    let (mut bench, mut alice) = alice_with(&["w1", "w2"]);
    next_round(&mut bench, &mut alice, &["w1", "w2"]);
    let job = alice.poll(&mut bench, Some(&["w1"])).remove(0);
    bench.seconds(62);
    bench.seconds(200);
    let ends = bench.stored_ends();
    assert!(ends.contains(&r#"Failed("no commitment within 60 s")"#.to_owned()), "{ends:?}");
    assert!(ends.contains(&r#"Void("not fetched within 240 s")"#.to_owned()), "{ends:?}");
    let error = alice.commit(&mut bench, &job).error();
    assert_eq!(error, format!("Challenge {} already processed", job.id));
}

#[test]
fn a_commitment_without_its_proof_fails_after_the_proof_timeout() {
    let (mut bench, mut alice) = alice_with(&["w1"]);
    next_round(&mut bench, &mut alice, &["w1"]);
    let job = alice.poll(&mut bench, None).remove(0);
    let rows = asked(alice.commit(&mut bench, &job));
    bench.seconds(122);
    assert_eq!(bench.stored_ends(), [r#"Failed("no proof within 120 s")"#]);
    assert_eq!(alice.prove(&mut bench, &job, &rows).error(), format!("Challenge {} not in committed state", job.id));
}

/// A body of that miner that arrived now and is with the bulk spoke.
fn being_read(bench: &mut Bench, alice: &mut Miner, kind: SynapseKind, bytes: usize) -> Option<u64> {
    let pending = arrived(bench, alice, kind);
    let bulk = &mut bench.validator.axon.bulk;
    bulk.has_room(&pending, bytes).then(|| bulk.keep(pending, bytes))
}

fn arrived(bench: &Bench, alice: &mut Miner, kind: SynapseKind) -> Pending {
    let head = Head::parse(&alice.call(bench, kind, "").headers).unwrap();
    Pending { peer: PeerId::accepted(1 << 40), kind, head, arrived: bench.now.mono, unverified: None }
}

#[test]
fn a_proof_that_came_in_time_is_not_late_because_we_are_slow_to_read_it() {
    let (mut bench, mut alice) = alice_with(&["w1"]);
    next_round(&mut bench, &mut alice, &["w1"]);
    let job = alice.poll(&mut bench, None).remove(0);
    let rows = asked(alice.commit(&mut bench, &job));
    bench.seconds(119);
    let reading = being_read(&mut bench, &mut alice, SynapseKind::ChallengeProof, 1_000_000).unwrap();
    bench.seconds(10);
    assert_eq!(bench.stored_ends(), [""; 0], "our own queue is no fault of the worker");
    bench.validator.axon.bulk.take(reading);
    alice.prove(&mut bench, &job, &rows).plain();
    bench.seconds(1);
    assert_eq!(bench.ends().verified, 1);
}

#[test]
fn a_body_that_came_too_late_holds_nothing_open() {
    let (mut bench, mut alice) = alice_with(&["w1"]);
    next_round(&mut bench, &mut alice, &["w1"]);
    let job = alice.poll(&mut bench, None).remove(0);
    asked(alice.commit(&mut bench, &job));
    bench.wait(Duration::from_millis(120_500));
    being_read(&mut bench, &mut alice, SynapseKind::ChallengeProof, 1_000_000).unwrap();
    bench.seconds(3);
    assert_eq!(bench.stored_ends(), [r#"Failed("no proof within 120 s")"#]);
}

#[test]
fn one_miner_with_big_bodies_leaves_room_for_the_others() {
    let (mut bench, mut alice) = alice_with(&["w1"]);
    let mut taken = 0;
    while being_read(&mut bench, &mut alice, SynapseKind::Heartbeat, 100_000).is_some() {
        taken += 1;
    }
    assert_eq!(taken, 64);
    let text = format!(r#"{{"hotkey":"x","timestamp":1,"workers":[],"note":"{}"}}"#, "x".repeat(limits::BULK_BYTES));
    assert_eq!(alice.say(&mut bench, SynapseKind::Heartbeat, &text).code(), 1003, "come again");
    assert_eq!(bench.counted(Metric::Refusals, &["1003", "too_much_to_read"]), Some(1.0));
    let other = arrived(&bench, &mut Miner::new(9), SynapseKind::ChallengeProof);
    assert!(bench.validator.axon.bulk.has_room(&other, limits::PROOF_BODY_BYTES));
}

#[test]
fn big_bodies_in_another_name_take_no_room_from_those_who_sign() {
    let (mut bench, mut alice) = alice_with(&["w1"]);
    for source in 0..8u8 {
        for _ in 0..100 {
            let mut claimed = arrived(&bench, &mut alice, SynapseKind::ChallengeProof);
            claimed.unverified = Some([198, 51, 100, source].into());
            if bench.validator.axon.bulk.has_room(&claimed, 1_000_000) {
                bench.validator.axon.bulk.keep(claimed, 1_000_000);
            }
        }
    }
    bench.validator.check_invariants();
    assert_eq!(bench.validator.axon.bulk.count(), 67, "half of 128 MiB, from several addresses");
    assert!(being_read(&mut bench, &mut alice, SynapseKind::ChallengeProof, 30_000_000).is_some());
}

#[test]
fn one_address_has_its_share_of_what_is_not_verified() {
    let (mut bench, mut alice) = alice_with(&["w1"]);
    let mut taken = 0;
    loop {
        let mut claimed = arrived(&bench, &mut alice, SynapseKind::ChallengeProof);
        claimed.unverified = Some([198, 51, 100, 7].into());
        if !bench.validator.axon.bulk.has_room(&claimed, 100_000) {
            break;
        }
        bench.validator.axon.bulk.keep(claimed, 100_000);
        taken += 1;
    }
    assert_eq!(taken, 64);
    let mut other = arrived(&bench, &mut alice, SynapseKind::ChallengeProof);
    other.unverified = Some([198, 51, 100, 8].into());
    assert!(bench.validator.axon.bulk.has_room(&other, 100_000));
}

#[test]
fn a_wrong_proof_fails_with_the_row_that_shows_it() {
    let (mut bench, mut alice) = alice_with(&["w1"]);
    next_round(&mut bench, &mut alice, &["w1"]);
    let job = alice.poll(&mut bench, None).remove(0);
    let rows = asked(alice.commit(&mut bench, &job));
    let mut proof = job.proof(&rows);
    proof.merkle_proofs[0].leaf_index += 1;
    let data = ProofData::new(job.id.clone(), vec![proof]);
    alice.say(&mut bench, SynapseKind::ChallengeProof, &json::text(&data)).plain();
    bench.seconds(1);
    assert!(bench.stored_ends()[0].starts_with(r#"Failed("proof of leaf"#), "{:?}", bench.stored_ends());
}

#[test]
fn a_proof_of_other_rows_or_another_count_is_no_proof() {
    let (mut bench, mut alice) = alice_with(&["w1"]);
    next_round(&mut bench, &mut alice, &["w1"]);
    let job = alice.poll(&mut bench, None).remove(0);
    let rows = asked(alice.commit(&mut bench, &job));
    let error = alice.prove(&mut bench, &job, &rows[1..]).error();
    assert!(error.contains("Merkle proofs for"), "{error}");
    assert_eq!((bench.ends().failed, bench.ends().verified), (1, 0));
    assert_eq!(bench.counted(Metric::Faults, &["bad_proof"]), Some(1.0));
    assert_eq!(bench.counted(Metric::ChallengesEnded, &["failed", "proof"]), Some(1.0));
}

#[test]
fn a_commitment_for_another_device_ends_the_challenge() {
    let (mut bench, mut alice) = alice_with(&["w1"]);
    next_round(&mut bench, &mut alice, &["w1"]);
    let job = alice.poll(&mut bench, None).remove(0);
    let gpu = Commitment { uuid: "GPU-1".into(), ..Commitment::cpu(job.root()) };
    let data = CommitmentData::new(job.id.clone(), job.worker.clone(), vec![gpu]);
    let error = alice.say(&mut bench, SynapseKind::Challenge, &json::text(&data)).error();
    assert!(error.contains("unusable commitment"), "{error}");
    assert_eq!(bench.ends().failed, 1);
}

#[test]
fn a_full_queue_of_proofs_is_nobodys_fault() {
    let text = "
netuid: 128
validation: {proof_queue_max_size: 1, cpu: {matrix_size: 100, size_variance: 0.0, verification: {row_verification_count: 5}}}
";
    let mut alice = Miner::new(1);
    let mut bench = Bench::start(keys(200), text, &[&alice.keys], Snapshot::default());
    let workers = ["w1", "w2", "w3"];
    alice.handshake(&mut bench).unwrap();
    alice.heartbeat(&mut bench, &workers);
    next_round(&mut bench, &mut alice, &workers);
    bench.hold_verdicts = true;
    let jobs = alice.poll(&mut bench, None);
    for job in &jobs[..2] {
        alice.work(&mut bench, job);
    }
    let rows = asked(alice.commit(&mut bench, &jobs[2]));
    assert!(alice.prove(&mut bench, &jobs[2], &rows).error().contains("is void"));
    assert_eq!((bench.ends().void, bench.ends().failed), (1, 0));
}

#[test]
fn another_miner_cannot_touch_a_challenge() {
    let (mut bench, mut alice) = alice_with(&["w1"]);
    let mut bob = Miner::new(2);
    bench.graph.neurons.push(crate::machine::contract::chain::Neuron {
        uid: crate::units::Uid(2),
        hotkey: bob.hotkey().clone(),
        ..bench.graph.neurons[1].clone()
    });
    next_round(&mut bench, &mut alice, &["w1"]);
    bob.handshake(&mut bench).unwrap();
    let job = alice.poll(&mut bench, None).remove(0);
    assert_eq!(bob.poll(&mut bench, None).len(), 0);
    assert_eq!(bob.commit(&mut bench, &job).error(), format!("Challenge {} not found or not accessible", job.id));
    let rows = asked(alice.commit(&mut bench, &job));
    assert_eq!(bob.prove(&mut bench, &job, &rows).error(), format!("Challenge {} not found", job.id));
    alice.prove(&mut bench, &job, &rows).plain();
    assert_eq!(bench.ends().verified, 1);
    let counts = ["inaccessible", "unknown_challenge", "bad_proof"].map(|name| bench.counted(Metric::Faults, &[name]));
    assert_eq!(counts, [Some(1.0), Some(1.0), None]);
}

#[test]
fn what_an_earlier_process_left_open_is_void() {
    let row = ChallengeRow {
        id: ChallengeId::new("old"),
        target: WorkerKey::new(&Hotkey::label("alice"), &WorkerId::new("w1")),
        work: Work::CpuMatrix { n: 100, iterations: 1 },
        seed: "00".repeat(16),
        round_id: "round_1".into(),
        created: Wall::from_secs(1),
    };
    let snapshot = Snapshot { open_challenges: vec![row], ..Snapshot::default() };
    let mut bench = Bench::start(keys(200), super::bench::CONFIG, &[], snapshot);
    bench.seconds(1);
    assert_eq!(bench.stored_ends(), [r#"Void("validator restarted")"#]);
}

#[test]
fn a_heartbeat_is_answered_when_it_is_durable() {
    let (mut bench, mut alice) = alice_with(&[]);
    bench.hold_store = true;
    let text = r#"{"hotkey":"x","timestamp":1,"workers":[]}"#;
    let package = alice.session.as_mut().unwrap().seal(SynapseKind::Heartbeat, text).unwrap();
    let request = alice.call(&bench, SynapseKind::Heartbeat, &package);
    assert!(bench.request_from("192.0.2.1", request).is_none(), "not durable yet");
    let batch = bench.batches.pop_front().unwrap();
    bench.hold_store = false;
    bench.input(Input::Event(Event::Store(crate::machine::contract::store::StoreReply::Committed { batch })));
    let (_, response) = bench.answers.pop_front().expect("now it is");
    assert!(alice.understand(SynapseKind::Heartbeat, response).plain().contains("Processed heartbeat for 0 workers"));
}

#[test]
fn a_full_disk_refuses_heartbeats_and_loses_no_verdict() {
    let (mut bench, mut alice) = alice_with(&["w1"]);
    next_round(&mut bench, &mut alice, &["w1"]);
    let job = alice.poll(&mut bench, None).remove(0);
    bench.store_fault = Some(StoreFault::Full("disk".into()));
    assert_eq!(alice.heartbeat(&mut bench, &["w1"]).error_code, 1004);
    assert_eq!(bench.counted(Metric::StoreFailures, &["full"]), Some(1.0));
    assert_eq!(bench.counted(Metric::Refusals, &["1004", "not_stored"]), Some(1.0));
    alice.work(&mut bench, &job);
    bench.seconds(20);
    assert_eq!(bench.stored_ends(), [""; 0]);
    bench.store_fault = None;
    bench.seconds(5);
    assert_eq!(bench.stored_ends(), ["Verified { success_count: 1, ops: 2000000.0, note: None, passed: [\"-1\"] }"]);
    let hardware = bench.written.iter().filter(|write| matches!(write, Write::Heartbeat(_))).count();
    assert!(alice.heartbeat(&mut bench, &["w1"]).error_code == 0);
    let Some(Write::Heartbeat(last)) = bench.written.last() else { panic!("a heartbeat is written") };
    assert!(hardware > 0 && last.workers[0].hardware.is_some(), "what the full disk lost is written again");
}

#[test]
fn a_stop_writes_down_what_was_accepted_and_ends() {
    let (mut bench, mut alice) = alice_with(&["w1"]);
    next_round(&mut bench, &mut alice, &["w1"]);
    let job = alice.poll(&mut bench, None).remove(0);
    bench.hold_store = true;
    asked(alice.commit(&mut bench, &job));
    bench.input(Input::Stop);
    assert_eq!(bench.exit, None);
    bench.hold_store = false;
    while let Some(batch) = bench.batches.pop_front() {
        bench.input(Input::Event(Event::Store(crate::machine::contract::store::StoreReply::Committed { batch })));
    }
    assert_eq!(bench.exit, Some(Exit::Done));
    assert!(bench.written.iter().any(|write| matches!(write, Write::ChallengeCommitted { .. })));
}
