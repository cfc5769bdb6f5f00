//! An HTTP/1.1 message as a value. Not a parser: the loop frames the bytes (`net`), this room says what they mean.

use subtle::ConstantTimeEq;

use crate::units::Secret;

/// Header fields in order of arrival; names in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    pub fn new() -> Headers {
        Headers::default()
    }
    /// The first field of that name. `name` must be lower case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
    pub fn push(&mut self, name: &str, value: impl Into<String>) {
        self.0.push((name.to_ascii_lowercase(), value.into()));
    }
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Whether the header `Authorization` bears this token: `Bearer <token>`, the scheme in any letter case. Takes as long
/// wherever the token is wrong.
pub fn bears(authorization: Option<&str>, token: &Secret) -> bool {
    let given = authorization.and_then(bearer);
    given.is_some_and(|given| given.as_bytes().ct_eq(token.reveal().as_bytes()).into())
}

fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// A whole request: its body was read to the end, within the limits of its listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `POST`, `GET`, … as sent.
    pub method: String,
    /// Path and query as sent, e.g. `/TaskSynapse`.
    pub target: String,
    pub headers: Headers,
    pub body: Vec<u8>,
}

/// A whole response. `Content-Length`, `Date` and `Connection` are the loop's to add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub headers: Headers,
    pub body: Vec<u8>,
}
