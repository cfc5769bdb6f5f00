//! Everything between this miner and its validators: one connection a request, sessions, repeats.
//!
//! Owns the lanes, the sessions, the nonces and every request in flight. It does not know why a message is
//! sent or what an answer leads to; it reports each message's end exactly once.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use rand_chacha::ChaCha20Rng;
use rand_core::RngCore;

use super::{
    Command, Wish,
    failure::Failure,
    flows::FlowKey,
    lanes::{Job, Lane, Lanes, Purpose},
    receipts::Receipts,
    sessions::{HandshakeFault, Sessions},
    signing::Signing,
};
use crate::{
    machine::{
        Dial, Gone, Output,
        backoff::Backoff,
        clock::Nonces,
        contract::bulk::{Letter, Letterhead, MinerBulk, Opening, Reply, Sealed, Sealing, Unusable},
        credit::Credit,
    },
    units::{Hotkey, Mono, Now, PeerId},
    wire::{
        http::Response,
        keys::Keypair,
        limits::{BULK_BYTES, HANDSHAKE_TIMEOUT},
        session::{Opener, Refusal},
        synapse::{Call, CallFault, OpenCall, SynapseKind, parse_answer},
    },
};

/// Wait before a connection that was refused is tried again for the same message.
const REDIAL: Duration = Duration::from_secs(1);

/// First and longest wait after a refusal for too many requests; the validators' window is 30 s by default.
const PACE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(8));

/// How long a report of a failure is tried again after such a refusal.
const REPORT_PERSISTENCE: Duration = Duration::from_secs(60);

/// Reports of failures that may wait for one validator.
const REPORTS_MAX: usize = 256;

/// Proofs that may wait for one validator, or fly to it, without their workers; and their bytes.
const PROOFS_MAX: usize = 256;
const PROOFS_BYTES: usize = 64 * 1024 * 1024;

/// What the loop's own deadline may be late by before a request is cancelled from here.
const MARGIN: Duration = Duration::from_secs(2);

/// Waits and counts from the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Until a connection is open.
    pub connect: Duration,
    /// Until the answer is there.
    pub request: Duration,
    /// Further attempts for one message whose connection did not open.
    pub retries: u32,
}

/// How a message ended.
#[derive(Debug)]
pub struct Ended {
    pub to: Hotkey,
    /// `None` for a handshake.
    pub purpose: Option<Purpose>,
    pub outcome: Result<Option<Reply>, Failure>,
    pub took: Duration,
}

/// A request on its way.
#[derive(Debug)]
struct Flight {
    to: Hotkey,
    cargo: Cargo,
    stage: Stage,
    /// Its signature covers its body.
    signed_body: bool,
    started: Mono,
    /// When it is cancelled from here.
    until: Mono,
}

#[derive(Debug)]
enum Cargo {
    Handshake,
    Message { job: Job, session: String, opener: Opener },
}

#[derive(Debug)]
enum Stage {
    /// With the bulk spoke, to be encrypted.
    Sealing,
    /// Dialed, not open yet.
    Dialing { peer: PeerId, until: Mono },
    /// Open; its answer is awaited.
    Open { peer: PeerId },
    /// The answer is with the bulk spoke.
    Reading,
}

#[derive(Debug)]
pub struct Uplink {
    key: Keypair,
    patience: Patience,
    nonces: Nonces,
    lanes: Lanes,
    sessions: Sessions,
    signing: Signing,
    pub receipts: Receipts,
    flights: BTreeMap<u64, Flight>,
    peers: BTreeMap<PeerId, u64>,
    flights_made: u64,
    wishes: Vec<Wish>,
    ended: Vec<Ended>,
}

impl Uplink {
    pub fn new(key: Keypair, patience: Patience) -> Uplink {
        Uplink {
            key,
            patience,
            nonces: Nonces::default(),
            lanes: Lanes::default(),
            sessions: Sessions::default(),
            signing: Signing::default(),
            receipts: Receipts::default(),
            flights: BTreeMap::new(),
            peers: BTreeMap::new(),
            flights_made: 0,
            wishes: Vec::new(),
            ended: Vec::new(),
        }
    }

    pub fn hotkey(&self) -> &Hotkey {
        self.key.hotkey()
    }

    /// What it wants of the loop since the last call.
    pub fn take_wishes(&mut self) -> Vec<Wish> {
        std::mem::take(&mut self.wishes)
    }

    /// Messages that ended since the last call.
    pub fn take_ended(&mut self) -> Vec<Ended> {
        std::mem::take(&mut self.ended)
    }

