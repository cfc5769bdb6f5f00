//! A request of a miner, from its last byte to its answer.
//!
//! The order of checks is the protocol's: the gate (address, class, header, metagraph, nonce, signature), the
//! body, then for encrypted synapses the rate of the hotkey, the session, the tag, the sequence number, the
//! message. Big bodies make a detour through the bulk spoke and come back at the same place. It decides who
//! is answered what; the rules of sessions and challenges are with their owners.

use std::sync::Arc;

use super::{
    Command, Phase, Validator,
    bulk::Waiting,
    challenges::{Commitment, Fault},
    draw, heartbeat,
    incoming::{self, Incoming},
    ledger::{Beat, Waiter},
    sessions,
};
use crate::{
    compute::cpu_matrix::Spec,
    machine::{
        Message, Output,
        contract::{
            store::{CPU_MATRIX, ChallengeRow, End, Work, Write},
            validator_bulk::{SynapseWork, Unfit, Unpacked, ValidatorBulk},
            verify::{Evidence, VerifyRequest},
        },
    },
    metrics::Metric,
    units::{Mono, Now, PeerId},
    wire::{
        code, http, json,
        limits::BULK_BYTES,
        messages::{
            CPU_UUID, ChallengeData, ChallengeSpec, CommitmentData, DeviceProof, DeviceRequest, Failure, HeartbeatData,
            HeartbeatResponse, ProofData, ProofRequests, Raw, StatusAnswer, TaskRequest, TaskResponse,
        },
        session::{Offer, SessionFault},
        synapse::{self, AxonRefusal, Body, Head, SynapseKind},
    },
};

/// Longest Merkle path that is taken in: a tree of 10,000 leaves has 14 levels.
const MOST_SIBLINGS: usize = 64;
/// Longest hash of a proof, in characters.
const HASH_TEXT: usize = 64;

/// A verified request that is not answered yet.
#[derive(Debug)]
pub struct Pending {
    pub peer: PeerId,
    pub kind: SynapseKind,
    pub head: Head,
    /// When its last byte was read.
    pub arrived: Mono,
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
            return self.hand_to_bulk(now, pending, request.body);
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
        let looked = self.gate.look(now, peer, request, |hotkey| !ready || chain.knows(hotkey))?;
        if !ready {
            return Err(AxonRefusal::Unavailable("the validator is starting or stopping"));
        }
        self.gate.verify(now, &looked.head, self.me.hotkey())?;
        Ok(Pending { peer, kind: looked.kind, head: looked.head, arrived })
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

    fn hand_to_bulk(&mut self, now: Now, pending: Pending, body: Vec<u8>) {
        if pending.kind == SynapseKind::SessionInit {
            return self.refuse(pending.peer, &AxonRefusal::TooLarge);
        }
        if !self.gate.within_rate(now, &pending.head.hotkey) {
            return self.answer_fault(now, &pending, &SessionFault::RateLimited);
        }
        if !self.axon.bulk.has_room(&pending.head.hotkey, body.len()) {
            return self.refuse(pending.peer, &AxonRefusal::Unavailable("too many big requests"));
        }
        let openers = self.sessions.openers(now.mono, &pending.head.hotkey);
        let (kind, caller) = (pending.kind, pending.head.hotkey.clone());
        let job = self.axon.bulk.keep(pending, body.len());
        let work = SynapseWork { job, kind, caller, body, openers };
        self.command(Command::Bulk(ValidatorBulk::Synapse(Box::new(work))));
    }

    /// A big body was read.
    pub(super) fn unpacked(&mut self, now: Now, job: u64, outcome: Result<Unpacked, Unfit>) {
        let Some(pending) = self.axon.bulk.take(job) else { return };
        let Unpacked { session, seq, said } = match outcome {
            Ok(unpacked) => unpacked,
            Err(Unfit::Axon(refusal)) => return self.refuse(pending.peer, &refusal),
            Err(Unfit::Session(fault)) => return self.answer_fault(now, &pending, &fault),
        };
        let admitted = self.sessions.admit(now.mono, &pending.head.hotkey, &session, seq);
        match admitted.and(said) {
            Ok(incoming) => self.understood(now, pending, session, incoming),
            Err(fault) => self.answer_fault(now, &pending, &fault),
        }
    }

