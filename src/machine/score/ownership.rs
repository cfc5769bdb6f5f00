//! Whose GPU is it? A heartbeat that names a uuid is a claim; a verified challenge that committed it is proof.
//!
//! A uuid earns for one worker at a time, or for none:
//!
//! - One worker names it: it is that worker's.
//! - Several name it: those count that proved it in the window. Who only names it takes nothing from who proves it. When
//!   nobody proved it, it is the oldest claim's, and nobody earns by it.
//! - Several proved it: nobody can tell the owner from a copy of its uuid, for a uuid is only a word in a challenge's
//!   key. It is in quarantine: for none of them does it count, neither in challenges nor in leases, until one of them
//!   has not named it for [`RELEASE`], or loses at a common moment. All workers of a round are challenged at the same
//!   moment, and one card cannot do two whole challenges in the time of one: who does not prove the uuid where another
//!   does, though it was asked something at that moment, has lost what it proved before. It may prove it anew, and is in
//!   quarantine again.
//! - A uuid that moved, to a worker that began to name it after the other had named it last, is the later one's at once.
//! - A worker on lease cannot be challenged: what it ever proved holds while it names it, and others in vain prove it.
//!
//! Times of the two are not compared: miners fetch seconds apart, and what a card should need is not known. That two
//! cards take turns under one uuid is no gain either: neither earns.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::facts::{ChallengeFact, Claim, Facts, Outcome};
use crate::{
    machine::{
        availability::GpuSetId,
        lease::OutageRule,
        score::{outcome::Contested, policy::Policy},
    },
    units::{Wall, WorkerKey},
};

/// Who has not named a GPU for this long has given it up, where another proves it too. A miner counts as offline after as
/// long a silence.
pub const RELEASE: Duration = Duration::from_secs(30 * 60);

/// Who owns which GPU, as of the facts.
pub(super) struct Owners<'a> {
    facts: &'a Facts,
    titles: BTreeMap<&'a str, Title<'a>>,
    /// By worker: how many GPUs it names, and how many of these do not count for it.
    named: BTreeMap<&'a WorkerKey, (u32, u32)>,
}

enum Title<'a> {
    Of(&'a WorkerKey),
    /// Those that proved it.
    Quarantined(Vec<&'a WorkerKey>),
}

/// What the GPUs of one challenge are to the worker that proved them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    /// All its own, but for so many in quarantine, of so many.
    Own { quarantined: u32, of: u32 },
    /// All of them are in quarantine.
    Quarantined,
    /// Another's, or nobody's, is among them.
    Disowned,
}

