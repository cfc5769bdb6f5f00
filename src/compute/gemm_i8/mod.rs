//! The sound challenge `gemm_i8`: exact int8 products that bind every round, row and chunk of one device.
//!
//! This room says what the right answer is, how it is cut into pieces, committed to, opened and checked. It starts no
//! thread, reads no clock and draws no secret: samples come from a generator that the caller seeded from the OS.
//!
//! # What is computed
//!
//! For each round a key ([`KeyPrefix::round`]); from the key two keystreams, the bytes of A by rows and of B by
//! columns; C = A·B in int32, where no order of adding, tile or device can change a bit ([`Plan`]). Of C only the
//! BLAKE3 hash of each row is kept; a tree over them gives the round's top, and a chain over the tops the root that
//! is committed to ([`Answer`]). Asked for a chunk (256 values of a row), the device shows the values, their way to
//! the row's hash and its way to the top ([`Opener`]); the validator computes the same 256 values again and compares
//! each ([`verify()`]).
//!
//! # Why it is sound
//!
//! *The commitment binds.* The root fixes every top, a top every row's hash, a row's hash every chunk: to open one
//! place in two ways is to find a collision of SHA-256 or BLAKE3. Leaves, nodes and roots are hashed under different
//! first bytes, a leaf hashes its index, BLAKE3 hashes a chunk's index and marks the topmost node. Lengths and
//! directions of both paths are computed from (row, chunk, n), so a prover has no freedom in the shape of the tree.
//! After the commitment there is exactly one proof for each list of samples, right or wrong.
//!
//! *The keys are fresh and the device's own.* A key hashes the challenge's id and 32 bytes of the validator's OS,
//! miner, worker, device, round, and the root of the round before. Nothing can be computed before the challenge is
//! known, nothing of one device, worker or challenge serves another, and no round before the one under it is finished.
//! The entries are a keystream without structure: no entry follows from its neighbours, so no product is cheaper than
//! a product. (Where entries are seeded by the sum of their indices, a matrix has 2n different ones and C costs n².)
//!
//! *All chunks are equally likely to be asked for.* Samples are independent and uniform over all rounds, rows and
//! chunks, drawn after the commitment ([`samples()`]). A device whose committed values are wrong in a share f of all
//! chunks, wherever they lie, passes s samples with probability (1 − f)^s: no other strategy is left to it, for what it
//! committed to decides alone. Whole rounds are chunks too: one skipped round of 24 is f = 1/24. With s = 64 and
//! f = 10 % that is 0.12 %, 9.7 bits ([`soundness_bits`]). Small lies do not pay either: who leaves out a share f is
//! done in (1 − f) of the time and passes with (1 − f)^s, so its work per second, as it is scored, changes by the
//! factor (1 − f)^(s − 1) on average, which is below 1 at any f.
//! A policy that forgives some failures (participation of 80 % is full) forgives f up to 1 − 0.8^(1/s): 0.35 % of the
//! work with 64 samples is all that there is to win.
//!
//! *Exactly right is the only right.* All 256 values are compared as integers. There is no tolerance to hide in.
//!
//! # What it does not prove
//!
//! - How much memory the device has. n = 32,768 needs a gigabyte for each factor when it is done fast; slower ways
//!   need less.
//! - That one device did it alone. A worker may pass the work on to anything that answers as fast; the time it takes
//!   is all that is measured.
//! - Who the device is. The uuid enters the key, so one device's work does not count for two, but a uuid is a word.
//! - That nothing was done in advance of what can be: loading code, reserving memory, warming up.
//! - That values outside the samples are right: at most, that few of them are wrong, in the sense above.
//! - That the time is honest where validator and miner lie together; a verdict is only as good as who draws.
//! - A prover may choose among roots by changing a chunk of an early round, at the price of computing that round and
//!   those after it again, and with it the later keys; it gains nothing, for no key makes a product cheap.
//!
//! # Attacks, and what stops each
//!
//! | attack | refused with | held by (`tests/compute`, `gemm_i8::adversary`, unless named otherwise) |
//! |---|---|---|
//! | skip chunks or rows | [`GemmFault::Zeros`], [`GemmFault::Values`] | `a_skipped_chunk_…`; how often: `skipping` |
//! | a product of zeros | [`GemmFault::Zeros`] | `a_product_of_zeros_is_told_so` |
//! | the last round alone | [`GemmFault::Values`] or [`GemmFault::Path`] in another | `who_computes_the_last_round_alone_…` |
//! | one faked round of many | [`GemmFault::Values`] in it | `one_faked_round_of_many_…` |
//! | random leaves, then compute what is asked | [`GemmFault::Path`] | `leaves_of_nothing_…` |
//! | swapped, reordered leaves | [`GemmFault::Path`] | `leaves_that_are_swapped_…` |
//! | swapped or doubled rows and chunks | [`GemmFault::Values`] | `leaves_that_are_swapped_…` |
//! | a path too long or too short | [`GemmFault::ChunkPath`], [`GemmFault::RowPath`] | `paths_have_the_length_of_their_place` |
//! | key of another challenge, seed, miner, worker, device | [`GemmFault::Values`] | `keys_of_others_…` |
//! | the proof of another device | [`GemmFault::Device`] | `the_proof_of_another_device_…` |
//! | a replayed proof | [`GemmFault::Root`], [`GemmFault::Place`] | `replays_do_not_fit` |
//! | another challenge's commitment and proof | [`GemmFault::Values`] | `replays_do_not_fit` |
//! | a smaller matrix | [`GemmFault::Root`] | `a_smaller_matrix_…` |
//! | one value off by one | [`GemmFault::Values`], `wrong: 1` | `one_value_off_by_one_is_named` |
//! | a value put right after the commitment | [`GemmFault::Path`] | `one_value_off_by_one_is_named` |
//! | tops or openings too many, too few, out of order | [`GemmFault::Tops`], [`GemmFault::Openings`], [`GemmFault::Place`] | `tops_and_openings_…` |
//! | openings cut, stretched, padded; further or missing fields | [`GemmProofFault`] | `openings_that_are_cut_…` |
//! | other spellings of hashes and base64 | [`GemmProofFault`] | `wire::messages::gemm_i8` |
//! | a task that is too big, or none | [`SpecFault`], [`GemmTaskFault`], the executor's check of its memory | `spec`, `spoke::cpu` |
//! | a proof that shows nothing | [`GemmFault::NothingAsked`] | `a_check_that_asks_for_nothing_…` |
//!
//! A late commitment, devices other than those asked, and a proof that never comes are the validator's to refuse.
//!
//! [`GemmProofFault`]: crate::wire::messages::gemm_i8::GemmProofFault
//! [`GemmTaskFault`]: crate::wire::messages::gemm_i8::GemmTaskFault

