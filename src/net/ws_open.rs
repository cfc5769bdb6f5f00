//! An open WebSocket, either side: texts, pings and the closing handshake, after the upgrade.

use std::time::Duration;

use crate::{
    machine::{Gone, Message},
    net::{
        WebSocketOptions,
        protocol::{OVERLOAD, Signal, WriteLimits, misplaced},
        ws_frame::{Frames, Side, WsFault, WsItem, close_code},
    },
    units::{Mono, Now},
};

/// Longest pause in which a peer takes none of our bytes, pings among them.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct OpenSocket {
    options: WebSocketOptions,
    frames: Frames,
    next_ping: Mono,
    /// When the ping that nothing has followed yet went out.
    pinged: Option<Mono>,
    closing: Option<Closing>,
    finish: Option<Gone>,
    done: bool,
}

/// We sent a close frame and wait for the peer's.
#[derive(Debug)]
struct Closing {
    until: Mono,
    reason: String,
}

impl OpenSocket {
    /// `rest`: bytes that came behind the upgrade.
    pub(super) fn new(now: Now, side: Side, options: WebSocketOptions, rest: &[u8]) -> OpenSocket {
        OpenSocket {
            options,
            frames: Frames::new(side, options.message_bytes, rest),
            next_ping: now.mono + options.ping_interval,
            pinged: None,
            closing: None,
            finish: None,
            done: false,
        }
    }

    pub(super) fn receive(&mut self, bytes: &[u8]) {
        self.pinged = None;
        self.frames.push(bytes);
    }

    pub(super) fn end(&mut self) {
        self.frames.end();
    }

    pub(super) fn poll(&mut self, out: &mut Vec<u8>) -> Option<Signal> {
        while !self.done {
            if let Some(gone) = self.finish.take() {
                return Some(self.finished(gone));
            }
            match self.frames.read(out) {
                Ok(None) => return None,
                Ok(Some(WsItem::Text(_))) if self.closing.is_some() => {}
                Ok(Some(WsItem::Text(text))) => return Some(Signal::Message(Message::Text(text))),
                Ok(Some(WsItem::Closed { code, reason })) => {
                    return Some(self.finished(Gone::ByPeer { code, reason }));
                }
                Err(fault) => return Some(self.fault(&fault, out)),
            }
        }
        None
    }

    /// After our own close frame every end is our doing.
    fn finished(&mut self, gone: Gone) -> Signal {
        self.done = true;
        Signal::Finish(match self.closing.take() {
            Some(closing) => Gone::ByUs(closing.reason),
            None => gone,
        })
    }

    fn fault(&mut self, fault: &WsFault, out: &mut Vec<u8>) -> Signal {
        self.frames.close(fault.close_code(), &fault.to_string(), out);
        let gone = match fault {
            WsFault::Lost => Gone::ByPeer { code: close_code::ABNORMAL, reason: fault.to_string() },
            WsFault::TooBig { .. } => Gone::Limit(fault.to_string()),
            _ => Gone::Protocol(fault.to_string()),
        };
        self.finished(gone)
    }

    pub(super) fn send(&mut self, message: Message, out: &mut Vec<u8>) {
        match message {
            Message::Text(text) if self.closing.is_none() && !self.done => self.frames.text(text, out),
            Message::Text(_) => {}
            other => misplaced("a WebSocket", &other),
        }
    }

    pub(super) fn close(&mut self, now: Now, code: u16, reason: String, out: &mut Vec<u8>) {
        if self.closing.is_none() && !self.done {
            self.frames.close(code, &reason, out);
            self.closing = Some(Closing { until: now.mono + self.options.close_timeout, reason });
        }
    }

    pub(super) fn deadline(&self) -> Option<Mono> {
        if self.done {
            return None;
        }
        match (&self.closing, self.pinged) {
            (Some(closing), _) => Some(closing.until),
            (None, Some(pinged)) => Some(self.next_ping.min(pinged + self.options.ping_timeout)),
            (None, None) => Some(self.next_ping),
        }
    }

