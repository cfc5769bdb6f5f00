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

    /// It did not come. What another runtime than the head's made possible says nothing of this one.
    pub fn failed(&mut self, head: Option<u32>) {
        self.unanswered = true;
        self.table.take_if(|table| Some(table.spec_version) != head);
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
        let (level, line) = line(row);
        log::log!(target: "validator", level, "preflight: {line}");
    }
}

/// What a row says, and how loud: a name that nothing depends on disables nothing.
fn line(row: &PreflightRow) -> (log::Level, String) {
    let PreflightRow { kind, name, state, used_by } = row;
    let what = match state {
        PreflightState::Good => return (log::Level::Debug, format!("{kind} {name}: good")),
        PreflightState::Missing => format!("{kind} {name} is missing"),
        PreflightState::OtherShape(what) => format!("{kind} {name} has another shape ({what})"),
    };
    if used_by.is_empty() {
        return (log::Level::Info, format!("{what}; nothing here depends on it"));
    }
    let features: Vec<&str> = used_by.iter().map(|feature| feature.name()).collect();
    (log::Level::Error, format!("{what}; disabled: {}; a newer byteleap may know it", features.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_a_runtime_that_is_gone_does_not_judge_the_next() {
        let mut runtime = Runtime::default();
        let rows = vec![PreflightRow {
            kind: "call",
            name: "A.b".into(),
            state: PreflightState::Missing,
            used_by: &[Feature::Signing],
        }];
        runtime.found(Preflight { spec_version: 425, metadata_version: 15, rows });
        runtime.failed(Some(425));
        assert!(runtime.is_broken(Feature::Signing), "the same runtime is as it was");
        runtime.failed(Some(426));
        assert!(!runtime.is_broken(Feature::Signing) && runtime.is_known(), "each call looks for itself");
    }

    #[test]
    fn only_what_disables_something_is_an_error() {
        let row = |used_by| PreflightRow { kind: "call", name: "A.b".into(), state: PreflightState::Missing, used_by };
        let (level, text) = line(&row(&[Feature::SetWeights]));
        assert!(level == log::Level::Error && text.contains("A.b is missing; disabled: "), "{text}");
        let unused = (log::Level::Info, "call A.b is missing; nothing here depends on it".into());
        assert_eq!(line(&row(&[])), unused);
    }
}
