//! `subtensor.*`: which nodes of the chain are asked.

use super::{
    form::{Form, text_of},
    yaml::Node,
};

/// The nodes to ask, in order of preference; never empty. Each is `http://` or `https://`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subtensor {
    /// As the operator named it.
    pub network: String,
    pub endpoints: Vec<String>,
}

const NETWORKS: [(&str, &str); 3] = [
    ("finney", "https://entrypoint-finney.opentensor.ai:443"),
    ("test", "https://test.finney.opentensor.ai:443"),
    ("local", "http://127.0.0.1:9944"),
];

/// More than any operator has; each costs a connection.
const MAX_ENDPOINTS: usize = 8;

pub fn read(form: &mut Form) -> Subtensor {
    let allowed = "finney, test, local, or the URL of a node (http, https, ws, wss)";
    let default = ("finney".to_owned(), NETWORKS[0].1.to_owned());
    let network = form.value("subtensor.network", Node::Text("finney".into()), allowed, network_of);
    let (network, node) = network.unwrap_or(default);
    let allowed = "a list of 1 to 8 URLs of nodes (http, https, ws, wss)";
    let endpoints = form.value("subtensor.endpoints", Node::Null, allowed, endpoints_of);
    Subtensor { network, endpoints: endpoints.unwrap_or_else(|| vec![node]) }
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
