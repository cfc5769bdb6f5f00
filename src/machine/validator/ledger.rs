//! What must become durable, in order, also when the disk is full for a while.
//!
//! Owns the journal and the backlog of writes that must not be lost (challenges, commitments, verdicts,
//! outcomes). One batch at a time carries such writes, so a batch that failed is repeated before anything that
//! came later: a worker's next challenge never overtakes the end of its last. It answers nobody: waiters are
//! handed back with the news.

use std::{collections::VecDeque, time::Duration};

use super::{axon::Pending, sessions::SessionId};
use crate::{
    machine::{
        contract::store::{StoreFault, StoreRequest, Write},
        journal::{Full, Journal},
    },
    units::{ChallengeId, Hotkey, Mono, Now},
};

/// Writes that must not be lost and wait for their batch.
pub const MOST_BACKLOG: usize = 65_536;
/// Of these, how many one batch carries.
const PER_BATCH: usize = 1024;
/// Pause after a batch that failed.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Who waits for a batch.
#[derive(Debug)]
pub enum Waiter {
    /// A heartbeat to be answered.
    Heartbeat(Box<Beat>),
    /// Challenges that may be sent once they are stored.
    Challenges(Vec<ChallengeId>),
    /// The weight intent that may be signed once it is stored.
    Intent,
    /// The signed extrinsic that may be submitted once it is stored.
    Extrinsic,
    /// The task of that key, to be acknowledged.
    Task(String),
    /// The update of the settings that counts once it is stored.
    Overrides,
    /// A write of the backlog.
    Must(Box<Write>),
}

/// A heartbeat that was taken in.
#[derive(Debug)]
pub struct Beat {
    pub pending: Pending,
    pub session: SessionId,
    /// How many workers it told of.
    pub workers: u32,
}

/// What came of a batch.
#[derive(Debug)]
pub struct Settled {
    /// `Err`: nothing of it took effect.
    pub result: Result<(), String>,
    pub waiters: Vec<Waiter>,
    /// From its hand-over to the answer.
    pub took: Duration,
    pub writes: usize,
}

#[derive(Debug, Default)]
pub struct Ledger {
    journal: Journal<Waiter>,
    backlog: VecDeque<Write>,
    /// Writes of the backlog that are in the journal.
    out: usize,
    not_before: Mono,
    /// A batch was refused for one write of it: they go one by one until that write is found.
    one_by_one: bool,
    lost: u64,
    /// Since when the store has a batch, and how many writes.
    at_store: (Mono, usize),
}

impl Ledger {
    /// A heartbeat and its answer. When there is no room, the waiter comes back.
    pub fn heartbeat(&mut self, now: Now, write: Write, waiter: Waiter) -> Result<(), Full<Waiter>> {
        self.journal.write(now.mono, vec![write], Some(waiter))
    }

    /// Room for new challenges: half of the backlog is kept for what becomes of them.
    pub fn has_room(&self) -> bool {
        self.backlog.len() < MOST_BACKLOG / 2
    }

    /// A write that something waits for. `false`: no room.
    pub fn first(&mut self, now: Now, write: Write, waiter: Waiter) -> bool {
        self.journal.write(now.mono, vec![write], Some(waiter)).is_ok()
    }

    /// A record that the next calculation makes again when it is lost.
    pub fn note(&mut self, now: Now, write: Write) {
        if let Err(full) = self.journal.write(now.mono, vec![write], None) {
            log::warn!(target: "validator", "a record was not kept: {full}");
        }
    }

    /// A write that must not be lost.
    pub fn must(&mut self, write: Write) {
        if self.backlog.len() >= MOST_BACKLOG {
            self.lost += 1;
            log::error!(target: "validator", "{MOST_BACKLOG} writes wait for the store, one more is lost: {write:?}");
            return;
        }
        self.backlog.push_back(write);
    }

