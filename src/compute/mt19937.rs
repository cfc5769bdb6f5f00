//! The Mersenne Twister MT19937 as NumPy's legacy `RandomState` seeds and reads it.
//!
//! It is part of the protocol, not a source of secrets: challenges name the seed. It never asks the system
//! for randomness. A clone goes on from the same word as its origin.

const WORDS: usize = 624;
const MIDDLE: usize = 397;
const MATRIX: u32 = 0x9908_b0df;
const UPPER: u32 = 0x8000_0000;
const LOWER: u32 = 0x7fff_ffff;

/// A generator of 32-bit words.
#[derive(Clone)]
pub struct Mt19937 {
    state: [u32; WORDS],
    /// The words of this turn, ready to hand out.
    output: [u32; WORDS],
    next: usize,
}

impl Mt19937 {
    /// Seeded by one word, as `RandomState(seed)` does for seeds under 2^32.
    pub fn new(seed: u32) -> Mt19937 {
        let mut state = [seed; WORDS];
        for at in 1..WORDS {
            let before = state[at - 1];
            state[at] = (before ^ (before >> 30)).wrapping_mul(1_812_433_253).wrapping_add(at as u32);
        }
        Mt19937 { state, output: [0; WORDS], next: WORDS }
    }

    pub fn next_u32(&mut self) -> u32 {
        if self.next == WORDS {
            self.turn();
        }
        let word = self.output[self.next];
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

    /// Fills `values` with draws of `masked(max)` minus `offset`, in order.
    pub fn fill(&mut self, values: &mut [i16], max: u32, offset: i16) {
        for value in values {
            *value = self.masked(max) as i16 - offset;
        }
    }

    fn turn(&mut self) {
        let state = &mut self.state;
        for at in 0..WORDS - MIDDLE {
            state[at] = state[at + MIDDLE] ^ twist(state[at], state[at + 1]);
        }
        for at in WORDS - MIDDLE..WORDS - 1 {
            state[at] = state[at + MIDDLE - WORDS] ^ twist(state[at], state[at + 1]);
        }
        state[WORDS - 1] = state[MIDDLE - 1] ^ twist(state[WORDS - 1], state[0]);
        for (word, raw) in self.output.iter_mut().zip(state.iter()) {
            *word = temper(*raw);
        }
        self.next = 0;
    }
}

fn twist(high: u32, low: u32) -> u32 {
    let joined = (high & UPPER) | (low & LOWER);
    (joined >> 1) ^ ((joined & 1).wrapping_neg() & MATRIX)
}

fn temper(mut word: u32) -> u32 {
    word ^= word >> 11;
    word ^= (word << 7) & 0x9d2c_5680;
    word ^= (word << 15) & 0xefc6_0000;
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
}
