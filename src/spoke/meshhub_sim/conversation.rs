//! What validators say, and how a connection becomes a session.

use rand_chacha::rand_core::RngCore;
use serde_json::json;

use super::{Hub, LOG, Outage};
use crate::{
    machine::{Gone, Message, Output},
    units::{Hotkey, Now, PeerId},
    wire::{
        json,
        marketplace::{Body, FrameFault, HubError, HubOffer, HubSession, Incoming, Init, ToHub},
    },
};

/// Close codes that this hub uses.
const BAD_TOKEN: u16 = 1008;
const AWAY: u16 = 1013;

/// A validator's WebSocket.
pub(super) enum Connection {
    /// Nothing came yet but the upgrade, if that.
    Fresh,
    Session(Box<Talk>),
}

pub(super) struct Talk {
    pub session: HubSession,
    pub since: Now,
    pub version: Option<String>,
    pub capabilities: Vec<String>,
}

impl Hub {
    pub(super) fn heard(&mut self, peer: PeerId, text: &str) {
        match self.outage {
            Some((Outage::Silent, _)) => return,
            Some((Outage::Closed, _)) => return self.send_away(peer, AWAY, "the hub is away"),
            None => {}
        }
        match self.connections.get_mut(&peer) {
            Some(Connection::Session(_)) => self.message(peer, text),
            _ => self.handshake(peer, text),
        }
    }

    fn handshake(&mut self, peer: PeerId, text: &str) {
        let init = match Init::parse(text) {
            Ok(init) => init,
            Err(fault) => return log::warn!(target: LOG, "{peer}: {fault}"),
        };
        if !self.tokens.take(&init.access_token) {
            log::warn!(target: LOG, "{peer} {}: wrong access token", init.validator_hotkey);
            self.say_error(peer, HubError::BAD_TOKEN, "access token refused");
            return self.send_away(peer, BAD_TOKEN, "access token refused");
        }
        let (mut secret, mut nonce, mut id) = ([0; 32], [0; 16], [0; 16]);
        self.rng.fill_bytes(&mut secret);
        self.rng.fill_bytes(&mut nonce);
        self.rng.fill_bytes(&mut id);
        let id = uuid::Builder::from_random_bytes(id).into_uuid().to_string();
        match HubOffer::new(secret, nonce, id).accept(&self.key, &init) {
            Ok((session, answer)) => {
                log::info!(target: LOG, "{peer}: {} is here", init.validator_hotkey);
                self.send(peer, answer.to_text(self.now.wall));
                let talk =
                    Talk { session, since: self.now, version: init.client_version, capabilities: init.capabilities };
                self.connections.insert(peer, Connection::Session(Box::new(talk)));
                self.publish_to(peer);
            }
            Err(fault) => {
                log::warn!(target: LOG, "{peer} {}: {fault}", init.validator_hotkey);
                self.say_error(peer, i64::from(fault.code()), &fault.to_string());
            }
        }
    }

    fn message(&mut self, peer: PeerId, text: &str) {
        let Some(Connection::Session(talk)) = self.connections.get_mut(&peer) else { return };
        let hotkey = talk.session.peer().clone();
        match talk.session.open::<ToHub>(text) {
            Ok(Incoming::Message { kind, body: Ok(body), .. }) => {
                log::info!(target: LOG, "{peer}: {kind}");
                let data = json::parse(&body.to_json()).unwrap_or_default();
                self.received.note(self.now.wall, &hotkey, &kind, data, text.len());
            }
            Ok(Incoming::Message { body: Err(fault), .. }) => {
                self.fault(peer, &hotkey, fault.label(), &fault.to_string())
            }
            Ok(Incoming::Error(error)) => self.fault(peer, &hotkey, "error", &error.message),
            Err(fault) => {
                self.fault(peer, &hotkey, fault.label(), &fault.to_string());
                let code = match fault {
                    FrameFault::Package(_) => HubError::SESSION_UNKNOWN,
                    FrameFault::Replayed { .. } | FrameFault::Reordered { .. } | FrameFault::TooFar { .. } => {
                        HubError::SEQUENCE
                    }
                    _ => return,
                };
                self.say_error(peer, code, &fault.to_string());
            }
        }
    }

    fn fault(&mut self, peer: PeerId, hotkey: &Hotkey, label: &str, why: &str) {
        log::warn!(target: LOG, "{peer}: {why}");
        self.received.note(self.now.wall, hotkey, "fault", json!({"fault": label, "why": why}), why.len());
    }

    pub(super) fn parted(&mut self, peer: PeerId, reason: &Gone) {
        if let Some(Connection::Session(talk)) = self.connections.remove(&peer) {
            log::info!(target: LOG, "{peer}: {} left: {reason}", talk.session.peer());
        }
        self.sent.retain(|(to, _)| *to != peer);
    }

    pub(super) fn say_error(&mut self, peer: PeerId, code: i64, message: &str) {
        let text = HubError { code, message: message.into() }.to_text(self.now.wall);
        self.send(peer, text);
    }

    pub(super) fn send(&mut self, peer: PeerId, text: String) {
        self.outbox.push_back(Output::Send { peer, message: Message::Text(text) });
    }

    pub(super) fn send_away(&mut self, peer: PeerId, code: u16, reason: &str) {
        self.outbox.push_back(Output::Close { peer, code, reason: reason.into() });
    }

    /// Connections that are sessions, in the order in which they came.
    pub(super) fn talking(&self) -> Vec<PeerId> {
        let is_session =
            |(peer, connection): (&PeerId, &Connection)| matches!(connection, Connection::Session(_)).then_some(*peer);
        self.connections.iter().filter_map(is_session).collect()
    }
}
