//! When scores are calculated, and what weights follow from the last ones.
//!
//! Owns the policy and the last scores with their age. One calculation is under way at most; the arithmetic
//! is done in the bulk spoke. It decides nothing about submission.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{chain::Chain, fleet::Fleet, lines};
use crate::{
    config::validator::{Config, Policy as Named},
    machine::{
        contract::store::{FactsWindow, StoreRequest},
        score::{self, Contested, Policy, Scores},
    },
    units::{Hotkey, Mono, Uid, Wall},
};

#[derive(Debug)]
pub struct Scoring {
    policy: Policy,
    every: Duration,
    under_way: bool,
    last: Option<(Scores, Mono)>,
    /// When this process began to hear miners.
    listening: Option<Mono>,
}

impl Scoring {
    pub fn new(config: &Config) -> Scoring {
        let base = match config.weights.policy {
            Named::Reference7030 => Policy::reference_70_30(),
            Named::Throughput => Policy::throughput(),
        };
        let hours = config.weights.availability_window.as_secs() / 3600;
        let policy = Policy {
            ranking_window: config.validation.ranking_window,
            challenge_interval: config.validation.challenge_interval,
            participation_threshold: config.validation.participation_rate_threshold,
            availability_hours: u32::try_from(hours).unwrap_or(u32::MAX),
            challenge_weight: config.weights.challenge_weight,
            lease_weight: config.weights.lease_weight,
            ..base
        };
        Scoring { policy, every: config.weights.recalculate_interval, under_way: false, last: None, listening: None }
    }

    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// From now on miners are heard.
    pub fn listen(&mut self, now: Mono) {
        self.listening = Some(now);
    }

    /// Begins a calculation, unless one is under way.
    pub fn begin(&mut self) -> bool {
        !std::mem::replace(&mut self.under_way, true)
    }

    /// What the store is asked for.
    pub fn facts(&self, at: Wall) -> StoreRequest {
        let window = FactsWindow {
            ranking_minutes: self.policy.ranking_window.as_secs().div_ceil(60),
            availability_hours: self.policy.availability_hours.into(),
        };
        StoreRequest::Facts { at, window }
    }

    /// The calculation came to nothing; the last scores stay.
    pub fn failed(&mut self) {
        self.under_way = false;
    }

    pub fn scored(&mut self, now: Mono, scores: Scores) {
        lines::scored(&scores);
        self.tell_of_quarantine(&scores);
        self.under_way = false;
        self.last = Some((scores, now));
    }

    /// Each quarantine once, when it begins and when it ends.
    fn tell_of_quarantine(&self, scores: &Scores) {
        let before: &[Contested] = self.last.as_ref().map_or(&[], |(last, _)| &last.contested);
        for new in scores.contested.iter().filter(|contested| !before.contains(contested)) {
            log::warn!(target: "validator", "{}", plain(&new.to_string()));
        }
        let still = |old: &&Contested| !scores.contested.iter().any(|contested| contested.uuid == old.uuid);
        for old in before.iter().filter(still) {
            log::info!(target: "validator", "GPU {} out of quarantine", plain(&old.uuid));
        }
    }

    /// The last scores, unless they are too old to act on.
    pub fn current(&self, now: Mono) -> Option<&Scores> {
        let (scores, at) = self.last.as_ref()?;
        (now.since(*at) <= self.every * 3).then_some(scores)
    }

    /// The current scores as the chain takes them: miners that are offline by now, and zeros, left out.
    pub fn weights(&self, now: Mono, chain: &Chain, fleet: &Fleet) -> Option<Vec<(Uid, Hotkey, u16)>> {
        let scores = self.current(now)?;
        let graph = chain.graph()?;
        let uids: BTreeMap<Hotkey, Uid> =
            graph.neurons.iter().map(|neuron| (neuron.hotkey.clone(), neuron.uid)).collect();
        let online = self.online(now, scores, fleet);
        let vector = score::submission(scores, &uids, &online);
        let keyed: Vec<_> = vector.into_iter().map(|(uid, hotkey, weight)| ((uid, hotkey), weight)).collect();
        Some(score::emit(&keyed).into_iter().map(|((uid, hotkey), weight)| (uid, hotkey, weight)).collect())
    }

    /// A process that has not listened for as long as a miner may be silent cannot call one offline: until
    /// then the store's word, in the scores, holds too. Else a restart would zero whoever is in a back-off.
    fn online(&self, now: Mono, scores: &Scores, fleet: &Fleet) -> BTreeSet<Hotkey> {
        let mut online = fleet.heard_within(now, self.policy.offline_after);
        if self.listening.is_none_or(|since| now.since(since) < self.policy.offline_after) {
            online.extend(scores.miners.iter().filter(|miner| miner.online).map(|miner| miner.hotkey.clone()));
        }
        online
    }
}

/// Uuids and names of workers are peers' texts: none of them ends a line.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '_' } else { c }).collect()
}
