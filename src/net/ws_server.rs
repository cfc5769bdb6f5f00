//! WebSocket, server side: upgrade under an admission, then an [`OpenSocket`]. Refused upgrades get an HTTP answer
//! and never reach the machine.

use std::net::IpAddr;

use crate::{
    machine::{Gone, Message},
    net::{
        Admission, Refusal, WebSocketOptions,
        http_frame::{HttpFault, Item, RequestReader, encode_response},
        http_server::error_response,
        protocol::{OVERLOAD, Protocol, Signal, WriteLimits, misplaced},
        ws_frame::{Side, accept_upgrade},
        ws_open::OpenSocket,
    },
    units::{Mono, Now},
    wire::http::Request,
};

/// Longest head of an upgrade.
const UPGRADE_BYTES: usize = 16 * 1024;

/// How the end of a connection begins that got another answer than an upgrade; the status follows.
const REFUSED: &str = "upgrade refused: ";

/// Status and text, when it was the admission that refused: noise that is no upgrade is nobody's mistake.
pub(super) fn turned_away(gone: &Gone) -> Option<&str> {
    let Gone::Protocol(text) = gone else { return None };
    text.strip_prefix(REFUSED).filter(|refusal| refusal.starts_with("401 ") || refusal.starts_with("403 "))
}

pub(super) struct WsServer {
    options: WebSocketOptions,
    admission: Admission,
    source: IpAddr,
    stage: Stage,
}

enum Stage {
    Upgrading(Box<Upgrading>),
    Open(Box<OpenSocket>),
    Refused,
}

struct Upgrading {
    reader: RequestReader,
    since: Mono,
    peer_ended: bool,
    finish: Option<Gone>,
}

impl WsServer {
    pub(super) fn new(now: Now, options: WebSocketOptions, admission: Admission, source: IpAddr) -> WsServer {
        let reader = RequestReader::new(UPGRADE_BYTES, |_| 0);
        let upgrading = Upgrading { reader, since: now.mono, peer_ended: false, finish: None };
        WsServer { options, admission, source, stage: Stage::Upgrading(Box::new(upgrading)) }
    }

    fn upgrade(&mut self, now: Now, request: &Request, out: &mut Vec<u8>) -> Signal {
        let agreed =
            accept_upgrade(request).and_then(|answer| (self.admission)(self.source, &request.headers).map(|()| answer));
        let rest = match std::mem::replace(&mut self.stage, Stage::Refused) {
            Stage::Upgrading(upgrading) => upgrading.reader.into_rest(),
            Stage::Open(_) | Stage::Refused => Vec::new(),
        };
        match agreed {
            Ok(answer) => {
                out.extend_from_slice(&answer);
                self.stage = Stage::Open(Box::new(OpenSocket::new(now, Side::Server, self.options, &rest)));
                Signal::Opened
            }
            Err(refusal) => self.refuse(now, &refusal, out),
        }
    }

    fn refuse(&mut self, now: Now, refusal: &Refusal, out: &mut Vec<u8>) -> Signal {
        self.stage = Stage::Refused;
        encode_response(&error_response(refusal.status, &refusal.text), false, true, now.wall, out);
        Signal::Finish(Gone::Protocol(format!("{REFUSED}{refusal}")))
    }
}

impl Upgrading {
    fn item(&mut self) -> Result<Option<Item>, HttpFault> {
        match self.reader.read() {
            Ok(None) if self.peer_ended => Err(HttpFault::Truncated),
            item => item,
        }
    }
}

impl Protocol for WsServer {
    fn connected(&mut self, _now: Now, _out: &mut Vec<u8>) {}

    fn receive(&mut self, _now: Now, bytes: &[u8]) {
        match &mut self.stage {
            Stage::Upgrading(upgrading) => upgrading.reader.push(bytes),
            Stage::Open(open) => open.receive(bytes),
            Stage::Refused => {}
        }
    }

    fn end(&mut self) {
        match &mut self.stage {
            Stage::Upgrading(upgrading) => upgrading.peer_ended = true,
            Stage::Open(open) => open.end(),
            Stage::Refused => {}
        }
    }

    fn poll(&mut self, now: Now, out: &mut Vec<u8>) -> Option<Signal> {
        let item = match &mut self.stage {
            Stage::Open(open) => return open.poll(out),
            Stage::Refused => return None,
            Stage::Upgrading(upgrading) => match upgrading.finish.take() {
                Some(gone) => {
                    self.stage = Stage::Refused;
                    return Some(Signal::Finish(gone));
                }
                None => upgrading.item(),
            },
        };
        match item {
            Ok(Some(Item::Request(incoming))) => Some(self.upgrade(now, &incoming.request, out)),
            Ok(Some(Item::Continue) | None) => None,
            Err(fault) => Some(self.refuse(now, &Refusal { status: fault.status(), text: fault.to_string() }, out)),
        }
    }

