//! config/*.yaml show every key that the code knows, with the default that the code has.

use std::{collections::BTreeMap, fs, path::Path};

use byteleap::config::{
    Role,
    form::Key,
    miner, validator, worker,
    yaml::{self, Node},
};

fn example(role: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(format!("{role}.yaml"));
    fs::read_to_string(path).unwrap()
}

/// Every leaf of a tree by its dotted path. An empty section is a leaf.
fn leaves(node: &Node, above: &str, into: &mut BTreeMap<String, Node>) {
    match node {
        Node::Map(entries) if above.is_empty() || !entries.is_empty() => {
            for (name, child) in entries {
                let path = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
                leaves(child, &path, into);
            }
        }
        leaf => {
            into.insert(above.to_owned(), leaf.clone());
        }
    }
}

/// The live keys of an example, and those that it only mentions: lines that start with `#path: value`.
fn shown(text: &str) -> (BTreeMap<String, Node>, BTreeMap<String, Node>) {
    let (mut live, mut mentioned) = (BTreeMap::new(), BTreeMap::new());
    leaves(&yaml::parse(text).unwrap(), "", &mut live);
    for line in text.lines() {
        let commented = line.strip_prefix('#').filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()));
        if let Some(Node::Map(entries)) = commented.map(|text| yaml::parse(text).unwrap()) {
            mentioned.extend(entries);
        }
    }
    (live, mentioned)
}

fn same(left: &Node, right: &Node) -> bool {
    match (left, right) {
        (Node::Whole(whole), Node::Real(real)) | (Node::Real(real), Node::Whole(whole)) => *whole as f64 == *real,
        _ => left == right,
    }
}

fn without_effect(key: &Key) -> bool {
    key.replaced_by.is_some()
}

fn shows_every_key_with_its_default<R: Role>() {
    let (mut live, mut mentioned) = shown(&example(R::NAME));
    for key in R::keys() {
        let shown = if without_effect(&key) { &mut mentioned } else { &mut live };
        let value = shown.remove(key.path).unwrap_or_else(|| panic!("{}.yaml lacks {}", R::NAME, key.path));
        assert!(same(&value, &key.default), "{}.yaml: {} is {value:?}, not {:?}", R::NAME, key.path, key.default);
    }
    assert!(live.is_empty() && mentioned.is_empty(), "{}.yaml has more: {live:?} {mentioned:?}", R::NAME);
}

/// An example is accepted, says nothing else than an empty file, and warns of no more.
fn is_all_defaults<R: Role + PartialEq + std::fmt::Debug>() {
    let example = R::from_yaml(&example(R::NAME)).unwrap();
    assert_eq!(example, R::from_yaml("").unwrap());
}

#[test]
fn the_workers_example_shows_every_key_with_its_default() {
    shows_every_key_with_its_default::<worker::Config>();
    is_all_defaults::<worker::Config>();
}

#[test]
fn the_miners_example_shows_every_key_with_its_default() {
    shows_every_key_with_its_default::<miner::Config>();
    is_all_defaults::<miner::Config>();
}

#[test]
fn the_validators_example_shows_every_key_with_its_default() {
    shows_every_key_with_its_default::<validator::Config>();
    is_all_defaults::<validator::Config>();
}

#[test]
fn keys_are_named_once() {
    for keys in [worker::Config::keys(), miner::Config::keys(), validator::Config::keys()] {
        let mut paths: Vec<_> = keys.iter().map(|key| key.path).collect();
        paths.sort_unstable();
        let count = paths.len();
        paths.dedup();
        assert_eq!(paths.len(), count);
    }
}

