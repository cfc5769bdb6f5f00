//! Weights that are in a block for good, until the finalized chain shows them as ours.
//!
//! Weights in the open show at once. Commitments are held by the chain until their epoch: it opens timelocked ones
//! by itself (and drops bad ones without a word), hashed ones must be revealed by us, in that very epoch. Owns the
//! bounded list of them; judges by one [`Standing`] at a time, and never by a best block.

use std::{collections::VecDeque, time::Duration};

use rand_chacha::ChaCha20Rng;

use crate::{
    machine::{
        backoff::Backoff,
        contract::{
            chain::{ChainCall, HeldCommit, Standing, WeightVector},
            store::{AwaitedWeights, Errand, WeightOutcome, WeightPath},
        },
    },
    units::{BlockNumber, Mono, Netuid},
};

/// Commitments that may wait at once; the chain itself holds ten.
pub const MOST: usize = 8;
/// Weights in the open that `LastUpdate` does not show after so many blocks never will be shown.
const CONFIRM_BLOCKS: BlockNumber = 50;
/// A timelocked commitment that is still held so many epochs after its own was never opened.
const LATE_EPOCHS: u64 = 2;

#[derive(Debug)]
struct Awaited {
    of: AwaitedWeights,
    /// Its epoch is now, so it is to be revealed.
    open: bool,
    /// The lane has its reveal, or had it with success.
    revealed: bool,
}

#[derive(Debug)]
pub struct Reveals {
    awaited: VecDeque<Awaited>,
    look_every: Duration,
    due: Mono,
    asked: bool,
    backoff: Backoff,
}

impl Reveals {
    pub fn new(look_every: Duration) -> Reveals {
        let backoff = Backoff::new(look_every, look_every * 10);
        Reveals { awaited: VecDeque::new(), look_every, due: Mono(0), asked: false, backoff }
    }

    pub fn is_full(&self) -> bool {
        self.awaited.len() >= MOST
    }

    pub fn len(&self) -> usize {
        self.awaited.len()
    }

    /// The oldest gives way when there is no room; nothing new is intended while there is none.
    pub fn push(&mut self, of: AwaitedWeights) {
        if self.awaited.iter().any(|awaited| awaited.of.intent == of.intent) {
            return;
        }
        if self.is_full() {
            self.awaited.pop_front();
        }
        self.awaited.push_back(Awaited { of, open: false, revealed: false });
        self.due = Mono(0);
    }

    /// Whether to ask for the standing now.
    pub fn ask(&mut self, now: Mono, block: BlockNumber) -> bool {
        let due = !self.asked && now >= self.due && self.awaited.iter().any(|awaited| concerns(&awaited.of, block));
        self.asked |= due;
        due
    }

    /// The standing could not be read.
    pub fn failed(&mut self, now: Mono, rng: &mut ChaCha20Rng) {
        self.asked = false;
        self.due = now + self.backoff.wait(rng);
    }

    /// What the finalized chain says of all that is awaited: whose wait is over, newest first, and how it ended.
    pub fn settle(&mut self, now: Mono, standing: &Standing) -> Vec<(AwaitedWeights, WeightOutcome)> {
        self.asked = false;
        self.backoff.reset();
        self.due = now + self.look_every;
        let mut over = Vec::new();
        let mut confirmed = false;
        for mut awaited in std::mem::take(&mut self.awaited).into_iter().rev() {
            match judge(&awaited.of, standing) {
                Judged::Waits { open } => {
                    awaited.open = open;
                    self.awaited.push_front(awaited);
                }
                Judged::Over(WeightOutcome::Dropped(_)) if confirmed => {
                    over.push((awaited.of, WeightOutcome::Superseded))
                }
                Judged::Over(outcome) => {
                    confirmed |= matches!(outcome, WeightOutcome::Confirmed { .. });
                    over.push((awaited.of, outcome));
                }
            }
        }
        over
    }

