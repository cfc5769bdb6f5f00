//! Weights encrypted to a round of a drand beacon, as the chain opens them (commit-reveal version 4).
//!
//! Arithmetic only: the randomness is a seed that is handed in, the beacon's parameters are the chain's own. The
//! cryptography is the crate `timelock`'s; the chain writes its ciphertext with two lengths more. Bytes of a
//! stranger are measured before they are given to that crate, which allocates what they say.

use aes_gcm::aead::rand_core::{CryptoRng, Error as RandError, RngCore};
use ark_serialize::{CanonicalDeserialize, CanonicalSerialize};
use parity_scale_codec::{Decode, Encode};
use rand_core::{RngCore as _, SeedableRng};
use sha2::{Digest, Sha256};
use timelock::{
    block_ciphers::AESGCMBlockCipherProvider,
    engines::{EngineBLS, drand::TinyBLS381},
    ibe::fullident::Identity,
    tlock::{TLECiphertext, tld, tle},
};

use crate::units::{AccountId, Uid};

/// The version of commit-reveal whose bytes these are.
pub const VERSION: u16 = 4;

/// The chain keeps no longer commitment.
pub const COMMIT_BYTES_MAX: usize = 5000;

/// A point of the second group (public keys, `U`), and of the first (signatures), compressed.
const G2_BYTES: usize = 96;
const G1_BYTES: usize = 48;
const HASH_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;
const LENGTH_BYTES: usize = 8;
const SUITE: &[u8] = b"AES_GCM_";

/// The beacon that real chains follow.
const QUICKNET_KEY: &str = "83cf0f2896adee7eb8b5f01fcad3912212c437e0073e911fb90022d3e760183c8c4b450b6a0a6c3ac6a5776a2d\
    1064510d1fec758c921cc22b0e17e63aaf4bcb5ed66304de9cf809bd274ca73bab4af5a6e9c76a4bc09e76eae8991ef5ece45a";
const QUICKNET_PERIOD_S: u32 = 3;
const QUICKNET_GENESIS_S: u32 = 1_692_803_367;

/// The second group's generator: public keys are multiples of it.
const G2_GENERATOR: &str = "93e02b6052719f607dacd3a088274f65596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57\
    e5ac7d055d042b7e024aa2b2f08f0a91260805272dc51051c6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8";

type PublicKey = <TinyBLS381 as EngineBLS>::PublicKeyGroup;
type Signature = <TinyBLS381 as EngineBLS>::SignatureGroup;

/// Why something is not encrypted, or does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimelockFault {
    #[error("the beacon's public key is no point of its curve")]
    PublicKey,
    #[error("the pulse is no point of its curve")]
    Signature,
    #[error("the payload cannot be encrypted")]
    Payload,
    #[error("a commitment of {0} bytes, the chain takes {COMMIT_BYTES_MAX}")]
    Long(usize),
    #[error("no timelock ciphertext: its {0} is not as it should be")]
    Ciphertext(&'static str),
    #[error("the pulse does not open it: of another round or beacon, or the ciphertext was changed")]
    Closed,
}

/// A drand beacon, as the chain that follows it describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beacon {
    /// 96 bytes.
    pub public_key: Vec<u8>,
    /// Seconds from one round to the next; never 0.
    pub period_s: u32,
    /// Unix time of the first round.
    pub genesis_s: u32,
}

impl Beacon {
    /// drand's quicknet.
    pub fn quicknet() -> Beacon {
        let public_key = hex::decode(QUICKNET_KEY).unwrap_or_default();
        Beacon { public_key, period_s: QUICKNET_PERIOD_S, genesis_s: QUICKNET_GENESIS_S }
    }

    /// The round that a moment lies in, as the chain's own tools count: one less than the newest published then.
    pub fn round_at(&self, unix_ms: u64) -> u64 {
        let since_ms = unix_ms.saturating_sub(u64::from(self.genesis_s) * 1000);
        since_ms / (u64::from(self.period_s.max(1)) * 1000)
    }
}

/// What is encrypted.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Payload {
    /// The account's 32 bytes.
    pub hotkey: Vec<u8>,
    pub uids: Vec<u16>,
    pub values: Vec<u16>,
    pub version_key: u64,
}

impl Payload {
    pub fn new(account: &AccountId, weights: &[(Uid, u16)], version_key: u64) -> Payload {
        let (uids, values) = weights.iter().map(|(uid, weight)| (uid.0, *weight)).unzip();
        Payload { hotkey: account.to_vec(), uids, values, version_key }
    }
}

