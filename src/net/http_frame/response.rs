//! The one response of a connection that we dialed.

use super::{
    HttpFault, Unread,
    body::BodyReader,
    head::{self, Framing, NO_FIELDS},
};
use crate::wire::http::Response;

/// Reads one response to a request that was not HEAD. Interim responses (1xx) are skipped; `101` ends it,
/// and what follows belongs to another protocol.
#[derive(Debug)]
pub struct ResponseReader {
    header_bytes: usize,
    body_bytes: usize,
    unread: Unread,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Head,
    Body { response: Response, reader: BodyReader },
    Done,
}

impl ResponseReader {
    pub fn new(header_bytes: usize, body_bytes: usize) -> ResponseReader {
        ResponseReader { header_bytes, body_bytes, unread: Unread::default(), stage: Stage::Head }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.unread.push(bytes);
    }

    /// Nothing has arrived.
    pub fn is_idle(&self) -> bool {
        matches!(self.stage, Stage::Head) && self.unread.is_empty()
    }

    /// Bytes after the response.
    pub fn into_rest(self) -> Vec<u8> {
        self.unread.as_slice().to_vec()
    }

    /// The response once it is whole, one time.
    pub fn read(&mut self) -> Result<Option<Response>, HttpFault> {
        while matches!(self.stage, Stage::Head) {
            if !self.read_head()? {
                return Ok(None);
            }
        }
        let Stage::Body { reader, .. } = &mut self.stage else { return Ok(None) };
        let is_whole = reader.read(&mut self.unread)?;
        Ok(if is_whole { self.whole() } else { None })
    }

    /// The peer sends no more: the response, when its end was to be that.
    pub fn end(&mut self) -> Result<Option<Response>, HttpFault> {
        match &self.stage {
            Stage::Body { reader, .. } if reader.is_until_end() => Ok(self.whole()),
            Stage::Done => Ok(None),
            _ => Err(HttpFault::Truncated),
        }
    }

    fn whole(&mut self) -> Option<Response> {
        match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::Body { mut response, reader } => {
                response.body = reader.into_body();
                Some(response)
            }
            Stage::Head | Stage::Done => None,
        }
    }

    /// `true` when a head was read, be it an interim one.
    fn read_head(&mut self) -> Result<bool, HttpFault> {
        let length = self.unread.head_length();
        if length.unwrap_or(self.unread.as_slice().len()) > self.header_bytes {
            return Err(HttpFault::HeadTooLarge { limit_bytes: self.header_bytes });
        }
        let Some(length) = length else { return Ok(false) };
        let bytes = self.unread.as_slice().get(..length).unwrap_or_default();
        let (response, framing) = parse_head(bytes, self.header_bytes)?;
        self.unread.consume(length);
        if response.status >= 200 || response.status == 101 {
            let reader = BodyReader::new(framing, self.body_bytes)?;
            self.stage = Stage::Body { response, reader };
        }
        Ok(true)
    }
}

fn parse_head(bytes: &[u8], header_bytes: usize) -> Result<(Response, Framing), HttpFault> {
    let mut fields = NO_FIELDS;
    let mut parsed = httparse::Response::new(&mut fields);
    head::parsed(parsed.parse(bytes), header_bytes)?;
    let status = parsed.code.unwrap_or_default();
    let response = Response { status, headers: head::fields(parsed.headers), body: Vec::new() };
    let framing = match status {
        100..=199 | 204 | 304 => Framing::Length(0),
        _ => head::framing(&response.headers, parsed.version == Some(1))?,
    };
    Ok((response, framing))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Option<Response>, HttpFault> {
        let mut reader = ResponseReader::new(256, 10);
        for byte in bytes {
            reader.push(&[*byte]);
            if let Some(response) = reader.read()? {
                return Ok(Some(response));
            }
        }
        reader.end()
    }

    fn body(bytes: &[u8]) -> Vec<u8> {
        read(bytes).unwrap().unwrap().body
    }

    #[test]
    fn every_way_to_end_a_body() {
        assert_eq!(body(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"), b"hi");
        assert_eq!(body(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"), b"hi");
        assert_eq!(body(b"HTTP/1.1 200 OK\r\n\r\nhi"), b"hi");
        assert_eq!(body(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"), b"hi");
        assert_eq!(body(b"HTTP/1.1 204 No Content\r\n\r\n"), b"");
    }

    #[test]
    fn a_truncated_or_huge_answer_is_a_fault() {
        assert_eq!(read(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi"), Err(HttpFault::Truncated));
        assert_eq!(read(b"HTTP/1.1 200"), Err(HttpFault::Truncated));
        assert_eq!(read(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n").unwrap_err().status(), 413);
        assert_eq!(read(b"HTTP/1.1 200 OK\r\n\r\n01234567890").unwrap_err().status(), 413);
        assert_eq!(read(&[b'a'; 300]).unwrap_err().status(), 431);
        assert!(read(b"SSH-2.0-OpenSSH_9.6\r\n\r\n").is_err());
    }

    #[test]
    fn switching_protocols_leaves_the_rest() {
        let mut reader = ResponseReader::new(256, 10);
        reader.push(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x00");
        assert_eq!(reader.read().unwrap().unwrap().status, 101);
        assert_eq!(reader.into_rest(), b"\x81\x00");
    }
}
