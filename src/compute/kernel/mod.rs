//! Exact dot products of bytes and words at the CPU's own speed: the engine under both challenges.
//!
//! It knows integers, not challenges; it runs no thread and reads no clock. All `unsafe` of it lies in the
//! files of the single instruction sets and in `bytes`. Lengths that do not match leave something out, they
//! never panic and never reach beyond a slice: the vectors are loaded from and stored to slices alone.
//!
//! How a product is made: [`Panels`] holds all columns of one factor, packed once and shared; each thread packs
//! some rows of the other into its own [`Strip`] and multiplies it with all panels. A strip's block of terms and
//! two panels' blocks fit a second cache; the next panel and the memory of the sums are asked for early. A tile
//! of sums stays in registers for a whole block. [`dots`] takes rows and columns as they lie, for a verifier.
//!
//! Sums are modulo 2^32 in each block of terms. They are the true sums for bytes up to 65,536 terms in an i32,
//! for words of −500 … 500 up to 8,589 terms in an i32 and for any number of terms in an i64.
//!
//! [`Isa`] chooses at run time: AVX-512 VNNI, AVX-VNNI, AVX2, else plain code. On x86-64 that is `pmaddwd`, which
//! all of them have; on aarch64 it is what the compiler makes of plain loops, right but not tuned. AVX-512
//! without VNNI runs as AVX2.
//!
//! Measured on one core of a 2-core Xeon with AVX-512 VNNI, time on the CPU alone, while others used it too.
//! Share: of what the dot instruction does there in registers alone, packing included.
//!
//! | 10⁹ products a second | bytes, n = 8192 | share | words, n = 2000 | share |
//! |---|---|---|---|---|
//! | AVX-512 VNNI | 328 | 86 % | 164 | 86 % |
//! | AVX-VNNI | 156 | 82 % | 82 | 86 % |
//! | AVX2 | 60 | 89 % | 60 | 89 % |
//! | plain (SSE2) | 27 | 80 % | 27 | 81 % |
//!
//! What other crates do there at n = 2000. None multiplies integers; doubles hold these sums exactly, at eight
//! bytes an element: `gemm` 0.19 16, `matrixmultiply` 0.3 26, `faer` 0.23 31 (10⁹ products a second). Ours is
//! 5 times the best of them for words and 10 times for bytes, in a quarter and an eighth of the memory.
//!
//! The keystream: `rand_chacha` 3.3 GB/s, `chacha20` 4.4 GB/s, ours 9.8 GB/s with AVX-512; elsewhere
//! `rand_chacha` is used. `blake3` 6 GB/s for rows of 32 KiB: used as it is, with AVX-512 assembly of its own.
//! Dots of one row: 90 GB/s of columns of bytes from the second cache, 27 GB/s from the third, which is what
//! that gives.

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
