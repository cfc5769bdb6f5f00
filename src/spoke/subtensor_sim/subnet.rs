//! The state of the chain: neurons of one subnet, and the nonces of accounts.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use super::genesis::{Genesis, GenesisNeuron, Hyperparameters};
use crate::units::{AccountId, BlockNumber, Netuid};

/// An announced address, as the chain keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Axon {
    pub block: BlockNumber,
    pub version: u32,
    pub ip: u128,
    pub port: u16,
    pub ip_type: u8,
    pub protocol: u8,
    pub placeholder1: u8,
    pub placeholder2: u8,
}

#[derive(Clone, Debug)]
pub struct Neuron {
    pub hotkey: AccountId,
    pub coldkey: AccountId,
    pub stake_rao: u64,
    pub validator_permit: bool,
    /// `None` until it is served.
    pub axon: Option<Axon>,
    /// Block of its last weight setting; 0 is never.
    pub last_update: BlockNumber,
    pub weights: Vec<(u16, u16)>,
}

/// All that blocks change.
#[derive(Clone, Debug)]
pub struct Subnet {
    pub netuid: Netuid,
    pub hyperparameters: Hyperparameters,
    /// By uid.
    pub neurons: Vec<Neuron>,
    nonces: BTreeMap<AccountId, u32>,
}

impl Subnet {
    pub fn new(genesis: Genesis) -> Subnet {
        let Genesis { netuid, neurons, hyperparameters } = genesis;
        let neurons = neurons.iter().map(from_genesis).collect();
        Subnet { netuid, hyperparameters, neurons, nonces: BTreeMap::new() }
    }

    /// The neuron of a hotkey, with its uid.
    pub fn neuron(&self, hotkey: &AccountId) -> Option<(u16, &Neuron)> {
        (0..).zip(&self.neurons).find(|(_, neuron)| neuron.hotkey == *hotkey)
    }

    pub fn neuron_mut(&mut self, hotkey: &AccountId) -> Option<&mut Neuron> {
        self.neurons.iter_mut().find(|neuron| neuron.hotkey == *hotkey)
    }

    /// The next nonce of an account, as the state knows it.
    pub fn nonce(&self, account: &AccountId) -> u32 {
        self.nonces.get(account).copied().unwrap_or(0)
    }

    pub fn count_nonce(&mut self, account: &AccountId) {
        let nonce = self.nonces.entry(*account).or_default();
        *nonce = nonce.saturating_add(1);
    }
}

fn from_genesis(of: &GenesisNeuron) -> Neuron {
    Neuron {
        // A hotkey and a coldkey of a genesis were read as SS58, so they have accounts.
        hotkey: of.hotkey.account().unwrap_or_default(),
        coldkey: of.coldkey.account().unwrap_or_default(),
        stake_rao: of.stake_rao(),
        validator_permit: of.validator_permit,
        axon: of.axon.map(announced),
        last_update: 0,
        weights: Vec::new(),
    }
}

fn announced(address: SocketAddr) -> Axon {
    let (ip, ip_type) = match address.ip() {
        IpAddr::V4(ip) => (u128::from(u32::from(ip)), 4),
        IpAddr::V6(ip) => (u128::from(ip), 6),
    };
    Axon { ip, ip_type, port: address.port(), protocol: 4, ..Axon::default() }
}
