//! `SubtensorModule`, as far as it is simulated: what its calls do, and what its extension refuses before they enter
//! the pool. Weights, commitments and registration have rooms of their own; axons are here.

use super::{
    Dispatched,
    call::{PalletCall, Place},
    commits,
    event::Event,
    registration,
    subnet::{Axon, Subnet},
    weights,
};
use crate::units::{AccountId, BlockNumber};

/// RAO in a TAO.
pub const RAO: u64 = 1_000_000_000;

/// Refusals of the pool, by the numbers of the chain's own extension.
pub mod custom {
    pub const STAKE_TOO_LOW: u8 = 1;
    pub const BALANCE_TOO_LOW: u8 = 2;
    pub const NOT_REGISTERED: u8 = 10;
    pub const INVALID_IP: u8 = 11;
    pub const SERVING_RATE_LIMIT: u8 = 12;
    pub const INVALID_PORT: u8 = 13;
    pub const INVALID_REVEAL_ROUND: u8 = 15;
    pub const NO_COMMIT: u8 = 16;
    pub const NOT_IN_REVEAL_RANGE: u8 = 17;
    pub const BAD_REQUEST: u8 = 255;
}

/// The block that a call is executed in.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub block: BlockNumber,
    /// Newest round of drand that the chain has.
    pub last_round: u64,
}

