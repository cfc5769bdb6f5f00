//! When scores are calculated, and what weights follow from the last ones.
//!
//! Owns the policy and the last scores with their age. One calculation is under way at most; the arithmetic
//! is done where the log is read. It decides nothing about submission.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{chain::Chain, fleet::Fleet, lines};
use crate::{
    config::validator::Config,
    machine::{
        availability::BUCKETS_AN_HOUR,
        contract::store::{Calculation, Reach, ScoreRequest, StoreRequest, WeightBasis, Write},
        score::{self, Contested, Difference, Policy, PolicyName, Scores},
    },
    units::{Hotkey, Mono, Uid, Wall},
};

/// Whom, and how much of 65535.
pub type Weights = Vec<(Uid, Hotkey, u16)>;

#[derive(Debug)]
pub struct Scoring {
    policy: Policy,
    /// Another one, compared and nothing more.
    shadow: Option<Policy>,
    reach: Reach,
    every: Duration,
    under_way: bool,
    last: Option<(Scores, Mono)>,
    /// What the shadow made of the same facts.
    differences: Vec<Difference>,
    /// When this process began to hear miners.
    listening: Option<Mono>,
}

impl Scoring {
    pub fn new(config: &Config) -> Scoring {
        let policy = in_force(config);
        let shadow = shadow_of(config);
        let reach = reach_of(config, &policy);
        Scoring {
            reach,
            every: config.weights.recalculate_interval,
            policy,
            shadow,
            under_way: false,
            last: None,
            differences: Vec::new(),
            listening: None,
        }
    }

    /// Other settings, from the next calculation on; one that is under way ends by its own.
    pub fn reconfigure(&mut self, config: &Config) {
        (self.policy, self.shadow) = (in_force(config), shadow_of(config));
        self.reach = reach_of(config, &self.policy);
        self.every = config.weights.recalculate_interval;
    }

    /// From now on miners are heard.
    pub fn listen(&mut self, now: Mono) {
        self.listening = Some(now);
    }

    /// Begins a calculation, unless one is under way.
    pub fn begin(&mut self) -> bool {
        !std::mem::replace(&mut self.under_way, true)
    }

    /// What is asked for, as of now.
    pub fn request(&self, at: Wall, metagraph: BTreeSet<Hotkey>) -> StoreRequest {
        let (policy, shadow) = (self.policy.clone(), self.shadow.clone());
        StoreRequest::Score(Box::new(ScoreRequest { at, reach: self.reach, metagraph, policy, shadow }))
    }

    /// What need not be kept any more: whatever no calculation of the last `kept` has looked at.
    pub fn horizons(&self, now: Wall, kept: Duration) -> Write {
        Write::Prune {
            ranking: now - self.reach.ranking,
            kept: now - kept,
            events: now - kept - self.reach.ranking,
            availability: now - kept - self.reach.heard,
        }
    }

    /// The calculation came to nothing; the last scores stay.
    pub fn failed(&mut self) {
        self.under_way = false;
    }

    pub fn scored(&mut self, now: Mono, calculation: &Calculation) {
        let scores = calculation.scores.clone();
        lines::scored(&scores);
        self.tell_of_quarantine(&scores);
        if let Some(shadow) = &calculation.shadow {
            self.differences = score::differences(&scores, shadow);
            lines::shadow(shadow.policy, &self.differences);
        }
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

    /// What the shadow makes of the last scores, the largest change first; empty without one.
    pub fn differences(&self) -> &[Difference] {
        &self.differences
    }

    /// The last scores, unless they are too old to act on.
    pub fn current(&self, now: Mono) -> Option<&Scores> {
        let (scores, at) = self.last.as_ref()?;
        (now.since(*at) <= self.every * 3).then_some(scores)
    }

    /// The current scores as the chain takes them: miners that are offline by now, and zeros, left out. And what it takes
    /// to make them again.
    pub fn weights(&self, now: Mono, chain: &Chain, fleet: &Fleet) -> Option<(Weights, WeightBasis)> {
        let scores = self.current(now)?;
        let graph = chain.graph()?;
        let uids: BTreeMap<Hotkey, Uid> =
            graph.neurons.iter().map(|neuron| (neuron.hotkey.clone(), neuron.uid)).collect();
        let online = self.online(now, scores, fleet);
        let vector = score::submission(scores, &uids, &online);
        let keyed: Vec<_> = vector.into_iter().map(|(uid, hotkey, weight)| ((uid, hotkey), weight)).collect();
        let weights = score::emit(&keyed).into_iter().map(|((uid, hotkey), weight)| (uid, hotkey, weight)).collect();
        let why = |hotkey: &Hotkey| match (uids.contains_key(hotkey), online.contains(hotkey)) {
            (false, _) => Some("left the subnet"),
            (true, false) => Some("offline"),
            (true, true) => None,
        };
        let earning = scores.miners.iter().filter(|miner| miner.weight > 0.0);
        let left_out = earning.filter_map(|miner| Some((miner.hotkey.clone(), why(&miner.hotkey)?))).collect();
        Some((weights, WeightBasis { scored_at: scores.at, left_out, limit: 0 }))
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

fn shadow_of(config: &Config) -> Option<Policy> {
    config.scoring.shadow.map(|name| with_windows(config, Policy::named(name)))
}

fn reach_of(config: &Config, policy: &Policy) -> Reach {
    Reach {
        ranking: policy.ranking_window,
        heard: config.weights.availability_window.max(config.store.event_retention),
    }
}

/// The policy of the configuration, with what the configuration changes of it.
fn in_force(config: &Config) -> Policy {
    let of = &config.scoring;
    let named = Policy::named(of.policy);
    let policy = Policy {
        challenge_weight: of.challenge_weight,
        lease_weight: of.lease_weight,
        address_change_factor: of.address_change_factor.unwrap_or(named.address_change_factor),
        worker_cap: of.worker_cap.map_or(named.worker_cap, usize::from),
        ..named
    };
    with_windows(config, policy)
}

/// How the validator is run is the same for every policy.
fn with_windows(config: &Config, policy: Policy) -> Policy {
    let hours = config.weights.availability_window.as_secs() / 3600;
    let availability_hours = u32::try_from(hours).unwrap_or(u32::MAX);
    let steps_of = |hours: u32| hours.saturating_mul(BUCKETS_AN_HOUR);
    Policy {
        ranking_window: config.validation.ranking_window,
        challenge_interval: config.validation.challenge_interval,
        participation_threshold: config.validation.participation_rate_threshold,
        availability_hours,
        outage: (&config.leases).into(),
        maintenance_steps: match policy.id.name {
            // Never so much that being away most of the time is as good as being there.
            PolicyName::Throughput => steps_of(config.scoring.maintenance_hours).min(steps_of(availability_hours) / 10),
            PolicyName::Reference7030 | PolicyName::Reference9010 | PolicyName::LeaseOnly => 0,
        },
        ..policy
    }
}

/// Uuids and names of workers are peers' texts: none of them ends a line.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '_' } else { c }).collect()
}
