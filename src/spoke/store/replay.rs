//! Calculating again what was calculated, from the log alone, and saying where it differs.
//!
//! Reads a database beside whoever writes it, and changes nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::Path,
    time::Duration,
};

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{
    book::Book,
    load::unreadable,
    overrides::{self, Past, Stored},
    schema::{self, OpenError},
    stamp, wall,
};
use crate::{
    machine::{
        contract::store::{IntentId, Reach},
        score::{self, Difference, Facts, Policy, Scores},
        validator::blocked::clipped,
    },
    units::{BlockNumber, Hotkey, Uid, Wall},
};

/// A validator's database, to be read.
#[derive(Debug)]
pub struct Archive {
    connection: Connection,
}

/// A calculation as it was recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    pub at: Wall,
    pub seq: u64,
    pub policy: Policy,
    pub reach: Reach,
    pub metagraph: BTreeSet<Hotkey>,
    pub digest: [u8; 32],
    /// Each scored miner's numbers, by their names.
    pub miners: BTreeMap<Hotkey, Vec<(&'static str, f64)>>,
}

/// Weights as they were meant to be set.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedWeights {
    pub id: IntentId,
    pub at: Wall,
    pub at_block: BlockNumber,
    pub weights: Vec<(Uid, Hotkey, u16)>,
    /// `None`: of before the log was kept.
    pub scored_at: Option<Wall>,
    /// Scored miners that got none, and why.
    pub left_out: Vec<(Hotkey, String)>,
    /// The largest share that the chain allowed, of 65535.
    pub limit: u16,
}

/// Another policy's weights beside those of the newest calculation, the largest change first.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedShadow {
    pub at: Wall,
    pub policy: String,
    pub differences: Vec<Difference>,
}

/// The newest that is known of weights on their way to the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Became {
    pub at: Wall,
    /// `submitted`, `included`, `confirmed`, `refused`, `expired`, `dropped` or `superseded`.
    pub kind: String,
    pub block: Option<BlockNumber>,
    pub reason: Option<String>,
}

/// The first place in which a second calculation is not the first.
#[derive(Clone, Debug, PartialEq)]
pub enum Mismatch {
    /// This program has other rules under that name.
    OtherRules {
        recorded: String,
        ours: String,
    },
    /// One of them scored this miner, the other did not.
    Miner {
        hotkey: Hotkey,
        recorded: bool,
    },
    Number {
        hotkey: Hotkey,
        what: &'static str,
        recorded: f64,
        again: f64,
    },
    /// Every miner's numbers are the same; something of a worker is not.
    Workers,
    Weight {
        hotkey: Hotkey,
        recorded: Option<u16>,
        again: Option<u16>,
    },
}

impl fmt::Display for Mismatch {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        let share = |weight: &Option<u16>| weight.map_or("none".into(), |weight| weight.to_string());
        match self {
            Mismatch::OtherRules { recorded, ours } => write!(
                to,
                "it was scored by {recorded}, and this program has {ours}: replay it with the version that made it"
            ),
            Mismatch::Miner { hotkey, recorded: true } => write!(to, "{hotkey}: was scored, and is not now"),
            Mismatch::Miner { hotkey, recorded: false } => write!(to, "{hotkey}: was not scored, and is now"),
            Mismatch::Number { hotkey, what, recorded, again } => {
                write!(to, "{hotkey}: {what} was {recorded}, and is {again} now")
            }
            Mismatch::Workers => {
                to.write_str("every miner's numbers are the same, but some worker's are not: the digests differ")
            }
            Mismatch::Weight { hotkey, recorded, again } => {
                write!(to, "{hotkey}: its weight, of 65535, was {}, and is {} now", share(recorded), share(again))
            }
        }
    }
}

impl Archive {
    /// Opens a database, whoever else has it open.
    pub fn open(path: &Path) -> Result<Archive, OpenError> {
        match schema::read(path, None)? {
            (connection, version) if version == schema::MIGRATIONS.len() => Ok(Archive { connection }),
            (_, version) => Err(schema::older(path, version)),
        }
    }

    /// When scores were calculated, oldest first.
    pub fn moments(&self) -> rusqlite::Result<Vec<Wall>> {
        moments(&self.connection)
    }

    /// The newest calculation until a moment.
    pub fn recorded(&self, until: Wall) -> rusqlite::Result<Option<Recorded>> {
        recorded(&self.connection, until)
    }

    /// The calculation of that very moment; `None`: it was not kept, or is not any more.
    pub fn exactly(&self, at: Wall) -> rusqlite::Result<Option<Recorded>> {
        Ok(self.recorded(at)?.filter(|recorded| recorded.at == at))
    }

    /// Weights by their number, the newest when none is given.
    pub fn weights(&self, id: Option<IntentId>) -> rusqlite::Result<Option<RecordedWeights>> {
        weights(&self.connection, id)
    }

    /// What became of weights; `None`: nothing yet, they are meant to be set.
    pub fn became(&self, id: IntentId) -> rusqlite::Result<Option<Became>> {
        became(&self.connection, id)
    }

