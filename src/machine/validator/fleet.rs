//! Which workers the miners' heartbeats tell of, and which of them may be challenged now.
//!
//! Owns the last word of every miner. It validates nothing (the wire and the switchboard
//! did) and sends nothing. Bounded: [`KEPT_PER_MINER`] workers a miner, miners only of the metagraph.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use crate::{
    config::validator::ChallengeType,
    units::{Hotkey, Mono, WorkerId, WorkerKey},
};

/// Workers of one miner that can get a challenge: those heard last.
pub const CHALLENGED_PER_MINER: usize = 100;
/// A miner, or a worker of one, that was not heard for this long gets no challenges.
pub const HEARD_WITHIN: Duration = Duration::from_secs(300);
/// Workers of one miner that are remembered; the one heard longest ago goes first.
pub const KEPT_PER_MINER: usize = 1000;
/// Workers that a miner may name for the first time in an hour: each is kept in the database for a week and more. Further
/// ones are passed over until the hour is out. To a validator that was just started all of a miner's are new.
pub const NEW_AN_HOUR: u32 = KEPT_PER_MINER as u32;
const HOUR: Duration = Duration::from_secs(3600);

/// What a heartbeat said of a worker, as far as a challenge depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    pub worker: WorkerId,
    /// Not `offline`.
    pub online: bool,
    pub cpu_matrix: bool,
    /// It offers `gemm_i8`, and its miner passes it on.
    pub gemm_i8: bool,
    pub gpu_matrix: bool,
    /// Uuids of its GPUs that get challenges, in order, each once; of those alone that a kind is offered for.
    pub gpus: Arc<[String]>,
    /// Uuids of all its GPUs, when it offers `gpu_matrix`: any of them may commit itself.
    pub inventory: Arc<[String]>,
    /// Digest of the hardware that does not change by itself.
    pub hardware: u64,
}

/// What a worker can be challenged with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Offer {
    CpuMatrix,
    /// Any of these, its GPUs.
    GpuMatrix {
        gpus: Arc<[String]>,
    },
    /// Its GPUs together; none of them: its CPU.
    GemmI8 {
        gpus: Arc<[String]>,
    },
}

/// A worker that could get a challenge.
#[derive(Clone, Debug, PartialEq)]
pub struct Able {
    pub target: WorkerKey,
    pub offer: Offer,
    /// The round that last gave it one. Who is new waits like those who just had one.
    pub served: u64,
}

impl Word {
    /// The strongest challenge that it offers, of those that are wanted.
    fn offer(&self, wanted: ChallengeType) -> Option<Offer> {
        let (gemm_i8, cpu_matrix) = match wanted {
            ChallengeType::CpuMatrix => (false, true),
            ChallengeType::GpuMatrix => return self.gpu_offer(),
            ChallengeType::GemmI8 => (true, false),
            ChallengeType::Auto => (true, true),
        };
        let gemm = (self.gemm_i8 && gemm_i8).then(|| Offer::GemmI8 { gpus: Arc::clone(&self.gpus) });
        gemm.or((self.cpu_matrix && cpu_matrix).then_some(Offer::CpuMatrix))
    }

    /// With a GPU that gets challenges all of them may commit: the challenge names none.
    fn gpu_offer(&self) -> Option<Offer> {
        let able = self.gpu_matrix && !self.gpus.is_empty();
        able.then(|| Offer::GpuMatrix { gpus: Arc::clone(&self.inventory) })
    }
}

#[derive(Debug, Default)]
pub struct Fleet {
    miners: BTreeMap<Hotkey, Miner>,
    /// Rounds of challenges so far.
    rounds: u64,
}

#[derive(Debug, Default)]
struct Miner {
    heard: Mono,
    workers: BTreeMap<WorkerId, Worker>,
    /// New names since the hour began.
    fresh: u32,
    hour_began: Mono,
}

/// What became of a worker in a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    AsBefore,
    /// Its hardware must be stored.
    Changed,
    /// Its miner names too many new ones: nothing of it is taken in.
    PassedOver,
}

