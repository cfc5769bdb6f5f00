//! The loop: the one thread that owns every socket and the machine.
//!
//! [`run`] is the driver of the contract in [`crate::machine`]: one thread (the caller's, by convention the
//! main thread, whose name is the process's in `ps` and therefore stays), one mio `Poll`, listeners, and
//! connections, one kind a file. It never decides what a daemon does, never waits for a spoke, and never
//! reads a clock on the machine's behalf except to hand it a sampled `Now`.
//!
//! ```text
//! turn:  poll ─► mark who is ready ─► timers ─► reports of spokes ─► accept ─► work (≤ 64 items or 5 ms)
//! item:  one peer: flush, read at most 64 KiB, give the machine at most one input, queue again if more
//! ```
//!
//! Each connection kind ([`protocol::Protocol`]) is a small state machine of its own: bytes in, bytes and
//! signals out, one deadline. It owns no socket, so it is tested and fuzzed without one; `transport` moves
//! the bytes.

mod accept;
mod clock;
mod counters;
mod dual_server;
mod http_client;
pub mod http_frame;
mod http_server;
mod operators;
mod peer;
mod peers;
mod protocol;
mod run;
mod setup;
mod signals;
mod standing;
mod tls;
mod transport;
mod turned_away;
pub mod unix_socket;
mod wake;
mod ws_client;
pub mod ws_frame;
mod ws_open;
mod ws_server;

pub use accept::Listener;
pub use clock::Clock;
pub use run::run;
pub use setup::{
    Admission, Connections, DialOptions, HttpOptions, Hub, NetError, Refusal, Serve, Setup, WebSocketOptions,
};
pub use tls::{RootsFault, TlsClient};
pub use wake::Wake;
