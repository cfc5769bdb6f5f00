//! What a challenge asks, drawn at random: seed, size, the rows or chunks to prove, ids.
//!
//! Pure: the generator is handed in, and is seeded by the operating system in production. It keeps nothing.

use std::collections::BTreeSet;

use rand_chacha::ChaCha20Rng;
use rand_core::RngCore;

use super::{capacity, fleet::Offer};
use crate::{
    compute::{
        cpu_matrix,
        gemm_i8::{self, SIDE_MAX, SIDE_STEP},
        sample,
    },
    config::validator::{CpuMatrix, GemmI8, GemmSize, GpuMatrix, Validation},
    machine::contract::store::{Asked, ChallengeRow, Work},
    units::{ChallengeId, Wall, WorkerKey},
    wire::messages::gemm_i8::CPU_DEVICE,
};

/// So many random bytes.
pub fn bytes<const N: usize>(rng: &mut ChaCha20Rng) -> [u8; N] {
    let mut drawn = [0; N];
    rng.fill_bytes(&mut drawn);
    drawn
}

/// A random UUID (version 4), as text.
pub fn uuid(rng: &mut ChaCha20Rng) -> String {
    uuid::Builder::from_random_bytes(bytes(rng)).into_uuid().to_string()
}

/// A challenge for one worker, of the kind that it offers.
pub fn challenge(
    rng: &mut ChaCha20Rng,
    validation: &Validation,
    target: WorkerKey,
    offer: &Offer,
    round: Wall,
) -> ChallengeRow {
    let (work, seed) = match offer {
        Offer::CpuMatrix => cpu_matrix(rng, &validation.cpu),
        Offer::GpuMatrix { gpus } => gpu_matrix(rng, &validation.gpu_matrix, gpus),
        Offer::GemmI8 { gpus } => gemm_i8(rng, &validation.gemm_i8, gpus),
    };
    let (id, round_id) = (ChallengeId::new(&uuid(rng)), format!("round_{}", round.as_secs()));
    ChallengeRow { id, target, work, seed, round_id, created: round }
}

/// Its size follows from its seed, as the protocol has it.
fn cpu_matrix(rng: &mut ChaCha20Rng, cpu: &CpuMatrix) -> (Work, String) {
    let seed = bytes(rng);
    let n = cpu_matrix::Spec::size_draw(cpu.matrix_size, cpu.size_variance, &seed);
    (Work::CpuMatrix { n, iterations: cpu.iterations }, hex::encode(seed))
}

/// Sized like `cpu_matrix`, without its limits.
fn gpu_matrix(rng: &mut ChaCha20Rng, gpu: &GpuMatrix, gpus: &[String]) -> (Work, String) {
    let seed = bytes(rng);
    let n = cpu_matrix::Spec::size_within(gpu.matrix_size, gpu.size_variance, 1..=u32::MAX, &seed);
    (Work::GpuMatrix { n, iterations: gpu.iterations, gpus: gpus.to_vec() }, hex::encode(seed))
}

fn gemm_i8(rng: &mut ChaCha20Rng, gemm: &GemmI8, gpus: &[String]) -> (Work, String) {
    let size = size_for(gemm, gpus.len());
    let devices = if gpus.is_empty() { vec![CPU_DEVICE.to_owned()] } else { gpus.to_vec() };
    let n = side(rng, size.matrix_size, gemm.size_variance);
    (Work::GemmI8 { n, rounds: size.rounds, devices }, hex::encode(bytes::<32>(rng)))
}

/// The size of a challenge for so many GPUs; none of them: for the CPU.
pub fn size_for(gemm: &GemmI8, gpus: usize) -> GemmSize {
    if gpus == 0 { gemm.cpu } else { gemm.gpu }
}

/// A uniform multiple of the step within the variance around `base`; `base` when there is but one.
fn side(rng: &mut ChaCha20Rng, base: u32, variance: f64) -> u32 {
    let steps = |share: f64| f64::from(base) * share / f64::from(SIDE_STEP);
    let low = (steps(1.0 - variance).ceil() as u32).max(1);
    let high = (steps(1.0 + variance).floor() as u32).min(SIDE_MAX / SIDE_STEP);
    match high.checked_sub(low) {
        None | Some(0) => base,
        Some(span) => (low + sample::below(rng, span + 1)) * SIDE_STEP,
    }
}

/// What a worker must show; called after its commitment and never before.
pub fn asked(rng: &mut ChaCha20Rng, validation: &Validation, work: &Work) -> Asked {
    match work {
        Work::CpuMatrix { n, .. } => {
            let cpu = &validation.cpu;
            Asked::Rows(sample::rows(rng, *n, cpu.row_count, cpu.row_count_variance))
        }
        Work::GpuMatrix { n, .. } => values(rng, &validation.gpu_matrix, *n),
        Work::GemmI8 { n, rounds, devices } => {
            let count = capacity::samples(validation, devices.len());
            let mut samples = |spec: &gemm_i8::Spec| gemm_i8::samples(rng, spec, count);
            let of = |spec: gemm_i8::Spec| devices.iter().map(|device| (device.clone(), samples(&spec))).collect();
            Asked::Samples(gemm_i8::Spec::new(*n, *rounds).map_or_else(|_| Vec::new(), of))
        }
    }
}

