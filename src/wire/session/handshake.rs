//! The handshake: X25519, HKDF-SHA256, and (optional on the wire) both hotkeys' signatures over it.
//!
//! It draws no randomness: secrets, nonces and session ids are handed in, and are used for one handshake only.

use base64::{Engine, engine::general_purpose::STANDARD};
use hkdf::Hkdf;
use sha2::Sha256;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use super::{Keys, Session, SessionFault};
use crate::{
    units::{Hotkey, Wall},
    wire::{
        keys::{self, Keypair},
        limits,
        messages::{SessionInitRequest, SessionInitResponse},
    },
};

/// A client's half, until the answer comes.
pub struct ClientHello {
    secret: StaticSecret,
    public: String,
    nonce: String,
    created_at: Wall,
    signed: bool,
}

impl std::fmt::Debug for ClientHello {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ClientHello({})", self.public)
    }
}

impl ClientHello {
    /// `secret` and `nonce` are fresh random bytes.
    pub fn new(secret: [u8; 32], nonce: [u8; 16], now: Wall) -> ClientHello {
        let secret = StaticSecret::from(secret);
        let public = STANDARD.encode(PublicKey::from(&secret));
        ClientHello { secret, public, nonce: STANDARD.encode(nonce), created_at: now, signed: false }
    }

    /// The request, unsigned.
    pub fn request(&self) -> SessionInitRequest {
        SessionInitRequest {
            miner_eph_pub32: self.public.clone(),
            client_nonce16: self.nonce.clone(),
            created_at: Some(self.created_at.as_secs_f64()),
            sig: None,
        }
    }

    /// The request with the miner's signature. A validator of ours then signs its answer.
    pub fn signed_request(&mut self, me: &Keypair, validator: &Hotkey) -> SessionInitRequest {
        let text = handshake_text(&self.public, &self.nonce, me.hotkey(), validator);
        self.signed = true;
        SessionInitRequest { sig: Some(keys::signature_text(&me.sign(text.as_bytes()))), ..self.request() }
    }

    /// The session, from the validator's answer. A signature in it must be the validator's.
    pub fn finish(
        self,
        me: &Hotkey,
        validator: &Hotkey,
        answer: &SessionInitResponse,
    ) -> Result<Session, SessionFault> {
        let SessionInitResponse { validator_eph_pub32, session_id, server_nonce16, expires_at, sig } = answer;
        if session_id.is_empty() || session_id.len() > limits::SESSION_ID_BYTES {
            return Err(refused("session_id is empty or too long"));
        }
        let text = handshake_text(&self.public, &self.nonce, me, validator);
        let text = format!("{text}|{validator_eph_pub32}|{server_nonce16}|{session_id}");
        let signed = self.signed && is_signed(sig.as_deref(), validator, &text)?;
        let exchange = Exchange {
            client: me,
            server: validator,
            client_public: &self.public,
            server_public: validator_eph_pub32,
            client_nonce: &self.nonce,
            server_nonce: server_nonce16,
        };
        let (seal, open) = exchange.keys(&self.secret, validator_eph_pub32)?;
        let keys =
            Keys { seal: *seal, open: *open, id: session_id.as_str().into(), me: me.clone(), peer: validator.clone() };
        Ok(Session::new(keys, wall(*expires_at)?, signed))
    }
}

/// A server's half: what it offers to the next client. Used once.
pub struct Offer {
    /// Fresh random bytes.
    pub secret: Zeroizing<[u8; 32]>,
    /// Fresh random bytes.
    pub nonce: [u8; 16],
    /// A UUID, never used before.
    pub session_id: String,
    pub expires_at: Wall,
}

impl std::fmt::Debug for Offer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Offer({})", self.session_id)
    }
}

