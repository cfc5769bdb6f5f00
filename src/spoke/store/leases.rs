//! What a source says of leases, as facts of the log: changes alone, and when it spoke.
//!
//! What they are worth later is not known here.

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::{Batch, Problem, load::key, nonsense, stamp, wall};
use crate::{
    machine::contract::store::{KnownLeases, LeaseRow, LeasesWrite},
    units::{Wall, WorkerKey},
};

pub(super) fn said(batch: &mut Batch, write: &LeasesWrite) -> Result<(), Problem> {
    let (at, source) = (stamp(write.at), write.source.as_str());
    for (key, score) in &write.scores {
        if !(0.0..=1.0).contains(score) {
            return Err(nonsense(format!("lease score {score} of {key}: not in 0–1")));
        }
        if !is_known(batch.to, key, *score, source)? {
            let seq = batch.next();
            let (hotkey, worker) = (key.hotkey.as_str(), key.worker.as_str());
            batch
                .to
                .prepare_cached(
                    "INSERT INTO lease_events (seq, at, hotkey, worker, score, source) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                )?
                .execute(params![seq, at, hotkey, worker, score, source])?;
            keep(batch.to, key, *score, at, source)?;
        }
    }
    let seq = batch.next();
    let mut put = batch.to.prepare_cached("INSERT INTO lease_words (seq, at, source) VALUES (?1, ?2, ?3)")?;
    put.execute(params![seq, at, source])?;
    Ok(())
}

/// The same source has said the same, or there is nothing to end.
fn is_known(from: &Transaction, key: &WorkerKey, score: f64, source: &str) -> rusqlite::Result<bool> {
    let mut find =
        from.prepare_cached("SELECT score = ?3 AND source = ?4 FROM leases WHERE hotkey = ?1 AND worker = ?2")?;
    let found = find.query_row(params![key.hotkey.as_str(), key.worker.as_str(), score, source], |row| row.get(0));
    Ok(found.optional()?.unwrap_or(score <= 0.0))
}

fn keep(to: &Transaction, key: &WorkerKey, score: f64, at: i64, source: &str) -> rusqlite::Result<()> {
    let (hotkey, worker) = (key.hotkey.as_str(), key.worker.as_str());
    if score > 0.0 {
        let sql = "INSERT OR REPLACE INTO leases (hotkey, worker, score, at, source) VALUES (?1, ?2, ?3, ?4, ?5)";
        to.prepare_cached(sql)?.execute(params![hotkey, worker, score, at, source])?;
    } else {
        let sql = "DELETE FROM leases WHERE hotkey = ?1 AND worker = ?2";
        to.prepare_cached(sql)?.execute([hotkey, worker])?;
    }
    Ok(())
}

pub(super) fn known(from: &Connection) -> rusqlite::Result<KnownLeases> {
    let mut statement =
        from.prepare_cached("SELECT hotkey, worker, score, at, source FROM leases ORDER BY hotkey, worker")?;
    let rows = statement.query_map([], |row| {
        Ok(LeaseRow { key: key(row, 0, 1)?, score: row.get(2)?, heard: wall(row.get(3)?), source: row.get(4)? })
    })?;
    Ok(KnownLeases { rows: rows.collect::<rusqlite::Result<_>>()?, heard: heard(from, 0, i64::MAX)? })
}

/// When a source last spoke, of what the log has between two numbers.
pub(super) fn heard(from: &Connection, after: i64, upto: i64) -> rusqlite::Result<Option<Wall>> {
    let sql = "SELECT at FROM lease_words WHERE seq > ?1 AND seq <= ?2 ORDER BY seq DESC LIMIT 1";
    from.prepare_cached(sql)?.query_row([after, upto], |row| Ok(wall(row.get(0)?))).optional()
}

/// What was in force before the moment holds after it: only what something else followed before it goes.
pub(super) fn forget(to: &Transaction, before: Wall) -> rusqlite::Result<()> {
    for sql in [
        "DELETE FROM lease_events WHERE at < ?1 AND EXISTS
             (SELECT 1 FROM lease_events AS newer WHERE newer.hotkey = lease_events.hotkey
              AND newer.worker = lease_events.worker AND newer.seq > lease_events.seq AND newer.at < ?1)",
        // No lease from the beginning is as good as one that ended.
        "DELETE FROM lease_events WHERE at < ?1 AND score <= 0 AND NOT EXISTS
             (SELECT 1 FROM lease_events AS older WHERE older.hotkey = lease_events.hotkey
              AND older.worker = lease_events.worker AND older.seq < lease_events.seq)",
        "DELETE FROM lease_words WHERE at < ?1 AND seq < (SELECT max(seq) FROM lease_words WHERE at < ?1)",
    ] {
        to.prepare_cached(sql)?.execute([stamp(before)])?;
    }
    Ok(())
}
