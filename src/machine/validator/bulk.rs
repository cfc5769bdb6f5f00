//! Requests with big bodies: what waits for them here, and the work itself, which runs in the bulk spoke.
//!
//! Owns the waiting requests, bounded in number and bytes. [`serve`] is pure and keeps nothing.

use std::{collections::BTreeMap, sync::Arc};

use super::{axon::Pending, incoming, receipts};
use crate::{
    machine::contract::validator_bulk::{DEPTH, SynapseWork, Unfit, Unpacked, ValidatorBulk, ValidatorBulkDone},
    units::{Hotkey, Mono},
    wire::{
        session::{Package, SessionFault},
        synapse::{Body, SynapseKind},
    },
};

/// Bodies that may be with the spoke at once; the rest of its depth is for receipts, and one for the marketplace.
pub const MOST_JOBS: usize = DEPTH - receipts::MOST_JOBS - 1;
/// Bytes of these bodies together.
pub const MOST_BYTES: usize = 128 << 20;
/// A hotkey has at most one part in this many of both; the longest body fits into one.
const SHARES: usize = 4;
/// Bodies whose signature is not verified yet have one part in this many.
const UNVERIFIED: usize = 2;

impl Pending {
    fn shares_with(&self, other: &Pending) -> bool {
        match self.unverified {
            Some(address) => other.unverified == Some(address),
            None => other.unverified.is_none() && other.head.hotkey == self.head.hotkey,
        }
    }
}

/// Requests whose bodies the spoke reads.
#[derive(Debug, Default)]
pub struct Waiting {
    jobs: BTreeMap<u64, (Pending, usize)>,
    bytes: usize,
    last: u64,
}

impl Waiting {
    /// Whether a body of this size may be handed out now. A hotkey has its share, so that none takes it all. As long
    /// as nothing says that a body is the hotkey's, it counts for the address that it came from, and all of these
    /// together have half of the room: who only uses names takes nothing from those who sign.
    pub fn has_room(&self, pending: &Pending, bytes: usize) -> bool {
        let within =
            |held: (usize, usize), parts: usize| held.0 < MOST_JOBS / parts && held.1 + bytes <= MOST_BYTES / parts;
        let unverified =
            pending.unverified.is_none() || within(self.held(|other| other.unverified.is_some()), UNVERIFIED);
        within(self.held(|other| pending.shares_with(other)), SHARES) && unverified && within(self.held(|_| true), 1)
    }

    /// How many bodies of those requests there are, and their bytes.
    fn held(&self, which: impl Fn(&Pending) -> bool) -> (usize, usize) {
        let held = self.jobs.values().filter(|(pending, _)| which(pending));
        held.fold((0, 0), |(jobs, held), (_, bytes)| (jobs + 1, held + bytes))
    }

    /// Whether a commitment or a proof of that hotkey is being read that arrived by then.
    pub fn holds(&self, caller: &Hotkey, by: Mono) -> bool {
        let phase = |kind| matches!(kind, SynapseKind::Challenge | SynapseKind::ChallengeProof);
        let mut of = self.jobs.values().filter(|(pending, _)| pending.head.hotkey == *caller);
        of.any(|(pending, _)| phase(pending.kind) && pending.arrived <= by)
    }

    /// Keeps a request until its body was read; the number goes with the work.
    pub fn keep(&mut self, pending: Pending, bytes: usize) -> u64 {
        self.last += 1;
        self.bytes += bytes;
        self.jobs.insert(self.last, (pending, bytes));
        self.last
    }

    pub fn take(&mut self, job: u64) -> Option<Pending> {
        let (pending, bytes) = self.jobs.remove(&job)?;
        self.bytes -= bytes;
        Some(pending)
    }

    pub fn count(&self) -> usize {
        self.jobs.len()
    }

    /// Panics when a bound does not hold.
    pub fn check_invariants(&self) {
        assert!(self.jobs.len() <= MOST_JOBS && self.bytes <= MOST_BYTES, "too many big bodies");
        assert_eq!(self.bytes, self.jobs.values().map(|(_, bytes)| bytes).sum::<usize>());
    }
}

/// Does one piece of work. Runs in the spoke.
pub fn serve(request: ValidatorBulk) -> ValidatorBulkDone {
    match request {
        ValidatorBulk::Synapse(work) => ValidatorBulkDone::Synapse { job: work.job, outcome: unpack(&work) },
        ValidatorBulk::Receipts(work) => ValidatorBulkDone::Receipts { job: work.job, text: receipts::serve(&work) },
        ValidatorBulk::Hub { opener, text } => ValidatorBulkDone::Hub(Box::new(opener.open(&text))),
    }
}

fn unpack(work: &SynapseWork) -> Result<Unpacked, Unfit> {
    if let Some(claim) = &work.claim {
        claim.verify(&work.body).map_err(Unfit::Unsigned)?;
    }
    let body = Body::parse(&work.body).map_err(Unfit::Axon)?;
    body.speaks_for(&work.caller).map_err(Unfit::Axon)?;
    let text = body.request.filter(|text| !text.is_empty());
    let text = text.ok_or_else(|| Unfit::Session(SessionFault::empty_request()))?;
    let package = Package::parse(&text).map_err(Unfit::Session)?;
    let unknown = || Unfit::Session(SessionFault::Unknown(package.session_id.chars().take(64).collect()));
    let (session, opener) = work.openers.iter().find(|(id, _)| **id == *package.session_id).ok_or_else(unknown)?;
    let opened = opener.open_package(work.kind, &package).map_err(Unfit::Session)?;
    Ok(Unpacked { session: Arc::clone(session), seq: opened.seq, said: incoming::read(work.kind, &opened.plaintext) })
}
