//! Exact products of strips of rows with all of B, on the kernels.
//!
//! Entries fit 16 bits, and so the first product is one of words. What is multiplied by B again is cut into
//! four signed 16-bit digits, and their four products of words are put together modulo 2^64. It runs no
//! thread: strips do not depend on each other, and whoever has several cores gives each of them a [`Hand`].

use std::ops::Range;

use super::{DIGIT_TERMS, Factor, Spec, Survey, draw::Steps};
use crate::compute::{
    kernel::{Isa, Panels, Strip, Total},
    row_hash::{self, RowHash},
};

/// Rows of a strip: whole tiles of the kernels, and whole groups of rows that are hashed at once.
const STRIP_ROWS: usize = 96;
/// What the rows of a strip are a multiple of when there are too few for [`STRIP_ROWS`].
const HASHED_ROWS: usize = 16;
/// The longest side whose sums stay in an i32: 8192·500² < 2^31.
pub(super) const NARROW_SIDE: usize = 8192;
/// Digits of an i64.
pub(super) const DIGITS: usize = 4;
const DIGIT_BITS: usize = 16;

/// A and B of one challenge: B packed, and where the rows of A begin in the stream. Memory: 2·n² bytes, and
/// 166·n for the places.
pub struct Matrices {
    isa: Isa,
    spec: Spec,
    n: usize,
    a: Steps,
    /// Slices of terms of all columns.
    b: Vec<Panels<i16>>,
}

/// See [`Spec::memory_bytes`].
pub(super) fn memory_bytes(spec: &Spec, threads: usize) -> u64 {
    let n = spec.side();
    let b = Panels::<i16>::bytes(Isa::best(), n, n) + 2 * (DIGIT_TERMS * n) as u64;
    // Drawn, packed, and sums; with further factors the sums before, after, and a digit of them.
    let per_cell = if is_narrow(spec) { 2 + 2 + 4 } else { 2 + 2 + 8 + 8 + 2 };
    b + (Steps::bytes(n) + threads.max(1) * STRIP_ROWS * n * per_cell) as u64
}

fn is_narrow(spec: &Spec) -> bool {
    spec.iterations == 1 && spec.side() <= NARROW_SIDE
}

impl Matrices {
    /// A survey that is through, and B with all its bands drawn.
    pub fn new(survey: Survey, b: Factor) -> Matrices {
        let (spec, isa) = (survey.spec, survey.isa);
        Matrices { isa, spec, n: spec.side(), a: survey.into_steps(), b: b.0 }
    }

    /// Rows and columns.
    pub fn n(&self) -> u32 {
        self.n as u32
    }

    /// The strips of rows that cover the matrix, in order, so that each of so many threads has about the same
    /// to do: long ones, and at the end one shorter one for each thread.
    pub fn strips(&self, threads: usize) -> Vec<Range<u32>> {
        let threads = threads.max(1);
        let whole = self.n / (STRIP_ROWS * threads) * threads;
        let rest = (self.n - whole * STRIP_ROWS).div_ceil(threads).next_multiple_of(HASHED_ROWS);
        let mut strips = Vec::new();
        let mut top = 0;
        while top < self.n {
            let rows = if strips.len() < whole { STRIP_ROWS } else { rest };
            let end = self.n.min(top + rows);
            strips.push(top as u32..end as u32);
            top = end;
        }
        strips
    }

    /// What one thread multiplies with, strip after strip.
    pub fn hand(&self) -> Hand<'_> {
        let sums = if is_narrow(&self.spec) { Sums::Narrow(Vec::new()) } else { Sums::Wide(Vec::new()) };
        Hand { matrices: self, drawn: Vec::new(), packed: Packed::default(), sums }
    }

    /// These rows of the product, one after the other. The range is cut to the matrix.
    pub fn rows(&self, rows: Range<u32>) -> Vec<i64> {
        let mut hand = self.hand();
        hand.multiply(rows, || true);
        match hand.sums {
            Sums::Narrow(sums) => sums.into_iter().map(i64::from).collect(),
            Sums::Wide(sums) => sums,
        }
    }

    /// The hashes of these rows of the product; nothing else of it is kept.
    pub fn row_hashes(&self, rows: Range<u32>) -> Vec<RowHash> {
        let mut hand = self.hand();
        hand.multiply(rows, || true);
        hand.row_hashes()
    }
}

/// Sums of a strip, row by row.
enum Sums {
    Narrow(Vec<i32>),
    Wide(Vec<i64>),
}

/// The memory that one thread multiplies in, again and again: see [`Spec::memory_bytes`].
pub struct Hand<'a> {
    matrices: &'a Matrices,
    drawn: Vec<i16>,
    packed: Packed,
    sums: Sums,
}

impl Hand<'_> {
    /// Multiplies these rows with B in place of those before; the range is cut to the matrix. `go_on` is asked
    /// before each further factor; its first `false` ends the work with `false`.
    pub fn multiply(&mut self, rows: Range<u32>, go_on: impl FnMut() -> bool) -> bool {
        let end = (rows.end as usize).min(self.matrices.n);
        self.matrices.a.draw((rows.start as usize).min(end)..end, &mut self.drawn);
        let rows = &self.drawn;
        match &mut self.sums {
            Sums::Narrow(sums) => {
                self.matrices.times(rows, &mut self.packed, sums);
                true
            }
            Sums::Wide(sums) => {
                self.matrices.times(rows, &mut self.packed, sums);
                self.matrices.times_again(&mut self.packed, sums, go_on)
            }
        }
    }

    /// The hashes of the rows that were multiplied last.
    pub fn row_hashes(&self) -> Vec<RowHash> {
        let Matrices { isa, n, .. } = self.matrices;
        match &self.sums {
            Sums::Narrow(sums) => row_hash::of_rows(*isa, sums, *n),
            Sums::Wide(sums) => row_hash::of_rows(*isa, sums, *n),
        }
    }
}

