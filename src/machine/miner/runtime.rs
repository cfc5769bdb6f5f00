//! What the miner knows of the chain beside the metagraph: its head, and whether the runtime that runs there has
//! what the miner reads of it.
//!
//! A miner reads the metagraph and signs nothing, so of all that a preflight finds only that concerns it. A runtime
//! that is just being replaced is no fault: the next block can be read.

use std::time::Duration;

use crate::{
    machine::contract::chain::{Feature, Head, Preflight, PreflightRow, PreflightState},
    metrics::{Metric, Page},
    units::Mono,
};

/// What is asked after a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing, until the next block.
    Wait,
    Preflight,
    Metagraph,
}

#[derive(Debug, Default)]
pub struct Runtime {
    head: Option<Head>,
    /// When the best block was last another one.
    moved: Mono,
    /// Of the runtime that a preflight was last asked for.
    looked_at: Option<u32>,
    table: Option<Preflight>,
}

impl Runtime {
    pub fn took(&mut self, now: Mono, head: Head) -> Next {
        if self.head.as_ref().is_none_or(|old| old.best != head.best) {
            self.moved = now;
        }
        let (spec, upgrading) = (head.spec_version, head.upgrading);
        self.head = Some(head);
        if upgrading {
            return Next::Wait;
        }
        match self.looked_at.replace(spec) {
            Some(known) if known == spec => Next::Metagraph,
            _ => Next::Preflight,
        }
    }

    pub fn found(&mut self, table: Preflight) {
        let Preflight { spec_version, metadata_version, rows } = &table;
        let needed = rows.iter().filter(|row| is_needed(row)).count();
        log::info!(target: "miner", "runtime {spec_version} (metadata V{metadata_version}): {needed} names looked for");
        table.rows.iter().filter(|row| is_needed(row)).for_each(tell);
        self.table = Some(table);
    }

    /// No node of our chain has said anything yet.
    pub fn is_untold(&self) -> bool {
        self.head.is_none()
    }

    /// It is asked for again with the next head.
    pub fn not_found(&mut self) {
        self.looked_at = None;
    }

    /// The best block that a node told of, and how long ago it was another one.
    pub fn block(&self, now: Mono) -> Option<(u64, Duration)> {
        self.head.as_ref().map(|head| (head.best, now.since(self.moved)))
    }

    pub fn write(&self, now: Mono, page: &mut Page) {
        let block = self.block(now);
        page.set_known(Metric::ChainBlock, &[], block.map(|(best, _)| best as f64));
        page.set_known(Metric::ChainBlockAgeSeconds, &[], block.map(|(_, age)| age.as_secs_f64()));
        for row in self.table.iter().flat_map(|table| &table.rows).filter(|row| is_needed(row)) {
            let good = f64::from(u8::from(row.state == PreflightState::Good));
            page.set(Metric::ChainPreflight, &[row.kind, &row.name], good);
        }
    }
}

/// Without the selective one the whole metagraph is read.
fn is_needed(row: &PreflightRow) -> bool {
    row.used_by.contains(&Feature::Metagraph)
}

fn tell(row: &PreflightRow) {
    let PreflightRow { kind, name, state, .. } = row;
    let what = match state {
        PreflightState::Good => return,
        PreflightState::Missing => "the chain's runtime has it no more".to_owned(),
        PreflightState::OtherShape(what) => format!("it has another shape: {what}"),
    };
    log::error!(
        target: "miner",
        "{kind} {name}: {what}; the metagraph cannot be read, the last one stays in use: update byteleap"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(best: u64, spec_version: u32, upgrading: bool) -> Head {
        let (genesis, chain) = ([1; 32], "Bittensor".to_owned());
        Head { best, finalized: best, best_at: None, spec_version, upgrading, genesis, chain }
    }

    #[test]
    fn a_runtime_is_looked_at_once_and_again_when_it_is_another() {
        let mut runtime = Runtime::default();
        assert_eq!(runtime.took(Mono(0), head(1, 425, false)), Next::Preflight);
        assert_eq!(runtime.took(Mono(1), head(2, 425, false)), Next::Metagraph);
        assert_eq!(runtime.took(Mono(2), head(3, 426, true)), Next::Wait, "its storage is not migrated yet");
        assert_eq!(runtime.took(Mono(3), head(4, 426, false)), Next::Preflight);
        runtime.not_found();
        assert_eq!(runtime.took(Mono(4), head(5, 426, false)), Next::Preflight, "there was no answer");
    }

    #[test]
    fn of_a_preflight_only_what_a_miner_reads_is_on_the_page() {
        let mut runtime = Runtime::default();
        let row = |name: &str, used_by, state| PreflightRow { kind: "call", name: name.into(), used_by, state };
        let metagraph = row("get_metagraph", &[Feature::Metagraph], PreflightState::Missing);
        let weights = row("set_weights", &[Feature::SetWeights], PreflightState::Missing);
        runtime.found(Preflight { spec_version: 1, metadata_version: 15, rows: vec![metagraph, weights] });
        let mut page = Page::default();
        runtime.write(Mono(0), &mut page);
        assert_eq!(page.value(Metric::ChainPreflight, &["call", "get_metagraph"]), Some(0.0));
        assert_eq!(page.value(Metric::ChainPreflight, &["call", "set_weights"]), None);
    }

    #[test]
    fn a_block_that_stands_ages() {
        let mut runtime = Runtime::default();
        let at = |seconds: u64| Mono(seconds * 1_000_000_000);
        runtime.took(at(0), head(7, 425, false));
        runtime.took(at(60), head(7, 425, false));
        let mut page = Page::default();
        runtime.write(at(90), &mut page);
        assert_eq!(page.value(Metric::ChainBlockAgeSeconds, &[]), Some(90.0));
        assert_eq!(page.value(Metric::ChainBlock, &[]), Some(7.0));
    }
}
