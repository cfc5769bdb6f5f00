//! Weights on their way to the chain: intent stored, submitted, included, confirmed.
//!
//! Owns at most one intent. It never submits from an unknown state: each reason not to is named, and those
//! that an operator must act on are alarms. An intent counts as confirmed when the chain's own `LastUpdate`
//! of our neuron is past the block it was made at, however it got there. Its calls and writes wait in its
//! outbox; it sees no socket and no clock.

use std::{collections::VecDeque, time::Duration};

use rand_chacha::ChaCha20Rng;

use super::{chain::VERSION, lines};
use crate::{
    machine::{
        backoff::Backoff,
        contract::{
            chain::{ChainFault, ChainFaultKind, ChainReply, ChainRequest, Inclusion, Metagraph, Neuron, Submission},
            store::{StoredWeights, WeightOutcome, Write},
        },
    },
    units::{BlockNumber, Hotkey, Mono, Now, Uid, Wall},
};

/// Submissions of one intent.
const ATTEMPTS: u32 = 3;
/// How long an intent may stay unconfirmed before it is given up, in blocks after the last that could include it.
const CONFIRM_BLOCKS: BlockNumber = 50;

/// Why no weights are set now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Blocked {
    /// `weight_update_tempo` is 0.
    Off,
    NoMetagraph,
    NotRegistered,
    NoPermit,
    /// The chain wants commit-reveal, which this version does not speak.
    CommitReveal,
    /// No score was calculated since the start, or the last one is too old.
    NotScored,
    AllZero,
    /// The chain wants more weights than there are scored miners.
    TooFew,
    /// Not so many blocks since the last update yet.
    TooSoon,
    ClockMoved,
    /// An attempt is under way, or failed a moment ago.
    Busy,
}

impl Blocked {
    /// What an operator must know; `None` where waiting is all there is to do.
    pub fn alarm(self) -> Option<&'static str> {
        match self {
            Blocked::NotRegistered => Some("our hotkey is not registered"),
            Blocked::NoPermit => Some("our neuron has no validator permit: too little stake"),
            Blocked::CommitReveal => Some("the subnet has commit-reveal on, which this version does not speak"),
            Blocked::AllZero => Some("every score is 0: nothing is submitted"),
            Blocked::TooFew => Some("the chain wants more weights than there are scored miners"),
            Blocked::ClockMoved => Some("the wall clock moved against the monotonic one"),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Blocked::Off => "off",
            Blocked::NoMetagraph => "no_metagraph",
            Blocked::NotRegistered => "not_registered",
            Blocked::NoPermit => "no_permit",
            Blocked::CommitReveal => "commit_reveal",
            Blocked::NotScored => "not_scored",
            Blocked::AllZero => "all_zero",
            Blocked::TooFew => "too_few",
            Blocked::TooSoon => "too_soon",
            Blocked::ClockMoved => "clock_moved",
            Blocked::Busy => "busy",
        }
    }
}

/// What the decision to set weights looks at.
pub struct View<'a> {
    pub graph: Option<&'a Metagraph>,
    pub me: Option<&'a Neuron>,
    pub block: BlockNumber,
    /// (uid, hotkey, u16 weight) of the current scores, zeros dropped, offline miners left out; `None` before
    /// the first calculation, or when it is too old.
    pub weights: Option<Vec<(Uid, Hotkey, u16)>>,
    pub clock_moved: bool,
}

#[derive(Clone, Debug, PartialEq)]
struct Intent {
    at_block: BlockNumber,
    weights: Vec<(Uid, Hotkey, u16)>,
    attempts: u32,
}

#[derive(Clone, Debug, PartialEq)]
enum State {
    Idle,
    /// The store writes it down.
    Storing(Intent),
    /// The pool has it under consideration.
    Submitting(Intent),
    /// A node accepted it: is it in a block?
    Searching {
        intent: Intent,
        submission: Submission,
    },
    /// It was in a block, so `LastUpdate` must show it.
    Included(Intent),
    /// An attempt failed, or nobody knows; another follows unless `LastUpdate` shows it.
    Retrying(Intent),
}

