//! A device's answer while it grows round by round, and when it is complete. No product is kept: 32 bytes a row.

use std::fmt;

use super::{Hash, KeyPrefix, RoundKey, Spec, tree};

/// The rounds that are done. It gives the key of the next one.
#[derive(Clone, Debug)]
pub struct Progress(Answer);

/// A complete answer: what a root commits to, and what openings are made from.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    spec: Spec,
    prefix: KeyPrefix,
    tops: Vec<Hash>,
    /// Of all rounds, one after the other.
    row_hashes: Vec<Hash>,
    root: Hash,
}

impl Progress {
    pub fn new(spec: Spec, prefix: KeyPrefix) -> Progress {
        Progress(Answer { spec, prefix, tops: Vec::new(), row_hashes: Vec::new(), root: tree::NO_ROOT })
    }

    /// The key of the round to compute next; `None` when all are done.
    pub fn next_key(&self) -> Option<RoundKey> {
        let done = self.0.tops.len() as u32;
        (done < self.0.spec.rounds()).then(|| self.0.prefix.round(done, &self.0.root))
    }

    /// Takes the hashes of all rows of the round that [`Progress::next_key`] belongs to. Others than n hashes, or
    /// a round too many, change nothing: `false`.
    #[must_use]
    pub fn add_round(&mut self, row_hashes: &[Hash]) -> bool {
        let Answer { spec, tops, root, .. } = &mut self.0;
        if row_hashes.len() != spec.side() || tops.len() as u32 >= spec.rounds() {
            return false;
        }
        let top = tree::top(row_hashes);
        *root = tree::root(spec.n(), tops.len() as u32, root, &top);
        tops.push(top);
        self.0.row_hashes.extend_from_slice(row_hashes);
        true
    }

    /// The answer, once every round is there.
    pub fn finish(self) -> Option<Answer> {
        (self.0.tops.len() as u32 == self.0.spec.rounds()).then_some(self.0)
    }
}

impl Answer {
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    pub fn prefix(&self) -> &KeyPrefix {
        &self.prefix
    }

    /// The last round's root, which binds every round: what is committed to.
    pub fn root(&self) -> &Hash {
        &self.root
    }

    /// The top of each round's tree.
    pub fn tops(&self) -> &[Hash] {
        &self.tops
    }

    /// The hashes of the rows of one round; none of a round that is not there.
    pub fn row_hashes(&self, round: u32) -> &[Hash] {
        let n = self.spec.side();
        self.row_hashes.chunks_exact(n).nth(round as usize).unwrap_or_default()
    }

    /// Memory that it holds, without its own few words.
    pub fn bytes(&self) -> usize {
        size_of_val(self.row_hashes.as_slice()) + size_of_val(self.tops.as_slice())
    }

    /// The key of each round.
    pub fn keys(&self) -> Vec<RoundKey> {
        keys(&self.spec, &self.prefix, &self.tops).0
    }
}

/// The key of each round that these tops lead to, and the root they end in.
pub(super) fn keys(spec: &Spec, prefix: &KeyPrefix, tops: &[Hash]) -> (Vec<RoundKey>, Hash) {
    let mut root = tree::NO_ROOT;
    let keys = (0..).zip(tops).map(|(round, top)| {
        let key = prefix.round(round, &root);
        root = tree::root(spec.n(), round, &root, top);
        key
    });
    (keys.collect(), root)
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Answer { spec, prefix, root, tops, .. } = self;
        let root = hex::encode(root);
        write!(f, "Answer({spec:?}, {prefix:?}, {} rounds done, root {root})", tops.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{ChallengeId, WorkerId};

    fn progress(rounds: u32) -> Progress {
        let prefix = KeyPrefix::new(&ChallengeId::new("c"), &[1; 32], "5A", &WorkerId::new("w"), "cpu");
        Progress::new(Spec::new(256, rounds).unwrap(), prefix)
    }

    #[test]
    fn an_answer_has_all_its_rounds_and_no_more() {
        let mut progress = progress(2);
        let first = progress.next_key();
        assert!(!progress.add_round(&[[1; 32]; 255]));
        assert_eq!(progress.next_key(), first, "a row is missing");
        assert!(progress.clone().finish().is_none());
        assert!(progress.add_round(&[[1; 32]; 256]));
        assert_ne!(progress.next_key(), first);
        assert!(progress.clone().finish().is_none());
        assert!(progress.add_round(&[[2; 32]; 256]));
        assert_eq!(progress.next_key(), None);
        assert!(!progress.add_round(&[[3; 32]; 256]));
        let answer = progress.finish().unwrap();
        assert_eq!((answer.tops().len(), answer.bytes()), (2, 2 * 257 * 32));
        assert_eq!((answer.row_hashes(1)[0], answer.row_hashes(2).len()), ([2; 32], 0));
        assert_eq!(answer.keys()[0], first.unwrap());
        assert!(format!("{answer:?}").len() < 300);
    }
}
