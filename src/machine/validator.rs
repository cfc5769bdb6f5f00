//! The validator: it lets miners in, challenges their workers, verifies what they prove, scores them, and sets
//! weights.
//!
//! A switchboard: it owns the sub-machines and carries what one says to the others. Each rule lives with the
//! state it needs, in its own file:
//!
//! | sub-machine | what it owns |
//! |---|---|
//! | `gate` (`sources`, `nonces`, `rate`) | who may speak, and how often |
//! | `sessions` | handshakes and keys |
//! | `axon`, `bulk`, `incoming` | a request from its last byte to its answer |
//! | `fleet`, `leases` (`lease_file`), `heartbeat` | which workers there are, and which of them are on lease |
//! | `round`, `capacity`, `issue`, `draw` | whom to challenge, and with what |
//! | `challenges`, `phases`, `evidence`, `fault` | how a challenge goes on, and what is shown for it |
//! | `verification` | proofs that wait for a verifier |
//! | `ledger` | what becomes durable, in order |
//! | `chain` (`heads`, `preflight`) | the subnet as it was last read, what its runtime can do |
//! | `extrinsics`, `announce` (`to_chain`) | the one extrinsic on its way, the announcement of the axon |
//! | `market` (`resources`, `tasks`) | the marketplace: leases and tasks in, reports out |
//! | `overrides` | settings that the marketplace changes |
//! | `receipts` | what a miner is told of its workers' scores |
//! | `scoring`, `epoch` (`blocked`, `reveals`, `overdue`) | scores, and weights on their way to the chain |
//!
//! It never touches a socket, a clock, a disk or a thread, and computes no proof itself.

mod announce;
mod axon;
pub mod blocked;
mod bulk;
mod capacity;
pub mod chain;
pub mod challenges;
mod draw;
pub mod epoch;
mod evidence;
mod extrinsics;
mod fault;
mod fleet;
mod gate;
mod heads;
mod heartbeat;
pub mod incoming;
mod issue;
mod lease_file;
mod leases;
mod ledger;
pub mod lines;
mod market;
mod nonces;
mod observe;
mod overdue;
mod overrides;
mod phases;
mod preflight;
mod rate;
mod receipts;
mod resources;
mod reveals;
mod round;
mod scoring;
mod sessions;
mod sources;
mod status;
mod tasks;
#[cfg(test)]
mod tests;
mod timers;
mod to_chain;
mod verification;

use std::{collections::VecDeque, time::Duration};

use rand_chacha::ChaCha20Rng;

pub use self::bulk::serve as serve_bulk;
use self::{
    announce::Announcement,
    axon::Axon,
    blocked::Ground,
    capacity::Capacity,
    chain::{Chain, Heard, Identity},
    challenges::Challenges,
    epoch::{Epoch, View},
    extrinsics::Lane,
    fleet::Fleet,
    gate::Gate,
    lease_file::LeaseWatch,
    leases::Leases,
    ledger::{Ledger, Settled, Waiter},
    market::Market,
    overrides::Overrides,
    receipts::Receipts,
    round::Round,
    scoring::Scoring,
    sessions::Sessions,
    timers::{Timer, Timers},
    verification::Verification,
};
use crate::{
    config::validator::Config,
    machine::{
        Exit, Input, Machine, Message, Output,
        clock::{Drift, DriftChange},
        contract::{
            chain::{ChainReply, ChainRequest},
            lease_file::{LeaseLook, LeaseSight},
            resolve::{ResolveReply, ResolveRequest},
            store::{Snapshot, StoreFault, StoreReply, StoreRequest, Write},
            validator_bulk::{ValidatorBulk, ValidatorBulkDone},
            verify::{VerifyReply, VerifyRequest},
        },
    },
    metrics::{Counters, Metric, Page},
    units::{Mono, Now},
    wire::keys::Keypair,
};

/// Pause between two prunings.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);
/// Pause between two sweeps of what expires by itself.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// What the validator asks of its spokes.
#[derive(Debug)]
pub enum Command {
    /// At most three are in flight: loading, a batch, a calculation.
    Store(StoreRequest),
    /// At most one.
    Chain(ChainRequest),
    /// At most as many as there are verifiers.
    Verify(Box<VerifyRequest>),
    /// At most [`crate::machine::contract::validator_bulk::DEPTH`].
    Bulk(ValidatorBulk),
    /// The marketplace's name, one at a time.
    Resolve(ResolveRequest),
    /// At most one.
    LeaseFile(LeaseLook),
}

