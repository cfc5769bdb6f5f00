//! Requests, one after the other, out of a connection's bytes.

use super::{
    HttpFault, Unread,
    body::BodyReader,
    head::{self, Framing, NO_FIELDS},
};
use crate::wire::http::Request;

/// A whole request and what its connection does after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    pub request: Request,
    pub keep_alive: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// The client waits for `100 Continue` before it sends the body.
    Continue,
    Request(Incoming),
}

/// Reads requests. Give it bytes with [`push`](RequestReader::push), then call [`read`](RequestReader::read)
/// until it is empty. After a fault it stays silent.
#[derive(Debug)]
pub struct RequestReader {
    header_bytes: usize,
    body_bytes: fn(&str) -> usize,
    unread: Unread,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Head,
    Body { incoming: Incoming, reader: BodyReader, expects_continue: bool },
    Broken,
}

impl RequestReader {
    /// `header_bytes`: longest head. `body_bytes`: longest body by request target.
    pub fn new(header_bytes: usize, body_bytes: fn(&str) -> usize) -> RequestReader {
        RequestReader { header_bytes, body_bytes, unread: Unread::default(), stage: Stage::Head }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        if !matches!(self.stage, Stage::Broken) {
            self.unread.push(bytes);
        }
    }

    /// Nothing of a next request has arrived.
    pub fn is_idle(&self) -> bool {
        matches!(self.stage, Stage::Head) && self.unread.is_empty()
    }

    /// A head was read, its body is not whole.
    pub fn is_in_body(&self) -> bool {
        matches!(self.stage, Stage::Body { .. })
    }

    /// Bytes of a message that is not whole yet.
    pub fn held_bytes(&self) -> usize {
        let body = match &self.stage {
            Stage::Body { reader, .. } => reader.held_bytes(),
            Stage::Head | Stage::Broken => 0,
        };
        body + self.unread.as_slice().len()
    }

    /// Bytes after the last request, for another protocol.
    pub fn into_rest(self) -> Vec<u8> {
        self.unread.as_slice().to_vec()
    }

    /// The next thing that the bytes so far make; `None` when more are needed.
    pub fn read(&mut self) -> Result<Option<Item>, HttpFault> {
        let item = self.read_item();
        if item.is_err() {
            self.stage = Stage::Broken;
            self.unread = Unread::default();
        }
        item
    }

    fn read_item(&mut self) -> Result<Option<Item>, HttpFault> {
        if matches!(self.stage, Stage::Head) && !self.read_head()? {
            return Ok(None);
        }
        let Stage::Body { reader, expects_continue, .. } = &mut self.stage else { return Ok(None) };
        if std::mem::take(expects_continue) && self.unread.is_empty() && !reader.is_empty() {
            return Ok(Some(Item::Continue));
        }
        if !reader.read(&mut self.unread)? {
            return Ok(None);
        }
        Ok(self.whole())
    }

    fn whole(&mut self) -> Option<Item> {
        match std::mem::replace(&mut self.stage, Stage::Head) {
            Stage::Body { mut incoming, reader, .. } => {
                incoming.request.body = reader.into_body();
                Some(Item::Request(incoming))
            }
            other => {
                self.stage = other;
                None
            }
        }
    }

    /// Reads the head when it is all there; `true` when a body is next.
    fn read_head(&mut self) -> Result<bool, HttpFault> {
        let length = self.unread.head_length();
        let seen = length.unwrap_or(self.unread.as_slice().len());
        if seen > self.header_bytes {
            return Err(HttpFault::HeadTooLarge { limit_bytes: self.header_bytes });
        }
        // A TLS hello or other noise is refused at its first byte, however much of it there is.
        if self.unread.as_slice().first().is_some_and(|byte| !byte.is_ascii_alphabetic()) {
            return Err(HttpFault::Bad("no request line".into()));
        }
        let Some(length) = length else { return Ok(false) };
        let bytes = self.unread.as_slice().get(..length).unwrap_or_default();
        let stage = parse_head(bytes, self.header_bytes, self.body_bytes)?;
        self.unread.consume(length);
        self.stage = stage;
        Ok(true)
    }
}

