//! `byteleap doctor …`: what is wrong on this host, and what to do about it. One file a matter; this one prints.
//!
//! It changes nothing, needs no daemon, and ends with status 1 when something stops the work.

mod devices;
mod executor;
mod gpu;
mod kernel_log;
mod problems;
mod text;

use byteleap::exit::Failure;

use crate::print;

#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    matter: Matter,
}

#[derive(clap::Subcommand)]
enum Matter {
    /// GPUs: driver, cards, limits, executor, what a validator would see; each problem with its remedy
    Gpu(gpu::Options),
}

pub fn main(arguments: Arguments) -> Result<(), Failure> {
    let Matter::Gpu(options) = arguments.matter;
    let seen = gpu::look(&options)?;
    let printed =
        if options.json { print::line(&format!("{:#}", text::json(&seen))) } else { print::all(&text::text(&seen)) };
    printed.map_err(Failure::failed)?;
    match seen.problems.iter().filter(|problem| problem.stops).count() {
        0 => Ok(()),
        1 => Err(Failure::failed("one problem stops the GPUs' work")),
        several => Err(Failure::failed(format!("{several} problems stop the GPUs' work"))),
    }
}
