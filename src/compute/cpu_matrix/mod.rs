//! The CPU challenge `cpu_matrix`: which matrices a seed means, and how big they are.
//!
//! A and B are n×n integers of −500 … 500 drawn from one MT19937 stream; the answer is the list of row
//! hashes of C = A·B, with `iterations` k > 1 of A·B·B…·B (k times B), all modulo 2^64. How the product is
//! made is `product`'s business, how an answer is checked `verify`'s, and `reference` says it all once more,
//! slowly. It runs no thread.

mod draw;
mod product;
pub mod reference;
pub(super) mod rows;

pub use draw::{Band, Entries, Factor, Survey};
pub use product::{Hand, Matrices};

use super::{kernel::Isa, mt19937::Mt19937};

/// The side lengths that the network draws (1 and up are understood).
pub const SIDE_DRAWN: std::ops::RangeInclusive<u32> = 100..=10_000;
/// The longest side that is computed or checked.
pub const SIDE_MAX: u32 = 10_000;
/// The most factors B that are computed or checked.
pub const ITERATIONS_MAX: u32 = 1_000;
/// Terms whose products of a 16-bit digit and an entry stay in an i32: 128·2^15·500 < 2^31.
const DIGIT_TERMS: usize = 128;
/// Entries lie in −`ENTRY_MAX` … `ENTRY_MAX`.
pub const ENTRY_MAX: i16 = 500;

/// One CPU challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec {
    /// The first four bytes, big-endian, seed the matrices.
    pub seed: [u8; 16],
    /// Rows and columns, 1 … [`SIDE_MAX`].
    pub n: u32,
    /// Factors B, 1 … [`ITERATIONS_MAX`].
    pub iterations: u32,
}

/// Why a challenge is none that we compute.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecFault {
    #[error("matrix_size {0} is not in 1 … 10000")]
    Side(u32),
    #[error("iterations {0} is not in 1 … 1000")]
    Iterations(u32),
}

impl Spec {
    /// A challenge that is within what we compute.
    pub fn new(seed: [u8; 16], n: u32, iterations: u32) -> Result<Spec, SpecFault> {
        if !(1..=SIDE_MAX).contains(&n) {
            return Err(SpecFault::Side(n));
        }
        if !(1..=ITERATIONS_MAX).contains(&iterations) {
            return Err(SpecFault::Iterations(iterations));
        }
        Ok(Spec { seed, n, iterations })
    }

    /// The side length that `seed` draws around `base`: in doubles, cut to [`SIDE_DRAWN`]; `base` itself when
    /// `variance` leaves no choice.
    pub fn size_draw(base: u32, variance: f64, seed: &[u8; 16]) -> u32 {
        Spec::size_within(base, variance, SIDE_DRAWN, seed)
    }

    /// The same, cut to other bounds.
    pub fn size_within(base: u32, variance: f64, bounds: std::ops::RangeInclusive<u32>, seed: &[u8; 16]) -> u32 {
        let low = ((f64::from(base) * (1.0 - variance)) as u32).max(*bounds.start());
        let high = ((f64::from(base) * (1.0 + variance)) as u32).min(*bounds.end());
        if low >= high {
            return base;
        }
        low + Mt19937::new(seed_word(seed)).masked(high - low)
    }

    /// Multiplications and additions of the answer.
    pub fn ops(&self) -> f64 {
        2.0 * f64::from(self.n).powi(3) * f64::from(self.iterations)
    }

    pub(super) fn side(&self) -> usize {
        self.n as usize
    }

    /// Both matrices, ready to be multiplied as fast as this CPU can. `go_on` is asked every few rows; its first
    /// `false` ends the work with `None`.
    pub fn matrices(&self, go_on: impl FnMut() -> bool) -> Option<Matrices> {
        self.matrices_on(Isa::best(), go_on)
    }

    /// The same with chosen instructions.
    pub fn matrices_on(&self, isa: Isa, mut go_on: impl FnMut() -> bool) -> Option<Matrices> {
        let mut survey = Survey::new(self, isa);
        let mut factor = Factor::new(self, isa);
        if !survey.pass_a(&mut go_on) {
            return None;
        }
        let mut rows = Vec::new();
        for mut band in factor.bands_mut() {
            band.draw(survey.pass_band(band.terms()), self.n, &mut rows);
            if !go_on() {
                return None;
            }
        }
        Some(Matrices::new(survey, factor))
    }

    /// What so many threads need at most: B, and each a strip.
    pub fn memory_bytes(&self, threads: usize) -> u64 {
        product::memory_bytes(self, threads)
    }
}

fn seed_word(seed: &[u8; 16]) -> u32 {
    let [a, b, c, d, ..] = *seed;
    u32::from_be_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_any_cut_give_the_plain_product() {
        let sizes = [(1, 1), (2, 9), (7, 1), (33, 1), (33, 3), (40, 12), (131, 1), (131, 2), (200, 5)];
        for (isa, (n, iterations)) in Isa::available().flat_map(|isa| sizes.map(|size| (isa, size))) {
            let spec = Spec { seed: [7; 16], n, iterations };
            let m = spec.matrices_on(isa, || true).unwrap();
            let whole = reference::product(&spec);
            for threads in [1, 3] {
                let rows: Vec<i64> = m.strips(threads).into_iter().flat_map(|rows| m.rows(rows)).collect();
                assert_eq!(rows, whole, "{isa} n {n} iterations {iterations} threads {threads}");
            }
            assert_eq!(m.rows(n - 1..n + 9), whole[(n as usize - 1) * n as usize..]);
        }
    }

    #[test]
    fn row_hashes_are_those_of_the_rows() {
        for (isa, (n, iterations)) in Isa::available().flat_map(|isa| [(70, 1), (70, 3)].map(|size| (isa, size))) {
            let spec = Spec { seed: [7; 16], n, iterations };
            let m = spec.matrices_on(isa, || true).unwrap();
            assert_eq!(m.row_hashes(0..n), reference::row_hashes(&spec), "{isa} iterations {iterations}");
        }
    }

    #[test]
    fn a_challenge_out_of_range_is_refused_by_name() {
        assert!(Spec::new([0; 16], 10_000, 1).is_ok());
        assert_eq!(Spec::new([0; 16], 10_001, 1), Err(SpecFault::Side(10_001)));
        assert_eq!(Spec::new([0; 16], 0, 1), Err(SpecFault::Side(0)));
        assert_eq!(Spec::new([0; 16], 100, 0), Err(SpecFault::Iterations(0)));
        assert_eq!(Spec::new([0; 16], 100, 1001), Err(SpecFault::Iterations(1001)));
    }

    #[test]
    fn drawing_stops_when_told() {
        let spec = Spec { seed: [1; 16], n: 200, iterations: 1 };
        for (most, stops) in [(3, true), (15, true), (100, false)] {
            let mut asked = 0;
            let drawn = spec.matrices(|| {
                asked += 1;
                asked < most
            });
            assert_eq!(drawn.is_none(), stops, "after {most}");
        }
    }
}
