//! Listeners: bound once, accepting with limits. Runs on the loop. A connection over a limit is closed at once and
//! counted; a system out of descriptors pauses the listener and not the loop.

use std::{
    collections::BTreeMap,
    io::{self, ErrorKind},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use mio::{
    Interest, Registry, Token,
    net::{TcpListener, TcpStream},
};
use rustix::{
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, bind, ipproto, listen, socket_with, sockopt},
};

use crate::{
    machine::Link,
    net::{Connections, NetError, Serve},
    units::{Mono, Secret},
};

/// Connections that the kernel keeps for us between two turns.
const BACKLOG: i32 = 1024;
/// How long a listener rests when the system has no descriptor or memory for another connection.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(500);
/// Such a pause is logged at most this often.
const EXHAUSTED_LOG_PAUSE: Duration = Duration::from_secs(60);

/// An open door: bound, not yet accepting.
pub struct Listener {
    pub(super) name: &'static str,
    pub(super) serve: Serve,
    /// `None` once closed.
    socket: Option<TcpListener>,
    address: SocketAddr,
    limits: Connections,
    held: BTreeMap<Source, usize>,
    total: usize,
    /// The backlog may hold more.
    pub(super) ready: bool,
    pub(super) paused_until: Option<Mono>,
    logged: Option<Mono>,
}

/// Who counts as one source: an IPv4 address, or an IPv6 network of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Source(IpAddr);

impl Source {
    fn of(address: IpAddr) -> Source {
        match address.to_canonical() {
            IpAddr::V6(six) => Source(IpAddr::V6((six.to_bits() & !u128::from(u64::MAX)).into())),
            four => Source(four),
        }
    }
}

/// What became of a look into the backlog.
pub(super) enum Accepted {
    Stream(TcpStream, SocketAddr),
    /// Over a limit, closed.
    Refused(&'static str),
    /// Nothing waits, or the listener rests.
    Nothing,
}

impl Listener {
    /// Opens `address`; port 0 takes a free one. The IPv6 wildcard serves IPv4 as well: a daemon has one address.
    pub fn bind(address: SocketAddr, serve: Serve, limits: Connections) -> Result<Listener, NetError> {
        let name = match &serve {
            Serve::Http(Link::Axon, _) => "axon",
            Serve::Http(Link::Chain, _) | Serve::Both(Link::Chain, ..) => "chain",
            Serve::Http(..) | Serve::Both(..) => "http",
            Serve::WebSocket(Link::Workers, ..) => "workers",
            Serve::WebSocket(..) => "websocket",
            Serve::Metrics(..) => "metrics",
        };
        let failed = |source| NetError::Listen { name, address, source };
        let socket = open(address).map_err(|errno| failed(errno.into()))?;
        let local = socket.local_addr().map_err(failed)?;
        Ok(Listener {
            name,
            serve,
            socket: Some(TcpListener::from_std(socket)),
            address: local,
            limits,
            held: BTreeMap::new(),
            total: 0,
            ready: true,
            paused_until: None,
            logged: None,
        })
    }

    /// What whoever asks on it must bear, all but the question whether it is alive.
    pub(super) fn token(&self) -> Option<&Secret> {
        if let Serve::Metrics(_, token) = &self.serve { token.as_ref() } else { None }
    }

    /// The address that it is bound to, with its real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.limits.held_bytes
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match &mut self.socket {
            Some(socket) => registry.register(socket, token, Interest::READABLE),
            None => Ok(()),
        }
    }

    /// Takes no new connections of the machine; metrics are served to the end.
    pub(super) fn close(&mut self) {
        if !matches!(self.serve, Serve::Metrics(..)) {
            self.socket = None;
            self.ready = false;
            self.paused_until = None;
        }
    }