    /// The next batch for the store, when it is time.
    pub fn next_batch(&mut self, now: Now) -> Option<StoreRequest> {
        if self.out == 0 && now.mono >= self.not_before {
            self.move_backlog(now.mono);
        }
        let batch = self.journal.poll(now.mono);
        if let Some(StoreRequest::Commit { writes, .. }) = &batch {
            self.at_store = (now.mono, writes.len());
        }
        batch
    }

    fn move_backlog(&mut self, now: Mono) {
        let most = if self.one_by_one { 1 } else { PER_BATCH };
        while self.out < most
            && let Some(write) = self.backlog.pop_front()
        {
            match self.journal.write(now, vec![write.clone()], Some(Waiter::Must(Box::new(write)))) {
                Ok(()) => self.out += 1,
                Err(Full { waiter, .. }) => {
                    self.not_before = now + RETRY_AFTER;
                    return self.put_back(waiter);
                }
            }
        }
    }

    /// The store answered for a batch. Waiters of the backlog are dealt with here.
    pub fn settle(&mut self, now: Now, batch: u64, result: Result<(), StoreFault>) -> Settled {
        let (backlog, mut waiters): (Vec<_>, Vec<_>) =
            self.journal.settle(batch).into_iter().partition(|waiter| matches!(waiter, Waiter::Must(_)));
        self.out -= backlog.len().min(self.out);
        let over = match &result {
            Ok(()) => {
                self.one_by_one &= !self.backlog.is_empty();
                backlog
            }
            Err(fault) => self.repeat(now.mono, fault, backlog),
        };
        let ids = created(&over);
        if !ids.is_empty() {
            waiters.push(Waiter::Challenges(ids));
        }
        let (since, writes) = self.at_store;
        let result = result.map_err(|fault| fault.to_string());
        Settled { result, waiters, took: now.mono.since(since), writes }
    }

    /// Gives back what is given up.
    fn repeat(&mut self, now: Mono, fault: &StoreFault, failed: Vec<Waiter>) -> Vec<Waiter> {
        self.not_before = now + RETRY_AFTER;
        if let (StoreFault::Refused { .. }, [Waiter::Must(write)]) = (fault, &failed[..])
            && self.one_by_one
        {
            self.lost += 1;
            log::error!(target: "validator", "the store takes this write never: {write:?}: {fault}");
            return failed;
        }
        self.one_by_one |= matches!(fault, StoreFault::Refused { .. });
        self.put_back(failed.into_iter().rev());
        Vec::new()
    }

    /// Newest first.
    fn put_back(&mut self, waiters: impl IntoIterator<Item = Waiter>) {
        for waiter in waiters {
            if let Waiter::Must(write) = waiter {
                self.backlog.push_front(*write);
            }
        }
    }

    /// No waiting for company any more: the daemon stops.
    pub fn hurry(&mut self) {
        self.journal.hurry();
    }

    pub fn is_idle(&self) -> bool {
        self.journal.is_idle() && self.backlog.is_empty()
    }

    pub fn deadline(&self) -> Option<Mono> {
        let backlog = (self.out == 0 && !self.backlog.is_empty()).then_some(self.not_before);
        self.journal.deadline().into_iter().chain(backlog).min()
    }

    pub fn backlog(&self) -> usize {
        self.backlog.len() + self.out
    }

    /// Writes that never reached the store.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Whose heartbeats are in these waiters: their hardware must be written again.
    pub fn unheard(waiters: &[Waiter]) -> Vec<Hotkey> {
        let of = |waiter: &Waiter| match waiter {
            Waiter::Heartbeat(beat) => Some(beat.pending.head.hotkey.clone()),
            _ => None,
        };
        waiters.iter().filter_map(of).collect()
    }
}

/// The challenges that came to be with these writes.
fn created(waiters: &[Waiter]) -> Vec<ChallengeId> {
    let of = |waiter: &Waiter| match waiter {
        Waiter::Must(write) => match write.as_ref() {
            Write::ChallengeCreated(row) => Some(row.id.clone()),
            _ => None,
        },
        _ => None,
    };
    waiters.iter().filter_map(of).collect()
}
