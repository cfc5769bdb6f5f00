//! SHA-256 of sixteen rows at a time, for CPUs with AVX-512: one row in each lane.
//!
//! Where a core hashes one message after the other, each step waits for the last; sixteen side by side never
//! wait. It knows rows of integers and no tree, and it is not for secrets.

use std::arch::x86_64::{
    __m256i, __m512i, _mm256_loadu_si256, _mm512_add_epi32, _mm512_castsi256_si512, _mm512_inserti64x4,
    _mm512_loadu_si512, _mm512_ror_epi32, _mm512_set1_epi32, _mm512_setzero_si512, _mm512_shuffle_epi8,
    _mm512_shuffle_i64x2, _mm512_srai_epi32, _mm512_srli_epi32, _mm512_storeu_si512, _mm512_ternarylogic_epi32,
    _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
};

const LANES: usize = ROWS;
/// Values of 8 bytes in a block of SHA-256.
const VALUES: usize = 8;

use super::sha256::{Digests, ROWS};

/// The words of a block, or of the schedule, of all lanes.
type Words = [__m512i; 16];

/// The proof that this CPU has the instructions: [`detect`] alone makes one.
#[derive(Clone, Copy, Debug)]
pub struct Wide(());

/// Where this CPU has every instruction that is used here.
pub fn detect() -> Option<Wide> {
    (is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw")).then_some(Wide(()))
}

impl Wide {
    /// The digests of sixteen rows of one length, each value as the eight bytes of a little-endian int64.
    /// Rows that are longer than the first are cut to it; what a shorter one lacks counts as zeros.
    pub fn digests<V: Value>(self, rows: &[&[V]; LANES]) -> Digests {
        // SAFETY: `self` is the proof that the CPU has the features of this function.
        unsafe { digests(rows) }
    }
}

/// A block of each lane.
type Block<'a, V> = [&'a [V; VALUES]; LANES];

/// An integer that is hashed as int64: `i64`, or `i32` with its sign carried on.
pub trait Value: Copy + 'static {
    #[doc(hidden)]
    const ZEROS: &'static [Self; VALUES];

    /// The words of one block of values.
    ///
    /// # Safety
    /// The CPU has AVX-512 F and BW.
    #[doc(hidden)]
    unsafe fn words(block: Block<Self>) -> Words;
}

impl Value for i32 {
    const ZEROS: &'static [i32; VALUES] = &[0; VALUES];

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn words(block: Block<i32>) -> Words {
        let mut words = [_mm512_setzero_si512(); 16];
        for (pair, value) in words.as_chunks_mut::<2>().0.iter_mut().zip(transposed(block)) {
            *pair = [big_endian(value), _mm512_srai_epi32::<31>(value)];
        }
        words
    }
}

impl Value for i64 {
    const ZEROS: &'static [i64; VALUES] = &[0; VALUES];

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn words(block: Block<i64>) -> Words {
        let mut words = [_mm512_setzero_si512(); 16];
        for (half, words) in words.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            let fours = block.map(|values| &values.as_chunks::<4>().0[half]);
            for (word, four) in words.iter_mut().zip(transposed(fours)) {
                *word = big_endian(four);
            }
        }
        words
    }
}

#[target_feature(enable = "avx512f,avx512bw")]
fn digests<V: Value>(rows: &[&[V]; LANES]) -> Digests {
    let len = rows[0].len();
    let mut state = INITIAL.map(|word| _mm512_set1_epi32(word as i32));
    for at in (0..len - len % VALUES).step_by(VALUES) {
        let block = rows.map(|row| row.get(at..).and_then(<[V]>::first_chunk).unwrap_or(V::ZEROS));
        // SAFETY: this function has the same features.
        compress(&mut state, unsafe { V::words(block) });
    }
    let rest = len % VALUES;
    let ends = rows.map(|row| ending(row.get(len - rest..len).unwrap_or_default()));
    // SAFETY: this function has the same features.
    let mut words = unsafe { V::words(ends.each_ref()) };
    words[2 * rest] = _mm512_set1_epi32(i32::MIN);
    if rest == VALUES - 1 {
        compress(&mut state, words);
        words = [_mm512_setzero_si512(); 16];
    }
    let bits = len as u64 * 64;
    words[14] = _mm512_set1_epi32((bits >> 32) as i32);
    words[15] = _mm512_set1_epi32(bits as i32);
    compress(&mut state, words);
    stored(&state)
}

/// The values after a row's last whole block, and zeros.
fn ending<V: Value>(values: &[V]) -> [V; VALUES] {
    let mut block = *V::ZEROS;
    block.iter_mut().zip(values).for_each(|(slot, value)| *slot = *value);
    block
}

