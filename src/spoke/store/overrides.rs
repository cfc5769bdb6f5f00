//! Settings that the marketplace changed: what is in force, and every change.
//!
//! Owns two tables. Which keys may be changed, and to what, is not known here. The operator's tool takes changes back: at
//! once where no validator runs, else for its next start, for a running one has its settings in memory.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior, params};
use serde_json::Value;

use super::{
    Problem,
    load::unreadable,
    replay::Archive,
    schema::{self, OpenError},
    stamp, wall,
};
use crate::{machine::contract::store::OverridesWrite, units::Wall};

/// Changes that are remembered.
const MOST_HISTORY: i64 = 1000;

/// A setting that was changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    pub key: String,
    pub value: Value,
    pub at: Wall,
    /// Number of the update; `None`: it had none.
    pub message: Option<String>,
    /// Taken back then, and in force until the validator's next start.
    pub reverted: Option<Wall>,
}

/// One change of a setting, its values in JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    pub at: Wall,
    pub key: String,
    pub old: String,
    /// `None`: taken back by the operator.
    pub new: Option<String>,
    pub message: Option<String>,
}

/// Why nothing was taken back.
#[derive(Debug, thiserror::Error)]
pub enum RevertError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("{0}: the marketplace did not change it; nothing was taken back")]
    NotChanged(String),
    #[error("cannot take changes back in the database")]
    Sqlite(#[from] rusqlite::Error),
}

/// What was taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reverted {
    pub keys: Vec<String>,
    /// A validator runs, and has these until its next start.
    pub running: bool,
}

pub(super) fn changed(to: &Transaction, write: &OverridesWrite) -> Result<(), Problem> {
    let at = stamp(write.at);
    for change in &write.changes {
        to.prepare_cached(
            "INSERT INTO overrides (key, value, at, message) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (key) DO UPDATE SET value = ?2, at = ?3, message = ?4, reverted = NULL",
        )?
        .execute(params![change.key, change.new, at, write.message])?;
        remember(to, at, &change.key, &change.old, Some(&change.new), write.message.as_deref())?;
    }
    Ok(())
}

fn remember(
    to: &Transaction,
    at: i64,
    key: &str,
    old: &str,
    new: Option<&str>,
    message: Option<&str>,
) -> rusqlite::Result<()> {
    to.prepare_cached("INSERT INTO override_history (at, key, old, new, message) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![at, key, old, new, message])?;
    to.prepare_cached("DELETE FROM override_history WHERE id <= (SELECT max(id) FROM override_history) - ?1")?
        .execute([MOST_HISTORY])
        .map(drop)
}

/// All of them, also those that were taken back and are in force until the next start.
pub(super) fn stored(from: &Connection) -> rusqlite::Result<Vec<Stored>> {
    let mut statement = from.prepare("SELECT key, value, at, message, reverted FROM overrides ORDER BY key")?;
    let rows = statement.query_map([], |row| {
        let value = serde_json::from_str(row.get_ref(1)?.as_str()?).map_err(|error| unreadable(1, error))?;
        Ok(Stored {
            key: row.get(0)?,
            value,
            at: wall(row.get(2)?),
            message: row.get(3)?,
            reverted: row.get::<_, Option<i64>>(4)?.map(wall),
        })
    })?;
    rows.collect()
}

/// Every change that is remembered, oldest first.
pub(super) fn history(from: &Connection) -> rusqlite::Result<Vec<Past>> {
    let mut statement = from.prepare("SELECT at, key, old, new, message FROM override_history ORDER BY id")?;
    let rows = statement.query_map([], |row| {
        let (at, key, old) = (wall(row.get(0)?), row.get(1)?, row.get(2)?);
        Ok(Past { at, key, old, new: row.get(3)?, message: row.get(4)? })
    })?;
    rows.collect()
}

/// The start that what was taken back has waited for.
pub(super) fn forget_reverted(to: &Connection) -> rusqlite::Result<()> {
    to.execute("DELETE FROM overrides WHERE reverted IS NOT NULL", []).map(drop)
}

/// Takes changes back, these or all of them: all that are named, or none.
pub fn revert(path: &Path, keys: Option<&[String]>, at: Wall) -> Result<Reverted, RevertError> {
    Archive::open(path)?;
    let lock = match schema::lock(path) {
        Ok(lock) => Some(lock),
        Err(OpenError::InUse(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = schema::connect(path, flags)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let there = stored(&transaction)?;
    let missing = keys.unwrap_or(&[]).iter().find(|key| !there.iter().any(|row| row.key == **key));
    if let Some(missing) = missing {
        return Err(RevertError::NotChanged(missing.clone()));
    }
    let wanted = |row: &&Stored| row.reverted.is_none() && keys.is_none_or(|keys| keys.contains(&row.key));
    let mut taken = Vec::new();
    for row in there.iter().filter(wanted) {
        let old: String =
            transaction.query_row("SELECT value FROM overrides WHERE key = ?1", [&row.key], |row| row.get(0))?;
        remember(&transaction, stamp(at), &row.key, &old, None, None)?;
        transaction.execute("UPDATE overrides SET reverted = ?2 WHERE key = ?1", params![row.key, stamp(at)])?;
        taken.push(row.key.clone());
    }
    if lock.is_some() {
        forget_reverted(&transaction)?;
    }
    transaction.commit()?;
    Ok(Reverted { keys: taken, running: lock.is_none() })
}
