//! The validator's `validation.gpu` section: how large `gpu_matrix` challenges are, what is asked of them, how far a
//! value may be off, and whose signatures count.
//!
//! It checks each value by itself. Which GPUs get challenges is `validation`'s, for it holds for `gemm_i8` too.

use super::{
    form::{Form, text_of},
    yaml::Node,
};
use crate::units::Signer;

/// Challenges of the kind `gpu_matrix`.
#[derive(Clone, Debug, PartialEq)]
pub struct GpuMatrix {
    /// Rows, 1 to 65,536.
    pub matrix_size: u32,
    /// Share by which a challenge's size may differ, 0 to 0.5.
    pub size_variance: f64,
    pub iterations: u32,
    /// Single values to show, the same of each GPU.
    pub coordinate_count: u32,
    /// Share by which that number may differ, 0 to 1.
    pub coordinate_count_variance: f64,
    /// Whole rows to show, the same of each GPU.
    pub row_count: u32,
    pub row_count_variance: f64,
    /// The share of a row's columns that are looked at.
    pub column_rate: f64,
    pub tolerance: Tolerance,
    /// At least one.
    pub signers: Vec<Signer>,
}

/// How far a value may be off, and what share of the values looked at must be right.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    pub absolute: f64,
    pub relative: f64,
    pub threshold: f64,
}

/// Values that are read of one GPU's proof.
const MOST_VALUES: u32 = 1 << 20;

pub(super) fn read(form: &mut Form) -> GpuMatrix {
    let normalised = form.flag("validation.gpu.enable_normalization", false);
    if normalised {
        form.warn("validation.gpu.enable_normalization", "has no effect: times are taken as they were measured");
    }
    let read = GpuMatrix {
        matrix_size: form.whole("validation.gpu.matrix_size", 32_768, 1..=65_536),
        size_variance: form.number("validation.gpu.size_variance", 0.05, 0.0..=0.5),
        iterations: form.whole("validation.gpu.iterations", 1, 1..=100),
        coordinate_count: form.whole("validation.gpu.verification.coordinate_sample_count", 25, 1..=10_000),
        coordinate_count_variance: form.number(
            "validation.gpu.verification.coordinate_sample_count_variance",
            0.2,
            0.0..=1.0,
        ),
        row_count: form.whole("validation.gpu.verification.row_verification_count", 2, 1..=16),
        row_count_variance: form.number("validation.gpu.verification.row_verification_count_variance", 0.5, 0.0..=1.0),
        column_rate: form.number("validation.gpu.verification.row_sample_rate", 0.001, 0.0..=1.0),
        tolerance: Tolerance {
            absolute: form.number("validation.gpu.verification.abs_tolerance", 0.02, 0.0..=1.0),
            relative: form.number("validation.gpu.verification.rel_tolerance", 0.005, 0.0..=1.0),
            threshold: form.number("validation.gpu.verification.success_rate_threshold", 0.85, 0.0..=1.0),
        },
        signers: signers(form),
    };
    let (path, other) = ("validation.gpu.verification.row_verification_count", "validation.gpu.matrix_size");
    let allowed = format!("so few that the largest proof of a GPU has at most {MOST_VALUES} values");
    form.relation(read.most_values() <= f64::from(MOST_VALUES), path, other, &allowed);
    read
}

impl GpuMatrix {
    /// Of the largest proof that may be asked of one GPU.
    fn most_values(&self) -> f64 {
        let most = |count: u32, variance: f64| f64::from(count) * (1.0 + variance);
        let row = most(self.matrix_size, self.size_variance);
        most(self.row_count, self.row_count_variance) * row
            + most(self.coordinate_count, self.coordinate_count_variance)
    }
}

fn signers(form: &mut Form) -> Vec<Signer> {
    let allowed = "a list of P-256 public keys in hex (130 digits, or 66 for a compressed one), at least one";
    let default = Node::List(vec![Node::Text(Signer::VENDOR.into())]);
    let given = form.value("validation.gpu.trusted_signers", default, allowed, |node| {
        let keys: Option<Vec<Signer>> = texts_of(node)?.iter().map(|text| Signer::of_hex(text)).collect();
        keys.filter(|keys| !keys.is_empty())
    });
    given.unwrap_or_else(|| Signer::of_hex(Signer::VENDOR).into_iter().collect())
}

pub(super) fn texts_of(node: &Node) -> Option<Vec<String>> {
    let Node::List(items) = node else { return None };
    items.iter().map(text_of).collect()
}
