//! The CPU spoke: computes one product at a time on as many threads as it was given.
//!
//! Runs on: its own thread, `cpu`, with `cpu-0`, `cpu-1` … during a product. Owns nothing between two products.
//! A product can be called off; it then ends at the next block of rows. It keeps no result and judges none.

use std::{
    num::NonZeroUsize,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
};

use crate::{
    compute::{
        cpu_matrix::{Matrices, Spec},
        merkle::Tree,
        row_hash::RowHash,
    },
    machine::contract::cpu::{CpuJob, CpuOutcome, CpuReply, CpuRequest},
    net::Clock,
    spoke::in_parallel,
};

/// The switch that calls products off, shared by the hub and the executor. Jobs are numbered upwards, and one
/// that is called off is never newer than one that is still wanted: a single number says it all.
#[derive(Clone, Debug, Default)]
pub struct CallOff(Arc<AtomicU64>);

impl CallOff {
    /// This job, and every older one, is not wanted any more.
    pub fn up_to(&self, job: CpuJob) {
        self.0.fetch_max(job.0, Ordering::Relaxed);
    }

    fn covers(&self, job: CpuJob) -> bool {
        job.0 <= self.0.load(Ordering::Relaxed)
    }
}

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
        let began = self.clock.mono();
        let tree = self.tree(request.job, &request.spec);
        let took = self.clock.mono().since(began);
        let computed = |tree| CpuOutcome::Computed { tree, took, threads: self.threads };
        CpuReply { job: request.job, outcome: tree.map_or(CpuOutcome::CalledOff, computed) }
    }

    fn tree(&self, job: CpuJob, spec: &Spec) -> Option<Tree> {
        let go_on = || !self.called_off.covers(job);
        let matrices = spec.matrices(go_on)?;
        let blocks: Vec<_> = matrices.blocks().collect();
        let next = AtomicUsize::new(0);
        let hands = vec![(); self.threads.get().min(blocks.len())];
        let mut done = in_parallel("cpu", hands, |()| take_blocks(&matrices, &blocks, &next, go_on)).concat();
        done.sort_unstable_by_key(|(top, _)| *top);
        let leaves: Vec<RowHash> = done.into_iter().flat_map(|(_, hashes)| hashes).collect();
        if leaves.len() < spec.n as usize { None } else { Tree::new(leaves) }
    }
}

/// Blocks of rows, one after the other, until there are no more or the product is called off.
fn take_blocks(
    matrices: &Matrices,
    blocks: &[Range<u32>],
    next: &AtomicUsize,
    go_on: impl Fn() -> bool,
) -> Vec<(u32, Vec<RowHash>)> {
    let mut done = Vec::new();
    while let Some(rows) = blocks.get(next.fetch_add(1, Ordering::Relaxed)).filter(|_| go_on()) {
        done.push((rows.start, matrices.row_hashes(rows.clone())));
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: Spec = Spec { seed: [9; 16], n: 70, iterations: 1 };

    fn executor(threads: usize, called_off: &CallOff) -> Executor {
        Executor::new(NonZeroUsize::new(threads), called_off.clone(), Clock::start())
    }

    #[test]
    fn any_number_of_threads_gives_the_same_tree() {
        let whole = SPEC.matrices(|| true).and_then(|m| Tree::new(m.row_hashes(0..SPEC.n))).unwrap();
        for threads in [1, 2, 3, 16] {
            let reply = executor(threads, &CallOff::default()).serve(CpuRequest { job: CpuJob(1), spec: SPEC });
            match reply.outcome {
                CpuOutcome::Computed { tree, .. } => assert_eq!(tree, whole, "{threads} threads"),
                CpuOutcome::CalledOff => panic!("nobody called it off"),
            }
        }
    }

    #[test]
    fn a_product_that_is_called_off_ends_without_a_tree() {
        let called_off = CallOff::default();
        let executor = executor(2, &called_off);
        called_off.up_to(CpuJob(4));
        called_off.up_to(CpuJob(2));
        let outcome = |job| executor.serve(CpuRequest { job: CpuJob(job), spec: SPEC }).outcome;
        assert_eq!([outcome(2), outcome(4)], [CpuOutcome::CalledOff, CpuOutcome::CalledOff]);
        assert!(matches!(outcome(5), CpuOutcome::Computed { .. }));
    }
}
