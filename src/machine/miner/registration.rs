//! Whether our hotkey is registered, as the last metagraph has it: said when it changes, and now and then again
//! while it is not.

use std::time::Duration;

use crate::{
    machine::contract::chain::Metagraph,
    units::{Hotkey, Mono},
};

/// Between two reminders.
const REMIND: Duration = Duration::from_secs(3600);

#[derive(Debug, Default)]
pub struct Registration {
    /// `None` before the first metagraph.
    is: Option<bool>,
    /// When it was last said that it is not.
    told: Mono,
}

impl Registration {
    pub fn look(&mut self, now: Mono, hotkey: &Hotkey, metagraph: &Metagraph) {
        let netuid = metagraph.netuid.0;
        let neuron = metagraph.neuron(hotkey);
        let changed = self.is.replace(neuron.is_some()) != Some(neuron.is_some());
        match neuron {
            Some(neuron) if changed => {
                log::info!(target: "miner", "hotkey {hotkey}: registered in subnet {netuid}: yes, uid {}", neuron.uid.0);
            }
            None if changed || now.since(self.told) >= REMIND => {
                self.told = now;
                log::error!(target: "miner", "{}", advice(hotkey, netuid));
            }
            _ => {}
        }
    }

    pub fn is(&self) -> Option<bool> {
        self.is
    }
}

fn advice(hotkey: &Hotkey, netuid: u16) -> String {
    format!(
        "hotkey {hotkey}: registered in subnet {netuid}: no; validators refuse it; run `byteleap chain register \
         --burned --netuid {netuid} --hotkey {hotkey} --coldkey-file FILE`"
    )
}
