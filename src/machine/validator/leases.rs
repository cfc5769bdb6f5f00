//! Which workers are on lease, as the source last said, and what its silence leaves of that.
//!
//! Owns the last word on each worker, known or not: a lease is often there before its worker is. What it is worth now is
//! `machine::lease`'s to say; whether a word was valid is the source's reader's. Bounded: [`MOST`] leases.

use std::{collections::BTreeMap, time::Duration};

use super::Validator;
use crate::{
    config::leases::LeaseSource,
    machine::{
        contract::store::{KnownLeases, LeasesWrite, Write},
        lease::OutageRule,
    },
    metrics::{Metric, Page},
    units::{Mono, Now, Wall, WorkerKey},
};

/// Leases that are kept. Over it those go that have been there longest, of workers that nobody has heard of first.
pub const MOST: usize = 100_000;
/// A word that changes nothing is written down after this long at least: until then a restart takes the source to have
/// been silent for longer than it was.
const WORD_EVERY: Duration = Duration::from_secs(30);
/// Between two lines about the same silence.
const SAY_AGAIN: Duration = Duration::from_secs(1800);

#[derive(Debug)]
pub(super) struct Leases {
    source: LeaseSource,
    rule: OutageRule,
    held: BTreeMap<WorkerKey, Held>,
    /// When the source last said anything valid about leases.
    heard: Option<Wall>,
    /// The newest of these moments that was written down.
    written: Option<Wall>,
    dropped: u64,
    /// When it was last said that the source is silent.
    alarmed: Option<Mono>,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    /// Above 0.
    score: f64,
    since: Wall,
    /// By the source of the configuration, and not by one that was there before.
    ours: bool,
}

/// What a source says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Word {
    /// Who is not named keeps what it has.
    Some(Vec<(WorkerKey, f64)>),
    /// Who is not named has none.
    All(Vec<(WorkerKey, f64)>),
}

impl Leases {
    pub(super) fn new(source: LeaseSource, rule: OutageRule) -> Leases {
        Leases { source, rule, held: BTreeMap::new(), heard: None, written: None, dropped: 0, alarmed: None }
    }

    /// What the store knows. Leases of a source that is not asked any more stay until the one that is speaks; without
    /// one they end now.
    pub(super) fn resume(&mut self, now: Wall, known: KnownLeases) -> Option<LeasesWrite> {
        let heard = known.heard.map(|heard| heard.min(now));
        (self.heard, self.written) = (heard, heard);
        for row in known.rows {
            let ours = row.source == self.source.as_str();
            self.held.insert(row.key, Held { score: row.score, since: row.heard, ours });
        }
        if self.source != LeaseSource::None || self.held.is_empty() {
            return None;
        }
        log::warn!(
            target: "validator",
            "leases.source is none: {} leases that another source gave end now; name the source again to keep them",
            self.held.len()
        );
        self.said(now, Word::All(Vec::new()), |_| true)
    }

    /// Takes a word of the source in: what of it must become durable. `is_known`: a miner named that worker lately.
    pub(super) fn said(&mut self, at: Wall, word: Word, is_known: impl Fn(&WorkerKey) -> bool) -> Option<LeasesWrite> {
        let (named, whole) = match word {
            Word::Some(scores) => (scores, false),
            Word::All(scores) => (scores, true),
        };
        let named: BTreeMap<WorkerKey, f64> = named.into_iter().collect();
        let ends = |(key, held): &(&WorkerKey, &Held)| (whole || !held.ours) && !named.contains_key(*key);
        let ended = self.held.iter().filter(ends).map(|(key, _)| (key.clone(), 0.0));
        let changed = named.iter().filter(|(key, score)| self.is_new(key, **score));
        let mut scores: Vec<(WorkerKey, f64)> =
            ended.chain(changed.map(|(key, score)| (key.clone(), *score))).collect();
        scores.iter().for_each(|(key, score)| self.put(at, key, *score));
        scores.extend(self.cut(is_known));
        // Also where the clock was set back since: an age is by the clock of now.
        self.heard = Some(at);
        let due = self.written.is_none_or(|written| at < written || at.since(written) >= WORD_EVERY);
        (due || !scores.is_empty()).then(|| {
            self.written = self.heard;
            LeasesWrite { at, source: self.source, scores }
        })
    }

    fn is_new(&self, key: &WorkerKey, score: f64) -> bool {
        self.held.get(key).map_or(score > 0.0, |held| held.score != score || !held.ours)
    }

    fn put(&mut self, at: Wall, key: &WorkerKey, score: f64) {
        if score > 0.0 {
            self.held.insert(key.clone(), Held { score, since: at, ours: true });
        } else {
            self.held.remove(key);
        }
    }