    /// Nothing waits and nothing flies on that lane.
    pub fn is_idle(&self, to: &Hotkey, lane: Lane) -> bool {
        self.lanes.is_idle(to, lane)
    }

    pub fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// Messages that wait or fly.
    pub fn messages(&self) -> usize {
        self.lanes.len()
    }

    pub fn sessions_live(&self, now: Mono) -> usize {
        self.sessions.live_count(now)
    }

    /// Validators whose requests are signed with their bodies.
    pub fn signed_bodies(&self) -> usize {
        self.signing.validators()
    }

    /// Takes a message; [`Uplink::pump`] sends it.
    pub fn submit(&mut self, now: Mono, to: &Hotkey, purpose: Purpose, plaintext: String) {
        self.submit_until(now, now, to, purpose, plaintext);
    }

    /// The same for a message that is tried again until then when the validator has had too many requests.
    pub fn submit_until(&mut self, now: Mono, until: Mono, to: &Hotkey, purpose: Purpose, plaintext: String) {
        let timeout = purpose.lane().timeout(self.patience.request);
        self.lanes.push(Job {
            to: to.clone(),
            purpose,
            plaintext: plaintext.into(),
            repeated: false,
            dials: 0,
            pace: Backoff::new(PACE.0, PACE.1),
            until,
            not_before: now,
            give_up: now + HANDSHAKE_TIMEOUT + timeout,
        });
    }

    /// Tells a validator that there will be no commitment. What it misses of these it learns from its own clock, so
    /// more than a few do not wait.
    pub fn report(&mut self, now: Mono, to: &Hotkey, key: FlowKey, plaintext: String) {
        let waiting = self.lanes.waiting(to, Lane::Commitment);
        if waiting.filter(|job| matches!(job.purpose, Purpose::Report(_))).count() < REPORTS_MAX {
            self.submit_until(now, now + REPORT_PERSISTENCE, to, Purpose::Report(key), plaintext);
        } else {
            log::debug!(target: "miner", "challenge {} failed; {to} is not told, too much waits for it", key.challenge);
        }
    }

    /// Whether a proof of so many bytes may wait here without its worker.
    pub fn has_room_for_proof(&self, to: &Hotkey, bytes: usize) -> bool {
        let flying = self.flights.values().filter(|flight| flight.to == *to).filter_map(|flight| match &flight.cargo {
            Cargo::Message { job, .. } if job.purpose.lane() == Lane::Proof => Some(job),
            _ => None,
        });
        let held = flying.chain(self.lanes.waiting(to, Lane::Proof)).map(|job| job.plaintext.len());
        let (count, held) = held.fold((0, 0), |(count, sum), bytes| (count + 1, sum + bytes));
        count < PROOFS_MAX && held + bytes <= PROOFS_BYTES
    }

    /// Sends what can be sent. `axon` says where a validator is, if it still is anywhere.
    pub fn pump(
        &mut self,
        now: Now,
        axon: impl Fn(&Hotkey) -> Option<SocketAddr>,
        bulk: &mut Credit<MinerBulk>,
        rng: &mut ChaCha20Rng,
    ) {
        for to in self.lanes.waiting_for(now.mono) {
            let Some(axon) = axon(&to) else { continue };
            if self.sessions.wants_handshake(&to, now.mono) {
                self.begin_handshake(now, &to, axon, rng);
            }
            for lane in Lane::ALL {
                while self.sessions.is_live(&to, now.mono)
                    && let Some(job) = self.lanes.take(&to, lane, now.mono)
                {
                    self.launch(now, axon, job, bulk, rng);
                }
            }
        }
    }

    fn begin_handshake(&mut self, now: Now, to: &Hotkey, axon: SocketAddr, rng: &mut ChaCha20Rng) {
        let text = self.sessions.begin(to, now, &self.key, rng);
        let timeout = self.patience.request.min(HANDSHAKE_TIMEOUT);
        let signed_body = self.signing.covers_body(to, text.len());
        let call = OpenCall { kind: SynapseKind::SessionInit, to: to.clone(), axon };
        let call = self.letterhead(now, call, timeout, signed_body, rng);
        let id = self.fly(now.mono, to, Cargo::Handshake, timeout, signed_body);
        self.dial(now, id, axon, call.write(&text), timeout);
    }

