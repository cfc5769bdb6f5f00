//! HTTP/1.1, server side: one request at a time, each wait bounded. Never reads a request while the answer to
//! the one before is still in its buffer, so a client that pipelines without reading waits for itself.

use crate::{
    machine::{Gone, Message},
    net::{
        HttpOptions,
        http_frame::{HttpFault, Incoming, Item, RequestReader, encode_response},
        protocol::{OVERLOAD, Protocol, Signal, WriteLimits, misplaced},
    },
    units::{Mono, Now},
    wire::http::{Headers, Response},
};

#[derive(Debug)]
pub(super) struct HttpServer {
    options: HttpOptions,
    reader: RequestReader,
    wait: Wait,
    said_opened: bool,
    peer_ended: bool,
    finish: Option<Gone>,
}

/// What the connection waits for, and since when.
#[derive(Debug)]
enum Wait {
    /// The first request's first byte, or the rest of a head.
    Head {
        since: Mono,
    },
    /// A next request.
    Idle {
        since: Mono,
    },
    Body {
        since: Mono,
        progress: Mono,
    },
    Answer {
        since: Mono,
        keep_alive: bool,
        with_body: bool,
    },
    /// Nothing: it has ended.
    Nothing,
}

impl HttpServer {
    pub(super) fn new(options: HttpOptions) -> HttpServer {
        HttpServer {
            options,
            reader: RequestReader::new(options.header_bytes, options.body_bytes),
            wait: Wait::Nothing,
            said_opened: false,
            peer_ended: false,
            finish: None,
        }
    }

    /// The bytes behind the last request, for the protocol that takes the connection over.
    pub(super) fn take_rest(&mut self) -> Vec<u8> {
        let next = RequestReader::new(self.options.header_bytes, self.options.body_bytes);
        std::mem::replace(&mut self.reader, next).into_rest()
    }

    fn is_reading(&self) -> bool {
        matches!(self.wait, Wait::Head { .. } | Wait::Idle { .. } | Wait::Body { .. })
    }

    fn take_request(&mut self, now: Now, incoming: Incoming) -> Signal {
        let with_body = incoming.request.method != "HEAD";
        self.wait = Wait::Answer { since: now.mono, keep_alive: incoming.keep_alive, with_body };
        Signal::Message(Message::Request(incoming.request))
    }

    fn refuse(&mut self, now: Now, fault: &HttpFault, out: &mut Vec<u8>) -> Signal {
        self.answer_error(now, fault.status(), &fault.to_string(), out);
        Signal::Finish(if fault.is_limit() {
            Gone::Limit(fault.to_string())
        } else {
            Gone::Protocol(fault.to_string())
        })
    }

    fn answer_error(&mut self, now: Now, status: u16, text: &str, out: &mut Vec<u8>) {
        self.wait = Wait::Nothing;
        encode_response(&error_response(status, text), false, true, now.wall, out);
    }

    fn end_of_peer(&mut self) -> Signal {
        self.wait = Wait::Nothing;
        Signal::Finish(if self.reader.is_idle() {
            Gone::ByPeer { code: 0, reason: "no further request".into() }
        } else {
            Gone::Protocol(HttpFault::Truncated.to_string())
        })
    }

    /// Names the wait that fits what arrived so far.
    fn note_progress(&mut self, now: Now) {
        self.wait = match self.wait {
            Wait::Body { since, .. } => Wait::Body { since, progress: now.mono },
            _ if self.reader.is_in_body() => Wait::Body { since: now.mono, progress: now.mono },
            Wait::Idle { .. } if !self.reader.is_idle() => Wait::Head { since: now.mono },
            Wait::Idle { since } => Wait::Idle { since },
            Wait::Head { since } => Wait::Head { since },
            Wait::Answer { .. } | Wait::Nothing => return,
        };
    }
}

/// A refusal by the transport, in the form that the axon's own refusals have.
pub(super) fn error_response(status: u16, text: &str) -> Response {
    let mut headers = Headers::new();
    headers.push("content-type", "application/json");
    let body = serde_json::json!({ "message": text }).to_string().into_bytes();
    Response { status, headers, body }
}

