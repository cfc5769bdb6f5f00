//! Calculated scores.

use std::time::Duration;

use rusqlite::{Transaction, params};

use super::{interned::json, stamp};
use crate::machine::{
    contract::store::Calculation,
    score::{MinerScore, Scores, WorkerScore, differences},
};

/// Keeps the miners of every calculation and what it was made from, the workers and the shadow of the newest.
pub(super) fn scored(to: &Transaction, calculation: &Calculation) -> rusqlite::Result<()> {
    let scores = &calculation.scores;
    basis(to, calculation)?;
    let policy = scores.policy.to_string();
    scores.miners.iter().try_for_each(|miner| put_miner(to, scores, &policy, miner))?;
    to.execute("DELETE FROM worker_scores", [])?;
    scores.workers.iter().try_for_each(|worker| put_worker(to, scores, worker))?;
    to.execute("DELETE FROM shadow_scores", [])?;
    calculation.shadow.iter().try_for_each(|shadow| put_shadow(to, scores, shadow))
}

/// What it takes to calculate the same again.
fn basis(to: &Transaction, calculation: &Calculation) -> rusqlite::Result<()> {
    let Calculation { scores, seq, policy, reach, metagraph, .. } = calculation;
    let list = to
        .prepare_cached(
            "INSERT INTO hotkey_lists (text) VALUES (?1) ON CONFLICT (text) DO UPDATE SET text = text RETURNING id",
        )?
        .query_row([json(metagraph)?], |row| row.get::<_, i64>(0))?;
    let seconds = |span: Duration| i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
    to.prepare_cached(
        "INSERT OR REPLACE INTO scorings (at, seq, policy, metagraph, ranking_s, heard_s, digest)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        stamp(scores.at),
        i64::try_from(*seq).unwrap_or(i64::MAX),
        json(policy)?,
        list,
        seconds(reach.ranking),
        seconds(reach.heard),
        scores.digest()
    ])?;
    Ok(())
}

fn put_shadow(to: &Transaction, scores: &Scores, shadow: &Scores) -> rusqlite::Result<()> {
    let policy = shadow.policy.to_string();
    let mut put = to
        .prepare_cached("INSERT INTO shadow_scores (hotkey, at, policy, weight, shadow) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    differences(scores, shadow).iter().try_for_each(|of| {
        put.execute(params![of.hotkey.as_str(), stamp(scores.at), policy, of.weight, of.shadow]).map(drop)
    })
}

fn put_miner(to: &Transaction, scores: &Scores, policy: &str, miner: &MinerScore) -> rusqlite::Result<()> {
    to.prepare_cached(
        "INSERT OR REPLACE INTO scores (at, hotkey, policy, online, workers, ranked, raw, own_challenge, challenge,
             replaced, lease, availability, composite, weight, unit)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
    )?
    .execute(params![
        stamp(scores.at),
        miner.hotkey.as_str(),
        policy,
        miner.online,
        miner.workers,
        miner.ranked,
        miner.raw,
        miner.own_challenge,
        miner.challenge,
        miner.replaced,
        miner.lease,
        miner.availability,
        miner.composite,
        miner.weight,
        scores.unit
    ])?;
    Ok(())
}

fn put_worker(to: &Transaction, scores: &Scores, worker: &WorkerScore) -> rusqlite::Result<()> {
    let availability = &worker.availability;
    to.prepare_cached(
        "INSERT INTO worker_scores (hotkey, worker, at, place, counted, attempts, disowned, void, time_ms, devices,
             participation, buckets, buckets_of, gpus_required, address_changes, availability, performance, score,
             base, unit, busy_ms, ops, passed_over, baseline, quarantined, lease_share, verdict)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23,
             ?24, ?25, ?26, ?27)",
    )?
    .execute(params![
        worker.key.hotkey.as_str(),
        worker.key.worker.as_str(),
        stamp(scores.at),
        worker.rank,
        worker.counted,
        worker.attempts,
        worker.disowned,
        worker.void,
        worker.time_ms,
        worker.devices,
        worker.participation,
        availability.buckets,
        availability.of,
        availability.gpus_required,
        availability.address_changes,
        availability.value,
        worker.performance,
        worker.score,
        worker.base,
        scores.unit,
        worker.busy_ms,
        worker.ops,
        worker.passed_over,
        worker.baseline,
        worker.quarantined,
        worker.lease_share,
        scores.verdict(&worker.key)
    ])?;
    Ok(())
}
