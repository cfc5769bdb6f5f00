//! GPUs: an executor that comes, computes, dies in the middle of it, and comes back.

use super::*;
use crate::{
    compute::gemm_i8::KeyPrefix,
    machine::contract::{
        gpu::{ExecutorGpu, ExecutorInfo, ExecutorReply, GpuAnswer, GpuKept, GpuOutcome, GpuReply, GpuTask},
        inventory::{Card, Nvml, NvmlReading, Readings},
    },
    units::ChallengeId,
    wire::messages::{
        Commitment, DeviceRequest,
        gemm_i8::{GemmProof, Sample},
    },
};

const C1: &str = "00000000-0000-4000-8000-000000000001";
const ME: &str = "00000000000000a1";
const GPUS: [&str; 2] = ["GPU-fa4e0000-0000-0000-0000-000000000000", "GPU-fa4e0000-0000-0000-0000-000000000001"];

impl Scene {
    /// The executor answers, with these GPUs.
    pub(super) fn executor_is_up(&mut self, gemm_i8: bool, uuids: &[&str]) {
        let gpu = |uuid: &&str| ExecutorGpu {
            uuid: (*uuid).into(),
            name: "NVIDIA H200".into(),
            told: json!({"uuid": uuid, "name": "NVIDIA H200"}).as_object().expect("an object").clone(),
        };
        let info = ExecutorInfo { gemm_i8, gpus: uuids.iter().map(gpu).collect(), note: None };
        self.give(Input::Event(Event::Executor(ExecutorReply::Up(info))));
    }

    fn executor_dies(&mut self) {
        let why = "the executor has ended (signal: 9)".into();
        self.give(Input::Event(Event::Executor(ExecutorReply::Down(why))));
    }

    fn gpus_finish(&mut self, outcome: GpuOutcome) {
        let job = self.gpu_jobs.remove(0).job;
        self.give(Input::Event(Event::Gpu(GpuReply { job, outcome })));
    }

    /// All devices finish what they were given.
    fn gpus_compute(&mut self) {
        let GpuTask::GemmI8 { spec, prefixes } = self.gpu_jobs[0].task.clone() else { panic!("another kind") };
        let answers = prefixes.into_iter().map(|prefix| gemm_i8::compute(spec, prefix).expect("an answer"));
        self.gpu_answers = answers.collect();
        let commitment = |answer: &gemm_i8::Answer| Commitment::gemm_i8(answer.prefix().device(), answer.root());
        let commitments = self.gpu_answers.iter().map(commitment).collect();
        let answer = GpuAnswer { commitments, kept: GpuKept::GemmI8(spec) };
        let split = Split { generate: Duration::from_millis(1), ..Split::default() };
        self.gpus_finish(GpuOutcome::Computed { answer, took: Duration::from_millis(9), split });
    }

    pub(super) fn gpu_proofs(&self, requests: &[DeviceRequest]) -> Vec<GemmProof> {
        let answer = |uuid: &str| self.gpu_answers.iter().find(|answer| answer.prefix().device() == uuid);
        let open = |request: &DeviceRequest| {
            gemm_i8::open(answer(&request.uuid).expect("a device"), &request.samples).expect("samples")
        };
        requests.iter().map(open).collect()
    }

    fn assign_gemm(&mut self, devices: &[&str]) {
        let data = json!({"challenge_type": "gemm_i8", "version": 2, "challenge_id": C1, "worker_id": ME,
            "miner_hotkey": "5A", "round_id": "round_1", "seed": "07".repeat(32), "matrix_size": 256, "rounds": 2,
            "devices": devices});
        let data = json!({"task_id": C1, "task_type": "gemm_i8", "challenge_id": C1, "data": data, "timeout": 60,
            "validator_hotkey": VALIDATOR});
        self.miner_says(&json!({"type": "task_assignment", "data": data}));
    }

    /// (GPUs, capabilities) of the last heartbeat.
    fn told(&mut self) -> (usize, Vec<String>) {
        let beat = self.said("heartbeat").pop().expect("a heartbeat");
        let gpus = beat["data"]["system_info"]["gpu_plugin"].as_array().map_or(0, Vec::len);
        assert_eq!(beat["data"]["gpu_info"]["gpu_count"], json!(gpus));
        (gpus, serde_json::from_value(beat["data"]["capabilities"].clone()).expect("texts"))
    }
}

fn on_gpus() -> Scene {
    let mut scene = Scene::registered();
    scene.executor_is_up(true, &GPUS);
    scene
}

