//! A second connection to the validator's database, which only reads. Runs on the thread `facts`.
//!
//! The facts of a full network take seconds to read; through a connection of their own they hold up no commit: the
//! log keeps what is written meanwhile, and the reader sees the moment at which it began. It never writes.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::{
    facts, reply,
    schema::{self, OpenError},
};
use crate::{
    machine::contract::store::{FactsWindow, StoreReply},
    units::Wall,
};

/// The open connection.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
}

impl Reader {
    /// Opens a file that a [`Store`](super::Store) has open.
    pub fn open(path: &Path) -> Result<Reader, OpenError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        schema::connect(path, flags).map(|connection| Reader { connection })
    }

    /// The facts as of `at`: what was committed by now.
    pub fn facts(&mut self, at: Wall, window: FactsWindow) -> StoreReply {
        reply(facts::read(&self.connection, at, window), |found| StoreReply::Facts(Box::new(found)))
    }
}
