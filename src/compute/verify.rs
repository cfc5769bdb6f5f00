//! Is a worker's answer right? Only what was asked for is computed again.
//!
//! The cost is O(rows·n²) and never that of the product. It does not decide what a fault costs the worker,
//! and it never accepts an answer that shows nothing.

use super::{
    cpu_matrix::{Spec, rows},
    kernel::Isa,
    merkle::{self, MerkleFault},
    row_hash::RowHash,
};
use crate::wire::messages::{CPU_UUID, DeviceProof, MerkleProof};

/// Why a proof does not show what was committed to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofFault {
    #[error("no row was asked for")]
    NothingAsked,
    #[error("row {row} was asked of a matrix of {n} rows")]
    NoSuchRow { row: u32, n: u32 },
    #[error("{0} proofs where the CPU gives one")]
    Proofs(usize),
    #[error("proof of device {0:?} where the CPU, \"-1\", was asked")]
    Device(String),
    #[error("{got} row hashes for {asked} rows")]
    RowHashes { got: usize, asked: usize },
    #[error("{got} Merkle proofs for {asked} rows")]
    MerkleProofs { got: usize, asked: usize },
    #[error("{0} values where the CPU has none")]
    Values(usize),
    #[error("proof of leaf {got} where row {row} was asked")]
    LeafIndex { row: u32, got: u32 },
    #[error("the row hash of row {row} is no row hash, or not that of its leaf")]
    LeafHash { row: u32 },
    #[error("row {row}: {why}")]
    Merkle { row: u32, why: MerkleFault },
    #[error("row {row} is not that of the product")]
    WrongRow { row: u32 },
}

/// Whether a CPU worker that committed to `root` has proven the rows in `asked`.
///
/// What is cheap comes first: every count, place and Merkle path is checked before a single row is computed
/// again. Costs as [`expected_rows`].
pub fn cpu(spec: &Spec, root: &str, asked: &[u32], proofs: &[DeviceProof]) -> Result<(), ProofFault> {
    let claimed = claimed_rows(spec, root, asked, proofs)?;
    let expected = expected_rows(spec, asked)?;
    let differs = |(claimed, expected): (&RowHash, &RowHash)| claimed != expected;
    match asked.iter().zip(claimed.iter().zip(&expected)).find(|(_, pair)| differs(*pair)) {
        Some((row, _)) => Err(ProofFault::WrongRow { row: *row }),
        None => Ok(()),
    }
}

/// The hashes that a proof claims for the rows asked for: as many as asked, each bound to the root at its row.
fn claimed_rows(spec: &Spec, root: &str, asked: &[u32], proofs: &[DeviceProof]) -> Result<Vec<RowHash>, ProofFault> {
    let proof = the_cpu_proof(proofs)?;
    check_counts(asked.len(), proof)?;
    let claims = asked.iter().zip(&proof.row_hashes).zip(&proof.merkle_proofs);
    claims.map(|((row, hash), merkle)| claimed_row(spec, root, *row, hash, merkle)).collect()
}

fn the_cpu_proof(proofs: &[DeviceProof]) -> Result<&DeviceProof, ProofFault> {
    match proofs {
        [proof] if proof.uuid == CPU_UUID => Ok(proof),
        [other] => Err(ProofFault::Device(other.uuid.chars().take(64).collect())),
        _ => Err(ProofFault::Proofs(proofs.len())),
    }
}

fn check_counts(asked: usize, proof: &DeviceProof) -> Result<(), ProofFault> {
    let (hashes, paths, values) = (proof.row_hashes.len(), proof.merkle_proofs.len(), proof.coordinate_values.len());
    if asked == 0 {
        return Err(ProofFault::NothingAsked);
    }
    if hashes != asked {
        return Err(ProofFault::RowHashes { got: hashes, asked });
    }
    if paths != asked {
        return Err(ProofFault::MerkleProofs { got: paths, asked });
    }
    if values != 0 { Err(ProofFault::Values(values)) } else { Ok(()) }
}

fn claimed_row(spec: &Spec, root: &str, row: u32, hash: &str, proof: &MerkleProof) -> Result<RowHash, ProofFault> {
    if proof.leaf_index != row {
        return Err(ProofFault::LeafIndex { row, got: proof.leaf_index });
    }
    let claimed = hash.parse::<RowHash>().ok().filter(|_| proof.leaf_hash == hash);
    let claimed = claimed.ok_or(ProofFault::LeafHash { row })?;
    merkle::verify(root, spec.n, row, &claimed, &proof.proof_hashes, &proof.proof_directions)
        .map_err(|why| ProofFault::Merkle { row, why })?;
    Ok(claimed)
}

/// The hashes of these rows of the product, in the order asked.
///
/// B is read in the order in which it is drawn and never held: the memory is O(rows·n).
pub fn expected_rows(spec: &Spec, rows: &[u32]) -> Result<Vec<RowHash>, ProofFault> {
    expected_rows_on(Isa::best(), spec, rows)
}

