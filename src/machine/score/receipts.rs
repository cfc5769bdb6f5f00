//! Receipts out of scores: one a worker, with every number that its score was made of, and why it is what it is.
//!
//! Pure: it signs nothing. What a receipt holds is the wire's.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    outcome::{MinerScore, Scores, WorkerScore},
    policy::Policy,
    reasons,
};
use crate::{
    units::{BlockNumber, Hotkey, Netuid, WorkerId},
    wire::{
        marketplace::Stamp,
        receipt::{Availability, Challenges, FORMAT, Lease, Miner, Network, Reason, Receipt},
    },
};

/// The newest scores, with what a receipt says beside them.
#[derive(Clone, Debug)]
pub struct Book {
    pub validator: Hotkey,
    pub netuid: Netuid,
    pub block: BlockNumber,
    pub policy: Policy,
    pub scores: Arc<Scores>,
}

impl Book {
    /// Receipts of a miner's workers behind `after`, by name, at most so many; and whether there are more.
    pub fn page(&self, hotkey: &Hotkey, after: Option<&WorkerId>, most: usize) -> (Vec<Receipt>, bool) {
        let miner = self.scores.miners.iter().find(|miner| miner.hotkey == *hotkey);
        let of = self.scores.workers.iter().filter(|worker| worker.key.hotkey == *hotkey);
        let behind = of.filter(|worker| after.is_none_or(|after| worker.key.worker > *after));
        let workers: BTreeMap<&WorkerId, &WorkerScore> = behind.map(|worker| (&worker.key.worker, worker)).collect();
        let best = self.scores.workers.iter().map(|worker| worker.base).fold(0.0, f64::max);
        let page = workers.values().take(most).map(|worker| self.receipt(miner, worker, best)).collect();
        (page, workers.len() > most)
    }

    /// `best`: the highest base of all workers.
    fn receipt(&self, of_miner: Option<&MinerScore>, of: &WorkerScore, best: f64) -> Receipt {
        let scores = &self.scores;
        Receipt {
            receipt: FORMAT.into(),
            validator: self.validator.clone(),
            netuid: self.netuid.0,
            block: self.block,
            at: Stamp::micros(scores.at).to_string(),
            at_s: scores.at.as_secs(),
            policy: serde_json::to_value(&self.policy).unwrap_or_default(),
            hotkey: of.key.hotkey.clone(),
            worker: of.key.worker.clone(),
            challenges: self.challenges(of),
            availability: self.availability(of),
            performance: of.performance,
            score: of.score,
            rank: of.rank.map(|rank| rank.saturating_add(1)),
            lease: Lease { score: of.lease, counted_share: of.lease_share },
            miner: of_miner.map(miner).unwrap_or_default(),
            network: Network { mean_challenge: scores.mean_challenge, all_zero: scores.all_zero },
            reasons: reasons::reasons(scores, &self.policy, of_miner, of, best).iter().map(reason).collect(),
        }
    }

    fn challenges(&self, of: &WorkerScore) -> Challenges {
        Challenges {
            since: Stamp::micros(self.scores.at - self.policy.ranking_window).to_string(),
            counted: of.counted,
            expected: of.baseline,
            attempts: of.attempts,
            failed: of.failed,
            failures: of.failures.iter().map(|(reason, count)| (reason.chars().take(200).collect(), *count)).collect(),
            void: of.void,
            not_fetched: of.not_fetched,
            disowned: of.disowned,
            quarantined: of.quarantined,
            passed_over: of.passed_over,
            mean_time_ms: of.time_ms,
            mean_devices: of.devices,
            busy_ms: of.busy_ms,
            operations: of.ops,
            base: of.base,
            unit: self.scores.unit.into(),
            participation: of.participation,
        }
    }

    fn availability(&self, of: &WorkerScore) -> Availability {
        let of = &of.availability;
        Availability {
            hours: self.policy.availability_hours,
            steps: of.buckets,
            of: of.of,
            own: of.own,
            announced_maintenance: of.announced,
            excused_maintenance: of.excused,
            gpus_required: of.gpus_required,
            address_changes: of.address_changes,
            address_factor: of.address_factor,
            value: of.value,
        }
    }
}

fn miner(of: &MinerScore) -> Miner {
    Miner {
        scored: true,
        online: of.online,
        workers: of.workers,
        leased: of.leased,
        ranked: of.ranked,
        raw: of.raw,
        own_challenge: of.own_challenge,
        challenge: of.challenge,
        challenge_is_mean: of.replaced,
        lease: of.lease,
        composite: of.composite,
        weight: of.weight,
    }
}

fn reason(of: &reasons::Reason) -> Reason {
    Reason { code: of.code().into(), text: of.to_string(), remedy: of.remedy().into() }
}