    /// Ends what is over the bound.
    fn cut(&mut self, is_known: impl Fn(&WorkerKey) -> bool) -> Vec<(WorkerKey, f64)> {
        let over = self.held.len().saturating_sub(MOST);
        if over == 0 {
            return Vec::new();
        }
        let mut all: Vec<(bool, Wall, WorkerKey)> =
            self.held.iter().map(|(key, held)| (is_known(key), held.since, key.clone())).collect();
        all.sort();
        all.truncate(over);
        log::error!(target: "validator", "more than {MOST} leases: {over} end, of unknown workers first; the first is {}", all[0].2);
        self.dropped += over as u64;
        all.into_iter()
            .map(|(_, _, key)| {
                self.held.remove(&key);
                (key, 0.0)
            })
            .collect()
    }

    /// A worker on lease is not challenged.
    pub(super) fn is_leased(&self, key: &WorkerKey, at: Wall) -> bool {
        self.held.get(key).is_some_and(|held| self.rule.in_force(held.score, self.heard, at) > 0.0)
    }

    /// What the source last said of a worker; 0 without a lease.
    pub(super) fn score(&self, key: &WorkerKey) -> f64 {
        self.held.get(key).map_or(0.0, |held| held.score)
    }

    /// Says that the source is silent, again and again, and what that does; and when it is not any more.
    pub(super) fn watch(&mut self, now: Now) {
        let silent = !self.held.is_empty() && self.age(now.wall).is_none_or(|age| age >= self.rule.max_age);
        if !silent {
            if self.alarmed.take().is_some() {
                log::info!(target: "validator", "the source of leases ({}) speaks again", self.source.as_str());
            }
            return;
        }
        if self.alarmed.is_some_and(|said| now.mono.since(said) < SAY_AGAIN) {
            return;
        }
        self.alarmed = Some(now.mono);
        let left = self.rule.left(self.heard, now.wall);
        let level = if left < 1.0 { log::Level::Error } else { log::Level::Warn };
        let (age, count) = (self.age(now.wall).unwrap_or_default().as_secs(), self.held.len());
        log::log!(
            target: "validator",
            level,
            "nothing valid about leases for {age} s from {}: {count} leases count for {:.0} % of what it said last \
             (leases.on_outage); see whether the source is up",
            self.source.as_str(),
            100.0 * left
        );
    }

    fn age(&self, at: Wall) -> Option<Duration> {
        self.heard.map(|heard| at.since(heard))
    }

    pub(super) fn fill(&self, at: Wall, page: &mut Page) {
        page.set(Metric::Leases, &[], self.held.len() as f64);
        page.set_known(Metric::LeasesAgeSeconds, &[], self.age(at).map(|age| age.as_secs_f64()));
        page.set(Metric::LeasesInForce, &[], self.rule.left(self.heard, at));
        page.add(Metric::LeasesDropped, &[], self.dropped as f64);
    }

    pub(super) fn check_invariants(&self) {
        assert!(self.held.len() <= MOST, "more leases than there may be");
        assert!(self.held.values().all(|held| held.score > 0.0 && held.score <= 1.0));
    }
}

