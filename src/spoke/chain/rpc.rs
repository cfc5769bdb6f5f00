//! JSON-RPC 2.0, the node's side of it as seen by a client: calls, batches, answers, and what went wrong.
//!
//! Text in, text out: how it travels is the business of an [`Rpc`], of which there are two real ones: HTTP to
//! real nodes, and answers recorded from or computed without one.

use serde::Deserialize;
use serde_json::{Value as Json, json};

pub use super::envelope::read_answers;
use crate::units::known_chain;

/// A call that is yet to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    pub method: &'static str,
    pub params: Json,
}

impl Call {
    pub fn new(method: &'static str, params: Json) -> Call {
        Call { method, params }
    }

    /// A runtime API at a block, or at the best one.
    pub fn state(api: &str, arguments: &[u8], at: Option<&[u8; 32]>) -> Call {
        let mut params = vec![json!(api), json!(to_hex(arguments))];
        params.extend(at.map(|hash| json!(to_hex(hash))));
        Call::new("state_call", Json::Array(params))
    }

    /// A storage value at a block, or at the best one.
    pub fn storage(key: &[u8], at: Option<&[u8; 32]>) -> Call {
        let mut params = vec![json!(to_hex(key))];
        params.extend(at.map(|hash| json!(to_hex(hash))));
        Call::new("state_getStorage", Json::Array(params))
    }
}

/// The node understood the request and answered with an error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Deserialize)]
#[error("error {code}: {message}{}", self.detail())]
pub struct NodeError {
    pub code: i64,
    pub message: String,
    #[serde(default)]
    pub data: Option<Json>,
}

impl NodeError {
    /// What nodes with a limit answer over HTTP 200.
    const RATE_LIMITED: i64 = -32999;

    pub fn is_rate_limit(&self) -> bool {
        self.code == NodeError::RATE_LIMITED
    }

    /// The data of the error, as text.
    pub fn data_text(&self) -> String {
        match &self.data {
            None | Some(Json::Null) => String::new(),
            Some(Json::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }
    }

    fn detail(&self) -> String {
        let data = self.data_text();
        if data.is_empty() { data } else { format!(" ({data})") }
    }
}

/// No node gave an answer that could be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RpcError {
    #[error("{endpoint}: {why}")]
    Unreachable { endpoint: String, why: String },
    #[error("{endpoint}: asks for fewer requests")]
    RateLimited { endpoint: String },
    #[error("{endpoint}: {}", another_chain(.seen, .expected))]
    OtherChain { endpoint: String, seen: [u8; 32], expected: [u8; 32] },
    #[error("not asked: we stop")]
    Stopped,
}

/// Carries calls to a node. Answers come in the order of the calls, one each.
pub trait Rpc {
    fn batch(&mut self, calls: &[Call]) -> Result<Vec<Result<Json, NodeError>>, RpcError>;
}

impl<R: Rpc + ?Sized> Rpc for Box<R> {
    fn batch(&mut self, calls: &[Call]) -> Result<Vec<Result<Json, NodeError>>, RpcError> {
        (**self).batch(calls)
    }
}

/// The text of a request: one call by itself, several as a batch. Ids count from 0.
pub fn request_text(calls: &[Call]) -> String {
    let object =
        |(id, call): (usize, &Call)| json!({"jsonrpc": "2.0", "id": id, "method": call.method, "params": call.params});
    match calls {
        [call] => object((0, call)).to_string(),
        calls => Json::Array(calls.iter().enumerate().map(object).collect()).to_string(),
    }
}

/// The hash of a chain's first block, and what that chain is called where it is known.
pub fn chain_text(genesis: &[u8; 32]) -> String {
    let name = known_chain(genesis).map(|name| format!(" ({name})")).unwrap_or_default();
    format!("{}{name}", to_hex(genesis))
}

/// That a node is of another chain than is asked.
pub fn another_chain(seen: &[u8; 32], expected: &[u8; 32]) -> String {
    format!("this is another chain: genesis {}, expected {}", chain_text(seen), chain_text(expected))
}

pub fn to_hex(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

/// The bytes of a `0x…` text; `None` where it is none, also for lack of the `0x`.
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    hex::decode(text.strip_prefix("0x")?).ok()
}

/// The same of what a person or an SDK gives: nodes take parameters without the `0x`, too.
pub fn from_bare_hex(text: &str) -> Option<Vec<u8>> {
    hex::decode(text.strip_prefix("0x").unwrap_or(text)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_call_travels_alone_and_several_as_a_batch() {
        let head = Call::new("chain_getHeader", json!([]));
        let one = request_text(std::slice::from_ref(&head));
        assert_eq!(one, r#"{"id":0,"jsonrpc":"2.0","method":"chain_getHeader","params":[]}"#);
        assert!(request_text(&[head.clone(), head]).starts_with(r#"[{"id":0,"#));
    }

    #[test]
    fn bytes_are_written_as_they_are_read() {
        assert_eq!(from_hex(&to_hex(&[0, 255])).unwrap(), [0, 255]);
        assert_eq!(["0x00ff", "00ff"].map(from_bare_hex), [Some(vec![0, 255]), Some(vec![0, 255])]);
        for text in ["00ff", "0x0", "0xzz", "x00", "0X00", "0x 00", "0x0x00", ""] {
            assert_eq!(from_hex(text), None, "{text}");
        }
    }

    #[test]
    fn another_chain_is_named_by_both_hashes() {
        let error = RpcError::OtherChain { endpoint: "http://a".into(), seen: [1; 32], expected: [2; 32] };
        let told =
            format!("http://a: this is another chain: genesis 0x{}, expected 0x{}", "01".repeat(32), "02".repeat(32));
        assert_eq!(error.to_string(), told);
    }
}