impl<'a> Owners<'a> {
    /// Claims last seen and challenges created before the ranking window are stale.
    pub(super) fn of(facts: &'a Facts, policy: &Policy) -> Owners<'a> {
        let (from, outage) = (facts.at - policy.ranking_window, policy.outage);
        let fresh = |claim: &&Claim| !claim.removed && claim.seen >= from;
        let mut owners = Owners { facts, titles: BTreeMap::new(), named: BTreeMap::new() };
        for (uuid, claims) in &facts.claims {
            let claims: Vec<&Claim> = claims.iter().filter(fresh).collect();
            if let Some(title) = (Case { facts, uuid, from, outage }).title(&claims) {
                owners.count(&claims, &title);
                owners.titles.insert(uuid, title);
            }
        }
        owners
    }

    fn count(&mut self, claims: &[&'a Claim], title: &Title) {
        for claim in claims {
            let (named, lost) = self.named.entry(&claim.worker).or_default();
            *named += 1;
            *lost += u32::from(!matches!(title, Title::Of(owner) if **owner == claim.worker));
        }
    }

    /// An unknown set is nobody's.
    pub(super) fn share(&self, set: GpuSetId, worker: &WorkerKey) -> Share {
        let Some(uuids) = self.facts.gpu_sets.get(&set) else { return Share::Disowned };
        let (mut quarantined, of) = (0, u32::try_from(uuids.len()).unwrap_or(u32::MAX));
        for uuid in uuids {
            match self.titles.get(&**uuid) {
                Some(Title::Of(owner)) if *owner == worker => {}
                Some(Title::Quarantined(workers)) if workers.contains(&worker) => quarantined += 1,
                _ => return Share::Disowned,
            }
        }
        if quarantined == of && of > 0 { Share::Quarantined } else { Share::Own { quarantined, of } }
    }

    /// What of its lease counts, 0–1: that of the GPUs which it names and which are not another's, nor in quarantine.
    pub(super) fn lease_share(&self, worker: &WorkerKey) -> f64 {
        match self.named.get(worker) {
            Some((named, lost)) if *named > 0 => f64::from(named - lost) / f64::from(*named),
            _ => 1.0,
        }
    }

    pub(super) fn contested(&self) -> Vec<Contested> {
        let in_quarantine = self.titles.iter().filter_map(|(uuid, title)| match title {
            Title::Quarantined(workers) => Some((*uuid, workers)),
            Title::Of(_) => None,
        });
        let contested = |(uuid, workers): (&str, &Vec<&WorkerKey>)| Contested {
            uuid: uuid.to_owned(),
            workers: workers.iter().map(|worker| (*worker).clone()).collect(),
        };
        in_quarantine.map(contested).collect()
    }
}

/// One uuid, and everybody's claims to it.
#[derive(Clone, Copy)]
struct Case<'a> {
    facts: &'a Facts,
    uuid: &'a str,
    from: Wall,
    outage: OutageRule,
}

impl<'a> Case<'a> {
    /// `None`: nobody names it.
    fn title(self, claims: &[&'a Claim]) -> Option<Title<'a>> {
        if let [only] = claims {
            return Some(Title::Of(&only.worker));
        }
        let leased: Vec<&Claim> = claims.iter().copied().filter(|claim| self.leased(claim)).collect();
        let proved = |claim: &&Claim| claim.proved.is_some_and(|at| at >= self.from);
        let mut rivals: Vec<&Claim> = match leased.is_empty() {
            true => claims.iter().copied().filter(proved).collect(),
            false => leased,
        };
        let all = rivals.clone();
        rivals.retain(|claim| !self.given_up(claim, &all) && !self.lost(claim, &all));
        match rivals[..] {
            [] => oldest(if all.is_empty() { claims } else { &all }).map(Title::Of),
            [owner] => Some(Title::Of(&owner.worker)),
            _ => Some(Title::Quarantined(in_order(&rivals))),
        }
    }

    fn leased(self, claim: &Claim) -> bool {
        let worker = self.facts.workers.get(&claim.worker);
        let lease = worker.and_then(|worker| self.facts.lease(worker, self.outage));
        claim.proved.is_some() && lease.is_some_and(|lease| lease > 0.0)
    }

    /// It has been silent for long while another has not, or since before another began.
    fn given_up(self, claim: &Claim, rivals: &[&Claim]) -> bool {
        let silent = |claim: &Claim| claim.seen + RELEASE < self.facts.at;
        let others = || rivals.iter().filter(|other| other.worker != claim.worker);
        others().any(|other| other.since > claim.seen) || silent(claim) && others().any(|other| !silent(other))
    }

    /// Since it last proved the GPU it was asked at the same moment as another, which did prove it.
    fn lost(self, claim: &Claim, rivals: &[&Claim]) -> bool {
        let asked: BTreeSet<Wall> = self
            .challenges(claim)
            .filter(|fact| Some(fact.created) > claim.proved && !matches!(fact.outcome, Outcome::Void(_)))
            .map(|fact| fact.created)
            .collect();
        let others = rivals.iter().filter(|other| !asked.is_empty() && other.worker != claim.worker);
        others.flat_map(|other| self.challenges(other)).any(|fact| asked.contains(&fact.created) && self.proves(fact))
    }

    fn challenges(self, claim: &Claim) -> impl Iterator<Item = &'a ChallengeFact> {
        self.facts.workers.get(&claim.worker).into_iter().flat_map(|worker| &worker.challenges)
    }

    fn proves(self, fact: &ChallengeFact) -> bool {
        let Outcome::Verified { gpus: Some(set), .. } = fact.outcome else { return false };
        self.facts.gpu_sets.get(&set).is_some_and(|uuids| uuids.contains(self.uuid))
    }
}

fn oldest<'a>(claims: &[&'a Claim]) -> Option<&'a WorkerKey> {
    claims.iter().min_by_key(|claim| (claim.since, &claim.worker)).map(|claim| &claim.worker)
}

fn in_order<'a>(rivals: &[&'a Claim]) -> Vec<&'a WorkerKey> {
    rivals.iter().map(|claim| &claim.worker).collect::<BTreeSet<_>>().into_iter().collect()
}
