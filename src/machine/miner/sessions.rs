//! The sessions with validators: at most one handshake with each at once, renewal in time, and how often a
//! handshake may be tried.
//!
//! Owns the keys and counters of every session. It sends nothing: it hands out the handshake's text and the
//! right to encrypt one message.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rand_core::RngCore;

use crate::{
    machine::backoff::Backoff,
    units::{Hotkey, Mono, Now},
    wire::{
        json,
        keys::Keypair,
        limits::{HANDSHAKE_WINDOW, HANDSHAKES, SESSION_LIFETIME, SESSION_RENEWAL},
        messages::SessionInitResponse,
        session::{ClientHello, Opener, Refusal, Sealer, Session, SessionFault},
        synapse::SynapseKind,
    },
};

/// Waits after handshakes that failed.
const FIRST_WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A session is not renewed sooner than this, whatever the validator's clock says.
const SHORTEST_LIFE: Duration = Duration::from_secs(60);

/// The validator's window of handshakes, and a little more for the way there.
const WINDOW: Duration = HANDSHAKE_WINDOW.saturating_add(Duration::from_secs(1));

#[derive(Debug, Default)]
pub struct Sessions {
    terms: BTreeMap<Hotkey, Terms>,
}

/// How we stand with one validator.
#[derive(Debug)]
struct Terms {
    current: Option<Live>,
    /// The one before: answers to it may still be on their way.
    previous: Option<Session>,
    hello: Option<ClientHello>,
    backoff: Backoff,
    not_before: Mono,
    /// Handshakes within the last window, oldest first.
    recent: VecDeque<Mono>,
}

#[derive(Debug)]
struct Live {
    session: Session,
    renew: Mono,
    ends: Mono,
}

