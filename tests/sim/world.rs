//! Virtual time, one queue of happenings, and the rules by which the simulated network delivers.
//!
//! Single-threaded and seeded: the same seed gives the same run, event by event.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use byteleap::{
    machine::{Dial, Gone, Link, Message},
    units::{Mono, Now, PeerId, Wall},
};
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{RngCore, SeedableRng},
};

use crate::{
    links::{Connection, End, Links, SeatId},
    seat::{Actor, Arrival, Wish},
};

/// What the network does to messages.
#[derive(Clone, Copy)]
pub struct Weather {
    pub delay: (Duration, Duration),
    /// Chance that a message is lost together with its connection, in parts of 10,000.
    pub cut: u32,
    /// Chance that a connection goes silent at a message, in parts of 10,000.
    pub silence: u32,
}

/// Nothing is lost, nothing is slow.
pub const CALM: Weather =
    Weather { delay: (Duration::from_micros(200), Duration::from_millis(20)), cut: 0, silence: 0 };

/// How long a loop waits for a pong before it gives a connection up.
const PING_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Http,
    WebSocket,
    Marketplace,
}

/// More turns than any machine needs at one instant.
const SPIN_LIMIT: u32 = 10_000;

enum Happening {
    Arrive { seat: SeatId, life: u32, arrival: Arrival },
    Connect { dialer: End, to: SocketAddr, kind: Kind, first: Option<Message> },
    Deliver { connection: u64, to_dialer: bool, parcel: Parcel },
    Finish { seat: SeatId, life: u32, ticket: u64 },
    DialTimeout { dialer: End, what: &'static str },
    Noticed { connection: u64 },
    Restart { seat: SeatId },
}

enum Parcel {
    Message(Message),
    Fin { code: u16, reason: String },
}

pub struct World {
    pub rng: ChaCha20Rng,
    pub weather: Weather,
    pub actors: Vec<Box<dyn Actor>>,
    now: Mono,
    wall_zero: Wall,
    /// Seats whose wall clock is wrong, by seconds.
    wall_error_s: BTreeMap<SeatId, i64>,
    alive: Vec<bool>,
    life: Vec<u32>,
    accepted: Vec<u64>,
    /// When each spoke of a seat is free again.
    busy: BTreeMap<(SeatId, &'static str), Mono>,
    doors: BTreeMap<SocketAddr, (SeatId, Link)>,
    dialing: BTreeSet<End>,
    links: Links,
    queue: BTreeMap<(Mono, u64), Happening>,
    happenings: u64,
    spins: (Mono, u32),
    trace: bool,
    pub exits: Vec<(SeatId, String)>,
}

impl World {
    pub fn new(seed: u64, wall_zero: Wall) -> World {
        World {
            rng: ChaCha20Rng::seed_from_u64(seed),
            weather: CALM,
            actors: Vec::new(),
            now: Mono(0),
            wall_zero,
            wall_error_s: BTreeMap::new(),
            alive: Vec::new(),
            life: Vec::new(),
            accepted: Vec::new(),
            busy: BTreeMap::new(),
            doors: BTreeMap::new(),
            dialing: BTreeSet::new(),
            links: Links::default(),
            queue: BTreeMap::new(),
            happenings: 0,
            spins: (Mono(0), 0),
            trace: std::env::var_os("BYTELEAP_SIM_TRACE").is_some(),
            exits: Vec::new(),
        }
    }

    pub fn now(&self) -> Now {
        Now { mono: self.now, wall: self.wall_zero + Duration::from_nanos(self.now.0) }
    }

    /// The time as a seat reads it.
    fn now_of(&self, seat: SeatId) -> Now {
        let now = self.now();
        let error_s = self.wall_error_s.get(&seat).copied().unwrap_or_default();
        let error = Duration::from_secs(error_s.unsigned_abs());
        Now { wall: if error_s < 0 { now.wall - error } else { now.wall + error }, ..now }
    }

    /// Somebody sets the wall clock of that seat; 0 sets it right.
    pub fn set_wall_error(&mut self, seat: SeatId, seconds: i64) {
        self.note(|| format!("seat {seat}: wall clock off by {seconds} s"));
        self.wall_error_s.insert(seat, seconds);
    }

    /// Puts a machine into the world, listening at `door` if it has one. It wakes at once.
    pub fn seat(&mut self, actor: Box<dyn Actor>, door: Option<(SocketAddr, Link)>) -> SeatId {
        let seat = self.actors.len();
        self.actors.push(actor);
        self.alive.push(true);
        self.life.push(0);
        self.accepted.push(0);
        if let Some((address, link)) = door {
            self.doors.insert(address, (seat, link));
        }
        self.after(Duration::ZERO, Happening::Arrive { seat, life: 0, arrival: Arrival::Deadline });
        seat
    }

