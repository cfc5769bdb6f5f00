//! One non-blocking socket and what waits to go out on it. Runs on the loop, moves bytes, knows no protocol. With
//! [`Tls`] it counts as connected once that is agreed, and the bytes are encrypted on their way.
//!
//! mio's readiness is edge-triggered: a flag says "may still be readable" until a read said it would block.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::Shutdown,
};

use mio::{event::Event, net::TcpStream};

use crate::{net::tls::Tls, units::Mono};

/// Most bytes that one item of work writes.
const FLUSH_BYTES: usize = 256 * 1024;
/// An emptied output buffer of more than this is given back.
const KEPT_BYTES: usize = 16 * 1024;

#[derive(Debug)]
pub(super) struct Transport {
    stream: TcpStream,
    tls: Option<Box<Tls>>,
    /// TCP is connected, TLS is not agreed yet.
    securing: bool,
    /// What the protocol wants sent; the first `sent` bytes of it are.
    pub(super) out: Vec<u8>,
    sent: usize,
    readable: bool,
    writable: bool,
    /// The kernel said that both directions are over.
    hung_up: bool,
    /// Since when the peer takes nothing although something waits.
    stalled: Option<Mono>,
}

#[derive(Debug)]
pub(super) enum Readout {
    Bytes(usize),
    /// Bytes came that are none of the peer's message: TLS's own.
    Nothing,
    WouldBlock,
    /// The peer sends no more.
    End,
    Failed(io::Error),
}

/// Bytes moved by one call, for the counters.
pub(super) type Moved = usize;

impl Transport {
    /// An accepted stream may have bytes already; a dialed one says so when it is connected.
    pub(super) fn new(stream: TcpStream, accepted: bool) -> Transport {
        Transport {
            stream,
            tls: None,
            securing: false,
            out: Vec::new(),
            sent: 0,
            readable: accepted,
            writable: accepted,
            hung_up: false,
            stalled: None,
        }
    }

    /// A dialed stream on which TLS comes first.
    pub(super) fn secured(stream: TcpStream, tls: Tls) -> Transport {
        Transport { tls: Some(Box::new(tls)), ..Transport::new(stream, false) }
    }

    /// TCP is connected, and the TLS handshake is not done.
    pub(super) fn is_securing(&self) -> bool {
        self.securing
    }

    pub(super) fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    pub(super) fn note(&mut self, event: &Event) {
        self.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        self.writable |= event.is_writable() || event.is_write_closed() || event.is_error();
        self.hung_up |= event.is_error() || event.is_write_closed();
    }

    pub(super) fn is_readable(&self) -> bool {
        self.readable
    }

    pub(super) fn is_hung_up(&self) -> bool {
        self.hung_up
    }

    /// Whether a flush may get further.
    pub(super) fn is_flushable(&self) -> bool {
        self.writable && self.waiting() > 0
    }

    /// Bytes that wait to be sent. Of those that are encrypted already it is only known that there are some.
    pub(super) fn waiting(&self) -> usize {
        self.unsent() + usize::from(self.tls.as_ref().is_some_and(|tls| tls.wants_write()))
    }

    fn unsent(&self) -> usize {
        self.out.len().saturating_sub(self.sent)
    }

    pub(super) fn stalled(&self) -> Option<Mono> {
        self.stalled
    }

    /// `None` while the connection is being made.
    pub(super) fn connected(&mut self) -> Option<io::Result<()>> {
        if !self.writable {
            return None;
        }
        if let Ok(Some(error)) | Err(error) = self.stream.take_error() {
            return Some(Err(error));
        }
        match self.stream.peer_addr() {
            Ok(_) => self.secure().transpose(),
            Err(error) if error.kind() == ErrorKind::NotConnected => {
                self.writable = false;
                None
            }
            Err(error) => Some(Err(error)),
        }
    }

    /// As far with the TLS handshake as the socket lets it. `Ok(None)` while it is not done.
    fn secure(&mut self) -> io::Result<Option<()>> {
        let Some(tls) = &mut self.tls else { return Ok(Some(())) };
        self.securing = !tls.shake(&mut self.stream)?;
        // More than the handshake may have come with it.
        self.readable |= !self.securing;
        Ok((!self.securing).then_some(()))
    }

    /// Reads once; the bytes are at the front of `into`.
    pub(super) fn read(&mut self, into: &mut [u8]) -> Readout {
        if let Some(tls) = &mut self.tls {
            let readout = tls.read(&mut self.stream, into);
            self.readable = matches!(readout, Readout::Bytes(_) | Readout::Nothing);
            return readout;
        }
        loop {
            match self.stream.read(into) {
                Ok(0) => {
                    self.readable = false;
                    return Readout::End;
                }
                Ok(count) => return Readout::Bytes(count),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.readable = false;
                    return Readout::WouldBlock;
                }
                Err(error) => {
                    self.readable = false;
                    return Readout::Failed(error);
                }
            }
        }
    }

    /// Sends what the socket takes, at most [`FLUSH_BYTES`].
    pub(super) fn flush(&mut self, now: Mono) -> io::Result<Moved> {
        let mut moved = 0;
        while self.is_flushable() && moved < FLUSH_BYTES {
            if let Some(tls) = self.tls.as_mut().filter(|tls| !tls.wants_write()) {
                self.sent += tls.encrypt(self.out.get(self.sent..).unwrap_or_default())?;
            }
            let written = match &mut self.tls {
                Some(tls) => tls.write(&mut self.stream),
                None => self.stream.write(self.out.get(self.sent..).unwrap_or_default()),
            };
            match written {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => {
                    self.sent += if self.tls.is_none() { count } else { 0 };
                    moved += count;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.writable = false,
                Err(error) => return Err(error),
            }
        }
        self.tidy(now, moved);
        Ok(moved)
    }

    fn tidy(&mut self, now: Mono, moved: usize) {
        if self.unsent() == 0 {
            self.drop_out();
        } else if self.sent > self.out.len() / 2 {
            self.out.drain(..self.sent);
            self.sent = 0;
        }
        self.stalled = match (self.waiting(), moved, self.stalled) {
            (0, _, _) => None,
            (_, 0, Some(since)) => Some(since),
            _ => Some(now),
        };
    }

    /// Forgets what waits to be sent, but for what is encrypted already.
    pub(super) fn drop_waiting(&mut self) {
        self.drop_out();
        self.stalled = None;
    }

    fn drop_out(&mut self) {
        self.out.clear();
        if self.out.capacity() > KEPT_BYTES {
            self.out = Vec::new();
        }
        self.sent = 0;
    }

    /// Tells the peer that we send no more. `Ok(false)`: TLS's goodbye waits for the socket; flush, and ask again.
    pub(super) fn shut_write(&mut self, now: Mono) -> io::Result<bool> {
        if let Some(tls) = &mut self.tls {
            tls.say_goodbye();
            self.flush(now)?;
            if self.waiting() > 0 {
                return Ok(false);
            }
        }
        self.stream.shutdown(Shutdown::Write).map(|()| true)
    }
}
