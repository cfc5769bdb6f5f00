//! Which rows a validator asks for after a commitment, drawn from a generator that nobody else can foresee.
//!
//! It takes the generator as a value; where its seed comes from is not decided here.

use std::collections::BTreeSet;

use rand_core::RngCore;

/// A uniform value of 0 … `bound` − 1, by rejection; 0 when `bound` is 0 or 1.
pub fn below(rng: &mut impl RngCore, bound: u32) -> u32 {
    let mask = u32::MAX.checked_shr(bound.saturating_sub(1).leading_zeros()).unwrap_or(0);
    loop {
        let value = rng.next_u32() & mask;
        if value < bound.max(1) {
            return value;
        }
    }
}

/// `count` moved by a uniform integer of −⌊count·variance⌋ … +⌊count·variance⌋, and never under 1.
pub fn varied(rng: &mut impl RngCore, count: u32, variance: f64) -> u32 {
    let spread = (f64::from(count) * variance.clamp(0.0, 1.0)) as u32;
    let moved = below(rng, spread.saturating_mul(2).saturating_add(1));
    (count - spread).saturating_add(moved).max(1)
}

/// About `count` (see [`varied`]) distinct rows of 0 … `n` − 1, ascending; all of them when `n` is not greater.
pub fn rows(rng: &mut impl RngCore, n: u32, count: u32, variance: f64) -> Vec<u32> {
    let wanted = varied(rng, count, variance).min(n);
    // Floyd's sampling: each of the C(n, wanted) sets is equally likely, with `wanted` draws.
    let mut chosen = BTreeSet::new();
    for last in n - wanted..n {
        let row = below(rng, last + 1);
        chosen.insert(if chosen.contains(&row) { last } else { row });
    }
    chosen.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::*;

    fn rng(seed: u64) -> ChaCha20Rng {
        ChaCha20Rng::seed_from_u64(seed)
    }

    #[test]
    fn rows_are_distinct_ascending_and_within_the_matrix() {
        for seed in 0..200 {
            let rows = rows(&mut rng(seed), 2000, 50, 0.5);
            assert!((25..=75).contains(&rows.len()), "{}", rows.len());
            assert!(rows.windows(2).all(|pair| pair[0] < pair[1]));
            assert!(rows.iter().all(|row| *row < 2000));
        }
    }

    #[test]
    fn a_small_matrix_is_asked_for_whole() {
        assert_eq!(rows(&mut rng(1), 3, 50, 0.5), [0, 1, 2]);
        assert_eq!(rows(&mut rng(1), 0, 50, 0.5), Vec::<u32>::new());
    }

    #[test]
    fn at_least_one_row_is_asked_for() {
        assert_eq!(rows(&mut rng(2), 100, 0, 0.0).len(), 1);
        assert!((0..50).all(|seed| !rows(&mut rng(seed), 100, 1, 1.0).is_empty()));
    }

    #[test]
    fn both_ends_of_the_spread_are_reached() {
        let counts: BTreeSet<u32> = (0..400).map(|seed| varied(&mut rng(seed), 4, 0.5)).collect();
        assert_eq!(counts, BTreeSet::from([2, 3, 4, 5, 6]));
    }

    #[test]
    fn every_row_can_be_asked_for() {
        let seen: BTreeSet<u32> = (0..300).flat_map(|seed| rows(&mut rng(seed), 17, 3, 0.0)).collect();
        assert_eq!(seen.len(), 17);
    }

    #[test]
    fn the_same_generator_gives_the_same_rows() {
        assert_eq!(rows(&mut rng(9), 500, 20, 0.2), rows(&mut rng(9), 500, 20, 0.2));
    }
}
