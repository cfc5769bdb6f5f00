//! Keys that several roles have in common and that need no type of their own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::{
    form::{Form, text_of},
    named_file::{self, NamedFile},
    yaml::Node,
};
use crate::units::{Netuid, Secret};

/// A day: the longest interval that makes sense for anything that repeats.
pub const DAY_S: f64 = 86_400.0;

/// Every interface.
pub const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

pub fn netuid(form: &mut Form) -> Netuid {
    Netuid(form.whole("netuid", 128, 0..=u16::MAX))
}

pub fn port(form: &mut Form, path: &'static str, default: u16) -> u16 {
    form.whole(path, default, 1..=u16::MAX)
}

/// The door for operators: `/metrics`, `/status`, `/readyz` and `/healthz`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    pub listen: SocketAddr,
    /// A file with the token that all but `/healthz` asks for. Always there where `listen` is not of loopback.
    pub token_file: Option<NamedFile>,
}

const METRICS: &str = "metrics.listen";
/// The key of [`Metrics::token_file`].
pub const METRICS_TOKEN: &str = "metrics.token_file";

/// `metrics`: off by default. What it tells of a fleet is its operator's: beyond loopback it asks for a token.
pub fn metrics(form: &mut Form) -> Option<Metrics> {
    let allowed = "address:port, e.g. 127.0.0.1:9100 or [::1]:9100";
    let listen = form.value(METRICS, Node::Null, allowed, socket_of);
    let token_file = token_file(form, METRICS_TOKEN);
    let apart = listen.is_none_or(|at| at.ip().to_canonical().is_loopback());
    let remedies = "an address of loopback (127.0.0.1:PORT, [::1]:PORT); or this one with metrics.token_file, a file with \
                    the token that whoever reads it must bear";
    form.relation(apart || token_file.is_some(), METRICS, METRICS_TOKEN, remedies);
    Some(Metrics { listen: listen?, token_file })
}

pub fn socket_of(node: &Node) -> Option<SocketAddr> {
    let address: SocketAddr = text_of(node)?.parse().ok()?;
    (address.port() != 0).then_some(address)
}

/// A file with a token, and never the token itself.
pub fn token_file(form: &mut Form, path: &'static str) -> Option<NamedFile> {
    named_file::read(form, path)
}

/// A token as files hold it: one line of 16 to 512 visible ASCII characters, so that it fits a header.
pub fn token_of(text: &str) -> Option<Secret> {
    let token = text.trim();
    let fits = (16..=512).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then(|| Secret::new(token.to_owned()))
}
