//! `cpu_challenge.json`, verdicts: what the reference verifier said of each proof, and what ours says.

use std::collections::BTreeMap;

use byteleap::{
    compute::{
        cpu_matrix::Spec,
        merkle::MerkleFault,
        verify::{self, ProofFault},
    },
    wire::{
        json,
        messages::{CPU_UUID, DeviceProof},
    },
};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct File {
    verdicts: Vec<Recorded>,
}

#[derive(Deserialize)]
struct Recorded {
    name: String,
    payload: Payload,
    proof: BTreeMap<String, Value>,
    accepted: bool,
}

#[derive(Deserialize)]
struct Payload {
    challenge_data: Data,
    verification_targets: Vec<(u32, Option<u32>)>,
    merkle_commitments: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Data {
    seed: String,
    matrix_size: u32,
    iterations: u32,
}

/// What the reference accepts and ours refuses: see `tests/data/DIFFERENCES.md`.
const STRICTER: [&str; 5] = [
    "extra_sibling_no_direction",
    "extra_direction_no_sibling",
    "directions_as_ints",
    "leaf_index_float",
    "tree_in_other_order",
];

#[derive(Debug, PartialEq)]
enum Verdict {
    Passed,
    /// The message is none that is read as a proof.
    NoProof,
    Fault(ProofFault),
}

fn ours(case: &Recorded) -> Verdict {
    let data = &case.payload.challenge_data;
    let spec = Spec::new(super::seed(&data.seed), data.matrix_size, data.iterations).expect("a recorded challenge");
    let targets = case.payload.verification_targets.iter();
    let asked: Vec<u32> = targets.filter(|(_, column)| column.is_none()).map(|(row, _)| *row).collect();
    let root = &case.payload.merkle_commitments[CPU_UUID];
    match case.proof.iter().map(read).collect::<Option<Vec<DeviceProof>>>() {
        Some(proofs) => verify::cpu(&spec, root, &asked, &proofs).map_or_else(Verdict::Fault, |()| Verdict::Passed),
        None => Verdict::NoProof,
    }
}

/// The recording names the device beside the proof; on the wire it is in it.
fn read((uuid, proof): (&String, &Value)) -> Option<DeviceProof> {
    let mut proof = proof.clone();
    proof.as_object_mut()?.insert("uuid".into(), uuid.as_str().into());
    json::parse(&proof.to_string()).ok()
}

fn recorded() -> Vec<Recorded> {
    super::recorded::<File>("cpu_challenge.json").verdicts
}

fn verdict_on(name: &str) -> Verdict {
    let case = recorded().into_iter().find(|case| case.name == name);
    ours(&case.expect("a recorded verdict"))
}

#[test]
fn every_recorded_verdict_is_ours_too_but_for_the_listed_faults() {
    for case in recorded() {
        let wanted = case.accepted && !STRICTER.contains(&case.name.as_str());
        assert_eq!(ours(&case) == Verdict::Passed, wanted, "{}: {:?}", case.name, ours(&case));
    }
}

#[test]
fn superfluous_siblings_and_directions_are_refused() {
    let fault = |why| Verdict::Fault(ProofFault::Merkle { row: 50, why });
    let siblings = MerkleFault::Siblings { got: 8, want: 7, leaves: 100 };
    assert_eq!(verdict_on("extra_sibling_no_direction"), fault(siblings));
    let directions = MerkleFault::Directions { got: 8, want: 7, leaves: 100 };
    assert_eq!(verdict_on("extra_direction_no_sibling"), fault(directions));
}

#[test]
fn directions_that_are_numbers_and_fractional_indices_are_no_proof() {
    assert_eq!(verdict_on("directions_as_ints"), Verdict::NoProof);
    assert_eq!(verdict_on("leaf_index_float"), Verdict::NoProof);
}

#[test]
fn a_tree_in_another_order_is_refused() {
    let why = MerkleFault::Direction { level: 0, index: 3 };
    assert_eq!(verdict_on("tree_in_other_order"), Verdict::Fault(ProofFault::Merkle { row: 3, why }));
}

#[test]
fn evidence_of_nothing_is_refused() {
    assert_eq!(verdict_on("empty_targets"), Verdict::Fault(ProofFault::NothingAsked));
    assert_eq!(verdict_on("empty_hash_list"), Verdict::Fault(ProofFault::RowHashes { got: 0, asked: 3 }));
}
