//! What a synapse's header fields say of its sender, and whether that sender signed it. Strings to values and one
//! signature check; the table of nonces and the metagraph are the machine's.

use std::time::Duration;

use super::{AxonRefusal, BODY_HASH, btauth};
use crate::{
    units::{Hotkey, Wall},
    wire::{
        http::Headers,
        keys::{self, Signature},
        limits,
    },
};

/// What the signature of a request covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signs {
    /// Sender, receiver and moment: Bittensor 9.10.
    Header,
    /// These and the body: [`btauth`].
    Body,
}

/// The header of a synapse. Nothing in it is to be believed before its signature was verified.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// Who it claims to be from. Text of an account, not yet looked up.
    pub hotkey: Hotkey,
    /// Nanoseconds since the epoch, by the sender's clock.
    pub nonce: Option<u64>,
    /// One a dendrite (the reference implementation: one a request).
    pub uuid: Option<String>,
    pub signature: Option<Signature>,
    /// Of the sender's Bittensor, e.g. 9010000.
    pub version: Option<u32>,
    /// How long the sender waits, as it says.
    pub timeout: Option<Duration>,
    /// Whom it is for, as it says; the signature covers our own hotkey whatever stands here.
    pub axon_hotkey: Option<String>,
    pub axon_ip: Option<String>,
    pub axon_port: Option<u16>,
    pub dendrite_ip: Option<String>,
    pub body_hash: Option<String>,
    pub signs: Signs,
}

impl Head {
    /// Reads the header fields, of the one kind or the other. No hotkey, or a text that is none, is a 403; a number
    /// that is none a 400.
    pub fn parse(headers: &Headers) -> Result<Head, AxonRefusal> {
        if btauth::speaks(headers) {
            return btauth::parse(headers);
        }
        let text = |name| headers.get(name).map(str::to_owned);
        let uuid = headers.get("bt_header_dendrite_uuid");
        if uuid.is_some_and(|uuid| uuid.len() > limits::UUID_BYTES) {
            return Err(AxonRefusal::BadHeader("bt_header_dendrite_uuid"));
        }
        Ok(Head {
            nonce: number(headers, "bt_header_dendrite_nonce")?,
            version: number(headers, "bt_header_dendrite_version")?,
            timeout: timeout(headers)?,
            axon_port: number(headers, "bt_header_axon_port")?,
            hotkey: hotkey(headers)?,
            uuid: uuid.map(str::to_owned),
            signature: signature(headers)?,
            axon_hotkey: text("bt_header_axon_hotkey"),
            axon_ip: text("bt_header_axon_ip"),
            dendrite_ip: text("bt_header_dendrite_ip"),
            body_hash: text("computed_body_hash"),
            signs: Signs::Header,
        })
    }

    /// Whether it is for `me`, as far as its kind says so in a header that counts.
    pub fn is_for(&self, me: &Hotkey) -> Result<(), AxonRefusal> {
        match self.signs {
            Signs::Body if self.axon_hotkey.as_deref() != Some(me.as_str()) => Err(AxonRefusal::WrongReceiver),
            _ => Ok(()),
        }
    }

    /// How far a first nonce may be from our clock, either way: 4 s and the sender's time-out, at most 304 s.
    pub fn nonce_window(&self) -> Duration {
        let timeout = self.timeout.unwrap_or(limits::NONCE_TIMEOUT_DEFAULT);
        limits::NONCE_SLACK + timeout.min(limits::NONCE_TIMEOUT)
    }

    /// The rule for the first nonce of (hotkey, uuid), the cheap half of verification. Gives the nonce. A later one
    /// must also be greater than the last ([`AxonRefusal::NonceReused`]).
    pub fn fresh_nonce(&self, now: Wall) -> Result<u64, AxonRefusal> {
        let nonce = self.nonce.ok_or(AxonRefusal::MissingNonce)?;
        if self.signs == Signs::Body {
            return self.fresh_with_body(nonce, now);
        }
        let allowed = self.nonce_window();
        let allowed_s = allowed.as_secs_f64();
        let (age, ahead) = (now.since(Wall(nonce)), Wall(nonce).since(now));
        if age >= allowed {
            return Err(AxonRefusal::NonceTooOld { allowed_s, age_s: age.as_secs_f64() });
        }
        if ahead > allowed {
            return Err(AxonRefusal::NonceInFuture { allowed_s, ahead_s: ahead.as_secs_f64() });
        }
        Ok(nonce)
    }

    fn fresh_with_body(&self, nonce: u64, now: Wall) -> Result<u64, AxonRefusal> {
        let (age, ahead) = (now.since(Wall(nonce)), Wall(nonce).since(now));
        let (most_age, most_ahead) = (btauth::MOST_AGE.as_secs_f64(), btauth::MOST_AHEAD.as_secs_f64());
        if age > btauth::MOST_AGE {
            return Err(AxonRefusal::NonceTooOld { allowed_s: most_age, age_s: age.as_secs_f64() });
        }
        if ahead > btauth::MOST_AHEAD {
            return Err(AxonRefusal::NonceInFuture { allowed_s: most_ahead, ahead_s: ahead.as_secs_f64() });
        }
        Ok(nonce)
    }

