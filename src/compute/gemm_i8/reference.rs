//! The definition once more, slow and obvious: one loop a formula, no blocks, no sharing, no vector instructions.
//!
//! For tests, which hold the fast path to it, and for cheats, which need a whole product that they can falsify.
//! No daemon runs it.

use std::collections::BTreeSet;

use blake3::hazmat::HasherExt;
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use sha2::{Digest, Sha256};

use super::{
    Hash, KeyPrefix, Progress, RoundKey, Spec,
    dots::ChunkColumns,
    draw::{self, Stream},
    open,
};
use crate::{
    compute::kernel::Isa,
    wire::messages::gemm_i8::{GemmProof, Opening, Sample},
};

/// A (stream 0) or Bᵗ (stream 1), n·n bytes.
pub fn matrix(key: &RoundKey, stream: u64, n: usize) -> Vec<i8> {
    let mut rng = ChaCha8Rng::from_seed(*key.bytes());
    rng.set_stream(stream);
    let mut bytes = vec![0; n * n];
    rng.fill_bytes(&mut bytes);
    bytes.into_iter().map(|byte| byte as i8).collect()
}

/// C = A·B, by rows.
pub fn product(key: &RoundKey, n: usize) -> Vec<i32> {
    let (a, b) = (matrix(key, 0, n), matrix(key, 1, n));
    let mut c = Vec::with_capacity(n * n);
    for i in 0..n {
        for j in 0..n {
            let mut sum = 0;
            for k in 0..n {
                sum += i32::from(a[i * n + k]) * i32::from(b[j * n + k]);
            }
            c.push(sum);
        }
    }
    c
}

