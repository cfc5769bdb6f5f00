//! Texts that are kept once and referred to by number.
//!
//! Each remembers the last hour that it was used in, so that it can be forgotten when nothing refers to it any more.

use rusqlite::{OptionalExtension, Transaction, params};

use crate::{machine::availability::hour_of, units::Wall};

/// A table of texts.
pub(super) struct Texts {
    find: &'static str,
    touch: &'static str,
    add: &'static str,
}

pub(super) const ADDRESSES: Texts = Texts {
    find: "SELECT id, hour FROM addresses WHERE text = ?1",
    touch: "UPDATE addresses SET hour = ?2 WHERE id = ?1",
    add: "INSERT INTO addresses (text, hour) VALUES (?1, ?2) RETURNING id",
};

pub(super) const GPU_SETS: Texts = Texts {
    find: "SELECT id, hour FROM gpu_sets WHERE text = ?1",
    touch: "UPDATE gpu_sets SET hour = ?2 WHERE id = ?1",
    add: "INSERT INTO gpu_sets (text, hour) VALUES (?1, ?2) RETURNING id",
};

pub(super) const ROSTERS: Texts = Texts {
    find: "SELECT id, hour FROM rosters WHERE text = ?1",
    touch: "UPDATE rosters SET hour = ?2 WHERE id = ?1",
    add: "INSERT INTO rosters (text, hour) VALUES (?1, ?2) RETURNING id",
};

/// The number of a text that is there already; `None`: it is not.
pub(super) fn known(to: &Transaction, texts: &Texts, text: &str, at: Wall) -> rusqlite::Result<Option<i64>> {
    let hour = hour_of(at);
    let found: Option<(i64, u32)> =
        to.prepare_cached(texts.find)?.query_row([text], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    if let Some((id, used)) = found
        && used < hour
    {
        to.prepare_cached(texts.touch)?.execute(params![id, hour])?;
    }
    Ok(found.map(|(id, _)| id))
}

pub(super) fn add(to: &Transaction, texts: &Texts, text: &str, at: Wall) -> rusqlite::Result<i64> {
    to.prepare_cached(texts.add)?.query_row(params![text, hour_of(at)], |row| row.get(0))
}

/// The number of a text, which is kept from now on.
pub(super) fn number(to: &Transaction, texts: &Texts, text: &str, at: Wall) -> rusqlite::Result<i64> {
    match known(to, texts, text, at)? {
        Some(id) => Ok(id),
        None => add(to, texts, text, at),
    }
}

/// The number of a list, given in order; 0 for an empty one.
pub(super) fn list<'a>(
    to: &Transaction,
    texts: &Texts,
    items: impl Iterator<Item = &'a str>,
    at: Wall,
) -> rusqlite::Result<i64> {
    let items: Vec<&str> = items.collect();
    if items.is_empty() { Ok(0) } else { number(to, texts, &json(&items)?, at) }
}

/// The number of a list that is there already.
pub(super) fn known_list<'a>(
    to: &Transaction,
    texts: &Texts,
    items: impl Iterator<Item = &'a str>,
    at: Wall,
) -> rusqlite::Result<Option<i64>> {
    let items: Vec<&str> = items.collect();
    if items.is_empty() { Ok(Some(0)) } else { known(to, texts, &json(&items)?, at) }
}

/// A list as the database keeps it.
pub(super) fn json<T: serde::Serialize + ?Sized>(list: &T) -> rusqlite::Result<String> {
    serde_json::to_string(list).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}
