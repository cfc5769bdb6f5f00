//! What a worker says of itself in one line. Reads the machine, changes nothing.

use super::{Worker, uplink::LossClass};
use crate::{
    machine::status::{count, line, span},
    units::Mono,
};

impl Worker {
    pub(super) fn in_a_line(&self, now: Mono) -> String {
        if self.stopping.is_some() {
            return self.left_to_do();
        }
        if self.uplink.is_off() {
            return "starting: the hardware is being read".into();
        }
        line([Some(self.way(now)), self.cards(), Some(self.work()), Some(self.proofs(now))])
    }

    fn left_to_do(&self) -> String {
        let what = match (self.tasks.computing(), self.kept.has_unproven()) {
            (Some(kind), _) => format!("{kind} is being computed"),
            (None, true) => "a proof may be asked for".into(),
            (None, false) => "nothing is left to do".into(),
        };
        format!("stopping: {what}")
    }

    /// To the miner, by its address alone: the path may be a secret of the operator's.
    fn way(&self, now: Mono) -> String {
        let miner = self.miner.authority();
        let Some(trouble) = self.uplink.trouble() else {
            return match self.uplink.registered() {
                Some(_) => format!("miner {miner} connected"),
                None => format!("starting: connecting to the miner {miner}"),
            };
        };
        let (since, why) = (span(now.since(trouble.since)), &trouble.reason);
        match trouble.class {
            LossClass::Refused => format!("miner {miner} refuses this worker for {since}: {why}"),
            LossClass::Full | LossClass::Transport => format!("miner {miner} not connected for {since}: {why}"),
        }
    }

    fn cards(&self) -> Option<String> {
        if self.gpus.is_off() {
            return None;
        }
        let withheld = self.gpus.verdicts().find(|(verdict, _)| *verdict == "withheld").map_or(0, |(_, cards)| cards);
        let withheld = if withheld > 0 { format!(" ({withheld} withheld)") } else { String::new() };
        Some(format!("{}{withheld}", count(self.gpus.uuids().len(), "GPU")))
    }

    fn work(&self) -> String {
        match self.tasks.computing() {
            Some(kind) => format!("computing {kind}"),
            None if self.gpus.why_idle().is_some() => "nothing to offer".into(),
            None => "idle".into(),
        }
    }

    fn proofs(&self, now: Mono) -> String {
        self.proven.map_or("no proof given yet".into(), |at| format!("last proof given {} ago", span(now.since(at))))
    }
}
