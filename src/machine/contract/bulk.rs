//! Work on big messages, as machines hand it over: what is decrypted, encrypted or parsed off the loop when
//! it has more than [`crate::wire::limits::BULK_BYTES`]. A value says all that its work needs and does it in
//! one pure function, so the loop does the same to small messages by calling it itself.
//!
//! Each role has requests of its own; the spoke's thread is the same for all.

use std::sync::Arc;

use crate::{
    units::PeerId,
    wire::{
        http,
        json::JsonFault,
        messages::{Answer, HeartbeatResponse, ProofRequests, Raw, StatusAnswer, TaskResponse},
        receipt::ReceiptResponse,
        session::{Opener, Refusal, Sealer, SessionFault},
        synapse::{CallFault, OpenCall, SignedCall, SynapseKind, btauth::Unsigned, parse_answer},
        websocket::{FrameFault, Register, RegisterRefusal, ToMiner},
    },
};

/// What a miner hands over.
#[derive(Debug)]
pub enum MinerBulk {
    Frame(Frame),
    Seal { job: u64, sealing: Sealing },
    Open { job: u64, opening: Opening },
}

/// What a miner gets back.
#[derive(Debug)]
pub enum MinerBulkDone {
    Frame { peer: PeerId, words: Box<Words> },
    Sealed { job: u64, sealed: Sealed },
    Opened { job: u64, letter: Result<Letter, Unusable> },
}

impl MinerBulk {
    pub fn work(self) -> MinerBulkDone {
        match self {
            MinerBulk::Frame(frame) => MinerBulkDone::Frame { peer: frame.peer, words: Box::new(frame.read()) },
            MinerBulk::Seal { job, sealing } => MinerBulkDone::Sealed { job, sealed: sealing.write() },
            MinerBulk::Open { job, opening } => MinerBulkDone::Opened { job, letter: opening.read() },
        }
    }
}

/// A frame of a worker, as text.
#[derive(Debug)]
pub struct Frame {
    pub peer: PeerId,
    pub text: String,
    /// It opens its connection, so it must be a registration.
    pub first: bool,
}

/// A frame that was read.
#[derive(Debug)]
pub enum Words {
    First(Result<Register, RegisterRefusal>),
    Later(Result<ToMiner, FrameFault>),
}

impl Frame {
    pub fn read(&self) -> Words {
        match self.first {
            true => Words::First(Register::parse_first(&self.text)),
            false => Words::Later(ToMiner::parse(&self.text)),
        }
    }
}

/// A request to a validator that is numbered, but not yet encrypted and written.
#[derive(Debug)]
pub struct Sealing {
    pub sealer: Sealer,
    pub call: Letterhead,
    pub plaintext: Arc<str>,
}

/// What a request says of its sender.
#[derive(Clone, Debug)]
pub enum Letterhead {
    /// It is signed already, without its body.
    Signed(SignedCall),
    /// It will be signed with its body.
    Open(OpenCall),
}

impl Letterhead {
    pub fn write(&self, text: &str) -> Sealed {
        match self {
            Letterhead::Signed(call) => Sealed::Ready(call.request(text)),
            Letterhead::Open(call) => Sealed::Unsigned(call.write(text)),
        }
    }
}

/// A request that is encrypted and written.
#[derive(Debug)]
pub enum Sealed {
    Ready(http::Request),
    /// What is signed with its body is signed last, by who holds the key.
    Unsigned(Unsigned),
}

impl Sealing {
    pub fn write(self) -> Sealed {
        self.call.write(&self.sealer.seal(&self.plaintext))
    }
}

/// A validator's response to an encrypted request.
#[derive(Debug)]
pub struct Opening {
    pub opener: Opener,
    pub kind: SynapseKind,
    pub response: http::Response,
}

/// What was in a response.
#[derive(Debug, PartialEq)]
pub enum Letter {
    /// A fault of the session, in plaintext.
    Refused(Refusal),
    /// A package with a good tag. Its number is still to be admitted.
    Opened { seq: u64, reply: Reply },
}

/// A validator's answer, by what was asked.
#[derive(Debug, PartialEq)]
pub enum Reply {
    Heartbeat(Answer<HeartbeatResponse>),
    Tasks(Answer<TaskResponse>),
    /// What to prove goes to the worker as it came.
    Requests(Answer<ProofRequests<Raw>>),
    Status(Answer<StatusAnswer>),
    Receipts(Answer<ReceiptResponse>),
}

/// A response that says nothing to us.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    #[error("{0}")]
    Call(#[from] CallFault),
    #[error("{0}")]
    Package(#[from] SessionFault),
    #[error("{0}")]
    Body(#[from] JsonFault),
}

impl Opening {
    pub fn read(&self) -> Result<Letter, Unusable> {
        let text = parse_answer(&self.response)?;
        if let Some(refusal) = Refusal::parse(&text) {
            return Ok(Letter::Refused(refusal));
        }
        let opened = self.opener.open(self.kind, &text)?;
        Ok(Letter::Opened { seq: opened.seq, reply: Reply::read(self.kind, &opened.plaintext)? })
    }
}

impl Reply {
    fn read(kind: SynapseKind, plaintext: &str) -> Result<Reply, JsonFault> {
        Ok(match kind {
            SynapseKind::Heartbeat => Reply::Heartbeat(Answer::parse(plaintext)?),
            SynapseKind::Task => Reply::Tasks(Answer::parse(plaintext)?),
            SynapseKind::Challenge => Reply::Requests(Answer::parse(plaintext)?),
            SynapseKind::ChallengeProof => Reply::Status(Answer::parse(plaintext)?),
            SynapseKind::Receipt => Reply::Receipts(Answer::parse(plaintext)?),
            SynapseKind::SessionInit => return Err(JsonFault::Shape("a handshake is not encrypted".into())),
        })
    }
}
