//! The challenge as its definition reads: one number after the other, nothing packed, nothing at once.
//!
//! What every faster way is tested against. Nothing that runs uses it: it takes 8 s where they take 30 ms.

use super::{ENTRY_MAX, Spec, seed_word};
use crate::compute::{mt19937::Mt19937, row_hash::RowHash};

/// A and B by rows.
pub fn matrices(spec: &Spec) -> (Vec<i64>, Vec<i64>) {
    let mut generator = Mt19937::portable(seed_word(&spec.seed));
    let cells = spec.side() * spec.side();
    let mut matrix =
        || (0..cells).map(|_| i64::from(generator.masked(1000)) - i64::from(ENTRY_MAX)).collect::<Vec<i64>>();
    (matrix(), matrix())
}

/// The whole product by rows, modulo 2^64.
pub fn product(spec: &Spec) -> Vec<i64> {
    let (a, b) = matrices(spec);
    (0..spec.iterations).fold(a, |c, _| times(&c, &b, spec.side()))
}

/// One row of the product.
pub fn row(spec: &Spec, row: u32) -> Vec<i64> {
    let (a, b) = matrices(spec);
    let n = spec.side();
    let row = a[row as usize * n..][..n].to_vec();
    (0..spec.iterations).fold(row, |row, _| times(&row, &b, n))
}

/// The hash of each row.
pub fn row_hashes(spec: &Spec) -> Vec<RowHash> {
    product(spec).chunks(spec.side()).map(RowHash::of_i64).collect()
}

fn times(c: &[i64], b: &[i64], n: usize) -> Vec<i64> {
    let mut product = vec![0_i64; c.len()];
    for (row, sums) in c.chunks(n).zip(product.chunks_mut(n)) {
        for (factor, terms) in row.iter().zip(b.chunks(n)) {
            for (sum, term) in sums.iter_mut().zip(terms) {
                *sum = sum.wrapping_add(factor.wrapping_mul(*term));
            }
        }
    }
    product
}
