//! All connections: their table, who has work, whose deadline is next. Runs on the loop; reads no clock itself.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io,
    net::SocketAddr,
};

use mio::{Interest, Registry, Token, event::Event, net::TcpStream};

use crate::{
    machine::{Dial, Gone, Link, Message},
    net::{
        DialOptions, Serve, WebSocketOptions,
        counters::LoopCounters,
        dual_server::DualServer,
        http_client::HttpClient,
        http_server::HttpServer,
        peer::{Door, Happened, Peer, Worked},
        protocol::Protocol,
        transport::Transport,
        ws_client::{Target, WsClient},
        ws_server::WsServer,
    },
    units::{Mono, Now, PeerId},
    wire::limits,
};

/// Most bytes that one item of work reads.
const READ_BYTES: usize = 64 * 1024;

/// A message up to this is never refused for what others hold.
const LARGE_BYTES: usize = 64 * 1024;

pub(super) struct Peers {
    registry: Registry,
    options: DialOptions,
    table: BTreeMap<PeerId, Peer>,
    /// Peers with work, each once.
    queue: VecDeque<PeerId>,
    /// By deadline.
    timers: BTreeSet<(Mono, PeerId)>,
    /// Reports that no item of work has delivered yet.
    reports: VecDeque<Report>,
    /// By listener: bytes of messages that are not whole yet, and how many there may be.
    held: BTreeMap<usize, Held>,
    /// Listeners whose place is free again.
    released: Vec<(usize, SocketAddr)>,
    accepted: u64,
    scratch: Vec<u8>,
}

#[derive(Debug)]
struct Held {
    bytes: usize,
    limit_bytes: usize,
}

/// Something that happened to a peer.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) peer: PeerId,
    pub(super) door: Door,
    pub(super) remote: SocketAddr,
    pub(super) happened: Happened,
}

impl Peers {
    pub(super) fn new(registry: Registry, options: DialOptions) -> Peers {
        Peers {
            registry,
            options,
            table: BTreeMap::new(),
            queue: VecDeque::new(),
            timers: BTreeSet::new(),
            reports: VecDeque::new(),
            held: BTreeMap::new(),
            released: Vec::new(),
            accepted: 0,
            scratch: vec![0; READ_BYTES],
        }
    }

    /// The connections of that listener may hold so much of messages that are not whole.
    pub(super) fn limit_held(&mut self, listener: usize, limit_bytes: usize) {
        self.held.insert(listener, Held { bytes: 0, limit_bytes });
    }

    /// Takes a connection that a listener accepted.
    pub(super) fn accept(
        &mut self,
        now: Now,
        listener: usize,
        serve: &Serve,
        mut stream: TcpStream,
        remote: SocketAddr,
    ) -> io::Result<()> {
        let id = PeerId::accepted(self.accepted);
        self.accepted += 1;
        let (door, protocol): (Door, Box<dyn Protocol>) = match serve {
            Serve::Http(link, options) => (Door::Machine(*link), Box::new(HttpServer::new(*options))),
            Serve::Both(link, http, websocket) => (Door::Machine(*link), Box::new(DualServer::new(*http, *websocket))),
            Serve::Metrics(options, _) => (Door::Metrics, Box::new(HttpServer::new(*options))),
            Serve::WebSocket(link, options, admission) => {
                (Door::Machine(*link), Box::new(WsServer::new(now, *options, admission.clone(), remote.ip())))
            }
        };
        stream.set_nodelay(true)?;
        self.register(id, &mut stream)?;
        let transport = Transport::new(stream, true);
        self.insert(id, Peer::accepted(door, remote, listener, protocol, transport, now));
        Ok(())
    }

    /// Dials as the machine asked. Fails later, by a report, when it fails.
    pub(super) fn dial(&mut self, now: Now, id: PeerId, dial: Dial) {
        let (link, to, tls) = match &dial {
            Dial::WebSocket { to, .. } => (Link::Miner, *to, None),
            Dial::Marketplace { to, tls, .. } => (Link::Marketplace, *to, tls.as_deref()),
            Dial::Http { to, .. } => (Link::Validator, *to, None),
        };
        match self.connect(id, to, tls) {
            Ok(transport) => {
                let protocol = self.client(now, dial);
                self.insert(id, Peer::dialed(link, to, protocol, transport));
            }
            Err(reason) => {
                let happened = Happened::Gone { reason, opened: false };
                self.reports.push_back(Report { peer: id, door: Door::Machine(link), remote: to, happened });
            }
        }
    }

