//! Registration by burning TAO: a cheap model of the price, and the place that is bought.

use std::sync::Arc;

use super::{
    event::Event,
    pallet::{Moment, RAO, refuse_if},
    subnet::{Neuron, Subnet},
};
use crate::units::{AccountId, BlockNumber};

/// The real chain allows so many neurons in a subnet.
pub const NEURONS_MAX: usize = 256;

/// What a place costs at first, at least and at most, in RAO.
const BURN_RAO: u64 = RAO / 10;
pub const BURN_MIN_RAO: u64 = 500_000;
pub const BURN_MAX_RAO: u64 = 100 * RAO;

/// It rises by that with each registration, in percent, and halves in so many blocks.
const BURN_RISE_PERCENT: u64 = 126;
const BURN_HALF_LIFE: u64 = 360;

/// The price after the last registration, and when that was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Burn {
    rao: u64,
    since: BlockNumber,
}

impl Default for Burn {
    fn default() -> Burn {
        Burn { rao: BURN_RAO, since: 0 }
    }
}

impl Burn {
    /// What a place costs in that block, in RAO. It falls once in a half-life, and not steadily as on the real chain.
    pub fn price(self, block: BlockNumber) -> u64 {
        let halvings = block.saturating_sub(self.since) / BURN_HALF_LIFE;
        let fallen = u32::try_from(halvings).ok().and_then(|halvings| self.rao.checked_shr(halvings)).unwrap_or(0);
        fallen.clamp(BURN_MIN_RAO, BURN_MAX_RAO)
    }

    fn risen(self, block: BlockNumber) -> Burn {
        let rao = (self.price(block) / 100 * BURN_RISE_PERCENT).clamp(BURN_MIN_RAO, BURN_MAX_RAO);
        Burn { rao, since: block }
    }
}

/// `burned_register` and `register_limit`: the coldkey pays, no more than a limit, and the hotkey gets a uid.
pub fn register(
    subnet: &mut Subnet,
    now: Moment,
    coldkey: &AccountId,
    (netuid, hotkey): (u16, AccountId),
    limit_rao: Option<u64>,
) -> Result<Vec<Event>, &'static str> {
    refuse_if(netuid != subnet.netuid.0, "MechanismDoesNotExist")?;
    refuse_if(subnet.neuron(&hotkey).is_some(), "HotKeyAlreadyRegisteredInSubNet")?;
    let price = subnet.burn.price(now.block);
    refuse_if(limit_rao.is_some_and(|limit| price > limit), "RegistrationPriceLimitExceeded")?;
    refuse_if(subnet.balance(coldkey) < price, "NotEnoughBalanceToStake")?;
    let uid = free_uid(subnet).ok_or("NoNeuronIdAvailable")?;
    subnet.pay(coldkey, price);
    subnet.burn = subnet.burn.risen(now.block);
    let neuron = Neuron::registered(hotkey, *coldkey, now.block);
    let neurons = Arc::make_mut(&mut subnet.neurons);
    match neurons.get_mut(uid) {
        Some(pruned) => *pruned = neuron,
        None => neurons.push(neuron),
    }
    let uid = u16::try_from(uid).unwrap_or(u16::MAX);
    Ok(vec![Event::neuron_registered(netuid, uid, &hotkey)])
}

/// The next one; in a full subnet that of the poorest neuron without a permit.
fn free_uid(subnet: &Subnet) -> Option<usize> {
    if subnet.neurons.len() < NEURONS_MAX {
        return Some(subnet.neurons.len());
    }
    let candidates = subnet.neurons.iter().enumerate().filter(|(_, neuron)| !neuron.validator_permit);
    candidates.min_by_key(|(_, neuron)| neuron.stake_rao).map(|(uid, _)| uid)
}
