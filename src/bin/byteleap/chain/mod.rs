//! `byteleap chain …`: what an operator asks of the chain, or does on it, by hand. One file a subcommand; this one
//! chooses it and prints what it gives, as text or as one JSON object.
//!
//! Runs on the main thread and waits for each answer: the chain spoke is used as a library here. No key and no
//! password is ever an argument.

mod allowlist;
mod decode_extrinsic;
mod follow;
mod info;
mod metagraph;
mod node;
mod preflight;
mod register;
mod replace;
mod serve;
mod terminal;
mod timelock;
mod weights;
mod which;

use byteleap::exit::Failure;
use serde_json::Value;

use crate::{print, table};

#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// The node, the subnet and its next epoch; with a hotkey, where that stands and what to do about it
    Info(info::Options),
    /// Every name and shape that is used, looked for in the chain's runtime; status 1 when one is not as known
    Preflight(preflight::Options),
    /// Who takes part
    Metagraph(metagraph::Options),
    /// What a neuron's weights are, and what it has committed
    Weights(weights::Options),
    /// Announce by hand where an axon is reached
    Serve(serve::Options),
    /// Buy a hotkey a place in the subnet; the only command that needs a coldkey
    Register(register::Options),
    /// What an extrinsic says, by the chain's metadata or by a file of it
    DecodeExtrinsic(decode_extrinsic::Options),
    /// Weights encrypted to a round of drand: make or open a commitment by hand
    Timelock(timelock::Options),
    /// The addresses that the metagraph announces, for a firewall
    Allowlist(allowlist::Options),
}

/// What a subcommand says: to people, to programs, and whether something is wrong with it.
struct Told {
    text: String,
    json: Value,
    /// Said after all else; the status is 1 then.
    fault: Option<String>,
}

impl Told {
    fn new(text: impl ToString, json: Value) -> Told {
        Told { text: text.to_string(), json, fault: None }
    }
}

pub fn main(arguments: Arguments) -> Result<(), Failure> {
    let (as_json, told) = match arguments.command {
        Command::Info(options) => (options.place.json, info::tell(&options)?),
        Command::Preflight(options) => (options.place.json, preflight::tell(&options)?),
        Command::Metagraph(options) => (options.place.json, metagraph::tell(&options)?),
        Command::Weights(options) => (options.place.json, weights::tell(&options)?),
        Command::Serve(options) => (options.place.json, serve::tell(&options)?),
        Command::Register(options) => (options.place.json, register::tell(&options)?),
        Command::DecodeExtrinsic(options) => (options.place.json, decode_extrinsic::tell(&options)?),
        Command::Timelock(options) => (options.json, timelock::tell(&options)?),
        Command::Allowlist(options) => (options.place.json, allowlist::tell(&options)?),
    };
    let printed = if as_json { print::line(&format!("{:#}", told.json)) } else { print::all(&told.text) };
    printed.map_err(Failure::failed)?;
    told.fault.map_or(Ok(()), |fault| Err(Failure::failed(fault)))
}
