//! `byteleap chain allowlist`: the addresses that the metagraph announces, for operators who close their ports.
//!
//! What it can do: a miner dials validators, and where these are the chain says, so a miner's list is whole. What it
//! cannot do: a validator is dialed by miners, and the chain knows only the address that a miner announced for an axon,
//! which many never do, and which need not be the one that it dials from. A validator that drops everybody else
//! loses those miners; how many announce nothing is said.
//!
//! Nothing is written that does not come from a whole, recent metagraph with somebody in it.

use std::{collections::BTreeSet, net::IpAddr, path::PathBuf};

use byteleap::{
    exit::Failure,
    machine::contract::chain::{Head, Metagraph, Neuron},
    units::{BlockNumber, Wall},
};
use clap::ValueEnum;
use serde_json::json;

use super::{
    Told,
    node::{Node, Place},
    replace,
};

/// The chain makes a block each 12 seconds: one that is older than ten of them is of a node that stands still, as for
/// the daemons, or our clock is wrong.
const BLOCK_AGE_MAX_S: u64 = 120;

/// A block that is further ahead of our clock than this says that the clock is wrong.
const CLOCK_AHEAD_MAX_S: u64 = 60;

/// The same age in blocks, for a metagraph that came from another node than the head.
const BLOCKS_BEHIND_MAX: u64 = 10;

#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    pub place: Place,
    /// Whose firewall. A miner's: axons of the validators that it dials. A validator's: every address that a
    /// registered hotkey has announced; a miner that announced none is not in it
    #[arg(long = "for", value_name = "ROLE", value_enum, default_value_t = For::Validator)]
    role: For,
    /// nft: a table `inet` that `nft -f` takes at once or not at all. plain: one address a line
    #[arg(long, value_enum, default_value_t = Format::Nft)]
    format: Format,
    /// With --for miner: least stake, in TAO, of a validator in the list
    #[arg(long, value_name = "TAO")]
    min_stake: Option<f64>,
    /// With nft and a validator's list: drop new connections to this TCP port that come from elsewhere
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Private, loopback and other addresses too that nobody reaches over the internet
    #[arg(long)]
    private: bool,
    /// Fail rather than give fewer addresses than this
    #[arg(long, value_name = "N", default_value_t = 1)]
    at_least: usize,
    /// Replace this file, whole or not at all, in place of printing
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum For {
    Miner,
    Validator,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Nft,
    Plain,
}

/// Who is let through, and who is not although registered.
struct List {
    block: BlockNumber,
    addresses: BTreeSet<IpAddr>,
    /// Of those who belong in the list, how many announced nothing, and how many what nobody can reach.
    silent: usize,
    unreachable: usize,
}

pub fn tell(options: &Options) -> Result<Told, Failure> {
    if options.port.is_some() && (options.role, options.format) != (For::Validator, Format::Nft) {
        return Err(Failure::config(
            "--port goes with --for validator --format nft alone: only that table says which port is closed to others",
        ));
    }
    if options.min_stake.is_some() && options.role != For::Miner {
        return Err(Failure::config(
            "--min-stake goes with --for miner alone: a validator lets in miners without stake",
        ));
    }
    let mut node = Node::reading(&options.place, options.place.settings()?)?;
    let (head, graph) = (node.head()?, node.metagraph()?);
    let list = checked(options, &head, node.now(), &graph).map_err(Failure::failed)?;
    let text = match options.format {
        Format::Nft => nft(options, &list),
        Format::Plain => plain(&list),
    };
    let json = json!({
        "block": list.block,
        "for": if options.role == For::Miner { "miner" } else { "validator" },
        "addresses": list.addresses,
        "without_address": list.silent,
        "unreachable": list.unreachable,
        "output": options.output,
    });
    let Some(path) = &options.output else { return Ok(Told::new(text, json)) };
    replace::file(path, text.as_bytes()).map_err(Failure::failed)?;
    let List { block, addresses, silent, unreachable } = &list;
    let left_out = format!("left out: {silent} without an address, {unreachable} with one that nobody reaches");
    let told = format!("{}: {} addresses of block {block}; {left_out}\n", path.display(), addresses.len());
    Ok(Told::new(told, json))
}

