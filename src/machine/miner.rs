//! The miner: workers on one side, validators on the other, and what passes between them.
//!
//! This file is the switchboard. Each thing that it must remember has a small machine of its own below;
//! here inputs are handed to the one they concern, and what that one says is handed on.
//!
//! | part | what it remembers |
//! |---|---|
//! | [`workers`] | connections, registrations, what each worker last said of itself |
//! | [`flows`] | which worker has which challenge, and how far it is |
//! | [`validators`] | whom to talk to, where, and who is passed over |
//! | [`schedule`] | when each validator is next told and asked |
//! | [`uplink`] | requests in flight ([`lanes`]), sessions ([`sessions`]), nonces |
//! | [`metagraph`] | when the chain is next asked |

pub mod admission;
mod assignment;
mod chain;
mod fault;
mod flows;
mod lanes;
mod metagraph;
mod observe;
mod report;
mod schedule;
mod sessions;
mod uplink;
mod validators;
mod workers;

#[cfg(test)]
mod tests;

use std::{collections::VecDeque, time::Duration};

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use self::{
    fault::Fault,
    flows::{End, Flows, Step},
    lanes::{Lane, Purpose},
    metagraph::Sync,
    schedule::{Reason, Round, Schedule},
    uplink::{Ended, Failure, Patience, Uplink},
    validators::{Choice, PassingOver, Validators},
    workers::{Route, Rules, Said, Workers},
};
use crate::{
    config::miner::Config,
    machine::{
        Exit, Gone, Input, Link, Machine, Message, Output,
        clock::{Drift, DriftChange},
        contract::{
            bulk::{MinerBulk, MinerBulkDone, Reply, Words},
            chain::{ChainReply, ChainRequest},
        },
        credit::Credit,
    },
    metrics::{Counters, Metric, Page},
    units::{Hotkey, Mono, Netuid, Now, PeerId, WorkerId},
    wire::{
        json,
        keys::Keypair,
        limits,
        messages::{Answer, CommitmentData, HeartbeatResponse, ProofRequests, StatusAnswer, TaskRequest, TaskResponse},
    },
};

/// Requests that may wait for the chain spoke: this machine has one in flight.
pub const CHAIN_DEPTH: usize = 1;

/// Requests that may wait for the bulk spoke.
pub const BULK_DEPTH: usize = 16;

/// A worker that came is reported within this.
const REPORT_WITHIN: Duration = Duration::from_secs(2);

/// How long requests in flight may take to finish when the miner stops.
const STOP_GRACE: Duration = Duration::from_secs(3);

/// What the miner asks of its spokes.
#[derive(Debug)]
pub enum Command {
    Chain(ChainRequest),
    Bulk(MinerBulk),
}

/// What its spokes report.
#[derive(Debug)]
pub enum Event {
    Chain(ChainReply),
    Bulk(MinerBulkDone),
}

type Wish = Output<Command>;

#[derive(Debug)]
pub struct Miner {
    netuid: Netuid,
    rng: ChaCha20Rng,
    workers: Workers,
    flows: Flows,
    validators: Validators,
    schedule: Schedule,
    sync: Sync,
    uplink: Uplink,
    bulk: Credit<MinerBulk>,
    drift: Drift,
    counters: Counters,
    outbox: VecDeque<Wish>,
    last: Now,
    /// Whether the last metagraph had our hotkey; `None` before the first.
    registered: Option<bool>,
    neurons: Option<usize>,
    stop: Stop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    No,
    Until(Mono),
    Done,
}

