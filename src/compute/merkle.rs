//! The string Merkle tree over row hashes, with proofs bound to the leaf's place and the tree's size.
//!
//! A parent is the SHA-256, in lower-case hex, of its children's *text*; a last node without a partner is
//! paired with itself; the root of one leaf is the leaf. It knows nothing of matrices.

use sha2::{Digest, Sha256};

use super::row_hash::{ROW_HASH_DIGITS, RowHash, is_lower_hex};

/// Digits of an inner node in text.
pub const NODE_DIGITS: usize = 64;

type Node = [u8; 32];

/// A whole tree, kept for as long as proofs may be asked for: 8 bytes a leaf, 32 an inner node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    leaves: Vec<RowHash>,
    /// From the parents of the leaves up to the root; empty for one leaf.
    levels: Vec<Vec<Node>>,
}

/// The way from a leaf to the root, as it travels: the siblings' texts, and for each whether it is on the right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    pub siblings: Vec<String>,
    pub on_the_right: Vec<bool>,
}

/// Why a proof does not show what it claims.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MerkleFault {
    #[error("leaf {index} is not in a tree of {leaves}")]
    OutOfTree { index: u32, leaves: u32 },
    #[error("{got} siblings where a tree of {leaves} leaves has {want}")]
    Siblings { got: usize, want: usize, leaves: u32 },
    #[error("{got} directions where a tree of {leaves} leaves has {want}")]
    Directions { got: usize, want: usize, leaves: u32 },
    #[error("direction {level} is not that of leaf {index}")]
    Direction { level: usize, index: u32 },
    #[error("sibling {level} is not {digits} lower-case hex digits")]
    Sibling { level: usize, digits: usize },
    #[error("sibling {level} of an unpaired last node is not the node itself")]
    Unpaired { level: usize },
    #[error("the path ends in another root")]
    Root,
}

/// Levels above the leaves in a tree of so many leaves.
pub fn height(leaves: u32) -> usize {
    leaves.max(1).next_power_of_two().trailing_zeros() as usize
}

fn parent(left: &[u8], right: &[u8]) -> Node {
    Sha256::new().chain_update(left).chain_update(right).finalize().into()
}

fn node_digits(node: &Node) -> [u8; NODE_DIGITS] {
    let mut digits = [0; NODE_DIGITS];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(node) {
        pair[0] = super::row_hash::hex_digit(byte >> 4);
        pair[1] = super::row_hash::hex_digit(byte & 15);
    }
    digits
}

fn level_above<const D: usize>(digits: &[[u8; D]]) -> Vec<Node> {
    digits.chunks(2).map(|pair| parent(&pair[0], pair.last().unwrap_or(&pair[0]))).collect()
}

impl Tree {
    /// The tree over `leaves`; `None` without leaves.
    pub fn new(leaves: Vec<RowHash>) -> Option<Tree> {
        if leaves.is_empty() {
            return None;
        }
        let mut levels: Vec<Vec<Node>> = Vec::with_capacity(24);
        if leaves.len() > 1 {
            let digits: Vec<_> = leaves.iter().map(RowHash::digits).collect();
            levels.push(level_above(&digits));
        }
        while let Some(level) = levels.last().filter(|level| level.len() > 1) {
            let digits: Vec<_> = level.iter().map(node_digits).collect();
            levels.push(level_above(&digits));
        }
        Some(Tree { leaves, levels })
    }

    pub fn leaves(&self) -> &[RowHash] {
        &self.leaves
    }

    /// Memory that it holds, without its own few words.
    pub fn bytes(&self) -> usize {
        let inner: usize = self.levels.iter().map(Vec::len).sum();
        size_of_val(self.leaves.as_slice()) + inner * size_of::<Node>()
    }

    /// The root as it is committed to: 64 hex digits, or the 16 of the only leaf.
    pub fn root(&self) -> String {
        match self.levels.last() {
            Some(top) => self.node_text(self.levels.len(), top.len().saturating_sub(1)),
            None => self.node_text(0, 0),
        }
    }

    /// The way from leaf `index` to the root; `None` when there is no such leaf.
    pub fn prove(&self, index: u32) -> Option<Path> {
        let mut at = usize::try_from(index).ok().filter(|at| *at < self.leaves.len())?;
        let mut path = Path { siblings: Vec::new(), on_the_right: Vec::new() };
        for level in 0..self.levels.len() {
            let right = at % 2 == 0;
            let sibling = if right { (at + 1).min(self.width(level) - 1) } else { at - 1 };
            path.siblings.push(self.node_text(level, sibling));
            path.on_the_right.push(right);
            at /= 2;
        }
        Some(path)
    }

    fn width(&self, level: usize) -> usize {
        if level == 0 { self.leaves.len() } else { self.levels[level - 1].len() }
    }

    fn node_text(&self, level: usize, at: usize) -> String {
        if level == 0 { self.leaves[at].to_string() } else { hex::encode(self.levels[level - 1][at]) }
    }
}

