//! The storage of `SubtensorModule`, item by item.

use scale_value::Value;

use super::{
    blocks::Block,
    commits::{HashCommit, TimelockedCommit},
    pallet::RAO,
    registration::{BURN_MAX_RAO, BURN_MIN_RAO, NEURONS_MAX},
    storage_key::Parts,
    subnet::{Axon, Neuron, Subnet},
};
use crate::spoke::chain::{calls::storage_index, timelock};

/// The items that are kept here.
pub const NAMES: &[&str] = &[
    "Active",
    "Axons",
    "BlockAtRegistration",
    "BlocksSinceLastStep",
    "Burn",
    "CommitRevealWeightsEnabled",
    "CommitRevealWeightsVersion",
    "IsNetworkMember",
    "Keys",
    "LastEpochBlock",
    "LastUpdate",
    "MaxAllowedUids",
    "MaxBurn",
    "MaxWeightsLimit",
    "MechanismCountCurrent",
    "MinAllowedWeights",
    "MinBurn",
    "NetworkRegistrationAllowed",
    "NetworksAdded",
    "OwnedHotkeys",
    "Owner",
    "PendingEpochAt",
    "RevealPeriodEpochs",
    "ServingRateLimit",
    "StakeThreshold",
    "SubnetEpochIndex",
    "SubnetworkN",
    "Tempo",
    "TimelockedWeightCommits",
    "TotalHotkeyAlpha",
    "TotalNetworks",
    "Uids",
    "ValidatorPermit",
    "WeightCommits",
    "Weights",
    "WeightsSetRateLimit",
    "WeightsVersionKey",
];

fn number(of: impl Into<u128>) -> Value {
    Value::u128(of.into())
}

/// `None` where nothing was ever written.
pub fn value(at: &Block, name: &str, parts: &Parts) -> Option<Value> {
    let subnet = &at.subnet;
    match name {
        "Owner" => {
            let hotkey = parts.account(0)?;
            subnet.neuron(&hotkey).map(|(_, neuron)| Value::from_bytes(neuron.coldkey))
        }
        "OwnedHotkeys" => owned(subnet, &parts.account(0)?),
        "IsNetworkMember" => {
            let (_, _) = subnet.neuron(&parts.account(0)?)?;
            (parts.u16(1)? == subnet.netuid.0).then(|| Value::bool(true))
        }
        "TotalHotkeyAlpha" => {
            let (_, neuron) = subnet.neuron(&parts.account(0)?)?;
            (parts.u16(1)? == subnet.netuid.0).then(|| number(neuron.stake_rao))
        }
        "TotalNetworks" => Some(number(1u8)),
        "CommitRevealWeightsVersion" => Some(number(timelock::VERSION)),
        "StakeThreshold" => Some(number(u64::from(subnet.hyperparameters.stake_threshold_tao) * RAO)),
        "LastUpdate" | "Weights" | "WeightCommits" | "TimelockedWeightCommits" => of_mechanism(subnet, name, parts),
        // All others begin with the subnet.
        _ if parts.u16(0)? != subnet.netuid.0 => None,
        "Uids" => subnet.neuron(&parts.account(1)?).map(|(uid, _)| number(uid)),
        "Keys" => neuron(subnet, parts).map(|neuron| Value::from_bytes(neuron.hotkey)),
        "BlockAtRegistration" => neuron(subnet, parts).map(|neuron| number(neuron.registered_at)),
        "Axons" => subnet.neuron(&parts.account(1)?)?.1.axon.as_ref().map(axon),
        _ => of_subnet(at, name),
    }
}

fn neuron<'a>(subnet: &'a Subnet, parts: &Parts) -> Option<&'a Neuron> {
    subnet.neurons.get(usize::from(parts.u16(1)?))
}

fn owned(subnet: &Subnet, coldkey: &[u8; 32]) -> Option<Value> {
    let owned = subnet.neurons.iter().filter(|neuron| neuron.coldkey == *coldkey);
    let hotkeys: Vec<_> = owned.map(|neuron| Value::from_bytes(neuron.hotkey)).collect();
    (!hotkeys.is_empty()).then(|| Value::unnamed_composite(hotkeys))
}

