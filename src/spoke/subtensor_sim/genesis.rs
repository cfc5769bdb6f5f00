//! What the chain begins with: the neurons of one subnet, from a JSON file.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use serde::{Deserialize, Serialize};

use super::registration::NEURONS_MAX;
use crate::units::{AccountId, Hotkey, Netuid};

/// RAO in a TAO.
const RAO: f64 = 1e9;

/// A neuron as the file lists it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisNeuron {
    pub uid: u16,
    pub hotkey: Hotkey,
    pub coldkey: Hotkey,
    pub stake_tao: f64,
    pub validator_permit: bool,
    #[serde(default)]
    pub axon: Option<SocketAddr>,
}

impl GenesisNeuron {
    pub fn stake_rao(&self) -> u64 {
        (self.stake_tao * RAO) as u64
    }
}

/// What the owner of a subnet sets. The defaults are those of the real chain, but commit-reveal is off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Hyperparameters {
    /// Blocks per epoch.
    pub tempo: u16,
    /// Blocks between two weight settings of a neuron.
    pub weights_rate_limit: u64,
    /// Blocks between two announcements of an axon.
    pub serving_rate_limit: u64,
    /// Least version key of weights; 0 takes any.
    pub weights_version: u64,
    pub min_allowed_weights: u16,
    pub max_weights_limit: u16,
    pub commit_reveal: bool,
    /// Epochs from a commitment to its reveal.
    pub reveal_period: u64,
    /// Kinds of weights that a neuron sets beside each other.
    pub mechanisms: u8,
    /// Stake that setting weights needs, in TAO.
    pub stake_threshold_tao: u32,
}

impl Default for Hyperparameters {
    fn default() -> Hyperparameters {
        Hyperparameters {
            tempo: 360,
            weights_rate_limit: 100,
            serving_rate_limit: 50,
            weights_version: 0,
            min_allowed_weights: 1,
            max_weights_limit: u16::MAX,
            commit_reveal: false,
            reveal_period: 1,
            mechanisms: 1,
            stake_threshold_tao: 0,
        }
    }
}

/// The state of block 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Genesis {
    pub netuid: Netuid,
    /// By uid, without a gap.
    pub neurons: Vec<GenesisNeuron>,
    pub hyperparameters: Hyperparameters,
    /// What accounts have beside stake, in TAO.
    pub balances_tao: BTreeMap<Hotkey, f64>,
}

