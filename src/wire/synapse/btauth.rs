//! `btauth/1`, the HTTP auth of Bittensor 11: five headers, and a signature that covers method, target, sender,
//! receiver, moment **and body**. Here it is spoken beside the headers of 9.10, never mixed with them.
//!
//! What is stricter than in Bittensor's own package: a request must name its receiver (one signed for nobody in
//! particular could be handed on to every other validator), numbers are decimal digits only, and sr25519 is the only
//! scheme, as no hotkey of a subnet's miner has another. It keeps no nonces; that is the machine's.
//!
//! A server says with every answer, in the header [`ANNOUNCEMENT`], that it takes such requests.

use std::time::Duration;

use sha2::{Digest, Sha256};

use super::{
    AxonRefusal,
    head::{Head, Signs},
};
use crate::{
    units::Hotkey,
    wire::{
        http::{Headers, Request},
        keys::{self, Keypair, Signature, signature_text},
    },
};

/// The header field of a response whose value is [`PROTOCOL`].
pub const ANNOUNCEMENT: &str = "x-bittensor-auth";
/// The first line of what is signed.
pub const PROTOCOL: &str = "btauth/1";

/// How old a nonce may be.
pub const MOST_AGE: Duration = Duration::from_secs(10);
/// How far ahead of our clock it may be.
pub const MOST_AHEAD: Duration = Duration::from_secs(2);

const VERSION: (&str, &str) = ("x-bittensor-version", "1");
const HOTKEY: &str = "x-bittensor-hotkey";
const RECEIVER: &str = "x-bittensor-receiver";
const NONCE: &str = "x-bittensor-nonce";
const CRYPTO: &str = "x-bittensor-crypto";
const SIGNATURE: &str = "x-bittensor-signature";
const SCHEME: &str = "sr25519";

/// The old way to say who one is; a request that says it both ways could be read in two ways.
const OLD: [&str; 4] = [
    "bt_header_dendrite_hotkey",
    "bt_header_dendrite_nonce",
    "bt_header_dendrite_uuid",
    "bt_header_dendrite_signature",
];

/// Whether a response says that its sender takes `btauth/1`.
pub fn announces(headers: &Headers) -> bool {
    headers.get(ANNOUNCEMENT).is_some_and(|value| value.split(',').any(|word| word.trim() == PROTOCOL))
}

/// Whether any header of this protocol is there; the others are then asked for by name.
pub(super) fn speaks(headers: &Headers) -> bool {
    [VERSION.0, HOTKEY, RECEIVER, NONCE, CRYPTO, SIGNATURE].iter().any(|name| headers.get(name).is_some())
}

/// Reads the headers; nothing in them is believed yet.
pub(super) fn parse(headers: &Headers) -> Result<Head, AxonRefusal> {
    if OLD.iter().any(|name| headers.get(name).is_some()) {
        return Err(AxonRefusal::TwoKinds);
    }
    if field(headers, VERSION.0)? != VERSION.1 {
        return Err(AxonRefusal::BadHeader(VERSION.0));
    }
    if headers.get(CRYPTO).is_some_and(|scheme| scheme != SCHEME) {
        return Err(AxonRefusal::BadHeader(CRYPTO));
    }
    Ok(Head {
        hotkey: field(headers, HOTKEY)?.parse().map_err(|_| AxonRefusal::NotInMetagraph)?,
        nonce: Some(nonce(field(headers, NONCE)?)?),
        signature: Some(keys::parse_signature(field(headers, SIGNATURE)?).ok_or(AxonRefusal::BadHeader(SIGNATURE))?),
        axon_hotkey: headers.get(RECEIVER).map(str::to_owned),
        signs: Signs::Body,
        uuid: None,
        version: None,
        timeout: None,
        axon_ip: None,
        axon_port: None,
        dendrite_ip: None,
        body_hash: None,
    })
}

