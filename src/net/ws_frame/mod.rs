//! WebSocket framing as a pure state machine: bytes in any split in, texts or a named fault out.
//!
//! Runs on the loop, touches no socket and no clock. `tungstenite` does the protocol over a pipe in memory;
//! here is what it leaves open: which close code a fault deserves, texts only, and memory that a large
//! message took is given back. No extension is ever agreed to, so permessage-deflate is declined.

mod handshake;
mod pipe;

use std::io;

use tungstenite::{
    Error, Message, WebSocket,
    error::ProtocolError,
    protocol::{CloseFrame, Role, WebSocketConfig},
};

pub use handshake::{Upgrade, accept_upgrade};
use pipe::Pipe;

/// Close codes that the loop itself sends (RFC 6455, 7.4.1).
pub mod close_code {
    pub const PROTOCOL: u16 = 1002;
    pub const UNSUPPORTED: u16 = 1003;
    /// Never on the wire: a close frame without a code.
    pub const NO_STATUS: u16 = 1005;
    /// Never on the wire: no close frame at all.
    pub const ABNORMAL: u16 = 1006;
    pub const NOT_UTF8: u16 = 1007;
    pub const TOO_BIG: u16 = 1009;
    pub const INTERNAL: u16 = 1011;
    pub const TRY_AGAIN_LATER: u16 = 1013;
}

/// A message larger than this makes the connection give its buffers back.
const LARGE_BYTES: usize = 64 * 1024;
const READ_BUFFER_BYTES: usize = 4 * 1024;
/// A control frame carries 125 bytes, two of them the code.
const REASON_BYTES: usize = 123;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WsItem {
    Text(String),
    /// The closing handshake is done, or needs no more than a flush. `code` is the peer's.
    Closed {
        code: u16,
        reason: String,
    },
}

/// Why the frames of a peer end the connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WsFault {
    #[error("connection lost without a closing handshake")]
    Lost,
    #[error("message of {bytes} bytes over the limit of {limit_bytes}")]
    TooBig { bytes: usize, limit_bytes: usize },
    #[error("binary message that is no text")]
    Binary,
    #[error("text that is no UTF-8")]
    NotUtf8,
    #[error("bad frame: {0}")]
    Protocol(String),
}

impl WsFault {
    pub fn close_code(&self) -> u16 {
        match self {
            WsFault::Lost => close_code::ABNORMAL,
            WsFault::TooBig { .. } => close_code::TOO_BIG,
            WsFault::Binary => close_code::UNSUPPORTED,
            WsFault::NotUtf8 => close_code::NOT_UTF8,
            WsFault::Protocol(_) => close_code::PROTOCOL,
        }
    }
}

/// Which side of the connection we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Server,
    Client,
}

/// One WebSocket after its upgrade. Give it bytes with [`push`](Frames::push), then call
/// [`read`](Frames::read) until it is empty. What goes out is appended to `out`.
#[derive(Debug)]
pub struct Frames {
    socket: WebSocket<Pipe>,
    side: Side,
    message_bytes: usize,
    held_bytes: usize,
}

impl Frames {
    /// `message_bytes`: longest message, fragments together. `rest`: bytes that came with the upgrade.
    pub fn new(side: Side, message_bytes: usize, rest: &[u8]) -> Frames {
        let mut frames =
            Frames { socket: socket(side, message_bytes, Pipe::default()), side, message_bytes, held_bytes: 0 };
        frames.push(rest);
        frames
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.held_bytes += bytes.len();
        self.socket.get_mut().push(bytes);
    }

    /// Bytes that arrived of messages that are not whole yet.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// The peer sends no more.
    pub fn end(&mut self) {
        self.socket.get_mut().end();
    }

    /// The next thing that the bytes so far make; `None` when more are needed. Answers pings.
    pub fn read(&mut self, out: &mut Vec<u8>) -> Result<Option<WsItem>, WsFault> {
        self.socket.get_mut().swap_output(out);
        let item = self.read_item();
        self.socket.get_mut().swap_output(out);
        item
    }

    fn read_item(&mut self) -> Result<Option<WsItem>, WsFault> {
        loop {
            match self.socket.read() {
                Ok(Message::Text(text)) => return Ok(Some(self.text_of(text.as_str()))),
                Ok(Message::Close(frame)) => return Ok(Some(self.closed(frame))),
                // Miners of the reference implementation read a text that comes in a binary message.
                Ok(Message::Binary(bytes)) => match std::str::from_utf8(&bytes) {
                    Ok(text) => return Ok(Some(self.text_of(text))),
                    Err(_) => return Err(WsFault::Binary),
                },
                Ok(Message::Ping(payload) | Message::Pong(payload)) => {
                    let masked = if self.side == Side::Server { 4 } else { 0 };
                    self.held_bytes = self.held_bytes.saturating_sub(2 + masked + payload.len());
                }
                Ok(Message::Frame(_)) => {}
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(Error::ConnectionClosed | Error::AlreadyClosed) => return Ok(None),
                Err(error) => return Err(fault(error)),
            }
        }
    }

