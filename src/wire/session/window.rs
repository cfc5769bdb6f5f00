//! The replay window: which sequence numbers of a direction were taken. Each is taken at most once, for ever.

use crate::wire::limits::REPLAY_WINDOW;

const WORDS: usize = (REPLAY_WINDOW / 64) as usize;

/// A bitmap over the last W numbers, W at most 1,024.
#[derive(Clone, Debug)]
pub struct ReplayWindow {
    width: u64,
    /// The highest number taken; 0 also when none was.
    highest: u64,
    /// Bit `n mod 1024` says whether `n` was taken, for the 1,024 numbers up to `highest`.
    taken: [u64; WORDS],
}

/// Why a number was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WindowFault {
    #[error("taken before")]
    Replay,
    #[error("older than the window")]
    TooOld,
    #[error("further ahead than two windows")]
    TooFar,
}

impl Default for ReplayWindow {
    fn default() -> ReplayWindow {
        ReplayWindow { width: REPLAY_WINDOW, highest: 0, taken: [0; WORDS] }
    }
}

impl ReplayWindow {
    /// A window of another width, 1 … 1,024; `None` outside.
    pub fn with_width(width: u64) -> Option<ReplayWindow> {
        (1..=REPLAY_WINDOW).contains(&width).then(|| ReplayWindow { width, ..ReplayWindow::default() })
    }

    pub fn highest(&self) -> u64 {
        self.highest
    }

    /// Takes `seq`, or says why not; then nothing changed.
    pub fn admit(&mut self, seq: u64) -> Result<(), WindowFault> {
        if seq > self.highest.saturating_add(2 * self.width) {
            return Err(WindowFault::TooFar);
        }
        if seq < self.highest.saturating_sub(self.width - 1) {
            return Err(WindowFault::TooOld);
        }
        if seq > self.highest {
            self.move_to(seq);
        } else if self.is_taken(seq) {
            return Err(WindowFault::Replay);
        }
        self.taken[word(seq)] |= bit(seq);
        Ok(())
    }

    fn is_taken(&self, seq: u64) -> bool {
        self.taken[word(seq)] & bit(seq) != 0
    }

    /// Forgets the numbers whose places the new ones take.
    fn move_to(&mut self, seq: u64) {
        if seq - self.highest >= REPLAY_WINDOW {
            self.taken = [0; WORDS];
        } else {
            for new in self.highest + 1..=seq {
                self.taken[word(new)] &= !bit(new);
            }
        }
        self.highest = seq;
    }
}

fn word(seq: u64) -> usize {
    (seq % REPLAY_WINDOW / 64) as usize
}

fn bit(seq: u64) -> u64 {
    1 << (seq % 64)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_last_number_of_all_is_taken_once() {
        let mut window = ReplayWindow { highest: u64::MAX - 3, ..ReplayWindow::default() };
        assert_eq!(window.admit(u64::MAX), Ok(()));
        assert_eq!(window.admit(u64::MAX), Err(WindowFault::Replay));
        assert_eq!(window.admit(u64::MAX - 1), Ok(()));
    }

    #[test]
    fn a_window_has_a_width() {
        assert!(ReplayWindow::with_width(0).is_none());
        assert!(ReplayWindow::with_width(1025).is_none());
    }

    /// The rules as the protocol words them, with a set that forgets nothing.
    struct Naive {
        width: u64,
        highest: u64,
        taken: BTreeSet<u64>,
    }

    impl Naive {
        fn admit(&mut self, seq: u64) -> bool {
            let left = self.highest.saturating_sub(self.width - 1);
            let good = seq >= left && seq <= self.highest + 2 * self.width && self.taken.insert(seq);
            self.highest = if good { self.highest.max(seq) } else { self.highest };
            good
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_set_that_forgets_nothing(
            width in prop_oneof![1u64..12, Just(64), 1020u64..=1024],
            steps in prop::collection::vec((0u64..3000, any::<bool>()), 1..400),
        ) {
            let mut window = ReplayWindow::with_width(width).unwrap();
            let mut naive = Naive { width, highest: 0, taken: BTreeSet::new() };
            for (step, back) in steps {
                let near = step % (3 * width + 2);
                let seq = if back { naive.highest.saturating_sub(near) } else { naive.highest + near };
                prop_assert_eq!(window.admit(seq).is_ok(), naive.admit(seq), "seq {} highest {}", seq, naive.highest);
                prop_assert_eq!(window.highest(), naive.highest);
            }
        }
    }
}
