//! The subnet as the chain last told it, and the one call that may be under way.
//!
//! Owns the last good metagraph with its age, the head, the queue of calls (one in flight, the others by
//! kind), and the announcement of our axon. A failed call never takes a good snapshot away. What is done with
//! weights is `epoch`'s; this only carries its calls.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    rc::Rc,
    time::Duration,
};

use rand_chacha::ChaCha20Rng;

use crate::{
    machine::{
        backoff::Backoff,
        contract::chain::{ChainFault, ChainReply, ChainRequest, Head, Metagraph, Neuron},
    },
    units::{BlockNumber, Hotkey, Mono, Netuid},
};

/// The head is asked for at least this often; weights are looked at then.
const LOOK: Duration = Duration::from_secs(30);
/// A head that does not move for this long is worth an alarm.
const STANDSTILL: Duration = Duration::from_secs(300);
/// Longest pause after reads that failed one after the other.
const CALM: Duration = Duration::from_secs(60);
/// What an axon announces as its software's version, and the reference's default version key.
pub const VERSION: u32 = 9_010_000;

/// What the chain must know of us.
#[derive(Clone, Debug)]
pub struct Identity {
    pub hotkey: Hotkey,
    pub netuid: Netuid,
    /// Announced with `serve_axon` when the chain says otherwise; `None`: never.
    pub announce: Option<SocketAddr>,
}

/// What a reply meant.
#[derive(Debug)]
pub enum Heard {
    /// A new head: weights may be looked at.
    Head,
    /// A new metagraph.
    Metagraph,
    /// The reply to a call of the epoch's.
    Epoch(ChainReply),
    /// Nothing that concerns anyone else.
    Nothing,
}

#[derive(Debug)]
pub struct Chain {
    me: Identity,
    sync_every: Duration,
    in_flight: Option<ChainRequest>,
    waiting: VecDeque<ChainRequest>,
    head: Option<Head>,
    head_moved: Mono,
    standstill_told: bool,
    graph: Option<Rc<Metagraph>>,
    by_hotkey: BTreeMap<Hotkey, usize>,
    synced: Mono,
    sync_due: Mono,
    look_due: Mono,
    backoff: Backoff,
    serve_due: Mono,
    serve_backoff: Backoff,
    faults: u64,
}

impl Chain {
    pub fn new(me: Identity, sync_every: Duration) -> Chain {
        Chain {
            me,
            sync_every,
            in_flight: None,
            waiting: VecDeque::new(),
            head: None,
            head_moved: Mono(0),
            standstill_told: false,
            graph: None,
            by_hotkey: BTreeMap::new(),
            synced: Mono(0),
            sync_due: Mono(0),
            look_due: Mono(0),
            backoff: Backoff::new(Duration::from_secs(2).min(sync_every), CALM),
            serve_due: Mono(0),
            serve_backoff: Backoff::new(Duration::from_secs(60).min(sync_every * 4), Duration::from_secs(1800)),
            faults: 0,
        }
    }

    /// Asks for what is due.
    pub fn tick(&mut self, now: Mono) {
        if now >= self.sync_due {
            self.sync_due = now + self.sync_every;
            self.ask(ChainRequest::Metagraph(self.me.netuid));
        }
        if now >= self.look_due {
            self.look_due = now + LOOK.min(self.sync_every);
            self.ask(ChainRequest::Head);
            self.watch(now);
        }
    }

    /// Queues a call; one that is already asked for is not asked twice.
    pub fn ask(&mut self, request: ChainRequest) {
        if self.in_flight.as_ref() != Some(&request) && !self.waiting.contains(&request) {
            self.waiting.push_back(request);
        }
    }

    /// The next call, when none is under way.
    pub fn next_request(&mut self) -> Option<ChainRequest> {
        if self.in_flight.is_some() {
            return None;
        }
        self.in_flight = self.waiting.pop_front();
        self.in_flight.clone()
    }

    /// Takes the reply to the call under way.
    pub fn heard(&mut self, now: Mono, reply: ChainReply, rng: &mut ChaCha20Rng) -> Heard {
        let Some(asked) = self.in_flight.take() else {
            log::error!(target: "validator", "the chain answered what nobody asked");
            return Heard::Nothing;
        };
        match (asked, reply) {
            (ChainRequest::Head, ChainReply::Head(head)) => self.took_head(now, head),
            (ChainRequest::Metagraph(_), ChainReply::Metagraph(graph)) => self.took_graph(now, *graph),
            (ChainRequest::Head | ChainRequest::Metagraph(_), ChainReply::Failed(fault)) => {
                self.failed(now, &fault, rng)
            }
            (ChainRequest::ServeAxon { .. }, reply) => self.announced(now, reply, rng),
            (ChainRequest::SetWeights { .. } | ChainRequest::Find(_), reply) => Heard::Epoch(reply),
            (asked, _) => {
                log::error!(target: "validator", "the chain spoke answered {asked:?} with something else");
                Heard::Nothing
            }
        }
    }

