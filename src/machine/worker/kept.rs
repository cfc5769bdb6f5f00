//! What proofs need: the tree of the last answer to each validator, until it is proven, replaced or too old.
//!
//! Owns the trees. It computes nothing anew: what is not kept cannot be proven.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    compute::merkle::Tree,
    units::{ChallengeId, Hotkey, Mono},
    wire::messages::{CPU_UUID, DeviceProof, DeviceRequest, MerkleProof, Raw},
};

/// How long an answer waits for its proof request: a commitment and its answer may take a minute each, and
/// the miner may have to come back first.
const LIFE: Duration = Duration::from_secs(600);
/// How long it is kept after a proof, in case the proof was lost on its way.
const LIFE_PROVEN: Duration = Duration::from_secs(60);
/// Validators whose answers are kept; one more drops the one that ends first.
pub(super) const KEPT_MAX: usize = 64;
/// Rows that one proof request may ask for.
const ROWS_MAX: usize = 4096;

/// Why a proof request gets no proof.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoProof {
    #[error("the proof request: {0}")]
    Unreadable(String),
    #[error("nothing is kept of challenge {0} for this validator")]
    UnknownChallenge(ChallengeId),
    #[error("{0} devices asked where only the CPU, \"-1\", has answered")]
    Devices(usize),
    #[error("device {0:?} asked where only the CPU, \"-1\", has answered")]
    Device(String),
    #[error("coordinates asked of a CPU challenge")]
    Coordinates,
    #[error("{0} rows asked; 1 to 4096 are allowed")]
    Rows(usize),
    #[error("row {row} asked of a matrix of {n} rows")]
    NoSuchRow { row: u32, n: usize },
}

#[derive(Debug)]
struct Answer {
    challenge: ChallengeId,
    tree: Tree,
    until: Mono,
    proven: bool,
}

#[derive(Debug, Default)]
pub(super) struct Kept {
    answers: BTreeMap<Hotkey, Answer>,
}

impl Kept {
    /// Keeps an answer in place of an older one to the same validator.
    pub fn keep(&mut self, now: Mono, validator: Hotkey, challenge: ChallengeId, tree: Tree) {
        self.answers.insert(validator, Answer { challenge, tree, until: now + LIFE, proven: false });
        if self.answers.len() > KEPT_MAX {
            let first = self.answers.iter().min_by_key(|(_, answer)| answer.until).map(|(hotkey, _)| hotkey.clone());
            first.and_then(|hotkey| self.answers.remove(&hotkey));
        }
    }

    /// A newer challenge of this validator came: nobody will ask for the older one.
    pub fn superseded(&mut self, validator: &Hotkey) {
        self.answers.remove(validator);
    }

    pub fn expire(&mut self, now: Mono) {
        self.answers.retain(|_, answer| answer.until > now);
    }

    pub fn deadline(&self) -> Option<Mono> {
        self.answers.values().map(|answer| answer.until).min()
    }

    /// Whether a validator may still ask for a proof that it has not had.
    pub fn has_unproven(&self) -> bool {
        self.answers.values().any(|answer| !answer.proven)
    }

    pub fn count(&self) -> usize {
        self.answers.len()
    }

    pub fn bytes(&self) -> usize {
        self.answers.values().map(|answer| answer.tree.bytes()).sum()
    }

    /// The proofs that a validator asks for, about the challenge that it names.
    pub fn prove(
        &mut self,
        now: Mono,
        validator: &Hotkey,
        challenge: &ChallengeId,
        requests: &Raw,
    ) -> Result<Vec<DeviceProof>, NoProof> {
        let requests: Vec<DeviceRequest> = requests.read().map_err(|why| NoProof::Unreadable(why.to_string()))?;
        let answer = self.answers.get_mut(validator).filter(|answer| answer.challenge == *challenge);
        let answer = answer.ok_or_else(|| NoProof::UnknownChallenge(challenge.clone()))?;
        let proof = cpu_proof(&answer.tree, &requests)?;
        answer.proven = true;
        answer.until = answer.until.min(now + LIFE_PROVEN);
        Ok(vec![proof])
    }
}

fn cpu_proof(tree: &Tree, requests: &[DeviceRequest]) -> Result<DeviceProof, NoProof> {
    let [request] = requests else { return Err(NoProof::Devices(requests.len())) };
    if request.uuid != CPU_UUID {
        return Err(NoProof::Device(request.uuid.chars().take(64).collect()));
    }
    if !request.coordinates.is_empty() {
        return Err(NoProof::Coordinates);
    }
    if !(1..=ROWS_MAX).contains(&request.rows.len()) {
        return Err(NoProof::Rows(request.rows.len()));
    }
    let proofs: Vec<_> = request.rows.iter().map(|row| row_proof(tree, *row)).collect::<Result<_, _>>()?;
    Ok(DeviceProof::cpu(proofs.iter().map(|proof| proof.leaf_hash.clone()).collect(), proofs))
}

