//! What a challenge asks, drawn at random: seed, size, the rows to prove, ids.
//!
//! Pure: the generator is handed in, and is seeded by the operating system in production. It keeps nothing.

use rand_chacha::ChaCha20Rng;
use rand_core::RngCore;

use crate::{
    compute::{cpu_matrix::Spec, sample},
    config::validator::CpuMatrix,
    machine::contract::store::{ChallengeRow, Work},
    units::{ChallengeId, Wall, WorkerKey},
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

/// A CPU challenge for one worker. Its size follows from its seed, as the protocol has it.
pub fn challenge(rng: &mut ChaCha20Rng, cpu: &CpuMatrix, target: WorkerKey, round: Wall) -> ChallengeRow {
    let seed = bytes(rng);
    ChallengeRow {
        id: ChallengeId::new(&uuid(rng)),
        target,
        work: Work::CpuMatrix {
            n: Spec::size_draw(cpu.matrix_size, cpu.size_variance, &seed),
            iterations: cpu.iterations,
        },
        seed: hex::encode(seed),
        round_id: format!("round_{}", round.as_secs()),
        created: round,
    }
}

/// The rows that a worker must prove; called after its commitment and never before.
pub fn rows(rng: &mut ChaCha20Rng, cpu: &CpuMatrix, matrix_size: u32) -> Vec<u32> {
    sample::rows(rng, matrix_size, cpu.row_count, cpu.row_count_variance)
}

#[cfg(test)]
mod tests {
    use rand_core::SeedableRng;

    use super::*;
    use crate::units::{Hotkey, WorkerId};

    const CPU: CpuMatrix =
        CpuMatrix { matrix_size: 500, size_variance: 0.1, iterations: 1, row_count: 50, row_count_variance: 0.5 };

    #[test]
    fn challenges_differ_in_id_and_seed_and_stay_in_range() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let target = WorkerKey::new(&Hotkey::label("alice"), &WorkerId::new("w"));
        let drawn: Vec<_> = (0..50).map(|_| challenge(&mut rng, &CPU, target.clone(), Wall::from_secs(9))).collect();
        assert!(drawn.iter().all(|row| (450..=550).contains(&row.work.matrix_size()) && row.seed.len() == 32));
        assert!(drawn.windows(2).all(|pair| pair[0].id != pair[1].id && pair[0].seed != pair[1].seed));
        assert_eq!(drawn[0].round_id, "round_9");
        assert_eq!(drawn[0].id.as_str().len(), 36);
    }
}
