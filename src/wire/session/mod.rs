//! Sessions between miner (client) and validator (server): handshake, encrypted packages, replay window.
//!
//! It owns keys and counters of one session. It keeps no table of sessions, counts no handshakes and reads no
//! clock: that is the machines'. Work on big bodies can leave the loop: [`Opener`] and [`Sealer`] hold the keys
//! and ids, while the counters stay here.

mod fault;
mod handshake;
mod package;
mod window;

#[cfg(test)]
mod vectors;

use std::{fmt, sync::Arc};

use zeroize::ZeroizeOnDrop;

pub use self::{
    fault::{Refusal, SessionFault},
    handshake::{ClientHello, Offer, handshake_text},
    package::Package,
    window::{ReplayWindow, WindowFault},
};
use crate::{
    units::{Hotkey, Wall},
    wire::synapse::SynapseKind,
};

/// One end of a session.
#[derive(Debug)]
pub struct Session {
    keys: Arc<Keys>,
    expires_at: Wall,
    /// The number of the next package that we send; `None` when all are used up.
    next_seq: Option<u64>,
    window: ReplayWindow,
    peer_signed: bool,
}

/// What both directions of a session need, for as long as anybody works on it.
#[derive(ZeroizeOnDrop)]
struct Keys {
    seal: [u8; 32],
    open: [u8; 32],
    #[zeroize(skip)]
    id: Box<str>,
    #[zeroize(skip)]
    me: Hotkey,
    #[zeroize(skip)]
    peer: Hotkey,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({}, {} ↔ {})", self.id, self.me, self.peer)
    }
}

impl Session {
    fn new(keys: Keys, expires_at: Wall, peer_signed: bool) -> Session {
        let keys = Arc::new(keys);
        Session { keys, expires_at, next_seq: Some(1), window: ReplayWindow::default(), peer_signed }
    }

    /// One end of a session whose keys were recorded elsewhere.
    #[cfg(test)]
    pub(crate) fn recorded(id: &str, me: &Hotkey, peer: &Hotkey, seal: [u8; 32], open: [u8; 32]) -> Session {
        let keys = Keys { seal, open, id: id.into(), me: me.clone(), peer: peer.clone() };
        Session::new(keys, Wall(u64::MAX), false)
    }

    /// A package under any number: what a broken peer might send.
    #[cfg(test)]
    pub(crate) fn seal_as(&self, seq: u64, kind: SynapseKind, plaintext: &str) -> String {
        Sealer { keys: self.keys.clone(), kind, seq }.seal(plaintext)
    }

    pub fn id(&self) -> &str {
        &self.keys.id
    }
    pub fn peer(&self) -> &Hotkey {
        &self.keys.peer
    }
    pub fn expires_at(&self) -> Wall {
        self.expires_at
    }
    /// Whether the peer signed its half of the handshake.
    pub fn peer_signed(&self) -> bool {
        self.peer_signed
    }

    /// Encrypts the next package. Each takes a number of its own; after 2^64 − 1 the session has ended.
    pub fn seal(&mut self, kind: SynapseKind, plaintext: &str) -> Result<String, SessionFault> {
        Ok(self.reserve_seal(kind)?.seal(plaintext))
    }

    /// Takes the next number; the encryption itself may be done elsewhere.
    pub fn reserve_seal(&mut self, kind: SynapseKind) -> Result<Sealer, SessionFault> {
        let seq = self.next_seq.ok_or(SessionFault::Exhausted)?;
        self.next_seq = seq.checked_add(1);
        Ok(Sealer { keys: self.keys.clone(), kind, seq })
    }

    /// Encrypts the next package under a type of another protocol, and hands out its fields.
    pub(in crate::wire) fn seal_typed<'a>(
        &'a mut self,
        kind: &'a str,
        plaintext: &str,
    ) -> Result<Package<'a>, SessionFault> {
        let seq = self.next_seq.ok_or(SessionFault::Exhausted)?;
        self.next_seq = seq.checked_add(1);
        let Keys { seal, id, me, peer, .. } = &*self.keys;
        Ok(package::sealed(seal, &package::Address { id, seq, sender: me, recipient: peer, kind }, plaintext))
    }

    /// Decrypts a package and takes its number. The window moves only after the tag was verified.
    pub fn open(&mut self, kind: SynapseKind, package: &str) -> Result<String, SessionFault> {
        let opened = self.opener().open(kind, package)?;
        self.admit(opened.seq)?;
        Ok(opened.plaintext)
    }

    /// What decrypts packages of this session; cheap to clone, may be sent to a spoke.
    pub fn opener(&self) -> Opener {
        Opener { keys: self.keys.clone() }
    }

    /// The window itself, for a transport that keeps order and may therefore be stricter.
    pub(in crate::wire) fn window(&mut self) -> &mut ReplayWindow {
        &mut self.window
    }

    /// Takes the number of a package whose tag an [`Opener`] has verified; each only once.
    pub fn admit(&mut self, seq: u64) -> Result<(), SessionFault> {
        self.window.admit(seq).map_err(|_| SessionFault::Sequence)
    }
}

/// Decrypts packages of one session, without judging their numbers.
#[derive(Clone, Debug)]
pub struct Opener {
    keys: Arc<Keys>,
}

/// A package whose tag was good. Its number must still be admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    pub seq: u64,
    pub plaintext: String,
}

impl Opener {
    pub fn open(&self, kind: SynapseKind, package: &str) -> Result<Opened, SessionFault> {
        self.open_package(kind, &Package::parse(package)?)
    }

    /// [`Opener::open`] for a package that was parsed already, to find its session.
    pub fn open_package(&self, kind: SynapseKind, package: &Package<'_>) -> Result<Opened, SessionFault> {
        self.open_typed(kind.protocol_type(), package)
    }

    /// [`Opener::open_package`] where packages carry types of another protocol, as text: the marketplace's.
    pub(in crate::wire) fn open_typed(&self, kind: &str, package: &Package<'_>) -> Result<Opened, SessionFault> {
        let keys = &self.keys;
        package.check(&keys.id, &keys.peer, &keys.me, kind)?;
        let plaintext = package::decrypt(&keys.open, package)?;
        Ok(Opened { seq: package.seq, plaintext })
    }
}

/// The right to encrypt one package under one number. It is used up by its use.
#[derive(Debug)]
pub struct Sealer {
    keys: Arc<Keys>,
    kind: SynapseKind,
    seq: u64,
}

impl Sealer {
    pub fn seal(self, plaintext: &str) -> String {
        let Keys { seal, id, me, peer, .. } = &*self.keys;
        package::encrypt(
            seal,
            &package::Address { id, seq: self.seq, sender: me, recipient: peer, kind: self.kind.protocol_type() },
            plaintext,
        )
    }
}