fn parse_head(bytes: &[u8], header_bytes: usize, body_bytes: fn(&str) -> usize) -> Result<Stage, HttpFault> {
    let mut fields = NO_FIELDS;
    let mut parsed = httparse::Request::new(&mut fields);
    head::parsed(parsed.parse(bytes), header_bytes)?;
    let http_1_1 = parsed.version == Some(1);
    let request = Request {
        method: parsed.method.unwrap_or_default().to_owned(),
        target: parsed.path.unwrap_or_default().to_owned(),
        headers: head::fields(parsed.headers),
        body: Vec::new(),
    };
    let framing = request_framing(&request, http_1_1)?;
    let expects_continue = expectation(&request)? && http_1_1;
    let reader = BodyReader::new(framing, body_bytes(&request.target))?;
    let keep_alive = keeps_alive(&request, http_1_1);
    Ok(Stage::Body { incoming: Incoming { request, keep_alive }, reader, expects_continue })
}

fn request_framing(request: &Request, http_1_1: bool) -> Result<Framing, HttpFault> {
    if matches!(request.method.as_str(), "CONNECT" | "TRACE") {
        return Err(HttpFault::Method(request.method.clone()));
    }
    match head::framing(&request.headers, http_1_1)? {
        Framing::Unsaid if request.method == "POST" => Err(HttpFault::LengthRequired),
        Framing::Unsaid => Ok(Framing::Length(0)),
        said => Ok(said),
    }
}

fn expectation(request: &Request) -> Result<bool, HttpFault> {
    match request.headers.get("expect") {
        None => Ok(false),
        Some(value) if value.eq_ignore_ascii_case("100-continue") => Ok(true),
        Some(value) => Err(HttpFault::Expectation(value.chars().take(64).collect())),
    }
}

