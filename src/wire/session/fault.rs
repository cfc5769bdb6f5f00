//! What can be wrong with a session, its packages or its handshake, as the network says it: in plaintext.

use serde::{Deserialize, Serialize};

use crate::wire::{
    code::{self, Code},
    json,
};

/// A fault of the session layer. It goes to the peer as `{"error", "error_code"}` with HTTP status 200.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionFault {
    /// The package is malformed, speaks of another session, sender, recipient or type, or its tag is wrong.
    #[error("Decryption failed: {0}")]
    Package(String),
    /// No such session: never was, expired, evicted, or forgotten by a restart.
    #[error("Session not found or expired: {0}")]
    Unknown(String),
    /// Decrypted, but the body does not fit its message; or there was no `request` at all.
    #[error("Session decryption failed: {0}")]
    Body(String),
    /// A number seen before, or outside the window.
    #[error("SEQUENCE_ERROR:4020:Replay detected or sequence out of window")]
    Sequence,
    #[error("Handshake failed: {0}")]
    Handshake(String),
    /// Over the number of handshakes.
    #[error("Handshake rate limit exceeded: {count}/{limit} in {window_s}s")]
    HandshakeRate { count: usize, limit: usize, window_s: u64 },
    /// Over the number of requests.
    #[error("rate_limited")]
    RateLimited,
    /// All 2^64 − 1 numbers of our direction are used; only a new session helps. Never sent to a peer first.
    #[error("all sequence numbers of the session are used")]
    Exhausted,
}

impl SessionFault {
    /// The answer to a synapse whose `request` is null, missing or empty.
    pub fn empty_request() -> SessionFault {
        SessionFault::Body("Empty synapse request data".into())
    }

    /// The answer to a handshake whose `request` is null, missing or empty.
    pub fn empty_handshake() -> SessionFault {
        SessionFault::Handshake("Empty session init request".into())
    }

    pub fn code(&self) -> Code {
        match self {
            SessionFault::Package(_) => code::SESSION_UNKNOWN,
            SessionFault::Unknown(_) => code::SESSION_EXPIRED,
            SessionFault::Body(_) => code::BAD_AAD,
            SessionFault::Sequence => code::SEQUENCE,
            SessionFault::Handshake(_) | SessionFault::HandshakeRate { .. } => code::HANDSHAKE_FAILED,
            SessionFault::RateLimited => code::NETWORK,
            SessionFault::Exhausted => code::REHANDSHAKE,
        }
    }

    /// The text of `response` that says so.
    pub fn to_json(&self) -> String {
        json::text(&Refusal { error: self.to_string(), error_code: self.code() })
    }
}

/// A session fault as the other side sent it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{error} ({error_code})")]
pub struct Refusal {
    pub error: String,
    pub error_code: Code,
}

impl Refusal {
    /// Reads the text of a `response`: a refusal, or else (`None`) a package to be opened.
    pub fn parse(response: &str) -> Option<Refusal> {
        json::object(response).ok()
    }

    /// Whether it was too many requests, and this one was not even looked at.
    pub fn is_rate_limit(&self) -> bool {
        self.error_code == code::NETWORK
    }

    /// Whether the session is lost: make a new handshake and repeat the request once.
    pub fn asks_for_new_session(&self) -> bool {
        code::asks_for_new_session(self.error_code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_read_back_as_what_it_was() {
        let fault = SessionFault::Unknown("57e3419a".into());
        let refusal = Refusal::parse(&fault.to_json()).unwrap();
        assert_eq!((refusal.error.as_str(), refusal.error_code), ("Session not found or expired: 57e3419a", 4012));
        assert!(refusal.asks_for_new_session());
    }

    #[test]
    fn a_package_is_no_refusal() {
        assert_eq!(Refusal::parse(r#"{"ver":"v1","session_id":"s","seq":1}"#), None);
        assert_eq!(Refusal::parse(r#"{"error":"x"}"#), None);
    }
}
