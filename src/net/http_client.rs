//! HTTP/1.1, client side: one request a connection, one deadline for all of it. No DNS, no TLS, no redirects.

use std::{net::SocketAddr, time::Duration};

use crate::{
    machine::{Gone, Message},
    net::{
        DialOptions,
        http_frame::{HttpFault, ResponseReader, encode_request},
        protocol::{OVERLOAD, Protocol, Signal, WriteLimits, misplaced},
    },
    units::{Mono, Now},
    wire::http::{Request, Response},
};

#[derive(Debug)]
pub(super) struct HttpClient {
    to: SocketAddr,
    /// Until it was written.
    request: Option<Request>,
    reader: ResponseReader,
    deadline: Mono,
    timeout: Duration,
    say_opened: bool,
    peer_ended: bool,
    done: bool,
    finish: Option<Gone>,
}

impl HttpClient {
    pub(super) fn new(now: Now, to: SocketAddr, request: Request, timeout: Duration, options: &DialOptions) -> Self {
        HttpClient {
            to,
            request: Some(request),
            reader: ResponseReader::new(options.answer_header_bytes, options.answer_body_bytes),
            deadline: now.mono + timeout,
            timeout,
            say_opened: false,
            peer_ended: false,
            done: false,
            finish: None,
        }
    }

    fn read(&mut self) -> Result<Option<Response>, HttpFault> {
        match self.reader.read()? {
            None if self.peer_ended => self.reader.end(),
            read => Ok(read),
        }
    }

    fn gone(&self, fault: &HttpFault) -> Gone {
        match fault {
            HttpFault::Truncated if self.reader.is_idle() => {
                Gone::ByPeer { code: 0, reason: "closed without an answer".into() }
            }
            fault if fault.is_limit() => Gone::Limit(format!("answer: {fault}")),
            fault => Gone::Protocol(format!("answer: {fault}")),
        }
    }
}

impl Protocol for HttpClient {
    fn connected(&mut self, _now: Now, out: &mut Vec<u8>) {
        if self.finish.is_some() {
            return;
        }
        if let Some(request) = self.request.take() {
            encode_request(&request, &self.to.to_string(), out);
            self.say_opened = true;
        }
    }

    fn receive(&mut self, _now: Now, bytes: &[u8]) {
        self.reader.push(bytes);
    }

    fn end(&mut self) {
        self.peer_ended = true;
    }

    fn poll(&mut self, _now: Now, _out: &mut Vec<u8>) -> Option<Signal> {
        if std::mem::take(&mut self.say_opened) {
            return Some(Signal::Opened);
        }
        if let Some(gone) = self.finish.take() {
            self.done = true;
            return Some(Signal::Finish(gone));
        }
        if self.done {
            return None;
        }
        match self.read() {
            Ok(Some(response)) => {
                self.finish = Some(Gone::ByUs("answered".into()));
                Some(Signal::Message(Message::Response(response)))
            }
            Ok(None) => None,
            Err(fault) => {
                self.done = true;
                Some(Signal::Finish(self.gone(&fault)))
            }
        }
    }

    fn send(&mut self, _now: Now, message: Message, _out: &mut Vec<u8>) {
        misplaced("an HTTP client", &message);
    }

    fn close(&mut self, _now: Now, _code: u16, reason: String, out: &mut Vec<u8>) {
        // Cancelled: what was not sent yet is not sent.
        out.clear();
        self.finish = Some(Gone::ByUs(reason));
    }

    fn deadline(&self) -> Option<Mono> {
        (!self.done).then_some(self.deadline)
    }

    fn expire(&mut self, _now: Now, out: &mut Vec<u8>) {
        let what = if self.request.is_some() { "connection" } else { "whole answer" };
        out.clear();
        self.finish = Some(Gone::Timeout(format!("no {what} within {:?}", self.timeout)));
    }

    fn wants_bytes(&self, _waiting: usize) -> bool {
        !self.done && !self.peer_ended
    }

    fn held_bytes(&self) -> usize {
        // Its own limit is small, and the machine counts its requests.
        0
    }

    fn overload(&mut self, _now: Now, out: &mut Vec<u8>) {
        out.clear();
        self.finish = Some(Gone::Limit(OVERLOAD.into()));
    }

    fn write_limits(&self) -> WriteLimits {
        WriteLimits { buffer_bytes: usize::MAX, timeout: self.timeout }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http::Headers;

    fn at(seconds: u64) -> Now {
        Now { mono: Mono(seconds * 1_000_000_000), ..Now::default() }
    }

    fn client() -> HttpClient {
        let request = Request { method: "POST".into(), target: "/".into(), headers: Headers::new(), body: vec![1] };
        let to = "192.0.2.1:9091".parse().unwrap();
        HttpClient::new(at(0), to, request, Duration::from_secs(30), &DialOptions::default())
    }

    fn open() -> HttpClient {
        let mut client = client();
        let mut out = vec![];
        client.connected(at(1), &mut out);
        assert!(out.starts_with(b"POST / HTTP/1.1\r\nhost: 192.0.2.1:9091\r\n"));
        assert!(matches!(client.poll(at(1), &mut out), Some(Signal::Opened)));
        client
    }

    #[test]
    fn one_answer_then_the_end() {
        let mut client = open();
        client.receive(at(2), b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
        assert!(matches!(client.poll(at(2), &mut vec![]), Some(Signal::Message(Message::Response(_)))));
        assert!(matches!(client.poll(at(2), &mut vec![]), Some(Signal::Finish(Gone::ByUs(_)))));
        assert!(client.poll(at(2), &mut vec![]).is_none());
        assert_eq!(client.deadline(), None);
    }

    #[test]
    fn the_deadline_covers_connecting_and_answering() {
        let mut connecting = client();
        assert_eq!(connecting.deadline(), Some(at(30).mono));
        connecting.expire(at(30), &mut vec![]);
        let signal = connecting.poll(at(30), &mut vec![]);
        assert!(matches!(&signal, Some(Signal::Finish(Gone::Timeout(text))) if text == "no connection within 30s"));
        let mut waiting = open();
        waiting.receive(at(29), b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh");
        waiting.expire(at(30), &mut vec![]);
        let signal = waiting.poll(at(30), &mut vec![]);
        assert!(matches!(&signal, Some(Signal::Finish(Gone::Timeout(text))) if text == "no whole answer within 30s"));
    }

    #[test]
    fn a_peer_that_ends_early_is_named() {
        let ended = |bytes: &[u8]| {
            let mut client = open();
            client.receive(at(2), bytes);
            client.end();
            client.poll(at(2), &mut vec![])
        };
        assert!(matches!(ended(b""), Some(Signal::Finish(Gone::ByPeer { .. }))));
        assert!(matches!(ended(b"HTTP/1.1 200"), Some(Signal::Finish(Gone::Protocol(_)))));
        assert!(matches!(ended(b"HTTP/1.1 200 OK\r\n\r\nhi"), Some(Signal::Message(_))));
    }
}
