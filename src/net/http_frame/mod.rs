//! HTTP/1.1 framing as a pure state machine: bytes in any split in, whole messages or a named fault out.
//!
//! Runs on the loop, touches no socket and no clock. It says where a message ends and nothing about what it
//! means. Where RFC 9112 leaves a choice it takes the strict one: two lengths, a length beside a coding, or
//! a coding other than `chunked` end the connection, since two programs that disagree about where a request
//! ends are a hole.

mod body;
mod encode;
mod head;
mod request;
mod response;

pub use encode::{encode_request, encode_request_head, encode_response};
pub(crate) use head::has_token;
pub use request::{Incoming, Item, RequestReader};
pub use response::ResponseReader;

use crate::wire::limits::HEADER_FIELDS;

/// Why bytes are no message of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpFault {
    #[error("bad HTTP: {0}")]
    Bad(String),
    #[error("a POST without Content-Length or chunked coding")]
    LengthRequired,
    #[error("body over {limit_bytes} bytes")]
    BodyTooLarge { limit_bytes: usize },
    #[error("head over {limit_bytes} bytes or {HEADER_FIELDS} fields")]
    HeadTooLarge { limit_bytes: usize },
    #[error("transfer coding {0:?}")]
    Coding(String),
    #[error("expectation {0:?}")]
    Expectation(String),
    #[error("method {0}")]
    Method(String),
    #[error("the peer ended in the middle of a message")]
    Truncated,
}

impl HttpFault {
    /// The status that says it to a client.
    pub fn status(&self) -> u16 {
        match self {
            HttpFault::Bad(_) | HttpFault::Truncated => 400,
            HttpFault::Method(_) => 405,
            HttpFault::LengthRequired => 411,
            HttpFault::BodyTooLarge { .. } => 413,
            HttpFault::Expectation(_) => 417,
            HttpFault::HeadTooLarge { .. } => 431,
            HttpFault::Coding(_) => 501,
        }
    }

    /// Whether a limit of ours was reached, as opposed to the protocol broken.
    pub fn is_limit(&self) -> bool {
        matches!(self, HttpFault::BodyTooLarge { .. } | HttpFault::HeadTooLarge { .. })
    }
}

/// Bytes that arrived and are not understood yet.
#[derive(Debug, Default)]
struct Unread {
    bytes: Vec<u8>,
    start: usize,
    /// Bytes after `start` in which no end of a head was found.
    scanned: usize,
}

/// An empty buffer of more than this is given back.
const KEPT_BYTES: usize = 16 * 1024;

impl Unread {
    fn push(&mut self, bytes: &[u8]) {
        if self.start > KEPT_BYTES {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    fn as_slice(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    fn consume(&mut self, count: usize) {
        self.start += count;
        self.scanned = 0;
        if self.start >= self.bytes.len() {
            self.start = 0;
            self.bytes.clear();
            if self.bytes.capacity() > KEPT_BYTES {
                self.bytes = Vec::new();
            }
        }
    }

    /// Up to `count` bytes, taken out.
    fn take(&mut self, count: usize, into: &mut Vec<u8>) -> usize {
        let count = count.min(self.as_slice().len());
        into.extend_from_slice(self.as_slice().get(..count).unwrap_or_default());
        self.consume(count);
        count
    }

    /// The next line without its line end, taken out; `None` until its end arrived.
    fn line(&mut self, longest: usize, what: &str) -> Result<Option<Vec<u8>>, HttpFault> {
        let unread = self.as_slice();
        match unread.iter().take(longest).position(|byte| *byte == b'\n') {
            Some(end) => {
                let line = unread.get(..end).unwrap_or_default();
                let line = line.strip_suffix(b"\r").unwrap_or(line).to_vec();
                self.consume(end + 1);
                Ok(Some(line))
            }
            None if unread.len() >= longest => Err(HttpFault::Bad(format!("{what} over {longest} bytes"))),
            None => Ok(None),
        }
    }

    /// Length of the head at the front, with its empty line; `None` until that arrived. Empty lines before
    /// it are dropped (RFC 9112, 2.2).
    fn head_length(&mut self) -> Option<usize> {
        let blank = self.as_slice().iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        if blank > 0 {
            self.consume(blank);
        }
        let unread = self.as_slice();
        let from = self.scanned.saturating_sub(3);
        let tail = unread.get(from..).unwrap_or_default();
        let end = tail.iter().enumerate().find_map(|(at, byte)| match (byte, tail.get(at + 1), tail.get(at + 2)) {
            (b'\n', Some(b'\n'), _) => Some(from + at + 2),
            (b'\n', Some(b'\r'), Some(b'\n')) => Some(from + at + 3),
            _ => None,
        });
        self.scanned = unread.len();
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emptied_buffer_is_given_back() {
        let mut unread = Unread::default();
        unread.push(&vec![7; 1 << 20]);
        unread.consume(1 << 20);
        assert_eq!(unread.bytes.capacity(), 0);
    }

    #[test]
    fn the_end_of_a_head_is_found_across_pieces() {
        let mut unread = Unread::default();
        for byte in b"\r\nGET / HTTP/1.1\r\nA: b\r\n\r" {
            unread.push(&[*byte]);
            assert_eq!(unread.head_length(), None);
        }
        unread.push(b"\nrest");
        assert_eq!(unread.head_length(), Some("GET / HTTP/1.1\r\nA: b\r\n\r\n".len()));
    }
}
