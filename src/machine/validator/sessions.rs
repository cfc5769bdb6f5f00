//! Sessions of miners: handshakes, their limits, and which session a package belongs to.
//!
//! Owns every session, in memory only: a restart forgets them all, which is what forward secrecy asks for.
//! Called for verified requests alone, so naming a hotkey neither uses up its handshakes nor evicts its
//! sessions. Draws no randomness: what a handshake offers is handed in.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{
    units::{Hotkey, Mono},
    wire::{
        json,
        keys::Keypair,
        limits::{HANDSHAKE_WINDOW, HANDSHAKES, SESSION_LIFETIME, SESSIONS_PER_HOTKEY},
        messages::SessionInitRequest,
        session::{Offer, Opener, Package, Session, SessionFault},
        synapse::SynapseKind,
    },
};

/// A session's id, shared with whoever waits to answer under it.
pub type SessionId = Arc<str>;

/// How sessions came and went since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub opened: u64,
    pub expired: u64,
    pub evicted: u64,
}

#[derive(Debug, Default)]
pub struct Sessions {
    by_id: BTreeMap<SessionId, Held>,
    owners: BTreeMap<Hotkey, Owner>,
    signed_only: bool,
    tally: Tally,
}

#[derive(Debug)]
struct Held {
    session: Session,
    ends: Mono,
}

#[derive(Debug, Default)]
struct Owner {
    /// Least recently used first.
    ids: Vec<SessionId>,
    /// Moments of the handshakes inside the window.
    handshakes: VecDeque<Mono>,
}

impl Sessions {
    /// `signed_only`: a handshake without the miner's signature is refused.
    pub fn new(signed_only: bool) -> Sessions {
        Sessions { signed_only, ..Sessions::default() }
    }

    /// Answers a verified hotkey's handshake with the text of its response. Well-formed ones count, also when
    /// they fail then; refused ones do not.
    pub fn handshake(
        &mut self,
        now: Mono,
        miner: &Hotkey,
        me: &Keypair,
        request: Option<&str>,
        offer: Offer,
    ) -> Result<String, SessionFault> {
        let request = well_formed(request)?;
        if self.signed_only && request.sig.is_none() {
            return Err(SessionFault::Handshake("this validator wants a signed handshake".into()));
        }
        self.count_handshake(now, miner)?;
        let (session, answer) = offer.accept(miner, me, &request)?;
        self.keep(now, miner, session);
        Ok(json::text(&answer))
    }

    fn count_handshake(&mut self, now: Mono, miner: &Hotkey) -> Result<(), SessionFault> {
        let moments = &mut self.owners.entry(miner.clone()).or_default().handshakes;
        while moments.front().is_some_and(|first| now.since(*first) >= HANDSHAKE_WINDOW) {
            moments.pop_front();
        }
        if moments.len() >= HANDSHAKES {
            let window_s = HANDSHAKE_WINDOW.as_secs();
            return Err(SessionFault::HandshakeRate { count: moments.len(), limit: HANDSHAKES, window_s });
        }
        moments.push_back(now);
        Ok(())
    }

    fn keep(&mut self, now: Mono, miner: &Hotkey, session: Session) {
        self.drop_expired(now, miner);
        let id: SessionId = session.id().into();
        self.tally.opened += 1;
        self.by_id.insert(id.clone(), Held { session, ends: now + SESSION_LIFETIME });
        let ids = &mut self.owners.entry(miner.clone()).or_default().ids;
        ids.push(id);
        if ids.len() > SESSIONS_PER_HOTKEY {
            let evicted = ids.remove(0);
            self.by_id.remove(&evicted);
            self.tally.evicted += 1;
        }
    }

    /// Decrypts a verified hotkey's package with the session it names; that session counts as used.
    pub fn open(
        &mut self,
        now: Mono,
        miner: &Hotkey,
        kind: SynapseKind,
        package: &str,
    ) -> Result<(SessionId, String), SessionFault> {
        let package = Package::parse(package)?;
        let (id, session) = self.usable(now, miner, &package.session_id)?;
        let opened = session.opener().open_package(kind, &package)?;
        session.admit(opened.seq)?;
        self.touch(miner, &id);
        Ok((id, opened.plaintext))
    }

    /// What decrypts this hotkey's packages elsewhere; at most [`SESSIONS_PER_HOTKEY`].
    pub fn openers(&mut self, now: Mono, miner: &Hotkey) -> Vec<(SessionId, Opener)> {
        self.drop_expired(now, miner);
        let ids = self.owners.get(miner).map(|owner| owner.ids.clone()).unwrap_or_default();
        ids.into_iter().filter_map(|id| self.by_id.get(&id).map(|held| (id.clone(), held.session.opener()))).collect()
    }

