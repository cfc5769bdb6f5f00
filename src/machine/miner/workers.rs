//! The workers: their connections, who registered on which, and what each last said of itself.
//!
//! Owns every connection on the workers' door and the one connection that stands for each worker id. It
//! knows nothing of challenges: results and proofs are handed up as said, with the worker that the
//! connection belongs to.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Map, Value};

use super::{
    Wish,
    fault::{Fault, shortened},
    flows::{Ability, Computed, Proved, Stamps},
};
use crate::{
    machine::{
        Message, Output,
        contract::bulk::{Frame, Words},
    },
    units::{Mono, Now, PeerId, Wall, WorkerId},
    wire::{
        code::{self, Code},
        limits::{BULK_BYTES, COMMITMENTS_BYTES, REGISTRATION_TIMEOUT},
        messages::{SystemInfo, WorkFailure},
        websocket::{Heartbeat, ProofResponse, Register, TaskResult, ToMiner, ToWorker, close, is_filled_list},
    },
};

/// A worker of the reference implementation loses what arrives right behind the acknowledgement of its
/// registration; it is told nothing else before it spoke again, or before this has passed.
const SETTLING: Duration = Duration::from_secs(1);

/// Largest `system_info` that is kept of one worker; a whole heartbeat has 1 MiB.
pub const SYSTEM_INFO_BYTES: usize = 256 * 1024;

/// What is kept of a worker's name and version, in characters.
const NAME_CHARS: usize = 128;

/// Capabilities that are kept of a worker, and the length of each, in bytes.
const MAX_CAPABILITIES: usize = 32;
const CAPABILITY_BYTES: usize = 64;

/// Frames of one connection that may be with the bulk spoke at once.
const MAX_IN_BULK: usize = 8;

/// WebSocket close code: the peer broke a rule of ours.
const POLICY: u16 = 1008;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    pub max_workers: usize,
    /// How often a worker reports; one that is silent for two of these is asked for a sign of life.
    pub heartbeat_interval: Duration,
    pub heartbeat_timeout: Duration,
}

/// A registered worker.
#[derive(Debug)]
pub struct Worker {
    pub id: WorkerId,
    pub name: Option<String>,
    pub version: String,
    pub capabilities: Vec<String>,
    pub system_info: SystemInfo,
    pub connected_at: Wall,
    pub last_heartbeat: Wall,
    heard: Mono,
    /// It was asked for a sign of life since it was last heard.
    asked: bool,
    /// Until when it is told nothing but acknowledgements.
    settles: Option<Mono>,
    held: Vec<String>,
}

#[derive(Debug)]
struct Link {
    stage: Stage,
    in_bulk: usize,
}

#[derive(Debug)]
enum Stage {
    /// Open, not registered yet.
    New {
        until: Mono,
    },
    Registered(Box<Worker>),
    /// We asked for its end; what it still says is not heard.
    Closing,
}

/// Where a frame is read.
#[derive(Debug)]
pub enum Route {
    /// On the loop: it is small.
    Here(Frame),
    Spoke(Frame),
    /// Its connection is gone.
    Nowhere,
}

/// What a worker said that concerns others.
#[derive(Debug)]
pub enum Said {
    Registered(WorkerId),
    Computed {
        worker: WorkerId,
        task_id: String,
        computed: Computed,
    },
    Proved {
        worker: WorkerId,
        message_id: String,
        proved: Proved,
    },
    /// A heartbeat; `idle`: it computes nothing, in its own words.
    Beat {
        worker: WorkerId,
        idle: bool,
    },
    /// Nothing that concerns others.
    Alive,
}

#[derive(Debug)]
pub struct Workers {
    rules: Rules,
    links: BTreeMap<PeerId, Link>,
    registered: BTreeMap<WorkerId, PeerId>,
    wishes: Vec<Wish>,
}

impl Workers {
    pub fn new(rules: Rules) -> Workers {
        Workers { rules, links: BTreeMap::new(), registered: BTreeMap::new(), wishes: Vec::new() }
    }

    /// What it wants of the loop since the last call.
    pub fn take_wishes(&mut self) -> Vec<Wish> {
        std::mem::take(&mut self.wishes)
    }

    pub fn opened(&mut self, now: Mono, peer: PeerId) {
        let stage = Stage::New { until: now + REGISTRATION_TIMEOUT };
        self.links.insert(peer, Link { stage, in_bulk: 0 });
    }