    fn text_of(&mut self, text: &str) -> WsItem {
        let text = text.to_owned();
        self.held_bytes = self.socket.get_ref().unread_bytes();
        // tungstenite keeps a buffer of the largest message; a fresh one holds a few KiB.
        if text.len() > LARGE_BYTES && self.socket.get_ref().is_at_frame_start() && self.socket.flush().is_ok() {
            let pipe = std::mem::take(self.socket.get_mut());
            self.socket = socket(self.side, self.message_bytes, pipe);
        }
        WsItem::Text(text)
    }

    fn closed(&mut self, frame: Option<CloseFrame>) -> WsItem {
        // Puts our reply out; afterwards the socket is terminated, which it calls an error.
        let _ = self.socket.flush();
        match frame {
            Some(frame) => WsItem::Closed { code: frame.code.into(), reason: frame.reason.as_str().to_owned() },
            None => WsItem::Closed { code: close_code::NO_STATUS, reason: String::new() },
        }
    }

    /// Queues a text; after a close frame it is dropped.
    pub fn text(&mut self, text: String, out: &mut Vec<u8>) {
        self.write(Message::text(text), out);
    }

    pub fn ping(&mut self, out: &mut Vec<u8>) {
        self.write(Message::Ping(Default::default()), out);
    }

    /// Queues a close frame, once. Reasons are cut to 123 bytes; a code that must not be sent becomes 1011.
    pub fn close(&mut self, code: u16, reason: &str, out: &mut Vec<u8>) {
        let cut = (0..=REASON_BYTES.min(reason.len())).rev().find(|at| reason.is_char_boundary(*at)).unwrap_or(0);
        let reason = reason.get(..cut).unwrap_or_default().to_owned();
        let sendable = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
        let code = if sendable { code } else { close_code::INTERNAL };
        self.write(Message::Close(Some(CloseFrame { code: code.into(), reason: reason.into() })), out);
    }

    fn write(&mut self, message: Message, out: &mut Vec<u8>) {
        self.socket.get_mut().swap_output(out);
        // The pipe takes all bytes, so the one failure is a socket that is closing, where nothing may follow.
        let _ = self.socket.send(message);
        self.socket.get_mut().swap_output(out);
    }
}

fn socket(side: Side, message_bytes: usize, pipe: Pipe) -> WebSocket<Pipe> {
    let role = match side {
        Side::Server => Role::Server,
        Side::Client => Role::Client,
    };
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_message_size(Some(message_bytes))
        .max_frame_size(Some(message_bytes));
    WebSocket::from_raw_socket(pipe, role, Some(config))
}

