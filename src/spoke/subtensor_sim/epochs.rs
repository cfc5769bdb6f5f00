//! Epochs as the chain keeps them: by state, not by arithmetic on block numbers.

use crate::units::BlockNumber;

/// An epoch begins after so many blocks, whatever the tempo says.
const STEP_BLOCKS_MAX: u64 = 50_400;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Epochs {
    /// `SubnetEpochIndex`.
    pub index: u64,
    /// `LastEpochBlock`.
    pub last_block: BlockNumber,
    /// `PendingEpochAt`: a block in which the owner wants one; 0 is none.
    pub pending_at: BlockNumber,
    /// `BlocksSinceLastStep`.
    pub since_step: u64,
}

impl Epochs {
    /// What block `number` makes of them.
    pub fn step(&mut self, number: BlockNumber, tempo: u16) {
        if self.is_due(number, tempo) {
            *self = Epochs { index: self.index + 1, last_block: number, pending_at: 0, since_step: 0 };
        } else {
            self.since_step += 1;
        }
    }

    fn is_due(&self, number: BlockNumber, tempo: u16) -> bool {
        let is_pending = self.pending_at != 0 && number >= self.pending_at;
        let is_over = number.saturating_sub(self.last_block) >= u64::from(tempo);
        tempo != 0 && (is_over || is_pending || self.since_step > STEP_BLOCKS_MAX)
    }

    /// First block of the next epoch, as far as can be foreseen.
    pub fn next_block(&self, tempo: u16) -> Option<BlockNumber> {
        let by_tempo = self.last_block.saturating_add(tempo.into());
        let foreseen = if self.pending_at == 0 { by_tempo } else { by_tempo.min(self.pending_at) };
        (tempo != 0).then_some(foreseen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The blocks up to `last` that begin an epoch.
    fn begun(mut epochs: Epochs, tempo: u16, last: u64) -> Vec<(u64, u64)> {
        let begins = |number| {
            epochs.step(number, tempo);
            (epochs.last_block == number).then_some((number, epochs.index))
        };
        (1..=last).filter_map(begins).collect()
    }

    #[test]
    fn an_epoch_begins_when_the_last_one_is_a_tempo_ago() {
        assert_eq!(begun(Epochs::default(), 10, 25), [(10, 1), (20, 2)]);
        assert_eq!(begun(Epochs::default(), 0, 25), []);
    }

    #[test]
    fn the_owner_may_want_one_earlier_and_the_count_goes_on_from_there() {
        let pending = Epochs { pending_at: 4, ..Epochs::default() };
        assert_eq!(pending.next_block(10), Some(4));
        assert_eq!(begun(pending, 10, 25), [(4, 1), (14, 2), (24, 3)]);
    }
}
