//! HTTP/1.1, server side.

use std::{
    io::Write,
    net::{Shutdown, TcpStream},
    time::Duration,
};

use byteleap::{
    machine::{Exit, Gone, Input, Link, Message, Output},
    net::{Connections, HttpOptions, Serve},
};

use crate::daemon::{Daemon, Plan, Wish, ask, axon, connect, echo, is_ended, response};

const SHORT: Duration = Duration::from_millis(150);

fn plain() -> Daemon {
    axon(HttpOptions::default())
}

/// Sends bytes that are refused; checks status, and that the machine saw an end and no message.
fn refused(daemon: Daemon, bytes: &[u8]) -> (u16, Gone) {
    let mut client = daemon.connect();
    client.write_all(bytes).unwrap();
    let (status, head, body) = response(&mut client);
    assert!(head.contains("connection: close"));
    assert!(body.starts_with(b"{\"message\":"));
    daemon.opened();
    let gone = daemon.closed();
    assert!(is_ended(&mut client));
    assert_eq!(daemon.stop(), Exit::Done);
    (status, gone)
}

#[test]
fn a_kept_connection_serves_one_request_after_the_other() {
    let daemon = plain();
    let mut client = daemon.connect();
    for round in 0..3 {
        let body = format!("round {round}");
        client.write_all(format!("POST /a HTTP/1.1\r\nContent-Length: 7\r\n\r\n{body}").as_bytes()).unwrap();
        let (status, head, echoed) = response(&mut client);
        assert_eq!((status, echoed), (200, body.into_bytes()));
        assert!(head.contains("x-target: POST /a") && head.contains("connection: keep-alive"));
        assert!(head.contains("\r\ndate: "));
    }
    drop(client);
    daemon.opened();
    (0..3).for_each(|_| assert!(matches!(daemon.received(), Message::Request(_))));
    assert!(matches!(daemon.closed(), Gone::ByPeer { .. }));
    assert_eq!(daemon.stop(), Exit::Done);
}

#[test]
fn a_chunked_body_arrives_whole() {
    let daemon = plain();
    let bytes =
        b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    let (status, head, body) = ask(daemon.address(), bytes);
    assert_eq!((status, body.as_slice()), (200, &b"abcde"[..]));
    assert!(head.contains("connection: close"));
}

#[test]
fn pipelined_requests_are_answered_in_order_one_at_a_time() {
    let daemon = plain();
    daemon.wish(Wish::Echo(false));
    let mut client = daemon.connect();
    client.write_all(b"GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n").unwrap();
    let peer = daemon.opened();
    for target in ["/1", "/2"] {
        let Message::Request(request) = daemon.received() else { panic!() };
        assert_eq!(request.target, target);
        assert!(daemon.heard.try_recv().is_err(), "the next one waits for the answer");
        daemon.tell(Output::Send { peer, message: Message::Response(echo(&request)) });
        assert!(response(&mut client).1.contains(&format!("GET {target}")));
    }
}

#[test]
fn a_client_that_waits_for_100_is_told_to_continue() {
    let daemon = plain();
    let mut client = daemon.connect();
    client.write_all(b"POST /a HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n").unwrap();
    assert_eq!(response(&mut client).0, 100);
    client.write_all(b"hi").unwrap();
    assert_eq!(response(&mut client).2, b"hi");
}

#[test]
fn a_head_is_answered_without_a_body() {
    let daemon = plain();
    let mut client = daemon.connect();
    client.write_all(b"HEAD /1 HTTP/1.1\r\nContent-Length: 2\r\n\r\nhiGET /2 HTTP/1.1\r\n\r\n").unwrap();
    let head_only = |client: &mut TcpStream| {
        let mut head = vec![];
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            std::io::Read::read_exact(client, &mut byte).unwrap();
            head.push(byte[0]);
        }
        String::from_utf8(head).unwrap()
    };
    assert!(head_only(&mut client).contains("content-length: 2"));
    assert!(head_only(&mut client).contains("GET /2"));
}

#[test]
fn a_slow_head_times_out() {
    let daemon = axon(HttpOptions { header_timeout: SHORT, ..HttpOptions::default() });
    let (status, gone) = refused(daemon, b"POST /a HTTP/1.1\r\nContent-Le");
    assert_eq!(status, 408);
    assert_eq!(gone, Gone::Timeout("head not whole within 150ms".into()));
}

