//! A tile of 12 rows and two vectors of columns, and the loop of registers alone that shows the CPU's limit.
//!
//! 24 accumulators, the two vectors and one broadcast row fill 27 of 32 registers; each loaded vector of
//! columns is used twelve times, each row twice.

use std::{
    arch::x86_64::{__m512i, _MM_HINT_T0, _MM_HINT_T1, _mm_prefetch, _mm512_set1_epi32, _mm512_setzero_si512},
    hint::black_box,
};

use super::{super::tile::Sums, Dot, GROUP, VECTOR, load, store};

pub(super) const ROWS: usize = 12;
pub(super) const COLUMNS: usize = 32;
/// Groups between two requests for memory: an eighth of their columns is one line of the next panel.
const UNROLL: usize = 4;
/// Runs of groups by which the first cache is asked early.
const EARLY: usize = 2;

type Accumulators = [[__m512i; 2]; ROWS];
type Rows = [[u8; GROUP]; ROWS];
type Columns = [[u8; VECTOR]; 2];

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn tile<D: Dot>(rows: &[u8], columns: &[u8], ahead: &[u8], sums: &mut Sums) {
    let mut accumulators = [[_mm512_setzero_si512(); 2]; ROWS];
    let rows = rows.as_chunks::<GROUP>().0.as_chunks::<ROWS>().0;
    let columns = columns.as_chunks::<VECTOR>().0.as_chunks::<2>().0;
    let (row_runs, rows) = rows.as_chunks::<UNROLL>();
    let (column_runs, columns) = columns.as_chunks::<UNROLL>();
    let mut next = ahead.as_ptr();
    for (rows, columns) in row_runs.iter().zip(column_runs) {
        _mm_prefetch::<_MM_HINT_T1>(next.cast());
        next = next.wrapping_add(VECTOR);
        soon_read(rows);
        soon_read(columns);
        steps::<D>(rows, columns, &mut accumulators);
    }
    steps::<D>(rows, columns, &mut accumulators);
    let vectors = accumulators.iter().flatten();
    sums.as_chunks_mut::<16>().0.iter_mut().zip(vectors).for_each(|(place, vector)| store(place, *vector));
}

#[inline]
#[target_feature(enable = "avx512f")]
fn soon_read<T>(run: &[T; UNROLL]) {
    let early = std::ptr::from_ref(run).wrapping_add(EARLY).cast::<i8>();
    for line in (0..size_of_val(run)).step_by(VECTOR) {
        _mm_prefetch::<_MM_HINT_T0>(early.wrapping_add(line));
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn steps<D: Dot>(rows: &[Rows], columns: &[Columns], accumulators: &mut Accumulators) {
    for (rows, [first, second]) in rows.iter().zip(columns) {
        let (first, second) = (load(first), load(second));
        for (row, accumulators) in rows.iter().zip(accumulators.iter_mut()) {
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
pub(super) fn peak<D: Dot>(rounds: u64) -> u64 {
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