    pub fn is_alive(&self, seat: SeatId) -> bool {
        self.alive[seat]
    }

    pub fn between(&mut self, (least, most): (Duration, Duration)) -> Duration {
        let span = u64::try_from((most - least).as_nanos()).unwrap() + 1;
        least + Duration::from_nanos(self.rng.next_u64() % span)
    }

    pub fn chance(&mut self, of_10_000: u32) -> bool {
        self.rng.next_u32() % 10_000 < of_10_000
    }

    fn note(&self, text: impl FnOnce() -> String) {
        if self.trace {
            eprintln!("{:>12.6} {}", self.now.0 as f64 / 1e9, text());
        }
    }

    fn at(&mut self, when: Mono, happening: Happening) {
        self.happenings += 1;
        self.queue.insert((when, self.happenings), happening);
    }

    fn after(&mut self, delay: Duration, happening: Happening) {
        self.at(self.now + delay, happening);
    }

    /// Runs until `end` or until `done` says so; true when it did. Every step checks every machine that moved.
    pub fn run(&mut self, end: Mono, mut done: impl FnMut(&mut World) -> bool) -> bool {
        loop {
            let queued = self.queue.first_key_value().map(|((when, _), _)| *when);
            let waking = self.earliest_deadline();
            let next = match (queued, waking) {
                (Some(queued), Some((wake, _))) => queued.min(wake),
                (Some(queued), None) => queued,
                (None, Some((wake, _))) => wake,
                (None, None) => return false,
            };
            if next > end {
                self.now = end;
                return false;
            }
            self.now = self.now.max(next);
            if queued == Some(next) {
                let (_, happening) = self.queue.pop_first().expect("just seen");
                self.happen(happening);
            } else if let Some((_, seat)) = waking {
                self.guard_against_spinning(seat);
                self.arrive(seat, Arrival::Deadline);
            }
            if done(self) {
                return true;
            }
        }
    }

    fn earliest_deadline(&self) -> Option<(Mono, SeatId)> {
        let alive = (0..self.actors.len()).filter(|seat| self.alive[*seat]);
        alive.filter_map(|seat| Some((self.actors[seat].deadline()?, seat))).min()
    }

    fn guard_against_spinning(&mut self, seat: SeatId) {
        self.spins = if self.spins.0 == self.now { (self.now, self.spins.1 + 1) } else { (self.now, 0) };
        assert!(self.spins.1 < SPIN_LIMIT, "seat {seat} spins: its deadline never moves on");
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Arrive { seat, life, arrival } if self.lives(seat, life) => self.arrive(seat, arrival),
            Happening::Finish { seat, life, ticket } if self.lives(seat, life) => {
                let now = self.now_of(seat);
                self.actors[seat].finish(now, ticket);
                self.settle(seat);
            }
            Happening::Arrive { .. } | Happening::Finish { .. } => {}
            Happening::Connect { dialer, to, kind, first } => self.connect(dialer, to, kind, first),
            Happening::Deliver { connection, to_dialer, parcel } => self.deliver(connection, to_dialer, parcel),
            Happening::DialTimeout { dialer, what } => self.time_out(dialer, what),
            Happening::Noticed { connection } => {
                let late = Gone::Timeout("no pong".into());
                self.sever(connection, late.clone(), late, Duration::ZERO);
            }
            Happening::Restart { seat } => self.restart(seat),
        }
    }

    fn lives(&self, seat: SeatId, life: u32) -> bool {
        self.alive[seat] && self.life[seat] == life
    }

    fn arrive(&mut self, seat: SeatId, arrival: Arrival) {
        self.note(|| format!("seat {seat} {}", describe(&arrival)));
        let now = self.now_of(seat);
        self.actors[seat].arrive(now, arrival);
        self.settle(seat);
    }

    /// Carries out what the machine wants, then checks it.
    fn settle(&mut self, seat: SeatId) {
        while let Some(wish) = self.actors[seat].poll() {
            match wish {
                Wish::Dial { peer, dial } => self.dial(seat, peer, dial),
                Wish::Send { peer, message } => self.send(self.end(seat, peer), Parcel::Message(message)),
                Wish::Close { peer, code, reason } => self.close(self.end(seat, peer), code, reason),
                Wish::Work { ticket, route } => {
                    let takes = self.between(route.takes);
                    let free = self.busy.get(&(seat, route.spoke)).copied().unwrap_or_default().max(self.now);
                    self.busy.insert((seat, route.spoke), free + takes);
                    let life = self.life[seat];
                    self.at(free + takes, Happening::Finish { seat, life, ticket });
                }
                Wish::Exit(exit) => self.exits.push((seat, format!("{exit:?}"))),
            }
        }
        self.actors[seat].check();
    }