impl Matrices {
    /// Rows of entries times B.
    fn times<T: Total + Default>(&self, rows: &[i16], packed: &mut Packed, sums: &mut Vec<T>) {
        sums.clear();
        sums.resize(rows.len(), T::default());
        let mut first = 0;
        for slice in &self.b {
            packed.times(rows, first, slice, sums);
            first += slice.terms();
        }
    }

    /// The sums times B as often as there are further factors.
    fn times_again(&self, packed: &mut Packed, sums: &mut Vec<i64>, mut go_on: impl FnMut() -> bool) -> bool {
        for _ in 1..self.spec.iterations {
            if !go_on() {
                return false;
            }
            let mut product = vec![0; sums.len()];
            for place in (0..DIGITS).rev() {
                let digits = digits_of(sums, place);
                product.iter_mut().for_each(|sum| *sum <<= DIGIT_BITS);
                let mut first = 0;
                for slice in &self.b {
                    packed.times(&digits, first, slice, &mut product);
                    first += slice.terms();
                }
            }
            *sums = product;
        }
        true
    }
}

/// Digit `place` of each value, of four signed ones: together they are the value modulo 2^64.
pub(super) fn digits_of(values: &[i64], place: usize) -> Vec<i16> {
    // With 2^15 more at each place, every digit is one without a sign.
    const RAISED: i64 = 0x8000_8000_8000_8000_u64 as i64;
    let digit = |value: &i64| ((value.wrapping_add(RAISED) >> (DIGIT_BITS * place)) as u16 ^ 0x8000) as i16;
    values.iter().map(digit).collect()
}

/// Puts the product of the next lower digits under `sums`.
pub(super) fn put_together(sums: &mut [i64], lower: &[i64]) {
    for (sum, lower) in sums.iter_mut().zip(lower) {
        *sum = (*sum << DIGIT_BITS).wrapping_add(*lower);
    }
}

/// Memory in which rows are packed, again and again.
#[derive(Default)]
pub(super) struct Packed(Option<Strip<i16>>);

impl Packed {
    /// Adds to `sums` the product of rows (as long as there are columns) with a slice of B, whose first row is
    /// number `first`. Rows of zeros cost nothing.
    pub(super) fn times<T: Total>(&mut self, rows: &[i16], first: usize, slice: &Panels<i16>, sums: &mut [T]) {
        let (n, terms) = (slice.columns().max(1), slice.terms());
        if rows.iter().all(|value| *value == 0) {
            return;
        }
        let fits = |strip: &Strip<i16>| strip.terms() == terms && strip.room() * n >= rows.len();
        let strip = self.0.take().filter(fits);
        let strip = self.0.insert(strip.unwrap_or_else(|| Strip::new(slice.isa(), terms, rows.len() / n)));
        strip.pack(rows.chunks_exact(n).map(|row| &row[first..first + terms]));
        strip.multiply_add(slice, sums, n);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::cpu_matrix::reference;

    #[test]
    fn sums_of_either_width_are_the_same() {
        let spec = Spec { seed: [7; 16], n: 50, iterations: 1 };
        let m = spec.matrices(|| true).unwrap();
        let mut hand = m.hand();
        hand.sums = Sums::Wide(Vec::new());
        assert!(hand.multiply(7..50, || true));
        assert_eq!(hand.row_hashes(), reference::row_hashes(&spec)[7..]);
    }

    #[test]
    fn digits_are_the_value_again() {
        let values = [0, 1, -1, 0x7fff, 0x8000, -0x8000, -0x8001, i64::MAX, i64::MIN, 0x0123_4567_89ab_cdef];
        let mut again = vec![0; values.len()];
        for place in (0..DIGITS).rev() {
            let digits: Vec<i64> = digits_of(&values, place).into_iter().map(i64::from).collect();
            put_together(&mut again, &digits);
        }
        assert_eq!(again, values);
    }

    #[test]
    fn further_factors_stop_when_told() {
        let spec = Spec { seed: [7; 16], n: 10, iterations: 5 };
        let m = spec.matrices(|| true).unwrap();
        let mut factors = 0;
        let mut go_on = || {
            factors += 1;
            factors < 3
        };
        assert!(!m.hand().multiply(0..10, &mut go_on));
        assert_eq!(factors, 3);
    }

    #[test]
    fn strips_cover_every_row_once_and_share_the_work() {
        for (n, threads) in [(1, 1), (1, 8), (100, 2), (300, 3), (500, 2), (500, 64)] {
            let m = Spec { seed: [7; 16], n, iterations: 1 }.matrices(|| true).unwrap();
            let strips = m.strips(threads);
            let rows: Vec<u32> = strips.iter().cloned().flatten().collect();
            assert_eq!(rows, (0..n).collect::<Vec<_>>(), "n {n} threads {threads}");
            assert!(strips.iter().all(|rows| rows.len() <= STRIP_ROWS), "n {n} threads {threads}");
        }
    }
}