impl Miner {
    /// `seed` comes from the OS in production; every key, nonce and id is drawn from it.
    pub fn new(config: &Config, key: Keypair, now: Now, seed: [u8; 32]) -> Miner {
        let passing_over =
            PassingOver { threshold: config.validators.blacklist_threshold, ttl: config.validators.blacklist_ttl };
        let choice = Choice {
            own: key.hotkey().clone(),
            min_stake_tao: config.validators.min_stake_tao,
            whitelist: config.validators.whitelist.clone(),
            passing_over,
        };
        let patience = Patience {
            connect: config.connection_timeout,
            request: config.request_timeout,
            retries: config.max_retries,
        };
        let rules =
            Rules { max_workers: config.workers.max_workers, heartbeat_timeout: config.workers.heartbeat_timeout };
        let mut miner = Miner {
            netuid: config.netuid,
            rng: ChaCha20Rng::from_seed(seed),
            workers: Workers::new(rules),
            flows: Flows::default(),
            validators: Validators::new(choice),
            schedule: Schedule::new(config.heartbeat_interval, config.task_poll_interval),
            sync: Sync::new(config.validators.sync_interval),
            uplink: Uplink::new(key, patience),
            bulk: Credit::new(BULK_DEPTH),
            drift: Drift::default(),
            counters: Counters::default(),
            outbox: VecDeque::new(),
            last: now,
            registered: None,
            neurons: None,
            stop: Stop::No,
        };
        miner.schedule.keep(now.mono, miner.validators.iter(), &mut miner.rng);
        miner
    }

    fn take(&mut self, now: Now, input: Input<Event>) {
        match input {
            Input::Opened { peer, link: Link::Workers, .. } => self.worker_connected(now, peer),
            Input::Opened { peer, .. } => self.uplink.opened(peer),
            Input::Received { peer, message: Message::Text(text), .. } => self.frame_received(now, peer, text),
            Input::Received { peer, message: Message::Response(response), .. } => {
                self.uplink.responded(now, peer, response, &mut self.bulk, &mut self.rng);
            }
            // No door of the miner serves requests.
            Input::Received { message: Message::Request(_), .. } => {}
            Input::Closed { peer, reason } if peer.is_dialed() => self.uplink.gone(now, peer, reason, &mut self.rng),
            Input::Closed { peer, reason } => self.worker_gone(peer, &reason),
            Input::DialFailed { peer, reason } => self.uplink.gone(now, peer, reason, &mut self.rng),
            Input::Event(Event::Chain(reply)) => self.chain_replied(now, reply),
            Input::Event(Event::Bulk(done)) => self.bulk_done(now, done),
            Input::Deadline => {}
            Input::Stop => self.begin_stop(now.mono),
        }
    }

    /// Everything that follows from an input, or from the time that passed.
    fn go_on(&mut self, now: Now) {
        self.watch_clocks(now);
        let faults = self.workers.expire(now.mono);
        faults.into_iter().for_each(|fault| self.fault(fault));
        let steps = self.flows.expire(now.mono);
        self.follow(now, steps);
        if self.stop == Stop::No {
            self.ask_chain(now.mono);
            self.make_rounds(now);
        }
        self.uplink.expire(now, &mut self.rng);
        self.work_uplink(now);
        self.outbox.extend(self.workers.take_wishes());
        while let Some(request) = self.bulk.take() {
            self.counters.count(Metric::SpokeRequests, &["bulk"]);
            self.outbox.push_back(uplink::to_bulk(request));
        }
        self.end_stop(now.mono);
    }

    /// Sends what waits, and handles what ended, until nothing changes any more.
    fn work_uplink(&mut self, now: Now) {
        loop {
            let Miner { validators, bulk, rng, .. } = self;
            self.uplink.pump(now, |hotkey| validators.axon(hotkey), bulk, rng);
            let ended = self.uplink.take_ended();
            if ended.is_empty() {
                break;
            }
            ended.into_iter().for_each(|ended| self.message_ended(now, ended));
        }
        self.outbox.extend(self.uplink.take_wishes());
    }

    fn watch_clocks(&mut self, now: Now) {
        match self.drift.sample(now) {
            Some(DriftChange::Moved { nanos }) => {
                let secs = nanos / 1_000_000_000;
                log::error!(target: "miner", "wall clock moved by {secs} s against the monotonic one: validators may refuse our nonces; check time synchronisation");
            }
            Some(DriftChange::Settled) => log::info!(target: "miner", "wall clock is steady again"),
            None => {}
        }
    }
}

// Workers.
impl Miner {
    fn worker_connected(&mut self, now: Now, peer: PeerId) {
        self.workers.opened(now.mono, peer);
        if self.stop != Stop::No {
            self.workers.close_all();
        }
    }

