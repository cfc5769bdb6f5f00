//! `gpu_challenge.json`: the arithmetic of the running network's GPU challenge, and its verdicts.

use std::collections::BTreeMap;

use byteleap::{
    compute::{
        gpu_matrix::{Asked, Device, RULES, Rules, half, row_hash, verify},
        gpu_signature::Signed,
        merkle::Tree,
        row_hash::RowHash,
    },
    units::Signer,
    wire::messages::{DeviceProof, MerkleProof},
};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct File {
    signing_key_public_uncompressed_hex: String,
    real_validator_public_key_hex: String,
    signatures: Vec<Signature>,
    vectors: Vec<Vector>,
    row_hash_edges: Vec<Edge>,
    verdicts: Vec<Recorded>,
}

#[derive(Deserialize)]
struct Signature {
    name: String,
    sig_ver: u8,
    seed: String,
    gpu_uuid: String,
    merkle_root: String,
    signature: String,
    accepted: bool,
}

#[derive(Deserialize)]
struct Vector {
    example_signature_hex: String,
    merkle_root: String,
    seed: String,
    gpu_uuid: String,
    n: u32,
    iterations: u32,
    transformed_seed: u64,
    points: Vec<Point>,
}

#[derive(Deserialize)]
struct Point {
    row: u32,
    col: u32,
    c_float64: f64,
    c_fp16_bits: u16,
}

#[derive(Deserialize)]
struct Edge {
    values: Vec<String>,
    hash: Option<String>,
}

#[derive(Deserialize)]
struct Recorded {
    settings: Settings,
    name: String,
    payload: Payload,
    proof: BTreeMap<String, Value>,
    accepted: bool,
}

#[derive(Deserialize)]
struct Settings {
    abs_tolerance: f64,
    rel_tolerance: f64,
    success_rate_threshold: f64,
}

