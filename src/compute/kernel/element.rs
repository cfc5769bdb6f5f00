//! The integers that are multiplied, and how single ones of them are written when they are packed.

use super::{
    isa::{Isa, Kind},
    pack::{FIRST_TERM, Shape},
};

/// An integer that the kernels multiply: `i8` or `i16`.
pub trait Element: Copy + Default + Send + Sync + Sealed + 'static {
    const KIND: Kind;
}

/// What only this module's elements know.
pub trait Sealed: Copy {
    #[doc(hidden)]
    const ZERO: Self;
    /// Writes a full group, of as many bytes as there are elements times `element`.
    #[doc(hidden)]
    fn write(group: &[Self], element: usize, shifted: bool, bytes: &mut [u8]);
    /// Writes one group of each column, of which every term is a row.
    #[doc(hidden)]
    fn weave(terms: &[&[Self]], shape: &Shape, packed: &mut [u8]) {
        weave(terms, shape, packed);
    }
    /// Writes the first groups of a panel of the columns from `first` on, out of rows of `stride` columns; how many
    /// of the rows.
    #[doc(hidden)]
    fn weave_rows(_isa: Isa, _rows: &[Self], _stride: usize, _first: usize, _packed: &mut [u8]) -> usize {
        0
    }
    /// Writes the full groups of one lane where groups have four bytes; how many.
    #[doc(hidden)]
    fn scatter(lane: &[Self], element: usize, shifted: bool, at: usize, width: usize, places: &mut [u8]) -> usize;
    /// Writes the first groups of all lanes; how many of them.
    #[doc(hidden)]
    fn pack(isa: Isa, lanes: &[&[Self]], width: usize, shifted: bool, packed: &mut [u8]) -> usize;
    #[doc(hidden)]
    fn sum(values: &[Self]) -> i32;
    #[doc(hidden)]
    fn dots(isa: Isa, rows: &[&[Self]], columns: &[&[Self]], sums: &mut [i32]);
}

fn weave<E: Sealed>(terms: &[&[E]], shape: &Shape, packed: &mut [u8]) {
    let mut group = [E::ZERO; FIRST_TERM];
    let columns = terms.iter().map(|row| row.len()).min().unwrap_or_default();
    for (column, place) in (0..columns).zip(packed.chunks_exact_mut(shape.group)) {
        group.iter_mut().zip(terms).for_each(|(slot, row)| *slot = row[column]);
        E::write(&group[..terms.len()], shape.element, shape.shifted, place);
    }
}

impl Element for i8 {
    const KIND: Kind = Kind::Int8;
}

impl Sealed for i8 {
    const ZERO: i8 = 0;

    #[inline]
    fn write(group: &[i8], element: usize, shifted: bool, bytes: &mut [u8]) {
        if element == 1 {
            bytes.iter_mut().zip(group).for_each(|(byte, value)| *byte = *value as u8 ^ flip(shifted));
        } else {
            let words = bytes.as_chunks_mut::<2>().0.iter_mut();
            words.zip(group).for_each(|(word, value)| *word = i16::from(*value).to_le_bytes());
        }
    }

    fn scatter(lane: &[i8], element: usize, shifted: bool, at: usize, width: usize, places: &mut [u8]) -> usize {
        let places = every(places, at, width);
        if element == 1 {
            let groups = lane.as_chunks::<4>().0;
            let four = |group: &[i8; 4]| group.map(|value| value as u8 ^ flip(shifted));
            places.zip(groups).map(|(place, group)| *place = four(group)).count()
        } else {
            let groups = lane.as_chunks::<2>().0;
            places.zip(groups).map(|(place, [a, b])| *place = pair(i16::from(*a), i16::from(*b))).count()
        }
    }

    fn pack(isa: Isa, lanes: &[&[i8]], width: usize, shifted: bool, packed: &mut [u8]) -> usize {
        isa.kernels().pack_i8(lanes, width, shifted, packed)
    }

