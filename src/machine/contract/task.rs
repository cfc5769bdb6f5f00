//! A task of the marketplace, as the store keeps it.

use std::time::Duration;

use crate::{
    units::{Wall, WorkerKey},
    wire::json::Raw,
};

#[derive(Clone, Debug, PartialEq)]
pub struct TaskRow {
    /// The marketplace's name for it; there is one of a name.
    pub key: String,
    pub worker: WorkerKey,
    pub task_type: String,
    /// An object, as sent.
    pub payload: Raw,
    pub priority: i64,
    pub received: Wall,
    pub expires: Wall,
}

impl TaskRow {
    /// Of its payload, which is what it takes.
    pub fn bytes(&self) -> usize {
        self.payload.as_str().len()
    }

    /// How long it was to count from its arrival.
    pub fn ttl(&self) -> Duration {
        self.expires.since(self.received)
    }
}
