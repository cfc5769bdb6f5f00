//! Forgetting: what lies behind the moments that the machine names.

use std::time::Duration;

use rusqlite::Transaction;

use super::{leases, maintenance, stamp, wall};
use crate::{machine::availability::hour_of, units::Wall};

/// Hours are forgotten whole: what is kept by the hour may be older than its moment by this much.
const SLACK: Duration = Duration::from_secs(3600);

pub(super) fn prune(
    to: &Transaction,
    ranking: Wall,
    kept: Wall,
    events: Wall,
    availability: Wall,
) -> rusqlite::Result<()> {
    compact(to, ranking)?;
    forget_calculations(to, kept)?;
    let (looked_at_events, looked_at_beats) = looked_at(to)?;
    let (events, availability) = (events.min(looked_at_events), availability.min(looked_at_beats));
    forget_events(to, events)?;
    leases::forget(to, events)?;
    maintenance::forget(to, availability)?;
    forget_beats(to, availability)?;
    forget_texts(to, events.min(availability) - SLACK)?;
    forget_claims(to, availability - SLACK)?;
    // Rosters refer to workers by their row: they go first.
    forget_workers(to, availability.min(events) - SLACK)
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

/// How far back the calculations that are kept have looked, by their own word: at challenges, and at heartbeats.
fn looked_at(to: &Transaction) -> rusqlite::Result<(Wall, Wall)> {
    let sql = "SELECT min(at - ranking_s * 1000000000), min(at - heard_s * 1000000000) FROM scorings";
    let (events, beats) = to
        .prepare_cached(sql)?
        .query_row([], |row| Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, Option<i64>>(1)?)))?;
    let moment = |at: Option<i64>| at.map_or(Wall(u64::MAX), wall);
    Ok((moment(events), moment(beats)))
}

/// The newest weight intent stays, however old, and what is on its way to the chain: a restart begins with them.
fn forget_calculations(to: &Transaction, kept: Wall) -> rusqlite::Result<()> {
    for sql in [
        "DELETE FROM scores WHERE at < ?1",
        "DELETE FROM scorings WHERE at < ?1",
        "DELETE FROM extrinsics WHERE signed < ?1 AND ended IS NOT NULL",
        "DELETE FROM weight_outcomes WHERE intent IN
             (SELECT id FROM weight_intents WHERE at < ?1 AND id < (SELECT max(id) FROM weight_intents)
              AND NOT EXISTS (SELECT 1 FROM extrinsics WHERE intent = weight_intents.id))",
        "DELETE FROM weight_intents WHERE at < ?1 AND id < (SELECT max(id) FROM weight_intents)
             AND NOT EXISTS (SELECT 1 FROM extrinsics WHERE intent = weight_intents.id)",
    ] {
        to.prepare_cached(sql)?.execute([stamp(kept)])?;
    }
    Ok(())
}

fn forget_events(to: &Transaction, events: Wall) -> rusqlite::Result<()> {
    for sql in [
        "DELETE FROM challenges WHERE created < ?1 AND ended IS NOT NULL",
        "DELETE FROM rounds WHERE at < ?1",
        // What was proved last before the moment holds after it.
        "DELETE FROM proofs WHERE created < ?1 AND EXISTS
             (SELECT 1 FROM proofs AS newer WHERE newer.uuid = proofs.uuid AND newer.worker = proofs.worker
              AND newer.seq > proofs.seq AND newer.created < ?1)",
    ] {
        to.prepare_cached(sql)?.execute([stamp(events)])?;
    }
    Ok(())
}

/// Whole hours: the log is numbered, and an hour knows its first number. A clock that was set back gives a later hour the
/// lower ones.
fn forget_beats(to: &Transaction, before: Wall) -> rusqlite::Result<()> {
    let hour = hour_of(before);
    let sql = "SELECT coalesce((SELECT min(seq) FROM hours WHERE hour >= ?1), (SELECT max(seq) + 1 FROM beats), 0)";
    let first: i64 = to.prepare_cached(sql)?.query_row([hour], |row| row.get(0))?;
    to.prepare_cached("DELETE FROM beats WHERE seq < ?1")?.execute([first])?;
    to.prepare_cached("DELETE FROM hours WHERE hour < ?1")?.execute([hour])?;
    Ok(())
}

/// What nobody has referred to since. The newest stays, so that no number is ever given twice.
fn forget_texts(to: &Transaction, before: Wall) -> rusqlite::Result<()> {
    for sql in [
        "DELETE FROM rosters WHERE hour < ?1 AND id < (SELECT max(id) FROM rosters)",
        "DELETE FROM addresses WHERE hour < ?1 AND id < (SELECT max(id) FROM addresses)",
        "DELETE FROM gpu_sets WHERE hour < ?1 AND id < (SELECT max(id) FROM gpu_sets)",
    ] {
        to.prepare_cached(sql)?.execute([hour_of(before)])?;
    }
    to.prepare_cached(
        "DELETE FROM hotkey_lists WHERE id < (SELECT max(id) FROM hotkey_lists)
             AND NOT EXISTS (SELECT 1 FROM scorings WHERE metagraph = hotkey_lists.id)",
    )?
    .execute([])?;
    Ok(())
}

/// No heartbeat that anything looks at names it any more.
fn forget_claims(to: &Transaction, before: Wall) -> rusqlite::Result<()> {
    to.prepare_cached("DELETE FROM gpu_inventory WHERE seen < ?1")?.execute([stamp(before)]).map(drop)
}

/// Workers and miners not heard for so long that nothing else of them is left, unless a lease is on them or was, as far
/// back as anything is kept.
fn forget_workers(to: &Transaction, before: Wall) -> rusqlite::Result<()> {
    let gone: Vec<i64> = to
        .prepare_cached(
            "SELECT workers.id FROM workers JOIN miners ON miners.id = workers.miner
             WHERE workers.seen < ?1 AND workers.id < (SELECT max(id) FROM workers)
               AND NOT EXISTS (SELECT 1 FROM challenges WHERE challenges.worker = workers.id)
               AND NOT EXISTS (SELECT 1 FROM lease_events AS leases WHERE leases.hotkey = miners.hotkey
                               AND leases.worker = workers.worker AND leases.score > 0)",
        )?
        .query_map([stamp(before)], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for sql in [
        "DELETE FROM hardware WHERE worker = ?1",
        "DELETE FROM gpu_inventory WHERE worker = ?1",
        "DELETE FROM proofs WHERE worker = ?1",
        "DELETE FROM workers WHERE id = ?1",
    ] {
        let mut forget = to.prepare_cached(sql)?;
        gone.iter().try_for_each(|worker| forget.execute([worker]).map(drop))?;
    }
    to.prepare_cached(
        "DELETE FROM miners WHERE seen < ?1 AND id < (SELECT max(id) FROM miners)
             AND NOT EXISTS (SELECT 1 FROM workers WHERE miner = miners.id)
             AND NOT EXISTS (SELECT 1 FROM beats WHERE miner = miners.id)
             AND NOT EXISTS (SELECT 1 FROM maintenance WHERE miner = miners.id)",
    )?
    .execute([stamp(before)])?;
    Ok(())
}