/// The defaults as the network documents them, stated a second time: a slip in the code must not pass because
/// the example was changed with it.
#[test]
fn documented_defaults_hold() {
    let documented = [
        ("miner", "netuid: 128; metagraph.sync_interval: 60; metagraph.validator_min_stake_tao: 10000"),
        ("miner", "metagraph.blacklist.threshold: 5; metagraph.blacklist.ttl_seconds: 600; heartbeat_interval: 60"),
        ("miner", "task_poll_interval: 30; max_retries: 3; communication.connection_timeout: 10"),
        (
            "miner",
            "communication.request_timeout: 30; worker_management.port: 7799; worker_management.max_workers: 100",
        ),
        ("miner", "worker_management.heartbeat_interval: 30; worker_management.heartbeat_timeout: 90"),
        ("miner", "worker_management.max_tasks_per_worker: 1; wallet.path: ~/.bittensor/wallets"),
        ("worker", "miner_url: ws://127.0.0.1:7799; reconnect_interval: 5; ping_interval: 15; ping_timeout: 30"),
        ("worker", "max_concurrent_tasks: 2; default_task_timeout: 300; heartbeat_interval: 30"),
        ("worker", "system_info_interval: 60; gpu.enable: true; gpu.auto_start: true; gpu.socket_path: null"),
        ("validator", "port: 9091; external_ip: null; metagraph.weight_update_tempo: 105; metagraph.sync_interval: 60"),
        ("validator", "database.url: sqlite:///./validator.db; database.event_retention_days: 7"),
        ("validator", "meshhub.reconnect_delay_seconds: 30; meshhub.heartbeat_interval_seconds: 60"),
        ("validator", "meshhub.resource_report_interval_seconds: 90; validation.challenge_interval: 240"),
        ("validator", "validation.challenge_timeout: 60; validation.ranking_window_minutes: 180"),
        ("validator", "validation.participation_rate_threshold: 0.8; validation.verification_concurrent: -1"),
        ("validator", "validation.verification_interval: 30; validation.proof_queue_max_size: 1000"),
        ("validator", "validation.challenge_type: cpu_matrix; validation.cpu.matrix_size: 2000"),
        ("validator", "validation.cpu.size_variance: 0.1; validation.cpu.iterations: 1"),
        ("validator", "validation.cpu.verification.row_verification_count: 50"),
        ("validator", "validation.gemm_i8.cpu.matrix_size: 8192; validation.gemm_i8.cpu.rounds: 1"),
        ("validator", "validation.gemm_i8.gpu.matrix_size: 32768; validation.gemm_i8.gpu.rounds: 24"),
        ("validator", "validation.gemm_i8.samples: 64; scoring.policy: reference-70-30"),
        ("validator", "validation.cpu.verification.row_verification_count_variance: 0.5"),
        ("validator", "validation.gpu.matrix_size: 32768; validation.gpu.size_variance: 0.05"),
        ("validator", "validation.gpu.verification.coordinate_sample_count: 25"),
        ("validator", "validation.gpu.verification.success_rate_threshold: 0.85"),
        ("validator", "weight_management.score_weights.lease_weight: null; scoring.shadow: null"),
        ("validator", "weight_management.score_weights.challenge_weight: null"),
        ("validator", "scoring.address_change_factor: null; scoring.worker_cap: null"),
        ("validator", "weight_management.availability.window_hours: 169; weight_management.recalculate_interval: 420"),
        ("validator", "validation.proof_timeout: 120; security.rate_limit.window_seconds: 30"),
        ("validator", "security.rate_limit.max_requests: 150; security.source_limit.window_seconds: 30"),
        ("validator", "security.source_limit.max_requests: 600; metrics.listen: null"),
        ("validator", "metrics.token_file: null"),
    ];
    for (role, lines) in documented {
        let (live, mentioned) = shown(&example(role));
        for line in lines.split("; ") {
            let (path, value) = line.split_once(": ").unwrap();
            let Some(Node::Map(entries)) = yaml::parse(&format!("x: {value}")).ok() else { panic!("{line}") };
            let shown = live.get(path).or_else(|| mentioned.get(path));
            assert_eq!(shown, Some(&entries[0].1), "{role}.yaml: {path}");
        }
    }
}
