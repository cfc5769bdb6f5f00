//! JSON as the network writes it: the reference implementation emits bare `NaN`, `Infinity` and `-Infinity`.
//! They are read as `null`; nothing here ever writes them. No message types live here.

use std::{borrow::Cow, fmt, marker::PhantomData, sync::Arc};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeOwned, Error as _, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// Why a text is not the JSON that was expected.
#[derive(Debug, thiserror::Error)]
pub enum JsonFault {
    /// No JSON at all.
    #[error("no JSON: {0}")]
    Syntax(String),
    #[error("no object")]
    NotObject,
    /// JSON, but not of the expected shape.
    #[error("{0}")]
    Shape(String),
}

impl From<serde_json::Error> for JsonFault {
    fn from(error: serde_json::Error) -> JsonFault {
        match error.classify() {
            serde_json::error::Category::Data => JsonFault::Shape(error.to_string()),
            _ => JsonFault::Syntax(error.to_string()),
        }
    }
}

/// Reads `text`, with bare `NaN`, `Infinity` and `-Infinity` taken as `null`. A text without them costs one pass.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, JsonFault> {
    serde_json::from_str(text).or_else(|error| match nulled(text) {
        Cow::Owned(text) => Ok(serde_json::from_str(&text)?),
        Cow::Borrowed(_) => Err(error.into()),
    })
}

/// [`parse`] for a message, which must be an object: as lists, serde would take the fields in order.
pub fn object<T: DeserializeOwned>(text: &str) -> Result<T, JsonFault> {
    match text.trim_ascii_start().as_bytes().first() {
        Some(b'{') => parse(text),
        // Whether it is JSON of another shape or none at all, as the reader would have said.
        _ => match parse::<serde::de::IgnoredAny>(text) {
            Ok(_) => Err(JsonFault::NotObject),
            Err(fault) => Err(fault),
        },
    }
}

/// Writes a message: compact, UTF-8 unescaped, no number that JSON lacks.
pub fn text(message: &impl Serialize) -> String {
    // Our messages have text keys and no failing `Serialize`; an object is what a peer can refuse by name.
    serde_json::to_string(message).unwrap_or_else(|_| String::from("{}"))
}

/// `text` with each bare `NaN`, `Infinity` and `-Infinity` outside strings replaced by `null`.
/// Borrowed when there is none.
pub fn nulled(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let (mut out, mut kept, mut at) = (String::new(), 0, 0);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => at = string_end(bytes, at),
            b'N' | b'I' | b'-' => match bare_word(&bytes[at..]) {
                0 => at += 1,
                length => {
                    out.push_str(&text[kept..at]);
                    out.push_str("null");
                    at += length;
                    kept = at;
                }
            },
            _ => at += 1,
        }
    }
    if kept == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[kept..]);
    Cow::Owned(out)
}

/// Where the string that opens at `start` has ended: behind its closing quote, or at the end of the text.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn bare_word(bytes: &[u8]) -> usize {
    let words: [&[u8]; 3] = [b"NaN", b"Infinity", b"-Infinity"];
    words.into_iter().find(|word| bytes.starts_with(word)).map_or(0, <[u8]>::len)
}

/// A JSON value that is only passed on: the text as sent. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Raw(Arc<RawValue>);

impl Raw {
    /// A value of ours as text.
    pub fn of(value: &impl Serialize) -> Result<Raw, JsonFault> {
        Ok(Raw(serde_json::value::to_raw_value(value)?.into()))
    }
    pub fn as_str(&self) -> &str {
        self.0.get()
    }
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, JsonFault> {
        Ok(serde_json::from_str(self.as_str())?)
    }
}

impl PartialEq for Raw {
    fn eq(&self, other: &Raw) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Serialize for Raw {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Raw, D::Error> {
        Ok(Raw(Box::<RawValue>::deserialize(from)?.into()))
    }
}

/// Any JSON object, contents unread: a check of the shape that keeps nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AnyObject;

impl<'de> Deserialize<'de> for AnyObject {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<AnyObject, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = AnyObject;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<AnyObject, A::Error> {
                while map.next_entry::<serde::de::IgnoredAny, serde::de::IgnoredAny>()?.is_some() {}
                Ok(AnyObject)
            }
        }
        from.deserialize_map(Visitor)
    }
}

/// A list of at most `MOST` entries; one more refuses it, and nothing behind that one takes memory.
pub fn at_most<'de, D: Deserializer<'de>, T: Deserialize<'de>, const MOST: usize>(from: D) -> Result<Vec<T>, D::Error> {
    struct Entries<T, const MOST: usize>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for Entries<T, MOST> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {MOST}")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
            let mut entries = Vec::new();
            while let Some(entry) = list.next_element()? {
                if entries.len() >= MOST {
                    return Err(A::Error::custom(format!("a list of more than {MOST}")));
                }
                entries.push(entry);
            }
            Ok(entries)
        }
    }

    from.deserialize_seq(Entries::<T, MOST>(PhantomData))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn bare_words_become_null_outside_strings() {
        let text = r#"{"a":NaN,"b":[Infinity,-Infinity,-1],"c":"NaN \" -Infinity","d\\":Infinity}"#;
        let expected = json!({"a": null, "b": [null, null, -1], "c": "NaN \" -Infinity", "d\\": null});
        assert_eq!(parse::<Value>(text).unwrap(), expected);
    }

    #[test]
    fn a_text_without_them_is_not_copied() {
        assert!(matches!(nulled(r#"{"Infinity":-1}"#), Cow::Borrowed(_)));
    }

    #[test]
    fn what_is_no_json_stays_refused() {
        for text in ["", "{", "NaN}", "\"\\", "-Infinit", "{\"a\":NaNN}", "[1e999]"] {
            assert!(matches!(parse::<Value>(text), Err(JsonFault::Syntax(_))), "{text}");
        }
        assert!(matches!(parse::<Vec<u8>>("{}"), Err(JsonFault::Shape(_))));
    }

    #[test]
    fn not_a_number_is_written_as_null() {
        assert_eq!(text(&[f64::NAN, f64::INFINITY, 1.0]), "[null,null,1.0]");
    }

    #[test]
    fn raw_text_is_passed_on_as_sent() {
        let raw: Raw = parse(r#"{ "b" : 1.50, "a": 2 }"#).unwrap();
        assert_eq!(text(&raw), r#"{ "b" : 1.50, "a": 2 }"#);
    }
}