/// Items that are filed under the number of a mechanism.
fn of_mechanism(subnet: &Subnet, name: &str, parts: &Parts) -> Option<Value> {
    let index = parts.u16(0)?;
    let is_of = |mechanism: &u8| storage_index(subnet.netuid, *mechanism) == index;
    let mechanism = (0..subnet.hyperparameters.mechanisms).find(is_of)?;
    match name {
        "LastUpdate" => {
            let updates = subnet.neurons.iter().map(|neuron| number(neuron.held(mechanism).last_update));
            Some(Value::unnamed_composite(updates))
        }
        "Weights" => {
            let weights = &neuron(subnet, parts)?.held(mechanism).weights;
            (!weights.is_empty()).then(|| pairs(weights))
        }
        "WeightCommits" => {
            let held = subnet.hash_commits.get(&(index, parts.account(1)?))?;
            Some(Value::unnamed_composite(held.iter().map(hash_commit)))
        }
        _ => {
            let held = subnet.timelocked.get(&(index, parts.u64(1)?))?;
            Some(Value::unnamed_composite(held.iter().map(timelocked_commit)))
        }
    }
}

fn hash_commit(of: &HashCommit) -> Value {
    let (first, last) = of.reveal;
    Value::unnamed_composite([Value::from_bytes(of.hash), number(of.block), number(first), number(last)])
}

fn timelocked_commit(of: &TimelockedCommit) -> Value {
    let commit = Value::from_bytes(&of.commit);
    Value::unnamed_composite([Value::from_bytes(of.hotkey), number(of.block), commit, number(of.reveal_round)])
}

/// Items with one value a subnet.
fn of_subnet(at: &Block, name: &str) -> Option<Value> {
    let (subnet, of) = (&at.subnet, &at.subnet.hyperparameters);
    let list = |value: fn(&Neuron) -> Value| Value::unnamed_composite(subnet.neurons.iter().map(value));
    Some(match name {
        "Active" => list(|_| Value::bool(true)),
        "ValidatorPermit" => list(|neuron| Value::bool(neuron.validator_permit)),
        "NetworksAdded" | "NetworkRegistrationAllowed" => Value::bool(true),
        "SubnetworkN" => number(subnet.neurons.len() as u128),
        "MaxAllowedUids" => number(NEURONS_MAX as u128),
        "CommitRevealWeightsEnabled" => Value::bool(of.commit_reveal),
        "RevealPeriodEpochs" => number(of.reveal_period),
        "MechanismCountCurrent" => number(of.mechanisms),
        "MaxWeightsLimit" => number(of.max_weights_limit),
        "MinAllowedWeights" => number(of.min_allowed_weights),
        "ServingRateLimit" => number(of.serving_rate_limit),
        "Tempo" => number(of.tempo),
        "WeightsSetRateLimit" => number(of.weights_rate_limit),
        "WeightsVersionKey" => number(of.weights_version),
        "Burn" => number(subnet.burn.price(at.number)),
        "MinBurn" => number(BURN_MIN_RAO),
        "MaxBurn" => number(BURN_MAX_RAO),
        "LastEpochBlock" => number(subnet.epochs.last_block),
        "SubnetEpochIndex" => number(subnet.epochs.index),
        "PendingEpochAt" => number(subnet.epochs.pending_at),
        "BlocksSinceLastStep" => number(subnet.epochs.since_step),
        _ => return None,
    })
}

pub fn axon(of: &Axon) -> Value {
    Value::named_composite([
        ("block", Value::u128(of.block.into())),
        ("version", Value::u128(of.version.into())),
        ("ip", Value::u128(of.ip)),
        ("port", Value::u128(of.port.into())),
        ("ip_type", Value::u128(of.ip_type.into())),
        ("protocol", Value::u128(of.protocol.into())),
        ("placeholder1", Value::u128(of.placeholder1.into())),
        ("placeholder2", Value::u128(of.placeholder2.into())),
    ])
}

pub fn pairs(of: &[(u16, u16)]) -> Value {
    let pair = |(uid, weight): &(u16, u16)| Value::unnamed_composite([*uid, *weight].map(|n| Value::u128(n.into())));
    Value::unnamed_composite(of.iter().map(pair))
}
