//! The CPU spoke: computes one product at a time on as many threads as it was given.
//!
//! Runs on: its own thread, `cpu`, with `cpu-0`, `cpu-1` … during a product. Owns nothing between two products.
//! A product can be called off; it then ends at the next block of rows. It keeps no result and judges none.

mod cpu_matrix;
mod gemm_i8;
mod memory;

use std::{num::NonZeroUsize, sync::Arc, thread};

use crate::{
    compute::{self, gemm_i8::KeyPrefix},
    machine::contract::cpu::{Answer, CpuJob, CpuOutcome, CpuReply, CpuRequest, CpuTask},
    net::Clock,
    spoke::CallOff,
};

/// What [`crate::spoke::spawn`] serves requests with.
#[derive(Clone, Debug)]
pub struct Executor {
    threads: NonZeroUsize,
    called_off: CallOff,
    clock: Clock,
}

impl Executor {
    /// `threads`: all cores that this process may use, when `None`.
    pub fn new(threads: Option<NonZeroUsize>, called_off: CallOff, clock: Clock) -> Executor {
        let cores = || thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Executor { threads: threads.unwrap_or_else(cores), called_off, clock }
    }

    pub fn serve(&self, request: CpuRequest) -> CpuReply {
        let job = request.job;
        let outcome = match request.task {
            CpuTask::CpuMatrix(spec) => self.cpu_matrix(job, &spec),
            CpuTask::GemmI8 { spec, prefix } => self.gemm_i8(job, spec, prefix),
        };
        CpuReply { job, outcome }
    }

    fn cpu_matrix(&self, job: CpuJob, spec: &compute::cpu_matrix::Spec) -> CpuOutcome {
        let began = self.clock.mono();
        let available_bytes = memory::available_bytes();
        let fits = |threads: &usize| spec.memory_bytes(*threads) <= available_bytes;
        let Some(threads) = (1..=self.threads.get()).rev().find(fits).and_then(NonZeroUsize::new) else {
            return CpuOutcome::TooLarge { needed_bytes: spec.memory_bytes(1), available_bytes };
        };
        let go_on = || !self.called_off.covers(job.0);
        let Some((tree, split)) = cpu_matrix::compute(spec, threads.get(), self.clock, go_on) else {
            return CpuOutcome::CalledOff;
        };
        let (answer, took) = (Answer::CpuMatrix(tree), self.clock.mono().since(began));
        CpuOutcome::Computed { answer, took, split, threads }
    }

    fn gemm_i8(&self, job: CpuJob, spec: compute::gemm_i8::Spec, prefix: KeyPrefix) -> CpuOutcome {
        let began = self.clock.mono();
        let available_bytes = memory::available_bytes();
        let threads = match gemm_i8::threads_that_fit(&spec, self.threads.get(), available_bytes) {
            Ok(threads) => NonZeroUsize::new(threads).unwrap_or(NonZeroUsize::MIN),
            Err(needed_bytes) => return CpuOutcome::TooLarge { needed_bytes, available_bytes },
        };
        let go_on = || !self.called_off.covers(job.0);
        let Some((answer, split)) = gemm_i8::compute(spec, prefix, threads.get(), self.clock, go_on) else {
            return CpuOutcome::CalledOff;
        };
        let (answer, took) = (Answer::GemmI8(Arc::new(answer)), self.clock.mono().since(began));
        CpuOutcome::Computed { answer, took, split, threads }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::{cpu_matrix::Spec, merkle::Tree};

    const SPEC: Spec = Spec { seed: [9; 16], n: 70, iterations: 1 };

    fn executor(threads: usize, called_off: &CallOff) -> Executor {
        Executor::new(NonZeroUsize::new(threads), called_off.clone(), Clock::start())
    }

    fn request(job: u64) -> CpuRequest {
        CpuRequest { job: CpuJob(job), task: CpuTask::CpuMatrix(SPEC) }
    }

    #[test]
    fn any_number_of_threads_gives_the_same_tree() {
        let whole = SPEC.matrices(|| true).and_then(|m| Tree::new(m.row_hashes(0..SPEC.n))).unwrap();
        for threads in [1, 2, 3, 16] {
            let reply = executor(threads, &CallOff::default()).serve(request(1));
            match reply.outcome {
                CpuOutcome::Computed { answer, .. } => {
                    assert_eq!(answer, Answer::CpuMatrix(whole.clone()), "{threads} threads");
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_product_that_is_called_off_ends_without_a_tree() {
        let called_off = CallOff::default();
        let executor = executor(2, &called_off);
        called_off.up_to(4);
        let outcome = |job| executor.serve(request(job)).outcome;
        assert_eq!([outcome(2), outcome(4)], [CpuOutcome::CalledOff, CpuOutcome::CalledOff]);
        assert!(matches!(outcome(5), CpuOutcome::Computed { .. }));
    }
}