    fn took_head(&mut self, now: Mono, head: Head) -> Heard {
        if self.head.as_ref().is_none_or(|old| old.best != head.best) {
            self.head_moved = now;
            self.standstill_told = false;
        }
        if self.head.as_ref().is_none_or(|old| old.spec_version != head.spec_version) {
            log::info!(target: "validator", "chain {:?}, runtime {}, block {}", head.chain, head.spec_version, head.best);
        }
        self.head = Some(head);
        Heard::Head
    }

    fn took_graph(&mut self, now: Mono, graph: Metagraph) -> Heard {
        self.backoff.reset();
        if graph.neurons.is_empty() {
            log::error!(target: "validator", "the chain says that subnet {} is empty; the last good metagraph stays", self.me.netuid.0);
            return Heard::Nothing;
        }
        let by_hotkey: BTreeMap<Hotkey, usize> =
            graph.neurons.iter().enumerate().map(|(index, neuron)| (neuron.hotkey.clone(), index)).collect();
        let was_in = self.graph.is_none() || self.by_hotkey.contains_key(&self.me.hotkey);
        if was_in && !by_hotkey.contains_key(&self.me.hotkey) {
            log::error!(target: "validator", "hotkey {} is not registered on subnet {}", self.me.hotkey, self.me.netuid.0);
        }
        if self.graph.is_none() {
            log::info!(target: "validator", "metagraph of block {}: {} neurons", graph.block, graph.neurons.len());
        }
        self.by_hotkey = by_hotkey;
        self.graph = Some(Rc::new(graph));
        self.synced = now;
        self.announce(now);
        Heard::Metagraph
    }

    /// Both reads pause together: the node that did not answer one will not answer the other. Said once.
    fn failed(&mut self, now: Mono, fault: &ChainFault, rng: &mut ChaCha20Rng) -> Heard {
        self.faults += 1;
        let level = if self.backoff.failures() == 0 { log::Level::Warn } else { log::Level::Debug };
        let known = if self.graph.is_some() { "the last good metagraph stays" } else { "there is none yet" };
        log::log!(target: "validator", level, "chain not read ({}): {}; {known}", fault.asked, fault.text);
        let again = now + self.backoff.wait(rng);
        self.sync_due = self.sync_due.max(again);
        self.look_due = self.look_due.max(again);
        Heard::Nothing
    }

    /// Asks for the announcement of our axon when the chain tells another address.
    fn announce(&mut self, now: Mono) {
        let (Some(want), Some(me)) = (self.me.announce, self.me()) else { return };
        if me.axon == Some(want) {
            self.serve_backoff.reset();
            return;
        }
        if now >= self.serve_due {
            let Identity { netuid, .. } = self.me;
            log::info!(target: "validator", "announcing the axon at {want}");
            self.ask(ChainRequest::ServeAxon { netuid, ip: want.ip(), port: want.port(), version: VERSION });
        }
    }

    fn announced(&mut self, now: Mono, reply: ChainReply, rng: &mut ChaCha20Rng) -> Heard {
        self.serve_due = now + self.serve_backoff.wait(rng);
        if let ChainReply::Failed(fault) = reply {
            self.faults += 1;
            log::warn!(target: "validator", "axon not announced: {} ({:?})", fault.text, fault.kind);
        }
        Heard::Nothing
    }

    fn watch(&mut self, now: Mono) {
        if self.head.is_some() && now.since(self.head_moved) > STANDSTILL && !self.standstill_told {
            self.standstill_told = true;
            log::error!(target: "validator", "no new block for {} s: is the node in sync?", STANDSTILL.as_secs());
        }
    }

    /// The last good metagraph.
    pub fn graph(&self) -> Option<&Rc<Metagraph>> {
        self.graph.as_ref()
    }

    /// How old it is; `None` before the first.
    pub fn graph_age(&self, now: Mono) -> Option<Duration> {
        self.graph.as_ref().map(|_| now.since(self.synced))
    }

    /// How long the best block has stood; `None` before the first.
    pub fn block_age(&self, now: Mono) -> Option<Duration> {
        self.head.as_ref().map(|_| now.since(self.head_moved))
    }

    pub fn neuron(&self, hotkey: &Hotkey) -> Option<&Neuron> {
        self.graph.as_ref()?.neurons.get(*self.by_hotkey.get(hotkey)?)
    }

    /// Our own neuron.
    pub fn me(&self) -> Option<&Neuron> {
        self.neuron(&self.me.hotkey)
    }

    pub fn knows(&self, hotkey: &Hotkey) -> bool {
        self.by_hotkey.contains_key(hotkey)
    }

    pub fn hotkeys(&self) -> BTreeSet<Hotkey> {
        self.by_hotkey.keys().cloned().collect()
    }

    /// The newest block that any answer named.
    pub fn block(&self) -> Option<BlockNumber> {
        let graph = self.graph.as_ref().map(|graph| graph.block);
        graph.max(self.head.as_ref().map(|head| head.best))
    }

    /// Calls that failed since the start.
    pub fn faults(&self) -> u64 {
        self.faults
    }

    pub fn deadline(&self) -> Mono {
        self.sync_due.min(self.look_due)
    }

    /// Panics when the queue is over its bound: one of each kind that repeats, and the epoch's own.
    pub fn check_invariants(&self) {
        assert!(self.waiting.len() <= 8, "{} calls wait for the chain", self.waiting.len());
    }
}
