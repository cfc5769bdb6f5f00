//! A few rows of the product, for whoever checks an answer.
//!
//! The cost is O(rows·n²) and never that of the product. B is read in the order in which it is drawn and never
//! held: memory is 256 rows of B, and for at most 256 rows at a time 6·n bytes each (44·n with further factors).

use super::{
    DIGIT_TERMS, Entries, Spec,
    draw::draw_slice,
    product::{DIGITS, NARROW_SIDE, Packed, digits_of, put_together},
};
use crate::compute::{
    kernel::{Isa, Panels},
    row_hash::{self, RowHash},
};

/// Rows of B that are multiplied at a time.
const TERMS: usize = 256;
/// Rows of A that are drawn at a time.
const BAND: usize = 8;
/// Rows of the product that are computed at a time; B is drawn again for the next ones.
const ROWS: usize = 256;

/// The hashes of these rows, in the order given. A row that the matrix does not have is one of zeros.
pub fn row_hashes(spec: &Spec, isa: Isa, rows: &[u32]) -> Vec<RowHash> {
    rows.chunks(ROWS).flat_map(|rows| some(spec, isa, rows)).collect()
}

fn some(spec: &Spec, isa: Isa, rows: &[u32]) -> Vec<RowHash> {
    let n = spec.side();
    let mut entries = Entries::of(spec, isa);
    let a = of_a(&mut entries, n, rows);
    if spec.iterations == 1 && n <= NARROW_SIDE {
        let mut sums = vec![0_i32; a.len()];
        let mut packed = Packed::default();
        slices(isa, n, TERMS, &entries, |first, slice| packed.times(&a, first, slice, &mut sums));
        return row_hash::of_rows(isa, &sums, n);
    }
    let mut sums: Vec<i64> = a.into_iter().map(i64::from).collect();
    for _ in 0..spec.iterations {
        times_again(isa, n, &entries, &mut sums);
    }
    row_hash::of_rows(isa, &sums, n)
}

/// Draws all of A and keeps the rows asked for, in the order asked.
fn of_a(entries: &mut Entries, n: usize, rows: &[u32]) -> Vec<i16> {
    let mut kept = vec![0; rows.len() * n];
    let mut band = vec![0; BAND * n];
    for top in (0..n).step_by(BAND) {
        let band = &mut band[..BAND.min(n - top) * n];
        entries.fill(band);
        for (row, slot) in rows.iter().zip(kept.chunks_exact_mut(n)) {
            let drawn = (*row as usize).checked_sub(top).and_then(|at| band.chunks_exact(n).nth(at));
            slot.iter_mut().zip(drawn.unwrap_or_default()).for_each(|(slot, value)| *slot = *value);
        }
    }
    kept
}

/// Draws B in slices of so many rows, and shows each with the number of its first row.
fn slices(isa: Isa, n: usize, terms: usize, entries: &Entries, mut show: impl FnMut(usize, &Panels<i16>)) {
    let mut entries = entries.clone();
    let mut band = Vec::new();
    let mut slice = Panels::new(isa, terms.min(n), n);
    for first in (0..n).step_by(terms) {
        if n - first < terms {
            slice = Panels::new(isa, n - first, n);
        }
        draw_slice(&mut entries, &mut slice, &mut band);
        show(first, &slice);
    }
}

/// The sums times B, modulo 2^64.
fn times_again(isa: Isa, n: usize, entries: &Entries, sums: &mut [i64]) {
    let digits: [Vec<i16>; DIGITS] = std::array::from_fn(|place| digits_of(sums, place));
    let mut products: [Vec<i64>; DIGITS] = std::array::from_fn(|_| vec![0; sums.len()]);
    let mut packed = Packed::default();
    slices(isa, n, DIGIT_TERMS, entries, |first, slice| {
        for (digits, product) in digits.iter().zip(&mut products) {
            packed.times(digits, first, slice, product);
        }
    });
    sums.fill(0);
    for product in products.iter().rev() {
        put_together(sums, product);
    }
}
