//! The outer JSON of a frame: plain (`data`) or encrypted, and the hub's errors, which are always plain.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::kind;
use crate::{
    units::Wall,
    wire::{
        json::{self, JsonFault, Raw},
        limits,
        session::{Package, SessionFault},
    },
};

/// Why a frame is dropped. The connection stays, as far as the wire is concerned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameFault {
    #[error("frame of {bytes} bytes, over the limit of {}", limits::MARKETPLACE_BYTES)]
    TooBig { bytes: usize },
    #[error("frame: {0}")]
    NotJson(String),
    #[error("no frame: {0}")]
    Shape(String),
    /// A message that must be encrypted came without.
    #[error("{0:?} without an encrypted part")]
    Plain(String),
    /// The outer type would choose another reader than the one that the sender authenticated.
    #[error("outer type {outer:?}, but {inner:?} is what was encrypted")]
    Types { outer: String, inner: String },
    /// Of another session, sender or recipient, or its tag is wrong.
    #[error("{0}")]
    Package(SessionFault),
    #[error("number {seq} a second time: a replayed frame")]
    Replayed { seq: u64 },
    #[error("number {seq} after {highest}: a frame out of order")]
    Reordered { seq: u64, highest: u64 },
    #[error("number {seq} after {highest}: further ahead than two windows")]
    TooFar { seq: u64, highest: u64 },
}

impl FrameFault {
    /// For counters.
    pub fn label(&self) -> &'static str {
        match self {
            FrameFault::TooBig { .. } => "too_big",
            FrameFault::NotJson(_) => "not_json",
            FrameFault::Shape(_) => "no_frame",
            FrameFault::Plain(_) => "plain",
            FrameFault::Types { .. } => "type_mismatch",
            FrameFault::Package(_) => "package",
            FrameFault::Replayed { .. } => "replayed",
            FrameFault::Reordered { .. } => "reordered",
            FrameFault::TooFar { .. } => "too_far",
        }
    }
}

/// What the validator does about an error of the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// Drop the connection, dial again after the delay.
    Reconnect,
    Ignore,
}

/// `data` of `MESH_ERROR_V1`. Nobody signed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HubError {
    pub code: i64,
    #[serde(default)]
    pub message: String,
}

impl HubError {
    /// The access token is not the hub's.
    pub const BAD_TOKEN: i64 = 4001;
    /// The session is gone, in three ways.
    pub const SESSION_INVALID: i64 = 4002;
    pub const SESSION_UNKNOWN: i64 = 4011;
    pub const SEQUENCE: i64 = 4020;

    pub fn reaction(&self) -> Reaction {
        match self.code {
            HubError::BAD_TOKEN | HubError::SESSION_INVALID | HubError::SESSION_UNKNOWN | HubError::SEQUENCE => {
                Reaction::Reconnect
            }
            _ => Reaction::Ignore,
        }
    }

    /// What the code means, and what to do.
    pub fn meaning(&self) -> &'static str {
        match self.code {
            HubError::BAD_TOKEN => "the access token is refused: check meshhub.access_token_file",
            HubError::SESSION_INVALID | HubError::SESSION_UNKNOWN => "the hub does not know our session (any more)",
            HubError::SEQUENCE => "the hub saw our numbers out of sequence",
            _ => "not an error of the session",
        }
    }

    /// The frame.
    pub fn to_text(&self, now: Wall) -> String {
        plain(kind::ERROR, now, self)
    }
}

/// A frame as sent, not decrypted.
#[derive(Debug, Deserialize)]
pub(super) struct Frame {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default, rename = "messageId")]
    pub message_id: Option<String>,
    #[serde(default)]
    pub encrypted: Option<Encrypted>,
    #[serde(default)]
    pub data: Option<Raw>,
}

/// The package of a session under the marketplace's names.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Encrypted {
    version: String,
    session_id: String,
    sequence: u64,
    ciphertext: String,
    sender: String,
    recipient: String,
    pub message_type: String,
}

impl Frame {
    pub fn parse(text: &str) -> Result<Frame, FrameFault> {
        if text.len() > limits::MARKETPLACE_BYTES {
            return Err(FrameFault::TooBig { bytes: text.len() });
        }
        json::object(text).map_err(|fault| match fault {
            JsonFault::Syntax(why) => FrameFault::NotJson(why),
            fault => FrameFault::Shape(fault.to_string()),
        })
    }

    pub fn is_error(&self) -> bool {
        self.kind == kind::ERROR && self.encrypted.is_none()
    }

    /// The `data` of a plain frame.
    pub fn data<T: serde::de::DeserializeOwned>(&self) -> Result<T, FrameFault> {
        let data = self.data.as_ref().ok_or_else(|| FrameFault::Shape(format!("{}: no data", self.kind)))?;
        json::object(data.as_str()).map_err(|fault| FrameFault::Shape(format!("{}: {fault}", self.kind)))
    }
}

impl Encrypted {
    pub fn package(&self) -> Package<'_> {
        Package {
            ver: Cow::Borrowed(&self.version),
            session_id: Cow::Borrowed(&self.session_id),
            seq: self.sequence,
            ciphertext: Cow::Borrowed(&self.ciphertext),
            sender: Cow::Borrowed(&self.sender),
            recipient: Cow::Borrowed(&self.recipient),
            synapse_type: Cow::Borrowed(&self.message_type),
        }
    }

    pub fn of(package: Package<'_>) -> Encrypted {
        Encrypted {
            version: package.ver.into_owned(),
            session_id: package.session_id.into_owned(),
            sequence: package.seq,
            ciphertext: package.ciphertext.into_owned(),
            sender: package.sender.into_owned(),
            recipient: package.recipient.into_owned(),
            message_type: package.synapse_type.into_owned(),
        }
    }
}

/// A plain frame as text.
pub(super) fn plain(kind: &'static str, now: Wall, data: &impl Serialize) -> String {
    #[derive(Serialize)]
    struct Plain<'a, T> {
        #[serde(rename = "type")]
        kind: &'static str,
        timestamp: u64,
        data: &'a T,
    }
    json::text(&Plain { kind, timestamp: now.as_millis(), data })
}

/// An encrypted frame as text.
pub(super) fn sealed(now: Wall, message_id: Option<&str>, encrypted: &Encrypted) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Sealed<'a> {
        #[serde(rename = "type")]
        kind: &'a str,
        timestamp: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        message_id: Option<&'a str>,
        encrypted: &'a Encrypted,
    }
    json::text(&Sealed { kind: &encrypted.message_type, timestamp: now.as_millis(), message_id, encrypted })
}
