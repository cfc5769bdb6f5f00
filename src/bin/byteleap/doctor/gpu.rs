//! `byteleap doctor gpu`: looks at everything that the GPUs of a worker need, by the code that the worker itself runs.

use std::path::{Path, PathBuf};

use byteleap::{
    config::{Role, file, worker::Config},
    exit::Failure,
    machine::{
        contract::{gpu::ExecutorReply, inventory::Inventory, probe::ProbeReply, probe::ProbeRequest},
        health::{Report, review},
        worker::{Preview, preview},
    },
    spoke::probe::{Driver, Probe},
};

use super::{
    devices::{self, Limits},
    executor::{self, Executor},
    kernel_log::{self, LoggedXids},
    problems::{Problem, problems},
};

#[derive(clap::Args)]
pub struct Options {
    /// One JSON object in place of text
    #[arg(long)]
    pub json: bool,
    /// The worker's configuration; without it, its defaults
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// All that was looked at.
pub struct Seen {
    pub config: Config,
    pub driver: Option<Driver>,
    pub inventory: Inventory,
    pub executor: Executor,
    pub reports: Vec<Report>,
    pub limits: Limits,
    /// What the kernel's log has of errors since the boot; `None`: it may not be read.
    pub logged: Option<LoggedXids>,
    pub told: Preview,
    pub problems: Vec<Problem>,
}

pub fn look(options: &Options) -> Result<Seen, Failure> {
    let config = match &options.config {
        Some(path) => file::load::<Config>(path)?.config,
        None => Config::from_yaml("").map_err(Failure::config)?.config,
    };
    let driver = Driver::of(Path::new("/"));
    let executor = executor::ask(&config)?;
    let ProbeReply { info, gpus: inventory } = Probe::new(true).serve(ProbeRequest);
    let cuda = match &executor.said {
        ExecutorReply::Up(info) => Some(info.gpus.as_slice()),
        ExecutorReply::Down(_) => None,
    };
    let reports = review(&inventory, cuda);
    let limits = devices::look(&inventory);
    let told = preview(&config, &info, executor.said.clone(), inventory.clone());
    let logged = kernel_log::xids(Path::new("/dev/kmsg"));
    let mut seen = Seen { config, driver, inventory, executor, reports, limits, logged, told, problems: Vec::new() };
    seen.problems = problems(&seen);
    Ok(seen)
}