#[derive(Deserialize)]
struct Payload {
    challenge_data: ChallengeData,
    verification_targets: Vec<(u32, Option<u32>)>,
    merkle_commitments: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct ChallengeData {
    seed: String,
    matrix_size: u32,
    iterations: u32,
}

fn file() -> File {
    super::recorded("gpu_challenge.json")
}

#[test]
fn values_and_their_halves() {
    for case in file().vectors {
        let device = Device::new(&case.seed, &case.gpu_uuid, case.n, case.iterations);
        assert_eq!(device.state(), case.transformed_seed);
        for point in case.points {
            let value = device.value(point.row, point.col);
            assert_eq!((value, half(value)), (point.c_float64, Some(point.c_fp16_bits)), "n {}", case.n);
        }
    }
}

#[test]
fn signatures_have_the_recorded_verdicts() {
    let file = file();
    let signer = Signer::of_hex(&file.signing_key_public_uncompressed_hex).expect("the recorded key");
    let vendor = Signer::of_hex(&file.real_validator_public_key_hex).expect("the vendor's key");
    assert_eq!(Signer::of_hex(Signer::VENDOR).as_ref(), Some(&vendor));
    assert!(file.signatures.iter().any(|case| case.accepted) && file.signatures.iter().any(|case| !case.accepted));
    for case in &file.signatures {
        let Signature { sig_ver: version, seed, gpu_uuid: uuid, merkle_root: root, signature, .. } = case;
        let signed = Signed { version: *version, seed, uuid, root };
        let verdict = signed.check(&[vendor.clone(), signer.clone()], signature);
        assert_eq!(verdict.is_ok(), case.accepted, "{}: {verdict:?}", case.name);
        assert!(signed.check(std::slice::from_ref(&vendor), signature).is_err(), "{}: of another signer", case.name);
        assert!(signed.check(&[], signature).is_err());
    }
}

#[test]
fn every_recorded_root_was_signed() {
    let file = file();
    let signer = [Signer::of_hex(&file.signing_key_public_uncompressed_hex).expect("the recorded key")];
    for case in &file.vectors {
        let signed = Signed { version: 1, seed: &case.seed, uuid: &case.gpu_uuid, root: &case.merkle_root };
        assert_eq!(signed.check(&signer, &case.example_signature_hex), Ok(()), "n {}", case.n);
    }
}

#[test]
fn hashes_at_the_edges_of_halves() {
    for case in file().row_hash_edges {
        let values = case.values.iter().map(|value| value.parse::<f64>().expect("a recorded float"));
        let halves: Option<Vec<u16>> = values.map(half).collect();
        assert_eq!(halves.map(|halves| row_hash(&halves).to_string()), case.hash, "{:?}", case.values);
    }
}

/// Whether one GPU of the case passes, every column of each row looked at.
fn passes(case: &Recorded) -> bool {
    let ChallengeData { seed, matrix_size, iterations } = &case.payload.challenge_data;
    let targets = &case.payload.verification_targets;
    let coordinates: Vec<(u32, u32)> = targets.iter().filter_map(|(row, column)| Some((*row, (*column)?))).collect();
    let rows: Vec<u32> = targets.iter().filter(|(_, column)| column.is_none()).map(|(row, _)| *row).collect();
    let columns: Vec<u32> = (0..*matrix_size).collect();
    let Settings { abs_tolerance: absolute, rel_tolerance: relative, success_rate_threshold: threshold } =
        case.settings;
    let rules = Rules { absolute, relative, threshold };
    let asked = Asked { coordinates: &coordinates, rows: &rows, columns: &columns, rules };
    case.proof.iter().any(|(uuid, proof)| {
        let Some(root) = case.payload.merkle_commitments.get(uuid) else { return false };
        let mut proof = proof.clone();
        let values = proof["coordinate_values"].as_array_mut().expect("recorded values");
        values.iter_mut().filter(|value| value.is_string()).for_each(|value| *value = Value::Null);
        let proof: DeviceProof = serde_json::from_value(proof).expect("a recorded proof");
        verify(&Device::new(seed, uuid, *matrix_size, *iterations), root, &asked, &proof).is_ok()
    })
}

#[test]
fn verdicts_are_the_recorded_ones_or_stricter() {
    const STRICTER: [&str; 3] = ["surplus_values", "nothing_requested", "empty_row_hashes_skip_merkle"];
    for case in file().verdicts {
        let want = case.accepted && !STRICTER.contains(&case.name.as_str());
        assert_eq!(passes(&case), want, "{}", case.name);
    }
}

fn value_of(half: u16) -> f64 {
    let (exponent, steps) = (i32::from(half >> 10 & 31), f64::from(half & 1023));
    let value = if exponent == 0 { steps } else { (steps + 1024.0) * 2_f64.powi(exponent - 1) };
    value * 2_f64.powi(-24) * if half >> 15 == 1 { -1.0 } else { 1.0 }
}

/// The forgery that the rules cannot refuse: leaves without a product, and of the row that is asked for five
/// values, found in seconds, that bend its hash to its leaf. 59 of 64 columns are right.
#[test]
fn a_row_is_bent_to_a_leaf_that_was_chosen_before_it() {
    const ROW: u32 = 7;
    const BENT: [u16; 5] = [0x199d, 0x0bd0, 0x6caf, 0x1c1b, 0x0260];
    let leaf: RowHash = "0123456789abcdef".parse().expect("16 digits");
    let tree = Tree::new(vec![leaf; 64]).expect("leaves");
    let device = Device::new("000102030405060708090a0b0c0d0e0f", "GPU-00000000-0000-4000-8000-000000000000", 64, 1);
    let honest = (0..59).map(|column| half(device.value(ROW, column)).expect("small values"));
    let halves: Vec<u16> = honest.chain(BENT).collect();
    assert_eq!(row_hash(&halves), leaf);
    let path = tree.prove(ROW).expect("a leaf");
    let merkle = MerkleProof {
        leaf_index: ROW,
        leaf_hash: leaf.to_string(),
        proof_hashes: path.siblings,
        proof_directions: path.on_the_right,
    };
    let values = halves.into_iter().map(value_of).collect();
    let proof = DeviceProof { coordinate_values: values, ..DeviceProof::cpu(vec![leaf.to_string()], vec![merkle]) };
    let columns: Vec<u32> = (0..64).collect();
    let asked = Asked { coordinates: &[], rows: &[ROW], columns: &columns, rules: RULES };
    assert_eq!(verify(&device, &tree.root(), &asked, &proof), Ok(()), "what v1 cannot refuse");
    let strict = Asked { rules: Rules { threshold: 1.0, ..RULES }, ..asked };
    assert!(verify(&device, &tree.root(), &strict, &proof).is_err());
}

#[test]
fn b_is_a_with_its_rows_swapped_in_pairs() {
    let device = Device::new("000102030405060708090a0b0c0d0e0f", "GPU-1", 16, 1);
    let mut places = (0..16).flat_map(|row| (0..16).map(move |column| (row, column)));
    assert!(places.all(|(row, column)| device.b(row, column) == device.a(row ^ 1, column)));
}
