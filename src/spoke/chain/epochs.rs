//! When a subnet's epochs run, foreseen from what the chain holds at one block.
//!
//! Arithmetic only, after the chain's own rule: a block runs an epoch when the tempo has passed since the last one,
//! when its owner asked for one, or when none has run for a week. What changes the subnet later (another tempo, an
//! owner's trigger, an epoch put off because too many were due) is not foreseen.

use crate::units::BlockNumber;

/// A subnet that has had no epoch for more blocks gets one in any case.
const STEPS_MAX: u64 = 50_400;

/// A subnet's epochs, as its storage says after a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epochs {
    pub block: BlockNumber,
    /// `SubnetEpochIndex`: epochs that have run.
    pub index: u64,
    /// `LastEpochBlock`.
    pub last: BlockNumber,
    /// `PendingEpochAt`: block of an epoch that the owner asked for; 0 is none.
    pub pending: BlockNumber,
    /// `BlocksSinceLastStep`.
    pub steps: u64,
    /// `Tempo`, in blocks; with 0 no epoch runs by itself.
    pub tempo: u64,
}

/// When something committed now will be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Foreseen {
    /// The epoch index that the commitment is filed under.
    pub commit_epoch: u64,
    /// First block of the epoch that opens it.
    pub block: BlockNumber,
}

impl Epochs {
    /// The first block after this one that runs an epoch; `None` when none ever does.
    pub fn next_block(&self) -> Option<BlockNumber> {
        let by_tempo = (self.tempo > 0).then(|| self.last.saturating_add(self.tempo));
        let by_owner = (self.pending > 0).then_some(self.pending);
        let by_age = self.block.saturating_add((STEPS_MAX + 2).saturating_sub(self.steps));
        let earliest = by_tempo.into_iter().chain(by_owner).chain((self.tempo > 0).then_some(by_age)).min();
        earliest.map(|block| block.max(self.block.saturating_add(1)))
    }

    /// After the next epoch's block.
    pub fn next(&self) -> Option<Epochs> {
        let block = self.next_block()?;
        Some(Epochs { block, index: self.index.saturating_add(1), last: block, pending: 0, steps: 0, ..*self })
    }

    /// After the next block, whether or not it runs an epoch.
    fn after_next_block(&self) -> Epochs {
        let block = self.block.saturating_add(1);
        match self.next() {
            Some(next) if next.block == block => next,
            _ => Epochs { block, steps: self.steps.saturating_add(1), ..*self },
        }
    }

    /// For a commitment in the next block, to be opened `period` epochs later.
    pub fn foresee(&self, period: u64) -> Option<Foreseen> {
        let commit = self.after_next_block();
        let mut opening = commit.next()?;
        if self.tempo == 0 && period > 1 {
            return None; // the owner's one epoch is the last
        }
        // After the first one all epochs are a tempo apart, unless that is longer than a week.
        let apart = self.tempo.min(STEPS_MAX + 2);
        opening.block = opening.block.saturating_add(apart.saturating_mul(period.max(1) - 1));
        Some(Foreseen { commit_epoch: commit.index, block: opening.block })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLAIN: Epochs = Epochs { block: 1000, index: 7, last: 990, pending: 0, steps: 10, tempo: 360 };

    /// The chain's own rule, a block at a time.
    fn step(of: Epochs) -> Epochs {
        let block = of.block + 1;
        let by_tempo = of.tempo > 0 && block.saturating_sub(of.last) >= of.tempo;
        let by_owner = of.pending > 0 && block >= of.pending;
        let by_age = of.tempo > 0 && of.steps > STEPS_MAX;
        if by_tempo || by_owner || by_age {
            return Epochs { block, index: of.index + 1, last: block, pending: 0, steps: 0, ..of };
        }
        Epochs { block, steps: of.steps + 1, ..of }
    }

    #[test]
    fn an_epoch_runs_a_tempo_after_the_last_one() {
        assert_eq!(PLAIN.next_block(), Some(1350));
        assert_eq!(PLAIN.foresee(1), Some(Foreseen { commit_epoch: 7, block: 1350 }));
        assert_eq!(PLAIN.foresee(3), Some(Foreseen { commit_epoch: 7, block: 1350 + 720 }));
    }

    #[test]
    fn a_commitment_in_the_block_of_an_epoch_belongs_to_the_new_one() {
        let before = Epochs { block: 1349, steps: 359, ..PLAIN };
        assert_eq!(before.foresee(1), Some(Foreseen { commit_epoch: 8, block: 1350 + 360 }));
    }

    #[test]
    fn an_owner_or_a_week_without_an_epoch_brings_one_earlier() {
        assert_eq!(Epochs { pending: 1010, ..PLAIN }.next_block(), Some(1010));
        assert_eq!(Epochs { pending: 5, ..PLAIN }.next_block(), Some(1001), "one that is due runs at once");
        assert_eq!(Epochs { steps: STEPS_MAX + 1, ..PLAIN }.next_block(), Some(1001));
        assert_eq!(Epochs { steps: STEPS_MAX, ..PLAIN }.next_block(), Some(1002));
    }

    #[test]
    fn without_a_tempo_nothing_is_foreseen() {
        let none = Epochs { tempo: 0, ..PLAIN };
        assert_eq!((none.next_block(), none.foresee(1)), (None, None));
        let asked = Epochs { pending: 1010, ..none };
        assert_eq!(asked.next_block(), Some(1010));
        assert_eq!(asked.foresee(1), Some(Foreseen { commit_epoch: 7, block: 1010 }));
        assert_eq!(asked.foresee(2), None, "no second epoch ever runs");
    }

    #[test]
    fn numbers_at_their_end_do_not_overflow() {
        let end = u64::MAX;
        let wild = Epochs { block: end, index: end, last: end, pending: end, steps: end, tempo: end };
        assert!(wild.foresee(end).is_some());
    }

    proptest! {
        #[test]
        fn what_is_foreseen_is_what_the_rule_does(
            block in 1u64..5000, since in 0u64..800, pending in prop_oneof![Just(0), 1u64..6000],
            steps in prop_oneof![0u64..800, STEPS_MAX - 50..STEPS_MAX + 50], tempo in 1u64..400, period in 1u64..5,
        ) {
            let start = Epochs { block, index: 3, last: block.saturating_sub(since), pending, steps, tempo };
            let mut now = step(start);
            let commit_epoch = now.index;
            prop_assert_eq!(start.after_next_block(), now);
            while now.index < commit_epoch + period {
                now = step(now);
            }
            prop_assert_eq!(start.foresee(period), Some(Foreseen { commit_epoch, block: now.block }));
        }
    }
}
