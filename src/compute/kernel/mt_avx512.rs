//! The Mersenne Twister sixteen words at a time, for cores with AVX-512 and VBMI2.
//!
//! The same words and draws as the plain loops of `mt19937`, which test it. It keeps nothing between two calls
//! and decides nothing about what is drawn.

use std::arch::x86_64::{
    __m512i, _mm512_alignr_epi32, _mm512_and_si512, _mm512_cmple_epu16_mask, _mm512_loadu_si512, _mm512_mask_xor_epi32,
    _mm512_maskz_compress_epi16, _mm512_permutexvar_epi16, _mm512_set1_epi16, _mm512_set1_epi32, _mm512_shldi_epi16,
    _mm512_slli_epi32, _mm512_srli_epi16, _mm512_srli_epi32, _mm512_storeu_si512, _mm512_sub_epi16,
    _mm512_ternarylogic_epi32, _mm512_test_epi32_mask, _mm512_xor_si512,
};

use crate::compute::mt19937::{Cut, MIDDLE, State, TEMPER_7, TEMPER_15, TWIST, UPPER, WORDS};

/// Words in a vector.
const LANES: usize = 16;
/// Words that are cut at a time: a vector of 16-bit values.
const CUT_LANES: usize = 32;
/// Vectors of a state.
const VECTORS: usize = WORDS / LANES;
/// The word [`MIDDLE`] places on lies so many vectors and words on.
const FAR_VECTORS: usize = MIDDLE / LANES;
const FAR_WORDS: i32 = (MIDDLE % LANES) as i32;
/// Truth tables of three operands: the second where the first is set, else the third.
const CHOOSE: i32 = 0xca;
/// The first xor (second and third).
const XOR_AND: i32 = 0x78;

/// The proof that this CPU has the instructions: [`detect`] alone makes one.
#[derive(Clone, Copy, Debug)]
pub struct Wide(());

/// Where this CPU has every instruction that is used here.
pub fn detect() -> Option<Wide> {
    let here = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vbmi2")
        && is_x86_feature_detected!("popcnt");
    here.then_some(Wide(()))
}

impl Wide {
    /// The next 624 words of the recurrence, in place.
    pub fn turn(self, state: &mut State) {
        // SAFETY: `self` is the proof that the CPU has the features of this function.
        unsafe { turn(state) }
    }

    /// Tempers and cuts words into `values` until either ends; how many words were used and values filled.
    /// No word after the last value's is used.
    pub fn take(self, words: &[u32], values: &mut [i16], cut: Cut) -> (usize, usize) {
        // SAFETY: `self` is the proof that the CPU has the features of this function.
        unsafe { take(words, values, cut) }
    }
}

/// Vector 39 stands for vector 0 of the new turn, so that the last words find their successors and no index
/// wraps.
#[target_feature(enable = "avx512f")]
fn turn(state: &mut State) {
    let (mut near, mut far) = (vector(state, 1), vector(state, FAR_VECTORS + 1));
    let first = twisted([vector(state, 0), near, vector(state, FAR_VECTORS), far]);
    place(state, 0, first);
    place(state, VECTORS, first);
    for at in 1..VECTORS {
        let before = if at < VECTORS - FAR_VECTORS { 0 } else { VECTORS };
        let (next, next_far) = (vector(state, at + 1), vector(state, at + 1 + FAR_VECTORS - before));
        place(state, at, twisted([near, next, far, next_far]));
        (near, far) = (next, next_far);
    }
}

