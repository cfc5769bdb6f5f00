//! `byteleap devnet`: a whole subnet on this machine, as real processes on loopback.
//!
//! Starts the simulated chain, the miners with their workers and the validator, waits until every worker has its
//! verified challenges and the chain has the weights, then stops everything. Only the chain is simulated, and the
//! marketplace where one is asked for.

mod hub;
mod report;
mod run;

use std::{path::PathBuf, time::Duration};

use byteleap::{
    devnet::site::{BLOCK_TIME, Plan},
    machine::contract::store::CPU_MATRIX,
    wire::messages::gemm_i8::GEMM_I8,
};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

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
    /// Which challenges workers get; auto: the strongest that each offers, and the last of several offers cpu_matrix alone
    #[arg(long, value_enum, default_value_t = ChallengeType::Auto)]
    challenge_type: ChallengeType,
    /// Rows of the matrices of gemm_i8, in steps of 256 (each challenge's own size is within a third of it)
    #[arg(long, default_value_t = 768, value_parser = clap::value_parser!(u32).range(256..=16_384))]
    gemm_size: u32,
    /// The last worker uses this machine's GPUs, of any model, in place of a CPU. The others never do: a GPU that several
    /// workers prove earns for none of them
    #[arg(long)]
    gpu: bool,
    /// Start a simulated marketplace too, which leases the first N workers: they get no challenges, and their leases count
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=1024))]
    leases: u16,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum ChallengeType {
    Auto,
    GemmI8,
    CpuMatrix,
}

impl ChallengeType {
    /// The validator's settings that differ from those of any subnet on one machine.
    fn settings(self, gemm_size: u32) -> Value {
        let size = json!({"matrix_size": gemm_size, "rounds": 2});
        let gemm_i8 = json!({"cpu": size, "gpu": size, "size_variance": 0.34});
        match self {
            ChallengeType::CpuMatrix => json!({}),
            mixed => json!({
                "validation": {
                    "challenge_type": mixed.name(), "gemm_i8": gemm_i8, "gpu": {"model_allowlist": []},
                },
                "scoring": {"policy": "throughput"},
            }),
        }
    }

    fn name(self) -> &'static str {
        match self {
            ChallengeType::Auto => "auto",
            ChallengeType::GemmI8 => GEMM_I8,
            ChallengeType::CpuMatrix => CPU_MATRIX,
        }
    }

    /// Which kind worker number `worker` of so many is to get.
    fn kind(self, worker: usize, workers: usize, gpu: bool) -> &'static str {
        match self {
            ChallengeType::Auto if !gpu && workers > 1 && worker + 1 == workers => CPU_MATRIX,
            ChallengeType::Auto => GEMM_I8,
            one => one.name(),
        }
    }

    /// What the last worker offers, where it is not what all do.
    fn last_worker(self, workers: usize, gpu: bool) -> Value {
        match self {
            _ if gpu => json!({"gpu": {"enable": true}}),
            ChallengeType::Auto if workers > 1 => json!({"capabilities": [CPU_MATRIX]}),
            _ => json!({}),
        }
    }
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
    let leased = usize::from(options.leases);
    if leased > usize::from(options.miners) * usize::from(options.workers) {
        return Err(format!("--leases {leased}: there are fewer workers").into());
    }
    let (kind, miners, workers) = (options.challenge_type, options.miners.into(), options.workers.into());
    let plan = Plan {
        miners,
        workers,
        matrix_size: options.matrix_size,
        block_time: BLOCK_TIME,
        validator: kind.settings(options.gemm_size),
        miner: json!({}),
        worker: json!({"gpu": {"enable": false}}),
        last_worker: kind.last_worker(miners * workers, options.gpu),
    };
    let kinds = (0..miners * workers).map(|worker| kind.kind(worker, miners * workers, options.gpu)).collect();
    let patience = Duration::from_secs(options.timeout_s);
    let goal = run::Goal { rounds: options.rounds.into(), kinds, leased, patience };
    run::run(&dir, plan, &goal, &report::Show { json: options.json })
}

/// The directory to keep, absolute: the daemons get paths in it.
fn empty_dir(dir: &PathBuf) -> Result<PathBuf, Fault> {
    std::fs::create_dir_all(dir).map_err(|why| format!("--keep {}: {why}", dir.display()))?;
    if std::fs::read_dir(dir)?.next().is_some() {
        return Err(format!("--keep {}: the directory is not empty", dir.display()).into());
    }
    Ok(dir.canonicalize()?)
}
