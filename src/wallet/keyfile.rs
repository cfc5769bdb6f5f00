//! A key file's text: one JSON object with the public key and its secret in up to three forms.
//!
//! Which form is usable differs between the tools that wrote it, so each is tried, and what comes out must
//! have the public key that the file names.

use bip39::Mnemonic;
use hmac::Hmac;
use serde::{Deserialize, Serialize};
use sha2::Sha512;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{
    units::{AccountId, Hotkey},
    wire::keys::Keypair,
};

/// Why a key file gives no key pair. None of the texts quotes it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyfileError {
    #[error("not a key file: no JSON object with texts (line {line}, column {column})")]
    Json { line: usize, column: usize },
    #[error("cryptoType {0}: only sr25519 (1) signs here")]
    CryptoType(u8),
    #[error("it names no public key (ss58Address, publicKey or accountId)")]
    NoPublicKey,
    #[error("it holds no secret (secretSeed, secretPhrase or privateKey) that can be read")]
    NoSecret,
    #[error("its secret belongs to another key than {0}, which it names")]
    OtherKey(Hotkey),
    #[error("wrong password, or the file is damaged")]
    WrongPassword,
    #[error("it is encrypted in an older form; opening it once with Bittensor's own tool converts it")]
    OldEncryption,
    #[error("it ends too early")]
    Truncated,
    #[error("hashing the password: {0}")]
    Kdf(String),
}

/// The public half, as in `<hotkey>pub.txt`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Public<'a> {
    account_id: &'a str,
    public_key: &'a str,
    ss58_address: &'a str,
    crypto_type: u8,
}

#[derive(Deserialize, Serialize, Zeroize, ZeroizeOnDrop)]
#[serde(rename_all = "camelCase")]
struct Keyfile {
    account_id: Option<String>,
    public_key: Option<String>,
    private_key: Option<String>,
    secret_phrase: Option<String>,
    secret_seed: Option<String>,
    ss58_address: Option<String>,
    crypto_type: Option<u8>,
}

/// A new key in the forms that are written.
pub struct New {
    pub hotkey: Hotkey,
    /// The whole key file.
    pub text: Zeroizing<String>,
    /// `<hotkey>pub.txt`.
    pub public_text: String,
}

/// The pair of a key file's text.
pub fn keypair(text: &[u8]) -> Result<Keypair, KeyfileError> {
    let file = parse(text)?;
    let named = file.hotkey()?;
    let candidates = file.candidates();
    if candidates.is_empty() {
        return Err(KeyfileError::NoSecret);
    }
    candidates.into_iter().find(|pair| *pair.hotkey() == named).ok_or(KeyfileError::OtherKey(named))
}

/// The hotkey that a key file, or the public file beside it, names.
pub fn public(text: &[u8]) -> Result<Hotkey, KeyfileError> {
    parse(text)?.hotkey()
}

fn parse(text: &[u8]) -> Result<Keyfile, KeyfileError> {
    let parsed = serde_json::from_slice(text);
    let file: Keyfile = parsed.map_err(|why| KeyfileError::Json { line: why.line(), column: why.column() })?;
    match file.crypto_type {
        Some(kind) if kind != 1 => Err(KeyfileError::CryptoType(kind)),
        _ => Ok(file),
    }
}

impl Keyfile {
    fn hotkey(&self) -> Result<Hotkey, KeyfileError> {
        let ss58 = self.ss58_address.as_deref().and_then(|text| text.parse().ok());
        let account = || self.public_key.as_deref().or(self.account_id.as_deref()).and_then(account);
        ss58.or_else(|| account().map(|account| Hotkey::from_account(&account))).ok_or(KeyfileError::NoPublicKey)
    }

    fn candidates(&self) -> Vec<Keypair> {
        let seed = self.secret_seed.as_deref().and_then(secret_bytes::<32>);
        let phrase = self.secret_phrase.as_deref().and_then(|words| Mnemonic::parse(words).ok());
        let phrase_seed = phrase.map(|phrase| seed_of(&phrase));
        let expanded = self.private_key.as_deref().and_then(secret_bytes::<64>);
        let of_seeds = [seed, phrase_seed].into_iter().flatten().filter_map(|seed| Keypair::from_seed(*seed).ok());
        of_seeds.chain(expanded.into_iter().filter_map(|key| Keypair::from_expanded(&key).ok())).collect()
    }
}

fn account(text: &str) -> Option<AccountId> {
    secret_bytes(text).map(|bytes| *bytes)
}

fn secret_bytes<const N: usize>(text: &str) -> Option<Zeroizing<[u8; N]>> {
    let mut bytes = Zeroizing::new([0; N]);
    hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(text), bytes.as_mut_slice()).ok()?;
    Some(bytes)
}

/// The seed that Substrate makes of a mnemonic: from its entropy, without a password.
fn seed_of(phrase: &Mnemonic) -> Zeroizing<[u8; 32]> {
    const ROUNDS: u32 = 2048;
    let entropy = Zeroizing::new(phrase.to_entropy());
    let mut seed = Zeroizing::new([0; 64]);
    // HMAC takes keys of any length, so this cannot fail; a seed of zeros would be caught as another key.
    let _ = pbkdf2::pbkdf2::<Hmac<Sha512>>(&entropy, b"mnemonic", ROUNDS, seed.as_mut_slice());
    let mut short = Zeroizing::new([0; 32]);
    short.copy_from_slice(&seed[..32]);
    short
}

/// The files of a new key.
pub fn new(phrase: &Mnemonic) -> Result<New, KeyfileError> {
    let seed = seed_of(phrase);
    let pair = Keypair::from_seed(*seed).map_err(|_| KeyfileError::NoSecret)?;
    let expanded = Keypair::expand(&seed).map_err(|_| KeyfileError::NoSecret)?;
    let public = format!("0x{}", hex::encode(pair.account()));
    let file = Keyfile {
        account_id: Some(public.clone()),
        public_key: Some(public.clone()),
        private_key: Some(format!("0x{}", hex::encode(expanded.as_slice()))),
        secret_phrase: Some(phrase.to_string()),
        secret_seed: Some(format!("0x{}", hex::encode(seed.as_slice()))),
        ss58_address: Some(pair.hotkey().to_string()),
        crypto_type: Some(1),
    };
    let hotkey = pair.hotkey();
    let half = Public { account_id: &public, public_key: &public, ss58_address: hotkey.as_str(), crypto_type: 1 };
    Ok(New { hotkey: hotkey.clone(), text: Zeroizing::new(json(&file)), public_text: json(&half) })
}

/// Texts and one number: nothing that JSON could refuse.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
