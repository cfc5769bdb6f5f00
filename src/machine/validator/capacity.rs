//! How much verification this process can do in an interval, and what a challenge costs of it.
//!
//! Owns what was measured: for each kind, how the verifiers' times compare with an estimate from the size of the
//! work. Until something was measured, and so after each start, the estimate is that of a slow core, so the first
//! rounds ask for less than could be verified and never for more. It decides nothing about a worker.

use std::time::Duration;

use crate::{
    config::validator::{GemmSize, Validation},
    machine::contract::{
        store::{CPU_MATRIX, GPU_MATRIX, Work},
        verify::Evidence,
    },
    wire::messages::gemm_i8::GEMM_I8,
};

/// Share of the verifiers' time that challenges may be expected to need; the rest is for what takes longer.
const SHARE: f64 = 0.75;
/// Weight of one measurement among those before it, once there are enough.
const WEIGHT: f64 = 1.0 / 16.0;
/// A measurement counts for at most this many times the estimate, or its inverse: one of them may be of a machine
/// that slept.
const FURTHEST: f64 = 100.0;
/// Openings in all proofs of one challenge. Some MiB: less than what a frame from worker to miner may have.
const MOST_OPENINGS: usize = 4096;
/// Openings of one device that a challenge of many devices goes down to.
const FEWEST_OPENINGS: usize = 16;

/// The kinds of challenges, each with a rate of its own.
const KINDS: [&str; 3] = [CPU_MATRIX, GEMM_I8, GPU_MATRIX];

/// What makes a verification long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    CpuMatrix { n: u32, iterations: u32, rows: usize },
    GemmI8 { n: u32, rounds: u32, devices: usize, samples: usize },
    GpuMatrix { n: u32, gpus: usize, rows: usize, values: usize },
}

impl Shape {
    pub fn of_evidence(evidence: &Evidence) -> Shape {
        match evidence {
            Evidence::CpuMatrix { spec, rows, .. } => {
                Shape::CpuMatrix { n: spec.n, iterations: spec.iterations, rows: rows.len() }
            }
            Evidence::GpuMatrix { coordinates, rows, gpus, .. } => {
                let (n, columns) = gpus.first().map_or((0, 0), |one| (one.gpu.n(), one.columns.len()));
                let values = coordinates.len() + rows.len() * columns;
                Shape::GpuMatrix { n, gpus: gpus.len(), rows: rows.len(), values }
            }
            Evidence::GemmI8 { spec, devices } => Shape::GemmI8 {
                n: spec.n(),
                rounds: spec.rounds(),
                devices: devices.len(),
                samples: devices.iter().map(|device| device.samples.len()).max().unwrap_or(0),
            },
        }
    }

    /// Of a challenge whose samples may not be drawn yet.
    pub fn of_work(work: &Work, validation: &Validation) -> Shape {
        match work {
            Work::CpuMatrix { n, iterations } => {
                Shape::CpuMatrix { n: *n, iterations: *iterations, rows: validation.cpu.row_count as usize }
            }
            Work::GpuMatrix { n, gpus, .. } => Shape::of_gpus(*n, gpus.len(), validation),
            Work::GemmI8 { n, rounds, devices } => {
                Shape::of_gemm(GemmSize { matrix_size: *n, rounds: *rounds }, devices.len(), validation)
            }
        }
    }

    pub fn of_gemm(size: GemmSize, devices: usize, validation: &Validation) -> Shape {
        let samples = samples(validation, devices);
        Shape::GemmI8 { n: size.matrix_size, rounds: size.rounds, devices, samples }
    }

    pub fn of_cpu(validation: &Validation) -> Shape {
        let (cpu, rows) = (&validation.cpu, validation.cpu.row_count as usize);
        Shape::CpuMatrix { n: cpu.matrix_size, iterations: cpu.iterations, rows }
    }

    pub fn of_gpus(n: u32, gpus: usize, validation: &Validation) -> Shape {
        let asked = &validation.gpu_matrix;
        let (rows, columns) = (asked.row_count as usize, (f64::from(n) * asked.column_rate) as usize);
        Shape::GpuMatrix { n, gpus, rows, values: asked.coordinate_count as usize + rows * columns.max(1) }
    }

    /// As a label of a metric.
    pub fn kind(self) -> &'static str {
        KINDS[self.index()]
    }

    fn index(self) -> usize {
        match self {
            Shape::CpuMatrix { .. } => 0,
            Shape::GemmI8 { .. } => 1,
            Shape::GpuMatrix { .. } => 2,
        }
    }

    /// What a slow core needs, in milliseconds: numbers drawn one by one, products without wide instructions.
    fn estimate_ms(self) -> f64 {
        const NANOS_PER_MS: f64 = 1e6;
        match self {
            Shape::CpuMatrix { n, iterations, rows } => {
                let (entries, products) = (f64::from(n).powi(2), f64::from(iterations));
                let drawn = (1.0 + products) * entries * 3.0;
                let multiplied = rows as f64 * entries * (0.05 + (products - 1.0) * 0.5);
                (drawn + multiplied) / NANOS_PER_MS
            }
            Shape::GpuMatrix { n, gpus, rows, values } => {
                let (computed, hashed) = (values as f64 * 8.0, rows as f64 * 10.0);
                gpus as f64 * f64::from(n) * (computed + hashed) / NANOS_PER_MS
            }
            Shape::GemmI8 { n, rounds, devices, samples } => {
                let drawn_and_multiplied = samples as f64 * 257.0 * f64::from(n);
                let hashed = samples as f64 * 20_000.0 + f64::from(rounds) * 1_000.0;
                devices as f64 * (drawn_and_multiplied + hashed) / NANOS_PER_MS
            }
        }
    }
}

