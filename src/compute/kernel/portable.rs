//! The kernels in plain Rust, for machines without the instructions that the other ones need.
//!
//! Bytes are widened to words. The one step of all of them, eight products into four sums, is `pmaddwd` on
//! every x86-64; elsewhere it is written so that the compiler can make vectors of it (`smlal` on aarch64).

use std::hint::black_box;

#[cfg(not(target_arch = "x86_64"))]
use plain::{add_products, hide, widened};
#[cfg(target_arch = "x86_64")]
use sse2::{add_products, hide, widened};

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
        sums.iter_mut().zip(partial.as_flattened()).for_each(|(sum, partial)| *sum = whole(partial));
    }

    fn dots_i8(&self, rows: &[&[i8]], columns: &[&[i8]], sums: &mut [i32]) {
        dots(rows, columns, sums, |row, column| dot(row, column, widened));
    }

    fn dots_i16(&self, rows: &[&[i16]], columns: &[&[i16]], sums: &mut [i32]) {
        dots(rows, columns, sums, |row, column| dot(row, column, |words| *words));
    }

    fn peak(&self, _kind: Kind, rounds: u64) -> u64 {
        let (a, mut b): (Group, Group) = black_box(([3; WORDS], [5; WORDS]));
        let mut partial = [[0; LANES]; 8];
        for _ in 0..rounds {
            for partial in &mut partial {
                hide(&mut b);
                add_products(partial, &a, &b);
            }
        }
        black_box(partial);
        rounds * (8 * WORDS) as u64
    }
}

fn groups<const N: usize>(bytes: &[u8]) -> [Group; N] {
    let words = bytes.as_chunks::<2>().0;
    std::array::from_fn(|at| std::array::from_fn(|word| i16::from_le_bytes(words[at * WORDS + word])))
}

fn whole(partial: &Partial) -> i32 {
    partial.iter().copied().fold(0, i32::wrapping_add)
}

/// Each row with each column, as they lie in memory.
fn dots<E>(rows: &[&[E]], columns: &[&[E]], sums: &mut [i32], dot: impl Fn(&[E], &[E]) -> i32) {
    for (row, sums) in rows.iter().zip(sums.chunks_mut(columns.len().max(1))) {
        columns.iter().zip(sums).for_each(|(column, sum)| *sum = dot(row, column));
    }
}

fn dot<E: Copy + Into<i32>>(row: &[E], column: &[E], words: impl Fn(&[E; WORDS]) -> Group) -> i32 {
    let mut partial = [[0; LANES]; 4];
    let ((rows, row), (columns, column)) = (row.as_chunks::<{ 4 * WORDS }>(), column.as_chunks::<{ 4 * WORDS }>());
    for (row, column) in rows.iter().zip(columns) {
        let groups = row.as_chunks().0.iter().zip(column.as_chunks().0);
        for (partial, (row, column)) in partial.iter_mut().zip(groups) {
            add_products(partial, &words(row), &words(column));
        }
    }
    partial.iter().map(whole).fold(plain(row, column), i32::wrapping_add)
}

fn plain<E: Copy + Into<i32>>(row: &[E], column: &[E]) -> i32 {
    row.iter().zip(column).map(|(a, b)| (*a).into() * (*b).into()).fold(0, i32::wrapping_add)
}

/// The step of eight products on every x86-64.
#[cfg(target_arch = "x86_64")]
mod sse2 {
    use std::{
        arch::{
            asm,
            x86_64::{__m128i, _mm_add_epi32, _mm_cvtsi64_si128, _mm_madd_epi16, _mm_srai_epi16, _mm_unpacklo_epi8},
        },
        mem::transmute,
    };

    use super::{Group, Partial, WORDS};

    fn vector(words: Group) -> __m128i {
        // SAFETY: both are 16 bytes that may be any.
        unsafe { transmute::<Group, __m128i>(words) }
    }

    /// Adds eight products to four sums, two to each.
    #[inline(always)]
    pub fn add_products(partial: &mut Partial, row: &Group, column: &Group) {
        // SAFETY: every x86-64 has SSE2; both types are 16 bytes that may be any.
        *partial = unsafe {
            let sums = transmute::<Partial, __m128i>(*partial);
            let products = _mm_madd_epi16(vector(*row), vector(*column));
            transmute::<__m128i, Partial>(_mm_add_epi32(sums, products))
        };
    }

    #[inline(always)]
    pub fn widened(values: &[i8; WORDS]) -> Group {
        let bytes = values.map(i8::cast_unsigned);
        // SAFETY: every x86-64 has SSE2; both types are 16 bytes that may be any.
        unsafe {
            let bytes = _mm_cvtsi64_si128(i64::from_le_bytes(bytes));
            transmute::<__m128i, Group>(_mm_srai_epi16::<8>(_mm_unpacklo_epi8(bytes, bytes)))
        }
    }

    /// Makes the compiler believe that these are other words.
    #[inline(always)]
    pub fn hide(words: &mut Group) {
        let mut hidden = vector(*words);
        // SAFETY: no instruction stands in the assembly; both types are 16 bytes that may be any.
        unsafe {
            asm!("/* {0} */", inout(xmm_reg) hidden, options(pure, nomem, nostack, preserves_flags));
            *words = transmute::<__m128i, Group>(hidden);
        }
    }
}

/// The step of eight products elsewhere.
#[cfg(not(target_arch = "x86_64"))]
mod plain {
    use std::hint::black_box;

    use super::{Group, LANES, Partial, WORDS};

    /// Adds eight products to four sums, two to each.
    #[inline(always)]
    pub fn add_products(partial: &mut Partial, row: &Group, column: &Group) {
        for half in [0, LANES] {
            for (lane, sum) in partial.iter_mut().enumerate() {
                let product = i32::from(row[half + lane]) * i32::from(column[half + lane]);
                *sum = sum.wrapping_add(product);
            }
        }
    }

    pub fn widened(values: &[i8; WORDS]) -> Group {
        values.map(i16::from)
    }

    /// Makes the compiler believe that these are other words.
    pub fn hide(words: &mut Group) {
        *words = black_box(*words);
    }
}
