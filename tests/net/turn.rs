//! The loop itself: deadlines, fairness, spokes, stopping, metrics.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use byteleap::{
    machine::{Exit, Input, Link, Message, Output},
    net::{Connections, HttpOptions, Serve, WebSocketOptions},
    spoke::{self, Report},
    units::{Mono, Secret},
};
use crossbeam::channel::{self, Receiver, Sender, TryRecvError};
use tungstenite::{Message as Frame, WebSocket, client::IntoClientRequest};

use crate::daemon::{Daemon, Plan, Wish, admit_all, ask, axon, connect, response, workers};

const SHORT: Duration = Duration::from_millis(30);

fn metrics(daemon: &Daemon) -> String {
    let (status, _, body) = ask(*daemon.addresses.last().unwrap(), b"GET /metrics HTTP/1.1\r\n\r\n");
    assert_eq!(status, 200);
    String::from_utf8(body).unwrap()
}

#[test]
fn a_deadline_wakes_the_machine_once() {
    let daemon = Plan::default().start();
    daemon.wish(Wish::WakeAt(Mono(1)));
    assert!(matches!(daemon.next(), Input::Deadline));
    assert_eq!(daemon.stop(), Exit::Done);
}

enum Side {
    /// Sends without end until the other side is gone.
    Flood(WebSocket<TcpStream>, Receiver<()>),
    Modest(WebSocket<TcpStream>, Sender<()>),
}

impl Side {
    fn play(self) {
        match self {
            Side::Flood(mut client, other) => {
                client.get_ref().set_read_timeout(Some(Duration::from_millis(1))).unwrap();
                while other.try_recv() == Err(TryRecvError::Empty) {
                    (0..64).for_each(|_| client.write(Frame::text("flood")).unwrap());
                    client.flush().unwrap();
                    while client.read().is_ok() {}
                }
            }
            Side::Modest(mut client, _here) => {
                for round in 0..100 {
                    client.send(Frame::text(format!("round {round}"))).unwrap();
                    assert_eq!(client.read().unwrap(), Frame::text(format!("round {round}")));
                }
            }
        }
    }
}

#[test]
fn a_flooding_peer_does_not_starve_another() {
    let daemon = workers(WebSocketOptions::default());
    let join = || {
        let request = format!("ws://{}/", daemon.address()).into_client_request().unwrap();
        tungstenite::client(request, connect(daemon.address())).unwrap().0
    };
    let (here, other) = channel::bounded(0);
    let sides = vec![Side::Flood(join(), other), Side::Modest(join(), here)];
    spoke::in_parallel("side", sides, Side::play);
    assert_eq!(daemon.stop(), Exit::Done);
}

#[test]
fn stopping_flushes_what_was_sent() {
    let daemon = workers(WebSocketOptions::default());
    let request = format!("ws://{}/", daemon.address()).into_client_request().unwrap();
    let mut client = tungstenite::client(request, daemon.connect()).unwrap().0;
    let peer = daemon.opened();
    let text = "z".repeat(8 << 20);
    daemon.tell(Output::Send { peer, message: Message::Text(text.clone()) });
    daemon.wishes.send(Report::Stop);
    assert_eq!(client.read().unwrap(), Frame::text(text));
    assert_eq!(daemon.exit(), Exit::Done);
}

#[test]
fn a_stopping_daemon_takes_no_new_connections() {
    let daemon = axon(HttpOptions::default());
    daemon.wish(Wish::IgnoreStop);
    daemon.wishes.send(Report::Stop);
    assert!(matches!(daemon.next(), Input::Stop));
    assert!(TcpStream::connect(daemon.address()).is_err());
}

#[test]
fn a_second_stop_ends_at_once() {
    let daemon = Plan::default().start();
    daemon.wish(Wish::IgnoreStop);
    daemon.wishes.send(Report::Stop);
    assert!(matches!(daemon.next(), Input::Stop));
    assert!(matches!(daemon.stop(), Exit::Failed(text) if text.contains("second time")));
}

#[test]
fn a_machine_that_does_not_stop_is_ended() {
    let daemon = Plan { stop_timeout: SHORT, ..Plan::default() }.start();
    daemon.wish(Wish::IgnoreStop);
    assert!(matches!(daemon.stop(), Exit::Failed(text) if text == "did not stop within 30ms"));
}

#[test]
fn a_signal_stops_the_daemon() {
    let daemon = Plan { signals: true, ..Plan::default() }.start();
    daemon.wish(Wish::WakeAt(Mono(1)));
    assert!(matches!(daemon.next(), Input::Deadline), "it runs, so its signals are installed");
    signal_hook::low_level::raise(signal_hook::consts::SIGTERM).unwrap();
    assert_eq!(daemon.exit(), Exit::Done);
}

#[test]
fn the_machine_decides_how_it_ends() {
    let daemon = Plan::default().start();
    daemon.tell(Output::Exit(Exit::Config("no such wallet".into())));
    assert_eq!(daemon.exit(), Exit::Config("no such wallet".into()));
}

#[test]
fn spokes_serve_what_was_queued_before_they_are_joined() {
    let (served, seen) = channel::unbounded();
    let spokes: crate::daemon::Spokes = Box::new(move |outbox| {
        let (store, joined) = spoke::spawn("store", 8, outbox, move |command: &'static str| {
            served.send(command).unwrap();
            Wish::Echo(true)
        });
        (Box::new(move |command| store.send(command)), vec![joined])
    });
    let daemon = Plan { spokes, ..Plan::default() }.start();
    ["one", "two", "three"].into_iter().for_each(|command| daemon.tell(Output::Command(command)));
    assert_eq!(daemon.stop(), Exit::Done);
    assert_eq!(seen.iter().collect::<Vec<_>>(), ["one", "two", "three"]);
}

