//! Which chunks a device is asked to open, drawn after its commitment from a generator that nobody can foresee.

use rand_core::RngCore;

use super::Spec;
use crate::{compute::sample::below, wire::messages::gemm_i8::Sample};

/// `count` chunks, each uniform over all rounds, rows and chunks and independent of the others: the same one may
/// come twice, which is what makes the chance of a cheat (1 − f)^count exactly.
pub fn samples(rng: &mut impl RngCore, spec: &Spec, count: usize) -> Vec<Sample> {
    let one =
        |_| Sample { round: below(rng, spec.rounds()), row: below(rng, spec.n()), chunk: below(rng, spec.chunks()) };
    (0..count).map(one).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::*;

    #[test]
    fn all_rounds_rows_and_chunks_are_equally_likely() {
        let spec = Spec::new(768, 3).unwrap();
        let drawn = samples(&mut ChaCha20Rng::seed_from_u64(1), &spec, 90_000);
        let count = |part: fn(&Sample) -> u32| {
            let mut counts = BTreeMap::<u32, u32>::new();
            drawn.iter().for_each(|sample| *counts.entry(part(sample)).or_default() += 1);
            counts
        };
        let even = |counts: BTreeMap<u32, u32>, parts: u32| {
            let expected = f64::from(90_000 / parts);
            assert_eq!(counts.len() as u32, parts);
            assert!(counts.values().all(|got| (f64::from(*got) - expected).abs() < 5.0 * expected.sqrt()));
        };
        even(count(|sample| sample.round), 3);
        even(count(|sample| sample.row), 768);
        even(count(|sample| sample.chunk), 3);
        even(count(|sample| sample.round * 3 + sample.chunk), 9);
    }

    #[test]
    fn the_smallest_matrix_has_one_chunk_a_row() {
        let drawn = samples(&mut ChaCha20Rng::seed_from_u64(2), &Spec::new(256, 1).unwrap(), 64);
        assert_eq!(drawn.len(), 64);
        assert!(drawn.iter().all(|sample| sample.round == 0 && sample.row < 256 && sample.chunk == 0));
    }
}
