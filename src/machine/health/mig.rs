//! A card that is divided into instances. CUDA lists an instance as if it were a device; a validator that is told of one
//! would take it for a whole card, and its challenges are sized for whole ones.

use super::{Finding, Grade};
use crate::machine::contract::inventory::Card;

pub fn check(card: &Card) -> Option<Finding> {
    let mig = card.readings.mig.filter(|mig| mig.enabled)?;
    let instances = mig.instances.map_or_else(|| "its".to_owned(), |count| format!("{count}"));
    let reason = format!("MIG is enabled: {instances} instances are no whole card");
    let action = format!("to offer it whole, stop what uses it and disable MIG: nvidia-smi -i {} -mig 0", card.index);
    Some(Finding::new("mig", Grade::Withheld, reason, action))
}
