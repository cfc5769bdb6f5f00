//! Names to addresses. An address needs no name server and comes back as it is.

use std::net::SocketAddr;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolveRequest {
    /// A name or an address, without brackets.
    pub host: String,
    pub port: u16,
}

/// The addresses in the order in which to try them, at least one; or why there are none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolveReply {
    pub addresses: Result<Vec<SocketAddr>, String>,
}
