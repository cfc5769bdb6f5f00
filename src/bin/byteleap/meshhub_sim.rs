//! `byteleap meshhub-sim`: a simulated compute marketplace behind a port, until it is told to stop.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use byteleap::{
    config::logging::Logging,
    exit::Failure,
    machine::Exit,
    net::{Connections, DialOptions, Hub as Loop, Listener, Setup},
    spoke::meshhub_sim::{Hub, METHODS, NAME, PATH, Script, Tokens, door},
    wire::keys::Keypair,
};
use log::LevelFilter;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use crate::at;

#[derive(clap::Args)]
#[command(after_help = "--help lists the JSON-RPC methods that it is controlled by", after_long_help = methods())]
pub struct Arguments {
    /// Where to listen, e.g. 127.0.0.1:9510; port 0 takes a free one and prints it. Validators come by WebSocket
    /// (meshhub.ws_url: ws://ADDR/ws/mesh), control by HTTP on the same port
    #[arg(long, value_name = "ADDR")]
    listen: SocketAddr,
    /// JSON script: {"leases": {"hotkey:worker": score}, "events": [{"at_s": 30, "method": "sim_outage", "params":
    /// [600]}]}. Leases are published to whoever comes; events are the methods below, so many seconds after the start
    #[arg(long, value_name = "FILE")]
    leases: Option<PathBuf>,
    /// Access tokens that are taken, one a line; without it any is
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// 32 bytes in hex: the seed of the hub's hotkey; without it each start has another
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Seconds between two publishes of all leases; 0 publishes them only to whoever comes, and when they change
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    publish_every_s: u64,
}

/// The catalogue of what it can be told.
fn methods() -> String {
    let line = |(name, of, what): &(&str, &str, &str)| format!("  {name} [{of}]\n      {what}\n");
    let lines: String = METHODS.iter().map(line).collect();
    format!(
        "JSON-RPC methods (HTTP POST) that no real hub has; most answer with how many validators were told:\n{lines}\n\
         For example:\n  curl -H 'content-type: application/json' http://127.0.0.1:9510 \\\n    \
         -d '{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"sim_leases\",\"params\":[{{\"HOTKEY:WORKER\":0.8}}]}}'"
    )
}

fn key(file: Option<&Path>) -> Result<Keypair, Failure> {
    let mut seed = [0; 32];
    match file {
        None => getrandom::fill(&mut seed).map_err(|why| Failure::failed(why.to_string()))?,
        Some(path) => {
            let text = fs::read_to_string(path).map_err(at(path))?;
            let text = text.trim().trim_start_matches("0x");
            hex::decode_to_slice(text, &mut seed)
                .map_err(|_| Failure::config(format!("{}: no seed of 32 bytes in hex (64 digits)", path.display())))?;
        }
    }
    Keypair::from_seed(seed).map_err(|why| Failure::config(why.to_string()))
}

fn script(file: Option<&Path>) -> Result<Script, Failure> {
    let Some(path) = file else { return Ok(Script::default()) };
    Script::read(&fs::read_to_string(path).map_err(at(path))?).map_err(at(path))
}

fn tokens(file: Option<&Path>) -> Result<Tokens, Failure> {
    let Some(path) = file else { return Ok(Tokens::Any) };
    Tokens::read(&fs::read_to_string(path).map_err(at(path))?).map_err(at(path))
}

pub fn run(arguments: Arguments) -> Result<(), Failure> {
    byteleap::log::init(&Logging { level: LevelFilter::Info, targets: BTreeMap::new() });
    let (key, tokens) = (key(arguments.key_file.as_deref())?, tokens(arguments.token_file.as_deref())?);
    let script = script(arguments.leases.as_deref())?;
    let which = if matches!(tokens, Tokens::Any) { "any access token" } else { "access tokens of the file" };
    log::info!(target: "meshhub-sim", "{NAME}: hotkey {}, takes {which}, {} leases", key.hotkey(), script.leases.len());
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|why| Failure::failed(why.to_string()))?;
    let publish_every = Some(Duration::from_secs(arguments.publish_every_s)).filter(|every| !every.is_zero());
    let hotkey = key.hotkey().clone();
    let hub = Hub::new(key, tokens, script, publish_every, ChaCha20Rng::from_seed(seed));
    let listener = Listener::bind(arguments.listen, door(), Connections::default()).map_err(Failure::config)?;
    // Whoever wanted to read it may be gone; the hub goes on.
    let address = listener.address();
    let _ = writeln!(
        io::stdout(),
        "listening on http://{address} for control and ws://{address}{PATH} for validators; hotkey {hotkey}"
    );
    let setup = Setup {
        hub: Loop::new(16).map_err(Failure::failed)?,
        listeners: vec![listener],
        dials: DialOptions::default(),
        dispatch: Box::new(|never| match never {}),
        spokes: Vec::new(),
        stop_timeout: Duration::from_secs(10),
        signals: true,
    };
    match byteleap::net::run(hub, setup).map_err(Failure::failed)? {
        Exit::Done => Ok(()),
        Exit::Failed(text) | Exit::Config(text) => Err(Failure::failed(text)),
    }
}
