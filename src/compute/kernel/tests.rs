//! Every instruction set of this machine against sums written as the definition says.

use proptest::prelude::*;

use super::{Element, FIRST_TERM, Isa, Kind, Panels, Strip, Total, dots};

/// Numbers that depend on nothing but a seed.
fn numbers(seed: u64) -> impl Iterator<Item = u64> {
    let mut state = seed | 1;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 24
    })
}

fn bytes(seed: u64, count: usize) -> Vec<i8> {
    numbers(seed).take(count).map(|number| number as i8).collect()
}

/// Of −500 … 500.
fn words(seed: u64, count: usize) -> Vec<i16> {
    numbers(seed).take(count).map(|number| (number % 1001) as i16 - 500).collect()
}

/// Row by row; `rows` and `columns` lie with their terms side by side.
fn plain<E: Copy + Into<i64>>(terms: usize, rows: &[E], columns: &[E]) -> Vec<i64> {
    let dot = |row: &[E], column: &[E]| row.iter().zip(column).map(|(a, b)| (*a).into() * (*b).into()).sum();
    rows.chunks(terms).flat_map(|row| columns.chunks(terms).map(move |column| dot(row, column))).collect()
}

fn packed<E: Element>(isa: Isa, terms: usize, columns: &[E]) -> Panels<E> {
    let mut panels = Panels::new(isa, terms, columns.len() / terms);
    for mut panel in panels.panels_mut() {
        let range = panel.range();
        panel.pack_columns(&columns[range.start * terms..range.end * terms]);
    }
    panels
}

fn product<E: Element, T: Total + Default>(isa: Isa, terms: usize, rows: &[E], columns: &[E]) -> Vec<T> {
    let panels = packed(isa, terms, columns);
    let width = columns.len() / terms;
    let mut strip = Strip::new(isa, terms, Strip::<E>::rows_for(isa, rows.len() / terms, 1));
    let mut out = vec![T::default(); rows.len() / terms * width];
    let room = Strip::<E>::rows_for(isa, rows.len() / terms, 1);
    for (rows, out) in rows.chunks(room * terms).zip(out.chunks_mut(room * width)) {
        strip.pack(rows.chunks(terms));
        strip.multiply(&panels, out, width);
    }
    out
}

fn agree<E: Element + Into<i64>>(terms: usize, rows: &[E], columns: &[E]) {
    let want = plain(terms, rows, columns);
    let narrow: Vec<i32> = want.iter().map(|sum| *sum as i32).collect();
    for isa in Isa::available() {
        assert_eq!(product::<E, i64>(isa, terms, rows, columns), want, "{isa}");
        assert_eq!(product::<E, i32>(isa, terms, rows, columns), narrow, "{isa}");
        let mut sums = vec![0; narrow.len()];
        dots(isa, terms, rows, columns, &mut sums);
        assert_eq!(sums, narrow, "{isa}");
    }
}

/// Rows and columns that fill no tile, panel or vector of any instruction set.
const RAGGED: (usize, usize) = (13, 35);

/// More terms than one block has, and a part of a vector.
const MANY_TERMS: usize = 9003;

#[test]
fn terms_of_several_blocks() {
    let (rows, columns) = RAGGED;
    agree(MANY_TERMS, &bytes(1, rows * MANY_TERMS), &bytes(2, columns * MANY_TERMS));
    agree(MANY_TERMS, &words(3, rows * MANY_TERMS), &words(4, columns * MANY_TERMS));
}

/// Each of the extremes with each, as long as a challenge can be.
#[test]
fn extremes_of_bytes_at_full_length() {
    const TERMS: usize = 65_536;
    let ends = [vec![-128_i8; TERMS], vec![127; TERMS]].concat();
    agree(TERMS, &ends, &ends);
}

/// Sums of more than 2^31 are right in an i64, and right modulo 2^32 in an i32.
#[test]
fn extremes_of_words_at_full_length() {
    const TERMS: usize = 10_000;
    let ends = [vec![-500_i16; TERMS], vec![500; TERMS]].concat();
    agree(TERMS, &ends, &ends);
}

/// No instruction saturates: the sum of two products of the smallest words is 2^31.
#[test]
fn sums_wrap() {
    for isa in Isa::available() {
        let smallest = [i16::MIN; 66];
        assert_eq!(product::<i16, i32>(isa, 66, &smallest, &smallest), [1 << 31], "{isa}");
        let mut sums = [0];
        dots(isa, 66, &smallest, &smallest, &mut sums);
        assert_eq!(sums, [i32::MIN], "{isa}");
    }
}

