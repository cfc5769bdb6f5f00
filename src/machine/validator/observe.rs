//! The validator's metrics: what its counters say and how full its tables are now.
//!
//! Reads only. Ages are as of the last input, at most some seconds ago.

use super::{Phase, Validator, challenges::Stage, fleet};
use crate::metrics::{Metric, Page};

impl Validator {
    pub(super) fn fill(&self, page: &mut Page) {
        self.counters.write(page);
        self.fill_axon(page);
        self.fill_challenges(page);
        self.fill_chain(page);
        self.market.fill(page);
        self.overrides.fill(&self.config, page);
        self.leases.fill(self.now.wall, page);
        self.lease_watch.fill(page);
        let drift = if self.drift.alarmed() { 1.0 } else { 0.0 };
        page.set(Metric::WallAlarm, &[], drift);
        page.set(Metric::ScoringPaused, &["clock_moved"], drift);
        page.set(Metric::ScoringPaused, &["starting"], if self.phase == Phase::Running { 0.0 } else { 1.0 });
    }

    fn fill_axon(&self, page: &mut Page) {
        let tally = self.sessions.tally();
        page.set(Metric::Sessions, &[], self.sessions.count() as f64);
        page.add(Metric::SessionsOpened, &[], tally.opened as f64);
        page.add(Metric::SessionsEnded, &["expired"], tally.expired as f64);
        page.add(Metric::SessionsEnded, &["evicted"], tally.evicted as f64);
        let miners = self.fleet.heard_within(self.now.mono, fleet::HEARD_WITHIN).len();
        page.set(Metric::MinersOnline, &[], miners as f64);
        page.set(Metric::WorkersOnline, &[], self.fleet.online(self.now.mono) as f64);
        page.set(Metric::QueueDepth, &["bulk"], self.axon.bulk.count() as f64);
        page.set(Metric::QueueLimit, &["bulk"], super::bulk::MOST_JOBS as f64);
        page.set(Metric::QueueDepth, &["store"], self.ledger.backlog() as f64);
        page.set(Metric::QueueLimit, &["store"], super::ledger::MOST_BACKLOG as f64);
        page.add(Metric::StoreFailures, &["lost"], self.ledger.lost() as f64);
    }

    fn fill_challenges(&self, page: &mut Page) {
        for (kind, count) in self.challenges.created_by_kind() {
            page.add(Metric::ChallengesCreated, &[kind], count as f64);
        }
        for ((end, reason), count) in self.challenges.ended_by_reason() {
            page.add(Metric::ChallengesEnded, &[end, reason], *count as f64);
        }
        for state in ["created", "sent", "committed", "verifying"] {
            let open = self.challenges.open().filter(|challenge| name(&challenge.stage) == state).count();
            page.set(Metric::ChallengesOpen, &[state], open as f64);
        }
        page.set(Metric::VerifyCapacitySeconds, &[], self.capacity.interval_ms() / 1e3);
        page.set(Metric::VerifyReservedSeconds, &[], self.reserved_ms() / 1e3);
        for (kind, ms) in self.usual_ms() {
            page.set(Metric::VerifyExpectedSeconds, &[kind], ms / 1e3);
        }
        page.set(Metric::QueueDepth, &["proof_bytes"], self.verification.bytes() as f64);
        page.set(Metric::QueueLimit, &["proof_bytes"], super::verification::MOST_BYTES as f64);
        page.set(Metric::QueueDepth, &["proofs"], self.verification.waiting() as f64);
        page.set(Metric::QueueLimit, &["proofs"], self.config.validation.proof_queue_max as f64);
    }

    fn fill_chain(&self, page: &mut Page) {
        let now = self.now;
        page.set_known(Metric::ChainBlock, &[], self.chain.block().map(|block| block as f64));
        let heads = self.chain.heads();
        page.set_known(Metric::ChainBlockAgeSeconds, &[], heads.age(now.mono).map(|age| age.as_secs_f64()));
        page.set_known(Metric::ChainClockSkewSeconds, &[], heads.skew_s());
        self.chain.runtime().fill(page);
        page.set_known(Metric::MetagraphAgeSeconds, &[], self.chain.graph_age(now.mono).map(|age| age.as_secs_f64()));
        page.set_known(Metric::Neurons, &[], self.chain.graph().map(|graph| graph.neurons.len() as f64));
        page.add(Metric::SpokeFailures, &["chain", "call"], self.chain.faults() as f64);
        let scored = self.scoring.current(now.mono);
        let above = scored.map(|scores| scores.miners.iter().filter(|miner| miner.weight > 0.0).count() as f64);
        page.set_known(Metric::MinersScored, &[], above);
        page.set_known(Metric::GpusQuarantined, &[], scored.map(|scores| scores.contested.len() as f64));
        for of in self.scoring.differences() {
            page.set(Metric::ShadowWeightChange, &[of.hotkey.as_str()], of.change());
        }
        let unconfirmed = self.epoch.unconfirmed(now).map(|age| age.as_secs_f64());
        page.set_known(Metric::SecondsSinceConfirmedWeights, &[], unconfirmed);
        if let Some(blocked) = self.epoch.blocked().filter(|blocked| blocked.is_pause()) {
            page.set(Metric::ScoringPaused, &[blocked.name()], 1.0);
        }
        page.set(Metric::WeightsOverdue, &[], if self.epoch.is_overdue() { 1.0 } else { 0.0 });
        page.set(Metric::WeightsAwaited, &[], self.epoch.reveals.len() as f64);
        for (outcome, count) in self.epoch.outcomes() {
            page.add(Metric::WeightSubmissions, &[outcome], count as f64);
        }
    }
}

fn name(stage: &Stage) -> &'static str {
    match stage {
        Stage::Created { .. } => "created",
        Stage::Sent { .. } => "sent",
        Stage::Committed(_) => "committed",
        Stage::Verifying { .. } => "verifying",
    }
}
