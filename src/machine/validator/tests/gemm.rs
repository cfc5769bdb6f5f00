//! The life of gemm_i8 challenges: honest workers, broken ones, and such that show something else than they were asked.

use super::bench::{Back, Bench, Job, Miner, keys};
use crate::{
    compute::gemm_i8::{self, Answer, KeyPrefix, Spec},
    machine::contract::store::{Asked, Snapshot, Write},
    metrics::Metric,
    units::WorkerId,
    wire::{
        json,
        messages::{
            self, ChallengeSpec, Commitment, CommitmentData, ProofData, ProofRequests, Raw, WorkFailure,
            gemm_i8::{GEMM_I8, GemmI8Data, GemmProof, Sample},
        },
        synapse::SynapseKind,
    },
};

/// Small and fast.
const CONFIG: &str = "
netuid: 128
scoring: {policy: throughput}
validation:
  challenge_type: auto
  cpu: {matrix_size: 100, size_variance: 0.0, verification: {row_verification_count: 5}}
  gemm_i8: {cpu: {matrix_size: 256, rounds: 2}, gpu: {matrix_size: 256, rounds: 1}, samples: 16}
";

/// A worker that offers gemm_i8, with these GPUs.
pub fn offering(worker: &str, gpus: &[&str]) -> String {
    let gpus: Vec<String> = gpus.iter().map(|uuid| format!(r#"{{"uuid":"{uuid}","name":"NVIDIA H200"}}"#)).collect();
    let info = format!(r#"{{"cpu_count":4,"gpu_plugin":[{}]}}"#, gpus.join(","));
    let can = r#"["cpu_matrix","gemm_i8"]"#;
    format!(r#"{{"worker_id":"{worker}","status":"online","capabilities":{can},"system_info":{info}}}"#)
}

/// A heartbeat of a miner that passes gemm_i8 on.
pub fn beat(bench: &mut Bench, miner: &mut Miner, workers: &[String]) {
    let head = r#"{"hotkey":"x","timestamp":1,"miner_features":["gemm_i8"]"#;
    let text = format!(r#"{head},"workers":[{}]}}"#, workers.join(","));
    let answer: messages::HeartbeatResponse =
        json::parse(&miner.say(bench, SynapseKind::Heartbeat, &text).plain()).unwrap();
    assert_eq!(answer.error_code, 0);
}

/// A validator with this configuration, and alice with a session.
pub fn alice(config: &str) -> (Bench, Miner) {
    let mut alice = Miner::new(1);
    let mut bench = Bench::start(keys(200), config, &[&alice.keys], Snapshot::default());
    alice.handshake(&mut bench).unwrap();
    (bench, alice)
}

/// Waits for the next round; heartbeats go on meanwhile.
pub fn next_round(bench: &mut Bench, miner: &mut Miner, workers: &[String]) {
    for _ in 0..4 {
        beat(bench, miner, workers);
        bench.seconds(60);
    }
}

/// The first challenge of alice's only worker, which has these GPUs.
fn challenged(gpus: &[&str]) -> (Bench, Miner, Task) {
    let (mut bench, mut alice) = alice(CONFIG);
    next_round(&mut bench, &mut alice, &[offering("w1", gpus)]);
    let task = Task::new(&alice.tasks(&mut bench, None)[0]);
    (bench, alice, task)
}

/// A challenge in the hands of an honest worker, who has computed it.
struct Task {
    data: GemmI8Data,
    answers: Vec<Answer>,
}

impl Task {
    fn new(spec: &ChallengeSpec) -> Task {
        assert_eq!(spec.challenge_type, GEMM_I8);
        let data = GemmI8Data::read(&spec.data).unwrap();
        assert_eq!((&data.challenge_id, &data.worker_id), (&spec.challenge_id, &spec.target_worker_id));
        let answers = data.devices.iter().map(|device| answer(&data, device)).collect();
        Task { data, answers }
    }

    fn commitments(&self) -> Vec<Commitment> {
        self.answers.iter().map(|answer| Commitment::gemm_i8(answer.prefix().device(), answer.root())).collect()
    }

    fn commit(&self, bench: &mut Bench, miner: &mut Miner) -> Back {
        commit(bench, miner, &self.data, self.commitments())
    }

    /// What the devices show for these samples.
    fn proofs(&self, asked: &[(String, Vec<Sample>)]) -> Vec<GemmProof> {
        self.answers.iter().zip(asked).map(|(answer, (_, samples))| gemm_i8::open(answer, samples).unwrap()).collect()
    }

    fn prove(&self, bench: &mut Bench, miner: &mut Miner, proofs: &[impl serde::Serialize]) -> Back {
        let data = ProofData::new(self.data.challenge_id.clone(), Raw::of(&proofs).unwrap());
        miner.say(bench, SynapseKind::ChallengeProof, &json::text(&data))
    }
}

fn answer(data: &GemmI8Data, device: &str) -> Answer {
    let spec = Spec::new(data.matrix_size, data.rounds).unwrap();
    let prefix = KeyPrefix::new(&data.challenge_id, &data.seed, &data.miner_hotkey, &data.worker_id, device);
    gemm_i8::compute(spec, prefix).unwrap()
}

fn commit(bench: &mut Bench, miner: &mut Miner, data: &GemmI8Data, commitments: Vec<Commitment>) -> Back {
    let data = CommitmentData::new(data.challenge_id.clone(), data.worker_id.clone(), commitments);
    miner.say(bench, SynapseKind::Challenge, &json::text(&data))
}

/// By device, the samples that an answer asks for.
fn asked(back: Back) -> Vec<(String, Vec<Sample>)> {
    let requests: ProofRequests = match back.read() {
        messages::Answer::Given(requests) => requests,
        messages::Answer::Refused(error) => panic!("{error}"),
    };
    assert!(requests.proof_requests.iter().all(|request| request.rows.is_empty() && request.coordinates.is_empty()));
    requests.proof_requests.into_iter().map(|request| (request.uuid, request.samples)).collect()
}

/// The only end that the store was told.
fn the_end(bench: &mut Bench) -> String {
    bench.seconds(1);
    let ends = bench.stored_ends();
    assert_eq!(ends.len(), 1, "{ends:?}");
    ends[0].clone()
}

#[test]
fn each_worker_gets_the_strongest_challenge_that_it_offers() {
    let (mut bench, mut alice) = alice(CONFIG);
    let old = r#"{"worker_id":"w2","status":"online","capabilities":["cpu_matrix"]}"#.to_owned();
    next_round(&mut bench, &mut alice, &[offering("w1", &[]), old]);
    let tasks = alice.tasks(&mut bench, None);
    let kinds: Vec<_> = tasks.iter().map(|task| (task.target_worker_id.as_str(), &*task.challenge_type)).collect();
    assert_eq!(kinds, [("w1", "gemm_i8"), ("w2", "cpu_matrix")]);
    let task = Task::new(&tasks[0]);
    let asked = asked(task.commit(&mut bench, &mut alice));
    task.prove(&mut bench, &mut alice, &task.proofs(&asked)).plain();
    alice.work(&mut bench, &Job::new(&tasks[1]));
    bench.seconds(1);
    assert_eq!(bench.ends().verified, 2, "{:?}", bench.stored_ends());
    for kind in ["gemm_i8", "cpu_matrix"] {
        assert_eq!(bench.counted(Metric::ChallengesCreated, &[kind]), Some(1.0));
    }
}

#[test]
fn a_miner_that_says_nothing_of_gemm_i8_gets_what_it_knows() {
    let (mut bench, mut alice) = alice(CONFIG);
    let text = format!(r#"{{"hotkey":"x","timestamp":1,"workers":[{}]}}"#, offering("w1", &[]));
    for _ in 0..4 {
        alice.say(&mut bench, SynapseKind::Heartbeat, &text).plain();
        bench.seconds(60);
    }
    assert_eq!(alice.tasks(&mut bench, None)[0].challenge_type, "cpu_matrix");
}

#[test]
fn all_gpus_of_a_worker_are_challenged_at_once_and_their_work_adds_up() {
    let (mut bench, mut alice, task) = challenged(&["GPU-1", "GPU-2"]);
    assert_eq!((&task.data.devices[..], task.data.rounds), (&["GPU-1".to_owned(), "GPU-2".to_owned()][..], 1));
    let asked = asked(task.commit(&mut bench, &mut alice));
    assert_eq!((asked[0].1.len(), asked[1].1.len()), (16, 16));
    assert_ne!(asked[0].1, asked[1].1, "each device has samples of its own");
    task.prove(&mut bench, &mut alice, &task.proofs(&asked)).plain();
    let ops = 2.0 * 2.0 * 256_f64.powi(3);
    assert_eq!(
        the_end(&mut bench),
        format!("Verified {{ success_count: 2, ops: {ops:?}, note: None, passed: {:?} }}", task.data.devices)
    );
    let committed = bench.written.iter().find_map(|write| match write {
        Write::ChallengeCommitted { commitments, asked, .. } => Some((commitments.clone(), asked.clone())),
        _ => None,
    });
    let root = |at: usize| (task.data.devices[at].clone(), hex::encode(task.answers[at].root()));
    assert_eq!(committed, Some((vec![root(0), root(1)], Asked::Samples(asked))), "kept before it is asked");
}

#[test]
fn a_broken_gpu_costs_its_own_work_and_not_that_of_the_others() {
    let (mut bench, mut alice, task) = challenged(&["GPU-1", "GPU-2"]);
    let asked = asked(task.commit(&mut bench, &mut alice));
    let mut proofs = task.proofs(&asked);
    proofs[1].openings[3].values[7] ^= 1;
    task.prove(&mut bench, &mut alice, &proofs).plain();
    let end = the_end(&mut bench);
    assert!(
        end.starts_with("Verified { success_count: 1, ops: 33554432.0, note: Some(\"device GPU-2: round 0 row"),
        "{end}"
    );
}

#[test]
fn a_device_whose_proof_cannot_be_read_fails_with_that_reason() {
    let (mut bench, mut alice, task) = challenged(&["GPU-1", "GPU-2"]);
    let asked = asked(task.commit(&mut bench, &mut alice));
    let proofs = json::text(&task.proofs(&asked)).replacen("\"tops\"", "\"note\":1,\"tops\"", 1);
    let proofs: Vec<Raw> = json::parse(&proofs).unwrap();
    task.prove(&mut bench, &mut alice, &proofs).plain();
    let end = the_end(&mut bench);
    assert!(end.contains("success_count: 1") && end.contains("device GPU-1: no gemm_i8 proof: unknown field"), "{end}");
}

#[test]
fn a_worker_all_of_whose_devices_fail_has_failed() {
    let (mut bench, mut alice, task) = challenged(&["GPU-1", "GPU-2"]);
    let asked = asked(task.commit(&mut bench, &mut alice));
    let mut proofs = task.proofs(&asked);
    proofs.iter_mut().for_each(|proof| proof.tops[0][0] ^= 1);
    task.prove(&mut bench, &mut alice, &proofs).plain();
    let end = the_end(&mut bench);
    assert!(end.starts_with("Failed(\"device GPU-1: the tops lead to root"), "{end}");
    assert!(end.contains("; device GPU-2: the tops lead to root"), "{end}");
}

#[test]
fn a_commitment_is_that_of_the_listed_devices_and_of_no_other() {
    type Change = fn(&mut Vec<Commitment>);
    let cases: [(Change, &str); 8] = [
        (|list| list[0].uuid = "GPU-9".into(), "commitment of device GPU-9, which was not asked"),
        (|list| list[1].uuid = "GPU-1".into(), "commitment of device GPU-1 twice"),
        (|list| drop(list.pop()), "no commitment of device GPU-2"),
        (|list| list.push(Commitment::cpu("ab".into())), "commitment of device -1, which was not asked"),
        (|list| list[0].sig_ver = 0, "sig_ver 0 of device GPU-1, expected 2"),
        (|list| list[1].merkle_root.truncate(62), "merkle_root of device GPU-2 has 62 hex digits, expected 64"),
        (|list| *list = vec![Commitment::cpu("ab".into())], "commitment of device -1, which was not asked"),
        (|list| list[0].uuid = "cpu".into(), "commitment of device cpu, which was not asked"),
    ];
    for (change, reason) in cases {
        let (mut bench, mut alice, task) = challenged(&["GPU-1", "GPU-2"]);
        let mut commitments = task.commitments();
        change(&mut commitments);
        let error = commit(&mut bench, &mut alice, &task.data, commitments).error();
        assert_eq!(error, format!("Challenge {} failed: unusable commitment: {reason}", task.data.challenge_id));
        assert_eq!(the_end(&mut bench), format!("Failed(\"unusable commitment: {reason}\")"));
        assert_eq!(
            task.commit(&mut bench, &mut alice).error(),
            format!("Challenge {} already processed", task.data.challenge_id)
        );
    }
}

#[test]
fn the_order_of_commitments_and_the_case_of_a_root_do_not_matter() {
    let (mut bench, mut alice, task) = challenged(&["GPU-1", "GPU-2"]);
    let mut commitments = task.commitments();
    commitments.reverse();
    commitments[0].merkle_root.make_ascii_uppercase();
    let asked = asked(commit(&mut bench, &mut alice, &task.data, commitments));
    assert_eq!(asked.iter().map(|(uuid, _)| uuid.as_str()).collect::<Vec<_>>(), ["GPU-1", "GPU-2"]);
    let mut proofs = task.proofs(&asked);
    proofs.reverse();
    task.prove(&mut bench, &mut alice, &proofs).plain();
    bench.seconds(1);
    assert_eq!(bench.ends().verified, 1, "{:?}", bench.stored_ends());
}

#[test]
fn a_commitment_that_is_late_repeated_or_anothers_is_named() {
    let (mut bench, mut alice, task) = challenged(&[]);
    let other = GemmI8Data { worker_id: WorkerId::new("w2"), ..task.data.clone() };
    let error = commit(&mut bench, &mut alice, &other, task.commitments()).error();
    assert_eq!(error, "Worker ID mismatch: expected w1, got w2");
    asked(task.commit(&mut bench, &mut alice));
    let error = task.commit(&mut bench, &mut alice).error();
    assert_eq!(error, format!("Challenge {} already processed", task.data.challenge_id));
    let (mut bench, mut alice, task) = challenged(&[]);
    bench.wait(std::time::Duration::from_millis(60_500));
    let error = task.commit(&mut bench, &mut alice).error();
    assert!(error.contains("expired: its commitment came 5"), "{error}");
    assert!(the_end(&mut bench).starts_with("Failed(\"commitment 5"));
}

#[test]
fn the_proofs_are_those_of_the_committed_devices() {
    type Change = fn(&mut Vec<GemmProof>);
    let cases: [(Change, &str); 4] = [
        (|list| drop(list.pop()), "no proof of device GPU-2"),
        (|list| list[1].uuid = "GPU-1".into(), "proof of device GPU-1 twice"),
        (|list| list[0].uuid = "GPU-9".into(), "proof of device GPU-9, which was not asked"),
        (
            |list| list.push(GemmProof { uuid: "cpu".into(), ..list[0].clone() }),
            "proof of device cpu, which was not asked",
        ),
    ];
    for (change, reason) in cases {
        let (mut bench, mut alice, task) = challenged(&["GPU-1", "GPU-2"]);
        let asked = asked(task.commit(&mut bench, &mut alice));
        let mut proofs = task.proofs(&asked);
        change(&mut proofs);
        let error = task.prove(&mut bench, &mut alice, &proofs).error();
        assert_eq!(error, format!("Challenge {} failed: {reason}", task.data.challenge_id));
        assert_eq!(the_end(&mut bench), format!("Failed(\"{reason}\")"));
    }
}

#[test]
fn a_proof_of_another_kind_is_none() {
    let (mut bench, mut alice, task) = challenged(&[]);
    asked(task.commit(&mut bench, &mut alice));
    let text = format!(
        r#"{{"challenge_id":"{}","proofs":[{{"uuid":"-1","row_hashes":["ab"],"merkle_proofs":[]}}]}}"#,
        task.data.challenge_id
    );
    let error = alice.say(&mut bench, SynapseKind::ChallengeProof, &text).error();
    assert_eq!(error, format!("Challenge {} failed: a proof of cpu_matrix, not of gemm_i8", task.data.challenge_id));
    assert_eq!(bench.ends().failed, 1);

    let (mut bench, mut alice) = super::gemm::alice(&CONFIG.replace("auto", "cpu_matrix"));
    next_round(&mut bench, &mut alice, &[offering("w1", &[])]);
    let job = alice.poll(&mut bench, None).remove(0);
    let rows = super::bench::asked(alice.commit(&mut bench, &job));
    let proof = r#"{"uuid":"cpu","tops":[],"openings":[]}"#;
    let text = format!(r#"{{"challenge_id":"{}","proofs":[{proof}]}}"#, job.id);
    let error = alice.say(&mut bench, SynapseKind::ChallengeProof, &text).error();
    assert_eq!(error, format!("Challenge {} asks for a proof of cpu_matrix, got one of gemm_i8", job.id));
    alice.prove(&mut bench, &job, &rows).plain();
    bench.seconds(1);
    assert_eq!(bench.ends().verified, 1, "the rules of cpu_matrix are as they were");
}

#[test]
fn a_replayed_proof_shows_nothing_of_another_challenge() {
    let (mut bench, mut alice, first) = challenged(&[]);
    let asked_first = asked(first.commit(&mut bench, &mut alice));
    let proofs = first.proofs(&asked_first);
    first.prove(&mut bench, &mut alice, &proofs).plain();
    next_round(&mut bench, &mut alice, &[offering("w1", &[])]);
    let data = GemmI8Data::read(&alice.tasks(&mut bench, None)[0].data).unwrap();
    asked(commit(&mut bench, &mut alice, &data, first.commitments()));
    let replayed = ProofData::new(data.challenge_id.clone(), Raw::of(&proofs).unwrap());
    alice.say(&mut bench, SynapseKind::ChallengeProof, &json::text(&replayed)).plain();
    bench.seconds(1);
    let ends = bench.stored_ends();
    assert!(ends[0].starts_with("Verified") && ends[1].starts_with("Failed(\"device cpu: "), "{ends:?}");
}

fn give_up(bench: &mut Bench, miner: &mut Miner, data: &GemmI8Data, reason: &str) -> Back {
    let failure = WorkFailure { code: 1005, reason: reason.into() };
    let text = json::text(&CommitmentData::failed(data.challenge_id.clone(), data.worker_id.clone(), failure));
    miner.say(bench, SynapseKind::Challenge, &text)
}

#[test]
fn a_worker_that_cannot_says_so_and_its_words_are_kept_short() {
    let (mut bench, mut alice, task) = challenged(&[]);
    let long = format!("needs 9 GiB,\nhas 2 GiB{}", "!".repeat(1000));
    assert!(asked(give_up(&mut bench, &mut alice, &task.data, &long)).is_empty());
    let end = the_end(&mut bench);
    assert!(end.starts_with("Failed(\"worker: needs 9 GiB,has 2 GiB!!!") && end.len() < 230, "{end}");
    assert_eq!(bench.counted(Metric::ChallengesEnded, &["failed", "worker"]), Some(1.0));
    let error = give_up(&mut bench, &mut alice, &task.data, "again").error();
    assert_eq!(error, format!("Challenge {} already processed", task.data.challenge_id));
}

#[test]
fn only_its_own_miner_can_give_a_challenge_up_and_only_before_the_commitment() {
    let (mut bench, mut alice) = alice(CONFIG);
    let mut bob = Miner::new(2);
    bench.graph.neurons.push(crate::machine::contract::chain::Neuron {
        uid: crate::units::Uid(2),
        hotkey: bob.hotkey().clone(),
        ..bench.graph.neurons[1].clone()
    });
    next_round(&mut bench, &mut alice, &[offering("w1", &[])]);
    let task = Task::new(&alice.tasks(&mut bench, None)[0]);
    bob.handshake(&mut bench).unwrap();
    let error = give_up(&mut bench, &mut bob, &task.data, "no").error();
    assert_eq!(error, format!("Challenge {} not found or not accessible", task.data.challenge_id));
    let other = GemmI8Data { worker_id: WorkerId::new("w2"), ..task.data.clone() };
    assert_eq!(give_up(&mut bench, &mut alice, &other, "no").error(), "Worker ID mismatch: expected w1, got w2");
    let asked = asked(task.commit(&mut bench, &mut alice));
    let error = give_up(&mut bench, &mut alice, &task.data, "changed my mind").error();
    assert_eq!(error, format!("Challenge {} already processed", task.data.challenge_id));
    task.prove(&mut bench, &mut alice, &task.proofs(&asked)).plain();
    bench.seconds(1);
    assert_eq!(bench.ends().verified, 1, "{:?}", bench.stored_ends());
}

#[test]
fn nobody_gives_up_a_challenge_of_the_running_network() {
    let (mut bench, mut alice) = alice(&CONFIG.replace("auto", "cpu_matrix"));
    next_round(&mut bench, &mut alice, &[offering("w1", &[])]);
    let job = alice.poll(&mut bench, None).remove(0);
    let failure = WorkFailure { code: 1005, reason: "no".into() };
    let text = json::text(&CommitmentData::failed(job.id.clone(), job.worker.clone(), failure));
    let error = alice.say(&mut bench, SynapseKind::Challenge, &text).error();
    assert_eq!(error, "Missing challenge_id, worker_id, or commitments");
    alice.work(&mut bench, &job);
    bench.seconds(1);
    assert_eq!(bench.ends().verified, 1);
}

#[test]
fn a_full_queue_voids_gemm_i8_too() {
    let text = CONFIG.replace("challenge_type", "proof_queue_max_size: 1\n  challenge_type");
    let (mut bench, mut alice) = alice(&text);
    let workers = ["w1", "w2", "w3"].map(|name| offering(name, &[]));
    next_round(&mut bench, &mut alice, &workers);
    bench.hold_verdicts = true;
    let tasks: Vec<_> = alice.tasks(&mut bench, None).iter().map(Task::new).collect();
    let mut backs: Vec<_> = tasks
        .iter()
        .map(|task| {
            let asked = asked(task.commit(&mut bench, &mut alice));
            task.prove(&mut bench, &mut alice, &task.proofs(&asked))
        })
        .collect();
    let error = backs.pop().unwrap().error();
    assert!(error.contains("is void: too many proofs wait"), "{error}");
    assert_eq!((bench.ends().void, bench.ends().failed), (1, 0));
    assert!(bench.counted(Metric::QueueDepth, &["proof_bytes"]).unwrap() > 16_000.0);
}
