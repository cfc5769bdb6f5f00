//! A request of a miner, from its last byte to its answer.
//!
//! The order of checks is the protocol's: the gate (address, class, header, metagraph, nonce, signature), the
//! body, then for encrypted synapses the rate of the hotkey, the session, the tag, the sequence number, the
//! message. Big bodies make a detour through the bulk spoke and come back at the same place. It decides who
//! is answered what; the rules of sessions and challenges are with their owners.

use std::{net::IpAddr, sync::Arc};

use super::{
    Command, Phase, Validator,
    bulk::Waiting,
    draw,
    fault::Fault,
    fleet::Taken,
    gate::Verified,
    heartbeat,
    incoming::{self, Incoming},
    ledger::{Beat, Waiter},
    sessions,
};
use crate::{
    machine::{
        Message, Output,
        contract::{
            store::Write,
            validator_bulk::{SynapseWork, Unfit, Unpacked, ValidatorBulk},
        },
    },
    metrics::Metric,
    units::{Mono, Now, PeerId},
    wire::{
        code, http, json,
        limits::BULK_BYTES,
        messages::{Failure, HeartbeatData, HeartbeatResponse},
        session::{Offer, SessionFault},
        synapse::{self, AxonRefusal, Body, Head, Signs, SynapseKind, btauth::Claim},
    },
};

/// A verified request that is not answered yet.
#[derive(Debug)]
pub struct Pending {
    pub peer: PeerId,
    pub kind: SynapseKind,
    pub head: Head,
    /// When its last byte was read.
    pub arrived: Mono,
    /// Its body is signed and not yet hashed: nothing says that it is the hotkey's. Then, where it came from.
    pub unverified: Option<IpAddr>,
}

/// What the axon remembers between inputs.
#[derive(Debug, Default)]
pub struct Axon {
    pub bulk: Waiting,
}

impl Axon {
    pub fn check_invariants(&self) {
        self.bulk.check_invariants();
    }
}

impl Validator {
    pub(super) fn request(&mut self, now: Now, peer: PeerId, request: http::Request, arrived: Mono) {
        let pending = match self.admit(now, peer, &request, arrived) {
            Ok(pending) => pending,
            Err(refusal) => return self.refuse(peer, &refusal),
        };
        self.counters.count(Metric::Requests, &[pending.kind.class()]);
        if request.body.len() > BULK_BYTES {
            return self.hand_to_bulk(now, pending, request);
        }
        let body = Body::parse(&request.body).and_then(|body| body.speaks_for(&pending.head.hotkey).map(|()| body));
        match body {
            Ok(body) => self.body(now, pending, body),
            Err(refusal) => self.refuse(peer, &refusal),
        }
    }

    /// Everything before the body.
    fn admit(
        &mut self,
        now: Now,
        peer: PeerId,
        request: &http::Request,
        arrived: Mono,
    ) -> Result<Pending, AxonRefusal> {
        let chain = &self.chain;
        let ready = self.phase == Phase::Running && chain.graph().is_some();
        let me = self.me.hotkey();
        let Verified { kind, head } = self.gate.look(now, peer, request, me, |hotkey| !ready || chain.knows(hotkey))?;
        if !ready {
            return Err(AxonRefusal::Unavailable("the validator is starting or stopping"));
        }
        // Hashing a big body is the bulk spoke's work.
        let later = head.signs == Signs::Body && request.body.len() > BULK_BYTES;
        if !later {
            self.gate.verify(now, &head, request, me)?;
        }
        let unverified = self.gate.address(peer).filter(|_| later);
        Ok(Pending { peer, kind, head, arrived, unverified })
    }

    fn body(&mut self, now: Now, pending: Pending, body: Body) {
        if pending.kind == SynapseKind::SessionInit {
            return self.handshake(now, pending, body.request.as_deref());
        }
        if !self.gate.within_rate(now, &pending.head.hotkey) {
            return self.answer_fault(now, &pending, &SessionFault::RateLimited);
        }
        match self.opened(now, &pending, body.request.as_deref()) {
            Ok((session, incoming)) => self.understood(now, pending, session, incoming),
            Err(fault) => self.answer_fault(now, &pending, &fault),
        }
    }

    fn opened(
        &mut self,
        now: Now,
        pending: &Pending,
        request: Option<&str>,
    ) -> Result<(sessions::SessionId, Incoming), SessionFault> {
        let package = request.filter(|text| !text.is_empty()).ok_or_else(SessionFault::empty_request)?;
        let (session, plaintext) = self.sessions.open(now.mono, &pending.head.hotkey, pending.kind, package)?;
        Ok((session, incoming::read(pending.kind, &plaintext)?))
    }

