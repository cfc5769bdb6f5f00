//! A simulated compute marketplace: the hub's side of the protocol in [`crate::wire::marketplace`], for trying and
//! testing validators. It says "simulated" in its log and its help. There is no market and no money in it: leases,
//! configuration and tasks are what its operator says, and everything that validators send is kept and shown.
//!
//! It can do what real hubs do at bad moments: refuse tokens, go away, fall silent, say its errors, send frames twice,
//! late, altered or under another name. Each is a method `sim_*` of its JSON-RPC, at once or at a time of a script.
//!
//! [`Hub`] is a machine: time, connections and texts go in, texts come out. The loop that carries the daemons gives it
//! its socket; the simulator of the tests can seat it as it seats a daemon.

mod control;
mod conversation;
mod received;
mod script;
mod server;
mod speech;
#[cfg(test)]
mod tests;
mod tokens;

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use rand_chacha::ChaCha20Rng;
use serde_json::Value as Json;

pub use self::{
    control::METHODS,
    received::Record,
    script::{Script, ScriptError},
    server::door,
    tokens::{Tokens, TokensError},
};
use self::{conversation::Connection, received::Received};
use crate::{
    machine::Output,
    units::{Mono, Now, PeerId},
    wire::keys::Keypair,
};

/// What the hub calls itself in its log.
pub const NAME: &str = "MeshHub (simulated)";
/// Where the reference implementation's validators go; this hub takes any path.
pub const PATH: &str = "/ws/mesh";
const LOG: &str = "meshhub-sim";

/// Frames that are kept to be sent again.
const SENT_MAX: usize = 64;

/// The hub never asks a spoke for anything.
#[derive(Debug)]
pub enum Never {}

/// How the hub stands. The script may change all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// Whoever is there is sent away, and whoever comes.
    Closed,
    /// It listens, and says nothing.
    Silent,
}

pub struct Hub {
    key: Keypair,
    tokens: Tokens,
    rng: ChaCha20Rng,
    started: Option<Mono>,
    now: Now,
    connections: BTreeMap<PeerId, Connection>,
    /// By worker key, as they are published: also what is no score.
    leases: BTreeMap<String, Json>,
    publish_every: Option<Duration>,
    next_publish: Option<Mono>,
    outage: Option<(Outage, Mono)>,
    script: Script,
    received: Received,
    /// The newest frames, oldest first.
    sent: VecDeque<(PeerId, String)>,
    /// Frames so far that ask for an acknowledgement.
    messages: u64,
    outbox: VecDeque<Output<Never>>,
}

impl Hub {
    /// `publish_every`: how often all leases are published again; without it only when they change, and to whoever
    /// comes.
    pub fn new(key: Keypair, tokens: Tokens, script: Script, publish_every: Option<Duration>, rng: ChaCha20Rng) -> Hub {
        Hub {
            key,
            tokens,
            rng,
            started: None,
            now: Now::default(),
            connections: BTreeMap::new(),
            leases: script.leases.clone(),
            publish_every,
            next_publish: None,
            outage: None,
            script,
            received: Received::default(),
            sent: VecDeque::new(),
            messages: 0,
            outbox: VecDeque::new(),
        }
    }

    /// Everything that is kept of what validators sent, oldest first.
    pub fn received(&self) -> impl Iterator<Item = &Record> {
        self.received.records()
    }

    /// Carries out what the clock brings: the script, the end of an outage, leases again.
    fn advance(&mut self, now: Now) {
        self.now = now;
        let started = *self.started.get_or_insert(now.mono);
        if self.outage.is_some_and(|(_, until)| until <= now.mono) {
            self.end_outage();
        }
        while let Some(event) = self.script.pop(started, now.mono) {
            match self.control(&event.method, &event.params) {
                Ok(_) => log::info!(target: LOG, "script: {} {}", event.method, event.params),
                Err(error) => {
                    let why = error.data.as_ref().map_or_else(String::new, |data| format!(": {data}"));
                    log::error!(target: LOG, "script: {} {}: {}{why}", event.method, event.params, error.message);
                }
            }
        }
        if let Some(every) = self.publish_every {
            let due = *self.next_publish.get_or_insert(now.mono + every);
            if due <= now.mono {
                self.next_publish = Some(now.mono + every);
                self.publish_all();
            }
        }
    }

    fn next_deadline(&self) -> Option<Mono> {
        let script = self.started.and_then(|started| self.script.next(started));
        let outage = self.outage.map(|(_, until)| until);
        script.into_iter().chain(outage).chain(self.next_publish).min()
    }
}
