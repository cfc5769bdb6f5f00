//! Weights in the pallet: who may set which, checked in the pallet's order and refused by the pallet's names.

use super::{
    call::{Place, Row},
    event::Event,
    pallet::{Moment, RAO, refuse_if, too_fast},
    subnet::{Neuron, Subnet},
};
use crate::units::AccountId;

type Refusable<T> = Result<T, &'static str>;

/// `set_weights`: only where nothing is to be committed.
pub fn set(subnet: &mut Subnet, now: Moment, signer: &AccountId, at: Place, row: &Row) -> Refusable<Vec<Event>> {
    refuse_if(at.netuid == subnet.netuid.0 && subnet.hyperparameters.commit_reveal, "CommitRevealEnabled")?;
    write(subnet, now, signer, at, row)
}

/// Sets weights, now or at a reveal.
pub fn write(subnet: &mut Subnet, now: Moment, signer: &AccountId, at: Place, row: &Row) -> Refusable<Vec<Event>> {
    let uid = check(subnet, now, signer, at, row)?;
    let moves_last_update = !subnet.hyperparameters.commit_reveal;
    let own = subnet.weights_mut(uid, at.mechanism).ok_or("UidVecContainInvalidOne")?;
    own.weights = row.dests.iter().copied().zip(upscaled(&row.weights)).collect();
    if moves_last_update {
        own.last_update = now.block;
    }
    Ok(vec![Event::weights_set(at.index(), uid)])
}

/// The uid of the signer, if it may set these weights now.
fn check(subnet: &Subnet, now: Moment, signer: &AccountId, at: Place, row: &Row) -> Refusable<u16> {
    let of = &subnet.hyperparameters;
    let Row { dests, weights, version_key } = row;
    refuse_if(dests.len() != weights.len(), "WeightVecNotEqualSize")?;
    refuse_if(!subnet.has(at), "MechanismDoesNotExist")?;
    refuse_if(dests.len() > subnet.neurons.len(), "UidsLengthExceedUidsInSubNet")?;
    let (uid, neuron) = subnet.neuron(signer).ok_or("HotKeyNotRegisteredInSubNet")?;
    refuse_if(!has_stake(subnet, neuron), "NotEnoughStakeToSetWeights")?;
    refuse_if(of.weights_version != 0 && *version_key < of.weights_version, "IncorrectWeightVersionKey")?;
    let last_update = neuron.held(at.mechanism).last_update;
    // Where weights are committed, the commitment was limited already.
    let is_limited = !of.commit_reveal && too_fast(of.weights_rate_limit, last_update, now.block);
    refuse_if(is_limited, "SettingWeightsTooFast")?;
    check_row(subnet, uid, neuron, row)?;
    Ok(uid)
}

fn check_row(subnet: &Subnet, uid: u16, neuron: &Neuron, Row { dests, weights, .. }: &Row) -> Refusable<()> {
    let of = &subnet.hyperparameters;
    let to_itself = *dests == [uid];
    refuse_if(!to_itself && !neuron.validator_permit, "NeuronNoValidatorPermit")?;
    refuse_if((1..dests.len()).any(|place| dests[..place].contains(&dests[place])), "DuplicateUids")?;
    refuse_if(dests.iter().any(|dest| usize::from(*dest) >= subnet.neurons.len()), "UidVecContainInvalidOne")?;
    let least = usize::from(of.min_allowed_weights).min(subnet.neurons.len());
    refuse_if(!to_itself && dests.len() < least, "WeightVecLengthIsLow")?;
    refuse_if(!to_itself && over_limit(weights, of.max_weights_limit), "MaxWeightExceeded")
}

pub fn has_stake(subnet: &Subnet, neuron: &Neuron) -> bool {
    neuron.stake_rao >= u64::from(subnet.hyperparameters.stake_threshold_tao) * RAO
}

/// The largest becomes 65535.
fn upscaled(weights: &[u16]) -> Vec<u16> {
    let largest = u64::from(weights.iter().copied().max().unwrap_or(0));
    let scaled = |weight: u16| u16::try_from(u64::from(weight) * u64::from(u16::MAX) / largest.max(1));
    weights.iter().map(|weight| scaled(*weight).unwrap_or(u16::MAX)).collect()
}

/// Whether the largest weight is over `limit` when all together are scaled to 65535.
fn over_limit(weights: &[u16], limit: u16) -> bool {
    let sum: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
    let largest = u64::from(weights.iter().copied().max().unwrap_or(0));
    limit != u16::MAX && sum != 0 && largest * u64::from(u16::MAX) / sum > u64::from(limit)
}
