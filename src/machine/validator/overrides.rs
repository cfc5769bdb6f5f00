//! Settings that the marketplace changes: checked, stored, then in force.
//!
//! Owns the one update that waits for the store, those behind it, and what the process was started with. An update counts
//! whole or not at all, and is acknowledged once it is durable. Which keys it may name is `config::overrides`'s.

use std::collections::VecDeque;

use serde_json::{Map, Value, json};

use super::{Validator, ledger::Waiter, timers::Timer};
use crate::{
    config::{
        Checked,
        overrides::{self, Changes, Effect, Refusal, Update, json_of},
        validator::Config,
        yaml::Node,
    },
    machine::contract::store::{OverrideChange, OverridesWrite, Write},
    metrics::{Metric, Page},
    units::Now,
    wire::marketplace::{Ack, AckStatus, ConfigUpdate, ToHub, kind},
};

/// Updates that may wait for the one before them to be stored.
const MOST_WAITING: usize = 16;
/// Of a refusal, in the log and in the acknowledgement.
const MOST_CHARS: usize = 2000;
/// Of an update's number, and of a value in the log.
const MOST_SHOWN: usize = 120;

#[derive(Debug)]
pub(super) struct Overrides {
    /// What only a start takes up, as this process was started with it.
    started: Vec<(&'static str, Node)>,
    staged: Option<Staged>,
    waiting: VecDeque<Offer>,
}

#[derive(Debug)]
struct Offer {
    id: Option<String>,
    update: ConfigUpdate,
}

/// An update that the store is being told of.
#[derive(Debug)]
struct Staged {
    id: Option<String>,
    config: Box<Config>,
    changes: Vec<OverrideChange>,
    metadata: Map<String, Value>,
}

impl Overrides {
    pub(super) fn new(config: &Config) -> Overrides {
        let started = overrides::at_restart().map(|path| (path, config.layers.in_force(path))).collect();
        Overrides { started, staged: None, waiting: VecDeque::new() }
    }

    /// Keys whose value is not the one that this process was started with.
    fn awaiting_restart(&self, config: &Config) -> Vec<&'static str> {
        let differs = |(path, was): &&(&'static str, Node)| !same(&config.layers.in_force(path), was);
        self.started.iter().filter(differs).map(|(path, _)| *path).collect()
    }

    pub(super) fn fill(&self, config: &Config, page: &mut Page) {
        let (in_force, left_out) = (config.layers.over().len(), config.layers.left_out().len());
        page.set(Metric::ConfigOverrides, &["in_force"], in_force as f64);
        page.set(Metric::ConfigOverrides, &["restart"], self.awaiting_restart(config).len() as f64);
        page.set(Metric::ConfigOverrides, &["left_out"], left_out as f64);
    }

    pub(super) fn check_invariants(&self) {
        assert!(self.waiting.len() <= MOST_WAITING, "more updates of the configuration wait than may");
        assert!(self.staged.is_some() || self.waiting.is_empty(), "updates wait for nothing");
    }
}

impl Validator {
    /// The marketplace wants settings changed.
    pub(super) fn update_offered(&mut self, now: Now, id: Option<String>, update: ConfigUpdate) {
        if self.config.meshhub.as_ref().is_none_or(|hub| !hub.takes_configuration) {
            let why = "this validator takes no configuration from the marketplace (meshhub.configuration: refuse)";
            return self.refuse_update(now, id.as_deref(), error(why));
        }
        if self.overrides.staged.is_none() {
            return self.stage(now, Offer { id, update });
        }
        if self.overrides.waiting.len() >= MOST_WAITING {
            let why = format!("{MOST_WAITING} updates wait to be stored already: say it again later");
            return self.refuse_update(now, id.as_deref(), error(&why));
        }
        self.overrides.waiting.push_back(Offer { id, update });
    }

    /// Checks an update, and hands it to the store.
    fn stage(&mut self, now: Now, Offer { id, update }: Offer) {
        let staged = match self.weigh(id.clone(), &update) {
            Ok(staged) => staged,
            Err(refusal) => return self.refuse_update(now, id.as_deref(), metadata_of(&refusal)),
        };
        if staged.changes.is_empty() {
            return self.accept_update(now, staged);
        }
        let changes = staged.changes.clone();
        let write =
            OverridesWrite { at: now.wall, message: id.as_deref().map(|id| self.market.told(id, MOST_SHOWN)), changes };
        if !self.ledger.first(now, Write::Overrides(Box::new(write)), Waiter::Overrides) {
            return self.refuse_update(now, id.as_deref(), error("the store has no room: say it again later"));
        }
        self.overrides.staged = Some(staged);
    }

    /// What an update comes to. A value that the file has already, and that the marketplace never changed, is no change;
    /// one that it gave before is written again: it may have been taken back, for the next start.
    fn weigh(&self, id: Option<String>, update: &ConfigUpdate) -> Result<Staged, Refusal> {
        let Update { mut changes, ignored } = overrides::read(&update.payload)?;
        let layers = &self.config.layers;
        let given =
            |path: &str| layers.over().contains_key(path) || layers.left_out().iter().any(|out| out.key == path);
        changes.retain(|path, node| given(path) || !same(&layers.in_force(path), node));
        let Checked { config, warnings } = self.config.changed(&changes)?;
        let before = self.config.changed(&Changes::new())?.warnings;
        for warning in warnings.iter().filter(|warning| !before.contains(warning)) {
            log::warn!(target: "validator", "configuration of the marketplace: {warning}");
        }
        let metadata = notes(&changes, ignored);
        let old_to_new = changes.iter().map(|(path, node)| OverrideChange {
            key: (*path).into(),
            old: json_of(&layers.in_force(path)).to_string(),
            new: json_of(node).to_string(),
        });
        Ok(Staged { id, changes: old_to_new.collect(), config: Box::new(config), metadata })
    }

