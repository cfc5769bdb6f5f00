//! The simulated network: connections between seats, in order within a connection, in any order between them.
//!
//! It keeps the loop's promises (one `Closed` for each `Opened`, one end for each dial) and breaks whatever a
//! network may break: connections are cut, go silent, answers come late or never.

use std::collections::BTreeMap;

use byteleap::units::{Mono, PeerId};

/// Which seat of the world.
pub type SeatId = usize;

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct End {
    pub seat: SeatId,
    /// Counts the lives of the seat: a message to an earlier life is lost.
    pub life: u32,
    pub peer: PeerId,
}

#[derive(Clone, Debug)]
pub struct Connection {
    pub dialer: End,
    pub listener: End,
    /// Nothing gets through any more, and nobody has noticed.
    pub silent: bool,
    /// Arrival of the last thing sent, per direction (to the dialer, to the listener).
    pub last: (Mono, Mono),
}

/// Every open connection, found from either end.
#[derive(Default)]
pub struct Links {
    open: BTreeMap<u64, Connection>,
    ends: BTreeMap<End, u64>,
    count: u64,
}

impl Links {
    pub fn open(&mut self, connection: Connection) -> u64 {
        self.count += 1;
        for end in [connection.dialer, connection.listener] {
            assert!(self.ends.insert(end, self.count).is_none(), "a peer id was used twice: {end:?}");
        }
        self.open.insert(self.count, connection);
        self.count
    }

    pub fn id_of(&self, end: End) -> Option<u64> {
        self.ends.get(&end).copied()
    }

    /// One side has said goodbye and hears nothing more; the other side has yet to get the news.
    pub fn forget_end(&mut self, end: End) {
        self.ends.remove(&end);
    }

    /// The ends (dialer, listener) that still hear of this connection.
    pub fn known_ends(&self, id: u64) -> [Option<End>; 2] {
        let Some(connection) = self.open.get(&id) else { return [None, None] };
        [connection.dialer, connection.listener].map(|end| self.ends.contains_key(&end).then_some(end))
    }

    pub fn get_mut(&mut self, id: u64) -> Option<&mut Connection> {
        self.open.get_mut(&id)
    }

    pub fn close(&mut self, id: u64) -> Option<Connection> {
        let connection = self.open.remove(&id)?;
        self.ends.remove(&connection.dialer);
        self.ends.remove(&connection.listener);
        Some(connection)
    }

    pub fn of_seat(&self, seat: SeatId) -> Vec<u64> {
        let touches = |connection: &Connection| connection.dialer.seat == seat || connection.listener.seat == seat;
        self.open.iter().filter(|(_, connection)| touches(connection)).map(|(id, _)| *id).collect()
    }

    pub fn ids(&self) -> Vec<u64> {
        self.open.keys().copied().collect()
    }
}