    fn launch(&mut self, now: Now, axon: SocketAddr, job: Job, bulk: &mut Credit<MinerBulk>, rng: &mut ChaCha20Rng) {
        let lane = job.purpose.lane();
        let Some((session, sealer, opener)) = self.sessions.reserve(&job.to, now.mono, lane.kind()) else {
            self.lanes.landed(&job.to, lane);
            self.lanes.put_back(job);
            return;
        };
        let timeout = lane.timeout(self.patience.request);
        let signed_body = self.signing.covers_body(&job.to, job.plaintext.len());
        let call = OpenCall { kind: lane.kind(), to: job.to.clone(), axon };
        let call = self.letterhead(now, call, timeout, signed_body, rng);
        let (to, plaintext) = (job.to.clone(), job.plaintext.clone());
        let large = plaintext.len() > BULK_BYTES;
        let id = self.fly(now.mono, &to, Cargo::Message { job, session, opener }, timeout, signed_body);
        let sealing = Sealing { sealer, call, plaintext };
        if large {
            bulk.push(MinerBulk::Seal { job: id, sealing });
        } else {
            self.dial(now, id, axon, sealing.write(), timeout);
        }
    }

    /// Says who we are: now, or with the body when that is written.
    fn letterhead(
        &mut self,
        now: Now,
        call: OpenCall,
        timeout: Duration,
        signed_body: bool,
        rng: &mut ChaCha20Rng,
    ) -> Letterhead {
        if signed_body {
            return Letterhead::Open(call);
        }
        let OpenCall { kind, to, axon } = call;
        let uuid = new_uuid(rng);
        let nonce = self.nonces.next(now.wall);
        let dendrite_ip = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Letterhead::Signed(
            Call { kind, from: &self.key, to: &to, axon, dendrite_ip, nonce, uuid: &uuid, timeout }.sign(),
        )
    }

    fn fly(&mut self, now: Mono, to: &Hotkey, cargo: Cargo, timeout: Duration, signed_body: bool) -> u64 {
        self.flights_made += 1;
        let until = now + timeout + MARGIN;
        let flight = Flight { to: to.clone(), cargo, stage: Stage::Sealing, signed_body, started: now, until };
        self.flights.insert(self.flights_made, flight);
        self.flights_made
    }

    fn dial(&mut self, now: Now, id: u64, to: SocketAddr, sealed: Sealed, timeout: Duration) {
        let Some(flight) = self.flights.get_mut(&id) else { return };
        let request = match sealed {
            Sealed::Ready(request) => request,
            Sealed::Unsigned(request) => request.sign(&self.key, self.nonces.next(now.wall)),
        };
        // Flights and dialed connections are numbered alike: each flight dials at most once.
        let peer = PeerId::dialed(id);
        flight.stage = Stage::Dialing { peer, until: now.mono + self.patience.connect.min(timeout) };
        self.peers.insert(peer, id);
        self.wishes.push(Output::Dial { peer, dial: Dial::Http { to, request, timeout } });
    }

    /// The bulk spoke has encrypted a message.
    pub fn sealed(&mut self, now: Now, id: u64, sealed: Sealed, axon: impl Fn(&Hotkey) -> Option<SocketAddr>) {
        let Some(flight) = self.flights.get(&id) else { return };
        let Cargo::Message { job, .. } = &flight.cargo else { return };
        let timeout = job.purpose.lane().timeout(self.patience.request);
        match axon(&flight.to) {
            Some(axon) => self.dial(now, id, axon, sealed, timeout),
            None => self.fail(now.mono, id, Failure::NoSession),
        }
    }

    pub fn opened(&mut self, peer: PeerId) {
        let flight = self.peers.get(&peer).and_then(|id| self.flights.get_mut(id));
        if let Some(flight) = flight {
            flight.stage = Stage::Open { peer };
        }
    }

    /// A validator's response, to a handshake or to a message.
    pub fn responded(
        &mut self,
        now: Now,
        peer: PeerId,
        response: Response,
        bulk: &mut Credit<MinerBulk>,
        rng: &mut ChaCha20Rng,
    ) {
        let Some(id) = self.peers.remove(&peer) else { return };
        let Some(flight) = self.flights.get_mut(&id) else { return };
        self.receipts.heard(&flight.to, &response);
        let again = self.signing.heard(&flight.to, now.mono, flight.signed_body, &response);
        if again && matches!(flight.cargo, Cargo::Message { .. }) {
            return self.send_again(now.mono, id);
        }
        let Cargo::Message { job, opener, .. } = &flight.cargo else {
            return self.end_handshake(now, id, parse_answer(&response), rng);
        };
        let opening = Opening { opener: opener.clone(), kind: job.purpose.lane().kind(), response };
        if opening.response.body.len() > BULK_BYTES {
            flight.stage = Stage::Reading;
            bulk.push(MinerBulk::Open { job: id, opening });
        } else {
            self.read(now.mono, id, opening.read(), rng);
        }
    }

