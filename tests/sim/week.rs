//! A week of a subnet, with trouble four times a day: what was scored at any moment of it is scored again the same.

use std::time::Duration;

use serde_json::json;

use crate::subnet::{Part, Subnet};

const HOUR: Duration = Duration::from_secs(3600);

/// Everything goes at a tenth of its pace, or a week would take minutes.
fn slow(seed: u64) -> Subnet {
    let over = json!({
        "validator": {
            "metagraph": {"sync_interval": 300, "weight_update_tempo": 100},
            "validation": {"challenge_interval": 600, "gemm_i8": {"cpu": {"matrix_size": 256, "rounds": 1}}},
            "weight_management": {"recalculate_interval": 1800},
            "scoring": {"shadow": "lease-only"},
        },
        "miner": {"heartbeat_interval": 150, "task_poll_interval": 100, "metagraph": {"sync_interval": 300}},
        "worker": {"heartbeat_interval": 60},
    });
    let old = Part { only_cpu_matrix: true, ..Part::HONEST };
    Subnet::with(seed, &over, vec![vec![Part::HONEST, old], vec![Part::HONEST]], None)
}

#[test]
fn every_score_of_a_week_with_faults_is_calculated_again_to_the_bit() {
    let mut subnet = slow(42);
    for _ in 0..7 * 4 {
        let end = subnet.world.now().mono + Duration::from_secs(600);
        subnet.trouble_until(end);
        subnet.ease();
        subnet.calm(6 * HOUR - Duration::from_secs(600));
    }
    let calculations = subnet.witness.borrow().calculations();
    assert!(calculations >= 7 * 48 * 9 / 10, "{calculations} calculations in a week");
}
