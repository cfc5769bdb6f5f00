//! The lane: at most one extrinsic of our hotkey is on its way, whatever it is for.
//!
//! It is signed, made durable, handed to a pool, and looked for until it is in a finalized block or can never be in
//! one. Until then the same bytes are handed in again whenever a node may have lost them: that does no harm, and a
//! second extrinsic with another nonce would. Owns that one extrinsic; its calls, writes and news wait in outboxes.
//! It decides nothing about what to sign or whether to try again: those who sent it here hear how it ended.

use std::{collections::VecDeque, time::Duration};

use rand_chacha::ChaCha20Rng;

use crate::{
    machine::{
        backoff::Backoff,
        contract::{
            chain::{
                ChainCall, ChainFault, ChainFaultKind, ChainReply, ChainRequest, Inclusion, PoolFault, Reveal,
                SignedExtrinsic,
            },
            store::{Errand, ExtrinsicEnd, Write},
        },
    },
    units::{BlockNumber, Mono, Now},
};

/// Blocks that must come without an extrinsic of which a pool says that it can not be included, before that is believed:
/// the pool may know of a block, and the extrinsic in it, that the node which is asked has not shown yet.
const DOUBTED_BLOCKS: u64 = 10;
/// Looks that miss an extrinsic before it is handed in again.
const LOOKS_PER_OFFER: u32 = 2;

/// Looks that fail before an extrinsic of long ago is believed to be beyond telling.
const UNTOLD_LOOKS: u32 = 5;
/// A node keeps the state of 256 blocks, and without it can not say how an older extrinsic ended. So many blocks
/// after its era, its intent is over, too.
const UNTOLD_BLOCKS: BlockNumber = 300;

/// How an errand ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ended {
    /// Nothing was sent: it was not signed (with the reason), or could not be made durable.
    Unsent(Option<ChainFault>),
    /// It succeeded in a block that is final.
    Included { block: BlockNumber, reveal: Option<Reveal> },
    /// It never will succeed: a pool did not take it, or its call failed in a block that is final.
    Refused { reason: String, remedy: Option<&'static str> },
    /// No block can include it any more; none did.
    Lapsed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Offer,
    Look,
}

/// An extrinsic that is durable.
#[derive(Debug)]
struct Flight {
    errand: Errand,
    extrinsic: SignedExtrinsic,
    /// What is asked next, or under way.
    next: Step,
    /// A pool may hold it.
    offered: bool,
    /// The pool says that it can not be included as things stand; said when this block was the newest.
    doubted: Option<BlockNumber>,
    /// Looks in a row that missed it.
    missed: u32,
    /// The block that has it, not final yet.
    seen: Option<BlockNumber>,
}

#[derive(Debug)]
enum State {
    Idle,
    Signing(Errand),
    Storing(Errand, Box<SignedExtrinsic>),
    Flying(Box<Flight>),
}

#[derive(Debug)]
pub struct Lane {
    look_every: Duration,
    state: State,
    /// A call of ours is under way.
    asked: bool,
    due: Mono,
    backoff: Backoff,
    calls: VecDeque<ChainRequest>,
    writes: VecDeque<Write>,
    news: VecDeque<(Errand, Ended)>,
}

impl Lane {
    /// `look_every`: how often the chain is asked about an extrinsic.
    pub fn new(look_every: Duration) -> Lane {
        Lane {
            look_every,
            state: State::Idle,
            asked: false,
            due: Mono(0),
            backoff: Backoff::new(look_every, look_every * 10),
            calls: VecDeque::new(),
            writes: VecDeque::new(),
            news: VecDeque::new(),
        }
    }

    pub fn is_free(&self) -> bool {
        matches!(self.state, State::Idle) && self.news.is_empty()
    }

    /// Goes on with an extrinsic that an earlier process signed. Whether it was sent is unknown.
    pub fn resume(&mut self, errand: Errand, extrinsic: SignedExtrinsic) {
        let hash = hex::encode(extrinsic.submission.hash);
        log::info!(target: "validator", "extrinsic 0x{hash} ({}) of an earlier run is followed up", name(&errand));
        self.fly(Mono(0), errand, extrinsic, Step::Look);
    }

    /// Takes up an errand. The lane must be free.
    pub fn begin(&mut self, errand: Errand, call: ChainCall) {
        debug_assert!(self.is_free(), "{:?}", self.state);
        self.state = State::Signing(errand);
        self.ask(ChainRequest::Sign(Box::new(call)));
    }

    fn ask(&mut self, request: ChainRequest) {
        self.asked = true;
        self.calls.push_back(request);
    }

    fn fly(&mut self, due: Mono, errand: Errand, extrinsic: SignedExtrinsic, next: Step) {
        let offered = next == Step::Look;
        let flight = Flight { errand, extrinsic, next, offered, doubted: None, missed: 0, seen: None };
        self.state = State::Flying(Box::new(flight));
        self.due = due;
    }