#[test]
fn a_spoke_that_dies_ends_the_daemon() {
    let spokes: crate::daemon::Spokes = Box::new(|outbox| {
        let (store, joined) = spoke::spawn("store", 8, outbox, |_: &'static str| panic!("as the test wants"));
        (Box::new(move |command| store.send(command)), vec![joined])
    });
    let daemon = Plan { spokes, ..Plan::default() }.start();
    daemon.tell(Output::Command("anything"));
    assert_eq!(daemon.exit(), Exit::Failed("spoke store died".into()));
}

#[test]
fn a_full_spoke_ends_the_daemon() {
    let (release, held) = channel::bounded::<()>(0);
    let spokes: crate::daemon::Spokes = Box::new(move |outbox| {
        let (store, joined) = spoke::spawn("store", 1, outbox, move |_: &'static str| {
            let _ = held.recv();
            Wish::Echo(true)
        });
        (Box::new(move |command| store.send(command)), vec![joined])
    });
    let daemon = Plan { spokes, stop_timeout: SHORT, ..Plan::default() }.start();
    (0..3).for_each(|_| daemon.tell(Output::Command("more")));
    let exit = daemon.exit();
    drop(release);
    assert_eq!(exit, Exit::Failed("spoke store has 1 requests waiting, which is its limit".into()));
}

#[test]
fn the_loop_serves_its_metrics_and_health() {
    let plan = Plan::default().listen(
        "127.0.0.1:0",
        Serve::WebSocket(Link::Workers, WebSocketOptions::default(), admit_all()),
        Connections { total: 1, per_source: 1, ..Connections::default() },
    );
    let daemon =
        plan.listen("127.0.0.1:0", Serve::Metrics(HttpOptions::default(), None), Connections::default()).start();
    let mut held = daemon.connect();
    let mut refused = daemon.connect();
    assert!(crate::daemon::is_ended(&mut refused));
    held.write_all(b"nonsense\r\n\r\n").unwrap();
    response(&mut held);
    let page = metrics(&daemon);
    for line in [
        "byteleap_connections_closed_total{link=\"workers\",reason=\"protocol\"} 1",
        "byteleap_connections_refused_total{listener=\"workers\",limit=\"connections\"} 1",
        "byteleap_received_bytes_total{link=\"workers\"} 12",
        "byteleap_connections{link=\"metrics\"} 1",
        "byteleap_wall_alarm 0",
    ] {
        assert!(page.contains(line), "{line} is not in\n{page}");
    }
    assert!(page.contains("byteleap_turn_seconds_count "));
    let address = *daemon.addresses.last().unwrap();
    assert_eq!(ask(address, b"GET /healthz HTTP/1.1\r\n\r\n").2, b"ok\n");
    assert_eq!(ask(address, b"GET /other HTTP/1.1\r\n\r\n").0, 404);
    assert_eq!(ask(address, b"PUT /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n").0, 405);
    assert!(daemon.heard.try_recv().is_err(), "the machine hears of none of it");
}

#[test]
fn with_a_token_the_operators_door_asks_for_it() {
    let serve = Serve::Metrics(HttpOptions::default(), Some(Secret::new("correct-horse-battery".into())));
    let daemon = Plan::default().listen("127.0.0.1:0", serve, Connections::default()).start();
    let address = daemon.addresses[0];
    let get = |path: &str, headers: &str| ask(address, format!("GET {path} HTTP/1.1\r\n{headers}\r\n").as_bytes());
    for path in ["/metrics", "/other"] {
        for wrong in ["", "Authorization: Bearer correct-horse\r\n", "Authorization: Basic correct-horse-battery\r\n"] {
            let (status, headers, body) = get(path, wrong);
            assert_eq!(status, 401, "{path} {wrong}");
            assert!(headers.to_ascii_lowercase().contains("www-authenticate: bearer"), "{headers}");
            assert!(String::from_utf8(body).unwrap().contains("metrics.token_file"));
        }
    }
    let right = "Authorization: Bearer correct-horse-battery\r\n";
    assert_eq!((get("/metrics", right).0, get("/other", right).0), (200, 404));
    assert_eq!(get("/healthz", "").0, 200, "that the loop turns is no secret");
}

#[test]
fn an_idle_daemon_with_connections_does_not_turn() {
    let serve = Serve::Http(Link::Axon, HttpOptions::default());
    let plan = Plan::default().listen("127.0.0.1:0", serve, Connections::default());
    let daemon =
        plan.listen("127.0.0.1:0", Serve::Metrics(HttpOptions::default(), None), Connections::default()).start();
    let clients: Vec<_> = (0..10).map(|_| connect(daemon.addresses[0])).collect();
    clients.iter().for_each(|_| {
        daemon.opened();
    });
    let turns = || {
        let page = metrics(&daemon);
        let line = page.lines().find(|line| line.starts_with("byteleap_turns_total")).unwrap();
        line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    let (before, after) = (turns(), turns());
    // One reading of the page is a connection from accept to its last event, and nothing else turned.
    assert!(after - before < 20, "{before} → {after}");
}

#[test]
fn a_large_exchange_in_small_pieces_is_the_same_exchange() {
    let daemon = axon(HttpOptions::default());
    let mut client = daemon.connect();
    let body: Vec<u8> = (0..100_000_u32).map(|number| number as u8).collect();
    let head = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n", body.len());
    for piece in [head.as_bytes(), &body].concat().chunks(997) {
        client.write_all(piece).unwrap();
    }
    assert_eq!(response(&mut client).2, body);
    client.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}
