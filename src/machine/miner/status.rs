//! What a miner says of itself in one line. Reads the machine, changes nothing.

use std::time::Duration;

use super::{Miner, Stop};
use crate::{
    machine::status::{count, line, span},
    units::Mono,
};

/// A metagraph that is older is worth a word.
const OLD: Duration = Duration::from_secs(300);

impl Miner {
    pub(super) fn in_a_line(&self, now: Mono) -> String {
        match self.stop {
            Stop::Until(_) | Stop::Done => {
                let (requests, workers) = (self.uplink.in_flight(), self.workers.connections());
                format!("stopping: {} in flight, {} to close", count(requests, "request"), count(workers, "connection"))
            }
            Stop::No => line([
                Some(self.workers_in_words()),
                self.validators_in_words(now),
                Some(self.chain_in_words(now)),
                self.registration.is().filter(|is| !is).map(|_| "hotkey not registered: validators refuse it".into()),
            ]),
        }
    }

    fn workers_in_words(&self) -> String {
        format!("{} connected ({} computing)", count(self.workers.len(), "worker"), self.flows.busy_count())
    }

    /// `None` while nobody knows of any.
    fn validators_in_words(&self, now: Mono) -> Option<String> {
        let listed = self.validators.len();
        if listed == 0 && self.sync.age(now).is_none() {
            return None;
        }
        let passed_over = match self.validators.passed_over_count(now) {
            0 => String::new(),
            some => format!(" ({some} passed over)"),
        };
        let answering = self.validators.answering_count(now);
        Some(format!("{answering} of {} answering{passed_over}", count(listed, "validator")))
    }

    fn chain_in_words(&self, now: Mono) -> String {
        let Some((block, age)) = self.runtime.block(now) else {
            return "starting: no node of the chain has answered yet".into();
        };
        let head = format!("chain block {block}, {} old", span(age));
        match self.sync.age(now) {
            None => format!("starting: {head}, no metagraph yet"),
            Some(age) if age > OLD => format!("{head}, metagraph {} old", span(age)),
            Some(_) => head,
        }
    }
}
