//! WebSocket, client side: upgrade within the dial's timeout, then an [`OpenSocket`].

use std::time::Duration;

use crate::{
    machine::{Gone, Message},
    net::{
        WebSocketOptions,
        http_frame::ResponseReader,
        protocol::{OVERLOAD, Protocol, Signal, WriteLimits, misplaced},
        ws_frame::{Side, Upgrade},
        ws_open::OpenSocket,
    },
    units::{Mono, Now, Secret},
    wire::http::Response,
};

/// Longest head of an upgrade's answer, and longest body of a refusal.
const ANSWER_BYTES: usize = 16 * 1024;

/// What the upgrade says.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) host: String,
    pub(super) path: String,
    pub(super) bearer: Option<Secret>,
}

#[derive(Debug)]
pub(super) struct WsClient {
    options: WebSocketOptions,
    timeout: Duration,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Upgrading(Box<Upgrading>),
    Open(Box<OpenSocket>),
    Over,
}

#[derive(Debug)]
struct Upgrading {
    target: Target,
    upgrade: Upgrade,
    connected: bool,
    reader: ResponseReader,
    deadline: Mono,
    peer_ended: bool,
    finish: Option<Gone>,
}

impl WsClient {
    pub(super) fn new(now: Now, target: Target, timeout: Duration, options: WebSocketOptions) -> WsClient {
        let upgrading = Upgrading {
            target,
            upgrade: Upgrade::start(),
            connected: false,
            reader: ResponseReader::new(ANSWER_BYTES, ANSWER_BYTES),
            deadline: now.mono + timeout,
            peer_ended: false,
            finish: None,
        };
        WsClient { options, timeout, stage: Stage::Upgrading(Box::new(upgrading)) }
    }

    fn answered(&mut self, now: Now, answer: Result<Response, Gone>) -> Signal {
        let Stage::Upgrading(upgrading) = std::mem::replace(&mut self.stage, Stage::Over) else {
            return Signal::Finish(Gone::Protocol("an answer after the upgrade".into()));
        };
        let checked = answer.and_then(|response| upgrading.upgrade.check(&response).map_err(Gone::Protocol));
        match checked {
            Ok(()) => {
                let rest = upgrading.reader.into_rest();
                self.stage = Stage::Open(Box::new(OpenSocket::new(now, Side::Client, self.options, &rest)));
                Signal::Opened
            }
            Err(gone) => Signal::Finish(gone),
        }
    }
}

impl Upgrading {
    /// The answer, when there is one or never will be.
    fn answer(&mut self) -> Option<Result<Response, Gone>> {
        if let Some(gone) = self.finish.take() {
            return Some(Err(gone));
        }
        let read = match self.reader.read() {
            Ok(None) if self.peer_ended => self.reader.end(),
            read => read,
        };
        read.map_err(|fault| Gone::Protocol(format!("upgrade: {fault}"))).transpose()
    }
}

impl Protocol for WsClient {
    fn connected(&mut self, _now: Now, out: &mut Vec<u8>) {
        if let Stage::Upgrading(upgrading) = &mut self.stage {
            upgrading.connected = true;
            let Target { host, path, bearer } = &upgrading.target;
            upgrading.upgrade.request(host, path, bearer.as_ref(), out);
        }
    }

    fn receive(&mut self, _now: Now, bytes: &[u8]) {
        match &mut self.stage {
            Stage::Upgrading(upgrading) => upgrading.reader.push(bytes),
            Stage::Open(open) => open.receive(bytes),
            Stage::Over => {}
        }
    }

    fn end(&mut self) {
        match &mut self.stage {
            Stage::Upgrading(upgrading) => upgrading.peer_ended = true,
            Stage::Open(open) => open.end(),
            Stage::Over => {}
        }
    }

    fn poll(&mut self, now: Now, out: &mut Vec<u8>) -> Option<Signal> {
        match &mut self.stage {
            Stage::Open(open) => open.poll(out),
            Stage::Upgrading(upgrading) => upgrading.answer().map(|answer| self.answered(now, answer)),
            Stage::Over => None,
        }
    }