    fn end(&self, seat: SeatId, peer: PeerId) -> End {
        End { seat, life: self.life[seat], peer }
    }

    fn tell(&mut self, end: End, delay: Duration, arrival: Arrival) {
        self.after(delay, Happening::Arrive { seat: end.seat, life: end.life, arrival });
    }

    fn dial(&mut self, seat: SeatId, peer: PeerId, dial: Dial) {
        let dialer = self.end(seat, peer);
        assert!(self.dialing.insert(dialer), "seat {seat} dials with an id that it uses already: {peer}");
        let (to, kind, first, timeout) = match dial {
            Dial::WebSocket { to, timeout, .. } => (to, Kind::WebSocket, None, timeout),
            Dial::Marketplace { to, timeout, .. } => (to, Kind::Marketplace, None, timeout),
            Dial::Http { to, request, timeout } => (to, Kind::Http, Some(Message::Request(request)), timeout),
        };
        let delay = self.between(self.weather.delay);
        self.after(delay, Happening::Connect { dialer, to, kind, first });
        self.after(
            timeout,
            Happening::DialTimeout { dialer, what: if kind == Kind::Http { "http" } else { "connect" } },
        );
    }

    fn connect(&mut self, dialer: End, to: SocketAddr, kind: Kind, first: Option<Message>) {
        if !self.lives(dialer.seat, dialer.life) || !self.dialing.contains(&dialer) {
            return;
        }
        let door = self.doors.get(&to).copied().filter(|(seat, _)| self.alive[*seat]);
        let Some((seat, link)) = door else {
            self.dialing.remove(&dialer);
            let reason = Gone::Io("connection refused".into());
            return self.tell(dialer, Duration::ZERO, Arrival::DialFailed { peer: dialer.peer, reason });
        };
        self.dialing.remove(&dialer);
        self.accepted[seat] += 1;
        let listener = self.end(seat, PeerId::accepted(self.accepted[seat]));
        self.links.open(Connection { dialer, listener, silent: false, last: (self.now, self.now) });
        let from = SocketAddr::from(([10, 0, 0, u8::try_from(dialer.seat).unwrap()], 40_000));
        self.tell(listener, Duration::ZERO, Arrival::Opened { peer: listener.peer, link, remote: from });
        let link = match kind {
            Kind::Http => Link::Validator,
            Kind::WebSocket => Link::Miner,
            Kind::Marketplace => Link::Marketplace,
        };
        self.tell(dialer, Duration::ZERO, Arrival::Opened { peer: dialer.peer, link, remote: to });
        if let Some(message) = first {
            self.send(dialer, Parcel::Message(message));
        }
    }

    fn send(&mut self, from: End, parcel: Parcel) {
        let Some(id) = self.links.id_of(from) else { return };
        let to_dialer = self.links.get_mut(id).is_some_and(|connection| connection.listener == from);
        self.send_on(id, to_dialer, parcel);
    }

    fn send_on(&mut self, id: u64, to_dialer: bool, parcel: Parcel) {
        let weather = self.weather;
        let (cut, silence) = (self.chance(weather.cut), self.chance(weather.silence));
        if cut {
            let reason = Gone::Io("connection reset".into());
            return self.sever(id, reason.clone(), reason, self.weather.delay.1);
        }
        let delay = self.between(weather.delay);
        let due = self.now + delay;
        let Some(connection) = self.links.get_mut(id) else { return };
        if silence && !connection.silent {
            connection.silent = true;
            self.after(PING_TIMEOUT, Happening::Noticed { connection: id });
            return;
        }
        // in order within one direction of one connection
        let last = if to_dialer { &mut connection.last.0 } else { &mut connection.last.1 };
        *last = due.max(*last + Duration::from_nanos(1));
        let due = *last;
        self.at(due, Happening::Deliver { connection: id, to_dialer, parcel });
    }

    fn deliver(&mut self, id: u64, to_dialer: bool, parcel: Parcel) {
        let Some(connection) = self.links.get_mut(id).filter(|connection| !connection.silent) else { return };
        let connection = connection.clone();
        let to = if to_dialer { connection.dialer } else { connection.listener };
        if self.links.id_of(to) != Some(id) {
            // that side has said goodbye already
            self.links.close(id);
            return;
        }
        match parcel {
            Parcel::Fin { code, reason } => {
                self.links.close(id);
                self.tell(to, Duration::ZERO, Arrival::Closed { peer: to.peer, reason: Gone::ByPeer { code, reason } });
            }
            Parcel::Message(message) => {
                let answered = matches!(message, Message::Response(_));
                if self.lives(to.seat, to.life) {
                    self.arrive(to.seat, Arrival::Received { peer: to.peer, message });
                }
                if answered {
                    let end = Gone::ByPeer { code: 0, reason: "answered".into() };
                    self.sever(id, end.clone(), end, Duration::from_millis(1));
                }
            }
        }
    }