#[derive(Debug)]
struct Worker {
    heard: Mono,
    /// The round that last gave it a challenge; the one it was first heard in, when none did.
    served: u64,
    word: Word,
    hardware_stored: bool,
}

impl Fleet {
    /// Takes a miner's heartbeat in; tells for each word what became of it.
    pub fn heard(&mut self, now: Mono, hotkey: &Hotkey, words: Vec<Word>) -> Vec<Taken> {
        let miner = match self.miners.get_mut(hotkey) {
            Some(miner) => miner,
            None => self.miners.entry(hotkey.clone()).or_default(),
        };
        miner.heard = now;
        let changed = words.into_iter().map(|word| miner.take(now, self.rounds, word)).collect();
        miner.trim();
        changed
    }

    /// A heartbeat of this miner did not reach the store: its hardware must be written again.
    pub fn hardware_lost(&mut self, hotkey: &Hotkey) {
        let workers = self.miners.get_mut(hotkey).into_iter().flat_map(|miner| miner.workers.values_mut());
        workers.for_each(|worker| worker.hardware_stored = false);
    }

    /// The workers that may get a challenge, by key, and of which kind: those that are not on lease. Whether one is open
    /// is not known here.
    pub fn candidates(&self, now: Mono, wanted: ChallengeType, is_leased: impl Fn(&WorkerKey) -> bool) -> Vec<Able> {
        let heard = self.miners.iter().filter(|(_, miner)| now.since(miner.heard) < HEARD_WITHIN);
        let able = heard.flat_map(|(hotkey, miner)| miner.able(now, hotkey, wanted));
        able.filter(|able| !is_leased(&able.target)).collect()
    }

    /// A miner named it, and is remembered.
    pub fn knows(&self, key: &WorkerKey) -> bool {
        self.miners.get(&key.hotkey).is_some_and(|miner| miner.workers.contains_key(&key.worker))
    }

    /// A round of challenges begins.
    pub fn next_round(&mut self) {
        self.rounds += 1;
    }

    /// This round gave the worker a challenge.
    pub fn served(&mut self, key: &WorkerKey) {
        let worker = self.miners.get_mut(&key.hotkey).and_then(|miner| miner.workers.get_mut(&key.worker));
        if let Some(worker) = worker {
            worker.served = self.rounds;
        }
    }

    /// Miners with a heartbeat in that long.
    pub fn heard_within(&self, now: Mono, span: Duration) -> BTreeSet<Hotkey> {
        let heard = self.miners.iter().filter(|(_, miner)| now.since(miner.heard) < span);
        heard.map(|(hotkey, _)| hotkey.clone()).collect()
    }

    /// Forgets hotkeys that left the metagraph.
    pub fn retain(&mut self, known: impl Fn(&Hotkey) -> bool) {
        self.miners.retain(|hotkey, _| known(hotkey));
    }

    /// Workers whose miner was heard lately, and which it said are not offline.
    pub fn online(&self, now: Mono) -> usize {
        let heard = self.miners.values().filter(|miner| now.since(miner.heard) < HEARD_WITHIN);
        heard.map(|miner| miner.workers.values().filter(|worker| worker.word.online).count()).sum()
    }

    /// Panics when a bound does not hold.
    pub fn check_invariants(&self) {
        assert!(self.miners.values().all(|miner| miner.workers.len() <= KEPT_PER_MINER));
    }
}

impl Miner {
    /// Those of its latest workers that are here and offer what is wanted.
    fn able(&self, now: Mono, hotkey: &Hotkey, wanted: ChallengeType) -> Vec<Able> {
        let mut by_age: Vec<&Worker> = self.workers.values().collect();
        by_age.sort_by_key(|worker| std::cmp::Reverse(worker.heard));
        let here = |worker: &&Worker| worker.word.online && now.since(worker.heard) < HEARD_WITHIN;
        let first = by_age.into_iter().take(CHALLENGED_PER_MINER).filter(here);
        first
            .filter_map(|worker| {
                let (target, offer) = (WorkerKey::new(hotkey, &worker.word.worker), worker.word.offer(wanted)?);
                Some(Able { target, offer, served: worker.served })
            })
            .collect()
    }

