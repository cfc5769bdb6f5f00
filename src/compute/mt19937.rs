//! The Mersenne Twister MT19937 as NumPy's legacy `RandomState` seeds and reads it.
//!
//! It is part of the protocol, not a source of secrets: challenges name the seed. It never asks the system
//! for randomness. A clone goes on from the same word as its origin. Words are tempered when they are read, so
//! that a run of draws is tempered, cut and compacted at once; where the CPU has AVX-512, sixteen at a time.

#[cfg(target_arch = "x86_64")]
use super::kernel::mt_avx512::{self, Wide};

pub(super) const WORDS: usize = 624;
/// Words of a state and room for the first ones once more, which the vectors want.
pub(super) const PADDED: usize = WORDS + 16;
pub(super) const MIDDLE: usize = 397;
pub(super) const TWIST: u32 = 0x9908_b0df;
pub(super) const UPPER: u32 = 0x8000_0000;
pub(super) const TEMPER_7: u32 = 0x9d2c_5680;
pub(super) const TEMPER_15: u32 = 0xefc6_0000;

/// The words of one turn, not tempered; from a cache line's beginning on.
#[derive(Clone)]
#[repr(C, align(64))]
pub(super) struct State(pub [u32; PADDED]);

/// Words that the plain loops temper and cut at once.
const RUN: usize = 32;

/// How words become draws: cut by `mask`, refused over `max`, moved down by `offset`.
#[derive(Clone, Copy)]
pub(super) struct Cut {
    pub mask: u16,
    pub max: u16,
    pub offset: i16,
}

/// A generator of 32-bit words.
#[derive(Clone)]
pub struct Mt19937 {
    state: State,
    next: usize,
    #[cfg(target_arch = "x86_64")]
    wide: Option<Wide>,
}

impl Mt19937 {
    /// Seeded by one word, as `RandomState(seed)` does for seeds under 2^32.
    pub fn new(seed: u32) -> Mt19937 {
        #[cfg(target_arch = "x86_64")]
        return Mt19937 { wide: mt_avx512::detect(), ..Mt19937::portable(seed) };
        #[cfg(not(target_arch = "x86_64"))]
        Mt19937::portable(seed)
    }

    /// The same, without the instructions that only some CPUs have.
    pub fn portable(seed: u32) -> Mt19937 {
        let mut words = [seed; PADDED];
        for at in 1..WORDS {
            let before = words[at - 1];
            words[at] = (before ^ (before >> 30)).wrapping_mul(1_812_433_253).wrapping_add(at as u32);
        }
        Mt19937 {
            state: State(words),
            next: WORDS,
            #[cfg(target_arch = "x86_64")]
            wide: None,
        }
    }

    pub fn next_u32(&mut self) -> u32 {
        if self.next == WORDS {
            self.turn();
        }
        let word = temper(self.state.0[self.next]);
        self.next += 1;
        word
    }

    /// A value of 0 … `max`, both included: one word for each try, cut to the smallest mask of ones that
    /// covers `max`, until it is not greater. No word is drawn when `max` is 0.
    pub fn masked(&mut self, max: u32) -> u32 {
        if max == 0 {
            return 0;
        }
        let mask = u32::MAX >> max.leading_zeros();
        loop {
            let value = self.next_u32() & mask;
            if value <= max {
                return value;
            }
        }
    }

    /// Fills `values` with draws of `masked(max)` minus `offset`, in order; each draw modulo 2^16.
    pub fn fill(&mut self, values: &mut [i16], max: u16, offset: i16) {
        if max == 0 {
            return values.fill(offset.wrapping_neg());
        }
        let cut = Cut { mask: u16::MAX >> max.leading_zeros(), max, offset };
        let mut filled = 0;
        while filled < values.len() {
            if self.next == WORDS {
                self.turn();
            }
            let (used, more) = self.take(&mut values[filled..], cut);
            self.next += used;
            filled += more;
        }
    }

    fn take(&self, values: &mut [i16], cut: Cut) -> (usize, usize) {
        let words = &self.state.0[self.next..WORDS];
        #[cfg(target_arch = "x86_64")]
        if let Some(wide) = self.wide {
            return wide.take(words, values, cut);
        }
        take(words, values, cut)
    }

    fn turn(&mut self) {
        self.next = 0;
        #[cfg(target_arch = "x86_64")]
        if let Some(wide) = self.wide {
            return wide.turn(&mut self.state);
        }
        turn(&mut self.state);
    }
}

