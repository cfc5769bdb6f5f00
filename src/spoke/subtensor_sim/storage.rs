//! Storage as a node answers for it: a key in, the SCALE value out, `None` where nothing was ever written.

use scale_value::Value;

use super::{
    Node,
    blocks::Block,
    subnet::{Axon, Neuron, Subnet},
};
use crate::{
    spoke::chain::metadata::{Metadata, ShapeFault, Storage},
    units::AccountId,
};

/// The items that are kept here.
const SUBTENSOR: &[&str] = &[
    "Active",
    "Axons",
    "BlocksSinceLastStep",
    "CommitRevealWeightsEnabled",
    "IsNetworkMember",
    "Keys",
    "LastEpochBlock",
    "LastUpdate",
    "MaxWeightsLimit",
    "MinAllowedWeights",
    "NetworksAdded",
    "Owner",
    "ServingRateLimit",
    "StakeThreshold",
    "SubnetworkN",
    "Tempo",
    "TotalNetworks",
    "Uids",
    "ValidatorPermit",
    "Weights",
    "WeightsSetRateLimit",
    "WeightsVersionKey",
];
const SYSTEM: &[&str] = &["Account", "BlockHash", "Events", "LastRuntimeUpgrade", "Number"];

impl Node {
    pub(super) fn storage(&self, key: &[u8], at: &Block) -> Option<Vec<u8>> {
        let metadata = &at.executor.metadata;
        if let Some((name, item)) = find(metadata, "SubtensorModule", SUBTENSOR, key) {
            let parts = Parts::read(metadata, item, key)?;
            return metadata.encode(name, item.value, &subtensor(at, name, &parts)?).ok();
        }
        if let Some((name, item)) = find(metadata, "System", SYSTEM, key) {
            let parts = Parts::read(metadata, item, key)?;
            return self.system(at, name, &parts, item);
        }
        let now = metadata.storage("Timestamp", "Now").ok().filter(|now| key == now.prefix())?;
        metadata.encode("Timestamp.Now", now.value, &Value::u128(at.timestamp_ms.into())).ok()
    }

    fn system(&self, at: &Block, name: &str, parts: &Parts, item: &Storage) -> Option<Vec<u8>> {
        match name {
            "Events" => Some(at.events.clone()),
            "Number" => at.executor.metadata.encode(name, item.value, &Value::u128(at.number.into())).ok(),
            // Storage is migrated when the first block of a new runtime begins.
            "LastRuntimeUpgrade" => {
                let info = Value::named_composite([
                    ("spec_version", Value::u128(at.executor.spec_version().into())),
                    ("spec_name", Value::string(at.executor.spec_name())),
                ]);
                at.executor.metadata.encode(name, item.value, &info).ok()
            }
            "BlockHash" => {
                // The runtime writes the hash of a block with the next one.
                let number = u64::from(parts.u32(0)?);
                self.history.hash_of(number).filter(|_| number < at.number).map(Vec::from)
            }
            _ => self.account(at, &parts.account(0)?, item).ok(),
        }
    }

    /// Nobody has money here: all but the nonce is zero.
    fn account(&self, at: &Block, account: &AccountId, item: &Storage) -> Result<Vec<u8>, ShapeFault> {
        let mut bytes = Vec::new();
        for (name, id) in at.executor.metadata.fields(item.value)? {
            bytes.extend(match name {
                "nonce" => at.executor.metadata.encode(name, id, &Value::u128(at.subnet.nonce(account).into()))?,
                _ => at.executor.metadata.zero(name, id)?,
            });
        }
        Ok(bytes)
    }
}

/// The item that a key or its beginning belongs to.
pub fn item_of<'a>(metadata: &'a Metadata, key: &[u8]) -> Option<&'a Storage> {
    let found = find(metadata, "SubtensorModule", SUBTENSOR, key).or_else(|| find(metadata, "System", SYSTEM, key));
    found.map(|(_, item)| item)
}

fn find<'a>(
    metadata: &'a Metadata,
    pallet: &str,
    names: &[&'static str],
    key: &[u8],
) -> Option<(&'static str, &'a Storage)> {
    let items = names.iter().filter_map(|name| Some((*name, metadata.storage(pallet, name).ok()?)));
    items.into_iter().find(|(_, item)| key.starts_with(item.prefix()))
}

/// The parts of a key, each in its SCALE bytes.
struct Parts<'a>(Vec<&'a [u8]>);

