//! The bulk spoke: decrypts, encrypts and parses what is too big for the loop.
//!
//! Runs on: its own thread, `bulk`. Owns nothing between two requests; it never decides what a message is
//! good for, and never numbers one: sequence numbers move in the machine.

use crate::machine::{
    contract::{
        bulk::{MinerBulk, MinerBulkDone},
        validator_bulk::{ValidatorBulk, ValidatorBulkDone},
    },
    validator,
};

/// Serves a miner; its credit is [`crate::machine::miner::BULK_DEPTH`].
pub fn serve_miner(request: MinerBulk) -> MinerBulkDone {
    request.work()
}

/// Serves a validator; its credit is [`crate::machine::contract::validator_bulk::DEPTH`].
pub fn serve_validator(request: ValidatorBulk) -> ValidatorBulkDone {
    validator::serve_bulk(request)
}
