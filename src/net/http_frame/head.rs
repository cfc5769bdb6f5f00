//! Heads: what `httparse` read, as header fields, and where a body ends according to them.

use httparse::{Header, Status};

use super::HttpFault;
use crate::wire::{http::Headers, limits::HEADER_FIELDS};

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(usize),
    Chunked,
    /// Neither length nor coding.
    Unsaid,
}

pub(super) fn parsed(status: httparse::Result<usize>, limit_bytes: usize) -> Result<usize, HttpFault> {
    match status {
        Ok(Status::Complete(length)) => Ok(length),
        Ok(Status::Partial) => Err(HttpFault::Bad("a head without an end".into())),
        Err(httparse::Error::TooManyHeaders) => Err(HttpFault::HeadTooLarge { limit_bytes }),
        Err(why) => Err(HttpFault::Bad(why.to_string())),
    }
}

pub(super) const NO_FIELDS: [Header<'static>; HEADER_FIELDS] = [httparse::EMPTY_HEADER; HEADER_FIELDS];

/// Values are read as Latin-1, which every byte is.
pub(super) fn fields(parsed: &[Header<'_>]) -> Headers {
    let mut headers = Headers::new();
    for field in parsed {
        headers.push(field.name, field.value.iter().map(|byte| char::from(*byte)).collect::<String>());
    }
    headers
}

/// Every comma-separated item of every field of that name, trimmed.
pub(super) fn items<'a>(headers: &'a Headers, name: &'a str) -> impl Iterator<Item = &'a str> {
    let values = headers.iter().filter(move |(key, _)| *key == name);
    values.flat_map(|(_, value)| value.split(',')).map(str::trim)
}

/// Whether a list field (`Connection`, `Upgrade`) holds that token.
pub(crate) fn has_token(headers: &Headers, name: &str, token: &str) -> bool {
    items(headers, name).any(|item| item.eq_ignore_ascii_case(token))
}

pub(super) fn framing(headers: &Headers, http_1_1: bool) -> Result<Framing, HttpFault> {
    let mut codings = items(headers, "transfer-encoding");
    let mut lengths = items(headers, "content-length");
    match (codings.next(), lengths.next()) {
        (None, None) => Ok(Framing::Unsaid),
        (Some(_), Some(_)) => Err(HttpFault::Bad("both Content-Length and Transfer-Encoding".into())),
        (Some(coding), None) if coding.eq_ignore_ascii_case("chunked") && codings.next().is_none() => {
            if http_1_1 {
                Ok(Framing::Chunked)
            } else {
                Err(HttpFault::Bad("chunked coding in HTTP/1.0".into()))
            }
        }
        (Some(_), None) => Err(HttpFault::Coding(items(headers, "transfer-encoding").collect::<Vec<_>>().join(", "))),
        (None, Some(length)) if lengths.all(|other| other == length) => content_length(length),
        (None, Some(_)) => Err(HttpFault::Bad("two different Content-Length".into())),
    }
}

fn content_length(text: &str) -> Result<Framing, HttpFault> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(HttpFault::Bad("Content-Length is no number".into()));
    }
    // More digits than a usize holds is more than any limit.
    Ok(Framing::Length(text.parse().unwrap_or(usize::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&str, &str)]) -> Headers {
        let mut headers = Headers::new();
        fields.iter().for_each(|(name, value)| headers.push(name, *value));
        headers
    }

    fn framing_of(fields: &[(&str, &str)]) -> Result<Framing, u16> {
        framing(&headers(fields), true).map_err(|fault| fault.status())
    }

    #[test]
    fn the_end_of_a_body_is_said_once() {
        assert_eq!(framing_of(&[]), Ok(Framing::Unsaid));
        assert_eq!(framing_of(&[("content-length", "12")]), Ok(Framing::Length(12)));
        assert_eq!(framing_of(&[("content-length", "12, 12")]), Ok(Framing::Length(12)));
        assert_eq!(framing_of(&[("content-length", "12"), ("content-length", "13")]), Err(400));
        assert_eq!(framing_of(&[("content-length", "+12")]), Err(400));
        assert_eq!(framing_of(&[("content-length", "")]), Err(400));
        assert_eq!(framing_of(&[("content-length", "99999999999999999999")]), Ok(Framing::Length(usize::MAX)));
        assert_eq!(framing_of(&[("transfer-encoding", "Chunked")]), Ok(Framing::Chunked));
        assert_eq!(framing_of(&[("transfer-encoding", "gzip, chunked")]), Err(501));
        assert_eq!(framing_of(&[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")]), Err(501));
        assert_eq!(framing_of(&[("transfer-encoding", "chunked"), ("content-length", "3")]), Err(400));
    }

    #[test]
    fn tokens_are_found_in_lists() {
        let headers = headers(&[("connection", "keep-alive, Upgrade")]);
        assert!(has_token(&headers, "connection", "upgrade"));
        assert!(!has_token(&headers, "connection", "up"));
    }
}
