//! The marketplace's link, plain and over TLS, against servers that the test's own thread plays: tungstenite over
//! rustls, with certificates of the test's own authority.

mod authority;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use byteleap::{
    machine::{Dial, Exit, Gone, Input, Link, Message, Output, TlsFault},
    net::{DialOptions, RootsFault, TlsClient, WebSocketOptions},
    units::PeerId,
    wire::limits,
};
use rustix::event::{PollFd, PollFlags, Timespec};
use tungstenite::{Error, Message as Frame, WebSocket};

use self::authority::{Authority, Secured, Server, Validity};
use crate::daemon::{Daemon, PATIENCE, Plan, Wish};

const SHORT: Duration = Duration::from_millis(300);
const NAME: &str = "hub.test";

/// A validator's loop, a port, and who answers there.
struct Stage {
    daemon: Daemon,
    listener: TcpListener,
    server: Server,
}

fn stage() -> Stage {
    let authority = Authority::new();
    let server = authority.server(&[NAME, "127.0.0.1"], Validity::Now);
    staged(&authority.client(), server, WebSocketOptions::default())
}

fn staged(client: &TlsClient, server: Server, websocket: WebSocketOptions) -> Stage {
    let dials = DialOptions { tls: client.clone(), websocket, ..DialOptions::default() };
    let daemon = Plan { dials, ..Plan::default() }.start();
    daemon.wish(Wish::Echo(false));
    Stage { daemon, listener: TcpListener::bind("127.0.0.1:0").unwrap(), server }
}

impl Stage {
    fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    fn dial(&self, tls: Option<&str>, timeout: Duration) -> PeerId {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let peer = PeerId::dialed(NEXT.fetch_add(1, Ordering::Relaxed));
        let (to, tls) = (self.address(), tls.map(str::to_owned));
        let dial = Dial::Marketplace { to, host: NAME.into(), path: "/ws/mesh".into(), tls, timeout };
        self.daemon.tell(Output::Dial { peer, dial });
        peer
    }

