//! A miner's connection to an axon that stays open: handshake and heartbeats over it, one after the other.
//!
//! It blocks, with a deadline for each read: for measurements and tests, where good requests are also the bed for
//! bad ones.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use super::Fault;
use crate::{
    net::{
        Clock,
        http_frame::{ResponseReader, encode_request_head},
    },
    units::{Hotkey, Wall, WorkerId},
    wire::{
        code,
        http::{Request, Response},
        json,
        keys::Keypair,
        limits::{BODY_BYTES, HEADER_BYTES},
        messages::{
            Answer, HeartbeatData, HeartbeatResponse, SessionInitResponse, SystemInfo, WorkerInfo, WorkerStatus,
        },
        session::{ClientHello, Session},
        synapse::{Call, SynapseKind, parse_answer},
    },
};

const TIMEOUT: Duration = Duration::from_secs(12);

pub struct Dendrite {
    key: Keypair,
    validator: Hotkey,
    axon: SocketAddr,
    stream: TcpStream,
    clock: Clock,
    nonce: u64,
}

impl Dendrite {
    pub fn open(key: Keypair, validator: Hotkey, axon: SocketAddr) -> Result<Dendrite, Fault> {
        let stream = TcpStream::connect(axon)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        Ok(Dendrite { key, validator, axon, stream, clock: Clock::start(), nonce: 0 })
    }

    pub fn handshake(&mut self) -> Result<Session, Fault> {
        let hello = ClientHello::new(random()?, random()?, self.clock.now().wall);
        let request = self.request(SynapseKind::SessionInit, &json::text(&hello.request()));
        let text = self.text(&request)?;
        let answer: SessionInitResponse = json::parse(&text).map_err(|_| Fault::Axon(text))?;
        hello.finish(self.key.hotkey(), &self.validator, &answer).map_err(|why| Fault::Axon(why.to_string()))
    }

    /// A heartbeat of miner number `miner` that the validator accepts.
    pub fn heartbeat(&mut self, session: &mut Session, miner: usize) -> Result<(), Fault> {
        let data = heartbeat_of(self.key.hotkey(), miner, self.clock.now().wall);
        let sealed = session.seal(SynapseKind::Heartbeat, &json::text(&data)).map_err(told)?;
        let request = self.request(SynapseKind::Heartbeat, &sealed);
        let text = self.text(&request)?;
        let plain = session.open(SynapseKind::Heartbeat, &text).map_err(|why| Fault::Axon(format!("{why}: {text}")))?;
        match Answer::<HeartbeatResponse>::parse(&plain) {
            Ok(Answer::Given(answer)) if answer.error_code == code::SUCCESS => Ok(()),
            other => Err(Fault::Axon(format!("heartbeat not accepted: {other:?}"))),
        }
    }

    /// A signed request with this text, as a good miner makes it.
    pub fn request(&mut self, kind: SynapseKind, text: &str) -> Request {
        self.nonce = self.clock.now().wall.0.max(self.nonce + 1);
        let uuid = format!("{}-{}", self.key.hotkey(), self.nonce);
        let (from, to) = (&self.key, &self.validator);
        let (axon, dendrite_ip, nonce) = (self.axon, self.axon.ip(), self.nonce);
        Call { kind, from, to, axon, dendrite_ip, nonce, uuid: &uuid, timeout: TIMEOUT }.request(text)
    }

    /// The `response` of the answer.
    pub fn text(&mut self, request: &Request) -> Result<String, Fault> {
        let answer = self.send(request)?;
        parse_answer(&answer).map_err(|why| Fault::Axon(format!("{}: {why}", request.target)))
    }

    /// Sends a request as it is and reads its answer.
    pub fn send(&mut self, request: &Request) -> Result<Response, Fault> {
        let mut headers = request.headers.clone();
        headers.push("content-length", request.body.len().to_string());
        let mut bytes = Vec::new();
        encode_request_head(&request.method, &request.target, &headers, &mut bytes);
        bytes.extend_from_slice(&request.body);
        self.send_bytes(&bytes)
    }

    /// Sends these bytes, whatever they are, and reads an answer.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> Result<Response, Fault> {
        self.stream.write_all(bytes)?;
        let (mut reader, mut piece) = (ResponseReader::new(HEADER_BYTES, BODY_BYTES), [0; 16 * 1024]);
        loop {
            if let Some(response) = reader.read().map_err(told)? {
                return Ok(response);
            }
            match self.stream.read(&mut piece)? {
                0 => return Err(Fault::Axon("closed without an answer".into())),
                count => reader.push(&piece[..count]),
            }
        }
    }
}

fn told(why: impl std::fmt::Display) -> Fault {
    Fault::Axon(why.to_string())
}

fn random<const N: usize>() -> Result<[u8; N], Fault> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(told)?;
    Ok(bytes)
}

/// The heartbeat of miner number `miner`, which has one worker.
pub fn heartbeat_of(hotkey: &Hotkey, miner: usize, now: Wall) -> HeartbeatData {
    let worker = WorkerInfo {
        worker_id: WorkerId::new(&format!("{miner:016x}")),
        worker_name: Some(format!("bench-{miner}")),
        worker_version: Some(env!("CARGO_PKG_VERSION").into()),
        capabilities: vec!["cpu_matrix".into()],
        status: WorkerStatus::Online,
        system_info: SystemInfo::of(&hardware()).unwrap_or_default(),
        connected_at: Some(now.as_secs_f64()),
        last_heartbeat: Some(now.as_secs_f64()),
    };
    HeartbeatData {
        hotkey: hotkey.to_string(),
        timestamp: now.as_secs_f64(),
        workers: vec![worker],
        miner_info: None,
        miner_features: Vec::new(),
        maintenance: None,
        schema_version: 1,
    }
}

/// What a worker with a plain CPU reports.
fn hardware() -> serde_json::Value {
    serde_json::json!({
        "cpu_count": 16, "cpu_usage": 3.5, "memory_total": 64_000, "memory_available": 60_000, "memory_usage": 6.2,
        "disk_total": 1000, "disk_free": 800, "gpu_info": [], "gpu_plugin": [], "public_ip": "198.51.100.7",
        "cpu_info": {"brand": "bench", "logical_cores": 16, "physical_cores": 8},
    })
}
