//! HTTP/1.1 and WebSocket behind one port, on real sockets.

use std::{io::Write, time::Duration};

use byteleap::{
    machine::{Exit, Gone, Input, Link, Message, Output},
    net::{Connections, HttpOptions, Serve, WebSocketOptions},
};
use tungstenite::{Message as Frame, client::IntoClientRequest};

use crate::daemon::{Daemon, Plan, ask, is_ended, response};

const SHORT: Duration = Duration::from_millis(150);

fn node(http: HttpOptions, websocket: WebSocketOptions) -> Daemon {
    let serve = Serve::Both(Link::Chain, http, websocket);
    Plan::default().listen("127.0.0.1:0", serve, Connections::default()).start()
}

fn join(daemon: &Daemon) -> tungstenite::WebSocket<std::net::TcpStream> {
    let request = format!("ws://{}/", daemon.address()).into_client_request().unwrap();
    tungstenite::client(request, daemon.connect()).unwrap().0
}

#[test]
fn one_port_serves_requests_and_texts() {
    let daemon = node(HttpOptions::default(), WebSocketOptions::default());
    let (status, _, body) = ask(daemon.address(), b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}");
    assert_eq!((status, body.as_slice()), (200, &b"{}"[..]));
    let mut client = join(&daemon);
    for text in ["head".to_owned(), "é".repeat(700_000)] {
        client.send(Frame::text(text.clone())).unwrap();
        assert_eq!(client.read().unwrap(), Frame::text(text));
    }
    assert_eq!(daemon.stop(), Exit::Done);
}

#[test]
fn the_machine_hears_of_one_connection_and_may_push_texts_after_the_upgrade() {
    let daemon = node(HttpOptions::default(), WebSocketOptions::default());
    let mut client = join(&daemon);
    let peer = daemon.opened();
    daemon.tell(Output::Send { peer, message: Message::Text("news".into()) });
    assert_eq!(client.read().unwrap(), Frame::text("news"));
    client.send(Frame::text("thanks")).unwrap();
    assert_eq!(daemon.received(), Message::Text("thanks".into()));
    client.close(None).unwrap();
    assert!(matches!(daemon.closed(), Gone::ByPeer { .. }));
}

#[test]
fn each_kind_keeps_its_deadline() {
    let http = HttpOptions { header_timeout: SHORT, ..HttpOptions::default() };
    let websocket = WebSocketOptions { ping_interval: SHORT, ping_timeout: SHORT, ..WebSocketOptions::default() };
    let daemon = node(http, websocket);
    let mut slow = daemon.connect();
    slow.write_all(b"GET / HTTP/1.1\r\nUpgrade: webs").unwrap();
    assert_eq!(response(&mut slow).0, 408);
    daemon.opened();
    assert_eq!(daemon.closed(), Gone::Timeout("head not whole within 150ms".into()));
    // An upgraded client that reads nothing answers no ping.
    let _silent = join(&daemon);
    daemon.opened();
    assert_eq!(daemon.closed(), Gone::Timeout("no pong within 150ms".into()));
}

#[test]
fn each_kind_keeps_its_limit() {
    let http = HttpOptions { body_bytes: |_| 1000, ..HttpOptions::default() };
    let websocket = WebSocketOptions { message_bytes: 2000, ..WebSocketOptions::default() };
    let daemon = node(http, websocket);
    assert_eq!(ask(daemon.address(), b"POST / HTTP/1.1\r\nContent-Length: 1001\r\n\r\n").0, 413);
    daemon.opened();
    daemon.closed();
    let mut client = join(&daemon);
    daemon.opened();
    client.send(Frame::text("x".repeat(2000))).unwrap();
    assert!(matches!(daemon.received(), Message::Text(_)));
    let _ = client.send(Frame::text("x".repeat(2001)));
    assert_eq!(daemon.closed(), Gone::Limit("message of 2001 bytes over the limit of 2000".into()));
}

#[test]
fn a_reader_that_takes_no_news_is_closed_and_an_upgrade_that_is_none_is_told_so() {
    let daemon = node(HttpOptions::default(), WebSocketOptions { write_buffer_bytes: 1 << 20, ..Default::default() });
    let client = join(&daemon);
    let peer = daemon.opened();
    let news = "x".repeat(1 << 20);
    let gone = (0..200).find_map(|_| {
        daemon.tell(Output::Send { peer, message: Message::Text(news.clone()) });
        daemon.heard.try_recv().ok()
    });
    let Input::Closed { reason, .. } = gone.unwrap_or_else(|| daemon.next()) else { panic!("it is closed") };
    assert_eq!(reason, Gone::Limit("write buffer of 1048576 bytes is full".into()));
    drop(client);
    let mut client = daemon.connect();
    client.write_all(b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n\r\n").unwrap();
    assert_eq!(response(&mut client).0, 426);
    assert!(is_ended(&mut client));
}
