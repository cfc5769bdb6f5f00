//! Identities: sr25519 key pairs and their signatures, in Substrate's signing context. It reads no wallet file.

use std::fmt;

use subxt_signer::sr25519;
use zeroize::Zeroizing;

use crate::units::{AccountId, Hotkey};

/// An sr25519 signature.
pub type Signature = [u8; 64];

/// A hotkey with its secret. `Debug` shows the public side; the secret is wiped on drop.
#[derive(Clone)]
pub struct Keypair {
    hotkey: Hotkey,
    signer: Signer,
}

/// Either form signs alike; only wallets that keep nothing but the expanded key need the second.
#[derive(Clone)]
enum Signer {
    Seeded(sr25519::Keypair),
    Expanded(schnorrkel::Keypair),
}

/// Substrate's.
const SIGNING_CONTEXT: &[u8] = b"substrate";

/// Why there is no key pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    #[error("no sr25519 secret")]
    Secret,
    #[error("no mnemonic: wrong words, count or checksum")]
    Mnemonic,
}

impl Keypair {
    /// The pair that Substrate derives from a 32-byte mini-secret (`secretSeed` of a wallet file).
    pub fn from_seed(seed: [u8; 32]) -> Result<Keypair, KeyFault> {
        sr25519::Keypair::from_secret_key(seed).map(Keypair::seeded).map_err(|_| KeyFault::Secret)
    }

    /// The pair of a mnemonic, as Substrate derives it without a password.
    pub fn from_mnemonic(words: &str) -> Result<Keypair, KeyFault> {
        let mnemonic = bip39::Mnemonic::parse(words).map_err(|_| KeyFault::Mnemonic)?;
        sr25519::Keypair::from_phrase(&mnemonic, None).map(Keypair::seeded).map_err(|_| KeyFault::Mnemonic)
    }

    fn seeded(pair: sr25519::Keypair) -> Keypair {
        Keypair { hotkey: Hotkey::from_account(&pair.public_key().0), signer: Signer::Seeded(pair) }
    }

    /// The pair of an expanded secret: scalar and nonce, 64 bytes (`privateKey` of a wallet file).
    pub fn from_expanded(secret: &[u8; 64]) -> Result<Keypair, KeyFault> {
        let secret = schnorrkel::SecretKey::from_bytes(secret).map_err(|_| KeyFault::Secret)?;
        let pair = secret.to_keypair();
        Ok(Keypair { hotkey: Hotkey::from_account(&pair.public.to_bytes()), signer: Signer::Expanded(pair) })
    }

    /// The expanded secret of a seed, as a wallet file keeps it (`privateKey`).
    pub fn expand(seed: &[u8; 32]) -> Result<Zeroizing<[u8; 64]>, KeyFault> {
        let mini = schnorrkel::MiniSecretKey::from_bytes(seed).map_err(|_| KeyFault::Secret)?;
        Ok(Zeroizing::new(mini.expand(schnorrkel::ExpansionMode::Ed25519).to_bytes()))
    }

    pub fn hotkey(&self) -> &Hotkey {
        &self.hotkey
    }
    pub fn account(&self) -> AccountId {
        match &self.signer {
            Signer::Seeded(pair) => pair.public_key().0,
            Signer::Expanded(pair) => pair.public.to_bytes(),
        }
    }
    /// Signs the plain bytes. Signatures are randomised: two of one text differ, both verify.
    pub fn sign(&self, message: &[u8]) -> Signature {
        match &self.signer {
            Signer::Seeded(pair) => pair.sign(message).0,
            Signer::Expanded(pair) => pair.sign_simple(SIGNING_CONTEXT, message).to_bytes(),
        }
    }
}

impl fmt::Debug for Keypair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keypair({})", self.hotkey)
    }
}

/// Whether `signature` is `signer`'s over `message`. A text that is no account never signs anything.
pub fn verify(signer: &Hotkey, message: &[u8], signature: &Signature) -> bool {
    let Ok(account) = signer.account() else { return false };
    sr25519::verify(&sr25519::Signature(*signature), message, &sr25519::PublicKey(account))
}

/// A signature as the wire writes it: `0x` and 128 hex digits.
pub fn signature_text(signature: &Signature) -> String {
    format!("0x{}", hex::encode(signature))
}

/// Reads `0x` and 128 hex digits.
pub fn parse_signature(text: &str) -> Option<Signature> {
    let mut signature = [0; 64];
    hex::decode_to_slice(text.strip_prefix("0x")?, &mut signature).ok()?;
    Some(signature)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alice() -> Keypair {
        Keypair::from_seed([1; 32]).unwrap()
    }

    #[test]
    fn a_signature_holds_for_its_text_and_its_signer_alone() {
        let signature = alice().sign(b"text");
        assert!(verify(alice().hotkey(), b"text", &signature));
        assert!(!verify(alice().hotkey(), b"Text", &signature));
        assert!(!verify(Keypair::from_seed([2; 32]).unwrap().hotkey(), b"text", &signature));
        assert!(!verify(&Hotkey::label("5A"), b"text", &signature));
    }

    #[test]
    fn an_expanded_secret_signs_like_its_seed() {
        let expanded = Keypair::from_expanded(&Keypair::expand(&[1; 32]).unwrap()).unwrap();
        assert_eq!((expanded.hotkey(), expanded.account()), (alice().hotkey(), alice().account()));
        assert!(verify(alice().hotkey(), b"text", &expanded.sign(b"text")));
    }

    #[test]
    fn a_mnemonic_names_its_hotkey() {
        let words = "nothing such tape furnace assume kiwi section attract holiday relief nose cram";
        let pair = Keypair::from_mnemonic(words).unwrap();
        assert_eq!(pair.hotkey().as_str(), "5FLGJvNvq2seB59UkKb2ftuVRab1aHzMVxuPJtPAyfsZ3vKY");
        assert_eq!(Keypair::from_mnemonic("nothing such tape").unwrap_err(), KeyFault::Mnemonic);
    }

    #[test]
    fn signatures_are_written_in_hex() {
        let signature = alice().sign(b"text");
        assert_eq!(parse_signature(&signature_text(&signature)), Some(signature));
        for text in ["", "0x", "0x11", &"1".repeat(128), &format!("0x{}", "g".repeat(128))] {
            assert_eq!(parse_signature(text), None);
        }
    }

    #[test]
    fn the_secret_never_shows() {
        assert_eq!(format!("{:?}", alice()), format!("Keypair({})", alice().hotkey()));
    }
}
