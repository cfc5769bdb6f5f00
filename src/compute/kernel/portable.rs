//! The kernels in plain Rust, for machines without the instructions that the other ones need.
//!
//! Written so that the compiler finds multiply-add instructions for vectors of words: `pmaddwd` on every
//! x86-64, `smlal` on every aarch64. Bytes are widened to words when they are packed.

use std::hint::black_box;

use super::{
    isa::{Kernels, Kind},
    pack::Shape,
    tile::Sums,
};

#[derive(Clone, Copy, Debug)]
pub(super) struct Portable;

const ROWS: usize = 2;
const COLUMNS: usize = 4;
/// Words of a group.
const WORDS: usize = 8;
/// Partial sums that a group leaves.
const LANES: usize = 4;

type Group = [i16; WORDS];
type Partial = [i32; LANES];

impl Kernels for Portable {
    fn name(&self) -> &'static str {
        "portable"
    }

    fn dot_instruction(&self, _kind: Kind) -> &'static str {
        if cfg!(target_arch = "x86_64") { "pmaddwd xmm" } else { "multiply-add, as compiled" }
    }

    fn shape(&self, _kind: Kind) -> Shape {
        Shape { rows: ROWS, columns: COLUMNS, group: 2 * WORDS, element: 2, shifted: false }
    }

    fn tile(&self, _kind: Kind, rows: &[u8], columns: &[u8], _ahead: &[u8], sums: &mut Sums) {
        let mut partial = [[[0; LANES]; COLUMNS]; ROWS];
        let rows = rows.as_chunks::<{ 2 * WORDS * ROWS }>().0;
        for (rows, columns) in rows.iter().zip(columns.as_chunks::<{ 2 * WORDS * COLUMNS }>().0) {
            let columns: [Group; COLUMNS] = groups(columns);
            for (row, partial) in groups::<ROWS>(rows).iter().zip(&mut partial) {
                columns.iter().zip(partial).for_each(|(column, partial)| add_products(partial, row, column));
            }
        }
        let whole = partial.iter().flatten().map(|partial| partial.iter().copied().fold(0, i32::wrapping_add));
        sums.iter_mut().zip(whole).for_each(|(sum, whole)| *sum = whole);
    }

    fn dots_i8(&self, rows: &[&[i8]], columns: &[&[i8]], sums: &mut [i32]) {
        each_with_each(rows, columns, sums, |row, column| {
            let products = row.iter().zip(column).map(|(a, b)| i32::from(*a) * i32::from(*b));
            products.fold(0, i32::wrapping_add)
        });
    }

    fn dots_i16(&self, rows: &[&[i16]], columns: &[&[i16]], sums: &mut [i32]) {
        each_with_each(rows, columns, sums, |row, column| {
            let products = row.iter().zip(column).map(|(a, b)| i32::from(*a) * i32::from(*b));
            products.fold(0, i32::wrapping_add)
        });
    }

    fn peak(&self, _kind: Kind, rounds: u64) -> u64 {
        let (a, b): (Group, Group) = black_box(([3; WORDS], [5; WORDS]));
        let mut partial = [[0; LANES]; 8];
        for _ in 0..rounds {
            partial.iter_mut().for_each(|partial| add_products(partial, &a, &b));
        }
        black_box(partial);
        rounds * (8 * WORDS) as u64
    }
}

fn groups<const N: usize>(bytes: &[u8]) -> [Group; N] {
    let words = bytes.as_chunks::<2>().0;
    std::array::from_fn(|at| std::array::from_fn(|word| i16::from_le_bytes(words[at * WORDS + word])))
}

#[inline(always)]
fn add_products(partial: &mut Partial, row: &Group, column: &Group) {
    for (lane, sum) in partial.iter_mut().enumerate() {
        let at = 2 * lane;
        let first = i32::from(row[at]) * i32::from(column[at]);
        let second = i32::from(row[at + 1]) * i32::from(column[at + 1]);
        *sum = sum.wrapping_add(first.wrapping_add(second));
    }
}

fn each_with_each<E>(rows: &[&[E]], columns: &[&[E]], sums: &mut [i32], dot: impl Fn(&[E], &[E]) -> i32) {
    let pairs = rows.iter().flat_map(|row| columns.iter().map(move |column| (row, column)));
    sums.iter_mut().zip(pairs).for_each(|(sum, (row, column))| *sum = dot(row, column));
}
