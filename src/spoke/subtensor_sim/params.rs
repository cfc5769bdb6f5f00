//! The parameters of a call, by place, and the errors of a node.

use serde_json::{Value as Json, json};

use crate::spoke::chain::rpc::{NodeError, from_bare_hex};

const INVALID_PARAMS: i64 = -32602;
/// A node's own: the client (database, executor) failed.
const CLIENT_ERROR: i64 = 4003;

/// Storage keys that one call may ask for or get.
pub const KEYS_MAX: usize = 1000;

pub fn error(code: i64, message: impl Into<String>) -> NodeError {
    NodeError { code, message: message.into(), data: None }
}

pub fn client_error(what: &str) -> NodeError {
    error(CLIENT_ERROR, format!("Client error: {what}"))
}

pub fn invalid(what: &str) -> NodeError {
    NodeError { code: INVALID_PARAMS, message: "Invalid params".into(), data: Some(json!(what)) }
}

/// The parameters of a call, by place.
pub struct Params<'a>(&'a [Json]);

impl Params<'_> {
    pub fn new(params: &Json) -> Result<Params<'_>, NodeError> {
        match params {
            Json::Null => Ok(Params(&[])),
            Json::Array(list) => Ok(Params(list)),
            _ => Err(invalid("parameters are a list")),
        }
    }

    /// Null when it is not there.
    pub fn get(&self, place: usize) -> &Json {
        self.0.get(place).unwrap_or(&Json::Null)
    }

    pub fn text(&self, place: usize) -> Result<&str, NodeError> {
        self.get(place).as_str().ok_or_else(|| invalid(&format!("parameter {place} is no text")))
    }

    pub fn bytes(&self, place: usize) -> Result<Vec<u8>, NodeError> {
        from_bare_hex(self.text(place)?).ok_or_else(|| invalid(&format!("parameter {place} is no hex")))
    }

    /// A list of storage keys.
    pub fn keys(&self, place: usize) -> Result<Vec<Vec<u8>>, NodeError> {
        let keys = self.get(place).as_array().filter(|keys| keys.len() <= KEYS_MAX);
        let keys = keys.ok_or_else(|| invalid(&format!("parameter {place} is no list of up to {KEYS_MAX} keys")))?;
        let key = |key: &Json| key.as_str().and_then(from_bare_hex);
        keys.iter().map(|text| key(text).ok_or_else(|| invalid("a storage key is no hex"))).collect()
    }

    pub fn number(&self, place: usize) -> Result<u64, NodeError> {
        self.get(place).as_u64().ok_or_else(|| invalid(&format!("parameter {place} is no number")))
    }

    pub fn truth(&self, place: usize) -> Result<bool, NodeError> {
        self.get(place).as_bool().ok_or_else(|| invalid(&format!("parameter {place} is neither true nor false")))
    }
}