/// Distinct places in the order in which they were drawn, and rows.
fn values(rng: &mut ChaCha20Rng, gpu: &GpuMatrix, n: u32) -> Asked {
    let all = u64::from(n) * u64::from(n);
    let count = u64::from(sample::varied(rng, gpu.coordinate_count, gpu.coordinate_count_variance)).min(all);
    let (mut seen, mut coordinates) = (BTreeSet::new(), Vec::new());
    while (coordinates.len() as u64) < count {
        let place = (sample::below(rng, n), sample::below(rng, n));
        if seen.insert(place) {
            coordinates.push(place);
        }
    }
    Asked::Values { coordinates, rows: sample::rows(rng, n, gpu.row_count, gpu.row_count_variance) }
}

#[cfg(test)]
mod tests {
    use rand_core::SeedableRng;

    use super::*;
    use crate::{
        config::{Role, validator::Config},
        units::{Hotkey, WorkerId},
    };

    fn validation(text: &str) -> Validation {
        Config::from_yaml(&format!("netuid: 128\nvalidation: {text}\n")).unwrap().config.validation
    }

    fn drawn(text: &str, offer: &Offer) -> Vec<ChallengeRow> {
        let (mut rng, validation) = (ChaCha20Rng::seed_from_u64(1), validation(text));
        let target = WorkerKey::new(&Hotkey::label("alice"), &WorkerId::new("w"));
        let one = |_| challenge(&mut rng, &validation, target.clone(), offer, Wall::from_secs(9));
        (0..50).map(one).collect()
    }

    #[test]
    fn challenges_differ_in_id_and_seed_and_stay_in_range() {
        let drawn = drawn("{cpu: {matrix_size: 500, size_variance: 0.1}}", &Offer::CpuMatrix);
        assert!(drawn.iter().all(|row| (450..=550).contains(&row.work.matrix_size()) && row.seed.len() == 32));
        assert!(drawn.windows(2).all(|pair| pair[0].id != pair[1].id && pair[0].seed != pair[1].seed));
        assert_eq!(drawn[0].round_id, "round_9");
        assert_eq!(drawn[0].id.as_str().len(), 36);
    }

    #[test]
    fn gemm_i8_is_for_all_gpus_or_for_the_cpu() {
        let gpus = Offer::GemmI8 { gpus: ["GPU-1".to_owned(), "GPU-2".to_owned()].into() };
        let text = "{gemm_i8: {gpu: {matrix_size: 1024, rounds: 3}, cpu: {matrix_size: 512, rounds: 1}}}";
        let (of_gpus, of_cpu) = (&drawn(text, &gpus)[0], &drawn(text, &Offer::GemmI8 { gpus: [].into() })[0]);
        let devices = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let work = Work::GemmI8 { n: 1024, rounds: 3, devices: devices(&["GPU-1", "GPU-2"]) };
        assert_eq!((&of_gpus.work, of_gpus.seed.len()), (&work, 64));
        assert_eq!(of_cpu.work, Work::GemmI8 { n: 512, rounds: 1, devices: devices(&["cpu"]) });
    }

    #[test]
    fn a_side_varies_in_whole_steps_and_reaches_both_ends() {
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        let sides: BTreeSet<u32> = (0..400).map(|_| side(&mut rng, 1024, 0.5)).collect();
        assert_eq!(sides, BTreeSet::from([512, 768, 1024, 1280, 1536]));
        assert!((0..100).all(|_| (32_768..=65_536).contains(&side(&mut rng, 65_536, 0.5))));
        assert_eq!(
            (side(&mut rng, 256, 0.5), side(&mut rng, 8192, 0.0), side(&mut rng, 8192, 0.01)),
            (256, 8192, 8192)
        );
    }

    #[test]
    fn every_device_has_samples_of_its_own() {
        let (mut rng, validation) = (ChaCha20Rng::seed_from_u64(3), validation("{gemm_i8: {samples: 16}}"));
        let work = Work::GemmI8 { n: 512, rounds: 2, devices: vec!["GPU-1".into(), "GPU-2".into()] };
        let Asked::Samples(samples) = asked(&mut rng, &validation, &work) else { panic!("samples") };
        let [(one, first), (two, second)] = &samples[..] else { panic!("{samples:?}") };
        assert_eq!((one.as_str(), two.as_str(), first.len(), second.len()), ("GPU-1", "GPU-2", 16, 16));
        assert_ne!(first, second);
        let spec = gemm_i8::Spec::new(512, 2).unwrap();
        assert!(first.iter().chain(second).all(|sample| spec.contains(sample)));
    }
}
