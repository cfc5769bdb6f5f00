//! The operator's tool. One file a subcommand; this one only reads the command line and ends the process.

mod bench;
mod chain;
mod devnet;
mod doctor;
mod maintenance;
mod meshhub_sim;
mod print;
mod records;
mod run;
mod settings;
mod subtensor_sim;
mod table;
mod version;
mod wallet;

use std::{
    collections::BTreeMap,
    error::Error,
    path::{Path, PathBuf},
    process::ExitCode,
};

use byteleap::{
    config::logging::Logging,
    devnet::process::end_with_parent,
    exit::{self, Failure},
};
use clap::{Parser, Subcommand};
use log::LevelFilter;

/// ByteLeap's compute network: the operator's tool
#[derive(Parser)]
#[command(version = byteleap::version::SHORT.as_str())]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run one of the daemons: validator, miner or worker
    Run(run::Arguments),
    #[command(flatten)]
    Tool(Tool),
}

#[derive(Subcommand)]
enum Tool {
    /// Run a whole subnet on this machine: simulated chain, validator, miners, workers
    Devnet(devnet::Options),
    /// A simulated chain for trying and testing
    SubtensorSim(subtensor_sim::Arguments),
    /// A simulated compute marketplace (MeshHub) for trying and testing
    MeshhubSim(meshhub_sim::Arguments),
    /// Ask the chain, or act on it, by hand
    Chain(Box<chain::Arguments>),
    /// Calculate again what a validator has scored and set, from its database, and compare
    Replay(records::Replay),
    /// What the shadow policy makes of the newest scores, miner by miner
    Shadow(records::Shadow),
    /// A validator's settings as they are in force: what the marketplace changed, and taking it back
    Config(settings::Arguments),
    /// Copy a validator's database, running or not, into one file
    Export(records::Export),
    /// Why the scores of this miner's workers are what they are, by the validators' receipts
    Why(records::Why),
    /// Put an exported file in the place of a validator's database
    Import(records::Import),
    /// Announce to the validators that workers of this miner will be away
    Maintenance(maintenance::Maintenance),
    /// Make a hotkey, or say whose it is
    Wallet(wallet::Arguments),
    /// Measure this build on this machine
    Bench(bench::Arguments),
    /// What this build is: version, revision, features, target
    Version(version::Version),
    /// What is wrong on this host, and what to do about it
    Doctor(doctor::Arguments),
}

/// What a subcommand fails with.
type Fault = Box<dyn Error + Send + Sync>;

/// A file that a command cannot use.
#[derive(Debug, thiserror::Error)]
#[error("{}", path.display())]
struct FileFault<E: std::error::Error + 'static> {
    path: PathBuf,
    source: E,
}

/// Names the file of an error.
fn at<E: std::error::Error + Send + Sync + 'static>(path: &Path) -> impl Fn(E) -> Failure {
    move |source| Failure::config(FileFault { path: path.into(), source })
}

fn main() -> ExitCode {
    if let Err(why) = end_with_parent() {
        return exit::tool("byteleap", || Err(Failure::failed(why)));
    }
    match Arguments::parse().command {
        Command::Run(arguments) => run::main(arguments),
        Command::Tool(tool) => exit::tool("byteleap", || work(tool)),
    }
}

/// What the house has to warn of is said, as the daemons would; the rest is the tool's own to say.
fn warn() {
    byteleap::log::init(&Logging { level: LevelFilter::Warn, targets: BTreeMap::new() });
}

fn work(tool: Tool) -> Result<(), Failure> {
    match tool {
        Tool::Devnet(options) => devnet::main(&options).map_err(Failure::failed),
        Tool::SubtensorSim(arguments) => subtensor_sim::run(arguments),
        Tool::MeshhubSim(arguments) => meshhub_sim::run(arguments),
        Tool::Chain(arguments) => {
            warn();
            chain::main(*arguments)
        }
        Tool::Replay(options) => records::replay(&options),
        Tool::Shadow(options) => records::shadow(&options),
        Tool::Config(arguments) => settings::run(&arguments),
        Tool::Export(options) => records::export(&options),
        Tool::Why(options) => records::why(&options),
        Tool::Import(options) => records::import(&options),
        Tool::Maintenance(options) => maintenance::maintenance(&options),
        Tool::Wallet(arguments) => {
            warn();
            wallet::run(arguments)
        }
        Tool::Bench(arguments) => bench::main(&arguments),
        Tool::Version(options) => version::version(&options),
        Tool::Doctor(arguments) => doctor::main(arguments),
    }
}