#[test]
fn a_paused_body_times_out() {
    let daemon = axon(HttpOptions { body_pause: SHORT, ..HttpOptions::default() });
    let (status, gone) = refused(daemon, b"POST /a HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc");
    assert_eq!(status, 408);
    assert_eq!(gone, Gone::Timeout("body paused for 150ms".into()));
}

#[test]
fn a_silent_and_an_idle_client_are_closed_without_a_word() {
    let daemon = axon(HttpOptions { header_timeout: SHORT, idle_timeout: SHORT, ..HttpOptions::default() });
    let mut silent = daemon.connect();
    daemon.opened();
    assert_eq!(daemon.closed(), Gone::Timeout("no request within 150ms".into()));
    assert!(is_ended(&mut silent));
    let mut idle = daemon.connect();
    idle.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    response(&mut idle);
    assert!(is_ended(&mut idle));
    daemon.opened();
    daemon.received();
    assert_eq!(daemon.closed(), Gone::Timeout("idle for 150ms".into()));
}

#[test]
fn an_answer_that_never_comes_is_a_503() {
    let daemon = axon(HttpOptions { answer_timeout: SHORT, ..HttpOptions::default() });
    daemon.wish(Wish::Echo(false));
    assert_eq!(ask(daemon.address(), b"GET / HTTP/1.1\r\n\r\n").0, 503);
}

#[test]
fn a_huge_head_is_a_431() {
    let bytes = [b"GET / HTTP/1.1\r\nX: ".to_vec(), vec![b'x'; 70_000]].concat();
    let (status, gone) = refused(plain(), &bytes);
    assert_eq!(status, 431);
    assert!(matches!(gone, Gone::Limit(_)));
}

#[test]
fn a_huge_body_is_a_413_even_while_it_is_being_sent() {
    let options = HttpOptions {
        body_bytes: |target| if target == "/ChallengeProofSynapse" { 1 << 21 } else { 1 << 20 },
        ..HttpOptions::default()
    };
    let sent = |target: &str| {
        let head = format!("POST {target} HTTP/1.1\r\nContent-Length: {}\r\n\r\n", 1 << 21);
        [head.into_bytes(), vec![b'x'; 1 << 21]].concat()
    };
    let (status, gone) = refused(axon(options), &sent("/TaskSynapse"));
    assert_eq!((status, gone), (413, Gone::Limit("body over 1048576 bytes".into())));
    let daemon = axon(options);
    assert_eq!(ask(daemon.address(), &sent("/ChallengeProofSynapse")).2.len(), 1 << 21);
}

