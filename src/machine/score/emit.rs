//! From scores to the chain's form: who gets how much of 65535.

use std::collections::{BTreeMap, BTreeSet};

use super::outcome::Scores;
use crate::units::{Hotkey, Uid};

/// The weights to submit, by uid: a miner that is not `online` by now gets 0 without a new division, one
/// without a uid is left out. Empty when nothing may be submitted, because everything is zero.
pub fn submission(scores: &Scores, uids: &BTreeMap<Hotkey, Uid>, online: &BTreeSet<Hotkey>) -> Vec<(Uid, Hotkey, f64)> {
    if scores.all_zero {
        return Vec::new();
    }
    let weight = |hotkey, weight| if online.contains(hotkey) { weight } else { 0.0 };
    let mut vector: Vec<(Uid, Hotkey, f64)> = scores
        .miners
        .iter()
        .filter_map(|miner| {
            Some((*uids.get(&miner.hotkey)?, miner.hotkey.clone(), weight(&miner.hotkey, miner.weight)))
        })
        .collect();
    if vector.iter().all(|(_, _, weight)| *weight <= 0.0) {
        return Vec::new();
    }
    vector.sort_by_key(|(uid, _, _)| *uid);
    vector
}

/// Weights as the chain takes them: w / max × 65535, half to even, zeros dropped, order kept.
pub fn emit<K: Clone>(weights: &[(K, f64)]) -> Vec<(K, u16)> {
    let largest = weights.iter().map(|(_, weight)| *weight).filter(|weight| weight.is_finite()).fold(0.0, f64::max);
    if largest <= 0.0 {
        return Vec::new();
    }
    // `as` saturates and takes NaN for 0: what is no number is dropped like a zero.
    let share = |weight: f64| (weight / largest * f64::from(u16::MAX)).round_ties_even() as u16;
    let emitted = weights.iter().map(|(key, weight)| (key.clone(), share(*weight)));
    emitted.filter(|(_, share)| *share > 0).collect()
}
