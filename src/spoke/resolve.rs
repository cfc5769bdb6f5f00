//! The resolver: names to addresses, through the system's name service.
//!
//! Runs on: its own thread, `resolve`, because the system may take long to answer. It keeps no cache: the
//! system has one, and names move.

use std::net::ToSocketAddrs;

use crate::machine::contract::resolve::{ResolveReply, ResolveRequest};

/// Requests that may wait for the thread.
pub const DEPTH: usize = 2;
/// Addresses of one name that are worth trying.
const ADDRESSES_MAX: usize = 8;

pub fn serve(request: ResolveRequest) -> ResolveReply {
    let ResolveRequest { host, port } = request;
    let found = (host.as_str(), port).to_socket_addrs();
    let addresses = found.map_err(|why| format!("cannot resolve {host}: {why}")).map(|found| {
        let mut addresses = Vec::new();
        for address in found {
            if addresses.len() < ADDRESSES_MAX && !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        addresses
    });
    ResolveReply { addresses }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(host: &str) -> ResolveReply {
        serve(ResolveRequest { host: host.into(), port: 7799 })
    }

    #[test]
    fn an_address_needs_no_name_server() {
        assert_eq!(resolve("127.0.0.1").addresses, Ok(vec![([127, 0, 0, 1], 7799).into()]));
        assert_eq!(resolve("::1").addresses, Ok(vec!["[::1]:7799".parse().unwrap()]));
    }

    #[test]
    fn a_name_that_is_none_is_named_in_the_error() {
        let refused = resolve("no such host").addresses.unwrap_err();
        assert!(refused.starts_with("cannot resolve no such host: "), "{refused}");
    }
}
