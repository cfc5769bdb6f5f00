//! JSON-RPC 2.0, the node's side of it as seen by a client: calls, batches, answers, and what went wrong.
//!
//! Text in, text out: how it travels is the business of an [`Rpc`], of which there are two real ones: HTTP to
//! real nodes, and answers recorded from or computed without one.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value as Json, json};

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

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    id: Option<usize>,
    #[serde(default)]
    result: Json,
    #[serde(default)]
    error: Option<NodeError>,
}

impl Answer {
    fn outcome(self) -> Result<Json, NodeError> {
        self.error.map_or(Ok(self.result), Err)
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Answers {
    Batch(Vec<Answer>),
    One(Answer),
}

/// Reads the answers to `count` calls, in the order of the calls. The error says what is wrong with the text.
pub fn read_answers(text: &[u8], count: usize) -> Result<Vec<Result<Json, NodeError>>, String> {
    match serde_json::from_slice(text).map_err(|why| format!("answer is no JSON-RPC: {why}"))? {
        // A batch that is refused as a whole is answered by one error without an id.
        Answers::One(Answer { error: Some(error), .. }) => Ok(vec![Err(error); count]),
        Answers::One(answer) if count == 1 => Ok(vec![answer.outcome()]),
        Answers::One(_) => Err(format!("one answer to {count} calls")),
        Answers::Batch(answers) => in_order(answers, count),
    }
}

fn in_order(answers: Vec<Answer>, count: usize) -> Result<Vec<Result<Json, NodeError>>, String> {
    let mut by_id: BTreeMap<_, _> = answers.into_iter().map(|answer| (answer.id, answer)).collect();
    let ordered = (0..count).map(|id| by_id.remove(&Some(id)).map(Answer::outcome).ok_or(id));
    ordered.collect::<Result<_, _>>().map_err(|id| format!("no answer to call {id} of {count}"))
}

pub fn to_hex(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

/// The bytes of a `0x…` text.
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
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
    fn answers_come_back_in_the_order_of_the_calls() {
        let text = br#"[{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"Method not found"}},
                        {"jsonrpc":"2.0","id":0,"result":"0x00"}]"#;
        let answers = read_answers(text, 2).unwrap();
        assert_eq!(answers[0], Ok(json!("0x00")));
        assert_eq!(answers[1].as_ref().unwrap_err().to_string(), "error -32601: Method not found");
    }

    #[test]
    fn a_refused_batch_refuses_each_call() {
        let text =
            br#"{"jsonrpc":"2.0","id":null,"error":{"code":-32010,"message":"The batch request was too large"}}"#;
        assert!(read_answers(text, 3).unwrap().iter().all(Result::is_err));
    }

    #[test]
    fn what_is_no_answer_is_named() {
        assert!(read_answers(b"<html>502</html>", 1).unwrap_err().contains("no JSON-RPC"));
        assert_eq!(read_answers(br#"[{"id":0,"result":1}]"#, 2).unwrap_err(), "no answer to call 1 of 2");
        assert_eq!(read_answers(br#"{"id":0,"result":1}"#, 2).unwrap_err(), "one answer to 2 calls");
    }
}
