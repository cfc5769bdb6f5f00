//! The part of a daemon's configuration that says which chain, which subnet and whose hotkey: for the operator's
//! tool, which takes a validator's or a miner's file. Every other key is left to the daemon.

use std::net::SocketAddr;

use super::{
    ConfigError,
    form::Form,
    not_yaml, shared,
    subtensor::{self, Subtensor},
    validator,
    wallet::{self, Wallet},
    yaml::{self, Node},
};
use crate::units::Netuid;

#[derive(Clone, Debug, PartialEq)]
pub struct OnChain {
    pub netuid: Netuid,
    pub subtensor: Subtensor,
    pub wallet: Wallet,
    /// What a validator announces.
    pub announce: Option<SocketAddr>,
}

/// What was said on a command line, in place of what a file says.
#[derive(Clone, Debug, Default)]
pub struct Given {
    pub network: Option<String>,
    /// In order of preference; empty when none was given.
    pub endpoints: Vec<String>,
    pub netuid: Option<u16>,
}

/// The sections and keys that are looked at.
const KEYS: [&str; 6] = ["netuid", "subtensor", "wallet", "external_ip", "external_port", "port"];

/// Reads a file's text, and over it what was given. An empty text has every default.
pub fn read(text: &str, given: &Given) -> Result<OnChain, ConfigError> {
    let mut root = yaml::parse(text).map_err(|why| not_yaml(&why))?;
    if let Node::Map(entries) = &mut root {
        entries.retain(|(key, _)| KEYS.contains(&key.as_str()));
        overlay(entries, given);
    }
    let mut form = Form::new(root);
    let port = shared::port(&mut form, "port", 9091);
    let read = OnChain {
        netuid: shared::netuid(&mut form),
        subtensor: subtensor::read(&mut form),
        wallet: wallet::read(&mut form),
        announce: validator::announce(&mut form, port),
    };
    form.finish(read).map(|checked| checked.config)
}

fn overlay(entries: &mut Vec<(String, Node)>, given: &Given) {
    if let Some(netuid) = given.netuid {
        put(entries, "netuid", Node::Whole(netuid.into()));
    }
    if given.network.is_none() && given.endpoints.is_empty() {
        return;
    }
    let mut subtensor = match entries.iter().find(|(key, _)| key == "subtensor") {
        Some((_, Node::Map(of))) => of.clone(),
        Some((_, Node::Null)) | None => Vec::new(),
        // a mistake of the file's is told, and not covered up
        Some(_) => return,
    };
    // the file's endpoints, and its genesis, are of the file's network
    let endpoints = given.endpoints.iter().cloned().map(Node::Text).collect();
    let endpoints = if given.endpoints.is_empty() { Node::Null } else { Node::List(endpoints) };
    put(&mut subtensor, "endpoints", endpoints);
    if let Some(network) = &given.network {
        put(&mut subtensor, "genesis", Node::Null);
        put(&mut subtensor, "network", Node::Text(network.clone()));
    }
    put(entries, "subtensor", Node::Map(subtensor));
}

fn put(entries: &mut Vec<(String, Node)>, key: &str, value: Node) {
    entries.retain(|(name, _)| name != key);
    entries.push((key.to_owned(), value));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemons_file_is_read_in_part() {
        let text = "netuid: 7\nsubtensor: {network: local}\nwallet: {name: lab}\nexternal_ip: 192.0.2.1\n\
                    validation: {challenge_interval: soon}\nworker_management: {port: 1}\n";
        let read = read(text, &Given::default()).unwrap();
        assert_eq!((read.netuid, read.wallet.name.as_str()), (Netuid(7), "lab"));
        assert_eq!(read.subtensor.endpoints, ["http://127.0.0.1:9944"]);
        assert_eq!(read.announce, Some("192.0.2.1:9091".parse().unwrap()));
    }

    #[test]
    fn what_is_given_holds_in_place_of_the_file() {
        let text = "netuid: 7\nsubtensor: {network: finney, endpoints: ['http://192.0.2.1:9944']}\n";
        let network = Given { network: Some("local".into()), netuid: Some(9), ..Given::default() };
        let of = read(text, &network).unwrap();
        assert_eq!((of.netuid, of.subtensor.endpoints), (Netuid(9), vec!["http://127.0.0.1:9944".to_owned()]));
        let endpoint = Given { endpoints: vec!["ws://192.0.2.2:1".into()], ..Given::default() };
        assert_eq!(read(text, &endpoint).unwrap().subtensor.endpoints, ["http://192.0.2.2:1"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let bad = Given { network: Some("finnney".into()), ..Given::default() };
        let text = read("wallet: {nam: x}\n", &bad).unwrap_err().to_string();
        assert!(text.contains("subtensor.network: is \"finnney\"; allowed: finney, test, local"), "{text}");
        assert!(text.contains("wallet.nam: unknown key; did you mean wallet.name?"), "{text}");
    }
}
