//! One encrypted package: its JSON, its IV, its associated data. Counters and keys belong to the session.

use std::borrow::Cow;

use aes_gcm::{AeadInPlace, Aes256Gcm, KeyInit, Tag};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::SessionFault;
use crate::{units::Hotkey, wire::json};

const VERSION: &str = "v1";
const TAG_BYTES: usize = 16;

/// A package as sent, not yet decrypted. Borrows from the text.
#[derive(Debug, Serialize, Deserialize)]
pub struct Package<'a> {
    #[serde(borrow)]
    pub ver: Cow<'a, str>,
    #[serde(borrow)]
    pub session_id: Cow<'a, str>,
    pub seq: u64,
    /// Base64 of ciphertext and tag.
    #[serde(borrow)]
    pub ciphertext: Cow<'a, str>,
    #[serde(borrow)]
    pub sender: Cow<'a, str>,
    #[serde(borrow)]
    pub recipient: Cow<'a, str>,
    #[serde(borrow)]
    pub synapse_type: Cow<'a, str>,
}

/// What a package's tag binds besides its text.
pub(super) struct Address<'a> {
    pub id: &'a str,
    pub seq: u64,
    pub sender: &'a Hotkey,
    pub recipient: &'a Hotkey,
    /// The protocol type of a synapse, or the type of a marketplace's frame.
    pub kind: &'a str,
}

impl<'a> Package<'a> {
    pub fn parse(text: &'a str) -> Result<Package<'a>, SessionFault> {
        if !text.starts_with('{') {
            return Err(SessionFault::Package("malformed package: no object".into()));
        }
        let package: Package<'a> =
            serde_json::from_str(text).map_err(|error| SessionFault::Package(format!("malformed package: {error}")))?;
        package.check_version()?;
        Ok(package)
    }

    pub(in crate::wire) fn check_version(&self) -> Result<(), SessionFault> {
        match self.ver == VERSION {
            true => Ok(()),
            false => Err(SessionFault::Package(format!("unsupported protocol version, expected {VERSION}"))),
        }
    }

    pub(super) fn check(&self, id: &str, sender: &Hotkey, recipient: &Hotkey, kind: &str) -> Result<(), SessionFault> {
        if self.session_id != id {
            return Err(SessionFault::Package("package of another session".into()));
        }
        if self.sender != sender.as_str() || self.recipient != recipient.as_str() {
            return Err(SessionFault::Package("Sender/recipient mismatch".into()));
        }
        if self.synapse_type != kind {
            return Err(SessionFault::Package(format!("Synapse type mismatch: expected {kind}")));
        }
        Ok(())
    }
}

/// Encrypts `plaintext` into the package's JSON. The caller vouches that `address.seq` is used once under this key.
pub(super) fn encrypt(key: &[u8; 32], address: &Address<'_>, plaintext: &str) -> String {
    json::text(&sealed(key, address, plaintext))
}

/// [`encrypt`], as fields.
pub(super) fn sealed<'a>(key: &[u8; 32], address: &Address<'a>, plaintext: &str) -> Package<'a> {
    let Address { id, seq, sender, recipient, kind } = *address;
    let mut bytes = Vec::with_capacity(plaintext.len() + TAG_BYTES);
    bytes.extend_from_slice(plaintext.as_bytes());
    let aad = associated_data(sender.as_str(), recipient.as_str(), kind, id, seq);
    // AES-GCM refuses 64 GiB and more only; a body has 32 MiB at most.
    let tag = Aes256Gcm::new(key.into()).encrypt_in_place_detached(&iv(id, seq).into(), aad.as_bytes(), &mut bytes);
    bytes.extend_from_slice(&tag.expect("a body is shorter than 64 GiB"));
    Package {
        ver: VERSION.into(),
        session_id: id.into(),
        seq,
        ciphertext: STANDARD.encode(bytes).into(),
        sender: sender.as_str().into(),
        recipient: recipient.as_str().into(),
        synapse_type: kind.into(),
    }
}

/// Decrypts a package whose fields [`Package::check`] has checked.
pub(super) fn decrypt(key: &[u8; 32], package: &Package<'_>) -> Result<String, SessionFault> {
    let fault = |what: &str| SessionFault::Package(what.into());
    let Package { session_id: id, seq, sender, recipient, synapse_type, .. } = package;
    let mut bytes = STANDARD.decode(&*package.ciphertext).map_err(|_| fault("ciphertext is no base64"))?;
    let length = bytes.len().checked_sub(TAG_BYTES).ok_or_else(|| fault("ciphertext is shorter than its tag"))?;
    let tag = Tag::clone_from_slice(&bytes[length..]);
    bytes.truncate(length);
    let aad = associated_data(sender, recipient, synapse_type, id, *seq);
    Aes256Gcm::new(key.into())
        .decrypt_in_place_detached(&iv(id, *seq).into(), aad.as_bytes(), &mut bytes, &tag)
        .map_err(|_| fault("wrong tag"))?;
    String::from_utf8(bytes).map_err(|_| fault("plaintext is no UTF-8"))
}

fn associated_data(sender: &str, recipient: &str, protocol_type: &str, id: &str, seq: u64) -> String {
    format!("leap-comm|{sender}|{recipient}|{protocol_type}|session_{id}|seq_{seq}")
}

fn iv(id: &str, seq: u64) -> [u8; 12] {
    let digest = Sha256::digest(id.as_bytes());
    let mut iv = [0; 12];
    iv[..4].copy_from_slice(&digest[..4]);
    iv[4..].copy_from_slice(&seq.to_be_bytes());
    iv
}
