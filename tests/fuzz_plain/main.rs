//! The fuzz targets on stable Rust: each is driven with mutated seeds from a generator of a fixed seed, so that a
//! failure comes again. For depth, use `cargo fuzz` on the same targets.

#[path = "../fuzz/targets.rs"]
mod targets;

mod mutate;
mod seeds;

use mutate::Mutator;
use targets::{TARGETS, target};

/// Each input once as it is, then `iterations` mutations. Debug builds do a fortieth, so that `cargo test` stays short.
fn drive(name: &str, iterations: u32) {
    let run = target(name);
    let seeds = seeds::of(name);
    assert!(!seeds.is_empty(), "{name} has no seeds");
    seeds.iter().for_each(|seed| run(seed));
    let mut mutator = Mutator::new(name, &seeds);
    let iterations = if cfg!(debug_assertions) { iterations / 40 } else { iterations };
    for _ in 0..iterations {
        run(mutator.next());
    }
}

/// A test of its own for each target, with the iterations that an optimised build does in about two seconds.
macro_rules! driven {
    ($($name:ident: $iterations:literal),* $(,)?) => {
        $(#[test] fn $name() { drive(stringify!($name), $iterations); })*

        #[test]
        fn every_target_is_driven() {
            assert_eq!(TARGETS.map(|(name, _)| name), [$(stringify!($name)),*]);
        }
    };
}

driven!(
    synapse_request: 40_000,
    synapse_answer: 200_000,
    session_package: 200_000,
    session_init: 15_000,
    request_bodies: 60_000,
    answer_bodies: 200_000,
    frames_to_miner: 100_000,
    frames_to_worker: 200_000,
    json_scanner: 200_000,
    hotkey_text: 400_000,
    wallet_file: 20_000,
    chain_metadata: 400,
    chain_metagraph: 100_000,
    chain_blocks: 40_000,
    chain_answer: 200_000,
    chain_request: 10_000,
    chain_conversation: 10_000,
    http_requests: 30_000,
    http_response: 60_000,
    websocket_upgrade: 30_000,
    websocket_frames: 100_000,
    gemm_proof: 20_000,
    gpu_socket: 100_000,
    marketplace_frames: 6_000,
    marketplace_bodies: 40_000,
);
