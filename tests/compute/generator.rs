//! `numpy_randint.json`: words, matrices and sizes as NumPy's legacy generator draws them.

use byteleap::compute::{
    cpu_matrix::{Spec, reference},
    mt19937::Mt19937,
};
use serde::Deserialize;
use sha2::{Digest, Sha256};

#[derive(Deserialize)]
struct File {
    raw_words: Vec<Words>,
    matrices: Vec<Matrix>,
    dynamic_sizes: Vec<Size>,
}

#[derive(Deserialize)]
struct Words {
    seed_int: u32,
    first_u32: Vec<u32>,
}

#[derive(Deserialize)]
struct Matrix {
    seed_hex: String,
    n: u32,
    a_first: Vec<i64>,
    b_last: Vec<i64>,
    a_min: i64,
    a_max: i64,
    a_sum: i64,
    b_sum: i64,
    a_sha256: String,
    b_sha256: String,
}

#[derive(Deserialize)]
struct Size {
    kind: String,
    base: u32,
    variance: f64,
    seed_hex: String,
    size: u32,
}

fn file() -> File {
    super::recorded("numpy_randint.json")
}

#[test]
fn raw_words() {
    for case in file().raw_words {
        let mut generator = Mt19937::new(case.seed_int);
        let words: Vec<u32> = case.first_u32.iter().map(|_| generator.next_u32()).collect();
        assert_eq!(words, case.first_u32, "seed {}", case.seed_int);
    }
}

/// A and B as runs of draws give them.
fn in_runs(spec: &Spec) -> (Vec<i64>, Vec<i64>) {
    let [a, b, c, d, ..] = spec.seed;
    let mut generator = Mt19937::new(u32::from_be_bytes([a, b, c, d]));
    let mut entries = vec![0; (spec.n * spec.n) as usize];
    let mut matrix = || {
        generator.fill(&mut entries, 1000, 500);
        entries.iter().map(|entry| i64::from(*entry)).collect()
    };
    (matrix(), matrix())
}

fn sha256(values: &[i64]) -> String {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    hex::encode(Sha256::digest(bytes))
}

#[test]
fn matrices() {
    for case in file().matrices {
        let spec = Spec { seed: super::seed(&case.seed_hex), n: case.n, iterations: 1 };
        let (a, b) = reference::matrices(&spec);
        assert!(in_runs(&spec) == (a.clone(), b.clone()), "{} {}", case.seed_hex, case.n);
        assert_eq!(sha256(&a), case.a_sha256, "A of {} {}", case.seed_hex, case.n);
        assert_eq!(sha256(&b), case.b_sha256, "B of {} {}", case.seed_hex, case.n);
        assert!(a.starts_with(&case.a_first) && b.ends_with(&case.b_last));
        assert_eq!((a.iter().min(), a.iter().max()), (Some(&case.a_min), Some(&case.a_max)));
        assert_eq!((a.iter().sum::<i64>(), b.iter().sum::<i64>()), (case.a_sum, case.b_sum));
    }
}

#[test]
fn sizes() {
    let cpu: Vec<Size> = file().dynamic_sizes.into_iter().filter(|case| case.kind == "cpu").collect();
    assert!(!cpu.is_empty());
    for case in cpu {
        let drawn = Spec::size_draw(case.base, case.variance, &super::seed(&case.seed_hex));
        assert_eq!(drawn, case.size, "base {} variance {} seed {}", case.base, case.variance, case.seed_hex);
    }
}