    /// What was in the response to a message.
    pub fn read(&mut self, now: Mono, id: u64, letter: Result<Letter, Unusable>, rng: &mut ChaCha20Rng) {
        let Some(flight) = self.flights.get(&id) else { return };
        let Cargo::Message { job, session, .. } = &flight.cargo else { return };
        match letter {
            Ok(Letter::Refused(refusal)) if refusal.asks_for_new_session() && !job.repeated => self.repeat(now, id),
            Ok(Letter::Refused(refusal)) if refusal.is_rate_limit() => self.wait(now, id, refusal, rng),
            Ok(Letter::Refused(refusal)) => self.fail(now, id, Failure::Refused(refusal)),
            Ok(Letter::Opened { seq, reply }) => match self.sessions.admit(&flight.to, session, seq) {
                Ok(()) => self.end(now, id, Ok(Some(reply))),
                Err(fault) => self.fail(now, id, Failure::Unusable(fault.to_string())),
            },
            Err(Unusable::Call(fault)) => self.fail(now, id, fault.into()),
            Err(Unusable::Package(fault)) => {
                let (to, session) = (flight.to.clone(), session.clone());
                self.sessions.lose(&to, &session);
                self.fail(now, id, Failure::Unusable(fault.to_string()));
            }
            Err(Unusable::Body(fault)) => self.fail(now, id, Failure::Unusable(fault.to_string())),
        }
    }

    /// Nothing of the message was taken: it goes out once more, in another envelope.
    fn send_again(&mut self, now: Mono, id: u64) {
        let Some(Flight { to, cargo: Cargo::Message { mut job, .. }, .. }) = self.flights.remove(&id) else { return };
        job.give_up = now + HANDSHAKE_TIMEOUT + job.purpose.lane().timeout(self.patience.request);
        self.lanes.landed(&to, job.purpose.lane());
        self.lanes.put_back(job);
    }

    /// The validator does not know the session: a new one is made, and the message sent once more.
    fn repeat(&mut self, now: Mono, id: u64) {
        let Some(Flight { to, cargo: Cargo::Message { mut job, session, .. }, .. }) = self.flights.remove(&id) else {
            return;
        };
        log::debug!(target: "miner", "{to} does not know session {session}: handshake, then again");
        self.sessions.lose(&to, &session);
        job.repeated = true;
        job.give_up = now + HANDSHAKE_TIMEOUT + job.purpose.lane().timeout(self.patience.request);
        self.lanes.landed(&to, job.purpose.lane());
        self.lanes.put_back(job);
    }

    /// The validator has had too many requests of ours, and has not looked at this one: it is sent again later,
    /// while it is of use.
    fn wait(&mut self, now: Mono, id: u64, refusal: Refusal, rng: &mut ChaCha20Rng) {
        let Some(Flight { cargo: Cargo::Message { job, .. }, .. }) = self.flights.get_mut(&id) else { return };
        job.not_before = now + job.pace.wait(rng);
        if job.not_before >= job.until {
            return self.fail(now, id, Failure::Refused(refusal));
        }
        let Some(Flight { to, cargo: Cargo::Message { mut job, .. }, .. }) = self.flights.remove(&id) else { return };
        log::debug!(target: "miner", "{to} has had too many requests: again in {:?}", job.not_before.since(now));
        job.give_up = job.until.max(job.not_before + HANDSHAKE_TIMEOUT);
        self.lanes.landed(&to, job.purpose.lane());
        self.lanes.put_back(job);
    }

    fn end_handshake(&mut self, now: Now, id: u64, answer: Result<String, CallFault>, rng: &mut ChaCha20Rng) {
        let Some(flight) = self.flights.get(&id) else { return };
        let to = flight.to.clone();
        let outcome = match answer {
            Ok(text) => match self.sessions.finish(&to, now, self.key.hotkey(), &text) {
                Ok(()) => Ok(None),
                Err(HandshakeFault::Refused(refusal)) => Err(Failure::Refused(refusal)),
                Err(fault) => Err(Failure::Unusable(fault.to_string())),
            },
            Err(fault) => Err(fault.into()),
        };
        if outcome.is_err() {
            self.sessions.failed(&to, now.mono, rng);
        }
        self.end(now.mono, id, outcome);
    }

    /// A connection ended, or never opened.
    pub fn gone(&mut self, now: Now, peer: PeerId, reason: Gone, rng: &mut ChaCha20Rng) {
        let Some(id) = self.peers.remove(&peer) else { return };
        let Some(flight) = self.flights.get(&id) else { return };
        let unopened = matches!(flight.stage, Stage::Dialing { .. });
        match &flight.cargo {
            Cargo::Handshake => {
                let to = flight.to.clone();
                self.sessions.failed(&to, now.mono, rng);
                self.fail(now.mono, id, Failure::Silent(reason));
            }
            Cargo::Message { job, .. } if unopened && self.may_redial(now.mono, job) => self.redial(now.mono, id),
            Cargo::Message { .. } => self.fail(now.mono, id, Failure::Silent(reason)),
        }
    }