/// The list, unless it would lock everybody out.
fn checked(options: &Options, head: &Head, now: Wall, graph: &Metagraph) -> Result<List, String> {
    recent(head, now, graph).map_err(|why| format!("nothing was written: {why}"))?;
    if graph.neurons.is_empty() {
        return Err(format!("nothing was written: the metagraph of subnet {} is empty", graph.netuid.0));
    }
    let list = list(options, graph);
    let count = list.addresses.len();
    if count < options.at_least.max(1) {
        let least = options.at_least.max(1);
        return Err(format!(
            "nothing was written: {count} addresses, {least} at least are asked for ({} announce none, {} one that nobody reaches)",
            list.silent, list.unreachable,
        ));
    }
    Ok(list)
}

/// A list is only as good as its block is new, and a block that does not say when it was made is not known to be.
fn recent(head: &Head, now: Wall, graph: &Metagraph) -> Result<(), String> {
    let best = head.best;
    let Some(at) = head.best_at else {
        return Err(format!("block {best} does not say when it was made; ask another node"));
    };
    let (age_s, ahead_s) = (now.since(at).as_secs(), at.since(now).as_secs());
    if age_s > BLOCK_AGE_MAX_S {
        return Err(format!("block {best} is {age_s} s old; ask another node, or set this machine's clock"));
    }
    if ahead_s > CLOCK_AHEAD_MAX_S {
        return Err(format!("block {best} is {ahead_s} s ahead of this machine's clock; set the clock"));
    }
    let behind = best.saturating_sub(graph.block);
    if behind > BLOCKS_BEHIND_MAX {
        let block = graph.block;
        return Err(format!("the metagraph is of block {block}, {behind} before the best one; ask another node"));
    }
    Ok(())
}

fn list(options: &Options, graph: &Metagraph) -> List {
    let belongs = |neuron: &&Neuron| match options.role {
        For::Validator => true,
        For::Miner => neuron.validator_permit && neuron.stake_tao >= options.min_stake.unwrap_or(0.0),
    };
    let mut list = List { block: graph.block, addresses: BTreeSet::new(), silent: 0, unreachable: 0 };
    for neuron in graph.neurons.iter().filter(belongs) {
        match neuron.axon.map(|axon| axon.ip().to_canonical()) {
            None => list.silent += 1,
            Some(ip) if options.private || is_public(ip) => drop(list.addresses.insert(ip)),
            Some(_) => list.unreachable += 1,
        }
    }
    list
}

/// An address of the internet. Whoever announces one of a local network wants a hole in somebody's.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            let shared = a == 100 && (64..128).contains(&b);
            let reserved = a == 0 || a >= 240 || (a, b, c) == (192, 0, 0) || (a == 198 && (18..20).contains(&b));
            let local = ip.is_private() || ip.is_loopback() || ip.is_link_local() || shared;
            !(local || reserved || ip.is_multicast() || ip.is_documentation())
        }
        IpAddr::V6(ip) => {
            // all that is given out lies in 2000::/3; 2001:db8::/32 is for documents
            let [first, second, ..] = ip.segments();
            first & 0xe000 == 0x2000 && (first, second) != (0x2001, 0xdb8)
        }
    }
}

fn plain(list: &List) -> String {
    list.addresses.iter().fold(String::new(), |text, ip| text + &format!("{ip}\n"))
}