#[test]
fn a_challenge_of_gpus_is_computed_on_all_at_once_and_opened_by_them() {
    let mut scene = on_gpus();
    assert_eq!(scene.told(), (2, vec!["cpu_matrix".to_owned(), "gemm_i8".to_owned()]), "told at once");
    scene.assign_gemm(&GPUS);
    assert_eq!((scene.jobs.len(), scene.gpu_jobs.len()), (0, 1));
    scene.gpus_compute();
    let result = scene.only("task_result");
    let commitments: Vec<Commitment> =
        serde_json::from_value(result["data"]["result"]["commitments"].clone()).expect("commitments");
    assert_eq!(commitments.iter().map(|one| one.uuid.as_str()).collect::<Vec<_>>(), GPUS);
    assert_eq!(result["data"]["timestamps"]["worker_generate_ms"], json!(1));

    let samples = [Sample { round: 1, row: 255, chunk: 0 }, Sample { round: 0, row: 3, chunk: 0 }];
    let requests = GPUS.map(|uuid| json!({"uuid": uuid, "samples": samples}));
    let data = json!({"validator_hotkey": VALIDATOR, "challenge_id": C1, "requests": requests});
    scene.miner_says(&json!({"type": "proof_request", "message_id": "m1", "data": data}));
    scene.open();
    let proof = scene.only("proof_response");
    let proofs: Vec<GemmProof> = serde_json::from_value(proof["data"]["proofs"].clone()).expect("proofs");
    let spec = gemm_i8::Spec::new(256, 2).expect("a size");
    for (commitment, proof) in commitments.iter().zip(&proofs) {
        let prefix = KeyPrefix::new(&ChallengeId::new(C1), &[7; 32], "5A", &WorkerId::new(ME), &commitment.uuid);
        let root = hex::decode(&commitment.merkle_root).expect("hex").try_into().expect("32 bytes");
        assert_eq!(gemm_i8::verify(&spec, &prefix, &root, &samples, proof), Ok(()));
    }
}

#[test]
fn an_executor_that_dies_at_work_fails_the_task_by_name_and_its_gpus_are_absent_at_once() {
    let mut scene = on_gpus();
    scene.assign_gemm(&GPUS[..1]);
    scene.said("heartbeat");
    scene.gpus_finish(GpuOutcome::Failed("the executor ended the connection without an answer".into()));
    let result = scene.only("task_result");
    assert_eq!((&result["data"]["success"], &result["data"]["error_code"]), (&json!(false), &json!(1006)));
    let why = result["data"]["error"].as_str().expect("a reason");
    assert_eq!(why, "the GPUs: the executor ended the connection without an answer");
    scene.executor_dies();
    assert_eq!(scene.told(), (0, vec!["cpu_matrix".to_owned(), "gemm_i8".to_owned()]));
    scene.assign_gemm(&GPUS);
    let refused = scene.only("task_result");
    assert!(refused["data"]["error"].as_str().is_some_and(|why| why.contains("has no GPU now")), "{refused}");

    scene.executor.clear();
    scene.pass(Duration::from_secs(5));
    assert_eq!(scene.executor, [ExecutorRequest::Start], "five seconds at most, the first time");
    scene.executor_is_up(true, &GPUS);
    assert_eq!(scene.told().0, 2);
}

#[test]
fn a_worker_without_a_gpu_serves_with_its_cpu() {
    let mut scene = Scene::registered();
    assert_eq!(scene.executor, [ExecutorRequest::Start]);
    scene.executor_is_up(true, &[]);
    scene.assign_gemm(&["cpu"]);
    scene.compute();
    assert_eq!(scene.only("task_result")["data"]["success"], json!(true));
}

#[test]
fn only_an_executor_that_signs_offers_gpu_matrix() {
    let mut scene = Scene::registered();
    scene.executor_is_up(false, &GPUS);
    assert_eq!(scene.told().1, ["cpu_matrix", "gpu_matrix"]);
    scene.assign_with("t1", "gpu_matrix", 64);
    let GpuTask::GpuMatrix { seed, n, iterations } = scene.gpu_jobs[0].task.clone() else { panic!("another kind") };
    assert_eq!((seed.as_str(), n, iterations), (SEED, 64, 1));
}

#[test]
fn a_task_of_gpus_whose_time_is_over_is_called_off_there() {
    let mut scene = on_gpus();
    scene.assign_gemm(&GPUS);
    scene.pass(Duration::from_secs(60));
    assert_eq!((scene.called_off.len(), scene.gpu_called_off.len()), (0, 1));
}

#[test]
fn switched_off_no_executor_is_started() {
    let scene = Scene::with("gpu: {enable: false}");
    assert!(scene.executor.is_empty());
}

#[test]
fn a_worker_that_stops_leaves_the_executor() {
    let mut scene = on_gpus();
    scene.give(Input::Stop);
    assert!(scene.left && scene.exit == Some(Exit::Done));
}

