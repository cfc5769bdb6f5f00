//! Whose GPU is it? A heartbeat that names a uuid is a claim; a verified challenge is evidence.
//!
//! One fresh claim owns. Among several, those count that proved the GPU within the window, or all of them
//! when none did; of these the oldest claim owns. So nobody takes a GPU over by naming it last, and nobody
//! blocks its owner by naming it first without being able to prove it.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::{Claim, Facts, Outcome};
use crate::{
    machine::availability::GpuSetId,
    units::{Hotkey, Wall},
};

/// Who owns which GPU, as of the facts.
pub(super) struct Owners<'a> {
    facts: &'a Facts,
    owners: BTreeMap<&'a str, &'a Hotkey>,
}

impl<'a> Owners<'a> {
    /// `from`: claims last seen and challenges created before it are stale.
    pub(super) fn of(facts: &'a Facts, from: Wall) -> Owners<'a> {
        let fresh = fresh_claims(facts, from);
        let contested = fresh.values().any(|claims| claims.len() > 1);
        let proved = if contested { proofs(facts, from) } else { BTreeSet::new() };
        let owner =
            |uuid: &'a str, claims: &[&'a Claim]| oldest(claims, |claim| proved.contains(&(uuid, &claim.hotkey)));
        let owners = fresh.iter().filter_map(|(uuid, claims)| Some((*uuid, owner(uuid, claims)?))).collect();
        Owners { facts, owners }
    }

    /// Whether every GPU of the set is this hotkey's. An unknown set is nobody's.
    pub(super) fn all_belong(&self, set: GpuSetId, hotkey: &Hotkey) -> bool {
        let belongs = |uuid: &str| self.owners.get(uuid).is_some_and(|owner| *owner == hotkey);
        self.facts.gpu_sets.get(&set).is_some_and(|uuids| uuids.iter().all(|uuid| belongs(uuid)))
    }
}

fn fresh_claims(facts: &Facts, from: Wall) -> BTreeMap<&str, Vec<&Claim>> {
    let fresh = |claim: &&Claim| !claim.removed && claim.seen >= from;
    facts.claims.iter().map(|(uuid, claims)| (&**uuid, claims.iter().filter(fresh).collect())).collect()
}

/// (uuid, hotkey) of every verified challenge of the window.
fn proofs(facts: &Facts, from: Wall) -> BTreeSet<(&str, &Hotkey)> {
    let mut sets = BTreeSet::new();
    for (key, worker) in &facts.workers {
        for challenge in worker.challenges.iter().filter(|challenge| challenge.created >= from) {
            if let Outcome::Verified { gpus: Some(set), .. } = challenge.outcome {
                sets.insert((set, &key.hotkey));
            }
        }
    }
    let uuids = |set: &GpuSetId| facts.gpu_sets.get(set).into_iter().flatten();
    sets.iter().flat_map(|(set, hotkey)| uuids(set).map(move |uuid| (&**uuid, *hotkey))).collect()
}

fn oldest<'a>(claims: &[&'a Claim], proved: impl Fn(&Claim) -> bool) -> Option<&'a Hotkey> {
    let first = |all: &mut dyn Iterator<Item = &'a Claim>| all.min_by_key(|claim| (claim.since, &claim.hotkey));
    let proven = first(&mut claims.iter().copied().filter(|claim| proved(claim)));
    proven.or_else(|| first(&mut claims.iter().copied())).map(|claim| &claim.hotkey)
}
