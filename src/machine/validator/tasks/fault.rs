//! What the marketplace is told of a task that is not taken.

use super::{MOST, MOST_ASKING};

/// Each says what is wrong, and what to do where something can be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TaskFault {
    #[error("task without a ttl: nothing says when it ends")]
    NoTtl,
    #[error("ttl of {0} ms: not in 1000 to 604800000")]
    Ttl(u128),
    #[error("{0} holds control characters")]
    Control(&'static str),
    #[error("taskKey {key:?} names another task already: its {what} differs")]
    OtherContent { key: String, what: &'static str },
    #[error("{MOST} tasks are kept already; send it again when some of them have expired")]
    Full,
    #[error("the payloads of {count} tasks take {bytes} bytes already; send it again when some of them have expired")]
    Bytes { count: usize, bytes: usize },
    #[error("the same task is being written down for {MOST_ASKING} messages already")]
    Asked,
    #[error("not stored: {0}")]
    NotStored(String),
}

impl TaskFault {
    /// For counters.
    pub fn label(&self) -> &'static str {
        match self {
            TaskFault::NoTtl | TaskFault::Ttl(_) => "bad_ttl",
            TaskFault::Control(_) => "bad_text",
            TaskFault::OtherContent { .. } => "other_content",
            TaskFault::Full | TaskFault::Bytes { .. } => "full",
            TaskFault::Asked => "asked_often",
            TaskFault::NotStored(_) => "not_stored",
        }
    }
}
