//! `byteleap chain serve`: announces by hand where a validator's axon is reached.
//!
//! The daemon does so by itself; this is for a look at what is announced, and for moving an axon without a daemon.

use std::net::{IpAddr, SocketAddr};

use byteleap::{
    exit::Failure,
    machine::{
        contract::chain::{ChainCall, Feature, Metagraph, Neuron},
        validator::chain::VERSION,
    },
    spoke::chain::rpc::to_hex,
    units::BlockNumber,
    wallet,
};
use serde_json::json;

use super::{
    Told, follow,
    metagraph::axon,
    node::{Node, Place, Who},
    table::Facts,
};

#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    pub place: Place,
    #[command(flatten)]
    pub who: Who,
    /// The address that miners reach [default: external_ip of --config]
    #[arg(long, value_name = "ADDR")]
    ip: Option<IpAddr>,
    /// Its port [default: external_port or port of --config]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Announce it even if it is announced already
    #[arg(long)]
    again: bool,
}

pub fn tell(options: &Options) -> Result<Told, Failure> {
    let settings = options.place.settings()?;
    let want = wanted(options, settings.announce)?;
    let key = wallet::load(&options.who.wallet(&settings)?)?;
    let hotkey = key.hotkey().clone();
    let mut node = Node::with_key(&options.place, settings, Some(key))?;
    let graph = node.metagraph()?;
    let neuron = graph.neuron(&hotkey).ok_or_else(|| node.not_registered(&hotkey))?;
    if neuron.axon == Some(want) && !options.again {
        return Ok(told(neuron, want, None));
    }
    let wait = blocks_to_wait(&graph, neuron, node.head()?.best);
    if wait > 0 {
        let (limit, now) = (graph.serving_rate_limit, axon(neuron));
        return Err(Failure::failed(format!(
            "announced is {now}; the subnet lets {limit} blocks pass between two announcements: again in {wait} blocks"
        )));
    }
    if let Some(row) = node.preflight()?.broken(Feature::ServeAxon) {
        return Err(node.not_as_known(row));
    }
    let (netuid, version) = (node.netuid, VERSION);
    let call = ChainCall::ServeAxon { netuid, ip: want.ip(), port: want.port(), version };
    let done = follow::through(&mut node, call)?;
    Ok(told(neuron, want, Some(&done)))
}

fn wanted(options: &Options, configured: Option<SocketAddr>) -> Result<SocketAddr, Failure> {
    let ip = options.ip.or(configured.map(|of| of.ip()));
    let port = options.port.or(configured.map(|of| of.port()));
    match (ip, port) {
        (Some(ip), Some(port)) if !ip.is_unspecified() && !ip.is_multicast() => Ok(SocketAddr::new(ip, port)),
        (Some(ip), Some(_)) => Err(Failure::config(format!("{ip} is no address that miners can reach"))),
        _ => Err(Failure::config("announce what? --ip and --port, or --config with a file that has external_ip")),
    }
}

/// The chain counts from the last announcement to the block that includes the next.
fn blocks_to_wait(graph: &Metagraph, neuron: &Neuron, best: BlockNumber) -> u64 {
    match neuron.axon_block {
        0 => 0,
        last => last.saturating_add(graph.serving_rate_limit).saturating_sub(best.saturating_add(1)),
    }
}

fn told(before: &Neuron, want: SocketAddr, done: Option<&follow::Done>) -> Told {
    let mut facts = Facts::of(format!("axon of {}", before.hotkey));
    facts.add("announced before", format!("{} (block {})", axon(before), before.axon_block));
    facts.add("announced now", want);
    match done {
        Some(done) => facts.add("final in block", done.block),
        None => facts.add("done", "nothing: that is announced already (--again announces it once more)"),
    }
    let json = json!({
        "hotkey": before.hotkey,
        "before": before.axon,
        "before_block": before.axon_block,
        "now": want,
        "block": done.map(|done| done.block),
        "extrinsic": done.map(|done| to_hex(&done.hash)),
    });
    Told::new(facts, json)
}
