//! `byteleap subtensor-sim`: a simulated chain behind a port, until it is told to stop.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
    time::Duration,
};

use byteleap::{
    config::logging::Logging,
    exit::Failure,
    machine::Exit,
    net::{Connections, DialOptions, Hub, Listener, Setup},
    spoke::{
        self,
        subtensor_sim::{
            CHAIN_NAME, Genesis, METHODS, Node, UpgradeKind,
            server::{Server, append, door},
        },
    },
    units::{BlockNumber, Netuid},
};
use log::LevelFilter;

use crate::at;

#[derive(clap::Args)]
#[command(after_help = "--help lists the JSON-RPC methods that make things go wrong", after_long_help = methods())]
pub struct Arguments {
    /// Where to listen, e.g. 127.0.0.1:9944; port 0 takes a free one and prints it
    #[arg(long, value_name = "ADDR")]
    listen: SocketAddr,
    /// The one subnet that exists
    #[arg(long, value_name = "N")]
    netuid: u16,
    /// JSON list of {uid, hotkey, coldkey, stake_tao, validator_permit, axon: "ip:port" or null}; or an object
    /// with that list as "neurons", and beside it "hyperparameters" (tempo, weights_rate_limit, serving_rate_limit,
    /// weights_version, min_allowed_weights, max_weights_limit, commit_reveal, reveal_period, mechanisms,
    /// stake_threshold_tao) and "balances" ({SS58: TAO}), which registrations are paid from
    #[arg(long, value_name = "FILE")]
    neurons: PathBuf,
    /// Seconds between two blocks, fractions allowed; 0 or "manual" makes them on demand alone (`sim_makeBlocks`)
    #[arg(long, value_name = "S", default_value = "12", value_parser = block_time)]
    block_time_s: Duration,
    /// Put another runtime in place with block N, and say what changes beside its spec version: version (nothing),
    /// shuffle, newtype, empty-extension or extension; may be given several times
    #[arg(long, value_name = "N[:KIND]", value_parser = upgrade)]
    upgrade_at: Vec<(BlockNumber, UpgradeKind)>,
    /// Blocks between the best and the finalized one
    #[arg(long, value_name = "N", default_value = "2")]
    finality_lag: u64,
    /// Append one JSON line for each accepted or refused extrinsic
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
}

/// The catalogue of what can be made to go wrong.
fn methods() -> String {
    let line = |(name, of, what): &(&str, &str, &str)| format!("  {name} [{of}]\n      {what}\n");
    let lines: String = METHODS.iter().map(line).collect();
    format!(
        "JSON-RPC methods that no real node has; each answers with the number of the best block:\n{lines}\n\
         For example:\n  curl -H 'content-type: application/json' http://127.0.0.1:9944 \\\n    \
         -d '{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"sim_stall\",\"params\":[true]}}'"
    )
}

fn block_time(text: &str) -> Result<Duration, &'static str> {
    if text == "manual" {
        return Ok(Duration::ZERO);
    }
    let seconds = text.parse::<f64>().ok().filter(|seconds| *seconds == 0.0 || (0.01..=3600.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or("seconds from 0.01 to 3600, or 0 for blocks on demand")
}

fn upgrade(text: &str) -> Result<(BlockNumber, UpgradeKind), String> {
    let (block, kind) = text.split_once(':').unwrap_or((text, "version"));
    let block = block.parse().map_err(|_| format!("{block:?} is no block number"))?;
    Ok((block, kind.parse()?))
}

pub fn run(arguments: Arguments) -> Result<(), Failure> {
    byteleap::log::init(&Logging { level: LevelFilter::Info, targets: BTreeMap::new() });
    let text = fs::read_to_string(&arguments.neurons).map_err(at(&arguments.neurons))?;
    let genesis = Genesis::read(&text, Netuid(arguments.netuid)).map_err(at(&arguments.neurons))?;
    let (count, block_s) = (genesis.neurons.len(), arguments.block_time_s.as_secs_f64());
    let pace = if block_s > 0.0 { format!("a block each {block_s} s") } else { "blocks on demand".to_owned() };
    log::info!(target: "subtensor-sim", "{CHAIN_NAME}: subnet {}, {count} neurons, {pace}", arguments.netuid);
    let hub = Hub::new(16).map_err(Failure::failed)?;
    let mut node = Node::new(genesis, arguments.block_time_s, hub.clock().now()).map_err(Failure::failed)?;
    for (block, kind) in arguments.upgrade_at {
        node.upgrade_at(block, kind).map_err(Failure::config)?;
    }
    node.set_finality_lag(arguments.finality_lag);
    let listener = Listener::bind(arguments.listen, door(), Connections::default());
    let listener = listener.map_err(Failure::config)?;
    // Whoever wanted to read it may be gone; the chain goes on.
    let _ = writeln!(io::stdout(), "listening on http://{}", listener.address());
    let journal = match &arguments.log {
        Some(path) => Some(OpenOptions::new().create(true).append(true).open(path).map_err(at(path))?),
        None => None,
    };
    let server = Server::new(node, journal.is_some());
    let (inbox, writer) = journal.map(|file| spoke::spawn("journal", 1, &hub.outbox(), append(file))).unzip();
    let setup = Setup {
        hub,
        listeners: vec![listener],
        dials: DialOptions::default(),
        dispatch: Box::new(move |line| inbox.as_ref().map_or(Ok(()), |inbox| inbox.send(line))),
        spokes: writer.into_iter().collect(),
        stop_timeout: Duration::from_secs(10),
        signals: true,
    };
    match byteleap::net::run(server, setup).map_err(Failure::failed)? {
        Exit::Done => Ok(()),
        Exit::Failed(text) | Exit::Config(text) => Err(Failure::failed(text)),
    }
}
