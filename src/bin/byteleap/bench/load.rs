//! The load: miners that do nothing but send heartbeats, each the next as soon as the last was answered.
//!
//! A machine on the project's own loop. Each request is a new connection, signed and sealed like a real miner's;
//! each miner has one worker and a session of its own.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use byteleap::{
    devnet::dendrite::heartbeat_of,
    machine::{Dial, Exit, Input, Machine, Message, Output},
    metrics::Page,
    units::{Hotkey, Mono, Now, PeerId},
    wire::{
        code,
        http::Response,
        json,
        keys::Keypair,
        messages::{Answer, HeartbeatResponse, SessionInitResponse},
        session::{ClientHello, Session},
        synapse::{Call, SynapseKind, parse_answer},
    },
};
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{RngCore, SeedableRng},
};

/// What was measured.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// Of answered heartbeats, after the warm-up.
    pub latencies: Vec<Duration>,
    pub span: Duration,
    pub connections: u64,
    /// The first thing that went wrong, which ends the measurement.
    pub fault: Option<String>,
}

#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub warm_up: Duration,
    pub measure: Duration,
}

struct Miner {
    key: Keypair,
    session: Option<Session>,
    hello: Option<ClientHello>,
}

pub struct LoadMachine {
    validator: Hotkey,
    axon: SocketAddr,
    load: Load,
    miners: Vec<Miner>,
    /// Which miner's request a connection carries, and since when.
    in_flight: BTreeMap<PeerId, (usize, Mono)>,
    outputs: Vec<Output<Measured>>,
    rng: ChaCha20Rng,
    started: Option<Mono>,
    nonce: u64,
    measured: Measured,
    done: bool,
}

impl LoadMachine {
    pub fn new(keys: Vec<Keypair>, validator: Hotkey, axon: SocketAddr, load: Load, seed: [u8; 32]) -> LoadMachine {
        let miners = keys.into_iter().map(|key| Miner { key, session: None, hello: None }).collect();
        LoadMachine {
            validator,
            axon,
            load,
            miners,
            in_flight: BTreeMap::new(),
            outputs: Vec::new(),
            rng: ChaCha20Rng::from_seed(seed),
            started: None,
            nonce: 0,
            measured: Measured::default(),
            done: false,
        }
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }

    fn start(&mut self, now: Now) {
        self.started = Some(now.mono);
        for miner in 0..self.miners.len() {
            let hello = ClientHello::new(self.bytes(), self.bytes(), now.wall);
            let text = json::text(&hello.request());
            self.miners[miner].hello = Some(hello);
            self.call(now, miner, SynapseKind::SessionInit, &text);
        }
    }

    fn heartbeat(&mut self, now: Now, miner: usize) -> Result<(), String> {
        let key = &self.miners[miner];
        let data = heartbeat_of(key.key.hotkey(), miner, now.wall);
        let session = self.miners[miner].session.as_mut().ok_or("heartbeat before the handshake")?;
        let sealed = session.seal(SynapseKind::Heartbeat, &json::text(&data)).map_err(|why| why.to_string())?;
        self.call(now, miner, SynapseKind::Heartbeat, &sealed);
        Ok(())
    }

    fn call(&mut self, now: Now, miner: usize, kind: SynapseKind, text: &str) {
        self.nonce = now.wall.0.max(self.nonce + 1);
        let uuid = uuid::Builder::from_random_bytes(self.bytes()).into_uuid().to_string();
        let call = Call {
            kind,
            from: &self.miners[miner].key,
            to: &self.validator,
            axon: self.axon,
            dendrite_ip: self.axon.ip(),
            nonce: self.nonce,
            uuid: &uuid,
            timeout: Duration::from_secs(12),
        };
        let request = call.request(text);
        self.measured.connections += 1;
        let peer = PeerId::dialed(self.measured.connections);
        self.in_flight.insert(peer, (miner, now.mono));
        let dial = Dial::Http { to: self.axon, request, timeout: Duration::from_secs(10) };
        self.outputs.push(Output::Dial { peer, dial });
    }

    fn answered(&mut self, now: Now, peer: PeerId, response: &Response, at: Mono) -> Result<(), String> {
        let Some((miner, since)) = self.in_flight.remove(&peer) else { return Ok(()) };
        let text = parse_answer(response).map_err(|why| why.to_string())?;
        match self.miners[miner].hello.take() {
            Some(hello) => self.open_session(miner, hello, &text)?,
            None => self.check_heartbeat(miner, &text)?,
        }
        let begin = self.started.unwrap_or_default() + self.load.warm_up;
        if since >= begin {
            self.measured.latencies.push(at.since(since));
            self.measured.span = at.since(begin);
        }
        self.heartbeat(now, miner)
    }

    fn open_session(&mut self, miner: usize, hello: ClientHello, text: &str) -> Result<(), String> {
        let answer: SessionInitResponse = json::parse(text).map_err(|why| format!("handshake: {why}: {text}"))?;
        let me = self.miners[miner].key.hotkey().clone();
        let session = hello.finish(&me, &self.validator, &answer).map_err(|why| why.to_string())?;
        self.miners[miner].session = Some(session);
        Ok(())
    }

    fn check_heartbeat(&mut self, miner: usize, text: &str) -> Result<(), String> {
        let session = self.miners[miner].session.as_mut().ok_or("answer before the handshake")?;
        let plain = session.open(SynapseKind::Heartbeat, text).map_err(|why| format!("{why}: {text}"))?;
        match Answer::<HeartbeatResponse>::parse(&plain) {
            Ok(Answer::Given(answer)) if answer.error_code == code::SUCCESS => Ok(()),
            other => Err(format!("heartbeat not accepted: {other:?}")),
        }
    }

    fn finish(&mut self, fault: Option<String>) {
        if !self.done {
            self.done = true;
            self.measured.fault = fault;
            self.outputs.push(Output::Command(self.measured.clone()));
            self.outputs.push(Output::Exit(Exit::Done));
        }
    }
}

impl Machine for LoadMachine {
    type Command = Measured;
    type Event = ();

    fn handle(&mut self, now: Now, input: Input<()>) {
        let outcome = match input {
            Input::Deadline if self.started.is_none() => {
                self.start(now);
                Ok(())
            }
            Input::Deadline | Input::Stop => {
                self.finish(None);
                Ok(())
            }
            Input::Received { peer, message: Message::Response(response), at } if !self.done => {
                self.answered(now, peer, &response, at)
            }
            Input::DialFailed { peer, reason } if !self.done => Err(format!("{peer}: {reason}")),
            Input::Closed { peer, reason } if !self.done && self.in_flight.contains_key(&peer) => {
                Err(format!("{peer} closed before its answer: {reason}"))
            }
            _ => Ok(()),
        };
        if let Err(fault) = outcome {
            self.finish(Some(fault));
        }
    }

    fn poll(&mut self) -> Option<Output<Measured>> {
        if self.outputs.is_empty() { None } else { Some(self.outputs.remove(0)) }
    }

    fn deadline(&self) -> Option<Mono> {
        match self.started {
            None => Some(Mono(0)),
            Some(_) if self.done => None,
            Some(started) => Some(started + self.load.warm_up + self.load.measure),
        }
    }

    fn observe(&self, _page: &mut Page) {}
}
