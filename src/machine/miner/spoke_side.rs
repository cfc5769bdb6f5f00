//! What the spokes report: big messages that were worked on, and the chain's metagraph.

use std::collections::BTreeSet;

use super::{Command, Miner};
use crate::{
    machine::{
        Output,
        contract::{
            bulk::MinerBulkDone,
            chain::{ChainFault, ChainReply, ChainRequest, Metagraph},
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
            MinerBulkDone::Sealed { job, request } => {
                let Miner { validators, uplink, .. } = self;
                uplink.sealed(now.mono, job, request, |hotkey| validators.axon(hotkey));
            }
            MinerBulkDone::Opened { job, letter } => self.uplink.read(now.mono, job, letter, &mut self.rng),
        }
    }

    pub(super) fn ask_chain(&mut self, now: Mono) {
        if self.sync.take_due(now) {
            self.counters.count(Metric::SpokeRequests, &["chain"]);
            self.outbox.push_back(Output::Command(Command::Chain(ChainRequest::Metagraph(self.netuid))));
        }
    }

    pub(super) fn chain_replied(&mut self, now: Now, reply: ChainReply) {
        match reply {
            ChainReply::Metagraph(metagraph) => self.metagraph_read(now.mono, &metagraph),
            ChainReply::Failed(fault) => self.chain_failed(now.mono, &fault),
            // Never asked for.
            _ => {}
        }
    }

    pub(super) fn metagraph_read(&mut self, now: Mono, metagraph: &Metagraph) {
        self.counters.count(Metric::ChainRequests, &["metagraph", "good"]);
        self.sync.succeeded(now);
        self.neurons = Some(metagraph.neurons.len());
        self.check_registration(metagraph);
        let before = self.validators.len();
        self.validators.update(metagraph);
        self.schedule.keep(now, self.validators.iter(), &mut self.rng);
        let listed: BTreeSet<Hotkey> = self.validators.iter().cloned().collect();
        self.uplink.keep(|hotkey| listed.contains(hotkey));
        self.flows.keep_memory_of(&listed);
        if listed.len() != before {
            log::info!(target: "miner", "{} validators at block {}", listed.len(), metagraph.block);
        }
    }

    pub(super) fn check_registration(&mut self, metagraph: &Metagraph) {
        let registered = metagraph.neuron(self.uplink.hotkey()).is_some();
        if self.registered == Some(registered) {
            return;
        }
        self.registered = Some(registered);
        let (hotkey, netuid) = (self.uplink.hotkey(), self.netuid.0);
        if registered {
            log::info!(target: "miner", "hotkey {hotkey} is registered in subnet {netuid}");
        } else {
            log::error!(target: "miner", "hotkey {hotkey} is not registered in subnet {netuid}: validators will refuse it");
        }
    }

    pub(super) fn chain_failed(&mut self, now: Mono, fault: &ChainFault) {
        self.counters.count(Metric::ChainRequests, &["metagraph", "failed"]);
        let wait = self.sync.failed(now, &mut self.rng);
        let known = match self.sync.age(now) {
            Some(age) => format!("the last one is {} s old and stays in use", age.as_secs()),
            None => "there is none yet".into(),
        };
        log::warn!(target: "miner", "{}: {}; {known}; again in {} s", fault.asked, fault.text, wait.as_secs());
    }
}
