//! The nouns every room shares: instants, identities, block numbers.
//!
//! Quiet and pure: nothing here reads a clock, draws randomness or does I/O. A `Mono` or `Wall` is a
//! value that the loop sampled and handed in.

mod calendar;
mod chains;
mod signer;

use std::{
    fmt,
    ops::{Add, Sub},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use blake2::{Blake2b512, Digest};
use serde::{Deserialize, Serialize};

pub use self::calendar::{civil, from_date};
pub use self::chains::{FINNEY_GENESIS, known_chain};
pub use self::signer::Signer;

/// A point on the monotonic clock, in nanoseconds since the process started. For deadlines and for
/// every duration that is scored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mono(pub u64);

/// A point on the wall clock, in nanoseconds since the Unix epoch. For stamps, nonces and buckets,
/// never for a deadline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Wall(pub u64);

/// Both clocks, sampled together once a turn of the loop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    pub mono: Mono,
    pub wall: Wall,
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

impl Mono {
    /// Time since `earlier`; zero when `earlier` is later.
    pub fn since(self, earlier: Mono) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Mono {
    type Output = Mono;
    fn add(self, span: Duration) -> Mono {
        Mono(self.0.saturating_add(nanos(span)))
    }
}

impl Wall {
    pub fn from_secs(secs: u64) -> Wall {
        Wall(secs.saturating_mul(1_000_000_000))
    }
    /// Seconds since the epoch as the wire carries them.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }
    pub fn as_secs(self) -> u64 {
        self.0 / 1_000_000_000
    }
    pub fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }
    /// The 5-minute bucket of availability that this moment lies in.
    pub fn bucket(self) -> u64 {
        self.as_secs() / 300
    }
    pub fn since(self, earlier: Wall) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Wall {
    type Output = Wall;
    fn add(self, span: Duration) -> Wall {
        Wall(self.0.saturating_add(nanos(span)))
    }
}

impl Sub<Duration> for Wall {
    type Output = Wall;
    fn sub(self, span: Duration) -> Wall {
        Wall(self.0.saturating_sub(nanos(span)))
    }
}

/// One connection, for as long as the process lives: an id is never used again.
///
/// The loop numbers the connections it accepts, the machine those it dials; the lowest bit keeps the
/// two apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(u64);

impl PeerId {
    pub const fn accepted(count: u64) -> PeerId {
        PeerId(count << 1)
    }
    pub const fn dialed(count: u64) -> PeerId {
        PeerId(count << 1 | 1)
    }
    pub fn is_dialed(self) -> bool {
        self.0 & 1 == 1
    }
    /// As a number and back, for tables that are kept by number.
    pub fn to_u64(self) -> u64 {
        self.0
    }
    pub fn from_u64(number: u64) -> PeerId {
        PeerId(number)
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = if self.is_dialed() { "out" } else { "in" };
        write!(f, "{side}-{}", self.0 >> 1)
    }
}

/// A public key of the chain, 32 bytes.
pub type AccountId = [u8; 32];

/// The SS58 network prefix of Bittensor.
pub const SS58_PREFIX: u8 = 42;

/// A hotkey as everyone writes it: the SS58 text (prefix 42). Cheap to clone, ordered by text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Hotkey(Arc<str>);

/// Why a text is no hotkey.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HotkeyError {
    #[error("not base58")]
    NotBase58,
    #[error("{0} bytes where SS58 of an account has 35")]
    Length(usize),
    #[error("SS58 prefix {0}, expected 42")]
    Prefix(u8),
    #[error("checksum does not match")]
    Checksum,
}

impl Hotkey {
    pub fn from_account(account: &AccountId) -> Hotkey {
        let mut bytes = vec![SS58_PREFIX];
        bytes.extend_from_slice(account);
        let sum = ss58_checksum(&bytes);
        bytes.extend_from_slice(&sum);
        Hotkey(bs58::encode(bytes).into_string().into())
    }

    /// A name in place of a key: for score tables and tests whose miners are called "5A". It has no account.
    pub fn label(text: &str) -> Hotkey {
        Hotkey(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The public key behind the text.
    pub fn account(&self) -> Result<AccountId, HotkeyError> {
        ss58_account(&self.0)
    }
}

fn ss58_checksum(prefixed: &[u8]) -> [u8; 2] {
    let digest = Blake2b512::new().chain_update(b"SS58PRE").chain_update(prefixed).finalize();
    [digest[0], digest[1]]
}

fn ss58_account(text: &str) -> Result<AccountId, HotkeyError> {
    // 35 bytes are at most 48 base58 digits; longer texts are refused before the quadratic decoding.
    if text.len() > 64 {
        return Err(HotkeyError::Length(text.len()));
    }
    let bytes = bs58::decode(text).into_vec().map_err(|_| HotkeyError::NotBase58)?;
    if bytes.len() != 35 {
        return Err(HotkeyError::Length(bytes.len()));
    }
    if bytes[0] != SS58_PREFIX {
        return Err(HotkeyError::Prefix(bytes[0]));
    }
    let (body, sum) = bytes.split_at(33);
    if ss58_checksum(body) != sum {
        return Err(HotkeyError::Checksum);
    }
    let mut account = [0; 32];
    account.copy_from_slice(&body[1..]);
    Ok(account)
}

impl FromStr for Hotkey {
    type Err = HotkeyError;
    fn from_str(text: &str) -> Result<Hotkey, HotkeyError> {
        ss58_account(text)?;
        Ok(Hotkey(text.into()))
    }
}

impl fmt::Display for Hotkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Hotkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Hotkey {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Hotkey, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(|why| serde::de::Error::custom(format!("hotkey {text:?}: {why}")))
    }
}

/// A worker as its miner names it. Unique only together with the miner's hotkey.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkerId(Arc<str>);

impl WorkerId {
    pub fn new(text: &str) -> WorkerId {
        WorkerId(text.into())
    }
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A worker of the network: (hotkey, worker id).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct WorkerKey {
    pub hotkey: Hotkey,
    pub worker: WorkerId,
}

impl WorkerKey {
    pub fn new(hotkey: &Hotkey, worker: &WorkerId) -> WorkerKey {
        WorkerKey { hotkey: hotkey.clone(), worker: worker.clone() }
    }
}

impl fmt::Display for WorkerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.hotkey, self.worker)
    }
}

