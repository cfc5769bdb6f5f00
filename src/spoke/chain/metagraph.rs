//! The subnet's state from `SubnetInfoRuntimeApi_get_metagraph`: the fields that we use, found by name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use scale_decode::DecodeAsType;

use super::metadata::{Metadata, ShapeFault};
use crate::{
    machine::contract::chain::{Metagraph, Neuron},
    units::{AccountId, Hotkey, Netuid, Uid},
};

/// By the name that `state_call` takes.
pub const API: &str = "SubnetInfoRuntimeApi_get_metagraph";

/// RAO in a TAO.
const RAO: f64 = 1e9;

#[derive(DecodeAsType)]
struct Subnet {
    netuid: u16,
    block: u64,
    tempo: u16,
    weights_rate_limit: u64,
    weights_version: u64,
    min_allowed_weights: u16,
    max_weights_limit: u16,
    commit_reveal_weights_enabled: bool,
    hotkeys: Vec<AccountId>,
    coldkeys: Vec<AccountId>,
    axons: Vec<Axon>,
    validator_permit: Vec<bool>,
    last_update: Vec<u64>,
    total_stake: Vec<u64>,
}

#[derive(DecodeAsType)]
struct Axon {
    ip: u128,
    port: u16,
    ip_type: u8,
}

impl Axon {
    /// `None` when it was never served, or serves nowhere.
    fn address(&self) -> Option<SocketAddr> {
        let ip: IpAddr = match self.ip_type {
            4 => Ipv4Addr::from(u32::try_from(self.ip).ok()?).into(),
            6 => Ipv6Addr::from(self.ip).into(),
            _ => return None,
        };
        (self.port != 0 && !ip.is_unspecified()).then_some(SocketAddr::new(ip, self.port))
    }
}

/// Decodes the answer; `None` when the subnet does not exist.
pub fn decode(metadata: &Metadata, bytes: &[u8]) -> Result<Option<Metagraph>, ShapeFault> {
    let subnet: Option<Subnet> = metadata.decode(API, metadata.api(API)?.output, bytes)?;
    subnet.map(Subnet::read).transpose()
}

/// All that we read is there, under the names and in the shapes that we read it by.
pub fn check(metadata: &Metadata) -> Result<(), ShapeFault> {
    let output = metadata.api(API)?.output;
    let mut some = vec![1];
    some.extend(metadata.zero(API, metadata.some_type(output)?)?);
    decode(metadata, &some).map(drop)
}

impl Subnet {
    fn read(self) -> Result<Metagraph, ShapeFault> {
        self.check_lengths()?;
        let neurons = (0..=u16::MAX).zip(&self.hotkeys).zip(&self.coldkeys).zip(&self.axons);
        let standing = self.validator_permit.iter().zip(&self.last_update).zip(&self.total_stake);
        let neurons =
            neurons.zip(standing).map(|((((uid, hotkey), coldkey), axon), ((permit, update), stake))| Neuron {
                uid: Uid(uid),
                hotkey: Hotkey::from_account(hotkey),
                coldkey: Hotkey::from_account(coldkey),
                axon: axon.address(),
                validator_permit: *permit,
                stake_tao: *stake as f64 / RAO,
                last_update: *update,
            });
        Ok(Metagraph {
            netuid: Netuid(self.netuid),
            block: self.block,
            tempo: self.tempo,
            weights_rate_limit: self.weights_rate_limit,
            weights_version: self.weights_version,
            min_allowed_weights: self.min_allowed_weights,
            max_weights_limit: self.max_weights_limit,
            commit_reveal: self.commit_reveal_weights_enabled,
            neurons: neurons.collect(),
        })
    }

    /// All lists speak of the same neurons.
    fn check_lengths(&self) -> Result<(), ShapeFault> {
        let count = self.hotkeys.len();
        let lists = [
            ("coldkeys", self.coldkeys.len()),
            ("axons", self.axons.len()),
            ("validator_permit", self.validator_permit.len()),
            ("last_update", self.last_update.len()),
            ("total_stake", self.total_stake.len()),
        ];
        match lists.into_iter().find(|(_, length)| *length != count) {
            Some((name, length)) => Err(ShapeFault::Other(format!("{API}: {count} hotkeys but {length} {name}"))),
            None => Ok(()),
        }
    }
}
