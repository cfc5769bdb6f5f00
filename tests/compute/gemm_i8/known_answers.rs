//! `gemm_i8.json`, made by `gemm_i8.py` without our code: keys, entries, products, hashes, roots, whole proofs.

use byteleap::{
    compute::gemm_i8::{self, Answer, KeyPrefix, Spec, reference},
    units::{ChallengeId, WorkerId},
    wire::{
        json,
        messages::{
            Raw,
            gemm_i8::{GemmProof, Sample},
        },
    },
};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct File {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    challenge_id: ChallengeId,
    seed: String,
    miner_hotkey: String,
    worker_id: WorkerId,
    device: String,
    matrix_size: u32,
    rounds: u32,
    key_prefix: String,
    round_values: Vec<Round>,
    root: String,
    samples: Vec<Sample>,
    proof: Raw,
}

#[derive(Deserialize)]
struct Round {
    key: String,
    a: Vec<(usize, usize, i8)>,
    bt: Vec<(usize, usize, i8)>,
    c: Vec<(usize, usize, i32)>,
    row_hashes: BTreeMap<String, String>,
    all_row_hashes_sha256: String,
    root: String,
}

impl Case {
    fn spec(&self) -> Spec {
        super::spec(self.matrix_size, self.rounds)
    }

    fn prefix(&self) -> KeyPrefix {
        let mut seed = [0; 32];
        hex::decode_to_slice(&self.seed, &mut seed).expect("a recorded seed is hex");
        KeyPrefix::new(&self.challenge_id, &seed, &self.miner_hotkey, &self.worker_id, &self.device)
    }

    fn answer(&self) -> Answer {
        gemm_i8::compute(self.spec(), self.prefix()).expect("an answer has all its rounds")
    }
}

fn cases() -> Vec<Case> {
    let cases = crate::recorded::<File>("gemm_i8.json").cases;
    assert!(cases.len() >= 7);
    cases
}

#[test]
fn every_recorded_entry_key_and_value_of_the_product_is_ours() {
    for case in cases() {
        let (n, prefix) = (case.matrix_size as usize, case.prefix());
        assert_eq!(prefix.to_hex(), case.key_prefix, "{}", case.name);
        let mut previous = [0; 32];
        for (number, round) in (0..).zip(&case.round_values) {
            let key = prefix.round(number, &previous);
            assert_eq!(hex::encode(key.bytes()), round.key, "{} round {number}", case.name);
            let (a, bt) = (reference::matrix(&key, 0, n), reference::matrix(&key, 1, n));
            assert!(round.a.iter().all(|(i, k, value)| a[i * n + k] == *value), "{}", case.name);
            assert!(round.bt.iter().all(|(j, k, value)| bt[j * n + k] == *value), "{}", case.name);
            let c = reference::product(&key, n);
            assert!(round.c.iter().all(|(i, j, value)| c[i * n + j] == *value), "{}", case.name);
            hex::decode_to_slice(&round.root, &mut previous).expect("a recorded root is hex");
        }
    }
}

#[test]
fn every_recorded_hash_top_and_root_is_ours() {
    for case in cases() {
        let answer = case.answer();
        let recorded = GemmProof::read(&case.proof).expect("a recorded proof");
        assert_eq!(hex::encode(answer.root()), case.root, "{}", case.name);
        assert_eq!(answer.tops(), recorded.tops, "{}", case.name);
        for (number, round) in (0..).zip(&case.round_values) {
            let hashes = answer.row_hashes(number);
            for (row, hash) in &round.row_hashes {
                let row: usize = row.parse().expect("a recorded row is a number");
                assert_eq!(hex::encode(hashes[row]), *hash, "{} round {number} row {row}", case.name);
            }
            assert_eq!(hex::encode(Sha256::digest(hashes.concat())), round.all_row_hashes_sha256, "{}", case.name);
        }
    }
}

#[test]
fn every_recorded_proof_is_ours_to_the_letter_and_passes() {
    for case in cases() {
        let answer = case.answer();
        let ours = gemm_i8::open(&answer, &case.samples).expect("recorded samples lie within");
        let recorded = GemmProof::read(&case.proof).expect("a recorded proof");
        assert_eq!(ours, recorded, "{}", case.name);
        let fields = |text: &str| json::parse::<serde_json::Value>(text).expect("a proof is JSON");
        assert_eq!(fields(&json::text(&ours)), fields(case.proof.as_str()), "{}", case.name);
        let verdict = gemm_i8::verify(&case.spec(), &case.prefix(), answer.root(), &case.samples, &recorded);
        assert_eq!(verdict, Ok(()), "{}", case.name);
    }
}
