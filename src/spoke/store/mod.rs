//! The validator's durable memory: one SQLite file, served a request at a time. Runs on the thread `store`.
//!
//! Owns the file. Never decides: what to write, when to prune and what a failed batch means is the
//! machine's; a write that contradicts what is stored is refused by name and takes its whole batch with it.
//!
//! What survives: a batch that was reported `Committed` survives the end of the process at any moment (the
//! write-ahead log is in the kernel's hands by then). A power cut may take the batches since the log was
//! last synced, at most the last thousand pages of it, never consistency; batches with weight intents,
//! extrinsics or their outcomes are synced before they are reported, and everything before them with them.
//!
//! Facts may be read through a [`Reader`], beside the store: reading them takes seconds on a full network.
//!
//! A simulator restarts a validator by keeping the `Store` and making a new machine: what was not committed
//! is not there, and `Load` may be asked again.

mod challenges;
mod facts;
mod heartbeats;
mod load;
mod prune;
mod reader;
mod rounds;
mod schema;
mod scores;
mod under_way;
mod weights;

use std::path::Path;

use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};

pub use self::{reader::Reader, schema::OpenError};
use crate::{
    machine::contract::store::{StoreFault, StoreReply, StoreRequest, Write},
    units::{Hotkey, Wall},
};

/// The open database.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
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
        schema::open(path, owner).map(|(connection, lock)| Store { connection, _lock: Some(lock) })
    }

    /// Whether [`open`](Store::open) would take the file or could make it, as far as looking shows; changes nothing.
    pub fn look(path: &Path, owner: Option<&Hotkey>) -> Result<(), OpenError> {
        schema::look(path, owner)
    }

    /// An empty database that lives as long as the value.
    pub fn in_memory() -> Result<Store, OpenError> {
        schema::in_memory().map(|connection| Store { connection, _lock: None })
    }

    pub fn serve(&mut self, request: StoreRequest) -> StoreReply {
        match request {
            StoreRequest::Commit { batch, writes } => match self.commit(&writes) {
                Ok(()) => StoreReply::Committed { batch },
                Err(fault) => StoreReply::Failed { batch: Some(batch), fault },
            },
            StoreRequest::Load => reply(load::snapshot(&self.connection), |found| StoreReply::Loaded(Box::new(found))),
            StoreRequest::Facts { at, window } => {
                reply(facts::read(&self.connection, at, window), |found| StoreReply::Facts(Box::new(found)))
            }
        }
    }

    fn commit(&mut self, writes: &[Write]) -> Result<(), StoreFault> {
        let broken = |error: rusqlite::Error| fault(&error);
        let level = if writes.iter().any(needs_sync) { "FULL" } else { "NORMAL" };
        self.connection.pragma_update(None, "synchronous", level).map_err(broken)?;
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(broken)?;
        for (index, write) in writes.iter().enumerate() {
            apply(&transaction, write).map_err(|problem| match problem {
                Problem::Nonsense(what) => StoreFault::Refused { index, what },
                Problem::Sql(error) => fault(&error),
            })?;
        }
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
    )
}

fn apply(to: &Transaction, write: &Write) -> Result<(), Problem> {
    match write {
        Write::Heartbeat(heartbeat) => Ok(heartbeats::record(to, heartbeat)?),
        Write::ChallengeCreated(row) => challenges::created(to, row),
        Write::ChallengeSent { id, at } => challenges::sent(to, id, *at),
        Write::RoundBegan { at, passed_over } => rounds::began(to, *at, passed_over),
        Write::ChallengeCommitted { id, at, computation_ms, commitments, asked } => {
            challenges::committed(to, id, *at, *computation_ms, commitments, asked)
        }
        Write::ChallengeVerifying { id, at } => challenges::verifying(to, id, *at),
        Write::ChallengeEnded { id, at, end, verify_ms } => challenges::ended(to, id, *at, end, *verify_ms),
        Write::Leases { at, scores } => scores::leases(to, *at, scores),
        Write::Scored(calculation) => Ok(scores::scored(to, calculation)?),
        Write::Genesis(genesis) => weights::genesis(to, genesis),
        Write::WeightIntent { id, at, at_block, weights } => weights::intent(to, *id, *at, *at_block, weights),
        Write::WeightOutcome { intent, at, outcome } => weights::outcome(to, *intent, *at, outcome),
        Write::ExtrinsicSigned { at, errand, extrinsic } => weights::signed(to, *at, errand, extrinsic),
        Write::ExtrinsicSubmitted { at, hash } => weights::submitted(to, *at, hash),
        Write::ExtrinsicOver { at, hash, end } => weights::over(to, *at, hash, end),
        Write::Prune { ranking, events, availability } => Ok(prune::prune(to, *ranking, *events, *availability)?),
    }
}

#[cfg(test)]
mod tests;
