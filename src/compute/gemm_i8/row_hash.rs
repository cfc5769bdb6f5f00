//! BLAKE3 over the rows of a product, and the way of one chunk of a row to the row's hash.
//!
//! A row of n int32 has n/256 chunks of 1 KiB, hashed in BLAKE3's own tree: the left side of a node is the
//! largest power of two of chunks below its total. A row of one chunk is hashed as the root itself.

use blake3::{
    Hasher,
    hazmat::{HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root},
};

use super::Hash;
use crate::{compute::kernel::little_endian, wire::messages::gemm_i8::CHUNK_VALUES};

/// Bytes of a chunk.
const CHUNK_BYTES: usize = 4 * CHUNK_VALUES;

/// The hash of a whole row.
pub fn of_row(values: &[i32]) -> Hash {
    blake3::hash(&little_endian(values)).into()
}

/// The chaining value of one chunk of a row of several; the row's hash itself when there is only one.
pub fn of_chunk(values: &[i32; CHUNK_VALUES], chunk: u32, chunks: u32) -> Hash {
    let bytes = little_endian(values);
    if chunks == 1 {
        return blake3::hash(&bytes).into();
    }
    let mut hasher = Hasher::new();
    hasher.set_input_offset(u64::from(chunk) * CHUNK_BYTES as u64);
    hasher.update(&bytes);
    hasher.finalize_non_root()
}

/// Chunks on the left side of a node over `chunks` of them.
fn left_side(chunks: u32) -> u32 {
    1 << (chunks - 1).ilog2()
}

/// For each node above a chunk, from the top down: the other side's chunks, and whether that side is the right one.
fn forks(chunk: u32, chunks: u32) -> impl Iterator<Item = (std::ops::Range<u32>, bool)> {
    let (mut start, mut width) = (0, chunks);
    std::iter::from_fn(move || {
        if width < 2 {
            return None;
        }
        let left = left_side(width);
        let middle = start + left;
        if chunk < middle {
            let other = middle..start + width;
            width = left;
            Some((other, true))
        } else {
            let other = start..middle;
            (start, width) = (middle, width - left);
            Some((other, false))
        }
    })
}

/// Siblings that the path of a chunk has.
pub fn path_length(chunk: u32, chunks: u32) -> usize {
    forks(chunk, chunks).count()
}

/// The siblings of a chunk, lowest first, out of the chaining values of all chunks of its row.
pub fn path(chaining: &[Hash], chunk: u32) -> Vec<Hash> {
    let sides: Vec<_> = forks(chunk, chaining.len() as u32).collect();
    sides.into_iter().rev().map(|(side, _)| subtree(&chaining[side.start as usize..side.end as usize])).collect()
}

/// The chaining value of the node over these chunks.
fn subtree(chaining: &[Hash]) -> Hash {
    match chaining {
        [] => [0; 32],
        [only] => *only,
        several => {
            let (left, right) = several.split_at(left_side(several.len() as u32) as usize);
            merge_subtrees_non_root(&subtree(left), &subtree(right), Mode::Hash)
        }
    }
}

/// The row's hash at the end of a path of the right length.
pub fn climb(values: &[i32; CHUNK_VALUES], chunk: u32, chunks: u32, path: &[Hash]) -> Hash {
    let mut at = of_chunk(values, chunk, chunks);
    let sides: Vec<_> = forks(chunk, chunks).collect();
    for (level, ((_, right), sibling)) in sides.iter().rev().zip(path).enumerate() {
        let (left, right) = if *right { (&at, sibling) } else { (sibling, &at) };
        at = match level + 1 == sides.len() {
            true => merge_subtrees_root(left, right, Mode::Hash).into(),
            false => merge_subtrees_non_root(left, right, Mode::Hash),
        };
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(chunks: u32) -> Vec<i32> {
        (0..chunks as i32 * 256).map(|at| at.wrapping_mul(0x0101_0301)).collect()
    }

    #[test]
    fn every_chunk_of_every_width_leads_to_the_rows_hash() {
        for chunks in (1..=35).chain([64, 100, 128, 255, 256]) {
            let row = row(chunks);
            let (values, _) = row.as_chunks::<256>();
            let whole = of_row(&row);
            let chaining: Vec<Hash> = (0..).zip(values).map(|(at, v)| of_chunk(v, at, chunks)).collect();
            for (at, values) in (0..).zip(values) {
                let path = path(&chaining, at);
                assert_eq!(path.len(), path_length(at, chunks));
                assert_eq!(climb(values, at, chunks, &path), whole, "chunk {at} of {chunks}");
            }
        }
    }

    #[test]
    fn a_chunk_counts_at_its_own_place_only() {
        let row = row(2);
        let (values, _) = row.as_chunks::<256>();
        assert_ne!(of_chunk(&values[0], 0, 2), of_chunk(&values[0], 1, 2));
        assert_eq!([0, 1, 2].map(|chunk| path_length(chunk, 3)), [2, 2, 1]);
        assert_eq!(path_length(0, 1), 0);
    }
}
