//! ByteLeap's compute network (Bittensor subnet 128): the rooms of the house.
//!
//! Each daemon is **one event loop around one pure state machine**. The machine (validator, miner or
//! worker) never touches a clock, socket, disk, GPU or thread: it is told what happened and when, and it
//! says what it wants. The loop (thread `net`) owns every socket and the machine. Everything that blocks
//! lives in a **spoke**: one named thread that owns one blocking thing and serves one request at a time
//! over a bounded channel. In the tests a simulator stands in for the loop and the spokes.
//!
//! ```text
//!                 signals    listeners    connections (WebSocket, HTTP/1.1)
//!                      \         |         /
//! spoke chain  ───►  ┌──────────────────────┐ ◄───  spoke store / facts (SQLite)
//! (ureq JSON-RPC)◄── │ thread net: mio Poll │ ───►
//! spoke verify-N ──► │   + Machine (pure)   │ ◄───  spoke cpu / open / gpu / probe (worker)
//!               ◄─── └──────────────────────┘ ───►  spoke bulk (big bodies: decrypt, parse)
//!      a star: spokes speak only with the hub; the hub never waits
//! ```
//!
//! How a line of code knows its room: decides what to do next → [`machine`]; defines bytes that another
//! program reads → [`wire`]; arithmetic on which two honest parties must agree bit for bit → [`compute`]
//! or [`machine::score`]; touches a socket → [`net`]; blocks, or owns a device, file, key or remote →
//! [`spoke`]; read or written by an operator → the hallway (`config`, `log`, `exit`, `notify`,
//! `metrics`, `version`, `wallet`); connects these →
//! [`daemon`] and `src/bin`; a subnet of real processes on one machine → [`devnet`].
//!
//! GPUs are another process's: `executor` (the program `byteleap-gpu`) owns their contexts through `cuda`, and the
//! worker asks it over a Unix socket. Both rooms are there with the feature `cuda` alone.
//!
//! The operator's tool (`src/bin/byteleap`) has no loop for what it asks once: `byteleap chain` uses the chain spoke as a
//! library and waits for each answer, with the settings that a daemon's file has in [`config::on_chain`].
//!
//! Imports go one way: units ← wire ← compute ← machine ← {net, spoke} ← daemon ← bin. The quiet rooms (`units`,
//! `wire`, `compute`, `machine`) name no clock, socket, file, thread or channel; `tests/tidy` holds that wall.

pub mod compute;
pub mod config;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod daemon;
pub mod devnet;
#[cfg(feature = "cuda")]
pub mod executor;
pub mod exit;
pub mod log;
pub mod machine;
pub mod metrics;
pub mod net;
pub mod notify;
pub mod spoke;
pub mod units;
pub mod version;
pub mod wallet;
pub mod wire;