    fn handshake(&mut self, now: Now, pending: Pending, request: Option<&str>) {
        let offer = Offer {
            secret: draw::bytes(&mut self.rng).into(),
            nonce: draw::bytes(&mut self.rng),
            session_id: draw::uuid(&mut self.rng),
            expires_at: now.wall + sessions::LIFETIME,
        };
        match self.sessions.handshake(now.mono, &pending.head.hotkey, &self.me, request, offer) {
            Ok(text) => self.answer(now, &pending, &text),
            Err(fault) => self.answer_fault(now, &pending, &fault),
        }
    }

    fn hand_to_bulk(&mut self, now: Now, pending: Pending, request: http::Request) {
        if pending.kind == SynapseKind::SessionInit {
            return self.refuse(pending.peer, &AxonRefusal::TooLarge);
        }
        if pending.unverified.is_none() && !self.gate.within_rate(now, &pending.head.hotkey) {
            return self.answer_fault(now, &pending, &SessionFault::RateLimited);
        }
        if !self.axon.bulk.has_room(&pending, request.body.len()) {
            return self.too_much_to_read(now, &pending);
        }
        let openers = self.sessions.openers(now.mono, &pending.head.hotkey);
        let claim = Claim::of(&pending.head, &request, self.me.hotkey()).map(Box::new);
        let (kind, caller, body) = (pending.kind, pending.head.hotkey.clone(), request.body);
        let job = self.axon.bulk.keep(pending, body.len());
        let work = SynapseWork { job, kind, caller, claim, body, openers };
        self.command(Command::Bulk(ValidatorBulk::Synapse(Box::new(work))));
    }

    /// As too many requests are refused: who knows that word comes again, and nothing was held against him.
    fn too_much_to_read(&mut self, now: Now, pending: &Pending) {
        let fault = SessionFault::RateLimited;
        self.counters.count(Metric::Refusals, &[code_label(fault.code()), "too_much_to_read"]);
        self.answer(now, pending, &fault.to_json());
    }

    /// A big body was read.
    pub(super) fn unpacked(&mut self, now: Now, job: u64, outcome: Result<Unpacked, Unfit>) {
        let Some(pending) = self.axon.bulk.take(job) else { return };
        if let Err(fault) = self.belated(now, &pending, &outcome) {
            return match fault {
                Unfit::Session(fault) => self.answer_fault(now, &pending, &fault),
                Unfit::Axon(refusal) | Unfit::Unsigned(refusal) => self.refuse(pending.peer, &refusal),
            };
        }
        let Unpacked { session, seq, said } = match outcome {
            Ok(unpacked) => unpacked,
            Err(Unfit::Axon(refusal) | Unfit::Unsigned(refusal)) => return self.refuse(pending.peer, &refusal),
            Err(Unfit::Session(fault)) => return self.answer_fault(now, &pending, &fault),
        };
        let admitted = self.sessions.admit(now.mono, &pending.head.hotkey, &session, seq);
        match admitted.and(said) {
            Ok(incoming) => self.understood(now, pending, session, incoming),
            Err(fault) => self.answer_fault(now, &pending, &fault),
        }
    }

    /// What the gate does with a good signature, where it was the spoke that found it good.
    fn belated(&mut self, now: Now, pending: &Pending, outcome: &Result<Unpacked, Unfit>) -> Result<(), Unfit> {
        if pending.unverified.is_none() || matches!(outcome, Err(Unfit::Unsigned(_))) {
            return Ok(());
        }
        self.gate.verified(now, &pending.head).map_err(Unfit::Axon)?;
        match self.gate.within_rate(now, &pending.head.hotkey) {
            true => Ok(()),
            false => Err(Unfit::Session(SessionFault::RateLimited)),
        }
    }

    fn understood(&mut self, now: Now, pending: Pending, session: sessions::SessionId, incoming: Incoming) {
        let done = match incoming {
            Incoming::Heartbeat(data) => return self.heartbeat(now, pending, session, &data),
            Incoming::Receipts(request) => return self.receipts(now, pending, session, request),
            Incoming::Task(request) => Ok(self.hand_out(now, &pending, &request)),
            Incoming::Commitment(data) => self.commitment(now, &pending, &data).map(|answer| json::text(&answer)),
            Incoming::Proof(data) => self.proof(now, &pending, *data).map(|answer| json::text(&answer)),
        };
        let text = done.unwrap_or_else(|fault| self.failure(&pending, &fault));
        self.answer_sealed(now, &pending, &session, &text);
    }

