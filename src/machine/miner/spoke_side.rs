//! What the spokes report: big messages that were worked on, and the chain's metagraph.

use std::collections::BTreeSet;

use super::{Command, Miner, Stop, metagraph::Step, runtime::Next};
use crate::{
    machine::{
        Exit, Output,
        contract::{
            bulk::MinerBulkDone,
            chain::{ChainFault, ChainFaultKind, ChainReply, ChainRequest, Head, Metagraph},
        },
    },
    metrics::Metric,
    units::{Hotkey, Mono, Now},
};

impl Miner {
    pub(super) fn bulk_done(&mut self, now: Now, done: MinerBulkDone) {
        self.bulk.give_back();
        match done {
            MinerBulkDone::Frame { peer, words } => {
                self.workers.returned_from_bulk(peer);
                self.frame_read(now, peer, *words);
            }
            MinerBulkDone::Sealed { job, sealed } => {
                let Miner { validators, uplink, .. } = self;
                uplink.sealed(now, job, sealed, |hotkey| validators.axon(hotkey));
            }
            MinerBulkDone::Opened { job, letter } => self.uplink.read(now.mono, job, letter, &mut self.rng),
        }
    }

    pub(super) fn ask_chain(&mut self, now: Mono) {
        if self.sync.take_due(now) {
            self.ask(ChainRequest::Head);
        }
    }

    fn ask(&mut self, request: ChainRequest) {
        self.counters.count(Metric::SpokeRequests, &["chain"]);
        self.outbox.push_back(Output::Command(Command::Chain(request)));
    }

    pub(super) fn chain_replied(&mut self, now: Now, reply: ChainReply) {
        match reply {
            ChainReply::Head(head) => self.head_read(now.mono, head),
            ChainReply::Preflight(table) => {
                self.counters.count(Metric::ChainRequests, &["preflight", "good"]);
                self.runtime.found(*table);
                self.ask_metagraph();
            }
            ChainReply::Metagraph(metagraph) => self.metagraph_read(now.mono, &metagraph),
            ChainReply::Failed(fault) => self.chain_failed(now.mono, &fault),
            // Never asked for.
            _ => {}
        }
    }

    fn head_read(&mut self, now: Mono, head: Head) {
        self.counters.count(Metric::ChainRequests, &["head", "good"]);
        let (best, spec) = (head.best, head.spec_version);
        match self.runtime.took(now, head) {
            Next::Wait => {
                log::info!(target: "miner", "block {best} brings runtime {spec}; the next block is waited for");
                self.sync.is_upgrading(now);
            }
            Next::Preflight => {
                self.sync.go_on(Step::Preflight);
                self.ask(ChainRequest::Preflight);
            }
            Next::Metagraph => self.ask_metagraph(),
        }
    }

    fn ask_metagraph(&mut self) {
        self.sync.go_on(Step::Metagraph);
        self.ask(ChainRequest::Metagraph(self.netuid));
    }

    pub(super) fn metagraph_read(&mut self, now: Mono, metagraph: &Metagraph) {
        self.counters.count(Metric::ChainRequests, &["metagraph", "good"]);
        self.sync.succeeded(now);
        self.neurons = Some(metagraph.neurons.len());
        self.registration.look(now, self.uplink.hotkey(), metagraph);
        let before = self.validators.len();
        self.validators.update(metagraph);
        self.schedule.keep(now, self.validators.iter(), &mut self.rng);
        let listed: BTreeSet<Hotkey> = self.validators.iter().cloned().collect();
        self.uplink.keep(|hotkey| listed.contains(hotkey));
        self.market_tasks.keep(|hotkey| listed.contains(hotkey));
        self.flows.keep_memory_of(&listed);
        if listed.len() != before {
            log::info!(target: "miner", "{} validators at block {}", listed.len(), metagraph.block);
        }
    }

    fn chain_failed(&mut self, now: Mono, fault: &ChainFault) {
        self.counters.count(Metric::ChainRequests, &[fault.asked, "failed"]);
        if fault.kind == ChainFaultKind::Upgrading {
            log::info!(target: "miner", "{}: {}; the next block is waited for", fault.asked, fault.text);
            return self.sync.is_upgrading(now);
        }
        if self.sync.step() == Some(Step::Preflight) {
            log::warn!(target: "miner", "{}: {}; it is tried again with the next metagraph", fault.asked, fault.text);
            self.runtime.not_found();
            return self.ask_metagraph();
        }
        let remedy = fault.remedy.map(|remedy| format!("; {remedy}")).unwrap_or_default();
        if fault.kind == ChainFaultKind::OtherChain && self.runtime.is_untold() && self.stop == Stop::No {
            // Nothing was ever read of the right chain, and no endpoint will be asked again: no restart helps.
            return self.end(Exit::Config(format!("{}{remedy}", fault.text)));
        }
        let wait = self.sync.failed(now, &mut self.rng);
        let known = match self.sync.age(now) {
            Some(age) => format!("the last metagraph is {} s old and stays in use", age.as_secs()),
            None => "there is no metagraph yet".into(),
        };
        log::warn!(
            target: "miner",
            "{}: {}{remedy}; {known}; again in {} s", fault.asked, fault.text, wait.as_secs()
        );
    }
}
