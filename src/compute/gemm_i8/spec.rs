//! How big a challenge is, and what it takes to compute it. It knows nothing of keys.

use super::Plan;
use crate::wire::{limits, messages::gemm_i8::Sample};

/// Sides are multiples of this: the values of one BLAKE3 chunk.
pub const SIDE_STEP: u32 = 256;
/// The longest side: sums of 65,536 products of int8 are at most 2^30 in size, so an int32 holds them.
pub const SIDE_MAX: u32 = limits::MATRIX_SIZE;
/// The most rounds.
pub const ROUNDS_MAX: u32 = limits::GEMM_ROUNDS;
/// The most chunks that are asked of one device.
pub const SAMPLES_MAX: usize = limits::GEMM_SAMPLES;

/// The size of one challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec {
    n: u32,
    rounds: u32,
}

/// Why a challenge is none that is computed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecFault {
    #[error("matrix_size {0} is not a multiple of 256 in 256 … 65536")]
    Side(u32),
    #[error("rounds {0} is not in 1 … {ROUNDS_MAX}")]
    Rounds(u32),
}

impl Spec {
    pub fn new(n: u32, rounds: u32) -> Result<Spec, SpecFault> {
        if !(SIDE_STEP..=SIDE_MAX).contains(&n) || !n.is_multiple_of(SIDE_STEP) {
            return Err(SpecFault::Side(n));
        }
        if !(1..=ROUNDS_MAX).contains(&rounds) {
            return Err(SpecFault::Rounds(rounds));
        }
        Ok(Spec { n, rounds })
    }

    /// Rows and columns, a multiple of [`SIDE_STEP`] up to [`SIDE_MAX`].
    pub fn n(&self) -> u32 {
        self.n
    }

    /// Products, each keyed by the root of the one before: 1 … [`ROUNDS_MAX`].
    pub fn rounds(&self) -> u32 {
        self.rounds
    }

    /// Chunks of a row, 1 … 256.
    pub fn chunks(&self) -> u32 {
        self.n / SIDE_STEP
    }

    /// Multiplications and additions of all rounds.
    pub fn ops(&self) -> f64 {
        2.0 * f64::from(self.n).powi(3) * f64::from(self.rounds)
    }

    /// Memory that computing it on so many threads takes at most.
    pub fn memory_bytes(&self, threads: usize) -> u64 {
        Plan::new(*self, threads).memory_bytes()
    }

    /// Whether there is such a chunk.
    pub fn contains(&self, sample: &Sample) -> bool {
        sample.round < self.rounds && sample.row < self.n && sample.chunk < self.chunks()
    }

    pub(super) fn side(&self) -> usize {
        self.n as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_are_multiples_of_256_and_rounds_are_bounded() {
        for n in [256, 512, 768, 8192, 65_536] {
            assert_eq!(Spec::new(n, 1).map(|spec| spec.chunks()), Ok(n / 256));
        }
        for n in [0, 1, 255, 257, 8191, 65_792, u32::MAX] {
            assert_eq!(Spec::new(n, 1), Err(SpecFault::Side(n)));
        }
        assert!(Spec::new(256, ROUNDS_MAX).is_ok());
        for rounds in [0, ROUNDS_MAX + 1] {
            assert_eq!(Spec::new(256, rounds), Err(SpecFault::Rounds(rounds)));
        }
    }

    #[test]
    fn the_work_counts_every_round() {
        assert_eq!(Spec::new(256, 3).unwrap().ops(), 3.0 * 2.0 * 16_777_216.0);
    }
}