    /// The worker that lost its connection, if the connection was a registered worker's.
    pub fn closed(&mut self, peer: PeerId) -> Option<WorkerId> {
        // One that was replaced is closing since then and stands for nobody: the newcomer is not harmed.
        let Some(Link { stage: Stage::Registered(worker), .. }) = self.links.remove(&peer) else { return None };
        self.registered.remove(&worker.id);
        Some(worker.id)
    }

    /// Where a frame is read: a large one in the spoke, and those behind it too, so that they stay in order.
    pub fn route(&mut self, peer: PeerId, text: String) -> Result<Route, Fault> {
        let Some(link) = self.links.get_mut(&peer) else { return Ok(Route::Nowhere) };
        let first = matches!(link.stage, Stage::New { .. }) && link.in_bulk == 0;
        if text.len() <= BULK_BYTES && link.in_bulk == 0 {
            return Ok(Route::Here(Frame { peer, text, first }));
        }
        if link.in_bulk >= MAX_IN_BULK {
            self.close(peer, POLICY, "too many large frames at once");
            return Err(Fault::LargeFrames);
        }
        link.in_bulk += 1;
        Ok(Route::Spoke(Frame { peer, text, first }))
    }

    /// The spoke has read a frame of that connection.
    pub fn returned_from_bulk(&mut self, peer: PeerId) {
        if let Some(link) = self.links.get_mut(&peer) {
            link.in_bulk = link.in_bulk.saturating_sub(1);
        }
    }

    /// A frame that was read.
    pub fn read(&mut self, now: Now, peer: PeerId, words: Words) -> Result<Said, Fault> {
        match (self.links.get(&peer).map(|link| &link.stage), words) {
            (Some(Stage::New { .. }), Words::First(Ok(register))) => self.register(now, peer, register),
            (Some(Stage::New { .. }), Words::First(Err(refusal))) => {
                self.close(peer, refusal.close_code(), &refusal.to_string());
                Err(Fault::BadRegistration)
            }
            (Some(Stage::Registered(_)), Words::Later(Ok(frame))) => self.heard(now, peer, frame),
            (Some(Stage::Registered(_)), Words::Later(Err(fault))) => {
                log::debug!(target: "miner", "{peer}: {fault}");
                Err(Fault::BadFrame)
            }
            _ => Ok(Said::Alive),
        }
    }

    fn register(&mut self, now: Now, peer: PeerId, register: Register) -> Result<Said, Fault> {
        let id = register.worker_id.clone();
        let older = self.registered.get(&id).copied();
        let count = self.registered.len();
        if older.is_none() && count >= self.rules.max_workers {
            self.close(peer, close::FULL, &format!("miner full ({count} of {})", self.rules.max_workers));
            return Err(Fault::MinerFull);
        }
        if register.system_info.as_json().len() > SYSTEM_INFO_BYTES {
            self.close(peer, close::BAD_REGISTRATION, "system_info over its limit");
            return Err(Fault::SystemInfoTooLarge);
        }
        if let Some(older) = older {
            // Once is a reconnection that we noticed first; again and again, it is two workers with one id.
            log::warn!(target: "miner", "worker {id}: {peer} replaces {older}; if this repeats, two workers use this id: set worker_id");
            self.close(older, close::GOING_AWAY, "replaced by a newer connection of this worker");
        }
        if let Some(link) = self.links.get_mut(&peer) {
            link.stage = Stage::Registered(Box::new(Worker::new(now, register)));
        }
        self.registered.insert(id.clone(), peer);
        self.send(peer, ToWorker::RegistrationAck.to_text());
        Ok(Said::Registered(id))
    }

    fn heard(&mut self, now: Now, peer: PeerId, frame: ToMiner) -> Result<Said, Fault> {
        self.settle(peer);
        let Some(worker) = self.worker_at(peer) else { return Ok(Said::Alive) };
        let id = worker.id.clone();
        match frame {
            ToMiner::Register(_) => Err(Fault::SecondRegistration),
            ToMiner::Heartbeat(heartbeat) => {
                let idle = heartbeat.active_tasks == Some(0);
                worker.beat(now, heartbeat)?;
                self.send(peer, ToWorker::HeartbeatAck.to_text());
                Ok(Said::Beat { worker: id, idle })
            }
            ToMiner::HeartbeatResponse(answer) if answer.worker_id == id => {
                worker.heard_at(now.mono);
                Ok(Said::Alive)
            }
            ToMiner::TaskResult(result) if result.worker_id == id => {
                worker.heard_at(now.mono);
                let task_id = result.task_id.clone();
                Ok(Said::Computed { worker: id, task_id, computed: computed(result) })
            }
            ToMiner::ProofResponse(response) => {
                worker.heard_at(now.mono);
                let message_id = response.message_id.clone();
                Ok(Said::Proved { worker: id, message_id, proved: proved(response) })
            }
            ToMiner::HeartbeatResponse(_) | ToMiner::TaskResult(_) => Err(Fault::WrongName),
        }
    }

