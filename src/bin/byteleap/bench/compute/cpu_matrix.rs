//! The challenge cpu_matrix: whole as a worker computes it, and the check of 50 rows.

use std::{
    hint::black_box,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use byteleap::{
    compute::{
        cpu_matrix::{Hand, Matrices, Spec},
        kernel::Kind,
        verify::expected_rows,
    },
    machine::contract::cpu::{Answer, CpuJob, CpuOutcome, CpuRequest, CpuTask},
    spoke::{CallOff, cpu::Executor, in_parallel},
};
use serde::Serialize;

use super::{
    Bench,
    figures::{Row, significant},
    measure::{Times, time},
    numpy::{Interpreter, Numpy, Task},
    peak,
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
    /// The product alone: operands drawn before, nothing hashed.
    product_ms: f64,
    product_gmac_per_s: f64,
    /// Of int16 products.
    peak_gmac_per_s: f64,
    product_share_of_peak: f64,
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
    let mut ours = Ours::new(bench, spec)?;
    ours.rounds(bench);
    let task = Task { seed: &spec.seed, n: spec.n, threads: bench.threads.get(), rounds: 3 };
    let numpy = Interpreter::find(bench.options.python.as_deref()).and_then(|python| python.run(&task));
    ours.rounds(bench);
    let (numpy, reason) = numpy.map_or_else(|why| (None, Some(why)), |numpy| (Some(numpy), None));
    if numpy.as_ref().is_some_and(|numpy| numpy.root != ours.root) {
        return Err("NumPy's root of the same challenge is another one".into());
    }
    let (ours_s, product_s) = (ours.whole.best_s(), ours.product.best_s());
    let rate = f64::from(spec.n).powi(3) / product_s;
    Ok(Challenge {
        n: spec.n,
        challenge_ms: ours_s * 1e3,
        product_ms: product_s * 1e3,
        product_gmac_per_s: rate / 1e9,
        peak_gmac_per_s: ours.peak / 1e9,
        product_share_of_peak: rate / ours.peak,
        speedup_vs_numpy: numpy.as_ref().map(|numpy| numpy.int64_challenge_s / ours_s),
        speedup_vs_numpy_float64: numpy.as_ref().map(|numpy| numpy.float64_challenge_s / ours_s),
        speedup_vs_numpy_reason: reason,
        numpy,
    })
}

/// What is measured of this build, in turn.
struct Ours {
    spec: Spec,
    executor: Executor,
    matrices: Matrices,
    whole: Times,
    product: Times,
    peak: f64,
    root: String,
}

impl Ours {
    fn new(bench: &Bench, spec: Spec) -> Result<Ours, Fault> {
        let executor = Executor::new(Some(bench.threads), CallOff::default(), bench.clock);
        let matrices = spec.matrices(|| true).ok_or("the matrices were not drawn")?;
        let (whole, product) = (Times::default(), Times::default());
        Ok(Ours { spec, executor, matrices, whole, product, peak: 0.0, root: String::new() })
    }

    fn rounds(&mut self, bench: &Bench) {
        for job in 1..=bench.rounds() as u64 {
            self.peak = self.peak.max(peak::products_per_s(bench, Kind::Int16));
            self.product.add(multiply(bench, &self.matrices));
            let request = CpuRequest { job: CpuJob(job), task: CpuTask::CpuMatrix(self.spec) };
            let (took, reply) = time(&bench.clock, || self.executor.serve(request));
            if let CpuOutcome::Computed { answer: Answer::CpuMatrix(tree), .. } = reply.outcome {
                self.root = tree.root();
                self.whole.add(took);
            }
        }
    }
}

/// Every strip of rows, on all threads, as the executor shares them out.
fn multiply(bench: &Bench, matrices: &Matrices) -> Duration {
    let strips = matrices.strips(bench.threads.get());
    let next = AtomicUsize::new(0);
    let hands = (0..bench.threads.get()).map(|_| matrices.hand()).collect();
    let work = |mut hand: Hand<'_>| {
        while let Some(rows) = strips.get(next.fetch_add(1, Ordering::Relaxed)) {
            hand.multiply(rows.clone(), || true);
        }
    };
    time(&bench.clock, || in_parallel("multiply", hands, work)).0
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
    pub fn rows(&self, instruction: &str) -> Vec<Row> {
        let times =
            |name: &str, ratio: Option<f64>| ratio.map(|ratio| format!("{} × NumPy {name}", significant(ratio)));
        let ratios = [times("int64", self.speedup_vs_numpy), times("float64", self.speedup_vs_numpy_float64)];
        let ratios: Vec<String> = ratios.into_iter().flatten().collect();
        let beside = self.speedup_vs_numpy_reason.clone().unwrap_or(ratios.join(", "));
        let share = format!("{:.0} % of {instruction}'s peak", self.product_share_of_peak * 100.0);
        let n = self.n;
        vec![
            Row::new(&format!("cpu_matrix n = {n}, whole challenge"), self.challenge_ms, "ms", &beside),
            Row::new(&format!("cpu_matrix n = {n}, product alone"), self.product_gmac_per_s, "GMAC/s", &share),
        ]
    }
}

impl Verify {
    pub fn rows(&self) -> Vec<Row> {
        vec![Row::new("cpu_matrix, check of 50 rows", self.verify_50_rows_ms, "ms", "one core")]
    }
}
