//! The short hash of one row of a product: what a worker commits to and a validator recomputes.
//!
//! Eight bytes, written as 16 lower-case hex digits on every wire. It does not say how a row is hashed for
//! GPU challenges; that is the business of their own module.

use std::{fmt, str::FromStr};

use sha2::{Digest, Sha256};

use super::kernel::{
    Isa,
    sha256::{self, Hashed, ROWS},
};

/// Digits of a row hash in text.
pub const ROW_HASH_DIGITS: usize = 16;

/// A row's hash. `Display` writes its 16 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowHash([u8; 8]);

/// Why a text is no row hash.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a row hash is 16 lower-case hex digits, not {0:?}")]
pub struct RowHashError(String);

/// Rows for which hashing sixteen at once costs less than hashing them one after the other.
const WORTH_SIXTEEN: usize = 8;

/// The hashes of rows of `n` values that lie one after the other.
pub(super) fn of_rows<V: Hashed>(isa: Isa, rows: &[V], n: usize) -> Vec<RowHash> {
    let rows: Vec<&[V]> = rows.chunks_exact(n.max(1)).collect();
    let mut hashes = Vec::with_capacity(rows.len());
    for rows in rows.chunks(ROWS) {
        let lane = |lane: usize| rows[lane.min(rows.len() - 1)];
        let at_once = rows.len() >= WORTH_SIXTEEN;
        match at_once.then(|| sha256::digests(isa, &std::array::from_fn(lane))).flatten() {
            Some([first, second, ..]) => {
                let digests = first.into_iter().zip(second).take(rows.len());
                hashes.extend(digests.map(|(first, second)| RowHash::of_words(first, second)));
            }
            None => hashes.extend(rows.iter().map(|row| RowHash::of(row))),
        }
    }
    hashes
}

impl RowHash {
    /// The hashes of rows of `n` values that lie one after the other, with the fastest instructions of this CPU.
    pub fn of_rows(rows: &[i32], n: usize) -> Vec<RowHash> {
        of_rows(Isa::best(), rows, n)
    }

    /// The first 8 bytes of SHA-256 over the row's values as little-endian int64.
    pub fn of_i64(row: &[i64]) -> RowHash {
        RowHash::of(row)
    }

    fn of<V: Hashed>(row: &[V]) -> RowHash {
        let mut hasher = Sha256::new();
        let mut bytes = [0; 512];
        for values in row.chunks(64) {
            let part = &mut bytes[..values.len() * 8];
            for (slot, value) in part.chunks_exact_mut(8).zip(values) {
                let value: i64 = (*value).into();
                slot.copy_from_slice(&value.to_le_bytes());
            }
            hasher.update(part);
        }
        let digest: [u8; 32] = hasher.finalize().into();
        let [a, b, c, d, e, f, g, h, ..] = digest;
        RowHash([a, b, c, d, e, f, g, h])
    }

    /// The hash whose 16 digits write this number.
    pub(super) fn of_bits(bits: u64) -> RowHash {
        RowHash(bits.to_be_bytes())
    }

    fn of_words(first: u32, second: u32) -> RowHash {
        RowHash((u64::from(first) << 32 | u64::from(second)).to_be_bytes())
    }

    /// Its hex digits, as the Merkle tree hashes them.
    pub fn digits(&self) -> [u8; ROW_HASH_DIGITS] {
        let mut digits = [0; ROW_HASH_DIGITS];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(self.0) {
            pair[0] = hex_digit(byte >> 4);
            pair[1] = hex_digit(byte & 15);
        }
        digits
    }
}

/// The lower-case digit of a value under 16.
pub(crate) fn hex_digit(value: u8) -> u8 {
    if value < 10 { b'0' + value } else { b'a' + (value - 10) }
}

/// Whether `text` is exactly so many lower-case hex digits.
pub(crate) fn is_lower_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

impl FromStr for RowHash {
    type Err = RowHashError;
    fn from_str(text: &str) -> Result<RowHash, RowHashError> {
        let refused = || RowHashError(text.chars().take(64).collect());
        if !is_lower_hex(text, ROW_HASH_DIGITS) {
            return Err(refused());
        }
        let value = u64::from_str_radix(text, 16).map_err(|_| refused())?;
        Ok(RowHash(value.to_be_bytes()))
    }
}

impl fmt::Display for RowHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for RowHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_value_are_one() {
        let hash: RowHash = "01771366d2925278".parse().unwrap();
        assert_eq!(hash.to_string(), "01771366d2925278");
        assert_eq!(&hash.digits(), b"01771366d2925278");
        assert_eq!(RowHash::of_i64(&[35754]), hash);
    }

    #[test]
    fn only_sixteen_lower_case_digits_are_a_row_hash() {
        for text in ["", "01771366d292527", "01771366D2925278", "01771366d29252780", "+1771366d2925278"] {
            assert!(text.parse::<RowHash>().is_err(), "{text}");
        }
    }

    #[test]
    fn rows_at_once_have_the_hashes_of_each_alone() {
        for (count, n) in [(1, 5), (7, 3), (8, 16), (40, 9), (33, 1)] {
            let wide: Vec<i64> = (0..count * n).map(|at: i64| at.wrapping_mul(-0x61c8_8646_80b5_83eb)).collect();
            let narrow: Vec<i32> = wide.iter().map(|value| *value as i32).collect();
            let alone: Vec<RowHash> = wide.chunks(n as usize).map(RowHash::of_i64).collect();
            let narrow_alone: Vec<RowHash> = narrow.chunks(n as usize).map(RowHash::of).collect();
            for isa in Isa::available() {
                assert_eq!(of_rows(isa, &wide, n as usize), alone, "{isa}, {count} rows of {n}");
                assert_eq!(of_rows(isa, &narrow, n as usize), narrow_alone, "{isa}, {count} rows of {n}");
            }
        }
    }
}
