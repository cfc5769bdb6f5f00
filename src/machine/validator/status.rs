//! What a validator says of itself in one line. Reads the machine, changes nothing.

use super::{Phase, Validator, fleet};
use crate::{
    machine::status::{count, line, span},
    units::Now,
};

impl Validator {
    pub(super) fn in_a_line(&self, now: Now) -> String {
        match self.phase {
            Phase::Loading => "starting: the database is being read".into(),
            Phase::Stopping | Phase::Ended => "stopping: what was accepted is being written down".into(),
            Phase::Running => line([
                self.weights_in_words(now),
                Some(self.fleet_in_words(now)),
                Some(self.chain_in_words(now)),
                self.market.in_words(now.mono),
                self.drift.alarmed().then(|| "the wall clock moved: scoring and weights pause".into()),
            ]),
        }
    }

    /// `None` where the chain was not read yet: that is said then.
    fn weights_in_words(&self, now: Now) -> Option<String> {
        self.chain.graph()?;
        if !self.epoch.sets_weights() {
            return Some("sets no weights".into());
        }
        let confirmed = match self.epoch.confirmed(now) {
            Some(age) => format!("weights confirmed {} ago", span(age)),
            None => "no weights confirmed yet".into(),
        };
        let overdue = if self.epoch.is_overdue() { ", overdue" } else { "" };
        let blocked = self.epoch.blocked().filter(|blocked| blocked.is_pause());
        let blocked = blocked.map_or(String::new(), |blocked| format!(", held back: {}", blocked.name()));
        Some(format!("{confirmed}{overdue}{blocked}"))
    }

    fn fleet_in_words(&self, now: Now) -> String {
        let miners = self.fleet.heard_within(now.mono, fleet::HEARD_WITHIN).len();
        let workers = self.fleet.online(now.mono);
        let challenged = self.challenges.open().count();
        format!("{}, {} alive ({challenged} challenged)", count(miners, "miner"), count(workers, "worker"))
    }

    fn chain_in_words(&self, now: Now) -> String {
        let heads = self.chain.heads();
        let head = match (heads.best(), heads.age(now.mono)) {
            (Some(block), Some(age)) => format!("chain block {block}, {} old", span(age)),
            _ => "no node of the chain has answered yet".into(),
        };
        match self.chain.graph() {
            Some(_) if self.chain.is_stale(now.mono) => format!("{head}, metagraph too old"),
            Some(_) => head,
            None => format!("starting: {head}, no metagraph yet"),
        }
    }
}