/// What its spokes report.
#[derive(Debug)]
pub enum Event {
    Store(StoreReply),
    Chain(ChainReply),
    Verified(VerifyReply),
    Bulk(ValidatorBulkDone),
    Resolved(ResolveReply),
    LeaseFile(LeaseSight),
}

/// Requests to the store that may be in flight.
pub const STORE_DEPTH: usize = 3;
/// Calls to the chain that may be in flight.
pub const CHAIN_DEPTH: usize = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The store has not said yet what there was.
    Loading,
    Running,
    /// What was accepted is written down, then it ends.
    Stopping,
    Ended,
}

/// The machine of the daemon `validator`.
#[derive(Debug)]
pub struct Validator {
    me: Keypair,
    config: Config,
    rng: ChaCha20Rng,
    phase: Phase,
    ends_with: Exit,
    gate: Gate,
    sessions: Sessions,
    axon: Axon,
    fleet: Fleet,
    leases: Leases,
    lease_watch: LeaseWatch,
    round: Round,
    challenges: Challenges,
    verification: Verification,
    capacity: Capacity,
    ledger: Ledger,
    chain: Chain,
    lane: Lane,
    announcement: Announcement,
    epoch: Epoch,
    scoring: Scoring,
    market: Market,
    overrides: Overrides,
    receipts: Receipts,
    drift: Drift,
    timers: Timers,
    counters: Counters,
    outputs: VecDeque<Output<Command>>,
    /// The last input's moment.
    now: Now,
}

impl Validator {
    /// `verifiers`: threads that verify proofs. `rng` is seeded by the operating system, except in tests.
    pub fn new(me: Keypair, config: Config, verifiers: usize, rng: ChaCha20Rng) -> Validator {
        let validation = &config.validation;
        let identity = Identity { hotkey: me.hotkey().clone(), netuid: config.netuid };
        let look_every = Duration::from_secs(12).min(config.sync_interval);
        Validator {
            phase: Phase::Loading,
            ends_with: Exit::Done,
            gate: Gate::new(config.security.source_limit, config.security.rate_limit),
            sessions: Sessions::new(config.security.require_signed_handshake),
            axon: Axon::default(),
            fleet: Fleet::default(),
            leases: Leases::new(config.leases.source, (&config.leases).into()),
            lease_watch: LeaseWatch::new(config.leases.source),
            round: Round::default(),
            challenges: Challenges::new(validation.into()),
            verification: Verification::new(verifiers, validation.proof_queue_max),
            capacity: Capacity::new(verifiers, validation.challenge_interval),
            ledger: Ledger::default(),
            chain: Chain::new(identity, config.sync_interval),
            lane: Lane::new(look_every),
            announcement: Announcement::new(config.announce, config.sync_interval),
            epoch: Epoch::new(config.weights.update_tempo_blocks, config.weights.commit_reveal, look_every),
            scoring: Scoring::new(&config),
            market: Market::default(),
            overrides: Overrides::new(&config),
            receipts: Receipts::default(),
            drift: Drift::default(),
            timers: Timers::default(),
            counters: Counters::default(),
            outputs: VecDeque::from([Output::Command(Command::Store(StoreRequest::Load))]),
            now: Now::default(),
            me,
            config,
            rng,
        }
    }

    fn command(&mut self, command: Command) {
        self.outputs.push_back(Output::Command(command));
    }

    fn event(&mut self, now: Now, event: Event) {
        match event {
            Event::Store(reply) => self.stored(now, reply),
            Event::Chain(reply) => self.chain_said(now, reply),
            Event::Verified(reply) => self.verified(now, reply),
            Event::Bulk(ValidatorBulkDone::Synapse { job, outcome }) => self.unpacked(now, job, outcome),
            // Only a marketplace asks, and takes its answers before.
            Event::Resolved(_) | Event::Bulk(ValidatorBulkDone::Hub(_)) => {}
            Event::LeaseFile(sight) => self.lease_file_sighted(now, sight),
            Event::Bulk(ValidatorBulkDone::Receipts { job, text }) => self.receipts_signed(now, job, &text),
        }
    }

