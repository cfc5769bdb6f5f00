//! WebSocket, server side: against `tungstenite`'s own blocking client and against raw bytes.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
    time::Duration,
};

use byteleap::{
    machine::{Exit, Gone, Link, Message, Output},
    net::{Admission, Connections, Refusal, Serve, WebSocketOptions},
};
use tungstenite::{Message as Frame, WebSocket, client::IntoClientRequest, protocol::CloseFrame};

use crate::daemon::{Daemon, Plan, ask, connect, is_ended, response, workers};

const SHORT: Duration = Duration::from_millis(30);
const UPGRADE: &[u8] = b"GET / HTTP/1.1\r\nHost: m\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";

type Client = WebSocket<TcpStream>;

fn join(daemon: &Daemon) -> Client {
    let request = format!("ws://{}/", daemon.address()).into_client_request().unwrap();
    tungstenite::client(request, daemon.connect()).unwrap().0
}

/// A client of raw bytes behind a finished upgrade.
fn raw(daemon: &Daemon) -> TcpStream {
    let mut stream = daemon.connect();
    stream.write_all(UPGRADE).unwrap();
    let (status, head, _) = response(&mut stream);
    assert_eq!(status, 101);
    assert!(!head.to_lowercase().contains("extensions"));
    stream
}

fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    assert!(payload.len() < 126);
    [&[0x80 | opcode, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat()
}

/// The code of the close frame that ends what the server says.
fn close_code(stream: &mut TcpStream) -> u16 {
    let mut said = vec![];
    let _ = stream.read_to_end(&mut said);
    let at = said.iter().position(|byte| *byte == 0x88).expect("a close frame");
    u16::from_be_bytes([said[at + 2], said[at + 3]])
}

#[test]
fn texts_go_round_small_and_large() {
    let daemon = workers(WebSocketOptions::default());
    let mut client = join(&daemon);
    for text in ["register".to_owned(), "é".repeat(700_000), String::new(), "after".to_owned()] {
        client.send(Frame::text(text.clone())).unwrap();
        assert_eq!(client.read().unwrap(), Frame::text(text));
    }
    daemon.opened();
    assert_eq!(daemon.received(), Message::Text("register".into()));
}

#[test]
fn the_close_code_of_the_worker_reaches_the_machine() {
    let daemon = workers(WebSocketOptions::default());
    let mut client = join(&daemon);
    daemon.opened();
    client.close(Some(CloseFrame { code: 1001.into(), reason: "going away".into() })).unwrap();
    assert_eq!(daemon.closed(), Gone::ByPeer { code: 1001, reason: "going away".into() });
    assert!(matches!(client.read(), Ok(Frame::Close(Some(_)))));
    assert!(client.read().is_err());
}

#[test]
fn the_close_code_of_the_machine_reaches_the_worker() {
    let daemon = workers(WebSocketOptions::default());
    let mut client = join(&daemon);
    let peer = daemon.opened();
    daemon.tell(Output::Send { peer, message: Message::Text("last words".into()) });
    daemon.tell(Output::Close { peer, code: 4003, reason: "miner full (100 of 100)".into() });
    assert_eq!(client.read().unwrap(), Frame::text("last words"));
    let Ok(Frame::Close(Some(frame))) = client.read() else { panic!() };
    assert_eq!((u16::from(frame.code), frame.reason.as_str()), (4003, "miner full (100 of 100)"));
    let _ = client.flush();
    assert_eq!(daemon.closed(), Gone::ByUs("miner full (100 of 100)".into()));
}

#[test]
fn a_worker_that_does_not_answer_our_close_is_let_go() {
    let daemon = workers(WebSocketOptions { close_timeout: SHORT, ..WebSocketOptions::default() });
    let mut client = raw(&daemon);
    let peer = daemon.opened();
    daemon.tell(Output::Close { peer, code: 4000, reason: "no registration".into() });
    assert_eq!(daemon.closed(), Gone::ByUs("no registration".into()));
    assert_eq!(close_code(&mut client), 4000);
}

#[test]
fn a_worker_that_answers_pings_stays_and_one_that_does_not_is_dropped() {
    let options = WebSocketOptions { ping_interval: SHORT, ping_timeout: SHORT * 60, ..WebSocketOptions::default() };
    let daemon = workers(options);
    let mut client = join(&daemon);
    daemon.opened();
    for _ in 0..3 {
        assert!(matches!(client.read().unwrap(), Frame::Ping(_)));
    }
    client.send(Frame::text("alive")).unwrap();
    assert_eq!(daemon.received(), Message::Text("alive".into()));
    // From here on it reads nothing and so answers nothing.
    assert_eq!(daemon.closed(), Gone::Timeout(format!("no pong within {:?}", SHORT * 60)));
}

#[test]
fn an_oversize_message_ends_with_1009() {
    let daemon = workers(WebSocketOptions { message_bytes: 1000, ..WebSocketOptions::default() });
    let mut client = raw(&daemon);
    client.write_all(&[&[0x81, 0xfe, 0x03, 0xe9, 0, 0, 0, 0][..], &[b'x'; 1001]].concat()).unwrap();
    assert_eq!(close_code(&mut client), 1009);
    daemon.opened();
    assert_eq!(daemon.closed(), Gone::Limit("message of 1001 bytes over the limit of 1000".into()));
}

#[test]
fn frames_that_break_the_protocol_have_their_code() {
    let daemon = workers(WebSocketOptions::default());
    for (bytes, code) in [
        (masked(2, b"\xff\xfe"), 1003),
        (masked(1, b"\xff\xfe"), 1007),
        (b"\x81\x02hi".to_vec(), 1002),
        (masked(3, b"reserved"), 1002),
        (masked(0, b"continues nothing"), 1002),
    ] {
        let mut client = raw(&daemon);
        client.write_all(&bytes).unwrap();
        assert_eq!(close_code(&mut client), code);
        daemon.opened();
        assert!(matches!(daemon.closed(), Gone::Protocol(_)));
    }
}

#[test]
fn a_text_in_a_binary_message_is_a_text() {
    let daemon = workers(WebSocketOptions::default());
    let mut client = raw(&daemon);
    client.write_all(&masked(2, b"{}")).unwrap();
    daemon.opened();
    assert_eq!(daemon.received(), Message::Text("{}".into()));
}

#[test]
fn a_worker_that_vanishes_is_a_1006() {
    let daemon = workers(WebSocketOptions::default());
    drop(raw(&daemon));
    daemon.opened();
    assert!(matches!(daemon.closed(), Gone::ByPeer { code: 1006, .. }));
}

#[test]
fn fragments_and_bytes_behind_the_upgrade_are_understood() {
    let daemon = workers(WebSocketOptions::default());
    let mut client = daemon.connect();
    let mut bytes = UPGRADE.to_vec();
    bytes.extend([0x01, 0x82, 0, 0, 0, 0, b'a', b'b']);
    bytes.extend(masked(9, b"ping between"));
    bytes.extend(masked(0, b"cd"));
    client.write_all(&bytes).unwrap();
    daemon.opened();
    assert_eq!(daemon.received(), Message::Text("abcd".into()));
}

#[test]
fn an_upgrade_without_the_token_is_a_401_that_the_machine_never_sees() {
    let admission: Admission = Arc::new(|source, headers| {
        assert!(source.is_loopback());
        match headers.get("authorization") {
            Some("Bearer t0ken") => Ok(()),
            _ => Err(Refusal { status: 401, text: "a bearer token is needed".into() }),
        }
    });
    let serve = Serve::WebSocket(Link::Workers, WebSocketOptions::default(), admission);
    let daemon = Plan::default().listen("127.0.0.1:0", serve, Connections::default()).start();
    let (status, _, body) = ask(daemon.address(), UPGRADE);
    assert_eq!((status, body.as_slice()), (401, &br#"{"message":"a bearer token is needed"}"#[..]));
    let mut request = format!("ws://{}/", daemon.address()).into_client_request().unwrap();
    request.headers_mut().insert("Authorization", "Bearer t0ken".parse().unwrap());
    tungstenite::client(request, daemon.connect()).unwrap();
    daemon.opened();
    assert!(matches!(daemon.closed(), Gone::ByPeer { .. }));
}

#[test]
fn what_is_no_upgrade_is_told_what_this_port_is() {
    let daemon = workers(WebSocketOptions { handshake_timeout: SHORT, ..WebSocketOptions::default() });
    assert_eq!(ask(daemon.address(), b"GET / HTTP/1.1\r\n\r\n").0, 426);
    assert_eq!(ask(daemon.address(), b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n").0, 413);
    assert_eq!(ask(daemon.address(), b"\x16\x03\x01").0, 400);
    assert!(is_ended(&mut connect(daemon.address())), "no upgrade in time");
    assert_eq!(daemon.stop(), Exit::Done);
}

#[test]
fn a_worker_that_pings_without_reading_waits_for_itself() {
    let daemon = workers(WebSocketOptions { write_buffer_bytes: 1 << 16, ..WebSocketOptions::default() });
    let mut client = raw(&daemon);
    daemon.opened();
    let pings = masked(9, &[b'p'; 125]).repeat(1000);
    client.set_write_timeout(Some(SHORT * 10)).unwrap();
    let is_blocked = (0..1000).any(|_| client.write_all(&pings).is_err());
    assert!(is_blocked, "the loop stops reading once its pongs wait");
}

#[test]
fn a_worker_that_reads_nothing_fills_its_buffer_and_is_dropped() {
    let daemon = workers(WebSocketOptions { write_buffer_bytes: 1 << 20, ..WebSocketOptions::default() });
    let mut client = raw(&daemon);
    let peer = daemon.opened();
    let text = "x".repeat(1 << 20);
    // The kernel's own buffers take a few MiB before ours fills.
    let gone = (0..200).find_map(|_| {
        daemon.tell(Output::Send { peer, message: Message::Text(text.clone()) });
        daemon.heard.try_recv().ok()
    });
    let gone = gone.unwrap_or_else(|| daemon.next());
    assert!(
        matches!(&gone, byteleap::machine::Input::Closed { reason: Gone::Limit(text), .. }
        if text == "write buffer of 1048576 bytes is full"),
        "{gone:?}"
    );
    let mut said = vec![];
    let _ = client.read_to_end(&mut said);
}