fn fault(error: Error) -> WsFault {
    match error {
        Error::Capacity(tungstenite::error::CapacityError::MessageTooLong { size, max_size }) => {
            WsFault::TooBig { bytes: size, limit_bytes: max_size }
        }
        Error::Utf8(_) => WsFault::NotUtf8,
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => WsFault::Lost,
        other => WsFault::Protocol(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: usize = 1 << 20;

    fn pair() -> (Frames, Frames) {
        (Frames::new(Side::Client, LIMIT, &[]), Frames::new(Side::Server, LIMIT, &[]))
    }

    fn said(by: impl FnOnce(&mut Frames, &mut Vec<u8>), who: &mut Frames) -> Vec<u8> {
        let mut out = vec![];
        by(who, &mut out);
        out
    }

    fn next(frames: &mut Frames, bytes: &[u8]) -> Result<Option<WsItem>, WsFault> {
        frames.push(bytes);
        frames.read(&mut vec![])
    }

    #[test]
    fn texts_go_both_ways() {
        let (mut worker, mut miner) = pair();
        let up = said(|frames, out| frames.text("up".into(), out), &mut worker);
        assert_eq!(next(&mut miner, &up), Ok(Some(WsItem::Text("up".into()))));
        let down = said(|frames, out| frames.text("down".into(), out), &mut miner);
        assert_eq!(next(&mut worker, &down), Ok(Some(WsItem::Text("down".into()))));
        assert_eq!(worker.read(&mut vec![]), Ok(None));
    }

    #[test]
    fn a_ping_is_answered_while_reading() {
        let (mut worker, mut miner) = pair();
        let ping = said(|frames, out| frames.ping(out), &mut miner);
        let mut pong = vec![];
        worker.push(&ping);
        assert_eq!(worker.read(&mut pong), Ok(None));
        assert_eq!(pong[0], 0x8a);
        assert_eq!(next(&mut miner, &pong), Ok(None));
    }

    #[test]
    fn what_is_held_is_what_is_not_whole() {
        let (mut worker, mut miner) = pair();
        let bytes = said(|frames, out| frames.text("twelve bytes".into(), out), &mut worker);
        let ping = said(|frames, out| frames.ping(out), &mut worker);
        assert_eq!(next(&mut miner, &bytes[..10]), Ok(None));
        assert_eq!(miner.held_bytes(), 10);
        assert!(matches!(next(&mut miner, &bytes[10..]), Ok(Some(_))));
        assert_eq!(next(&mut miner, &ping), Ok(None));
        assert_eq!(miner.held_bytes(), 0);
    }

    #[test]
    fn close_codes_cross_and_are_answered() {
        let (mut worker, mut miner) = pair();
        let close = said(|frames, out| frames.close(4003, "miner full (100 of 100)", out), &mut miner);
        let mut reply = vec![];
        worker.push(&close);
        let closed = Ok(Some(WsItem::Closed { code: 4003, reason: "miner full (100 of 100)".into() }));
        assert_eq!(worker.read(&mut reply), closed);
        assert_eq!(next(&mut miner, &reply), closed);
        assert!(said(|frames, out| frames.text("late".into(), out), &mut miner).is_empty());
    }

    #[test]
    fn a_long_reason_is_cut_at_a_letter() {
        let (mut worker, mut miner) = pair();
        let close = said(|frames, out| frames.close(1006, &"é".repeat(100), out), &mut worker);
        let Ok(Some(WsItem::Closed { code, reason })) = next(&mut miner, &close) else { panic!() };
        assert_eq!((code, reason), (1011, "é".repeat(61)));
    }

    #[test]
    fn an_end_without_goodbye_is_a_loss() {
        let (_, mut miner) = pair();
        miner.end();
        assert_eq!(miner.read(&mut vec![]), Err(WsFault::Lost));
    }

    #[test]
    fn an_announced_giant_is_refused_at_its_header() {
        let (_, mut miner) = pair();
        let header = [&[0x81, 0xff][..], &(u64::MAX >> 1).to_be_bytes(), &[0; 4]].concat();
        let fault = next(&mut miner, &header).unwrap_err();
        assert_eq!(fault.close_code(), 1009);
    }

    #[test]
    fn fragments_count_together() {
        let (_, mut miner) = pair();
        let mut frame = [&[0x01, 0xff][..], &(600_000_u64).to_be_bytes(), &[0; 4], &vec![b'a'; 600_000]].concat();
        assert_eq!(next(&mut miner, &frame), Ok(None));
        frame[0] = 0x80;
        assert_eq!(next(&mut miner, &frame).unwrap_err().close_code(), 1009);
    }

    #[test]
    fn what_is_no_text_has_its_close_code() {
        let code = |bytes: &[u8]| next(&mut pair().1, bytes).unwrap_err().close_code();
        assert_eq!(code(&[0x82, 0x81, 0, 0, 0, 0, 0xff]), 1003);
        assert_eq!(code(&[0x81, 0x81, 0, 0, 0, 0, 0xff]), 1007);
        assert_eq!(code(&[0x81, 0x01, b'a']), 1002);
        assert_eq!(code(&[0xc1, 0x80, 0, 0, 0, 0]), 1002);
        assert_eq!(code(&[0x83, 0x80, 0, 0, 0, 0]), 1002);
    }

    #[test]
    fn after_a_large_message_the_buffers_are_small_and_talk_goes_on() {
        let (mut worker, mut miner) = pair();
        let large = "x".repeat(LARGE_BYTES + 1);
        let mut bytes = said(|frames, out| frames.text(large.clone(), out), &mut worker);
        bytes.extend(said(|frames, out| frames.text("after".into(), out), &mut worker));
        let (first, last) = bytes.split_at(bytes.len() - 3);
        assert_eq!(next(&mut miner, first), Ok(Some(WsItem::Text(large))));
        assert_eq!(next(&mut miner, &[]), Ok(None));
        assert_eq!(next(&mut miner, last), Ok(Some(WsItem::Text("after".into()))));
    }

    proptest! {
        #[test]
        fn any_split_of_the_bytes_gives_the_same_texts(
            texts in prop::collection::vec("[a-zé]{0,200}", 1..6),
            sizes in prop::collection::vec(1usize..50, 1..10),
        ) {
            let (mut worker, mut miner) = pair();
            let bytes: Vec<u8> =
                texts.iter().flat_map(|text| said(|frames, out| frames.text(text.clone(), out), &mut worker)).collect();
            let mut heard = vec![];
            let mut rest = &bytes[..];
            for size in sizes.iter().cycle() {
                let (piece, later) = rest.split_at((*size).min(rest.len()));
                miner.push(piece);
                while let Some(WsItem::Text(text)) = miner.read(&mut vec![]).unwrap() {
                    heard.push(text);
                }
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(heard, texts);
        }

        #[test]
        fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let (_, mut miner) = pair();
            miner.push(&bytes);
            while let Ok(Some(_)) = miner.read(&mut vec![]) {}
        }
    }
}
