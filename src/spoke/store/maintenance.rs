//! Announced maintenance, as facts of the log: changes alone.
//!
//! What a window is worth is not known here. A miner that changes its mind more than [`CHANGES_A_DAY`] times a day is not
//! listened to until a day has passed: what it announced last stands.

use std::{collections::BTreeMap, time::Duration};

use rusqlite::{Connection, Transaction, params};

use super::{Batch, stamp, wall};
use crate::{
    machine::{
        contract::store::{Announced, HeartbeatWrite},
        score::Span,
    },
    units::Wall,
};

/// Of one miner: a thousand workers, each into it and out of it.
const CHANGES_A_DAY: i64 = 2000;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Writes down what is new in a heartbeat.
pub(super) fn heard(batch: &mut Batch, heartbeat: &HeartbeatWrite) -> rusqlite::Result<()> {
    let Some(announced) = &heartbeat.maintenance else { return Ok(()) };
    let (to, at) = (batch.to, heartbeat.at);
    let find = "SELECT id FROM miners WHERE hotkey = ?1";
    let miner: i64 = to.prepare_cached(find)?.query_row([heartbeat.hotkey.as_str()], |row| row.get(0))?;
    let known = newest(to, miner)?;
    for (worker, starts, ends) in changes(&known, announced, at) {
        if changed_lately(to, miner, at)? >= CHANGES_A_DAY {
            return Ok(());
        }
        let sql = "INSERT INTO maintenance (seq, miner, worker, at, starts, ends) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let seq = batch.next();
        batch.to.prepare_cached(sql)?.execute(params![seq, miner, worker, stamp(at), stamp(starts), stamp(ends)])?;
    }
    Ok(())
}

/// The newest window of each worker of a miner.
fn newest(from: &Transaction, miner: i64) -> rusqlite::Result<BTreeMap<String, (Wall, Wall)>> {
    let mut find =
        from.prepare_cached("SELECT worker, starts, ends, max(seq) FROM maintenance WHERE miner = ?1 GROUP BY worker")?;
    let found = find.query_map([miner], |row| Ok((row.get(0)?, (wall(row.get(1)?), wall(row.get(2)?)))))?;
    found.collect()
}

/// Windows that are new or other than before; those that are not announced any more end now.
fn changes<'a>(
    known: &'a BTreeMap<String, (Wall, Wall)>,
    announced: &'a [Announced],
    at: Wall,
) -> Vec<(&'a str, Wall, Wall)> {
    let said = |name: &str| announced.iter().any(|window| window.worker.as_str() == name);
    let ended = known.iter().filter(|(name, (_, ends))| *ends > at && !said(name)).map(|(name, _)| (&**name, at, at));
    let new = announced.iter().filter(|window| window.until > at).filter_map(|window| {
        let (name, times) = (window.worker.as_str(), (window.from, window.until));
        (known.get(name) != Some(&times)).then_some((name, window.from, window.until))
    });
    new.chain(ended).collect()
}

fn changed_lately(from: &Transaction, miner: i64, at: Wall) -> rusqlite::Result<i64> {
    let mut count = from.prepare_cached("SELECT count(*) FROM maintenance WHERE miner = ?1 AND at > ?2")?;
    count.query_row(params![miner, stamp(at - DAY)], |row| row.get(0))
}

/// One change, as the log has it.
pub(super) struct Change {
    pub miner: i64,
    pub worker: String,
    pub at: Wall,
    pub window: Span,
}

/// Changes between two numbers, in order.
pub(super) fn changed(from: &Connection, after: i64, upto: i64) -> rusqlite::Result<Vec<Change>> {
    let mut find = from.prepare_cached(
        "SELECT miner, worker, at, starts, ends FROM maintenance WHERE seq > ?1 AND seq <= ?2 ORDER BY seq",
    )?;
    let found = find.query_map([after, upto], |row| {
        let window = Span { from: wall(row.get(3)?), until: wall(row.get(4)?) };
        Ok(Change { miner: row.get(0)?, worker: row.get(1)?, at: wall(row.get(2)?), window })
    })?;
    found.collect()
}

/// What a later change made over before the moment, and what ended by itself before it; but nothing that ends a window
/// which stays, as one does that was announced while the clock was ahead.
pub(super) fn forget(to: &Transaction, before: Wall) -> rusqlite::Result<()> {
    let sql = "DELETE FROM maintenance WHERE at < ?1
               AND (ends < ?1 OR EXISTS
                   (SELECT 1 FROM maintenance AS newer WHERE newer.miner = maintenance.miner
                    AND newer.worker = maintenance.worker AND newer.seq > maintenance.seq AND newer.at < ?1))
               AND NOT EXISTS
                   (SELECT 1 FROM maintenance AS older WHERE older.miner = maintenance.miner
                    AND older.worker = maintenance.worker AND older.seq < maintenance.seq AND older.at >= ?1)";
    to.prepare_cached(sql)?.execute([stamp(before)]).map(drop)
}