/// The sets are emptied and filled in one transaction, so that no packet meets an empty one; chains that the operator
/// has put into the table stay.
fn nft(options: &Options, list: &List) -> String {
    let (table, whose) = match options.role {
        For::Miner => ("byteleap_validators", "where validators' axons are"),
        For::Validator => ("byteleap_miners", "addresses that registered hotkeys announce"),
    };
    let base = "type filter hook input priority filter - 5; policy accept;";
    let (chain, flush, rules) = match options.port {
        None => Default::default(),
        Some(port) => (
            format!("  chain axon {{ {base} }}\n"),
            format!("flush chain inet {table} axon\n"),
            format!("  chain axon {{\n    {base}\n{}  }}\n", rules(port)),
        ),
    };
    let left_out = list.silent + list.unreachable;
    format!(
        "# {whose}: block {}, {} in the sets, {left_out} left out\n\
         table inet {table} {{\n  set v4 {{ type ipv4_addr; }}\n  set v6 {{ type ipv6_addr; }}\n{chain}}}\n\
         flush set inet {table} v4\nflush set inet {table} v6\n{flush}\
         table inet {table} {{\n{}{}{rules}}}\n",
        list.block,
        list.addresses.len(),
        set("v4", "ipv4_addr", list.addresses.iter().filter(|ip| ip.is_ipv4())),
        set("v6", "ipv6_addr", list.addresses.iter().filter(|ip| ip.is_ipv6())),
    )
}

fn set<'a>(name: &str, kind: &str, addresses: impl Iterator<Item = &'a IpAddr>) -> String {
    let all: Vec<String> = addresses.map(IpAddr::to_string).collect();
    let elements = if all.is_empty() { String::new() } else { format!(" elements = {{ {} }}", all.join(", ")) };
    format!("  set {name} {{ type {kind};{elements} }}\n")
}

/// Each rule speaks of one family alone. Connections that stand are not cut.
fn rules(port: u16) -> String {
    let of =
        |family: &str, set: &str| format!("    tcp dport {port} ct state new {family} saddr != @{set} counter drop\n");
    format!("    iif lo accept\n{}{}", of("ip", "v4"), of("ip6", "v6"))
}

#[cfg(test)]
mod tests {
    use byteleap::units::{Hotkey, Netuid, Uid};

    use super::*;

    const BLOCK: BlockNumber = 1000;

    fn neuron(uid: u16, axon: Option<&str>, permit: bool, stake_tao: f64) -> Neuron {
        Neuron {
            uid: Uid(uid),
            hotkey: Hotkey::label("5A"),
            coldkey: Hotkey::label("5C"),
            axon: axon.map(|text| text.parse().unwrap()),
            axon_block: 1,
            active: true,
            validator_permit: permit,
            stake_tao,
            last_update: 1,
        }
    }

    fn graph(neurons: Vec<Neuron>) -> Metagraph {
        Metagraph {
            netuid: Netuid(128),
            block: BLOCK,
            tempo: 360,
            weights_rate_limit: 100,
            serving_rate_limit: 50,
            weights_version: 0,
            min_allowed_weights: 1,
            max_weights_limit: u16::MAX,
            commit_reveal: true,
            reveal_period: 1,
            neurons,
        }
    }

    fn subnet() -> Metagraph {
        graph(vec![
            neuron(0, Some("8.8.8.8:9091"), true, 20_000.0),
            neuron(1, Some("[2606:4700::1111]:9091"), true, 10.0),
            neuron(2, Some("1.1.1.1:9091"), false, 0.0),
            neuron(3, Some("[::ffff:8.8.4.4]:9091"), false, 0.0),
            neuron(4, Some("192.168.1.1:22"), false, 0.0),
            neuron(5, None, false, 0.0),
        ])
    }

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn options(words: &[&str]) -> Options {
        <Line as clap::Parser>::parse_from(["x"].iter().chain(words)).options
    }

    fn head(best_at: Option<Wall>) -> Head {
        let (genesis, chain) = ([0; 32], "Bittensor".to_owned());
        Head { best: BLOCK, finalized: BLOCK - 3, best_at, spec_version: 425, upgrading: false, genesis, chain }
    }

