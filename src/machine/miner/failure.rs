//! Why a message to a validator brought no reply. Values only; who made it so and what follows is told elsewhere.

use crate::{
    machine::Gone,
    wire::{session::Refusal, synapse::CallFault},
};

/// Why a message brought no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// No connection, or no answer on it.
    #[error("no answer: {0}")]
    Silent(Gone),
    /// Not sent in time: no session with that validator.
    #[error("no session in time")]
    NoSession,
    /// An HTTP status other than 200.
    #[error("status {status}: {message}")]
    Status { status: u16, message: String },
    /// A fault of the session or the rate limit.
    #[error("refused: {0}")]
    Refused(Refusal),
    /// An answer that cannot be read.
    #[error("unusable answer: {0}")]
    Unusable(String),
}

impl Failure {
    /// Whether the validator was there and said something, if only no.
    pub fn is_answer(&self) -> bool {
        match self {
            Failure::Refused(_) => true,
            Failure::Status { status, .. } => (400..500).contains(status),
            Failure::Silent(_) | Failure::NoSession | Failure::Unusable(_) => false,
        }
    }

    /// As a label of a counter.
    pub fn label(&self) -> &'static str {
        match self {
            Failure::Silent(_) => "silent",
            Failure::NoSession => "no_session",
            Failure::Status { .. } => "status",
            Failure::Refused(_) => "refused",
            Failure::Unusable(_) => "unusable",
        }
    }
}

impl From<CallFault> for Failure {
    fn from(fault: CallFault) -> Failure {
        match fault {
            CallFault::Status { status, message } => Failure::Status { status, message },
            CallFault::ContentType(_) | CallFault::Body(_) | CallFault::NoResponse => {
                Failure::Unusable(fault.to_string())
            }
        }
    }
}
