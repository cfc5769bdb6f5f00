//! The calls that we make, argument by argument.

use std::net::IpAddr;

use parity_scale_codec::Encode;
use scale_value::Value;

use super::hash::blake2_256;
use crate::{
    machine::contract::chain::{ChainCall, WeightVector},
    units::{AccountId, Hotkey, HotkeyError, Netuid, Uid},
};

/// The pallet of all our calls.
pub const PALLET: &str = "SubtensorModule";

/// No subnet has a number beyond.
const SUBNETS_MAX: u16 = 4096;

/// By name, as the metadata names them.
pub type Arguments = Vec<(&'static str, Value)>;

/// A call of our pallet.
pub type Named = (&'static str, Arguments);

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
    vec![
        ("netuid", Value::u128(netuid.0.into())),
        ("dests", numbers(weights.iter().map(|(uid, _)| uid.0))),
        ("weights", numbers(weights.iter().map(|(_, weight)| *weight))),
        ("version_key", Value::u128(version_key.into())),
    ]
}

/// What a call without a timelock is in the metadata. `signer` is whose weights a hash commitment binds.
pub fn plain(call: &ChainCall, signer: &AccountId) -> Result<Option<Named>, HotkeyError> {
    Ok(Some(match call {
        ChainCall::ServeAxon { netuid, ip, port, version } => ("serve_axon", serve_axon(*netuid, *ip, *port, *version)),
        ChainCall::SetWeights(of) => {
            let arguments = set_weights(of.netuid, &of.weights, of.version_key);
            of_mechanism(of.mechanism, "set_weights", "set_mechanism_weights", arguments)
        }
        ChainCall::CommitHash { weights, salt } => commit_weights(weights, commit_hash(signer, weights, salt)),
        ChainCall::RevealWeights { weights, salt } => reveal_weights(weights, salt),
        ChainCall::BurnedRegister { netuid, hotkey } => ("burned_register", place(*netuid, hotkey)?),
        ChainCall::RegisterLimit { netuid, hotkey, limit_rao } => {
            let mut arguments = place(*netuid, hotkey)?;
            arguments.push(("limit_price", Value::u128((*limit_rao).into())));
            ("register_limit", arguments)
        }
        ChainCall::CommitTimelocked(_) => return Ok(None),
    }))
}

fn place(netuid: Netuid, hotkey: &Hotkey) -> Result<Arguments, HotkeyError> {
    Ok(vec![("netuid", Value::u128(netuid.0.into())), ("hotkey", Value::from_bytes(hotkey.account()?))])
}

/// Weights that the chain opens by itself: `commit` is what [`super::timelock::seal`] made for `round`.
pub fn commit_timelocked(of: &WeightVector, commit: &[u8], round: u64) -> Named {
    let arguments = vec![
        ("netuid", Value::u128(of.netuid.0.into())),
        ("commit", Value::from_bytes(commit)),
        ("reveal_round", Value::u128(round.into())),
        ("commit_reveal_version", Value::u128(super::timelock::VERSION.into())),
    ];
    of_mechanism(of.mechanism, "commit_timelocked_weights", "commit_timelocked_mechanism_weights", arguments)
}

fn commit_weights(of: &WeightVector, hash: [u8; 32]) -> Named {
    let arguments = vec![("netuid", Value::u128(of.netuid.0.into())), ("commit_hash", Value::from_bytes(hash))];
    of_mechanism(of.mechanism, "commit_weights", "commit_mechanism_weights", arguments)
}

fn reveal_weights(of: &WeightVector, salt: &[u16]) -> Named {
    let arguments = vec![
        ("netuid", Value::u128(of.netuid.0.into())),
        ("uids", numbers(of.weights.iter().map(|(uid, _)| uid.0))),
        ("values", numbers(of.weights.iter().map(|(_, weight)| *weight))),
        ("salt", numbers(salt.iter().copied())),
        ("version_key", Value::u128(of.version_key.into())),
    ];
    of_mechanism(of.mechanism, "reveal_weights", "reveal_mechanism_weights", arguments)
}

/// A subnet's first mechanism has the calls without one.
fn of_mechanism(mechanism: u8, first: &'static str, other: &'static str, mut arguments: Arguments) -> Named {
    if mechanism == 0 {
        return (first, arguments);
    }
    arguments.push(("mecid", Value::u128(mechanism.into())));
    (other, arguments)
}

fn numbers(of: impl Iterator<Item = u16>) -> Value {
    Value::unnamed_composite(of.map(|number| Value::u128(number.into())))
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
