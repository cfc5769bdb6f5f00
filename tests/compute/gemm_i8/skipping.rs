//! How often a device is caught that skips a tenth of its chunks: ten thousand challenges, verified for real.

use std::thread;

use byteleap::compute::gemm_i8::{GemmFault, Spec, reference::Book, soundness_bits, verify};
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

use super::{drawn, prefix, product, spec};

const CHALLENGES: u64 = 10_000;
const SAMPLES: usize = 64;
const SKIPPED: f64 = 0.1;

/// A round of which at least a tenth of the chunks are made up: with n = 256 a chunk is a row, and 26 of them are
/// falsified in every value.
fn with_a_tenth_skipped(spec: Spec, seed: u64) -> Book {
    let n = spec.n() as usize;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut rows: Vec<usize> = (0..n).collect();
    let skipped = (n as f64 * SKIPPED).ceil() as usize;
    for at in 0..skipped {
        let other = at + rng.next_u32() as usize % (n - at);
        rows.swap(at, other);
    }
    Book::with(spec, prefix(seed, "cpu"), |_, key| {
        let mut c = product(key, n);
        for row in &rows[..skipped] {
            c[row * n..(row + 1) * n].iter_mut().for_each(|value| *value ^= seed as i32 | 1);
        }
        c
    })
}

/// Whether the validator of this challenge was deceived.
fn deceives(seed: u64) -> bool {
    let spec = spec(256, 1);
    let book = with_a_tenth_skipped(spec, seed);
    let asked = drawn(seed ^ 0x5a5a_5a5a, &spec, SAMPLES);
    match verify(&spec, &book.prefix, &book.root, &asked, &book.open(&asked)) {
        Ok(()) => true,
        Err(GemmFault::Values { wrong: 256, .. }) => false,
        Err(other) => panic!("challenge {seed}: {other}"),
    }
}

#[test]
fn ten_thousand_devices_that_skip_a_tenth_are_caught_as_often_as_promised() {
    // Where nothing is optimised a few must do.
    let challenges = if cfg!(debug_assertions) { CHALLENGES / 50 } else { CHALLENGES };
    let threads = thread::available_parallelism().map_or(1, usize::from) as u64;
    let count = |start| (start..challenges).step_by(threads as usize).filter(|seed| deceives(*seed)).count();
    let deceived: usize = thread::scope(|scope| {
        let hands: Vec<_> = (0..threads).map(|start| scope.spawn(move || count(start))).collect();
        hands.into_iter().map(|hand| hand.join().expect("no verdict but the two")).sum()
    });
    let caught = 1.0 - deceived as f64 / challenges as f64;
    assert!(caught >= 0.998 || cfg!(debug_assertions), "{deceived} of {challenges} passed");
    let promised = 2_f64.powf(-soundness_bits(SAMPLES, 26.0 / 256.0));
    let expected = promised * challenges as f64;
    assert!((deceived as f64 - expected).abs() <= 4.0 * expected.sqrt() + 1.0, "{deceived} where {expected} pass");
}
