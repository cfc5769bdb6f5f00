//! GPUs of simulated workers, and workers that name one and the same: whatever they do, it earns for one of them at most.
//!
//! The witness holds every calculation against that; here is who is to earn in the end.

use std::time::Duration;

use byteleap::{
    compute::gemm_i8::{self, Answer, KeyPrefix},
    machine::contract::{
        cpu::Split,
        gpu::{
            ExecutorGpu, ExecutorInfo, ExecutorReply, GpuAnswer, GpuKept, GpuOutcome, GpuReply, GpuRequest, GpuTask,
        },
    },
    units::{Mono, WorkerKey},
    wire::messages::{Commitment, DeviceRequest, Raw},
};
use serde_json::json;

use crate::subnet::{Part, Subnet};

/// What all cards here say that they are.
const UUID: &str = "GPU-0";
const MINUTE: Duration = Duration::from_secs(60);

/// A GPU that a worker names, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Card {
    pub named_until: Mono,
    /// From then on no job succeeds.
    pub works_until: Mono,
}

const WORKS: Card = Card { named_until: Mono(u64::MAX), works_until: Mono(u64::MAX) };

/// A card, and what it has computed last.
pub struct Gpu {
    card: Card,
    kept: Vec<Answer>,
}

impl Gpu {
    pub fn new(card: Card) -> Gpu {
        Gpu { card, kept: Vec::new() }
    }

    pub fn executor(&self, now: Mono) -> ExecutorReply {
        if now >= self.card.named_until {
            return ExecutorReply::Down("the card was taken out".into());
        }
        let told = json!({"uuid": UUID, "name": "NVIDIA H200"}).as_object().cloned().unwrap_or_default();
        let gpu = ExecutorGpu { uuid: UUID.into(), name: "NVIDIA H200".into(), told };
        ExecutorReply::Up(ExecutorInfo { gemm_i8: true, gpus: vec![gpu], note: None })
    }

    /// `computed` hears of each product.
    pub fn compute(&mut self, now: Mono, request: GpuRequest, mut computed: impl FnMut(&KeyPrefix)) -> GpuReply {
        let GpuRequest { job, task: GpuTask::GemmI8 { spec, prefixes } } = request else {
            unreachable!("it signs nothing")
        };
        if now >= self.card.works_until {
            return GpuReply { job, outcome: GpuOutcome::Failed("no such card".into()) };
        }
        prefixes.iter().for_each(&mut computed);
        self.kept = prefixes.into_iter().filter_map(|prefix| gemm_i8::compute(spec, prefix)).collect();
        let commitments =
            self.kept.iter().map(|answer| Commitment::gemm_i8(answer.prefix().device(), answer.root())).collect();
        let answer = GpuAnswer { commitments, kept: GpuKept::GemmI8(spec) };
        let outcome = GpuOutcome::Computed { answer, took: Duration::from_millis(1), split: Split::default() };
        GpuReply { job, outcome }
    }

    pub fn open(&self, requests: &[DeviceRequest]) -> Option<Raw> {
        let proof = |request: &DeviceRequest| {
            let answer = self.kept.iter().find(|answer| answer.prefix().device() == request.uuid)?;
            gemm_i8::open(answer, &request.samples).ok()
        };
        Raw::of(&requests.iter().map(proof).collect::<Option<Vec<_>>>()?).ok()
    }
}

fn at(minutes: u32) -> Mono {
    Mono(0) + MINUTE * minutes
}

/// A worker of one miner with each of these cards, one of another with the last.
fn subnet(cards: [Card; 3]) -> Subnet {
    let [first, second, third] = cards.map(|card| Part { card: Some(card), ..Part::HONEST });
    let size = json!({"matrix_size": 256, "rounds": 1});
    Subnet::of(
        1,
        &json!({"gemm_i8": {"cpu": size, "gpu": size, "samples": 16}}),
        vec![vec![first, second], vec![third]],
    )
}

/// Workers of whom a challenge of a GPU counts, and whether there is a quarantine, in the newest calculation.
fn judged(subnet: &Subnet) -> (Vec<WorkerKey>, bool) {
    let witness = subnet.witness.borrow();
    (witness.earns_by_gpu.iter().cloned().collect(), witness.in_quarantine > 0)
}

fn until(subnet: &mut Subnet, minutes: u32) {
    subnet.run(at(minutes), |_| false);
}

#[test]
fn who_only_names_a_gpu_takes_nothing_from_who_proves_it() {
    let claims = Card { works_until: Mono(0), ..WORKS };
    let mut subnet = subnet([claims, WORKS, claims]);
    until(&mut subnet, 8);
    let owner = subnet.worker(0, 1);
    assert_eq!(judged(&subnet), (vec![owner], false));
}

#[test]
fn a_gpu_that_two_prove_earns_for_neither_until_one_is_asked_beside_the_other_in_vain() {
    let claims = Card { works_until: Mono(0), ..WORKS };
    let leaves = Card { named_until: at(10), ..WORKS };
    let mut subnet = subnet([WORKS, claims, leaves]);
    until(&mut subnet, 6);
    assert_eq!(judged(&subnet), (vec![], true));
    subnet.world.crash(0, Duration::from_secs(5));
    until(&mut subnet, 9);
    assert_eq!(judged(&subnet), (vec![], true), "after a restart from the store");
    until(&mut subnet, 13);
    let owner = subnet.worker(0, 0);
    assert_eq!(judged(&subnet), (vec![owner], false));
}

#[test]
fn a_gpu_that_two_workers_of_one_miner_prove_is_his_who_goes_on_proving_it() {
    let fails = Card { works_until: at(5), ..WORKS };
    let claims = Card { works_until: Mono(0), ..WORKS };
    let mut subnet = subnet([WORKS, fails, claims]);
    until(&mut subnet, 4);
    assert_eq!(judged(&subnet), (vec![], true));
    until(&mut subnet, 8);
    let owner = subnet.worker(0, 0);
    assert_eq!(judged(&subnet), (vec![owner], false));
}
