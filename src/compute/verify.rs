//! Is a worker's answer right? Only what was asked for is computed again.
//!
//! The cost is O(rows·n²) and never that of the product. It does not decide what a fault costs the worker,
//! and it never accepts an answer that shows nothing.

use super::{
    cpu_matrix::{Entries, Spec},
    row_hash::RowHash,
};

/// Rows of B that are read at a time: their sums of products stay far inside an i32 (64·500² < 2^31).
const BAND: usize = 64;

/// Why a proof does not show what was committed to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofFault {
    #[error("row {row} was asked of a matrix of {n} rows")]
    NoSuchRow { row: u32, n: u32 },
}

/// The hashes of these rows of the product, in the order asked.
///
/// B is read in the order in which it is drawn and never held: the memory is O(rows·n).
pub fn expected_rows(spec: &Spec, rows: &[u32]) -> Result<Vec<RowHash>, ProofFault> {
    if let Some(row) = rows.iter().find(|row| **row >= spec.n) {
        return Err(ProofFault::NoSuchRow { row: *row, n: spec.n });
    }
    let n = spec.side();
    let mut entries = spec.stream();
    let a = rows_of_a(&mut entries, n, rows);
    let mut c = times_b_narrow(&a, entries.clone(), n);
    for _ in 1..spec.iterations {
        c = times_b_wide(&c, entries.clone(), n);
    }
    Ok(c.chunks_exact(n).map(RowHash::of_i64).collect())
}

/// Draws all of A and keeps the rows asked for, in the order asked.
fn rows_of_a(entries: &mut Entries, n: usize, rows: &[u32]) -> Vec<i16> {
    let mut kept = vec![0; rows.len() * n];
    let mut row = vec![0; n];
    for at in 0..n {
        entries.fill(&mut row);
        for (asked, slot) in rows.iter().zip(kept.chunks_exact_mut(n)) {
            if *asked as usize == at {
                slot.copy_from_slice(&row);
            }
        }
    }
    kept
}

fn times_b_narrow(a: &[i16], mut b: Entries, n: usize) -> Vec<i64> {
    let mut c = vec![0; a.len()];
    let mut band = vec![0; BAND.min(n) * n];
    let mut sums = vec![0_i32; n];
    for top in (0..n).step_by(BAND) {
        let depth = BAND.min(n - top);
        b.fill(&mut band[..depth * n]);
        for (row, out) in a.chunks_exact(n).zip(c.chunks_exact_mut(n)) {
            sums.fill(0);
            for (factor, terms) in row[top..top + depth].iter().zip(band.chunks_exact(n)) {
                add_scaled(&mut sums, *factor, terms);
            }
            out.iter_mut().zip(&sums).for_each(|(total, sum)| *total += i64::from(*sum));
        }
    }
    c
}

fn add_scaled(sums: &mut [i32], factor: i16, terms: &[i16]) {
    for (sum, term) in sums.iter_mut().zip(terms) {
        *sum += i32::from(factor) * i32::from(*term);
    }
}

fn times_b_wide(rows: &[i64], mut b: Entries, n: usize) -> Vec<i64> {
    let mut product = vec![0_i64; rows.len()];
    let mut terms = vec![0; n];
    for k in 0..n {
        b.fill(&mut terms);
        for (row, out) in rows.chunks_exact(n).zip(product.chunks_exact_mut(n)) {
            let factor = row[k];
            for (total, term) in out.iter_mut().zip(&terms) {
                *total = total.wrapping_add(factor.wrapping_mul(i64::from(*term)));
            }
        }
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recomputed_rows_are_those_of_the_product() {
        for (n, iterations) in [(1, 1), (5, 4), (65, 1), (130, 2), (70, 11)] {
            let spec = Spec { seed: [0xc3; 16], n, iterations };
            let all = spec.matrices(|| true).unwrap().row_hashes(0..n);
            let asked = [n - 1, 0, n / 2];
            let want: Vec<_> = asked.iter().map(|row| all[*row as usize]).collect();
            assert_eq!(expected_rows(&spec, &asked), Ok(want), "n {n} iterations {iterations}");
        }
    }

    #[test]
    fn a_row_outside_the_matrix_is_refused() {
        let spec = Spec { seed: [0; 16], n: 4, iterations: 1 };
        assert_eq!(expected_rows(&spec, &[0, 4]), Err(ProofFault::NoSuchRow { row: 4, n: 4 }));
    }
}
