//! What the validator has written down, read from its database while it runs. It never writes.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, Row};
use serde::Serialize;

/// One challenge, as far as it has come.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Challenge {
    pub challenge_id: String,
    pub round_id: Option<String>,
    pub hotkey: String,
    pub worker_id: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub matrix_size: u32,
    pub iterations: u32,
    /// From the hand-out to the commitment.
    pub computation_ms: Option<f64>,
    pub verify_ms: Option<f64>,
    /// `verified`, `failed`, `void`, or how far it has come.
    pub verdict: String,
    pub reason: Option<String>,
}

impl Challenge {
    pub fn has_ended(&self) -> bool {
        ["verified", "failed", "void"].contains(&self.verdict.as_str())
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Score {
    pub hotkey: String,
    pub challenge: f64,
    pub lease: f64,
    pub availability: f64,
    pub composite: f64,
    pub weight: f64,
}

/// A weight vector that the chain confirmed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Confirmed {
    pub block: u64,
    /// (uid, hotkey, share of 65,535)
    pub weights: Vec<(u16, String, u16)>,
    /// Nanoseconds since the epoch, when it was meant.
    #[serde(skip)]
    pub at: i64,
}

/// The newest state of everything that the devnet waits for.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    pub challenges: Vec<Challenge>,
    pub scores: Vec<Score>,
    pub confirmed: Option<Confirmed>,
    /// When the last verdict was written.
    pub last_verdict: i64,
}

impl Ledger {
    /// `None` while the validator has not made its database yet.
    pub fn read(path: &Path) -> rusqlite::Result<Option<Ledger>> {
        if !path.exists() {
            return Ok(None);
        }
        let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        db.busy_timeout(std::time::Duration::from_secs(1))?;
        let tables: u32 =
            db.query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'weight_outcomes'", [], |row| row.get(0))?;
        if tables == 0 {
            return Ok(None);
        }
        // one snapshot for all four
        db.execute_batch("BEGIN")?;
        Ok(Some(Ledger {
            challenges: all(&db, CHALLENGES, challenge)?,
            scores: all(&db, SCORES, score)?,
            confirmed: all(&db, CONFIRMED, confirmed)?.pop(),
            last_verdict: db.query_row("SELECT coalesce(max(ended), 0) FROM challenges", [], |row| row.get(0))?,
        }))
    }

    /// Verified challenges of one worker.
    pub fn verified(&self, hotkey: &str, worker_id: &str) -> usize {
        let of_worker = |c: &&Challenge| c.hotkey == hotkey && c.worker_id == worker_id && c.verdict == "verified";
        self.challenges.iter().filter(of_worker).count()
    }

    pub fn failed(&self) -> Option<&Challenge> {
        self.challenges.iter().find(|challenge| challenge.verdict == "failed")
    }
}

const CHALLENGES: &str = "
    SELECT c.uuid, c.round_id, m.hotkey, w.worker, c.kind, c.matrix_size, c.iterations, c.computation_ms, c.verify_ms,
        coalesce(c.verdict, CASE WHEN c.verifying IS NOT NULL THEN 'verifying' WHEN c.committed IS NOT NULL
            THEN 'committed' WHEN c.sent IS NOT NULL THEN 'sent' ELSE 'created' END), c.reason
    FROM challenges c JOIN workers w ON w.id = c.worker JOIN miners m ON m.id = w.miner ORDER BY c.id";

const SCORES: &str = "
    SELECT hotkey, challenge, lease, availability, composite, weight FROM scores
    WHERE at = (SELECT max(at) FROM scores) ORDER BY hotkey";

const CONFIRMED: &str = "
    SELECT o.block, i.weights, i.at FROM weight_outcomes o JOIN weight_intents i ON i.id = o.intent
    WHERE o.kind = 'confirmed' ORDER BY o.id DESC LIMIT 1";

fn all<T>(db: &Connection, sql: &str, read: fn(&Row<'_>) -> rusqlite::Result<T>) -> rusqlite::Result<Vec<T>> {
    db.prepare(sql)?.query_map([], read)?.collect()
}

fn challenge(row: &Row<'_>) -> rusqlite::Result<Challenge> {
    Ok(Challenge {
        challenge_id: row.get(0)?,
        round_id: row.get(1)?,
        hotkey: row.get(2)?,
        worker_id: row.get(3)?,
        kind: row.get(4)?,
        matrix_size: row.get(5)?,
        iterations: row.get(6)?,
        computation_ms: row.get(7)?,
        verify_ms: row.get(8)?,
        verdict: row.get(9)?,
        reason: row.get(10)?,
    })
}

fn score(row: &Row<'_>) -> rusqlite::Result<Score> {
    Ok(Score {
        hotkey: row.get(0)?,
        challenge: row.get(1)?,
        lease: row.get(2)?,
        availability: row.get(3)?,
        composite: row.get(4)?,
        weight: row.get(5)?,
    })
}

fn confirmed(row: &Row<'_>) -> rusqlite::Result<Confirmed> {
    let text: String = row.get(1)?;
    let weights = serde_json::from_str(&text)
        .map_err(|why| rusqlite::Error::FromSqlConversionFailure(1, rusqlite::types::Type::Text, Box::new(why)))?;
    Ok(Confirmed { block: row.get(0)?, weights, at: row.get(2)? })
}