/// The little-endian bytes of some values.
pub fn bytes(values: &[i32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The hash of each row of a product.
pub fn row_hashes(c: &[i32], n: usize) -> Vec<Hash> {
    c.chunks(n).map(|row| blake3::hash(&bytes(row)).into()).collect()
}

fn sha(parts: &[&[u8]]) -> Hash {
    Sha256::digest(parts.concat()).into()
}

/// The leaf of a row, as the tree holds it.
pub fn leaf(row: u32, row_hash: &Hash) -> Hash {
    sha(&[&[0], &row.to_le_bytes(), row_hash])
}

/// All levels over leaves, these first, the top last.
pub fn levels(leaves: &[Hash]) -> Vec<Vec<Hash>> {
    let mut levels = vec![leaves.to_vec()];
    while levels[levels.len() - 1].len() > 1 {
        let mut above = Vec::new();
        for pair in levels[levels.len() - 1].chunks(2) {
            above.push(if pair.len() == 2 { sha(&[&[1], &pair[0], &pair[1]]) } else { pair[0] });
        }
        levels.push(above);
    }
    levels
}

/// The siblings of a leaf, lowest first.
pub fn path(levels: &[Vec<Hash>], leaf: usize) -> Vec<Hash> {
    let mut path = Vec::new();
    for (height, level) in levels.iter().enumerate() {
        if let Some(sibling) = level.get((leaf >> height) ^ 1) {
            path.push(*sibling);
        }
    }
    path
}

/// The root of a round.
pub fn root(n: u32, round: u32, previous: &Hash, top: &Hash) -> Hash {
    sha(&[&[2], &n.to_le_bytes(), &round.to_le_bytes(), previous, top])
}

/// The siblings of one chunk of a row, lowest first, straight from the row's bytes.
pub fn chunk_path(row: &[u8], chunk: usize) -> Vec<Hash> {
    let mut path = Vec::new();
    let (mut start, mut length) = (0, row.len());
    while length > 1024 {
        let left = blake3::hazmat::left_subtree_len(length as u64) as usize;
        let middle = start + left;
        if chunk * 1024 < middle {
            path.push(subtree(row, middle, start + length));
            length = left;
        } else {
            path.push(subtree(row, start, middle));
            (start, length) = (middle, length - left);
        }
    }
    path.reverse();
    path
}

/// The chaining value of the node over these bytes of a row.
fn subtree(row: &[u8], start: usize, end: usize) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(start as u64).update(&row[start..end]);
    hasher.finalize_non_root()
}

/// The root and proof of one who knew the samples beforehand and computed nothing else: it passes, which is why
/// samples are drawn after the commitment. Measures a check where the whole product would take minutes.
pub fn foreseen(spec: Spec, prefix: KeyPrefix, asked: &[Sample]) -> Option<(Hash, GemmProof)> {
    let n = spec.n() as usize;
    let mut progress = Progress::new(spec, prefix);
    for round in 0..spec.rounds() {
        let key = progress.next_key()?;
        let rows: BTreeSet<u32> =
            asked.iter().filter(|sample| sample.round == round).map(|sample| sample.row).collect();
        let mut hashes = vec![[0; 32]; n];
        for (row, hash) in rows_of(&key, n, &rows) {
            *hashes.get_mut(row as usize)? = hash;
        }
        progress.add_round(&hashes).then_some(())?;
    }
    let answer = progress.finish()?;
    let proof = open(&answer, asked).ok()?;
    Some((*answer.root(), proof))
}

/// The hashes of some rows of a product.
fn rows_of(key: &RoundKey, n: usize, rows: &BTreeSet<u32>) -> Vec<(u32, Hash)> {
    let mut a = vec![0; rows.len() * n];
    for (row, values) in rows.iter().zip(a.chunks_exact_mut(n)) {
        draw::lines(Isa::best(), key, Stream::A, n, *row as usize, values);
    }
    let mut columns = ChunkColumns::new(Isa::best(), n);
    let mut products = vec![Vec::with_capacity(n); rows.len()];
    for chunk in 0..(n / 256) as u32 {
        let values = columns.times(key, chunk, &a);
        products.iter_mut().zip(values).for_each(|(row, values)| row.extend(values));
    }
    rows.iter().zip(products).map(|(row, values)| (*row, blake3::hash(&bytes(&values)).into())).collect()
}

/// All products and trees of a device, held whole. Its parts may be falsified; it commits to what they are then.
#[derive(Clone, Debug)]
pub struct Book {
    pub spec: Spec,
    pub prefix: KeyPrefix,
    /// The product of each round.
    pub products: Vec<Vec<i32>>,
    /// The leaves of each round.
    pub leaves: Vec<Vec<Hash>>,
    pub tops: Vec<Hash>,
    pub root: Hash,
}

impl Book {
    /// The honest one.
    pub fn honest(spec: Spec, prefix: KeyPrefix) -> Book {
        Book::with(spec, prefix, |_, key| product(key, spec.n() as usize))
    }

    /// One whose products are whatever `product` says for (round, key).
    pub fn with(spec: Spec, prefix: KeyPrefix, product: impl Fn(u32, &RoundKey) -> Vec<i32>) -> Book {
        let empty = (Vec::new(), Vec::new(), Vec::new());
        let mut book = Book { spec, prefix, products: empty.0, leaves: empty.1, tops: empty.2, root: [0; 32] };
        for round in 0..spec.rounds() {
            let c = product(round, &book.prefix.round(round, &book.root));
            let hashes = row_hashes(&c, spec.n() as usize);
            book.add(c, (0..).zip(&hashes).map(|(row, hash)| leaf(row, hash)).collect());
        }
        book
    }

    /// Adds a round of this product under these leaves, whether they belong together or not.
    pub fn add(&mut self, c: Vec<i32>, leaves: Vec<Hash>) {
        let tree = levels(&leaves);
        let top = tree[tree.len() - 1][0];
        self.root = root(self.spec.n(), self.tops.len() as u32, &self.root, &top);
        self.tops.push(top);
        self.products.push(c);
        self.leaves.push(leaves);
    }

    /// Opens what is asked from what it holds.
    pub fn open(&self, samples: &[Sample]) -> GemmProof {
        let trees: Vec<_> = self.leaves.iter().map(|leaves| levels(leaves)).collect();
        let openings = samples.iter().map(|sample| self.opening(&trees, sample)).collect();
        GemmProof { uuid: self.prefix.device().to_owned(), tops: self.tops.clone(), openings }
    }

    fn opening(&self, trees: &[Vec<Vec<Hash>>], sample: &Sample) -> Opening {
        let (round, n) = (sample.round as usize, self.spec.n() as usize);
        let row = &self.products[round][sample.row as usize * n..][..n];
        let mut values = Box::new([0; 256]);
        values.copy_from_slice(&row[sample.chunk as usize * 256..][..256]);
        Opening {
            round: sample.round,
            row: sample.row,
            chunk: sample.chunk,
            values,
            chunk_path: chunk_path(&bytes(row), sample.chunk as usize),
            row_path: path(&trees[round], sample.row as usize),
        }
    }
}
