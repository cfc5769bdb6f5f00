//! `byteleap bench`: figures of this build on this machine. Products, checks, generators and hashes run in this
//! process, `gpu` on the cards of this machine; `axon` and `idle` measure real daemons.

mod axon;
mod compute;
mod gpu;
mod idle;
mod load;

use byteleap::exit::Failure;
use clap::{Args, Subcommand};

use self::compute::Part;
use crate::Fault;

/// What the process that measures starts of itself.
const CHILD: &str = "gemm-i8-challenge";

#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    bench: Option<Bench>,
    #[command(flatten)]
    options: compute::Options,
}

#[derive(Subcommand, Debug)]
enum Bench {
    /// A worker's challenges, whole and their products alone, against this CPU's limit and against NumPy
    Cpu(compute::Options),
    /// A validator's checks, on one core
    Verify(compute::Options),
    /// The generators of the matrices, on one core
    Rng(compute::Options),
    /// The row hashes, on one core
    Hash(compute::Options),
    /// A worker's challenges on each GPU: stages, whole, share of the card's peak, beside cuBLASLt; roots checked
    Gpu(gpu::Options),
    /// Everything but GPUs and daemons; also without a name
    All(compute::Options),
    /// One challenge of gemm_i8 in a process of its own, whose memory counts for nothing else
    #[command(name = CHILD, hide = true)]
    Child(compute::ChildOptions),
    /// Heartbeats a second that a validator's axon answers, with the load on the same machine
    Axon(axon::Options),
    /// Memory and CPU time of each daemon with ten connections and nothing to do
    Idle(idle::Options),
}

pub fn main(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.bench {
        Some(Bench::Gpu(options)) => gpu::main(options),
        _ => measure(arguments).map_err(Failure::failed),
    }
}

fn measure(arguments: &Arguments) -> Result<(), Fault> {
    match &arguments.bench {
        Some(Bench::Axon(options)) => axon::main(options),
        Some(Bench::Idle(options)) => idle::main(options),
        Some(Bench::Cpu(options)) => compute::main(options, &[Part::Cpu]),
        Some(Bench::Verify(options)) => compute::main(options, &[Part::Verify]),
        Some(Bench::Rng(options)) => compute::main(options, &[Part::Rng]),
        Some(Bench::Hash(options)) => compute::main(options, &[Part::Hash]),
        Some(Bench::All(options)) => compute::main(options, &Part::ALL),
        Some(Bench::Child(options)) => compute::child(options),
        Some(Bench::Gpu(_)) | None => compute::main(&arguments.options, &Part::ALL),
    }
}
