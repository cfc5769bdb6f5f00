//! Two workers that prove one and the same GPU: every fake driver's first card has the same uuid.

use crate::stage::Stage;

/// Of each worker a challenge of the GPU is in quarantine, and no more count than it had of the CPU, before its executor was
/// up.
const BOTH: &str = "
    SELECT max(verdict) FROM worker_scores WHERE quarantined > 0 AND counted <=
        (SELECT count(*) FROM challenges JOIN workers ON workers.id = challenges.worker
         WHERE workers.worker = worker_scores.worker AND challenges.verdict = 'verified' AND matrix_size = 256)
    HAVING count(*) = 2";

#[test]
fn a_gpu_that_two_workers_prove_earns_for_neither_and_both_are_named() {
    let mut stage = Stage::start(2);
    let verdict = stage.until("a quarantine in the scores of both", |stage| stage.ask(BOTH));
    assert!(verdict.starts_with("GPU GPU-fa4e0000-0000-0000-0000-000000000000 in quarantine: proven by "), "{verdict}");
    for worker in ["0000000000000000", "0000000000000001"] {
        assert!(verdict.contains(worker), "{verdict}");
    }
    stage.subnet.stop().unwrap_or_else(|why| panic!("{why}"));
}