    fn accept(&self) -> TcpStream {
        // The standard library's listener waits for ever; the poll does not.
        let mut waiting = [PollFd::new(&self.listener, PollFlags::IN)];
        let patience = Timespec::try_from(PATIENCE).unwrap();
        assert_eq!(rustix::event::poll(&mut waiting, Some(&patience)).unwrap(), 1, "nobody dialed in time");
        let stream = self.listener.accept().unwrap().0;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// A connection with its upgrade done, from dial to both ends.
    fn talk(&self) -> (PeerId, WebSocket<Secured>) {
        let peer = self.dial(Some(NAME), PATIENCE);
        let server = tungstenite::accept(self.server.over(self.accept())).unwrap();
        let Input::Opened { peer: opened, link, remote } = self.daemon.next() else { panic!() };
        assert_eq!((opened, link, remote), (peer, Link::Marketplace, self.address()));
        (peer, server)
    }

    /// What the dial of `name` fails with, and what the server hears of it.
    fn refused(&self, name: &str) -> (TlsFault, String) {
        self.dial(Some(name), PATIENCE);
        let mut server = self.server.over(self.accept());
        let heard = server.conn.complete_io(&mut server.sock).and_then(|_| server.read(&mut [0])).unwrap_err();
        match self.daemon.dial_failed() {
            Gone::Tls(fault) => (fault, heard.to_string()),
            other => panic!("{other:?}"),
        }
    }
}

fn text(length: usize) -> String {
    "lease ".chars().cycle().take(length).collect()
}

#[test]
fn the_plain_link_carries_texts_both_ways_up_to_its_own_limit() {
    let stage = stage();
    let peer = stage.dial(None, PATIENCE);
    let mut server = tungstenite::accept(stage.accept()).unwrap();
    assert_eq!(stage.daemon.opened(), peer);
    let long = text(limits::MARKETPLACE_BYTES);
    server.send(Frame::text(long.clone())).unwrap();
    assert_eq!(stage.daemon.received(), Message::Text(long));
    stage.daemon.tell(Output::Send { peer, message: Message::Text("ack".into()) });
    assert_eq!(server.read().unwrap(), Frame::text("ack"));
    server.send(Frame::text(text(limits::MARKETPLACE_BYTES + 1))).unwrap();
    assert!(matches!(stage.daemon.closed(), Gone::Limit(_)));
}

#[test]
fn the_secured_link_carries_texts_both_ways_and_parts_in_order() {
    let stage = stage();
    let (peer, mut server) = stage.talk();
    let long = text(limits::MARKETPLACE_BYTES);
    server.send(Frame::text(long.clone())).unwrap();
    assert_eq!(stage.daemon.received(), Message::Text(long.clone()));
    stage.daemon.tell(Output::Send { peer, message: Message::Text(long.clone()) });
    assert_eq!(server.read().unwrap(), Frame::text(long));
    stage.daemon.tell(Output::Close { peer, code: 1001, reason: "stopping".into() });
    assert!(matches!(server.read().unwrap(), Frame::Close(Some(frame)) if frame.reason == "stopping"));
    assert!(matches!(server.read(), Err(Error::ConnectionClosed)));
    assert_eq!(stage.daemon.closed(), Gone::ByUs("stopping".into()));
    // TLS's own goodbye, without which this would be an unexpected end.
    assert_eq!(server.get_mut().read(&mut [0]).unwrap(), 0);
    assert_eq!(stage.daemon.stop(), Exit::Done);
}

#[test]
fn an_older_server_is_spoken_to_and_an_address_can_be_a_name() {
    let authority = Authority::new();
    let stage = staged(&authority.client(), authority.old_server(&["127.0.0.1"]), WebSocketOptions::default());
    stage.dial(Some("127.0.0.1"), PATIENCE);
    let mut server = tungstenite::accept(stage.server.over(stage.accept())).unwrap();
    stage.daemon.opened();
    server.send(Frame::text("hello")).unwrap();
    assert_eq!(stage.daemon.received(), Message::Text("hello".into()));
}

#[test]
fn what_comes_with_the_last_of_the_handshake_is_not_lost() {
    let stage = stage();
    let (_, mut server) = stage.talk();
    // Many small records in one go: more than one item of work reads.
    (0..2000).for_each(|number| server.write(Frame::text(number.to_string())).unwrap());
    server.flush().unwrap();
    for number in 0..2000 {
        assert_eq!(stage.daemon.received(), Message::Text(number.to_string()));
    }
}

#[test]
fn a_certificate_that_does_not_count_is_named_on_both_sides() {
    let authority = Authority::new();
    let met = |validity, client: &TlsClient, name: &str| {
        let server = authority.server(&[NAME], validity);
        staged(client, server, WebSocketOptions::default()).refused(name)
    };
    let (ours, name) = (authority.client(), || NAME.to_owned());
    let (fault, heard) = met(Validity::Past, &ours, NAME);
    assert_eq!(fault, TlsFault::Expired { name: name() });
    assert!(heard.contains("CertificateExpired"), "{heard}");
    assert_eq!(met(Validity::Future, &ours, NAME).0, TlsFault::NotYetValid { name: name() });
    let (fault, heard) = met(Validity::Now, &TlsClient::public(), NAME);
    assert_eq!(fault, TlsFault::UnknownIssuer { name: name() });
    assert!(heard.contains("UnknownCA"), "{heard}");
    assert_eq!(met(Validity::Now, &Authority::new().client(), NAME).0, TlsFault::UnknownIssuer { name: name() });
    let (fault, _) = met(Validity::Now, &ours, "other.test");
    let TlsFault::WrongName { name, told } = &fault else { panic!("{fault:?}") };
    assert!(name == "other.test" && told.contains(NAME), "{fault}");
    assert!(Gone::Tls(fault).to_string().contains("URL"));
}

#[test]
fn a_name_that_no_certificate_has_is_not_dialed() {
    let stage = stage();
    for name in ["", "hub test", "-", "a..b"] {
        stage.dial(Some(name), PATIENCE);
        assert_eq!(stage.daemon.dial_failed(), Gone::Tls(TlsFault::Name { name: name.into() }));
    }
}

#[test]
fn a_server_without_tls_is_told_apart() {
    let stage = stage();
    stage.dial(Some(NAME), PATIENCE);
    let mut server = stage.accept();
    server.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    assert_eq!(stage.daemon.dial_failed(), Gone::Tls(TlsFault::NotTls { name: NAME.into() }));
    drop(server);
}

#[test]
fn each_half_open_stage_times_out_by_its_name() {
    let stage = stage();
    stage.dial(Some(NAME), SHORT);
    let _silent = stage.accept();
    assert_eq!(stage.daemon.dial_failed(), Gone::Timeout("no TLS handshake within 300ms".into()));
    stage.dial(Some(NAME), Duration::from_secs(2));
    let mut server = stage.server.over(stage.accept());
    while server.conn.is_handshaking() {
        server.conn.complete_io(&mut server.sock).unwrap();
    }
    assert_eq!(stage.daemon.dial_failed(), Gone::Timeout("no upgrade within 2s".into()));
}

#[test]
fn a_handshake_that_is_cut_or_garbled_is_named() {
    let stage = stage();
    stage.dial(Some(NAME), PATIENCE);
    let mut hello = [0; 5];
    let mut server = stage.accept();
    server.read_exact(&mut hello).unwrap();
    server.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(stage.daemon.dial_failed(), Gone::Tls(TlsFault::Cut { name: NAME.into() }));
    stage.dial(Some(NAME), PATIENCE);
    // A handshake record that is no ServerHello.
    let mut server = stage.accept();
    server.write_all(&[0x16, 3, 3, 0, 4, 0x63, 0, 0, 0]).unwrap();
    assert!(matches!(stage.daemon.dial_failed(), Gone::Tls(TlsFault::Protocol { .. })));
}

#[test]
fn a_connection_that_ends_within_a_frame_is_a_loss() {
    let stage = stage();
    let (_, mut server) = stage.talk();
    let stream = server.get_mut();
    stream.write_all(&[0x81, 100, b'h', b'a', b'l', b'f']).unwrap();
    stream.flush().unwrap();
    stream.sock.shutdown(std::net::Shutdown::Both).unwrap();
    let gone = stage.daemon.closed();
    assert!(matches!(gone, Gone::ByPeer { code: 1006, .. }), "{gone:?}");
}

#[test]
fn a_record_that_was_tampered_with_ends_the_connection() {
    let stage = stage();
    let (_, mut server) = stage.talk();
    server.get_mut().sock.write_all(&[0x17, 3, 3, 0, 32]).unwrap();
    server.get_mut().sock.write_all(&[7; 32]).unwrap();
    let gone = stage.daemon.closed();
    assert!(matches!(&gone, Gone::Tls(TlsFault::Protocol { .. })), "{gone:?}");
    let heard = server.read().unwrap_err();
    assert!(heard.to_string().contains("BadRecordMac"), "{heard}");
}

#[test]
fn an_oversized_frame_is_refused_at_its_header() {
    let stage = stage();
    let (_, mut server) = stage.talk();
    let bytes = limits::MARKETPLACE_BYTES as u64 + 1;
    server.get_mut().write_all(&[&[0x81, 127][..], &bytes.to_be_bytes()].concat()).unwrap();
    server.get_mut().flush().unwrap();
    assert!(matches!(stage.daemon.closed(), Gone::Limit(_)));
    assert!(matches!(server.read().unwrap(), Frame::Close(Some(frame)) if u16::from(frame.code) == 1009));
}

#[test]
fn a_silent_hub_is_noticed() {
    let authority = Authority::new();
    let websocket = WebSocketOptions { ping_interval: SHORT / 3, ping_timeout: SHORT, ..WebSocketOptions::default() };
    let stage = staged(&authority.client(), authority.server(&[NAME], Validity::Now), websocket);
    let (_, mut server) = stage.talk();
    assert_eq!(stage.daemon.closed(), Gone::Timeout("no pong within 300ms".into()));
    assert!(matches!(server.read(), Ok(Frame::Ping(_))));
}

#[test]
fn a_hub_that_takes_none_of_our_bytes_hits_the_write_limit() {
    let stage = stage();
    let (peer, server) = stage.talk();
    let message = || Message::Text(text(limits::MARKETPLACE_BYTES));
    (0..4).for_each(|_| stage.daemon.tell(Output::Send { peer, message: message() }));
    assert!(matches!(stage.daemon.closed(), Gone::Limit(text) if text.contains("write buffer")));
    drop(server);
}

#[test]
fn files_of_authorities_that_name_none_are_refused_by_name() {
    assert!(matches!(TlsClient::with_authorities(b""), Err(RootsFault::Empty)));
    assert!(matches!(TlsClient::with_authorities(b"just text\n"), Err(RootsFault::Empty)));
    let cut = "-----BEGIN CERTIFICATE-----\nAAAA\n";
    assert!(matches!(TlsClient::with_authorities(cut.as_bytes()), Err(RootsFault::Pem(_))));
    let empty = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let both = format!("{}{empty}", Authority::new().pem());
    let fault = TlsClient::with_authorities(both.as_bytes()).unwrap_err();
    assert!(matches!(fault, RootsFault::Certificate { number: 2, .. }), "{fault}");
}

#[test]
fn a_reset_within_the_handshake_is_no_panic() {
    let stage = stage();
    stage.dial(Some(NAME), PATIENCE);
    // Closing with unread bytes resets the connection.
    let mut server = stage.accept();
    server.read_exact(&mut [0]).unwrap();
    drop(server);
    let gone = stage.daemon.dial_failed();
    assert!(matches!(&gone, Gone::Io(_) | Gone::Tls(TlsFault::Cut { .. })), "{gone:?}");
}
