//! Cost of the inner kernels of both challenges, one thread, with each set of instructions that this machine has:
//! generators, products of packed operands, dot products in place, row hashes, checks.
//!
//! `byteleap bench` measures whole challenges.

use std::{hint::black_box, time::Duration};

use byteleap::{
    compute::{
        cpu_matrix,
        gemm_i8::{self, KeyPrefix, Plan, reference::foreseen},
        kernel::{Element, Isa, Panels, Strip, dots, keystream},
        mt19937::Mt19937,
        row_hash::RowHash,
        verify,
    },
    units::{ChallengeId, WorkerId},
    wire::messages::gemm_i8::CPU_DEVICE,
};
use criterion::{
    BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime as Wall,
};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

/// Rows, columns and terms of the products.
const SIDE: usize = 1024;

fn group<'a>(c: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, Wall> {
    let mut group = c.benchmark_group(name);
    group.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    group
}

fn prefix() -> KeyPrefix {
    KeyPrefix::new(&ChallengeId::new("bench"), &[0x5a; 32], "5Bench", &WorkerId::new("bench"), CPU_DEVICE)
}

fn generators(c: &mut Criterion) {
    let mut group = group(c, "draw");
    let (mut words, mut bytes) = (vec![0_i16; 1 << 18], vec![0_u8; 1 << 20]);
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    for (name, mut generator) in [("best", Mt19937::new(1)), ("portable", Mt19937::portable(1))] {
        group
            .bench_function(format!("mt19937/{name}"), |b| b.iter(|| generator.fill(black_box(&mut words), 1000, 500)));
    }
    for isa in Isa::available() {
        group.bench_function(format!("chacha8/{isa}"), |b| {
            b.iter(|| keystream(isa, &[7; 32], 1, 0, black_box(&mut bytes)));
        });
    }
    group.finish();
}

/// The product of `SIDE`, packed; and four rows with all columns as they lie.
fn products_of<E: Element>(c: &mut Criterion, name: &str, entry: fn(usize) -> E) {
    let mut group = group(c, name);
    let matrix: Vec<E> = (0..SIDE * SIDE).map(entry).collect();
    for isa in Isa::available() {
        let mut panels = Panels::new(isa, SIDE, SIDE);
        panels.panels_mut().for_each(|mut panel| {
            let columns = panel.range();
            panel.pack_columns(&matrix[columns.start * SIDE..columns.end * SIDE]);
        });
        let mut strip = Strip::new(isa, SIDE, SIDE);
        strip.pack(matrix.chunks_exact(SIDE));
        let mut sums = vec![0_i32; SIDE * SIDE];
        group.throughput(Throughput::Elements((SIDE * SIDE * SIDE) as u64));
        group.bench_function(format!("tiles/{isa}"), |b| {
            b.iter(|| strip.multiply_add(black_box(&panels), &mut sums, SIDE));
        });
        group.throughput(Throughput::Elements((4 * SIDE * SIDE) as u64));
        group.bench_function(format!("dots/{isa}"), |b| {
            b.iter(|| dots(isa, SIDE, black_box(&matrix[..4 * SIDE]), &matrix, &mut sums));
        });
    }
    group.finish();
}

fn products(c: &mut Criterion) {
    products_of(c, "int8", |at| (at * 7 % 256) as u8 as i8);
    products_of(c, "int16", |at| (at * 7 % 1001) as i16 - 500);
}

fn hashes(c: &mut Criterion) {
    let mut group = group(c, "hash");
    let row: Vec<i64> = (0..SIDE as i64).collect();
    group.throughput(Throughput::Bytes(size_of_val(row.as_slice()) as u64));
    group.bench_function("sha256 of one row", |b| b.iter(|| RowHash::of_i64(black_box(&row))));
    let bytes = vec![1_u8; 4 * 8192];
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("blake3 of one row", |b| b.iter(|| blake3::hash(black_box(&bytes))));
    group.finish();
}

/// Drawing, multiplying and hashing one strip of rows, as a worker's thread does.
fn strips(c: &mut Criterion) {
    let mut group = group(c, "strip");
    for isa in Isa::available() {
        let plan = Plan::on(isa, gemm_i8::Spec::new(SIDE as u32, 1).expect("a good size"), 1);
        let (key, mut factor, mut desk) = (prefix().round(0, &[0; 32]), plan.factor(), plan.desk());
        factor.panels_mut().for_each(|panel| desk.fill(&key, panel));
        let rows = plan.strips().next().expect("at least one strip");
        group.throughput(Throughput::Elements((rows.len() * SIDE * SIDE) as u64));
        group.bench_function(format!("draw, multiply, hash/{isa}"), |b| {
            b.iter(|| {
                let mut hashes = Vec::new();
                desk.draw(&key, &rows);
                desk.multiply(&factor);
                desk.hash(&mut hashes);
                hashes
            });
        });
    }
    group.finish();
}

fn checks(c: &mut Criterion) {
    let mut group = group(c, "check");
    let spec = cpu_matrix::Spec::new([0x5a; 16], 2000, 1).expect("a good size");
    let rows: Vec<u32> = (0..50).map(|row| row * 40).collect();
    for isa in Isa::available() {
        group.bench_function(format!("cpu_matrix, 50 rows of 2000/{isa}"), |b| {
            b.iter(|| verify::expected_rows_on(isa, black_box(&spec), &rows));
        });
    }
    let spec = gemm_i8::Spec::new(8192, 2).expect("a good size");
    let asked = gemm_i8::samples(&mut ChaCha8Rng::seed_from_u64(1), &spec, 64);
    let (root, proof) = foreseen(spec, prefix(), &asked).expect("a proof of what was foreseen");
    group.bench_function("gemm_i8, 64 samples of 8192", |b| {
        b.iter(|| gemm_i8::verify(&spec, &prefix(), &root, black_box(&asked), &proof));
    });
    group.finish();
}

criterion_group!(benches, generators, products, hashes, strips, checks);
criterion_main!(benches);