#[derive(Debug)]
pub struct Epoch {
    tempo_blocks: Option<u32>,
    look_every: Duration,
    state: State,
    due: Mono,
    backoff: Backoff,
    blocked: Option<Blocked>,
    confirmed: Option<Wall>,
    calls: VecDeque<ChainRequest>,
    writes: VecDeque<Write>,
    /// Submitted, confirmed, refused, expired.
    outcomes: [u64; 4],
}

impl Epoch {
    /// `look_every`: how often the chain is asked about a submission.
    pub fn new(tempo_blocks: Option<u32>, look_every: Duration) -> Epoch {
        Epoch {
            tempo_blocks,
            look_every,
            state: State::Idle,
            due: Mono(0),
            backoff: Backoff::new(look_every, look_every * 10),
            blocked: None,
            confirmed: None,
            calls: VecDeque::new(),
            writes: VecDeque::new(),
            outcomes: [0; 4],
        }
    }

    /// Goes on with what an earlier process had begun.
    pub fn resume(&mut self, stored: StoredWeights) {
        let StoredWeights { at, weights, outcome } = stored;
        match outcome {
            Some(WeightOutcome::Confirmed { .. }) => self.confirmed = Some(at),
            Some(WeightOutcome::Submitted { hash, after, until }) => {
                let intent = Intent { at_block: after, weights, attempts: ATTEMPTS };
                self.state = State::Searching { intent, submission: Submission { hash, after, until } };
            }
            Some(WeightOutcome::Included { block }) => {
                self.state = State::Included(Intent { at_block: block.saturating_sub(1), weights, attempts: ATTEMPTS });
            }
            // Whether it was submitted is unknown; the chain's own rate limit and LastUpdate guard a new one.
            None | Some(WeightOutcome::Refused(_) | WeightOutcome::Expired) => {}
        }
    }

    /// Looks whether weights are due, and begins an intent when they are.
    pub fn consider(&mut self, now: Now, view: &View<'_>) {
        let decision = self.decide(now.mono, view);
        let blocked = decision.as_ref().err().copied();
        if blocked != self.blocked
            && let Some(text) = blocked.and_then(Blocked::alarm)
        {
            log::error!(target: "validator", "no weights are set: {text}");
        }
        self.blocked = blocked;
        if let Ok(weights) = decision {
            self.intend(now, view.block, weights);
        }
    }

    fn decide(&self, now: Mono, view: &View<'_>) -> Result<Vec<(Uid, Hotkey, u16)>, Blocked> {
        let tempo = self.tempo_blocks.ok_or(Blocked::Off)?;
        if self.state != State::Idle || now < self.due {
            return Err(Blocked::Busy);
        }
        if view.clock_moved {
            return Err(Blocked::ClockMoved);
        }
        let graph = view.graph.ok_or(Blocked::NoMetagraph)?;
        let me = view.me.ok_or(Blocked::NotRegistered)?;
        if !me.validator_permit {
            return Err(Blocked::NoPermit);
        }
        if graph.commit_reveal {
            return Err(Blocked::CommitReveal);
        }
        let wait = u64::from(tempo).max(graph.weights_rate_limit);
        if me.last_update != 0 && view.block.saturating_sub(me.last_update) < wait {
            return Err(Blocked::TooSoon);
        }
        let weights = view.weights.clone().ok_or(Blocked::NotScored)?;
        enough(weights, graph)
    }

    fn intend(&mut self, now: Now, at_block: BlockNumber, weights: Vec<(Uid, Hotkey, u16)>) {
        log::info!(target: "validator", "weights state=intent block={at_block} uids={}", weights.len());
        self.writes.push_back(Write::WeightIntent { at: now.wall, at_block, weights: weights.clone() });
        self.state = State::Storing(Intent { at_block, weights, attempts: 0 });
    }

    /// The intent is durable, or could not be made so.
    pub fn stored(&mut self, now: Now, graph: Option<&Metagraph>, durable: bool, rng: &mut ChaCha20Rng) {
        let State::Storing(intent) = std::mem::replace(&mut self.state, State::Idle) else { return };
        match graph {
            Some(graph) if durable && still_valid(&intent, graph) => self.submit(intent, graph),
            Some(_) if durable => self.refused(now, WeightOutcome::Refused("a miner of it left the subnet".into())),
            _ => self.due = now.mono + self.backoff.wait(rng),
        }
    }

