//! `byteleap run ROLE …`: the daemons inside the operator's tool, so that one binary is a whole subnet.

use std::{ffi::OsString, iter, process::ExitCode};

use byteleap::daemon;
use clap::{Args, ValueEnum};

#[derive(Args, Debug)]
pub struct Arguments {
    /// Which daemon
    role: Role,
    /// What the daemon of that name takes, e.g. --config FILE; see `byteleap run ROLE --help`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Role {
    Validator,
    Miner,
    Worker,
}

/// The daemon's own exit status.
pub fn main(arguments: Arguments) -> ExitCode {
    let words = |name: &str| iter::once(OsString::from(name)).chain(arguments.arguments);
    match arguments.role {
        Role::Validator => daemon::validator::main(words("validator")),
        Role::Miner => daemon::miner::main(words("miner")),
        Role::Worker => daemon::worker::main(words("worker")),
    }
}
