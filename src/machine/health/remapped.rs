//! Rows of the memory that wait to be replaced, or could not be.

use super::{Finding, Grade};
use crate::machine::contract::inventory::Card;

const NAME: &str = "remapped_rows";

pub fn check(card: &Card) -> Option<Finding> {
    let rows = card.readings.remapped;
    if rows.failure == Some(true) {
        let reason = "a bad row of its memory could not be replaced: the spare rows are used up";
        return Some(Finding::new(NAME, Grade::Withheld, reason, "RMA: have the card replaced"));
    }
    if rows.pending == Some(true) {
        let action = "stop the worker and reset the card (nvidia-smi --gpu-reset), or reboot: the row is replaced then";
        return Some(Finding::new(NAME, Grade::Withheld, "a bad row of its memory waits to be replaced", action));
    }
    None
}
