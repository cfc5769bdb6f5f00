//! Rows with columns as they lie in memory: a few of each, so that a loaded vector is used several times.

use std::arch::x86_64::{
    __m512i, _mm512_reduce_add_epi32, _mm512_set1_epi8, _mm512_setzero_si512, _mm512_sub_epi32, _mm512_xor_si512,
};

use super::{Bytes, Dot, Plain, VECTOR, Words, load};

/// An element with its instruction.
pub(super) trait Term: Plain {
    type Dot: Dot;
    /// What is flipped in columns to shift them by 128; 0: nothing.
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
        match *rows {
            [a, b, c, d] => some_rows([a, b, c, d], columns, sums),
            [a, b, c] => some_rows([a, b, c], columns, sums),
            [a, b] => some_rows([a, b], columns, sums),
            [a] => some_rows([a], columns, sums),
            _ => {}
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn some_rows<E: Term, const R: usize>(rows: [&[E]; R], columns: &[&[E]], sums: &mut [i32]) {
    let (rows, width) = (some_bytes(&rows), columns.len());
    let (fours, rest) = columns.as_chunks::<4>();
    for (at, columns) in fours.iter().enumerate() {
        put(square::<E, R, 4>(rows, some_bytes(columns)), sums, at * 4, width);
    }
    for (at, column) in rest.iter().enumerate() {
        put(square::<E, R, 1>(rows, [bytes(column)]), sums, fours.len() * 4 + at, width);
    }
}

fn put<const R: usize, const C: usize>(square: [[i32; C]; R], sums: &mut [i32], first: usize, width: usize) {
    for (found, places) in square.iter().zip(sums.chunks_mut(width)) {
        places.iter_mut().skip(first).zip(found).for_each(|(place, sum)| *place = *sum);
    }
}

/// Sixteen parts of each sum, and of what shifting the columns adds to the sums of each row.
type Parts<const R: usize, const C: usize> = ([[__m512i; C]; R], [__m512i; R]);

/// Whole vectors of each lane, and what is left of it: as much of each as the shortest one has.
type Cut<'a, const N: usize> = ([&'a [[u8; VECTOR]]; N], [&'a [u8]; N]);

fn cut<const N: usize>(lanes: [&[u8]; N], len: usize) -> Cut<'_, N> {
    let whole = len / VECTOR;
    (lanes.map(|lane| &lane.as_chunks().0[..whole]), lanes.map(|lane| &lane[whole * VECTOR..len]))
}

/// All must have one length; what is longer is cut. (A closure in here would be a call: it has the features of
/// this function, what calls it has not.)
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn square<E: Term, const R: usize, const C: usize>(rows: [&[u8]; R], columns: [&[u8]; C]) -> [[i32; C]; R] {
    let len = shortest(&rows).min(shortest(&columns));
    let ((rows, row_rests), (columns, column_rests)) = (cut(rows, len), cut(columns, len));
    let mut parts = ([[_mm512_setzero_si512(); C]; R], [_mm512_setzero_si512(); R]);
    let (mut row_lanes, mut column_lanes) = ([_mm512_setzero_si512(); R], [_mm512_setzero_si512(); C]);
    for at in 0..len / VECTOR {
        for (lane, row) in row_lanes.iter_mut().zip(&rows) {
            *lane = load(&row[at]);
        }
        for (lane, column) in column_lanes.iter_mut().zip(&columns) {
            *lane = load(&column[at]);
        }
        step::<E, R, C>(&row_lanes, &column_lanes, &mut parts);
    }
    for (lane, row) in row_lanes.iter_mut().zip(row_rests) {
        *lane = load(row);
    }
    for (lane, column) in column_lanes.iter_mut().zip(column_rests) {
        *lane = load(column);
    }
    step::<E, R, C>(&row_lanes, &column_lanes, &mut parts);
    let mut sums = [[0; C]; R];
    for ((sums, parts), added) in sums.iter_mut().zip(parts.0).zip(parts.1) {
        for (sum, part) in sums.iter_mut().zip(parts) {
            *sum = _mm512_reduce_add_epi32(_mm512_sub_epi32(part, added));
        }
    }
    sums
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn step<E: Term, const R: usize, const C: usize>(rows: &[__m512i; R], columns: &[__m512i; C], parts: &mut Parts<R, C>) {
    let flip = _mm512_set1_epi8(E::FLIP.cast_signed());
    for (column, lane) in columns.iter().enumerate() {
        let lane = _mm512_xor_si512(*lane, flip);
        for (row, sums) in rows.iter().zip(&mut parts.0) {
            // SAFETY: this function has the same features.
            sums[column] = unsafe { E::Dot::add(sums[column], lane, *row) };
        }
    }
    if E::FLIP != 0 {
        for (row, added) in rows.iter().zip(&mut parts.1) {
            // SAFETY: this function has the same features.
            *added = unsafe { E::Dot::add(*added, flip, *row) };
        }
    }
}

fn shortest(lanes: &[&[u8]]) -> usize {
    lanes.iter().map(|lane| lane.len()).min().unwrap_or_default()
}

fn bytes<E: Plain>(values: &[E]) -> &[u8] {
    // SAFETY: these integers have no padding, and any byte is a u8.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

fn some_bytes<'a, E: Plain, const N: usize>(lanes: &[&'a [E]; N]) -> [&'a [u8]; N] {
    lanes.map(bytes)
}
