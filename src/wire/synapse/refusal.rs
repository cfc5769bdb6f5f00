//! How an axon says no, before a synapse reaches what it was for.

use serde::Serialize;

use super::{SynapseKind, btauth};
use crate::wire::{
    http::{Headers, Response},
    json,
};

/// A refusal of the axon itself, in the words of Bittensor's.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum AxonRefusal {
    #[error("Synapse name '{0}' not found. Available synapses {1}")]
    UnknownSynapse(String, String),
    #[error("Method Not Allowed")]
    Method,
    /// A header that is no number, or too long.
    #[error("Bad header {0}")]
    BadHeader(&'static str),
    /// `btauth/1` without one of its headers.
    #[error("Not Verified with error: missing header {0}")]
    MissingHeader(&'static str),
    /// Both the headers of 9.10 and those of `btauth/1`: which of them is meant?
    #[error("Bad header: both bt_header_dendrite and x-bittensor headers, send one kind")]
    TwoKinds,
    /// `btauth/1` for another hotkey, or for nobody in particular.
    #[error("Not Verified with error: x-bittensor-receiver is not this validator's hotkey")]
    WrongReceiver,
    /// Over a limit of the listener: requests of one source address.
    #[error("Too many requests")]
    TooManyRequests,
    #[error("Forbidden. Key is blacklisted: missing_hotkey.")]
    MissingHotkey,
    #[error("Forbidden. Key is blacklisted: hotkey_not_in_metagraph.")]
    NotInMetagraph,
    #[error("Not Verified with error: Missing Nonce")]
    MissingNonce,
    #[error(
        "Not Verified with error: Nonce is too old: acceptable delta is {allowed_s:.2} seconds but request was {age_s:.2} seconds old"
    )]
    NonceTooOld { allowed_s: f64, age_s: f64 },
    #[error(
        "Not Verified with error: Nonce is in the future: acceptable delta is {allowed_s:.2} seconds but request was {ahead_s:.2} seconds ahead"
    )]
    NonceInFuture { allowed_s: f64, ahead_s: f64 },
    #[error("Not Verified with error: Nonce is too old, a newer one was last processed")]
    NonceReused,
    /// A request of `btauth/1` that came before.
    #[error("Not Verified with error: this nonce was already accepted")]
    Replayed,
    #[error("Not Verified with error: Missing Signature")]
    MissingSignature,
    #[error("Not Verified with error: computed_body_hash is not that of an empty text")]
    BodyHash,
    #[error("Not Verified with error: Signature mismatch")]
    Signature,
    /// The verified sender speaks for another hotkey in its body.
    #[error("Not Verified with error: the body names another hotkey than the header")]
    OtherHotkey,
    /// The body is no JSON object of a synapse.
    #[error("Unprocessable body: {0}")]
    Body(String),
    /// A handshake with a body that no handshake needs.
    #[error("Body too large for this synapse")]
    TooLarge,
    /// Not now: starting, stopping, or too much to do.
    #[error("Not available: {0}")]
    Unavailable(&'static str),
}

#[derive(Serialize)]
struct Message<'a> {
    message: &'a str,
}

impl AxonRefusal {
    /// For a target that [`super::kind_of`] does not know.
    pub fn unknown_synapse(target: &str) -> AxonRefusal {
        let name = target.trim_start_matches('/').chars().filter(char::is_ascii_graphic).take(64).collect();
        let known: Vec<&str> = SynapseKind::ALL.iter().map(|kind| kind.class()).collect();
        AxonRefusal::UnknownSynapse(name, format!("['{}']", known.join("', '")))
    }

    pub fn status(&self) -> u16 {
        use AxonRefusal::*;
        match self {
            UnknownSynapse(..) => 404,
            Method => 405,
            BadHeader(_) | TwoKinds => 400,
            MissingHeader(_) | WrongReceiver => 401,
            TooManyRequests => 429,
            MissingHotkey | NotInMetagraph => 403,
            MissingNonce | NonceTooOld { .. } | NonceInFuture { .. } | NonceReused | Replayed => 401,
            MissingSignature | BodyHash | Signature | OtherHotkey => 401,
            Body(_) => 422,
            TooLarge => 413,
            Unavailable(_) => 503,
        }
    }

    /// One word for counters.
    pub fn label(&self) -> &'static str {
        use AxonRefusal::*;
        match self {
            UnknownSynapse(..) => "unknown_synapse",
            Method => "method",
            BadHeader(_) => "bad_header",
            MissingHeader(_) => "missing_header",
            TwoKinds => "two_kinds_of_headers",
            WrongReceiver => "wrong_receiver",
            TooManyRequests => "too_many_requests",
            MissingHotkey => "missing_hotkey",
            NotInMetagraph => "not_in_metagraph",
            MissingNonce => "missing_nonce",
            NonceTooOld { .. } => "nonce_too_old",
            NonceInFuture { .. } => "nonce_in_future",
            NonceReused => "nonce_reused",
            Replayed => "replayed",
            MissingSignature => "missing_signature",
            BodyHash => "body_hash",
            Signature => "signature",
            OtherHotkey => "other_hotkey",
            Body(_) => "body",
            TooLarge => "too_large",
            Unavailable(_) => "unavailable",
        }
    }

    pub fn response(&self) -> Response {
        let text = self.to_string();
        let mut headers = Headers::new();
        headers.push("content-type", "application/json");
        headers.push("bt_header_axon_status_code", self.status().to_string());
        headers.push(btauth::ANNOUNCEMENT, btauth::PROTOCOL);
        if *self == AxonRefusal::Method {
            headers.push("allow", "POST");
        }
        Response { status: self.status(), headers, body: json::text(&Message { message: &text }).into_bytes() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strange_path_cannot_write_into_the_answer() {
        let refusal = AxonRefusal::unknown_synapse("/No\r\nSuch\"Synapse");
        let body = String::from_utf8(refusal.response().body).unwrap();
        assert!(
            body.starts_with(r#"{"message":"Synapse name 'NoSuch\"Synapse' not found. Available synapses ['"#),
            "{body}"
        );
    }
}
