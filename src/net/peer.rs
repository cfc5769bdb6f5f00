//! One connection: a protocol on a transport, from connecting to the last byte. Runs on the loop. It decides when
//! the socket is read, flushed and closed; what the bytes mean is the protocol's.
//!
//! After the end was reported the socket lingers: our bytes are flushed, our half is shut, and what the peer
//! still sends is read and dropped for a moment. Closing at once would reset the connection under the answer that
//! told the peer why.

use std::{io, net::SocketAddr, time::Duration};

use crate::{
    machine::{Gone, Link, Message, TlsFault},
    net::{
        protocol::{Protocol, Signal},
        transport::{Readout, Transport},
    },
    units::{Mono, Now},
};

/// How long a closed connection may take to read our last bytes and to close its side.
const LINGER: Duration = Duration::from_secs(2);

/// Whose connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Door {
    Machine(Link),
    /// The loop's own: metrics.
    Metrics,
}

pub(super) struct Peer {
    pub(super) door: Door,
    pub(super) remote: SocketAddr,
    /// The listener that holds a place for it.
    pub(super) listener: Option<usize>,
    /// Of a message that is not whole yet, as last counted.
    pub(super) held_bytes: usize,
    protocol: Box<dyn Protocol>,
    transport: Transport,
    phase: Phase,
    /// When its last bytes were read.
    read_at: Mono,
    /// `Opened` was reported.
    opened: bool,
    pub(super) queued: bool,
    pub(super) timer: Option<Mono>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Connecting,
    Open,
    /// Its end was reported.
    Lingering {
        until: Mono,
        shut: bool,
    },
    Over,
}

/// What the loop learns from one item of work.
#[derive(Debug)]
pub(super) enum Happened {
    Opened,
    Received {
        message: Message,
        at: Mono,
    },
    /// `opened`: whether it ever was.
    Gone {
        reason: Gone,
        opened: bool,
    },
}

/// Bytes moved and what came of it.
#[derive(Debug, Default)]
pub(super) struct Worked {
    pub(super) happened: Option<Happened>,
    pub(super) bytes_in: usize,
    pub(super) bytes_out: usize,
}

impl Peer {
    pub(super) fn accepted(
        door: Door,
        remote: SocketAddr,
        listener: usize,
        mut protocol: Box<dyn Protocol>,
        mut transport: Transport,
        now: Now,
    ) -> Peer {
        protocol.connected(now, &mut transport.out);
        Peer { listener: Some(listener), ..Peer::new(door, remote, protocol, transport, Phase::Open) }
    }

    pub(super) fn dialed(link: Link, remote: SocketAddr, protocol: Box<dyn Protocol>, transport: Transport) -> Peer {
        Peer::new(Door::Machine(link), remote, protocol, transport, Phase::Connecting)
    }

    fn new(door: Door, remote: SocketAddr, protocol: Box<dyn Protocol>, transport: Transport, phase: Phase) -> Peer {
        Peer {
            door,
            remote,
            listener: None,
            held_bytes: 0,
            protocol,
            transport,
            phase,
            read_at: Mono(0),
            opened: false,
            queued: false,
            timer: None,
        }
    }

    pub(super) fn transport(&mut self) -> &mut Transport {
        &mut self.transport
    }

    pub(super) fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// Has bytes that the socket did not take yet.
    pub(super) fn has_waiting(&self) -> bool {
        self.transport.waiting() > 0
    }

    fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Connecting | Phase::Open)
    }

    pub(super) fn deadline(&self) -> Option<Mono> {
        match self.phase {
            Phase::Over => None,
            Phase::Lingering { until, .. } => Some(until),
            Phase::Connecting | Phase::Open => {
                let stall = self.transport.stalled().map(|since| since + self.protocol.write_limits().timeout);
                self.protocol.deadline().into_iter().chain(stall).min()
            }
        }
    }

    /// A message for the peer; dropped when its end is near.
    pub(super) fn send(&mut self, now: Now, message: Message) -> Worked {
        let mut worked = Worked::default();
        let limit = self.protocol.write_limits().buffer_bytes;
        if self.phase == Phase::Open && self.transport.waiting() > limit {
            // A broken socket shows at its next item of work.
            let _ = self.flush(now, &mut worked);
            if self.transport.waiting() > limit {
                self.transport.drop_waiting();
                let reason = Gone::Limit(format!("write buffer of {limit} bytes is full"));
                worked.happened = Some(self.finish(now, reason));
            }
        }
        if self.phase == Phase::Open {
            self.protocol.send(now, message, &mut self.transport.out);
        }
        worked
    }

    pub(super) fn close(&mut self, now: Now, code: u16, reason: String) {
        if self.is_live() {
            self.protocol.close(now, code, reason, &mut self.transport.out);
        }
    }

    /// `deadline()` has passed.
    pub(super) fn expire(&mut self, now: Now) -> Option<Happened> {
        let limit = self.protocol.write_limits().timeout;
        match self.phase {
            Phase::Over => None,
            Phase::Lingering { .. } => {
                self.phase = Phase::Over;
                None
            }
            _ if self.transport.stalled().is_some_and(|since| since + limit <= now.mono) => {
                self.transport.drop_waiting();
                Some(self.finish(now, Gone::Timeout(format!("peer took none of our bytes for {limit:?}"))))
            }
            Phase::Connecting if self.transport.is_securing() => {
                Some(self.finish(now, Gone::Timeout(format!("no TLS handshake within {limit:?}"))))
            }
            _ => {
                self.protocol.expire(now, &mut self.transport.out);
                None
            }
        }
    }

    /// What it holds now of a message that is not whole.
    pub(super) fn holds(&self) -> usize {
        if self.is_live() { self.protocol.held_bytes() } else { 0 }
    }

    /// Its listener has no room for the rest of its message.
    pub(super) fn overload(&mut self, now: Now) {
        if self.is_live() {
            self.protocol.overload(now, &mut self.transport.out);
        }
    }

    /// Whether another item of work would find something to do.
    pub(super) fn has_work(&self) -> bool {
        match self.phase {
            Phase::Over | Phase::Connecting => false,
            Phase::Lingering { .. } => self.transport.is_flushable() || self.transport.is_readable(),
            Phase::Open => {
                self.transport.is_flushable()
                    || (self.transport.is_readable() && self.protocol.wants_bytes(self.transport.waiting()))
            }
        }
    }

    /// One item of work: flush, report at most one thing, read at most one `scratch` of bytes.
    pub(super) fn work(&mut self, now: Now, scratch: &mut [u8]) -> Worked {
        let mut worked = Worked::default();
        if self.phase == Phase::Connecting {
            match self.transport.connected() {
                Some(Ok(())) => {
                    self.phase = Phase::Open;
                    self.protocol.connected(now, &mut self.transport.out);
                }
                Some(Err(error)) => worked.happened = Some(self.broken(now, &error)),
                None => worked.happened = self.signal(now),
            }
        }
        if self.phase == Phase::Open {
            self.work_open(now, scratch, &mut worked);
        }
        if matches!(self.phase, Phase::Lingering { .. }) {
            self.linger(now, scratch, &mut worked);
        }
        worked
    }

    fn work_open(&mut self, now: Now, scratch: &mut [u8], worked: &mut Worked) {
        let flushed = self.flush(now, worked);
        worked.happened = self.signal(now);
        if worked.happened.is_none() && self.wants_read() {
            worked.happened = self.read(now, scratch, worked);
        }
        let flushed = flushed.and(self.flush(now, worked));
        match flushed {
            // What the peer said before it went may still be read, and may say why.
            Err(error) if self.phase == Phase::Open && !self.wants_read() && worked.happened.is_none() => {
                worked.happened = Some(self.broken(now, &error));
            }
            _ if self.phase == Phase::Open && self.transport.is_hung_up() && worked.happened.is_none() => {
                worked.happened = self.hung_up(now);
            }
            _ => {}
        }
    }

    fn wants_read(&self) -> bool {
        self.transport.is_readable() && self.protocol.wants_bytes(self.transport.waiting())
    }

    /// Both directions are over and nothing is left to read.
    fn hung_up(&mut self, now: Now) -> Option<Happened> {
        if self.wants_read() {
            return None;
        }
        let error = self.transport.stream().take_error().ok().flatten();
        Some(self.broken(now, &error.unwrap_or_else(|| io::ErrorKind::ConnectionReset.into())))
    }

    fn flush(&mut self, now: Now, worked: &mut Worked) -> io::Result<()> {
        let flushed = self.transport.flush(now.mono);
        match flushed {
            Ok(moved) => {
                worked.bytes_out += moved;
                Ok(())
            }
            Err(error) => {
                self.transport.drop_waiting();
                Err(error)
            }
        }
    }

    fn read(&mut self, now: Now, scratch: &mut [u8], worked: &mut Worked) -> Option<Happened> {
        match self.transport.read(scratch) {
            Readout::Bytes(count) => {
                worked.bytes_in += count;
                self.read_at = now.mono;
                self.protocol.receive(now, scratch.get(..count).unwrap_or_default());
            }
            Readout::Nothing => {}
            Readout::End => self.protocol.end(),
            Readout::WouldBlock => return None,
            Readout::Failed(error) => return Some(self.broken(now, &error)),
        }
        self.signal(now)
    }

    fn signal(&mut self, now: Now) -> Option<Happened> {
        match self.protocol.poll(now, &mut self.transport.out)? {
            Signal::Opened => {
                self.opened = true;
                Some(Happened::Opened)
            }
            Signal::Message(message) => Some(Happened::Received { message, at: self.read_at }),
            Signal::Finish(reason) => Some(self.finish(now, reason)),
        }
    }

    fn broken(&mut self, now: Now, error: &io::Error) -> Happened {
        self.transport.drop_waiting();
        let fault = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsFault>());
        let reason = fault.map_or_else(|| Gone::Io(error.to_string()), |fault| Gone::Tls(fault.clone()));
        let happened = self.finish(now, reason);
        self.phase = Phase::Over;
        happened
    }

    fn finish(&mut self, now: Now, reason: Gone) -> Happened {
        let connected = self.phase == Phase::Open;
        self.phase = if connected { Phase::Lingering { until: now.mono + LINGER, shut: false } } else { Phase::Over };
        Happened::Gone { reason, opened: self.opened }
    }

    /// Ends a connection whose machine is done: what waits is still sent. The end is not reported.
    pub(super) fn abandon(&mut self, now: Now) {
        if self.is_live() {
            self.finish(now, Gone::ByUs("the daemon ends".into()));
        }
    }

    fn linger(&mut self, now: Now, scratch: &mut [u8], worked: &mut Worked) {
        let Phase::Lingering { shut, .. } = self.phase else { return };
        if self.flush(now, worked).is_err() || self.transport.is_hung_up() {
            self.phase = Phase::Over;
            return;
        }
        if worked.bytes_out > 0 {
            self.phase = Phase::Lingering { until: now.mono + LINGER, shut };
        }
        if !shut && self.transport.waiting() == 0 {
            self.phase = match self.transport.shut_write(now.mono) {
                Ok(shut) => Phase::Lingering { until: now.mono + LINGER, shut },
                Err(_) => Phase::Over,
            };
        }
        if self.transport.is_readable() && matches!(self.phase, Phase::Lingering { .. }) {
            match self.transport.read(scratch) {
                Readout::Bytes(count) => worked.bytes_in += count,
                Readout::WouldBlock | Readout::Nothing => {}
                Readout::End if self.transport.waiting() > 0 => {}
                Readout::End | Readout::Failed(_) => self.phase = Phase::Over,
            }
        }
    }
}
