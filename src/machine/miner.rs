//! The miner: workers on one side, validators on the other, and what passes between them.
//!
//! This file is the switchboard, in three more files for its three sides (`worker_side`, `validator_side`,
//! `spoke_side`). Each thing that it must remember has a small machine of its own below;
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
//! | [`runtime`] | the chain's head, and whether its runtime has what is read of it |
//! | [`market_tasks`] | tasks of the marketplace that validators passed on |
//! | [`registration`] | whether our hotkey is registered |
//! | [`maintenance`] | which workers will be away, by their operator's word |

pub mod admission;
mod assignment;
mod failure;
mod fault;
mod flows;
mod lanes;
mod maintenance;
mod market_tasks;
mod metagraph;
mod observe;
mod receipts;
mod registration;
mod report;
mod runtime;
mod schedule;
mod sessions;
mod signing;
mod spoke_side;
mod status;
mod uplink;
mod validator_side;
mod validators;
mod worker_side;
mod workers;

#[cfg(test)]
mod tests;

use std::{collections::VecDeque, time::Duration};

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use self::{
    flows::Flows,
    maintenance::Maintenance,
    market_tasks::MarketTasks,
    metagraph::Sync,
    registration::Registration,
    runtime::Runtime,
    schedule::Schedule,
    uplink::{Patience, Uplink},
    validators::{Choice, PassingOver, Validators},
    workers::{Rules, Workers},
};
use crate::{
    config::miner::Config,
    machine::{
        Exit, Input, Link, Machine, Message, Output,
        clock::{Drift, DriftChange},
        contract::{
            bulk::{MinerBulk, MinerBulkDone},
            chain::{ChainReply, ChainRequest},
            maintenance::{MaintenanceLook, MaintenanceSight},
            receipts::{ReceiptsKeep, ReceiptsKept},
        },
        credit::Credit,
    },
    metrics::{Counters, Metric, Page},
    units::{Mono, Netuid, Now},
    wire::keys::Keypair,
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
    Receipts(Box<ReceiptsKeep>),
    /// At most one.
    Maintenance(MaintenanceLook),
}

/// What its spokes report.
#[derive(Debug)]
pub enum Event {
    Chain(ChainReply),
    Bulk(MinerBulkDone),
    Receipts(ReceiptsKept),
    Maintenance(MaintenanceSight),
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
    runtime: Runtime,
    uplink: Uplink,
    bulk: Credit<MinerBulk>,
    drift: Drift,
    counters: Counters,
    outbox: VecDeque<Wish>,
    last: Now,
    registration: Registration,
    maintenance: Maintenance,
    /// There is a place for them.
    wants_receipts: bool,
    neurons: Option<usize>,
    market_tasks: MarketTasks,
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
        let rules = Rules {
            max_workers: config.workers.max_workers,
            heartbeat_interval: config.workers.heartbeat_interval,
            heartbeat_timeout: config.workers.heartbeat_timeout,
        };
        let mut miner = Miner {
            netuid: config.netuid,
            rng: ChaCha20Rng::from_seed(seed),
            workers: Workers::new(rules),
            flows: Flows::default(),
            validators: Validators::new(choice),
            schedule: Schedule::new(config.heartbeat_interval, config.task_poll_interval, config.receipts.interval),
            sync: Sync::new(config.validators.sync_interval),
            runtime: Runtime::default(),
            uplink: Uplink::new(key, patience),
            bulk: Credit::new(BULK_DEPTH),
            drift: Drift::default(),
            counters: Counters::default(),
            outbox: VecDeque::new(),
            last: now,
            registration: Registration::default(),
            maintenance: Maintenance::default(),
            wants_receipts: config.receipts.directory.is_some(),
            neurons: None,
            market_tasks: MarketTasks::default(),
            stop: Stop::No,
        };
        miner.schedule.keep(now.mono, miner.validators.iter(), &mut miner.rng);
        miner
    }

    /// Panics when a rule of the miner does not hold. For tests and the simulator, after every step.
    pub fn check_invariants(&self) {
        self.flows.check_invariants();
        self.market_tasks.check_invariants();
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
            Input::Closed { peer, reason } => self.worker_gone(now, peer, &reason),
            Input::DialFailed { peer, reason } => self.uplink.gone(now, peer, reason, &mut self.rng),
            Input::Event(Event::Chain(reply)) => self.chain_replied(now, reply),
            Input::Event(Event::Bulk(done)) => self.bulk_done(now, done),
            Input::Event(Event::Receipts(kept)) => self.receipts_kept(kept),
            Input::Event(Event::Maintenance(sight)) => self.maintenance_sighted(now, sight),
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
        self.expire_market_tasks(now.mono);
        if self.stop == Stop::No {
            self.ask_chain(now.mono);
            self.watch_maintenance(now.mono);
            self.make_rounds(now);
        }
        self.uplink.expire(now, &mut self.rng);
        self.work_uplink(now);
        self.keep_receipts();
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
            self.end(Exit::Done);
        }
    }

    fn end(&mut self, exit: Exit) {
        self.stop = Stop::Done;
        self.outbox.push_back(Output::Exit(exit));
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
        let going =
            [self.workers.deadline(), self.flows.deadline(), self.uplink.deadline(now), self.market_tasks.deadline()];
        let rounds = match self.stop {
            Stop::No => [self.sync.deadline(), self.schedule.next(self.reason()), self.maintenance.deadline()],
            Stop::Until(until) => [Some(until), None, None],
            Stop::Done => return None,
        };
        going.into_iter().chain(rounds).flatten().min()
    }

    fn observe(&self, page: &mut Page) {
        self.write_metrics(page);
    }

    fn status(&self, now: Now) -> String {
        self.in_a_line(now.mono)
    }
}