/// Whether `leaf` stands at `index` in the tree of `leaves` leaves whose root is `root`.
///
/// The directions must be those of the index, the length the tree's height, each sibling as long as its
/// level writes it (children are joined as text, so another split would be another pair), and the sibling
/// of an unpaired last node that node.
pub fn verify(
    root: &str,
    leaves: u32,
    index: u32,
    leaf: &RowHash,
    siblings: &[String],
    on_the_right: &[bool],
) -> Result<(), MerkleFault> {
    check_shape(leaves, index, siblings, on_the_right)?;
    let mut node = leaf.to_string();
    let (mut at, mut width) = (index, leaves);
    for (level, sibling) in siblings.iter().enumerate() {
        if at + 1 == width && at % 2 == 0 && *sibling != node {
            return Err(MerkleFault::Unpaired { level });
        }
        let (left, right) = if at % 2 == 0 { (&node, sibling) } else { (sibling, &node) };
        node = hex::encode(parent(left.as_bytes(), right.as_bytes()));
        at /= 2;
        width = width.div_ceil(2);
    }
    if node == root { Ok(()) } else { Err(MerkleFault::Root) }
}

fn check_shape(leaves: u32, index: u32, siblings: &[String], on_the_right: &[bool]) -> Result<(), MerkleFault> {
    if index >= leaves {
        return Err(MerkleFault::OutOfTree { index, leaves });
    }
    let want = height(leaves);
    if siblings.len() != want {
        return Err(MerkleFault::Siblings { got: siblings.len(), want, leaves });
    }
    if on_the_right.len() != want {
        return Err(MerkleFault::Directions { got: on_the_right.len(), want, leaves });
    }
    for (level, (sibling, right)) in siblings.iter().zip(on_the_right).enumerate() {
        if *right != (index >> level).is_multiple_of(2) {
            return Err(MerkleFault::Direction { level, index });
        }
        let digits = if level == 0 { ROW_HASH_DIGITS } else { NODE_DIGITS };
        if !is_lower_hex(sibling, digits) {
            return Err(MerkleFault::Sibling { level, digits });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(count: u32) -> Vec<RowHash> {
        (0..count).map(|at| RowHash::of_i64(&[i64::from(at)])).collect()
    }

    fn check(tree: &Tree, root: &str, index: u32, leaf: u32) -> Result<(), MerkleFault> {
        let path = tree.prove(index).unwrap();
        let leaf = tree.leaves()[leaf as usize];
        verify(root, tree.leaves().len() as u32, index, &leaf, &path.siblings, &path.on_the_right)
    }

    #[test]
    fn every_leaf_of_every_small_tree_proves_itself_and_no_other() {
        for count in 1..40 {
            let tree = Tree::new(leaves(count)).unwrap();
            let root = tree.root();
            for index in 0..count {
                assert_eq!(check(&tree, &root, index, index), Ok(()));
                assert!((0..count).filter(|leaf| *leaf != index).all(|leaf| check(&tree, &root, index, leaf).is_err()));
            }
        }
    }

    #[test]
    fn a_proof_holds_for_its_own_place_only() {
        let tree = Tree::new(leaves(9)).unwrap();
        let path = tree.prove(3).unwrap();
        let leaf = tree.leaves()[3];
        let elsewhere = |index| verify(&tree.root(), 9, index, &leaf, &path.siblings, &path.on_the_right);
        assert_eq!(elsewhere(3), Ok(()));
        assert_eq!(elsewhere(2), Err(MerkleFault::Direction { level: 0, index: 2 }));
        assert_eq!(elsewhere(9), Err(MerkleFault::OutOfTree { index: 9, leaves: 9 }));
    }

    #[test]
    fn a_proof_holds_for_its_own_size_only() {
        let tree = Tree::new(leaves(8)).unwrap();
        let path = tree.prove(0).unwrap();
        let of = |count| verify(&tree.root(), count, 0, &tree.leaves()[0], &path.siblings, &path.on_the_right);
        assert_eq!(of(8), Ok(()));
        assert_eq!(of(16), Err(MerkleFault::Siblings { got: 3, want: 4, leaves: 16 }));
        assert_eq!(of(4), Err(MerkleFault::Siblings { got: 3, want: 2, leaves: 4 }));
    }

    #[test]
    fn an_unpaired_last_node_has_no_sibling_but_itself() {
        let tree = Tree::new(leaves(6)).unwrap();
        let path = tree.prove(4).unwrap();
        let shorter = verify(&tree.root(), 5, 4, &tree.leaves()[4], &path.siblings, &path.on_the_right);
        assert_eq!(shorter, Err(MerkleFault::Unpaired { level: 0 }));
    }

    #[test]
    fn a_sibling_is_as_long_as_its_level_writes_it() {
        let tree = Tree::new(leaves(4)).unwrap();
        let mut path = tree.prove(0).unwrap();
        path.siblings[0].push('0');
        let longer = verify(&tree.root(), 4, 0, &tree.leaves()[0], &path.siblings, &path.on_the_right);
        assert_eq!(longer, Err(MerkleFault::Sibling { level: 0, digits: 16 }));
    }

    #[test]
    fn a_tree_without_leaves_is_no_tree() {
        assert_eq!(Tree::new(Vec::new()), None);
    }

    #[test]
    fn heights() {
        let of = |leaves| height(leaves);
        assert_eq!((of(1), of(2), of(3), of(4), of(5), of(10_000)), (0, 1, 2, 2, 3, 14));
    }
}