/// Encrypts `payload` to a round of the beacon with that public key. `seed` is used for nothing else, ever.
pub fn seal(payload: &[u8], round: u64, public_key: &[u8], seed: [u8; 32]) -> Result<Vec<u8>, TimelockFault> {
    let public_key = point::<PublicKey>(public_key, G2_BYTES).ok_or(TimelockFault::PublicKey)?;
    let mut seeded = Seeded(rand_chacha::ChaCha20Rng::from_seed(seed));
    let mut secret = [0; 32];
    seeded.fill_bytes(&mut secret);
    let sealed = tle::<TinyBLS381, AESGCMBlockCipherProvider, _>(public_key, secret, payload, identity(round), seeded)
        .map_err(|_| TimelockFault::Payload)?;
    let mut bytes = Vec::new();
    sealed.serialize_compressed(&mut bytes).map_err(|_| TimelockFault::Payload)?;
    match with_lengths(&bytes).ok_or(TimelockFault::Payload)? {
        long if long.len() > COMMIT_BYTES_MAX => Err(TimelockFault::Long(long.len())),
        commit => Ok(commit),
    }
}

/// Opens a commitment with the pulse (the signature) of its round.
pub fn open(commit: &[u8], pulse: &[u8]) -> Result<Vec<u8>, TimelockFault> {
    let signature = point::<Signature>(pulse, G1_BYTES).ok_or(TimelockFault::Signature)?;
    let bytes = without_lengths(commit)?;
    let sealed = TLECiphertext::<TinyBLS381>::deserialize_compressed(&*bytes)
        .map_err(|_| TimelockFault::Ciphertext("first point"))?;
    tld::<TinyBLS381, AESGCMBlockCipherProvider>(sealed, signature).map_err(|_| TimelockFault::Closed)
}

/// A beacon of our own, for a chain that is simulated.
pub struct OwnBeacon {
    secret: <TinyBLS381 as EngineBLS>::Scalar,
}

impl OwnBeacon {
    pub fn from_seed(seed: [u8; 32]) -> OwnBeacon {
        let mut seeded = Seeded(rand_chacha::ChaCha20Rng::from_seed(seed));
        OwnBeacon { secret: TinyBLS381::generate(&mut seeded) }
    }

    pub fn public_key(&self) -> Vec<u8> {
        let generator = hex::decode(G2_GENERATOR).ok().and_then(|bytes| point::<PublicKey>(&bytes, G2_BYTES));
        generator.map(|generator| compressed(&(generator * self.secret))).unwrap_or_default()
    }

    /// The signature of a round, which opens what was encrypted to it.
    pub fn pulse(&self, round: u64) -> Vec<u8> {
        compressed(&identity(round).extract::<TinyBLS381>(self.secret).0)
    }
}

/// Beacons sign the hash of the round's number, and nothing before it.
fn identity(round: u64) -> Identity {
    Identity::new(b"", &Sha256::digest(round.to_be_bytes()))
}

fn point<P: CanonicalDeserialize>(bytes: &[u8], length: usize) -> Option<P> {
    (bytes.len() == length).then(|| P::deserialize_compressed(bytes).ok()).flatten()
}

fn compressed(point: &impl CanonicalSerialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Writing to memory does not fail.
    let _ = point.serialize_compressed(&mut bytes);
    bytes
}

/// The chain's form: both hashes, `V` and `W`, with their length in front.
fn with_lengths(bytes: &[u8]) -> Option<Vec<u8>> {
    let (u, rest) = bytes.split_at_checked(G2_BYTES)?;
    let (v, rest) = rest.split_at_checked(HASH_BYTES)?;
    let (w, rest) = rest.split_at_checked(HASH_BYTES)?;
    let length = (HASH_BYTES as u64).to_le_bytes();
    Some([u, &length, v, &length, w, rest].concat())
}

/// The crate's form. Every length in it is checked against the bytes that are there.
fn without_lengths(commit: &[u8]) -> Result<Vec<u8>, TimelockFault> {
    if commit.len() > COMMIT_BYTES_MAX {
        return Err(TimelockFault::Long(commit.len()));
    }
    let mut rest = commit;
    let u = cut(&mut rest, G2_BYTES).ok_or(TimelockFault::Ciphertext("length"))?;
    let v = sized(&mut rest).filter(|v| v.len() == HASH_BYTES).ok_or(TimelockFault::Ciphertext("V"))?;
    let w = sized(&mut rest).filter(|w| w.len() == HASH_BYTES).ok_or(TimelockFault::Ciphertext("W"))?;
    let body_and_suite = rest;
    let mut body = sized(&mut rest).ok_or(TimelockFault::Ciphertext("body"))?;
    sized(&mut rest).filter(|suite| *suite == SUITE).ok_or(TimelockFault::Ciphertext("cipher suite"))?;
    sized(&mut body).ok_or(TimelockFault::Ciphertext("body"))?;
    sized(&mut body).filter(|nonce| nonce.len() == NONCE_BYTES).ok_or(TimelockFault::Ciphertext("nonce"))?;
    if !(rest.is_empty() && body.is_empty()) {
        return Err(TimelockFault::Ciphertext("end"));
    }
    Ok([u, v, w, body_and_suite].concat())
}