    fn take(&mut self, now: Mono, round: u64, word: Word) -> Taken {
        let known = self.workers.get(&word.worker);
        if known.is_none() {
            if now.since(self.hour_began) >= HOUR {
                (self.fresh, self.hour_began) = (0, now);
            }
            self.fresh = self.fresh.saturating_add(1);
            if self.fresh > NEW_AN_HOUR {
                return Taken::PassedOver;
            }
        }
        let changed = !known.is_some_and(|old| old.hardware_stored && old.word.hardware == word.hardware);
        let served = known.map_or(round, |old| old.served);
        self.workers.insert(word.worker.clone(), Worker { heard: now, served, word, hardware_stored: true });
        if changed { Taken::Changed } else { Taken::AsBefore }
    }

    fn trim(&mut self) {
        while self.workers.len() > KEPT_PER_MINER {
            let Some(oldest) = self.workers.iter().min_by_key(|(_, worker)| worker.heard).map(|(id, _)| id.clone())
            else {
                return;
            };
            self.workers.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alice() -> Hotkey {
        Hotkey::label("alice")
    }

    fn word(worker: &str) -> Word {
        let (worker, gpus, inventory) = (WorkerId::new(worker), Arc::default(), Arc::default());
        let (online, cpu_matrix, gemm_i8, gpu_matrix) = (true, true, false, false);
        Word { worker, online, cpu_matrix, gemm_i8, gpu_matrix, gpus, inventory, hardware: 7 }
    }

    fn at(seconds: u64) -> Mono {
        Mono(seconds * 1_000_000_000)
    }

    fn leased(key: &WorkerKey) -> bool {
        key.worker.as_str() == "leased"
    }

    fn names(fleet: &Fleet, now: Mono) -> Vec<String> {
        fleet
            .candidates(now, ChallengeType::CpuMatrix, leased)
            .iter()
            .map(|able| able.target.worker.to_string())
            .collect()
    }

    #[test]
    fn online_able_and_unleased_workers_of_miners_heard_lately_are_challenged() {
        let mut fleet = Fleet::default();
        let offline = Word { online: false, ..word("offline") };
        let unable = Word { cpu_matrix: false, ..word("unable") };
        fleet.heard(at(10), &alice(), vec![word("w1"), offline, unable, word("leased")]);
        assert_eq!(names(&fleet, at(20)), ["w1"]);
        assert_eq!(names(&fleet, at(310)), [""; 0]);
        assert_eq!((fleet.online(at(20)), fleet.online(at(310))), (3, 0));
    }

    #[test]
    fn each_worker_gets_the_strongest_kind_that_it_offers_and_that_is_wanted() {
        let mut fleet = Fleet::default();
        let gpus: Arc<[String]> = ["GPU-1".to_owned(), "GPU-2".to_owned()].into();
        let both = Word { gemm_i8: true, ..word("both") };
        let only_new = Word { cpu_matrix: false, gemm_i8: true, gpus: Arc::clone(&gpus), ..word("new") };
        fleet.heard(at(1), &alice(), vec![both, only_new, word("old")]);
        let offers = |wanted| -> Vec<(String, Offer)> {
            let candidates = fleet.candidates(at(2), wanted, leased).into_iter();
            candidates.map(|able| (able.target.worker.to_string(), able.offer)).collect()
        };
        let (old, cpu) = (Offer::CpuMatrix, Offer::GemmI8 { gpus: Arc::default() });
        let named = |name: &str, offer: &Offer| (name.to_owned(), offer.clone());
        let new = named("new", &Offer::GemmI8 { gpus });
        assert_eq!(offers(ChallengeType::CpuMatrix), [named("both", &old), named("old", &old)]);
        assert_eq!(offers(ChallengeType::GemmI8), [named("both", &cpu), new.clone()]);
        assert_eq!(offers(ChallengeType::Auto), [named("both", &cpu), new, named("old", &old)]);
    }

    #[test]
    fn gpu_matrix_is_for_workers_with_a_gpu_that_gets_challenges() {
        let mut fleet = Fleet::default();
        let (one, all): (Arc<[String]>, Arc<[String]>) = (["G1".into()].into(), ["G0".into(), "G1".into()].into());
        let able = Word { gpu_matrix: true, gpus: one, inventory: Arc::clone(&all), ..word("able") };
        let other_model = Word { gpus: Arc::default(), ..Word { worker: WorkerId::new("other"), ..able.clone() } };
        fleet.heard(at(1), &alice(), vec![able, other_model, word("no")]);
        let found = fleet.candidates(at(2), ChallengeType::GpuMatrix, leased);
        let found: Vec<_> = found.into_iter().map(|able| (able.target.worker.to_string(), able.offer)).collect();
        assert_eq!(found, [("able".to_owned(), Offer::GpuMatrix { gpus: all })]);
        assert!(fleet.candidates(at(2), ChallengeType::Auto, leased).iter().all(|able| able.offer == Offer::CpuMatrix));
    }

    #[test]
    fn who_was_served_is_remembered_while_it_is_heard_and_who_is_new_comes_behind() {
        let mut fleet = Fleet::default();
        fleet.heard(at(1), &alice(), vec![word("first"), word("second")]);
        fleet.next_round();
        fleet.served(&WorkerKey::new(&alice(), &WorkerId::new("first")));
        fleet.served(&WorkerKey::new(&alice(), &WorkerId::new("nobody")));
        fleet.heard(at(2), &alice(), vec![word("first"), word("new")]);
        let candidates = fleet.candidates(at(3), ChallengeType::CpuMatrix, leased);
        let served: BTreeMap<_, _> = candidates.iter().map(|able| (able.target.worker.as_str(), able.served)).collect();
        assert_eq!(served, BTreeMap::from([("first", 1), ("new", 1), ("second", 0)]));
    }

    #[test]
    fn the_cut_to_a_hundred_comes_before_the_other_conditions() {
        let mut fleet = Fleet::default();
        fleet.heard(at(1), &alice(), vec![word("early")]);
        let late = (0..100).map(|n| Word { online: n > 0, ..word(&format!("w{n:03}")) });
        fleet.heard(at(2), &alice(), late.collect());
        let challenged = names(&fleet, at(3));
        assert_eq!(challenged.len(), 99);
        assert!(!challenged.contains(&"early".to_owned()));
    }

    #[test]
    fn hardware_is_stored_when_it_changes_or_was_lost() {
        let mut fleet = Fleet::default();
        assert_eq!(fleet.heard(at(1), &alice(), vec![word("w")]), [Taken::Changed]);
        assert_eq!(fleet.heard(at(2), &alice(), vec![word("w")]), [Taken::AsBefore]);
        assert_eq!(fleet.heard(at(3), &alice(), vec![Word { hardware: 8, ..word("w") }]), [Taken::Changed]);
        fleet.hardware_lost(&alice());
        assert_eq!(fleet.heard(at(4), &alice(), vec![Word { hardware: 8, ..word("w") }]), [Taken::Changed]);
    }

    #[test]
    fn a_miner_with_too_many_workers_keeps_the_latest() {
        let mut fleet = Fleet::default();
        for n in 0..KEPT_PER_MINER as u64 + 5 {
            fleet.heard(at(60 * n), &alice(), vec![word(&format!("w{n}"))]);
        }
        fleet.check_invariants();
        assert!(names(&fleet, at(60 * 1005)).contains(&"w1004".to_owned()));
    }

    #[test]
    fn names_beyond_what_an_hour_may_bring_are_passed_over() {
        let mut fleet = Fleet::default();
        let words = |from: u32, count: u32| (from..from + count).map(|n| word(&format!("w{n}"))).collect::<Vec<_>>();
        let passed_over = |taken: Vec<Taken>| taken.iter().filter(|taken| **taken == Taken::PassedOver).count();
        assert_eq!(passed_over(fleet.heard(at(1), &alice(), words(0, NEW_AN_HOUR + 5))), 5);
        assert_eq!(passed_over(fleet.heard(at(9), &alice(), words(0, NEW_AN_HOUR))), 0, "these are known");
        assert_eq!(passed_over(fleet.heard(at(3601), &alice(), words(NEW_AN_HOUR, 5))), 0, "another hour");
    }
}
