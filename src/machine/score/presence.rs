//! What the heartbeats of one miner's workers add up to.
//!
//! Beats that follow each other with one roster are taken together: a steady miner costs as much as its workers,
//! however long the window.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    sync::Arc,
};

use super::facts::{Facts, MinerFacts};
use crate::{
    machine::availability::{AddressId, Beat, Buckets, GpuSetId, RosterId, Window},
    units::{Wall, WorkerId},
};

/// One hotkey's heartbeats in the window.
#[derive(Debug)]
pub(super) struct Presence<'a> {
    facts: &'a Facts,
    window: Window,
    runs: Vec<Run>,
    own: BTreeMap<&'a WorkerId, Own>,
    /// In which buckets some worker showed a GPU; made when the first worker needs it.
    shown: Option<BTreeMap<Arc<str>, Buckets>>,
}

/// One worker's own heartbeats in the window.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Own {
    pub buckets: Buckets,
    /// How often the address changed from one heartbeat to the next that named one.
    pub address_changes: u32,
    address: Option<AddressId>,
}

/// Heartbeats in a row that said the same.
#[derive(Debug)]
struct Run {
    roster: RosterId,
    buckets: Buckets,
    /// The words of `buckets` that have any.
    words: RangeInclusive<usize>,
}

impl<'a> Presence<'a> {
    pub(super) fn of(facts: &'a Facts, miner: Option<&MinerFacts>, window: Window) -> Presence<'a> {
        let runs = runs(miner.map_or(&[], |miner| &miner.beats), window);
        let mut own = BTreeMap::new();
        for run in &runs {
            for present in facts.rosters.get(&run.roster).into_iter().flat_map(|roster| roster.iter()) {
                let own = own.entry(&present.worker).or_insert_with(|| Own::none(window));
                own.add(run, present.address);
            }
        }
        Presence { facts, window, runs, own, shown: None }
    }

    /// `None`: no heartbeat named it.
    pub(super) fn own(&self, worker: &WorkerId) -> Option<&Own> {
        self.own.get(worker)
    }

    /// Buckets in which the hotkey's heartbeats together showed all of these GPUs.
    pub(super) fn showing_all(&mut self, uuids: &BTreeSet<&str>) -> Buckets {
        let (facts, window, runs) = (self.facts, self.window, &self.runs);
        let shown = self.shown.get_or_insert_with(|| by_uuid(facts, window, by_set(facts, window, runs)));
        let mut all: Option<Buckets> = None;
        for uuid in uuids {
            let Some(here) = shown.get(*uuid) else { return Buckets::none(window) };
            match &mut all {
                Some(all) => all.intersect(here),
                None => all = Some(here.clone()),
            }
        }
        all.unwrap_or_else(|| Buckets::none(window))
    }
}

impl Own {
    fn none(window: Window) -> Own {
        Own { buckets: Buckets::none(window), address_changes: 0, address: None }
    }

    /// An address that was not said did not change.
    fn add(&mut self, run: &Run, address: Option<AddressId>) {
        self.buckets.unite(&run.buckets, run.words.clone());
        if let Some(named) = address {
            self.address_changes += u32::from(self.address.is_some_and(|before| before != named));
            self.address = address;
        }
    }
}

/// The beats of the window in order of time. A clock that was set back leaves beats out of it.
fn in_order(beats: &[Beat], window: Window) -> Vec<(Wall, RosterId)> {
    let credited = |beat: &Beat| Some((beat.at, beat.roster?)).filter(|(at, _)| window.contains(*at));
    let mut all: Vec<_> = beats.iter().filter_map(credited).collect();
    if !all.is_sorted_by_key(|(at, _)| *at) {
        all.sort_by_key(|(at, _)| *at);
    }
    all
}

fn runs(beats: &[Beat], window: Window) -> Vec<Run> {
    let beats = in_order(beats, window);
    let run = |beats: &[(Wall, RosterId)]| {
        let mut buckets = Buckets::none(window);
        let mut places = beats.iter().map(|(at, _)| buckets.mark(*at));
        let first = places.next().unwrap_or(0);
        let last = places.last().unwrap_or(first);
        Run { roster: beats[0].1, buckets, words: first..=last }
    };
    beats.chunk_by(|(_, a), (_, b)| a == b).map(run).collect()
}

/// Sets first: a run names each of them once, however many GPUs are in it.
fn by_set(facts: &Facts, window: Window, runs: &[Run]) -> BTreeMap<GpuSetId, Buckets> {
    let mut shown = BTreeMap::new();
    for run in runs {
        let roster = facts.rosters.get(&run.roster).into_iter().flat_map(|roster| roster.iter());
        let sets: BTreeSet<GpuSetId> = roster.filter_map(|present| present.gpus).collect();
        for set in sets {
            shown.entry(set).or_insert_with(|| Buckets::none(window)).unite(&run.buckets, run.words.clone());
        }
    }
    shown
}

fn by_uuid(facts: &Facts, window: Window, sets: BTreeMap<GpuSetId, Buckets>) -> BTreeMap<Arc<str>, Buckets> {
    let mut shown: BTreeMap<Arc<str>, Buckets> = BTreeMap::new();
    for (set, here) in &sets {
        for uuid in facts.gpu_sets.get(set).into_iter().flatten() {
            let buckets = shown.entry(Arc::clone(uuid)).or_insert_with(|| Buckets::none(window));
            buckets.unite(here, here.all());
        }
    }
    shown
}
