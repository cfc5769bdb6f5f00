//! What another policy would have made of the same facts, miner by miner. It changes nothing.

use std::collections::BTreeMap;

use serde::Serialize;

use super::outcome::Scores;
use crate::units::Hotkey;

/// One miner's weight under the policy in force and under the shadow's, each a share of all.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    pub hotkey: Hotkey,
    pub weight: f64,
    pub shadow: f64,
}

impl Difference {
    pub fn change(&self) -> f64 {
        self.shadow - self.weight
    }
}

/// Every scored miner, the largest change first.
pub fn differences(scores: &Scores, shadow: &Scores) -> Vec<Difference> {
    let other: BTreeMap<&Hotkey, f64> =
        shadow.miners.iter().map(|miner| (&miner.hotkey, given(shadow, miner.weight))).collect();
    let of = |miner: &super::MinerScore| Difference {
        hotkey: miner.hotkey.clone(),
        weight: given(scores, miner.weight),
        shadow: other.get(&miner.hotkey).copied().unwrap_or(0.0),
    };
    let mut all: Vec<Difference> = scores.miners.iter().map(of).collect();
    all.sort_by(|a, b| b.change().abs().total_cmp(&a.change().abs()).then(a.hotkey.cmp(&b.hotkey)));
    all
}

/// Uniform weights because all was zero are nobody's.
fn given(scores: &Scores, weight: f64) -> f64 {
    if scores.all_zero { 0.0 } else { weight }
}