    /// The store has the update that waited for it, or has not.
    pub(super) fn overrides_stored(&mut self, now: Now, result: &Result<(), String>) {
        if let Some(staged) = self.overrides.staged.take() {
            match result {
                Ok(()) => self.accept_update(now, staged),
                Err(why) => self.refuse_update(now, staged.id.as_deref(), error(&format!("not stored: {why}"))),
            }
        }
        while self.overrides.staged.is_none()
            && let Some(offer) = self.overrides.waiting.pop_front()
        {
            self.stage(now, offer);
        }
    }

    fn accept_update(&mut self, now: Now, Staged { id, config, changes, metadata }: Staged) {
        let from = id
            .as_deref()
            .map_or("a message without an ID".into(), |id| format!("message {}", self.market.told(id, MOST_SHOWN)));
        for OverrideChange { key, old, new } in changes.iter().filter(|change| change.old != change.new) {
            let (old, new) = (self.market.told(old, MOST_SHOWN), self.market.told(new, MOST_SHOWN));
            log::info!(target: "validator", "{key}: {old} -> {new} (marketplace, {from})");
        }
        if !metadata.is_empty() {
            let notes = self.market.told(&Value::Object(metadata.clone()).to_string(), MOST_CHARS);
            log::warn!(target: "validator", "not all of the configuration of {from} is in force: {notes}");
        }
        if !changes.is_empty() {
            self.take_up(now, *config);
        }
        self.counters.count(Metric::ConfigUpdates, &["accepted"]);
        self.acknowledge(now, id.as_deref(), AckStatus::Accepted, metadata);
    }

    fn refuse_update(&mut self, now: Now, id: Option<&str>, metadata: Map<String, Value>) {
        if self.market.is_worth_a_line(now.mono, "config_refused") {
            let of = id.map_or("without an ID".into(), |id| self.market.told(id, MOST_SHOWN));
            let why = self.market.told(&Value::Object(metadata.clone()).to_string(), MOST_CHARS);
            log::warn!(target: "validator", "configuration {of} of the marketplace is refused, nothing of it is in force: {why}");
        }
        self.counters.count(Metric::ConfigUpdates, &["refused"]);
        self.acknowledge(now, id, AckStatus::Failed, metadata);
    }

    fn acknowledge(&mut self, now: Now, id: Option<&str>, status: AckStatus, metadata: Map<String, Value>) {
        let Some(id) = id else { return };
        let (message_id, message_type) = (id.to_owned(), kind::CONFIG_UPDATE.to_owned());
        self.market.say(now, &ToHub::Ack(Ack { message_id, message_type, status, metadata }), &mut self.counters);
    }

    /// Other settings, from now on. What is under way ends as it began.
    fn take_up(&mut self, now: Now, config: Config) {
        self.config = config;
        let validation = &self.config.validation;
        self.challenges.limit(validation.into());
        self.verification.let_wait(validation.proof_queue_max);
        self.capacity.every(validation.challenge_interval);
        self.scoring.reconfigure(&self.config);
        self.timers.no_later(Timer::Round, now.mono + validation.challenge_interval);
        self.timers.no_later(Timer::Recalculate, now.mono + self.config.weights.recalculate_interval);
    }
}

fn error(why: &str) -> Map<String, Value> {
    Map::from_iter([("error".to_owned(), Value::from(why))])
}

fn metadata_of(refusal: &Refusal) -> Map<String, Value> {
    match refusal {
        Refusal::NoAllowedRoot { provided } => {
            let mut metadata = error("no_allowed_root");
            metadata.insert("allowed".into(), json!(overrides::ROOTS));
            metadata.insert("provided_keys".into(), json!(provided));
            metadata
        }
        Refusal::Invalid(error_of) => {
            let problems: Vec<String> = error_of.problems.iter().map(ToString::to_string).collect();
            error(&problems.join("; ").chars().take(MOST_CHARS).collect::<String>())
        }
    }
}

/// What of an accepted update is not in force, or not yet.
fn notes(changes: &Changes, ignored: Vec<String>) -> Map<String, Value> {
    let of = |effect| -> Vec<&str> {
        changes.keys().copied().filter(|path| overrides::effect(path) == Some(effect)).collect()
    };
    let (restart, without) = (of(Effect::AtRestart), of(Effect::Never));
    let all = [("restart", json!(restart)), ("without_effect", json!(without)), ("ignored", json!(ignored))];
    let said = all.into_iter().filter(|(_, list)| *list != json!([]));
    said.map(|(name, list)| (name.to_owned(), list)).collect()
}

fn same(one: &Node, other: &Node) -> bool {
    match (one, other) {
        (Node::Whole(whole), Node::Real(real)) | (Node::Real(real), Node::Whole(whole)) => *whole as f64 == *real,
        _ => one == other,
    }
}
