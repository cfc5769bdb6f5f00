//! The tree over a round's row hashes, and the chain over the rounds' tops.
//!
//! Leaves, nodes and roots are hashed under different first bytes, so none can stand for another; a leaf hashes
//! its own index. The last node of an odd level is carried up unchanged, without a sibling. Lengths and directions
//! of a path follow from the index and the number of leaves alone.

use sha2::{Digest, Sha256};

use super::Hash;

/// The root before round 0.
pub const NO_ROOT: Hash = [0; 32];

pub fn leaf(row: u32, row_hash: &Hash) -> Hash {
    Sha256::new().chain_update([0]).chain_update(row.to_le_bytes()).chain_update(row_hash).finalize().into()
}

pub fn node(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// The root of a round: binds its top, its place and all rounds before.
pub fn root(n: u32, round: u32, previous: &Hash, top: &Hash) -> Hash {
    let input = Sha256::new().chain_update([2]).chain_update(n.to_le_bytes()).chain_update(round.to_le_bytes());
    input.chain_update(previous).chain_update(top).finalize().into()
}

/// All levels over these row hashes, leaves first; the last holds the top alone (or nothing, without rows).
pub fn levels(row_hashes: &[Hash]) -> Vec<Vec<Hash>> {
    let leaves: Vec<Hash> = (0..).zip(row_hashes).map(|(row, hash)| leaf(row, hash)).collect();
    let mut levels = vec![leaves];
    while let Some(level) = levels.last().filter(|level| level.len() > 1) {
        let above = level.chunks(2).map(|pair| match pair {
            [left, right] => node(left, right),
            rest => rest[0],
        });
        let above = above.collect();
        levels.push(above);
    }
    levels
}

/// The top over these row hashes; zeros without rows.
pub fn top(row_hashes: &[Hash]) -> Hash {
    levels(row_hashes).last().and_then(|level| level.first()).copied().unwrap_or(NO_ROOT)
}

/// For each level on the way up that has a sibling: where the node stands, and whether its sibling is to its right.
fn siblings(row: u32, rows: u32) -> impl Iterator<Item = (usize, u32, bool)> {
    let height = rows.max(1).next_power_of_two().trailing_zeros() as usize;
    (0..height).filter_map(move |level| {
        let (at, width) = (row >> level, rows.div_ceil(1 << level));
        let right = at % 2 == 0;
        (!right || at + 1 < width).then_some((level, at ^ 1, right))
    })
}

/// Siblings that the path of a row has.
pub fn path_length(row: u32, rows: u32) -> usize {
    siblings(row, rows).count()
}

/// The siblings of a row, lowest first.
pub fn path(levels: &[Vec<Hash>], row: u32) -> Vec<Hash> {
    let rows = levels.first().map_or(0, Vec::len) as u32;
    let place = |(level, at, _): (usize, u32, bool)| levels.get(level)?.get(at as usize).copied();
    siblings(row, rows).filter_map(place).collect()
}

/// Where a path of the right length ends.
pub fn climb(row: u32, rows: u32, row_hash: &Hash, path: &[Hash]) -> Hash {
    let mut at = leaf(row, row_hash);
    for ((_, _, right), sibling) in siblings(row, rows).zip(path) {
        at = if right { node(&at, sibling) } else { node(sibling, &at) };
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashes(count: u32) -> Vec<Hash> {
        (0..count).map(|at| [at as u8; 32]).collect()
    }

    #[test]
    fn every_path_of_every_shape_leads_to_the_top() {
        for rows in 1..=40 {
            let hashes = hashes(rows);
            let levels = levels(&hashes);
            for (row, hash) in (0..).zip(&hashes) {
                let path = path(&levels, row);
                assert_eq!(path.len(), path_length(row, rows), "row {row} of {rows}");
                assert_eq!(climb(row, rows, hash, &path), top(&hashes), "row {row} of {rows}");
                assert_ne!(climb(row ^ 1, rows, hash, &path), top(&hashes), "row {row} of {rows}");
            }
        }
    }

    #[test]
    fn a_last_node_without_partner_is_carried_up() {
        let leaves: Vec<Hash> = (0..3).map(|row| leaf(row, &[row as u8; 32])).collect();
        assert_eq!(top(&hashes(3)), node(&node(&leaves[0], &leaves[1]), &leaves[2]));
        assert_eq!([0, 1, 2].map(|row| path_length(row, 3)), [2, 2, 1]);
        assert_eq!([0, 511, 512, 767].map(|row| path_length(row, 768)), [10, 10, 9, 9]);
    }

    #[test]
    fn leaves_nodes_and_roots_are_told_apart() {
        let [zero, one] = [[0; 32], [1; 32]];
        assert_ne!(node(&zero, &one), node(&one, &zero));
        assert_ne!(leaf(0, &zero), leaf(1, &zero));
        assert_ne!(root(256, 0, &zero, &one), root(256, 1, &zero, &one));
        assert_ne!(root(256, 0, &zero, &one), root(512, 0, &zero, &one));
        assert_eq!(top(&[]), NO_ROOT);
    }
}
