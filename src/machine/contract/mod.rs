//! What machines ask of their spokes, and what they are told. Values only; the code behind lives in `spoke`.
//!
//! Every spoke answers each request with exactly one reply, in order. A machine counts what it has in
//! flight, so a full channel is a bug and not a state.

pub mod bulk;
pub mod chain;
pub mod cpu;
pub mod gpu;
pub mod inventory;
pub mod lease_file;
pub mod maintenance;
pub mod open;
pub mod probe;
pub mod receipts;
pub mod resolve;
pub mod store;
pub mod task;
pub mod validator_bulk;
pub mod verify;
