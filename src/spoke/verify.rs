//! The verifiers: each computes again what a worker's devices were asked to prove.
//!
//! Runs on: `verify-0`, `verify-1`, …, which share one queue. Owns nothing between two proofs. It never
//! decides which proof is next or what a verdict costs the worker.

use std::time::Instant;

use crate::machine::contract::verify::{VerifyReply, VerifyRequest};

/// Checks one proof, and says how long that took.
#[expect(clippy::disallowed_methods, reason = "how long it worked is measured where it works")]
pub fn serve(request: VerifyRequest) -> VerifyReply {
    let began = Instant::now();
    let verdicts = request.evidence.verdicts();
    VerifyReply { id: request.id, verdicts, verify_ms: began.elapsed().as_secs_f64() * 1e3 }
}
