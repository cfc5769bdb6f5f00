//! The subnet as the chain last told it, and the one call that may be under way.
//!
//! Owns the last good metagraph with its age, the head, what the runtime can do, and the queue of calls (one in
//! flight, the others by kind). A failed call never takes a good snapshot away; one that is too old is marked. What
//! is signed is the lane's, what is done with weights `epoch`'s; this only carries their calls.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    rc::Rc,
    time::Duration,
};

use rand_chacha::ChaCha20Rng;

use super::{heads::Heads, preflight::Runtime};
use crate::{
    machine::{
        backoff::Backoff,
        contract::chain::{
            ChainFault, ChainFaultKind, ChainReply, ChainRequest, Head, Metagraph, Neuron, Preflight, Standing,
        },
    },
    units::{BlockNumber, Hotkey, Mono, Netuid, Now},
};

/// The head is asked for at least this often; weights are looked at then.
const LOOK: Duration = Duration::from_secs(30);
/// A metagraph older than so many intervals, and than this, is not acted on.
const STALE_INTERVALS: u32 = 5;
const STALE: Duration = Duration::from_secs(300);
/// Pause before a preflight that failed, was of another runtime than the head, or found something wanting, is asked
/// for again: not all that it looks at is of the runtime.
const PREFLIGHT_AGAIN: Duration = Duration::from_secs(120);
/// Longest pause after reads that failed one after the other.
const CALM: Duration = Duration::from_secs(60);
/// What an axon announces as its software's version, and the reference's default version key.
pub const VERSION: u32 = 9_010_000;

/// The time of so many blocks.
fn behind(blocks: u64) -> Duration {
    Duration::from_secs(blocks.saturating_mul(12))
}

/// What the chain must know of us.
#[derive(Clone, Debug)]
pub struct Identity {
    pub hotkey: Hotkey,
    pub netuid: Netuid,
}

/// What a reply meant.
#[derive(Debug)]
pub enum Heard {
    /// A new head: weights may be looked at. With the genesis when it is the first that says it.
    Head { genesis: Option<[u8; 32]> },
    /// A new metagraph.
    Metagraph,
    /// Head or metagraph could not be read.
    Unread,
    /// Whom we may ask speaks of another chain; the text says which, and what to do.
    OtherChain(String),
    /// The reply to a call of the lane's.
    Lane(ChainReply),
    /// Where our weights stand; `None` when nobody could say.
    Standing(Option<Box<Standing>>),
    /// Nothing that concerns anyone else.
    Nothing,
}

#[derive(Debug)]
pub struct Chain {
    me: Identity,
    sync_every: Duration,
    in_flight: Option<ChainRequest>,
    waiting: VecDeque<ChainRequest>,
    heads: Heads,
    runtime: Runtime,
    graph: Option<Rc<Metagraph>>,
    by_hotkey: BTreeMap<Hotkey, usize>,
    synced: Mono,
    /// How far it was behind the head then, in blocks: it may come from another node.
    behind: u64,
    sync_due: Mono,
    look_due: Mono,
    preflight_due: Mono,
    stale_told: bool,
    /// When it was last said that the chain is not read.
    unread_told: Option<Mono>,
    /// The last standing could not be read, and that was said.
    standing_told: bool,
    backoff: Backoff,
    faults: u64,
}

impl Chain {
    pub fn new(me: Identity, sync_every: Duration) -> Chain {
        Chain {
            me,
            sync_every,
            in_flight: None,
            waiting: VecDeque::new(),
            heads: Heads::default(),
            runtime: Runtime::default(),
            graph: None,
            by_hotkey: BTreeMap::new(),
            synced: Mono(0),
            behind: 0,
            sync_due: Mono(0),
            look_due: Mono(0),
            preflight_due: Mono(0),
            stale_told: false,
            unread_told: None,
            standing_told: false,
            backoff: Backoff::new(Duration::from_secs(2).min(sync_every), CALM),
            faults: 0,
        }
    }

    /// Asks for what is due.
    pub fn tick(&mut self, now: Mono) {
        // The head first: it says of which chain the rest is.
        if now >= self.look_due {
            self.look_due = now + LOOK.min(self.sync_every);
            self.ask(ChainRequest::Head);
            self.watch(now);
        }
        if now >= self.sync_due {
            self.sync_due = now + self.sync_every;
            self.ask(ChainRequest::Metagraph(self.me.netuid));
        }
    }

