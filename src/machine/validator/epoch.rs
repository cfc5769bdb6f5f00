//! Weights on their way to the chain: intent stored, signed, submitted, included, confirmed.
//!
//! Owns at most one intent that is not in a block yet, and with [`Reveals`] those that are and wait to be confirmed.
//! It begins none from a state that is not known good: each reason not to is named, and those that an operator must
//! act on are alarms. An intent lives at most one tempo of the chain; then the next is made from the scores of the
//! day. What carries its extrinsics is the lane. It sees no socket and no clock.

use std::{collections::VecDeque, time::Duration};

use rand_chacha::ChaCha20Rng;
use rand_core::RngCore;

use super::{
    blocked::{Blocked, Ground, allowed},
    chain::VERSION,
    extrinsics::Ended,
    lines,
    overdue::Overdue,
    preflight::Runtime,
    reveals::Reveals,
};
use crate::{
    config::validator::CommitReveal,
    machine::{
        backoff::Backoff,
        contract::{
            chain::{ChainCall, ChainFault, ChainFaultKind, Feature, Metagraph, Standing, WeightVector},
            store::{AwaitedWeights, Errand, IntentId, Snapshot, WeightBasis, WeightOutcome, WeightPath, Write},
        },
    },
    units::{BlockNumber, Hotkey, Mono, Now, Uid},
};

/// Extrinsics of one intent.
const ATTEMPTS: u32 = 5;
/// Which of a subnet's mechanisms we score.
pub const MECHANISM: u8 = 0;
/// Of a salt, in u16.
const SALT_LEN: usize = 8;
/// Of the chain.
const BLOCK_TIME: Duration = Duration::from_secs(12);

/// What the decision to set weights looks at.
pub struct View<'a> {
    pub ground: Ground<'a>,
    /// (uid, hotkey, u16 weight) of the current scores, zeros dropped, offline miners left out; `None` before
    /// the first calculation, or when it is too old.
    pub weights: Option<Vec<(Uid, Hotkey, u16)>>,
    pub basis: WeightBasis,
    /// There was a verdict: before the first one, no score is no alarm.
    pub judged: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The store writes it down.
    Storing,
    /// To be signed.
    Ready,
    InLane,
}

#[derive(Clone, Debug, PartialEq)]
struct Intent {
    id: IntentId,
    at_block: BlockNumber,
    weights: Vec<(Uid, Hotkey, u16)>,
    stage: Stage,
    attempts: u32,
}