/// Chunks that each of so many devices is asked to open: as configured, or fewer so that the proofs of all of them
/// fit into one message.
pub fn samples(validation: &Validation, devices: usize) -> usize {
    let share = (MOST_OPENINGS / devices.max(1)).max(FEWEST_OPENINGS);
    share.min(validation.gemm_i8.samples as usize)
}

/// Times of verification by kind, measured against their estimates.
#[derive(Debug)]
pub struct Capacity {
    /// Verifiers' time in an interval that challenges may be expected to need, in milliseconds.
    interval_ms: f64,
    verifiers: usize,
    rates: [Rate; KINDS.len()],
}

#[derive(Clone, Copy, Debug)]
struct Rate {
    /// Measured by estimated time.
    ratio: f64,
    seen: u32,
}

impl Capacity {
    pub fn new(verifiers: usize, interval: Duration) -> Capacity {
        let rates = [Rate { ratio: 1.0, seen: 0 }; KINDS.len()];
        let mut capacity = Capacity { interval_ms: 0.0, verifiers: verifiers.max(1), rates };
        capacity.every(interval);
        capacity
    }

    /// Rounds come this often from now on.
    pub fn every(&mut self, interval: Duration) {
        self.interval_ms = self.verifiers as f64 * interval.as_secs_f64() * 1e3 * SHARE;
    }

    /// What the challenges of one interval may be expected to need, in milliseconds.
    pub fn interval_ms(&self) -> f64 {
        self.interval_ms
    }

    /// What verifying this is expected to need, in milliseconds.
    pub fn expected_ms(&self, shape: Shape) -> f64 {
        shape.estimate_ms() * self.rates[shape.index()].ratio
    }

    /// So long a whole verification took. One that stopped at a fault says nothing: provers could make it look quick.
    pub fn measured(&mut self, shape: Shape, took_ms: f64) {
        let estimate = shape.estimate_ms();
        if !(took_ms.is_finite() && took_ms > 0.0 && estimate > 0.0) {
            return;
        }
        let Rate { ratio, seen } = &mut self.rates[shape.index()];
        *seen = seen.saturating_add(1);
        let weight = WEIGHT.max(1.0 / (f64::from(*seen) + 1.0));
        let now = (took_ms / estimate).clamp(1.0 / FURTHEST, FURTHEST);
        *ratio += weight * (now - *ratio);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Role, validator::Config};

    const ONE_GPU: Shape = Shape::GemmI8 { n: 32_768, rounds: 24, devices: 1, samples: 64 };

    fn validation() -> Validation {
        Config::from_yaml("netuid: 128\n").unwrap().config.validation
    }

    #[test]
    fn what_was_measured_replaces_the_estimate() {
        let mut capacity = Capacity::new(1, Duration::from_secs(240));
        assert!(capacity.expected_ms(ONE_GPU) > 200.0, "a slow core");
        (0..200).for_each(|_| capacity.measured(ONE_GPU, 130.0));
        assert!((capacity.expected_ms(ONE_GPU) - 130.0).abs() < 1.0, "{}", capacity.expected_ms(ONE_GPU));
        let eight = Shape::GemmI8 { n: 32_768, rounds: 24, devices: 8, samples: 64 };
        assert!((capacity.expected_ms(eight) - 1040.0).abs() < 8.0, "the devices of one worker add up");
        let cpu = Shape::CpuMatrix { n: 2000, iterations: 1, rows: 50 };
        assert!((20.0..60.0).contains(&capacity.expected_ms(cpu)), "the other kind is as it was");
    }

    #[test]
    fn one_slow_moment_or_no_time_at_all_does_not_spoil_the_measure() {
        let mut capacity = Capacity::new(1, Duration::from_secs(240));
        (0..100).for_each(|_| capacity.measured(ONE_GPU, 130.0));
        capacity.measured(ONE_GPU, 260.0);
        assert!(capacity.expected_ms(ONE_GPU) < 145.0);
        for odd in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            capacity.measured(ONE_GPU, odd);
        }
        assert!(capacity.expected_ms(ONE_GPU) < 145.0);
    }

    #[test]
    fn proofs_of_many_devices_fit_into_one_message() {
        let mut validation = validation();
        assert_eq!((samples(&validation, 1), samples(&validation, 8), samples(&validation, 64)), (64, 64, 64));
        validation.gemm_i8.samples = 1024;
        assert_eq!((samples(&validation, 1), samples(&validation, 8), samples(&validation, 64)), (1024, 512, 64));
        assert_eq!(samples(&validation, 0), 1024);
    }

    #[test]
    fn more_verifiers_and_longer_intervals_do_more() {
        let of = |verifiers, seconds| Capacity::new(verifiers, Duration::from_secs(seconds)).interval_ms();
        assert_eq!((of(1, 240), of(3, 240), of(0, 10)), (180_000.0, 540_000.0, 7_500.0));
    }
}
