//! What the runtime makes possible, as the last preflight found.
//!
//! Owns its table. A name or shape that is missing disables only the features that use it; it says which, when
//! that changes. It asks nothing: `chain` does, at the start, when a block carries a new runtime, when a call could not
//! be signed for its shape, and as long as something is missing.

use crate::{
    machine::contract::chain::{Feature, Preflight, PreflightRow, PreflightState},
    metrics::{Metric, Page},
};

/// See the module.
#[derive(Debug, Default)]
pub struct Runtime {
    table: Option<Preflight>,
    /// It was asked for and did not come: every call then looks for itself.
    unanswered: bool,
}

impl Runtime {
    pub fn found(&mut self, table: Preflight) {
        if self.table.as_ref() != Some(&table) {
            tell(&table);
        }
        self.table = Some(table);
    }

    pub fn failed(&mut self) {
        self.unanswered = true;
    }

    /// Which runtime the table is of.
    pub fn spec_version(&self) -> Option<u32> {
        self.table.as_ref().map(|table| table.spec_version)
    }

    pub fn is_known(&self) -> bool {
        self.table.is_some() || self.unanswered
    }

    /// Whether the runtime lacks what `feature` needs.
    pub fn is_broken(&self, feature: Feature) -> bool {
        self.table.as_ref().is_some_and(|table| table.broken(feature).is_some())
    }

    /// Whether it lacks what any feature needs.
    pub fn is_wanting(&self) -> bool {
        let mut rows = self.table.iter().flat_map(|table| &table.rows);
        rows.any(|row| row.state != PreflightState::Good && !row.used_by.is_empty())
    }

    pub fn fill(&self, page: &mut Page) {
        for row in self.table.iter().flat_map(|table| &table.rows) {
            let good = if row.state == PreflightState::Good { 1.0 } else { 0.0 };
            page.set(Metric::ChainPreflight, &[row.kind, &row.name], good);
        }
    }
}

fn tell(table: &Preflight) {
    let Preflight { spec_version, metadata_version, rows } = table;
    let broken = rows.iter().filter(|row| row.state != PreflightState::Good).count();
    log::info!(
        target: "validator",
        "preflight of runtime {spec_version} (metadata V{metadata_version}): {} names looked for, {broken} not as expected",
        rows.len()
    );
    for row in rows {
        let PreflightRow { kind, name, .. } = row;
        match &row.state {
            PreflightState::Good => log::debug!(target: "validator", "preflight: {kind} {name}: good"),
            PreflightState::Missing => {
                log::error!(target: "validator", "preflight: {kind} {name} is missing; {}", disabled(row));
            }
            PreflightState::OtherShape(what) => {
                log::error!(target: "validator", "preflight: {kind} {name} has another shape ({what}); {}", disabled(row));
            }
        }
    }
}

fn disabled(row: &PreflightRow) -> String {
    let features: Vec<&str> = row.used_by.iter().map(|feature| feature.name()).collect();
    format!("disabled: {}; a newer byteleap may know it", features.join(", "))
}
