//! Reads what scoring may look at. No arithmetic here: rows become typed facts, and that is all.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
    sync::Arc,
    time::Duration,
};

use rusqlite::{Connection, Row};

use super::{
    load::{key, unreadable},
    rounds, stamp, wall,
};
use crate::{
    machine::{
        availability::{self, AddressId, GpuSetId, Segment, hour_of},
        contract::store::FactsWindow,
        score::{ChallengeFact, Claim, Facts, MinerFacts, Outcome, WorkerFacts},
    },
    units::{Hotkey, Wall, WorkerKey},
};

/// Workers by row, while their facts come in.
pub(super) type Rows = BTreeMap<i64, (WorkerKey, WorkerFacts)>;

pub(super) fn read(from: &Connection, at: Wall, window: FactsWindow) -> rusqlite::Result<Facts> {
    let ranking = at - Duration::from_secs(window.ranking_minutes.saturating_mul(60));
    let availability = at - Duration::from_secs(window.availability_hours.saturating_mul(3600));
    let snapshot = from.unchecked_transaction()?;
    let mut rows = workers(&snapshot)?;
    presence(&snapshot, availability, &mut rows)?;
    challenges(&snapshot, ranking, &mut rows)?;
    rounds::count(&snapshot, ranking, &mut rows)?;
    Ok(Facts {
        at,
        metagraph: BTreeSet::new(),
        miners: miners(&snapshot)?,
        workers: rows.into_values().collect(),
        claims: claims(&snapshot, ranking)?,
        gpu_sets: gpu_sets(&snapshot)?,
    })
}

fn miners(from: &Connection) -> rusqlite::Result<BTreeMap<Hotkey, MinerFacts>> {
    from.prepare_cached("SELECT hotkey, seen FROM miners")?
        .query_map([], |row| {
            let facts = MinerFacts { seen: wall(row.get(1)?), removed: false };
            Ok((Hotkey::label(row.get_ref(0)?.as_str()?), facts))
        })?
        .collect()
}

fn workers(from: &Connection) -> rusqlite::Result<Rows> {
    from.prepare_cached(
        "SELECT workers.id, miners.hotkey, workers.worker, leases.score
         FROM workers JOIN miners ON miners.id = workers.miner
         LEFT JOIN leases ON leases.hotkey = miners.hotkey AND leases.worker = workers.worker",
    )?
    .query_map([], |row| {
        let facts = WorkerFacts { lease: row.get(3)?, ..WorkerFacts::default() };
        Ok((row.get(0)?, (key(row, 1, 2)?, facts)))
    })?
    .collect()
}

fn presence(from: &Connection, since: Wall, rows: &mut Rows) -> rusqlite::Result<()> {
    let mut statement = from.prepare_cached(
        "SELECT worker, hour, mask, last_s, address, gpu_set FROM availability WHERE hour >= ?1
         ORDER BY worker, hour, segment",
    )?;
    let mut found = statement.query([hour_of(since)])?;
    // Rows come worker by worker: the map is asked once for each.
    let mut worker = 0;
    let mut presence: Vec<Segment> = Vec::new();
    while let Some(row) = found.next()? {
        let next = row.get(0)?;
        if next != worker {
            store_presence(rows, worker, &mut presence);
            worker = next;
        }
        availability::append(&mut presence, segment(row)?);
    }
    store_presence(rows, worker, &mut presence);
    Ok(())
}

fn store_presence(rows: &mut Rows, worker: i64, presence: &mut Vec<Segment>) {
    if let Some((_, facts)) = rows.get_mut(&worker) {
        facts.presence = presence.as_slice().into();
    }
    presence.clear();
}

fn segment(row: &Row) -> rusqlite::Result<Segment> {
    Ok(Segment {
        hour: row.get(1)?,
        hours: 1,
        mask: row.get(2)?,
        last_s: row.get(3)?,
        address: row.get::<_, Option<u32>>(4)?.and_then(NonZeroU32::new).map(AddressId),
        gpus: gpu_set(row, 5)?,
    })
}

fn gpu_set(row: &Row, column: usize) -> rusqlite::Result<Option<GpuSetId>> {
    Ok(row.get::<_, Option<u32>>(column)?.and_then(NonZeroU32::new).map(GpuSetId))
}

/// Rows of before there was a second kind have no `ops`; theirs are those of `cpu_matrix`.
fn challenges(from: &Connection, since: Wall, rows: &mut Rows) -> rusqlite::Result<()> {
    let mut statement = from.prepare_cached(
        "SELECT worker, created, id, verdict, computation_ms, success_count, gpu_set, coalesce(reason, ''),
             coalesce(ops, 2.0 * matrix_size * matrix_size * matrix_size * iterations)
         FROM challenges WHERE created >= ?1 AND ended IS NOT NULL ORDER BY created, id",
    )?;
    let mut found = statement.query([stamp(since)])?;
    while let Some(row) = found.next()? {
        let fact = ChallengeFact { created: wall(row.get(1)?), row: row.get(2)?, outcome: outcome(row)? };
        if let Some((_, facts)) = rows.get_mut(&row.get(0)?) {
            facts.challenges.push(fact);
        }
    }
    Ok(())
}

fn outcome(row: &Row) -> rusqlite::Result<Outcome> {
    let reason = || -> rusqlite::Result<Arc<str>> { Ok(row.get_ref(7)?.as_str()?.into()) };
    Ok(match row.get_ref(3)?.as_str()? {
        "verified" => Outcome::Verified {
            computation_ms: row.get(4)?,
            success_count: row.get(5)?,
            gpus: gpu_set(row, 6)?,
            ops: row.get(8)?,
        },
        "failed" => Outcome::Failed(reason()?),
        "void" => Outcome::Void(reason()?),
        other => return Err(unreadable(3, format!("verdict {other:?}"))),
    })
}

fn claims(from: &Connection, since: Wall) -> rusqlite::Result<BTreeMap<Arc<str>, Vec<Claim>>> {
    let mut statement = from.prepare_cached(
        "SELECT uuid, hotkey, workers.worker, since, gpu_inventory.seen, proved FROM gpu_inventory
         JOIN workers ON workers.id = gpu_inventory.worker JOIN miners ON miners.id = workers.miner
         WHERE gpu_inventory.seen >= ?1 ORDER BY uuid, hotkey, workers.worker",
    )?;
    let mut found = statement.query([stamp(since)])?;
    let mut claims: BTreeMap<Arc<str>, Vec<Claim>> = BTreeMap::new();
    while let Some(row) = found.next()? {
        let (since, seen) = (wall(row.get(3)?), wall(row.get(4)?));
        let proved = row.get::<_, Option<i64>>(5)?.map(wall);
        let claim = Claim { worker: key(row, 1, 2)?, since, seen, proved, removed: false };
        claims.entry(row.get_ref(0)?.as_str()?.into()).or_default().push(claim);
    }
    Ok(claims)
}

fn gpu_sets(from: &Connection) -> rusqlite::Result<BTreeMap<GpuSetId, BTreeSet<Arc<str>>>> {
    let mut statement = from.prepare_cached("SELECT id, text FROM gpu_sets")?;
    let mut found = statement.query([])?;
    let mut sets = BTreeMap::new();
    while let Some(row) = found.next()? {
        let uuids: BTreeSet<Arc<str>> =
            serde_json::from_str(row.get_ref(1)?.as_str()?).map_err(|error| unreadable(1, error))?;
        let id = NonZeroU32::new(row.get(0)?).map(GpuSetId);
        sets.extend(id.map(|id| (id, uuids)));
    }
    Ok(sets)
}
