//! Rosters: what one heartbeat said of its workers, kept once however often it is said.
//!
//! A miner that says something new each time would fill the disk: it has [`NEW_AN_HOUR`], which is one a heartbeat;
//! beyond it its heartbeats show that the miner is there, and are credited to none of its workers.

use std::{num::NonZeroU32, sync::Arc};

use rusqlite::{Connection, Transaction, params};

use super::{
    interned::{self, ROSTERS},
    load::unreadable,
    stamp,
};
use crate::{
    machine::{
        availability::{AddressId, GpuSetId, Present, Roster, hour_of},
        contract::store::WorkerSeen,
    },
    units::{Wall, WorkerId},
};

/// New rosters that one miner may make in an hour.
pub(super) const NEW_AN_HOUR: u32 = 60;

/// One worker of a roster, by rows; 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub worker: i64,
    pub address: i64,
    pub gpus: i64,
    pub owned: i64,
}

/// The roster's number; `None` when the miner has made too many.
pub(super) fn intern(to: &Transaction, miner: i64, mut entries: Vec<Entry>, at: Wall) -> rusqlite::Result<Option<i64>> {
    entries.sort_by_key(|entry| entry.worker);
    entries.dedup_by_key(|entry| entry.worker);
    let rows: Vec<[i64; 4]> =
        entries.iter().map(|entry| [entry.worker, entry.address, entry.gpus, entry.owned]).collect();
    let text = interned::json(&rows)?;
    if let Some(id) = interned::known(to, &ROSTERS, &text, at)? {
        return Ok(Some(id));
    }
    let fresh: u32 = to
        .prepare_cached(
            "UPDATE miners SET fresh = iif(fresh_hour = ?2, fresh + 1, 1), fresh_hour = ?2 WHERE id = ?1 RETURNING fresh",
        )?
        .query_row(params![miner, hour_of(at)], |row| row.get(0))?;
    if fresh > NEW_AN_HOUR { Ok(None) } else { interned::add(to, &ROSTERS, &text, at).map(Some) }
}

/// Whether a miner may say something new in this hour: else nothing of it is added that is not there yet, neither
/// addresses nor sets of GPUs nor claims.
pub(super) fn may_be_new(to: &Transaction, miner: i64, at: Wall) -> rusqlite::Result<bool> {
    let sql = "SELECT fresh_hour <> ?2 OR fresh < ?3 FROM miners WHERE id = ?1";
    to.prepare_cached(sql)?.query_row(params![miner, hour_of(at), NEW_AN_HOUR], |row| row.get(0))
}

/// Which GPUs a worker says to own. Since when stays; how long is known to the hour, which is enough to forget it.
pub(super) fn claims(to: &Transaction, seq: i64, worker: i64, seen: &WorkerSeen, at: Wall) -> rusqlite::Result<()> {
    let mut claim = to.prepare_cached(
        "INSERT INTO gpu_inventory (uuid, worker, model, since, seen, seq) VALUES (?1, ?2, ?3, ?4, ?4, ?5)
         ON CONFLICT (uuid, worker) DO UPDATE SET model = excluded.model, seen = max(seen, excluded.seen)
         WHERE model <> excluded.model OR seen / 3600000000000 < excluded.seen / 3600000000000",
    )?;
    seen.gpus_owned
        .iter()
        .try_for_each(|(uuid, model)| claim.execute(params![uuid, worker, model, stamp(at), seq]).map(drop))
}

/// A roster by its number; `name` knows the workers' rows.
pub(super) fn read(
    from: &Connection,
    id: NonZeroU32,
    name: impl Fn(i64) -> Option<WorkerId>,
) -> rusqlite::Result<Arc<Roster>> {
    let text: String =
        from.prepare_cached("SELECT text FROM rosters WHERE id = ?1")?.query_row([id.get()], |row| row.get(0))?;
    let rows: Vec<[u32; 4]> = serde_json::from_str(&text).map_err(|error| unreadable(0, error))?;
    let present = |[worker, address, gpus, owned]: [u32; 4]| {
        Some(Present {
            worker: name(worker.into())?,
            address: NonZeroU32::new(address).map(AddressId),
            gpus: NonZeroU32::new(gpus).map(GpuSetId),
            owned: NonZeroU32::new(owned).map(GpuSetId),
        })
    };
    let mut roster: Vec<Present> = rows.into_iter().filter_map(present).collect();
    roster.sort_by(|a, b| a.worker.cmp(&b.worker));
    Ok(roster.into())
}
