//! The challenge gemm_i8: whole as a worker computes it, its product alone beside this CPU's limit, and the check of
//! 64 samples of the size that GPUs get.
//!
//! The whole challenge runs in a child process, whose peak memory is the challenge's alone.

use std::{
    num::NonZeroUsize,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use byteleap::{
    compute::{
        gemm_i8::{
            Desk, Factor, KeyPrefix, Plan, RoundKey, Spec, reference::foreseen, samples, verify as verify_proof,
        },
        kernel::Kind,
    },
    devnet::process::own_usage,
    machine::contract::cpu::{CpuJob, CpuOutcome, CpuRequest, CpuTask},
    net::Clock,
    spoke::{CallOff, cpu::Executor, in_parallel},
    units::{ChallengeId, WorkerId},
    wire::messages::gemm_i8::CPU_DEVICE,
};
use clap::Args;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use serde::{Deserialize, Serialize};

use super::{
    Bench,
    figures::Row,
    measure::{Times, time},
    peak,
};
use crate::Fault;

/// One more round is measured while the rounds before took less than this.
const ENOUGH: Duration = Duration::from_secs(20);
const SAMPLES: usize = 64;

/// What a worker does for one challenge.
#[derive(Debug, Serialize)]
pub struct Challenge {
    n: u32,
    challenge_s: f64,
    /// The product alone: operands drawn and packed before, nothing hashed.
    product_s: f64,
    product_gmac_per_s: f64,
    /// Of int8 products.
    peak_gmac_per_s: f64,
    product_share_of_peak: f64,
    challenge_over_product: f64,
    /// The most of the processes that computed the whole challenge.
    peak_rss_mib: Option<f64>,
}

/// What a validator does for one device.
#[derive(Debug, Serialize)]
pub struct Verify {
    /// Of matrices of this size, in rounds enough that hardly two samples share their columns.
    verify_n: u32,
    verify_rounds: u32,
    verify_64_samples_s: f64,
}

/// One whole challenge: what the child process is told.
#[derive(Args, Debug)]
pub struct ChildOptions {
    #[arg(long)]
    n: u32,
    #[arg(long)]
    threads: NonZeroUsize,
}

/// What it prints.
#[derive(Debug, Deserialize, Serialize)]
struct Run {
    took_s: f64,
    peak_rss_mib: Option<f64>,
}

fn prefix() -> KeyPrefix {
    KeyPrefix::new(&ChallengeId::new("bench"), &[0x5a; 32], "5Bench", &WorkerId::new("bench"), CPU_DEVICE)
}

/// The whole of the child process: the challenge through the worker's own executor.
pub fn child(options: &ChildOptions) -> Result<String, Fault> {
    let (clock, task) = (Clock::start(), CpuTask::GemmI8 { spec: Spec::new(options.n, 1)?, prefix: prefix() });
    let executor = Executor::new(Some(options.threads), CallOff::default(), clock);
    let (took, reply) = time(&clock, || executor.serve(CpuRequest { job: CpuJob(1), task }));
    match reply.outcome {
        CpuOutcome::Computed { .. } => {}
        other => return Err(format!("a challenge of n = {} was not computed: {other:?}", options.n).into()),
    }
    let peak_rss_mib = own_usage().peak_rss_kib.map(|kib| kib as f64 / 1024.0);
    Ok(serde_json::to_string(&Run { took_s: took.as_secs_f64(), peak_rss_mib })?)
}

fn run_child(n: u32, threads: NonZeroUsize) -> Result<Run, Fault> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["bench", super::super::CHILD, "--n", &n.to_string(), "--threads", &threads.to_string()]);
    let output = command.output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

