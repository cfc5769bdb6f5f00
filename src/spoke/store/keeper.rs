//! Scoring from the log: a connection to the validator's database which only reads, and the book that it fills. Runs on
//! the thread `scoring`.
//!
//! Through a connection of its own a long reading holds up no commit: SQLite's log keeps what is written meanwhile, and
//! the reader sees the moment at which it began. The first calculation reads all that scoring may look at, which takes
//! seconds on a full network; those that follow read what came since. Once a day it begins a new book: what nobody refers
//! to any more is gone then.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags};

use super::{
    book::Book,
    reply,
    schema::{self, OpenError},
};
use crate::{
    machine::{
        contract::store::{Calculation, Reach, ScoreRequest, StoreReply},
        score,
    },
    units::Wall,
};

/// A book is begun anew after this long.
const NEW_BOOK_AFTER: Duration = Duration::from_secs(24 * 3600);

/// The open connection, and what was read through it.
#[derive(Debug)]
pub struct Keeper {
    connection: Connection,
    shelf: Shelf,
}

/// A book, when one was begun.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    book: Option<(Wall, Book)>,
}

impl Keeper {
    /// Opens a file that a [`Store`](super::Store) has open.
    pub fn open(path: &Path) -> Result<Keeper, OpenError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        schema::connect(path, flags).map(|connection| Keeper { connection, shelf: Shelf::default() })
    }

    pub fn score(&mut self, request: &ScoreRequest) -> StoreReply {
        self.shelf.score(&self.connection, request)
    }
}

impl Shelf {
    pub(super) fn score(&mut self, from: &Connection, request: &ScoreRequest) -> StoreReply {
        reply(self.calculate(from, request), |calculation| StoreReply::Scored(Box::new(calculation)))
    }

    fn calculate(&mut self, from: &Connection, request: &ScoreRequest) -> rusqlite::Result<Calculation> {
        let book = self.up_to_date(from, request.at, request.reach)?;
        let seq = book.seq();
        let facts = book.as_of(request.at);
        facts.metagraph = request.metagraph.clone();
        let shadow = request.shadow.as_ref().map(|policy| score::score(facts, policy));
        let scores = score::score(facts, &request.policy);
        let (policy, metagraph) = (request.policy.clone(), request.metagraph.clone());
        Ok(Calculation { scores, shadow, seq, policy, reach: request.reach, metagraph })
    }

    fn up_to_date(&mut self, from: &Connection, at: Wall, reach: Reach) -> rusqlite::Result<&mut Book> {
        // A clock that was set back asks for what the book has forgotten.
        let usable = |(begun, book): &(Wall, Book)| {
            book.reach() == reach && at.since(*begun) < NEW_BOOK_AFTER && at >= book.asked()
        };
        let (_, book) = match self.book.take().filter(usable) {
            Some(kept) => self.book.insert(kept),
            None => self.book.insert((at, Book::new(reach))),
        };
        let snapshot = from.unchecked_transaction()?;
        let newest = snapshot.query_row("SELECT seq FROM log", [], |row| row.get(0))?;
        let read = book.read(&snapshot, at, newest);
        drop(snapshot);
        match (read, &mut self.book) {
            (Ok(()), Some((_, book))) => Ok(book),
            // Half of what it should have read may be in it.
            (Err(error), half_read) => {
                *half_read = None;
                Err(error)
            }
            (Ok(()), None) => Err(rusqlite::Error::QueryReturnedNoRows),
        }
    }
}