    /// The signed bytes are durable, or could not be made so.
    pub fn stored(&mut self, now: Now, durable: bool) {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Storing(errand, extrinsic) if durable => self.fly(now.mono, errand, *extrinsic, Step::Offer),
            State::Storing(errand, _) => self.news.push_back((errand, Ended::Unsent(None))),
            state => self.state = state,
        }
    }

    /// What is due. `our_chain`: answers are about the chain that it was signed for. `may_send`: nothing speaks
    /// against handing in more.
    pub fn tick(&mut self, now: Mono, our_chain: bool, may_send: bool) {
        if self.deadline().is_none_or(|due| now < due) {
            return;
        }
        let State::Flying(flight) = &mut self.state else { return };
        let request = match flight.next {
            _ if !our_chain => {
                self.due = now + self.look_every;
                return;
            }
            Step::Offer if !may_send => {
                flight.next = Step::Look;
                self.due = now + self.look_every;
                return;
            }
            Step::Offer => ChainRequest::Submit(Box::new(flight.extrinsic.clone())),
            Step::Look => ChainRequest::Find(flight.extrinsic.submission.clone()),
        };
        self.ask(request);
    }

    /// The chain's reply to our call. `block`: the newest one that is known.
    pub fn heard(&mut self, now: Now, block: BlockNumber, reply: ChainReply, rng: &mut ChaCha20Rng) {
        self.asked = false;
        match (std::mem::replace(&mut self.state, State::Idle), reply) {
            (State::Signing(errand), ChainReply::Signed(extrinsic)) => self.signed(now, errand, extrinsic),
            (State::Signing(errand), ChainReply::Failed(fault)) => {
                self.news.push_back((errand, Ended::Unsent(Some(fault))));
            }
            (State::Flying(flight), ChainReply::Submitted(_)) => self.submitted(now, flight),
            (State::Flying(flight), ChainReply::Found(found)) => self.found(now, block, flight, found),
            (State::Flying(flight), ChainReply::Failed(fault)) if self.is_untold(&flight, block, &fault) => {
                self.untold(now, *flight, &fault);
            }
            (State::Flying(flight), ChainReply::Failed(fault)) => self.failed(now, block, flight, &fault, rng),
            (state, reply) => {
                log::error!(target: "validator", "the chain spoke answered our extrinsic with {reply:?}");
                self.state = state;
                self.due = now.mono + self.look_every;
            }
        }
    }

    fn signed(&mut self, now: Now, errand: Errand, extrinsic: Box<SignedExtrinsic>) {
        let write = Write::ExtrinsicSigned { at: now.wall, errand: errand.clone(), extrinsic: extrinsic.clone() };
        self.writes.push_back(write);
        self.state = State::Storing(errand, extrinsic);
    }

    fn submitted(&mut self, now: Now, mut flight: Box<Flight>) {
        self.backoff.reset();
        let submission = &flight.extrinsic.submission;
        if !flight.offered {
            let (hash, after, until) = (hex::encode(submission.hash), submission.after, submission.until);
            let what = name(&flight.errand);
            log::info!(target: "validator", "{what} state=submitted hash=0x{hash} after={after} until={until}");
            self.writes.push_back(Write::ExtrinsicSubmitted { at: now.wall, hash: submission.hash });
        }
        flight.offered = true;
        flight.doubted = None;
        flight.missed = 0;
        self.look(now.mono + self.look_every, flight);
    }

    fn look(&mut self, due: Mono, mut flight: Box<Flight>) {
        flight.next = Step::Look;
        self.due = due;
        self.state = State::Flying(flight);
    }

    fn found(&mut self, now: Now, block: BlockNumber, flight: Box<Flight>, found: Inclusion) {
        self.backoff.reset();
        match found {
            Inclusion::Pending => self.missed(now, block, flight),
            Inclusion::Succeeded { block, is_final: false } => self.seen(now, flight, block),
            Inclusion::Succeeded { block, is_final: true } => {
                let reveal = flight.extrinsic.reveal;
                self.over(now, *flight, ExtrinsicEnd::Included { block }, Ended::Included { block, reveal });
            }
            Inclusion::Refused { block, error, is_final: false, .. } => {
                let what = name(&flight.errand);
                if flight.seen != Some(block) {
                    log::info!(target: "validator", "{what} refused in block {block} ({error}); waiting until that is final");
                }
                self.seen(now, flight, block);
            }
            Inclusion::Refused { block, error, remedy, is_final: true } => {
                let reason = format!("{error} in block {block}");
                self.refused(now, *flight, reason, remedy);
            }
            Inclusion::Expired => self.over(now, *flight, ExtrinsicEnd::Expired, Ended::Lapsed),
        }
    }

    /// It is in a block that a fork may take out. However it ended there, it may end otherwise in another one.
    fn seen(&mut self, now: Now, mut flight: Box<Flight>, block: BlockNumber) {
        flight.seen = Some(block);
        flight.doubted = None;
        flight.missed = 0;
        self.look(now.mono + self.look_every, flight);
    }

    /// It is in no block, and its era still runs.
    fn missed(&mut self, now: Now, block: BlockNumber, mut flight: Box<Flight>) {
        let hash = hex::encode(flight.extrinsic.submission.hash);
        if let Some(block) = flight.seen.take() {
            log::warn!(target: "validator", "a fork took extrinsic 0x{hash} out of block {block}; it is handed in again");
            flight.missed = LOOKS_PER_OFFER;
        }
        flight.missed += 1;
        if flight.doubted.is_some_and(|since| block > since.saturating_add(DOUBTED_BLOCKS)) {
            log::info!(target: "validator", "extrinsic 0x{hash} is in no block and can not be in one any more");
            return self.over(now, *flight, ExtrinsicEnd::Expired, Ended::Lapsed);
        }
        let again = flight.doubted.is_none() && (!flight.offered || flight.missed >= LOOKS_PER_OFFER);
        flight.next = if again { Step::Offer } else { Step::Look };
        self.due = if again { now.mono } else { now.mono + self.look_every };
        self.state = State::Flying(flight);
    }

    /// A call did not work. What a pool says of the bytes is held against the blocks before it is believed.
    fn failed(
        &mut self,
        now: Now,
        block: BlockNumber,
        mut flight: Box<Flight>,
        fault: &ChainFault,
        rng: &mut ChaCha20Rng,
    ) {
        let wait = self.backoff.wait(rng);
        match fault.kind {
            ChainFaultKind::Pool(PoolFault::Stale | PoolFault::SignAgain) => {
                flight.doubted = flight.doubted.or(Some(block));
                return self.look(now.mono, flight);
            }
            ChainFaultKind::Pool(PoolFault::Refused | PoolFault::TooSoon) if !flight.offered => {
                return self.refused(now, *flight, fault.text.clone(), fault.remedy);
            }
            ChainFaultKind::Pool(PoolFault::Refused) => flight.doubted = flight.doubted.or(Some(block)),
            ChainFaultKind::Pool(PoolFault::Occupied) => {
                log::info!(target: "validator", "another extrinsic of our hotkey waits in the pool; ours comes after it");
                return self.look(now.mono + wait, flight);
            }
            // It may have arrived although the answer did not.
            ChainFaultKind::Unreachable if flight.next == Step::Offer => flight.offered = true,
            _ => {}
        }
        let level = if self.backoff.failures() <= 1 { log::Level::Warn } else { log::Level::Debug };
        let what = name(&flight.errand);
        log::log!(target: "validator", level, "{what} on its way: {} failed: {} ({:?})", fault.asked, fault.text, fault.kind);
        self.look(now.mono + wait, flight);
    }

    /// Whether nobody will ever say how it ended: its era is long over, and nodes that do answer can not tell.
    fn is_untold(&self, flight: &Flight, block: BlockNumber, fault: &ChainFault) -> bool {
        let cannot = matches!(fault.kind, ChainFaultKind::Node | ChainFaultKind::Shape);
        let old = block > flight.extrinsic.submission.until.saturating_add(UNTOLD_BLOCKS);
        flight.next == Step::Look && cannot && old && self.backoff.failures() >= UNTOLD_LOOKS
    }

    fn untold(&mut self, now: Now, flight: Flight, fault: &ChainFault) {
        let (what, hash) = (name(&flight.errand), hex::encode(flight.extrinsic.submission.hash));
        log::error!(
            target: "validator",
            "{what}: how extrinsic 0x{hash} ended can not be told any more ({}: {}): its era is long over, so it is \
             taken for lost; an archive node would know",
            fault.asked, fault.text
        );
        self.backoff.reset();
        self.over(now, flight, ExtrinsicEnd::Expired, Ended::Lapsed);
    }

    fn refused(&mut self, now: Now, flight: Flight, reason: String, remedy: Option<&'static str>) {
        self.over(now, flight, ExtrinsicEnd::Refused(reason.clone()), Ended::Refused { reason, remedy });
    }

    fn over(&mut self, now: Now, flight: Flight, end: ExtrinsicEnd, ended: Ended) {
        let hash = flight.extrinsic.submission.hash;
        self.writes.push_back(Write::ExtrinsicOver { at: now.wall, hash, end });
        self.news.push_back((flight.errand, ended));
    }

    pub fn deadline(&self) -> Option<Mono> {
        (matches!(self.state, State::Flying(_)) && !self.asked).then_some(self.due)
    }

    pub fn next_call(&mut self) -> Option<ChainRequest> {
        self.calls.pop_front()
    }

    pub fn next_write(&mut self) -> Option<Write> {
        self.writes.pop_front()
    }

    /// How an errand ended.
    pub fn next_news(&mut self) -> Option<(Errand, Ended)> {
        self.news.pop_front()
    }
}

/// As the lines of the log begin.
fn name(errand: &Errand) -> &'static str {
    match errand {
        Errand::Axon => "axon",
        Errand::Weights { .. } => "weights",
        Errand::Reveal { .. } => "reveal",
    }
}
