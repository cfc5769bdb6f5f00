//! Which chain a command speaks with: what the node that answered says of itself, and what its genesis proves.
//!
//! Settings are no answer to that: an endpoint may be of any chain, whatever network is named or taken by default.

use byteleap::{
    exit::Failure,
    machine::contract::chain::Head,
    spoke::chain::rpc::{chain_text, to_hex},
    units::known_chain,
};
use serde_json::{Map, Value, json};

use super::table::Facts;

/// What to do about another chain than the one that was meant.
pub const REMEDY: &str =
    "name the network that is meant (--network), or an endpoint of it (--endpoint, subtensor.endpoints of --config)";

pub struct Which {
    /// The node's own word for its chain.
    name: String,
    genesis: [u8; 32],
    spec_version: u32,
    upgrading: bool,
    /// The one that answered.
    endpoint: String,
}

impl Which {
    /// Refuses mainnet where the test network was named: what is paid there is real. A network that is named finney
    /// holds the spoke to its genesis by itself; `local` is where a node of any chain may run.
    pub fn new(head: &Head, endpoint: &str, network: Option<&str>) -> Result<Which, Failure> {
        let which = Which {
            // a terminal obeys what it is sent, and a node is a stranger
            name: head.chain.escape_debug().to_string(),
            genesis: head.genesis,
            spec_version: head.spec_version,
            upgrading: head.upgrading,
            endpoint: endpoint.to_owned(),
        };
        match (network, which.known_as()) {
            (Some("test"), Some(_)) => Err(which.is_not("test")),
            _ => Ok(which),
        }
    }

    fn is_not(&self, network: &str) -> Failure {
        let (endpoint, genesis) = (&self.endpoint, chain_text(&self.genesis));
        Failure::config(format!(
            "{endpoint}: this is another chain: genesis {genesis}, and network {network} was named; {REMEDY}"
        ))
    }

    fn known_as(&self) -> Option<&'static str> {
        known_chain(&self.genesis)
    }

    pub fn tell(&self, facts: &mut Facts) {
        let known = match self.known_as() {
            Some(network) => format!("known as {network}: its TAO is worth money"),
            None => "no public chain that is known here".to_owned(),
        };
        let upgrading = if self.upgrading { ", from the next block on" } else { "" };
        facts.add("answered by", &self.endpoint);
        facts.add("chain", format!("{}, {known}", self.name));
        facts.add("genesis", to_hex(&self.genesis));
        facts.add("runtime", format!("spec {}{upgrading}", self.spec_version));
    }

    pub fn json(&self) -> Map<String, Value> {
        let facts = [
            ("answered_by", json!(self.endpoint)),
            ("chain", json!(self.name)),
            ("known_as", json!(self.known_as())),
            ("genesis", json!(to_hex(&self.genesis))),
            ("spec_version", json!(self.spec_version)),
            ("upgrading", json!(self.upgrading)),
        ];
        facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

#[cfg(test)]
mod tests {
    use byteleap::units::FINNEY_GENESIS;

    use super::*;

    fn head(genesis: [u8; 32]) -> Head {
        let chain = "Bitten\u{1b}[2Jsor".to_owned();
        Head { best: 9, finalized: 7, best_at: None, spec_version: 425, upgrading: false, genesis, chain }
    }

    #[test]
    fn mainnet_is_named_and_never_taken_for_the_test_network() {
        let of = |genesis, network| Which::new(&head(genesis), "http://a:1", network);
        let why = of(FINNEY_GENESIS, Some("test")).err().unwrap().error.to_string();
        assert!(why.starts_with("http://a:1: this is another chain: genesis 0x2f0555cc"), "{why}");
        assert!(why.contains("(finney), and network test was named"), "{why}");
        let mainnet = of(FINNEY_GENESIS, Some("local")).unwrap();
        let mut facts = Facts::of("node");
        mainnet.tell(&mut facts);
        let text = facts.to_string();
        assert!(text.contains("Bitten\\u{1b}[2Jsor, known as finney: its TAO is worth money"), "{text}");
        assert_eq!(of([7; 32], Some("test")).unwrap().known_as(), None);
    }
}
