//! Heartbeats: who was seen, with what, and one line in the log.
//!
//! A heartbeat is a beat and a roster (see [`availability`](crate::machine::availability)). What follows from rosters
//! is written when one is new, or said for the first time in an hour: a steady miner costs a row a heartbeat.

use rusqlite::{OptionalExtension, Transaction, params};

use super::{
    interned::{self, ADDRESSES, GPU_SETS},
    rosters::{self, Entry},
    stamp,
};
use crate::{
    machine::{
        availability::hour_of,
        contract::store::{HeartbeatWrite, WorkerSeen},
    },
    units::{Hotkey, Wall, WorkerKey},
};

/// A miner that says the same again within this long, and within one bucket, adds nothing to the log.
const SAME_AGAIN_S: u64 = 30;

/// A miner's row, and its newest beat.
struct Miner {
    id: i64,
    beat: Wall,
    roster: Option<i64>,
}

pub(super) fn record(to: &Transaction, seq: i64, heartbeat: &HeartbeatWrite) -> rusqlite::Result<()> {
    let at = heartbeat.at;
    let miner = miner(to, &heartbeat.hotkey, at)?;
    let new = rosters::may_be_new(to, miner.id, at)?;
    let mut entries = Vec::with_capacity(heartbeat.workers.len());
    for seen in &heartbeat.workers {
        entries.push(entry(to, seq, miner.id, seen, at, new)?);
    }
    let known: Option<Vec<Entry>> = entries.into_iter().collect();
    let roster = match known {
        Some(entries) => rosters::intern(to, miner.id, entries, at)?,
        None => None,
    };
    if adds_nothing(&miner, roster, at) {
        return Ok(());
    }
    to.prepare_cached("INSERT INTO beats (seq, miner, at, roster) VALUES (?1, ?2, ?3, ?4)")?.execute(params![
        seq,
        miner.id,
        stamp(at),
        roster
    ])?;
    to.prepare_cached("UPDATE miners SET beat = ?2, roster = ?3 WHERE id = ?1")?.execute(params![
        miner.id,
        stamp(at),
        roster
    ])?;
    to.prepare_cached("INSERT INTO hours (hour, seq) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
        .execute(params![hour_of(at), seq])?;
    Ok(())
}

fn adds_nothing(miner: &Miner, roster: Option<i64>, at: Wall) -> bool {
    let soon = at >= miner.beat && at.since(miner.beat).as_secs() < SAME_AGAIN_S;
    soon && at.bucket() == miner.beat.bucket() && roster == miner.roster
}

fn miner(to: &Transaction, hotkey: &Hotkey, at: Wall) -> rusqlite::Result<Miner> {
    to.prepare_cached(
        "INSERT INTO miners (hotkey, seen) VALUES (?1, ?2)
         ON CONFLICT (hotkey) DO UPDATE SET seen = max(seen, excluded.seen) RETURNING id, beat, roster",
    )?
    .query_row(params![hotkey.as_str(), stamp(at)], |row| {
        Ok(Miner { id: row.get(0)?, beat: super::wall(row.get(1)?), roster: row.get(2)? })
    })
}

/// `new`: texts that are not there yet may be added. `None`: they would have to be.
fn entry(
    to: &Transaction,
    seq: i64,
    miner: i64,
    seen: &WorkerSeen,
    at: Wall,
    new: bool,
) -> rusqlite::Result<Option<Entry>> {
    let worker = worker(to, seq, miner, seen, at)?;
    if let Some(facts) = &seen.hardware {
        to.prepare_cached(
            "INSERT INTO hardware (worker, reported, facts) VALUES (?1, ?2, ?3)
             ON CONFLICT (worker) DO UPDATE SET reported = excluded.reported, facts = excluded.facts",
        )?
        .execute(params![worker, stamp(at), facts])?;
    }
    if !new {
        return known_entry(to, worker, seen, at);
    }
    let named = seen.public_ip.as_deref().filter(|ip| !ip.is_empty());
    let address = named.map(|ip| interned::number(to, &ADDRESSES, ip, at)).transpose()?;
    let gpus = interned::list(to, &GPU_SETS, seen.gpus_present.iter().map(String::as_str), at)?;
    let owned = interned::list(to, &GPU_SETS, owned(seen).into_iter(), at)?;
    let claims = rosters::claims(to, seq, worker, seen, at);
    claims.map(|()| Some(Entry { worker, address: address.unwrap_or(0), gpus, owned }))
}

fn owned(seen: &WorkerSeen) -> Vec<&str> {
    let mut owned: Vec<&str> = seen.gpus_owned.iter().map(|(uuid, _)| uuid.as_str()).collect();
    owned.sort_unstable();
    owned.dedup();
    owned
}

/// What was said before, in numbers.
fn known_entry(to: &Transaction, worker: i64, seen: &WorkerSeen, at: Wall) -> rusqlite::Result<Option<Entry>> {
    let address = match seen.public_ip.as_deref().filter(|ip| !ip.is_empty()) {
        Some(ip) => interned::known(to, &ADDRESSES, ip, at)?,
        None => Some(0),
    };
    let gpus = interned::known_list(to, &GPU_SETS, seen.gpus_present.iter().map(String::as_str), at)?;
    let owned = interned::known_list(to, &GPU_SETS, owned(seen).into_iter(), at)?;
    Ok(address.zip(gpus.zip(owned)).map(|(address, (gpus, owned))| Entry { worker, address, gpus, owned }))
}

/// The worker's row; it is written only when something changed, or its hour did.
fn worker(to: &Transaction, seq: i64, miner: i64, seen: &WorkerSeen, at: Wall) -> rusqlite::Result<i64> {
    let capabilities = interned::json(&seen.capabilities)?;
    let known = to
        .prepare_cached(
            "SELECT id, coalesce(?3, name) IS name AND coalesce(?4, version) IS version AND capabilities = ?5
                 AND status = ?6 AND seen / 3600000000000 >= ?7 FROM workers WHERE miner = ?1 AND worker = ?2",
        )?
        .query_row(
            params![miner, seen.worker.as_str(), seen.name, seen.version, capabilities, seen.status, hour_of(at)],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    if let Some((id, true)) = known {
        return Ok(id);
    }
    to.prepare_cached(
        "INSERT INTO workers (miner, worker, name, version, capabilities, status, seen, seq)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (miner, worker) DO UPDATE SET name = coalesce(excluded.name, name),
             version = coalesce(excluded.version, version), capabilities = excluded.capabilities,
             status = excluded.status, seen = max(seen, excluded.seen)
         RETURNING id",
    )?
    .query_row(
        params![miner, seen.worker.as_str(), seen.name, seen.version, capabilities, seen.status, stamp(at), seq],
        |row| row.get(0),
    )
}

/// The row of a worker that was heard before.
pub(super) fn find(to: &Transaction, key: &WorkerKey) -> rusqlite::Result<Option<i64>> {
    to.prepare_cached(
        "SELECT workers.id FROM workers JOIN miners ON miners.id = workers.miner WHERE hotkey = ?1 AND worker = ?2",
    )?
    .query_row([key.hotkey.as_str(), key.worker.as_str()], |row| row.get(0))
    .optional()
}