impl Protocol for HttpServer {
    fn connected(&mut self, now: Now, _out: &mut Vec<u8>) {
        self.wait = Wait::Head { since: now.mono };
    }

    fn receive(&mut self, now: Now, bytes: &[u8]) {
        self.reader.push(bytes);
        self.note_progress(now);
    }

    fn end(&mut self) {
        self.peer_ended = true;
    }

    fn poll(&mut self, now: Now, out: &mut Vec<u8>) -> Option<Signal> {
        if !std::mem::replace(&mut self.said_opened, true) {
            return Some(Signal::Opened);
        }
        if let Some(gone) = self.finish.take() {
            self.wait = Wait::Nothing;
            return Some(Signal::Finish(gone));
        }
        if !self.is_reading() || !out.is_empty() {
            return None;
        }
        loop {
            match self.reader.read() {
                Ok(Some(Item::Continue)) => out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n"),
                Ok(Some(Item::Request(incoming))) => return Some(self.take_request(now, incoming)),
                Ok(None) if self.peer_ended => return Some(self.end_of_peer()),
                Ok(None) => {
                    if self.reader.is_in_body() && !matches!(self.wait, Wait::Body { .. }) {
                        self.note_progress(now);
                    }
                    return None;
                }
                Err(fault) => return Some(self.refuse(now, &fault, out)),
            }
        }
    }

    fn send(&mut self, now: Now, message: Message, out: &mut Vec<u8>) {
        match (message, &self.wait) {
            (Message::Response(response), &Wait::Answer { keep_alive, with_body, .. }) => {
                encode_response(&response, keep_alive, with_body, now.wall, out);
                self.wait = Wait::Idle { since: now.mono };
                if !keep_alive {
                    self.finish = Some(Gone::ByPeer { code: 0, reason: "one request, as it asked".into() });
                } else if !self.reader.is_idle() {
                    self.wait = Wait::Head { since: now.mono };
                }
            }
            (message, _) => misplaced("an HTTP server", &message),
        }
    }

    fn close(&mut self, _now: Now, _code: u16, reason: String, _out: &mut Vec<u8>) {
        self.finish = Some(Gone::ByUs(reason));
    }

    fn deadline(&self) -> Option<Mono> {
        match self.wait {
            Wait::Head { since } => Some(since + self.options.header_timeout),
            Wait::Idle { since } => Some(since + self.options.idle_timeout),
            Wait::Body { since, progress } => {
                Some((since + self.options.body_timeout).min(progress + self.options.body_pause))
            }
            Wait::Answer { since, .. } => Some(since + self.options.answer_timeout),
            Wait::Nothing => None,
        }
    }

    fn expire(&mut self, now: Now, out: &mut Vec<u8>) {
        let (status, what) = match &self.wait {
            Wait::Idle { .. } => (None, format!("idle for {:?}", self.options.idle_timeout)),
            Wait::Head { .. } if self.reader.is_idle() => {
                (None, format!("no request within {:?}", self.options.header_timeout))
            }
            Wait::Head { .. } => (Some(408), format!("head not whole within {:?}", self.options.header_timeout)),
            Wait::Body { progress, .. } if *progress + self.options.body_pause <= now.mono => {
                (Some(408), format!("body paused for {:?}", self.options.body_pause))
            }
            Wait::Body { .. } => (Some(408), format!("body not whole within {:?}", self.options.body_timeout)),
            Wait::Answer { .. } => (Some(503), format!("no answer of ours within {:?}", self.options.answer_timeout)),
            Wait::Nothing => return,
        };
        if let Some(status) = status {
            self.answer_error(now, status, &what, out);
        }
        self.finish = Some(Gone::Timeout(what));
    }

    fn wants_bytes(&self, waiting: usize) -> bool {
        waiting == 0 && self.is_reading() && !self.peer_ended
    }

    fn held_bytes(&self) -> usize {
        self.reader.held_bytes()
    }

    fn overload(&mut self, now: Now, out: &mut Vec<u8>) {
        self.answer_error(now, 503, OVERLOAD, out);
        self.reader = RequestReader::new(self.options.header_bytes, self.options.body_bytes);
        self.finish = Some(Gone::Limit(OVERLOAD.into()));
    }

