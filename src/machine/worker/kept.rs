//! What proofs need: the last answer to each validator, until it is proven, replaced, too old, or one too many.
//!
//! Owns the answers. It computes nothing anew: what is not kept cannot be proven, and openings are computed
//! elsewhere, from what is kept here.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    compute::{gemm_i8, merkle::Tree},
    machine::contract::{
        cpu::Answer,
        gpu::{GpuAnswer, GpuKept},
        open::ToOpen,
    },
    units::{ChallengeId, Hotkey, Mono},
    wire::{
        limits::{GEMM_SAMPLES, PROOF_VALUES},
        messages::{
            CPU_UUID, DeviceProof, DeviceRequest, MerkleProof, Raw,
            gemm_i8::{CPU_DEVICE, Sample},
        },
    },
};

/// How long an answer waits for its proof request: a commitment and its answer may take a minute each, and
/// the miner may have to come back first.
const LIFE: Duration = Duration::from_secs(600);
/// How long it is kept after a proof, in case the proof was lost on its way.
const LIFE_PROVEN: Duration = Duration::from_secs(60);
/// Validators whose answers are kept, and what these may hold together. Beyond either, first what is proven goes,
/// then what ends first; the newest stays, whatever its size: it has been computed in this host's memory.
pub(super) const KEPT_MAX: usize = 64;
const KEPT_BYTES: usize = 256 << 20;
/// Rows that one proof request may ask for.
const ROWS_MAX: usize = 4096;

