//! Tasks of the marketplace, from their arrival until the machine says that they are over.
//!
//! No fact of the log: nothing is scored by them.

use rusqlite::{Connection, Transaction, params};

use super::{
    Problem,
    load::{key, unreadable},
    stamp, wall,
};
use crate::{machine::contract::task::TaskRow, units::Wall, wire::json};

/// The machine knows every task that counts: one that is here under the same key has expired.
pub(super) fn keep(to: &Transaction, task: &TaskRow) -> Result<(), Problem> {
    let sql = "INSERT OR REPLACE INTO market_tasks (task_key, hotkey, worker, task_type, payload, priority, received, expires)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    to.prepare_cached(sql)?.execute(params![
        task.key,
        task.worker.hotkey.as_str(),
        task.worker.worker.as_str(),
        task.task_type,
        task.payload.as_str(),
        task.priority,
        stamp(task.received),
        stamp(task.expires),
    ])?;
    Ok(())
}

/// Another task that came under the same key stays.
pub(super) fn over(to: &Transaction, tasks: &[(String, Wall)]) -> Result<(), Problem> {
    let mut forget = to.prepare_cached("DELETE FROM market_tasks WHERE task_key = ?1 AND expires = ?2")?;
    for (key, expired) in tasks {
        forget.execute(params![key, stamp(*expired)])?;
    }
    Ok(())
}

pub(super) fn kept(from: &Connection) -> rusqlite::Result<Vec<TaskRow>> {
    let sql = "SELECT hotkey, worker, task_key, task_type, payload, priority, received, expires
         FROM market_tasks ORDER BY task_key";
    let row = |row: &rusqlite::Row| {
        Ok(TaskRow {
            worker: key(row, 0, 1)?,
            key: row.get(2)?,
            task_type: row.get(3)?,
            payload: json::parse(row.get_ref(4)?.as_str()?).map_err(|fault| unreadable(4, fault))?,
            priority: row.get(5)?,
            received: wall(row.get(6)?),
            expires: wall(row.get(7)?),
        })
    };
    from.prepare_cached(sql)?.query_map([], row)?.collect()
}
