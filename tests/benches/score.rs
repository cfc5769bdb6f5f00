//! What scoring costs at the size of the network's limits: 256 miners, 100 workers each, 169 hours.
//!
//! `cargo bench --bench score`. The arithmetic alone, the facts out of a full database where each round passes
//! half of the workers over, and the batches that heartbeats and rounds become.

use std::{hint::black_box, num::NonZeroU32, path::Path, time::Duration};

use byteleap::{
    machine::{
        availability::{Beat, Present, RosterId},
        contract::store::{HeartbeatWrite, Reach, ScoreRequest, StoreReply, StoreRequest, WorkerSeen, Write},
        score::{ChallengeFact, Facts, MinerFacts, Outcome, Policy, WorkerFacts, score},
    },
    spoke::store::{Keeper, Store},
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
        ChallengeFact { created: NOW - Duration::from_secs(240 * row), tie: row, outcome }
    };
    WorkerFacts { challenges: (1..=45).map(challenge).collect(), ..WorkerFacts::default() }
}

fn roster(id: u64) -> RosterId {
    RosterId(u32::try_from(id + 1).ok().and_then(NonZeroU32::new).expect("a small number"))
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
        let name = |worker| WorkerId::new(&format!("worker-{worker}"));
        let present = |worker| Present { worker: name(worker), address: None, gpus: None, owned: None };
        facts.rosters.insert(roster(miner), (0..WORKERS).map(present).collect());
        let minute = |n| Beat { at: NOW - Duration::from_secs(60 * n), roster: Some(roster(miner)) };
        let beats = (0..HOURS * 60).rev().map(minute).collect();
        facts.miners.insert(hotkey, MinerFacts { seen: NOW, removed: false, beats });
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

/// A heartbeat of each of so many miners, of so many workers each.
fn batch(minute: u64, miners: u64, workers: u64) -> StoreRequest {
    let at = NOW + Duration::from_secs(60 * minute);
    let seen = |n| WorkerSeen { public_ip: Some("198.51.100.1".into()), ..WorkerSeen::named(&format!("worker-{n}")) };
    let beat =
        |n| HeartbeatWrite { hotkey: hotkey(n), at, workers: (0..workers).map(seen).collect(), maintenance: None };
    StoreRequest::Commit { batch: minute, writes: (0..miners).map(|n| Write::Heartbeat(Box::new(beat(n)))).collect() }
}

fn commits(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut store = Store::open(&dir.path().join("validator.db"), &owner()).expect("a new database");
    for (miners, workers) in [(20, 1), (256, 1), (1, 100)] {
        let mut minute = 0;
        let name = format!("store/batch of {miners} heartbeats of {workers}");
        criterion.bench_function(&name, |bench| {
            let next = || {
                minute += 1;
                batch(minute, miners, workers)
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
    let (all, now, hour, beats) = (MINERS * WORKERS, NOW.0, NOW.as_secs() / 3600, MINERS * HOURS * 60);
    run(&format!("{count} miners (id, hotkey, seen) SELECT i + 1, printf('5Miner%042d', i), {now} FROM n"), MINERS);
    let worker =
        format!("SELECT i + 1, i / {WORKERS} + 1, 'worker-' || (i % {WORKERS}), NULL, NULL, '[]', 'idle', {now}, 1");
    run(&format!("{count} workers {worker} FROM n"), all);
    let entries = "(SELECT json_group_array(json_array(id, 1, 0, 0)) FROM workers WHERE miner = n.i + 1 ORDER BY id)";
    run(&format!("{count} rosters SELECT i + 1, {entries}, {hour} FROM n"), MINERS);
    // Miner after miner within each minute, oldest first.
    let ago = format!("{now} - ({beats} - 1 - i) / {MINERS} * 60000000000");
    run(&format!("{count} beats SELECT i + 1, i % {MINERS} + 1, {ago}, i % {MINERS} + 1 FROM n"), beats);
    raw.execute_batch("INSERT INTO hours SELECT at / 3600000000000, min(seq) FROM beats GROUP BY 1").expect("rows");
    let challenge = "(id, uuid, worker, kind, matrix_size, iterations, created, sent, committed, ended, \
                     computation_ms, verdict, success_count, ended_seq)";
    let row = format!(
        "SELECT i + 1, 'challenge-' || i, i % {all} + 1, 'cpu_matrix', 2000, 1, {now} - i / {all} * 240000000000,
             1, 1, 1, 100.0, 'verified', 1, i + 1"
    );
    run(&format!("{count} challenges {challenge} {row} FROM n"), all * 45);
    raw.execute("UPDATE log SET seq = ?1", [beats.max(all * 45)]).expect("the newest number");
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
    (0..45).for_each(|number| round(&mut store, number));
    let calculate = |keeper: &mut Keeper, at| match keeper.score(&wanted(at)) {
        StoreReply::Scored(calculation) => calculation,
        other => panic!("{other:?}"),
    };
    group.bench_function("score, all of it read", |bench| {
        bench.iter(|| calculate(&mut Keeper::open(&path).expect("the full database"), NOW));
    });
    let mut keeper = Keeper::open(&path).expect("the full database");
    calculate(&mut keeper, NOW);
    println!("read: {}", peak_memory());
    let (mut minute, mut later) = (0, 1000);
    group.bench_function("score, seven minutes later", |bench| {
        let next = || {
            for _ in 0..7 {
                minute += 1;
                verdicts(&path, minute);
                assert!(matches!(store.serve(batch(minute, MINERS, WORKERS)), StoreReply::Committed { .. }));
            }
            NOW + Duration::from_secs(60 * minute)
        };
        bench.iter_batched(next, |at| calculate(&mut keeper, at), BatchSize::PerIteration);
    });
    group.bench_function("a round that passes 12,800 over", |bench| {
        bench.iter(|| {
            later += 1;
            round(&mut store, later);
        });
    });
    println!("at the end: {}", peak_memory());
}

/// A quarter of the workers had a verdict in that minute: each has one in four.
fn verdicts(path: &Path, minute: u64) {
    let raw = rusqlite::Connection::open(path).expect("the database");
    let (each, at) = (MINERS * WORKERS / 4, NOW.0 + minute * 60_000_000_000);
    let sql = format!(
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {each})
         INSERT INTO challenges (uuid, worker, kind, matrix_size, iterations, created, sent, committed, ended,
             computation_ms, verdict, success_count, ended_seq)
         SELECT 'later-{minute}-' || i, i * 4 + {minute} % 4 + 1, 'cpu_matrix', 2000, 1, {at}, 1, 1, 1, 100.0, 'verified', 1,
             (SELECT seq FROM log) + i + 1 FROM n;
         UPDATE log SET seq = seq + {each};"
    );
    raw.execute_batch(&sql).expect("rows");
}

fn wanted(at: Wall) -> ScoreRequest {
    let reach = Reach { ranking: Duration::from_secs(180 * 60), heard: Duration::from_secs(HOURS * 3600) };
    let metagraph = (0..MINERS).map(hotkey).collect();
    ScoreRequest { at, reach, metagraph, policy: Policy::reference_70_30(), shadow: None }
}

fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("peak memory unknown").to_string()
}

criterion_group!(benches, facts, arithmetic, commits);
criterion_main!(benches);
