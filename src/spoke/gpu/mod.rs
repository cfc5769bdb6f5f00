//! The GPU executor from the worker's side: a program of its own, looked after by one spoke and asked by two others, each
//! with a connection of its own for each request, so that none waits for another.
//!
//! It computes nothing, and believes an executor's answer only as far as its form: whether a product is right is the
//! validator's to find out.

mod client;
mod jobs;
mod open;
mod supervisor;

pub(super) use self::open::proofs;
pub use self::{
    client::Client,
    jobs::Jobs,
    supervisor::{Leave, Program, Supervisor, leave},
};
