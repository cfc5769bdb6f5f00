//! The kernels for CPUs with AVX2, and for those that also have AVX-VNNI: vectors of 32 bytes.
//!
//! AVX2 alone has no exact product of bytes (`vpmaddubsw` saturates): there bytes are widened to words when
//! they are packed or loaded. With AVX-VNNI, `vpdpbusd` takes bytes, of which those of columns are shifted by
//! 128 as for AVX-512.

mod kernels;

use std::arch::{
    asm,
    x86_64::{
        __m256i, _MM_HINT_T0, _mm_prefetch, _mm256_add_epi32, _mm256_castsi256_si128, _mm256_cvtepi8_epi16,
        _mm256_dpbusd_avx_epi32, _mm256_extracti128_si256, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_set1_epi8,
        _mm256_xor_si256,
    },
};

use super::{
    isa::{Kernels, Kind},
    pack::Shape,
    tile::Sums,
};

/// Bytes of a vector.
const VECTOR: usize = 32;
/// Bytes of a row or column that one lane of 32 bits multiplies at once.
const GROUP: usize = 4;

/// The proof that this CPU has AVX2: [`detect`] alone makes one.
struct Avx2(());

/// The proof that this CPU has AVX2 and AVX-VNNI: [`detect_vnni`] alone makes one.
struct AvxVnni(());

static AVX2: Avx2 = Avx2(());
static AVX_VNNI: AvxVnni = AvxVnni(());

pub(super) fn detect() -> Option<&'static dyn Kernels> {
    is_x86_feature_detected!("avx2").then_some(&AVX2)
}

pub(super) fn detect_vnni() -> Option<&'static dyn Kernels> {
    (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("avxvnni")).then_some(&AVX_VNNI)
}

fn shape(element: usize, shifted: bool) -> Shape {
    Shape { rows: kernels::ROWS, columns: kernels::COLUMNS, group: GROUP, element, shifted }
}

fn soon_written(places: *const u8, bytes: usize) {
    for line in (0..bytes).step_by(64) {
        // SAFETY: every x86-64 has this instruction, and asking for any address is harmless.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(places.wrapping_add(line).cast()) };
    }
}

impl Kernels for Avx2 {
    fn name(&self) -> &'static str {
        "AVX2"
    }

    fn dot_instruction(&self, _kind: Kind) -> &'static str {
        "vpmaddwd ymm"
    }

    fn shape(&self, _kind: Kind) -> Shape {
        shape(2, false)
    }

    fn soon_written(&self, places: *const u8, bytes: usize) {
        soon_written(places, bytes);
    }

    fn tile(&self, _kind: Kind, rows: &[u8], columns: &[u8], ahead: &[u8], sums: &mut Sums) {
        // SAFETY: `self` is the proof that the CPU has AVX2, all that these words take.
        unsafe { kernels::avx2::tile::<Words>(rows, columns, ahead, sums) }
    }

    fn dots_i8(&self, rows: &[&[i8]], columns: &[&[i8]], sums: &mut [i32]) {
        // SAFETY: as above.
        unsafe { kernels::avx2::dots::<WideBytes>(rows, columns, sums) }
    }

    fn dots_i16(&self, rows: &[&[i16]], columns: &[&[i16]], sums: &mut [i32]) {
        // SAFETY: as above.
        unsafe { kernels::avx2::dots::<Words>(rows, columns, sums) }
    }

    fn peak(&self, _kind: Kind, rounds: u64) -> u64 {
        // SAFETY: as above.
        unsafe { kernels::avx2::peak::<Words>(rounds) }
    }
}

impl Kernels for AvxVnni {
    fn name(&self) -> &'static str {
        "AVX-VNNI"
    }

    fn dot_instruction(&self, kind: Kind) -> &'static str {
        match kind {
            Kind::Int8 => "vpdpbusd ymm",
            Kind::Int16 => "vpdpwssd ymm",
        }
    }

    fn shape(&self, kind: Kind) -> Shape {
        match kind {
            Kind::Int8 => shape(1, true),
            Kind::Int16 => shape(2, false),
        }
    }

    fn soon_written(&self, places: *const u8, bytes: usize) {
        soon_written(places, bytes);
    }

    fn tile(&self, kind: Kind, rows: &[u8], columns: &[u8], ahead: &[u8], sums: &mut Sums) {
        // SAFETY: `self` is the proof that the CPU has AVX2 and AVX-VNNI.
        unsafe {
            match kind {
                Kind::Int8 => kernels::vnni::tile::<VnniBytes>(rows, columns, ahead, sums),
                Kind::Int16 => kernels::vnni::tile::<VnniWords>(rows, columns, ahead, sums),
            }
        }
    }

    fn dots_i8(&self, rows: &[&[i8]], columns: &[&[i8]], sums: &mut [i32]) {
        // SAFETY: as above.
        unsafe { kernels::vnni::dots::<VnniBytes>(rows, columns, sums) }
    }

    fn dots_i16(&self, rows: &[&[i16]], columns: &[&[i16]], sums: &mut [i32]) {
        // SAFETY: as above.
        unsafe { kernels::vnni::dots::<VnniWords>(rows, columns, sums) }
    }

    fn peak(&self, kind: Kind, rounds: u64) -> u64 {
        // SAFETY: as above.
        unsafe {
            match kind {
                Kind::Int8 => kernels::vnni::peak::<VnniBytes>(rounds),
                Kind::Int16 => kernels::vnni::peak::<VnniWords>(rounds),
            }
        }
    }
}

