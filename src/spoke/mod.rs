//! Spokes: one named thread a blocking thing, one request at a time, a bounded channel each way.
//!
//! Spokes hold mechanism and no policy: one request is one call, and what to do next is the machine's.
//! They speak only with the hub, never with each other.

pub mod bulk;
mod call_off;
pub mod chain;
pub mod cpu;
pub mod gpu;
pub mod lease_file;
pub mod maintenance;
pub mod meshhub_sim;
pub mod open;
pub mod probe;
pub mod receipts;
pub mod resolve;
pub mod store;
pub mod subtensor_sim;
mod thread;
pub mod verify;

pub use call_off::CallOff;
pub use thread::{Full, Inbox, Outbox, Report, Spoke, aside, in_parallel, outbox, spawn, spawn_pool};
