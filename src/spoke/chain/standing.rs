//! Where the weights of a neuron stand: its row, its last update, its commitments, and the epoch, all of one
//! finalized block.
//!
//! An item that was never written stands for what the metadata says that it does.

use scale_value::Value;

use super::{
    Chain, ChainError, answer,
    calls::storage_index,
    entries::{Answers, Entry, calls_of, number},
    epochs::Epochs,
    hash::blake2_256,
    metadata::ShapeFault,
    read::{At, Read, header_at},
    rpc::Rpc,
    runtime::Runtime,
};
use crate::{
    machine::contract::chain::{HeldCommit, Standing},
    units::{AccountId, BlockNumber, Hotkey, Netuid, Uid},
};

/// What the epochs of a subnet are foreseen from, and its reveal period.
const EPOCH_ITEMS: [&str; 6] =
    ["SubnetEpochIndex", "LastEpochBlock", "PendingEpochAt", "BlocksSinceLastStep", "Tempo", "RevealPeriodEpochs"];

/// Epochs whose commitments are looked for, at most: the chain reveals no later than 100 epochs.
const EPOCHS_MAX: u64 = 128;

/// A timelocked commitment: who, block, ciphertext, round.
pub type Timelocked = (AccountId, u64, Vec<u8>, u64);

/// A hash commitment: hash, block, and the first and the last block of its reveal as seen then.
pub type Hashed = ([u8; 32], u64, u64, u64);

/// What is read before the commitments, whose keys depend on it.
struct Clock {
    epochs: Epochs,
    reveal_period: u64,
}

impl Clock {
    fn read(answers: &mut Answers) -> Result<Clock, ChainError> {
        let epochs = Epochs {
            block: answer::header_number(answers.next()?)?,
            index: answers.number("SubnetEpochIndex")?,
            last: answers.number("LastEpochBlock")?,
            pending: answers.number("PendingEpochAt")?,
            steps: answers.number("BlocksSinceLastStep")?,
            tempo: answers.number("Tempo")?,
        };
        Ok(Clock { epochs, reveal_period: answers.number("RevealPeriodEpochs")? })
    }

    /// The epochs whose commitments the chain can still hold.
    fn holding(&self) -> Vec<u64> {
        let span = self.reveal_period.saturating_add(1).min(EPOCHS_MAX);
        (self.epochs.index.saturating_sub(span)..=self.epochs.index.saturating_add(1)).collect()
    }

    /// The epoch that `block` was in, as far as tempos tell.
    fn epoch_of(&self, block: BlockNumber) -> u64 {
        match self.epochs.last.checked_sub(block) {
            None | Some(0) => self.epochs.index,
            Some(before) => self.epochs.index.saturating_sub(1 + (before - 1) / self.epochs.tempo.max(1)),
        }
    }
}

impl<R: Rpc> Chain<R> {
    /// What the neuron set in a mechanism, as of the best block; never having set any is an empty list.
    pub(super) fn weights(&mut self, netuid: Netuid, mechanism: u8, uid: Uid) -> Result<Vec<(Uid, u16)>, ChainError> {
        let row = [Entry::new("Weights", [number(storage_index(netuid, mechanism)), number(uid.0)])];
        let read = self.read(At::Best, |runtime, hash| calls_of(&runtime.metadata, hash, &row))?;
        let row: Vec<(u16, u16)> = Answers::new(&read.runtime.metadata, &read.answers).value("Weights")?;
        Ok(row.into_iter().map(|(uid, weight)| (Uid(uid), weight)).collect())
    }

