//! Forgetting: what lies behind the moments that the machine names.

use std::time::Duration;

use rusqlite::{Transaction, params};

use super::stamp;
use crate::{machine::availability::hour_of, units::Wall};

/// Hours are forgotten whole: what is kept by the hour may be older than its moment by this much.
const SLACK: Duration = Duration::from_secs(3600);

pub(super) fn prune(to: &Transaction, ranking: Wall, events: Wall, availability: Wall) -> rusqlite::Result<()> {
    compact(to, ranking)?;
    to.prepare_cached("DELETE FROM rounds WHERE at < ?1")?.execute([stamp(ranking)])?;
    forget_events(to, events)?;
    forget_hours(to, events, availability)?;
    // Rounds refer to workers by their row, which is given to another once it is free.
    forget_workers(to, availability.min(ranking) - SLACK)
}

/// An ended challenge behind the ranking window keeps its verdict and its times.
fn compact(to: &Transaction, ranking: Wall) -> rusqlite::Result<()> {
    to.prepare_cached(
        "UPDATE challenges SET compacted = 1, seed = NULL, round_id = NULL, rows = NULL, samples = NULL, commitments = NULL, verify_ms = NULL
         WHERE created < ?1 AND verdict = 'verified' AND compacted = 0",
    )?
    .execute([stamp(ranking)])?;
    Ok(())
}

/// The newest weight intent stays, however old, and what is on its way to the chain: a restart begins with them.
fn forget_events(to: &Transaction, events: Wall) -> rusqlite::Result<()> {
    for sql in [
        "DELETE FROM challenges WHERE created < ?1 AND ended IS NOT NULL",
        "DELETE FROM scores WHERE at < ?1",
        "DELETE FROM gpu_inventory WHERE seen < ?1",
        "DELETE FROM extrinsics WHERE signed < ?1 AND ended IS NOT NULL",
        "DELETE FROM weight_outcomes WHERE intent IN
             (SELECT id FROM weight_intents WHERE at < ?1 AND id < (SELECT max(id) FROM weight_intents)
              AND NOT EXISTS (SELECT 1 FROM extrinsics WHERE intent = weight_intents.id))",
        "DELETE FROM weight_intents WHERE at < ?1 AND id < (SELECT max(id) FROM weight_intents)
             AND NOT EXISTS (SELECT 1 FROM extrinsics WHERE intent = weight_intents.id)",
    ] {
        to.prepare_cached(sql)?.execute([stamp(events)])?;
    }
    Ok(())
}

/// Hours worker by worker: the table has no index by hour, and needs none for this.
fn forget_hours(to: &Transaction, events: Wall, availability: Wall) -> rusqlite::Result<()> {
    let workers: Vec<i64> =
        to.prepare_cached("SELECT id FROM workers")?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let mut forget = to.prepare_cached("DELETE FROM availability WHERE worker = ?1 AND hour < ?2")?;
    for worker in workers {
        forget.execute(params![worker, hour_of(availability)])?;
    }
    // Challenges refer to sets of GPUs too.
    let unused = hour_of(events.min(availability) - SLACK);
    to.prepare_cached("DELETE FROM addresses WHERE hour < ?1")?.execute([unused])?;
    to.prepare_cached("DELETE FROM gpu_sets WHERE hour < ?1")?.execute([unused])?;
    Ok(())
}

/// Workers and miners not heard for so long that nothing else of them is left, unless a lease is on them.
fn forget_workers(to: &Transaction, before: Wall) -> rusqlite::Result<()> {
    let gone: Vec<i64> = to
        .prepare_cached(
            "SELECT workers.id FROM workers JOIN miners ON miners.id = workers.miner
             WHERE workers.seen < ?1
               AND NOT EXISTS (SELECT 1 FROM challenges WHERE challenges.worker = workers.id)
               AND NOT EXISTS (SELECT 1 FROM leases WHERE leases.hotkey = miners.hotkey
                               AND leases.worker = workers.worker AND leases.score > 0)",
        )?
        .query_map([stamp(before)], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for sql in [
        "DELETE FROM hardware WHERE worker = ?1",
        "DELETE FROM gpu_inventory WHERE worker = ?1",
        "DELETE FROM workers WHERE id = ?1",
    ] {
        let mut forget = to.prepare_cached(sql)?;
        gone.iter().try_for_each(|worker| forget.execute([worker]).map(drop))?;
    }
    to.prepare_cached(
        "DELETE FROM miners WHERE seen < ?1 AND NOT EXISTS (SELECT 1 FROM workers WHERE miner = miners.id)",
    )?
    .execute([stamp(before)])?;
    Ok(())
}
