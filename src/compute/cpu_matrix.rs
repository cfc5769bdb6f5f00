//! The CPU challenge `cpu_matrix`: which matrices a seed means, and how big they are.
//!
//! A and B are n×n integers of −500 … 500 drawn from one MT19937 stream; the answer is the list of row
//! hashes of C = A·B, with `iterations` k > 1 of A·B·B…·B (k times B), all modulo 2^64. How the product is
//! made is `product`'s business, how an answer is checked `verify`'s. It runs no thread.

use std::ops::Range;

use super::{mt19937::Mt19937, product, row_hash::RowHash};

/// The side lengths that the network draws (1 and up are understood).
pub const SIDE_DRAWN: std::ops::RangeInclusive<u32> = 100..=10_000;
/// The longest side that is computed or checked.
pub const SIDE_MAX: u32 = 10_000;
/// The most factors B that are computed or checked.
pub const ITERATIONS_MAX: u32 = 1_000;
/// Entries lie in −`ENTRY_MAX` … `ENTRY_MAX`.
pub const ENTRY_MAX: i16 = 500;
/// Rows that one block of a product holds when a caller has no wish of its own.
pub const BLOCK_ROWS: u32 = 16;

/// One CPU challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec {
    /// The first four bytes, big-endian, seed the matrices.
    pub seed: [u8; 16],
    /// Rows and columns, 1 … [`SIDE_MAX`].
    pub n: u32,
    /// Factors B, 1 … [`ITERATIONS_MAX`].
    pub iterations: u32,
}

/// Why a challenge is none that we compute.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecFault {
    #[error("matrix_size {0} is not in 1 … 10000")]
    Side(u32),
    #[error("iterations {0} is not in 1 … 1000")]
    Iterations(u32),
}

impl Spec {
    /// A challenge that is within what we compute.
    pub fn new(seed: [u8; 16], n: u32, iterations: u32) -> Result<Spec, SpecFault> {
        if !(1..=SIDE_MAX).contains(&n) {
            return Err(SpecFault::Side(n));
        }
        if !(1..=ITERATIONS_MAX).contains(&iterations) {
            return Err(SpecFault::Iterations(iterations));
        }
        Ok(Spec { seed, n, iterations })
    }

    /// The side length that `seed` draws around `base`: in doubles, cut to [`SIDE_DRAWN`]; `base` itself when
    /// `variance` leaves no choice.
    pub fn size_draw(base: u32, variance: f64, seed: &[u8; 16]) -> u32 {
        let low = ((f64::from(base) * (1.0 - variance)) as u32).max(*SIDE_DRAWN.start());
        let high = ((f64::from(base) * (1.0 + variance)) as u32).min(*SIDE_DRAWN.end());
        if low >= high {
            return base;
        }
        low + generator(seed).masked(high - low)
    }

    pub(super) fn side(&self) -> usize {
        self.n as usize
    }

    /// The stream of entries: n·n for A, then n·n for B.
    pub(super) fn stream(&self) -> Entries {
        Entries(generator(&self.seed))
    }

    /// Both matrices. `go_on` is asked once a row; its first `false` ends the work with `None`.
    pub fn matrices(&self, mut go_on: impl FnMut() -> bool) -> Option<Matrices> {
        let n = self.side();
        let mut entries = self.stream();
        let mut a = vec![0; n * n];
        for row in a.chunks_exact_mut(n) {
            entries.fill(row);
            if !go_on() {
                return None;
            }
        }
        let b_columns = columns(n, &mut entries, go_on)?;
        Some(Matrices { n, iterations: self.iterations, a, b_columns })
    }
}

fn generator(seed: &[u8; 16]) -> Mt19937 {
    let [a, b, c, d, ..] = *seed;
    Mt19937::new(u32::from_be_bytes([a, b, c, d]))
}

/// Reads B, which comes row by row, into its columns; a band of rows at a time so that writes stay close.
fn columns(n: usize, entries: &mut Entries, mut go_on: impl FnMut() -> bool) -> Option<Vec<i16>> {
    const BAND: usize = 32;
    let mut columns = vec![0; n * n];
    let mut band = vec![0; BAND * n];
    for top in (0..n).step_by(BAND) {
        let rows = BAND.min(n - top);
        entries.fill(&mut band[..rows * n]);
        for (column, values) in columns.chunks_exact_mut(n).enumerate() {
            for (row, value) in values[top..top + rows].iter_mut().enumerate() {
                *value = band[row * n + column];
            }
        }
        if !go_on() {
            return None;
        }
    }
    Some(columns)
}

