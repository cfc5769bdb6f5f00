//! The quiet machines: what a daemon does next, as pure state.
//!
//! A machine is told what happened and when ([`Input`]) and says what it wants ([`Output`]). It never
//! reads a clock, opens a socket, starts a thread or touches a disk, so the machine that the simulator
//! tortures is the one that runs in production.
//!
//! The contract: the driver calls [`Machine::handle`], then [`Machine::poll`] until it is empty, before
//! the next `handle`. It calls `handle` with [`Input::Deadline`] once [`Machine::deadline`] has passed.
//! Each accepted connection is reported by one `Opened` and one `Closed`; each dial by one `Opened` and
//! one `Closed`, or by one `DialFailed`, also when the machine itself asked for the close.

pub mod availability;
pub mod backoff;
pub mod clock;
pub mod contract;
pub mod credit;
pub mod health;
pub mod hub_link;
pub mod hub_reports;
pub mod journal;
pub mod lease;
pub mod miner;
pub mod score;
pub mod status;
mod tls_fault;
pub mod validator;
pub mod worker;

use std::{net::SocketAddr, time::Duration};

pub use self::tls_fault::TlsFault;
use crate::{
    metrics::Page,
    units::{Mono, Now, PeerId, Secret},
    wire::http,
};

pub trait Machine {
    /// What it asks of its spokes.
    type Command;
    /// What its spokes report.
    type Event;

    fn handle(&mut self, now: Now, input: Input<Self::Event>);
    /// The next thing it wants, oldest first; `None` when there is nothing more to do.
    fn poll(&mut self) -> Option<Output<Self::Command>>;
    /// When it wants to be woken with `Input::Deadline`, if at all.
    fn deadline(&self) -> Option<Mono>;
    /// Puts its metrics on a page; the loop adds its own.
    fn observe(&self, page: &mut Page);
    /// How it stands, as one short line for people, without secrets; empty: nothing to say. Asked now and then.
    fn status(&self, _now: Now) -> String {
        String::new()
    }
}

/// Which door or which kind of dial a connection belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Link {
    /// The validator's axon: HTTP requests of miners.
    Axon,
    /// The miner's port for workers: WebSocket.
    Workers,
    /// The worker's connection to its miner: WebSocket.
    Miner,
    /// One HTTP request of a miner to a validator.
    Validator,
    /// The validator's connection to the compute marketplace: WebSocket, with or without TLS.
    Marketplace,
    /// The simulated chain's port: HTTP requests of chain spokes, and WebSockets of whoever wants to be told.
    Chain,
}

/// What happened.
#[derive(Debug)]
pub enum Input<E> {
    /// A connection was accepted, or a dial succeeded. WebSockets report it after the upgrade.
    Opened { peer: PeerId, link: Link, remote: SocketAddr },
    /// A whole message arrived; `at` is when its last byte was read.
    Received { peer: PeerId, message: Message, at: Mono },
    /// A connection that was reported `Opened` is gone.
    Closed { peer: PeerId, reason: Gone },
    /// A dial that was asked for never opened.
    DialFailed { peer: PeerId, reason: Gone },
    /// A spoke's report.
    Event(E),
    /// `deadline()` has passed.
    Deadline,
    /// Finish and say `Output::Exit`; the driver ends the process by force when that takes too long.
    Stop,
}

/// A message as the loop frames it.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// On [`Link::Axon`] and [`Link::Chain`], received. One at a time: the next request of a connection is read after the answer was sent.
    Request(http::Request),
    /// On [`Link::Axon`] and [`Link::Chain`] sent, on [`Link::Validator`] received (then the connection closes).
    Response(http::Response),
    /// A WebSocket text frame.
    Text(String),
}

/// Why a connection is gone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Gone {
    /// The machine asked for it.
    #[error("closed by us: {0}")]
    ByUs(String),
    /// An orderly end by the other side; WebSockets give their close code.
    #[error("closed by the peer ({code}: {reason})")]
    ByPeer { code: u16, reason: String },
    /// The transport failed: refused, reset, unreachable.
    #[error("{0}")]
    Io(String),
    /// The connection could not be secured, or was no longer.
    #[error("TLS: {0}")]
    Tls(TlsFault),
    /// The peer broke the protocol (bad HTTP, bad frame, refused upgrade).
    #[error("protocol: {0}")]
    Protocol(String),
    /// A limit was reached; the text names it and its value.
    #[error("limit: {0}")]
    Limit(String),
    /// No answer, no progress or no pong in time; the text names the wait and its length.
    #[error("timeout: {0}")]
    Timeout(String),
}

/// What a machine wants.
#[derive(Debug)]
pub enum Output<C> {
    /// Open a connection under an id that the machine chose ([`PeerId::dialed`]).
    Dial {
        peer: PeerId,
        dial: Dial,
    },
    /// Sent to a peer that is already gone: dropped.
    Send {
        peer: PeerId,
        message: Message,
    },
    /// Flush what was sent, then close. `code` is the WebSocket close code; HTTP ignores it.
    Close {
        peer: PeerId,
        code: u16,
        reason: String,
    },
    Command(C),
    /// The machine is done; the driver flushes, joins the spokes and ends the process.
    Exit(Exit),
}

/// How to open a connection. Addresses are resolved already: DNS blocks, so a spoke does it.
#[derive(Clone, Debug)]
pub enum Dial {
    /// [`Link::Miner`]. `timeout` covers connect and upgrade.
    WebSocket { to: SocketAddr, host: String, path: String, bearer: Option<Secret>, timeout: Duration },
    /// [`Link::Marketplace`]. `tls`: the name that the certificate must have; without it the connection is plain.
    /// `timeout` covers connect, TLS handshake and upgrade.
    Marketplace { to: SocketAddr, host: String, path: String, tls: Option<String>, timeout: Duration },
    /// [`Link::Validator`]. `timeout` covers connect, request and the whole response.
    Http { to: SocketAddr, request: http::Request, timeout: Duration },
}

/// How a daemon ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Asked to stop, and stopped.
    Done,
    /// It cannot go on; the text says what and what to do. systemd restarts it.
    Failed(String),
    /// The operator must change something first (exit status 78): no restart helps.
    Config(String),
}
