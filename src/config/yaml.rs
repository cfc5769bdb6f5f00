//! YAML text to a plain tree. The one place that knows which YAML library reads operators' files.
//!
//! It knows no keys and checks no values; it refuses what no configuration needs (tags, keys that are not
//! text).

use std::borrow::Cow;

use serde_yaml::Value;

/// A YAML document, or a part of one.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    Null,
    Bool(bool),
    Whole(i128),
    Real(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

/// Why a text is no document of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum YamlError {
    #[error("not YAML: {0}")]
    Syntax(String),
    #[error("key {0}: keys are texts")]
    Key(String),
    #[error("tag {0}: tags are not used here")]
    Tag(String),
}

/// Reads a whole document. An empty text is an empty map.
pub fn parse(text: &str) -> Result<Node, YamlError> {
    let value = serde_yaml::from_str(text).map_err(|why| YamlError::Syntax(why.to_string()))?;
    match node(value)? {
        Node::Null => Ok(Node::Map(Vec::new())),
        node => Ok(node),
    }
}

fn node(value: Value) -> Result<Node, YamlError> {
    Ok(match value {
        Value::Null => Node::Null,
        Value::Bool(is) => Node::Bool(is),
        Value::Number(number) => number_node(&number),
        Value::String(text) => Node::Text(text),
        Value::Sequence(items) => Node::List(items.into_iter().map(node).collect::<Result<_, _>>()?),
        Value::Mapping(map) => Node::Map(map.into_iter().map(entry).collect::<Result<_, _>>()?),
        Value::Tagged(tagged) => return Err(YamlError::Tag(tagged.tag.to_string())),
    })
}

fn number_node(number: &serde_yaml::Number) -> Node {
    if let Some(whole) = number.as_u64() {
        return Node::Whole(whole.into());
    }
    if let Some(whole) = number.as_i64() {
        return Node::Whole(whole.into());
    }
    Node::Real(number.as_f64().unwrap_or(f64::NAN))
}

fn entry((key, value): (Value, Value)) -> Result<(String, Node), YamlError> {
    match key {
        Value::String(key) => Ok((key, node(value)?)),
        other => Err(YamlError::Key(node(other).map_or_else(|why| why.to_string(), |key| key.shown()))),
    }
}

impl Node {
    /// The value under a key of this map; `None` when it is no map or lacks the key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        match self {
            Node::Map(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, node)| node),
            _ => None,
        }
    }

    /// As an operator wrote it, shortened: what an error message quotes.
    pub fn shown(&self) -> String {
        match self {
            Node::Null => "null".into(),
            Node::Bool(is) => is.to_string(),
            Node::Whole(whole) => whole.to_string(),
            Node::Real(real) => format!("{real:?}"),
            Node::Text(text) => quoted(text),
            Node::List(items) => format!("a list of {}", items.len()),
            Node::Map(entries) => format!("a section of {} keys", entries.len()),
        }
    }
}

fn quoted(text: &str) -> String {
    const SHOWN_CHARS: usize = 80;
    let text = &without_login(text);
    let shown: String = text.chars().take(SHOWN_CHARS).collect();
    let dots = if shown.len() < text.len() { "…" } else { "" };
    format!("{shown:?}{dots}")
}

/// An URL with a login loses it: what is quoted ends in a log.
fn without_login(text: &str) -> Cow<'_, str> {
    let parts = text.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?.1)));
    parts.map_or(text.into(), |(scheme, host)| format!("{scheme}://…@{host}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_becomes_a_tree() {
        let tree = parse("a: 1\nb:\n  c: [x, 0.5, -2, null]\n  d: true\n").unwrap();
        assert_eq!(tree.get("a"), Some(&Node::Whole(1)));
        let list = vec![Node::Text("x".into()), Node::Real(0.5), Node::Whole(-2), Node::Null];
        assert_eq!(tree.get("b").unwrap().get("c"), Some(&Node::List(list)));
        assert_eq!(tree.get("b").unwrap().get("d"), Some(&Node::Bool(true)));
        assert_eq!(tree.get("z"), None);
    }

    #[test]
    fn an_empty_text_is_an_empty_map() {
        assert_eq!(parse("# nothing\n").unwrap(), Node::Map(Vec::new()));
    }

    #[test]
    fn what_no_configuration_needs_is_refused() {
        assert!(matches!(parse("a: [1"), Err(YamlError::Syntax(_))));
        assert!(matches!(parse("a: 1\na: 2\n"), Err(YamlError::Syntax(text)) if text.contains("duplicate")));
        assert_eq!(parse("1: x\n"), Err(YamlError::Key("1".into())));
        assert!(matches!(parse("a: !secret x\n"), Err(YamlError::Tag(_))));
    }

    #[test]
    fn a_login_is_not_quoted() {
        let shown = |text: &str| Node::Text(text.into()).shown();
        assert_eq!(shown("wss://user:hunter2@node.example"), "\"wss://…@node.example\"");
        assert_eq!(shown("someone@example"), "\"someone@example\"");
    }

    #[test]
    fn a_long_text_is_quoted_in_part() {
        let shown = Node::Text("é".repeat(200)).shown();
        assert_eq!(shown.chars().count(), 83);
    }
}