    /// Numbers of all weights, oldest first.
    pub fn epochs(&self) -> rusqlite::Result<Vec<IntentId>> {
        let mut statement =
            self.connection.prepare("SELECT id FROM weight_intents WHERE scored_at IS NOT NULL ORDER BY id")?;
        statement.query_map([], |row| Ok(row.get::<_, i64>(0)?.unsigned_abs()))?.collect()
    }

    /// What the shadow policy makes of the newest scores; `None` without a shadow.
    pub fn shadow(&self) -> rusqlite::Result<Option<RecordedShadow>> {
        let sql =
            "SELECT at, policy, hotkey, weight, shadow FROM shadow_scores ORDER BY abs(shadow - weight) DESC, hotkey";
        let mut statement = self.connection.prepare(sql)?;
        let mut found = statement.query([])?;
        let mut shadow: Option<RecordedShadow> = None;
        while let Some(row) = found.next()? {
            let hotkey = Hotkey::label(row.get_ref(2)?.as_str()?);
            let difference = Difference { hotkey, weight: row.get(3)?, shadow: row.get(4)? };
            let (at, policy) = (wall(row.get(0)?), row.get(1)?);
            shadow.get_or_insert(RecordedShadow { at, policy, differences: Vec::new() }).differences.push(difference);
        }
        Ok(shadow)
    }

    /// Settings that the marketplace changed.
    pub fn overrides(&self) -> rusqlite::Result<Vec<Stored>> {
        overrides::stored(&self.connection)
    }

    /// Their changes, oldest first.
    pub fn override_history(&self) -> rusqlite::Result<Vec<Past>> {
        overrides::history(&self.connection)
    }

    /// The same calculation, made again.
    pub fn again(&self, recorded: &Recorded) -> rusqlite::Result<Scores> {
        again(&self.connection, recorded)
    }
}

pub(super) fn moments(from: &Connection) -> rusqlite::Result<Vec<Wall>> {
    let mut statement = from.prepare("SELECT at FROM scorings ORDER BY at")?;
    statement.query_map([], |row| Ok(wall(row.get(0)?)))?.collect()
}

pub(super) fn recorded(from: &Connection, until: Wall) -> rusqlite::Result<Option<Recorded>> {
    let found = from
        .prepare_cached(
            "SELECT at, seq, policy, ranking_s, heard_s, text, digest FROM scorings
             JOIN hotkey_lists ON hotkey_lists.id = metagraph WHERE at <= ?1 ORDER BY at DESC LIMIT 1",
        )?
        .query_row([stamp(until)], |row| {
            let seconds = |column| row.get::<_, u32>(column).map(|s| Duration::from_secs(s.into()));
            Ok(Recorded {
                at: wall(row.get(0)?),
                seq: row.get::<_, i64>(1)?.unsigned_abs(),
                policy: json(row, 2)?,
                reach: Reach { ranking: seconds(3)?, heard: seconds(4)? },
                metagraph: json::<Vec<String>>(row, 5)?.iter().map(|hotkey| Hotkey::label(hotkey)).collect(),
                digest: row.get(6)?,
                miners: BTreeMap::new(),
            })
        })
        .optional()?;
    let Some(recorded) = found else { return Ok(None) };
    let miners = miners(from, recorded.at)?;
    Ok(Some(Recorded { miners, ..recorded }))
}

fn json<T: serde::de::DeserializeOwned>(row: &Row, column: usize) -> rusqlite::Result<T> {
    serde_json::from_str(row.get_ref(column)?.as_str()?).map_err(|error| unreadable(column, error))
}

const NUMBERS: [&str; 7] =
    ["raw score", "own challenge score", "challenge score", "lease score", "availability", "composite", "weight"];

fn miners(from: &Connection, at: Wall) -> rusqlite::Result<BTreeMap<Hotkey, Vec<(&'static str, f64)>>> {
    let mut statement = from.prepare_cached(
        "SELECT hotkey, raw, own_challenge, challenge, lease, availability, composite, weight FROM scores WHERE at = ?1",
    )?;
    statement
        .query_map([stamp(at)], |row| {
            let numbers = NUMBERS.iter().zip(1..).map(|(name, column)| Ok((*name, row.get(column)?)));
            Ok((Hotkey::label(row.get_ref(0)?.as_str()?), numbers.collect::<rusqlite::Result<_>>()?))
        })?
        .collect()
}

pub(super) fn weights(from: &Connection, id: Option<IntentId>) -> rusqlite::Result<Option<RecordedWeights>> {
    let id = id.map(|id| i64::try_from(id).unwrap_or(i64::MAX));
    from.prepare_cached(
        "SELECT id, at, at_block, weights, scored_at, coalesce(left_out, '[]'), max_share FROM weight_intents
         WHERE id = coalesce(?1, (SELECT max(id) FROM weight_intents))",
    )?
    .query_row(params![id], |row| {
        Ok(RecordedWeights {
            id: row.get::<_, i64>(0)?.unsigned_abs(),
            at: wall(row.get(1)?),
            at_block: row.get::<_, i64>(2)?.unsigned_abs(),
            weights: shares(json(row, 3)?),
            scored_at: row.get::<_, Option<i64>>(4)?.map(wall),
            left_out: json::<Vec<(String, String)>>(row, 5)?
                .into_iter()
                .map(|(hotkey, why)| (Hotkey::label(&hotkey), why))
                .collect(),
            limit: row.get(6)?,
        })
    })
    .optional()
}