    fn understood(&mut self, now: Now, pending: Pending, session: sessions::SessionId, incoming: Incoming) {
        let done = match incoming {
            Incoming::Heartbeat(data) => return self.heartbeat(now, pending, session, &data),
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
        let changed = self.fleet.heard(now.mono, &hotkey, heartbeat::words(data));
        let write = Write::Heartbeat(Box::new(heartbeat::write(&hotkey, now.wall, data, &changed)));
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

    /// The clock of each challenge starts with this answer.
    fn hand_out(&mut self, now: Now, pending: &Pending, request: &TaskRequest) -> String {
        let rows = self.challenges.hand_out(now, &pending.head.hotkey, request.idle_workers.as_deref());
        let limit_s = self.config.validation.challenge_timeout.as_secs_f64().ceil() as u32;
        let specs = rows.iter().filter_map(|row| spec_of(row, limit_s.clamp(1, 300))).collect();
        json::text(&TaskResponse::new(specs, now.wall))
    }

    fn commitment(&mut self, now: Now, pending: &Pending, data: &CommitmentData) -> Result<ProofRequests, Fault> {
        let commitment = Commitment {
            id: data.challenge_id.as_str(),
            worker: &data.worker_id,
            devices: data.commitments.iter().map(|of| (of.uuid.as_str(), of.merkle_root.as_str())).collect(),
            arrived: pending.arrived,
        };
        let (rng, cpu) = (&mut self.rng, &self.config.validation.cpu);
        let draw = |row: &ChallengeRow| draw::rows(rng, cpu, row.work.matrix_size());
        let (rows, computation) = self.challenges.commit(now, &pending.head.hotkey, &commitment, draw)?;
        self.counters.observe(Metric::ComputationSeconds, &[CPU_MATRIX], computation);
        Ok(ProofRequests { proof_requests: vec![DeviceRequest::rows(CPU_UUID, rows)] })
    }

    fn proof(&mut self, now: Now, pending: &Pending, data: ProofData) -> Result<StatusAnswer, Fault> {
        if data.challenge_id.as_str().is_empty() || data.proofs.is_empty() {
            return Err(Fault::ProofIncomplete);
        }
        let (row, committed) = self.challenges.awaiting_proof(&pending.head.hotkey, data.challenge_id.as_str())?;
        let proof = the_cpu_proof(data.proofs)?;
        let (id, spec) = (row.id.clone(), spec(row));
        let (root, rows) = (committed.root.clone(), committed.rows.clone());
        if let Err(reason) = fits(&proof, rows.len()) {
            self.challenges.end(now, &id, End::Failed(reason.clone()), None);
            return Err(Fault::BadProof { id, reason });
        }
        let Some(spec) = spec.filter(|_| !self.verification.is_full()) else {
            self.challenges.end(now, &id, End::Void("verification queue full".into()), None);
            return Err(Fault::QueueFull(id));
        };
        let evidence = Evidence::CpuMatrix { spec, root, rows, proof };
        self.verification.push(VerifyRequest { id: id.clone(), evidence });
        self.challenges.verifying(now, &id);
        Ok(StatusAnswer::queued(&id))
    }

    /// What goes back, encrypted like any answer, when a processing failed.
    fn failure(&mut self, pending: &Pending, fault: &Fault) -> String {
        log::debug!(target: "validator", "{} of {}: {fault}", pending.kind.class(), pending.head.hotkey);
        self.counters.count(Metric::Faults, &[fault.label()]);
        json::text(&Failure { error: fault.to_string() })
    }

    fn answer_sealed(&mut self, now: Now, pending: &Pending, session: &Arc<str>, text: &str) {
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

fn the_cpu_proof(proofs: Vec<DeviceProof>) -> Result<DeviceProof, Fault> {
    let [proof] = <[DeviceProof; 1]>::try_from(proofs).map_err(|_| Fault::OtherDevices)?;
    if proof.uuid != CPU_UUID {
        return Err(Fault::OtherDevices);
    }
    if proof.row_hashes.is_empty() {
        return Err(Fault::NoRowHashes);
    }
    Ok(proof)
}

/// Whether a proof may wait in memory: its counts are those asked for, and nothing in it is longer than it can be.
fn fits(proof: &DeviceProof, asked: usize) -> Result<(), String> {
    let (hashes, paths) = (proof.row_hashes.len(), proof.merkle_proofs.len());
    if hashes != asked || paths != asked {
        return Err(format!("{hashes} row hashes and {paths} Merkle proofs for {asked} rows"));
    }
    let siblings = proof.merkle_proofs.iter().flat_map(|path| &path.proof_hashes);
    let leaves = proof.merkle_proofs.iter().map(|path| &path.leaf_hash);
    let long = proof.row_hashes.iter().chain(leaves).chain(siblings).any(|hash| hash.len() > HASH_TEXT);
    let deep =
        proof.merkle_proofs.iter().any(|path| path.proof_hashes.len().max(path.proof_directions.len()) > MOST_SIBLINGS);
    match long || deep || !proof.coordinate_values.is_empty() {
        true => Err("proof with hashes or values that no row has".into()),
        false => Ok(()),
    }
}

/// The arithmetic that a stored challenge stands for.
fn spec(row: &ChallengeRow) -> Option<Spec> {
    let Work::CpuMatrix { n, iterations } = row.work else { return None };
    Spec::new(seed(row)?, n, iterations).ok()
}

fn seed(row: &ChallengeRow) -> Option<[u8; 16]> {
    let mut seed = [0; 16];
    hex::decode_to_slice(&row.seed, &mut seed).ok().map(|()| seed)
}

fn spec_of(row: &ChallengeRow, timeout: u32) -> Option<ChallengeSpec> {
    let Work::CpuMatrix { n, iterations } = row.work else { return None };
    let data = ChallengeData {
        challenge_type: CPU_MATRIX.into(),
        matrix_size: n,
        seed: seed(row)?,
        iterations,
        mode: None,
        target_gpu_id: None,
        challenge_id: Some(row.id.clone()),
        worker_id: Some(row.target.worker.clone()),
        miner_hotkey: Some(row.target.hotkey.to_string()),
        round_id: Some(row.round_id.clone()),
    };
    Some(ChallengeSpec {
        challenge_id: row.id.clone(),
        challenge_type: CPU_MATRIX.into(),
        data: Raw::of(&data).ok()?,
        timeout,
        target_worker_id: row.target.worker.clone(),
    })
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
