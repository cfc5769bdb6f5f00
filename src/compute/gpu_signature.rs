//! Who vouches for a commitment of `gpu_matrix`: ECDSA on P-256 over the SHA-256 of a line of text.
//!
//! It verifies and never signs: the only keys that sign belong to closed executors, and a made-up signature would be
//! a lie. Which signers are trusted is the validator's configuration; what a bad signature costs is not decided here.

use crate::units::Signer;
use base64::{Engine, engine::general_purpose::STANDARD};

/// What was signed.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    pub version: u8,
    /// As the challenge writes it.
    pub seed: &'a str,
    pub uuid: &'a str,
    /// As the commitment writes it, in whatever letter case.
    pub root: &'a str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureFault {
    #[error("the signature is not 64 bytes in hex or base64")]
    Encoding,
    #[error("the signature is of none of the trusted signers")]
    Untrusted,
}

impl Signed<'_> {
    fn text(&self) -> String {
        format!("{:#x}|{}|{}|{}", self.version, self.seed, self.uuid, self.root)
    }

    /// Whether one of these signers signed it.
    pub fn check(&self, signers: &[Signer], signature: &str) -> Result<(), SignatureFault> {
        let signature = bytes(signature).ok_or(SignatureFault::Encoding)?;
        let text = self.text();
        if signers.iter().any(|signer| signer.signed(&text, &signature)) {
            Ok(())
        } else {
            Err(SignatureFault::Untrusted)
        }
    }
}

fn bytes(text: &str) -> Option<[u8; 64]> {
    let bytes = |bytes: Vec<u8>| <[u8; 64]>::try_from(bytes).ok();
    hex::decode(text).ok().and_then(bytes).or_else(|| STANDARD.decode(text).ok().and_then(bytes))
}