fn became(from: &Connection, id: IntentId) -> rusqlite::Result<Option<Became>> {
    from.prepare_cached(
        "SELECT at, kind, block, reason FROM weight_outcomes WHERE intent = ?1 ORDER BY id DESC LIMIT 1",
    )?
    .query_row([i64::try_from(id).unwrap_or(i64::MAX)], |row| {
        let block: Option<i64> = row.get(2)?;
        let block = block.map(i64::unsigned_abs);
        Ok(Became { at: wall(row.get(0)?), kind: row.get(1)?, block, reason: row.get(3)? })
    })
    .optional()
}

fn shares(list: Vec<(Uid, String, u16)>) -> Vec<(Uid, Hotkey, u16)> {
    list.into_iter().map(|(uid, hotkey, weight)| (uid, Hotkey::label(&hotkey), weight)).collect()
}

/// The facts as of a moment, from everything up to a number of the log.
pub(super) fn facts(from: &Connection, at: Wall, reach: Reach, upto: u64) -> rusqlite::Result<Facts> {
    let mut book = Book::new(reach);
    book.read(from, at, i64::try_from(upto).unwrap_or(i64::MAX))?;
    Ok(std::mem::take(book.as_of(at)))
}

pub(super) fn again(from: &Connection, recorded: &Recorded) -> rusqlite::Result<Scores> {
    let snapshot = from.unchecked_transaction()?;
    let mut facts = facts(&snapshot, recorded.at, recorded.reach, recorded.seq)?;
    facts.metagraph = recorded.metagraph.clone();
    Ok(score::score(&facts, &recorded.policy))
}

impl Recorded {
    /// `None`: identical, to the bit.
    pub fn mismatch(&self, again: &Scores) -> Option<Mismatch> {
        let ours = Policy::named(self.policy.id.name).id;
        if ours != self.policy.id {
            return Some(Mismatch::OtherRules { recorded: self.policy.id.to_string(), ours: ours.to_string() });
        }
        let now: BTreeMap<&Hotkey, [f64; 7]> = again
            .miners
            .iter()
            .map(|miner| {
                let numbers = [miner.raw, miner.own_challenge, miner.challenge, miner.lease, miner.availability];
                let [raw, own, challenge, lease, availability] = numbers;
                (&miner.hotkey, [raw, own, challenge, lease, availability, miner.composite, miner.weight])
            })
            .collect();
        let all: BTreeSet<&Hotkey> = self.miners.keys().chain(now.keys().copied()).collect();
        for hotkey in all {
            let (Some(recorded), Some(again)) = (self.miners.get(hotkey), now.get(hotkey)) else {
                let recorded = self.miners.contains_key(hotkey);
                return Some(Mismatch::Miner { hotkey: hotkey.clone(), recorded });
            };
            let different = recorded.iter().zip(again).find(|((_, was), is)| was.to_bits() != is.to_bits());
            if let Some(((what, recorded), again)) = different {
                let (recorded, again) = (*recorded, *again);
                return Some(Mismatch::Number { hotkey: hotkey.clone(), what, recorded, again });
            }
        }
        (self.digest != again.digest()).then_some(Mismatch::Workers)
    }
}

impl RecordedWeights {
    /// What these weights would be now; whom they left out is left out again. `None`: identical.
    pub fn mismatch(&self, again: &Scores) -> Option<Mismatch> {
        let left_out: BTreeSet<&Hotkey> = self.left_out.iter().map(|(hotkey, _)| hotkey).collect();
        let earning = again.miners.iter().filter(|miner| !again.all_zero && !left_out.contains(&miner.hotkey));
        let keyed: Vec<_> = earning.map(|miner| (miner.hotkey.clone(), miner.weight)).collect();
        let emitted = score::emit(&keyed).into_iter().map(|(hotkey, weight)| (Uid(0), hotkey, weight)).collect();
        let again: BTreeMap<Hotkey, u16> = by_hotkey(clipped(emitted, self.limit).unwrap_or_default());
        let recorded = by_hotkey(self.weights.clone());
        let all: BTreeSet<&Hotkey> = recorded.keys().chain(again.keys()).collect();
        let different = all.into_iter().find(|hotkey| recorded.get(*hotkey) != again.get(*hotkey));
        different.map(|hotkey| Mismatch::Weight {
            hotkey: hotkey.clone(),
            recorded: recorded.get(hotkey).copied(),
            again: again.get(hotkey).copied(),
        })
    }
}

fn by_hotkey(weights: Vec<(Uid, Hotkey, u16)>) -> BTreeMap<Hotkey, u16> {
    weights.into_iter().map(|(_, hotkey, weight)| (hotkey, weight)).collect()
}
