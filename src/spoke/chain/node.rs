//! A node's address: how logs call it, and how often it may be asked unless configured.

use std::{net::IpAddr, time::Duration};

/// What public nodes allow.
const PUBLIC_INTERVAL: Duration = Duration::from_secs(1);

pub struct Node {
    pub url: String,
    /// Without path, query and login: paths and queries of paid endpoints hold keys.
    pub label: String,
    /// Between two requests to it.
    pub interval: Duration,
}

impl Node {
    pub fn new(url: String) -> Node {
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", &url));
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        let interval = if is_near(host) { Duration::ZERO } else { PUBLIC_INTERVAL };
        Node { label: format!("{scheme}://{host}"), url, interval }
    }
}

/// Whether a host is this one, or in a private network. A name says so when it has one part alone, as in a network of
/// containers; where others lead is not known before they are asked.
fn is_near(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    match name.parse::<IpAddr>() {
        Ok(address) => private(address),
        Err(_) => !name.contains('.') || name.ends_with(".localhost"),
    }
}

fn private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_an_url_is_not_logged() {
        let label = |url: &str| Node::new(url.into()).label;
        assert_eq!(label("https://user:pass@node.example:443/v1/secret?key=1"), "https://node.example:443");
        assert_eq!(label("http://127.0.0.1:9944"), "http://127.0.0.1:9944");
    }

    #[test]
    fn a_public_node_is_asked_once_a_second_and_an_own_one_at_will() {
        let interval_s = |url: &str| Node::new(url.into()).interval.as_secs();
        for public in ["https://entrypoint-finney.opentensor.ai:443", "http://8.8.8.8:9944", "http://[2001:db8::1]:1"] {
            assert_eq!(interval_s(public), 1, "{public}");
        }
        for near in [
            "http://127.0.0.1:9944",
            "http://localhost:9944/x",
            "http://[::1]:9944",
            "http://10.1.2.3",
            "http://node:9944",
        ] {
            assert_eq!(interval_s(near), 0, "{near}");
        }
    }
}