    /// Takes the number of a package that was decrypted elsewhere; the session may have gone meanwhile.
    pub fn admit(&mut self, now: Mono, miner: &Hotkey, id: &str, seq: u64) -> Result<(), SessionFault> {
        let (id, session) = self.usable(now, miner, id)?;
        session.admit(seq)?;
        self.touch(miner, &id);
        Ok(())
    }

    /// Encrypts an answer; the session may have gone while it was waited for.
    pub fn seal(
        &mut self,
        now: Mono,
        miner: &Hotkey,
        id: &str,
        kind: SynapseKind,
        text: &str,
    ) -> Result<String, SessionFault> {
        self.usable(now, miner, id)?.1.seal(kind, text)
    }

    fn usable(&mut self, now: Mono, miner: &Hotkey, id: &str) -> Result<(SessionId, &mut Session), SessionFault> {
        let unknown = || SessionFault::Unknown(id.chars().take(64).collect());
        let ends = self.by_id.get(id).filter(|held| held.session.peer() == miner).map(|held| held.ends);
        if ends.ok_or_else(unknown)? <= now {
            self.drop_expired(now, miner);
            return Err(unknown());
        }
        let key = self.by_id.get_key_value(id).map(|(key, _)| key.clone()).ok_or_else(unknown)?;
        let held = self.by_id.get_mut(id).ok_or_else(unknown)?;
        Ok((key, &mut held.session))
    }

    fn touch(&mut self, miner: &Hotkey, id: &SessionId) {
        let Some(owner) = self.owners.get_mut(miner) else { return };
        if let Some(at) = owner.ids.iter().position(|held| held == id) {
            owner.ids[at..].rotate_left(1);
        }
    }

    fn drop_expired(&mut self, now: Mono, miner: &Hotkey) {
        let Some(owner) = self.owners.get_mut(miner) else { return };
        let by_id = &mut self.by_id;
        let before = owner.ids.len();
        owner.ids.retain(|id| {
            let lives = by_id.get(id).is_some_and(|held| held.ends > now);
            if !lives {
                by_id.remove(id);
            }
            lives
        });
        self.tally.expired += (before - owner.ids.len()) as u64;
    }

    /// Drops what expired, and everything of hotkeys that left the metagraph.
    pub fn retain(&mut self, now: Mono, known: impl Fn(&Hotkey) -> bool) {
        let before = self.by_id.len();
        self.by_id.retain(|_, held| held.ends > now && known(held.session.peer()));
        self.tally.expired += (before - self.by_id.len()) as u64;
        let by_id = &self.by_id;
        self.owners.retain(|hotkey, owner| {
            owner.ids.retain(|id| by_id.contains_key(id));
            known(hotkey)
        });
    }

    pub fn count(&self) -> usize {
        self.by_id.len()
    }

    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Handshakes of this hotkey that count now, and its sessions.
    #[cfg(test)]
    pub fn of(&self, miner: &Hotkey) -> (usize, usize) {
        self.owners.get(miner).map_or((0, 0), |owner| (owner.handshakes.len(), owner.ids.len()))
    }

    /// Puts in a session that was made elsewhere, as a recording has it.
    #[cfg(test)]
    pub fn insert(&mut self, now: Mono, miner: &Hotkey, session: Session) {
        self.keep(now, miner, session);
    }

    /// Panics when a bound does not hold or the tables contradict each other.
    pub fn check_invariants(&self) {
        let held: usize = self.owners.values().map(|owner| owner.ids.len()).sum();
        assert_eq!(held, self.by_id.len(), "every session has one owner");
        for owner in self.owners.values() {
            assert!(owner.ids.len() <= SESSIONS_PER_HOTKEY && owner.handshakes.len() <= HANDSHAKES);
            assert!(owner.ids.iter().all(|id| self.by_id.contains_key(id)));
        }
    }
}

/// How long a session lives, for those who announce it.
pub const LIFETIME: Duration = SESSION_LIFETIME;

fn well_formed(request: Option<&str>) -> Result<SessionInitRequest, SessionFault> {
    let refuse = |why: &str| SessionFault::Handshake(why.into());
    let text = request.filter(|text| !text.is_empty()).ok_or_else(|| refuse("empty session init request"))?;
    let request: SessionInitRequest = json::parse(text).map_err(|fault| refuse(&fault.to_string()))?;
    let bytes = |text: &str| STANDARD.decode(text).map(|bytes| bytes.len());
    if bytes(&request.miner_eph_pub32) != Ok(32) || bytes(&request.client_nonce16) != Ok(16) {
        return Err(refuse("miner_eph_pub32 must be base64 of 32 bytes, client_nonce16 of 16"));
    }
    Ok(request)
}
