//! Tasks of the marketplace under trouble: what the validator has accepted reaches its miner, whatever crashes, is cut or
//! comes late, and is there once.

use std::time::Duration;

use byteleap::metrics::Metric;
use serde_json::{Value, json};

use crate::subnet::{Part, Subnet};

const TASKS: u64 = 12;
/// The validator sits first, the miners behind it.
const MINERS: [usize; 2] = [1, 2];
/// Longer than any run.
const TTL_MS: u64 = 2 * 3600 * 1000;

/// Each task comes again and again: a hub that heard nothing of one repeats it, and says the same.
fn script(seed: u64) -> Value {
    let task = |number: u64| {
        let worker = Subnet::key_of(seed, (number % 2) as usize, 0).to_string();
        json!({"taskKey": format!("t{number:02}"), "workerKey": worker, "priority": number % 3, "ttl": TTL_MS})
    };
    let events: Vec<Value> = (0..TASKS * 6)
        .map(|n| json!({"at_s": 15 * n + 10, "method": "sim_task", "params": [task(n % TASKS)]}))
        .collect();
    json!({"leases": {}, "events": events})
}

fn held(subnet: &Subnet, seat: usize) -> f64 {
    subnet.world.actors[seat].metric(Metric::MarketplaceTasksOpen, &["held"]).unwrap_or_default()
}

fn through(seed: u64) {
    let old = Part { only_cpu_matrix: true, ..Part::HONEST };
    let validation = json!({"validation": {"cpu": {"matrix_size": 100, "iterations": 1}}});
    let mut subnet = Subnet::with_hub(seed, &validation, vec![vec![old], vec![old]], &script(seed));
    subnet.trouble();
    subnet.ease();
    let end = subnet.world.now().mono + Duration::from_secs(25 * 60);
    let each = TASKS as f64 / 2.0;
    let arrived = subnet.run(end, |world| {
        MINERS.iter().all(|seat| {
            let held = world.actors[*seat].metric(Metric::MarketplaceTasksOpen, &["held"]).unwrap_or_default();
            assert!(held <= each, "a miner has {held} tasks of {each}");
            held == each
        })
    });
    let all = MINERS.map(|seat| held(&subnet, seat));
    assert!(arrived, "seed {seed}: the miners have {all:?} of {each} tasks each");
    let witness = subnet.witness.borrow();
    assert_eq!(witness.tasks.len() as u64, TASKS, "seed {seed}: each was stored once, or not at all");
    assert!(subnet.world.exits.is_empty(), "{:?}", subnet.world.exits);
}

#[test]
fn what_was_accepted_reaches_its_miner_through_crashes_and_cuts() {
    (0..24).for_each(through);
}
