//! The whole challenge, as the executor computes it for a worker, and whether its answer is right: the CPU's own root
//! where that is computed in bounded time, 64 opened samples through a validator's check beyond.

use byteleap::{
    compute::gemm_i8::{Answer, Hash, KeyPrefix, Spec, samples, verify},
    cuda::Kernels,
    executor::{JobFault, challenge, open},
    machine::contract::cpu::{Answer as CpuAnswer, CpuJob, CpuOutcome, CpuRequest, CpuTask},
    net::Clock,
    spoke::{CallOff, cpu::Executor},
    units::{ChallengeId, WorkerId},
};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

const SAMPLES: usize = 64;

/// Milliseconds, medians of several whole challenges.
pub struct Whole {
    pub generate_ms: f64,
    pub multiply_ms: f64,
    pub hash_ms: f64,
    pub whole_ms: f64,
    pub root: Hash,
}

/// How an answer was found right, or what is wrong with it.
pub type Checked = Result<&'static str, String>;

fn prefix(uuid: &str) -> KeyPrefix {
    KeyPrefix::new(&ChallengeId::new("bench"), &[0x5a; 32], "5Bench", &WorkerId::new("bench"), uuid)
}

/// One round of n, warm: a first one is not counted. The last answer comes with it.
pub fn measure(kernels: &Kernels, uuid: &str, spec: Spec, repeats: u16) -> Result<(Whole, Answer), JobFault> {
    let clock = Clock::start();
    let run = || challenge(kernels, spec, prefix(uuid), clock, || true);
    let (mut answer, mut taken) = (run()?.0, Vec::new());
    for _ in 0..repeats {
        let (one, took) = run()?;
        taken.push(took);
        answer = one;
    }
    let of = |part: fn(&byteleap::wire::gpu_socket::Timings) -> f64| median(taken.iter().map(part).collect());
    let whole = Whole {
        generate_ms: of(|t| t.generate).unwrap_or(f64::NAN),
        multiply_ms: of(|t| t.multiply).unwrap_or(f64::NAN),
        hash_ms: of(|t| t.hash).unwrap_or(f64::NAN),
        whole_ms: of(|t| t.total).unwrap_or(f64::NAN),
        root: *answer.root(),
    };
    Ok((whole, answer))
}

/// `whole`: the CPU computes all of it; else a sample is opened on the device and checked.
pub fn check(kernels: &Kernels, uuid: &str, answer: &Answer, whole: bool) -> Checked {
    if whole { by_the_cpu(uuid, answer) } else { by_samples(kernels, uuid, answer) }
}

fn by_the_cpu(uuid: &str, answer: &Answer) -> Checked {
    let spec = *answer.spec();
    let executor = Executor::new(None, CallOff::default(), Clock::start());
    let reply = executor.serve(CpuRequest { job: CpuJob(1), task: CpuTask::GemmI8 { spec, prefix: prefix(uuid) } });
    let CpuOutcome::Computed { answer: CpuAnswer::GemmI8(cpu), .. } = reply.outcome else {
        return Err(format!("the CPU did not compute n = {}: {:?}", spec.n(), reply.outcome));
    };
    match cpu.root() == answer.root() {
        true => Ok("root of the CPU"),
        false => Err(format!("n = {}: the root is not the CPU's: this GPU, its driver or a kernel is wrong", spec.n())),
    }
}

fn by_samples(kernels: &Kernels, uuid: &str, answer: &Answer) -> Checked {
    let spec = answer.spec();
    let asked = samples(&mut ChaCha8Rng::seed_from_u64(u64::from(spec.n())), spec, SAMPLES);
    let proof = open(kernels, answer, &asked, || true).map_err(|why| why.to_string())?;
    let verdict = verify(spec, &prefix(uuid), answer.root(), &asked, &proof);
    verdict.map(|()| "64 samples by a validator's check").map_err(|why| format!("n = {}: {why}", spec.n()))
}

/// The middle one; of an even count the lower of the two. `None` of nothing.
pub fn median(mut times: Vec<f64>) -> Option<f64> {
    times.sort_by(f64::total_cmp);
    times.get(times.len().saturating_sub(1) / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_time_counts() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!((median(vec![4.0, 1.0]), median(Vec::new())), (Some(1.0), None));
    }
}
