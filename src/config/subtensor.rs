//! `subtensor.*`: which nodes of which chain are asked, how often, and what is kept of it.

use std::{path::PathBuf, time::Duration};

use super::{
    form::{Form, number_of, text_of},
    yaml::Node,
};
use crate::units::FINNEY_GENESIS;

/// The nodes to ask, in order of preference; never empty. Each is `http://` or `https://`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subtensor {
    /// As the operator named it, or finney when nothing was named at all; `None` with endpoints alone, which may be of
    /// any chain.
    pub network: Option<String>,
    pub endpoints: Vec<String>,
    /// Of the one chain that is spoken with; `None`: of the first that answers.
    pub genesis: Option<[u8; 32]>,
    /// Between two requests to one node; `None`: as the node's address suggests.
    pub request_interval: Option<Duration>,
    pub metadata_cache: CachePlace,
}

/// Where metadata is kept between two starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CachePlace {
    /// Where the service manager or the user's environment has caches.
    Usual,
    /// As written; a leading `~` stands for the home directory.
    Directory(PathBuf),
    Nowhere,
}

const NETWORKS: [(&str, &str); 3] = [
    ("finney", "https://entrypoint-finney.opentensor.ai:443"),
    ("test", "https://test.finney.opentensor.ai:443"),
    ("local", "http://127.0.0.1:9944"),
];

/// More than any operator has; each costs a connection.
const MAX_ENDPOINTS: usize = 8;

/// Longer waits would eat the time that a whole call has.
const MAX_REQUEST_INTERVAL_S: f64 = 10.0;

pub fn read(form: &mut Form) -> Subtensor {
    let allowed = "finney, test, local, or the URL of a node (http, https, ws, wss)";
    let default = ("finney".to_owned(), NETWORKS[0].1.to_owned());
    let network = form.value("subtensor.network", Node::Text("finney".into()), allowed, network_of);
    let (network, node) = network.unwrap_or(default);
    let allowed = "a list of 1 to 8 URLs of nodes (http, https, ws, wss)";
    let endpoints = form.value("subtensor.endpoints", Node::Null, allowed, endpoints_of);
    // Endpoints alone may be of any chain; the network's own node, or its name beside them, says which.
    let network = Some(network).filter(|_| endpoints.is_none() || form.is_set("subtensor.network"));
    let is_finney = network.as_deref() == Some("finney");
    Subtensor {
        network,
        genesis: genesis(form).or(is_finney.then_some(FINNEY_GENESIS)),
        endpoints: endpoints.unwrap_or_else(|| vec![node]),
        request_interval: request_interval(form),
        metadata_cache: metadata_cache(form),
    }
}

fn genesis(form: &mut Form) -> Option<[u8; 32]> {
    let allowed = "the hash of the chain's first block: 0x and 64 hex digits";
    form.value("subtensor.genesis", Node::Null, allowed, |node| hash_of(&text_of(node)?))
}

fn hash_of(text: &str) -> Option<[u8; 32]> {
    hex::decode(text.strip_prefix("0x")?).ok()?.try_into().ok()
}

fn request_interval(form: &mut Form) -> Option<Duration> {
    let allowed = "seconds from 0 to 10";
    form.value("subtensor.request_interval", Node::Null, allowed, |node| {
        let seconds = number_of(node).filter(|seconds| (0.0..=MAX_REQUEST_INTERVAL_S).contains(seconds))?;
        Some(Duration::from_secs_f64(seconds))
    })
}

fn metadata_cache(form: &mut Form) -> CachePlace {
    let allowed = "a directory, or false to keep nothing";
    let place = form.value("subtensor.metadata_cache", Node::Null, allowed, |node| match node {
        Node::Bool(false) => Some(CachePlace::Nowhere),
        node => text_of(node).map(|text| CachePlace::Directory(text.into())),
    });
    place.unwrap_or(CachePlace::Usual)
}

fn network_of(node: &Node) -> Option<(String, String)> {
    let text = text_of(node)?;
    if let Some((name, url)) = NETWORKS.iter().find(|(name, _)| *name == text) {
        return Some(((*name).to_owned(), (*url).to_owned()));
    }
    let url = node_url(&text)?;
    Some((text, url))
}

fn endpoints_of(node: &Node) -> Option<Vec<String>> {
    let Node::List(items) = node else { return None };
    if items.is_empty() || items.len() > MAX_ENDPOINTS {
        return None;
    }
    items.iter().map(|item| node_url(&text_of(item)?)).collect()
}

/// A node answers HTTP and WebSocket on one port, and ours speaks HTTP: `ws` becomes `http`, `wss` `https`.
fn node_url(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let scheme = match scheme {
        "http" | "ws" => "http",
        "https" | "wss" => "https",
        _ => return None,
    };
    let host = rest.split('/').next().unwrap_or_default();
    let plain = !host.is_empty() && !rest.contains(|c: char| c.is_whitespace() || c.is_control() || c == '@');
    plain.then(|| format!("{scheme}://{rest}"))
}
