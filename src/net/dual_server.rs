//! HTTP/1.1 and WebSocket behind one port, server side: an [`HttpServer`] until a request asks for the upgrade, an
//! [`OpenSocket`] from then on. Each stage keeps its own limits and deadlines. Nobody is turned away here, and an
//! upgrade that is malformed is answered like any other request that cannot be served.

use crate::{
    machine::Message,
    net::{
        HttpOptions, WebSocketOptions,
        http_frame::has_token,
        http_server::{HttpServer, error_response},
        protocol::{Protocol, Signal, WriteLimits},
        ws_frame::{Side, accept_upgrade},
        ws_open::OpenSocket,
    },
    units::{Mono, Now},
    wire::http::Request,
};

pub(super) struct DualServer {
    options: WebSocketOptions,
    stage: Stage,
}

enum Stage {
    Http(Box<HttpServer>),
    WebSocket(Box<OpenSocket>),
}

impl DualServer {
    pub(super) fn new(http: HttpOptions, websocket: WebSocketOptions) -> DualServer {
        DualServer { options: websocket, stage: Stage::Http(Box::new(HttpServer::new(http))) }
    }

    /// The machine never sees the request: it knows the connection already, and from now on gets texts.
    fn upgrade(&mut self, now: Now, request: &Request, out: &mut Vec<u8>) {
        let Stage::Http(http) = &mut self.stage else { return };
        match accept_upgrade(request) {
            Ok(answer) => {
                out.extend_from_slice(&answer);
                let open = OpenSocket::new(now, Side::Server, self.options, &http.take_rest());
                self.stage = Stage::WebSocket(Box::new(open));
            }
            Err(refusal) => {
                http.send(now, Message::Response(error_response(refusal.status, &refusal.text)), out);
            }
        }
    }
}

fn asks_for_upgrade(request: &Request) -> bool {
    let headers = &request.headers;
    request.method == "GET" && has_token(headers, "connection", "upgrade") && has_token(headers, "upgrade", "websocket")
}

impl Protocol for DualServer {
    fn connected(&mut self, now: Now, out: &mut Vec<u8>) {
        if let Stage::Http(http) = &mut self.stage {
            http.connected(now, out);
        }
    }

    fn receive(&mut self, now: Now, bytes: &[u8]) {
        match &mut self.stage {
            Stage::Http(http) => http.receive(now, bytes),
            Stage::WebSocket(open) => open.receive(bytes),
        }
    }

    fn end(&mut self) {
        match &mut self.stage {
            Stage::Http(http) => http.end(),
            Stage::WebSocket(open) => open.end(),
        }
    }

    fn poll(&mut self, now: Now, out: &mut Vec<u8>) -> Option<Signal> {
        loop {
            let signal = match &mut self.stage {
                Stage::Http(http) => http.poll(now, out),
                Stage::WebSocket(open) => return open.poll(out),
            };
            match signal {
                Some(Signal::Message(Message::Request(request))) if asks_for_upgrade(&request) => {
                    self.upgrade(now, &request, out);
                }
                signal => return signal,
            }
        }
    }

    fn send(&mut self, now: Now, message: Message, out: &mut Vec<u8>) {
        match &mut self.stage {
            Stage::Http(http) => http.send(now, message, out),
            Stage::WebSocket(open) => open.send(message, out),
        }
    }

    fn close(&mut self, now: Now, code: u16, reason: String, out: &mut Vec<u8>) {
        match &mut self.stage {
            Stage::Http(http) => http.close(now, code, reason, out),
            Stage::WebSocket(open) => open.close(now, code, reason, out),
        }
    }

    fn deadline(&self) -> Option<Mono> {
        match &self.stage {
            Stage::Http(http) => http.deadline(),
            Stage::WebSocket(open) => open.deadline(),
        }
    }

    fn expire(&mut self, now: Now, out: &mut Vec<u8>) {
        match &mut self.stage {
            Stage::Http(http) => http.expire(now, out),
            Stage::WebSocket(open) => open.expire(now, out),
        }
    }

    fn wants_bytes(&self, waiting: usize) -> bool {
        match &self.stage {
            Stage::Http(http) => http.wants_bytes(waiting),
            Stage::WebSocket(open) => open.wants_bytes(waiting),
        }
    }

