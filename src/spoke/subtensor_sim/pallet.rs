//! `SubtensorModule`, as far as it is simulated: `set_weights` and `serve_axon` with the pallet's own checks, in
//! the pallet's order, refused by the pallet's own names.

use scale_value::{At, Value, ValueDef};

use super::{
    Dispatched,
    event::Event,
    subnet::{Axon, Neuron, Subnet},
};
use crate::units::{AccountId, BlockNumber};

/// RAO in a TAO.
const RAO: u64 = 1_000_000_000;

/// A call that the node executes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PalletCall {
    SetWeights { netuid: u16, dests: Vec<u16>, weights: Vec<u16>, version_key: u64 },
    ServeAxon { netuid: u16, axon: Axon },
}

/// Refusals of the pool, by the numbers of the chain's own extension.
pub mod custom {
    pub const STAKE_TOO_LOW: u8 = 1;
    pub const NOT_REGISTERED: u8 = 10;
    pub const INVALID_IP: u8 = 11;
    pub const SERVING_RATE_LIMIT: u8 = 12;
    pub const INVALID_PORT: u8 = 13;
    pub const BAD_REQUEST: u8 = 255;
}

impl PalletCall {
    /// `None` for every other call.
    pub fn read(name: &str, arguments: &Value) -> Option<PalletCall> {
        let number = |field: &str| arguments.at(field).and_then(Value::as_u128);
        let netuid = u16::try_from(number("netuid")?).ok()?;
        Some(match name {
            "SubtensorModule.set_weights" => PalletCall::SetWeights {
                netuid,
                dests: list(arguments.at("dests")?)?,
                weights: list(arguments.at("weights")?)?,
                version_key: number("version_key")?.try_into().ok()?,
            },
            "SubtensorModule.serve_axon" => {
                let byte = |field: &str| number(field).and_then(|number| u8::try_from(number).ok());
                let axon = Axon {
                    block: 0,
                    version: number("version")?.try_into().ok()?,
                    ip: number("ip")?,
                    port: number("port")?.try_into().ok()?,
                    ip_type: byte("ip_type")?,
                    protocol: byte("protocol")?,
                    placeholder1: byte("placeholder1")?,
                    placeholder2: byte("placeholder2")?,
                };
                PalletCall::ServeAxon { netuid, axon }
            }
            _ => return None,
        })
    }
}

fn list(value: &Value) -> Option<Vec<u16>> {
    let ValueDef::Composite(parts) = &value.value else { return None };
    parts.values().map(|part| part.as_u128().and_then(|number| u16::try_from(number).ok())).collect()
}

/// What the chain's extension looks at before a call enters the pool: the number of its refusal.
pub fn admit(subnet: &Subnet, next_block: BlockNumber, signer: &AccountId, call: &PalletCall) -> Result<(), u8> {
    match call {
        PalletCall::SetWeights { netuid, .. } if *netuid == subnet.netuid.0 => match subnet.neuron(signer) {
            Some((_, neuron)) if !has_stake(subnet, neuron) => Err(custom::STAKE_TOO_LOW),
            _ => Ok(()),
        },
        PalletCall::SetWeights { .. } => Ok(()),
        PalletCall::ServeAxon { netuid, axon } => {
            serve(subnet, next_block, signer, *netuid, axon).map_err(|error| match error {
                "HotKeyNotRegisteredInNetwork" => custom::NOT_REGISTERED,
                "InvalidIpAddress" => custom::INVALID_IP,
                "ServingRateLimitExceeded" => custom::SERVING_RATE_LIMIT,
                "InvalidPort" => custom::INVALID_PORT,
                _ => custom::BAD_REQUEST,
            })
        }
    }
}

/// Executes a call in block `number`.
pub fn dispatch(subnet: &mut Subnet, number: BlockNumber, signer: &AccountId, call: &PalletCall) -> Dispatched {
    match call {
        PalletCall::SetWeights { netuid, dests, weights, version_key } => {
            let uid = check_weights(subnet, number, signer, *netuid, (dests, weights), *version_key)?;
            if let Some(neuron) = subnet.neuron_mut(signer) {
                neuron.weights = dests.iter().copied().zip(upscaled(weights)).collect();
                neuron.last_update = number;
            }
            Ok(vec![Event::weights_set(*netuid, uid)])
        }
        PalletCall::ServeAxon { netuid, axon } => {
            serve(subnet, number, signer, *netuid, axon)?;
            if let Some(neuron) = subnet.neuron_mut(signer) {
                neuron.axon = Some(Axon { block: number, ..*axon });
            }
            Ok(vec![Event::axon_served(*netuid, signer)])
        }
    }
}

