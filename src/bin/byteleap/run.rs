//! `byteleap run ROLE …`: the daemons inside the operator's tool, so that one binary is a whole subnet.

use std::{ffi::OsString, iter, process::ExitCode};

use byteleap::daemon;
use clap::{Args, Subcommand};

#[derive(Args, Debug)]
pub struct Arguments {
    #[command(subcommand)]
    role: Role,
}

/// Their help is the daemon's own: `byteleap run ROLE --help`.
#[derive(Debug, Subcommand)]
enum Role {
    /// Make challenges, verify them, score, set weights
    #[command(disable_help_flag = true)]
    Validator(Words),
    /// Speak for the workers of one hotkey
    #[command(disable_help_flag = true)]
    Miner(Words),
    /// Compute challenges on this host
    #[command(disable_help_flag = true)]
    Worker(Words),
}

#[derive(Args, Debug)]
struct Words {
    /// What the daemon of that name takes, e.g. --config FILE
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

impl Words {
    fn of(self, program: &str) -> impl Iterator<Item = OsString> {
        iter::once(OsString::from(program)).chain(self.arguments)
    }
}

/// The daemon's own exit status.
pub fn main(arguments: Arguments) -> ExitCode {
    match arguments.role {
        Role::Validator(words) => daemon::validator::main(words.of("validator")),
        Role::Miner(words) => daemon::miner::main(words.of("miner")),
        Role::Worker(words) => daemon::worker::main(words.of("worker")),
    }
}
