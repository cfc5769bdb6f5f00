//! Who may speak, asked in the order of what an answer costs: address, class, header, metagraph, receiver, nonce,
//! signature, and only then the body and the hotkey's own allowance. Where the signature covers a big body, it is
//! checked in the bulk spoke, and what depends on it waits for the verdict.
//!
//! Owns the addresses of open connections, the counters per address, the nonces and the rate of each hotkey.
//! Nothing of a hotkey's moves before its signature was good. It knows no sessions and reads no request's
//! meaning.

use std::{collections::BTreeMap, net::IpAddr};

use super::{nonces::Nonces, rate::Rate, sources::Sources};
use crate::{
    config::validator::RateLimit,
    units::{Hotkey, Now, PeerId},
    wire::{
        http,
        synapse::{self, AxonRefusal, Head, Signs, SynapseKind, btauth::Claim},
    },
};

/// A request whose sender is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    pub kind: SynapseKind,
    pub head: Head,
}

#[derive(Debug)]
pub struct Gate {
    peers: BTreeMap<PeerId, IpAddr>,
    sources: Sources,
    nonces: Nonces,
    /// Of requests whose body is signed: each nonce counts once, in any order.
    bodies: Nonces,
    rate: Rate,
}

impl Gate {
    /// Limits of one source address, and of one hotkey.
    pub fn new(per_source: RateLimit, per_hotkey: RateLimit) -> Gate {
        Gate {
            peers: BTreeMap::new(),
            sources: Sources::new(per_source),
            nonces: Nonces::default(),
            bodies: Nonces::default(),
            rate: Rate::new(per_hotkey),
        }
    }

    pub fn opened(&mut self, peer: PeerId, address: IpAddr) {
        self.peers.insert(peer, address);
    }

    pub fn closed(&mut self, peer: PeerId) {
        self.peers.remove(&peer);
    }

    /// Everything that is checked before the sender's signature. The cost is a few look-ups.
    pub fn look(
        &mut self,
        now: Now,
        peer: PeerId,
        request: &http::Request,
        me: &Hotkey,
        in_metagraph: impl Fn(&Hotkey) -> bool,
    ) -> Result<Verified, AxonRefusal> {
        if !self.peers.get(&peer).is_some_and(|address| self.sources.admit(*address, now.mono)) {
            return Err(AxonRefusal::TooManyRequests);
        }
        if request.method != "POST" {
            return Err(AxonRefusal::Method);
        }
        let kind = synapse::kind_of(&request.target).ok_or_else(|| AxonRefusal::unknown_synapse(&request.target))?;
        let head = Head::parse(&request.headers)?;
        if !in_metagraph(&head.hotkey) {
            return Err(AxonRefusal::NotInMetagraph);
        }
        head.is_for(me)?;
        self.check_nonce(now, &head)?;
        Ok(Verified { kind, head })
    }

    fn check_nonce(&self, now: Now, head: &Head) -> Result<(), AxonRefusal> {
        self.unused(head)?;
        head.fresh_nonce(now.wall).map(|_| ())
    }

    fn unused(&self, head: &Head) -> Result<(), AxonRefusal> {
        let nonce = head.nonce.ok_or(AxonRefusal::MissingNonce)?;
        let uuid = head.uuid.as_deref().unwrap_or_default();
        match head.signs {
            Signs::Header if self.nonces.is_used(&head.hotkey, uuid, nonce) => Err(AxonRefusal::NonceReused),
            Signs::Body if self.bodies.is_used(&head.hotkey, &nonce.to_string(), nonce) => Err(AxonRefusal::Replayed),
            _ => Ok(()),
        }
    }

    /// The signature, where it is checked here. From here on the request is the hotkey's own doing.
    pub fn verify(&mut self, now: Now, head: &Head, request: &http::Request, me: &Hotkey) -> Result<(), AxonRefusal> {
        match Claim::of(head, request, me) {
            Some(claim) => claim.verify(&request.body)?,
            None => head.verify(me)?,
        }
        self.verified(now, head)
    }

    /// The signature was found good, here or elsewhere: its nonce is used up. One that was used up meanwhile is
    /// refused.
    pub fn verified(&mut self, now: Now, head: &Head) -> Result<(), AxonRefusal> {
        self.unused(head)?;
        match (head.signs, &head.uuid, head.nonce) {
            (Signs::Header, Some(uuid), Some(nonce)) => self.nonces.remember(&head.hotkey, uuid, nonce, now.wall),
            (Signs::Body, _, Some(nonce)) => {
                self.bodies.remember(&head.hotkey, &nonce.to_string(), nonce, now.wall);
            }
            _ => {}
        }
        Ok(())
    }

    /// Where an open connection comes from.
    pub fn address(&self, peer: PeerId) -> Option<IpAddr> {
        self.peers.get(&peer).copied()
    }

    /// Counts one verified, encrypted request of the hotkey; `false` when it is over its rate.
    pub fn within_rate(&mut self, now: Now, hotkey: &Hotkey) -> bool {
        self.rate.admit(hotkey, now.mono)
    }

    /// Forgets hotkeys that left the metagraph.
    pub fn retain(&mut self, known: impl Fn(&Hotkey) -> bool) {
        self.nonces.retain(&known);
        self.bodies.retain(&known);
        self.rate.retain(known);
    }

    /// Requests of this hotkey that count against its rate.
    #[cfg(test)]
    pub fn counted(&self, hotkey: &Hotkey) -> usize {
        self.rate.counted(hotkey)
    }
}
