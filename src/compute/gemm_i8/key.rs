//! The key of each round: what makes a product one device's answer to one challenge, and to no other.

use std::fmt;

use sha2::{Digest, Sha256};

use super::Hash;
use crate::units::{ChallengeId, WorkerId};

const DOMAIN: &[u8] = b"byteleap/gemm_i8/v2\0";

/// The key's hash input up to and including the device: what is the same in every round.
///
/// The challenge's id and seed are the validator's, and no two challenges share them. Within one challenge only
/// the device differs, which ends the prefix before a tail of fixed length: no two devices share a key.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyPrefix {
    bytes: Vec<u8>,
    device: String,
}

/// The ChaCha8 key of one round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundKey(pub(super) [u8; 32]);

impl KeyPrefix {
    pub fn new(
        challenge: &ChallengeId,
        seed: &[u8; 32],
        miner_hotkey: &str,
        worker: &WorkerId,
        device: &str,
    ) -> KeyPrefix {
        let mut bytes = DOMAIN.to_vec();
        for (text, end) in [(challenge.as_str().as_bytes(), &[0][..]), (seed, &[])] {
            bytes.extend_from_slice(text);
            bytes.extend_from_slice(end);
        }
        for text in [miner_hotkey, worker.as_str()] {
            bytes.extend_from_slice(text.as_bytes());
            bytes.push(0);
        }
        bytes.extend_from_slice(device.as_bytes());
        KeyPrefix { bytes, device: device.to_owned() }
    }

    /// What [`KeyPrefix::to_hex`] wrote, in bytes; `None`: it does not end in this device.
    pub fn of_bytes(bytes: Vec<u8>, device: &str) -> Option<KeyPrefix> {
        bytes.ends_with(device.as_bytes()).then(|| KeyPrefix { bytes, device: device.to_owned() })
    }

    /// The device that computes under these keys.
    pub fn device(&self) -> &str {
        &self.device
    }

    /// For an executor outside this process, which appends round and root itself: 2 digits a byte.
    pub fn to_hex(&self) -> String {
        hex::encode(&self.bytes)
    }

    /// The key of a round, given the root of the round before ([`super::Hash`] of zeros for round 0).
    pub fn round(&self, round: u32, previous_root: &Hash) -> RoundKey {
        let input = Sha256::new().chain_update(&self.bytes).chain_update(round.to_le_bytes());
        RoundKey(input.chain_update(previous_root).finalize().into())
    }
}

impl fmt::Debug for KeyPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPrefix(device {:?})", self.device)
    }
}

impl RoundKey {
    /// For tests against recorded keys.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(challenge: &str, seed: u8, hotkey: &str, worker: &str, device: &str) -> KeyPrefix {
        KeyPrefix::new(&ChallengeId::new(challenge), &[seed; 32], hotkey, &WorkerId::new(worker), device)
    }

    #[test]
    fn the_prefix_is_written_as_defined() {
        let expected = [DOMAIN, b"id\0", &[7; 32], b"5A\0w\0cpu"].concat();
        let prefix = prefix("id", 7, "5A", "w", "cpu");
        assert_eq!(prefix.to_hex(), hex::encode(&expected));
        assert_eq!(KeyPrefix::of_bytes(expected.clone(), "cpu"), Some(prefix));
        assert_eq!(KeyPrefix::of_bytes(expected, "GPU-1"), None);
    }

    #[test]
    fn whatever_differs_gives_another_key() {
        let zero = [0; 32];
        let key = |p: KeyPrefix| p.round(0, &zero);
        let ours = prefix("id", 7, "5A", "w", "cpu");
        let others = [
            prefix("ie", 7, "5A", "w", "cpu"),
            prefix("id", 8, "5A", "w", "cpu"),
            prefix("id", 7, "5B", "w", "cpu"),
            prefix("id", 7, "5A", "v", "cpu"),
            prefix("id", 7, "5A", "w", "GPU-1"),
        ];
        for other in others {
            assert_ne!(key(other), key(ours.clone()));
        }
        assert_ne!(ours.round(1, &zero), ours.round(0, &zero));
        assert_ne!(ours.round(0, &[1; 32]), ours.round(0, &zero));
    }
}