/// The uid of the signer, if it may set these weights now.
fn check_weights(
    subnet: &Subnet,
    number: BlockNumber,
    signer: &AccountId,
    netuid: u16,
    (dests, weights): (&[u16], &[u16]),
    version_key: u64,
) -> Result<u16, &'static str> {
    let of = &subnet.hyperparameters;
    let exists = netuid == subnet.netuid.0;
    refuse_if(exists && of.commit_reveal, "CommitRevealEnabled")?;
    refuse_if(dests.len() != weights.len(), "WeightVecNotEqualSize")?;
    refuse_if(!exists, "MechanismDoesNotExist")?;
    refuse_if(dests.len() > subnet.neurons.len(), "UidsLengthExceedUidsInSubNet")?;
    let (uid, neuron) = subnet.neuron(signer).ok_or("HotKeyNotRegisteredInSubNet")?;
    refuse_if(!has_stake(subnet, neuron), "NotEnoughStakeToSetWeights")?;
    refuse_if(of.weights_version != 0 && version_key < of.weights_version, "IncorrectWeightVersionKey")?;
    refuse_if(too_fast(of.weights_rate_limit, neuron.last_update, number), "SettingWeightsTooFast")?;
    let to_itself = dests == [uid];
    refuse_if(!to_itself && !neuron.validator_permit, "NeuronNoValidatorPermit")?;
    refuse_if((1..dests.len()).any(|place| dests[..place].contains(&dests[place])), "DuplicateUids")?;
    refuse_if(dests.iter().any(|dest| usize::from(*dest) >= subnet.neurons.len()), "UidVecContainInvalidOne")?;
    let least = usize::from(of.min_allowed_weights).min(subnet.neurons.len());
    refuse_if(!to_itself && dests.len() < least, "WeightVecLengthIsLow")?;
    refuse_if(!to_itself && over_limit(weights, of.max_weights_limit), "MaxWeightExceeded")?;
    Ok(uid)
}

fn refuse_if(refused: bool, error: &'static str) -> Result<(), &'static str> {
    if refused { Err(error) } else { Ok(()) }
}

fn has_stake(subnet: &Subnet, neuron: &Neuron) -> bool {
    neuron.stake_rao >= u64::from(subnet.hyperparameters.stake_threshold_tao) * RAO
}

/// Whether `last` (0: never) is less than `limit` blocks ago.
fn too_fast(limit: u64, last: BlockNumber, number: BlockNumber) -> bool {
    last != 0 && number.saturating_sub(last) < limit
}

/// The largest becomes 65535.
fn upscaled(weights: &[u16]) -> Vec<u16> {
    let largest = u64::from(weights.iter().copied().max().unwrap_or(0));
    let scaled = |weight: u16| u16::try_from(u64::from(weight) * u64::from(u16::MAX) / largest.max(1));
    weights.iter().map(|weight| scaled(*weight).unwrap_or(u16::MAX)).collect()
}

/// Whether the largest weight is over `limit` when all together are scaled to 65535.
fn over_limit(weights: &[u16], limit: u16) -> bool {
    let sum: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
    let largest = u64::from(weights.iter().copied().max().unwrap_or(0));
    limit != u16::MAX && sum != 0 && largest * u64::from(u16::MAX) / sum > u64::from(limit)
}

/// Whether the signer may announce that address now.
fn serve(
    subnet: &Subnet,
    number: BlockNumber,
    signer: &AccountId,
    netuid: u16,
    axon: &Axon,
) -> Result<(), &'static str> {
    let neuron = subnet.neuron(signer).filter(|_| netuid == subnet.netuid.0);
    let (_, neuron) = neuron.ok_or("HotKeyNotRegisteredInNetwork")?;
    refuse_if(!matches!(axon.ip_type, 4 | 6), "InvalidIpType")?;
    let broadcast = if axon.ip_type == 4 { u128::from(u32::MAX) } else { u128::MAX };
    // The real pallet refuses 127.0.0.1 and ::1 as well; a subnet on one machine needs them.
    refuse_if(axon.ip == 0 || axon.ip >= broadcast, "InvalidIpAddress")?;
    let last = neuron.axon.map_or(0, |announced| announced.block);
    refuse_if(too_fast(subnet.hyperparameters.serving_rate_limit, last, number), "ServingRateLimitExceeded")?;
    refuse_if(axon.port == 0, "InvalidPort")
}

#[cfg(test)]
mod tests {
    use super::{
        super::genesis::{Genesis, GenesisNeuron, Hyperparameters},
        *,
    };
    use crate::units::{Hotkey, Netuid};

    const VALIDATOR: AccountId = [1; 32];
    const MINER: AccountId = [2; 32];
    const STRANGER: AccountId = [9; 32];

    fn subnet(hyperparameters: Hyperparameters) -> Subnet {
        let neuron = |uid: u16, account: &AccountId| GenesisNeuron {
            uid,
            hotkey: Hotkey::from_account(account),
            coldkey: Hotkey::from_account(&[7; 32]),
            stake_tao: 100.0,
            validator_permit: uid == 0,
            axon: None,
        };
        let neurons = vec![neuron(0, &VALIDATOR), neuron(1, &MINER), neuron(2, &[3; 32])];
        Subnet::new(Genesis::new(Netuid(128), neurons, hyperparameters).unwrap())
    }

    fn weights(dests: &[u16], weights: &[u16]) -> PalletCall {
        PalletCall::SetWeights { netuid: 128, dests: dests.to_vec(), weights: weights.to_vec(), version_key: 7 }
    }

