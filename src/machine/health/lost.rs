//! A card that does not answer any more.

use super::{Finding, Grade};
use crate::machine::contract::inventory::Card;

pub fn check(card: &Card) -> Option<Finding> {
    let why = card.lost.as_ref()?;
    let action = "stop the worker and reset the card (nvidia-smi --gpu-reset); when it stays away, reboot, then look at \
                  its power and its seat";
    Some(Finding::new("lost", Grade::Withheld, format!("the card does not answer: {why}"), action))
}
