//! Mutations of seeds: bytes flipped, cut, doubled, spliced, and words of the formats put in.

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};

/// Longest input; all limits of the parsers themselves are far below.
const LONGEST_BYTES: usize = 32 * 1024;

const WORDS: [&str; 30] = [
    "NaN",
    "-Infinity",
    "Infinity",
    "null",
    "true",
    "{}",
    "[]",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "\\",
    "\\u0000",
    "\\ud800",
    ":",
    ",",
    "-1",
    "0",
    "1.5",
    "1e999",
    "18446744073709551616",
    "18446744073709551615",
    "4294967296",
    "0x",
    "=",
    "\r\n",
    "é",
    "\"type\":",
    "[[[[[[[[[[[[[[[[",
];

pub struct Mutator<'a> {
    rng: ChaCha20Rng,
    seeds: &'a [Vec<u8>],
    input: Vec<u8>,
}

impl<'a> Mutator<'a> {
    /// Always the same inputs for one name and its seeds.
    pub fn new(name: &str, seeds: &'a [Vec<u8>]) -> Mutator<'a> {
        let mut seed = [0; 32];
        seed.iter_mut().zip(name.bytes()).for_each(|(place, byte)| *place = byte);
        Mutator { rng: ChaCha20Rng::from_seed(seed), seeds, input: Vec::new() }
    }

    pub fn next(&mut self) -> &[u8] {
        let seed = self.below(self.seeds.len());
        self.input.clone_from(&self.seeds[seed]);
        for _ in 0..=self.below(4) {
            self.mutate();
        }
        self.input.truncate(LONGEST_BYTES);
        &self.input
    }

    /// A number below `bound`, 0 when that is 0.
    fn below(&mut self, bound: usize) -> usize {
        self.rng.next_u64() as usize % bound.max(1)
    }

    fn mutate(&mut self) {
        let (at, length) = (self.below(self.input.len() + 1), self.below(16));
        let end = (at + length).min(self.input.len());
        match self.below(7) {
            0 if at < self.input.len() => self.input[at] ^= 1 << self.below(8),
            1 if at < self.input.len() => self.input[at] = self.rng.next_u32() as u8,
            2 => _ = self.input.drain(at..end),
            3 => {
                let doubled = self.input[at..end].to_vec();
                self.input.splice(at..at, doubled);
            }
            4 => {
                let other = self.below(self.seeds.len());
                let from = self.below(self.seeds[other].len());
                self.input.truncate(at);
                self.input.extend_from_slice(&self.seeds[other][from..]);
            }
            5 => {
                let word = WORDS[self.below(WORDS.len())];
                self.input.splice(at..end, word.bytes());
            }
            _ => self.number(at),
        }
    }

    /// Another number in place of the digits at or behind `at`.
    fn number(&mut self, at: usize) {
        let Some(start) = self.input[at..].iter().position(u8::is_ascii_digit).map(|found| at + found) else { return };
        let digits = self.input[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number = self.rng.next_u64() >> self.below(64);
        self.input.splice(start..start + digits, number.to_string().into_bytes());
    }
}
