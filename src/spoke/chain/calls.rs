//! The calls that we make, argument by argument, and the check that the runtime knows them as we do.

use std::net::IpAddr;

use parity_scale_codec::Encode;
use scale_value::Value;

use super::{
    extrinsic::Context,
    hash::blake2_256,
    metadata::{Metadata, ShapeFault},
};
use crate::{
    machine::contract::chain::WeightVector,
    units::{AccountId, Netuid, Uid},
};

/// The pallet of all our calls.
pub const PALLET: &str = "SubtensorModule";

/// No subnet has a number beyond.
const SUBNETS_MAX: u16 = 4096;

/// By name, as the metadata names them.
pub type Arguments = Vec<(&'static str, Value)>;

/// Axons speak HTTP over TCP; the chain keeps the number and gives it no meaning.
const PROTOCOL: u128 = 4;

pub fn serve_axon(netuid: Netuid, ip: IpAddr, port: u16, version: u32) -> Arguments {
    let (number, kind) = match ip {
        IpAddr::V4(ip) => (u128::from(u32::from(ip)), 4),
        IpAddr::V6(ip) => (u128::from(ip), 6),
    };
    vec![
        ("netuid", Value::u128(netuid.0.into())),
        ("version", Value::u128(version.into())),
        ("ip", Value::u128(number)),
        ("port", Value::u128(port.into())),
        ("ip_type", Value::u128(kind)),
        ("protocol", Value::u128(PROTOCOL)),
        ("placeholder1", Value::u128(0)),
        ("placeholder2", Value::u128(0)),
    ]
}

pub fn set_weights(netuid: Netuid, weights: &[(Uid, u16)], version_key: u64) -> Arguments {
    let numbers = |of: fn(&(Uid, u16)) -> u16| {
        Value::unnamed_composite(weights.iter().map(|weight| Value::u128(of(weight).into())))
    };
    vec![
        ("netuid", Value::u128(netuid.0.into())),
        ("dests", numbers(|(uid, _)| uid.0)),
        ("weights", numbers(|(_, weight)| *weight)),
        ("version_key", Value::u128(version_key.into())),
    ]
}

/// What a hash commitment is the hash of.
pub fn commit_hash(account: &AccountId, weights: &WeightVector, salt: &[u16]) -> [u8; 32] {
    let (uids, values): (Vec<u16>, Vec<u16>) = weights.weights.iter().map(|(uid, weight)| (uid.0, *weight)).unzip();
    let index = storage_index(weights.netuid, weights.mechanism);
    blake2_256(&(account, index, uids, values, salt, weights.version_key).encode())
}

/// The number that the chain files a mechanism of a subnet under (its `NetUidStorageIndex`). A subnet's first
/// mechanism has the number of the subnet.
pub fn storage_index(netuid: Netuid, mechanism: u8) -> u16 {
    u16::from(mechanism).saturating_mul(SUBNETS_MAX).saturating_add(netuid.0)
}

/// What every daemon reads is where we look for it.
pub fn check(metadata: &Metadata) -> Result<(), ShapeFault> {
    metadata.storage(PALLET, "Weights")?.key(&[&[0; 2], &[0; 2]])?;
    metadata.storage("System", "Events").map(drop)
}

/// What a daemon with a hotkey signs and reads back has the shape that we know.
pub fn check_writing(metadata: &Metadata) -> Result<(), ShapeFault> {
    let nowhere = serve_axon(Netuid(0), IpAddr::from([0; 4]), 0, 0);
    metadata.call(PALLET, "serve_axon", nowhere)?;
    metadata.call(PALLET, "set_weights", set_weights(Netuid(0), &[(Uid(0), 0)], 0))?;
    metadata.event_prefix("System", "ExtrinsicSuccess")?;
    metadata.event_prefix("System", "ExtrinsicFailed")?;
    metadata.api("AccountNonceApi_account_nonce")?;
    let nothing =
        Context { genesis: [0; 32], spec_version: 0, transaction_version: 0, era: None, birth_hash: [0; 32], nonce: 0 };
    nothing.check(metadata)
}