    fn stored(&mut self, now: Now, reply: StoreReply) {
        match reply {
            StoreReply::Loaded(snapshot) => self.loaded(now, *snapshot),
            StoreReply::Committed { batch } => {
                let settled = self.ledger.settle(now, batch, Ok(()));
                self.counters.observe(Metric::StoreBatchSeconds, &[], settled.took);
                self.counters.add(Metric::StoreWrites, &[], settled.writes as u64);
                self.settled(now, settled);
            }
            StoreReply::Scored(calculation) => {
                self.counters.count(Metric::Scorings, &["done"]);
                self.scoring.scored(now.mono, &calculation);
                self.report_scores(now, &calculation.scores, &calculation.policy);
                self.receipts.scored(self.book(&calculation));
                self.ledger.note(now, Write::Scored(calculation));
                self.consider_weights(now);
            }
            StoreReply::Failed { batch, fault } => self.store_failed(now, batch, fault),
        }
    }

    fn loaded(&mut self, now: Now, mut snapshot: Snapshot) {
        self.epoch.resume(&mut snapshot);
        let Snapshot { open_challenges, leases, genesis, in_flight, tasks, .. } = snapshot;
        self.resume_tasks(now, tasks);
        self.challenges.bury(now, open_challenges);
        self.leases.resume(now.wall, leases).into_iter().for_each(|write| self.ledger.must(Write::Leases(write)));
        genesis.into_iter().for_each(|genesis| self.chain.expect(genesis));
        if let Some((errand, extrinsic)) = in_flight {
            self.lane.resume(errand, extrinsic);
        }
        if self.phase == Phase::Loading {
            self.phase = Phase::Running;
        }
        self.scoring.listen(now.mono);
        self.timers.set(Timer::Round, now.mono + self.config.validation.challenge_interval);
        self.timers.set(Timer::Recalculate, now.mono + self.config.weights.recalculate_interval);
        self.timers.set(Timer::Prune, now.mono + PRUNE_EVERY);
        self.timers.set(Timer::Sweep, now.mono + SWEEP_EVERY);
    }

    fn store_failed(&mut self, now: Now, batch: Option<u64>, fault: StoreFault) {
        let reason = match fault {
            StoreFault::Full(_) => "full",
            StoreFault::Refused { .. } => "refused",
            StoreFault::Broken(_) => "broken",
        };
        self.counters.count(Metric::StoreFailures, &[reason]);
        log::error!(target: "validator", "the store did not take it: {fault}");
        match batch {
            Some(batch) => {
                let settled = self.ledger.settle(now, batch, Err(fault));
                self.settled(now, settled);
            }
            None if self.phase == Phase::Loading => {
                self.end(Exit::Failed(format!("the store could not be loaded: {fault}")));
            }
            None => {
                self.counters.count(Metric::Scorings, &["failed"]);
                self.scoring.failed();
            }
        }
    }

    /// A batch is durable, or had no effect: those who waited go on.
    fn settled(&mut self, now: Now, settled: Settled) {
        let Settled { result, waiters, .. } = settled;
        if result.is_err() {
            Ledger::unheard(&waiters).iter().for_each(|hotkey| self.fleet.hardware_lost(hotkey));
        }
        for waiter in waiters {
            match waiter {
                Waiter::Heartbeat(beat) => self.answer_heartbeat(now, &beat, &result),
                Waiter::Challenges(ids) if result.is_ok() => ids.iter().for_each(|id| self.challenges.durable(id)),
                Waiter::Challenges(ids) => ids.iter().for_each(|id| self.challenges.not_stored(id)),
                Waiter::Intent => self.epoch.stored(now, result.is_ok(), &mut self.rng),
                Waiter::Task(key) => self.task_stored(now, &key, &result),
                Waiter::Extrinsic => self.lane.stored(now, result.is_ok()),
                Waiter::Overrides => self.overrides_stored(now, &result),
                Waiter::Must(_) => {}
            }
        }
    }

    fn chain_said(&mut self, now: Now, reply: ChainReply) {
        match self.chain.heard(now, reply, &mut self.rng) {
            Heard::Metagraph => {
                self.forget_strangers(now);
                self.announcement.observe(self.chain.me());
                self.consider_weights(now);
            }
            Heard::Head { genesis } => {
                genesis.into_iter().for_each(|genesis| self.ledger.must(Write::Genesis(genesis)));
                self.consider_weights(now);
            }
            Heard::Unread => self.consider_weights(now),
            Heard::OtherChain(text) => self.is_elsewhere(text),
            Heard::Lane(reply) => {
                let block = self.chain.block().unwrap_or(0);
                self.lane.heard(now, block, reply, &mut self.rng);
            }
            Heard::Standing(Some(standing)) => self.epoch.stands(now, &standing),
            Heard::Standing(None) => self.epoch.reveals.failed(now.mono, &mut self.rng),
            Heard::Nothing => {}
        }
        // Also after an answer that says nothing: a chain that cannot be read is worth the alarm most of all.
        self.epoch.watch(now, self.chain.graph().map(|graph| &**graph));
    }

