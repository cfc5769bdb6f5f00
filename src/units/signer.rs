//! A P-256 key whose signatures count, as an operator names it. It verifies and cannot sign.

use p256::ecdsa::{Signature, VerifyingKey, signature::Verifier};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer(VerifyingKey);

impl Signer {
    /// The key that the running network trusts: the vendor's of its executor.
    pub const VENDOR: &str = "045db4dcfa2559220159eba6bb8b7f16e4c4962bb9d862a7df8a1ce4138c01e14533213760877d4eaba3f84a7e1e1b29cb0f3320ff90f01dc206c22cffc0b09afb";

    /// A point in hex, compressed (33 bytes) or not (65 bytes).
    pub fn of_hex(text: &str) -> Option<Signer> {
        VerifyingKey::from_sec1_bytes(&hex::decode(text).ok()?).ok().map(Signer)
    }

    /// Whether this is its signature, r then s, over the SHA-256 of the text. An r or s of 0, or beyond the curve's
    /// order, is nobody's.
    pub fn signed(&self, text: &str, signature: &[u8; 64]) -> bool {
        let signature = Signature::from_slice(signature);
        signature.is_ok_and(|signature| self.0.verify(text.as_bytes(), &signature).is_ok())
    }
}
