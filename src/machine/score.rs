//! Scoring: a pure function from dated, typed facts to scores and weights.

/// Everything that scoring may look at, as of one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {}

/// What one miner got, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct MinerScore {}
