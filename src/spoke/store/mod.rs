//! The validator's durable memory: one SQLite file, served a request at a time. Runs on the thread `store`.
//!
//! Owns the file. Never decides: what to write, when to prune and what a failed batch means is the
//! machine's; a write that contradicts what is stored is refused by name and takes its whole batch with it.
//!
//! What survives: a batch that was reported `Committed` survives the end of the process at any moment (the
//! write-ahead log is in the kernel's hands by then). A power cut may take the batches since the log was
//! last synced, at most the last thousand pages of it, never consistency; batches with weight intents,
//! extrinsics or their outcomes, or tasks of the marketplace, are synced before they are reported, and everything
//! before them with them.
//!
//! Scores are calculated by a [`Keeper`], beside the store: the facts of a full network take seconds to read.
//!
//! A simulator restarts a validator by keeping the `Store` and making a new machine: what was not committed
//! is not there, and `Load` may be asked again.

mod book;
pub mod carry;
mod challenges;
mod heartbeats;
mod interned;
mod keeper;
mod leases;
mod load;
mod maintenance;
pub mod overrides;
mod prune;
pub mod replay;
mod rosters;
mod rounds;
mod schema;
mod scores;
mod tasks;
mod under_way;
mod weights;

use std::path::Path;

use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};

use self::keeper::Shelf;
pub use self::{keeper::Keeper, schema::OpenError};
use crate::{
    machine::{
        contract::store::{IntentId, Reach, StoreFault, StoreReply, StoreRequest, Write},
        score::{Facts, Scores},
    },
    units::{Hotkey, Wall},
};

/// The open database.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    shelf: Shelf,
    /// Held for as long as the database is: nobody else may open it to write.
    _lock: Option<std::fs::File>,
}

/// Why a request failed, before it is reported.
#[derive(Debug)]
enum Problem {
    /// The write contradicts what is stored.
    Nonsense(String),
    Sql(rusqlite::Error),
}

impl From<rusqlite::Error> for Problem {
    fn from(error: rusqlite::Error) -> Problem {
        Problem::Sql(error)
    }
}

fn nonsense(what: impl Into<String>) -> Problem {
    Problem::Nonsense(what.into())
}

/// A write must touch exactly one row; otherwise `what` is wrong with it.
fn exactly_one(touched: usize, what: impl FnOnce() -> String) -> Result<(), Problem> {
    if touched == 1 { Ok(()) } else { Err(Problem::Nonsense(what())) }
}

/// Moments as the database keeps them.
fn stamp(at: Wall) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX)
}

fn wall(stamp: i64) -> Wall {
    Wall(u64::try_from(stamp).unwrap_or(0))
}

fn fault(error: &rusqlite::Error) -> StoreFault {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreFault::Full(error.to_string()),
        _ => StoreFault::Broken(error.to_string()),
    }
}

impl Store {
    /// Opens the file, or makes it, for the validator of that hotkey. A file that is not ours, another validator's,
    /// newer than us or damaged is refused and left as it was.
    pub fn open(path: &Path, owner: &Hotkey) -> Result<Store, OpenError> {
        schema::open(path, owner).map(|(connection, lock)| Store {
            connection,
            shelf: Shelf::default(),
            _lock: Some(lock),
        })
    }

    /// Whether [`open`](Store::open) would take the file or could make it, as far as looking shows; changes nothing.
    pub fn look(path: &Path, owner: Option<&Hotkey>) -> Result<(), OpenError> {
        schema::look(path, owner)
    }

    /// An empty database that lives as long as the value.
    pub fn in_memory() -> Result<Store, OpenError> {
        schema::in_memory().map(|connection| Store { connection, shelf: Shelf::default(), _lock: None })
    }

    pub fn serve(&mut self, request: StoreRequest) -> StoreReply {
        match request {
            StoreRequest::Commit { batch, writes } => match self.commit(&writes) {
                Ok(()) => StoreReply::Committed { batch },
                Err(fault) => StoreReply::Failed { batch: Some(batch), fault },
            },
            StoreRequest::Load => reply(load::snapshot(&self.connection), |found| StoreReply::Loaded(Box::new(found))),
            StoreRequest::Score(request) => self.shelf.score(&self.connection, &request),
        }
    }

    /// The facts as of a moment, from everything committed by now. The metagraph is the caller's.
    pub fn facts_at(&self, at: Wall, reach: Reach) -> rusqlite::Result<Facts> {
        let newest: i64 = self.connection.query_row("SELECT seq FROM log", [], |row| row.get(0))?;
        replay::facts(&self.connection, at, reach, newest.unsigned_abs())
    }

    /// Calculates again what was calculated at or before a moment: as recorded, and as it is now.
    pub fn replay(&self, until: Wall) -> rusqlite::Result<Option<(replay::Recorded, Scores)>> {
        let Some(recorded) = replay::recorded(&self.connection, until)? else { return Ok(None) };
        let again = replay::again(&self.connection, &recorded)?;
        Ok(Some((recorded, again)))
    }

