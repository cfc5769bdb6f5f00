//! Connections that the machine dials, against daemons of the same kind and against bare listeners.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use byteleap::{
    machine::{Dial, Exit, Gone, Input, Link, Message, Output},
    net::{Connections, DialOptions, HttpOptions, Refusal, Serve, WebSocketOptions},
    units::{PeerId, Secret},
    wire::http::{Headers, Request},
};

use crate::daemon::{Daemon, PATIENCE, Plan, axon, workers};

const SHORT: Duration = Duration::from_millis(300);

/// Never reused: the connection before may linger.
fn fresh() -> PeerId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    PeerId::dialed(NEXT.fetch_add(1, Ordering::Relaxed))
}

fn request(body: &[u8]) -> Request {
    Request { method: "POST".into(), target: "/TaskSynapse".into(), headers: Headers::new(), body: body.to_vec() }
}

fn call(daemon: &Daemon, to: SocketAddr, body: &[u8], timeout: Duration) -> PeerId {
    let peer = fresh();
    daemon.tell(Output::Dial { peer, dial: Dial::Http { to, request: request(body), timeout } });
    peer
}

fn join(daemon: &Daemon, to: SocketAddr, token: &str, timeout: Duration) -> PeerId {
    let peer = fresh();
    let bearer = Some(Secret::new(token.into()));
    let dial = Dial::WebSocket { to, host: to.to_string(), path: "/".into(), bearer, timeout };
    daemon.tell(Output::Dial { peer, dial });
    peer
}

/// A bare listener of the test's own.
fn bare() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn accept(listener: &TcpListener) -> TcpStream {
    let stream = listener.accept().unwrap().0;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn idle() -> Daemon {
    Plan::default().start()
}

#[test]
fn a_request_is_answered_and_its_connection_closes() {
    let (miner, validator) = (idle(), axon(HttpOptions::default()));
    let body = vec![b'x'; 900_000];
    let peer = call(&miner, validator.address(), &body, PATIENCE);
    let Input::Opened { peer: opened, link, remote } = miner.next() else { panic!() };
    assert_eq!((opened, link, remote), (peer, Link::Validator, validator.address()));
    let Message::Response(response) = miner.received() else { panic!() };
    assert_eq!((response.status, response.body), (200, body));
    assert_eq!(miner.closed(), Gone::ByUs("answered".into()));
    validator.opened();
    let Message::Request(request) = validator.received() else { panic!() };
    assert_eq!(request.headers.get("host"), Some(validator.address().to_string().as_str()));
    validator.closed();
    assert_eq!(miner.stop(), Exit::Done);
}

#[test]
fn nobody_at_the_port_is_a_failed_dial() {
    let daemon = idle();
    let (listener, address) = bare();
    drop(listener);
    call(&daemon, address, b"", PATIENCE);
    assert!(matches!(daemon.dial_failed(), Gone::Io(text) if text.contains("refused")));
    join(&daemon, address, "", PATIENCE);
    assert!(matches!(daemon.dial_failed(), Gone::Io(_)));
    assert_eq!(daemon.stop(), Exit::Done);
}

#[test]
fn a_validator_that_never_answers_times_out() {
    let daemon = idle();
    let (_listener, address) = bare();
    call(&daemon, address, b"", SHORT);
    daemon.opened();
    assert_eq!(daemon.closed(), Gone::Timeout("no whole answer within 300ms".into()));
}

#[test]
fn a_miner_that_never_upgrades_times_out() {
    let daemon = idle();
    let (_listener, address) = bare();
    join(&daemon, address, "", SHORT);
    assert_eq!(daemon.dial_failed(), Gone::Timeout("no upgrade within 300ms".into()));
}

#[test]
fn a_cancelled_request_ends_at_once() {
    let daemon = idle();
    let (listener, address) = bare();
    let peer = call(&daemon, address, b"", PATIENCE);
    daemon.opened();
    daemon.tell(Output::Close { peer, code: 0, reason: "no longer needed".into() });
    assert_eq!(daemon.closed(), Gone::ByUs("no longer needed".into()));
    let mut said = vec![];
    let _ = accept(&listener).read_to_end(&mut said);
}

#[test]
fn answers_that_are_none_have_their_reasons() {
    let dials = DialOptions { answer_body_bytes: 1000, ..DialOptions::default() };
    let daemon = Plan { dials, ..Plan::default() }.start();
    let (listener, address) = bare();
    let answered = |bytes: &[u8]| {
        call(&daemon, address, b"", PATIENCE);
        let mut server = accept(&listener);
        let mut head = [0; 4];
        server.read_exact(&mut head).unwrap();
        server.write_all(bytes).unwrap();
        drop(server);
        daemon.opened();
        daemon.closed()
    };
    assert!(matches!(answered(b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n"), Gone::Limit(_)));
    assert!(matches!(answered(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), Gone::Protocol(_)));
    assert!(matches!(answered(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"), Gone::Protocol(_) | Gone::Io(_)));
    assert!(matches!(answered(b""), Gone::ByPeer { .. } | Gone::Io(_)));
}

#[test]
fn an_early_answer_to_a_large_request_is_heard() {
    let (miner, validator) = (idle(), axon(HttpOptions::default()));
    call(&miner, validator.address(), &vec![b'x'; 8 << 20], PATIENCE);
    miner.opened();
    let Message::Response(response) = miner.received() else { panic!() };
    assert_eq!(response.status, 413);
    miner.closed();
}

#[test]
fn worker_and_miner_talk_and_part() {
    let (worker, miner) = (idle(), workers(WebSocketOptions::default()));
    let peer = join(&worker, miner.address(), "", PATIENCE);
    let Input::Opened { link, .. } = worker.next() else { panic!() };
    assert_eq!(link, Link::Miner);
    worker.wish(crate::daemon::Wish::Echo(false));
    let text = "y".repeat(3 << 20);
    worker.tell(Output::Send { peer, message: Message::Text(text.clone()) });
    assert_eq!(worker.received(), Message::Text(text));
    worker.tell(Output::Close { peer, code: 1001, reason: "stopping".into() });
    assert_eq!(worker.closed(), Gone::ByUs("stopping".into()));
    miner.opened();
    miner.received();
    assert_eq!(miner.closed(), Gone::ByPeer { code: 1001, reason: "stopping".into() });
}

#[test]
fn a_refused_upgrade_says_why() {
    let admission: byteleap::net::Admission = Arc::new(|_, headers| match headers.get("authorization") {
        Some("Bearer right") => Ok(()),
        _ => Err(Refusal { status: 401, text: "wrong token".into() }),
    });
    let serve = Serve::WebSocket(Link::Workers, WebSocketOptions::default(), admission);
    let miner = Plan::default().listen("127.0.0.1:0", serve, Connections::default()).start();
    let worker = idle();
    join(&worker, miner.address(), "wrong", PATIENCE);
    let refused = worker.dial_failed();
    assert_eq!(refused, Gone::Protocol(r#"upgrade refused: 401 {"message":"wrong token"}"#.into()));
    join(&worker, miner.address(), "right", PATIENCE);
    worker.opened();
    miner.opened();
}

#[test]
fn a_dial_under_an_id_in_use_fails() {
    let daemon = idle();
    let (_listener, address) = bare();
    let peer = call(&daemon, address, b"", PATIENCE);
    daemon.opened();
    daemon.tell(Output::Dial { peer, dial: Dial::Http { to: address, request: request(b""), timeout: PATIENCE } });
    assert!(matches!(daemon.dial_failed(), Gone::Io(text) if text.contains("in use")));
}
