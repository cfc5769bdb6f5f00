//! Which instructions this CPU has for exact dot products: found at run time, chosen explicitly.
//!
//! An [`Isa`] exists only for what the machine can run, which is what the kernels' `unsafe` rests on. It
//! says nothing about how fast one is.

use std::fmt;

#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};
use super::{pack::Shape, portable::Portable, tile::Sums};

/// The integers that are multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Int8,
    Int16,
}

/// A set of instructions that this machine has. Only [`Isa::best`], [`Isa::available`] and [`Isa::portable`]
/// make one.
#[derive(Clone, Copy)]
pub struct Isa(&'static dyn Kernels);

/// What a set of instructions does. A value of an implementation is the proof that this machine has it.
///
/// All sums are modulo 2^32: right wherever the true sum is an i32.
pub(super) trait Kernels: Sync {
    fn name(&self) -> &'static str;

    fn dot_instruction(&self, kind: Kind) -> &'static str;

    /// How operands of this kind are packed for [`Kernels::tile`].
    fn shape(&self, kind: Kind) -> Shape;

    /// Packs the first groups of all lanes, in a tile or panel of `width`; how many groups of them.
    fn pack_i8(&self, _lanes: &[&[i8]], _width: usize, _shifted: bool, _packed: &mut [u8]) -> usize {
        0
    }

    /// The same of words.
    fn pack_i16(&self, _lanes: &[&[i16]], _width: usize, _shifted: bool, _packed: &mut [u8]) -> usize {
        0
    }

    /// Packs the first pairs of rows of `stride` columns, those from column `first` on, into a panel; how many rows.
    fn weave_i16(&self, _rows: &[i16], _stride: usize, _first: usize, _packed: &mut [u8]) -> usize {
        0
    }

    /// Asks for so many bytes of memory that will be written soon.
    fn soon_written(&self, _places: *const u8, _bytes: usize) {}

    /// Packed rows times packed columns of the same number of groups: the tile of sums, row by row. Memory
    /// from the beginning of `ahead` on is brought closer, an eighth of the length of `columns` of it.
    fn tile(&self, kind: Kind, rows: &[u8], columns: &[u8], ahead: &[u8], sums: &mut Sums);

    /// Each of some rows with each of some columns of one length, not packed; `sums` row by row.
    fn dots_i8(&self, rows: &[&[i8]], columns: &[&[i8]], sums: &mut [i32]);

    /// The same of words.
    fn dots_i16(&self, rows: &[&[i16]], columns: &[&[i16]], sums: &mut [i32]);

    /// Fills the beginning of `bytes` with whole blocks of the ChaCha8 keystream, the state's own block first;
    /// how many bytes.
    fn chacha8(&self, _state: &[u32; 16], _bytes: &mut [u8]) -> usize {
        0
    }

    /// Whether vectors of 512 bits are among the instructions.
    fn is_wide(&self) -> bool {
        false
    }

    /// So many rounds of dot products of registers alone; returns how many products were added up.
    fn peak(&self, kind: Kind, rounds: u64) -> u64;
}

impl Isa {
    /// The fastest one that this machine has.
    pub fn best() -> Isa {
        Isa::available().next().unwrap_or(Isa::portable())
    }

    /// All that this machine has, the fastest first; the portable one is the last of them.
    pub fn available() -> impl Iterator<Item = Isa> {
        #[cfg(target_arch = "x86_64")]
        let vector = [avx512::detect(), avx2::detect_vnni(), avx2::detect()];
        #[cfg(not(target_arch = "x86_64"))]
        let vector = [None::<&'static dyn Kernels>];
        vector.into_iter().flatten().map(Isa).chain([Isa::portable()])
    }

    /// Plain Rust, as the compiler vectorises it for every machine of this architecture.
    pub const fn portable() -> Isa {
        Isa(&Portable)
    }

    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// The instruction that does the exact dot products, as a disassembler writes it.
    pub fn dot_instruction(self, kind: Kind) -> &'static str {
        self.0.dot_instruction(kind)
    }

    /// Multiplies in registers alone, `rounds` times round, and returns how many products were added up: what
    /// a caller times to learn this CPU's limit.
    pub fn peak(self, kind: Kind, rounds: u64) -> u64 {
        self.0.peak(kind, rounds)
    }

    /// Whether vectors of 512 bits are among them: then the generator and the hashes of cpu_matrix use those too.
    pub fn is_wide(self) -> bool {
        self.0.is_wide()
    }

    pub(super) fn kernels(self) -> &'static dyn Kernels {
        self.0
    }
}

impl PartialEq for Isa {
    fn eq(&self, other: &Isa) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Isa {}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_is_the_first_and_the_portable_one_the_last() {
        let all: Vec<Isa> = Isa::available().collect();
        assert_eq!(all.first(), Some(&Isa::best()));
        assert_eq!(all.last(), Some(&Isa::portable()));
    }

    #[test]
    fn each_names_itself_and_its_instruction() {
        for isa in Isa::available() {
            assert!(!isa.to_string().is_empty() && !isa.dot_instruction(Kind::Int8).is_empty());
        }
    }
}