    /// No endpoint that we may ask is of our chain, and none is asked again. At the start that is the configuration's
    /// fault; one that was good before may be good after a restart.
    fn is_elsewhere(&mut self, text: String) {
        let end = if self.chain.heads().best().is_none() { Exit::Config } else { Exit::Failed };
        if self.phase == Phase::Running {
            self.stop(end(text));
        }
    }

    /// What is kept per hotkey is kept for hotkeys of the metagraph: that bounds it.
    fn forget_strangers(&mut self, now: Now) {
        let chain = &self.chain;
        self.gate.retain(|hotkey| chain.knows(hotkey));
        self.sessions.retain(now.mono, |hotkey| chain.knows(hotkey));
        self.fleet.retain(|hotkey| chain.knows(hotkey));
        self.market.retain(|hotkey| chain.knows(hotkey));
    }

    fn consider_weights(&mut self, now: Now) {
        if self.phase != Phase::Running {
            return;
        }
        let (weights, basis) = self.scoring.weights(now.mono, &self.chain, &self.fleet).unzip();
        let basis = basis.unwrap_or_default();
        let ends = self.challenges.ends();
        let judged = ends.verified + ends.failed > 0;
        let ground = Ground::of(&self.chain, &self.drift, now);
        self.epoch.consider(now, View { ground, weights, basis, judged });
    }

    fn verified(&mut self, now: Now, reply: VerifyReply) {
        let VerifyReply { id, verdicts, verify_ms } = reply;
        if let Some(shape) = self.verification.done(&id) {
            let took = Duration::from_secs_f64((verify_ms / 1e3).clamp(0.0, 1e6));
            self.counters.observe(Metric::VerifySeconds, &[shape.kind()], took);
            if verdicts.iter().all(|device| device.verdict.is_ok()) {
                self.capacity.measured(shape, verify_ms);
            }
        }
        self.challenges.verdict(now, &id, &verdicts, verify_ms);
    }

    fn ring(&mut self, now: Now, timer: Timer) {
        match timer {
            Timer::Round => self.go_round(now),
            Timer::Recalculate => self.recalculate(now),
            Timer::Prune => self.prune(now),
            Timer::Sweep => {
                self.timers.set(Timer::Sweep, now.mono + SWEEP_EVERY);
                let chain = &self.chain;
                self.sessions.retain(now.mono, |hotkey| chain.knows(hotkey));
            }
        }
    }

    fn recalculate(&mut self, now: Now) {
        self.timers.set(Timer::Recalculate, now.mono + self.config.weights.recalculate_interval);
        self.leases.watch(now);
        if self.drift.alarmed() {
            self.counters.count(Metric::Scorings, &["paused"]);
            return;
        }
        if self.chain.graph().is_some() && self.scoring.begin() {
            let request = self.scoring.request(now.wall, self.chain.hotkeys());
            self.command(Command::Store(request));
        }
    }

    /// A clock that moved, or that the chain does not bear out, must not make the store forget.
    fn prune(&mut self, now: Now) {
        self.timers.set(Timer::Prune, now.mono + PRUNE_EVERY);
        let heads = self.chain.heads();
        if self.drift.alarmed() || heads.is_clock_off() || heads.skew_s().is_none() {
            log::warn!(target: "validator", "nothing in the database is forgotten until the chain bears out our clock");
            return;
        }
        let write = self.scoring.horizons(now.wall, self.config.store.event_retention);
        self.ledger.note(now, write);
    }

    fn compare_clocks(&mut self, now: Now) {
        match self.drift.sample(now) {
            Some(DriftChange::Moved { nanos }) => {
                let seconds = nanos as f64 / 1e9;
                log::error!(target: "validator", "the wall clock moved by {seconds:.1} s; scoring and weights pause");
            }
            Some(DriftChange::Settled) => log::warn!(target: "validator", "the wall clock is believed again"),
            None => {}
        }
    }