pub fn refuse_if(refused: bool, error: &'static str) -> Result<(), &'static str> {
    if refused { Err(error) } else { Ok(()) }
}

/// Whether `last` (0: never) is less than `limit` blocks ago.
pub fn too_fast(limit: u64, last: BlockNumber, number: BlockNumber) -> bool {
    last != 0 && number.saturating_sub(last) < limit
}

/// What the chain's extension looks at before a call enters the pool: the number of its refusal.
pub fn admit(subnet: &Subnet, now: Moment, signer: &AccountId, call: &PalletCall) -> Result<(), u8> {
    match call {
        PalletCall::SetWeights { at, .. } | PalletCall::CommitWeights { at, .. } => has_stake(subnet, *at, signer),
        PalletCall::RevealWeights { at, row, salt } => {
            has_stake(subnet, *at, signer)?;
            let hash = commits::revealed_hash(signer, *at, row, salt);
            let held = subnet.hash_commits.get(&(at.index(), *signer));
            let held = held.and_then(|held| held.iter().find(|commit| commit.hash == hash));
            let epoch = held.ok_or(custom::NO_COMMIT)?.epoch.saturating_add(subnet.hyperparameters.reveal_period);
            if epoch == subnet.epochs.index { Ok(()) } else { Err(custom::NOT_IN_REVEAL_RANGE) }
        }
        PalletCall::CommitTimelocked { at, reveal_round, .. } => {
            has_stake(subnet, *at, signer)?;
            if *reveal_round < now.last_round { Err(custom::INVALID_REVEAL_ROUND) } else { Ok(()) }
        }
        PalletCall::ServeAxon { netuid, axon } => serve(subnet, now, signer, *netuid, axon).map_err(number_of),
        PalletCall::BurnedRegister { .. } | PalletCall::RegisterLimit { .. } if subnet.balance(signer) == 0 => {
            Err(custom::BALANCE_TOO_LOW)
        }
        PalletCall::BurnedRegister { .. } | PalletCall::RegisterLimit { .. } => Ok(()),
    }
}

/// Of a subnet that does not exist nothing is asked yet.
fn has_stake(subnet: &Subnet, at: Place, signer: &AccountId) -> Result<(), u8> {
    match subnet.neuron(signer) {
        Some((_, neuron)) if at.netuid == subnet.netuid.0 && !weights::has_stake(subnet, neuron) => {
            Err(custom::STAKE_TOO_LOW)
        }
        _ => Ok(()),
    }
}

fn number_of(error: &str) -> u8 {
    match error {
        "HotKeyNotRegisteredInNetwork" => custom::NOT_REGISTERED,
        "InvalidIpAddress" => custom::INVALID_IP,
        "ServingRateLimitExceeded" => custom::SERVING_RATE_LIMIT,
        "InvalidPort" => custom::INVALID_PORT,
        _ => custom::BAD_REQUEST,
    }
}

/// Executes a call.
pub fn dispatch(subnet: &mut Subnet, now: Moment, signer: &AccountId, call: &PalletCall) -> Dispatched {
    match call {
        PalletCall::SetWeights { at, row } => weights::set(subnet, now, signer, *at, row),
        PalletCall::CommitWeights { at, hash } => commits::commit(subnet, now, signer, *at, *hash),
        PalletCall::RevealWeights { at, row, salt } => commits::reveal(subnet, now, signer, *at, (row, salt)),
        PalletCall::CommitTimelocked { at, commit, reveal_round, version } => {
            commits::commit_timelocked(subnet, now, signer, *at, (commit, *reveal_round, *version))
        }
        PalletCall::ServeAxon { netuid, axon } => {
            serve(subnet, now, signer, *netuid, axon)?;
            if let Some(neuron) = subnet.neuron_mut(signer) {
                neuron.axon = Some(Axon { block: now.block, ..*axon });
            }
            Ok(vec![Event::axon_served(*netuid, signer)])
        }
        PalletCall::BurnedRegister { netuid, hotkey } => {
            registration::register(subnet, now, signer, (*netuid, *hotkey), None)
        }
        PalletCall::RegisterLimit { netuid, hotkey, limit_rao } => {
            registration::register(subnet, now, signer, (*netuid, *hotkey), Some(*limit_rao))
        }
    }
}

/// Whether the signer may announce that address now.
fn serve(subnet: &Subnet, now: Moment, signer: &AccountId, netuid: u16, axon: &Axon) -> Result<(), &'static str> {
    let neuron = subnet.neuron(signer).filter(|_| netuid == subnet.netuid.0);
    let (_, neuron) = neuron.ok_or("HotKeyNotRegisteredInNetwork")?;
    refuse_if(!matches!(axon.ip_type, 4 | 6), "InvalidIpType")?;
    let broadcast = if axon.ip_type == 4 { u128::from(u32::MAX) } else { u128::MAX };
    // The real pallet refuses 127.0.0.1 and ::1 as well; a subnet on one machine needs them.
    refuse_if(axon.ip == 0 || axon.ip >= broadcast, "InvalidIpAddress")?;
    let last = neuron.axon.map_or(0, |announced| announced.block);
    refuse_if(too_fast(subnet.hyperparameters.serving_rate_limit, last, now.block), "ServingRateLimitExceeded")?;
    refuse_if(axon.port == 0, "InvalidPort")
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            call::Row,
            genesis::{Genesis, GenesisNeuron, Hyperparameters},
        },
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

    fn now(block: BlockNumber) -> Moment {
        Moment { block, last_round: 0 }
    }

    fn weights_in(netuid: u16, dests: &[u16], weights: &[u16]) -> PalletCall {
        let row = Row { dests: dests.to_vec(), weights: weights.to_vec(), version_key: 7 };
        PalletCall::SetWeights { at: Place { netuid, mechanism: 0 }, row }
    }

    fn weights(dests: &[u16], weights: &[u16]) -> PalletCall {
        weights_in(128, dests, weights)
    }

    fn refused(of: Hyperparameters, signer: AccountId, call: &PalletCall) -> &'static str {
        dispatch(&mut subnet(of), now(10), &signer, call).unwrap_err()
    }

    #[test]
    fn weights_are_kept_upscaled_and_move_the_last_update() {
        let mut subnet = subnet(Hyperparameters::default());
        let done = dispatch(&mut subnet, now(10), &VALIDATOR, &weights(&[1, 2], &[100, 50])).unwrap();
        assert_eq!(done, [Event::weights_set(128, 0)]);
        assert_eq!(subnet.neurons[0].held(0).weights, [(1, 65535), (2, 32767)]);
        assert_eq!(subnet.neurons[0].held(0).last_update, 10);
    }

    #[test]
    fn weights_are_refused_by_the_names_of_the_pallet() {
        let plain = Hyperparameters::default;
        let good = weights(&[1, 2], &[1, 2]);
        let elsewhere = weights_in(1, &[1], &[1]);
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
        assert!(dispatch(&mut subnet, now(10), &VALIDATOR, &call).is_ok());
        assert_eq!(dispatch(&mut subnet, now(14), &VALIDATOR, &call), Err("SettingWeightsTooFast"));
        assert!(dispatch(&mut subnet, now(15), &VALIDATOR, &call).is_ok());
    }

    #[test]
    fn a_neuron_without_a_permit_may_weigh_itself() {
        assert!(dispatch(&mut subnet(Hyperparameters::default()), now(10), &MINER, &weights(&[1], &[1])).is_ok());
    }

    #[test]
    fn an_axon_is_refused_by_number_before_it_enters_the_pool() {
        let mut subnet = subnet(Hyperparameters::default());
        let served = |ip: u128, port: u16, ip_type: u8| PalletCall::ServeAxon {
            netuid: 128,
            axon: Axon { ip, port, ip_type, ..Axon::default() },
        };
        let good = served(0x7f00_0001, 9091, 4);
        assert_eq!(admit(&subnet, now(1), &STRANGER, &good), Err(custom::NOT_REGISTERED));
        assert_eq!(admit(&subnet, now(1), &MINER, &served(0, 9091, 4)), Err(custom::INVALID_IP));
        assert_eq!(admit(&subnet, now(1), &MINER, &served(u128::from(u32::MAX), 9091, 4)), Err(custom::INVALID_IP));
        assert_eq!(admit(&subnet, now(1), &MINER, &served(1, 0, 6)), Err(custom::INVALID_PORT));
        assert_eq!(admit(&subnet, now(1), &MINER, &served(1, 1, 5)), Err(custom::BAD_REQUEST));
        dispatch(&mut subnet, now(10), &MINER, &good).unwrap();
        assert_eq!(subnet.neurons[1].axon.unwrap().block, 10);
        assert_eq!(admit(&subnet, now(59), &MINER, &good), Err(custom::SERVING_RATE_LIMIT));
        assert_eq!(admit(&subnet, now(60), &MINER, &good), Ok(()));
    }
}
