//! The GPU challenge of the running network, `gpu_matrix`: its arithmetic and its checks, with no GPU.
//!
//! The validator issues it when it is told to and never by itself, for it cannot refuse all that is false. The
//! signature of a commitment is checked in `gpu_signature`, before anything here.
//!
//! | what a prover does | where it ends |
//! |---|---|
//! | wrong values in more than 15 % of the columns looked at | [`GpuFault::Row`], [`GpuFault::Coordinates`] |
//! | a leaf that is not the hash of the values shown | [`GpuFault::RowHash`] |
//! | no hashes, no values, a path of another row | [`GpuFault::Hashes`], [`GpuFault::Values`], [`GpuFault::Merkle`] |
//! | commits to leaves of its choice, later computes only the rows asked for and bends five values of each until the hash is the leaf | nowhere: FNV-1a has preimages in seconds |
//! | computes 85 % of the columns | nowhere, for all that are looked at may be among them |
//! | computes B from A's rows, for B is A with rows swapped in pairs | nowhere |

use rand_core::RngCore;
use sha2::{Digest, Sha256};

use super::{
    merkle::{self, MerkleFault},
    row_hash::RowHash,
    sample,
};
use crate::wire::messages::DeviceProof;

/// How far a value may be off, and what share of the values looked at must be right.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    pub absolute: f64,
    pub relative: f64,
    pub threshold: f64,
}

/// Those of the running network.
pub const RULES: Rules = Rules { absolute: 0.02, relative: 0.005, threshold: 0.85 };
/// From here on a finite value has no half.
const HALF_END: f64 = 65_520.0;

/// What one GPU is to multiply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    state: u64,
    n: u32,
    iterations: u32,
}

/// What a validator asks one GPU for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// (row, column).
    pub coordinates: &'a [(u32, u32)],
    pub rows: &'a [u32],
    pub rules: Rules,
    /// The columns of every row that are looked at: see [`columns`].
    pub columns: &'a [u32],
}

/// Why a GPU's proof does not show what was committed to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GpuFault {
    #[error("nothing was asked for")]
    NothingAsked,
    #[error("row {row} or column {column} was asked of a matrix of {n}")]
    NoSuchPlace { row: u32, column: u32, n: u32 },
    #[error("{got} values where {want} were asked for")]
    Values { got: usize, want: usize },
    #[error("{hashes} row hashes and {paths} Merkle proofs for {rows} rows")]
    Hashes { hashes: usize, paths: usize, rows: usize },
    #[error("{right} of {of} coordinates are right")]
    Coordinates { right: usize, of: usize },
    #[error("{right} of {of} columns of row {row} are right")]
    Row { row: u32, right: usize, of: usize },
    #[error("the row hash of row {row} is not that of its values")]
    RowHash { row: u32 },
    #[error("row {row}: {why}")]
    Merkle { row: u32, why: MerkleFault },
}

/// The 16 low bits of a mixed word, as a value of −1 … 1.
pub fn element(word: u64) -> f64 {
    let mut low = (word ^ (word >> 32)) as u32;
    low = low.wrapping_mul(0x9e37_79b9).wrapping_add(0x85eb_ca6b);
    low ^= low >> 16;
    low = low.wrapping_mul(0x85eb_ca6b);
    f64::from(low & 0xffff) / 32_768.0 - 1.0
}

impl Device {
    /// `seed` as the challenge writes it: 32 hex digits.
    pub fn new(seed: &str, uuid: &str, n: u32, iterations: u32) -> Device {
        let digest = Sha256::digest(format!("{seed}|{uuid}"));
        let state = digest.iter().take(8).rev().fold(0, |state, byte| state << 8 | u64::from(*byte));
        Device { state, n, iterations }
    }

    pub fn n(&self) -> u32 {
        self.n
    }

    pub fn state(&self) -> u64 {
        self.state
    }

    pub fn a(&self, row: u32, term: u32) -> f64 {
        element(self.state ^ u64::from(row) << 32 ^ u64::from(term) << 16)
    }

    pub fn b(&self, term: u32, column: u32) -> f64 {
        element(self.state ^ u64::from(term) << 32 ^ u64::from(column) << 16 ^ 1)
    }

    /// One value of the answer before it becomes a half: exact, for every product is a multiple of 2⁻³⁰.
    pub fn value(&self, row: u32, column: u32) -> f64 {
        let sum: f64 = (0..self.n).map(|term| self.a(row, term) * self.b(term, column)).sum();
        sum * f64::from(self.iterations.max(1))
    }
}

