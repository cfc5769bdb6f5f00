//! What every connection kind is to the loop: bytes in, bytes and signals out, one deadline. No sockets here.

use std::time::Duration;

use crate::{
    machine::{Gone, Message},
    units::{Mono, Now},
};

/// What a connection kind says, one at a time, oldest first.
#[derive(Debug)]
pub(super) enum Signal {
    /// It can carry messages. Said at most once.
    Opened,
    Message(Message),
    /// Flush what is queued, then close. Nothing follows.
    Finish(Gone),
}

/// How its peer must take our bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct WriteLimits {
    /// Bytes that may wait before a message is refused.
    pub(super) buffer_bytes: usize,
    /// Longest pause in which the peer takes none.
    pub(super) timeout: Duration,
}

/// One connection kind. `out` holds what still waits for the socket: kinds append to it, and read from it only
/// whether it is empty.
pub(super) trait Protocol {
    /// TCP is connected; accepted connections begin with this.
    fn connected(&mut self, now: Now, out: &mut Vec<u8>);
    fn receive(&mut self, now: Now, bytes: &[u8]);
    /// The peer sends no more; it may still read.
    fn end(&mut self);
    fn poll(&mut self, now: Now, out: &mut Vec<u8>) -> Option<Signal>;
    /// A message of a kind that it cannot carry is dropped with an error in the log.
    fn send(&mut self, now: Now, message: Message, out: &mut Vec<u8>);
    /// Ends with a [`Signal::Finish`], now or once the peer agreed.
    fn close(&mut self, now: Now, code: u16, reason: String, out: &mut Vec<u8>);
    fn deadline(&self) -> Option<Mono>;
    /// `deadline()` has passed.
    fn expire(&mut self, now: Now, out: &mut Vec<u8>);
    /// Whether more bytes can be used while `waiting` of ours wait for the socket.
    fn wants_bytes(&self, waiting: usize) -> bool;
    /// Bytes of a message that is not whole yet.
    fn held_bytes(&self) -> usize;
    /// The listener has no room for the rest of this message: refuses it and finishes.
    fn overload(&mut self, now: Now, out: &mut Vec<u8>);
    fn write_limits(&self) -> WriteLimits;
}

/// Why [`Protocol::overload`] finishes.
pub(super) const OVERLOAD: &str = "unfinished messages of all connections take too much memory";

pub(super) fn misplaced(kind: &str, message: &Message) {
    let what = match message {
        Message::Request(_) => "a request",
        Message::Response(_) => "a response",
        Message::Text(_) => "a text",
    };
    log::error!(target: "net", "{kind} cannot send {what} now: dropped");
}
