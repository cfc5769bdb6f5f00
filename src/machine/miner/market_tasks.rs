//! Tasks of the marketplace for this miner's workers, as validators of this make pass them on: shown to the operator until
//! they expire. Nothing is done with them: no virtual machine is made, no worker hears of one.
//!
//! Owns what is shown, by the validator that said it, in memory alone: a miner that was started anew is given all of it
//! again. Of a payload, which may hold secrets, only the length is kept. Bounded: [`limits::MARKET_TASKS_HELD`] tasks of one
//! validator; it keeps the others.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{Miner, fault::shortened};
use crate::{
    metrics::{Metric, Page},
    units::{Hotkey, Mono, Now, WorkerId},
    wire::{limits, marketplace::Stamp, messages::MarketTask},
};

/// Tasks that the metrics name.
const SHOWN: usize = 128;
/// Nobody means a task for longer than that.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

#[derive(Debug, Default)]
pub struct MarketTasks {
    by_validator: BTreeMap<Hotkey, BTreeMap<String, Held>>,
    by_end: BTreeSet<(Mono, Hotkey, String)>,
}

#[derive(Debug)]
struct Held {
    worker: WorkerId,
    task_type: String,
    expires_s: f64,
    ends: Mono,
}

/// What became of a task that was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Given {
    New,
    Known,
    /// By our clock, or a moment nobody means.
    Expired,
    /// The validator gives more than it may.
    Full,
}

impl MarketTasks {
    /// The keys that a validator is told.
    pub fn held_of(&self, validator: &Hotkey) -> Vec<String> {
        self.by_validator.get(validator).map(|held| held.keys().cloned().collect()).unwrap_or_default()
    }

    fn take(&mut self, now: Now, from: &Hotkey, task: MarketTask) -> Given {
        let left = task.expires().since(now.wall);
        if left.is_zero() || left > LONGEST {
            return Given::Expired;
        }
        let held = self.by_validator.entry(from.clone()).or_default();
        if held.contains_key(&task.task_key) {
            return Given::Known;
        }
        if held.len() >= limits::MARKET_TASKS_HELD {
            return Given::Full;
        }
        let ends = now.mono + left;
        let MarketTask { task_key: key, worker_id: worker, task_type, expires_at: expires_s, .. } = task;
        self.by_end.insert((ends, from.clone(), key.clone()));
        held.insert(key, Held { worker, task_type, expires_s, ends });
        Given::New
    }

    pub fn deadline(&self) -> Option<Mono> {
        self.by_end.first().map(|(ends, ..)| *ends)
    }

    /// Drops what has expired.
    fn expire(&mut self, now: Mono) -> Vec<(String, Held)> {
        let mut over = Vec::new();
        while let Some((ends, from, key)) = self.by_end.first().filter(|(ends, ..)| *ends <= now).cloned() {
            let Some(held) = self.by_validator.get_mut(&from) else { break };
            over.extend(held.remove_entry(&key));
            if held.is_empty() {
                self.by_validator.remove(&from);
            }
            self.by_end.remove(&(ends, from, key));
        }
        over
    }

    /// Forgets validators that are not listed any more.
    pub fn keep(&mut self, listed: impl Fn(&Hotkey) -> bool) {
        self.by_validator.retain(|from, _| listed(from));
        self.by_end.retain(|(_, from, _)| listed(from));
    }

    pub fn write(&self, page: &mut Page) {
        page.set(Metric::MarketplaceTasksOpen, &["held"], self.by_end.len() as f64);
        for (_, from, key) in self.by_end.iter().take(SHOWN) {
            if let Some(held) = self.by_validator.get(from).and_then(|held| held.get(key)) {
                page.set(Metric::MarketTaskExpires, &[key, held.worker.as_str()], held.expires_s);
            }
        }
    }

    pub fn check_invariants(&self) {
        let held: usize = self.by_validator.values().map(BTreeMap::len).sum();
        assert_eq!(held, self.by_end.len(), "each task has one end");
        let fits = |held: &BTreeMap<String, Held>| !held.is_empty() && held.len() <= limits::MARKET_TASKS_HELD;
        assert!(self.by_validator.values().all(fits));
        let ends = |(ends, from, key): &(Mono, Hotkey, String)| self.by_validator[from][key].ends == *ends;
        assert!(self.by_end.iter().all(ends));
    }
}

impl Miner {
    /// A validator gave tasks of the marketplace with its answer to a poll.
    pub(super) fn market_tasks_given(&mut self, now: Now, from: &Hotkey, tasks: Vec<MarketTask>) {
        for task in tasks {
            if let Some(fault) = task.fault() {
                log::warn!(target: "miner", "{from} gives a task of the marketplace that is none: {fault}");
                self.counters.count(Metric::MarketplaceTasks, &["refused"]);
                continue;
            }
            let line = self.line_of(&task);
            let given = self.market_tasks.take(now, from, task);
            match given {
                Given::New => {
                    log::info!(target: "miner", "{from} passes on {line}; it is shown, nothing is done with it")
                }
                Given::Known => {}
                Given::Expired => log::debug!(target: "miner", "{from} passes on, too late, {line}"),
                Given::Full => log::warn!(target: "miner", "{from} passes on more than we may have of it: {line}"),
            }
            self.counters.count(Metric::MarketplaceTasks, &[given.label()]);
        }
    }

    fn line_of(&self, task: &MarketTask) -> String {
        let (key, task_type) = (shortened(&task.task_key), shortened(&task.task_type));
        let (worker, here) = (&task.worker_id, self.workers.iter().any(|worker| worker.id == task.worker_id));
        let (bytes, expires) = (task.payload.as_str().len(), Stamp::seconds(task.expires()));
        let away = if here { "" } else { ", which is not connected" };
        format!(
            "task {key:?} ({task_type:?}) of the marketplace for worker {:?}{away}: priority {}, payload of {bytes} bytes, \
             expires {expires}",
            shortened(worker.as_str()),
            task.priority
        )
    }

    pub(super) fn expire_market_tasks(&mut self, now: Mono) {
        for (key, held) in self.market_tasks.expire(now) {
            let Held { worker, task_type, .. } = held;
            let (key, task_type) = (shortened(&key), shortened(&task_type));
            log::info!(target: "miner", "task {key:?} ({task_type:?}) of the marketplace for worker {:?} has expired", shortened(worker.as_str()));
            self.counters.count(Metric::MarketplaceTasks, &["expired"]);
        }
    }
}

impl Given {
    /// For counters.
    fn label(self) -> &'static str {
        match self {
            Given::New => "taken",
            Given::Known => "repeated",
            Given::Expired => "late",
            Given::Full => "full",
        }
    }
}