/// Sixteen new words out of the old ones, those after them, and the two vectors that hold those 397 on.
#[target_feature(enable = "avx512f")]
fn twisted([near, next, far, next_far]: [__m512i; 4]) -> __m512i {
    let low = _mm512_alignr_epi32::<1>(next, near);
    let middle = _mm512_alignr_epi32::<FAR_WORDS>(next_far, far);
    let joined = _mm512_ternarylogic_epi32::<CHOOSE>(_mm512_set1_epi32(UPPER as i32), near, low);
    let half = _mm512_xor_si512(_mm512_srli_epi32::<1>(joined), middle);
    let odd = _mm512_test_epi32_mask(low, _mm512_set1_epi32(1));
    _mm512_mask_xor_epi32(half, odd, half, _mm512_set1_epi32(TWIST as i32))
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi2,popcnt")]
fn take(words: &[u32], values: &mut [i16], cut: Cut) -> (usize, usize) {
    let (mut used, mut filled) = (0, 0);
    while let (Some(from), Some(to)) = (words[used..].first_chunk(), values[filled..].first_chunk_mut()) {
        filled += compact(from, to, cut).count_ones() as usize;
        used += CUT_LANES;
    }
    while used < words.len() && filled < values.len() {
        let (mut from, mut to) = ([0; CUT_LANES], [0; CUT_LANES]);
        let have = CUT_LANES.min(words.len() - used);
        from[..have].copy_from_slice(&words[used..used + have]);
        let accepted = compact(&from, &mut to, cut) & (u32::MAX >> (CUT_LANES - have));
        let room = values.len() - filled;
        let count = room.min(accepted.count_ones() as usize);
        values[filled..filled + count].copy_from_slice(&to[..count]);
        filled += count;
        used += if count == room { words_of(accepted, count) } else { have };
    }
    (used, filled)
}

/// Words up to the one that is accepted as number `count`.
fn words_of(mut accepted: u32, count: usize) -> usize {
    for _ in 1..count {
        accepted &= accepted.wrapping_sub(1);
    }
    accepted.trailing_zeros() as usize + 1
}

/// Puts the values of accepted words at the beginning of `values`; which words those are. What follows them
/// in `values` is zero.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi2")]
fn compact(words: &[u32; CUT_LANES], values: &mut [i16; CUT_LANES], cut: Cut) -> u32 {
    let (first, second) = words.split_at(LANES);
    let draws = _mm512_and_si512(low_halves(first, second), _mm512_set1_epi16(cut.mask as i16));
    let accepted = _mm512_cmple_epu16_mask(draws, _mm512_set1_epi16(cut.max as i16));
    let moved = _mm512_sub_epi16(draws, _mm512_set1_epi16(cut.offset));
    let kept = _mm512_maskz_compress_epi16(accepted, moved);
    // SAFETY: `values` has 64 bytes; the store wants no alignment.
    unsafe { _mm512_storeu_si512(values.as_mut_ptr().cast(), kept) };
    accepted
}

/// The low halves of 32 tempered words, in their order.
///
/// The last two steps of tempering are done on halves, 32 at a time: the step by 15 changes the high one
/// alone, the step by 18 shifts the high one into the low one.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi2")]
fn low_halves(first: &[u32], second: &[u32]) -> __m512i {
    let (first, second) = (half_tempered(first), half_tempered(second));
    let low = _mm512_set1_epi32(0xffff);
    let lows = _mm512_ternarylogic_epi32::<CHOOSE>(low, first, _mm512_slli_epi32::<16>(second));
    let highs = _mm512_ternarylogic_epi32::<CHOOSE>(low, _mm512_srli_epi32::<16>(first), second);
    // Shifted up by 15, a word's upper half is its bits 1 … 16.
    let mask = _mm512_set1_epi16((TEMPER_15 >> 16) as i16);
    let highs = _mm512_ternarylogic_epi32::<XOR_AND>(highs, _mm512_shldi_epi16::<15>(highs, lows), mask);
    let tempered = _mm512_xor_si512(lows, _mm512_srli_epi16::<2>(highs));
    _mm512_permutexvar_epi16(in_order(), tempered)
}

/// Where the halves of words 0, 16, 1, 17, … are to go: the order 0, 1, 2, ….
#[target_feature(enable = "avx512f")]
fn in_order() -> __m512i {
    const ORDER: [u16; CUT_LANES] = {
        let mut order = [0; CUT_LANES];
        let mut at = 0;
        while at < CUT_LANES {
            order[at] = (at % LANES * 2 + at / LANES) as u16;
            at += 1;
        }
        order
    };
    // SAFETY: the table has 64 bytes; the load wants no alignment.
    unsafe { _mm512_loadu_si512(ORDER.as_ptr().cast()) }
}

/// Sixteen words after the first two steps of tempering.
#[target_feature(enable = "avx512f")]
fn half_tempered(words: &[u32]) -> __m512i {
    let word = load(words);
    let word = _mm512_xor_si512(word, _mm512_srli_epi32::<11>(word));
    let mask = _mm512_set1_epi32(TEMPER_7 as i32);
    _mm512_ternarylogic_epi32::<XOR_AND>(word, _mm512_slli_epi32::<7>(word), mask)
}

#[target_feature(enable = "avx512f")]
fn vector(state: &State, at: usize) -> __m512i {
    load(&state.0[at * LANES..])
}

#[target_feature(enable = "avx512f")]
fn load(words: &[u32]) -> __m512i {
    let words: &[u32; LANES] = words.first_chunk().unwrap_or(&[0; LANES]);
    // SAFETY: an array of 16 words has 64 bytes; the load wants no alignment.
    unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f")]
fn place(state: &mut State, at: usize, vector: __m512i) {
    if let Some(words) = state.0[at * LANES..].first_chunk_mut::<LANES>() {
        // SAFETY: an array of 16 words has 64 bytes; the store wants no alignment.
        unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), vector) };
    }
}