/// One exact way to add the products of the elements of each 32 bits to an i32.
trait Dot {
    /// What lies in memory.
    type Element: Plain;
    /// Products that one use adds up.
    const PRODUCTS: usize;

    /// Packed columns with packed rows.
    ///
    /// # Safety
    /// The CPU has AVX2, and AVX-VNNI for the types that say so.
    unsafe fn add(sums: __m256i, columns: __m256i, rows: __m256i) -> __m256i;

    /// A column with a row as they lie in memory.
    ///
    /// # Safety
    /// As for [`Dot::add`].
    #[inline]
    unsafe fn step(sums: __m256i, column: &[u8; VECTOR], row: &[u8; VECTOR]) -> __m256i {
        // SAFETY: as the caller says.
        unsafe { Self::add(sums, load(column), load(row)) }
    }

    /// What steps with this row add to every sum because columns are shifted.
    ///
    /// # Safety
    /// As for [`Dot::add`].
    #[inline]
    unsafe fn shift(added: __m256i, _row: &[u8; VECTOR]) -> __m256i {
        added
    }
}

/// Words, by AVX2.
struct Words;

impl Dot for Words {
    type Element = i16;
    const PRODUCTS: usize = 16;

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn add(sums: __m256i, columns: __m256i, rows: __m256i) -> __m256i {
        _mm256_add_epi32(sums, _mm256_madd_epi16(columns, rows))
    }
}

/// Bytes that are widened to words, by AVX2.
struct WideBytes;

impl Dot for WideBytes {
    type Element = i8;
    const PRODUCTS: usize = 16;

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn add(sums: __m256i, columns: __m256i, rows: __m256i) -> __m256i {
        _mm256_add_epi32(sums, _mm256_madd_epi16(columns, rows))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn step(sums: __m256i, column: &[u8; VECTOR], row: &[u8; VECTOR]) -> __m256i {
        let (column, row) = (load(column), load(row));
        let low = |bytes| _mm256_cvtepi8_epi16(_mm256_castsi256_si128(bytes));
        let high = |bytes| _mm256_cvtepi8_epi16(_mm256_extracti128_si256::<1>(bytes));
        // SAFETY: this function has the same features.
        unsafe { Self::add(Self::add(sums, low(column), low(row)), high(column), high(row)) }
    }
}

/// Words, by AVX-VNNI.
struct VnniWords;

impl Dot for VnniWords {
    type Element = i16;
    const PRODUCTS: usize = 16;

    #[inline]
    #[target_feature(enable = "avx2,avxvnni")]
    unsafe fn add(mut sums: __m256i, columns: __m256i, rows: __m256i) -> __m256i {
        // SAFETY: it reads and writes these registers alone. Written out because the compiler turns the
        // intrinsic into a product and a sum.
        unsafe {
            asm!("{{vex}} vpdpwssd {0}, {1}, {2}", inout(ymm_reg) sums, in(ymm_reg) columns, in(ymm_reg) rows,
                options(pure, nomem, nostack, preserves_flags));
        }
        sums
    }
}

/// Bytes, those of columns unsigned, by AVX-VNNI.
struct VnniBytes;

impl Dot for VnniBytes {
    type Element = i8;
    const PRODUCTS: usize = 32;

    #[inline]
    #[target_feature(enable = "avx2,avxvnni")]
    unsafe fn add(sums: __m256i, columns: __m256i, rows: __m256i) -> __m256i {
        _mm256_dpbusd_avx_epi32(sums, columns, rows)
    }

    #[inline]
    #[target_feature(enable = "avx2,avxvnni")]
    unsafe fn step(sums: __m256i, column: &[u8; VECTOR], row: &[u8; VECTOR]) -> __m256i {
        let shifted = _mm256_xor_si256(load(column), _mm256_set1_epi8(i8::MIN));
        // SAFETY: this function has the same features.
        unsafe { Self::add(sums, shifted, load(row)) }
    }

    #[inline]
    #[target_feature(enable = "avx2,avxvnni")]
    unsafe fn shift(added: __m256i, row: &[u8; VECTOR]) -> __m256i {
        // SAFETY: this function has the same features.
        unsafe { Self::add(added, _mm256_set1_epi8(i8::MIN), load(row)) }
    }
}

/// Integers without padding.
trait Plain: Copy {}

impl Plain for i8 {}
impl Plain for i16 {}

#[inline]
#[target_feature(enable = "avx2")]
fn load(bytes: &[u8; VECTOR]) -> __m256i {
    // SAFETY: the array is the 32 bytes that an unaligned load reads.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}
