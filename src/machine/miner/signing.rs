//! Which validator takes requests whose bodies are signed (`btauth/1`), as far as we know.
//!
//! A validator announces it with its answers. From then on it is spoken to that way, until it **refuses** such a
//! request: without the announcement (it does not know it any more), or for its form or its signature (our clock may
//! be further off than the ten seconds that `btauth/1` allows). Then the message goes out once more with the headers
//! of Bittensor 9.10, and so do all others for a while; a line says so.
//!
//! An answer that merely lacks the announcement changes nothing: whoever sits in between can take a header away, but
//! a validator that answers took the request. Who forges refusals forces the old headers, but not silently, and wins
//! little: what is sent is encrypted for the validator, and its session is signed for.
//!
//! It forgets at a restart, and decides neither what is sent nor when.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    units::{Hotkey, Mono},
    wire::{http::Response, synapse::btauth},
};

/// How long a validator that refused is spoken to with the old headers before its announcement counts again.
const REST: Duration = Duration::from_secs(600);

/// Longest text that is sent in a signed body. A request is stale ten seconds after it was signed, and a longer one
/// may be on its way for longer.
const LONGEST: usize = 1 << 20;

#[derive(Debug, Default)]
pub struct Signing {
    known: BTreeMap<Hotkey, Stand>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stand {
    /// It announced it.
    Takes,
    /// It refused one; until then an announcement does not count.
    Refused { until: Mono },
}

impl Signing {
    /// Whether a message of this length goes to that validator in a signed body.
    pub fn covers_body(&self, to: &Hotkey, bytes: usize) -> bool {
        bytes <= LONGEST && self.known.get(to) == Some(&Stand::Takes)
    }

    /// How many validators are spoken to that way.
    pub fn validators(&self) -> usize {
        self.known.values().filter(|stand| **stand == Stand::Takes).count()
    }

    /// Reads what a response says of it. `true`: the request is to be sent once more, with the old headers.
    pub fn heard(&mut self, from: &Hotkey, now: Mono, signed_body: bool, response: &Response) -> bool {
        let announced = btauth::announces(&response.headers);
        if signed_body && refuses(response.status, announced) {
            self.refused(from, now, response.status);
            return true;
        }
        let counts = match self.known.get(from) {
            None => true,
            Some(Stand::Takes) => false,
            Some(Stand::Refused { until }) => *until <= now,
        };
        if announced && counts {
            log::debug!(target: "miner", "{from} takes {}: our requests to it are signed with their bodies", btauth::PROTOCOL);
            self.known.insert(from.clone(), Stand::Takes);
        }
        false
    }

    fn refused(&mut self, from: &Hotkey, now: Mono, status: u16) {
        let stand = self.known.insert(from.clone(), Stand::Refused { until: now + REST });
        // Several may have been on their way.
        if stand == Some(Stand::Takes) {
            log::warn!(
                target: "miner",
                "{from} refuses a request whose body is signed ({}, status {status}): for {} min it is spoken to with \
                 the headers of Bittensor 9.10. It may run an older version, our clock may be more than 10 s off \
                 (compare it: timedatectl), or somebody in between forges its answers",
                btauth::PROTOCOL,
                REST.as_secs() / 60
            );
        }
    }

    /// Forgets validators that are neither listed nor in use.
    pub fn keep(&mut self, wanted: impl Fn(&Hotkey) -> bool) {
        self.known.retain(|to, _| wanted(to));
    }
}

/// Whether that answer to a signed body says that the old headers would do better.
fn refuses(status: u16, announced: bool) -> bool {
    match status {
        200..=299 => false,
        400 | 401 => true,
        _ => !announced,
    }
}
