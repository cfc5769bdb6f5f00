//! What a validator must know to go on after a restart.

use std::error::Error;

use rusqlite::{Connection, Row, types::Type};

use super::{leases, tasks, under_way, wall};
use crate::{
    machine::contract::store::{CPU_MATRIX, ChallengeRow, GPU_MATRIX, Snapshot, Work},
    units::{ChallengeId, Hotkey, Wall, WorkerId, WorkerKey},
    wire::messages::gemm_i8::GEMM_I8,
};

pub(super) fn snapshot(from: &Connection) -> rusqlite::Result<Snapshot> {
    Ok(Snapshot {
        open_challenges: open_challenges(from)?,
        leases: leases::known(from)?,
        workers: workers(from)?,
        genesis: under_way::genesis(from)?,
        intent: under_way::intent(from)?,
        in_flight: under_way::in_flight(from)?,
        awaited: under_way::awaited(from)?,
        confirmed: under_way::confirmed(from)?,
        tasks: tasks::kept(from)?,
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
        GPU_MATRIX => Work::GpuMatrix { n, iterations: products, gpus: devices(row)? },
        GEMM_I8 => Work::GemmI8 { n, rounds: products, devices: devices(row)? },
        other => return Err(unreadable(3, format!("challenge kind {other:?}"))),
    })
}

fn devices(row: &Row) -> rusqlite::Result<Vec<String>> {
    serde_json::from_str(row.get_ref(9)?.as_str()?).map_err(|error| unreadable(9, error))
}

fn workers(from: &Connection) -> rusqlite::Result<Vec<(WorkerKey, Wall)>> {
    from.prepare_cached(
        "SELECT hotkey, worker, workers.seen FROM workers JOIN miners ON miners.id = workers.miner
         ORDER BY hotkey, worker",
    )?
    .query_map([], |row| Ok((key(row, 0, 1)?, wall(row.get(2)?))))?
    .collect()
}

/// A text of a column that is not what we write there.
pub(super) fn unreadable(column: usize, why: impl Into<Box<dyn Error + Send + Sync>>) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, why.into())
}
