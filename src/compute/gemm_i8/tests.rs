//! The fast path against the reference, and honest proofs through their verification.

use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use super::{reference::Book, *};
use crate::{
    units::{ChallengeId, WorkerId},
    wire::{
        json,
        messages::gemm_i8::{GemmProof, Sample},
    },
};

fn prefix(seed: u8, device: &str) -> KeyPrefix {
    KeyPrefix::new(&ChallengeId::new("c"), &[seed; 32], "5A", &WorkerId::new("w"), device)
}

/// The reference is slow, above all where nothing is optimised.
const CASES: u32 = if cfg!(debug_assertions) { 2 } else { 12 };

/// Sides of up to three chunks: odd levels in both trees.
fn specs() -> impl Strategy<Value = Spec> {
    (1..=if cfg!(debug_assertions) { 2_u32 } else { 3 }, 1_u32..=2)
        .prop_map(|(chunks, rounds)| Spec::new(chunks * 256, rounds).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, ..ProptestConfig::default() })]

    #[test]
    fn the_fast_path_is_the_reference(spec in specs(), seed: u8, draw: u64) {
        let prefix = prefix(seed, "GPU-1");
        let book = Book::honest(spec, prefix.clone());
        let answer = compute(spec, prefix.clone()).unwrap();
        prop_assert_eq!(answer.tops(), book.tops.as_slice());
        for isa in Isa::available() {
            let other = compute_on(isa, spec, prefix.clone()).unwrap();
            prop_assert_eq!(&other, &answer, "{}", isa);
        }
        prop_assert_eq!(answer.root(), &book.root);
        let asked = samples(&mut ChaCha20Rng::seed_from_u64(draw), &spec, 20);
        let proof = open(&answer, &asked).unwrap();
        prop_assert_eq!(&proof, &book.open(&asked));
        prop_assert_eq!(verify(&spec, &prefix, answer.root(), &asked, &proof), Ok(()));
        prop_assert_eq!(json::parse::<GemmProof>(&json::text(&proof)).unwrap(), proof);
    }
}

#[test]
fn what_cannot_be_opened_is_refused_by_name() {
    let answer = compute(Spec::new(512, 1).unwrap(), prefix(1, "cpu")).unwrap();
    let fault = |round, row, chunk| open(&answer, &[Sample { round, row, chunk }]).unwrap_err();
    for (round, row, chunk) in [(1, 0, 0), (0, 512, 0), (0, 0, 2), (u32::MAX, u32::MAX, u32::MAX)] {
        let sample = Sample { round, row, chunk };
        assert_eq!(fault(round, row, chunk), OpenFault::OutOfRange { sample, rounds: 1, n: 512, chunks: 2 });
    }
    assert_eq!(open(&answer, &[]), Err(OpenFault::NothingAsked));
    let many = vec![Sample { round: 0, row: 0, chunk: 0 }; 1025];
    assert_eq!(open(&answer, &many), Err(OpenFault::TooMany { asked: 1025 }));
}
