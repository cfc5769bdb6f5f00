//! A validator for tests: the axon's side of the wire, and moods.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    units::{ChallengeId, Hotkey, Now, WorkerId},
    wire::{
        code, http, json as wire_json,
        keys::Keypair,
        messages::{
            ChallengeSpec, CommitmentData, HeartbeatData, HeartbeatResponse, MarketTask, ProofData, Raw, StatusAnswer,
            TaskRequest, TaskResponse,
        },
        receipt::{ReceiptRequest, ReceiptResponse, SignedReceipt},
        session::{Offer, Package, Session, SessionFault},
        synapse::{
            self, AxonRefusal, Body, Head, SynapseKind,
            btauth::{self, Claim},
        },
    },
};

/// What a validator does with requests of one kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Mood {
    Serves,
    /// Takes the connection and never answers.
    Stalls,
    /// Refuses the connection.
    Down,
    /// Answers with that status and nothing else.
    Status(u16),
    /// Answers in plaintext with that error code.
    Fault(u16),
    /// The same, and serves from then on.
    FaultOnce(u16),
    /// Answers with an encrypted error.
    Error(&'static str),
}

pub struct Validator {
    pub key: Keypair,
    pub axon: SocketAddr,
    pub moods: BTreeMap<SynapseKind, Mood>,
    /// Handed out with the next poll.
    pub challenges: Vec<ChallengeSpec>,
    /// Of the marketplace, given to whoever asks and has not got them.
    pub market_tasks: Vec<MarketTask>,
    /// Asked for after each commitment: a list as JSON.
    pub wants: String,
    pub handshakes: u32,
    pub signed_handshakes: u32,
    pub heartbeats: Vec<HeartbeatData>,
    pub polls: Vec<TaskRequest>,
    /// Those that can be read as this version's.
    pub commitments: Vec<CommitmentData>,
    /// All commitments and proofs, as they came.
    pub texts: Vec<String>,
    pub proofs: Vec<ProofData<Raw>>,
    /// Workers that it has receipts of, in order; two a page.
    pub receipts: Vec<String>,
    pub receipts_asked: Vec<ReceiptRequest>,
    /// Which calculation each page is of, the last for all that follow.
    pub receipts_at_s: VecDeque<u64>,
    /// Every (nonce, uuid) that came; without a uuid, the body was signed.
    pub nonces: Vec<(u64, String)>,
    /// It says that it takes requests whose bodies are signed.
    pub announces: bool,
    /// It takes them, whatever it says; else it knows only the headers of 9.10.
    pub takes_signed_bodies: bool,
    /// Requests whose bodies were signed, taken or not.
    pub signed_bodies: u32,
    /// Seconds that a session lives.
    pub lifetime_s: u64,
    sessions: BTreeMap<String, Session>,
}

impl Validator {
    pub fn new(number: u8) -> Validator {
        Validator {
            key: Keypair::from_seed([100 + number; 32]).unwrap(),
            axon: SocketAddr::from(([192, 0, 2, number], 9091)),
            moods: BTreeMap::new(),
            challenges: Vec::new(),
            market_tasks: Vec::new(),
            wants: r#"[{"uuid":"-1","rows":[13,15],"coordinates":[]}]"#.into(),
            handshakes: 0,
            signed_handshakes: 0,
            heartbeats: Vec::new(),
            polls: Vec::new(),
            commitments: Vec::new(),
            texts: Vec::new(),
            proofs: Vec::new(),
            receipts: Vec::new(),
            receipts_asked: Vec::new(),
            receipts_at_s: VecDeque::from([1]),
            nonces: Vec::new(),
            announces: false,
            takes_signed_bodies: false,
            signed_bodies: 0,
            lifetime_s: 21_600,
            sessions: BTreeMap::new(),
        }
    }

    pub fn hotkey(&self) -> &Hotkey {
        self.key.hotkey()
    }

    pub fn set(&mut self, kind: SynapseKind, mood: Mood) {
        self.moods.insert(kind, mood);
    }