    pub(super) fn expire(&mut self, now: Now, out: &mut Vec<u8>) {
        let silent = self.pinged.is_some_and(|pinged| pinged + self.options.ping_timeout <= now.mono);
        if let Some(closing) = &self.closing {
            self.finish = Some(Gone::ByUs(closing.reason.clone()));
        } else if silent {
            self.frames.close(close_code::INTERNAL, "no pong", out);
            self.finish = Some(Gone::Timeout(format!("no pong within {:?}", self.options.ping_timeout)));
        } else if self.next_ping <= now.mono {
            self.frames.ping(out);
            self.pinged = self.pinged.or(Some(now.mono));
            self.next_ping = now.mono + self.options.ping_interval;
        }
    }

    /// A peer that sends pings and reads no pong waits for itself.
    pub(super) fn wants_bytes(&self, waiting: usize) -> bool {
        !self.done && waiting <= self.options.write_buffer_bytes
    }

    pub(super) fn held_bytes(&self) -> usize {
        if self.finish.is_some() { 0 } else { self.frames.held_bytes() }
    }

    pub(super) fn overload(&mut self, out: &mut Vec<u8>) {
        self.frames.close(close_code::TRY_AGAIN_LATER, OVERLOAD, out);
        self.finish = Some(Gone::Limit(OVERLOAD.into()));
    }

    pub(super) fn write_limits(&self) -> WriteLimits {
        WriteLimits { buffer_bytes: self.options.write_buffer_bytes, timeout: WRITE_TIMEOUT }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Now {
        Now { mono: Mono(seconds * 1_000_000_000), ..Now::default() }
    }

    fn pair() -> (OpenSocket, OpenSocket) {
        let options = WebSocketOptions::default();
        (OpenSocket::new(at(0), Side::Server, options, &[]), OpenSocket::new(at(0), Side::Client, options, &[]))
    }

    fn gone(signal: Option<Signal>) -> Gone {
        match signal {
            Some(Signal::Finish(gone)) => gone,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_peer_that_answers_pings_stays() {
        let (mut miner, mut worker) = pair();
        for round in 1..=5 {
            assert_eq!(miner.deadline(), Some(at(20 * round).mono));
            let (mut ping, mut pong) = (vec![], vec![]);
            miner.expire(at(20 * round), &mut ping);
            worker.receive(&ping);
            assert!(worker.poll(&mut pong).is_none());
            miner.receive(&pong);
            assert!(miner.poll(&mut vec![]).is_none());
        }
    }

    #[test]
    fn a_silent_peer_is_dropped_after_the_timeout() {
        let (mut miner, _) = pair();
        let mut out = vec![];
        miner.expire(at(20), &mut out);
        miner.expire(at(40), &mut out);
        assert_eq!(miner.deadline(), Some(at(50).mono));
        miner.expire(at(50), &mut out);
        assert_eq!(gone(miner.poll(&mut out)), Gone::Timeout("no pong within 30s".into()));
        assert!(miner.poll(&mut out).is_none());
        assert_eq!(miner.deadline(), None);
    }

    #[test]
    fn our_close_is_answered_or_ends_by_itself() {
        let (mut miner, mut worker) = pair();
        let (mut close, mut reply) = (vec![], vec![]);
        miner.close(at(1), 4001, "empty worker_id".into(), &mut close);
        worker.receive(&close);
        assert_eq!(gone(worker.poll(&mut reply)), Gone::ByPeer { code: 4001, reason: "empty worker_id".into() });
        miner.receive(&reply);
        assert_eq!(gone(miner.poll(&mut vec![])), Gone::ByUs("empty worker_id".into()));

        let (mut miner, _) = pair();
        miner.close(at(1), 1001, "going away".into(), &mut close);
        assert_eq!(miner.deadline(), Some(at(6).mono));
        miner.expire(at(6), &mut close);
        assert_eq!(gone(miner.poll(&mut vec![])), Gone::ByUs("going away".into()));
    }

    #[test]
    fn texts_after_our_close_are_not_delivered() {
        let (mut miner, mut worker) = pair();
        let mut text = vec![];
        worker.send(Message::Text("late".into()), &mut text);
        miner.close(at(1), 1001, "replaced".into(), &mut vec![]);
        miner.receive(&text);
        assert!(miner.poll(&mut vec![]).is_none());
        miner.end();
        assert_eq!(gone(miner.poll(&mut vec![])), Gone::ByUs("replaced".into()));
    }

    #[test]
    fn a_lost_peer_has_code_1006() {
        let (mut miner, _) = pair();
        miner.end();
        assert!(matches!(gone(miner.poll(&mut vec![])), Gone::ByPeer { code: 1006, .. }));
    }
}
