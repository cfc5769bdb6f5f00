//! The sound challenge `gemm_i8`: exact int8 products that bind every round, row and chunk of one device.

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
    open::{OpenDesk, OpenFault, Opener, Part, Piece, open},
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
        progress.add_round(&hashes);
    }
    progress.finish()
}