mod answer;
mod dots;
mod draw;
mod key;
mod open;
#[doc(hidden)]
pub mod reference;
mod row_hash;
mod sample;
mod spec;
mod strip;
#[cfg(test)]
mod tests;
mod tree;
mod verify;

pub use self::{
    answer::{Answer, Progress},
    key::{KeyPrefix, RoundKey},
    open::{OpenDesk, OpenFault, Opener, Part, Piece, RoundPaths, asked, open},
    sample::samples,
    spec::{ROUNDS_MAX, SAMPLES_MAX, SIDE_MAX, SIDE_STEP, Spec, SpecFault},
    strip::{Desk, Factor, Plan},
    verify::{GemmFault, soundness_bits, verify},
};

use super::kernel::Isa;

/// A hash of any of the challenge's trees.
pub type Hash = [u8; 32];

/// A whole answer on this thread alone.
pub fn compute(spec: Spec, prefix: KeyPrefix) -> Option<Answer> {
    compute_on(Isa::best(), spec, prefix)
}

/// The same with these instructions.
pub fn compute_on(isa: Isa, spec: Spec, prefix: KeyPrefix) -> Option<Answer> {
    let plan = Plan::on(isa, spec, 1);
    let (mut factor, mut desk) = (plan.factor(), plan.desk());
    let mut progress = Progress::new(spec, prefix);
    while let Some(key) = progress.next_key() {
        factor.panels_mut().for_each(|panel| desk.fill(&key, panel));
        let mut hashes = Vec::with_capacity(spec.side());
        for rows in plan.strips() {
            desk.draw(&key, &rows);
            desk.multiply(&factor);
            desk.hash(&mut hashes);
        }
        progress.add_round(&hashes).then_some(())?;
    }
    progress.finish()
}