    fn write_limits(&self) -> WriteLimits {
        WriteLimits { buffer_bytes: usize::MAX, timeout: self.options.write_timeout }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Now {
        Now { mono: Mono(seconds * 1_000_000_000), ..Now::default() }
    }

    fn server() -> (HttpServer, Vec<u8>) {
        let mut server = HttpServer::new(HttpOptions::default());
        server.connected(at(0), &mut vec![]);
        assert!(matches!(server.poll(at(0), &mut vec![]), Some(Signal::Opened)));
        (server, vec![])
    }

    fn ok() -> Message {
        Message::Response(Response { status: 200, headers: Headers::new(), body: b"yes".to_vec() })
    }

    fn expires(server: &mut HttpServer, seconds: u64) -> (Vec<u8>, Gone) {
        assert!(server.deadline().unwrap() > at(seconds - 1).mono);
        assert_eq!(server.deadline(), Some(at(seconds).mono));
        let mut out = vec![];
        server.expire(at(seconds), &mut out);
        match server.poll(at(seconds), &mut vec![]) {
            Some(Signal::Finish(gone)) => (out, gone),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_second_request_waits_for_the_first_answer_and_its_bytes() {
        let (mut server, mut out) = server();
        server.receive(at(1), b"GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n");
        assert!(matches!(server.poll(at(1), &mut out), Some(Signal::Message(_))));
        assert!(server.poll(at(1), &mut out).is_none());
        assert!(!server.wants_bytes(0));
        server.send(at(2), ok(), &mut out);
        assert!(server.poll(at(2), &mut out).is_none(), "the answer is not flushed");
        out.clear();
        assert!(matches!(server.poll(at(2), &mut out), Some(Signal::Message(_))));
    }

    #[test]
    fn each_wait_has_its_end() {
        let (mut server_0, _) = server();
        let (out, gone) = expires(&mut server_0, 10);
        assert!(out.is_empty() && matches!(gone, Gone::Timeout(_)));

        let (mut server_1, _) = server();
        server_1.receive(at(5), b"GET /");
        let (out, _) = expires(&mut server_1, 10);
        assert!(out.starts_with(b"HTTP/1.1 408 "));

        let (mut server_2, mut out) = server();
        server_2.receive(at(1), b"GET / HTTP/1.1\r\n\r\n");
        server_2.poll(at(1), &mut out);
        let (out, _) = expires(&mut server_2, 61);
        assert!(out.starts_with(b"HTTP/1.1 503 "));
    }

    #[test]
    fn a_body_must_move_and_must_end() {
        let (mut server, mut out) = server();
        server.receive(at(1), b"POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n");
        assert!(server.poll(at(1), &mut out).is_none());
        assert_eq!(server.deadline(), Some(at(11).mono));
        (1..=13).for_each(|piece| server.receive(at(1 + 9 * piece), b"x"));
        assert!(server.poll(at(118), &mut out).is_none());
        let (out, gone) = expires(&mut server, 121);
        assert!(out.starts_with(b"HTTP/1.1 408 "));
        assert_eq!(gone, Gone::Timeout(format!("body not whole within {:?}", Duration::from_secs(120))));
    }

    #[test]
    fn a_half_closed_client_still_gets_its_answer() {
        let (mut server, mut out) = server();
        server.receive(at(1), b"GET / HTTP/1.1\r\n\r\n");
        server.end();
        assert!(matches!(server.poll(at(1), &mut out), Some(Signal::Message(_))));
        server.send(at(2), ok(), &mut out);
        assert!(out.ends_with(b"yes"));
        out.clear();
        assert!(matches!(server.poll(at(2), &mut out), Some(Signal::Finish(Gone::ByPeer { .. }))));
    }

    #[test]
    fn an_end_within_a_request_is_named() {
        let (mut server, mut out) = server();
        server.receive(at(1), b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\na");
        server.end();
        assert!(matches!(server.poll(at(1), &mut out), Some(Signal::Finish(Gone::Protocol(_)))));
    }

    #[test]
    fn a_text_is_not_sent_over_http() {
        let (mut server, mut out) = server();
        server.send(at(1), Message::Text("no".into()), &mut out);
        server.send(at(1), ok(), &mut out);
        assert!(out.is_empty());
    }
}
