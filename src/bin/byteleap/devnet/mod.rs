//! `byteleap devnet`: a whole subnet on this machine, as real processes on loopback.
//!
//! Starts the simulated chain, the miners with their workers and the validator, waits until every worker has its
//! verified challenges and the chain has the weights, then stops everything. Only the chain is simulated.

mod report;
mod run;

use std::{path::PathBuf, time::Duration};

use byteleap::devnet::site::Plan;
use clap::Args;
use serde_json::json;

use crate::Fault;

#[derive(Args, Debug)]
pub struct Options {
    /// Miners to start
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=32))]
    miners: u16,
    /// Workers of each miner
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=32))]
    workers: u16,
    /// Verified challenges that every worker must reach
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: u16,
    /// Rows of the challenges' matrices (each challenge's own size is within 10 % of it)
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(100..=10_000))]
    matrix_size: u32,
    /// Give up after this many seconds
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout_s: u64,
    /// Keep configurations, logs and databases in this directory (made if missing, must be empty)
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Print one JSON object on standard output at the end; progress goes to standard error
    #[arg(long)]
    json: bool,
}

/// Exit status 0 when everything was verified and confirmed, 1 otherwise; with `--json` one object is printed in
/// either case, which names the fault.
pub fn main(options: &Options) -> Result<(), Fault> {
    report::Show { json: options.json }.outcome(course(options))
}

fn course(options: &Options) -> Result<report::Outcome, Fault> {
    let temporary = if options.keep.is_none() {
        Some(tempfile::Builder::new().prefix("byteleap-devnet-").tempdir()?)
    } else {
        None
    };
    let dir = match (&options.keep, &temporary) {
        (Some(dir), _) => empty_dir(dir)?,
        (None, Some(dir)) => dir.path().to_owned(),
        (None, None) => return Err("no directory to run in".into()),
    };
    let plan = Plan {
        miners: options.miners.into(),
        workers: options.workers.into(),
        matrix_size: options.matrix_size,
        validator: json!({}),
        miner: json!({}),
        worker: json!({}),
    };
    let goal = run::Goal { rounds: options.rounds.into(), patience: Duration::from_secs(options.timeout_s) };
    run::run(&dir, &plan, &goal, &report::Show { json: options.json })
}

/// The directory to keep, absolute: the daemons get paths in it.
fn empty_dir(dir: &PathBuf) -> Result<PathBuf, Fault> {
    std::fs::create_dir_all(dir).map_err(|why| format!("--keep {}: {why}", dir.display()))?;
    if std::fs::read_dir(dir)?.next().is_some() {
        return Err(format!("--keep {}: the directory is not empty", dir.display()).into());
    }
    Ok(dir.canonicalize()?)
}
