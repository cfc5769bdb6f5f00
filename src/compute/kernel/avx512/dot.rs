//! Rows with columns as they lie in memory: a few of each, so that a loaded vector is used several times.

use std::arch::x86_64::{
    __m512i, _mm512_reduce_add_epi32, _mm512_set1_epi8, _mm512_setzero_si512, _mm512_sub_epi32, _mm512_xor_si512,
};

use super::{Bytes, Dot, Plain, Words, load};

/// Columns that are multiplied at once.
const COLUMNS: usize = 4;

/// An element with its instruction.
pub(super) trait Term: Plain {
    type Dot: Dot;
    /// What the instruction adds to bytes of columns, as bits to flip; 0: nothing.
    const FLIP: u8;
}

impl Term for i8 {
    type Dot = Bytes;
    const FLIP: u8 = 0x80;
}

impl Term for i16 {
    type Dot = Words;
    const FLIP: u8 = 0;
}

/// Each row with each column; `sums` row by row.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn dots<E: Term>(rows: &[&[E]], columns: &[&[E]], sums: &mut [i32]) {
    let width = columns.len().max(1);
    for (rows, sums) in rows.chunks(4).zip(sums.chunks_mut(4 * width)) {
        match rows {
            [a, b, c, d] => some_rows([*a, *b, *c, *d], columns, sums),
            [a, b, c] => some_rows([*a, *b, *c], columns, sums),
            [a, b] => some_rows([*a, *b], columns, sums),
            [a] => some_rows([*a], columns, sums),
            _ => {}
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn some_rows<E: Term, const R: usize>(rows: [&[E]; R], columns: &[&[E]], sums: &mut [i32]) {
    let width = columns.len();
    let (fours, rest) = columns.as_chunks::<COLUMNS>();
    for (at, columns) in fours.iter().enumerate() {
        put(square(rows, *columns), sums, at * COLUMNS, width);
    }
    for (at, column) in rest.iter().enumerate() {
        put(square(rows, [*column]), sums, fours.len() * COLUMNS + at, width);
    }
}

fn put<const R: usize, const C: usize>(square: [[i32; C]; R], sums: &mut [i32], first: usize, width: usize) {
    for (found, places) in square.iter().zip(sums.chunks_mut(width)) {
        places.iter_mut().skip(first).zip(found).for_each(|(place, sum)| *place = *sum);
    }
}

/// All must have one length; what is longer is cut.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn square<E: Term, const R: usize, const C: usize>(rows: [&[E]; R], columns: [&[E]; C]) -> [[i32; C]; R] {
    let terms = rows.iter().chain(&columns).map(|lane| lane.len()).min().unwrap_or_default();
    let (rows, columns) = (rows.map(|row| &row[..terms]), columns.map(|column| &column[..terms]));
    let flip = _mm512_set1_epi8(E::FLIP.cast_signed());
    let mut sums = [[_mm512_setzero_si512(); C]; R];
    let mut added = [_mm512_setzero_si512(); R];
    let mut at = 0;
    while at < terms {
        let columns = columns.map(|column| load(&column[at..]));
        for ((row, sums), added) in rows.iter().zip(&mut sums).zip(&mut added) {
            let row = load(&row[at..]);
            // SAFETY: this function has the same features.
            unsafe {
                for (sum, column) in sums.iter_mut().zip(columns) {
                    *sum = E::Dot::add(*sum, _mm512_xor_si512(column, flip), row);
                }
                if E::FLIP != 0 {
                    *added = E::Dot::add(*added, flip, row);
                }
            }
        }
        at += E::COUNT;
    }
    let mut at = 0;
    sums.map(|sums| {
        let more = added[at];
        at += 1;
        sums.map(|sum| whole(_mm512_sub_epi32(sum, more)))
    })
}

/// The sum of all sixteen, modulo 2^32.
#[inline]
#[target_feature(enable = "avx512f")]
fn whole(sums: __m512i) -> i32 {
    _mm512_reduce_add_epi32(sums)
}
