//! What a validator must know to go on after a restart.

use std::error::Error;

use rusqlite::{Connection, OptionalExtension, Row, types::Type};

use super::wall;
use crate::{
    machine::contract::store::{CPU_MATRIX, ChallengeRow, Snapshot, StoredWeights, WeightOutcome, Work},
    units::{BlockNumber, ChallengeId, Hotkey, Uid, Wall, WorkerId, WorkerKey},
    wire::messages::gemm_i8::GEMM_I8,
};

pub(super) fn snapshot(from: &Connection) -> rusqlite::Result<Snapshot> {
    Ok(Snapshot {
        open_challenges: open_challenges(from)?,
        leases: leases(from)?,
        workers: workers(from)?,
        weights: weights(from)?,
    })
}

/// A worker's name from two columns of text.
pub(super) fn key(row: &Row, hotkey: usize, worker: usize) -> rusqlite::Result<WorkerKey> {
    let hotkey = Hotkey::label(row.get_ref(hotkey)?.as_str()?);
    Ok(WorkerKey { hotkey, worker: WorkerId::new(row.get_ref(worker)?.as_str()?) })
}

fn open_challenges(from: &Connection) -> rusqlite::Result<Vec<ChallengeRow>> {
    from.prepare_cached(
        "SELECT hotkey, workers.worker, uuid, kind, matrix_size, iterations, coalesce(seed, ''), coalesce(round_id, ''), created,
             coalesce(devices, '[]')
         FROM challenges JOIN workers ON workers.id = challenges.worker JOIN miners ON miners.id = workers.miner
         WHERE ended IS NULL ORDER BY challenges.id",
    )?
    .query_map([], |row| {
        Ok(ChallengeRow {
            target: key(row, 0, 1)?,
            id: ChallengeId::new(row.get_ref(2)?.as_str()?),
            work: work(row)?,
            seed: row.get(6)?,
            round_id: row.get(7)?,
            created: wall(row.get(8)?),
        })
    })?
    .collect()
}

fn work(row: &Row) -> rusqlite::Result<Work> {
    let (n, products) = (row.get(4)?, row.get(5)?);
    Ok(match row.get_ref(3)?.as_str()? {
        CPU_MATRIX => Work::CpuMatrix { n, iterations: products },
        GEMM_I8 => {
            let devices = serde_json::from_str(row.get_ref(9)?.as_str()?).map_err(|error| unreadable(9, error))?;
            Work::GemmI8 { n, rounds: products, devices }
        }
        other => return Err(unreadable(3, format!("challenge kind {other:?}"))),
    })
}

fn leases(from: &Connection) -> rusqlite::Result<Vec<(WorkerKey, f64, Wall)>> {
    from.prepare_cached("SELECT hotkey, worker, score, at FROM leases ORDER BY hotkey, worker")?
        .query_map([], |row| Ok((key(row, 0, 1)?, row.get(2)?, wall(row.get(3)?))))?
        .collect()
}

fn workers(from: &Connection) -> rusqlite::Result<Vec<(WorkerKey, Wall)>> {
    from.prepare_cached(
        "SELECT hotkey, worker, workers.seen FROM workers JOIN miners ON miners.id = workers.miner
         ORDER BY hotkey, worker",
    )?
    .query_map([], |row| Ok((key(row, 0, 1)?, wall(row.get(2)?))))?
    .collect()
}

fn weights(from: &Connection) -> rusqlite::Result<Option<StoredWeights>> {
    let newest = from
        .prepare_cached("SELECT id, at, weights FROM weight_intents ORDER BY id DESC LIMIT 1")?
        .query_row([], |row| Ok((row.get::<_, i64>(0)?, wall(row.get(1)?), row.get::<_, String>(2)?)))
        .optional()?;
    let Some((id, at, weights)) = newest else { return Ok(None) };
    Ok(Some(StoredWeights { at, weights: parse(&weights)?, outcome: last_outcome(from, id)? }))
}

/// A text of a column that is not what we write there.
pub(super) fn unreadable(column: usize, why: impl Into<Box<dyn Error + Send + Sync>>) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, why.into())
}

fn parse(weights: &str) -> rusqlite::Result<Vec<(Uid, Hotkey, u16)>> {
    let weights: Vec<(Uid, String, u16)> = serde_json::from_str(weights).map_err(|error| unreadable(2, error))?;
    Ok(weights.into_iter().map(|(uid, hotkey, share)| (uid, Hotkey::label(&hotkey), share)).collect())
}

fn last_outcome(from: &Connection, intent: i64) -> rusqlite::Result<Option<WeightOutcome>> {
    from.prepare_cached(
        "SELECT kind, hash, block, until, reason FROM weight_outcomes WHERE intent = ?1 ORDER BY id DESC LIMIT 1",
    )?
    .query_row([intent], |row| {
        let number = |column| row.get::<_, i64>(column).map(|block| BlockNumber::try_from(block).unwrap_or(0));
        Ok(match row.get_ref(0)?.as_str()? {
            "submitted" => WeightOutcome::Submitted { hash: row.get(1)?, after: number(2)?, until: number(3)? },
            "included" => WeightOutcome::Included { block: number(2)? },
            "confirmed" => WeightOutcome::Confirmed { block: number(2)? },
            "refused" => WeightOutcome::Refused(row.get(4)?),
            "expired" => WeightOutcome::Expired,
            other => return Err(unreadable(0, format!("weight outcome {other:?}"))),
        })
    })
    .optional()
}