    pub fn set_all(&mut self, mood: &Mood) {
        SynapseKind::ALL.into_iter().for_each(|kind| self.set(kind, mood.clone()));
    }

    /// As a restart does: every session is forgotten.
    pub fn forget_sessions(&mut self) {
        self.sessions.clear();
    }

    pub fn hand_out(&mut self, challenge: &str, worker: &str) {
        self.challenges.push(self::challenge(challenge, worker));
    }

    pub fn mood(&self, target: &str) -> Mood {
        let kind = synapse::kind_of(target).unwrap();
        self.moods.get(&kind).cloned().unwrap_or(Mood::Serves)
    }

    /// Checks a request as an axon does, and answers it.
    pub fn serve(&mut self, now: Now, request: &http::Request) -> http::Response {
        let kind = synapse::kind_of(&request.target).unwrap();
        if let Mood::Status(status) = self.mood(&request.target) {
            return http::Response { status, headers: http::Headers::new(), body: br#"{"message":"no"}"#.to_vec() };
        }
        let head = Head::parse(&request.headers).unwrap();
        if let Some(claim) = Claim::of(&head, request, self.hotkey()) {
            self.signed_bodies += 1;
            if !self.takes_signed_bodies {
                return self.said(AxonRefusal::MissingHotkey.response());
            }
            head.is_for(self.hotkey()).and_then(|()| claim.verify(&request.body)).unwrap();
            head.fresh_nonce(now.wall).unwrap();
        } else {
            head.verify(self.hotkey()).unwrap();
        }
        self.nonces.push((head.nonce.unwrap(), head.uuid.clone().unwrap_or_default()));
        let body = Body::parse(&request.body).unwrap();
        body.speaks_for(&head.hotkey).unwrap();
        let text = self.respond(now, kind, &head.hotkey, &body.request.unwrap());
        self.said(synapse::answer(kind, &head, &text, std::time::Duration::ZERO))
    }

    /// With the announcement, or as those speak who do not know it.
    fn said(&self, response: http::Response) -> http::Response {
        let mut headers = http::Headers::new();
        let kept = |name: &str| self.announces || name != btauth::ANNOUNCEMENT;
        response.headers.iter().filter(|(name, _)| kept(name)).for_each(|(name, value)| headers.push(name, value));
        http::Response { headers, ..response }
    }

    /// It takes requests whose bodies are signed, and says so.
    pub fn knows_btauth(&mut self) {
        (self.announces, self.takes_signed_bodies) = (true, true);
    }

    fn respond(&mut self, now: Now, kind: SynapseKind, from: &Hotkey, text: &str) -> String {
        if let Mood::FaultOnce(error_code) = self.mood(kind.path()) {
            self.set(kind, Mood::Serves);
            return json!({"error": "as the test wants", "error_code": error_code}).to_string();
        }
        if let Mood::Fault(error_code) = self.mood(kind.path()) {
            return json!({"error": "as the test wants", "error_code": error_code}).to_string();
        }
        if kind == SynapseKind::SessionInit {
            return self.shake_hands(now, from, text);
        }
        let package = Package::parse(text).unwrap();
        let id = package.session_id.to_string();
        let Some(session) = self.sessions.get_mut(&id) else { return SessionFault::Unknown(id).to_json() };
        assert_eq!(session.peer(), from);
        let plaintext = session.open(kind, text).unwrap();
        let answer = self.process(now, kind, &plaintext);
        self.sessions.get_mut(&id).unwrap().seal(kind, &answer).unwrap()
    }

    fn shake_hands(&mut self, now: Now, from: &Hotkey, text: &str) -> String {
        self.handshakes += 1;
        let session_id = format!("session-{}-{}", self.axon.ip(), self.handshakes);
        let expires_at = now.wall + std::time::Duration::from_secs(self.lifetime_s);
        let offer = Offer { secret: [self.handshakes as u8; 32].into(), nonce: [7; 16], session_id, expires_at };
        let (session, answer) = offer.accept(from, &self.key, &wire_json::parse(text).unwrap()).unwrap();
        self.signed_handshakes += u32::from(session.peer_signed());
        self.sessions.insert(session.id().to_owned(), session);
        wire_json::text(&answer)
    }

    fn process(&mut self, now: Now, kind: SynapseKind, plaintext: &str) -> String {
        fn read<T: DeserializeOwned>(text: &str) -> T {
            wire_json::parse(text).unwrap()
        }
        fn write(answer: &impl Serialize) -> String {
            wire_json::text(answer)
        }
        if let Mood::Error(why) = self.mood(kind.path()) {
            return write(&json!({"error": why}));
        }
        match kind {
            SynapseKind::Heartbeat => {
                self.heartbeats.push(read(plaintext));
                write(&HeartbeatResponse::accepted(1, now.wall))
            }
            SynapseKind::Task => {
                let poll: TaskRequest = read(plaintext);
                let held = poll.market_tasks_held.clone();
                let wanted = |task: &&MarketTask| held.as_ref().is_some_and(|held| !held.contains(&task.task_key));
                let market_tasks = self.market_tasks.iter().filter(wanted).cloned().collect();
                self.polls.push(poll);
                write(&TaskResponse {
                    market_tasks,
                    ..TaskResponse::new(std::mem::take(&mut self.challenges), now.wall)
                })
            }
            SynapseKind::Challenge => {
                self.texts.push(plaintext.into());
                let commitment = wire_json::parse::<CommitmentData>(plaintext).ok();
                let failed = commitment.as_ref().is_some_and(|commitment| commitment.failure.is_some());
                self.commitments.extend(commitment);
                format!(r#"{{"proof_requests":{}}}"#, if failed { "[]" } else { &self.wants })
            }
            SynapseKind::ChallengeProof => {
                self.texts.push(plaintext.into());
                let proof: ProofData<Raw> = read(plaintext);
                let answer = StatusAnswer::queued(&proof.challenge_id);
                self.proofs.push(proof);
                write(&answer)
            }
            SynapseKind::Receipt => {
                let asked: ReceiptRequest = read(plaintext);
                let behind =
                    |worker: &String| asked.after.as_ref().is_none_or(|after| worker.as_str() > after.as_str());
                let named: Vec<&String> = self.receipts.iter().filter(|worker| behind(worker)).collect();
                self.receipts_asked.push(asked);
                let at_s = match self.receipts_at_s.len() {
                    0 | 1 => self.receipts_at_s.front().copied(),
                    _ => self.receipts_at_s.pop_front(),
                };
                let text = |worker: &&String| json!({"worker": worker, "at_s": at_s}).to_string();
                let signed = |worker| SignedReceipt { text: text(worker), signature: "0x".into() };
                let receipts = named.iter().take(2).map(signed).collect();
                write(&ReceiptResponse { receipts, more: named.len() > 2 })
            }
            SynapseKind::SessionInit => unreachable!("a handshake is no package"),
        }
    }
}

/// A CPU challenge of 60 s.
pub fn challenge(challenge: &str, worker: &str) -> ChallengeSpec {
    let data = json!({"challenge_type": "cpu_matrix", "matrix_size": 110, "seed": "00".repeat(16), "iterations": 1});
    ChallengeSpec {
        challenge_id: ChallengeId::new(challenge),
        challenge_type: "cpu_matrix".into(),
        data: Raw::of(&data).unwrap(),
        timeout: 60,
        target_worker_id: WorkerId::new(worker),
    }
}

/// A challenge of another type, with that data.
pub fn challenge_of(kind: &str, id: &str, worker: &str, data: &str) -> ChallengeSpec {
    let data = wire_json::parse(data).unwrap();
    ChallengeSpec { challenge_type: kind.into(), data, ..challenge(id, worker) }
}

/// Codes on which a client makes a new session.
pub const LOST_SESSION: [u16; 4] = [code::SESSION_UNKNOWN, code::SESSION_EXPIRED, code::REHANDSHAKE, code::SEQUENCE];

/// A value's keys.
pub fn keys(value: &Value) -> BTreeSet<String> {
    value.as_object().unwrap().keys().cloned().collect()
}
