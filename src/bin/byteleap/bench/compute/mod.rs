//! `byteleap bench cpu|verify|rng|hash|all`: what this CPU does with the challenges, measured through the code that
//! workers and validators run.

mod cpu_matrix;
mod figures;
mod gemm_i8;
mod generators;
mod hashes;
mod machine;
mod measure;
mod numpy;
mod peak;

use std::{num::NonZeroUsize, path::PathBuf, thread, time::Duration};

use byteleap::net::Clock;
use clap::Args;

#[cfg(feature = "cuda")]
pub use self::figures::significant;
pub use self::gemm_i8::ChildOptions;
use self::{figures::Figures, machine::Machine};
use crate::{Fault, print};

#[derive(Args, Debug)]
pub struct Options {
    /// Threads of a worker's products [default: all cores that this process may use]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=4096))]
    threads: Option<u16>,
    /// Smaller matrices and fewer rounds: to try the bench, not to compare machines
    #[arg(long)]
    quick: bool,
    /// A Python with NumPy, for hosts whose python3 has none; tests/benches/numpy-venv makes one
    #[arg(long, value_name = "FILE")]
    python: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Print a table in Markdown
    #[arg(long)]
    markdown: bool,
}

/// What may be measured alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Cpu,
    Verify,
    Rng,
    Hash,
}

impl Part {
    pub const ALL: [Part; 4] = [Part::Cpu, Part::Verify, Part::Rng, Part::Hash];
}

/// What every measurement goes by.
struct Bench<'a> {
    clock: Clock,
    threads: NonZeroUsize,
    options: &'a Options,
}

impl Bench<'_> {
    /// How often the things that are compared are measured in turn.
    fn rounds(&self) -> usize {
        if self.options.quick { 2 } else { 5 }
    }

    /// How long short work is repeated for one measurement.
    fn span(&self) -> Duration {
        Duration::from_millis(if self.options.quick { 5 } else { 50 })
    }
}

pub fn main(options: &Options, parts: &[Part]) -> Result<(), Fault> {
    let cores = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let threads = options.threads.and_then(|threads| NonZeroUsize::new(threads.into())).unwrap_or(cores);
    let bench = Bench { clock: Clock::start(), threads, options };
    let figures = measure(&bench, parts)?;
    let text = match (options.json, options.markdown) {
        (true, _) => serde_json::to_string(&figures)?,
        (false, true) => figures.markdown(),
        (false, false) => figures.table(),
    };
    Ok(print::line(&text)?)
}

/// One whole challenge in a process of its own, for the process that measures.
pub fn child(options: &ChildOptions) -> Result<(), Fault> {
    Ok(print::line(&gemm_i8::child(options)?)?)
}

fn measure(bench: &Bench, parts: &[Part]) -> Result<Figures, Fault> {
    let wanted = |part| parts.contains(&part);
    let (cpu, verify) = (wanted(Part::Cpu), wanted(Part::Verify));
    Ok(Figures {
        version: env!("CARGO_PKG_VERSION"),
        machine: Machine::look(bench.threads),
        quick: bench.options.quick,
        taken: "the best time of several rounds, in which what is compared runs in turn",
        rng: wanted(Part::Rng).then(|| generators::measure(bench)),
        hash: wanted(Part::Hash).then(|| hashes::measure(bench)),
        cpu_matrix: figures::Two {
            challenge: cpu.then(|| cpu_matrix::challenge(bench)).transpose()?,
            verify: verify.then(|| cpu_matrix::verify(bench)).transpose()?,
        },
        gemm_i8: figures::Two {
            challenge: cpu.then(|| gemm_i8::challenge(bench)).transpose()?,
            verify: verify.then(|| gemm_i8::verify(bench)).transpose()?,
        },
    })
}
