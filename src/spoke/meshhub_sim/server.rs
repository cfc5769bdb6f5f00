//! The hub on the loop that carries the daemons: validators by WebSocket, control by HTTP, on one port.

use super::{Hub, Never, conversation::Connection};
use crate::{
    machine::{Exit, Input, Link, Machine, Message, Output},
    metrics::Page,
    net::{HttpOptions, Serve, WebSocketOptions},
    units::{Mono, Now, PeerId},
    wire::{
        http::{Headers, Request, Response},
        limits::MARKETPLACE_BYTES,
    },
};

/// WebSockets of validators, and JSON-RPC over HTTP of whoever controls the simulation.
pub fn door() -> Serve {
    let http = HttpOptions { body_bytes: |_| MARKETPLACE_BYTES, ..HttpOptions::default() };
    let (message_bytes, write_buffer_bytes) = (MARKETPLACE_BYTES, 4 * MARKETPLACE_BYTES);
    let websocket = WebSocketOptions { message_bytes, write_buffer_bytes, ..WebSocketOptions::default() };
    Serve::Both(Link::Marketplace, http, websocket)
}

impl Hub {
    fn request(&mut self, peer: PeerId, request: &Request) {
        let mut headers = Headers::new();
        let response = if request.method == "POST" {
            headers.push("content-type", "application/json");
            let body = self.answer(&request.body).unwrap_or_default().into_bytes();
            Response { status: 200, headers, body }
        } else {
            headers.push("allow", "POST");
            let body = b"control is JSON-RPC by POST; validators come by WebSocket\n".to_vec();
            Response { status: 405, headers, body }
        };
        self.outbox.push_back(Output::Send { peer, message: Message::Response(response) });
    }
}

impl Machine for Hub {
    type Command = Never;
    type Event = Never;

    fn handle(&mut self, now: Now, input: Input<Never>) {
        self.advance(now);
        match input {
            Input::Opened { peer, .. } => {
                self.connections.insert(peer, Connection::Fresh);
            }
            Input::Received { peer, message: Message::Text(text), .. } => self.heard(peer, &text),
            Input::Received { peer, message: Message::Request(request), .. } => self.request(peer, &request),
            Input::Closed { peer, reason } => self.parted(peer, &reason),
            Input::Stop => self.outbox.push_back(Output::Exit(Exit::Done)),
            Input::Received { .. } | Input::DialFailed { .. } | Input::Event(_) | Input::Deadline => {}
        }
    }

    fn poll(&mut self) -> Option<Output<Never>> {
        self.outbox.pop_front()
    }

    fn deadline(&self) -> Option<Mono> {
        // the first turn starts the script's clock
        if self.started.is_none() { Some(Mono(0)) } else { self.next_deadline() }
    }

    fn observe(&self, _page: &mut Page) {}
}