    /// Weights as they were meant to be set, the newest when no number is given.
    pub fn recorded_weights(&self, id: Option<IntentId>) -> rusqlite::Result<Option<replay::RecordedWeights>> {
        replay::weights(&self.connection, id)
    }

    /// Settings that were changed, and not taken back.
    pub fn overrides(&self) -> rusqlite::Result<Vec<overrides::Stored>> {
        let mut stored = overrides::stored(&self.connection)?;
        stored.retain(|row| row.reverted.is_none());
        Ok(stored)
    }

    fn commit(&mut self, writes: &[Write]) -> Result<(), StoreFault> {
        let broken = |error: rusqlite::Error| fault(&error);
        let level = if writes.iter().any(needs_sync) { "FULL" } else { "NORMAL" };
        self.connection.pragma_update(None, "synchronous", level).map_err(broken)?;
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(broken)?;
        let mut batch = Batch::begin(&transaction).map_err(broken)?;
        for (index, write) in writes.iter().enumerate() {
            apply(&mut batch, write).map_err(|problem| match problem {
                Problem::Nonsense(what) => StoreFault::Refused { index, what },
                Problem::Sql(error) => fault(&error),
            })?;
        }
        batch.end().map_err(broken)?;
        transaction.commit().map_err(broken)
    }
}

fn reply<T>(found: rusqlite::Result<T>, wrap: impl FnOnce(T) -> StoreReply) -> StoreReply {
    match found {
        Ok(found) => wrap(found),
        Err(error) => StoreReply::Failed { batch: None, fault: fault(&error) },
    }
}

fn needs_sync(write: &Write) -> bool {
    matches!(
        write,
        Write::WeightIntent { .. }
            | Write::WeightOutcome { .. }
            | Write::ExtrinsicSigned { .. }
            | Write::ExtrinsicSubmitted { .. }
            | Write::ExtrinsicOver { .. }
            | Write::Task(_)
            // Who was told that it is accepted does not say it again.
            | Write::Overrides(_)
    )
}

/// One transaction, and the number of the newest fact in it.
struct Batch<'a> {
    to: &'a Transaction<'a>,
    seq: i64,
}

impl<'a> Batch<'a> {
    fn begin(to: &'a Transaction<'a>) -> rusqlite::Result<Batch<'a>> {
        let seq = to.prepare_cached("SELECT seq FROM log")?.query_row([], |row| row.get(0))?;
        Ok(Batch { to, seq })
    }

    /// The number of the next fact.
    fn next(&mut self) -> i64 {
        self.seq += 1;
        self.seq
    }

    fn end(self) -> rusqlite::Result<()> {
        self.to.prepare_cached("UPDATE log SET seq = ?1")?.execute([self.seq]).map(drop)
    }
}

fn apply(batch: &mut Batch, write: &Write) -> Result<(), Problem> {
    let to = batch.to;
    match write {
        Write::Heartbeat(heartbeat) => {
            heartbeats::record(to, batch.next(), heartbeat)?;
            Ok(maintenance::heard(batch, heartbeat)?)
        }
        Write::ChallengeCreated(row) => challenges::created(to, row),
        Write::ChallengeSent { id, at } => challenges::sent(to, id, *at),
        Write::RoundBegan { at, passed_over } => rounds::began(to, batch.next(), *at, passed_over),
        Write::ChallengeCommitted { id, at, computation_ms, commitments, asked } => {
            challenges::committed(to, id, *at, *computation_ms, commitments, asked)
        }
        Write::ChallengeVerifying { id, at } => challenges::verifying(to, id, *at),
        Write::ChallengeEnded { id, at, end, verify_ms } => {
            challenges::ended(to, batch.next(), id, *at, end, *verify_ms)
        }
        Write::Overrides(update) => overrides::changed(to, update),
        Write::Leases(leases) => leases::said(batch, leases),
        Write::Scored(calculation) => Ok(scores::scored(to, calculation)?),
        Write::Genesis(genesis) => weights::genesis(to, genesis),
        Write::WeightIntent { id, at, at_block, weights, basis } => {
            weights::intent(to, *id, *at, *at_block, weights, basis)
        }
        Write::WeightOutcome { intent, at, outcome } => weights::outcome(to, *intent, *at, outcome),
        Write::ExtrinsicSigned { at, errand, extrinsic } => weights::signed(to, *at, errand, extrinsic),
        Write::ExtrinsicSubmitted { at, hash } => weights::submitted(to, *at, hash),
        Write::ExtrinsicOver { at, hash, end } => weights::over(to, *at, hash, end),
        Write::Task(task) => tasks::keep(to, task),
        Write::TasksOver(over) => tasks::over(to, over),
        Write::Prune { ranking, kept, events, availability } => {
            Ok(prune::prune(to, *ranking, *kept, *events, *availability)?)
        }
    }
}

#[cfg(test)]
mod tests;
