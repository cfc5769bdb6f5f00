//! What the hub says in sessions, as it should be and as it should not.

use serde_json::{Value as Json, json};

use super::{Hub, LOG, Outage, SENT_MAX, conversation::Connection};
use crate::{
    units::PeerId,
    wire::marketplace::{HubSession, kind},
};

/// Close code of whoever goes away, and may come back.
const GOING_AWAY: u16 = 1001;

impl Hub {
    fn session(&mut self, peer: PeerId) -> Option<&mut HubSession> {
        match self.connections.get_mut(&peer)? {
            Connection::Session(talk) => Some(&mut talk.session),
            Connection::Fresh => None,
        }
    }

    /// The next frame of a session.
    pub(super) fn sealed(&mut self, peer: PeerId, message_id: Option<&str>, kind: &str, data: &Json) -> Option<String> {
        let wall = self.now.wall;
        match self.session(peer)?.seal_text(wall, message_id, kind, &data.to_string()) {
            Ok(text) => Some(text),
            Err(fault) => {
                log::error!(target: LOG, "{peer}: {kind}: {fault}");
                None
            }
        }
    }

    fn keep(&mut self, peer: PeerId, text: &str) {
        if self.sent.len() == SENT_MAX {
            self.sent.pop_front();
        }
        self.sent.push_back((peer, text.to_owned()));
    }

    /// Sends a message to one session; nothing while the hub is away.
    fn tell(&mut self, peer: PeerId, message_id: Option<&str>, kind: &str, data: &Json) {
        if self.outage.is_some() {
            return;
        }
        if let Some(text) = self.sealed(peer, message_id, kind, data) {
            self.keep(peer, &text);
            self.send(peer, text);
        }
    }

    /// Sends a message to all sessions; how many.
    pub(super) fn tell_all(&mut self, message_id: Option<&str>, kind: &str, data: &Json) -> usize {
        let peers = self.talking();
        peers.iter().for_each(|peer| self.tell(*peer, message_id, kind, data));
        peers.len()
    }

    /// An id for a message that asks for an acknowledgement.
    pub(super) fn message_id(&mut self, what: &str) -> String {
        self.messages += 1;
        format!("{what}-{}", self.messages)
    }

    pub(super) fn publish_to(&mut self, peer: PeerId) {
        let all = items(self.leases.iter());
        self.tell(peer, None, kind::LEASE_PUBLISH, &all);
    }

    pub(super) fn publish_all(&mut self) {
        let all = items(self.leases.iter());
        self.tell_all(None, kind::LEASE_PUBLISH, &all);
    }

    /// The newest frames once more, byte for byte. How many went out.
    pub(super) fn replay(&mut self, count: usize) -> usize {
        let again: Vec<(PeerId, String)> = self.sent.iter().rev().take(count).rev().cloned().collect();
        let many = again.len();
        again.into_iter().for_each(|(peer, text)| self.send(peer, text));
        many
    }

    /// Two messages to each session, the second before the first.
    pub(super) fn reorder(&mut self, first: &Json, second: &Json) -> usize {
        let peers = self.talking();
        for peer in &peers {
            let frames = [first, second].map(|leases| self.sealed(*peer, None, kind::LEASE_PUBLISH, leases));
            frames.into_iter().rev().flatten().for_each(|text| self.send(*peer, text));
        }
        peers.len()
    }

    /// A lease frame to each session, changed by `how` after it was sealed.
    pub(super) fn spoil(&mut self, leases: &Json, how: impl Fn(&mut Json)) -> usize {
        let peers = self.talking();
        for peer in &peers {
            let frame = self.sealed(*peer, Some("spoilt"), kind::LEASE_PUBLISH, leases);
            let Some(mut frame) = frame.and_then(|text| serde_json::from_str::<Json>(&text).ok()) else { continue };
            how(&mut frame);
            self.send(*peer, frame.to_string());
        }
        peers.len()
    }

    pub(super) fn begin_outage(&mut self, outage: Outage, until: crate::units::Mono) {
        self.outage = Some((outage, until));
        if outage == Outage::Closed {
            self.close_all("the hub goes away");
        }
    }

    /// Who met silence has a dead connection: closing it makes him come again.
    pub(super) fn end_outage(&mut self) {
        if let Some((Outage::Silent, _)) = self.outage.take() {
            self.close_all("the hub is back");
        }
    }

    pub(super) fn close_all(&mut self, reason: &str) {
        self.talking().into_iter().for_each(|peer| self.send_away(peer, GOING_AWAY, reason));
    }
}

/// `data` of a publish.
pub(super) fn items<'a>(leases: impl Iterator<Item = (&'a String, &'a Json)>) -> Json {
    let item = |(key, score): (&String, &Json)| json!({"workerKey": key, "score": score});
    json!({"workerScores": leases.map(item).collect::<Vec<Json>>()})
}