    fn worker_gone(&mut self, peer: PeerId, reason: &Gone) {
        if let Some(worker) = self.workers.closed(peer) {
            log::info!(target: "miner", "worker {worker} gone: {reason}");
        }
    }

    fn frame_received(&mut self, now: Now, peer: PeerId, text: String) {
        match self.workers.route(peer, text) {
            Ok(Route::Here(frame)) => self.frame_read(now, peer, frame.read()),
            Ok(Route::Spoke(frame)) => self.bulk.push(MinerBulk::Frame(frame)),
            Ok(Route::Nowhere) => {}
            Err(fault) => self.fault(fault),
        }
    }

    fn frame_read(&mut self, now: Now, peer: PeerId, words: Words) {
        match self.workers.read(now, peer, words) {
            Ok(said) => self.worker_said(now, said),
            Err(fault) => {
                log::debug!(target: "miner", "{peer}: {fault}");
                self.fault(fault);
            }
        }
    }

    fn worker_said(&mut self, now: Now, said: Said) {
        let steps = match said {
            Said::Registered(worker) => return self.worker_registered(now, &worker),
            Said::Computed { worker, task_id, computed } => self.flows.computed(now.mono, &worker, &task_id, computed),
            Said::Proved { worker, message_id, proved } => self.flows.proved(now.mono, &worker, &message_id, proved),
            Said::Beat => return self.counters.count(Metric::Heartbeats, &[]),
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

    fn worker_registered(&mut self, now: Now, worker: &WorkerId) {
        log::info!(target: "miner", "worker {worker} registered, {} connected", self.workers.len());
        self.counters.count(Metric::WorkersRegistered, &[]);
        self.schedule.hasten_heartbeats(now.mono + REPORT_WITHIN);
        let again = self.flows.returned(worker);
        self.follow(now, again.into_iter().collect());
    }

    fn idle_workers(&self) -> Vec<WorkerId> {
        let ids = self.workers.iter().map(|worker| &worker.id);
        ids.filter(|id| !self.flows.is_busy(id)).cloned().collect()
    }

    fn fault(&mut self, fault: Fault) {
        self.counters.count(Metric::Faults, &[fault.label()]);
        if fault.turns_away() {
            self.counters.count(Metric::WorkersRefused, &[fault.label()]);
        }
    }
}

// Flows.
impl Miner {
    /// Does what flows say is to be done, and what follows from that.
    fn follow(&mut self, now: Now, steps: Vec<Step>) {
        let mut steps = VecDeque::from(steps);
        while let Some(step) = steps.pop_front() {
            let more = self.follow_one(now, step);
            steps.extend(more);
        }
    }

    fn follow_one(&mut self, now: Now, step: Step) -> Vec<Step> {
        match step {
            Step::Assign { key, task, timeout } => {
                let frame = assignment::task(&key, &task, timeout);
                match self.workers.tell(&task.worker, &frame) {
                    true => Vec::new(),
                    false => self.flows.undelivered(now.mono, &key, End::WorkerGone),
                }
            }
            Step::Commit { key, worker, commitments } => {
                let data = CommitmentData::new(key.challenge.clone(), worker, commitments);
                let to = key.validator.clone();
                self.uplink.submit(now.mono, &to, Purpose::Commit(key), json::text(&data));
                Vec::new()
            }
            // A worker that is gone may come back and is asked again; else the flow ends with its wait.
            Step::Ask { key, worker, message_id, requests } => {
                self.workers.tell(&worker, &assignment::proof_request(&key, message_id, requests));
                Vec::new()
            }
            Step::Submit { key, proofs, stamps } => {
                let text = assignment::proof(&key, proofs, stamps);
                let to = key.validator.clone();
                self.uplink.submit(now.mono, &to, Purpose::Submit(key), text);
                Vec::new()
            }
            Step::Ended { key, worker, end } => {
                self.counters.count(Metric::FlowsEnded, &[end.label()]);
                match end {
                    End::Accepted => log::debug!(target: "miner", "challenge {} done by {worker}", key.challenge),
                    end => {
                        log::warn!(target: "miner", "challenge {} of {} for {worker}: {end}", key.challenge, key.validator)
                    }
                }
                Vec::new()
            }
        }
    }

    fn tasks_given(&mut self, now: Now, from: &Hotkey, tasks: TaskResponse) {
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

// Validators.
impl Miner {
    /// Heartbeats and polls that are due.
    fn make_rounds(&mut self, now: Now) {
        let idle = self.idle_workers();
        let reason = Reason { heartbeat: !self.workers.is_empty(), poll: !idle.is_empty() };
        for (to, round) in self.schedule.take_due(now.mono, reason) {
            let lane = if round == Round::Heartbeat { Lane::Heartbeat } else { Lane::Poll };
            if self.validators.passed_over_until(&to, now.mono).is_some() || !self.uplink.is_idle(&to, lane) {
                continue;
            }
            match round {
                Round::Heartbeat => self.send_heartbeat(now, &to),
                Round::Poll => {
                    let request = TaskRequest::poll(self.uplink.hotkey(), Some(idle.clone()), now.wall);
                    self.uplink.submit(now.mono, &to, Purpose::Poll, json::text(&request));
                }
            }
        }
    }

    fn send_heartbeat(&mut self, now: Now, to: &Hotkey) {
        let workers = self.workers.iter().map(|worker| (worker, self.flows.is_busy(&worker.id)));
        for text in report::heartbeats(self.uplink.hotkey(), now, workers) {
            self.uplink.submit(now.mono, to, Purpose::Heartbeat, text);
        }
    }

    fn message_ended(&mut self, now: Now, ended: Ended) {
        let Ended { to, purpose, outcome, took } = ended;
        self.count_call(&purpose, &outcome, took);
        self.judge(now.mono, &to, &outcome);
        match (purpose, outcome) {
            (Some(Purpose::Heartbeat), Ok(Some(Reply::Heartbeat(answer)))) => self.heartbeat_answered(&to, answer),
            (Some(Purpose::Poll), Ok(Some(Reply::Tasks(answer)))) => match answer {
                Answer::Given(tasks) => self.tasks_given(now, &to, tasks),
                Answer::Refused(why) => log::warn!(target: "miner", "{to} refuses our poll: {why}"),
            },
            (Some(Purpose::Commit(key)), outcome) => {
                let message_id = uplink::new_uuid(&mut self.rng);
                let steps = self.flows.committed(now, &key, message_id, requests_of(outcome));
                self.follow(now, steps);
            }
            (Some(Purpose::Submit(key)), outcome) => {
                let steps = self.flows.submitted(now.mono, &key, end_of(outcome));
                self.follow(now, steps);
            }
            (None, Ok(_)) => log::debug!(target: "miner", "session with {to}"),
            (purpose, Err(failure)) => log::debug!(target: "miner", "{to}, {}: {failure}", said_of(&purpose)),
            (Some(Purpose::Heartbeat | Purpose::Poll), Ok(_)) => log::debug!(target: "miner", "{to}: foreign answer"),
        }
    }

    fn heartbeat_answered(&mut self, from: &Hotkey, answer: Answer<HeartbeatResponse>) {
        match answer {
            Answer::Given(answer) if answer.error_code == crate::wire::code::SUCCESS => {}
            Answer::Given(answer) => {
                let why = answer.message.unwrap_or_default();
                log::warn!(target: "miner", "{from} refuses our heartbeat ({}): {why}", answer.error_code);
            }
            Answer::Refused(why) => log::warn!(target: "miner", "{from} refuses our heartbeat: {why}"),
        }
    }

    /// Keeps the record of who answers.
    fn judge(&mut self, now: Mono, to: &Hotkey, outcome: &Result<Option<Reply>, Failure>) {
        match outcome {
            Ok(_) => self.validators.answered(to, now),
            Err(failure) if failure.is_answer() => self.validators.answered(to, now),
            // Its handshakes have been counted already.
            Err(Failure::NoSession) => {}
            Err(failure) => {
                if let Some(ttl) = self.validators.silent(to, now) {
                    log::warn!(target: "miner", "validator {to} passed over for {} s: {failure}", ttl.as_secs());
                }
            }
        }
    }

    fn count_call(&mut self, purpose: &Option<Purpose>, outcome: &Result<Option<Reply>, Failure>, took: Duration) {
        let synapse = purpose.as_ref().map_or("SessionInitSynapse", |purpose| purpose.lane().kind().class());
        let label = outcome.as_ref().err().map_or("answered", Failure::label);
        self.counters.count(Metric::Calls, &[synapse, label]);
        if outcome.is_ok() {
            self.counters.observe(Metric::CallSeconds, &[synapse], took);
        }
    }
}

// Spokes.
impl Miner {
    fn bulk_done(&mut self, now: Now, done: MinerBulkDone) {
        self.bulk.give_back();
        match done {
            MinerBulkDone::Frame { peer, words } => {
                self.workers.returned_from_bulk(peer);
                self.frame_read(now, peer, *words);
            }
            MinerBulkDone::Sealed { job, request } => {
                let Miner { validators, uplink, .. } = self;
                uplink.sealed(now.mono, job, request, |hotkey| validators.axon(hotkey));
            }
            MinerBulkDone::Opened { job, letter } => self.uplink.read(now.mono, job, letter),
        }
    }
}

// The end.
impl Miner {
    fn begin_stop(&mut self, now: Mono) {
        if self.stop == Stop::No {
            log::info!(target: "miner", "stopping: {} requests in flight", self.uplink.in_flight());
            self.stop = Stop::Until(now + STOP_GRACE);
            self.workers.close_all();
            self.uplink.stop();
        }
    }

    fn end_stop(&mut self, now: Mono) {
        let Stop::Until(until) = self.stop else { return };
        let done = self.uplink.in_flight() == 0 && self.workers.connections() == 0;
        if done || until <= now {
            self.stop = Stop::Done;
            self.outbox.push_back(Output::Exit(Exit::Done));
        }
    }
}

impl Machine for Miner {
    type Command = Command;
    type Event = Event;

    fn handle(&mut self, now: Now, input: Input<Event>) {
        self.last = now;
        if self.stop != Stop::Done {
            self.take(now, input);
            self.go_on(now);
        }
    }

    fn poll(&mut self) -> Option<Wish> {
        self.outbox.pop_front()
    }

    fn deadline(&self) -> Option<Mono> {
        let now = self.last.mono;
        let going = [self.workers.deadline(), self.flows.deadline(), self.uplink.deadline(now)];
        let reason = Reason { heartbeat: !self.workers.is_empty(), poll: self.flows.busy_count() < self.workers.len() };
        let rounds = match self.stop {
            Stop::No => [self.sync.deadline(), self.schedule.next(reason)],
            Stop::Until(until) => [Some(until), None],
            Stop::Done => return None,
        };
        going.into_iter().chain(rounds).flatten().min()
    }

    fn observe(&self, page: &mut Page) {
        self.write_metrics(page);
    }
}

fn requests_of(outcome: Result<Option<Reply>, Failure>) -> Result<Vec<crate::wire::messages::DeviceRequest>, End> {
    match outcome {
        Ok(Some(Reply::Requests(Answer::Given(ProofRequests { proof_requests })))) => Ok(proof_requests),
        Ok(Some(Reply::Requests(Answer::Refused(why)))) => Err(End::Refused(why)),
        Ok(_) => Err(End::Unanswered("an answer to something else".into())),
        Err(failure) => Err(unanswered(failure)),
    }
}

fn end_of(outcome: Result<Option<Reply>, Failure>) -> End {
    match outcome {
        Ok(Some(Reply::Status(Answer::Given(StatusAnswer { .. })))) => End::Accepted,
        Ok(Some(Reply::Status(Answer::Refused(why)))) => End::Refused(why),
        Ok(_) => End::Unanswered("an answer to something else".into()),
        Err(failure) => unanswered(failure),
    }
}

fn unanswered(failure: Failure) -> End {
    match failure {
        Failure::Refused(refusal) => End::Refused(refusal.to_string()),
        failure => End::Unanswered(failure.to_string()),
    }
}

fn said_of(purpose: &Option<Purpose>) -> &'static str {
    purpose.as_ref().map_or("handshake", |purpose| match purpose.lane() {
        Lane::Heartbeat => "heartbeat",
        Lane::Poll => "poll",
        Lane::Commitment => "commitment",
        Lane::Proof => "proof",
    })
}