    /// Nothing of it was sent, so a message of a flow may be tried again without being said twice.
    fn may_redial(&self, now: Mono, job: &Job) -> bool {
        let flow = matches!(job.purpose, Purpose::Commit(_) | Purpose::Report(_) | Purpose::Submit(_));
        flow && job.dials < self.patience.retries && now + REDIAL < job.give_up
    }

    fn redial(&mut self, now: Mono, id: u64) {
        let Some(Flight { to, cargo: Cargo::Message { mut job, .. }, .. }) = self.flights.remove(&id) else { return };
        job.dials += 1;
        job.not_before = now + REDIAL;
        self.lanes.landed(&to, job.purpose.lane());
        self.lanes.put_back(job);
    }

    /// Cancels what takes too long, and gives up what could not be sent.
    pub fn expire(&mut self, now: Now, rng: &mut ChaCha20Rng) {
        for job in self.lanes.expire(now.mono) {
            let outcome = Err(Failure::NoSession);
            self.ended.push(Ended { to: job.to, purpose: Some(job.purpose), outcome, took: Duration::ZERO });
        }
        let due = self.flights.iter().filter(|(_, flight)| flight.deadline() <= now.mono);
        let due: Vec<_> = due.map(|(id, flight)| (*id, flight.stage.peer())).collect();
        for (id, peer) in due {
            let reason = Gone::Timeout("cancelled: no connection or no answer in time".into());
            match peer {
                Some(peer) => {
                    self.wishes.push(Output::Close { peer, code: 1000, reason: "cancelled".into() });
                    self.gone(now, peer, reason, rng);
                }
                None => self.fail(now.mono, id, Failure::Silent(reason)),
            }
        }
    }

    /// Drops what waits; what flies may finish.
    pub fn stop(&mut self) {
        self.lanes.clear();
    }

    /// Forgets the sessions of validators that are neither listed nor in use.
    pub fn keep(&mut self, listed: impl Fn(&Hotkey) -> bool) {
        let Uplink { sessions, signing, receipts, lanes, flights, .. } = self;
        let wanted = |to: &Hotkey| listed(to) || lanes.is_used(to) || flights.values().any(|flight| flight.to == *to);
        sessions.keep(wanted);
        signing.keep(wanted);
        receipts.keep(wanted);
    }

    pub fn deadline(&self, now: Mono) -> Option<Mono> {
        let flights = self.flights.values().map(Flight::deadline);
        // A message that waits for a session goes on when the next handshake may be made.
        let handshakes = self.lanes.waiting_for(now).into_iter().filter(|to| !self.sessions.is_live(to, now));
        let handshakes = handshakes.filter_map(|to| self.sessions.next_handshake(&to)).filter(|at| *at > now);
        flights.chain(self.lanes.deadline(now)).chain(handshakes).min()
    }

    fn fail(&mut self, now: Mono, id: u64, failure: Failure) {
        self.end(now, id, Err(failure));
    }

    fn end(&mut self, now: Mono, id: u64, outcome: Result<Option<Reply>, Failure>) {
        let Some(flight) = self.flights.remove(&id) else { return };
        let purpose = match flight.cargo {
            Cargo::Handshake => None,
            Cargo::Message { job, .. } => {
                self.lanes.landed(&flight.to, job.purpose.lane());
                Some(job.purpose)
            }
        };
        self.ended.push(Ended { to: flight.to, purpose, outcome, took: now.since(flight.started) });
    }
}

impl Flight {
    fn deadline(&self) -> Mono {
        match self.stage {
            Stage::Dialing { until, .. } => until.min(self.until),
            Stage::Sealing | Stage::Open { .. } | Stage::Reading => self.until,
        }
    }
}

impl Stage {
    fn peer(&self) -> Option<PeerId> {
        match self {
            Stage::Dialing { peer, .. } | Stage::Open { peer } => Some(*peer),
            Stage::Sealing | Stage::Reading => None,
        }
    }
}

/// A random UUID (version 4) from the machine's own generator.
pub fn new_uuid(rng: &mut impl RngCore) -> String {
    let mut bytes = [0; 16];
    rng.fill_bytes(&mut bytes);
    uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
}

/// A request for the bulk spoke, as the loop carries it.
pub fn to_bulk(request: MinerBulk) -> Wish {
    Output::Command(Command::Bulk(request))
}
