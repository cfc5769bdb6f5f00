//! A marketplace in the subnet: leases move weights and spare challenges, and outlast the hub.

use std::time::Duration;

use byteleap::units::{Mono, WorkerKey};
use serde_json::{Value, json};

use crate::subnet::{Part, Subnet};

const SEED: u64 = 0;
/// The validator's seat, as of all subnets.
const VALIDATOR: usize = 0;
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// Two miners with a worker each; the script's `$` is the first worker's key.
fn subnet(challenge_interval_s: u64, script: &Value) -> Subnet {
    let old = Part { only_cpu_matrix: true, ..Part::HONEST };
    let script = script.to_string().replace('$', &leased().to_string());
    let script = serde_json::from_str(&script).expect("JSON");
    let validation = json!({"challenge_interval": challenge_interval_s, "cpu": {"matrix_size": 100, "iterations": 1}});
    Subnet::with_hub(SEED, &validation, vec![vec![old], vec![old]], &script)
}

fn leased() -> WorkerKey {
    Subnet::key_of(SEED, 0, 0)
}

fn other() -> WorkerKey {
    Subnet::key_of(SEED, 1, 0)
}

/// Lease score and weight of a worker's miner.
fn scored(subnet: &Subnet, worker: &WorkerKey) -> (f64, f64) {
    subnet.witness.borrow().scored.get(&worker.hotkey).copied().expect("a score")
}

fn given(subnet: &Subnet, worker: &WorkerKey) -> usize {
    subnet.witness.borrow().given(worker)
}

fn until(subnet: &mut Subnet, at: Duration) {
    subnet.run(Mono(0) + at, |_| false);
    assert!(subnet.world.exits.is_empty(), "{:?}", subnet.world.exits);
}

#[test]
fn a_lease_spares_its_worker_challenges_and_moves_weights() {
    let mut subnet = subnet(30, &json!({"leases": {"$": 0.8}}));
    until(&mut subnet, 14 * MINUTE);
    assert_eq!(given(&subnet, &leased()), 0);
    assert!(given(&subnet, &other()) > 5);
    let ((lease, with), (none, without)) = (scored(&subnet, &leased()), scored(&subnet, &other()));
    assert_eq!((lease, none), (0.8, 0.0));
    assert!(with > without, "{with} and {without}");
}

#[test]
fn leases_hold_through_ten_hours_without_the_hub_and_a_restart_within() {
    let outage = json!([{"at_s": 1800, "method": "sim_outage", "params": [36_000]}]);
    let mut subnet = subnet(600, &json!({"leases": {"$": 0.8}, "events": outage}));
    until(&mut subnet, 29 * MINUTE);
    assert_eq!(scored(&subnet, &leased()).0, 0.8);
    until(&mut subnet, 5 * HOUR);
    subnet.world.crash(VALIDATOR, Duration::from_secs(30));
    until(&mut subnet, 10 * HOUR);
    assert_eq!((scored(&subnet, &leased()).0, given(&subnet, &leased())), (0.8, 0));
    assert!(given(&subnet, &other()) > 40, "everything else goes on: {}", given(&subnet, &other()));
}
