//! Bittensor's encrypted key files: `$NACL`, a nonce of 24 bytes, XSalsa20-Poly1305 under a password's hash.

use argon2::{Algorithm, Argon2, Params, Version};
use crypto_secretbox::{Key, KeyInit, Nonce, XSalsa20Poly1305, aead::Aead};
use zeroize::Zeroizing;

use super::KeyfileError;

const MAGIC: &[u8] = b"$NACL";
const NONCE_BYTES: usize = 24;

/// libsodium's "sensitive" cost of argon2i13: 8 passes over 512 MiB.
const PASSES: u32 = 8;
const MEMORY_KIB: u32 = 512 * 1024;
const SALT: [u8; 16] = [0x13, 0x71, 0x83, 0xdf, 0xf1, 0x5a, 0x09, 0xbc, 0x9c, 0x90, 0xb5, 0x51, 0x87, 0x39, 0xe9, 0xb1];

/// The older forms, which Bittensor's own tools convert when they open one.
const OLD_MAGICS: [&[u8]; 2] = [b"$ANSIBLE_VAULT", b"gAAAAA"];

pub fn is_encrypted(file: &[u8]) -> bool {
    file.starts_with(MAGIC) || OLD_MAGICS.iter().any(|magic| file.starts_with(magic))
}

/// The text inside. Takes about a second and 512 MiB: that is the point of it.
pub fn open(file: &[u8], password: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyfileError> {
    let sealed = file.strip_prefix(MAGIC).ok_or(KeyfileError::OldEncryption)?;
    let (nonce, sealed) = sealed.split_at_checked(NONCE_BYTES).ok_or(KeyfileError::Truncated)?;
    let key = key(password)?;
    let cipher = XSalsa20Poly1305::new(Key::from_slice(key.as_slice()));
    let text = cipher.decrypt(Nonce::from_slice(nonce), sealed);
    text.map(Zeroizing::new).map_err(|_| KeyfileError::WrongPassword)
}

fn key(password: &[u8]) -> Result<Zeroizing<[u8; 32]>, KeyfileError> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, Some(32)).map_err(|why| KeyfileError::Kdf(why.to_string()))?;
    let mut key = Zeroizing::new([0; 32]);
    let argon = Argon2::new(Algorithm::Argon2i, Version::V0x13, params);
    let hashed = argon.hash_password_into(password, &SALT, key.as_mut_slice());
    hashed.map_err(|why| KeyfileError::Kdf(why.to_string()))?;
    Ok(key)
}
