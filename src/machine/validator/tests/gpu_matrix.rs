//! The life of gpu_matrix challenges: whose commitments count, what is asked, and which proofs pass.

use p256::ecdsa::{Signature, SigningKey, signature::Signer};

use super::{
    bench::{Back, Bench, Miner},
    gemm::{alice, beat, next_round},
};
use crate::{
    compute::{
        gpu_matrix::{Device, half, row_hash},
        merkle::Tree,
    },
    units::WorkerId,
    wire::{
        json,
        messages::{
            self, ChallengeData, ChallengeSpec, Commitment, CommitmentData, DeviceProof, MerkleProof, ProofData,
            ProofRequests,
        },
        synapse::SynapseKind,
    },
};

const N: u32 = 24;

fn key() -> SigningKey {
    SigningKey::from_slice(&[7; 32]).unwrap()
}

fn config() -> String {
    let signer = hex::encode(key().verifying_key().to_encoded_point(false).as_bytes());
    format!(
        "netuid: 128
validation:
  challenge_type: gpu_matrix
  gpu: {{matrix_size: {N}, size_variance: 0.0, iterations: 2, trusted_signers: ['{signer}']}}
"
    )
}

fn offering(gpus: &[(&str, &str)]) -> String {
    let gpus: Vec<String> =
        gpus.iter().map(|(uuid, name)| format!(r#"{{"uuid":"{uuid}","name":"NVIDIA {name}"}}"#)).collect();
    let info = format!(r#"{{"cpu_count":4,"gpu_plugin":[{}]}}"#, gpus.join(","));
    let can = r#"["cpu_matrix","gpu_matrix"]"#;
    format!(r#"{{"worker_id":"w1","status":"online","capabilities":{can},"system_info":{info}}}"#)
}

/// One GPU that computed its matrix.
struct Gpu {
    uuid: String,
    values: Vec<Vec<f64>>,
    tree: Tree,
}

impl Gpu {
    fn new(seed: &str, uuid: &str) -> Gpu {
        let device = Device::new(seed, uuid, N, 2);
        let row = |row| (0..N).map(|column| device.value(row, column)).collect::<Vec<f64>>();
        let values: Vec<Vec<f64>> = (0..N).map(row).collect();
        let halves = |row: &Vec<f64>| row.iter().map(|value| half(*value).unwrap()).collect::<Vec<u16>>();
        let tree = Tree::new(values.iter().map(|row| row_hash(&halves(row))).collect()).unwrap();
        Gpu { uuid: uuid.into(), values, tree }
    }

    fn commitment(&self, seed: &str, key: &SigningKey) -> Commitment {
        let root = self.tree.root();
        let signature: Signature = key.sign(format!("0x1|{seed}|{}|{root}", self.uuid).as_bytes());
        let sig_val = hex::encode(signature.to_bytes());
        Commitment { uuid: self.uuid.clone(), sig_ver: 1, sig_val, ..Commitment::cpu(root) }
    }

    fn proof(&self, coordinates: &[(u32, u32)], rows: &[u32]) -> DeviceProof {
        let value = |(row, column): &(u32, u32)| self.values[*row as usize][*column as usize];
        let points = coordinates.iter().map(value);
        let whole = rows.iter().flat_map(|row| self.values[*row as usize].iter().copied());
        let coordinate_values = points.chain(whole).collect();
        let merkle_proofs: Vec<MerkleProof> = rows.iter().map(|row| self.path(*row)).collect();
        let row_hashes = merkle_proofs.iter().map(|path| path.leaf_hash.clone()).collect();
        DeviceProof { uuid: self.uuid.clone(), coordinate_values, ..DeviceProof::cpu(row_hashes, merkle_proofs) }
    }

    fn path(&self, row: u32) -> MerkleProof {
        let path = self.tree.prove(row).unwrap();
        let leaf_hash = self.tree.leaves()[row as usize].to_string();
        let (proof_hashes, proof_directions) = (path.siblings, path.on_the_right);
        MerkleProof { leaf_index: row, leaf_hash, proof_hashes, proof_directions }
    }
}

struct Scene {
    bench: Bench,
    alice: Miner,
    task: ChallengeSpec,
    data: ChallengeData,
}

impl Scene {
    fn new(gpus: &[(&str, &str)]) -> Scene {
        let (mut bench, mut alice) = alice(&config());
        next_round(&mut bench, &mut alice, &[offering(gpus)]);
        let task = alice.tasks(&mut bench, None).remove(0);
        let data = task.data.read().unwrap();
        Scene { bench, alice, task, data }
    }

    fn seed(&self) -> String {
        hex::encode(self.data.seed)
    }

    fn gpu(&self, uuid: &str) -> Gpu {
        Gpu::new(&self.seed(), uuid)
    }

    fn commit(&mut self, commitments: Vec<Commitment>) -> Back {
        let data = CommitmentData::new(self.task.challenge_id.clone(), WorkerId::new("w1"), commitments);
        self.alice.say(&mut self.bench, SynapseKind::Challenge, &json::text(&data))
    }

    fn asked(&mut self, gpus: &[&Gpu]) -> Vec<messages::DeviceRequest> {
        let seed = self.seed();
        let back = self.commit(gpus.iter().map(|gpu| gpu.commitment(&seed, &key())).collect());
        let messages::Answer::Given(ProofRequests { proof_requests }) = back.read() else { panic!("refused") };
        proof_requests
    }

    fn prove(&mut self, proofs: Vec<DeviceProof>) -> String {
        let data = ProofData::new(self.task.challenge_id.clone(), proofs);
        self.alice.say(&mut self.bench, SynapseKind::ChallengeProof, &json::text(&data)).plain();
        self.the_end()
    }

    /// Commits with a fault, and how that ends.
    fn faulty(&mut self, commitments: Vec<Commitment>) -> String {
        let messages::Answer::<ProofRequests>::Refused(_) = self.commit(commitments).read() else { panic!("taken") };
        self.the_end()
    }

    fn the_end(&mut self) -> String {
        self.bench.seconds(1);
        let ends = self.bench.stored_ends();
        assert_eq!(ends.len(), 1, "{ends:?}");
        ends[0].clone()
    }
}

const H200: (&str, &str) = ("GPU-1", "H200");
/// On no allow list, and in the worker's inventory.
const OLD: (&str, &str) = ("GPU-2", "GTX 1080");

#[test]
fn signed_gpus_that_compute_pass_and_are_all_asked_for_the_same() {
    let mut scene = Scene::new(&[H200, OLD]);
    let ChallengeData { challenge_type, mode, target_gpu_id, iterations, .. } = scene.data.clone();
    assert_eq!((&*challenge_type, mode, target_gpu_id, iterations), ("gpu_matrix", Some(0), Some(-1), 2));
    let (one, two) = (scene.gpu("GPU-1"), scene.gpu("GPU-2"));
    let asked = scene.asked(&[&two, &one]);
    assert_eq!((asked[0].uuid.as_str(), asked[1].uuid.as_str()), ("GPU-2", "GPU-1"));
    assert_eq!((&asked[0].rows, &asked[0].coordinates), (&asked[1].rows, &asked[1].coordinates));
    assert!((1..=3).contains(&asked[0].rows.len()) && (20..=30).contains(&asked[0].coordinates.len()));
    let proofs = [one, two].map(|gpu| gpu.proof(&asked[0].coordinates, &asked[0].rows)).into();
    let end = scene.prove(proofs);
    assert!(end.starts_with("Verified { success_count: 2, ops: 55296.0, note: None"), "{end}");
}

#[test]
fn one_gpu_of_two_is_enough_and_alone_counts_as_proven() {
    let mut scene = Scene::new(&[H200, OLD]);
    let (one, two) = (scene.gpu("GPU-1"), scene.gpu("GPU-2"));
    let asked = scene.asked(&[&one, &two]);
    let mut proofs: Vec<_> = [one, two].map(|gpu| gpu.proof(&asked[0].coordinates, &asked[0].rows)).into();
    proofs[1].coordinate_values.iter_mut().for_each(|value| *value += 0.5);
    let end = scene.prove(proofs);
    assert!(end.starts_with("Verified { success_count: 1, ops: 27648.0, note: Some(\"device GPU-2: "), "{end}");
    assert!(end.ends_with("passed: [\"GPU-1\"] }"), "{end}");
}

#[test]
fn a_commitment_of_no_gpu_of_this_worker_or_without_a_good_signature_fails_the_challenge_by_name() {
    type Fault = fn(&Scene, &mut Vec<Commitment>);
    let faults: [(&str, Fault); 6] = [
        ("GPU-9, which no heartbeat of this worker has named", |scene, list| {
            list.push(scene.gpu("GPU-9").commitment(&scene.seed(), &key()));
        }),
        ("of the CPU, \\\"-1\\\"", |_, list| list.push(Commitment::cpu("ab".into()))),
        ("GPU-1 twice", |_, list| list.push(list[0].clone())),
        ("sig_ver 0 of GPU GPU-1, expected 1", |_, list| list[0].sig_ver = 0),
        ("GPU GPU-1: the signature is of none of the trusted signers", |scene, list| {
            list[0] = scene.gpu("GPU-1").commitment(&scene.seed(), &SigningKey::from_slice(&[8; 32]).unwrap());
        }),
        ("GPU GPU-1: the signature is not 64 bytes in hex or base64", |_, list| list[0].sig_val = "abcd".into()),
    ];
    for (named, fault) in faults {
        let mut scene = Scene::new(&[H200]);
        let mut list = vec![scene.gpu("GPU-1").commitment(&scene.seed(), &key())];
        fault(&scene, &mut list);
        let end = scene.faulty(list);
        assert!(end.starts_with("Failed(") && end.contains(named), "{named}: {end}");
    }
}

#[test]
fn the_proofs_are_of_the_committed_gpus_alone_and_have_the_values_asked_for() {
    type Fault = fn(&Scene, &mut Vec<DeviceProof>);
    let faults: [(&str, Fault); 4] = [
        ("no proof of device GPU-2", |_, list| list.truncate(1)),
        ("proof of device GPU-9, which was not asked", |_, list| list[1].uuid = "GPU-9".into()),
        ("values where", |_, list| list[0].coordinate_values.truncate(3)),
        ("row hashes and", |_, list| list[0].row_hashes.clear()),
    ];
    for (named, fault) in faults {
        let mut scene = Scene::new(&[H200, OLD]);
        let (one, two) = (scene.gpu("GPU-1"), scene.gpu("GPU-2"));
        let asked = scene.asked(&[&one, &two]);
        let mut proofs: Vec<_> = [one, two].map(|gpu| gpu.proof(&asked[0].coordinates, &asked[0].rows)).into();
        fault(&scene, &mut proofs);
        let end = scene.prove(proofs);
        assert!(end.starts_with("Failed(") && end.contains(named), "{named}: {end}");
    }
}

#[test]
fn a_worker_without_an_allowed_gpu_gets_none() {
    let (mut bench, mut alice) = alice(&config());
    for _ in 0..4 {
        beat(&mut bench, &mut alice, &[offering(&[OLD])]);
        bench.seconds(60);
    }
    assert!(alice.tasks(&mut bench, None).is_empty());
}