    fn send(&mut self, _now: Now, message: Message, out: &mut Vec<u8>) {
        match &mut self.stage {
            Stage::Open(open) => open.send(message, out),
            Stage::Upgrading(_) | Stage::Over => misplaced("a WebSocket before its upgrade", &message),
        }
    }

    fn close(&mut self, now: Now, code: u16, reason: String, out: &mut Vec<u8>) {
        match &mut self.stage {
            Stage::Open(open) => open.close(now, code, reason, out),
            Stage::Upgrading(upgrading) => {
                out.clear();
                upgrading.finish = Some(Gone::ByUs(reason));
            }
            Stage::Over => {}
        }
    }

    fn deadline(&self) -> Option<Mono> {
        match &self.stage {
            Stage::Open(open) => open.deadline(),
            Stage::Upgrading(upgrading) => Some(upgrading.deadline),
            Stage::Over => None,
        }
    }

    fn expire(&mut self, now: Now, out: &mut Vec<u8>) {
        match &mut self.stage {
            Stage::Open(open) => open.expire(now, out),
            Stage::Upgrading(upgrading) => {
                out.clear();
                let what = if upgrading.connected { "upgrade" } else { "connection" };
                upgrading.finish = Some(Gone::Timeout(format!("no {what} within {:?}", self.timeout)));
            }
            Stage::Over => {}
        }
    }

    fn wants_bytes(&self, waiting: usize) -> bool {
        match &self.stage {
            Stage::Open(open) => open.wants_bytes(waiting),
            Stage::Upgrading(upgrading) => !upgrading.peer_ended,
            Stage::Over => false,
        }
    }

    fn held_bytes(&self) -> usize {
        match &self.stage {
            Stage::Open(open) => open.held_bytes(),
            // Bounded by a head, which is small.
            Stage::Upgrading(_) | Stage::Over => 0,
        }
    }

    fn overload(&mut self, _now: Now, out: &mut Vec<u8>) {
        match &mut self.stage {
            Stage::Open(open) => open.overload(out),
            Stage::Upgrading(upgrading) => upgrading.finish = Some(Gone::Limit(OVERLOAD.into())),
            Stage::Over => {}
        }
    }

    fn write_limits(&self) -> WriteLimits {
        match &self.stage {
            Stage::Open(open) => open.write_limits(),
            Stage::Upgrading(_) | Stage::Over => WriteLimits { buffer_bytes: usize::MAX, timeout: self.timeout },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Now {
        Now { mono: Mono(seconds * 1_000_000_000), ..Now::default() }
    }

    fn client() -> WsClient {
        let target = Target { host: "miner:7799".into(), path: "/".into(), bearer: None };
        WsClient::new(at(0), target, Duration::from_secs(10), WebSocketOptions::default())
    }

    fn gone(client: &mut WsClient) -> String {
        match client.poll(at(1), &mut vec![]) {
            Some(Signal::Finish(gone)) => gone.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_refused_upgrade_says_what_the_miner_said() {
        let mut client = client();
        client.connected(at(1), &mut vec![]);
        client.receive(at(1), b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 8\r\n\r\nno token");
        assert_eq!(gone(&mut client), "protocol: upgrade refused: 401 no token");
        assert!(client.poll(at(1), &mut vec![]).is_none());
    }

    #[test]
    fn the_timeout_names_what_was_missing() {
        let mut connecting = client();
        assert_eq!(connecting.deadline(), Some(at(10).mono));
        connecting.expire(at(10), &mut vec![]);
        assert_eq!(gone(&mut connecting), "timeout: no connection within 10s");
        let mut upgrading = client();
        upgrading.connected(at(1), &mut vec![]);
        upgrading.expire(at(10), &mut vec![]);
        assert_eq!(gone(&mut upgrading), "timeout: no upgrade within 10s");
    }

    #[test]
    fn something_else_on_the_port_is_named() {
        let mut client = client();
        client.connected(at(1), &mut vec![]);
        client.receive(at(1), b"SSH-2.0-OpenSSH_9.6\r\n\r\n");
        assert!(gone(&mut client).starts_with("protocol: upgrade: bad HTTP"));
    }
}
