//! The axon's answer to a synapse that reached its purpose: status 200, the synapse's object with `response` filled.
//!
//! `request` is not echoed: a dendrite needs `response` alone, and a proof's request is up to 32 MiB.

use std::time::Duration;

use serde::Serialize;

use super::{BODY_HASH, Head, SynapseKind, btauth};
use crate::wire::{
    http::{Headers, Response},
    json,
    keys::signature_text,
    receipt,
};

#[derive(Serialize)]
pub(super) struct Synapse<'a> {
    pub name: &'a str,
    pub timeout: f64,
    pub total_size: usize,
    pub header_size: usize,
    pub dendrite: Terminal<'a>,
    pub axon: Terminal<'a>,
    pub computed_body_hash: &'a str,
    pub request: Option<&'a str>,
    pub response: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol_version: Option<u32>,
    /// `ChallengeSynapse` only, and null there: the requests are in the encrypted answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof_requests: Option<()>,
}

#[derive(Default, Serialize)]
pub(super) struct Terminal<'a> {
    pub status_code: Option<u16>,
    pub status_message: Option<&'a str>,
    pub process_time: Option<f64>,
    pub ip: Option<&'a str>,
    pub port: Option<u16>,
    pub version: Option<u32>,
    pub nonce: Option<u64>,
    pub uuid: Option<&'a str>,
    pub hotkey: Option<&'a str>,
    pub signature: Option<&'a str>,
}

impl<'a> Synapse<'a> {
    /// The object of that class with nothing but its constants.
    pub(super) fn new(kind: SynapseKind, timeout: Duration) -> Synapse<'a> {
        Synapse {
            name: kind.class(),
            timeout: timeout.as_secs_f64(),
            total_size: 0,
            header_size: 0,
            dendrite: Terminal::default(),
            axon: Terminal::default(),
            computed_body_hash: "",
            request: None,
            response: None,
            protocol_version: kind.is_encrypted().then_some(1),
            proof_requests: (kind == SynapseKind::Challenge).then_some(()),
        }
    }
}

/// The answer to `head` that carries `response`: a package, the handshake's JSON, or a session fault's.
pub fn answer(kind: SynapseKind, head: &Head, response: &str, process_time: Duration) -> Response {
    let signature = head.signature.as_ref().map(signature_text);
    let mut synapse = Synapse::new(kind, head.timeout.unwrap_or(crate::wire::limits::NONCE_TIMEOUT_DEFAULT));
    synapse.total_size = response.len();
    synapse.dendrite = Terminal {
        ip: head.dendrite_ip.as_deref(),
        version: head.version,
        nonce: head.nonce,
        uuid: head.uuid.as_deref(),
        hotkey: Some(head.hotkey.as_str()),
        signature: signature.as_deref(),
        ..Terminal::default()
    };
    synapse.axon = Terminal {
        status_code: Some(200),
        status_message: Some("Success"),
        process_time: Some(process_time.as_secs_f64()),
        ip: head.axon_ip.as_deref(),
        port: head.axon_port,
        hotkey: head.axon_hotkey.as_deref(),
        ..Terminal::default()
    };
    synapse.response = Some(response);
    let body = json::text(&synapse).into_bytes();
    let mut headers = headers(&synapse, body.len());
    headers.push(btauth::ANNOUNCEMENT, btauth::PROTOCOL);
    headers.push(receipt::ANNOUNCEMENT, receipt::FORMAT);
    Response { status: 200, headers, body }
}

/// The header fields that mirror a synapse's object, in Bittensor's order. What is not known is left out.
pub(super) fn headers(synapse: &Synapse<'_>, total_size: usize) -> Headers {
    let mut headers = Headers::new();
    headers.push("name", synapse.name);
    headers.push("timeout", format!("{:?}", synapse.timeout));
    terminal("axon", &synapse.axon, &mut headers);
    terminal("dendrite", &synapse.dendrite, &mut headers);
    let header_size: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    headers.push("header_size", header_size.to_string());
    headers.push("total_size", total_size.to_string());
    headers.push("computed_body_hash", BODY_HASH);
    headers.push("content-type", "application/json");
    headers
}

fn terminal(side: &str, terminal: &Terminal<'_>, headers: &mut Headers) {
    let fields = [
        ("status_code", terminal.status_code.map(|code| code.to_string())),
        ("status_message", terminal.status_message.map(str::to_owned)),
        ("process_time", terminal.process_time.map(|seconds| format!("{seconds:?}"))),
        ("ip", terminal.ip.map(str::to_owned)),
        ("port", terminal.port.map(|port| port.to_string())),
        ("version", terminal.version.map(|version| version.to_string())),
        ("nonce", terminal.nonce.map(|nonce| nonce.to_string())),
        ("uuid", terminal.uuid.map(str::to_owned)),
        ("hotkey", terminal.hotkey.map(str::to_owned)),
        ("signature", terminal.signature.map(str::to_owned)),
    ];
    for (field, value) in fields {
        if let Some(value) = value {
            headers.push(&format!("bt_header_{side}_{field}"), value);
        }
    }
}
