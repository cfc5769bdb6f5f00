//! Errors of the memory that could not be corrected since the card was last reset: what it computed since is in doubt.
//! Those of its life before are history: rows were replaced, and `remapped` says when they could not be.

use super::{Finding, Grade};
use crate::machine::contract::inventory::Card;

pub fn check(card: &Card) -> Option<Finding> {
    let errors = card.readings.ecc.volatile_uncorrected.filter(|errors| *errors > 0)?;
    let reason = format!("{errors} uncorrectable memory errors since the last reset");
    let action = "stop the worker and reset the card (nvidia-smi --gpu-reset); when they come back, RMA";
    Some(Finding::new("ecc", Grade::Withheld, reason, action))
}
