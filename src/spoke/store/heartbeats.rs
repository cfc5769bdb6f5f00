//! Heartbeats: who was seen, with what, and the hour's buckets.

use std::num::NonZeroU32;

use rusqlite::{OptionalExtension, Transaction, params};

use super::stamp;
use crate::{
    machine::{
        availability::{self, AddressId, Beat, Folded, GpuSetId, Segment, hour_of},
        contract::store::{HeartbeatWrite, WorkerSeen},
    },
    units::{Hotkey, Wall, WorkerKey},
};

pub(super) fn record(to: &Transaction, heartbeat: &HeartbeatWrite) -> rusqlite::Result<()> {
    let miner = miner(to, &heartbeat.hotkey, heartbeat.at)?;
    heartbeat.workers.iter().try_for_each(|seen| worker(to, miner, seen, heartbeat.at))
}

fn miner(to: &Transaction, hotkey: &Hotkey, at: Wall) -> rusqlite::Result<i64> {
    to.prepare_cached(
        "INSERT INTO miners (hotkey, seen) VALUES (?1, ?2)
         ON CONFLICT (hotkey) DO UPDATE SET seen = max(seen, excluded.seen) RETURNING id",
    )?
    .query_row(params![hotkey.as_str(), stamp(at)], |row| row.get(0))
}

fn worker(to: &Transaction, miner: i64, seen: &WorkerSeen, at: Wall) -> rusqlite::Result<()> {
    let worker = upsert(to, miner, seen, at)?;
    if let Some(facts) = &seen.hardware {
        to.prepare_cached(
            "INSERT INTO hardware (worker, reported, facts) VALUES (?1, ?2, ?3)
             ON CONFLICT (worker) DO UPDATE SET reported = excluded.reported, facts = excluded.facts",
        )?
        .execute(params![worker, stamp(at), facts])?;
    }
    for (uuid, model) in &seen.gpus_owned {
        claim(to, uuid, worker, model, at)?;
    }
    present(to, worker, seen, at)
}

fn upsert(to: &Transaction, miner: i64, seen: &WorkerSeen, at: Wall) -> rusqlite::Result<i64> {
    let capabilities = json(&seen.capabilities)?;
    to.prepare_cached(
        "INSERT INTO workers (miner, worker, name, version, capabilities, status, seen) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (miner, worker) DO UPDATE SET name = coalesce(excluded.name, name),
             version = coalesce(excluded.version, version), capabilities = excluded.capabilities,
             status = excluded.status, seen = max(seen, excluded.seen)
         RETURNING id",
    )?
    .query_row(
        params![miner, seen.worker.as_str(), seen.name, seen.version, capabilities, seen.status, stamp(at)],
        |row| row.get(0),
    )
}

fn claim(to: &Transaction, uuid: &str, worker: i64, model: &str, at: Wall) -> rusqlite::Result<()> {
    to.prepare_cached(
        "INSERT INTO gpu_inventory (uuid, worker, model, since, seen) VALUES (?1, ?2, ?3, ?4, ?4)
         ON CONFLICT (uuid, worker) DO UPDATE SET model = excluded.model, seen = max(seen, excluded.seen)",
    )?
    .execute(params![uuid, worker, model, stamp(at)])?;
    Ok(())
}

/// Folds the heartbeat into its hour.
fn present(to: &Transaction, worker: i64, seen: &WorkerSeen, at: Wall) -> rusqlite::Result<()> {
    let named = seen.public_ip.as_deref().filter(|ip| !ip.is_empty());
    let address = named.map(|ip| intern(to, &ADDRESSES, ip, at)).transpose()?.flatten().map(AddressId);
    let gpus = gpu_set(to, seen.gpus_present.iter().map(String::as_str), at)?;
    let last = last_segment(to, worker, at)?;
    let (number, segment) = last.map_or((None, None), |(number, segment)| (Some(number), Some(segment)));
    let segments = number.map_or(0, |number| number + 1);
    match availability::fold(segment, segments, Beat { at, address, gpus }) {
        Folded::Into(grown) if Some(grown) == segment => Ok(()),
        Folded::Into(grown) => put(to, worker, number.unwrap_or(0), &grown),
        Folded::Began(new) => put(to, worker, segments, &new),
        Folded::Dropped => Ok(()),
    }
}