    fn send(&mut self, _now: Now, message: Message, out: &mut Vec<u8>) {
        match &mut self.stage {
            Stage::Open(open) => open.send(message, out),
            Stage::Upgrading(_) | Stage::Refused => misplaced("a WebSocket before its upgrade", &message),
        }
    }

    fn close(&mut self, now: Now, code: u16, reason: String, out: &mut Vec<u8>) {
        match &mut self.stage {
            Stage::Open(open) => open.close(now, code, reason, out),
            Stage::Upgrading(upgrading) => upgrading.finish = Some(Gone::ByUs(reason)),
            Stage::Refused => {}
        }
    }

    fn deadline(&self) -> Option<Mono> {
        match &self.stage {
            Stage::Open(open) => open.deadline(),
            Stage::Upgrading(upgrading) => Some(upgrading.since + self.options.handshake_timeout),
            Stage::Refused => None,
        }
    }

    fn expire(&mut self, now: Now, out: &mut Vec<u8>) {
        match &mut self.stage {
            Stage::Open(open) => open.expire(now, out),
            Stage::Upgrading(upgrading) => {
                upgrading.finish =
                    Some(Gone::Timeout(format!("no upgrade within {:?}", self.options.handshake_timeout)));
            }
            Stage::Refused => {}
        }
    }

    fn wants_bytes(&self, waiting: usize) -> bool {
        match &self.stage {
            Stage::Open(open) => open.wants_bytes(waiting),
            Stage::Upgrading(upgrading) => !upgrading.peer_ended,
            Stage::Refused => false,
        }
    }

    fn held_bytes(&self) -> usize {
        match &self.stage {
            Stage::Open(open) => open.held_bytes(),
            // Bounded by a head, which is small.
            Stage::Upgrading(_) | Stage::Refused => 0,
        }
    }

    fn overload(&mut self, _now: Now, out: &mut Vec<u8>) {
        match &mut self.stage {
            Stage::Open(open) => open.overload(out),
            Stage::Upgrading(upgrading) => upgrading.finish = Some(Gone::Limit(OVERLOAD.into())),
            Stage::Refused => {}
        }
    }

    fn write_limits(&self) -> WriteLimits {
        match &self.stage {
            Stage::Open(open) => open.write_limits(),
            Stage::Upgrading(_) | Stage::Refused => {
                WriteLimits { buffer_bytes: usize::MAX, timeout: self.options.handshake_timeout }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, sync::Arc, time::Duration};

    use super::*;
    use crate::net::ws_frame::Upgrade;

    fn at(seconds: u64) -> Now {
        Now { mono: Mono(seconds * 1_000_000_000), ..Now::default() }
    }

    fn server() -> WsServer {
        let admission: Admission = Arc::new(|_, headers| match headers.get("authorization") {
            Some("Bearer t0ken") => Ok(()),
            _ => Err(Refusal { status: 401, text: "a bearer token is needed".into() }),
        });
        WsServer::new(at(0), WebSocketOptions::default(), admission, Ipv4Addr::LOCALHOST.into())
    }

    fn asked(token: &str) -> Vec<u8> {
        let mut bytes = vec![];
        Upgrade::start().request("miner", "/", Some(&crate::units::Secret::new(token.into())), &mut bytes);
        bytes
    }

    #[test]
    fn an_admitted_upgrade_opens() {
        let (mut server, mut out) = (server(), vec![]);
        server.receive(at(1), &asked("t0ken"));
        assert!(matches!(server.poll(at(1), &mut out), Some(Signal::Opened)));
        assert!(out.starts_with(b"HTTP/1.1 101 "));
        assert_eq!(server.deadline(), Some(at(21).mono));
    }

    #[test]
    fn a_refused_upgrade_has_its_status_and_never_opens() {
        let (mut server, mut out) = (server(), vec![]);
        server.receive(at(1), &asked("guess"));
        let signal = server.poll(at(1), &mut out);
        let Some(Signal::Finish(gone)) = signal else { panic!("it is over") };
        assert_eq!(turned_away(&gone), Some("401 a bearer token is needed"));
        assert!(out.starts_with(b"HTTP/1.1 401 Unauthorized\r\n"));
        assert!(server.poll(at(1), &mut out).is_none());
    }

    #[test]
    fn an_upgrade_that_does_not_come_ends() {
        let mut server = server();
        assert_eq!(server.deadline(), Some(Mono(0) + Duration::from_secs(10)));
        server.expire(at(10), &mut vec![]);
        assert!(matches!(server.poll(at(10), &mut vec![]), Some(Signal::Finish(Gone::Timeout(_)))));
    }

    #[test]
    fn noise_is_answered_as_http() {
        let (mut server, mut out) = (server(), vec![]);
        server.receive(at(1), b"\x16\x03\x01");
        let Some(Signal::Finish(gone)) = server.poll(at(1), &mut out) else { panic!("it is over") };
        assert_eq!(turned_away(&gone), None);
        assert!(out.starts_with(b"HTTP/1.1 400 "));
    }
}
