//! The envelope of a node's answers, read strictly: which answer is to which call, and nothing else beside.
//!
//! Text in, values out, in memory that the text's length bounds. Reads no results: what they mean is known to whoever
//! asked. An envelope that is not as JSON-RPC 2.0 has it is refused with what is wrong: a node, a proxy or a load
//! balancer that mixes answers up must not be believed in any of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value as Json;

use super::rpc::NodeError;

/// Answers are few long texts: a block has some hundred parts. A text of many would take many times its length in
/// memory.
const PARTS_MAX: usize = 100_000;

#[derive(Deserialize)]
struct Answer {
    jsonrpc: Option<String>,
    id: Option<u64>,
    #[serde(default, deserialize_with = "present")]
    result: Option<Json>,
    #[serde(default, deserialize_with = "present")]
    error: Option<NodeError>,
}

/// Null is a result; a field that is not there is none.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(field: D) -> Result<Option<T>, D::Error> {
    T::deserialize(field).map(Some)
}

/// A node's answer to one call.
pub type Outcome = Result<Json, NodeError>;

impl Answer {
    /// The id that it answers (`None` for a request that could not be read), and what.
    fn open(self) -> Result<(Option<u64>, Outcome), String> {
        if self.jsonrpc.as_deref() != Some("2.0") {
            return Err("an answer without jsonrpc \"2.0\"".into());
        }
        match (self.result, self.error) {
            (Some(result), None) => Ok((self.id, Ok(result))),
            (None, Some(error)) => Ok((self.id, Err(error))),
            (Some(_), Some(_)) => Err("an answer with a result and an error".into()),
            (None, None) => Err("an answer with neither result nor error".into()),
        }
    }
}

/// Reads the answers to `count` calls, in the order of the calls. The error says what is wrong with the text.
pub fn read_answers(text: &[u8], count: usize) -> Result<Vec<Outcome>, String> {
    let parts = text.iter().filter(|byte| matches!(byte, b',' | b'[' | b'{')).count();
    if parts > PARTS_MAX {
        return Err(format!("answer of {parts} parts, more than {PARTS_MAX}"));
    }
    if text.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
        in_order(json(text)?, count)
    } else {
        alone(json(text)?, count)
    }
}

fn json<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(text).map_err(|why| format!("answer is no JSON-RPC: {why}"))
}

/// The answer to one call; or the refusal of a whole request, mostly without an id.
fn alone(answer: Answer, count: usize) -> Result<Vec<Outcome>, String> {
    match answer.open()? {
        (id, Err(error)) if id.is_none() || count > 1 => Ok(vec![Err(error); count]),
        (Some(0), outcome) if count == 1 => Ok(vec![outcome]),
        (Some(id), _) if count == 1 => Err(format!("an answer to call {id}, which was not made")),
        (None, _) => Err("a result without an id".into()),
        _ => Err(format!("one answer to {count} calls")),
    }
}

fn in_order(answers: Vec<Answer>, count: usize) -> Result<Vec<Outcome>, String> {
    if count == 1 {
        return Err("a list of answers to a single call".into());
    }
    let mut by_id = BTreeMap::new();
    for answer in answers {
        let (id, outcome) = answer.open()?;
        let id = id.ok_or("an answer without an id in a list")?;
        if by_id.insert(id, outcome).is_some() {
            return Err(format!("two answers to call {id}"));
        }
    }
    let ordered = (0..count).map(|id| by_id.remove(&(id as u64)).ok_or(id));
    let ordered: Vec<_> =
        ordered.collect::<Result<_, _>>().map_err(|id| format!("no answer to call {id} of {count}"))?;
    match by_id.first_key_value() {
        Some((id, _)) => Err(format!("an answer to call {id}, which was not made")),
        None => Ok(ordered),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(text: &str, count: usize) -> String {
        read_answers(text.as_bytes(), count).unwrap_err()
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
    fn null_is_a_result() {
        let text = br#" {"jsonrpc":"2.0","id":0,"result":null}"#;
        assert_eq!(read_answers(text, 1), Ok(vec![Ok(Json::Null)]));
    }

    #[test]
    fn a_refused_batch_refuses_each_call() {
        for id in ["null", "0"] {
            let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32010,"message":"too large"}}}}"#);
            assert_eq!(read_answers(text.as_bytes(), 3).unwrap().iter().filter(|answer| answer.is_err()).count(), 3);
        }
    }

    #[test]
    fn what_is_no_json_rpc_is_named() {
        for text in ["<html>502</html>", "", "[", "{\"jsonrpc\":\"2.0\"", "7", "\u{0}", "[1]", r#"{"id":0}}"#] {
            assert!(refused(text, 1).contains("no JSON-RPC"), "{text}");
        }
        for field in [r#""id":"0""#, r#""id":-1"#, r#""id":0.5"#, r#""id":0,"id":0"#, r#""id":0,"error":null"#] {
            let text = format!(r#"{{"jsonrpc":"2.0",{field},"result":1}}"#);
            assert!(refused(&text, 1).contains("no JSON-RPC"), "{text}");
        }
        let bomb = format!(r#"{{"jsonrpc":"2.0","id":0,"result":{}{}}}"#, "[".repeat(5000), "]".repeat(5000));
        assert!(refused(&bomb, 1).contains("recursion limit"), "{bomb}");
        let many = format!(r#"{{"jsonrpc":"2.0","id":0,"result":[{}0]}}"#, "0,".repeat(PARTS_MAX));
        assert_eq!(refused(&many, 1), "answer of 100004 parts, more than 100000");
    }

    #[test]
    fn an_answer_that_is_not_one_is_named() {
        assert_eq!(refused(r#"{"id":0,"result":1}"#, 1), "an answer without jsonrpc \"2.0\"");
        assert_eq!(refused(r#"{"jsonrpc":"1.0","id":0,"result":1}"#, 1), "an answer without jsonrpc \"2.0\"");
        assert_eq!(refused(r#"{"jsonrpc":"2.0","id":0}"#, 1), "an answer with neither result nor error");
        let both = r#"{"jsonrpc":"2.0","id":0,"result":1,"error":{"code":1,"message":"x"}}"#;
        assert_eq!(refused(both, 1), "an answer with a result and an error");
    }

    #[test]
    fn answers_to_other_calls_are_refused_all_together() {
        let of = |ids: &[&str]| {
            let answers = ids.iter().map(|id| format!(r#"{{"jsonrpc":"2.0","id":{id},"result":1}}"#));
            format!("[{}]", answers.collect::<Vec<_>>().join(","))
        };
        let one = |id: &str| format!(r#"{{"jsonrpc":"2.0","id":{id},"result":1}}"#);
        assert_eq!(refused(&of(&["0"]), 2), "no answer to call 1 of 2");
        assert_eq!(refused(&of(&["0", "0"]), 2), "two answers to call 0");
        assert_eq!(refused(&of(&["0", "1", "2"]), 2), "an answer to call 2, which was not made");
        assert_eq!(refused(&of(&["0", "null"]), 2), "an answer without an id in a list");
        assert_eq!(refused(&of(&[]), 2), "no answer to call 0 of 2");
        assert_eq!(refused(&of(&["0"]), 1), "a list of answers to a single call");
        assert_eq!(refused(&one("1"), 1), "an answer to call 1, which was not made");
        assert_eq!(refused(&one("null"), 1), "a result without an id");
        assert_eq!(refused(r#"{"jsonrpc":"2.0","result":1}"#, 1), "a result without an id");
        assert_eq!(refused(&one("0"), 2), "one answer to 2 calls");
    }
}