/// Why a handshake brought no session.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeFault {
    #[error("refused: {0}")]
    Refused(Refusal),
    #[error("answer cannot be read: {0}")]
    Answer(#[from] json::JsonFault),
    #[error("{0}")]
    Session(#[from] SessionFault),
    #[error("nobody asked")]
    Unasked,
}

impl Terms {
    fn new() -> Terms {
        Terms {
            current: None,
            previous: None,
            hello: None,
            backoff: Backoff::new(FIRST_WAIT, LONGEST_WAIT),
            not_before: Mono::default(),
            recent: VecDeque::new(),
        }
    }

    fn live(&self, now: Mono) -> Option<&Live> {
        self.current.as_ref().filter(|live| now < live.ends)
    }

    /// When the next handshake may be made, as far as waits and counts go.
    fn next_handshake(&self) -> Mono {
        let full = self.recent.len() >= HANDSHAKES;
        let window = self.recent.front().filter(|_| full).map_or(Mono::default(), |first| *first + WINDOW);
        self.not_before.max(window)
    }

    fn find(&mut self, id: &str) -> Option<&mut Session> {
        let current = self.current.as_mut().map(|live| &mut live.session);
        current.into_iter().chain(self.previous.as_mut()).find(|session| session.id() == id)
    }
}

impl Sessions {
    /// Whether something can be encrypted for that validator now.
    pub fn is_live(&self, with: &Hotkey, now: Mono) -> bool {
        self.terms.get(with).is_some_and(|terms| terms.live(now).is_some())
    }

    pub fn live_count(&self, now: Mono) -> usize {
        self.terms.values().filter(|terms| terms.live(now).is_some()).count()
    }

    /// Whether to make a handshake now: there is no session, or it is to be renewed; none is being made; and
    /// waits and counts allow it.
    pub fn wants_handshake(&self, with: &Hotkey, now: Mono) -> bool {
        let Some(terms) = self.terms.get(with) else { return true };
        let settled = terms.live(now).is_some_and(|live| now < live.renew);
        !settled && terms.hello.is_none() && terms.next_handshake() <= now
    }

    /// When a handshake that is wanted but must wait may be made; `None` when one is being made.
    pub fn next_handshake(&self, with: &Hotkey) -> Option<Mono> {
        let Some(terms) = self.terms.get(with) else { return Some(Mono::default()) };
        terms.hello.is_none().then(|| terms.next_handshake())
    }

    /// Begins a handshake: the text to send.
    pub fn begin(&mut self, with: &Hotkey, now: Now, me: &Keypair, rng: &mut impl RngCore) -> String {
        let terms = self.terms.entry(with.clone()).or_insert_with(Terms::new);
        let (mut secret, mut nonce) = ([0; 32], [0; 16]);
        rng.fill_bytes(&mut secret);
        rng.fill_bytes(&mut nonce);
        let mut hello = ClientHello::new(secret, nonce, now.wall);
        let request = hello.signed_request(me, with);
        terms.hello = Some(hello);
        terms.recent.retain(|at| now.mono < *at + WINDOW);
        terms.recent.push_back(now.mono);
        json::text(&request)
    }

    /// Ends a handshake with the validator's answer: the `response` text of its synapse.
    pub fn finish(&mut self, with: &Hotkey, now: Now, me: &Hotkey, answer: &str) -> Result<(), HandshakeFault> {
        let terms = self.terms.get_mut(with).ok_or(HandshakeFault::Unasked)?;
        let hello = terms.hello.take().ok_or(HandshakeFault::Unasked)?;
        if let Some(refusal) = Refusal::parse(answer) {
            return Err(HandshakeFault::Refused(refusal));
        }
        let answer: SessionInitResponse = json::parse(answer)?;
        let session = hello.finish(me, with, &answer)?;
        // The validator's clock says when it ends; how long that is from now is what counts here.
        let life = session.expires_at().since(now.wall).clamp(SHORTEST_LIFE, SESSION_LIFETIME);
        let renew = now.mono + life.saturating_sub(SESSION_RENEWAL).max(SHORTEST_LIFE);
        let live = Live { session, renew, ends: now.mono + life };
        if let Some(renewed) = terms.current.replace(live) {
            terms.previous = Some(renewed.session);
        }
        terms.backoff.reset();
        terms.not_before = Mono::default();
        Ok(())
    }

    /// A handshake failed, for whatever reason: says how long the next one waits.
    pub fn failed(&mut self, with: &Hotkey, now: Mono, rng: &mut impl RngCore) -> Duration {
        let Some(terms) = self.terms.get_mut(with) else { return Duration::ZERO };
        terms.hello = None;
        let wait = terms.backoff.wait(rng);
        terms.not_before = now + wait;
        wait
    }

    /// The right to encrypt one message, with the id of its session.
    pub fn reserve(&mut self, with: &Hotkey, now: Mono, kind: SynapseKind) -> Option<(String, Sealer, Opener)> {
        let terms = self.terms.get_mut(with)?;
        terms.live(now)?;
        let session = &mut terms.current.as_mut()?.session;
        let Ok(sealer) = session.reserve_seal(kind) else {
            terms.current = None;
            return None;
        };
        Some((session.id().to_owned(), sealer, session.opener()))
    }

    /// Takes the number of an answer in that session.
    pub fn admit(&mut self, with: &Hotkey, id: &str, seq: u64) -> Result<(), SessionFault> {
        let session = self.terms.get_mut(with).and_then(|terms| terms.find(id));
        session.ok_or_else(|| SessionFault::Unknown(id.to_owned()))?.admit(seq)
    }

    /// That session is of no more use for new messages; answers in it may still come. One that was made
    /// meanwhile is left alone.
    pub fn lose(&mut self, with: &Hotkey, id: &str) {
        let Some(terms) = self.terms.get_mut(with) else { return };
        if let Some(lost) = terms.current.take_if(|live| live.session.id() == id) {
            terms.previous = Some(lost.session);
        }
    }

    /// Forgets validators that are neither listed nor in use.
    pub fn keep(&mut self, wanted: impl Fn(&Hotkey) -> bool) {
        self.terms.retain(|with, _| wanted(with));
    }
}