#[derive(Debug)]
pub struct Epoch {
    tempo_blocks: Option<u32>,
    commit_reveal: CommitReveal,
    intent: Option<Intent>,
    next_id: IntentId,
    /// The last block that took weights of ours.
    included: BlockNumber,
    due: Mono,
    backoff: Backoff,
    blocked: Option<Blocked>,
    /// When what stands in the way was last said: once a tempo.
    told: Mono,
    /// Why the last intent could not be signed, until one is in a block.
    unsigned: Option<String>,
    pub reveals: Reveals,
    overdue: Overdue,
    writes: VecDeque<Write>,
    outcomes: [(&'static str, u64); 6],
}

impl Epoch {
    /// `look_every`: how often the chain is asked about what is under way.
    pub fn new(tempo_blocks: Option<u32>, commit_reveal: CommitReveal, look_every: Duration) -> Epoch {
        Epoch {
            tempo_blocks,
            commit_reveal,
            intent: None,
            next_id: 1,
            included: 0,
            due: Mono(0),
            backoff: Backoff::new(look_every, look_every * 10),
            blocked: None,
            told: Mono(0),
            unsigned: None,
            reveals: Reveals::new(look_every),
            overdue: Overdue::default(),
            writes: VecDeque::new(),
            outcomes: ["included", "confirmed", "refused", "expired", "dropped", "superseded"].map(|name| (name, 0)),
        }
    }

    /// Goes on with what an earlier process had begun.
    pub fn resume(&mut self, snapshot: &mut Snapshot) {
        snapshot.confirmed.into_iter().for_each(|at| self.overdue.confirmed_at(at));
        for awaited in std::mem::take(&mut snapshot.awaited) {
            self.included = self.included.max(awaited.included);
            self.reveals.push(awaited);
        }
        let errand = snapshot.in_flight.as_ref().map(|(errand, _)| errand);
        let in_lane = errand.and_then(|errand| match errand {
            Errand::Weights { intent, .. } => Some(*intent),
            _ => None,
        });
        if let Some(Errand::Reveal { intent }) = errand {
            self.reveals.in_lane(*intent);
        }
        let Some(stored) = snapshot.intent.take() else { return };
        self.next_id = stored.id + 1;
        let stage = match stored.outcome {
            _ if in_lane == Some(stored.id) => Stage::InLane,
            // Signed bytes are durable before they are sent: without any, nothing was sent.
            None => Stage::Ready,
            Some(_) => return,
        };
        let (id, at_block, weights) = (stored.id, stored.at_block, stored.weights);
        self.intent = Some(Intent { id, at_block, weights, stage, attempts: 1 });
    }

    /// Looks whether weights are due, and begins an intent when they are.
    pub fn consider(&mut self, now: Now, view: View<'_>) {
        let (block, judged, mut basis) = (view.ground.block, view.judged, view.basis.clone());
        basis.limit = view.ground.graph.map_or(0, |graph| graph.max_weights_limit);
        let decision = self.decide(now.mono, view);
        let blocked = decision.as_ref().err().copied();
        let again = BLOCK_TIME * self.tempo_blocks.unwrap_or(u32::MAX);
        let is_news = blocked != self.blocked || now.mono.since(self.told) >= again;
        if is_news && let Some(blocked) = blocked.filter(|blocked| blocked.alarm().is_some()) {
            self.told = now.mono;
            let calm = blocked == Blocked::AllZero && !judged;
            let level = if calm { log::Level::Info } else { log::Level::Error };
            log::log!(target: "validator", level, "no weights are set: {blocked}");
        }
        self.blocked = blocked;
        if let Ok(weights) = decision {
            self.intend(now, block, weights, basis);
        }
    }

    fn decide(&self, now: Mono, view: View<'_>) -> Result<Vec<(Uid, Hotkey, u16)>, Blocked> {
        let tempo = self.tempo_blocks.ok_or(Blocked::Off)?;
        // What stands in the way does so while an intent waits, too.
        let (graph, me) = view.ground.good()?;
        if self.intent.is_some() || now < self.due {
            return Err(Blocked::Busy);
        }
        if !me.validator_permit {
            return Err(Blocked::NoPermit);
        }
        self.path(graph, view.ground.runtime)?;
        if self.reveals.is_full() {
            return Err(Blocked::ManyAwaited);
        }
        let wait = u64::from(tempo).max(graph.weights_rate_limit);
        let last = me.last_update.max(self.included);
        if last != 0 && view.ground.block.saturating_sub(last) < wait {
            return Err(Blocked::TooSoon);
        }
        allowed(view.weights.ok_or(Blocked::NotScored)?, graph)
    }

    /// By which way the chain takes weights now; a hash gets its salt later.
    fn path(&self, graph: &Metagraph, runtime: &Runtime) -> Result<WeightPath, Blocked> {
        let needs = |feature| if runtime.is_broken(feature) { Err(Blocked::Broken(feature)) } else { Ok(()) };
        needs(Feature::Standing)?;
        if !graph.commit_reveal {
            return needs(Feature::SetWeights).map(|()| WeightPath::Open);
        }
        if self.commit_reveal == CommitReveal::Timelocked && needs(Feature::TimelockedCommit).is_ok() {
            return Ok(WeightPath::Timelocked);
        }
        needs(Feature::HashCommit).map(|()| WeightPath::Hash { salt: Vec::new() })
    }

    fn intend(&mut self, now: Now, at_block: BlockNumber, weights: Vec<(Uid, Hotkey, u16)>, basis: WeightBasis) {
        log::info!(target: "validator", "weights state=intent block={at_block} uids={}", weights.len());
        let id = self.next_id;
        self.next_id += 1;
        let basis = Box::new(basis);
        self.writes.push_back(Write::WeightIntent { id, at: now.wall, at_block, weights: weights.clone(), basis });
        self.intent = Some(Intent { id, at_block, weights, stage: Stage::Storing, attempts: 0 });
    }

    /// The intent is durable, or could not be made so.
    pub fn stored(&mut self, now: Now, durable: bool, rng: &mut ChaCha20Rng) {
        let Some(intent) = self.intent.as_mut().filter(|intent| intent.stage == Stage::Storing) else { return };
        intent.stage = Stage::Ready;
        if !durable {
            self.intent = None;
            self.due = now.mono + self.backoff.wait(rng);
        }
    }

    /// What is to be signed now, if anything. Asked when the lane is free.
    pub fn next_job(&mut self, now: Now, ground: &Ground<'_>, rng: &mut ChaCha20Rng) -> Option<(Errand, ChainCall)> {
        self.give_up_what_is_over(now, ground);
        let (graph, me) = ground.good().ok()?;
        if let Some(job) = self.reveals.next_job(graph.netuid, MECHANISM) {
            return Some(job);
        }
        let due = now.mono >= self.due && me.validator_permit;
        let intent = self.intent.as_ref().filter(|intent| due && intent.stage == Stage::Ready)?;
        if !still_valid(intent, graph) {
            self.give_up(now, "a miner of it left the subnet");
            return None;
        }
        let path = salted(self.path(graph, ground.runtime).ok()?, rng);
        let intent = self.intent.as_mut()?;
        intent.stage = Stage::InLane;
        intent.attempts += 1;
        Some(job(intent, path, graph))
    }

    /// An intent that no extrinsic carries is given up after one tempo.
    fn give_up_what_is_over(&mut self, now: Now, ground: &Ground<'_>) {
        let tempo = ground.graph.map_or(u64::MAX, |graph| u64::from(graph.tempo.max(1)));
        let over = |intent: &Intent| ground.block > intent.at_block.saturating_add(tempo);
        if self.intent.as_ref().is_some_and(|intent| intent.stage == Stage::Ready && over(intent)) {
            self.give_up(now, "no block took it within one tempo");
        }
    }

    fn give_up(&mut self, now: Now, why: &str) {
        let Some(intent) = self.intent.take() else { return };
        refusal(why, None);
        self.outcome(now, intent.id, WeightOutcome::Refused(why.into()));
    }

    /// The lane is done with an extrinsic of ours.
    pub fn ended(&mut self, now: Now, errand: Errand, ended: Ended, rng: &mut ChaCha20Rng) {
        match errand {
            Errand::Axon => {}
            Errand::Reveal { intent } => self.reveal_ended(now, intent, ended, rng),
            Errand::Weights { intent, path, version_key } => {
                let Some(ours) = self.intent.take_if(|ours| ours.id == intent) else { return };
                self.weights_ended(now, ours, ended, (path, version_key), rng);
            }
        }
    }

    fn weights_ended(
        &mut self,
        now: Now,
        intent: Intent,
        ended: Ended,
        (path, version_key): (WeightPath, u64),
        rng: &mut ChaCha20Rng,
    ) {
        match ended {
            Ended::Included { block, reveal } => {
                log::info!(target: "validator", "weights state=included block={block}");
                self.count("included");
                self.backoff.reset();
                self.unsigned = None;
                self.included = block;
                let weights = plain(&intent.weights);
                self.reveals.push(AwaitedWeights {
                    intent: intent.id,
                    weights,
                    path,
                    version_key,
                    included: block,
                    reveal,
                });
            }
            Ended::Refused { reason, remedy } => {
                refusal(&reason, remedy);
                self.count("refused");
                self.again(now, intent, rng);
            }
            Ended::Lapsed => {
                refusal("its era ended", None);
                self.count("expired");
                self.again(now, intent, rng);
            }
            Ended::Unsent(fault) => self.unsent(now, intent, fault, rng),
        }
    }

    fn unsent(&mut self, now: Now, intent: Intent, fault: Option<ChainFault>, rng: &mut ChaCha20Rng) {
        let why = fault.as_ref().map_or("the store did not take it", |fault| &fault.text);
        let hopeless = fault.as_ref().is_some_and(|fault| {
            matches!(fault.kind, ChainFaultKind::Shape | ChainFaultKind::NoKey | ChainFaultKind::OtherChain)
        });
        if hopeless {
            let remedy = fault.as_ref().and_then(|fault| fault.remedy);
            self.tell_unsigned(why, remedy);
            self.outcome(now, intent.id, WeightOutcome::Refused(format!("not signed: {why}")));
            self.due = now.mono + self.backoff.wait(rng);
            return;
        }
        log::warn!(target: "validator", "weights not signed yet: {why}");
        self.again(now, Intent { attempts: intent.attempts.saturating_sub(1), ..intent }, rng);
    }

    /// That nothing can be signed is an alarm when it is first so; what repeats for the same reason is none.
    fn tell_unsigned(&mut self, why: &str, remedy: Option<&'static str>) {
        let is_new = self.unsigned.as_deref() != Some(why);
        let level = if is_new { log::Level::Error } else { log::Level::Warn };
        refusal_at(level, &format!("not signed: {why}"), remedy);
        self.unsigned = Some(why.into());
    }

    /// Another extrinsic follows, by the way that the chain wants then.
    fn again(&mut self, now: Now, intent: Intent, rng: &mut ChaCha20Rng) {
        self.due = now.mono + self.backoff.wait(rng);
        if intent.attempts < ATTEMPTS {
            self.intent = Some(Intent { stage: Stage::Ready, ..intent });
        } else {
            log::error!(target: "validator", "weights of block {} are given up after {ATTEMPTS} attempts", intent.at_block);
        }
    }

    fn reveal_ended(&mut self, now: Now, intent: IntentId, ended: Ended, rng: &mut ChaCha20Rng) {
        let included = matches!(ended, Ended::Included { .. });
        match ended {
            Ended::Included { block, .. } => log::info!(target: "validator", "weights state=revealed block={block}"),
            Ended::Refused { reason, remedy } => {
                refusal(&format!("reveal: {reason}"), remedy);
            }
            Ended::Unsent(fault) => {
                let why = fault.map_or("the store did not take it".into(), |fault| fault.text);
                log::warn!(target: "validator", "reveal of weights not signed yet: {why}");
            }
            Ended::Lapsed => log::warn!(target: "validator", "reveal of weights: no block took it"),
        }
        self.reveals.revealed(now.mono, intent, included, rng);
    }

    /// Where our weights stand in the finalized chain.
    pub fn stands(&mut self, now: Now, standing: &Standing) {
        for (of, outcome) in self.reveals.settle(now.mono, standing) {
            match &outcome {
                WeightOutcome::Confirmed { block } => {
                    log::info!(target: "validator", "weights state=confirmed block={block}");
                    self.overdue.confirmed_at(now.wall);
                }
                WeightOutcome::Dropped(why) => {
                    let (path, included) = (of.path.name(), of.included);
                    log::error!(target: "validator", "weights state=dropped path={path} block={included} reason=\"{why}\"");
                }
                _ => log::info!(target: "validator", "weights state=superseded block={}", of.included),
            }
            self.outcome(now, of.intent, outcome);
        }
    }

    fn outcome(&mut self, now: Now, intent: IntentId, outcome: WeightOutcome) {
        self.count(match outcome {
            WeightOutcome::Confirmed { .. } => "confirmed",
            WeightOutcome::Dropped(_) => "dropped",
            WeightOutcome::Superseded => "superseded",
            _ => "refused",
        });
        self.writes.push_back(Write::WeightOutcome { intent, at: now.wall, outcome });
    }

    fn count(&mut self, name: &str) {
        self.outcomes.iter_mut().filter(|(known, _)| *known == name).for_each(|(_, count)| *count += 1);
    }

    /// Says when weights have not been confirmed for too long.
    pub fn watch(&mut self, now: Now, graph: Option<&Metagraph>) {
        let Some(ours) = self.tempo_blocks else { return };
        let blocks = ours.max(graph.map_or(0, |graph| u32::from(graph.tempo))).max(1);
        let why = match (&self.intent, self.blocked) {
            (Some(Intent { stage, attempts, .. }), _) => {
                format!("an intent is under way ({stage:?}, attempt {attempts})")
            }
            (None, Some(blocked)) => blocked.to_string(),
            (None, None) => "nothing stands in the way".into(),
        };
        self.overdue.watch(now, BLOCK_TIME * blocks, &why);
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
        self.outcomes.into_iter()
    }

    /// How long weights of ours were not confirmed, also across restarts; `None` where none are set.
    pub fn unconfirmed(&self, now: Now) -> Option<Duration> {
        self.tempo_blocks.and_then(|_| self.overdue.age(now))
    }

    /// How long ago weights of ours were confirmed; `None` before the first.
    pub fn confirmed(&self, now: Now) -> Option<Duration> {
        self.overdue.confirmed(now)
    }

    /// Whether any are set at all.
    pub fn sets_weights(&self) -> bool {
        self.tempo_blocks.is_some()
    }

    /// Whether that is too long ago.
    pub fn is_overdue(&self) -> bool {
        self.overdue.alarmed()
    }
}

fn refusal(reason: &str, remedy: Option<&'static str>) {
    refusal_at(log::Level::Warn, reason, remedy);
}

fn refusal_at(level: log::Level, reason: &str, remedy: Option<&'static str>) {
    let remedy = remedy.map(|remedy| format!(" remedy=\"{}\"", lines::quoted(remedy))).unwrap_or_default();
    log::log!(target: "validator", level, "weights state=refused reason=\"{}\"{remedy}", lines::quoted(reason));
}

fn plain(weights: &[(Uid, Hotkey, u16)]) -> Vec<(Uid, u16)> {
    weights.iter().map(|(uid, _, weight)| (*uid, *weight)).collect()
}

fn salted(path: WeightPath, rng: &mut ChaCha20Rng) -> WeightPath {
    match path {
        WeightPath::Hash { .. } => WeightPath::Hash { salt: (0..SALT_LEN).map(|_| rng.next_u32() as u16).collect() },
        other => other,
    }
}

fn job(intent: &Intent, path: WeightPath, graph: &Metagraph) -> (Errand, ChainCall) {
    let version_key = graph.weights_version.max(u64::from(VERSION));
    let weights =
        WeightVector { netuid: graph.netuid, mechanism: MECHANISM, weights: plain(&intent.weights), version_key };
    let call = match &path {
        WeightPath::Open => ChainCall::SetWeights(weights),
        WeightPath::Timelocked => ChainCall::CommitTimelocked(weights),
        WeightPath::Hash { salt } => ChainCall::CommitHash { weights, salt: salt.clone() },
    };
    (Errand::Weights { intent: intent.id, path, version_key }, call)
}

/// Each slot still belongs to the miner that was scored.
fn still_valid(intent: &Intent, graph: &Metagraph) -> bool {
    let holds = |uid: Uid, hotkey: &Hotkey| graph.neuron(hotkey).is_some_and(|neuron| neuron.uid == uid);
    intent.weights.iter().all(|(uid, hotkey, _)| holds(*uid, hotkey))
}