impl Validator {
    /// Only the source of the configuration is believed.
    pub(super) fn leases_said(&mut self, now: Now, source: LeaseSource, word: Word) {
        if source == self.config.leases.source {
            let fleet = &self.fleet;
            let write = self.leases.said(now.wall, word, |key| fleet.knows(key));
            write.into_iter().for_each(|write| self.ledger.must(Write::Leases(write)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::leases::OnOutage,
        machine::contract::store::LeaseRow,
        units::{Hotkey, WorkerId},
    };

    const NOON: Wall = Wall(1_768_478_400_000_000_000);

    fn key(worker: &str) -> WorkerKey {
        WorkerKey::new(&Hotkey::label("alice"), &WorkerId::new(worker))
    }

    fn at(minutes: u64) -> Wall {
        NOON + Duration::from_secs(60 * minutes)
    }

    fn leases(on_outage: OnOutage) -> Leases {
        Leases::new(LeaseSource::File, OutageRule { on_outage, max_age: Duration::from_secs(3600) })
    }

    fn some(named: &[(&str, f64)]) -> Word {
        Word::Some(named.iter().map(|(worker, score)| (key(worker), *score)).collect())
    }

    fn all(named: &[(&str, f64)]) -> Word {
        let Word::Some(scores) = some(named) else { unreachable!() };
        Word::All(scores)
    }

    fn written(leases: &mut Leases, minute: u64, word: Word) -> Option<Vec<(String, f64)>> {
        let write = leases.said(at(minute), word, |_| true);
        leases.check_invariants();
        let plain = |(key, score): (WorkerKey, f64)| (key.worker.to_string(), score);
        write.map(|write| write.scores.into_iter().map(plain).collect())
    }

    #[test]
    fn what_changed_is_written_and_a_word_that_changes_nothing_now_and_then() {
        let mut leases = leases(OnOutage::Hold);
        let two = [("w1".to_owned(), 0.5), ("w2".to_owned(), 1.0)];
        assert_eq!(written(&mut leases, 0, some(&[("w1", 0.5), ("w2", 1.0), ("w3", 0.0)])), Some(two.to_vec()));
        assert_eq!(written(&mut leases, 0, some(&[("w1", 0.5)])), None, "nothing new, and just written");
        assert_eq!(written(&mut leases, 1, some(&[])), Some(vec![]), "that it spoke is a fact");
        assert_eq!(written(&mut leases, 2, all(&[("w1", 0.5)])), Some(vec![("w2".to_owned(), 0.0)]));
        assert!(leases.is_leased(&key("w1"), at(2)) && !leases.is_leased(&key("w2"), at(2)));
    }

    #[test]
    fn an_outage_challenges_leased_workers_again_when_the_rule_says_so() {
        for (on_outage, expected) in [
            (OnOutage::Hold, [true, true, true]),
            (OnOutage::Decay, [true, true, false]),
            (OnOutage::Zero, [true, false, false]),
        ] {
            let mut leases = leases(on_outage);
            written(&mut leases, 0, some(&[("w1", 1.0)]));
            let after = [59, 61, 120].map(|minute| leases.is_leased(&key("w1"), at(minute)));
            assert_eq!(after, expected, "{on_outage:?}");
            written(&mut leases, 121, some(&[("w2", 1.0)]));
            assert!(leases.is_leased(&key("w1"), at(122)), "a word on another worker ends the outage");
        }
    }

    fn known(source: &str) -> KnownLeases {
        let row = LeaseRow { key: key("w1"), score: 0.5, heard: NOON, source: source.into() };
        KnownLeases { rows: vec![row], heard: Some(NOON) }
    }

    #[test]
    fn an_outage_goes_on_over_a_restart() {
        let mut leases = leases(OnOutage::Zero);
        assert_eq!(leases.resume(at(30), known("file")), None);
        assert_eq!([59, 60].map(|minute| leases.is_leased(&key("w1"), at(minute))), [true, false]);
    }

    #[test]
    fn a_clock_that_was_set_back_makes_no_word_newer_than_the_next() {
        let mut leases = leases(OnOutage::Zero);
        written(&mut leases, 60 * 24, some(&[("w1", 1.0)]));
        assert_eq!(written(&mut leases, 0, some(&[])), Some(vec![]), "it is written at once");
        assert_eq!([59, 60].map(|minute| leases.is_leased(&key("w1"), at(minute))), [true, false]);
        let mut ahead = self::leases(OnOutage::Zero);
        ahead.resume(at(0) - Duration::from_secs(600), known("file"));
        assert!(!ahead.is_leased(&key("w1"), at(50)), "nothing was heard after now");
    }

    #[test]
    fn leases_of_another_source_end_when_ours_speaks_and_at_once_without_one() {
        let mut ours = leases(OnOutage::Hold);
        assert_eq!(ours.resume(at(1), known("meshhub")), None);
        assert!(ours.is_leased(&key("w1"), at(999)));
        assert_eq!(written(&mut ours, 2, some(&[("w2", 1.0)])).unwrap(), [("w1".into(), 0.0), ("w2".into(), 1.0)]);
        let mut none = Leases::new(LeaseSource::None, OutageRule::default());
        assert_eq!(none.resume(at(1), known("meshhub")).unwrap().scores, [(key("w1"), 0.0)]);
        assert!(!none.is_leased(&key("w1"), at(1)));
    }

    #[test]
    fn over_the_bound_the_oldest_of_unknown_workers_go_first() {
        let mut leases = leases(OnOutage::Hold);
        written(&mut leases, 0, some(&[("known", 1.0), ("old", 1.0)]));
        let flood: Vec<_> = (0..MOST - 1).map(|n| (key(&format!("f{n}")), 1.0)).collect();
        let write = leases.said(at(1), Word::Some(flood), |key| key.worker.as_str() == "known").unwrap();
        leases.check_invariants();
        assert_eq!(write.scores.last(), Some(&(key("old"), 0.0)));
        assert!(leases.is_leased(&key("known"), at(1)) && leases.dropped == 1);
    }
}