impl<'a> Parts<'a> {
    /// `None` for a key that no entry of the item can have.
    fn read(metadata: &Metadata, item: &Storage, key: &'a [u8]) -> Option<Parts<'a>> {
        use frame_metadata::v14::StorageHasher::*;
        let mut rest = key.strip_prefix(item.prefix())?;
        let mut parts = Vec::new();
        for (hasher, id) in item.hashers.iter().zip(&item.keys) {
            let hash = match hasher {
                Identity => 0,
                Blake2_128Concat => 16,
                Twox64Concat => 8,
                Blake2_128 | Blake2_256 | Twox128 | Twox256 => return None,
            };
            rest = rest.get(hash..)?;
            parts.push(metadata.cut(&item.name, *id, &mut rest).ok()?);
        }
        // Whoever made the key hashed the parts as we do, or asks for something else.
        (item.key(&parts).ok()? == key).then_some(Parts(parts))
    }

    fn u16(&self, place: usize) -> Option<u16> {
        Some(u16::from_le_bytes((*self.0.get(place)?).try_into().ok()?))
    }

    fn u32(&self, place: usize) -> Option<u32> {
        Some(u32::from_le_bytes((*self.0.get(place)?).try_into().ok()?))
    }

    fn account(&self, place: usize) -> Option<AccountId> {
        (*self.0.get(place)?).try_into().ok()
    }
}

fn subtensor(at: &Block, name: &str, parts: &Parts) -> Option<Value> {
    let subnet = &at.subnet;
    match name {
        "Owner" => {
            let hotkey = parts.account(0)?;
            subnet.neuron(&hotkey).map(|(_, neuron)| Value::from_bytes(neuron.coldkey))
        }
        "IsNetworkMember" => {
            let (_, _) = subnet.neuron(&parts.account(0)?)?;
            (parts.u16(1)? == subnet.netuid.0).then(|| Value::bool(true))
        }
        "TotalNetworks" => Some(Value::u128(1)),
        "StakeThreshold" => Some(Value::u128(u128::from(subnet.hyperparameters.stake_threshold_tao) * 1_000_000_000)),
        // All others begin with the subnet.
        _ if parts.u16(0)? != subnet.netuid.0 => None,
        "Uids" => subnet.neuron(&parts.account(1)?).map(|(uid, _)| Value::u128(uid.into())),
        "Keys" => neuron(subnet, parts).map(|neuron| Value::from_bytes(neuron.hotkey)),
        "Axons" => subnet.neuron(&parts.account(1)?)?.1.axon.as_ref().map(axon),
        "Weights" => neuron(subnet, parts).filter(|of| !of.weights.is_empty()).map(|of| pairs(&of.weights)),
        _ => subnet_item(at, name),
    }
}

/// Items with one value a subnet.
fn subnet_item(at: &Block, name: &str) -> Option<Value> {
    let (subnet, of) = (&at.subnet, &at.subnet.hyperparameters);
    let list = |value: fn(&Neuron) -> Value| Value::unnamed_composite(subnet.neurons.iter().map(value));
    Some(match name {
        "Active" => list(|_| Value::bool(true)),
        "LastUpdate" => list(|neuron| Value::u128(neuron.last_update.into())),
        "ValidatorPermit" => list(|neuron| Value::bool(neuron.validator_permit)),
        "NetworksAdded" => Value::bool(true),
        "SubnetworkN" => Value::u128(subnet.neurons.len() as u128),
        "CommitRevealWeightsEnabled" => Value::bool(of.commit_reveal),
        "MaxWeightsLimit" => Value::u128(of.max_weights_limit.into()),
        "MinAllowedWeights" => Value::u128(of.min_allowed_weights.into()),
        "ServingRateLimit" => Value::u128(of.serving_rate_limit.into()),
        "Tempo" => Value::u128(of.tempo.into()),
        "WeightsSetRateLimit" => Value::u128(of.weights_rate_limit.into()),
        "WeightsVersionKey" => Value::u128(of.weights_version.into()),
        "LastEpochBlock" => Value::u128((at.number - blocks_since_step(at)).into()),
        "BlocksSinceLastStep" => Value::u128(blocks_since_step(at).into()),
        _ => return None,
    })
}

/// Epochs only count here: one begins each tempo.
pub fn blocks_since_step(at: &Block) -> u64 {
    at.number % u64::from(at.subnet.hyperparameters.tempo).max(1)
}

fn neuron<'a>(subnet: &'a Subnet, parts: &Parts) -> Option<&'a Neuron> {
    subnet.neurons.get(usize::from(parts.u16(1)?))
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