#[test]
fn a_chunked_body_over_the_limit_is_a_413() {
    let bytes = [b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n100001\r\n".to_vec(), vec![b'x'; 100]].concat();
    assert_eq!(refused(plain(), &bytes).0, 413);
}

#[test]
fn a_post_without_length_is_a_411_and_noise_a_400() {
    assert_eq!(refused(plain(), b"POST / HTTP/1.1\r\n\r\n").0, 411);
    let (status, gone) = refused(plain(), b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
    assert_eq!(status, 400);
    assert!(matches!(gone, Gone::Protocol(_)));
    let smuggled = b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(refused(plain(), smuggled).0, 400);
}

#[test]
fn a_client_that_leaves_within_its_request_is_named() {
    let daemon = plain();
    let mut client = daemon.connect();
    client.write_all(b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc").unwrap();
    drop(client);
    daemon.opened();
    assert!(matches!(daemon.closed(), Gone::Protocol(_)));
}

#[test]
fn a_half_closed_client_gets_its_answer() {
    let daemon = plain();
    let mut client = daemon.connect();
    client.write_all(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(response(&mut client).2, b"abc");
    assert!(is_ended(&mut client));
}

#[test]
fn a_client_reset_while_it_waits_is_noticed() {
    let daemon = plain();
    daemon.wish(Wish::Echo(false));
    let mut client = daemon.connect();
    // A second answer that nobody reads makes the close of this end a reset.
    client.write_all(b"GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n").unwrap();
    let peer = daemon.opened();
    let Message::Request(request) = daemon.received() else { panic!() };
    daemon.tell(Output::Send { peer, message: Message::Response(echo(&request)) });
    daemon.received();
    drop(client);
    assert!(matches!(daemon.closed(), Gone::Io(_)));
}

#[test]
fn the_machine_may_close_after_its_answer() {
    let daemon = plain();
    daemon.wish(Wish::Echo(false));
    let mut client = daemon.connect();
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let peer = daemon.opened();
    let Message::Request(request) = daemon.received() else { panic!() };
    daemon.tell(Output::Send { peer, message: Message::Response(echo(&request)) });
    daemon.tell(Output::Close { peer, code: 0, reason: "enough".into() });
    daemon.tell(Output::Send { peer, message: Message::Text("to nobody".into()) });
    assert_eq!(response(&mut client).0, 200);
    assert!(is_ended(&mut client));
    assert_eq!(daemon.closed(), Gone::ByUs("enough".into()));
    assert_eq!(daemon.stop(), Exit::Done);
}

#[test]
fn connections_over_the_limits_are_closed_at_once() {
    let serve = Serve::Http(Link::Axon, HttpOptions::default());
    let limits = Connections { total: 8, per_source: 2, ..Connections::default() };
    let daemon = Plan::default().listen("127.0.0.1:0", serve, limits).start();
    let first = daemon.connect();
    let _second = daemon.connect();
    daemon.opened();
    daemon.opened();
    assert!(is_ended(&mut daemon.connect()));
    drop(first);
    daemon.closed();
    // The place is free once the loop has let go of the first.
    let served = (0..1000).any(|_| {
        let mut client = daemon.connect();
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").is_ok() && !is_ended(&mut client)
    });
    assert!(served);
}

#[test]
fn bodies_that_together_take_too_much_are_refused() {
    let serve = Serve::Http(Link::Axon, HttpOptions::default());
    let limits = Connections { held_bytes: 1_200_000, ..Connections::default() };
    let daemon = Plan::default().listen("127.0.0.1:0", serve, limits).start();
    let head = b"POST / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n";
    let half = [head.to_vec(), vec![b'x'; 700_000]].concat();
    let (mut first, mut second) = (daemon.connect(), daemon.connect());
    let halves = [&mut first, &mut second].map(|client| client.write_all(&half).is_ok());
    assert_eq!(halves, [true, true]);
    // Whichever exceeds the sum is refused; the other is served once it is whole.
    daemon.opened();
    daemon.opened();
    assert!(matches!(daemon.closed(), Gone::Limit(_)));
    let statuses = [first, second].map(|mut client| {
        let _ = client.write_all(&vec![b'x'; 300_000]);
        response(&mut client).0
    });
    assert!(statuses == [200, 503] || statuses == [503, 200], "{statuses:?}");
    assert_eq!(ask(daemon.address(), b"GET / HTTP/1.1\r\n\r\n").0, 200);
}

#[test]
fn both_families_and_several_doors_at_once() {
    let serve = Serve::Http(Link::Axon, HttpOptions::default());
    let plan = Plan::default().listen("127.0.0.1:0", serve.clone(), Connections::default());
    let daemon = plan.listen("[::1]:0", serve, Connections::default()).start();
    for address in daemon.addresses.clone() {
        assert_eq!(ask(address, b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n").0, 200);
        let Input::Opened { remote, link, .. } = daemon.next() else { panic!() };
        assert_eq!((remote.ip(), link), (address.ip(), Link::Axon));
        daemon.received();
        daemon.closed();
    }
}

#[test]
fn every_opened_connection_is_closed_once() {
    let daemon = axon(HttpOptions { header_timeout: SHORT, ..HttpOptions::default() });
    let ends: [&[u8]; 6] = [
        b"",
        b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc",
    ];
    for bytes in ends.iter().cycle().take(60) {
        let _ = connect(daemon.address()).write_all(bytes);
    }
    let mut open = std::collections::BTreeSet::new();
    let (mut opened, mut closed) = (0, 0);
    while closed < 60 {
        match daemon.next() {
            Input::Opened { peer, .. } => {
                opened += 1;
                assert!(open.insert(peer));
            }
            Input::Closed { peer, .. } => {
                closed += 1;
                assert!(open.remove(&peer));
            }
            Input::Received { peer, .. } => assert!(open.contains(&peer)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((opened, open.len()), (60, 0));
}
