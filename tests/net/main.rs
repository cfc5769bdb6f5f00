//! The loop on real loopback sockets, around an echoing machine that tells the test all it hears.
//!
//! Waits end by a message or by [`daemon::PATIENCE`], never by the clock; limits are made short by options.

mod daemon;
mod dial;
mod dual;
mod http;
mod tls;
mod turn;
mod websocket;
