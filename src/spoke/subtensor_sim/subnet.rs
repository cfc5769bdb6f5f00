//! The state of the chain: neurons of one subnet, what they have committed, and the accounts.

use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use super::{
    call::Place,
    commits::{HashCommit, TimelockedCommit},
    epochs::Epochs,
    genesis::{Genesis, GenesisNeuron, Hyperparameters},
    registration::Burn,
};
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
    /// 0 is the genesis.
    pub registered_at: BlockNumber,
    /// By mechanism; the ones that are missing were never set.
    held: Vec<HeldWeights>,
}

/// What a neuron has set in a mechanism.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeldWeights {
    /// Block of its last weight setting or commitment, or of its registration; 0 is never.
    pub last_update: BlockNumber,
    pub weights: Vec<(u16, u16)>,
}

/// What was never set.
static NOTHING: HeldWeights = HeldWeights { last_update: 0, weights: Vec::new() };

impl Neuron {
    pub fn registered(hotkey: AccountId, coldkey: AccountId, block: BlockNumber) -> Neuron {
        let held = vec![HeldWeights { last_update: block, weights: Vec::new() }];
        Neuron { hotkey, coldkey, stake_rao: 0, validator_permit: false, axon: None, registered_at: block, held }
    }

    pub fn held(&self, mechanism: u8) -> &HeldWeights {
        self.held.get(usize::from(mechanism)).unwrap_or(&NOTHING)
    }
}

/// All that blocks change.
#[derive(Clone, Debug)]
pub struct Subnet {
    pub netuid: Netuid,
    pub hyperparameters: Hyperparameters,
    /// By uid. Most blocks change none of them, so the states of blocks share them.
    pub neurons: Arc<Vec<Neuron>>,
    pub epochs: Epochs,
    /// By the number of the mechanism, and hotkey.
    pub hash_commits: BTreeMap<(u16, AccountId), VecDeque<HashCommit>>,
    /// By the number of the mechanism, and epoch.
    pub timelocked: BTreeMap<(u16, u64), VecDeque<TimelockedCommit>>,
    pub burn: Burn,
    nonces: BTreeMap<AccountId, u32>,
    balances_rao: BTreeMap<AccountId, u64>,
}

impl Subnet {
    pub fn new(genesis: Genesis) -> Subnet {
        let balances_rao = genesis.balances_rao();
        let Genesis { netuid, neurons, hyperparameters, .. } = genesis;
        Subnet {
            netuid,
            hyperparameters,
            neurons: Arc::new(neurons.iter().map(from_genesis).collect()),
            epochs: Epochs::default(),
            hash_commits: BTreeMap::new(),
            timelocked: BTreeMap::new(),
            burn: Burn::default(),
            nonces: BTreeMap::new(),
            balances_rao,
        }
    }

    /// Whether there is such a mechanism.
    pub fn has(&self, at: Place) -> bool {
        at.netuid == self.netuid.0 && at.mechanism < self.hyperparameters.mechanisms
    }

    /// What a neuron has set, to be changed; `None` for a uid that nobody has.
    pub fn weights_mut(&mut self, uid: u16, mechanism: u8) -> Option<&mut HeldWeights> {
        let held = &mut Arc::make_mut(&mut self.neurons).get_mut(usize::from(uid))?.held;
        let place = usize::from(mechanism);
        if held.len() <= place {
            held.resize_with(place + 1, HeldWeights::default);
        }
        held.get_mut(place)
    }

    /// What an account has, in RAO.
    pub fn balance(&self, account: &AccountId) -> u64 {
        self.balances_rao.get(account).copied().unwrap_or(0)
    }

    pub fn pay(&mut self, account: &AccountId, rao: u64) {
        let balance = self.balances_rao.entry(*account).or_default();
        *balance = balance.saturating_sub(rao);
    }

    /// The neuron of a hotkey, with its uid.
    pub fn neuron(&self, hotkey: &AccountId) -> Option<(u16, &Neuron)> {
        (0..).zip(self.neurons.iter()).find(|(_, neuron)| neuron.hotkey == *hotkey)
    }

    pub fn neuron_mut(&mut self, hotkey: &AccountId) -> Option<&mut Neuron> {
        Arc::make_mut(&mut self.neurons).iter_mut().find(|neuron| neuron.hotkey == *hotkey)
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
        registered_at: 0,
        held: Vec::new(),
    }
}

fn announced(address: SocketAddr) -> Axon {
    let (ip, ip_type) = match address.ip() {
        IpAddr::V4(ip) => (u128::from(u32::from(ip)), 4),
        IpAddr::V6(ip) => (u128::from(ip), 6),
    };
    Axon { ip, ip_type, port: address.port(), protocol: 4, ..Axon::default() }
}
