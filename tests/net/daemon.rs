//! One running loop and the test's hands on it.

#![expect(clippy::disallowed_methods, reason = "the loop under test needs a thread of its own")]

use std::{
    collections::VecDeque,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use byteleap::{
    machine::{Exit, Gone, Input, Link, Machine, Message, Output},
    metrics::{Metric, Page},
    net::{Admission, Connections, DialOptions, HttpOptions, Hub, Listener, Serve, Setup, WebSocketOptions, run},
    spoke::{Full, Outbox, Report, Spoke},
    units::{Mono, Now, PeerId},
    wire::http::{Headers, Request, Response},
};
use crossbeam::channel::{Receiver, Sender, unbounded};

/// Longest wait of a test that is about to fail.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What the test tells the machine.
pub enum Wish {
    Do(Output<&'static str>),
    /// Be woken once this has passed.
    WakeAt(Mono),
    /// Whether requests and texts are answered at once; they are at first.
    Echo(bool),
    /// Say nothing when asked to stop; `Exit::Done` at first.
    IgnoreStop,
}

/// Answers each request and text with itself, and tells the test what it heard.
struct Echo {
    heard: Sender<Input<Wish>>,
    outputs: VecDeque<Output<&'static str>>,
    deadline: Option<Mono>,
    echo: bool,
    ignore_stop: bool,
}

/// A response that says what the request was.
pub fn echo(request: &Request) -> Response {
    let mut headers = Headers::new();
    headers.push("x-target", format!("{} {}", request.method, request.target));
    Response { status: 200, headers, body: request.body.clone() }
}

impl Machine for Echo {
    type Command = &'static str;
    type Event = Wish;

    fn handle(&mut self, _now: Now, input: Input<Wish>) {
        match &input {
            Input::Received { peer, message: Message::Request(request), .. } if self.echo => {
                let message = Message::Response(echo(request));
                self.outputs.push_back(Output::Send { peer: *peer, message });
            }
            Input::Received { peer, message: Message::Text(text), .. } if self.echo => {
                self.outputs.push_back(Output::Send { peer: *peer, message: Message::Text(text.clone()) });
            }
            Input::Deadline => self.deadline = None,
            Input::Stop if !self.ignore_stop => self.outputs.push_back(Output::Exit(Exit::Done)),
            _ => {}
        }
        match input {
            Input::Event(Wish::Do(output)) => self.outputs.push_back(output),
            Input::Event(Wish::WakeAt(at)) => self.deadline = Some(at),
            Input::Event(Wish::Echo(echo)) => self.echo = echo,
            Input::Event(Wish::IgnoreStop) => self.ignore_stop = true,
            told => self.heard.send(told).unwrap(),
        }
    }

    fn poll(&mut self) -> Option<Output<&'static str>> {
        self.outputs.pop_front()
    }

    fn deadline(&self) -> Option<Mono> {
        self.deadline
    }

    fn observe(&self, page: &mut Page) {
        page.set(Metric::WallAlarm, &[], 0.0);
    }
}

/// A loop on its own thread.
pub struct Daemon {
    pub addresses: Vec<SocketAddr>,
    pub heard: Receiver<Input<Wish>>,
    pub wishes: Outbox<Wish>,
    ended: Receiver<Exit>,
    thread: JoinHandle<()>,
}

type Dispatch = Box<dyn FnMut(&'static str) -> Result<(), Full> + Send>;

/// Makes the spokes and the way to them.
pub type Spokes = Box<dyn FnOnce(&Outbox<Wish>) -> (Dispatch, Vec<Spoke>)>;

/// How to make one.
pub struct Plan {
    pub listeners: Vec<Listener>,
    pub dials: DialOptions,
    pub stop_timeout: Duration,
    pub signals: bool,
    pub spokes: Spokes,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            listeners: vec![],
            dials: DialOptions::default(),
            stop_timeout: PATIENCE,
            signals: false,
            spokes: Box::new(|_| (Box::new(|_| Ok(())), vec![])),
        }
    }
}

