//! A drand beacon of this chain's own: timelocked weights are really encrypted to it, and really opened.
//!
//! Its rounds follow the blocks, four to each as with 12 s blocks and a period of 3 s, however fast blocks are made:
//! who foresees the round of a future block by the beacon's published genesis and period is right at any pace. Pulses
//! are computed when they are asked for.

use scale_value::Value;

use super::blocks::Block;
use crate::{spoke::chain::timelock::OwnBeacon, units::BlockNumber};

/// Seconds from one round to the next, as published.
const PERIOD_S: u64 = 3;

/// Rounds in a block of 12 s.
const ROUNDS_PER_BLOCK: u64 = 4;

/// The round of block 0, and the oldest that is stored.
pub const FIRST_ROUND: u64 = 1000;

pub struct Drand {
    beacon: OwnBeacon,
    public_key: Vec<u8>,
}

impl Drand {
    pub fn new() -> Drand {
        let beacon = OwnBeacon::from_seed(*b"the simulated chain's own beacon");
        Drand { public_key: beacon.public_key(), beacon }
    }

    /// `LastStoredRound` of a block.
    pub fn last_round(number: BlockNumber) -> u64 {
        FIRST_ROUND + ROUNDS_PER_BLOCK * number
    }

    /// The rounds that a block brings.
    pub fn new_rounds(number: BlockNumber) -> Vec<u64> {
        let last = Drand::last_round(number);
        (last - ROUNDS_PER_BLOCK + 1..=last).collect()
    }

    /// The pulse of a round that block `number` has; `None` for one that it has not.
    pub fn pulse(&self, round: u64, number: BlockNumber) -> Option<Vec<u8>> {
        (FIRST_ROUND..=Drand::last_round(number)).contains(&round).then(|| self.beacon.pulse(round))
    }

    /// `BeaconConfig`: by its genesis, the newest round that a block has was published when the block was made.
    pub fn config(&self, at: &Block) -> Value {
        let genesis_s = (at.timestamp_ms / 1000).saturating_sub(PERIOD_S * Drand::last_round(at.number));
        let bytes = |text: &str| Value::from_bytes(text);
        Value::named_composite([
            ("public_key", Value::from_bytes(&self.public_key)),
            ("period", Value::u128(PERIOD_S.into())),
            ("genesis_time", Value::u128(genesis_s.into())),
            ("hash", bytes("")),
            ("group_hash", bytes("")),
            ("scheme_id", bytes("bls-unchained-g1-rfc9380")),
            ("metadata", Value::named_composite([("beacon_id", bytes("simulated"))])),
        ])
    }
}