/// Why a file is no genesis.
#[derive(Debug, thiserror::Error)]
pub enum GenesisError {
    #[error("neurons: {0}")]
    Json(#[from] serde_json::Error),
    #[error("neurons: uid {0} is missing; uids count from 0 without a gap, each once")]
    Uids(usize),
    #[error("neurons: {0}, a subnet has at most {NEURONS_MAX}")]
    TooMany(usize),
    #[error("neurons: hotkey {0} has two uids")]
    Twice(Hotkey),
    #[error("neurons: uid {0} has a stake of {1} TAO")]
    Stake(u16, f64),
    #[error("balances: {0} has {1} TAO")]
    Balance(Hotkey, f64),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SubnetFile {
    neurons: Vec<GenesisNeuron>,
    #[serde(default)]
    hyperparameters: Hyperparameters,
    #[serde(default)]
    balances: BTreeMap<Hotkey, f64>,
}

impl Genesis {
    /// Reads the file: a list of neurons, or `{"neurons": […], "hyperparameters": {…}, "balances": {ss58: TAO}}`.
    pub fn read(text: &str, netuid: Netuid) -> Result<Genesis, GenesisError> {
        // The shape is chosen by its first letter, so that an error in it is told and not swallowed.
        if text.trim_start().starts_with('[') {
            return Genesis::new(netuid, serde_json::from_str(text)?, Hyperparameters::default());
        }
        let file: SubnetFile = serde_json::from_str(text)?;
        let genesis = Genesis::new(netuid, file.neurons, file.hyperparameters)?;
        file.balances.into_iter().try_fold(genesis, |genesis, (account, tao)| genesis.with_balance(account, tao))
    }

    /// The account has so much from the beginning.
    pub fn with_balance(mut self, account: Hotkey, tao: f64) -> Result<Genesis, GenesisError> {
        if !(0.0..=1e9).contains(&tao) {
            return Err(GenesisError::Balance(account, tao));
        }
        self.balances_tao.insert(account, tao);
        Ok(self)
    }

    pub(super) fn balances_rao(&self) -> BTreeMap<AccountId, u64> {
        // A key of a genesis was read as SS58, so it has an account.
        let rao = |(key, tao): (&Hotkey, &f64)| Some((key.account().ok()?, (tao * RAO) as u64));
        self.balances_tao.iter().filter_map(rao).collect()
    }

    /// Checks the neurons and puts them in order.
    pub fn new(
        netuid: Netuid,
        mut neurons: Vec<GenesisNeuron>,
        hyperparameters: Hyperparameters,
    ) -> Result<Genesis, GenesisError> {
        if neurons.len() > NEURONS_MAX {
            return Err(GenesisError::TooMany(neurons.len()));
        }
        neurons.sort_by_key(|neuron| neuron.uid);
        if let Some(missing) = neurons.iter().enumerate().find(|(uid, of)| *uid != usize::from(of.uid)) {
            return Err(GenesisError::Uids(missing.0));
        }
        if let Some(of) = neurons.iter().find(|of| !(0.0..=1e9).contains(&of.stake_tao)) {
            return Err(GenesisError::Stake(of.uid, of.stake_tao));
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = neurons.iter().find(|of| !seen.insert(&of.hotkey)) {
            return Err(GenesisError::Twice(twice.hotkey.clone()));
        }
        Ok(Genesis { netuid, neurons, hyperparameters, balances_tao: BTreeMap::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOTKEY: &str = "5FLGJvNvq2seB59UkKb2ftuVRab1aHzMVxuPJtPAyfsZ3vKY";

    fn neuron(uid: u16, rest: &str) -> String {
        format!(
            r#"{{"uid": {uid}, "hotkey": "{HOTKEY}", "coldkey": "{HOTKEY}", "stake_tao": 1.5, "validator_permit": true{rest}}}"#
        )
    }

    fn read(text: &str) -> Result<Genesis, String> {
        Genesis::read(text, Netuid(128)).map_err(|why| why.to_string())
    }

    #[test]
    fn a_list_of_neurons_is_a_subnet() {
        let genesis = read(&format!("[{}]", neuron(0, r#", "axon": "127.0.0.1:9091""#))).unwrap();
        assert_eq!(genesis.neurons[0].stake_rao(), 1_500_000_000);
        assert_eq!(genesis.neurons[0].axon.unwrap().port(), 9091);
        assert_eq!(genesis.hyperparameters, Hyperparameters::default());
        assert_eq!(read(&format!("[{}]", neuron(0, r#", "axon": null"#))).unwrap().neurons[0].axon, None);
    }

    #[test]
    fn the_owner_may_set_hyperparameters() {
        let text = format!(r#"{{"neurons": [{}], "hyperparameters": {{"tempo": 10}}}}"#, neuron(0, ""));
        let hyperparameters = read(&text).unwrap().hyperparameters;
        assert_eq!((hyperparameters.tempo, hyperparameters.weights_rate_limit), (10, 100));
    }

    #[test]
    fn an_account_may_have_something() {
        let text = |tao: &str| format!(r#"{{"neurons": [], "balances": {{"{HOTKEY}": {tao}}}}}"#);
        assert_eq!(read(&text("1.5")).unwrap().balances_rao().into_values().collect::<Vec<_>>(), [1_500_000_000]);
        assert!(read(&text("-1")).unwrap_err().contains("has -1 TAO"));
    }

    #[test]
    fn a_bad_file_is_refused_with_its_fault() {
        assert!(read("[{}]").unwrap_err().contains("missing field `uid`"));
        assert!(read(&format!("[{}]", neuron(1, ""))).unwrap_err().contains("uid 0 is missing"));
        assert!(read(&format!("[{}, {}]", neuron(0, ""), neuron(1, ""))).unwrap_err().contains("two uids"));
        assert!(read(&format!("[{}]", neuron(0, r#", "stake": 1"#))).unwrap_err().contains("unknown field `stake`"));
        assert!(read(&format!("[{}]", neuron(0, "").replace("1.5", "-1"))).unwrap_err().contains("a stake of -1"));
    }
}