    fn submit(&mut self, mut intent: Intent, graph: &Metagraph) {
        intent.attempts += 1;
        let weights = intent.weights.iter().map(|(uid, _, weight)| (*uid, *weight)).collect();
        let version_key = graph.weights_version.max(u64::from(VERSION));
        self.calls.push_back(ChainRequest::SetWeights { netuid: graph.netuid, weights, version_key });
        self.state = State::Submitting(intent);
    }

    /// The chain's reply to one of our calls.
    pub fn heard(&mut self, now: Now, reply: ChainReply, rng: &mut ChaCha20Rng) {
        match (std::mem::replace(&mut self.state, State::Idle), reply) {
            (State::Submitting(intent), ChainReply::Submitted(submission)) => self.submitted(now, intent, submission),
            (State::Submitting(intent), ChainReply::Failed(fault)) => self.not_submitted(now, intent, &fault, rng),
            (State::Searching { intent, submission }, ChainReply::Found(found)) => {
                self.found(now, intent, submission, found, rng);
            }
            (searching @ State::Searching { .. }, ChainReply::Failed(fault)) => {
                log::warn!(target: "validator", "submitted weights not looked up: {} ({:?})", fault.text, fault.kind);
                self.state = searching;
                self.due = now.mono + self.look_every;
            }
            // The chain was quicker: LastUpdate confirmed it while the reply was under way.
            (state, _) => self.state = state,
        }
    }

    fn submitted(&mut self, now: Now, intent: Intent, submission: Submission) {
        let Submission { hash, after, until } = submission;
        log::info!(target: "validator", "weights state=submitted hash=0x{} after={after} until={until}", hex::encode(hash));
        self.outcome(now, WeightOutcome::Submitted { hash, after, until });
        self.state = State::Searching { intent, submission };
        self.due = now.mono + self.look_every;
    }

    fn not_submitted(&mut self, now: Now, intent: Intent, fault: &ChainFault, rng: &mut ChaCha20Rng) {
        log::warn!(target: "validator", "weights not submitted: {} ({:?})", fault.text, fault.kind);
        let lost = matches!(fault.kind, ChainFaultKind::Unreachable | ChainFaultKind::RateLimited);
        if !lost {
            self.refused(now, WeightOutcome::Refused(fault.text.clone()));
        }
        self.again(now, intent, rng);
    }

    fn found(&mut self, now: Now, intent: Intent, submission: Submission, found: Inclusion, rng: &mut ChaCha20Rng) {
        match found {
            Inclusion::Pending => {
                self.due = now.mono + self.look_every;
                self.state = State::Searching { intent, submission };
            }
            Inclusion::Succeeded { block, .. } => {
                log::info!(target: "validator", "weights state=included block={block}");
                self.outcome(now, WeightOutcome::Included { block });
                self.state = State::Included(intent);
            }
            Inclusion::Refused { block, error, .. } => {
                let text = format!("{error} in block {block}");
                self.refused(now, WeightOutcome::Refused(text));
                self.again(now, intent, rng);
            }
            Inclusion::Expired => {
                self.refused(now, WeightOutcome::Expired);
                self.again(now, intent, rng);
            }
        }
    }

    fn refused(&mut self, now: Now, outcome: WeightOutcome) {
        let reason = match &outcome {
            WeightOutcome::Refused(text) => lines::quoted(text),
            _ => "its era ended".into(),
        };
        log::warn!(target: "validator", "weights state=refused reason=\"{reason}\"");
        self.outcome(now, outcome);
    }

    fn again(&mut self, now: Now, intent: Intent, rng: &mut ChaCha20Rng) {
        self.due = now.mono + self.backoff.wait(rng);
        self.state = if intent.attempts < ATTEMPTS { State::Retrying(intent) } else { State::Idle };
    }