    fn client(&self, now: Now, dial: Dial) -> Box<dyn Protocol> {
        match dial {
            Dial::WebSocket { host, path, bearer, timeout, .. } => {
                let target = Target { host, path, bearer };
                Box::new(WsClient::new(now, target, timeout, self.options.websocket))
            }
            Dial::Marketplace { host, path, timeout, .. } => {
                let target = Target { host, path, bearer: None };
                let bytes = limits::MARKETPLACE_BYTES;
                let options =
                    WebSocketOptions { message_bytes: bytes, write_buffer_bytes: bytes, ..self.options.websocket };
                Box::new(WsClient::new(now, target, timeout, options))
            }
            Dial::Http { to, request, timeout } => Box::new(HttpClient::new(now, to, request, timeout, &self.options)),
        }
    }

    fn connect(&self, id: PeerId, to: SocketAddr, tls: Option<&str>) -> Result<Transport, Gone> {
        if self.table.contains_key(&id) {
            return Err(Gone::Io(format!("peer id {id} is in use")));
        }
        let tls = tls.map(|name| self.options.tls.start(name)).transpose().map_err(Gone::Tls)?;
        let stream = self.stream(id, to).map_err(|error| Gone::Io(error.to_string()))?;
        Ok(match tls {
            Some(tls) => Transport::secured(stream, tls),
            None => Transport::new(stream, false),
        })
    }

