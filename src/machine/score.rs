//! Scoring: a pure function from dated, typed facts to scores and weights.
//!
//! Deterministic to the bit: facts are ordered, sums run in a defined order, nothing is drawn. It never
//! queries, never reads a clock, and never decides whether weights are submitted.

pub mod facts;
pub mod outcome;
pub mod policy;

pub use facts::{ChallengeFact, Claim, Facts, MinerFacts, Outcome, WorkerFacts};
pub use outcome::{Availability, MinerScore, Scores, WorkerScore};
pub use policy::{Policy, PolicyId};