#[test]
fn panels_packed_by_rows_are_those_packed_by_columns() {
    let (terms, columns) = (37, 45);
    let by_columns = words(5, terms * columns);
    let matrix: Vec<i16> = (0..terms * columns).map(|at| by_columns[at % columns * terms + at / columns]).collect();
    for isa in Isa::available() {
        let want = packed(isa, terms, &by_columns);
        let mut panels = Panels::new(isa, terms, columns);
        for (band, rows) in matrix.chunks(FIRST_TERM * columns).enumerate() {
            panels.panels_mut().for_each(|mut panel| panel.pack_rows(band * FIRST_TERM, rows, columns));
        }
        assert!(panels.packed() == want.packed(), "{isa}");
    }
}

/// A thread's strip is filled again and again, with fewer rows at the end.
#[test]
fn a_strip_forgets_what_it_held() {
    let (terms, columns) = (50, bytes(6, 50 * 3));
    for isa in Isa::available() {
        let panels = packed(isa, terms, &columns);
        let mut strip = Strip::new(isa, terms, 30);
        strip.pack(bytes(7, 30 * terms).chunks(terms));
        let rows = bytes(8, 2 * terms);
        strip.pack(rows.chunks(terms));
        let mut out = vec![9_i64; 9];
        strip.multiply(&panels, &mut out, 3);
        assert_eq!((strip.rows(), &out[..6], &out[6..]), (2, &plain(terms, &rows, &columns)[..], &[9; 3][..]), "{isa}");
        strip.multiply_add(&panels, &mut out, 3);
        assert_eq!(out[0], 2 * plain(terms, &rows, &columns)[0], "{isa}");
    }
}

/// What does not fit together is left out; nothing is read or written beyond it.
#[test]
fn lengths_that_do_not_match_end_no_thread() {
    for isa in Isa::available() {
        let (columns, rows) = (bytes(1, 70), bytes(2, 35));
        let panels = packed(isa, 7, &columns);
        let mut strip = Strip::new(isa, 7, 2);
        strip.pack(rows.chunks(7));
        assert_eq!(strip.rows(), 2);
        strip.pack(rows.chunks(40));
        strip.multiply::<i32>(&panels, &mut [], 10);
        let mut few = [0_i32; 13];
        strip.multiply(&panels, &mut few, 10);
        Strip::new(isa, 8, 2).multiply(&panels, &mut few, 10);
        dots(isa, 7, &rows, &columns[..69], &mut few[..3]);
        dots::<i8>(isa, 0, &[], &[], &mut []);
        let mut empty = Panels::<i16>::new(isa, 0, 0);
        assert_eq!(empty.panels_mut().count(), 0);
        let mut panels = Panels::<i16>::new(isa, 4, 3);
        panels.panels_mut().for_each(|mut panel| panel.pack_rows(1 << 20, &[1; 5], 0));
        panels.panels_mut().for_each(|mut panel| panel.pack_columns(&[1; 50]));
    }
}

#[test]
fn strips_share_the_rows_evenly() {
    for isa in Isa::available() {
        for (rows, threads) in [(1, 1), (256, 2), (2000, 2), (2000, 7), (8192, 2), (8192, 64)] {
            let strip = Strip::<i16>::rows_for(isa, rows, threads);
            let longest = rows.div_ceil(strip).div_ceil(threads) * strip;
            assert!(
                (1..=96).contains(&strip) && longest <= rows.div_ceil(threads) * 11 / 10 + 12,
                "{isa} {rows} {strip}"
            );
        }
    }
}

#[test]
fn the_peak_counts_what_it_multiplies() {
    for isa in Isa::available() {
        for kind in [Kind::Int8, Kind::Int16] {
            let (one, three) = (isa.peak(kind, 1), isa.peak(kind, 3));
            assert!(one > 0 && three == 3 * one, "{isa} {kind:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn bytes_of_any_shape(seed: u64, terms in 1_usize..300, rows in 1_usize..30, columns in 1_usize..70) {
        agree(terms, &bytes(seed, rows * terms), &bytes(!seed, columns * terms));
    }

    #[test]
    fn words_of_any_shape(seed: u64, terms in 1_usize..300, rows in 1_usize..30, columns in 1_usize..70) {
        agree(terms, &words(seed, rows * terms), &words(!seed, columns * terms));
    }
}
