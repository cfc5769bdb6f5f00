//! JSON-RPC 2.0 as a server speaks it: a call or a batch in, answers out.
//!
//! Whatever arrives is answered by the protocol's own errors; nothing here panics on it.

use serde::Deserialize;
use serde_json::{Value as Json, json, value::RawValue};

use crate::spoke::chain::rpc::NodeError;

/// Calls in a batch; a node's default.
const BATCH_MAX: usize = 100;

const PARSE_ERROR: i64 = -32700;
const INVALID_REQUEST: i64 = -32600;
const BATCH_TOO_LARGE: i64 = -32010;

/// A request that was read: the id is as it came.
#[derive(Deserialize)]
struct Request {
    jsonrpc: String,
    method: String,
    #[serde(default)]
    params: Json,
    #[serde(default, deserialize_with = "present")]
    id: Option<Json>,
}

/// A null id is an id; only an absent one makes a notification.
fn present<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(from).map(Some)
}

/// Who answers a single call to `N`, by method and parameters.
pub type Callee<'a, N> = &'a mut dyn FnMut(&mut N, &str, &Json) -> Result<Json, NodeError>;

/// The answer to a body; `None` when it holds notifications alone.
pub fn to<N>(node: &mut N, body: &[u8], callee: Callee<N>) -> Option<String> {
    if body.trim_ascii_start().first() != Some(&b'[') {
        return match serde_json::from_slice::<&RawValue>(body) {
            Ok(call) => one(node, call, callee),
            Err(_) => Some(failed(PARSE_ERROR, "Parse error")),
        };
    }
    match serde_json::from_slice::<Vec<&RawValue>>(body) {
        Err(_) => Some(failed(PARSE_ERROR, "Parse error")),
        Ok(calls) if calls.is_empty() => Some(failed(INVALID_REQUEST, "Invalid request")),
        Ok(calls) if calls.len() > BATCH_MAX => Some(failed(BATCH_TOO_LARGE, "The batch request was too large")),
        Ok(calls) => {
            let answers: Vec<_> = calls.into_iter().filter_map(|call| one(node, call, callee)).collect();
            (!answers.is_empty()).then(|| format!("[{}]", answers.join(",")))
        }
    }
}

fn one<N>(node: &mut N, call: &RawValue, callee: Callee<N>) -> Option<String> {
    let request = match serde_json::from_str::<Request>(call.get()) {
        Ok(request) if request.jsonrpc == "2.0" => request,
        _ => return Some(failed(INVALID_REQUEST, "Invalid request")),
    };
    let answer = callee(node, &request.method, &request.params);
    let id = request.id?;
    Some(match answer {
        Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string(),
        Err(error) => json!({"jsonrpc": "2.0", "id": id, "error": shown(&error)}).to_string(),
    })
}

fn shown(error: &NodeError) -> Json {
    let mut shown = json!({"code": error.code, "message": error.message});
    if let (Some(data), Some(fields)) = (&error.data, shown.as_object_mut()) {
        fields.insert("data".into(), data.clone());
    }
    shown
}

fn failed(code: i64, message: &str) -> String {
    json!({"jsonrpc": "2.0", "id": null, "error": {"code": code, "message": message}}).to_string()
}