    /// Says something to a worker; `false` when it has no connection now.
    pub fn tell(&mut self, worker: &WorkerId, what: &ToWorker) -> bool {
        let Some(&peer) = self.registered.get(worker) else { return false };
        let Some(worker) = self.worker_at(peer) else { return false };
        let text = what.to_text();
        if worker.settles.is_some() {
            worker.held.push(text);
        } else {
            self.send(peer, text);
        }
        true
    }

    /// Whether a worker can take a challenge of that kind.
    pub fn ability(&self, worker: &WorkerId, kind: &str) -> Ability {
        match self.get(worker) {
            None => Ability::Unknown,
            // One that says nothing of what it can do is given a chance.
            Some(worker) if worker.capabilities.is_empty() => Ability::Able,
            Some(worker) if worker.capabilities.iter().any(|able| able == kind) => Ability::Able,
            Some(_) => Ability::Incapable,
        }
    }

    /// All registered workers, in order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Worker> {
        self.registered.values().filter_map(|peer| match &self.links.get(peer)?.stage {
            Stage::Registered(worker) => Some(&**worker),
            Stage::New { .. } | Stage::Closing => None,
        })
    }

    pub fn get(&self, worker: &WorkerId) -> Option<&Worker> {
        match &self.links.get(self.registered.get(worker)?)?.stage {
            Stage::Registered(worker) => Some(worker),
            Stage::New { .. } | Stage::Closing => None,
        }
    }

    pub fn len(&self) -> usize {
        self.registered.len()
    }

    pub fn is_empty(&self) -> bool {
        self.registered.is_empty()
    }

    /// Open connections, registered or not.
    pub fn connections(&self) -> usize {
        self.links.len()
    }

    pub fn deadline(&self) -> Option<Mono> {
        self.links.values().filter_map(|link| self.link_deadline(link)).min()
    }

    fn link_deadline(&self, link: &Link) -> Option<Mono> {
        match &link.stage {
            Stage::New { until } => Some(*until),
            Stage::Registered(worker) => {
                let silent = worker.heard + self.rules.heartbeat_timeout;
                let two = worker.heard + 2 * self.rules.heartbeat_interval;
                let asked = if worker.asked { silent } else { two };
                [Some(silent), Some(asked), worker.settles].into_iter().flatten().min()
            }
            Stage::Closing => None,
        }
    }

    /// Closes those that waited too long with their registration or their next sign of life.
    pub fn expire(&mut self, now: Mono) -> Vec<Fault> {
        let due: Vec<_> =
            self.links.iter().filter(|(_, link)| self.link_deadline(link).is_some_and(|at| at <= now)).collect();
        let due: Vec<_> = due.into_iter().map(|(peer, _)| *peer).collect();
        due.into_iter().filter_map(|peer| self.expire_one(now, peer)).collect()
    }

    fn expire_one(&mut self, now: Mono, peer: PeerId) -> Option<Fault> {
        let Some(worker) = self.worker_at(peer) else {
            self.close(peer, close::BAD_REGISTRATION, "no registration within 30 s");
            return Some(Fault::NoRegistration);
        };
        if worker.settles.is_some_and(|settles| settles <= now) {
            self.settle(peer);
        }
        let Rules { heartbeat_interval, heartbeat_timeout: timeout, .. } = self.rules;
        let worker = self.worker_at(peer)?;
        if now < worker.heard + timeout {
            if !worker.asked && worker.heard + 2 * heartbeat_interval <= now {
                worker.asked = true;
                self.send(peer, ToWorker::HeartbeatRequest(peer.to_string()).to_text());
            }
            return None;
        }
        log::warn!(target: "miner", "worker {} silent for {} s: closed", worker.id, timeout.as_secs());
        self.close(peer, close::GOING_AWAY, "heartbeat timeout");
        Some(Fault::Silent)
    }

    /// Says goodbye to everyone.
    pub fn close_all(&mut self) {
        let peers: Vec<_> = self.links.keys().copied().collect();
        peers.into_iter().for_each(|peer| self.close(peer, close::GOING_AWAY, "going away"));
    }

    fn worker_at(&mut self, peer: PeerId) -> Option<&mut Worker> {
        match &mut self.links.get_mut(&peer)?.stage {
            Stage::Registered(worker) => Some(worker),
            Stage::New { .. } | Stage::Closing => None,
        }
    }

    /// The worker is up: it is told what was held back.
    fn settle(&mut self, peer: PeerId) {
        let Some(worker) = self.worker_at(peer) else { return };
        worker.settles = None;
        let held = std::mem::take(&mut worker.held);
        held.into_iter().for_each(|text| self.send(peer, text));
    }

    fn send(&mut self, peer: PeerId, text: String) {
        self.wishes.push(Output::Send { peer, message: Message::Text(text) });
    }

    /// Asks for the end of a connection; from now on it stands for nobody.
    fn close(&mut self, peer: PeerId, code: u16, reason: &str) {
        let Some(link) = self.links.get_mut(&peer) else { return };
        let stage = std::mem::replace(&mut link.stage, Stage::Closing);
        if matches!(stage, Stage::Closing) {
            return;
        }
        if let Stage::Registered(worker) = stage {
            self.registered.remove(&worker.id);
        }
        self.wishes.push(Output::Close { peer, code, reason: reason.into() });
    }
}