impl Offer {
    /// Answers the handshake of `client`, the hotkey that the axon verified. A signature in the request must be that
    /// client's, and is answered by ours; `request.sig` is `None` in the handshake of the reference implementation.
    pub fn accept(
        self,
        client: &Hotkey,
        me: &Keypair,
        request: &SessionInitRequest,
    ) -> Result<(Session, SessionInitResponse), SessionFault> {
        let SessionInitRequest { miner_eph_pub32, client_nonce16, sig, .. } = request;
        let text = handshake_text(miner_eph_pub32, client_nonce16, client, me.hotkey());
        let signed = is_signed(sig.as_deref(), client, &text)?;
        let secret = StaticSecret::from(*self.secret);
        let server_public = STANDARD.encode(PublicKey::from(&secret));
        let server_nonce = STANDARD.encode(self.nonce);
        let exchange = Exchange {
            client,
            server: me.hotkey(),
            client_public: miner_eph_pub32,
            server_public: &server_public,
            client_nonce: client_nonce16,
            server_nonce: &server_nonce,
        };
        let (open, seal) = exchange.keys(&secret, miner_eph_pub32)?;
        let id = self.session_id;
        let keys =
            Keys { seal: *seal, open: *open, id: id.as_str().into(), me: me.hotkey().clone(), peer: client.clone() };
        let answer_text = format!("{text}|{server_public}|{server_nonce}|{id}");
        let answer = SessionInitResponse {
            validator_eph_pub32: server_public,
            session_id: id,
            server_nonce16: server_nonce,
            expires_at: self.expires_at.as_secs_f64(),
            sig: signed.then(|| keys::signature_text(&me.sign(answer_text.as_bytes()))),
        };
        Ok((Session::new(keys, self.expires_at, signed), answer))
    }
}

/// What a miner signs; the validator's signature covers the same text followed by
/// `|{validator_eph_pub32}|{server_nonce16}|{session_id}`. Fields as sent.
pub fn handshake_text(miner_public: &str, client_nonce: &str, miner: &Hotkey, validator: &Hotkey) -> String {
    format!("byteleap/session-init/v1|{miner_public}|{client_nonce}|{miner}|{validator}")
}

/// False without a signature; a fault with a wrong one.
fn is_signed(signature: Option<&str>, signer: &Hotkey, text: &str) -> Result<bool, SessionFault> {
    let Some(signature) = signature else { return Ok(false) };
    let signature = keys::parse_signature(signature).ok_or_else(|| refused("sig is no signature"))?;
    match keys::verify(signer, text.as_bytes(), &signature) {
        true => Ok(true),
        false => Err(refused("sig is not that hotkey's")),
    }
}

fn refused(why: &str) -> SessionFault {
    SessionFault::Handshake(why.into())
}

fn wall(seconds: f64) -> Result<Wall, SessionFault> {
    // 10^10 s is the year 2286; beyond lies no moment that a session could end at.
    match (0.0..1e10).contains(&seconds) {
        true => Ok(Wall((seconds * 1e9) as u64)),
        false => Err(refused("expires_at is no time")),
    }
}

pub(super) type Key = Zeroizing<[u8; 32]>;

/// Everything that goes into the keys: texts as sent.
pub(super) struct Exchange<'a> {
    pub client: &'a Hotkey,
    pub server: &'a Hotkey,
    pub client_public: &'a str,
    pub server_public: &'a str,
    pub client_nonce: &'a str,
    pub server_nonce: &'a str,
}

impl Exchange<'_> {
    /// The keys client → server and server → client.
    pub fn keys(&self, secret: &StaticSecret, peer_public: &str) -> Result<(Key, Key), SessionFault> {
        let peer: [u8; 32] = decoded(peer_public, "ephemeral public key")?;
        let shared = secret.diffie_hellman(&PublicKey::from(peer));
        if !shared.was_contributory() {
            return Err(refused("the shared secret is all zero"));
        }
        let mut nonces = [0; 32];
        nonces[..16].copy_from_slice(&decoded::<16>(self.client_nonce, "client_nonce16")?);
        nonces[16..].copy_from_slice(&decoded::<16>(self.server_nonce, "server_nonce16")?);
        let derive = Hkdf::<Sha256>::new(Some(&nonces), shared.as_bytes());
        Ok((
            self.expand(&derive, "session_key_client_to_server", &nonces),
            self.expand(&derive, "session_key_server_to_client", &nonces),
        ))
    }

    fn expand(&self, derive: &Hkdf<Sha256>, direction: &str, nonces: &[u8; 32]) -> Key {
        let info: [&[u8]; 7] = [
            direction.as_bytes(),
            self.client.as_str().as_bytes(),
            self.server.as_str().as_bytes(),
            self.client_public.as_bytes(),
            self.server_public.as_bytes(),
            nonces,
            b"HKDF-SHA256_AES-256-GCM_X25519",
        ];
        let mut key = Zeroizing::new([0; 32]);
        derive.expand(&info.join(&b"|"[..]), &mut *key).expect("HKDF gives up to 8,160 bytes");
        key
    }
}

fn decoded<const N: usize>(text: &str, what: &str) -> Result<[u8; N], SessionFault> {
    let bytes = STANDARD.decode(text).map_err(|_| refused(&format!("{what} must be valid base64")))?;
    bytes.try_into().map_err(|bytes: Vec<u8>| refused(&format!("{what} has {} bytes, must have {N}", bytes.len())))
}