/// A challenge's UUID, as text: validators of other makes choose their own spelling.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChallengeId(Arc<str>);

impl ChallengeId {
    pub fn new(text: &str) -> ChallengeId {
        ChallengeId(text.into())
    }
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChallengeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ChallengeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A subnet's number on the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Netuid(pub u16);

/// A neuron's slot in its subnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Uid(pub u16);

/// A block's number, counted from genesis.
pub type BlockNumber = u64;

/// A text that must never be shown: tokens, passwords. `Debug` is blind; the memory is wiped on drop.
#[derive(Clone, PartialEq, Eq, zeroize::ZeroizeOnDrop)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: String) -> Secret {
        Secret(text)
    }
    /// The text itself, for the one place that puts it on a wire.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALIDATOR: &str = "5FLGJvNvq2seB59UkKb2ftuVRab1aHzMVxuPJtPAyfsZ3vKY";

    #[test]
    fn ss58_round_trip() {
        let hotkey: Hotkey = VALIDATOR.parse().unwrap();
        let account = hotkey.account().unwrap();
        assert_eq!(&hex::encode(account)[..8], "9092a06f");
        assert_eq!(Hotkey::from_account(&account), hotkey);
    }

    #[test]
    fn a_changed_letter_breaks_the_checksum() {
        let changed = VALIDATOR.replace("vKY", "vKZ");
        assert_eq!(changed.parse::<Hotkey>(), Err(HotkeyError::Checksum));
        assert_eq!("".parse::<Hotkey>(), Err(HotkeyError::Length(0)));
        assert_eq!("0".parse::<Hotkey>(), Err(HotkeyError::NotBase58));
    }

    #[test]
    fn a_secret_never_shows() {
        assert_eq!(format!("{:?}", Secret::new("hunter2".into())), "Secret(…)");
    }
}
