//! The way to the marketplace's hub: find its address, dial, shake hands, open and seal frames, and come back after
//! every loss.
//!
//! Owns the one connection, its session and the waits between attempts. It knows nothing of leases, configuration or
//! tasks, and writes no log: what happened is [`News`], in order. The hub being away costs the validator nothing but
//! news; no message waits here for a hub that is not there.
//!
//! A frame over [`limits::BULK_BYTES`] is read elsewhere, one at a time ([`Want::Open`]); those behind it wait for it,
//! within bounds, so that news stay in the order of the frames.

#[cfg(test)]
mod tests;

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use rand_chacha::ChaCha20Rng;
use rand_core::RngCore;

use crate::wire::limits;
use crate::{
    machine::{Dial, Gone, backoff::Backoff, contract::resolve::ResolveRequest},
    units::{Hotkey, Mono, Now, PeerId, Secret},
    wire::marketplace::{
        BodyFault, FrameFault, FromHub, HandshakeFault, Hello, HubError, HubOpener, HubSession, Incoming, InitResponse,
        Opened, Reaction, Reply, ToHub,
    },
};

/// Connect, TLS handshake and upgrade.
const DIAL_TIMEOUT: Duration = Duration::from_secs(20);
/// From our half of the handshake to the hub's.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest wait between two attempts is so many first ones.
const CEILING: u32 = 10;
/// A session that held so long was a success; a shorter one counts as one more failure.
const HELD: Duration = Duration::from_secs(60);

/// Frames that may wait behind one that is read elsewhere, and their bytes; with more the connection ends.
const WAITING_FRAMES: usize = 256;
const WAITING_BYTES: usize = 2 * limits::MARKETPLACE_BYTES;

/// Of a hub's own words, as many as are passed on.
const TOLD_CHARS: usize = 200;

/// Close code of whoever goes away.
const GOING_AWAY: u16 = 1001;

/// Where the hub is, and who we are to it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A name or an address, without brackets.
    pub host: String,
    pub port: u16,
    /// Starts with `/`.
    pub path: String,
    /// `wss://`.
    pub tls: bool,
    pub token: Secret,
    /// The only hub that will do.
    pub pinned: Option<Hotkey>,
    pub capabilities: Vec<String>,
    /// The longest first wait.
    pub reconnect_delay: Duration,
}

/// What the link wants of the loop and of the resolver.
#[derive(Debug)]
pub enum Want {
    Resolve(ResolveRequest),
    Dial {
        peer: PeerId,
        dial: Dial,
    },
    Send {
        peer: PeerId,
        text: String,
    },
    Close {
        peer: PeerId,
        code: u16,
        reason: String,
    },
    /// A big frame is to be opened; [`HubLink::read`] takes what came out. One at a time.
    Open {
        opener: HubOpener,
        text: String,
    },
}

/// What happened.
#[derive(Debug, PartialEq)]
pub enum News {
    /// There is a session. Nothing was said in it yet.
    Up { hub: Hotkey },
    /// The hub's word. Whoever sent a `message_id` waits for an acknowledgement.
    Message { message_id: Option<String>, kind: String, body: Result<FromHub, BodyFault> },
    /// A frame that was none of the session's.
    Dropped(FrameFault),
    /// An error that changes nothing.
    Ignored(HubError),
    /// There is no session any more, or still none.
    Lost(Loss),
}

/// How a connection or an attempt ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Loss {
    pub class: LossClass,
    pub reason: String,
    pub retry_in: Duration,
    /// There was a session.
    pub was_up: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LossClass {
    /// No address, cut, refused, unreachable: the next attempt may work.
    Transport,
    /// The certificate does not count, or the other side speaks no TLS.
    Tls,
    /// The hub ended the session, by an error or by a close frame.
    Session,
    /// The access token is not the hub's.
    Token,
    /// Another hub than the pinned one, or one whose answer gives no keys.
    Handshake,
}

