//! Making the challenges of a round: as many as this process can verify in an interval.
//!
//! What the challenges under way are still expected to need is taken off first, so a backlog shortens the next round. Who
//! is passed over for want of time, because the last proof still waits for a verdict, or because the store is behind,
//! is written down: it lowers nobody's participation.

use super::{
    Validator,
    capacity::Shape,
    challenges::Stage,
    draw,
    fleet::Offer,
    lines,
    round::{Candidate, Reach},
    timers::Timer,
};
use crate::{
    machine::contract::store::Write,
    metrics::Metric,
    units::{Now, WorkerKey},
};

impl Validator {
    /// Makes the next challenges of a round; a long round is made in several turns.
    pub(super) fn go_round(&mut self, now: Now) {
        let mut left_out = if self.round.is_over() { self.begin_round(now) } else { Vec::new() };
        for (target, offer) in self.round.take() {
            if self.challenges.is_open_for(&target) {
                continue;
            }
            if !self.ledger.has_room() {
                left_out.push(target);
                continue;
            }
            let row = draw::challenge(&mut self.rng, &self.config.validation, target, &offer, self.round.began());
            self.fleet.served(&row.target);
            self.challenges.create(now, row);
        }
        self.passed_over(now, left_out);
        self.timers.set(Timer::Round, self.round.due(now.mono));
    }

    /// Begins a round; the workers that it passes over.
    fn begin_round(&mut self, now: Now) -> Vec<WorkerKey> {
        self.fleet.next_round();
        let validation = &self.config.validation;
        let candidates =
            self.fleet.candidates(now.mono, validation.challenge_type, |key| self.leases.is_leased(key, now.wall));
        let candidates = candidates.into_iter();
        let (busy, idle): (Vec<_>, Vec<_>) = candidates.partition(|able| self.challenges.is_open_for(&able.target));
        let late = busy.into_iter().map(|able| able.target).filter(|target| self.challenges.awaits_verdict(target));
        let late: Vec<WorkerKey> = late.collect();
        let candidates = idle.into_iter().map(|able| {
            let expected_ms = self.capacity.expected_ms(self.shape_of(&able.offer));
            Candidate { able, expected_ms }
        });
        let candidates = candidates.collect();
        let spare_ms = self.capacity.interval_ms() - self.reserved_ms();
        let interval = validation.challenge_interval;
        let Reach { issued, expected_ms, passed_over } =
            self.round.begin(now, interval, candidates, spare_ms, &mut self.rng);
        if !passed_over.is_empty() {
            lines::passed_over(issued, passed_over.len(), expected_ms, self.capacity.interval_ms());
        }
        passed_over.into_iter().chain(late).collect()
    }

    fn shape_of(&self, offer: &Offer) -> Shape {
        let validation = &self.config.validation;
        match offer {
            Offer::CpuMatrix => Shape::of_cpu(validation),
            Offer::GpuMatrix { gpus } => Shape::of_gpus(validation.gpu_matrix.matrix_size, gpus.len(), validation),
            Offer::GemmI8 { gpus } => {
                let size = draw::size_for(&validation.gemm_i8, gpus.len());
                Shape::of_gemm(size, gpus.len().max(1), validation)
            }
        }
    }

    /// What the challenges under way are expected to need of the verifiers. Those that nobody fetched end at this
    /// round or soon after: a miner that never asks costs the others nothing.
    pub(super) fn reserved_ms(&self) -> f64 {
        let validation = &self.config.validation;
        let of = |work| self.capacity.expected_ms(Shape::of_work(work, validation));
        let under_way = self.challenges.open().filter(|challenge| !matches!(challenge.stage, Stage::Created { .. }));
        under_way.map(|challenge| of(&challenge.row.work)).sum()
    }

    /// By kind: what a challenge of the configured size, of one device, is expected to need.
    pub(super) fn usual_ms(&self) -> Vec<(&'static str, f64)> {
        let validation = &self.config.validation;
        let gpu = Shape::of_gemm(validation.gemm_i8.gpu, 1, validation);
        let first = Shape::of_gpus(validation.gpu_matrix.matrix_size, 1, validation);
        [Shape::of_cpu(validation), gpu, first].map(|shape| (shape.kind(), self.capacity.expected_ms(shape))).into()
    }

    /// Each turn of a round tells of its own moment: the store takes one list for each.
    fn passed_over(&mut self, now: Now, workers: Vec<WorkerKey>) {
        if workers.is_empty() {
            return;
        }
        self.counters.add(Metric::ChallengesPassedOver, &[], workers.len() as u64);
        self.ledger.must(Write::RoundBegan { at: now.wall, passed_over: workers });
    }
}
