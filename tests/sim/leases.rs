//! A marketplace in the subnet: leases move weights and spare challenges, and go through its outages as configured.

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
fn subnet(challenge_interval_s: u64, leases: &Value, script: &Value) -> Subnet {
    let old = Part { only_cpu_matrix: true, ..Part::HONEST };
    let script = script.to_string().replace('$', &leased().to_string());
    let script = serde_json::from_str(&script).expect("JSON");
    let validation = json!({"challenge_interval": challenge_interval_s, "cpu": {"matrix_size": 100, "iterations": 1}});
    let validator = json!({"validation": validation, "leases": leases});
    Subnet::with_hub(SEED, &validator, vec![vec![old], vec![old]], &script)
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
    let mut subnet = subnet(30, &json!({}), &json!({"leases": {"$": 0.8}}));
    until(&mut subnet, 14 * MINUTE);
    assert_eq!(given(&subnet, &leased()), 0);
    assert!(given(&subnet, &other()) > 5);
    let ((lease, with), (none, without)) = (scored(&subnet, &leased()), scored(&subnet, &other()));
    assert_eq!((lease, none), (0.8, 0.0));
    assert!(with > without, "{with} and {without}");
}

/// The hub leases a worker, and goes away after half an hour.
fn ten_hours_away() -> Value {
    let outage = json!([{"at_s": 1800, "method": "sim_outage", "params": [36_000]}]);
    json!({"leases": {"$": 0.8}, "events": outage})
}

#[test]
fn leases_hold_through_ten_hours_without_the_hub_and_a_restart_within() {
    let mut subnet = subnet(600, &json!({}), &ten_hours_away());
    until(&mut subnet, 29 * MINUTE);
    assert_eq!(scored(&subnet, &leased()).0, 0.8);
    until(&mut subnet, 5 * HOUR);
    subnet.world.crash(VALIDATOR, Duration::from_secs(30));
    until(&mut subnet, 10 * HOUR);
    assert_eq!((scored(&subnet, &leased()).0, given(&subnet, &leased())), (0.8, 0));
    assert!(given(&subnet, &other()) > 40, "everything else goes on: {}", given(&subnet, &other()));
}

/// The lease in force three and five hours after the start, with a restart between them, and when the hub is back; and
/// how many challenges the leased worker got by each moment.
fn through_an_outage(on_outage: &str) -> ([f64; 3], [usize; 3]) {
    let mut subnet = subnet(600, &json!({"on_outage": on_outage, "max_age": 7200}), &ten_hours_away());
    until(&mut subnet, 110 * MINUTE);
    assert_eq!((scored(&subnet, &leased()).0, given(&subnet, &leased())), (0.8, 0), "a silence, and no outage yet");
    let all = [180, 300, 670].map(|minutes: u32| {
        if minutes == 300 {
            subnet.world.crash(VALIDATOR, Duration::from_secs(30));
        }
        until(&mut subnet, minutes * MINUTE);
        (scored(&subnet, &leased()).0, given(&subnet, &leased()))
    });
    (all.map(|(lease, _)| lease), all.map(|(_, given)| given))
}

#[test]
fn leases_decay_in_an_outage_over_a_restart_and_are_whole_again_when_the_hub_is() {
    let ([three, five, back], given) = through_an_outage("decay");
    assert!((0.3..0.6).contains(&three), "{three}: half of the way down from 0.8");
    assert_eq!((five, back), (0.0, 0.8));
    assert!(given[0] == 0 && given[1] > 0 && given[2] > given[1], "{given:?}: challenged again once nothing is left");
}

#[test]
fn leases_end_in_an_outage_over_a_restart_and_are_there_again_when_the_hub_is() {
    let (leases, given) = through_an_outage("zero");
    assert_eq!(leases, [0.0, 0.0, 0.8]);
    assert!(given[0] > 0 && given[1] > given[0], "{given:?}: challenged as soon as the lease is over");
}
