//! Exact dot products of bytes and words at the CPU's own speed: the engine under both challenges.
//!
//! It knows integers, not challenges; it runs no thread and reads no clock. All `unsafe` of it lies in the
//! files of the single instruction sets.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod band;
mod bytes;
mod chacha8;
mod dot;
mod element;
mod isa;
#[cfg(target_arch = "x86_64")]
pub(super) mod mt_avx512;
mod pack;
mod portable;
pub(super) mod sha256;
#[cfg(target_arch = "x86_64")]
mod sha256_avx512;
#[cfg(test)]
mod tests;
mod tile;

pub use band::BandMut;
pub use bytes::{little_endian, unsigned};
pub use chacha8::keystream;
pub use dot::dots;
pub use element::Element;
pub use isa::{Isa, Kind};
pub use pack::{FIRST_TERM, PanelMut, Panels, Strip};
pub use tile::Total;
