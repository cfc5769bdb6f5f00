//! What the validator hands to the bulk spoke: bodies over [`crate::wire::limits::BULK_BYTES`], read,
//! decrypted and typed.
//!
//! The machine keeps credit, and what must be remembered meanwhile under a job number. The spoke holds no
//! state: everything it needs comes with the request.

use std::sync::Arc;

use crate::{
    machine::{score::receipts::Book, validator::incoming::Incoming},
    units::{Hotkey, WorkerId},
    wire::{
        keys::Keypair,
        marketplace::{FrameFault, FromHub, HubOpener, Opened},
        session::{Opener, SessionFault},
        synapse::{AxonRefusal, SynapseKind, btauth::Claim},
    },
};

/// Requests that may be with the spoke at once: every proof of `gemm_i8` is one, and those of a round come together.
/// One is for the marketplace.
pub const DEPTH: usize = 265;

#[derive(Debug)]
pub enum ValidatorBulk {
    /// Read the body of a verified synapse, decrypt and type its request.
    Synapse(Box<SynapseWork>),
    /// Make and sign one page of a miner's receipts.
    Receipts(Box<ReceiptWork>),
    /// Open a big frame of the marketplace.
    Hub { opener: HubOpener, text: String },
}

#[derive(Debug)]
pub struct ReceiptWork {
    pub job: u64,
    pub book: Arc<Book>,
    pub hotkey: Hotkey,
    /// Receipts of workers behind this one.
    pub after: Option<WorkerId>,
    pub key: Keypair,
}

#[derive(Debug)]
pub struct SynapseWork {
    pub job: u64,
    pub kind: SynapseKind,
    /// Whose signature the axon verified, or who is claimed to have signed.
    pub caller: Hotkey,
    /// The signature covers the body: it is verified before anything is read.
    pub claim: Option<Box<Claim>>,
    pub body: Vec<u8>,
    /// The caller's sessions by id; few.
    pub openers: Vec<(Arc<str>, Opener)>,
}

#[derive(Debug)]
pub enum ValidatorBulkDone {
    Synapse {
        job: u64,
        outcome: Result<Unpacked, Unfit>,
    },
    /// The answer, not encrypted yet.
    Receipts {
        job: u64,
        text: String,
    },
    Hub(Box<Result<Opened<FromHub>, FrameFault>>),
}

/// A request whose tag was good. Its sequence number must still be taken.
#[derive(Debug)]
pub struct Unpacked {
    pub session: Arc<str>,
    pub seq: u64,
    /// What it says; a fault of the body uses its number up all the same.
    pub said: Result<Incoming, SessionFault>,
}

/// A body that was no request of the caller's sessions.
#[derive(Clone, Debug, PartialEq)]
pub enum Unfit {
    /// The claimed sender did not sign this body.
    Unsigned(AxonRefusal),
    Axon(AxonRefusal),
    Session(SessionFault),
}