    fn held_bytes(&self) -> usize {
        match &self.stage {
            Stage::Http(http) => http.held_bytes(),
            Stage::WebSocket(open) => open.held_bytes(),
        }
    }

    fn overload(&mut self, now: Now, out: &mut Vec<u8>) {
        match &mut self.stage {
            Stage::Http(http) => http.overload(now, out),
            Stage::WebSocket(open) => open.overload(out),
        }
    }

    fn write_limits(&self) -> WriteLimits {
        match &self.stage {
            Stage::Http(http) => http.write_limits(),
            Stage::WebSocket(open) => open.write_limits(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        machine::Gone,
        net::ws_frame::{Frames, Upgrade, WsItem},
    };

    fn at(seconds: u64) -> Now {
        Now { mono: Mono(seconds * 1_000_000_000), ..Now::default() }
    }

    fn server() -> DualServer {
        let mut server = DualServer::new(HttpOptions::default(), WebSocketOptions::default());
        server.connected(at(0), &mut vec![]);
        assert!(matches!(server.poll(at(0), &mut vec![]), Some(Signal::Opened)));
        server
    }

    fn upgrade() -> Vec<u8> {
        let mut bytes = vec![];
        Upgrade::start().request("node", "/", None, &mut bytes);
        bytes
    }

    fn text(text: &str) -> Vec<u8> {
        let mut bytes = vec![];
        Frames::new(Side::Client, 1000, &[]).text(text.into(), &mut bytes);
        bytes
    }

    #[test]
    fn a_request_then_an_upgrade_then_texts_behind_it_are_one_connection() {
        let (mut server, mut out) = (server(), vec![]);
        server.receive(at(1), &[b"GET /a HTTP/1.1\r\n\r\n".to_vec(), upgrade(), text("{}")].concat());
        assert!(matches!(server.poll(at(1), &mut out), Some(Signal::Message(Message::Request(_)))));
        server.send(at(1), Message::Response(error_response(405, "by POST")), &mut out);
        assert!(server.poll(at(1), &mut out).is_none(), "the answer is not flushed");
        out.clear();
        let signal = server.poll(at(1), &mut out);
        assert!(matches!(&signal, Some(Signal::Message(Message::Text(text))) if text == "{}"), "{signal:?}");
        assert!(out.starts_with(b"HTTP/1.1 101 "));
        assert!(server.poll(at(1), &mut out).is_none());
    }

    #[test]
    fn each_stage_has_its_own_deadline_and_limit() {
        let (mut server, mut out) = (server(), vec![]);
        assert_eq!(server.deadline(), Some(at(10).mono), "for the first request");
        assert_eq!(server.write_limits().buffer_bytes, usize::MAX);
        server.receive(at(1), &upgrade());
        assert!(server.poll(at(1), &mut out).is_none());
        assert_eq!(server.deadline(), Some(at(21).mono), "for the first ping");
        assert_eq!(server.write_limits().buffer_bytes, WebSocketOptions::default().write_buffer_bytes);
        out.clear();
        server.send(at(2), Message::Text("news".into()), &mut out);
        let mut frames = Frames::new(Side::Client, 1000, &out);
        assert!(matches!(frames.read(&mut vec![]), Ok(Some(WsItem::Text(text))) if text == "news"));
        server.end();
        assert!(matches!(server.poll(at(3), &mut out), Some(Signal::Finish(Gone::ByPeer { code: 1006, .. }))));
    }

    #[test]
    fn a_malformed_upgrade_is_answered_and_the_connection_goes_on() {
        let (mut server, mut out) = (server(), vec![]);
        let old = b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 8\r\n\r\n";
        server.receive(at(1), old);
        assert!(server.poll(at(1), &mut out).is_none());
        assert!(out.starts_with(b"HTTP/1.1 426 "));
        out.clear();
        server.receive(at(2), b"GET /again HTTP/1.1\r\n\r\n");
        assert!(matches!(server.poll(at(2), &mut out), Some(Signal::Message(Message::Request(_)))));
    }

    #[test]
    fn another_upgrade_is_an_ordinary_request() {
        let mut server = server();
        server.receive(at(1), b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n");
        assert!(matches!(server.poll(at(1), &mut vec![]), Some(Signal::Message(Message::Request(_)))));
    }
}
