//! Packing: sixteen lanes at a time become sixteen groups, by turning a square of 32-bit values.

use std::arch::x86_64::{
    __m512i, _mm512_permutex2var_epi16, _mm512_set1_epi8, _mm512_setzero_si512, _mm512_shuffle_i32x4,
    _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64, _mm512_xor_si512,
};

use super::{GROUP, Plain, load, store};

/// Lanes of a square, and groups of it.
const SIDE: usize = 16;

/// Writes the whole vectors that all lanes have; how many groups those are. Bytes are flipped by `flip`.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn lanes<E: Plain>(lanes: &[&[E]], width: usize, flip: u8, packed: &mut [u8]) -> usize {
    let runs = lanes.iter().map(|lane| lane.len() / E::COUNT).min().unwrap_or_default();
    let flip = _mm512_set1_epi8(flip.cast_signed());
    for (run, places) in packed.chunks_exact_mut(SIDE * width * GROUP).take(runs).enumerate() {
        for (at, lanes) in lanes.chunks(SIDE).enumerate() {
            let mut square = [_mm512_setzero_si512(); SIDE];
            for (vector, lane) in square.iter_mut().zip(lanes) {
                *vector = _mm512_xor_si512(load(&lane[run * E::COUNT..]), flip);
            }
            let first = at * SIDE * GROUP;
            for (place, vector) in places.chunks_exact_mut(width * GROUP).zip(turned(square)) {
                store(&mut place[first..first + lanes.len() * GROUP], vector);
            }
        }
    }
    runs * SIDE
}

/// Weaves pairs of rows as long as a panel's 32 columns are all there; how many rows.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn pairs(rows: &[i16], stride: usize, first: usize, packed: &mut [u8]) -> usize {
    const WIDTH: usize = 2 * SIDE;
    const ORDER: [i16; 2 * WIDTH] = {
        let mut order = [0; 2 * WIDTH];
        let mut at = 0;
        while at < 2 * WIDTH {
            order[at] = (at / 2 + at % 2 * WIDTH) as i16;
            at += 1;
        }
        order
    };
    if first + WIDTH > stride {
        return 0;
    }
    let (low, high) = (load(&ORDER[..WIDTH]), load(&ORDER[WIDTH..]));
    let mut done = 0;
    for (pair, place) in rows.chunks_exact(2 * stride).zip(packed.chunks_exact_mut(WIDTH * GROUP)) {
        let (above, below) = pair.split_at(stride);
        let (above, below) = (load(&above[first..first + WIDTH]), load(&below[first..first + WIDTH]));
        let (left, right) = place.split_at_mut(WIDTH * GROUP / 2);
        store(left, _mm512_permutex2var_epi16(above, low, below));
        store(right, _mm512_permutex2var_epi16(above, high, below));
        done += 2;
    }
    done
}

/// Rows become columns.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn turned(rows: [__m512i; SIDE]) -> [__m512i; SIDE] {
    let mut quads = [_mm512_setzero_si512(); SIDE];
    for (rows, quads) in rows.as_chunks::<4>().0.iter().zip(quads.as_chunks_mut::<4>().0) {
        let low = [_mm512_unpacklo_epi32(rows[0], rows[1]), _mm512_unpacklo_epi32(rows[2], rows[3])];
        let high = [_mm512_unpackhi_epi32(rows[0], rows[1]), _mm512_unpackhi_epi32(rows[2], rows[3])];
        quads[0] = _mm512_unpacklo_epi64(low[0], low[1]);
        quads[1] = _mm512_unpackhi_epi64(low[0], low[1]);
        quads[2] = _mm512_unpacklo_epi64(high[0], high[1]);
        quads[3] = _mm512_unpackhi_epi64(high[0], high[1]);
    }
    // quarter q of quads[4·r + c] is now column 4·q + c of rows 4·r … 4·r + 3
    let mut columns = [_mm512_setzero_si512(); SIDE];
    for column in 0..4 {
        let [a, b, c, d] = [0, 4, 8, 12].map(|row| quads[row + column]);
        let even = [_mm512_shuffle_i32x4::<0x88>(a, b), _mm512_shuffle_i32x4::<0x88>(c, d)];
        let odd = [_mm512_shuffle_i32x4::<0xdd>(a, b), _mm512_shuffle_i32x4::<0xdd>(c, d)];
        columns[column] = _mm512_shuffle_i32x4::<0x88>(even[0], even[1]);
        columns[column + 4] = _mm512_shuffle_i32x4::<0x88>(odd[0], odd[1]);
        columns[column + 8] = _mm512_shuffle_i32x4::<0xdd>(even[0], even[1]);
        columns[column + 12] = _mm512_shuffle_i32x4::<0xdd>(odd[0], odd[1]);
    }
    columns
}