    /// Hands on what the sub-machines want, after every input.
    fn carry_on(&mut self, now: Now) {
        self.carry_market(now);
        self.watch_lease_file(now);
        self.carry_extrinsics(now);
        // What the store knows decides which chain is ours.
        if self.phase != Phase::Loading {
            self.chain.tick(now.mono);
        }
        while let Some(write) = self.challenges.next_write() {
            self.ledger.must(write);
        }
        while let Some(write) = self.lane.next_write().or_else(|| self.epoch.next_write()) {
            self.write_weights(now, write);
        }
        while let Some(call) = self.lane.next_call() {
            self.chain.ask(call);
        }
        if self.phase != Phase::Loading
            && let Some(batch) = self.ledger.next_batch(now)
        {
            self.command(Command::Store(batch));
        }
        if let Some(call) = self.chain.next_request() {
            self.command(Command::Chain(call));
        }
        while let Some(proof) = self.verification.next() {
            self.command(Command::Verify(Box::new(proof)));
        }
        if self.phase == Phase::Stopping && self.ledger.is_idle() {
            self.end(self.ends_with.clone());
        }
    }

    /// Ends so, once the store has what it must have.
    fn stop(&mut self, exit: Exit) {
        if self.phase == Phase::Loading {
            return self.end(exit);
        }
        (self.phase, self.ends_with) = (Phase::Stopping, exit);
        self.market.stop();
        self.ledger.hurry();
    }

    fn end(&mut self, exit: Exit) {
        if self.phase != Phase::Ended {
            self.phase = Phase::Ended;
            self.outputs.push_back(Output::Exit(exit));
        }
    }

    /// Panics when the tables of the machine contradict each other or a bound does not hold. For tests and
    /// the simulator, after every step.
    pub fn check_invariants(&self) {
        self.challenges.check_invariants();
        self.verification.check_invariants();
        self.sessions.check_invariants();
        self.fleet.check_invariants();
        self.leases.check_invariants();
        self.chain.check_invariants();
        self.axon.check_invariants();
        self.receipts.check_invariants();
        self.market.check_invariants();
        self.overrides.check_invariants();
        assert!(self.ledger.backlog() <= ledger::MOST_BACKLOG, "the backlog is over its bound");
        let ends = self.challenges.ends();
        let open = self.challenges.open().count() as u64;
        assert_eq!(
            ends.created + ends.buried,
            ends.verified + ends.failed + ends.void + open,
            "each challenge ends once"
        );
    }
}

impl Machine for Validator {
    type Command = Command;
    type Event = Event;

    fn handle(&mut self, now: Now, input: Input<Event>) {
        self.now = now;
        if self.phase == Phase::Ended {
            return;
        }
        self.compare_clocks(now);
        let Some(input) = self.market_input(now, input) else { return self.carry_on(now) };
        match input {
            Input::Opened { peer, remote, .. } => self.gate.opened(peer, remote.ip()),
            Input::Closed { peer, .. } | Input::DialFailed { peer, .. } => self.gate.closed(peer),
            Input::Received { peer, message: Message::Request(request), at } => self.request(now, peer, request, at),
            Input::Received { .. } => {
                log::error!(target: "validator", "the axon was handed something else than a request")
            }
            Input::Event(event) => self.event(now, event),
            Input::Deadline => self.deadlines(now),
            Input::Stop => self.stop(Exit::Done),
        }
        self.carry_on(now);
    }

    fn poll(&mut self) -> Option<Output<Command>> {
        self.outputs.pop_front()
    }

    fn deadline(&self) -> Option<Mono> {
        // What only a running one does must not wake a stopping one: it would spin until the store answers.
        let leases = self.lease_watch.deadline();
        let running = [self.timers.next(), self.challenges.deadline(), self.market.deadline(), leases].into_iter();
        let running = running.filter(|_| self.phase == Phase::Running);
        let loaded = [self.ledger.deadline(), Some(self.chain.deadline())].into_iter();
        let loaded = loaded.filter(|_| self.phase != Phase::Loading);
        running.chain(loaded).chain([self.lane.deadline()]).flatten().min().filter(|_| self.phase != Phase::Ended)
    }

    fn observe(&self, page: &mut Page) {
        self.fill(page);
    }

    fn status(&self, now: Now) -> String {
        self.in_a_line(now)
    }
}

impl Validator {
    fn deadlines(&mut self, now: Now) {
        if self.phase != Phase::Running {
            return;
        }
        let before = self.challenges.ends();
        let reading = &self.axon.bulk;
        self.challenges.expire(now, |hotkey, due| reading.holds(hotkey, due));
        if self.challenges.ends() != before {
            let challenges = &self.challenges;
            self.verification.retain(|id| challenges.is_open(id));
        }
        while let Some(timer) = self.timers.take_due(now.mono) {
            self.ring(now, timer);
        }
    }
}