    fn outcome(&mut self, now: Now, outcome: WeightOutcome) {
        match outcome {
            WeightOutcome::Submitted { .. } => self.outcomes[0] += 1,
            WeightOutcome::Confirmed { .. } => self.outcomes[1] += 1,
            WeightOutcome::Refused(_) => self.outcomes[2] += 1,
            WeightOutcome::Expired => self.outcomes[3] += 1,
            WeightOutcome::Included { .. } => {}
        }
        self.writes.push_back(Write::WeightOutcome { at: now.wall, outcome });
    }

    /// A new metagraph: does it show our weights?
    pub fn observe(&mut self, now: Now, graph: &Metagraph, me: Option<&Neuron>) {
        let Some(intent) = self.intent() else { return };
        let (at_block, included) = (intent.at_block, matches!(self.state, State::Included(_)));
        match me {
            Some(me) if me.last_update > at_block => self.confirm(now, me.last_update),
            _ if included && graph.block > at_block + CONFIRM_BLOCKS => {
                log::error!(target: "validator", "weights of block {at_block} were included and LastUpdate did not move");
                self.state = State::Idle;
            }
            _ => {}
        }
    }

    fn confirm(&mut self, now: Now, block: BlockNumber) {
        log::info!(target: "validator", "weights state=confirmed block={block}");
        self.outcome(now, WeightOutcome::Confirmed { block });
        self.confirmed = Some(now.wall);
        self.backoff.reset();
        self.state = State::Idle;
    }

    /// What is due: another look for the submission, another attempt.
    pub fn tick(&mut self, now: Now, graph: Option<&Metagraph>, clock_moved: bool) {
        if self.deadline().is_none_or(|due| now.mono < due) {
            return;
        }
        self.due = now.mono + self.look_every;
        if clock_moved {
            return;
        }
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Searching { intent, submission } => {
                self.calls.push_back(ChainRequest::Find(submission.clone()));
                self.state = State::Searching { intent, submission };
            }
            State::Retrying(intent) => match graph {
                Some(graph) if still_valid(&intent, graph) => self.submit(intent, graph),
                Some(_) => self.refused(now, WeightOutcome::Refused("a miner of it left the subnet".into())),
                None => self.state = State::Retrying(intent),
            },
            state => self.state = state,
        }
    }

    fn intent(&self) -> Option<&Intent> {
        match &self.state {
            State::Idle | State::Storing(_) => None,
            State::Submitting(intent) | State::Included(intent) | State::Retrying(intent) => Some(intent),
            State::Searching { intent, .. } => Some(intent),
        }
    }

    pub fn deadline(&self) -> Option<Mono> {
        matches!(self.state, State::Searching { .. } | State::Retrying(_)).then_some(self.due)
    }

    pub fn next_call(&mut self) -> Option<ChainRequest> {
        self.calls.pop_front()
    }

    pub fn next_write(&mut self) -> Option<Write> {
        self.writes.pop_front()
    }

    /// Why no weights are set now; `None` while they are on their way.
    pub fn blocked(&self) -> Option<Blocked> {
        self.blocked
    }

    /// How often each outcome came since the start.
    pub fn outcomes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        ["submitted", "confirmed", "refused", "expired"].into_iter().zip(self.outcomes)
    }

    /// When weights of ours were last confirmed.
    pub fn confirmed(&self) -> Option<Wall> {
        self.confirmed
    }
}

fn enough(weights: Vec<(Uid, Hotkey, u16)>, graph: &Metagraph) -> Result<Vec<(Uid, Hotkey, u16)>, Blocked> {
    let wanted = usize::from(graph.min_allowed_weights).min(graph.neurons.len());
    match weights.len() {
        0 => Err(Blocked::AllZero),
        given if given < wanted => Err(Blocked::TooFew),
        _ => Ok(weights),
    }
}

/// Each slot still belongs to the miner that was scored.
fn still_valid(intent: &Intent, graph: &Metagraph) -> bool {
    let holds = |uid: Uid, hotkey: &Hotkey| graph.neuron(hotkey).is_some_and(|neuron| neuron.uid == uid);
    intent.weights.iter().all(|(uid, hotkey, _)| holds(*uid, hotkey))
}