    fn stream(&self, id: PeerId, to: SocketAddr) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(to)?;
        stream.set_nodelay(true)?;
        self.register(id, &mut stream)?;
        Ok(stream)
    }

    fn register(&self, id: PeerId, stream: &mut TcpStream) -> io::Result<()> {
        self.registry.register(stream, token(id), Interest::READABLE | Interest::WRITABLE)
    }

    fn insert(&mut self, id: PeerId, peer: Peer) {
        self.table.insert(id, peer);
        self.enqueue(id);
        self.set_timer(id);
    }

    fn enqueue(&mut self, id: PeerId) {
        if let Some(peer) = self.table.get_mut(&id)
            && !std::mem::replace(&mut peer.queued, true)
        {
            self.queue.push_back(id);
        }
    }

    /// Readiness from the poll.
    pub(super) fn ready(&mut self, event: &Event) {
        let id = PeerId::from_u64(event.token().0 as u64);
        if let Some(peer) = self.table.get_mut(&id) {
            peer.transport().note(event);
            self.enqueue(id);
        }
    }

    /// A message for a peer; dropped when that is gone.
    pub(super) fn send(&mut self, now: Now, id: PeerId, message: Message, counters: &mut LoopCounters) {
        if let Some(peer) = self.table.get_mut(&id) {
            let worked = peer.send(now, message);
            self.after(id, worked, counters);
            self.enqueue(id);
        }
    }

    pub(super) fn close(&mut self, now: Now, id: PeerId, code: u16, reason: String) {
        if let Some(peer) = self.table.get_mut(&id) {
            peer.close(now, code, reason);
            self.enqueue(id);
            self.set_timer(id);
        }
    }

    pub(super) fn has_work(&self) -> bool {
        !self.queue.is_empty() || !self.reports.is_empty()
    }

    /// One item of work, of the peer that waits longest. `false` when nobody has work.
    pub(super) fn work(&mut self, now: Now, counters: &mut LoopCounters) -> bool {
        let Some(id) = self.queue.pop_front() else { return false };
        let Some(peer) = self.table.get_mut(&id) else { return true };
        peer.queued = false;
        let worked = peer.work(now, &mut self.scratch);
        let again = worked.happened.is_some() || peer.has_work();
        let again = count_held(&mut self.held, now, peer) || again;
        self.after(id, worked, counters);
        if again {
            self.enqueue(id);
        }
        true
    }

    /// One item of work for each peer that has some now.
    pub(super) fn work_round(&mut self, now: Now, counters: &mut LoopCounters) {
        (0..self.queue.len()).for_each(|_| {
            self.work(now, counters);
        });
    }

    /// Lets the peers whose deadline has passed act on it; at most `most` of them.
    pub(super) fn expire(&mut self, now: Now, most: usize, counters: &mut LoopCounters) {
        for _ in 0..most {
            let Some(&(due, id)) = self.timers.first() else { return };
            if due > now.mono {
                return;
            }
            self.timers.remove(&(due, id));
            if let Some(peer) = self.table.get_mut(&id) {
                peer.timer = None;
                let happened = peer.expire(now);
                self.after(id, Worked { happened, ..Worked::default() }, counters);
                self.enqueue(id);
            }
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Mono> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// The oldest thing that happened and was not handed over yet.
    pub(super) fn report(&mut self, counters: &mut LoopCounters) -> Option<Report> {
        let report = self.reports.pop_front()?;
        match &report.happened {
            Happened::Opened => counters.opened(report.door),
            Happened::Received { .. } => {}
            Happened::Gone { reason, opened } => {
                log::debug!(target: "net", "{} {} ended: {reason}", report.peer, report.remote);
                counters.gone(report.door, reason, *opened, report.peer.is_dialed());
            }
        }
        Some(report)
    }

    /// Places of listeners that became free.
    pub(super) fn released(&mut self) -> impl Iterator<Item = (usize, SocketAddr)> {
        self.released.drain(..)
    }

    /// Every connection ends without a report; what waits is still sent.
    pub(super) fn abandon(&mut self, now: Now) {
        let all: Vec<PeerId> = self.table.keys().copied().collect();
        for id in all {
            if let Some(peer) = self.table.get_mut(&id) {
                peer.abandon(now);
            }
            self.enqueue(id);
            self.set_timer(id);
        }
        self.reports.clear();
    }

    /// Whether a peer has not been sent everything yet.
    pub(super) fn has_waiting(&self) -> bool {
        self.table.values().any(Peer::has_waiting)
    }

    /// Takes in what came of a touch: counts, report, timer; forgets a peer that is over.
    fn after(&mut self, id: PeerId, worked: Worked, counters: &mut LoopCounters) {
        let Some(peer) = self.table.get_mut(&id) else { return };
        counters.moved(peer.door, worked.bytes_in, worked.bytes_out);
        if let Some(happened) = worked.happened {
            self.reports.push_back(Report { peer: id, door: peer.door, remote: peer.remote, happened });
        }
        if peer.is_over() {
            self.forget(id);
        } else {
            self.set_timer(id);
        }
    }

    fn forget(&mut self, id: PeerId) {
        if let Some(mut peer) = self.table.remove(&id) {
            if let Some(held) = peer.listener.and_then(|listener| self.held.get_mut(&listener)) {
                held.bytes -= peer.held_bytes;
            }
            peer.timer.take().map(|due| self.timers.remove(&(due, id)));
            // Closing the descriptor would do it too; this keeps mio's own books.
            let _ = self.registry.deregister(peer.transport().stream());
            self.released.extend(peer.listener.map(|listener| (listener, peer.remote)));
        }
    }

    fn set_timer(&mut self, id: PeerId) {
        let Some(peer) = self.table.get_mut(&id) else { return };
        let wanted = peer.deadline();
        if wanted == peer.timer {
            return;
        }
        if let Some(due) = std::mem::replace(&mut peer.timer, wanted) {
            self.timers.remove(&(due, id));
        }
        self.timers.extend(wanted.map(|due| (due, id)));
    }
}

/// Keeps the sum of what a listener's connections hold; `true` when this one was refused because of it.
fn count_held(held: &mut BTreeMap<usize, Held>, now: Now, peer: &mut Peer) -> bool {
    let Some(held) = peer.listener.and_then(|listener| held.get_mut(&listener)) else { return false };
    let (before, holds) = (peer.held_bytes, peer.holds());
    held.bytes = held.bytes - before + holds;
    peer.held_bytes = holds;
    let refused = holds > before && holds > LARGE_BYTES && held.bytes > held.limit_bytes;
    if refused {
        peer.overload(now);
        held.bytes = held.bytes - holds + peer.holds();
        peer.held_bytes = peer.holds();
    }
    refused
}

fn token(id: PeerId) -> Token {
    Token(id.to_u64() as usize)
}
