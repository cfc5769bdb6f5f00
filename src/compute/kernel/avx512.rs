//! The kernels for CPUs with AVX-512 VNNI: 64 products of bytes, or 32 of words, in one instruction.
//!
//! The tile is 12 rows by two vectors of columns: 24 accumulators, the two vectors and one broadcast row fill
//! 27 of 32 registers, and each loaded byte is used twelve times. `vpdpbusd` takes one operand unsigned: bytes
//! of columns are shifted by 128, and what that adds, 128 times the row's sum, is taken off by the caller.
//! No instruction here saturates.

use std::{
    arch::x86_64::{
        __m512i, _MM_HINT_T1, _mm_prefetch, _mm512_dpbusd_epi32, _mm512_dpwssd_epi32, _mm512_loadu_si512,
        _mm512_set1_epi32, _mm512_setzero_si512, _mm512_storeu_si512,
    },
    hint::black_box,
};

use super::{
    isa::{Kernels, Kind},
    pack::Shape,
    tile::Sums,
};

const ROWS: usize = 12;
const COLUMNS: usize = 32;
const GROUP: usize = 4;
/// Bytes of a vector.
const VECTOR: usize = 64;
/// Groups between two requests for the next panel's lines.
const UNROLL: usize = 4;

/// The proof that this CPU has the instructions: [`detect`] alone makes one.
struct Avx512(());

static HERE: Avx512 = Avx512(());

pub(super) fn detect() -> Option<&'static dyn Kernels> {
    let here = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vnni");
    here.then_some(&HERE)
}

impl Kernels for Avx512 {
    fn name(&self) -> &'static str {
        "AVX-512 VNNI"
    }

    fn dot_instruction(&self, kind: Kind) -> &'static str {
        match kind {
            Kind::Int8 => "vpdpbusd zmm",
            Kind::Int16 => "vpdpwssd zmm",
        }
    }

    fn shape(&self, kind: Kind) -> Shape {
        let (element, shifted) = match kind {
            Kind::Int8 => (1, true),
            Kind::Int16 => (2, false),
        };
        Shape { rows: ROWS, columns: COLUMNS, group: GROUP, element, shifted }
    }

    fn tile(&self, kind: Kind, rows: &[u8], columns: &[u8], ahead: &[u8], sums: &mut Sums) {
        // SAFETY: `self` is the proof that the CPU has the features of these functions.
        unsafe {
            match kind {
                Kind::Int8 => tile::<Bytes>(rows, columns, ahead, sums),
                Kind::Int16 => tile::<Words>(rows, columns, ahead, sums),
            }
        }
    }

    fn dots_i8(&self, rows: &[&[i8]], columns: &[&[i8]], sums: &mut [i32]) {
        super::portable::Portable.dots_i8(rows, columns, sums);
    }

    fn dots_i16(&self, rows: &[&[i16]], columns: &[&[i16]], sums: &mut [i32]) {
        super::portable::Portable.dots_i16(rows, columns, sums);
    }

    fn peak(&self, kind: Kind, rounds: u64) -> u64 {
        // SAFETY: `self` is the proof that the CPU has the features of these functions.
        unsafe {
            match kind {
                Kind::Int8 => peak::<Bytes>(rounds),
                Kind::Int16 => peak::<Words>(rounds),
            }
        }
    }
}

/// One exact dot instruction: adds the products of each four bytes to an i32.
trait Dot {
    const PRODUCTS: u64;
    /// # Safety
    /// The CPU has AVX-512 F and VNNI.
    unsafe fn add(sums: __m512i, columns: __m512i, rows: __m512i) -> __m512i;
}

struct Bytes;

impl Dot for Bytes {
    const PRODUCTS: u64 = 64;
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    unsafe fn add(sums: __m512i, columns: __m512i, rows: __m512i) -> __m512i {
        _mm512_dpbusd_epi32(sums, columns, rows)
    }
}

struct Words;

impl Dot for Words {
    const PRODUCTS: u64 = 32;
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    unsafe fn add(sums: __m512i, columns: __m512i, rows: __m512i) -> __m512i {
        _mm512_dpwssd_epi32(sums, columns, rows)
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(bytes: &[u8; VECTOR]) -> __m512i {
    // SAFETY: the reference covers the 64 bytes that an unaligned load reads.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(values: &mut [i32; VECTOR / 4], vector: __m512i) {
    // SAFETY: the reference covers the 64 bytes that an unaligned store writes.
    unsafe { _mm512_storeu_si512(values.as_mut_ptr().cast(), vector) }
}

type Accumulators = [[__m512i; 2]; ROWS];

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn tile<D: Dot>(rows: &[u8], columns: &[u8], ahead: &[u8], sums: &mut Sums) {
    let mut accumulators = [[_mm512_setzero_si512(); 2]; ROWS];
    let (row_runs, rows) = rows.as_chunks::<{ UNROLL * ROWS * GROUP }>();
    let (column_runs, columns) = columns.as_chunks::<{ UNROLL * COLUMNS * GROUP }>();
    let mut line = ahead.as_ptr();
    for (rows, columns) in row_runs.iter().zip(column_runs) {
        _mm_prefetch::<_MM_HINT_T1>(line.cast());
        line = line.wrapping_add(VECTOR);
        steps::<D>(rows, columns, &mut accumulators);
    }
    steps::<D>(rows, columns, &mut accumulators);
    let vectors = accumulators.iter().flatten();
    sums.as_chunks_mut().0.iter_mut().zip(vectors).for_each(|(place, vector)| store(place, *vector));
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn steps<D: Dot>(rows: &[u8], columns: &[u8], accumulators: &mut Accumulators) {
    let rows = rows.as_chunks::<{ ROWS * GROUP }>().0;
    for (rows, columns) in rows.iter().zip(columns.as_chunks::<{ COLUMNS * GROUP }>().0) {
        let [first, second] = columns.as_chunks().0 else { continue };
        let (first, second) = (load(first), load(second));
        for (row, accumulators) in rows.as_chunks().0.iter().zip(accumulators.iter_mut()) {
            let row = _mm512_set1_epi32(i32::from_le_bytes(*row));
            // SAFETY: this function has the same features.
            unsafe {
                accumulators[0] = D::add(accumulators[0], first, row);
                accumulators[1] = D::add(accumulators[1], second, row);
            }
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn peak<D: Dot>(rounds: u64) -> u64 {
    let (a, b) = black_box((_mm512_set1_epi32(0x0102_0304), _mm512_set1_epi32(0x0403_0201)));
    let mut accumulators = [_mm512_setzero_si512(); 16];
    for _ in 0..rounds {
        for sums in &mut accumulators {
            // SAFETY: this function has the same features.
            *sums = unsafe { D::add(*sums, a, b) };
        }
    }
    black_box(accumulators);
    rounds * 16 * D::PRODUCTS
}
