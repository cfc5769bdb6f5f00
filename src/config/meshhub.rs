//! `meshhub.*`: the compute marketplace that leases are heard from. Off without `meshhub.ws_url`.

use std::time::Duration;

use super::{
    form::{Form, text_of},
    gpu_matrix::texts_of,
    named_file::{self, NamedFile},
    shared::DAY_S,
    yaml::Node,
};
use crate::units::{Hotkey, Secret};

#[derive(Clone, Debug, PartialEq)]
pub struct MeshHub {
    pub url: HubUrl,
    pub token_file: NamedFile,
    /// The only hub that will do.
    pub server_hotkey: Option<Hotkey>,
    /// Authorities beside the public ones.
    pub ca_file: Option<NamedFile>,
    pub capabilities: Vec<String>,
    pub reconnect_delay: Duration,
    pub heartbeat_interval: Duration,
    /// Between two reports of the workers.
    pub report_interval: Duration,
    /// Whether it may change settings.
    pub takes_configuration: bool,
}

/// `ws://host[:port][/path]`, or `wss://`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubUrl {
    /// A name or an address, without brackets.
    pub host: String,
    pub port: u16,
    /// Starts with `/`.
    pub path: String,
    pub tls: bool,
}

pub const TOKEN_KEY: &str = "meshhub.access_token_file";
pub const CA_KEY: &str = "meshhub.ca_file";

pub fn read(form: &mut Form) -> Option<MeshHub> {
    let allowed = "ws://host:port/path or wss://host:port/path";
    let url = form.value("meshhub.ws_url", Node::Null, allowed, |node| url_of(&text_of(node)?));
    inline_token(form);
    let token_file = named_file::read(form, TOKEN_KEY);
    let hotkey = "the hub's hotkey (SS58), or null";
    let server_hotkey = form.value("meshhub.server_hotkey", Node::Null, hotkey, |node| text_of(node)?.parse().ok());
    let ca_file = named_file::read(form, CA_KEY);
    let default = ["hardware_inspection", "challenge_validation"].map(|text| Node::Text(text.into()));
    let given = form.value("meshhub.capabilities", Node::List(default.into()), "a list of texts", texts_of);
    let capabilities = given.unwrap_or_else(|| vec!["hardware_inspection".into(), "challenge_validation".into()]);
    let reconnect_delay = form.seconds("meshhub.reconnect_delay_seconds", 30, 0.1..=DAY_S);
    let heartbeat_interval = form.seconds("meshhub.heartbeat_interval_seconds", 60, 1.0..=DAY_S);
    let report_interval = form.seconds("meshhub.resource_report_interval_seconds", 90, 1.0..=DAY_S);
    let words = [("accept", true), ("refuse", false)];
    let takes_configuration = form.word("meshhub.configuration", "accept", &words).unwrap_or(false);
    let url = url?;
    form.relation(
        token_file.is_some(),
        TOKEN_KEY,
        "meshhub.ws_url",
        "a path or credential:NAME, where meshhub.ws_url is set",
    );
    if !url.tls && !is_local(&url.host) {
        let text = "ws:// sends the access token in clear, and anybody on the way can say what is leased; use wss://";
        form.warn("meshhub.ws_url", text);
    }
    Some(MeshHub {
        url,
        token_file: token_file?,
        server_hotkey,
        ca_file,
        capabilities,
        reconnect_delay,
        heartbeat_interval,
        report_interval,
        takes_configuration,
    })
}

/// The token itself is refused, and never quoted.
fn inline_token(form: &mut Form) {
    let path = "meshhub.access_token";
    let empty = |node: &Node| matches!(node, Node::Text(text) if text.is_empty()).then_some(());
    form.secret(path, "left out: put the token into a file and name it in meshhub.access_token_file", empty);
}

fn is_local(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn url_of(text: &str) -> Option<HubUrl> {
    let (rest, tls) = match text.strip_prefix("wss://") {
        Some(rest) => (rest, true),
        None => (text.strip_prefix("ws://")?, false),
    };
    let (authority, path) = rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash));
    let (host, port) = match authority.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']')?,
        None => authority.find(':').map_or((authority, ""), |colon| authority.split_at(colon)),
    };
    let port = match port.strip_prefix(':') {
        Some(port) => port.parse().ok()?,
        None if port.is_empty() => {
            if tls {
                443
            } else {
                80
            }
        }
        None => return None,
    };
    let plain = |text: &str| text.chars().all(|c| c.is_ascii_graphic() && !"@#\"<>\\".contains(c));
    let good = !host.is_empty() && host.len() <= 253 && plain(host) && plain(path) && port != 0;
    good.then(|| HubUrl { host: host.into(), port, path: path.into(), tls })
}

/// An access token as files hold it: one line of visible ASCII characters.
pub fn access_token_of(text: &str) -> Option<Secret> {
    let token = text.trim();
    let fits = (1..=4096).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then(|| Secret::new(token.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_have_a_host_a_port_and_a_path() {
        let url = |text| url_of(text).map(|url| (url.host, url.port, url.path, url.tls));
        assert_eq!(url("wss://hub.example"), Some(("hub.example".into(), 443, "/".into(), true)));
        assert_eq!(url("ws://127.0.0.1:9510/ws/mesh"), Some(("127.0.0.1".into(), 9510, "/ws/mesh".into(), false)));
        assert_eq!(url("wss://[::1]:1/x"), Some(("::1".into(), 1, "/x".into(), true)));
        for text in
            ["", "hub.example", "https://hub.example", "wss://", "wss://a:0", "ws://a:x", "ws://u@a", "ws://[::1"]
        {
            assert_eq!(url(text), None, "{text}");
        }
    }

    #[test]
    fn a_token_is_one_line() {
        let token = |text| access_token_of(text).map(|token| token.reveal().to_owned());
        assert_eq!(token(" test-token\n"), Some("test-token".into()));
        assert_eq!((token(""), token("two words"), token("a\nb")), (None, None, None));
    }
}