/// Eight words of sixteen lanes out of 32 bytes of each lane.
///
/// Here and below, loops stand where `map` would: a closure with these features is not inlined into `map`.
#[inline]
#[target_feature(enable = "avx512f")]
fn transposed(lanes: [&impl Half; LANES]) -> [__m512i; VALUES] {
    let mut pairs = [_mm512_setzero_si512(); VALUES];
    for (at, pair) in pairs.iter_mut().enumerate() {
        // Lanes 0 … 3 with 4 … 7, and 8 … 11 with 12 … 15: then the lanes come out in their order.
        let lane = at / 4 * 8 + at % 4;
        let low = _mm512_castsi256_si512(load(lanes[lane]));
        *pair = _mm512_inserti64x4::<1>(low, load(lanes[lane + 4]));
    }
    let [a, b, c, d, e, f, g, h] = pairs;
    let (upper, lower) = (quarters([a, b, c, d]), quarters([e, f, g, h]));
    let mut words = pairs;
    for (at, word) in words.iter_mut().enumerate() {
        let (upper, lower) = (upper[at % 4], lower[at % 4]);
        *word = if at < 4 {
            _mm512_shuffle_i64x2::<0b10_00_10_00>(upper, lower)
        } else {
            _mm512_shuffle_i64x2::<0b11_01_11_01>(upper, lower)
        };
    }
    words
}

/// The 32 bytes of one lane; nothing else is one.
trait Half {}

impl Half for [i32; 8] {}

impl Half for [i64; 4] {}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(lane: &impl Half) -> __m256i {
    // SAFETY: the reference covers the 32 bytes that an unaligned load reads.
    unsafe { _mm256_loadu_si256(std::ptr::from_ref(lane).cast()) }
}