    /// The machine's own wish: what it sent before still arrives, what comes in from now on does not.
    fn close(&mut self, from: End, code: u16, reason: String) {
        if self.dialing.remove(&from) {
            let reason = Gone::ByUs(reason);
            return self.tell(from, Duration::ZERO, Arrival::DialFailed { peer: from.peer, reason });
        }
        let Some(id) = self.links.id_of(from) else { return };
        let to_dialer = self.links.get_mut(id).is_some_and(|connection| connection.listener == from);
        self.links.forget_end(from);
        self.send_on(id, to_dialer, Parcel::Fin { code, reason: reason.clone() });
        self.tell(from, Duration::ZERO, Arrival::Closed { peer: from.peer, reason: Gone::ByUs(reason) });
    }

    /// Ends a connection without either side's wish; each hears of it within `slack`.
    pub fn sever(&mut self, id: u64, for_dialer: Gone, for_listener: Gone, slack: Duration) {
        let known = self.links.known_ends(id);
        if self.links.close(id).is_none() {
            return;
        }
        for (end, reason) in known.into_iter().zip([for_dialer, for_listener]) {
            if let Some(end) = end {
                let delay = self.between((Duration::ZERO, slack));
                self.tell(end, delay, Arrival::Closed { peer: end.peer, reason });
            }
        }
    }

    fn time_out(&mut self, dialer: End, what: &'static str) {
        let reason = Gone::Timeout(what.into());
        if self.dialing.remove(&dialer) {
            return self.tell(dialer, Duration::ZERO, Arrival::DialFailed { peer: dialer.peer, reason });
        }
        if what == "http"
            && let Some(id) = self.links.id_of(dialer)
        {
            let left = Gone::ByPeer { code: 0, reason: "gave up".into() };
            self.sever(id, reason, left, self.weather.delay.1);
        }
    }

    /// A random open connection, if there is one.
    pub fn any_connection(&mut self) -> Option<u64> {
        let ids = self.links.ids();
        let pick = usize::try_from(self.rng.next_u64() % ids.len().max(1) as u64).unwrap();
        ids.get(pick).copied()
    }

    /// How much has happened so far.
    pub fn happenings(&self) -> u64 {
        self.happenings
    }

    pub fn open_connections(&self) -> usize {
        self.links.ids().len()
    }

    /// The process dies now and comes back after `down`. Part of its work in flight may have taken effect.
    pub fn crash(&mut self, seat: SeatId, down: Duration) {
        if !self.alive[seat] {
            return;
        }
        self.note(|| format!("seat {seat} crashes"));
        let in_flight = self.actors[seat].in_flight() as u64;
        let done = usize::try_from(self.rng.next_u64() % (in_flight + 1)).unwrap();
        let now = self.now_of(seat);
        self.actors[seat].crash(now, done);
        self.alive[seat] = false;
        self.busy.retain(|(owner, _), _| *owner != seat);
        self.dialing.retain(|end| end.seat != seat);
        let reset = Gone::Io("connection reset".into());
        for id in self.links.of_seat(seat) {
            self.sever(id, reset.clone(), reset.clone(), self.weather.delay.1);
        }
        self.after(down, Happening::Restart { seat });
    }

    fn restart(&mut self, seat: SeatId) {
        self.life[seat] += 1;
        self.alive[seat] = true;
        let now = self.now_of(seat);
        self.actors[seat].restart(now);
        self.arrive(seat, Arrival::Deadline);
    }
}

fn describe(arrival: &Arrival) -> String {
    match arrival {
        Arrival::Opened { peer, link, .. } => format!("opened {peer} {link:?}"),
        Arrival::Received { peer, message: Message::Text(text) } => {
            format!("received {peer} {}", text.chars().take(160).collect::<String>())
        }
        Arrival::Received { peer, message: Message::Request(request) } => format!("request {peer} {}", request.target),
        Arrival::Received { peer, message: Message::Response(response) } => {
            let body = String::from_utf8_lossy(&response.body);
            let shown: String = body.chars().rev().take(120).collect::<Vec<_>>().into_iter().rev().collect();
            format!("response {peer} {} …{shown}", response.status)
        }
        Arrival::Closed { peer, reason } => format!("closed {peer} {reason}"),
        Arrival::DialFailed { peer, reason } => format!("dial failed {peer} {reason}"),
        Arrival::Deadline => "deadline".into(),
    }
}
