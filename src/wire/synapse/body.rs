//! A synapse's JSON body as an axon reads it: two fields count, the rest is for politeness.

use serde::Deserialize;

use super::AxonRefusal;
use crate::{units::Hotkey, wire::json};

/// What counts of a body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Body {
    /// A package, or the handshake's JSON. `None`: null or missing.
    pub request: Option<String>,
    /// Who the body says it is from. The header counts; a body that says otherwise is refused.
    pub dendrite_hotkey: Option<String>,
}

#[derive(Deserialize)]
struct Fields {
    #[serde(default)]
    request: Option<String>,
    #[serde(default)]
    dendrite: Option<Terminal>,
}

#[derive(Deserialize)]
struct Terminal {
    #[serde(default)]
    hotkey: Option<String>,
}

impl Body {
    /// One pass over the bytes; only the two fields are copied.
    pub fn parse(bytes: &[u8]) -> Result<Body, AxonRefusal> {
        let text = std::str::from_utf8(bytes).map_err(|_| AxonRefusal::Body("no UTF-8".into()))?;
        let fields: Fields = json::object(text).map_err(|fault| AxonRefusal::Body(fault.to_string()))?;
        Ok(Body { request: fields.request, dendrite_hotkey: fields.dendrite.and_then(|terminal| terminal.hotkey) })
    }

    /// Whether the body is silent about its sender, or names the hotkey that the header was verified for.
    pub fn speaks_for(&self, verified: &Hotkey) -> Result<(), AxonRefusal> {
        match self.dendrite_hotkey.as_deref() {
            Some(claimed) if claimed != verified.as_str() => Err(AxonRefusal::OtherHotkey),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(text: &str) -> Result<Body, u16> {
        Body::parse(text.as_bytes()).map_err(|refusal| refusal.status())
    }

    #[test]
    fn only_two_fields_are_looked_at() {
        let text = r#"{"name":5,"dendrite":{"hotkey":"5A","nonce":NaN},"request":"x","axon":[]}"#;
        assert_eq!(body(text), Ok(Body { request: Some("x".into()), dendrite_hotkey: Some("5A".into()) }));
        assert_eq!(body(r#"{"request":null,"dendrite":null}"#), Ok(Body::default()));
        assert_eq!(body("{}"), Ok(Body::default()));
    }

    #[test]
    fn no_json_and_wrong_types_are_unprocessable() {
        for text in
            ["", "{not json", "[]", "5", r#"{"request":5}"#, r#"{"dendrite":"5A"}"#, r#"{"dendrite":{"hotkey":5}}"#]
        {
            assert_eq!(body(text), Err(422), "{text}");
        }
        assert_eq!(Body::parse(b"\xff{}").unwrap_err().status(), 422);
    }
}