    /// Taken in now, answered when it is durable.
    fn heartbeat(&mut self, now: Now, pending: Pending, session: sessions::SessionId, data: &HeartbeatData) {
        let hotkey = pending.head.hotkey.clone();
        let words = heartbeat::words(data, |model| self.config.validation.allows_gpu(model));
        let prints: Vec<u64> = words.iter().map(|word| word.hardware).collect();
        self.market.heard(now, &hotkey, data, &prints);
        let taken = self.fleet.heard(now.mono, &hotkey, words);
        let passed_over = taken.iter().filter(|taken| **taken == Taken::PassedOver).count();
        if passed_over > 0 {
            self.counters.add(Metric::WorkersPassedOver, &[], passed_over as u64);
            log::debug!(target: "validator", "{hotkey} names {passed_over} new workers more than an hour may bring");
        }
        let write = Write::Heartbeat(Box::new(heartbeat::write(&hotkey, now.wall, data, &taken)));
        let workers = u32::try_from(data.workers.len()).unwrap_or(u32::MAX);
        let waiter = Waiter::Heartbeat(Box::new(Beat { pending, session, workers }));
        if let Err(full) = self.ledger.heartbeat(now, write, waiter) {
            let text = full.to_string();
            self.fleet.hardware_lost(&hotkey);
            if let Some(Waiter::Heartbeat(beat)) = full.waiter {
                self.answer_heartbeat(now, &beat, &Err(text));
            }
        }
    }

    pub(super) fn answer_heartbeat(&mut self, now: Now, beat: &Beat, stored: &Result<(), String>) {
        let answer = match stored {
            Ok(()) => HeartbeatResponse::accepted(beat.workers, now.wall),
            Err(_) => HeartbeatResponse::failed("heartbeat not stored", now.wall),
        };
        if stored.is_ok() {
            self.counters.count(Metric::Heartbeats, &[]);
        } else {
            self.counters.count(Metric::Refusals, &[code_label(code::HEARTBEAT_FAILED), "not_stored"]);
        }
        self.answer_sealed(now, &beat.pending, &beat.session, &json::text(&answer));
    }

    /// What goes back, encrypted like any answer, when a processing failed.
    pub(super) fn failure(&mut self, pending: &Pending, fault: &Fault) -> String {
        log::debug!(target: "validator", "{} of {}: {fault}", pending.kind.class(), pending.head.hotkey);
        self.counters.count(Metric::Faults, &[fault.label()]);
        json::text(&Failure { error: fault.to_string() })
    }

    pub(super) fn answer_sealed(&mut self, now: Now, pending: &Pending, session: &Arc<str>, text: &str) {
        match self.sessions.seal(now.mono, &pending.head.hotkey, session, pending.kind, text) {
            Ok(package) => self.answer(now, pending, &package),
            Err(fault) => self.answer_fault(now, pending, &fault),
        }
    }

    /// A fault of the session, in plaintext.
    fn answer_fault(&mut self, now: Now, pending: &Pending, fault: &SessionFault) {
        log::debug!(target: "validator", "{} of {}: {fault}", pending.kind.class(), pending.head.hotkey);
        self.counters.count(Metric::Refusals, &[code_label(fault.code()), fault_label(fault)]);
        self.answer(now, pending, &fault.to_json());
    }

    fn answer(&mut self, now: Now, pending: &Pending, response: &str) {
        let took = now.mono.since(pending.arrived);
        self.counters.observe(Metric::RequestSeconds, &[pending.kind.class()], took);
        let message = Message::Response(synapse::answer(pending.kind, &pending.head, response, took));
        self.outputs.push_back(Output::Send { peer: pending.peer, message });
    }

    /// The axon's own refusal.
    fn refuse(&mut self, peer: PeerId, refusal: &AxonRefusal) {
        self.counters.count(Metric::Refusals, &[code_label(refusal.status()), refusal.label()]);
        self.outputs.push_back(Output::Send { peer, message: Message::Response(refusal.response()) });
    }
}

fn code_label(code: u16) -> &'static str {
    const KNOWN: [(u16, &str); 16] = [
        (400, "400"),
        (401, "401"),
        (403, "403"),
        (404, "404"),
        (405, "405"),
        (413, "413"),
        (422, "422"),
        (429, "429"),
        (503, "503"),
        (1003, "1003"),
        (1004, "1004"),
        (4011, "4011"),
        (4012, "4012"),
        (4015, "4015"),
        (4018, "4018"),
        (4020, "4020"),
    ];
    KNOWN.iter().find(|(known, _)| *known == code).map_or("other", |(_, label)| label)
}

fn fault_label(fault: &SessionFault) -> &'static str {
    match fault {
        SessionFault::Package(_) => "package",
        SessionFault::Unknown(_) => "unknown_session",
        SessionFault::Body(_) => "body",
        SessionFault::Sequence => "sequence",
        SessionFault::Handshake(_) => "handshake",
        SessionFault::HandshakeRate { .. } => "handshake_rate",
        SessionFault::RateLimited => "rate",
        SessionFault::Exhausted => "exhausted",
    }
}
