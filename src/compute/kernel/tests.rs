//! Every instruction set of this machine against sums written as the definition says.

use proptest::prelude::*;

use super::{Element, Isa, Panels, Strip, Total, dots};

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
        strip.multiply_add(&panels, out, width);
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