fn row_proof(tree: &Tree, row: u32) -> Result<MerkleProof, NoProof> {
    let path = tree.prove(row).ok_or(NoProof::NoSuchRow { row, n: tree.leaves().len() })?;
    Ok(MerkleProof {
        leaf_index: row,
        leaf_hash: tree.leaves().get(row as usize).map(ToString::to_string).unwrap_or_default(),
        proof_hashes: path.siblings,
        proof_directions: path.on_the_right,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::{cpu_matrix::Spec, verify};

    const SPEC: Spec = Spec { seed: [5; 16], n: 12, iterations: 1 };

    fn at(seconds: u64) -> Mono {
        Mono::default() + Duration::from_secs(seconds)
    }

    fn tree() -> Tree {
        SPEC.matrices(|| true).and_then(|m| Tree::new(m.row_hashes(0..SPEC.n))).unwrap()
    }

    fn validator(name: &str) -> Hotkey {
        Hotkey::label(name)
    }

    fn challenge(name: &str) -> ChallengeId {
        ChallengeId::new(name)
    }

    fn raw(requests: &[DeviceRequest]) -> Raw {
        Raw::of(&requests).unwrap()
    }

    fn cpu_rows(rows: &[u32]) -> Raw {
        raw(&[DeviceRequest::rows("-1", rows.to_vec())])
    }

    fn kept() -> Kept {
        let mut kept = Kept::default();
        kept.keep(at(0), validator("5V"), challenge("c1"), tree());
        kept
    }

    #[test]
    fn a_kept_answer_is_proven_to_its_validator() {
        let mut kept = kept();
        let proofs = kept.prove(at(1), &validator("5V"), &challenge("c1"), &cpu_rows(&[0, 7])).unwrap();
        assert_eq!(verify::cpu(&SPEC, &tree().root(), &[0, 7], &proofs), Ok(()));
    }

    #[test]
    fn an_answer_belongs_to_one_validator_and_one_challenge() {
        let mut kept = kept();
        let mut ask = |who: &str, what: &str| kept.prove(at(1), &validator(who), &challenge(what), &cpu_rows(&[0]));
        assert_eq!(ask("5W", "c1"), Err(NoProof::UnknownChallenge(challenge("c1"))));
        assert_eq!(ask("5V", "c2"), Err(NoProof::UnknownChallenge(challenge("c2"))));
        assert!(ask("5V", "c1").is_ok());
    }

    #[test]
    fn an_answer_ends_with_its_time_its_successor_or_soon_after_its_proof() {
        let mut old = kept();
        old.expire(at(599));
        assert_eq!((old.count(), old.deadline()), (1, Some(at(600))));
        old.expire(at(600));
        assert_eq!(old.count(), 0);

        let mut replaced = kept();
        replaced.superseded(&validator("5W"));
        assert_eq!(replaced.count(), 1);
        replaced.superseded(&validator("5V"));
        assert_eq!(replaced.count(), 0);

        let mut proven = kept();
        assert!(proven.has_unproven());
        proven.prove(at(10), &validator("5V"), &challenge("c1"), &cpu_rows(&[3])).unwrap();
        assert_eq!((proven.has_unproven(), proven.deadline()), (false, Some(at(70))));
    }

    #[test]
    fn no_more_validators_are_kept_than_the_limit() {
        let mut kept = Kept::default();
        for number in 0..KEPT_MAX as u64 + 5 {
            kept.keep(at(number), validator(&format!("5V{number:03}")), challenge("c"), tree());
        }
        assert_eq!(kept.count(), KEPT_MAX);
        assert_eq!(kept.deadline(), Some(at(605)));
        assert_eq!(kept.bytes(), KEPT_MAX * tree().bytes());
    }

    #[test]
    fn what_a_cpu_cannot_prove_is_refused_by_name() {
        let mut kept = kept();
        let mut ask = |requests: &Raw| kept.prove(at(1), &validator("5V"), &challenge("c1"), requests).unwrap_err();
        assert!(matches!(ask(&Raw::of(&[7]).unwrap()), NoProof::Unreadable(_)));
        assert_eq!(ask(&raw(&[])), NoProof::Devices(0));
        assert_eq!(ask(&cpu_rows(&[])), NoProof::Rows(0));
        assert_eq!(ask(&cpu_rows(&[1; 4097])), NoProof::Rows(4097));
        assert_eq!(ask(&cpu_rows(&[12])), NoProof::NoSuchRow { row: 12, n: 12 });
        assert_eq!(ask(&raw(&[DeviceRequest::rows("GPU-1", vec![1])])), NoProof::Device("GPU-1".into()));
        let coordinates = DeviceRequest { coordinates: vec![(0, 0)], ..DeviceRequest::rows("-1", vec![1]) };
        assert_eq!(ask(&raw(&[coordinates])), NoProof::Coordinates);
    }
}
