//! Sixteen blocks of the ChaCha8 keystream at a time: one vector for each word of the state, one block a lane.

use std::arch::x86_64::{
    __m512i, _mm512_add_epi32, _mm512_rol_epi32, _mm512_set1_epi32, _mm512_setr_epi32, _mm512_setzero_si512,
    _mm512_xor_si512,
};

use super::{load, pack::turned, store};

/// Blocks that are made at once.
const BLOCKS: usize = 16;
/// Bytes of a block.
const BLOCK: usize = 64;
/// Words of a state.
const WORDS: usize = 16;
/// The words that hold the number of the block.
const COUNTER: usize = 12;
const DOUBLE_ROUNDS: usize = 4;

type State = [__m512i; WORDS];

/// Fills what whole runs of sixteen blocks fill, from the state's block on; returns how many bytes.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn fill(state: &[u32; WORDS], bytes: &mut [u8]) -> usize {
    let mut start = state.map(|word| _mm512_set1_epi32(word.cast_signed()));
    let mut block = u64::from(state[COUNTER]) | u64::from(state[COUNTER + 1]) << 32;
    let mut done = 0;
    for run in bytes.as_chunks_mut::<{ BLOCKS * BLOCK }>().0 {
        (start[COUNTER], start[COUNTER + 1]) = counters(block);
        let places = run.as_chunks_mut::<BLOCK>().0;
        for (place, block) in places.iter_mut().zip(turned(blocks(&start))) {
            store(place, block);
        }
        block = block.wrapping_add(BLOCKS as u64);
        done += run.len();
    }
    done
}

/// Low and high words of the numbers of sixteen blocks.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn counters(first: u64) -> (__m512i, __m512i) {
    let low = first as u32;
    if low <= u32::MAX - (BLOCKS as u32 - 1) {
        let steps = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        let high = _mm512_set1_epi32((first >> 32) as i32);
        return (_mm512_add_epi32(_mm512_set1_epi32(low.cast_signed()), steps), high);
    }
    let numbers: [u64; BLOCKS] = std::array::from_fn(|at| first.wrapping_add(at as u64));
    (load(&numbers.map(|number| number as i32)), load(&numbers.map(|number| (number >> 32) as i32)))
}

/// Word by word, a block a lane.
#[inline]
#[target_feature(enable = "avx512f")]
fn blocks(start: &State) -> State {
    let mut state = *start;
    for _ in 0..DOUBLE_ROUNDS {
        for column in 0..4 {
            quarter(&mut state, [column, column + 4, column + 8, column + 12]);
        }
        for column in 0..4 {
            quarter(&mut state, [column, (column + 1) % 4 + 4, (column + 2) % 4 + 8, (column + 3) % 4 + 12]);
        }
    }
    let mut sums = [_mm512_setzero_si512(); WORDS];
    for ((sum, word), first) in sums.iter_mut().zip(state).zip(start) {
        *sum = _mm512_add_epi32(word, *first);
    }
    sums
}

#[inline]
#[target_feature(enable = "avx512f")]
fn quarter(state: &mut State, [a, b, c, d]: [usize; 4]) {
    state[a] = _mm512_add_epi32(state[a], state[b]);
    state[d] = _mm512_rol_epi32::<16>(_mm512_xor_si512(state[d], state[a]));
    state[c] = _mm512_add_epi32(state[c], state[d]);
    state[b] = _mm512_rol_epi32::<12>(_mm512_xor_si512(state[b], state[c]));
    state[a] = _mm512_add_epi32(state[a], state[b]);
    state[d] = _mm512_rol_epi32::<8>(_mm512_xor_si512(state[d], state[a]));
    state[c] = _mm512_add_epi32(state[c], state[d]);
    state[b] = _mm512_rol_epi32::<7>(_mm512_xor_si512(state[b], state[c]));
}
