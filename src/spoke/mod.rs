//! Spokes: one named thread a blocking thing, one request at a time, a bounded channel each way.

pub mod bulk;
pub mod chain;
pub mod store;
