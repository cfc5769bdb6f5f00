//! The kernels for CPUs with AVX-512 VNNI: 64 products of bytes, or 32 of words, in one instruction.
//!
//! No instruction here saturates. `vpdpbusd` takes one operand unsigned: bytes of columns are shifted by 128,
//! and what that adds, 128 times the row's sum, is taken off again.

mod chacha8;
mod dot;
mod pack;
mod tile;

use std::arch::{
    asm,
    x86_64::{
        __m512i, _MM_HINT_ET0, _mm_prefetch, _mm512_dpbusd_epi32, _mm512_loadu_si512, _mm512_mask_storeu_epi8,
        _mm512_maskz_loadu_epi8, _mm512_storeu_si512,
    },
};

use super::{
    isa::{Kernels, Kind},
    pack::Shape,
    tile::Sums,
};

/// Bytes of a vector.
const VECTOR: usize = 64;
/// Bytes of a row or column that one lane of 32 bits multiplies at once.
const GROUP: usize = 4;

/// The proof that this CPU has the instructions: [`detect`] alone makes one.
struct Avx512(());

static HERE: Avx512 = Avx512(());

pub(super) fn detect() -> Option<&'static dyn Kernels> {
    let here = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vnni");
    here.then_some(&HERE)
}

impl Kernels for Avx512 {
    fn name(&self) -> &'static str {
        "AVX-512 VNNI"
    }

    fn dot_instruction(&self, kind: Kind) -> &'static str {
        match kind {
            Kind::Int8 => "vpdpbusd zmm",
            Kind::Int16 => "vpdpwssd zmm",
        }
    }

    fn shape(&self, kind: Kind) -> Shape {
        let (element, shifted) = match kind {
            Kind::Int8 => (1, true),
            Kind::Int16 => (2, false),
        };
        Shape { rows: tile::ROWS, columns: tile::COLUMNS, group: GROUP, element, shifted }
    }

    fn pack_i8(&self, lanes: &[&[i8]], width: usize, shifted: bool, packed: &mut [u8]) -> usize {
        // SAFETY: `self` is the proof that the CPU has these features.
        unsafe { pack::lanes(lanes, width, if shifted { 0x80 } else { 0 }, packed) }
    }

    fn pack_i16(&self, lanes: &[&[i16]], width: usize, _shifted: bool, packed: &mut [u8]) -> usize {
        // SAFETY: `self` is the proof that the CPU has these features.
        unsafe { pack::lanes(lanes, width, 0, packed) }
    }

    fn weave_i16(&self, rows: &[i16], stride: usize, first: usize, packed: &mut [u8]) -> usize {
        // SAFETY: `self` is the proof that the CPU has these features.
        unsafe { pack::pairs(rows, stride, first, packed) }
    }

    fn soon_written(&self, places: *const u8, bytes: usize) {
        for line in (0..bytes).step_by(VECTOR) {
            // SAFETY: `self` is the proof of the feature, and asking for any address is harmless.
            unsafe { _mm_prefetch::<_MM_HINT_ET0>(places.wrapping_add(line).cast()) };
        }
    }

    fn tile(&self, kind: Kind, rows: &[u8], columns: &[u8], ahead: &[u8], sums: &mut Sums) {
        // SAFETY: `self` is the proof that the CPU has these features.
        unsafe {
            match kind {
                Kind::Int8 => tile::tile::<Bytes>(rows, columns, ahead, sums),
                Kind::Int16 => tile::tile::<Words>(rows, columns, ahead, sums),
            }
        }
    }

    fn dots_i8(&self, rows: &[&[i8]], columns: &[&[i8]], sums: &mut [i32]) {
        // SAFETY: `self` is the proof that the CPU has these features.
        unsafe { dot::dots::<i8>(rows, columns, sums) }
    }

    fn dots_i16(&self, rows: &[&[i16]], columns: &[&[i16]], sums: &mut [i32]) {
        // SAFETY: `self` is the proof that the CPU has these features.
        unsafe { dot::dots::<i16>(rows, columns, sums) }
    }

    fn chacha8(&self, state: &[u32; 16], bytes: &mut [u8]) -> usize {
        // SAFETY: `self` is the proof that the CPU has these features.
        unsafe { chacha8::fill(state, bytes) }
    }

    fn is_wide(&self) -> bool {
        true
    }

    fn peak(&self, kind: Kind, rounds: u64) -> u64 {
        // SAFETY: `self` is the proof that the CPU has these features.
        unsafe {
            match kind {
                Kind::Int8 => tile::peak::<Bytes>(rounds),
                Kind::Int16 => tile::peak::<Words>(rounds),
            }
        }
    }
}

/// One exact dot instruction: adds the products of the elements of each 32 bits to an i32.
trait Dot {
    /// Products that one instruction adds up.
    const PRODUCTS: u64;
    /// # Safety
    /// The CPU has AVX-512 F, BW and VNNI.
    unsafe fn add(sums: __m512i, columns: __m512i, rows: __m512i) -> __m512i;
}

/// Bytes of columns are unsigned, those of rows signed.
struct Bytes;

impl Dot for Bytes {
    const PRODUCTS: u64 = 64;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    unsafe fn add(sums: __m512i, columns: __m512i, rows: __m512i) -> __m512i {
        _mm512_dpbusd_epi32(sums, columns, rows)
    }
}

/// Both signed.
struct Words;

impl Dot for Words {
    const PRODUCTS: u64 = 32;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    unsafe fn add(mut sums: __m512i, columns: __m512i, rows: __m512i) -> __m512i {
        // SAFETY: it reads and writes these registers alone. Written out because the compiler turns the
        // intrinsic into a product and a sum, which shortens chains that nobody waits for, at half the speed.
        unsafe {
            asm!("vpdpwssd {0}, {1}, {2}", inout(zmm_reg) sums, in(zmm_reg) columns, in(zmm_reg) rows,
                options(pure, nomem, nostack, preserves_flags));
        }
        sums
    }
}

/// Integers without padding, for which any bits are a value.
trait Plain: Copy {
    /// How many of them a vector has.
    const COUNT: usize = VECTOR / size_of::<Self>();
}

impl Plain for u8 {}
impl Plain for i8 {}
impl Plain for i16 {}
impl Plain for i32 {}

/// The vector of the first of these; zeros where there are not enough of them.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn load<E: Plain>(values: &[E]) -> __m512i {
    if values.len() >= E::COUNT {
        // SAFETY: the slice covers the 64 bytes that an unaligned load reads.
        return unsafe { _mm512_loadu_si512(values.as_ptr().cast()) };
    }
    let mask = (1 << size_of_val(values)) - 1;
    // SAFETY: the mask has as many ones as the slice has bytes, fewer than 64; no other byte is read.
    unsafe { _mm512_maskz_loadu_epi8(mask, values.as_ptr().cast()) }
}

/// As much of the vector as these have room for.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn store<E: Plain>(values: &mut [E], vector: __m512i) {
    if values.len() >= E::COUNT {
        // SAFETY: the slice covers the 64 bytes that an unaligned store writes.
        return unsafe { _mm512_storeu_si512(values.as_mut_ptr().cast(), vector) };
    }
    let mask = (1 << size_of_val(values)) - 1;
    // SAFETY: the mask has as many ones as the slice has bytes, fewer than 64; no other byte is written.
    unsafe { _mm512_mask_storeu_epi8(values.as_mut_ptr().cast(), mask, vector) }
}
