//! The operator's tool. One file a subcommand; this one only reads the command line and ends the process.

mod subtensor_sim;
mod wallet;

use std::process::ExitCode;

use byteleap::exit::{self, Failure};
use clap::{Parser, Subcommand};

/// ByteLeap's compute network: the operator's tool
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// A simulated chain for trying and testing
    SubtensorSim(subtensor_sim::Arguments),
    /// Make a hotkey, or say whose it is
    Wallet(wallet::Arguments),
}

fn main() -> ExitCode {
    exit::tool("byteleap", || run(Arguments::parse()))
}

fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.command {
        Command::SubtensorSim(arguments) => subtensor_sim::run(arguments),
        Command::Wallet(arguments) => wallet::run(arguments),
    }
}