impl LossClass {
    /// For counters.
    pub fn label(self) -> &'static str {
        match self {
            LossClass::Transport => "transport",
            LossClass::Tls => "tls",
            LossClass::Session => "session",
            LossClass::Token => "token",
            LossClass::Handshake => "handshake",
        }
    }

    /// Whether waiting alone will not help.
    pub fn needs_operator(self) -> bool {
        matches!(self, LossClass::Tls | LossClass::Token | LossClass::Handshake)
    }

    fn of(gone: &Gone) -> LossClass {
        match gone {
            Gone::Tls(_) => LossClass::Tls,
            Gone::ByPeer { .. } => LossClass::Session,
            Gone::ByUs(_) | Gone::Io(_) | Gone::Protocol(_) | Gone::Limit(_) | Gone::Timeout(_) => LossClass::Transport,
        }
    }
}

#[derive(Debug)]
enum State {
    Waiting {
        until: Mono,
    },
    Resolving,
    Dialing {
        peer: PeerId,
    },
    /// Our half of the handshake is out.
    Greeting {
        peer: PeerId,
        hello: Box<Hello>,
        until: Mono,
    },
    Talking {
        peer: PeerId,
        session: Box<HubSession>,
        since: Mono,
    },
    /// We asked for the end of the connection.
    Closing {
        peer: PeerId,
        class: LossClass,
        reason: String,
        was_up: bool,
    },
    Stopped,
}

#[derive(Debug)]
pub struct HubLink {
    settings: Settings,
    me: Hotkey,
    state: State,
    /// Addresses not tried yet in this attempt, next one last.
    untried: Vec<SocketAddr>,
    dials: u64,
    backoff: Backoff,
    rng: ChaCha20Rng,
    /// Whose frame is being read elsewhere; that connection may be gone.
    reading: Option<PeerId>,
    /// Frames of this session behind it.
    waiting: VecDeque<String>,
    wants: VecDeque<Want>,
    news: VecDeque<News>,
}

