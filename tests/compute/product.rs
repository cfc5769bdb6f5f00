//! `cpu_challenge.json`, cases and trees: products, row hashes, roots and proofs as the reference made them.

use byteleap::{
    compute::{
        cpu_matrix::Spec,
        merkle::{self, Tree},
        row_hash::RowHash,
        verify,
    },
    wire::messages::{Commitment, MerkleProof},
};
use serde::Deserialize;
use sha2::{Digest, Sha256};

#[derive(Deserialize)]
struct File {
    cases: Vec<Case>,
    trees: Vec<RecordedTree>,
}

#[derive(Deserialize)]
struct Case {
    seed_hex: String,
    n: u32,
    iterations: u32,
    c_first: Vec<i64>,
    c_last: Vec<i64>,
    c_sha256: String,
    row_hashes: Vec<String>,
    levels_sizes: Vec<usize>,
    commitment: Commitment,
    proofs: Vec<MerkleProof>,
}

#[derive(Deserialize)]
struct RecordedTree {
    leaves: Vec<String>,
    root: String,
    proofs: Vec<MerkleProof>,
}

fn spec(case: &Case) -> Spec {
    Spec { seed: super::seed(&case.seed_hex), n: case.n, iterations: case.iterations }
}

fn file() -> File {
    super::recorded("cpu_challenge.json")
}

#[test]
fn products_and_row_hashes() {
    for case in file().cases {
        let matrices = spec(&case).matrices(|| true).expect("never told to stop");
        let product = matrices.rows(0..case.n);
        let bytes: Vec<u8> = product.iter().flat_map(|value| value.to_le_bytes()).collect();
        let name = format!("seed {} n {} iterations {}", case.seed_hex, case.n, case.iterations);
        assert_eq!(hex::encode(Sha256::digest(bytes)), case.c_sha256, "{name}");
        assert!(product.starts_with(&case.c_first) && product.ends_with(&case.c_last), "{name}");
        let hashes: Vec<String> = matrices.row_hashes(0..case.n).iter().map(RowHash::to_string).collect();
        assert_eq!(hashes, case.row_hashes, "{name}");
    }
}

#[test]
fn rows_computed_again_by_the_validator() {
    for case in file().cases {
        let rows: Vec<u32> = case.proofs.iter().map(|proof| proof.leaf_index).collect();
        let hashes = verify::expected_rows(&spec(&case), &rows).expect("recorded rows lie in the matrix");
        let recorded: Vec<&str> = rows.iter().map(|row| case.row_hashes[*row as usize].as_str()).collect();
        assert_eq!(hashes.iter().map(RowHash::to_string).collect::<Vec<_>>(), recorded, "n {}", case.n);
    }
}

#[test]
fn commitments_and_proofs() {
    for case in file().cases {
        assert_eq!(merkle::height(case.n) + 1, case.levels_sizes.len());
        check_tree(&case.row_hashes, &case.commitment.merkle_root, &case.proofs);
        assert_eq!(Commitment::cpu(case.commitment.merkle_root.clone()), case.commitment);
    }
}

#[test]
fn every_proof_of_small_trees() {
    file().trees.iter().for_each(|tree| check_tree(&tree.leaves, &tree.root, &tree.proofs));
}

fn check_tree(leaves: &[String], root: &str, proofs: &[MerkleProof]) {
    let hashes: Vec<RowHash> = leaves.iter().map(|leaf| leaf.parse().expect("a recorded leaf")).collect();
    let tree = Tree::new(hashes).expect("a recorded tree has leaves");
    assert_eq!(tree.root(), root);
    for proof in proofs {
        let path = tree.prove(proof.leaf_index).expect("a recorded leaf");
        assert_eq!(path.siblings, proof.proof_hashes);
        assert_eq!(path.on_the_right, proof.proof_directions);
        let leaf = proof.leaf_hash.parse().expect("a recorded leaf");
        let verdict =
            merkle::verify(root, leaves.len() as u32, proof.leaf_index, &leaf, &path.siblings, &path.on_the_right);
        assert_eq!(verdict, Ok(()), "leaf {} of {}", proof.leaf_index, leaves.len());
    }
}
