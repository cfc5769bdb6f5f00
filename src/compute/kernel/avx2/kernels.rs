//! The loops, once for each set of features: what is inlined into a function must be compiled for the same.
//!
//! The tile is six rows and two vectors of columns: twelve accumulators, the two vectors and one broadcast row
//! fill 15 of 16 registers.

use std::{
    arch::{
        asm,
        x86_64::{
            __m256i, _MM_HINT_T1, _mm_prefetch, _mm256_set1_epi32, _mm256_setzero_si256, _mm256_storeu_si256,
            _mm256_sub_epi32,
        },
    },
    hint::black_box,
};

use super::{super::tile::Sums, Dot, GROUP, Plain, VECTOR, load};

pub(super) const ROWS: usize = 6;
pub(super) const COLUMNS: usize = 16;
/// Groups between two requests for memory: an eighth of their columns is one line of the next panel.
const UNROLL: usize = 8;
/// Bytes that a request for memory brings.
const LINE: usize = 64;
/// Columns that are multiplied at once as they lie in memory.
const DOTS: usize = 4;
/// Vectors that are added up in registers alone to learn the CPU's limit: more of them would not stay there.
const CHAINS: usize = 12;

type Accumulators = [[__m256i; 2]; ROWS];
type Rows = [[u8; GROUP]; ROWS];
type Columns = [[u8; VECTOR]; 2];

macro_rules! kernels {
    ($name:ident, $features:literal) => {
        pub(super) mod $name {
            use super::*;

            /// # Safety
            /// The features are all that `D` needs.
            #[target_feature(enable = $features)]
            pub unsafe fn tile<D: Dot>(rows: &[u8], columns: &[u8], ahead: &[u8], sums: &mut Sums) {
                let mut accumulators = [[_mm256_setzero_si256(); 2]; ROWS];
                let rows = rows.as_chunks::<GROUP>().0.as_chunks::<ROWS>().0;
                let columns = columns.as_chunks::<VECTOR>().0.as_chunks::<2>().0;
                let (row_runs, rows) = rows.as_chunks::<UNROLL>();
                let (column_runs, columns) = columns.as_chunks::<UNROLL>();
                let mut next = ahead.as_ptr();
                for (rows, columns) in row_runs.iter().zip(column_runs) {
                    _mm_prefetch::<_MM_HINT_T1>(next.cast());
                    next = next.wrapping_add(LINE);
                    steps::<D>(rows, columns, &mut accumulators);
                }
                steps::<D>(rows, columns, &mut accumulators);
                let places = sums.as_chunks_mut::<8>().0.iter_mut();
                places.zip(accumulators.iter().flatten()).for_each(|(place, vector)| *place = unpacked(*vector));
            }

            #[inline]
            #[target_feature(enable = $features)]
            fn steps<D: Dot>(rows: &[Rows], columns: &[Columns], accumulators: &mut Accumulators) {
                for (rows, [first, second]) in rows.iter().zip(columns) {
                    let (first, second) = (load(first), load(second));
                    for (row, accumulators) in rows.iter().zip(accumulators.iter_mut()) {
                        let row = _mm256_set1_epi32(i32::from_le_bytes(*row));
                        // SAFETY: the callers give a `D` that needs no other features.
                        unsafe {
                            accumulators[0] = D::add(accumulators[0], first, row);
                            accumulators[1] = D::add(accumulators[1], second, row);
                        }
                    }
                }
            }

            /// # Safety
            /// The features are all that `D` needs.
            #[target_feature(enable = $features)]
            pub unsafe fn peak<D: Dot>(rounds: u64) -> u64 {
                let (a, mut b) = (_mm256_set1_epi32(0x0102_0304), _mm256_set1_epi32(0x0403_0201));
                let mut accumulators = [_mm256_setzero_si256(); CHAINS];
                for _ in 0..rounds {
                    for sums in &mut accumulators {
                        // SAFETY: the caller gives a `D` that needs no other features. No instruction stands
                        // in the assembly: it makes a compiler believe that every product is another one.
                        unsafe {
                            asm!("/* {0} */", inout(ymm_reg) b, options(pure, nomem, nostack, preserves_flags));
                            *sums = D::add(*sums, a, b);
                        }
                    }
                }
                black_box(accumulators);
                rounds * (CHAINS * D::PRODUCTS) as u64
            }

            /// Each row with each column as they lie in memory; `sums` row by row.
            ///
            /// # Safety
            /// The features are all that `D` needs.
            #[target_feature(enable = $features)]
            pub unsafe fn dots<D: Dot>(rows: &[&[D::Element]], columns: &[&[D::Element]], sums: &mut [i32]) {
                let (fours, rest) = columns.as_chunks::<DOTS>();
                for (row, sums) in rows.iter().zip(sums.chunks_mut(columns.len().max(1))) {
                    let (four_sums, rest_sums) = sums.as_chunks_mut::<DOTS>();
                    for (columns, sums) in fours.iter().zip(four_sums) {
                        *sums = row_dots::<D, DOTS>(bytes(row), columns.map(bytes));
                    }
                    // a remainder of the places is of the length of the remainder of the columns
                    for (column, sum) in rest.iter().zip(rest_sums) {
                        [*sum] = row_dots::<D, 1>(bytes(row), [bytes(column)]);
                    }
                }
            }

            /// All must have one length; what is longer is cut.
            #[target_feature(enable = $features)]
            fn row_dots<D: Dot, const C: usize>(row: &[u8], columns: [&[u8]; C]) -> [i32; C] {
                let len = columns.iter().map(|column| column.len()).min().unwrap_or_default().min(row.len());
                let whole = len / VECTOR;
                let row_vectors = &row.as_chunks::<VECTOR>().0[..whole];
                let column_vectors = columns.map(|column| &column.as_chunks::<VECTOR>().0[..whole]);
                let mut sums = [_mm256_setzero_si256(); C];
                let mut added = _mm256_setzero_si256();
                // SAFETY: the callers give a `D` that needs no other features.
                unsafe {
                    for at in 0..whole {
                        for (sum, column) in sums.iter_mut().zip(column_vectors) {
                            *sum = D::step(*sum, &column[at], &row_vectors[at]);
                        }
                        added = D::shift(added, &row_vectors[at]);
                    }
                    let row = padded(&row[whole * VECTOR..len]);
                    for (sum, column) in sums.iter_mut().zip(columns) {
                        *sum = D::step(*sum, &padded(&column[whole * VECTOR..len]), &row);
                    }
                    added = D::shift(added, &row);
                }
                sums.map(|sum| unpacked(_mm256_sub_epi32(sum, added)).into_iter().fold(0, i32::wrapping_add))
            }

            #[inline]
            #[target_feature(enable = $features)]
            fn unpacked(vector: __m256i) -> [i32; 8] {
                let mut values = [0; 8];
                // SAFETY: the array is the 32 bytes that an unaligned store writes.
                unsafe { _mm256_storeu_si256(values.as_mut_ptr().cast(), vector) };
                values
            }
        }
    };
}

kernels!(avx2, "avx2");
kernels!(vnni, "avx2,avxvnni");

fn bytes<E: Plain>(values: &[E]) -> &[u8] {
    // SAFETY: these integers have no padding, and any byte is a u8.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

/// Fewer bytes than a vector has, and zeros.
fn padded(rest: &[u8]) -> [u8; VECTOR] {
    let mut padded = [0; VECTOR];
    padded.iter_mut().zip(rest).for_each(|(slot, byte)| *slot = *byte);
    padded
}