/// Transposes each quarter of four vectors.
#[target_feature(enable = "avx512f")]
fn quarters([a, b, c, d]: [__m512i; 4]) -> [__m512i; 4] {
    let (ab_low, ab_high) = (_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    let (cd_low, cd_high) = (_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    [
        _mm512_unpacklo_epi64(ab_low, cd_low),
        _mm512_unpackhi_epi64(ab_low, cd_low),
        _mm512_unpacklo_epi64(ab_high, cd_high),
        _mm512_unpackhi_epi64(ab_high, cd_high),
    ]
}

/// The bytes of each word in the other order.
#[target_feature(enable = "avx512f,avx512bw")]
fn big_endian(words: __m512i) -> __m512i {
    const ORDER: [u8; 64] = {
        let mut order = [0; 64];
        let mut at = 0;
        while at < 64 {
            order[at] = (at % 16 / 4 * 4 + 3 - at % 4) as u8;
            at += 1;
        }
        order
    };
    // SAFETY: the table is the 64 bytes that an unaligned load reads.
    _mm512_shuffle_epi8(words, unsafe { _mm512_loadu_si512(ORDER.as_ptr().cast()) })
}

#[target_feature(enable = "avx512f")]
fn stored(state: &[__m512i; 8]) -> Digests {
    let mut digests = [[0; LANES]; 8];
    for (digest, word) in digests.iter_mut().zip(state) {
        // SAFETY: sixteen u32 are the 64 bytes that an unaligned store writes.
        unsafe { _mm512_storeu_si512(digest.as_mut_ptr().cast(), *word) };
    }
    digests
}

#[target_feature(enable = "avx512f")]
fn sum(a: __m512i, b: __m512i) -> __m512i {
    _mm512_add_epi32(a, b)
}

/// a ^ b ^ c.
#[target_feature(enable = "avx512f")]
fn xor(a: __m512i, b: __m512i, c: __m512i) -> __m512i {
    _mm512_ternarylogic_epi32::<0x96>(a, b, c)
}

/// One step: what is to become of words d and h; the others only change their names.
#[inline]
#[target_feature(enable = "avx512f")]
fn step([a, b, c, d, e, f, g, h]: [__m512i; 8], key: u32, word: __m512i) -> (__m512i, __m512i) {
    let keyed = sum(sum(h, _mm512_set1_epi32(key as i32)), word);
    let choice = _mm512_ternarylogic_epi32::<0xca>(e, f, g);
    let turned = xor(_mm512_ror_epi32::<6>(e), _mm512_ror_epi32::<11>(e), _mm512_ror_epi32::<25>(e));
    let first = sum(sum(keyed, choice), turned);
    let majority = _mm512_ternarylogic_epi32::<0xe8>(a, b, c);
    let turned = xor(_mm512_ror_epi32::<2>(a), _mm512_ror_epi32::<13>(a), _mm512_ror_epi32::<22>(a));
    (sum(d, first), sum(sum(first, majority), turned))
}

/// Eight steps, after which each word has its own name again.
#[inline]
#[target_feature(enable = "avx512f")]
fn eight<const AT: usize>([a, b, c, d, e, f, g, h]: [__m512i; 8], keys: &[u32; 8], words: &Words) -> [__m512i; 8] {
    let (d, h) = step([a, b, c, d, e, f, g, h], keys[0], words[AT]);
    let (c, g) = step([h, a, b, c, d, e, f, g], keys[1], words[AT + 1]);
    let (b, f) = step([g, h, a, b, c, d, e, f], keys[2], words[AT + 2]);
    let (a, e) = step([f, g, h, a, b, c, d, e], keys[3], words[AT + 3]);
    let (h, d) = step([e, f, g, h, a, b, c, d], keys[4], words[AT + 4]);
    let (g, c) = step([d, e, f, g, h, a, b, c], keys[5], words[AT + 5]);
    let (f, b) = step([c, d, e, f, g, h, a, b], keys[6], words[AT + 6]);
    let (e, a) = step([b, c, d, e, f, g, h, a], keys[7], words[AT + 7]);
    [a, b, c, d, e, f, g, h]
}

/// The word sixteen steps after this one, in its place.
#[inline]
#[target_feature(enable = "avx512f")]
fn next<const AT: usize>(words: &mut Words) {
    let (early, late) = (words[(AT + 1) % 16], words[(AT + 14) % 16]);
    let early = xor(_mm512_ror_epi32::<7>(early), _mm512_ror_epi32::<18>(early), _mm512_srli_epi32::<3>(early));
    let late = xor(_mm512_ror_epi32::<17>(late), _mm512_ror_epi32::<19>(late), _mm512_srli_epi32::<10>(late));
    words[AT] = sum(sum(words[AT], words[(AT + 9) % 16]), sum(early, late));
}

/// Sixteen steps, and the words of the next sixteen.
#[inline]
#[target_feature(enable = "avx512f")]
fn sixteen(state: [__m512i; 8], keys: &[[u32; 8]; 2], words: &mut Words) -> [__m512i; 8] {
    let state = eight::<0>(state, &keys[0], words);
    let state = eight::<8>(state, &keys[1], words);
    next::<0>(words);
    next::<1>(words);
    next::<2>(words);
    next::<3>(words);
    next::<4>(words);
    next::<5>(words);
    next::<6>(words);
    next::<7>(words);
    next::<8>(words);
    next::<9>(words);
    next::<10>(words);
    next::<11>(words);
    next::<12>(words);
    next::<13>(words);
    next::<14>(words);
    next::<15>(words);
    state
}

#[target_feature(enable = "avx512f")]
fn compress(state: &mut [__m512i; 8], mut words: Words) {
    let [first, second, third, [key_6, key_7]] = &KEYS;
    let mut turned = sixteen(*state, first, &mut words);
    turned = sixteen(turned, second, &mut words);
    turned = sixteen(turned, third, &mut words);
    turned = eight::<0>(turned, key_6, &words);
    turned = eight::<8>(turned, key_7, &words);
    for (word, turned) in state.iter_mut().zip(turned) {
        *word = sum(*word, turned);
    }
}

/// The first 32 bits of the fractions of the square roots of the first 8 primes.
const INITIAL: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// The first 32 bits of the fractions of the cube roots of the first 64 primes.
const KEYS: [[[u32; 8]; 2]; 4] = [
    [
        [0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5],
        [0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174],
    ],
    [
        [0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da],
        [0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967],
    ],
    [
        [0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85],
        [0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070],
    ],
    [
        [0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3],
        [0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2],
    ],
];

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    fn word_by_word<V: Copy + Into<i64>>(row: &[V]) -> Vec<u32> {
        let bytes: Vec<u8> = row.iter().flat_map(|value| (*value).into().to_le_bytes()).collect();
        Sha256::digest(bytes).as_chunks::<4>().0.iter().map(|word| u32::from_be_bytes(*word)).collect()
    }

    fn check<V: Value + Into<i64>>(value: impl Fn(usize) -> V) {
        let Some(wide) = detect() else { return };
        for len in (0..34).chain([255, 2000]) {
            let rows: Vec<Vec<V>> =
                (0..LANES).map(|lane| (0..len).map(|at| value(lane * 7919 + at * 104_729)).collect()).collect();
            let digests = wide.digests(&std::array::from_fn(|lane| rows[lane].as_slice()));
            for (lane, row) in rows.iter().enumerate() {
                let digest: Vec<u32> = digests.iter().map(|word| word[lane]).collect();
                assert_eq!(digest, word_by_word(row), "row {lane} of {len} values");
            }
        }
    }

    #[test]
    fn sixteen_rows_have_the_digests_of_each_alone() {
        check(|at| (at as i32).wrapping_mul(-0x61c8_8647));
        check(|at| (at as i64).wrapping_mul(-0x61c8_8646_80b5_83eb));
    }
}
