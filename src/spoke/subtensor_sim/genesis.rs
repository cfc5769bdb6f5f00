//! What the chain begins with: the neurons of one subnet, from a JSON file.

use std::{collections::BTreeSet, net::SocketAddr};

use serde::{Deserialize, Serialize};

use crate::units::{Hotkey, Netuid};

/// The real chain allows so many neurons in a subnet.
const NEURONS_MAX: usize = 256;

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
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SubnetFile {
    neurons: Vec<GenesisNeuron>,
    #[serde(default)]
    hyperparameters: Hyperparameters,
}

impl Genesis {
    /// Reads the file: a list of neurons, or `{"neurons": […], "hyperparameters": {…}}`.
    pub fn read(text: &str, netuid: Netuid) -> Result<Genesis, GenesisError> {
        // The shape is chosen by its first letter, so that an error in it is told and not swallowed.
        let (neurons, hyperparameters) = if text.trim_start().starts_with('[') {
            (serde_json::from_str(text)?, Hyperparameters::default())
        } else {
            let file: SubnetFile = serde_json::from_str(text)?;
            (file.neurons, file.hyperparameters)
        };
        Genesis::new(netuid, neurons, hyperparameters)
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
        Ok(Genesis { netuid, neurons, hyperparameters })
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
    fn a_bad_file_is_refused_with_its_fault() {
        assert!(read("[{}]").unwrap_err().contains("missing field `uid`"));
        assert!(read(&format!("[{}]", neuron(1, ""))).unwrap_err().contains("uid 0 is missing"));
        assert!(read(&format!("[{}, {}]", neuron(0, ""), neuron(1, ""))).unwrap_err().contains("two uids"));
        assert!(read(&format!("[{}]", neuron(0, r#", "stake": 1"#))).unwrap_err().contains("unknown field `stake`"));
        assert!(read(&format!("[{}]", neuron(0, "").replace("1.5", "-1"))).unwrap_err().contains("a stake of -1"));
    }
}