/// NVML reads these cards; the first has heard of these errors.
fn read(uuids: &[&str], xids: &[u64]) -> Inventory {
    let card = |(at, uuid): (usize, &&str)| Card {
        uuid: Some((*uuid).into()),
        readings: Readings { xids: Some(if at == 0 { xids.to_vec() } else { Vec::new() }), ..Readings::default() },
        ..Card::default()
    };
    let cards = uuids.iter().enumerate().map(card).collect();
    Inventory { nvml: Nvml::Read(NvmlReading { cards, ..NvmlReading::default() }), ..Inventory::default() }
}

/// The uuids that this list of the last heartbeat names.
fn named(beat: &Value, list: &str) -> Vec<String> {
    let entries = beat["data"]["system_info"][list].as_array().cloned().unwrap_or_default();
    entries.iter().map(|entry| entry["uuid"].as_str().expect("a uuid").to_owned()).collect()
}

#[test]
fn a_withheld_card_is_in_no_list_and_gets_no_task_until_it_is_better() {
    let mut scene = on_gpus();
    scene.said("heartbeat");
    scene.inventory = read(&GPUS, &[79]);
    scene.pass(Duration::from_secs(61));
    let beat = scene.said("heartbeat").pop().expect("a heartbeat");
    assert_eq!(
        (named(&beat, "gpu_plugin"), named(&beat, "gpu_info")),
        (vec![GPUS[1].into()], vec![GPUS[1].to_owned()])
    );
    assert_eq!((named(&beat, "gpu_health"), &beat["data"]["gpu_info"]["gpu_count"]), (vec![GPUS[0].into()], &json!(1)));
    let why = &beat["data"]["system_info"]["gpu_health"][0]["findings"][0];
    assert_eq!(why["reason"], json!("XID 79: the card has fallen off the bus"));
    let mut page = Page::default();
    scene.worker.observe(&mut page);
    let cards = ["healthy", "noted", "degraded", "withheld"].map(|verdict| page.value(Metric::GpuCards, &[verdict]));
    assert_eq!(cards, [1.0, 0.0, 0.0, 1.0].map(Some));
    scene.assign_gemm(&GPUS);
    assert_eq!(scene.only("task_result")["data"]["success"], json!(false), "one of them is not offered");
    scene.inventory = read(&GPUS, &[]);
    scene.pass(Duration::from_secs(61));
    assert_eq!(scene.told().0, 2);
}

#[test]
fn news_of_a_card_does_not_wait_for_a_heartbeat() {
    let mut scene = on_gpus();
    scene.pass(Duration::from_secs(10));
    scene.said("heartbeat");
    let gpus = read(&GPUS, &[48]);
    scene.give(Input::Event(Event::Probe(ProbeReply { gpus, ..ProbeReply::default() }.into())));
    assert_eq!(scene.told().0, 1, "at once");
}

#[test]
fn with_every_card_withheld_the_cpu_serves() {
    let mut scene = Scene::registered();
    scene.executor_is_up(false, &GPUS[..1]);
    scene
        .give(Input::Event(Event::Probe(ProbeReply { gpus: read(&GPUS[..1], &[64]), ..ProbeReply::default() }.into())));
    assert_eq!(scene.told(), (0, vec!["cpu_matrix".to_owned(), "gemm_i8".to_owned()]), "no gpu_matrix");
    scene.assign_gemm(&["cpu"]);
    scene.compute();
    assert_eq!(scene.only("task_result")["data"]["success"], json!(true));
}

#[test]
fn a_withheld_card_of_an_executor_that_computes_on_all_commits_to_nothing() {
    let mut scene = Scene::registered();
    scene.executor_is_up(false, &GPUS);
    scene.give(Input::Event(Event::Probe(ProbeReply { gpus: read(&GPUS, &[79]), ..ProbeReply::default() }.into())));
    scene.assign_with("t1", "gpu_matrix", 64);
    let commitment = |uuid: &&str| Commitment { uuid: (*uuid).into(), sig_ver: 1, ..Commitment::cpu("ab".repeat(32)) };
    let kept = GpuKept::GpuMatrix { n: 64, trees: std::collections::BTreeMap::new() };
    let answer = GpuAnswer { commitments: GPUS.iter().map(commitment).collect(), kept };
    scene.gpus_finish(GpuOutcome::Computed { answer, took: Duration::from_millis(9), split: Split::default() });
    let result = scene.only("task_result");
    let commitments = result["data"]["result"]["commitments"].as_array().expect("commitments");
    assert_eq!((commitments.len(), &commitments[0]["uuid"]), (1, &json!(GPUS[1])), "{result}");
}

#[test]
fn switched_off_no_card_is_told_of() {
    let mut scene = Scene::with("gpu: {enable: false}");
    scene.inventory = read(&GPUS, &[]);
    scene.miner_answers();
    scene.miner_acknowledges();
    scene.pass(Duration::from_secs(61));
    let beat = scene.said("heartbeat").pop().expect("a heartbeat");
    assert_eq!(named(&beat, "gpu_info"), Vec::<String>::new());
}