/// The same with chosen instructions.
pub fn expected_rows_on(isa: Isa, spec: &Spec, rows: &[u32]) -> Result<Vec<RowHash>, ProofFault> {
    match rows.iter().find(|row| **row >= spec.n) {
        Some(row) => Err(ProofFault::NoSuchRow { row: *row, n: spec.n }),
        None => Ok(rows::row_hashes(spec, isa, rows)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::merkle::Tree;

    const SPEC: Spec = Spec { seed: [0xc3; 16], n: 20, iterations: 1 };
    const ASKED: [u32; 3] = [2, 7, 19];

    fn honest_tree() -> Tree {
        let leaves = SPEC.matrices(|| true).and_then(|m| Tree::new(m.row_hashes(0..SPEC.n)));
        leaves.unwrap()
    }

    /// What a worker that committed to `tree` answers.
    fn answer(tree: &Tree, rows: &[u32]) -> DeviceProof {
        let hashes: Vec<String> = rows.iter().map(|row| tree.leaves()[*row as usize].to_string()).collect();
        let merkle = rows.iter().zip(&hashes).map(|(row, hash)| {
            let path = tree.prove(*row).unwrap();
            MerkleProof {
                leaf_index: *row,
                leaf_hash: hash.clone(),
                proof_hashes: path.siblings,
                proof_directions: path.on_the_right,
            }
        });
        let merkle = merkle.collect();
        DeviceProof::cpu(hashes, merkle)
    }

    fn verdict(change: impl FnOnce(&mut DeviceProof)) -> Result<(), ProofFault> {
        let tree = honest_tree();
        let mut proof = answer(&tree, &ASKED);
        change(&mut proof);
        cpu(&SPEC, &tree.root(), &ASKED, &[proof])
    }

    #[test]
    fn an_honest_worker_passes() {
        assert_eq!(verdict(|_| ()), Ok(()));
    }

    #[test]
    fn empty_evidence_never_passes() {
        let tree = honest_tree();
        assert_eq!(cpu(&SPEC, &tree.root(), &[], &[answer(&tree, &[])]), Err(ProofFault::NothingAsked));
        assert_eq!(cpu(&SPEC, &tree.root(), &ASKED, &[]), Err(ProofFault::Proofs(0)));
        assert_eq!(verdict(|proof| proof.row_hashes.clear()), Err(ProofFault::RowHashes { got: 0, asked: 3 }));
        assert_eq!(verdict(|proof| proof.merkle_proofs.clear()), Err(ProofFault::MerkleProofs { got: 0, asked: 3 }));
    }

    #[test]
    fn a_tree_over_something_else_fails_at_the_row() {
        let mut leaves = honest_tree().leaves().to_vec();
        leaves.swap(7, 8);
        let tree = Tree::new(leaves).unwrap();
        let verdict = cpu(&SPEC, &tree.root(), &ASKED, &[answer(&tree, &ASKED)]);
        assert_eq!(verdict, Err(ProofFault::WrongRow { row: 7 }));
    }

    #[test]
    fn rows_in_another_order_than_asked_fail() {
        let tree = honest_tree();
        let verdict = cpu(&SPEC, &tree.root(), &ASKED, &[answer(&tree, &[7, 2, 19])]);
        assert_eq!(verdict, Err(ProofFault::LeafIndex { row: 2, got: 7 }));
    }

    #[test]
    fn a_leaf_hash_is_the_row_hash() {
        let other = "0000000000000000".to_string();
        let renamed = verdict(|proof| proof.merkle_proofs[1].leaf_hash = other);
        assert_eq!(renamed, Err(ProofFault::LeafHash { row: 7 }));
        let shouted = verdict(|proof| proof.row_hashes[0] = "ABCDEF0123456789".into());
        assert_eq!(shouted, Err(ProofFault::LeafHash { row: 2 }));
    }

    #[test]
    fn the_cpu_answers_once_and_in_its_own_name() {
        let tree = honest_tree();
        let proof = answer(&tree, &ASKED);
        let twice = cpu(&SPEC, &tree.root(), &ASKED, &[proof.clone(), proof.clone()]);
        assert_eq!(twice, Err(ProofFault::Proofs(2)));
        assert_eq!(verdict(|proof| proof.uuid = "GPU-1".into()), Err(ProofFault::Device("GPU-1".into())));
        assert_eq!(verdict(|proof| proof.coordinate_values.push(0.5)), Err(ProofFault::Values(1)));
    }

    #[test]
    fn recomputed_rows_are_those_of_the_product() {
        for (n, iterations) in [(1, 1), (5, 4), (65, 1), (130, 2), (70, 11), (300, 1)] {
            let spec = Spec { seed: [0xc3; 16], n, iterations };
            let all = spec.matrices(|| true).unwrap().row_hashes(0..n);
            let asked = [n - 1, 0, n / 2];
            let want: Vec<_> = asked.iter().map(|row| all[*row as usize]).collect();
            for isa in Isa::available() {
                let rows = expected_rows_on(isa, &spec, &asked);
                assert_eq!(rows.as_ref(), Ok(&want), "{isa} n {n} iterations {iterations}");
            }
        }
    }

    #[test]
    fn a_row_outside_the_matrix_is_refused() {
        let spec = Spec { seed: [0; 16], n: 4, iterations: 1 };
        assert_eq!(expected_rows(&spec, &[0, 4]), Err(ProofFault::NoSuchRow { row: 4, n: 4 }));
    }
}
