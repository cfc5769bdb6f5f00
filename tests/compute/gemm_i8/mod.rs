//! The sound challenge: known answers, the fast path against the reference, and every cheat that has a name.

mod adversary;
mod known_answers;
mod skipping;

use byteleap::{
    compute::{
        gemm_i8::{KeyPrefix, RoundKey, Spec, reference, samples},
        kernel::{Isa, dots},
    },
    units::{ChallengeId, WorkerId},
    wire::messages::gemm_i8::Sample,
};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

/// The keys of one device in a challenge of its own.
fn prefix(seed: u64, device: &str) -> KeyPrefix {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let challenge = ChallengeId::new("8c1d6c4e-5b1a-4d53-9c86-0d1f0a2b3c4d");
    KeyPrefix::new(&challenge, &bytes, "5A", &WorkerId::new("w-1"), device)
}

fn spec(n: u32, rounds: u32) -> Spec {
    Spec::new(n, rounds).expect("a size of a test is one that is computed")
}

/// The right product, faster than the reference's loops.
fn product(key: &RoundKey, n: usize) -> Vec<i32> {
    let (a, bt) = (reference::matrix(key, 0, n), reference::matrix(key, 1, n));
    let mut c = vec![0; n * n];
    dots(Isa::best(), n, &a, &bt, &mut c);
    c
}

fn drawn(seed: u64, spec: &Spec, count: usize) -> Vec<Sample> {
    samples(&mut ChaCha20Rng::seed_from_u64(seed), spec, count)
}
