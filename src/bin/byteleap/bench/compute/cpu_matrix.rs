//! The challenge cpu_matrix: whole as a worker computes it, and the check of 50 rows.

use std::hint::black_box;

use byteleap::{
    compute::{cpu_matrix::Spec, verify::expected_rows},
    machine::contract::cpu::{Answer, CpuJob, CpuOutcome, CpuRequest, CpuTask},
    spoke::{CallOff, cpu::Executor},
};
use serde::Serialize;

use super::{
    Bench,
    figures::Row,
    measure::{Times, time},
    numpy::{Interpreter, Numpy, Task},
};
use crate::Fault;

/// Rows that a validator asks for.
const ROWS: u32 = 50;

/// What a worker does for one challenge.
#[derive(Debug, Serialize)]
pub struct Challenge {
    n: u32,
    /// Generate, multiply, hash, tree.
    challenge_ms: f64,
    /// Multiplications and additions of the product, over the time of the whole.
    challenge_gops_per_s: f64,
    /// `None` with the reason beside it.
    speedup_vs_numpy: Option<f64>,
    speedup_vs_numpy_reason: Option<String>,
    speedup_vs_numpy_float64: Option<f64>,
    numpy: Option<Numpy>,
}

#[derive(Debug, Serialize)]
pub struct Verify {
    verify_50_rows_ms: f64,
}

fn spec(bench: &Bench) -> Spec {
    Spec { seed: [0x5a; 16], n: if bench.options.quick { 500 } else { 2000 }, iterations: 1 }
}

pub fn challenge(bench: &Bench) -> Result<Challenge, Fault> {
    let spec = spec(bench);
    let executor = Executor::new(Some(bench.threads), CallOff::default(), bench.clock);
    let mut root = String::new();
    let mut whole = Times::default();
    let request = |job| CpuRequest { job: CpuJob(job), task: CpuTask::CpuMatrix(spec) };
    let mut rounds = |times: &mut Times| {
        for job in 1..=bench.rounds() as u64 {
            let (took, reply) = time(&bench.clock, || executor.serve(request(job)));
            if let CpuOutcome::Computed { answer: Answer::CpuMatrix(tree), .. } = reply.outcome {
                root = tree.root();
                times.add(took);
            }
        }
    };
    rounds(&mut whole);
    let task = Task { seed: &spec.seed, n: spec.n, threads: bench.threads.get(), rounds: 3 };
    let numpy = Interpreter::find(bench.options.python.as_deref()).and_then(|python| python.run(&task));
    rounds(&mut whole);
    let (numpy, reason) = numpy.map_or_else(|why| (None, Some(why)), |numpy| (Some(numpy), None));
    if numpy.as_ref().is_some_and(|numpy| numpy.root != root) {
        return Err("NumPy's root of the same challenge is another one".into());
    }
    let ours_s = whole.best_s();
    Ok(Challenge {
        n: spec.n,
        challenge_ms: ours_s * 1e3,
        challenge_gops_per_s: 2.0 * f64::from(spec.n).powi(3) / ours_s / 1e9,
        speedup_vs_numpy: numpy.as_ref().map(|numpy| numpy.int64_challenge_s / ours_s),
        speedup_vs_numpy_float64: numpy.as_ref().map(|numpy| numpy.float64_challenge_s / ours_s),
        speedup_vs_numpy_reason: reason,
        numpy,
    })
}

pub fn verify(bench: &Bench) -> Result<Verify, Fault> {
    let spec = spec(bench);
    let rows: Vec<u32> = (0..ROWS).map(|row| row * spec.n / ROWS).collect();
    let mut checks = Times::default();
    for _ in 0..4 * bench.rounds() {
        let (took, checked) = time(&bench.clock, || expected_rows(black_box(&spec), &rows));
        checked?;
        checks.add(took);
    }
    Ok(Verify { verify_50_rows_ms: checks.best_s() * 1e3 })
}

impl Challenge {
    pub fn rows(&self) -> Vec<Row> {
        let times = |name: &str, ratio: Option<f64>| ratio.map(|ratio| format!("{ratio:.0} × NumPy {name}"));
        let beside: Vec<String> =
            [times("int64", self.speedup_vs_numpy), times("float64", self.speedup_vs_numpy_float64)]
                .into_iter()
                .flatten()
                .collect();
        let beside = self.speedup_vs_numpy_reason.clone().unwrap_or(beside.join(", "));
        vec![Row::new(&format!("cpu_matrix n = {}, whole challenge", self.n), self.challenge_ms, "ms", &beside)]
    }
}

impl Verify {
    pub fn rows(&self) -> Vec<Row> {
        vec![Row::new("cpu_matrix, check of 50 rows", self.verify_50_rows_ms, "ms", "one core")]
    }
}
