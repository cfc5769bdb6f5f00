//! Handing a signed extrinsic to a node's pool.

use std::ops::RangeInclusive;

use serde_json::json;

use super::{
    Chain, ChainError, answer,
    hash::blake2_256,
    remedy,
    rpc::{Call, NodeError, Rpc, to_hex},
};
use crate::machine::contract::chain::{Inclusion, PoolFault, SignedExtrinsic, Submission};

const METHOD: &str = "author_submitExtrinsic";

/// What a node answers with when its pool, or the runtime behind it, refuses an extrinsic.
const POOL_CODES: RangeInclusive<i64> = 1000..=1099;

/// The pool holds these very bytes already.
const ALREADY_IMPORTED: i64 = 1013;

impl<R: Rpc> Chain<R> {
    /// Does no harm when done again: what a pool or a block has already counts as handed in.
    pub(super) fn submit(&mut self, signed: &SignedExtrinsic) -> Result<Submission, ChainError> {
        let hash = blake2_256(&signed.bytes);
        let submission = Submission { hash, ..signed.submission.clone() };
        let answer = match answer::exactly(self.rpc.batch(&[Call::new(METHOD, json!([to_hex(&signed.bytes)]))])?)? {
            [Ok(hash)] => answer::hash(METHOD, &hash)?,
            [Err(error)] => return self.refused(submission, error),
        };
        if answer != hash {
            return Err(answer::wrong(METHOD, "the hash of something else"));
        }
        Ok(submission)
    }

    /// A pool also refuses what a block has taken already: as outdated, or as banned for a while.
    fn refused(&mut self, submission: Submission, error: NodeError) -> Result<Submission, ChainError> {
        if error.code == ALREADY_IMPORTED {
            return Ok(submission);
        }
        if !POOL_CODES.contains(&error.code) {
            return Err(ChainError::Node { method: METHOD, error });
        }
        let refusal = remedy::pool(&error);
        if matches!(refusal.fault, PoolFault::Stale | PoolFault::Later) && self.is_in_a_block(&submission)? {
            return Ok(submission);
        }
        Err(refusal.into())
    }

    fn is_in_a_block(&mut self, submission: &Submission) -> Result<bool, ChainError> {
        Ok(matches!(self.find(submission)?, Inclusion::Succeeded { .. } | Inclusion::Refused { .. }))
    }
}
