//! `gemm_i8` on all threads of the executor: panels of B are drawn side by side, then strips of rows are drawn,
//! multiplied and hashed while others are still at theirs. One round follows the other, for each one's key is the
//! root of the last. What a piece is, and what its right result is, is `compute`'s.

use std::{
    ops::Range,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use crossbeam::channel;

use crate::{
    compute::gemm_i8::{Answer, Desk, Factor, Hash, KeyPrefix, Plan, Progress, RoundKey, Spec},
    machine::contract::cpu::Split,
    net::Clock,
    spoke::in_parallel,
};

/// As many of `threads` as there is memory for; the bytes that one thread needs, when there is not even that.
pub fn threads_that_fit(spec: &Spec, threads: usize, available_bytes: u64) -> Result<usize, u64> {
    let fits = |threads: &usize| spec.memory_bytes(*threads) <= available_bytes;
    (1..=threads.max(1)).rev().find(fits).ok_or(spec.memory_bytes(1))
}

/// The answer, and what each thread's time went into on average. `None` when `go_on` said so.
pub fn compute(
    spec: Spec,
    prefix: KeyPrefix,
    threads: usize,
    clock: Clock,
    go_on: impl Fn() -> bool + Sync,
) -> Option<(Answer, Split)> {
    let plan = Plan::new(spec, threads);
    let mut hall = Hall {
        desks: (0..threads.max(1)).map(|_| (plan.desk(), Split::default())).collect(),
        factor: plan.factor(),
        strips: plan.strips().collect(),
        clock,
    };
    let mut progress = Progress::new(spec, prefix);
    while let Some(key) = progress.next_key() {
        hall.fill(&key, &go_on);
        let hashes = hall.row_hashes(&key, &go_on);
        if !go_on() || !progress.add_round(&hashes) {
            return None;
        }
    }
    Some((progress.finish()?, hall.split()))
}

/// Everything that is used again in each round.
struct Hall {
    desks: Vec<(Desk, Split)>,
    factor: Factor,
    strips: Vec<Range<u32>>,
    clock: Clock,
}

impl Hall {
    fn fill(&mut self, key: &RoundKey, go_on: &(impl Fn() -> bool + Sync)) {
        let panels: Vec<_> = self.factor.panels_mut().collect();
        let (put, take) = channel::bounded(panels.len());
        panels.into_iter().for_each(|panel| drop(put.try_send(panel)));
        in_parallel("cpu", self.desks.iter_mut().collect(), |(desk, split)| {
            let began = self.clock.mono();
            take.try_iter().take_while(|_| go_on()).for_each(|panel| desk.fill(key, panel));
            split.generate += self.clock.mono().since(began);
        });
    }

    fn row_hashes(&mut self, key: &RoundKey, go_on: &(impl Fn() -> bool + Sync)) -> Vec<Hash> {
        let Hall { desks, factor, strips, clock } = self;
        let next = AtomicUsize::new(0);
        let done = in_parallel("cpu", desks.iter_mut().collect(), |(desk, split)| {
            let mut done = Vec::new();
            while let Some(rows) = strips.get(next.fetch_add(1, Ordering::Relaxed)).filter(|_| go_on()) {
                done.push((rows.start, strip(desk, key, factor, rows, clock, split)));
            }
            done
        });
        let mut done = done.concat();
        done.sort_unstable_by_key(|(first, _)| *first);
        done.into_iter().flat_map(|(_, hashes)| hashes).collect()
    }

    fn split(&self) -> Split {
        let threads = self.desks.len().max(1) as u32;
        let mean =
            |part: fn(&Split) -> Duration| self.desks.iter().map(|(_, split)| part(split)).sum::<Duration>() / threads;
        Split { generate: mean(|s| s.generate), multiply: mean(|s| s.multiply), hash: mean(|s| s.hash) }
    }
}

fn strip(
    desk: &mut Desk,
    key: &RoundKey,
    factor: &Factor,
    rows: &Range<u32>,
    clock: &Clock,
    split: &mut Split,
) -> Vec<Hash> {
    let mut hashes = Vec::with_capacity(rows.len());
    let began = clock.mono();
    desk.draw(key, rows);
    let drawn = clock.mono();
    desk.multiply(factor);
    let multiplied = clock.mono();
    desk.hash(&mut hashes);
    split.generate += drawn.since(began);
    split.multiply += multiplied.since(drawn);
    split.hash += clock.mono().since(multiplied);
    hashes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        compute::gemm_i8,
        units::{ChallengeId, WorkerId},
    };

    fn prefix() -> KeyPrefix {
        KeyPrefix::new(&ChallengeId::new("c"), &[3; 32], "5A", &WorkerId::new("w"), "cpu")
    }

    #[test]
    fn any_number_of_threads_gives_the_same_answer() {
        let spec = Spec::new(512, 2).unwrap();
        let whole = gemm_i8::compute(spec, prefix()).unwrap();
        for threads in [0, 1, 2, 5, 40] {
            let (answer, split) = compute(spec, prefix(), threads, Clock::start(), || true).unwrap();
            assert_eq!(answer, whole, "{threads} threads");
            assert!(split.multiply > Duration::ZERO && split.hash > Duration::ZERO && split.generate > Duration::ZERO);
        }
    }

    #[test]
    fn it_ends_at_the_next_piece_once_it_is_called_off() {
        let asked = AtomicUsize::new(0);
        let go_on = || asked.fetch_add(1, Ordering::Relaxed) < 20;
        assert!(compute(Spec::new(1024, 9).unwrap(), prefix(), 2, Clock::start(), go_on).is_none());
        assert!(asked.into_inner() < 40);
    }

    #[test]
    fn few_threads_fit_where_many_do_not() {
        let spec = Spec::new(8192, 1).unwrap();
        let need = |threads| spec.memory_bytes(threads);
        assert_eq!(threads_that_fit(&spec, 8, need(8)), Ok(8));
        assert_eq!(threads_that_fit(&spec, 8, need(8) - 1), Ok(7));
        assert_eq!(threads_that_fit(&spec, 0, need(1)), Ok(1));
        assert_eq!(threads_that_fit(&spec, 8, need(1) - 1), Err(need(1)));
    }
}
