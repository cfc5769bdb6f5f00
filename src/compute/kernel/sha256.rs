//! SHA-256 of sixteen rows of integers at once, where this CPU has instructions for it.
//!
//! A caller without them hashes row after row with the `sha2` crate, which uses the CPU's own SHA instructions.

use super::Isa;
#[cfg(target_arch = "x86_64")]
use super::sha256_avx512;

/// Rows that are hashed at once.
pub const ROWS: usize = 16;

/// Sixteen digests in words: the first word of each, then the second, ….
pub type Digests = [[u32; ROWS]; 8];

/// An integer that is hashed as a little-endian int64: `i32` or `i64`.
#[cfg(target_arch = "x86_64")]
pub trait Hashed: Copy + Into<i64> + sha256_avx512::Value {}

#[cfg(not(target_arch = "x86_64"))]
pub trait Hashed: Copy + Into<i64> {}

impl Hashed for i32 {}

impl Hashed for i64 {}

/// The digests of sixteen rows of one length; `None` where `isa` has no instructions for that.
#[cfg(target_arch = "x86_64")]
pub fn digests<V: Hashed>(isa: Isa, rows: &[&[V]; ROWS]) -> Option<Digests> {
    let wide = sha256_avx512::detect().filter(|_| isa.is_wide())?;
    Some(wide.digests(rows))
}

#[cfg(not(target_arch = "x86_64"))]
pub fn digests<V: Hashed>(_: Isa, _: &[&[V]; ROWS]) -> Option<Digests> {
    None
}