    /// The metagraph may have changed: it is read as soon as can be.
    pub fn refresh(&mut self, now: Mono) {
        self.sync_due = now;
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
    pub fn heard(&mut self, now: Now, reply: ChainReply, rng: &mut ChaCha20Rng) -> Heard {
        let Some(asked) = self.in_flight.take() else {
            log::error!(target: "validator", "the chain answered what nobody asked");
            return Heard::Nothing;
        };
        match (asked, reply) {
            (ChainRequest::Head, ChainReply::Head(head)) => self.took_head(now, head),
            (ChainRequest::Metagraph(_), ChainReply::Metagraph(graph)) => self.took_graph(now.mono, *graph),
            (ChainRequest::Head | ChainRequest::Metagraph(_), ChainReply::Failed(fault)) => {
                self.failed(now.mono, &fault, rng)
            }
            (ChainRequest::Preflight, reply) => self.looked_ahead(now.mono, reply),
            (ChainRequest::Standing { .. }, reply) => self.took_standing(reply),
            (ChainRequest::Sign(_), ChainReply::Failed(fault)) if fault.kind == ChainFaultKind::Shape => {
                self.preflight_due = now.mono + PREFLIGHT_AGAIN;
                self.ask(ChainRequest::Preflight);
                self.carried(ChainReply::Failed(fault))
            }
            (ChainRequest::Sign(_) | ChainRequest::Submit(_) | ChainRequest::Find(_), reply) => self.carried(reply),
            (asked, _) => {
                log::error!(target: "validator", "the chain spoke answered {asked:?} with something else");
                Heard::Nothing
            }
        }
    }

    fn took_head(&mut self, now: Now, head: Head) -> Heard {
        let change = match self.heads.took(now, head) {
            Ok(change) => change,
            Err(other) => return Heard::OtherChain(other.to_string()),
        };
        let known = self.runtime.spec_version();
        let due = change.runtime || now.mono >= self.preflight_due;
        let wanting = known != self.heads.spec_version() || self.runtime.is_wanting();
        if due && wanting && !self.heads.is_upgrading() {
            self.preflight_due = now.mono + PREFLIGHT_AGAIN;
            self.ask(ChainRequest::Preflight);
        }
        Heard::Head { genesis: change.genesis }
    }

    fn looked_ahead(&mut self, now: Mono, reply: ChainReply) -> Heard {
        match reply {
            ChainReply::Preflight(table) => self.took_preflight(now, *table),
            ChainReply::Failed(fault) => {
                self.faults += 1;
                self.runtime.failed(self.heads.spec_version());
                let text = &fault.text;
                log::warn!(target: "validator", "the runtime was not looked through: {text}; each call looks for itself");
            }
            other => log::error!(target: "validator", "the chain spoke answered a preflight with {other:?}"),
        }
        Heard::Nothing
    }

    /// A table of another runtime than the head's is asked for again, later.
    fn took_preflight(&mut self, now: Mono, table: Preflight) {
        self.preflight_due = now + PREFLIGHT_AGAIN;
        self.runtime.found(table);
    }

    fn took_standing(&mut self, reply: ChainReply) -> Heard {
        match reply {
            ChainReply::Standing(standing) => {
                self.standing_told = false;
                Heard::Standing(Some(standing))
            }
            ChainReply::Failed(fault) => {
                self.faults += 1;
                let told = std::mem::replace(&mut self.standing_told, true);
                let level = if told { log::Level::Debug } else { log::Level::Warn };
                log::log!(target: "validator", level, "weights not looked up: {} ({:?})", fault.text, fault.kind);
                Heard::Standing(None)
            }
            other => {
                log::error!(target: "validator", "the chain spoke answered where weights stand with {other:?}");
                Heard::Standing(None)
            }
        }
    }

    fn carried(&mut self, reply: ChainReply) -> Heard {
        self.faults += u64::from(matches!(reply, ChainReply::Failed(_)));
        Heard::Lane(reply)
    }

    fn took_graph(&mut self, now: Mono, graph: Metagraph) -> Heard {
        self.backoff.reset();
        if graph.neurons.is_empty() {
            log::error!(target: "validator", "the chain says that subnet {} is empty; the last good metagraph stays", self.me.netuid.0);
            return Heard::Nothing;
        }
        let by_hotkey: BTreeMap<Hotkey, usize> =
            graph.neurons.iter().enumerate().map(|(index, neuron)| (neuron.hotkey.clone(), index)).collect();
        let is_first = self.graph.is_none();
        if is_first {
            log::info!(target: "validator", "metagraph of block {}: {} neurons", graph.block, graph.neurons.len());
        }
        let before = self.me().map(|me| me.uid);
        self.behind = self.heads.best().map_or(0, |best| best.saturating_sub(graph.block));
        self.by_hotkey = by_hotkey;
        self.graph = Some(Rc::new(graph));
        self.synced = now;
        self.stale_told &= self.is_stale(now);
        if is_first || self.me().map(|me| me.uid) != before {
            self.tell_registration();
        }
        Heard::Metagraph
    }

    fn tell_registration(&self) {
        let (hotkey, netuid) = (&self.me.hotkey, self.me.netuid.0);
        match self.me() {
            Some(me) => {
                let (uid, permit) = (me.uid.0, if me.validator_permit { "yes" } else { "no" });
                log::info!(target: "validator", "registered: yes; {hotkey} on subnet {netuid}, uid {uid}, validator permit: {permit}");
            }
            None => log::error!(
                target: "validator",
                "registered: no; {hotkey} is not on subnet {netuid}: run `byteleap chain register --burned --config FILE --coldkey-file FILE` with this daemon's configuration"
            ),
        }
    }

    /// Both reads pause together: the node that did not answer one will not answer the other. Said now and then, and
    /// not when it is a runtime upgrade, which takes a block.
    fn failed(&mut self, now: Mono, fault: &ChainFault, rng: &mut ChaCha20Rng) -> Heard {
        self.faults += 1;
        let remedy = fault.remedy.map(|remedy| format!("; {remedy}")).unwrap_or_default();
        if fault.kind == ChainFaultKind::OtherChain {
            return Heard::OtherChain(format!("{}{remedy}", fault.text));
        }
        // That an endpoint asks for fewer requests, the spoke says; what it comes to, the age of the metagraph.
        let passes = matches!(fault.kind, ChainFaultKind::Upgrading | ChainFaultKind::RateLimited);
        let told = self.unread_told.is_some_and(|at| now.since(at) < STALE);
        let calm = passes || (self.backoff.failures() > 0 && told);
        self.unread_told = if calm { self.unread_told } else { Some(now) };
        let level = if calm { log::Level::Debug } else { log::Level::Warn };
        let known = if self.graph.is_some() { "the last good metagraph stays" } else { "there is none yet" };
        log::log!(target: "validator", level, "chain not read ({}): {}; {known}{remedy}", fault.asked, fault.text);
        let again = now + self.backoff.wait(rng);
        self.sync_due = self.sync_due.max(again);
        self.look_due = self.look_due.max(again);
        Heard::Unread
    }

    fn watch(&mut self, now: Mono) {
        self.heads.watch(now);
        if self.is_stale(now) && !std::mem::replace(&mut self.stale_told, true) {
            let minutes = self.graph_age(now).unwrap_or_default().as_secs() / 60;
            log::error!(target: "validator", "the metagraph is {minutes} min old: nothing is set or announced by it");
        }
    }

    /// The last good metagraph.
    pub fn graph(&self) -> Option<&Rc<Metagraph>> {
        self.graph.as_ref()
    }

    /// How old it is; `None` before the first. A node that lies stalled gives the same one again and again: it is no
    /// younger than the chain's best block, and than so many blocks as it was behind.
    pub fn graph_age(&self, now: Mono) -> Option<Duration> {
        let since = self.graph.as_ref().map(|_| now.since(self.synced) + behind(self.behind))?;
        Some(since.max(self.heads.age(now).unwrap_or_default()))
    }

    /// Whether it is too old to act on.
    pub fn is_stale(&self, now: Mono) -> bool {
        self.graph_age(now).is_some_and(|age| age > STALE.max(self.sync_every * STALE_INTERVALS))
    }

    pub fn heads(&self) -> &Heads {
        &self.heads
    }

    /// The chain of earlier runs.
    pub fn expect(&mut self, genesis: [u8; 32]) {
        self.heads.expect(genesis);
    }

    pub fn runtime(&self) -> &Runtime {
        &self.runtime
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
        graph.max(self.heads.best())
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
