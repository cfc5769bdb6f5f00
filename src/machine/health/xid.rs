//! Errors that the driver reports by number (XID). Only those that say something of the card are here: most others are a
//! program's own faults, and a number that nobody knows is no verdict.

use super::{Finding, Grade};
use crate::machine::contract::inventory::Card;

struct Meaning {
    xid: u64,
    grade: Grade,
    what: &'static str,
    action: &'static str,
}

const RESET: &str = "stop the worker, reset the card (nvidia-smi --gpu-reset) or reboot, start the worker again";
const RESET_THEN_RMA: &str =
    "stop the worker, reset the card (nvidia-smi --gpu-reset) or reboot; when it comes back, RMA";
const REBOOT: &str = "reboot the host; when it comes back, look at the card's seat and power, then RMA";
const RMA: &str = "RMA: have the card replaced";
const WATCH: &str = "nothing yet: the card repairs itself at the next reset; when it comes again and again, RMA";

/// After NVIDIA's catalogue of XID errors. The worst first, for equal grades.
const MEANINGS: [Meaning; 20] = [
    withheld(79, "the card has fallen off the bus", REBOOT),
    withheld(64, "a bad row of the memory could not be replaced", RMA),
    withheld(48, "an uncorrectable memory error (double bit)", RESET_THEN_RMA),
    withheld(95, "an uncontained memory error", RESET_THEN_RMA),
    withheld(140, "memory errors that could not be recovered", RESET_THEN_RMA),
    withheld(62, "the card's own controller has halted", RESET),
    withheld(119, "the card's system processor (GSP) does not answer", RESET),
    withheld(120, "the card's system processor (GSP) has failed", RESET),
    withheld(143, "the card could not be started", REBOOT),
    withheld(110, "a security fault", REBOOT),
    withheld(38, "the card's firmware has failed", RESET),
    withheld(46, "the card has stopped working", RESET),
    withheld(
        74,
        "an NVLink error",
        "stop the worker and reset the card; when it comes back, look at bridges and NVSwitch",
    ),
    withheld(109, "a context switch did not end in time", RESET),
    degraded(
        154,
        "the driver has changed what it asks for",
        "do what the kernel's log says beside Xid 154: reset, reboot or drain",
    ),
    degraded(94, "a memory error that was contained: the job that it hit is lost", WATCH),
    degraded(63, "a bad row of the memory was marked for replacement", WATCH),
    degraded(92, "many memory errors that were corrected", WATCH),
    degraded(61, "a warning of the card's own controller", RESET),
    degraded(121, "an error of the link to the CPU (C2C)", RESET),
];

const fn withheld(xid: u64, what: &'static str, action: &'static str) -> Meaning {
    Meaning { xid, grade: Grade::Withheld, what, action }
}

const fn degraded(xid: u64, what: &'static str, action: &'static str) -> Meaning {
    Meaning { xid, grade: Grade::Degraded, what, action }
}

pub fn check(card: &Card) -> Option<Finding> {
    meaning(card.readings.xids.as_ref()?)
}

/// What these numbers amount to.
pub fn meaning(seen: &[u64]) -> Option<Finding> {
    let mut known = MEANINGS.iter().filter(|meaning| seen.contains(&meaning.xid));
    let worst = known.next()?;
    let also: Vec<String> = known.map(|meaning| meaning.xid.to_string()).collect();
    let also = if also.is_empty() { String::new() } else { format!(", also {}", also.join(", ")) };
    Some(Finding::new("xid", worst.grade, format!("XID {}: {}{also}", worst.xid, worst.what), worst.action))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_order_of_grade_and_names_each_number_once() {
        assert!(MEANINGS.iter().map(|meaning| meaning.grade).rev().is_sorted());
        let mut numbers: Vec<u64> = MEANINGS.iter().map(|meaning| meaning.xid).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), MEANINGS.len());
    }
}
