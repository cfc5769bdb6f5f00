//! What was found of each card up to now: which are offered, and what was said of it.
//!
//! A card that was withheld stays so until it is read again and found better: a library that falls silent clears nothing.

use std::collections::BTreeMap;

use super::{Finding, Grade, Report, nameless, review};
use crate::machine::contract::{gpu::ExecutorGpu, inventory::Inventory};

/// Cards that are remembered as withheld.
const HELD_MAX: usize = 64;
/// Checks of what the executor says: while it is there it is asked anew each time, and what it took back is over.
const BY_THE_EXECUTOR: [&str; 2] = ["memory", "pci_disagrees"];

#[derive(Debug, Default)]
pub struct Gate {
    reports: Vec<Report>,
    /// What NVML's last reading of a card withheld it for, by uuid.
    held: BTreeMap<String, Vec<Finding>>,
    /// What was said of each card, so that it is said once.
    said: BTreeMap<String, String>,
}

impl Gate {
    /// Takes up what is known now, and says in the log what has changed.
    pub fn see(&mut self, inventory: &Inventory, cuda: Option<&[ExecutorGpu]>) {
        let inventory = &nameless::named(inventory, cuda);
        let mut reports = review(inventory, cuda);
        reports.iter_mut().for_each(|report| self.hold(inventory, report));
        let lines: BTreeMap<String, (Grade, String)> = reports.iter().filter_map(line).collect();
        for (title, (grade, line)) in &lines {
            if self.said.get(title) != Some(line) {
                let level = if *grade == Grade::Noted { log::Level::Info } else { log::Level::Warn };
                log::log!(target: "worker", level, "{line}");
            }
        }
        for title in self.said.keys().filter(|title| !lines.contains_key(*title)) {
            let listed = reports.iter().any(|report| report.title() == *title);
            log::info!(target: "worker", "{title} {}", if listed { "has nothing wrong any more" } else { "is gone: nothing lists it any more" });
        }
        self.said = lines.into_iter().map(|(title, (_, line))| (title, line)).collect();
        self.reports = reports;
    }

    fn hold(&mut self, inventory: &Inventory, report: &mut Report) {
        let Some(uuid) = report.uuid.clone() else { return };
        let read = inventory.cards().iter().any(|card| card.uuid.as_ref() == Some(&uuid));
        if !read {
            let held = self.held.get(&uuid).cloned().unwrap_or_default();
            let known = |finding: &Finding| report.findings.iter().any(|one| one.check == finding.check);
            let news: Vec<Finding> = held.into_iter().filter(|finding| !known(finding)).collect();
            return news.into_iter().for_each(|finding| report.find(finding));
        }
        let lasts = |one: &&Finding| one.grade == Grade::Withheld && !BY_THE_EXECUTOR.contains(&one.check);
        let bad: Vec<Finding> = report.findings.iter().filter(lasts).cloned().collect();
        if bad.is_empty() {
            self.held.remove(&uuid);
        } else if self.held.len() < HELD_MAX || self.held.contains_key(&uuid) {
            self.held.insert(uuid, bad);
        }
    }

    /// Whether nothing is known that would keep it back.
    pub fn offers(&self, uuid: &str) -> bool {
        !self.reports.iter().any(|report| report.uuid.as_deref() == Some(uuid) && report.grade == Grade::Withheld)
    }

    /// One for each card that anybody named.
    pub fn reports(&self) -> &[Report] {
        &self.reports
    }
}

/// What is to be said of a card: its name and the line.
fn line(report: &Report) -> Option<(String, (Grade, String))> {
    if report.findings.is_empty() {
        return None;
    }
    let title = report.title();
    let standing = match report.grade {
        Grade::Withheld => "is not offered",
        Grade::Degraded => "has a problem",
        Grade::Noted | Grade::Unknown | Grade::Healthy => "is not this host's to offer",
    };
    let findings: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    let line = format!("{title} {standing}: {}", findings.join("; "));
    Some((title, (report.grade, line)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::contract::inventory::{Card, Ecc, Nvml, NvmlReading, Readings};

    fn gpu() -> ExecutorGpu {
        ExecutorGpu { uuid: "A".into(), name: "H100".into(), told: serde_json::Map::new() }
    }

    fn read(errors: Option<u64>) -> Inventory {
        let ecc = Ecc { volatile_uncorrected: errors, ..Ecc::default() };
        let readings = Readings { ecc, ..Readings::default() };
        let card = Card { uuid: Some("A".into()), readings, ..Card::default() };
        Inventory {
            nvml: Nvml::Read(NvmlReading { cards: vec![card], ..NvmlReading::default() }),
            ..Inventory::default()
        }
    }

    #[test]
    fn memory_that_is_free_again_is_the_executors_to_say() {
        let mut gate = Gate::default();
        let full = |free: u64| ExecutorGpu {
            told: serde_json::json!({"free_memory": free, "least_memory": 2}).as_object().unwrap().clone(),
            ..gpu()
        };
        gate.see(&read(Some(0)), Some(&[full(1)]));
        assert!(!gate.offers("A"));
        gate.see(&Inventory::default(), Some(&[full(3)]));
        assert!(gate.offers("A"), "NVML is silent, and has nothing to say of it");
    }

    #[test]
    fn a_withheld_card_stays_so_until_it_is_read_and_found_better() {
        let mut gate = Gate::default();
        let mut offers = |inventory: &Inventory| {
            gate.see(inventory, Some(&[gpu()]));
            gate.offers("A")
        };
        assert!(offers(&Inventory::default()), "nothing is known of it");
        assert!(offers(&read(None)) && !offers(&read(Some(2))));
        let silent = Inventory { nvml: Nvml::Silent, ..Inventory::default() };
        assert!(!offers(&silent), "silence clears nothing");
        assert!(!offers(&Inventory::default()));
        assert!(offers(&read(Some(0))) && offers(&silent));
    }

    #[test]
    fn a_report_names_the_reason_and_what_to_do() {
        let mut gate = Gate::default();
        gate.see(&read(Some(2)), Some(&[gpu()]));
        let (_, (grade, line)) = line(&gate.reports()[0]).unwrap();
        assert_eq!(grade, Grade::Withheld);
        assert!(line.starts_with("NVIDIA card (A) is not offered: 2 uncorrectable memory errors"), "{line}");
        assert!(line.contains("reset the card"), "{line}");
    }
}