impl Plan {
    pub fn listen(mut self, address: &str, serve: Serve, limits: Connections) -> Plan {
        self.listeners.push(Listener::bind(address.parse().unwrap(), serve, limits).unwrap());
        self
    }

    pub fn start(self) -> Daemon {
        let (heard, machine_heard) = unbounded();
        let (ended, machine_ended) = unbounded();
        let hub = Hub::new(64).unwrap();
        let wishes = hub.outbox();
        let addresses = self.listeners.iter().map(Listener::address).collect();
        let (dispatch, spokes) = (self.spokes)(&wishes);
        let (listeners, dials, stop_timeout, signals) = (self.listeners, self.dials, self.stop_timeout, self.signals);
        let machine = Echo { heard, outputs: VecDeque::new(), deadline: None, echo: true, ignore_stop: false };
        let thread = thread::spawn(move || {
            let setup = Setup { hub, listeners, dials, dispatch, spokes, stop_timeout, signals };
            ended.send(run(machine, setup).unwrap()).unwrap();
        });
        Daemon { addresses, heard: machine_heard, wishes, ended: machine_ended, thread }
    }
}

/// An HTTP daemon on loopback.
pub fn axon(options: HttpOptions) -> Daemon {
    Plan::default().listen("127.0.0.1:0", Serve::Http(Link::Axon, options), Connections::default()).start()
}

/// A WebSocket daemon on loopback that admits everybody.
pub fn workers(options: WebSocketOptions) -> Daemon {
    let serve = Serve::WebSocket(Link::Workers, options, admit_all());
    Plan::default().listen("127.0.0.1:0", serve, Connections::default()).start()
}

pub fn admit_all() -> Admission {
    Arc::new(|_, _| Ok(()))
}

impl Daemon {
    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    pub fn connect(&self) -> TcpStream {
        connect(self.address())
    }

    pub fn wish(&self, wish: Wish) {
        self.wishes.send(Report::Event(wish));
    }

    pub fn tell(&self, output: Output<&'static str>) {
        self.wish(Wish::Do(output));
    }

    pub fn next(&self) -> Input<Wish> {
        self.heard.recv_timeout(PATIENCE).expect("the machine hears something")
    }

    pub fn opened(&self) -> PeerId {
        match self.next() {
            Input::Opened { peer, .. } => peer,
            other => panic!("{other:?}"),
        }
    }

    pub fn received(&self) -> Message {
        match self.next() {
            Input::Received { message, .. } => message,
            other => panic!("{other:?}"),
        }
    }

    pub fn closed(&self) -> Gone {
        match self.next() {
            Input::Closed { reason, .. } => reason,
            other => panic!("{other:?}"),
        }
    }

    pub fn dial_failed(&self) -> Gone {
        match self.next() {
            Input::DialFailed { reason, .. } => reason,
            other => panic!("{other:?}"),
        }
    }

    /// Waits for the end.
    pub fn exit(self) -> Exit {
        let exit = self.ended.recv_timeout(PATIENCE).expect("the loop ends");
        self.thread.join().unwrap();
        exit
    }

    /// Asks it to stop and waits for the end.
    pub fn stop(self) -> Exit {
        self.wishes.send(Report::Stop);
        self.exit()
    }
}

impl std::fmt::Debug for Wish {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wish")
    }
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Reads one HTTP response with a Content-Length: (status, headers as text, body).
pub fn response(stream: &mut TcpStream) -> (u16, String, Vec<u8>) {
    let mut head = vec![];
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a response");
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    (status, head, body)
}

/// One request on a connection of its own.
pub fn ask(address: SocketAddr, request: &[u8]) -> (u16, String, Vec<u8>) {
    let mut stream = connect(address);
    stream.write_all(request).unwrap();
    response(&mut stream)
}

/// Whether the peer ended the connection, orderly or by a reset.
pub fn is_ended(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}