/// A position in the stream of matrix entries.
#[derive(Clone)]
pub(super) struct Entries(Mt19937);

impl Entries {
    pub fn fill(&mut self, values: &mut [i16]) {
        self.0.fill(values, 2 * ENTRY_MAX as u16, ENTRY_MAX);
    }
}

/// A and B of one challenge: 4·n² bytes.
pub struct Matrices {
    n: usize,
    iterations: u32,
    /// By rows.
    a: Vec<i16>,
    /// By columns.
    b_columns: Vec<i16>,
}

impl Matrices {
    /// Rows and columns.
    pub fn n(&self) -> u32 {
        self.n as u32
    }

    /// The entry of A at (row, column).
    pub fn a(&self, row: usize, column: usize) -> i16 {
        self.a[row * self.n + column]
    }

    /// The entry of B at (row, column).
    pub fn b(&self, row: usize, column: usize) -> i16 {
        self.b_columns[column * self.n + row]
    }

    /// These rows of the product, one after the other. Rows do not depend on each other, so several threads
    /// may each take their own. The range is cut to the matrix.
    pub fn rows(&self, rows: Range<u32>) -> Vec<i64> {
        let end = (rows.end as usize).min(self.n);
        let start = (rows.start as usize).min(end);
        let mut block = product::narrow(&self.a[start * self.n..end * self.n], &self.b_columns, self.n);
        for _ in 1..self.iterations {
            block = product::wide(&block, &self.b_columns, self.n);
        }
        block
    }

    /// The hashes of these rows of the product; nothing else of it is kept.
    pub fn row_hashes(&self, rows: Range<u32>) -> Vec<RowHash> {
        self.rows(rows).chunks_exact(self.n).map(RowHash::of_i64).collect()
    }

    /// The ranges of [`BLOCK_ROWS`] rows that cover the matrix, in order.
    pub fn blocks(&self) -> impl Iterator<Item = Range<u32>> {
        let n = self.n();
        (0..n).step_by(BLOCK_ROWS as usize).map(move |top| top..(top + BLOCK_ROWS).min(n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain_product(m: &Matrices) -> Vec<i64> {
        let n = m.n;
        let mut c: Vec<i64> = m.a.iter().map(|value| i64::from(*value)).collect();
        for _ in 0..m.iterations {
            let cell = |at: usize| {
                let (row, column) = (at / n, at % n);
                (0..n).fold(0_i64, |sum, k| sum.wrapping_add(c[row * n + k].wrapping_mul(i64::from(m.b(k, column)))))
            };
            c = (0..n * n).map(cell).collect();
        }
        c
    }

    #[test]
    fn blocks_of_any_cut_give_the_plain_product() {
        for (n, iterations) in [(1, 1), (2, 9), (7, 1), (33, 1), (33, 3), (40, 12)] {
            let m = Spec { seed: [7; 16], n, iterations }.matrices(|| true).unwrap();
            let whole = plain_product(&m);
            let blocks: Vec<i64> = m.blocks().flat_map(|rows| m.rows(rows)).collect();
            assert_eq!(blocks, whole, "n {n} iterations {iterations}");
            assert_eq!(m.rows(n - 1..n + 9), whole[(n as usize - 1) * n as usize..]);
        }
    }

    #[test]
    fn a_challenge_out_of_range_is_refused_by_name() {
        assert!(Spec::new([0; 16], 10_000, 1).is_ok());
        assert_eq!(Spec::new([0; 16], 10_001, 1), Err(SpecFault::Side(10_001)));
        assert_eq!(Spec::new([0; 16], 0, 1), Err(SpecFault::Side(0)));
        assert_eq!(Spec::new([0; 16], 100, 0), Err(SpecFault::Iterations(0)));
        assert_eq!(Spec::new([0; 16], 100, 1001), Err(SpecFault::Iterations(1001)));
    }

    #[test]
    fn drawing_stops_when_told() {
        let spec = Spec { seed: [1; 16], n: 64, iterations: 1 };
        let mut rows_left = 3;
        let stopped = spec.matrices(|| {
            rows_left -= 1;
            rows_left > 0
        });
        assert!(stopped.is_none());
    }
}
