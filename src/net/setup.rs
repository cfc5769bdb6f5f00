//! What a daemon hands to the loop: its doors, limits, spokes and options. Values only; nothing runs here.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use crossbeam::channel::Receiver;
use mio::{Poll, Token};

use crate::{
    machine::Link,
    net::{Clock, Listener, TlsClient, Wake},
    spoke::{self, Full, Outbox, Report, Spoke},
    units::Secret,
    wire::{http::Headers, limits},
};

/// Why the loop cannot start: an address is the operator's to change; one that is in use, and what the system refuses,
/// may pass.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    #[error("cannot listen on {address} ({name}): {}", reason(.source))]
    Listen { name: &'static str, address: SocketAddr, source: io::Error },
    #[error("cannot {what}: {source}")]
    System { what: &'static str, source: io::Error },
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "address in use; `ss -tlnp` shows by whom".into(),
        io::ErrorKind::AddrNotAvailable => "no interface of this machine has that address".into(),
        io::ErrorKind::PermissionDenied => "permission denied (ports below 1024 need CAP_NET_BIND_SERVICE)".into(),
        _ => error.to_string(),
    }
}

/// The loop's inside before it runs: made first, because the spokes need a way to report.
pub struct Hub<E> {
    pub(super) poll: Poll,
    pub(super) wake: Wake,
    pub(super) clock: Clock,
    pub(super) reports: Receiver<Report<E>>,
    outbox: Outbox<E>,
}

pub(super) const WAKE: Token = Token(usize::MAX);

impl<E> Hub<E> {
    /// `depth`: how many reports of spokes may wait; then spokes wait.
    pub fn new(depth: usize) -> Result<Hub<E>, NetError> {
        let poll = Poll::new().map_err(|source| NetError::System { what: "make an event queue", source })?;
        let wake = Wake::new(poll.registry(), WAKE)
            .map_err(|source| NetError::System { what: "make the loop's waker", source })?;
        let (outbox, reports) = spoke::outbox(depth, wake.clone());
        Ok(Hub { poll, wake, clock: Clock::start(), reports, outbox })
    }

    /// The way in for spokes.
    pub fn outbox(&self) -> Outbox<E> {
        self.outbox.clone()
    }

    /// The clock that the machine's `Mono` comes from.
    pub fn clock(&self) -> Clock {
        self.clock
    }
}

/// Everything that [`super::run`] needs besides the machine.
pub struct Setup<E, C> {
    pub hub: Hub<E>,
    pub listeners: Vec<Listener>,
    pub dials: DialOptions,
    /// Takes a command to its spoke. It owns the inboxes; dropping it ends the spokes.
    pub dispatch: Box<dyn FnMut(C) -> Result<(), Full>>,
    /// In the order in which they are joined at the end: the store last.
    pub spokes: Vec<Spoke>,
    /// From `Input::Stop` to the end by force, and again for joining. Default 10 s.
    pub stop_timeout: Duration,
    /// SIGTERM and SIGINT stop the daemon, and the service manager hears how it stands. Off in tests, which
    /// share one process.
    pub signals: bool,
}

/// What a listener serves.
#[derive(Clone)]
pub enum Serve {
    /// HTTP/1.1 requests for the machine.
    Http(Link, HttpOptions),
    /// WebSockets for the machine.
    WebSocket(Link, WebSocketOptions, Admission),
    /// HTTP/1.1 requests for the machine, and WebSockets where a request asks for the upgrade. Reported as opened when
    /// it was accepted; what comes first, a request or a text, says which of them it is.
    Both(Link, HttpOptions, WebSocketOptions),
    /// What operators look at, answered by the loop itself (`net::operators`). With a token, it must be borne.
    Metrics(HttpOptions, Option<Secret>),
}

/// Decides on an upgrade from its source address and headers. Called once per connection, on the loop: it must not block.
pub type Admission = Arc<dyn Fn(IpAddr, &Headers) -> Result<(), Refusal> + Send + Sync>;

/// An HTTP answer in place of an upgrade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// 401, 403, …
    pub status: u16,
    pub text: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.text)
    }
}

/// What all connections of a listener may take together.
#[derive(Clone, Copy, Debug)]
pub struct Connections {
    /// One more is closed at once and counted.
    pub total: usize,
    /// From one IPv4 address or one IPv6 /64.
    pub per_source: usize,
    /// Bytes of messages that are not whole yet. The large one (over 64 KiB) that exceeds it is refused: without this,
    /// many bodies just under their limit would take all memory.
    pub held_bytes: usize,
}

impl Default for Connections {
    fn default() -> Connections {
        Connections { total: 1024, per_source: 128, held_bytes: 256 * 1024 * 1024 }
    }
}

/// Limits of an HTTP/1.1 server connection.
#[derive(Clone, Copy, Debug)]
pub struct HttpOptions {
    /// Request line and header fields together, bytes.
    pub header_bytes: usize,
    /// Bytes that a body sent to that target may have.
    pub body_bytes: fn(target: &str) -> usize,
    /// From a connection's first byte, or the accept, to the end of the head.
    pub header_timeout: Duration,
    /// Longest pause within a body.
    pub body_pause: Duration,
    /// From the end of the head to the end of the body.
    pub body_timeout: Duration,
    /// Between an answer and the next request.
    pub idle_timeout: Duration,
    /// For the machine's answer; after it the peer gets 503.
    pub answer_timeout: Duration,
    /// Longest pause while the peer takes our bytes.
    pub write_timeout: Duration,
}

impl Default for HttpOptions {
    fn default() -> HttpOptions {
        HttpOptions {
            header_bytes: limits::HEADER_BYTES,
            body_bytes: |_| limits::BODY_BYTES,
            header_timeout: Duration::from_secs(10),
            body_pause: Duration::from_secs(10),
            body_timeout: Duration::from_secs(120),
            idle_timeout: Duration::from_secs(75),
            answer_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(30),
        }
    }
}

/// Limits and habits of a WebSocket, either side.
#[derive(Clone, Copy, Debug)]
pub struct WebSocketOptions {
    /// Bytes of one message, fragments together.
    pub message_bytes: usize,
    /// Bytes that may wait for the peer to take them, before the message that exceeds it.
    pub write_buffer_bytes: usize,
    /// From accept to the end of the upgrade (servers; a dial brings its own).
    pub handshake_timeout: Duration,
    /// Pause between pings.
    pub ping_interval: Duration,
    /// From a ping to any byte of the peer.
    pub ping_timeout: Duration,
    /// From our close frame to the peer's.
    pub close_timeout: Duration,
}

impl Default for WebSocketOptions {
    fn default() -> WebSocketOptions {
        WebSocketOptions {
            message_bytes: limits::WEBSOCKET_BYTES,
            write_buffer_bytes: limits::WEBSOCKET_BYTES,
            handshake_timeout: Duration::from_secs(10),
            ping_interval: Duration::from_secs(20),
            ping_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(5),
        }
    }
}

/// Limits of connections that the machine dials.
#[derive(Clone, Debug)]
pub struct DialOptions {
    pub websocket: WebSocketOptions,
    /// Whose certificates count.
    pub tls: TlsClient,
    /// Status line and header fields of an answer, bytes.
    pub answer_header_bytes: usize,
    /// Body of an answer, bytes.
    pub answer_body_bytes: usize,
}

impl Default for DialOptions {
    fn default() -> DialOptions {
        DialOptions {
            websocket: WebSocketOptions::default(),
            tls: TlsClient::public(),
            answer_header_bytes: limits::HEADER_BYTES,
            answer_body_bytes: limits::BODY_BYTES,
        }
    }
}