impl Worker {
    fn new(now: Now, register: Register) -> Worker {
        Worker {
            id: register.worker_id,
            name: register.worker_name.map(|name| name.chars().take(NAME_CHARS).collect()),
            version: register.worker_version.chars().take(NAME_CHARS).collect(),
            capabilities: bounded(register.capabilities),
            system_info: register.system_info,
            connected_at: now.wall,
            last_heartbeat: now.wall,
            heard: now.mono,
            asked: false,
            settles: Some(now.mono + SETTLING),
            held: Vec::new(),
        }
    }

    fn beat(&mut self, now: Now, heartbeat: Heartbeat) -> Result<(), Fault> {
        if heartbeat.system_info.as_json().len() > SYSTEM_INFO_BYTES {
            return Err(Fault::SystemInfoTooLarge);
        }
        self.heard_at(now.mono);
        self.last_heartbeat = now.wall;
        self.system_info = heartbeat.system_info;
        if let Some(capabilities) = heartbeat.capabilities {
            self.capabilities = bounded(capabilities);
        }
        Ok(())
    }

    fn heard_at(&mut self, now: Mono) {
        self.heard = now;
        self.asked = false;
    }
}

fn bounded(mut capabilities: Vec<String>) -> Vec<String> {
    capabilities.retain(|capability| capability.len() <= CAPABILITY_BYTES);
    capabilities.truncate(MAX_CAPABILITIES);
    capabilities
}

fn computed(result: TaskResult) -> Computed {
    let outcome = result.data;
    let stamps = stamps(outcome.timestamps);
    let why = outcome.error.or(outcome.error_message);
    let committed = outcome.result.filter(|_| outcome.success).map(|result| result.commitments);
    let outcome = match committed {
        Some(Some(list)) if list.as_str().len() <= COMMITMENTS_BYTES => Ok(list),
        Some(Some(list)) => {
            let bytes = list.as_str().len();
            Err(broken(format!("commitments of {bytes} bytes; at most {COMMITMENTS_BYTES} are passed on")))
        }
        Some(None) => Err(broken("a result without commitments".into())),
        None => Err(failure(why, outcome.error_code)),
    };
    Computed { outcome, stamps }
}

fn proved(response: ProofResponse) -> Proved {
    let data = response.data;
    let stamps = stamps(data.debug.phase2_timestamps);
    let outcome = match data.proofs {
        Some(proofs) if data.success && is_filled_list(&proofs) => Ok(proofs),
        _ => Err(failure(data.error, 0)),
    };
    Proved { outcome, stamps }
}

/// What a worker says went wrong, as far as a log line bears it.
fn failure(why: Option<String>, code: i64) -> WorkFailure {
    let reason = shortened(&why.unwrap_or_else(|| format!("no reason given (code {code})")));
    let code = Code::try_from(code).ok().filter(|code| *code != code::SUCCESS).unwrap_or(code::TASK_FAILED);
    WorkFailure { code, reason }
}

/// What is wrong with what it says.
fn broken(reason: String) -> WorkFailure {
    WorkFailure { code: code::INVALID_RESPONSE, reason }
}

fn stamps(named: Map<String, Value>) -> Stamps {
    named.into_iter().filter_map(|(name, at)| Some((name, at.as_u64()?))).collect()
}
