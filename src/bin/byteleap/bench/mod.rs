//! `byteleap bench`: figures of this build on this machine, against real daemons.

mod axon;
mod idle;
mod load;

use clap::{Args, Subcommand};

use crate::Fault;

#[derive(Args, Debug)]
pub struct Arguments {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Subcommand, Debug)]
enum Bench {
    /// Heartbeats a second that a validator's axon answers, with the load on the same machine
    Axon(axon::Options),
    /// Memory and CPU time of each daemon with ten connections and nothing to do
    Idle(idle::Options),
}

pub fn main(arguments: &Arguments) -> Result<(), Fault> {
    match &arguments.bench {
        Bench::Axon(options) => axon::main(options),
        Bench::Idle(options) => idle::main(options),
    }
}