    fn refused(of: Hyperparameters, signer: AccountId, call: &PalletCall) -> &'static str {
        dispatch(&mut subnet(of), 10, &signer, call).unwrap_err()
    }

    #[test]
    fn weights_are_kept_upscaled_and_move_the_last_update() {
        let mut subnet = subnet(Hyperparameters::default());
        let done = dispatch(&mut subnet, 10, &VALIDATOR, &weights(&[1, 2], &[100, 50])).unwrap();
        assert_eq!(done, [Event::weights_set(128, 0)]);
        assert_eq!(subnet.neurons[0].weights, [(1, 65535), (2, 32767)]);
        assert_eq!(subnet.neurons[0].last_update, 10);
    }

    #[test]
    fn weights_are_refused_by_the_names_of_the_pallet() {
        let plain = Hyperparameters::default;
        let good = weights(&[1, 2], &[1, 2]);
        let elsewhere = PalletCall::SetWeights { netuid: 1, dests: vec![1], weights: vec![1], version_key: 7 };
        let secret = Hyperparameters { commit_reveal: true, ..plain() };
        let newer = Hyperparameters { weights_version: 8, ..plain() };
        let rich = Hyperparameters { stake_threshold_tao: 101, ..plain() };
        let wide = Hyperparameters { min_allowed_weights: 3, ..plain() };
        let flat = Hyperparameters { max_weights_limit: 40000, ..plain() };
        assert_eq!(refused(secret, VALIDATOR, &good), "CommitRevealEnabled");
        assert_eq!(refused(plain(), VALIDATOR, &weights(&[1], &[1, 2])), "WeightVecNotEqualSize");
        assert_eq!(refused(plain(), VALIDATOR, &elsewhere), "MechanismDoesNotExist");
        assert_eq!(refused(plain(), VALIDATOR, &weights(&[0; 4], &[0; 4])), "UidsLengthExceedUidsInSubNet");
        assert_eq!(refused(plain(), STRANGER, &good), "HotKeyNotRegisteredInSubNet");
        assert_eq!(refused(rich, VALIDATOR, &good), "NotEnoughStakeToSetWeights");
        assert_eq!(refused(newer, VALIDATOR, &good), "IncorrectWeightVersionKey");
        assert_eq!(refused(plain(), MINER, &good), "NeuronNoValidatorPermit");
        assert_eq!(refused(plain(), VALIDATOR, &weights(&[1, 1], &[1, 2])), "DuplicateUids");
        assert_eq!(refused(plain(), VALIDATOR, &weights(&[1, 3], &[1, 2])), "UidVecContainInvalidOne");
        assert_eq!(refused(wide, VALIDATOR, &good), "WeightVecLengthIsLow");
        assert_eq!(refused(flat, VALIDATOR, &good), "MaxWeightExceeded");
    }

    #[test]
    fn weights_may_be_set_again_after_the_rate_limit() {
        let mut subnet = subnet(Hyperparameters { weights_rate_limit: 5, ..Hyperparameters::default() });
        let call = weights(&[1], &[1]);
        assert!(dispatch(&mut subnet, 10, &VALIDATOR, &call).is_ok());
        assert_eq!(dispatch(&mut subnet, 14, &VALIDATOR, &call), Err("SettingWeightsTooFast"));
        assert!(dispatch(&mut subnet, 15, &VALIDATOR, &call).is_ok());
    }

    #[test]
    fn a_neuron_without_a_permit_may_weigh_itself() {
        assert!(dispatch(&mut subnet(Hyperparameters::default()), 10, &MINER, &weights(&[1], &[1])).is_ok());
    }

    #[test]
    fn an_axon_is_refused_by_number_before_it_enters_the_pool() {
        let mut subnet = subnet(Hyperparameters::default());
        let served = |ip: u128, port: u16, ip_type: u8| PalletCall::ServeAxon {
            netuid: 128,
            axon: Axon { ip, port, ip_type, ..Axon::default() },
        };
        let good = served(0x7f00_0001, 9091, 4);
        assert_eq!(admit(&subnet, 1, &STRANGER, &good), Err(custom::NOT_REGISTERED));
        assert_eq!(admit(&subnet, 1, &MINER, &served(0, 9091, 4)), Err(custom::INVALID_IP));
        assert_eq!(admit(&subnet, 1, &MINER, &served(u128::from(u32::MAX), 9091, 4)), Err(custom::INVALID_IP));
        assert_eq!(admit(&subnet, 1, &MINER, &served(1, 0, 6)), Err(custom::INVALID_PORT));
        assert_eq!(admit(&subnet, 1, &MINER, &served(1, 1, 5)), Err(custom::BAD_REQUEST));
        dispatch(&mut subnet, 10, &MINER, &good).unwrap();
        assert_eq!(subnet.neurons[1].axon.unwrap().block, 10);
        assert_eq!(admit(&subnet, 59, &MINER, &good), Err(custom::SERVING_RATE_LIMIT));
        assert_eq!(admit(&subnet, 60, &MINER, &good), Ok(()));
    }
}
