//! What workers say, handed on; and what flows want of workers and validators, done.

use std::{collections::VecDeque, time::Duration};

use super::{
    Miner, REPORT_WITHIN, Stop, assignment,
    fault::Fault,
    flows::{End, Step},
    lanes::Purpose,
    workers::{Route, Said},
};
use crate::{
    machine::{
        Gone,
        contract::bulk::{MinerBulk, Words},
    },
    metrics::Metric,
    units::{Hotkey, Now, PeerId, WorkerId},
    wire::{
        json, limits,
        messages::{CommitmentData, TaskResponse},
    },
};

/// How long a proof that a validator's rate limit turned away is tried again: its window is 30 s by default, and
/// its patience with proofs 120 s.
const PROOF_PERSISTENCE: Duration = Duration::from_secs(90);

impl Miner {
    pub(super) fn worker_connected(&mut self, now: Now, peer: PeerId) {
        self.workers.opened(now.mono, peer);
        if self.stop != Stop::No {
            self.workers.close_all();
        }
    }

    pub(super) fn worker_gone(&mut self, now: Now, peer: PeerId, reason: &Gone) {
        if let Some(worker) = self.workers.closed(peer) {
            self.flows.gone(now.mono, &worker);
            log::info!(target: "miner", "worker {worker} gone: {reason}");
        }
    }

    pub(super) fn frame_received(&mut self, now: Now, peer: PeerId, text: String) {
        match self.workers.route(peer, text) {
            Ok(Route::Here(frame)) => self.frame_read(now, peer, frame.read()),
            Ok(Route::Spoke(frame)) => self.bulk.push(MinerBulk::Frame(frame)),
            Ok(Route::Nowhere) => {}
            Err(fault) => self.fault(fault),
        }
    }

    pub(super) fn frame_read(&mut self, now: Now, peer: PeerId, words: Words) {
        match self.workers.read(now, peer, words) {
            Ok(said) => self.worker_said(now, said),
            Err(fault) => {
                log::debug!(target: "miner", "{peer}: {fault}");
                self.fault(fault);
            }
        }
    }

    pub(super) fn worker_said(&mut self, now: Now, said: Said) {
        let steps = match said {
            Said::Registered(worker) => return self.worker_registered(now, &worker),
            Said::Computed { worker, task_id, computed } => self.flows.computed(now.mono, &worker, &task_id, computed),
            Said::Proved { worker, message_id, proved } => {
                let Miner { flows, uplink, .. } = self;
                let room = |validator: &Hotkey, bytes| uplink.has_room_for_proof(validator, bytes);
                flows.proved(now.mono, &worker, &message_id, proved, room)
            }
            Said::Beat { worker, idle } => {
                if idle {
                    self.flows.idle(now.mono, &worker);
                }
                return self.counters.count(Metric::Heartbeats, &[]);
            }
            Said::Alive => return,
        };
        match steps {
            Ok(steps) => self.follow(now, steps),
            Err(unasked) => {
                log::debug!(target: "miner", "{unasked}: not taken");
                self.fault(unasked.into());
            }
        }
    }

    pub(super) fn worker_registered(&mut self, now: Now, worker: &WorkerId) {
        log::info!(target: "miner", "worker {worker} registered, {} connected", self.workers.len());
        self.counters.count(Metric::WorkersRegistered, &[]);
        self.schedule.hasten_heartbeats(now.mono + REPORT_WITHIN);
        let again = self.flows.returned(worker);
        self.follow(now, again.into_iter().collect());
    }

    pub(super) fn idle_workers(&self) -> Vec<WorkerId> {
        let ids = self.workers.iter().map(|worker| &worker.id);
        ids.filter(|id| !self.flows.is_busy(id)).cloned().collect()
    }

    pub(super) fn idle_count(&self) -> usize {
        self.workers.iter().filter(|worker| !self.flows.is_busy(&worker.id)).count()
    }

    pub(super) fn fault(&mut self, fault: Fault) {
        self.counters.count(Metric::Faults, &[fault.label()]);
        if fault.turns_away() {
            self.counters.count(Metric::WorkersRefused, &[fault.label()]);
        }
    }
}

impl Miner {
    /// Does what flows say is to be done, and what follows from that.
    pub(super) fn follow(&mut self, now: Now, steps: Vec<Step>) {
        let mut steps = VecDeque::from(steps);
        while let Some(step) = steps.pop_front() {
            let more = self.follow_one(now, step);
            steps.extend(more);
        }
    }

    pub(super) fn follow_one(&mut self, now: Now, step: Step) -> Vec<Step> {
        match step {
            Step::Assign { key, task, timeout } => {
                let frame = assignment::task(&key, &task, timeout);
                match self.workers.tell(&task.worker, &frame) {
                    true => Vec::new(),
                    false => self.flows.undelivered(now.mono, &key, End::WorkerGone),
                }
            }
            Step::Commit { key, worker, commitments, until } => {
                let data = CommitmentData::new(key.challenge.clone(), worker, commitments);
                let to = key.validator.clone();
                self.uplink.submit_until(now.mono, until, &to, Purpose::Commit(key), json::text(&data));
                Vec::new()
            }
            Step::Report { key, worker, failure } => {
                let data = CommitmentData::failed(key.challenge.clone(), worker, failure);
                let to = key.validator.clone();
                self.uplink.report(now.mono, &to, key, json::text(&data));
                Vec::new()
            }
            // A worker that is gone may come back and is asked again; else the flow ends with its wait.
            Step::Ask { key, worker, message_id, requests } => {
                self.workers.tell(&worker, &assignment::proof_request(&key, message_id, requests));
                Vec::new()
            }
            Step::Submit { key, proofs, stamps } => {
                let text = assignment::proof(&key, proofs, stamps);
                let (to, until) = (key.validator.clone(), now.mono + PROOF_PERSISTENCE);
                self.uplink.submit_until(now.mono, until, &to, Purpose::Submit(key), text);
                Vec::new()
            }
            Step::Ended { key, worker, end } => {
                self.counters.count(Metric::FlowsEnded, &[end.label()]);
                match end {
                    End::Accepted => log::info!(target: "miner", "challenge {} done by worker {worker}", key.challenge),
                    end => {
                        log::warn!(target: "miner", "challenge {} of {} for {worker}: {end}", key.challenge, key.validator)
                    }
                }
                Vec::new()
            }
        }
    }

    pub(super) fn tasks_given(&mut self, now: Now, from: &Hotkey, mut tasks: TaskResponse) {
        self.market_tasks_given(now, from, std::mem::take(&mut tasks.market_tasks));
        let mut challenges = tasks.challenges();
        if challenges.len() > limits::TASK_CHALLENGES {
            challenges.truncate(limits::TASK_CHALLENGES);
            self.fault(Fault::TooManyChallenges);
        }
        for spec in challenges {
            let ability = self.workers.ability(&spec.target_worker_id, &spec.challenge_type);
            let ability = assignment::fitting(&spec, ability);
            match self.flows.offer(now, from, assignment::taken(spec), ability) {
                Ok(steps) => self.follow(now, steps),
                Err(unasked) => self.fault(unasked.into()),
            }
        }
    }
}