/// Why a proof request gets no proof.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoProof {
    #[error("the proof request: {0}")]
    Unreadable(String),
    #[error("nothing is kept of challenge {0} for this validator")]
    UnknownChallenge(ChallengeId),
    #[error("{asked} devices asked where only the CPU, {cpu:?}, has answered")]
    Devices { asked: usize, cpu: &'static str },
    #[error("device {asked:?} asked where only the CPU, {cpu:?}, has answered")]
    Device { asked: String, cpu: &'static str },
    #[error("no device asked")]
    NoDevice,
    #[error("device {0:?} asked, which has not answered, or twice")]
    OtherGpu(String),
    #[error("{0} values asked; 1 to {PROOF_VALUES} are allowed")]
    Values(usize),
    #[error("coordinates asked of a CPU challenge")]
    Coordinates,
    #[error("{0} rows asked; 1 to 4096 are allowed")]
    Rows(usize),
    #[error("row {row} asked of a matrix of {n} rows")]
    NoSuchRow { row: u32, n: usize },
    #[error("samples asked of a cpu_matrix challenge")]
    Samples,
    #[error("rows or coordinates asked of a gemm_i8 challenge")]
    NotSamples,
    #[error("{0} samples asked; 1 to 1024 are allowed")]
    SampleCount(usize),
    #[error("{sample} asked of {rounds} rounds of {n} rows of {chunks} chunks")]
    NoSuchSample { sample: Sample, rounds: u32, n: u32, chunks: u32 },
}

/// What a proof request asks for.
#[derive(Debug, PartialEq)]
pub(super) enum Proof {
    /// It is at hand.
    Ready(DeviceProof),
    /// It is to be computed.
    ToOpen(ToOpen),
}

#[derive(Debug)]
struct Entry {
    challenge: ChallengeId,
    answer: Answer,
    until: Mono,
    proven: bool,
}

#[derive(Debug, Default)]
pub(super) struct Kept {
    entries: BTreeMap<Hotkey, Entry>,
}

impl Kept {
    /// Keeps an answer in place of an older one to the same validator. Says how many that were not proven yet it drops
    /// for the sake of the limits.
    pub fn keep(&mut self, now: Mono, validator: Hotkey, challenge: ChallengeId, answer: Answer) -> usize {
        self.entries.insert(validator.clone(), Entry { challenge, answer, until: now + LIFE, proven: false });
        let mut unproven = 0;
        while self.entries.len() > KEPT_MAX || self.bytes() > KEPT_BYTES {
            let older = self.entries.iter().filter(|(hotkey, _)| **hotkey != validator);
            let first = older.min_by_key(|(_, entry)| (!entry.proven, entry.until)).map(|(hotkey, _)| hotkey.clone());
            let Some(dropped) = first.and_then(|hotkey| self.entries.remove(&hotkey)) else { break };
            unproven += usize::from(!dropped.proven);
        }
        unproven
    }

    /// A newer challenge of this validator came: nobody will ask for the older one.
    pub fn superseded(&mut self, validator: &Hotkey) {
        self.entries.remove(validator);
    }

    /// The GPUs have another job: what they had computed before is gone.
    pub fn gpus_taken(&mut self) {
        self.entries.retain(|_, entry| !matches!(entry.answer, Answer::Gpu(_)));
    }

    pub fn expire(&mut self, now: Mono) {
        self.entries.retain(|_, entry| entry.until > now);
    }

    pub fn deadline(&self) -> Option<Mono> {
        self.entries.values().map(|entry| entry.until).min()
    }

    pub fn has(&self, validator: &Hotkey, challenge: &ChallengeId) -> bool {
        self.entries.get(validator).is_some_and(|entry| entry.challenge == *challenge)
    }

    /// Whether a validator may still ask for a proof that it has not had.
    pub fn has_unproven(&self) -> bool {
        self.entries.values().any(|entry| !entry.proven)
    }

    pub fn count(&self) -> usize {
        self.entries.len()
    }

    pub fn bytes(&self) -> usize {
        self.entries.values().map(|entry| entry.answer.bytes()).sum()
    }

    /// The proof that a validator asks for, about the challenge that it names.
    pub fn proof(&self, validator: &Hotkey, challenge: &ChallengeId, requests: &Raw) -> Result<Proof, NoProof> {
        let requests: Vec<DeviceRequest> = requests.read().map_err(|why| NoProof::Unreadable(why.to_string()))?;
        let entry = self.entries.get(validator).filter(|entry| entry.challenge == *challenge);
        match &entry.ok_or_else(|| NoProof::UnknownChallenge(challenge.clone()))?.answer {
            Answer::CpuMatrix(tree) => cpu_proof(tree, only(CPU_UUID, &requests)?).map(Proof::Ready),
            Answer::GemmI8(answer) => {
                let samples = samples(answer.spec(), only(CPU_DEVICE, &requests)?)?;
                Ok(Proof::ToOpen(ToOpen::Cpu { answer: answer.clone(), samples }))
            }
            Answer::Gpu(answer) => {
                check_gpus(answer, &requests)?;
                Ok(Proof::ToOpen(ToOpen::Gpu { answer: answer.clone(), requests }))
            }
        }
    }

    /// The proof of that challenge is on its way.
    pub fn proven(&mut self, now: Mono, validator: &Hotkey, challenge: &ChallengeId) {
        if let Some(entry) = self.entries.get_mut(validator).filter(|entry| entry.challenge == *challenge) {
            entry.proven = true;
            entry.until = entry.until.min(now + LIFE_PROVEN);
        }
    }
}

/// The request to the one device that there is.
fn only<'a>(cpu: &'static str, requests: &'a [DeviceRequest]) -> Result<&'a DeviceRequest, NoProof> {
    match requests {
        [request] if request.uuid == cpu => Ok(request),
        [request] => Err(NoProof::Device { asked: request.uuid.chars().take(64).collect(), cpu }),
        _ => Err(NoProof::Devices { asked: requests.len(), cpu }),
    }
}

/// The executor is asked for nothing that it does not have.
fn check_gpus(answer: &GpuAnswer, requests: &[DeviceRequest]) -> Result<(), NoProof> {
    let mut seen = BTreeSet::new();
    if requests.is_empty() {
        return Err(NoProof::NoDevice);
    }
    for request in requests {
        if !answer.has(&request.uuid) || !seen.insert(&request.uuid) {
            return Err(NoProof::OtherGpu(request.uuid.chars().take(64).collect()));
        }
        match &answer.kept {
            GpuKept::GemmI8(spec) => samples(spec, request).map(drop)?,
            GpuKept::GpuMatrix { n, .. } => check_values(*n, request)?,
        }
    }
    Ok(())
}

fn check_values(n: u32, request: &DeviceRequest) -> Result<(), NoProof> {
    if !request.samples.is_empty() {
        return Err(NoProof::Samples);
    }
    let values = request.coordinates.len() + request.rows.len() * n as usize;
    if !(1..=PROOF_VALUES).contains(&values) {
        return Err(NoProof::Values(values));
    }
    let places = request.coordinates.iter().flat_map(|(row, column)| [*row, *column]);
    match places.chain(request.rows.iter().copied()).find(|place| *place >= n) {
        Some(row) => Err(NoProof::NoSuchRow { row, n: n as usize }),
        None => Ok(()),
    }
}

fn samples(spec: &gemm_i8::Spec, request: &DeviceRequest) -> Result<Vec<Sample>, NoProof> {
    if !request.rows.is_empty() || !request.coordinates.is_empty() {
        return Err(NoProof::NotSamples);
    }
    if !(1..=GEMM_SAMPLES).contains(&request.samples.len()) {
        return Err(NoProof::SampleCount(request.samples.len()));
    }
    let (rounds, n, chunks) = (spec.rounds(), spec.n(), spec.chunks());
    match request.samples.iter().find(|sample| !spec.contains(sample)) {
        Some(sample) => Err(NoProof::NoSuchSample { sample: *sample, rounds, n, chunks }),
        None => Ok(request.samples.clone()),
    }
}

fn cpu_proof(tree: &Tree, request: &DeviceRequest) -> Result<DeviceProof, NoProof> {
    if !request.samples.is_empty() {
        return Err(NoProof::Samples);
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
    use std::sync::Arc;

    use super::*;
    use crate::{
        compute::{cpu_matrix::Spec, gemm_i8::KeyPrefix, verify},
        units::WorkerId,
    };

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
        kept.keep(at(0), validator("5V"), challenge("c1"), Answer::CpuMatrix(tree()));
        kept
    }

    fn gemm_answer(rounds: u32) -> Answer {
        let prefix = KeyPrefix::new(&challenge("c1"), &[1; 32], "5A", &WorkerId::new("w1"), "cpu");
        let spec = gemm_i8::Spec::new(256, rounds).unwrap();
        Answer::GemmI8(Arc::new(gemm_i8::compute(spec, prefix).unwrap()))
    }

    #[test]
    fn a_kept_answer_is_proven_to_its_validator() {
        let kept = kept();
        let Proof::Ready(proof) = kept.proof(&validator("5V"), &challenge("c1"), &cpu_rows(&[0, 7])).unwrap() else {
            panic!("rows are at hand")
        };
        assert_eq!(verify::cpu(&SPEC, &tree().root(), &[0, 7], &[proof]), Ok(()));
    }

    #[test]
    fn an_answer_belongs_to_one_validator_and_one_challenge() {
        let kept = kept();
        let ask = |who: &str, what: &str| kept.proof(&validator(who), &challenge(what), &cpu_rows(&[0]));
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
        proven.proven(at(10), &validator("5V"), &challenge("another"));
        assert!(proven.has_unproven());
        proven.proven(at(10), &validator("5V"), &challenge("c1"));
        assert_eq!((proven.has_unproven(), proven.deadline()), (false, Some(at(70))));
    }

    #[test]
    fn no_more_validators_are_kept_than_the_limit() {
        let (mut kept, answer) = (Kept::default(), Answer::CpuMatrix(tree()));
        for number in 0..KEPT_MAX as u64 + 5 {
            let dropped = kept.keep(at(number), validator(&format!("5V{number:03}")), challenge("c"), answer.clone());
            assert_eq!(dropped, usize::from(number >= KEPT_MAX as u64));
        }
        assert_eq!(kept.count(), KEPT_MAX);
        assert_eq!(kept.deadline(), Some(at(605)));
        assert_eq!(kept.bytes(), KEPT_MAX * tree().bytes());
    }

    #[test]
    fn what_a_cpu_cannot_prove_is_refused_by_name() {
        let kept = kept();
        let ask = |requests: &Raw| kept.proof(&validator("5V"), &challenge("c1"), requests).unwrap_err();
        assert!(matches!(ask(&Raw::of(&[7]).unwrap()), NoProof::Unreadable(_)));
        assert_eq!(ask(&raw(&[])), NoProof::Devices { asked: 0, cpu: "-1" });
        assert_eq!(ask(&cpu_rows(&[])), NoProof::Rows(0));
        assert_eq!(ask(&cpu_rows(&[1; 4097])), NoProof::Rows(4097));
        assert_eq!(ask(&cpu_rows(&[12])), NoProof::NoSuchRow { row: 12, n: 12 });
        let device = NoProof::Device { asked: "GPU-1".into(), cpu: "-1" };
        assert_eq!(ask(&raw(&[DeviceRequest::rows("GPU-1", vec![1])])), device);
        let samples = DeviceRequest::samples("-1", vec![Sample { round: 0, row: 0, chunk: 0 }]);
        assert_eq!(ask(&raw(&[samples])), NoProof::Samples);
        let coordinates = DeviceRequest { coordinates: vec![(0, 0)], ..DeviceRequest::rows("-1", vec![1]) };
        assert_eq!(ask(&raw(&[coordinates])), NoProof::Coordinates);
    }

    #[test]
    fn an_answer_of_gemm_i8_is_handed_out_with_the_samples_that_lie_in_it() {
        let mut kept = Kept::default();
        let answer = gemm_answer(2);
        kept.keep(at(0), validator("5V"), challenge("c1"), answer.clone());
        let ask = |requests: &[DeviceRequest]| kept.proof(&validator("5V"), &challenge("c1"), &raw(requests));
        let sample = |round, row, chunk| Sample { round, row, chunk };
        let asked = |samples: &[Sample]| ask(&[DeviceRequest::samples("cpu", samples.to_vec())]);
        let corner = sample(1, 255, 0);
        let Answer::GemmI8(whole) = answer else { panic!("it is one") };
        assert_eq!(
            asked(&[corner; 1024]),
            Ok(Proof::ToOpen(ToOpen::Cpu { answer: whole, samples: vec![corner; 1024] }))
        );
        for outside in [sample(2, 0, 0), sample(0, 256, 0), sample(0, 0, 1)] {
            let fault = NoProof::NoSuchSample { sample: outside, rounds: 2, n: 256, chunks: 1 };
            assert_eq!(asked(&[corner, outside]), Err(fault));
        }
        assert_eq!(asked(&[corner; 1025]), Err(NoProof::SampleCount(1025)));
        assert_eq!(asked(&[]), Err(NoProof::SampleCount(0)));
        let cpu = DeviceRequest::samples("cpu", vec![corner]);
        assert_eq!(ask(&[cpu.clone(), cpu.clone()]), Err(NoProof::Devices { asked: 2, cpu: "cpu" }));
        let gpu = DeviceRequest::samples("GPU-1", vec![corner]);
        assert_eq!(ask(&[gpu]), Err(NoProof::Device { asked: "GPU-1".into(), cpu: "cpu" }));
        let mixed = DeviceRequest { rows: vec![1], ..cpu };
        assert_eq!(ask(&[mixed]), Err(NoProof::NotSamples));
    }

    #[test]
    fn for_room_what_is_proven_goes_first_then_what_ends_first_and_the_newest_never() {
        let mut kept = Kept::default();
        let held = |kept: &Kept| kept.entries.keys().map(|hotkey| hotkey.as_str().to_owned()).collect::<Vec<_>>();
        let answer = Answer::CpuMatrix(tree());
        for (second, name) in (0..).zip(["a", "b", "c"]) {
            kept.keep(at(second), validator(name), challenge("c"), answer.clone());
        }
        kept.proven(at(3), &validator("b"), &challenge("c"));
        let count = KEPT_MAX - 3;
        for number in 0..=count as u64 {
            kept.keep(at(4 + number), validator(&format!("z{number:03}")), challenge("c"), answer.clone());
        }
        assert_eq!(held(&kept)[..3], ["a", "c", "z000"]);
        kept.keep(at(100), validator("y"), challenge("c"), answer.clone());
        assert_eq!(held(&kept)[..3], ["c", "y", "z000"]);
    }

    fn on_gpus(kept: GpuKept) -> Answer {
        let commitments = ["G1", "G2"].map(|uuid| crate::wire::messages::Commitment::gemm_i8(uuid, &[1; 32])).into();
        Answer::Gpu(Arc::new(GpuAnswer { commitments, kept }))
    }

    #[test]
    fn gpus_are_asked_for_what_they_have_committed_to_and_nothing_else() {
        let mut kept = Kept::default();
        kept.keep(
            at(0),
            validator("5V"),
            challenge("c1"),
            on_gpus(GpuKept::GemmI8(gemm_i8::Spec::new(256, 2).unwrap())),
        );
        let ask = |requests: &[DeviceRequest]| kept.proof(&validator("5V"), &challenge("c1"), &raw(requests));
        let corner = Sample { round: 1, row: 255, chunk: 0 };
        let of = |uuid: &str| DeviceRequest::samples(uuid, vec![corner]);
        assert!(
            matches!(ask(&[of("G2"), of("G1")]), Ok(Proof::ToOpen(ToOpen::Gpu { requests, .. })) if requests.len() == 2)
        );
        assert_eq!(ask(&[]), Err(NoProof::NoDevice));
        assert_eq!(ask(&[of("G1"), of("G1")]), Err(NoProof::OtherGpu("G1".into())));
        assert_eq!(ask(&[of("cpu")]), Err(NoProof::OtherGpu("cpu".into())));
        assert_eq!(ask(&[DeviceRequest::rows("G1", vec![1])]), Err(NoProof::NotSamples));
    }

    #[test]
    fn values_of_the_first_version_lie_within_the_matrix_and_the_bounds() {
        let mut kept = Kept::default();
        let answer = on_gpus(GpuKept::GpuMatrix { n: 64, trees: BTreeMap::new() });
        kept.keep(at(0), validator("5V"), challenge("c1"), answer);
        let ask = |coordinates: &[(u32, u32)], rows: &[u32]| {
            let request = DeviceRequest::values("G1", coordinates.to_vec(), rows.to_vec());
            kept.proof(&validator("5V"), &challenge("c1"), &raw(&[request]))
        };
        assert!(matches!(ask(&[(0, 63)], &[63]), Ok(Proof::ToOpen(ToOpen::Gpu { .. }))));
        assert_eq!(ask(&[], &[]), Err(NoProof::Values(0)));
        assert_eq!(ask(&[(0, 64)], &[1]), Err(NoProof::NoSuchRow { row: 64, n: 64 }));
        assert_eq!(ask(&[], &[64]), Err(NoProof::NoSuchRow { row: 64, n: 64 }));
        assert_eq!(ask(&[], &[1; 20_000]), Err(NoProof::Values(1_280_000)));
    }

    #[test]
    fn another_job_on_the_gpus_takes_what_they_had_before() {
        let mut kept = Kept::default();
        kept.keep(
            at(0),
            validator("5V"),
            challenge("c1"),
            on_gpus(GpuKept::GemmI8(gemm_i8::Spec::new(256, 2).unwrap())),
        );
        kept.keep(at(0), validator("5W"), challenge("c2"), gemm_answer(2));
        kept.gpus_taken();
        assert!(!kept.has(&validator("5V"), &challenge("c1")) && kept.has(&validator("5W"), &challenge("c2")));
    }
}
