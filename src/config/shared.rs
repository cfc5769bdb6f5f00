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

/// `metrics.listen`: where `/metrics` and `/healthz` answer; off by default.
pub fn metrics(form: &mut Form) -> Option<SocketAddr> {
    let allowed = "address:port, e.g. 127.0.0.1:9100 or [::1]:9100";
    form.value("metrics.listen", Node::Null, allowed, socket_of)
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
