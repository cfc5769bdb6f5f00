//! The validator's `validation` section: which challenges there are, how big, and who verifies them.
//!
//! It checks each value by itself and draws nothing; relations to other sections are the validator's.

use std::time::Duration;

use super::{
    form::{Form, text_of},
    gpu_matrix::{self, GpuMatrix},
    shared::DAY_S,
    yaml::Node,
};

/// Sizes of `gemm_i8` are multiples of this: a chunk of a row.
pub const GEMM_STEP: u32 = 256;
const GEMM_SIZES: std::ops::RangeInclusive<u32> = GEMM_STEP..=65_536;

/// GPUs that get challenges, as the reference implementation lists them.
const GPU_MODELS: [&str; 11] = [
    "RTX 3090",
    "RTX 4090",
    "RTX 5090",
    "A100-SXM4-80GB",
    "A100 80GB",
    "A100-PCIE-80GB",
    "H100 80GB",
    "H100-PCIE-80GB",
    "H100 94GB",
    "H200",
    "B200",
];

/// A small CPU's pace, operations a second: a challenge that asks for more in its time is worth a warning.
const SLOW_CPU_OPS_PER_S: f64 = 0.1e12;
/// The same of the slowest GPU in the allow list, with room for making and hashing the matrices.
const SLOW_GPU_OPS_PER_S: f64 = 100e12;

/// Challenges and their verification.
#[derive(Clone, Debug, PartialEq)]
pub struct Validation {
    pub challenge_type: ChallengeType,
    pub challenge_interval: Duration,
    /// From the hand-out to the commitment.
    pub challenge_timeout: Duration,
    /// From the commitment to the proof.
    pub proof_timeout: Duration,
    pub ranking_window: Duration,
    /// 0.1 to 1.
    pub participation_rate_threshold: f64,
    pub verifiers: Verifiers,
    /// Proofs that may wait for a verifier.
    pub proof_queue_max: usize,
    pub cpu: CpuMatrix,
    pub gemm_i8: GemmI8,
    pub gpu_matrix: GpuMatrix,
    /// Parts of the model names of GPUs that get challenges, in any letter case; empty: every model.
    pub gpu_models: Vec<String>,
}

impl Validation {
    /// Whether a GPU of this model gets challenges.
    pub fn allows_gpu(&self, model: &str) -> bool {
        let model = model.to_lowercase();
        self.gpu_models.is_empty() || self.gpu_models.iter().any(|part| model.contains(&part.to_lowercase()))
    }
}

/// Which challenges workers get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChallengeType {
    CpuMatrix,
    GpuMatrix,
    GemmI8,
    /// Each worker `gemm_i8` where it is offered, else `cpu_matrix`. Never `gpu_matrix`, which can be forged.
    Auto,
}

impl ChallengeType {
    const ALL: [ChallengeType; 4] =
        [ChallengeType::CpuMatrix, ChallengeType::GpuMatrix, ChallengeType::GemmI8, ChallengeType::Auto];

    pub fn name(self) -> &'static str {
        match self {
            ChallengeType::CpuMatrix => "cpu_matrix",
            ChallengeType::GpuMatrix => "gpu_matrix",
            ChallengeType::GemmI8 => "gemm_i8",
            ChallengeType::Auto => "auto",
        }
    }
}

/// Threads that verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verifiers {
    Count(u16),
    /// One core is left to the rest of the daemon.
    AllCoresButOne,
}

impl Verifiers {
    /// Never 0.
    pub fn threads(self, cores: usize) -> usize {
        match self {
            Verifiers::Count(count) => usize::from(count).max(1),
            Verifiers::AllCoresButOne => cores.saturating_sub(1).max(1),
        }
    }
}

/// Challenges of the kind `cpu_matrix`.
#[derive(Clone, Debug, PartialEq)]
pub struct CpuMatrix {
    /// Rows, 100 to 10,000.
    pub matrix_size: u32,
    /// Share by which a challenge's size may differ, 0 to 0.5.
    pub size_variance: f64,
    pub iterations: u32,
    /// Rows to recompute.
    pub row_count: u32,
    /// Share by which that number may differ, 0 to 1.
    pub row_count_variance: f64,
}

