//! This CPU's limit: its fastest exact dot instruction, in registers alone, on as many threads as products run on.

use std::time::Duration;

use byteleap::{
    compute::kernel::{Isa, Kind},
    spoke::in_parallel,
};

use super::{Bench, measure::time};

/// Products (multiply-adds) a second, all threads together.
pub fn products_per_s(bench: &Bench, kind: Kind) -> f64 {
    let isa = Isa::best();
    let rounds = rounds(bench, isa, kind);
    let parts = vec![(); bench.threads.get()];
    let (took, counts) = time(&bench.clock, || in_parallel("peak", parts, |()| isa.peak(kind, rounds)));
    counts.iter().sum::<u64>() as f64 / took.as_secs_f64()
}

/// So many that a thread is busy for a while.
fn rounds(bench: &Bench, isa: Isa, kind: Kind) -> u64 {
    let mut rounds = 1 << 10;
    while time(&bench.clock, || isa.peak(kind, rounds)).0 < Duration::from_millis(20) {
        rounds *= 2;
    }
    rounds * 4
}