fn last_segment(to: &Transaction, worker: i64, at: Wall) -> rusqlite::Result<Option<(usize, Segment)>> {
    let hour = hour_of(at);
    to.prepare_cached(
        "SELECT segment, mask, last_s, address, gpu_set FROM availability
         WHERE worker = ?1 AND hour = ?2 ORDER BY segment DESC LIMIT 1",
    )?
    .query_row(params![worker, hour], |row| {
        let address = row.get::<_, Option<u32>>(3)?.and_then(NonZeroU32::new).map(AddressId);
        let gpus = row.get::<_, Option<u32>>(4)?.and_then(NonZeroU32::new).map(GpuSetId);
        Ok((row.get(0)?, Segment { hour, hours: 1, mask: row.get(1)?, last_s: row.get(2)?, address, gpus }))
    })
    .optional()
}

fn put(to: &Transaction, worker: i64, number: usize, segment: &Segment) -> rusqlite::Result<()> {
    let address = segment.address.map(|id| id.0.get());
    let gpus = segment.gpus.map(|id| id.0.get());
    to.prepare_cached(
        "INSERT INTO availability (worker, hour, segment, mask, last_s, address, gpu_set) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (worker, hour, segment) DO UPDATE SET mask = excluded.mask, last_s = excluded.last_s,
             address = excluded.address",
    )?
    .execute(params![worker, segment.hour, number, segment.mask, segment.last_s, address, gpus])?;
    Ok(())
}

/// A table of texts that others refer to by number.
struct Texts {
    find: &'static str,
    touch: &'static str,
    add: &'static str,
}

const ADDRESSES: Texts = Texts {
    find: "SELECT id, hour FROM addresses WHERE text = ?1",
    touch: "UPDATE addresses SET hour = ?2 WHERE id = ?1",
    add: "INSERT INTO addresses (text, hour) VALUES (?1, ?2) RETURNING id",
};

const GPU_SETS: Texts = Texts {
    find: "SELECT id, hour FROM gpu_sets WHERE text = ?1",
    touch: "UPDATE gpu_sets SET hour = ?2 WHERE id = ?1",
    add: "INSERT INTO gpu_sets (text, hour) VALUES (?1, ?2) RETURNING id",
};

/// The number of a text; it is kept as long as the hour it was last used in.
fn intern(to: &Transaction, texts: &Texts, text: &str, at: Wall) -> rusqlite::Result<Option<NonZeroU32>> {
    let hour = hour_of(at);
    let found: Option<(u32, u32)> =
        to.prepare_cached(texts.find)?.query_row([text], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let id = match found {
        Some((id, used)) if used >= hour => id,
        Some((id, _)) => {
            to.prepare_cached(texts.touch)?.execute(params![id, hour])?;
            id
        }
        None => to.prepare_cached(texts.add)?.query_row(params![text, hour], |row| row.get(0))?,
    };
    Ok(NonZeroU32::new(id))
}

/// The number of a set of GPUs, given in order; `None` for no GPU.
pub(super) fn gpu_set<'a>(
    to: &Transaction,
    uuids: impl Iterator<Item = &'a str>,
    at: Wall,
) -> rusqlite::Result<Option<GpuSetId>> {
    let uuids: Vec<&str> = uuids.collect();
    if uuids.is_empty() {
        return Ok(None);
    }
    Ok(intern(to, &GPU_SETS, &json(&uuids)?, at)?.map(GpuSetId))
}

/// A list as the database keeps it.
pub(super) fn json<T: serde::Serialize + ?Sized>(list: &T) -> rusqlite::Result<String> {
    serde_json::to_string(list).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

/// The row of a worker that was heard before.
pub(super) fn find(to: &Transaction, key: &WorkerKey) -> rusqlite::Result<Option<i64>> {
    to.prepare_cached(
        "SELECT workers.id FROM workers JOIN miners ON miners.id = workers.miner WHERE hotkey = ?1 AND worker = ?2",
    )?
    .query_row([key.hotkey.as_str(), key.worker.as_str()], |row| row.get(0))
    .optional()
}