    /// Whether the hotkey signed this call to `me`, where the header alone is signed. The expensive check (tens of microseconds).
    pub fn verify(&self, me: &Hotkey) -> Result<(), AxonRefusal> {
        let nonce = self.nonce.ok_or(AxonRefusal::MissingNonce)?;
        let signature = self.signature.as_ref().ok_or(AxonRefusal::MissingSignature)?;
        if self.body_hash.as_deref() != Some(BODY_HASH) {
            return Err(AxonRefusal::BodyHash);
        }
        let uuid = self.uuid.as_deref().ok_or(AxonRefusal::Signature)?;
        let text = signed_text(nonce, &self.hotkey, me, uuid);
        match keys::verify(&self.hotkey, text.as_bytes(), signature) {
            true => Ok(()),
            false => Err(AxonRefusal::Signature),
        }
    }
}

/// What a dendrite signs.
pub(super) fn signed_text(nonce: u64, from: &Hotkey, to: &Hotkey, uuid: &str) -> String {
    format!("{nonce}.{from}.{to}.{uuid}.{BODY_HASH}")
}

fn number<T: std::str::FromStr>(headers: &Headers, name: &'static str) -> Result<Option<T>, AxonRefusal> {
    headers.get(name).map(|text| text.trim().parse().map_err(|_| AxonRefusal::BadHeader(name))).transpose()
}

fn timeout(headers: &Headers) -> Result<Option<Duration>, AxonRefusal> {
    let seconds: Option<f64> = number(headers, "timeout")?;
    let duration = |seconds| Duration::try_from_secs_f64(seconds).map_err(|_| AxonRefusal::BadHeader("timeout"));
    seconds.map(duration).transpose()
}

fn hotkey(headers: &Headers) -> Result<Hotkey, AxonRefusal> {
    let text = headers.get("bt_header_dendrite_hotkey").filter(|text| !text.is_empty());
    // A text that is no account is in no metagraph.
    text.ok_or(AxonRefusal::MissingHotkey)?.parse().map_err(|_| AxonRefusal::NotInMetagraph)
}

fn signature(headers: &Headers) -> Result<Option<Signature>, AxonRefusal> {
    match headers.get("bt_header_dendrite_signature") {
        None | Some("") => Ok(None),
        // What is no signature fails where a wrong one does, after the hotkey was looked up.
        Some(text) => Ok(Some(keys::parse_signature(text).unwrap_or([0; 64]))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(nonce: u64, timeout_s: u64) -> Head {
        let mut headers = Headers::new();
        headers.push("bt_header_dendrite_hotkey", "5FLGJvNvq2seB59UkKb2ftuVRab1aHzMVxuPJtPAyfsZ3vKY");
        headers.push("bt_header_dendrite_nonce", nonce.to_string());
        headers.push("timeout", format!("{timeout_s}.0"));
        Head::parse(&headers).unwrap()
    }

    #[test]
    fn a_nonce_lives_as_long_as_the_senders_patience_and_four_seconds() {
        let now = Wall::from_secs(1_000_000);
        let at = |seconds: u64, timeout_s| head(seconds * 1_000_000_000, timeout_s).fresh_nonce(now).is_ok();
        assert!(at(1_000_000 - 15, 12) && !at(1_000_000 - 16, 12));
        assert!(at(1_000_000 + 16, 12) && !at(1_000_000 + 17, 12));
        assert!(at(1_000_000 - 100, 200));
    }

    #[test]
    fn a_senders_patience_counts_for_five_minutes_at_most() {
        let now = Wall::from_secs(1_000_000);
        assert!(head(999_697 * 1_000_000_000, 100_000).fresh_nonce(now).is_ok());
        let refusal = head(999_696 * 1_000_000_000, 100_000).fresh_nonce(now).unwrap_err();
        assert_eq!(refusal, AxonRefusal::NonceTooOld { allowed_s: 304.0, age_s: 304.0 });
    }

    #[test]
    fn header_fields_that_are_no_numbers_are_refused_by_name() {
        for (name, value) in [
            ("bt_header_dendrite_nonce", "abc"),
            ("bt_header_dendrite_nonce", "-1"),
            ("bt_header_dendrite_nonce", "18446744073709551616"),
            ("bt_header_dendrite_version", "9.1"),
            ("bt_header_axon_port", "65536"),
            ("timeout", "nan"),
            ("timeout", "-1"),
            ("timeout", "soon"),
        ] {
            let mut headers = Headers::new();
            headers.push(name, value);
            assert_eq!(Head::parse(&headers), Err(AxonRefusal::BadHeader(name)), "{name}: {value}");
        }
    }
}
