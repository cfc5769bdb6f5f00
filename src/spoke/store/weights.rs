//! Weight intents, the extrinsics that carry them, and what became of both.

use std::collections::BTreeSet;

use rusqlite::{OptionalExtension, Transaction, params};

use super::{Problem, exactly_one, interned::json, nonsense, stamp};
use crate::{
    machine::contract::{
        chain::SignedExtrinsic,
        store::{Errand, ExtrinsicEnd, IntentId, WeightBasis, WeightOutcome, WeightPath},
    },
    units::{BlockNumber, Hotkey, Uid, Wall},
};

/// Numbers of blocks, rounds and intents as the database keeps them.
fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn genesis(to: &Transaction, genesis: &[u8; 32]) -> Result<(), Problem> {
    let touched = to
        .prepare_cached("UPDATE chain SET genesis = ?1 WHERE genesis IS NULL OR genesis = ?1")?
        .execute([genesis.as_slice()])?;
    exactly_one(touched, || "a second chain".into())
}

pub(super) fn intent(
    to: &Transaction,
    id: IntentId,
    at: Wall,
    at_block: BlockNumber,
    weights: &[(Uid, Hotkey, u16)],
    basis: &WeightBasis,
) -> Result<(), Problem> {
    let uids: BTreeSet<Uid> = weights.iter().map(|(uid, _, _)| *uid).collect();
    if weights.is_empty() || uids.len() != weights.len() {
        return Err(nonsense(format!("weight intent of {} entries for {} uids", weights.len(), uids.len())));
    }
    if known(to, id)? {
        return Err(nonsense(format!("a second weight intent {id}")));
    }
    let (scored_at, left_out) = (stamp(basis.scored_at), json(&basis.left_out)?);
    to.prepare_cached(
        "INSERT INTO weight_intents (id, at, at_block, weights, scored_at, left_out, max_share)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        number(id),
        stamp(at),
        number(at_block),
        json(weights)?,
        scored_at,
        left_out,
        basis.limit
    ])?;
    Ok(())
}

fn known(to: &Transaction, intent: IntentId) -> rusqlite::Result<bool> {
    to.prepare_cached("SELECT 1 FROM weight_intents WHERE id = ?1")?.exists([number(intent)])
}

pub(super) fn outcome(to: &Transaction, intent: IntentId, at: Wall, outcome: &WeightOutcome) -> Result<(), Problem> {
    let (kind, block, reason) = match outcome {
        WeightOutcome::Submitted => ("submitted", None, None),
        WeightOutcome::Included { block } => ("included", Some(*block), None),
        WeightOutcome::Confirmed { block } => ("confirmed", Some(*block), None),
        WeightOutcome::Refused(reason) => ("refused", None, Some(reason)),
        WeightOutcome::Expired => ("expired", None, None),
        WeightOutcome::Dropped(reason) => ("dropped", None, Some(reason)),
        WeightOutcome::Superseded => ("superseded", None, None),
    };
    if !known(to, intent)? {
        return Err(nonsense(format!("weights {kind} without an intent {intent}")));
    }
    to.prepare_cached("INSERT INTO weight_outcomes (intent, at, kind, block, reason) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![number(intent), stamp(at), kind, block.map(number), reason])?;
    if kind == "confirmed" {
        to.prepare_cached("UPDATE chain SET confirmed = ?1")?.execute([stamp(at)])?;
    }
    Ok(())
}

/// There is one lane: whatever was on its way before is over.
pub(super) fn signed(to: &Transaction, at: Wall, errand: &Errand, extrinsic: &SignedExtrinsic) -> Result<(), Problem> {
    let (kind, intent, path, version_key) = match errand {
        Errand::Axon => ("axon", None, None, None),
        Errand::Weights { intent, path, version_key } => ("weights", Some(*intent), Some(path), Some(*version_key)),
        Errand::Reveal { intent } => ("reveal", Some(*intent), None, None),
    };
    if let Some(intent) = intent
        && !known(to, intent)?
    {
        return Err(nonsense(format!("an extrinsic without its intent {intent}")));
    }
    let salt = match path {
        Some(WeightPath::Hash { salt }) => Some(json(salt)?),
        _ => None,
    };
    to.prepare_cached("UPDATE extrinsics SET ended = ?1 WHERE ended IS NULL")?.execute([stamp(at)])?;
    let SignedExtrinsic { bytes, submission, nonce, reveal } = extrinsic;
    to.prepare_cached(
        "INSERT INTO extrinsics (hash, errand, intent, path, salt, version_key, bytes, nonce, after, until, drand_round,
             commit_epoch, reveal_block, signed)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    )?
    .execute(params![
        submission.hash,
        kind,
        intent.map(number),
        path.map(WeightPath::name),
        salt,
        version_key.map(|key| key.to_string()),
        bytes,
        number(*nonce),
        number(submission.after),
        number(submission.until),
        reveal.map(|reveal| number(reveal.drand_round)),
        reveal.map(|reveal| number(reveal.commit_epoch)),
        reveal.map(|reveal| number(reveal.block)),
        stamp(at)
    ])?;
    Ok(())
}

/// The intent of an extrinsic that sets or commits weights; `None` of another.
fn intent_of(to: &Transaction, hash: &[u8; 32]) -> Result<Option<IntentId>, Problem> {
    let found: Option<(String, Option<i64>)> = to
        .prepare_cached("SELECT errand, intent FROM extrinsics WHERE hash = ?1")?
        .query_row([hash.as_slice()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (errand, intent) =
        found.ok_or_else(|| nonsense(format!("an extrinsic 0x{} that was never signed", hex::encode(hash))))?;
    Ok(intent.filter(|_| errand == "weights").and_then(|intent| IntentId::try_from(intent).ok()))
}

pub(super) fn submitted(to: &Transaction, at: Wall, hash: &[u8; 32]) -> Result<(), Problem> {
    match intent_of(to, hash)? {
        Some(intent) => outcome(to, intent, at, &WeightOutcome::Submitted),
        None => Ok(()),
    }
}

pub(super) fn over(to: &Transaction, at: Wall, hash: &[u8; 32], end: &ExtrinsicEnd) -> Result<(), Problem> {
    let intent = intent_of(to, hash)?;
    to.prepare_cached("UPDATE extrinsics SET ended = ?1 WHERE hash = ?2")?.execute(params![stamp(at), hash])?;
    let Some(intent) = intent else { return Ok(()) };
    let became = match end {
        ExtrinsicEnd::Included { block } => WeightOutcome::Included { block: *block },
        ExtrinsicEnd::Refused(reason) => WeightOutcome::Refused(reason.clone()),
        ExtrinsicEnd::Expired => WeightOutcome::Expired,
    };
    outcome(to, intent, at, &became)
}
