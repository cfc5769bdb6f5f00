//! The handshake: the validator offers its token and half a key, the hub answers with its own half or an error.
//! Neither side signs: who the hub is, is what TLS says and what `server_hotkey` pins.

use serde::{Deserialize, Deserializer, Serialize};
use zeroize::Zeroizing;

use super::{
    frame::{Frame, FrameFault, HubError, plain},
    kind,
    session::HubSession,
};
use crate::{
    units::{Hotkey, Secret, Wall},
    wire::{
        keys::Keypair,
        messages::{SessionInitRequest, SessionInitResponse},
        session::{ClientHello, Offer, SessionFault},
    },
};

/// Sessions with the hub have no end of their own: one lasts as long as its connection.
const NEVER_S: u64 = 9_999_999_999;

/// Why there is no session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeFault {
    #[error(
        "the hub is {told}, but meshhub.server_hotkey pins {pinned}: another hub answers at this address, or it has a \
         new key; ask its operator before changing the pin"
    )]
    WrongServer { pinned: Hotkey, told: Hotkey },
    #[error("the hub's answer gives no session: {0}")]
    Session(SessionFault),
}

/// `data` of `MESH_SESSION_INIT_V1`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Init {
    pub validator_hotkey: Hotkey,
    #[serde(deserialize_with = "secret")]
    pub access_token: Secret,
    #[serde(default)]
    pub client_version: Option<String>,
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// Base64 of 32 bytes; the text as sent goes into the keys.
    client_public_key: String,
    /// Base64 of 16 bytes.
    client_nonce: String,
}

fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
    String::deserialize(from).map(Secret::new)
}

impl Init {
    /// Reads the first frame of a connection to the hub.
    pub fn parse(text: &str) -> Result<Init, FrameFault> {
        let frame = Frame::parse(text)?;
        match frame.kind == kind::SESSION_INIT {
            true => frame.data(),
            false => Err(FrameFault::Shape(format!("{:?} before {}", frame.kind, kind::SESSION_INIT))),
        }
    }
}

/// `data` of `MESH_SESSION_INIT_RESPONSE_V1`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InitResponse {
    pub session_id: String,
    /// The hub's, in spite of its name.
    pub validator_ephemeral_public_key: String,
    pub server_nonce: String,
    pub server_hotkey: Hotkey,
}

impl InitResponse {
    pub fn to_text(&self, now: Wall) -> String {
        plain(kind::SESSION_INIT_RESPONSE, now, self)
    }
}

/// What the hub says before there is a session.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    Accepted(InitResponse),
    Refused(HubError),
}

impl Reply {
    /// Any other frame is a fault; it is dropped, and the answer still awaited.
    pub fn parse(text: &str) -> Result<Reply, FrameFault> {
        let frame = Frame::parse(text)?;
        match frame.kind.as_str() {
            kind::SESSION_INIT_RESPONSE => frame.data().map(Reply::Accepted),
            kind::ERROR if frame.is_error() => frame.data().map(Reply::Refused),
            other => Err(FrameFault::Shape(format!("{other:?} before the handshake is done"))),
        }
    }
}

/// The validator's half, until the answer comes. One attempt.
#[derive(Debug)]
pub struct Hello {
    hello: ClientHello,
}

impl Hello {
    /// `secret` and `nonce` are fresh random bytes.
    pub fn new(secret: [u8; 32], nonce: [u8; 16]) -> Hello {
        Hello { hello: ClientHello::new(secret, nonce, Wall(0)) }
    }

    /// The frame `MESH_SESSION_INIT_V1`. It holds the token: for the wire alone.
    pub fn to_text(&self, now: Wall, me: &Hotkey, token: &Secret, version: &str, capabilities: &[&str]) -> String {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Data<'a> {
            validator_hotkey: &'a Hotkey,
            access_token: &'a str,
            client_version: &'a str,
            capabilities: &'a [&'a str],
            client_public_key: &'a str,
            client_nonce: &'a str,
        }
        let request = self.hello.request();
        let data = Data {
            validator_hotkey: me,
            access_token: token.reveal(),
            client_version: version,
            capabilities,
            client_public_key: &request.miner_eph_pub32,
            client_nonce: &request.client_nonce16,
        };
        plain(kind::SESSION_INIT, now, &data)
    }

    /// The session. `pinned`: the only hub that will do, if the configuration names one.
    pub fn finish(
        self,
        me: &Hotkey,
        pinned: Option<&Hotkey>,
        answer: &InitResponse,
    ) -> Result<HubSession, HandshakeFault> {
        let hub = &answer.server_hotkey;
        if let Some(pinned) = pinned.filter(|pinned| *pinned != hub) {
            return Err(HandshakeFault::WrongServer { pinned: pinned.clone(), told: hub.clone() });
        }
        let half = SessionInitResponse {
            validator_eph_pub32: answer.validator_ephemeral_public_key.clone(),
            session_id: answer.session_id.clone(),
            server_nonce16: answer.server_nonce.clone(),
            expires_at: NEVER_S as f64,
            sig: None,
        };
        let session = self.hello.finish(me, hub, &half).map_err(HandshakeFault::Session)?;
        Ok(HubSession::new(session))
    }
}

/// The hub's half. Used once.
#[derive(Debug)]
pub struct HubOffer {
    offer: Offer,
}

impl HubOffer {
    /// `secret` and `nonce` are fresh random bytes; `session_id` was never used before.
    pub fn new(secret: [u8; 32], nonce: [u8; 16], session_id: String) -> HubOffer {
        let secret = Zeroizing::new(secret);
        HubOffer { offer: Offer { secret, nonce, session_id, expires_at: Wall::from_secs(NEVER_S) } }
    }

    /// Answers a validator whose token was found good.
    pub fn accept(self, me: &Keypair, init: &Init) -> Result<(HubSession, InitResponse), SessionFault> {
        let half = SessionInitRequest {
            miner_eph_pub32: init.client_public_key.clone(),
            client_nonce16: init.client_nonce.clone(),
            created_at: None,
            sig: None,
        };
        let (session, answer) = self.offer.accept(&init.validator_hotkey, me, &half)?;
        let answer = InitResponse {
            session_id: answer.session_id,
            validator_ephemeral_public_key: answer.validator_eph_pub32,
            server_nonce: answer.server_nonce16,
            server_hotkey: me.hotkey().clone(),
        };
        Ok((HubSession::new(session), answer))
    }
}
