//! The life of a challenge, one row: created, sent, committed, verifying, ended. Each step once, in order.

use std::collections::BTreeSet;

use rusqlite::{Transaction, params};

use super::{
    Problem, exactly_one, heartbeats,
    interned::{self, GPU_SETS},
    nonsense, stamp,
};
use crate::{
    machine::contract::store::{Asked, ChallengeRow, End, Work},
    units::{ChallengeId, Wall},
    wire::messages::{CPU_UUID, gemm_i8::CPU_DEVICE},
};

pub(super) fn created(to: &Transaction, row: &ChallengeRow) -> Result<(), Problem> {
    let Some(worker) = heartbeats::find(to, &row.target)? else {
        return Err(nonsense(format!("challenge {} for the unknown worker {}", row.id, row.target)));
    };
    let (products, devices) = match &row.work {
        Work::CpuMatrix { iterations, .. } => (*iterations, None),
        Work::GpuMatrix { iterations, gpus, .. } => (*iterations, Some(interned::json(gpus)?)),
        Work::GemmI8 { rounds, devices, .. } => (*rounds, Some(interned::json(devices)?)),
    };
    let inserted = to
        .prepare_cached(
            "INSERT INTO challenges (uuid, worker, kind, matrix_size, iterations, devices, seed, round_id, created)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            row.id.as_str(),
            worker,
            row.work.kind(),
            row.work.matrix_size(),
            products,
            devices,
            row.seed,
            row.round_id,
            stamp(row.created)
        ])?;
    exactly_one(inserted, || format!("challenge {}: exists, or {} has another open one", row.id, row.target))
}

pub(super) fn sent(to: &Transaction, id: &ChallengeId, at: Wall) -> Result<(), Problem> {
    let touched = to
        .prepare_cached("UPDATE challenges SET sent = ?2 WHERE uuid = ?1 AND sent IS NULL AND ended IS NULL")?
        .execute(params![id.as_str(), stamp(at)])?;
    exactly_one(touched, || format!("challenge {id} sent: unknown, sent before or over"))
}

pub(super) fn committed(
    to: &Transaction,
    id: &ChallengeId,
    at: Wall,
    computation_ms: f64,
    commitments: &[(String, String)],
    asked: &Asked,
) -> Result<(), Problem> {
    if !computation_ms.is_finite() || computation_ms < 0.0 {
        return Err(nonsense(format!("challenge {id} committed after {computation_ms} ms")));
    }
    let gpus = gpu_set(to, commitments.iter().map(|(uuid, _)| uuid.as_str()), at)?;
    let (rows, samples) = match asked {
        Asked::Rows(rows) => (Some(interned::json(rows)?), None),
        Asked::Values { coordinates, rows } => (Some(interned::json(rows)?), Some(interned::json(coordinates)?)),
        Asked::Samples(samples) => (None, Some(interned::json(samples)?)),
    };
    let touched = to
        .prepare_cached(
            "UPDATE challenges SET committed = ?2, computation_ms = ?3, commitments = ?4, rows = ?5, samples = ?6, gpu_set = ?7
             WHERE uuid = ?1 AND sent IS NOT NULL AND committed IS NULL AND ended IS NULL",
        )?
        .execute(params![
            id.as_str(),
            stamp(at),
            computation_ms,
            interned::json(commitments)?,
            rows,
            samples,
            gpus
        ])?;
    exactly_one(touched, || format!("challenge {id} committed: unknown, never sent, committed before or over"))
}

/// The GPUs among these devices, as a set; `None`: there are none.
fn gpu_set<'a>(to: &Transaction, devices: impl Iterator<Item = &'a str>, at: Wall) -> Result<Option<i64>, Problem> {
    let uuids: BTreeSet<&str> = devices.filter(|uuid| *uuid != CPU_UUID && *uuid != CPU_DEVICE).collect();
    let set = interned::list(to, &GPU_SETS, uuids.into_iter(), at)?;
    Ok((set > 0).then_some(set))
}

pub(super) fn verifying(to: &Transaction, id: &ChallengeId, at: Wall) -> Result<(), Problem> {
    let touched = to
        .prepare_cached(
            "UPDATE challenges SET verifying = ?2
             WHERE uuid = ?1 AND committed IS NOT NULL AND verifying IS NULL AND ended IS NULL",
        )?
        .execute(params![id.as_str(), stamp(at)])?;
    exactly_one(touched, || format!("challenge {id} verifying: unknown, not committed, verifying before or over"))
}

/// Only a committed challenge can end verified. Of its GPUs those alone remain that passed: only they are proven.
pub(super) fn ended(
    to: &Transaction,
    seq: i64,
    id: &ChallengeId,
    at: Wall,
    end: &End,
    verify_ms: Option<f64>,
) -> Result<(), Problem> {
    let (verdict, passed, reason) = match end {
        End::Verified { success_count, ops, note, .. } => ("verified", Some((*success_count, *ops)), note.as_ref()),
        End::Failed(reason) => ("failed", None, Some(reason)),
        End::Void(reason) => ("void", None, Some(reason)),
    };
    let proven = match end {
        End::Verified { passed, .. } => gpu_set(to, passed.iter().map(String::as_str), at)?,
        End::Failed(_) | End::Void(_) => None,
    };
    let (success_count, ops) = passed.unzip();
    if ops.is_some_and(|ops| !ops.is_finite() || ops < 0.0) {
        return Err(nonsense(format!("challenge {id} verified with {ops:?} operations")));
    }
    let touched = to
        .prepare_cached(
            "UPDATE challenges SET ended = ?2, verdict = ?3, success_count = ?4, ops = ?5, reason = ?6, verify_ms = ?7,
                 ended_seq = ?9, gpu_set = iif(?3 = 'verified', ?8, gpu_set)
             WHERE uuid = ?1 AND ended IS NULL AND (committed IS NOT NULL OR ?3 <> 'verified')",
        )?
        .execute(params![id.as_str(), stamp(at), verdict, success_count, ops, reason, verify_ms, proven, seq])?;
    exactly_one(touched, || {
        format!("challenge {id} {verdict}: unknown, over before, or verified without a commitment")
    })?;
    if let End::Verified { passed, .. } = end { proved(to, seq, id, passed) } else { Ok(()) }
}

/// A claim keeps its last proof: a worker on lease is not challenged, and stays the owner of what it proved.
fn proved(to: &Transaction, seq: i64, id: &ChallengeId, passed: &[String]) -> Result<(), Problem> {
    let mut note = to.prepare_cached(
        "INSERT INTO proofs (seq, uuid, worker, created)
         SELECT ?3, ?2, challenges.worker, challenges.created FROM challenges
         JOIN gpu_inventory ON gpu_inventory.worker = challenges.worker AND gpu_inventory.uuid = ?2
         WHERE challenges.uuid = ?1",
    )?;
    passed.iter().try_for_each(|uuid| note.execute(params![id.as_str(), uuid, seq]).map(drop))?;
    Ok(())
}