fn keeps_alive(request: &Request, http_1_1: bool) -> bool {
    let says = |token| head::has_token(&request.headers, "connection", token);
    if http_1_1 { !says("close") } else { says("keep-alive") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limits(target: &str) -> usize {
        if target == "/big" { 1000 } else { 10 }
    }

    fn items(pieces: &[&[u8]]) -> (Vec<Item>, Option<HttpFault>) {
        let mut reader = RequestReader::new(256, limits);
        let mut items = vec![];
        for piece in pieces {
            reader.push(piece);
            loop {
                match reader.read() {
                    Ok(Some(item)) => items.push(item),
                    Ok(None) => break,
                    Err(fault) => return (items, Some(fault)),
                }
            }
        }
        (items, None)
    }

    fn fault(bytes: &[u8]) -> u16 {
        let (items, fault) = items(&[bytes]);
        assert_eq!(items, []);
        fault.map_or(0, |fault| fault.status())
    }

    #[test]
    fn two_pipelined_requests_come_in_order() {
        let bytes =
            b"POST /a HTTP/1.1\r\nContent-Length: 3\r\nX-Y: z\r\n\r\nabcGET /b HTTP/1.1\r\nConnection: close\r\n\r\n";
        let (items, fault) = items(&[bytes]);
        assert_eq!(fault, None);
        let [Item::Request(first), Item::Request(second)] = &items[..] else { panic!("{items:?}") };
        assert_eq!((first.request.target.as_str(), first.request.body.as_slice()), ("/a", &b"abc"[..]));
        assert_eq!(first.request.headers.get("x-y"), Some("z"));
        assert!(first.keep_alive);
        assert_eq!((second.request.target.as_str(), second.keep_alive), ("/b", false));
    }

    #[test]
    fn a_request_line_begins_with_a_letter_however_it_is_split() {
        let bytes = b"0xET / HTTP/1.1\r\n\r\n";
        assert_eq!(fault(bytes), 400);
        let (items, fault) = items(&[&bytes[..4], &bytes[4..]]);
        assert_eq!((items, fault.map(|fault| fault.status())), (vec![], Some(400)));
    }

    #[test]
    fn a_waiting_client_is_told_to_continue_once() {
        let head = b"POST /a HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
        let (items, _) = items(&[head, b"a", b"bc"]);
        assert_eq!(items[0], Item::Continue);
        assert!(matches!(&items[1..], [Item::Request(_)]));
    }

    #[test]
    fn what_is_no_request_of_ours_has_its_status() {
        assert_eq!(fault(b"\x16\x03\x01"), 400);
        assert_eq!(fault(b"POST /a HTTP/1.1\r\n\r\n"), 411);
        assert_eq!(fault(b"POST /a HTTP/1.1\r\nContent-Length: 11\r\n\r\n"), 413);
        assert_eq!(fault(b"POST /a HTTP/1.1\r\nContent-Length: 3\r\nExpect: magic\r\n\r\n"), 417);
        assert_eq!(fault(b"POST /a HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n"), 501);
        assert_eq!(fault(b"CONNECT a:1 HTTP/1.1\r\n\r\n"), 405);
        assert_eq!(fault(b"GET / HTTP/2.0\r\n\r\n"), 400);
        assert_eq!(fault(b"GET / HTTP/1.1\r\nA : b\r\n\r\n"), 400);
        assert_eq!(fault(b"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n"), 400);
    }

    #[test]
    fn a_head_is_bounded_before_it_ends() {
        assert_eq!(fault(&[b"GET /".to_vec(), vec![b'a'; 300]].concat()), 431);
        let many = (0..101).fold(b"GET / HTTP/1.1\r\n".to_vec(), |sum, _| [&sum[..], b"A:b\r\n"].concat());
        let mut reader = RequestReader::new(64 * 1024, limits);
        reader.push(&[&many[..], b"\r\n"].concat());
        assert_eq!(reader.read().unwrap_err().status(), 431);
    }

    #[test]
    fn limits_depend_on_the_target() {
        let body = [b"POST /big HTTP/1.1\r\nContent-Length: 1000\r\n\r\n".to_vec(), vec![1; 1000]].concat();
        let (items, fault) = items(&[&body]);
        assert_eq!((items.len(), fault), (1, None));
    }

    #[test]
    fn http_1_0_closes_unless_asked() {
        let (items, _) = items(&[b"GET /a HTTP/1.0\r\n\r\nGET /b HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"]);
        let kept: Vec<bool> = items
            .iter()
            .filter_map(|item| match item {
                Item::Request(incoming) => Some(incoming.keep_alive),
                Item::Continue => None,
            })
            .collect();
        assert_eq!(kept, [false, true]);
    }

    fn stream() -> Vec<u8> {
        let mut bytes = b"POST /a HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello\r\n".to_vec();
        bytes.extend(b"POST /big HTTP/1.1\nTransfer-Encoding: chunked\n\n3\r\nabc\r\n2;e\r\nde\r\n0\r\nT: x\r\n\r\n");
        bytes.extend(b"GET /last HTTP/1.0\r\nX: \xe9\r\n\r\n");
        bytes
    }

    proptest! {
        #[test]
        fn any_split_of_the_bytes_gives_the_same_requests(cuts in prop::collection::vec(0..stream().len(), 0..20)) {
            let whole = stream();
            let mut cuts = cuts;
            cuts.extend([0, whole.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &whole[pair[0]..pair[1]]).collect();
            let (split, fault) = items(&pieces);
            prop_assert_eq!(fault, None);
            prop_assert_eq!(split.len(), 3);
            prop_assert_eq!(split, items(&[&whole]).0);
        }

        #[test]
        fn noise_never_panics_and_faults_once(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let (_, _) = items(&[&bytes]);
        }
    }
}