    /// A reveal whose epoch is now.
    pub fn next_job(&mut self, netuid: Netuid, mechanism: u8) -> Option<(Errand, ChainCall)> {
        let ready = |awaited: &&mut Awaited| awaited.open && !awaited.revealed;
        let awaited = self.awaited.iter_mut().find(ready)?;
        let WeightPath::Hash { salt } = &awaited.of.path else { return None };
        awaited.revealed = true;
        let AwaitedWeights { intent, weights, version_key, .. } = &awaited.of;
        let weights = WeightVector { netuid, mechanism, weights: weights.clone(), version_key: *version_key };
        Some((Errand::Reveal { intent: *intent }, ChainCall::RevealWeights { weights, salt: salt.clone() }))
    }

    /// The reveal of an intent ended in the lane: a failed one is tried again while the next standing says that its
    /// epoch lasts.
    pub fn revealed(&mut self, now: Mono, intent: u64, included: bool, rng: &mut ChaCha20Rng) {
        let wait = if included { Duration::ZERO } else { self.backoff.wait(rng) };
        self.due = now + wait;
        for awaited in self.awaited.iter_mut().filter(|awaited| awaited.of.intent == intent) {
            awaited.revealed = included;
            awaited.open = false;
        }
    }

    /// The lane goes on with the reveal of an earlier process.
    pub fn in_lane(&mut self, intent: u64) {
        self.awaited
            .iter_mut()
            .filter(|awaited| awaited.of.intent == intent)
            .for_each(|awaited| awaited.revealed = true);
    }
}

/// Whether a standing can say anything new of it.
fn concerns(of: &AwaitedWeights, block: BlockNumber) -> bool {
    of.reveal.is_none_or(|reveal| block >= reveal.block)
}

enum Judged {
    /// `open`: it is to be revealed now.
    Waits {
        open: bool,
    },
    Over(WeightOutcome),
}

fn judge(of: &AwaitedWeights, standing: &Standing) -> Judged {
    if standing.block < of.included {
        return Judged::Waits { open: false };
    }
    if of.path == WeightPath::Open {
        return judge_open(of, standing);
    }
    let held = standing.commits.iter().find(|held| is_ours(held, of));
    match held {
        Some(held) => judge_held(of, held, standing),
        // Equal weights before that may be an earlier setting's.
        None if standing.epoch < opens_in(of, standing) => Judged::Waits { open: false },
        None if standing.weights == of.weights => Judged::Over(WeightOutcome::Confirmed { block: standing.block }),
        None => Judged::Over(WeightOutcome::Dropped("the chain gave the commitment up: it shows other weights".into())),
    }
}

fn judge_open(of: &AwaitedWeights, standing: &Standing) -> Judged {
    if standing.last_update >= of.included {
        Judged::Over(WeightOutcome::Confirmed { block: standing.last_update })
    } else if standing.block > of.included.saturating_add(CONFIRM_BLOCKS) {
        Judged::Over(WeightOutcome::Dropped("LastUpdate did not move".into()))
    } else {
        Judged::Waits { open: false }
    }
}

fn judge_held(of: &AwaitedWeights, held: &HeldCommit, standing: &Standing) -> Judged {
    let opens_in = held.epoch.saturating_add(standing.reveal_period);
    let hashed = matches!(of.path, WeightPath::Hash { .. });
    if hashed && standing.epoch > opens_in {
        Judged::Over(WeightOutcome::Dropped("it was not revealed in its epoch".into()))
    } else if standing.epoch > opens_in.saturating_add(LATE_EPOCHS) {
        Judged::Over(WeightOutcome::Dropped("the chain never opened the commitment".into()))
    } else {
        Judged::Waits { open: hashed && standing.epoch == opens_in }
    }
}

/// Foreseen when it was signed; the epoch may have turned before its block, never after.
fn opens_in(of: &AwaitedWeights, standing: &Standing) -> u64 {
    of.reveal.map_or(0, |reveal| reveal.commit_epoch.saturating_add(standing.reveal_period))
}

fn is_ours(held: &HeldCommit, of: &AwaitedWeights) -> bool {
    let same_kind = match (&of.path, held.drand_round) {
        (WeightPath::Timelocked, Some(round)) => of.reveal.is_none_or(|reveal| reveal.drand_round == round),
        (WeightPath::Hash { .. }, None) => true,
        _ => false,
    };
    same_kind && held.block == of.included
}