/// The half nearest to a double, of two equally near ones the even one; `None` for what is too great for one.
pub fn half(value: f64) -> Option<u16> {
    let sign = (value.to_bits() >> 48) as u16 & 0x8000;
    let magnitude = value.abs();
    if value.is_nan() {
        return Some(sign | 0x7e00);
    }
    if value.is_infinite() {
        return Some(sign | 0x7c00);
    }
    if magnitude >= HALF_END {
        return None;
    }
    let exponent = ((magnitude.to_bits() >> 52) as i32 - 1023).max(-14);
    let steps = (magnitude * 2_f64.powi(10 - exponent)).round_ties_even() as i32;
    Some(sign | (((exponent + 14) << 10) + steps) as u16)
}

/// The hash of a row of halves: 64-bit FNV-1a, a half a step.
pub fn row_hash(halves: &[u16]) -> RowHash {
    let step = |hash: u64, half: &u16| (hash ^ u64::from(*half)).wrapping_mul(0x0100_0000_01b3);
    RowHash::of_bits(halves.iter().fold(0xcbf2_9ce4_8422_2325, step))
}

impl Rules {
    /// Whether a value is near enough; what is no number never is.
    pub fn is_right(&self, expected: f64, value: f64) -> bool {
        let off = (expected - value).abs();
        off <= self.absolute || off / (expected.abs() + 1e-10) <= self.relative
    }

    fn enough(&self, of: usize) -> usize {
        (self.threshold * of as f64).ceil() as usize
    }
}

/// The columns that are looked at in every row of one GPU: this share of them, at least one.
pub fn columns(rng: &mut impl RngCore, n: u32, rate: f64) -> Vec<u32> {
    sample::rows(rng, n, (f64::from(n) * rate) as u32, 0.0)
}

/// Whether one GPU has proven what it was asked for, as far as the challenge can tell.
pub fn verify(device: &Device, root: &str, asked: &Asked, proof: &DeviceProof) -> Result<(), GpuFault> {
    check_shape(device, asked, proof)?;
    let (points, rows) = proof.coordinate_values.split_at(asked.coordinates.len());
    let pairs = asked.coordinates.iter().zip(points);
    let right =
        pairs.filter(|((row, column), value)| asked.rules.is_right(device.value(*row, *column), **value)).count();
    if right < asked.rules.enough(points.len()) {
        return Err(GpuFault::Coordinates { right, of: points.len() });
    }
    let rows = asked.rows.iter().zip(rows.chunks_exact(device.n as usize));
    for (at, (row, values)) in rows.enumerate() {
        check_row(device, *row, asked, values)?;
        check_leaf(device, root, *row, values, (&proof.row_hashes[at], &proof.merkle_proofs[at]))?;
    }
    Ok(())
}

fn check_shape(device: &Device, asked: &Asked, proof: &DeviceProof) -> Result<(), GpuFault> {
    let n = device.n;
    if asked.coordinates.is_empty() && asked.rows.is_empty() {
        return Err(GpuFault::NothingAsked);
    }
    let rows = asked.rows.iter().map(|row| (*row, 0));
    let columns = asked.columns.iter().map(|column| (0, *column));
    let mut places = asked.coordinates.iter().copied().chain(rows).chain(columns);
    if let Some((row, column)) = places.find(|(row, column)| *row >= n || *column >= n) {
        return Err(GpuFault::NoSuchPlace { row, column, n });
    }
    let (got, want) = (proof.coordinate_values.len(), asked.coordinates.len() + asked.rows.len() * n as usize);
    if got != want {
        return Err(GpuFault::Values { got, want });
    }
    let (hashes, paths, rows) = (proof.row_hashes.len(), proof.merkle_proofs.len(), asked.rows.len());
    if hashes != rows || paths != rows { Err(GpuFault::Hashes { hashes, paths, rows }) } else { Ok(()) }
}

fn check_row(device: &Device, row: u32, asked: &Asked, values: &[f64]) -> Result<(), GpuFault> {
    let Asked { columns, rules, .. } = asked;
    let is_right = |column: &&u32| rules.is_right(device.value(row, **column), values[**column as usize]);
    let right = columns.iter().filter(is_right).count();
    if right < rules.enough(columns.len()) { Err(GpuFault::Row { row, right, of: columns.len() }) } else { Ok(()) }
}

fn check_leaf(
    device: &Device,
    root: &str,
    row: u32,
    values: &[f64],
    (hash, path): (&str, &crate::wire::messages::MerkleProof),
) -> Result<(), GpuFault> {
    let halves: Option<Vec<u16>> = values.iter().map(|value| half(*value)).collect();
    let leaf = halves.map(|halves| row_hash(&halves)).filter(|leaf| leaf.to_string() == hash);
    let leaf = leaf.filter(|_| path.leaf_index == row && path.leaf_hash == hash).ok_or(GpuFault::RowHash { row })?;
    merkle::verify(root, device.n, row, &leaf, &path.proof_hashes, &path.proof_directions)
        .map_err(|why| GpuFault::Merkle { row, why })
}