fn cut<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (head, tail) = rest.split_at_checked(count)?;
    *rest = tail;
    Some(head)
}

/// Bytes with their length in front.
fn sized<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = u64::from_le_bytes(cut(rest, LENGTH_BYTES)?.try_into().ok()?);
    cut(rest, usize::try_from(length).ok()?)
}

/// Our seeded generator, as the older interface that the cryptography asks for.
struct Seeded(rand_chacha::ChaCha20Rng);

impl RngCore for Seeded {
    fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }
    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }
    fn fill_bytes(&mut self, into: &mut [u8]) {
        self.0.fill_bytes(into);
    }
    fn try_fill_bytes(&mut self, into: &mut [u8]) -> Result<(), RandError> {
        self.0.fill_bytes(into);
        Ok(())
    }
}

impl CryptoRng for Seeded {}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed() -> (OwnBeacon, Payload, Vec<u8>) {
        let beacon = OwnBeacon::from_seed([7; 32]);
        let payload = Payload::new(&[9; 32], &[(Uid(1), 65535), (Uid(4), 300)], 9_010_000);
        let commit = seal(&payload.encode(), 1000, &beacon.public_key(), [1; 32]).unwrap();
        (beacon, payload, commit)
    }

    #[test]
    fn the_pulse_of_its_round_opens_it_and_no_other() {
        let (beacon, payload, commit) = sealed();
        let opened = open(&commit, &beacon.pulse(1000)).unwrap();
        assert_eq!(Payload::decode(&mut &*opened), Ok(payload));
        assert_eq!(open(&commit, &beacon.pulse(1001)), Err(TimelockFault::Closed));
        assert_eq!(open(&commit, &OwnBeacon::from_seed([8; 32]).pulse(1000)), Err(TimelockFault::Closed));
        assert_eq!(open(&commit, &[0; 48]), Err(TimelockFault::Signature));
    }

    #[test]
    fn a_seed_gives_the_same_bytes_and_another_seed_others() {
        let (beacon, payload, commit) = sealed();
        let again = |seed| seal(&payload.encode(), 1000, &beacon.public_key(), [seed; 32]).unwrap();
        assert_eq!(again(1), commit);
        assert_ne!(again(2), commit);
    }

    #[test]
    fn a_commitment_has_the_form_of_the_chain() {
        let (_, payload, commit) = sealed();
        let sealed_bytes = payload.encode().len() + 16;
        assert_eq!(commit.len(), 96 + 2 * (8 + 32) + 8 + (8 + sealed_bytes + 8 + 12) + 8 + 8);
        assert_eq!(commit[96..104], 32u64.to_le_bytes());
        assert_eq!(commit[136..144], 32u64.to_le_bytes());
        assert!(commit.ends_with(b"AES_GCM_"));
    }

    /// The crate behind would allocate what a length says.
    #[test]
    fn changed_and_cut_bytes_do_not_open() {
        let (beacon, _, commit) = sealed();
        let pulse = beacon.pulse(1000);
        assert!((0..commit.len()).all(|length| open(&commit[..length], &pulse).is_err()));
        for at in (96..commit.len()).step_by(3) {
            let mut changed = commit.clone();
            changed[at] ^= 0x80;
            assert!(open(&changed, &pulse).is_err(), "byte {at}");
        }
        assert_eq!(open(&[0; COMMIT_BYTES_MAX + 1], &pulse), Err(TimelockFault::Long(COMMIT_BYTES_MAX + 1)));
    }

    #[test]
    fn what_is_too_long_for_the_chain_is_refused() {
        let beacon = OwnBeacon::from_seed([7; 32]);
        let long = seal(&[0; COMMIT_BYTES_MAX], 1, &beacon.public_key(), [1; 32]);
        assert!(matches!(long, Err(TimelockFault::Long(_))));
        assert_eq!(seal(&[], 1, &[0; 96], [1; 32]), Err(TimelockFault::PublicKey));
    }

    #[test]
    fn rounds_are_counted_from_the_genesis_of_the_beacon() {
        let beacon = Beacon::quicknet();
        assert_eq!(beacon.round_at(0), 0);
        assert_eq!(beacon.round_at(1_692_803_367_000 + 2_999), 0);
        assert_eq!(beacon.round_at(1_692_803_367_000 + 30_000), 10);
        let broken = Beacon { period_s: 0, ..beacon };
        assert_eq!(broken.round_at(1_692_803_367_000 + 30_000), 30, "a period of none is read as one second");
    }
}
