//! The calls that we make, argument by argument, and the check that the runtime knows them as we do.

use std::net::IpAddr;

use scale_value::Value;

use super::{
    extrinsic::Context,
    metadata::{Metadata, ShapeFault},
};
use crate::units::{Netuid, Uid};

/// The pallet of all our calls.
pub const PALLET: &str = "SubtensorModule";

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