    pub(super) fn standing(
        &mut self,
        netuid: Netuid,
        mechanism: u8,
        uid: Uid,
        hotkey: &Hotkey,
    ) -> Result<Standing, ChainError> {
        let account = hotkey.account().map_err(|why| ShapeFault::Other(format!("hotkey {hotkey}: {why}")))?;
        let index = storage_index(netuid, mechanism);
        let mut entries: Vec<Entry> = EPOCH_ITEMS.iter().map(|item| Entry::new(item, [number(netuid.0)])).collect();
        entries.extend([
            Entry::new("LastUpdate", [number(index)]),
            Entry::new("Weights", [number(index), number(uid.0)]),
            Entry::optional("WeightCommits", [number(index), Value::from_bytes(account)]),
        ]);
        let read = self.read(At::Finalized, |runtime, hash| {
            let mut calls = vec![header_at(hash)];
            calls.extend(calls_of(&runtime.metadata, hash, &entries)?);
            Ok(calls)
        })?;
        let mut answers = Answers::new(&read.runtime.metadata, &read.answers);
        let clock = Clock::read(&mut answers)?;
        let updates: Vec<u64> = answers.value("LastUpdate")?;
        let weights: Vec<(u16, u16)> = answers.value("Weights")?;
        // An account without commitments has no entry, and a runtime without the item no commitments.
        let hashed: Vec<Hashed> = answers.optional("WeightCommits")?.unwrap_or_default();
        let mut commits = self.timelocked(&read, &clock, index, &account)?;
        commits.extend(hashed.into_iter().map(|(hash, block, ..)| HeldCommit {
            epoch: clock.epoch_of(block),
            block,
            hash,
            drand_round: None,
        }));
        Ok(Standing {
            block: clock.epochs.block,
            epoch: clock.epochs.index,
            reveal_period: clock.reveal_period,
            next_epoch_block: clock.epochs.next_block().unwrap_or(BlockNumber::MAX),
            // The chain, too, takes a neuron beyond the end of the list for one that never updated.
            last_update: updates.get(usize::from(uid.0)).copied().unwrap_or_default(),
            weights: weights.into_iter().map(|(uid, weight)| (Uid(uid), weight)).collect(),
            commits,
        })
    }

    /// The timelocked commitments of `account` that the chain holds in the block of `read`.
    fn timelocked(
        &mut self,
        read: &Read,
        clock: &Clock,
        index: u16,
        account: &AccountId,
    ) -> Result<Vec<HeldCommit>, ChainError> {
        const ITEM: &str = "TimelockedWeightCommits";
        let epochs = clock.holding();
        let entries = epochs.iter().map(|epoch| Entry::optional(ITEM, [number(index), number(*epoch)]));
        let entries: Vec<Entry> = entries.collect();
        let calls = |runtime: &Runtime, hash: &[u8; 32]| calls_of(&runtime.metadata, hash, &entries);
        let held = self.read(At::Block(read.hash), calls)?;
        let mut answers = Answers::new(&held.runtime.metadata, &held.answers);
        let mut commits = Vec::new();
        for epoch in epochs {
            // An epoch without commitments has no entry.
            let of_epoch: Vec<Timelocked> = answers.optional(ITEM)?.unwrap_or_default();
            let ours = of_epoch.into_iter().filter(|(who, ..)| who == account);
            commits.extend(ours.map(|(_, block, ciphertext, round)| HeldCommit {
                epoch,
                block,
                hash: blake2_256(&ciphertext),
                drand_round: Some(round),
            }));
        }
        Ok(commits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(index: u64, reveal_period: u64) -> Clock {
        Clock { epochs: Epochs { block: 1000, index, last: 900, pending: 0, steps: 100, tempo: 100 }, reveal_period }
    }

    #[test]
    fn commitments_are_looked_for_in_every_epoch_that_can_hold_one() {
        assert_eq!(clock(9, 2).holding(), [6, 7, 8, 9, 10]);
        assert_eq!(clock(u64::MAX, u64::MAX).holding().len() as u64, EPOCHS_MAX + 1);
    }

    #[test]
    fn a_block_before_the_last_epoch_is_of_an_earlier_one() {
        assert_eq!([901, 900, 899, 800, 799].map(|block| clock(9, 1).epoch_of(block)), [9, 9, 8, 8, 7]);
    }
}
