//! The health gate: which cards may be offered, why another one may not, and what to do about it.
//!
//! One check a file; each is a function from what was read of one card to at most one finding. A reading that was not had
//! is no finding. [`review`] puts the checks together with [`agree`], which compares what NVML, CUDA, the kernel and the
//! PCI bus say. Pure: it measures nothing, resets nothing, and remembers nothing but in a [`Gate`].

mod agree;
mod ecc;
mod gate;
mod lost;
mod memory;
mod mig;
mod nameless;
mod pcie;
mod remapped;
mod throttle;
pub mod told;
mod xid;

use std::fmt;

use serde::Serialize;

pub use self::{agree::review, gate::Gate, xid::meaning};
use super::contract::inventory::{Card, PciAddress};

/// How bad it is. Ascending.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    #[default]
    Healthy,
    /// NVML tells nothing of it, and nobody else anything bad: offered.
    Unknown,
    /// Worth knowing, and as somebody wanted it.
    Noted,
    /// It computes, slower or at risk: offered.
    Degraded,
    /// Not offered.
    Withheld,
}

impl Grade {
    pub const ALL: [Grade; 5] = [Grade::Healthy, Grade::Unknown, Grade::Noted, Grade::Degraded, Grade::Withheld];

    pub fn name(self) -> &'static str {
        match self {
            Grade::Healthy => "healthy",
            Grade::Unknown => "unknown",
            Grade::Noted => "noted",
            Grade::Degraded => "degraded",
            Grade::Withheld => "withheld",
        }
    }
}

/// What one check has found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub check: &'static str,
    pub grade: Grade,
    pub reason: String,
    /// What an operator should do.
    pub action: String,
}

impl Finding {
    fn new(check: &'static str, grade: Grade, reason: impl Into<String>, action: impl Into<String>) -> Finding {
        Finding { check, grade, reason: reason.into(), action: action.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.action)
    }
}

/// One card that anybody knows of, and all that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pci: Option<PciAddress>,
    pub grade: Grade,
    pub findings: Vec<Finding>,
}

impl Report {
    fn find(&mut self, finding: Finding) {
        self.grade = self.grade.max(finding.grade);
        self.findings.push(finding);
    }

    /// As people call it: what it is and where.
    pub fn title(&self) -> String {
        let name = self.name.as_deref().unwrap_or("NVIDIA card");
        let places = [self.uuid.clone(), self.pci.map(|pci| format!("PCI {pci}"))];
        let places: Vec<String> = places.into_iter().flatten().collect();
        if places.is_empty() { name.to_owned() } else { format!("{name} ({})", places.join(", ")) }
    }
}

/// What NVML's readings of one card amount to.
pub fn judge(card: &Card) -> Vec<Finding> {
    let checks = [lost::check, xid::check, ecc::check, remapped::check, mig::check, throttle::check, pcie::check];
    checks.iter().filter_map(|check| check(card)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::contract::inventory::{Ecc, Mig, Pcie, Readings, Remapped, Throttle};

    fn card(readings: Readings) -> Card {
        Card { uuid: Some("GPU-1".into()), readings, ..Card::default() }
    }

    /// What one card is withheld or degraded for.
    fn judged(readings: Readings) -> Vec<(&'static str, Grade)> {
        judge(&card(readings)).iter().map(|finding| (finding.check, finding.grade)).collect()
    }

    #[test]
    fn what_was_not_read_withholds_nothing() {
        assert_eq!(judged(Readings::default()), []);
    }

    #[test]
    fn a_card_in_good_order_has_no_finding() {
        let good = Readings {
            pcie: Pcie { width: Some(16), width_max: Some(16), generation: Some(1), generation_max: Some(5) },
            throttle: Some(vec![Throttle::Idle, Throttle::SoftwarePowerCap]),
            ecc: Ecc { enabled: Some(true), volatile_uncorrected: Some(0), aggregate_uncorrected: Some(3) },
            remapped: Remapped { pending: Some(false), failure: Some(false), ..Remapped::default() },
            mig: Some(Mig { enabled: false, instances: None }),
            xids: Some(vec![]),
            ..Readings::default()
        };
        assert_eq!(judged(good), [], "a sleeping link is slower, a power limit is normal, an old error was repaired");
    }

    #[test]
    fn each_condition_has_its_verdict() {
        let ecc = Readings { ecc: Ecc { volatile_uncorrected: Some(1), ..Ecc::default() }, ..Readings::default() };
        assert_eq!(judged(ecc), [("ecc", Grade::Withheld)]);
        let row = |pending, failure| Readings {
            remapped: Remapped { pending, failure, ..Remapped::default() },
            ..Readings::default()
        };
        assert_eq!(judged(row(Some(true), None)), [("remapped_rows", Grade::Withheld)]);
        assert_eq!(judged(row(Some(true), Some(true))).len(), 1);
        let throttled = |reason| Readings { throttle: Some(vec![reason]), ..Readings::default() };
        for reason in [Throttle::HardwareThermal, Throttle::SoftwareThermal, Throttle::PowerBrake] {
            assert_eq!(judged(throttled(reason)), [("throttle", Grade::Degraded)], "{reason:?}");
        }
        let mig = Readings { mig: Some(Mig { enabled: true, instances: Some(7) }), ..Readings::default() };
        assert_eq!(judged(mig), [("mig", Grade::Withheld)]);
        let link = Pcie { width: Some(4), width_max: Some(16), ..Pcie::default() };
        let narrow = judge(&card(Readings { pcie: link, ..Readings::default() }));
        assert_eq!((narrow[0].grade, narrow[0].reason.as_str()), (Grade::Degraded, "PCIe x4 of x16"));
        assert!(narrow[0].action.contains("reseat"), "{}", narrow[0].action);
        let lost = Card { lost: Some("fell off the bus".into()), ..Card::default() };
        assert_eq!(judge(&lost)[0].grade, Grade::Withheld);
    }

    #[test]
    fn a_failed_remapping_is_for_the_vendor_and_a_pending_one_for_a_reset() {
        let action = |failure| {
            let remapped = Remapped { pending: Some(true), failure: Some(failure), ..Remapped::default() };
            judge(&card(Readings { remapped, ..Readings::default() })).remove(0).action
        };
        assert!(
            action(true).contains("RMA") && action(false).contains("reset"),
            "{} / {}",
            action(true),
            action(false)
        );
    }

    #[test]
    fn the_worst_xid_decides_and_a_programs_own_fault_does_not() {
        let seen = |xids: &[u64]| judged(Readings { xids: Some(xids.to_vec()), ..Readings::default() });
        assert_eq!(seen(&[13, 31, 43, 45]), [], "a program's own faults");
        assert_eq!(seen(&[92, 79]), [("xid", Grade::Withheld)]);
        assert_eq!(seen(&[92]), [("xid", Grade::Degraded)]);
        assert_eq!(seen(&[9999]), [], "unknown numbers say nothing of the card");
        let both = judge(&card(Readings { xids: Some(vec![63, 48]), ..Readings::default() })).remove(0);
        assert!(both.reason.contains("XID 48") && both.reason.contains("also 63"), "{}", both.reason);
    }
}