/// Challenges of the kind `gemm_i8`.
#[derive(Clone, Debug, PartialEq)]
pub struct GemmI8 {
    /// Of a worker without GPUs.
    pub cpu: GemmSize,
    /// Of each GPU.
    pub gpu: GemmSize,
    /// Share by which a challenge's size may differ, 0 to 0.5; what is drawn is a multiple of [`GEMM_STEP`].
    pub size_variance: f64,
    /// Chunks that each device is asked to open, 16 to 1024.
    pub samples: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GemmSize {
    /// Rows, 256 to 65,536, a multiple of 256.
    pub matrix_size: u32,
    /// Products in a row, each keyed by the one before, 1 to 1024.
    pub rounds: u32,
}

pub(super) fn read(form: &mut Form) -> Validation {
    let window_minutes: u32 = form.whole("validation.ranking_window_minutes", 180, 1..=10_080);
    let validation = Validation {
        challenge_type: challenge_type(form),
        challenge_interval: form.seconds("validation.challenge_interval", 240, 0.1..=DAY_S),
        challenge_timeout: form.seconds("validation.challenge_timeout", 60, 0.1..=DAY_S),
        proof_timeout: form.seconds("validation.proof_timeout", 120, 0.1..=3600.0),
        ranking_window: Duration::from_secs(u64::from(window_minutes) * 60),
        participation_rate_threshold: form.number("validation.participation_rate_threshold", 0.8, 0.1..=1.0),
        verifiers: verifiers(form),
        proof_queue_max: form.whole("validation.proof_queue_max_size", 1000u16, 1..=10_000).into(),
        cpu: cpu(form),
        gemm_i8: gemm_i8(form),
        gpu_matrix: gpu_matrix::read(form),
        gpu_models: gpu_models(form),
    };
    in_time(form, &validation);
    validation
}

fn challenge_type(form: &mut Form) -> ChallengeType {
    let allowed = "cpu_matrix, gpu_matrix, gemm_i8 or auto";
    let default = ChallengeType::CpuMatrix;
    let given = form.value("validation.challenge_type", Node::Text(default.name().into()), allowed, |node| {
        let name = text_of(node)?;
        ChallengeType::ALL.into_iter().find(|kind| kind.name() == name)
    });
    given.unwrap_or(default)
}

fn verifiers(form: &mut Form) -> Verifiers {
    let allowed = "a whole number from 1 to 256, or -1 for all cores but one";
    let given = form.value("validation.verification_concurrent", Node::Whole(-1), allowed, |node| match node {
        Node::Whole(-1) => Some(Verifiers::AllCoresButOne),
        Node::Whole(count @ 1..=256) => u16::try_from(*count).ok().map(Verifiers::Count),
        _ => None,
    });
    given.unwrap_or(Verifiers::AllCoresButOne)
}

fn cpu(form: &mut Form) -> CpuMatrix {
    CpuMatrix {
        matrix_size: form.whole("validation.cpu.matrix_size", 2000, 100..=10_000),
        size_variance: form.number("validation.cpu.size_variance", 0.1, 0.0..=0.5),
        iterations: form.whole("validation.cpu.iterations", 1, 1..=100),
        row_count: form.whole("validation.cpu.verification.row_verification_count", 50, 1..=10_000),
        row_count_variance: form.number("validation.cpu.verification.row_verification_count_variance", 0.5, 0.0..=1.0),
    }
}

fn gemm_i8(form: &mut Form) -> GemmI8 {
    GemmI8 {
        cpu: GemmSize {
            matrix_size: gemm_size(form, "validation.gemm_i8.cpu.matrix_size", 8192),
            rounds: form.whole("validation.gemm_i8.cpu.rounds", 1, 1..=1024),
        },
        gpu: GemmSize {
            matrix_size: gemm_size(form, "validation.gemm_i8.gpu.matrix_size", 32_768),
            rounds: form.whole("validation.gemm_i8.gpu.rounds", 24, 1..=1024),
        },
        size_variance: form.number("validation.gemm_i8.size_variance", 0.0, 0.0..=0.5),
        samples: form.whole("validation.gemm_i8.samples", 64, 16..=1024),
    }
}

fn gemm_size(form: &mut Form, path: &'static str, default: u32) -> u32 {
    let allowed = format!("a multiple of {GEMM_STEP} from {} to {}", GEMM_SIZES.start(), GEMM_SIZES.end());
    let read = |node: &Node| match node {
        Node::Whole(whole) => {
            u32::try_from(*whole).ok().filter(|size| GEMM_SIZES.contains(size) && size % GEMM_STEP == 0)
        }
        _ => None,
    };
    form.value(path, Node::Whole(default.into()), &allowed, read).unwrap_or(default)
}

fn gpu_models(form: &mut Form) -> Vec<String> {
    let default = || GPU_MODELS.map(str::to_owned);
    let node = Node::List(default().map(Node::Text).into());
    let given = form.value("validation.gpu.model_allowlist", node, "a list of texts", gpu_matrix::texts_of);
    given.unwrap_or_else(|| default().into())
}

/// What hardly anybody can answer in time is allowed, for somebody may mean it, and told.
fn in_time(form: &mut Form, validation: &Validation) {
    let (cpu, gemm) = (&validation.cpu, &validation.gemm_i8);
    let cpu_matrix = ops(cpu.matrix_size, cpu.iterations, cpu.size_variance);
    let of = |size: GemmSize| ops(size.matrix_size, size.rounds, gemm.size_variance);
    let (plain, other) = match validation.challenge_type {
        ChallengeType::CpuMatrix => (true, false),
        ChallengeType::GpuMatrix => (false, false),
        ChallengeType::GemmI8 => (false, true),
        ChallengeType::Auto => (true, true),
    };
    for (given, path, ops, slow) in [
        (plain, "validation.cpu", cpu_matrix, SLOW_CPU_OPS_PER_S),
        (other, "validation.gemm_i8.cpu", of(gemm.cpu), SLOW_CPU_OPS_PER_S),
        (other, "validation.gemm_i8.gpu", of(gemm.gpu), SLOW_GPU_OPS_PER_S),
    ] {
        let needed = ops / validation.challenge_timeout.as_secs_f64();
        if given && needed > slow {
            let text = format!(
                "the largest challenge has {:.3} Tera-operations: only a device that does {:.3} of them a second answers \
                 within validation.challenge_timeout ({} s)",
                ops / 1e12,
                needed / 1e12,
                validation.challenge_timeout.as_secs_f64()
            );
            form.warn(path, &text);
        }
    }
}

/// Operations of the largest challenge that may be drawn: a multiplication and an addition are two.
fn ops(matrix_size: u32, products: u32, variance: f64) -> f64 {
    2.0 * (f64::from(matrix_size) * (1.0 + variance)).powi(3) * f64::from(products)
}
