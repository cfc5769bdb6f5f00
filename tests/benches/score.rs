//! What scoring costs at the size of the network's limits: 256 miners, 100 workers each, 169 hours.
//!
//! `cargo bench --bench score`. The arithmetic alone, the facts out of a full database where each round passes
//! half of the workers over, and the batches that heartbeats and rounds become.

use std::{hint::black_box, path::Path, time::Duration};

use byteleap::{
    machine::{
        availability::Segment,
        contract::store::{FactsWindow, HeartbeatWrite, StoreReply, StoreRequest, WorkerSeen, Write},
        score::{ChallengeFact, Facts, MinerFacts, Outcome, Policy, WorkerFacts, score},
    },
    spoke::store::{Reader, Store},
    units::{Hotkey, Wall, WorkerId, WorkerKey},
};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

const MINERS: u64 = 256;
const WORKERS: u64 = 100;
const HOURS: u64 = 169;
const NOW: Wall = Wall(1_768_478_400_000_000_000);

fn hotkey(n: u64) -> Hotkey {
    Hotkey::label(&format!("5Miner{n:042}"))
}

fn owner() -> Hotkey {
    Hotkey::label("5Validator")
}

fn worker_facts(n: u64) -> WorkerFacts {
    let challenge = |row: u64| {
        let computation_ms = Some(100.0 + (n * 7 + row) as f64);
        let outcome = Outcome::Verified { computation_ms, success_count: Some(1), gpus: None, ops: Some(1.6e10) };
        ChallengeFact { created: NOW - Duration::from_secs(240 * row), row, outcome }
    };
    let hour = (NOW.as_secs() / 3600 - HOURS) as u32;
    let steady = Segment { hour, hours: HOURS as u16, mask: 0x0FFF, last_s: 3599, address: None, gpus: None };
    let challenges = (1..=45).map(challenge).collect();
    WorkerFacts { challenges, presence: vec![steady], ..WorkerFacts::default() }
}

fn full_subnet() -> Facts {
    let mut facts = Facts { at: NOW, ..Facts::default() };
    for miner in 0..MINERS {
        let hotkey = hotkey(miner);
        for worker in 0..WORKERS {
            let key = WorkerKey::new(&hotkey, &WorkerId::new(&format!("worker-{worker}")));
            facts.workers.insert(key, worker_facts(miner * WORKERS + worker));
        }
        facts.metagraph.insert(hotkey.clone());
        facts.miners.insert(hotkey, MinerFacts { seen: NOW, removed: false });
    }
    facts
}

fn arithmetic(criterion: &mut Criterion) {
    let facts = full_subnet();
    for policy in [Policy::reference_70_30(), Policy::throughput()] {
        let name = format!("score/25600 workers by {}", policy.id.name);
        criterion.bench_function(&name, |bench| bench.iter(|| black_box(score(&facts, &policy))));
    }
}

fn batch(minute: u64, requests: u64) -> StoreRequest {
    let at = NOW + Duration::from_secs(60 * minute);
    let workers = || vec![WorkerSeen { public_ip: Some("198.51.100.1".into()), ..WorkerSeen::named("worker-0") }];
    let beat = |n| Write::Heartbeat(Box::new(HeartbeatWrite { hotkey: hotkey(n), at, workers: workers() }));
    StoreRequest::Commit { batch: minute, writes: (0..requests).map(beat).collect() }
}

fn commits(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut store = Store::open(&dir.path().join("validator.db"), &owner()).expect("a new database");
    for requests in [20, 256] {
        let mut minute = 0;
        let name = format!("store/batch of {requests} heartbeats");
        criterion.bench_function(&name, |bench| {
            let next = || {
                minute += 1;
                batch(minute, requests)
            };
            let serve = |request| assert!(matches!(store.serve(request), StoreReply::Committed { .. }));
            bench.iter_batched(next, serve, BatchSize::PerIteration);
        });
    }
}

/// Fills the tables as a week of the full network would.
fn fill(path: &Path) {
    drop(Store::open(path, &owner()).expect("a new database"));
    let raw = rusqlite::Connection::open(path).expect("the database");
    let count = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?1) INSERT INTO";
    let run = |sql: &str, count: u64| raw.execute(sql, [count]).expect("rows");
    let (all, now, hour) = (MINERS * WORKERS, NOW.0, NOW.as_secs() / 3600);
    run(&format!("{count} miners SELECT i + 1, printf('5Miner%042d', i), {now} FROM n"), MINERS);
    let worker =
        format!("SELECT i + 1, i / {WORKERS} + 1, 'worker-' || (i % {WORKERS}), NULL, NULL, '[]', 'idle', {now}");
    run(&format!("{count} workers {worker} FROM n"), all);
    let presence = format!("SELECT i / {HOURS} + 1, {hour} - i % {HOURS}, 0, 4095, 3599, 1, NULL");
    run(&format!("{count} availability {presence} FROM n"), all * HOURS);
    let challenge = "(id, uuid, worker, kind, matrix_size, iterations, created, sent, committed, ended, \
                     computation_ms, verdict, success_count)";
    let row = format!(
        "SELECT i + 1, 'challenge-' || i, i % {all} + 1, 'cpu_matrix', 2000, 1, {now} - i / {all} * 240000000000,
             1, 1, 1, 100.0, 'verified', 1"
    );
    run(&format!("{count} challenges {challenge} {row} FROM n"), all * 45);
}

/// A round that passes every second worker over.
fn round(store: &mut Store, number: u64) {
    let worker = |n: u64| WorkerKey::new(&hotkey(n / WORKERS), &WorkerId::new(&format!("worker-{}", n % WORKERS)));
    let passed_over = (0..MINERS * WORKERS).filter(|n| n % 2 == number % 2).map(worker).collect();
    let at = NOW - Duration::from_secs(240 * number);
    let writes = vec![Write::RoundBegan { at, passed_over }];
    let reply = store.serve(StoreRequest::Commit { batch: number, writes });
    assert!(matches!(reply, StoreReply::Committed { .. }), "{reply:?}");
}

fn facts(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("validator.db");
    fill(&path);
    println!("a full database: {} MiB", path.metadata().map_or(0, |file| file.len() >> 20));
    let mut group = criterion.benchmark_group("store at full size");
    group.sample_size(10);
    group.bench_function("open and check", |bench| {
        bench.iter(|| Store::open(&path, &owner()).expect("the full database"))
    });
    let mut store = Store::open(&path, &owner()).expect("the full database");
    let mut reader = Reader::open(&path).expect("the full database");
    let window = FactsWindow { ranking_minutes: 180, availability_hours: HOURS };
    let mut ask = || match reader.facts(NOW, window) {
        StoreReply::Facts(facts) => facts,
        other => panic!("{other:?}"),
    };
    group.bench_function("facts", |bench| bench.iter(&mut ask));
    (0..45).for_each(|number| round(&mut store, number));
    group.bench_function("facts with 45 rounds", |bench| bench.iter(&mut ask));
    let mut later = 1000;
    group.bench_function("a round that passes 12,800 over", |bench| {
        bench.iter(|| {
            later += 1;
            round(&mut store, later);
        });
    });
    println!("{}", peak_memory());
    let facts = ask();
    group.bench_function("score", |bench| bench.iter(|| black_box(score(&facts, &Policy::reference_70_30()))));
}

fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("peak memory unknown").to_string()
}

criterion_group!(benches, facts, arithmetic, commits);
criterion_main!(benches);