    pub(super) fn accept(&mut self, now: Mono) -> Accepted {
        let Some(socket) = &self.socket else { return Accepted::Nothing };
        match socket.accept() {
            Ok((stream, remote)) => match self.admit(remote.ip()) {
                Ok(()) => Accepted::Stream(stream, SocketAddr::new(remote.ip().to_canonical(), remote.port())),
                Err(limit) => Accepted::Refused(limit),
            },
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.ready = false;
                Accepted::Nothing
            }
            Err(error) => {
                self.failed(now, &error);
                Accepted::Nothing
            }
        }
    }

    fn failed(&mut self, now: Mono, error: &io::Error) {
        // A peer that went before it was accepted is no reason to rest.
        if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted | ErrorKind::ConnectionReset) {
            return;
        }
        self.paused_until = Some(now + EXHAUSTED_PAUSE);
        if self.logged.is_none_or(|last| now.since(last) >= EXHAUSTED_LOG_PAUSE) {
            self.logged = Some(now);
            log::warn!(target: "net", "cannot accept on {} ({}): {error}; pausing {EXHAUSTED_PAUSE:?}", self.address, self.name);
        }
    }

    fn admit(&mut self, address: IpAddr) -> Result<(), &'static str> {
        if self.total >= self.limits.total {
            return Err("connections");
        }
        let held = self.held.entry(Source::of(address)).or_default();
        if *held >= self.limits.per_source {
            return Err("connections_per_source");
        }
        *held += 1;
        self.total += 1;
        Ok(())
    }

    /// Gives the place of a connection back.
    pub(super) fn release(&mut self, address: IpAddr) {
        let source = Source::of(address);
        if let Some(held) = self.held.get_mut(&source) {
            *held -= 1;
            self.total -= 1;
            if *held == 0 {
                self.held.remove(&source);
            }
        }
    }
}

fn open(address: SocketAddr) -> Result<std::net::TcpListener, Errno> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, !address.ip().is_unspecified())?;
    }
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::HttpOptions;

    fn listener(limits: Connections) -> Listener {
        let serve = Serve::Http(Link::Axon, HttpOptions::default());
        Listener::bind("127.0.0.1:0".parse().unwrap(), serve, limits).unwrap()
    }

    #[test]
    fn a_taken_port_is_named_with_its_door() {
        let first = listener(Connections::default());
        let again = Listener::bind(first.address(), first.serve.clone(), Connections::default());
        let text = again.err().map(|error| error.to_string());
        assert_eq!(
            text,
            Some(format!("cannot listen on {} (axon): address in use; `ss -tlnp` shows by whom", first.address()))
        );
    }

    #[test]
    fn places_are_counted_by_source_and_given_back() {
        let mut listener = listener(Connections { total: 3, per_source: 2, ..Connections::default() });
        let one: IpAddr = "192.0.2.1".parse().unwrap();
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        assert_eq!(listener.admit(one), Ok(()));
        assert_eq!(listener.admit(mapped), Ok(()));
        assert_eq!(listener.admit(one), Err("connections_per_source"));
        assert_eq!(listener.admit("2001:db8::1".parse().unwrap()), Ok(()));
        assert_eq!(listener.admit("192.0.2.2".parse().unwrap()), Err("connections"));
        listener.release(mapped);
        assert_eq!(listener.admit(one), Ok(()));
    }

    #[test]
    fn a_system_out_of_descriptors_pauses_the_door_and_a_vanished_peer_does_not() {
        let mut listener = listener(Connections::default());
        listener.failed(Mono(0), &ErrorKind::ConnectionAborted.into());
        assert_eq!(listener.paused_until, None);
        listener.failed(Mono(0), &Errno::MFILE.into());
        assert_eq!(listener.paused_until, Some(Mono(0) + EXHAUSTED_PAUSE));
    }

    #[test]
    fn a_closed_door_frees_its_port() {
        let mut first = listener(Connections::default());
        first.close();
        Listener::bind(first.address(), first.serve.clone(), Connections::default()).unwrap();
    }

    #[test]
    fn the_wildcard_of_ipv6_serves_both_families() {
        let serve = Serve::Http(Link::Axon, HttpOptions::default());
        let listener = Listener::bind("[::]:0".parse().unwrap(), serve, Connections::default()).unwrap();
        for host in ["127.0.0.1", "::1"] {
            std::net::TcpStream::connect((host, listener.address().port())).unwrap();
        }
    }

    #[test]
    fn an_ipv6_network_is_one_source() {
        let of = |text: &str| Source::of(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
    }
}
