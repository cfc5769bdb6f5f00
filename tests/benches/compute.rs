//! Cost of CPU challenges: drawing the matrices, the product on one and two threads, the check of 50 rows.

use std::{
    hint::black_box,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use byteleap::compute::{
    cpu_matrix::{Matrices, Spec},
    merkle::Tree,
    verify,
};
use criterion::{Criterion, criterion_group, criterion_main};

fn spec(n: u32) -> Spec {
    Spec { seed: [0x5a; 16], n, iterations: 1 }
}

/// The whole product on so many threads, as the worker's executor shares it out.
fn commit(matrices: &Matrices, threads: usize) -> String {
    let blocks = matrices.strips(threads);
    let next = AtomicUsize::new(0);
    let take = || {
        let mut done = Vec::new();
        while let Some(rows) = blocks.get(next.fetch_add(1, Ordering::Relaxed)) {
            done.push((rows.start, matrices.row_hashes(rows.clone())));
        }
        done
    };
    let mut parts: Vec<_> = thread::scope(|scope| {
        let hands: Vec<_> = (0..threads).map(|_| scope.spawn(take)).collect();
        hands.into_iter().flat_map(|hand| hand.join().unwrap_or_default()).collect()
    });
    parts.sort_by_key(|(top, _)| *top);
    let leaves = parts.into_iter().flat_map(|(_, hashes)| hashes).collect();
    Tree::new(leaves).map(|tree| tree.root()).unwrap_or_default()
}

fn compute(c: &mut Criterion) {
    let mut group = c.benchmark_group("cpu_matrix");
    group.sample_size(10);
    for n in [500, 1000, 2000] {
        group.bench_function(format!("draw/{n}"), |b| b.iter(|| spec(n).matrices(|| true)));
        let rows: Vec<u32> = (0..50).map(|row| row * n / 50).collect();
        group.bench_function(format!("check 50 rows/{n}"), |b| b.iter(|| verify::expected_rows(&spec(n), &rows)));
        let matrices = spec(n).matrices(|| true).expect("never told to stop");
        for threads in [1, 2] {
            group.bench_function(format!("commit/{n}/threads {threads}"), |b| {
                b.iter(|| commit(black_box(&matrices), threads))
            });
        }
    }
    group.finish();
}

criterion_group!(benches, compute);
criterion_main!(benches);