/// The next 624 words of the recurrence, in place: three stretches, so that no index wraps.
fn turn(state: &mut State) {
    let words = &mut state.0;
    for at in 0..WORDS - MIDDLE {
        words[at] = words[at + MIDDLE] ^ twist(words[at], words[at + 1]);
    }
    for at in WORDS - MIDDLE..WORDS - 1 {
        words[at] = words[at + MIDDLE - WORDS] ^ twist(words[at], words[at + 1]);
    }
    words[WORDS - 1] = words[MIDDLE - 1] ^ twist(words[WORDS - 1], words[0]);
}

/// Draws out of `words` into `values` until either ends; how many words were used and values filled. No word
/// after the last value's is used.
fn take(words: &[u32], values: &mut [i16], cut: Cut) -> (usize, usize) {
    let (mut used, mut filled) = (0, 0);
    while let (Some(run), Some(slots)) = (words[used..].first_chunk::<RUN>(), values[filled..].first_chunk_mut()) {
        filled += compact(&run.map(|word| temper(word) as u16 & cut.mask), slots, cut);
        used += RUN;
    }
    while let (Some(word), Some(slot)) = (words.get(used), values.get_mut(filled)) {
        let draw = temper(*word) as u16 & cut.mask;
        *slot = (draw as i16).wrapping_sub(cut.offset);
        used += 1;
        filled += usize::from(draw <= cut.max);
    }
    (used, filled)
}

/// Puts the values of accepted draws at the beginning of `values`; how many those are. Each is written, and the
/// next one over it unless it was accepted: no branch depends on a draw.
fn compact(draws: &[u16; RUN], values: &mut [i16; RUN], cut: Cut) -> usize {
    let mut filled = 0;
    for draw in draws {
        values[filled % RUN] = (*draw as i16).wrapping_sub(cut.offset);
        filled += usize::from(*draw <= cut.max);
    }
    filled
}

fn twist(high: u32, low: u32) -> u32 {
    let joined = (high & UPPER) | (low & !UPPER);
    (joined >> 1) ^ ((joined & 1).wrapping_neg() & TWIST)
}

fn temper(mut word: u32) -> u32 {
    word ^= word >> 11;
    word ^= (word << 7) & TEMPER_7;
    word ^= (word << 15) & TEMPER_15;
    word ^ (word >> 18)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ten_thousandth_word_of_the_published_reference() {
        let mut generator = Mt19937::new(5489);
        let last = (0..10_000).map(|_| generator.next_u32()).last();
        assert_eq!(last, Some(4_123_659_995));
    }

    #[test]
    fn a_range_of_one_value_draws_no_word() {
        let mut drawn = Mt19937::new(7);
        assert_eq!(drawn.masked(0), 0);
        assert_eq!(drawn.next_u32(), Mt19937::new(7).next_u32());
    }

    #[test]
    fn a_full_range_takes_every_word_as_it_is() {
        let mut plain = Mt19937::new(1);
        let mut masked = Mt19937::new(1);
        assert!((0..700).all(|_| plain.next_u32() == masked.masked(u32::MAX)));
    }

    /// Draws in pieces of many lengths, so that pieces begin and end anywhere in a turn.
    fn in_pieces(mut generator: Mt19937, max: u16, offset: i16) -> (Vec<i16>, u32) {
        let mut values = vec![0; 40_000];
        let (mut rest, mut length) = (values.as_mut_slice(), 0);
        while !rest.is_empty() {
            let (piece, after) = rest.split_at_mut(rest.len().min(length));
            generator.fill(piece, max, offset);
            (rest, length) = (after, (length * 5 + 3) % 1409);
        }
        (values, generator.next_u32())
    }

    #[test]
    fn runs_of_draws_are_those_drawn_one_by_one_on_every_cpu() {
        for (seed, max, offset) in [(1, 1000, 500), (0x5a5a_5a5a, 1, -7), (9, 8, 0), (3, 40_000, 0), (4, 65_535, 9)] {
            let mut single = Mt19937::portable(seed);
            let values: Vec<i16> =
                (0..40_000).map(|_| (single.masked(u32::from(max)) as i16).wrapping_sub(offset)).collect();
            let want = (values, single.next_u32());
            assert_eq!(in_pieces(Mt19937::portable(seed), max, offset), want, "portable, up to {max}");
            assert_eq!(in_pieces(Mt19937::new(seed), max, offset), want, "this CPU, up to {max}");
        }
    }

    #[test]
    fn a_clone_goes_on_from_the_same_word() {
        let mut origin = Mt19937::new(11);
        origin.fill(&mut [0; 1000], 1000, 0);
        let mut clone = origin.clone();
        assert!((0..2000).all(|_| origin.next_u32() == clone.next_u32()));
    }
}