pub fn challenge(bench: &Bench) -> Result<Challenge, Fault> {
    let n = if bench.options.quick { 2048 } else { 8192 };
    let product = Product::new(bench, n)?;
    let (mut products, mut challenges, mut peak, mut rss) = (Times::default(), Times::default(), 0.0_f64, None);
    let began = bench.clock.mono();
    for round in 0..bench.rounds() {
        if round > 0 && bench.clock.mono().since(began) > ENOUGH {
            break;
        }
        peak = peak.max(peak::products_per_s(bench, Kind::Int8));
        products.add(product.multiply(bench));
        let run = run_child(n, bench.threads)?;
        challenges.add(Duration::from_secs_f64(run.took_s));
        rss = run.peak_rss_mib.into_iter().chain(rss).reduce(f64::max);
    }
    let (product_s, challenge_s) = (products.best_s(), challenges.best_s());
    let rate = f64::from(n).powi(3) / product_s;
    Ok(Challenge {
        n,
        challenge_s,
        product_s,
        product_gmac_per_s: rate / 1e9,
        peak_gmac_per_s: peak / 1e9,
        product_share_of_peak: rate / peak,
        challenge_over_product: challenge_s / product_s,
        peak_rss_mib: rss,
    })
}

/// Operands that lie ready, for as many threads.
struct Product {
    plan: Plan,
    factor: Factor,
    key: RoundKey,
}

impl Product {
    fn new(bench: &Bench, n: u32) -> Result<Product, Fault> {
        let plan = Plan::new(Spec::new(n, 1)?, bench.threads.get());
        let (mut factor, key) = (plan.factor(), prefix().round(0, &[0; 32]));
        let mut shares: Vec<Vec<_>> = (0..bench.threads.get()).map(|_| Vec::new()).collect();
        for (at, panel) in factor.panels_mut().enumerate() {
            shares[at % bench.threads.get()].push(panel);
        }
        in_parallel("draw", shares, |panels| {
            let mut desk = plan.desk();
            panels.into_iter().for_each(|panel| desk.fill(&key, panel));
        });
        Ok(Product { plan, factor, key })
    }

    /// Every strip of rows, on all threads. What the rows hold changes nothing: each thread multiplies the same ones.
    fn multiply(&self, bench: &Bench) -> Duration {
        let strips: Vec<_> = self.plan.strips().collect();
        let next = AtomicUsize::new(0);
        let desks: Vec<Desk> = (0..bench.threads.get())
            .map(|_| {
                let mut desk = self.plan.desk();
                strips.first().into_iter().for_each(|rows| desk.draw(&self.key, rows));
                desk
            })
            .collect();
        let work = |mut desk: Desk| {
            while next.fetch_add(1, Ordering::Relaxed) < strips.len() {
                desk.multiply(&self.factor);
            }
        };
        time(&bench.clock, || in_parallel("multiply", desks, work)).0
    }
}

pub fn verify(bench: &Bench) -> Result<Verify, Fault> {
    let (n, rounds) = if bench.options.quick { (4096, 4) } else { (32_768, 4) };
    let spec = Spec::new(n, rounds)?;
    let asked = samples(&mut ChaCha8Rng::seed_from_u64(1), &spec, SAMPLES);
    let (root, proof) = foreseen(spec, prefix(), &asked).ok_or("no proof of these samples could be made up")?;
    let mut checks = Times::default();
    for _ in 0..bench.rounds() {
        let (took, checked) = time(&bench.clock, || verify_proof(&spec, &prefix(), &root, &asked, &proof));
        checked?;
        checks.add(took);
    }
    Ok(Verify { verify_n: n, verify_rounds: rounds, verify_64_samples_s: checks.best_s() })
}

impl Challenge {
    pub fn rows(&self, instruction: &str) -> Vec<Row> {
        let whole = format!("{:.2} × its product", self.challenge_over_product);
        let rss = self.peak_rss_mib.map_or(String::new(), |mib| format!(", peak RSS {mib:.0} MiB"));
        let share = format!("{:.0} % of {instruction}'s peak", self.product_share_of_peak * 100.0);
        let n = self.n;
        vec![
            Row::new(&format!("gemm_i8 n = {n}, whole challenge"), self.challenge_s, "s", &format!("{whole}{rss}")),
            Row::new(&format!("gemm_i8 n = {n}, product alone"), self.product_gmac_per_s, "GMAC/s", &share),
        ]
    }
}

impl Verify {
    pub fn rows(&self) -> Vec<Row> {
        let what = format!("gemm_i8 n = {}, check of 64 samples", self.verify_n);
        vec![Row::new(&what, self.verify_64_samples_s * 1e3, "ms", "one core, one device")]
    }
}
