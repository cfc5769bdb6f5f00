//! What was on its way to the chain when the process ended, for the next one to go on with.

use rusqlite::{Connection, OptionalExtension, Row};

use super::{load::unreadable, wall};
use crate::{
    machine::contract::{
        chain::{Reveal, SignedExtrinsic, Submission},
        store::{AwaitedWeights, Errand, IntentId, StoredIntent, WeightOutcome, WeightPath},
    },
    units::{Hotkey, Uid, Wall},
};

/// Weights that may wait for their confirmation.
const AWAITED_MAX: u32 = 8;

fn number(row: &Row, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(|number| u64::try_from(number).unwrap_or(0))
}

pub(super) fn genesis(from: &Connection) -> rusqlite::Result<Option<[u8; 32]>> {
    from.query_row("SELECT genesis FROM chain", [], |row| row.get(0))
}

pub(super) fn confirmed(from: &Connection) -> rusqlite::Result<Option<Wall>> {
    from.query_row("SELECT confirmed FROM chain", [], |row| Ok(row.get::<_, Option<i64>>(0)?.map(wall)))
}

pub(super) fn intent(from: &Connection) -> rusqlite::Result<Option<StoredIntent>> {
    let newest = from
        .prepare_cached("SELECT id, at_block, weights FROM weight_intents ORDER BY id DESC LIMIT 1")?
        .query_row([], |row| {
            let weights = parse(row, 2)?;
            Ok(StoredIntent { id: number(row, 0)?, at_block: number(row, 1)?, weights, outcome: None })
        })
        .optional()?;
    let Some(newest) = newest else { return Ok(None) };
    let outcome = last_outcome(from, newest.id)?;
    Ok(Some(StoredIntent { outcome, ..newest }))
}

fn parse(row: &Row, column: usize) -> rusqlite::Result<Vec<(Uid, Hotkey, u16)>> {
    let weights: Vec<(Uid, String, u16)> = json(row, column)?;
    Ok(weights.into_iter().map(|(uid, hotkey, share)| (uid, Hotkey::label(&hotkey), share)).collect())
}

fn json<T: serde::de::DeserializeOwned>(row: &Row, column: usize) -> rusqlite::Result<T> {
    serde_json::from_str(row.get_ref(column)?.as_str()?).map_err(|error| unreadable(column, error))
}

fn last_outcome(from: &Connection, intent: IntentId) -> rusqlite::Result<Option<WeightOutcome>> {
    from.prepare_cached("SELECT kind, block, reason FROM weight_outcomes WHERE intent = ?1 ORDER BY id DESC LIMIT 1")?
        .query_row([i64::try_from(intent).unwrap_or(i64::MAX)], |row| {
            Ok(match row.get_ref(0)?.as_str()? {
                "submitted" => WeightOutcome::Submitted,
                "included" => WeightOutcome::Included { block: number(row, 1)? },
                "confirmed" => WeightOutcome::Confirmed { block: number(row, 1)? },
                "refused" => WeightOutcome::Refused(row.get(2)?),
                "expired" => WeightOutcome::Expired,
                "dropped" => WeightOutcome::Dropped(row.get(2)?),
                "superseded" => WeightOutcome::Superseded,
                other => return Err(unreadable(0, format!("weight outcome {other:?}"))),
            })
        })
        .optional()
}

/// Of an extrinsic, in the order in which [`errand`], [`signed`] and [`reveal`] read them.
const COLUMNS: &str = "errand, intent, path, salt, version_key, drand_round, commit_epoch, reveal_block, bytes, hash, after, until, nonce";

pub(super) fn in_flight(from: &Connection) -> rusqlite::Result<Option<(Errand, SignedExtrinsic)>> {
    from.prepare_cached(&format!("SELECT {COLUMNS} FROM extrinsics WHERE ended IS NULL ORDER BY id DESC LIMIT 1"))?
        .query_row([], |row| Ok((errand(row)?, signed(row)?)))
        .optional()
}

fn errand(row: &Row) -> rusqlite::Result<Errand> {
    Ok(match row.get_ref(0)?.as_str()? {
        "axon" => Errand::Axon,
        "weights" => Errand::Weights { intent: number(row, 1)?, path: path(row)?, version_key: version_key(row)? },
        "reveal" => Errand::Reveal { intent: number(row, 1)? },
        other => return Err(unreadable(0, format!("errand {other:?}"))),
    })
}

fn path(row: &Row) -> rusqlite::Result<WeightPath> {
    Ok(match row.get_ref(2)?.as_str()? {
        "open" => WeightPath::Open,
        "timelocked" => WeightPath::Timelocked,
        "hash" => WeightPath::Hash { salt: json(row, 3)? },
        other => return Err(unreadable(2, format!("path of weights {other:?}"))),
    })
}

fn version_key(row: &Row) -> rusqlite::Result<u64> {
    row.get_ref(4)?.as_str()?.parse().map_err(|error: std::num::ParseIntError| unreadable(4, error))
}

fn reveal(row: &Row) -> rusqlite::Result<Option<Reveal>> {
    if row.get::<_, Option<i64>>(5)?.is_none() {
        return Ok(None);
    }
    Ok(Some(Reveal { drand_round: number(row, 5)?, commit_epoch: number(row, 6)?, block: number(row, 7)? }))
}

fn signed(row: &Row) -> rusqlite::Result<SignedExtrinsic> {
    let submission = Submission { hash: row.get(9)?, after: number(row, 10)?, until: number(row, 11)? };
    Ok(SignedExtrinsic { bytes: row.get(8)?, submission, nonce: number(row, 12)?, reveal: reveal(row)? })
}

/// Weights of which the last thing known is that they are in a block, the newest of them, oldest first.
pub(super) fn awaited(from: &Connection) -> rusqlite::Result<Vec<AwaitedWeights>> {
    let sql = format!(
        "SELECT {COLUMNS}, weights, block FROM extrinsics
         JOIN (SELECT id AS of, weights FROM weight_intents) ON of = intent
         JOIN (SELECT intent AS ended_with, kind, block, max(id) FROM weight_outcomes GROUP BY intent)
             ON ended_with = intent AND kind = 'included'
         WHERE id IN (SELECT max(id) FROM extrinsics WHERE errand = 'weights' GROUP BY intent)
         ORDER BY intent DESC LIMIT {AWAITED_MAX}"
    );
    let mut found = from.prepare_cached(&sql)?.query_map([], one_awaited)?.collect::<rusqlite::Result<Vec<_>>>()?;
    found.reverse();
    Ok(found)
}

fn one_awaited(row: &Row) -> rusqlite::Result<AwaitedWeights> {
    let weights = parse(row, 13)?.into_iter().map(|(uid, _, weight)| (uid, weight)).collect();
    Ok(AwaitedWeights {
        intent: number(row, 1)?,
        weights,
        path: path(row)?,
        version_key: version_key(row)?,
        included: number(row, 14)?,
        reveal: reveal(row)?,
    })
}
