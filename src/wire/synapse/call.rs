//! The dendrite's side: a signed request, and what its answer must be. It opens no connection and waits for nothing.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    BITTENSOR_VERSION, SynapseKind,
    answer::{Synapse, Terminal, headers},
    btauth::Unsigned,
    head::signed_text,
};
use crate::{
    units::Hotkey,
    wire::{
        http::{Headers, Request, Response},
        json,
        keys::{Keypair, signature_text},
    },
};

/// One call of a validator's axon.
#[derive(Debug)]
pub struct Call<'a> {
    pub kind: SynapseKind,
    pub from: &'a Keypair,
    pub to: &'a Hotkey,
    pub axon: SocketAddr,
    /// Our own address as others see it; for politeness only.
    pub dendrite_ip: IpAddr,
    /// Nanoseconds since the epoch, greater than that of every earlier call under this uuid.
    pub nonce: u64,
    pub uuid: &'a str,
    /// How long we wait; it also says how old the nonce may be on arrival.
    pub timeout: Duration,
}

/// A call that was signed: what is left is to write it down. It holds no secret, so that may be done elsewhere.
#[derive(Clone, Debug)]
pub struct SignedCall {
    kind: SynapseKind,
    from: Hotkey,
    to: Hotkey,
    axon: SocketAddr,
    dendrite_ip: IpAddr,
    nonce: u64,
    uuid: String,
    timeout: Duration,
    signature: String,
}

impl Call<'_> {
    /// Signs, which costs tens of microseconds. The signature does not cover the body.
    pub fn sign(&self) -> SignedCall {
        let signature = self.from.sign(signed_text(self.nonce, self.from.hotkey(), self.to, self.uuid).as_bytes());
        SignedCall {
            kind: self.kind,
            from: self.from.hotkey().clone(),
            to: self.to.clone(),
            axon: self.axon,
            dendrite_ip: self.dendrite_ip,
            nonce: self.nonce,
            uuid: self.uuid.to_owned(),
            timeout: self.timeout,
            signature: signature_text(&signature),
        }
    }

    /// [`Call::sign`] and [`SignedCall::request`].
    pub fn request(&self, text: &str) -> Request {
        self.sign().request(text)
    }
}

impl SignedCall {
    /// The request with `text` (a package, or the handshake's JSON) as its `request`. The loop adds
    /// `Content-Length`.
    pub fn request(&self, text: &str) -> Request {
        let (axon_ip, dendrite_ip) = (self.axon.ip().to_string(), self.dendrite_ip.to_string());
        let mut synapse = Synapse::new(self.kind, self.timeout);
        synapse.total_size = text.len();
        synapse.dendrite = Terminal {
            ip: Some(&dendrite_ip),
            version: Some(BITTENSOR_VERSION),
            nonce: Some(self.nonce),
            uuid: Some(&self.uuid),
            hotkey: Some(self.from.as_str()),
            signature: Some(&self.signature),
            ..Terminal::default()
        };
        synapse.axon = Terminal {
            ip: Some(&axon_ip),
            port: Some(self.axon.port()),
            hotkey: Some(self.to.as_str()),
            ..Terminal::default()
        };
        synapse.request = Some(text);
        let body = json::text(&synapse).into_bytes();
        let mut headers = headers(&synapse, body.len());
        headers.push("host", self.axon.to_string());
        headers.push("accept", "*/*");
        headers.push("user-agent", concat!("byteleap/", env!("CARGO_PKG_VERSION")));
        Request { method: "POST".into(), target: self.kind.path().into(), headers, body }
    }
}

/// A call of an axon that takes [`super::btauth`]: its signature will cover its body, so it is signed last. It holds
/// no secret, and may be written down elsewhere.
#[derive(Clone, Debug)]
pub struct OpenCall {
    pub kind: SynapseKind,
    pub to: Hotkey,
    pub axon: SocketAddr,
}

impl OpenCall {
    /// The request with `text` as its `request`, but for who sends it and when.
    pub fn write(&self, text: &str) -> Unsigned {
        let body = json::text(&Plain { name: self.kind.class(), request: text }).into_bytes();
        let mut headers = Headers::new();
        headers.push("content-type", "application/json");
        headers.push("host", self.axon.to_string());
        headers.push("accept", "*/*");
        headers.push("user-agent", concat!("byteleap/", env!("CARGO_PKG_VERSION")));
        let request = Request { method: "POST".into(), target: self.kind.path().into(), headers, body };
        Unsigned::new(request, self.to.clone())
    }
}

/// A synapse without the politeness of 9.10: who sends it stands in the header alone.
#[derive(Serialize)]
struct Plain<'a> {
    name: &'a str,
    request: &'a str,
}

/// Why a response is no answer. The session is kept: faults of the session come with status 200.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallFault {
    #[error("status {status}: {message}")]
    Status { status: u16, message: String },
    #[error("content type {0:?}, expected application/json")]
    ContentType(String),
    #[error("body: {0}")]
    Body(String),
    /// A synapse came back, but unanswered.
    #[error("no response in the body")]
    NoResponse,
}

/// The `response` text of a synapse that came back: a package, the handshake's JSON, or a session fault
/// ([`crate::wire::session::Refusal`]).
pub fn parse_answer(response: &Response) -> Result<String, CallFault> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default)]
        response: Option<String>,
    }
    let text = std::str::from_utf8(&response.body).unwrap_or_default();
    if response.status != 200 {
        return Err(CallFault::Status { status: response.status, message: reason(text) });
    }
    let content_type = response.headers.get("content-type").unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(CallFault::ContentType(content_type.chars().take(64).collect()));
    }
    let answer: Answer = json::object(text).map_err(|fault| CallFault::Body(fault.to_string()))?;
    answer.response.ok_or(CallFault::NoResponse)
}

/// The `message` (or `detail`) that an axon gives with a refusal, shortened for a log line.
fn reason(body: &str) -> String {
    #[derive(Deserialize)]
    struct Reason {
        #[serde(default, alias = "detail")]
        message: Option<String>,
    }
    let message = json::object::<Reason>(body).ok().and_then(|reason| reason.message);
    message.unwrap_or_default().chars().filter(|c| !c.is_control()).take(200).collect()
}