impl HubLink {
    /// The first attempt is due at once. `rng` is seeded by the operating system, except in tests.
    pub fn new(settings: Settings, me: Hotkey, rng: ChaCha20Rng) -> HubLink {
        let delay = settings.reconnect_delay;
        HubLink {
            settings,
            me,
            state: State::Waiting { until: Mono(0) },
            untried: Vec::new(),
            dials: 0,
            backoff: Backoff::new(delay, delay * CEILING),
            rng,
            reading: None,
            waiting: VecDeque::new(),
            wants: VecDeque::new(),
            news: VecDeque::new(),
        }
    }

    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Talking { .. })
    }

    pub fn next_want(&mut self) -> Option<Want> {
        self.wants.pop_front()
    }

    pub fn next_news(&mut self) -> Option<News> {
        self.news.pop_front()
    }

    pub fn deadline(&self) -> Option<Mono> {
        match self.state {
            State::Waiting { until } | State::Greeting { until, .. } => Some(until),
            _ => None,
        }
    }

    /// What is due: another attempt, or the end of a handshake that nobody answers.
    pub fn tick(&mut self, now: Mono) {
        match self.state {
            State::Waiting { until } if until <= now => {
                self.state = State::Resolving;
                let (host, port) = (self.settings.host.clone(), self.settings.port);
                self.wants.push_back(Want::Resolve(ResolveRequest { host, port }));
            }
            State::Greeting { until, .. } if until <= now => {
                self.hang_up(
                    now,
                    LossClass::Transport,
                    format!("the hub did not answer the handshake in {ANSWER_TIMEOUT:?}"),
                );
            }
            _ => {}
        }
    }

    /// The name server's answer.
    pub fn resolved(&mut self, now: Mono, addresses: Result<Vec<SocketAddr>, String>) {
        if !matches!(self.state, State::Resolving) {
            return;
        }
        match addresses {
            Ok(addresses) => {
                self.untried = addresses;
                self.untried.reverse();
                if !self.dial() {
                    self.lose(now, LossClass::Transport, "its name has no address".into(), false);
                }
            }
            Err(why) => self.lose(now, LossClass::Transport, why, false),
        }
    }

    fn dial(&mut self) -> bool {
        let Some(to) = self.untried.pop() else { return false };
        self.dials += 1;
        let peer = PeerId::dialed(self.dials);
        let Settings { host, port, path, tls, .. } = &self.settings;
        let authority = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let (path, tls) = (path.clone(), tls.then(|| host.clone()));
        let dial = Dial::Marketplace { to, host: authority, path, tls, timeout: DIAL_TIMEOUT };
        self.state = State::Dialing { peer };
        self.wants.push_back(Want::Dial { peer, dial });
        true
    }

    /// The dial succeeded: we say who we are.
    pub fn opened(&mut self, now: Now, peer: PeerId) {
        if !matches!(self.state, State::Dialing { peer: dialed } if dialed == peer) {
            return;
        }
        let (mut secret, mut nonce) = ([0; 32], [0; 16]);
        self.rng.fill_bytes(&mut secret);
        self.rng.fill_bytes(&mut nonce);
        let hello = Hello::new(secret, nonce);
        let capabilities: Vec<&str> = self.settings.capabilities.iter().map(String::as_str).collect();
        let version = env!("CARGO_PKG_VERSION");
        let text = hello.to_text(now.wall, &self.me, &self.settings.token, version, &capabilities);
        self.wants.push_back(Want::Send { peer, text });
        self.state = State::Greeting { peer, hello: Box::new(hello), until: now.mono + ANSWER_TIMEOUT };
    }

    /// A text of the hub. `false` when it came on a connection of somebody else.
    pub fn heard(&mut self, now: Mono, peer: PeerId, text: String) -> bool {
        match &mut self.state {
            State::Greeting { peer: current, .. } if *current == peer => self.answered(now, &text),
            State::Talking { peer: current, .. } if *current == peer => self.frame(now, text),
            State::Closing { peer: current, .. } if *current == peer => {}
            _ => return false,
        }
        true
    }

    /// The next frame of the session: it waits for its turn.
    fn frame(&mut self, now: Mono, text: String) {
        self.waiting.push_back(text);
        self.read_on(now);
        let bytes: usize = self.waiting.iter().map(String::len).sum();
        if self.waiting.len() > WAITING_FRAMES || bytes > WAITING_BYTES {
            self.hang_up(now, LossClass::Transport, format!("{bytes} bytes of frames wait to be read: too many"));
        }
    }

    fn read_on(&mut self, now: Mono) {
        while self.reading.is_none() {
            let State::Talking { peer, session, .. } = &mut self.state else { return };
            let Some(text) = self.waiting.pop_front() else { return };
            if text.len() > limits::BULK_BYTES {
                self.reading = Some(*peer);
                self.wants.push_back(Want::Open { opener: session.opener(), text });
            } else {
                let opened = session.open(&text);
                self.opened_frame(now, opened);
            }
        }
    }

    /// What the frame of [`Want::Open`] was.
    pub fn read(&mut self, now: Mono, opened: Result<Opened<FromHub>, FrameFault>) {
        let of = self.reading.take();
        if let State::Talking { peer, session, .. } = &mut self.state
            && of == Some(*peer)
        {
            let opened = opened.and_then(|Opened { seq, message_id, kind, body }| {
                session.admit(seq).map(|()| Incoming::Message { message_id, kind, body })
            });
            self.opened_frame(now, opened);
        }
        self.read_on(now);
    }

    fn answered(&mut self, now: Mono, text: &str) {
        match Reply::parse(text) {
            Ok(Reply::Accepted(answer)) => self.greeted(now, &answer),
            Ok(Reply::Refused(error)) => self.hub_error(now, error),
            // The answer may still come.
            Err(fault) => self.news.push_back(News::Dropped(fault)),
        }
    }

    fn greeted(&mut self, now: Mono, answer: &InitResponse) {
        let State::Greeting { peer, hello, .. } = std::mem::replace(&mut self.state, State::Stopped) else { return };
        match hello.finish(&self.me, self.settings.pinned.as_ref(), answer) {
            Ok(session) => {
                self.news.push_back(News::Up { hub: session.peer().clone() });
                self.state = State::Talking { peer, session: Box::new(session), since: now };
            }
            Err(fault) => self.refuse(peer, &fault),
        }
    }

    fn refuse(&mut self, peer: PeerId, fault: &HandshakeFault) {
        let (class, reason) = (LossClass::Handshake, fault.to_string());
        self.wants.push_back(Want::Close { peer, code: GOING_AWAY, reason: "handshake refused".into() });
        self.state = State::Closing { peer, class, reason, was_up: false };
    }

    fn opened_frame(&mut self, now: Mono, opened: Result<Incoming<FromHub>, FrameFault>) {
        match opened {
            Ok(Incoming::Message { message_id, kind, body }) => {
                self.news.push_back(News::Message { message_id, kind, body });
            }
            Ok(Incoming::Error(error)) => self.hub_error(now, error),
            Err(fault) => self.news.push_back(News::Dropped(fault)),
        }
    }

    fn hub_error(&mut self, now: Mono, error: HubError) {
        let error = HubError { message: self.fit_to_print(&error.message), ..error };
        if error.reaction() == Reaction::Ignore {
            return self.news.push_back(News::Ignored(error));
        }
        let class = if error.code == HubError::BAD_TOKEN { LossClass::Token } else { LossClass::Session };
        let said = &error.message;
        self.hang_up(now, class, format!("error {}: {} ({said:?})", error.code, error.meaning()));
    }

    /// What a hub says goes to the log: without our token in it, and no more of it than a person reads.
    fn fit_to_print(&self, text: &str) -> String {
        self.without_token(text).chars().take(TOLD_CHARS).collect()
    }

    /// A text of the hub as it may be kept or told.
    pub fn without_token(&self, text: &str) -> String {
        text.replace(self.settings.token.reveal(), "(the token)")
    }

    /// Says a message, or drops it where there is no session: `None`; its bytes.
    pub fn say(&mut self, now: Now, body: &ToHub) -> Option<usize> {
        let State::Talking { peer, session, .. } = &mut self.state else { return None };
        let peer = *peer;
        match session.seal(now.wall, None, body) {
            Ok(text) => {
                let bytes = text.len();
                self.wants.push_back(Want::Send { peer, text });
                Some(bytes)
            }
            Err(fault) => {
                self.hang_up(now.mono, LossClass::Session, fault.to_string());
                None
            }
        }
    }

    fn hang_up(&mut self, now: Mono, class: LossClass, reason: String) {
        self.held(now);
        self.waiting.clear();
        let was_up = self.is_up();
        if let State::Greeting { peer, .. } | State::Talking { peer, .. } = self.state {
            self.wants.push_back(Want::Close { peer, code: GOING_AWAY, reason: "session ended".into() });
            self.state = State::Closing { peer, class, reason, was_up };
        }
    }

    /// A session that held for long enough makes the next wait a first one again.
    fn held(&mut self, now: Mono) {
        if let State::Talking { since, .. } = self.state
            && now.since(since) >= HELD
        {
            self.backoff.reset();
        }
    }

    /// A connection closed or a dial failed. `false` when it was somebody else's.
    pub fn closed(&mut self, now: Mono, peer: PeerId, gone: &Gone) -> bool {
        let class = LossClass::of(gone);
        match &self.state {
            State::Dialing { peer: current } if *current == peer => {
                // Another address of the same name is tried at once, whatever was wrong with this one.
                if !self.dial() {
                    self.lose(now, class, gone.to_string(), false);
                }
            }
            State::Greeting { peer: current, .. } if *current == peer => {
                self.lose(now, class, format!("{gone}, before the handshake was done"), false);
            }
            State::Talking { peer: current, .. } if *current == peer => {
                self.held(now);
                self.lose(now, class, gone.to_string(), true);
            }
            State::Closing { peer: current, class, reason, was_up } if *current == peer => {
                let (class, reason, was_up) = (*class, reason.clone(), *was_up);
                self.lose(now, class, reason, was_up);
            }
            _ => return false,
        }
        true
    }

    fn lose(&mut self, now: Mono, class: LossClass, reason: String, was_up: bool) {
        self.waiting.clear();
        let retry_in = self.backoff.wait(&mut self.rng);
        self.state = State::Waiting { until: now + retry_in };
        self.news.push_back(News::Lost(Loss { class, reason, retry_in, was_up }));
    }

    /// Says goodbye, and makes no further attempt.
    pub fn stop(&mut self) {
        let state = std::mem::replace(&mut self.state, State::Stopped);
        if let State::Dialing { peer } | State::Greeting { peer, .. } | State::Talking { peer, .. } = state {
            self.wants.push_back(Want::Close { peer, code: GOING_AWAY, reason: "the validator stops".into() });
        }
    }
}