fn field<'a>(headers: &'a Headers, name: &'static str) -> Result<&'a str, AxonRefusal> {
    headers.get(name).filter(|value| !value.is_empty()).ok_or(AxonRefusal::MissingHeader(name))
}

/// What is signed is the number as we write it, so it must have come that way.
fn nonce(text: &str) -> Result<u64, AxonRefusal> {
    let number = text.parse::<u64>().ok().filter(|number| number.to_string() == text);
    number.ok_or(AxonRefusal::BadHeader(NONCE))
}

/// A request's claim to be from a hotkey, cut loose from the request: verified where its body is.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    method: String,
    target: String,
    from: Hotkey,
    to: Hotkey,
    nonce: u64,
    signature: Signature,
}

impl Claim {
    /// `None` where the head does not sign its body.
    pub fn of(head: &Head, request: &Request, me: &Hotkey) -> Option<Claim> {
        let (Signs::Body, Some(nonce), Some(signature)) = (head.signs, head.nonce, head.signature) else { return None };
        Some(Claim {
            method: request.method.clone(),
            target: request.target.clone(),
            from: head.hotkey.clone(),
            to: me.clone(),
            nonce,
            signature,
        })
    }

    /// Hashes the body and checks the signature: some microseconds for each KiB, and tens for the signature.
    pub fn verify(&self, body: &[u8]) -> Result<(), AxonRefusal> {
        let digest = Sha256::digest(body).into();
        let text = signed_text(&self.method, &self.target, &digest, self.nonce, &self.from, &self.to);
        match keys::verify(&self.from, text.as_bytes(), &self.signature) {
            true => Ok(()),
            false => Err(AxonRefusal::Signature),
        }
    }
}

/// The eight lines.
fn signed_text(method: &str, target: &str, body: &[u8; 32], nonce: u64, from: &Hotkey, to: &Hotkey) -> String {
    format!("{PROTOCOL}\n{SCHEME}\n{method}\n{target}\n{}\n{nonce}\n{from}\n{to}", hex::encode(body))
}

/// A request that is written and hashed, and not yet signed: its moment is that of the signature.
#[derive(Debug)]
pub struct Unsigned {
    request: Request,
    body: [u8; 32],
    to: Hotkey,
}

impl Unsigned {
    /// `request` has all of its headers but those of its sender.
    pub fn new(request: Request, to: Hotkey) -> Unsigned {
        let body = Sha256::digest(&request.body).into();
        Unsigned { request, body, to }
    }

    /// `nonce`: nanoseconds since the epoch, used once.
    pub fn sign(mut self, from: &Keypair, nonce: u64) -> Request {
        let Request { method, target, .. } = &self.request;
        let text = signed_text(method, target, &self.body, nonce, from.hotkey(), &self.to);
        let headers = &mut self.request.headers;
        headers.push(VERSION.0, VERSION.1);
        headers.push(HOTKEY, from.hotkey().as_str());
        headers.push(RECEIVER, self.to.as_str());
        headers.push(NONCE, nonce.to_string());
        headers.push(SIGNATURE, signature_text(&from.sign(text.as_bytes())));
        self.request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_announces_it_by_name_alone_or_in_a_list() {
        for (value, announced) in
            [("btauth/1", true), ("btauth/2, btauth/1", true), ("btauth/11", false), ("", false), ("BTAUTH/1", false)]
        {
            let mut headers = Headers::new();
            headers.push(ANNOUNCEMENT, value);
            assert_eq!(announces(&headers), announced, "{value}");
        }
        assert!(!announces(&Headers::new()));
    }

    #[test]
    fn a_nonce_is_decimal_digits_as_we_would_write_them() {
        assert_eq!(nonce("1800000000000000000"), Ok(1_800_000_000_000_000_000));
        for text in ["+5", "05", " 5", "5 ", "1_000", "-1", "0x5", "18446744073709551616", "5.0"] {
            assert_eq!(nonce(text), Err(AxonRefusal::BadHeader(NONCE)), "{text:?}");
        }
    }
}