    #[test]
    fn a_miner_dials_validators_and_a_validator_hears_everybody() {
        let miner = list(&options(&["--for", "miner"]), &subnet());
        assert_eq!(plain(&miner), "8.8.8.8\n2606:4700::1111\n");
        let staked = list(&options(&["--for", "miner", "--min-stake", "1000"]), &subnet());
        assert_eq!(plain(&staked), "8.8.8.8\n");
        let validator = list(&options(&["--for", "validator"]), &subnet());
        assert_eq!(plain(&validator), "1.1.1.1\n8.8.4.4\n8.8.8.8\n2606:4700::1111\n");
        assert_eq!((validator.silent, validator.unreachable), (1, 1));
    }

    #[test]
    fn a_local_address_is_let_in_only_when_asked() {
        let all = list(&options(&["--for", "validator", "--private"]), &subnet());
        assert!(all.addresses.contains(&"192.168.1.1".parse().unwrap()));
        let local = ["10.0.0.1", "127.0.0.1", "100.64.0.1", "169.254.0.1", "240.0.0.1", "::1", "fe80::1", "fd00::1"];
        assert!(local.iter().all(|ip| !is_public(ip.parse().unwrap())));
        assert!(["9.9.9.9", "2a00::1", "100.128.0.1"].iter().all(|ip| is_public(ip.parse().unwrap())));
    }

    #[test]
    fn sets_are_replaced_in_one_transaction() {
        let options = options(&["--for", "validator", "--port", "9091"]);
        let expected = "# addresses that registered hotkeys announce: block 1000, 4 in the sets, 2 left out
table inet byteleap_miners {
  set v4 { type ipv4_addr; }
  set v6 { type ipv6_addr; }
  chain axon { type filter hook input priority filter - 5; policy accept; }
}
flush set inet byteleap_miners v4
flush set inet byteleap_miners v6
flush chain inet byteleap_miners axon
table inet byteleap_miners {
  set v4 { type ipv4_addr; elements = { 1.1.1.1, 8.8.4.4, 8.8.8.8 } }
  set v6 { type ipv6_addr; elements = { 2606:4700::1111 } }
  chain axon {
    type filter hook input priority filter - 5; policy accept;
    iif lo accept
    tcp dport 9091 ct state new ip saddr != @v4 counter drop
    tcp dport 9091 ct state new ip6 saddr != @v6 counter drop
  }
}
";
        assert_eq!(nft(&options, &list(&options, &subnet())), expected);
    }

    #[test]
    fn what_would_lock_everybody_out_is_refused() {
        let refusal = |options: &Options, best_at: Option<Wall>, graph: &Metagraph| {
            checked(options, &head(best_at), Wall::from_secs(10_000), graph).map(drop).unwrap_err()
        };
        let miner = options(&["--for", "miner"]);
        let fresh = Some(Wall::from_secs(9_880));
        assert!(checked(&miner, &head(fresh), Wall::from_secs(10_000), &subnet()).is_ok());
        assert!(refusal(&miner, Some(Wall::from_secs(9_879)), &subnet()).contains("block 1000 is 121 s old"));
        assert!(refusal(&miner, None, &subnet()).contains("block 1000 does not say when it was made"));
        assert!(
            refusal(&miner, Some(Wall::from_secs(10_100)), &subnet()).contains("100 s ahead of this machine's clock")
        );
        let behind = Metagraph { block: BLOCK - 11, ..subnet() };
        assert!(refusal(&miner, fresh, &behind).contains("the metagraph is of block 989, 11 before"));
        assert!(refusal(&miner, fresh, &graph(Vec::new())).contains("the metagraph of subnet 128 is empty"));
        let few = options(&["--for", "miner", "--at-least", "3"]);
        assert!(refusal(&few, fresh, &subnet()).contains("nothing was written: 2 addresses, 3 at least"));
        let silent = graph(vec![neuron(0, None, true, 1.0)]);
        assert!(refusal(&miner, fresh, &silent).contains("0 addresses, 1 at least are asked for (1 announce none"));
    }
}
