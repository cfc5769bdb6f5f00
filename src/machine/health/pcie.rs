//! Lanes that are missing: fewer than card and slot have together. An idle card lowers the link's generation, never its
//! width, so the generation says nothing.

use super::{Finding, Grade};
use crate::machine::contract::inventory::Card;

pub fn check(card: &Card) -> Option<Finding> {
    let link = card.readings.pcie;
    let (now, most) = (link.width?, link.width_max?);
    let reason = format!("PCIe x{now} of x{most}");
    let action = "reseat the card; look at riser, cable and slot. Challenges need little of it, other work does";
    (now < most).then(|| Finding::new("pcie", Grade::Degraded, reason, action))
}
