//! Signing a call with our hotkey and handing it to a node's pool.

use std::ops::RangeInclusive;

use serde_json::json;

use super::{
    Chain, ChainError, answer,
    calls::{Arguments, PALLET},
    extrinsic::{Context, Era, sign},
    hash::blake2_256,
    rpc::{Call, NodeError, Rpc, to_hex},
};
use crate::machine::contract::chain::Submission;

/// Blocks in which a call of ours may be included. Long enough for a slow chain, short enough to try again.
pub const ERA_BLOCKS: u64 = 32;

const NONCE_API: &str = "AccountNonceApi_account_nonce";

/// What a node answers with when its pool, or the runtime behind it, refuses an extrinsic.
const POOL_CODES: RangeInclusive<i64> = 1000..=1099;

/// The pool holds these very bytes already.
const ALREADY_IMPORTED: i64 = 1013;

impl<R: Rpc> Chain<R> {
    pub(super) fn submit(&mut self, call: &str, arguments: Arguments) -> Result<Submission, ChainError> {
        let key = self.key.clone().ok_or(ChainError::NoKey)?;
        let account = key.account();
        let reads = [
            Call::new("chain_getHeader", json!([])),
            Call::new("chain_getFinalizedHead", json!([])),
            Call::state(NONCE_API, &account, None),
        ];
        let (runtime, answers) = self.with_runtime(|_| Ok(reads.to_vec()))?;
        let [best, finalized, nonce] = answer::exactly(answers)?;
        let after = answer::header_number(&best)?;
        let birth_hash = answer::hash("chain_getFinalizedHead", &finalized)?;
        let birth = self.number_of(&birth_hash)?;
        let era = Era::from_birth(birth, ERA_BLOCKS);
        let metadata = &runtime.metadata;
        let nonce = answer::bytes(NONCE_API, &nonce)?;
        let context = Context {
            genesis: runtime.genesis,
            spec_version: runtime.spec_version,
            transaction_version: runtime.transaction_version,
            era: Some(era),
            birth_hash,
            nonce: metadata.decode(NONCE_API, metadata.api(NONCE_API)?.output, &nonce)?,
        };
        let bytes = sign(metadata, &key, &context, &metadata.call(PALLET, call, arguments)?)?;
        self.offer(&bytes)?;
        Ok(Submission { hash: blake2_256(&bytes), after, until: era.last(birth) })
    }

    fn offer(&mut self, extrinsic: &[u8]) -> Result<(), ChainError> {
        let answers = self.rpc.batch(&[Call::new("author_submitExtrinsic", json!([to_hex(extrinsic)]))])?;
        for answer in answers {
            match answer {
                Err(error) if error.code == ALREADY_IMPORTED => {}
                Err(error) if POOL_CODES.contains(&error.code) => return Err(ChainError::Pool(refusal(&error))),
                Err(error) => return Err(ChainError::Node { method: "author_submitExtrinsic", error }),
                Ok(hash) if answer::hash("author_submitExtrinsic", &hash)? != blake2_256(extrinsic) => {
                    return Err(answer::wrong("author_submitExtrinsic", "the hash of something else"));
                }
                Ok(_) => {}
            }
        }
        Ok(())
    }
}

/// The pool's refusal with its name where it only gives a number.
fn refusal(error: &NodeError) -> String {
    let data = error.data_text();
    let number = data.strip_prefix("Custom error: ").and_then(|number| number.trim().parse::<u8>().ok());
    match number.and_then(custom_error) {
        Some(name) => format!("{name} ({error})"),
        None => error.to_string(),
    }
}

/// Names of the numbers that the chain's own extension refuses with.
pub fn custom_error(number: u8) -> Option<&'static str> {
    Some(match number {
        0 => "coldkey swap in progress",
        1 => "stake too low",
        2 => "balance too low",
        3 => "no such subnet",
        6 => "rate limit exceeded",
        10 => "hotkey not registered in the subnet",
        11 => "invalid IP address",
        12 => "serving rate limit exceeded",
        13 => "invalid port",
        15 => "invalid reveal round",
        16 => "no commit found",
        17 => "not in the reveal range",
        18 => "input lengths differ",
        19 => "uid not found",
        255 => "bad request",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: i64, message: &str, data: &str) -> String {
        refusal(&NodeError { code, message: message.into(), data: Some(json!(data)) })
    }

    #[test]
    fn a_refusal_by_number_is_named() {
        let text = refused(1010, "Invalid Transaction", "Custom error: 12");
        assert_eq!(text, "serving rate limit exceeded (error 1010: Invalid Transaction (Custom error: 12))");
    }

    #[test]
    fn another_refusal_keeps_the_words_of_the_node() {
        let text = refused(1010, "Invalid Transaction", "Transaction has a bad signature");
        assert_eq!(text, "error 1010: Invalid Transaction (Transaction has a bad signature)");
    }
}