    fn sum(values: &[i8]) -> i32 {
        values.iter().map(|value| i32::from(*value)).fold(0, i32::wrapping_add)
    }

    fn dots(isa: Isa, rows: &[&[i8]], columns: &[&[i8]], sums: &mut [i32]) {
        isa.kernels().dots_i8(rows, columns, sums);
    }
}

/// Eight terms a group, of four columns at a time where there are as many.
fn weave_eights(terms: [&[i16]; 8], packed: &mut [u8]) {
    let columns = terms.iter().map(|row| row.len()).min().unwrap_or_default();
    let whole = columns / 4;
    let fours = terms.map(|row| &row.as_chunks::<4>().0[..whole]);
    for (at, places) in packed.as_chunks_mut::<64>().0.iter_mut().take(whole).enumerate() {
        let square = fours.map(|row| row[at]);
        for (column, place) in places.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            let lane = square.map(|four| four[column].to_le_bytes());
            place.copy_from_slice(lane.as_flattened());
        }
    }
    for (column, place) in packed.as_chunks_mut::<16>().0.iter_mut().enumerate().take(columns).skip(whole * 4) {
        place.copy_from_slice(terms.map(|row| row[column].to_le_bytes()).as_flattened());
    }
}

impl Element for i16 {
    const KIND: Kind = Kind::Int16;
}

impl Sealed for i16 {
    const ZERO: i16 = 0;

    #[inline]
    fn weave(terms: &[&[i16]], shape: &Shape, packed: &mut [u8]) {
        match (shape.group, terms) {
            (4, [first, second]) => {
                let places = packed.as_chunks_mut::<4>().0.iter_mut();
                places.zip(first.iter().zip(*second)).for_each(|(place, (a, b))| *place = pair(*a, *b));
            }
            (16, [a, b, c, d, e, f, g, h]) => weave_eights([a, b, c, d, e, f, g, h], packed),
            _ => weave(terms, shape, packed),
        }
    }

    fn weave_rows(isa: Isa, rows: &[i16], stride: usize, first: usize, packed: &mut [u8]) -> usize {
        isa.kernels().weave_i16(rows, stride, first, packed)
    }

    #[inline]
    fn write(group: &[i16], _element: usize, _shifted: bool, bytes: &mut [u8]) {
        let words = bytes.as_chunks_mut::<2>().0.iter_mut();
        words.zip(group).for_each(|(word, value)| *word = value.to_le_bytes());
    }

    fn scatter(lane: &[i16], _element: usize, _shifted: bool, at: usize, width: usize, places: &mut [u8]) -> usize {
        let groups = lane.as_chunks::<2>().0;
        every(places, at, width).zip(groups).map(|(place, [a, b])| *place = pair(*a, *b)).count()
    }

    fn pack(isa: Isa, lanes: &[&[i16]], width: usize, shifted: bool, packed: &mut [u8]) -> usize {
        isa.kernels().pack_i16(lanes, width, shifted, packed)
    }

    fn sum(values: &[i16]) -> i32 {
        values.iter().map(|value| i32::from(*value)).fold(0, i32::wrapping_add)
    }

    fn dots(isa: Isa, rows: &[&[i16]], columns: &[&[i16]], sums: &mut [i32]) {
        isa.kernels().dots_i16(rows, columns, sums);
    }
}

fn flip(shifted: bool) -> u8 {
    if shifted { 0x80 } else { 0 }
}

fn pair(first: i16, second: i16) -> [u8; 4] {
    let ([a, b], [c, d]) = (first.to_le_bytes(), second.to_le_bytes());
    [a, b, c, d]
}

/// The places of lane `at` of `width`.
fn every(places: &mut [u8], at: usize, width: usize) -> impl Iterator<Item = &mut [u8; 4]> {
    places.as_chunks_mut::<4>().0.iter_mut().skip(at).step_by(width)
}
