//! Who was there when: heartbeats of a miner over 5-minute buckets, twelve to the hour.
//!
//! A heartbeat is a [`Beat`]: a moment, and the [`Roster`] of what it said of each worker. Rosters seldom change, so
//! beats share them, and a week of a full network is a few bytes a minute and miner. What a worker was there for
//! follows from the beats alone, whenever it is asked: a bit a bucket, exact to the nanosecond at both ends of the
//! window. The same heartbeat twice is one bit.
//!
//! Pure arithmetic on values; never reads a clock, never knows where the rows are kept.

use std::{num::NonZeroU32, ops::RangeInclusive, time::Duration};

use crate::units::{Wall, WorkerId};

const HOUR_S: u64 = 3600;
const BUCKET_S: u64 = 300;
pub const BUCKETS_AN_HOUR: u32 = 12;

/// An interned public address. Equal ids mean equal addresses; nothing else is known of them here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressId(pub NonZeroU32);

/// An interned set of GPU uuids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GpuSetId(pub NonZeroU32);

/// An interned [`Roster`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RosterId(pub NonZeroU32);

/// One heartbeat of one miner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beat {
    pub at: Wall,
    /// What it said of its workers; `None` when it is credited to none of them.
    pub roster: Option<RosterId>,
}

/// What one worker's heartbeat said, as far as scoring looks at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Present {
    pub worker: WorkerId,
    /// Public address; `None` when none was named.
    pub address: Option<AddressId>,
    /// GPUs present; `None` when none were named.
    pub gpus: Option<GpuSetId>,
    /// GPUs that it says to own; `None`: none.
    pub owned: Option<GpuSetId>,
}

/// The workers of one heartbeat, each once, by name.
pub type Roster = [Present];

/// The hour that a moment lies in, since the Unix epoch.
pub fn hour_of(at: Wall) -> u32 {
    u32::try_from(at.as_secs() / HOUR_S).unwrap_or(u32::MAX)
}

/// The stretch of time that availability is measured over: so many hours that end at a moment, both ends within.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    from: Wall,
    to: Wall,
    hours: u32,
}

impl Window {
    pub fn ending(at: Wall, hours: u32) -> Window {
        Window { from: at - Duration::from_secs(u64::from(hours) * HOUR_S), to: at, hours }
    }

    /// Buckets that make full availability. A window that begins within one touches one more.
    pub fn buckets(&self) -> u32 {
        self.hours.saturating_mul(BUCKETS_AN_HOUR)
    }

    pub fn contains(&self, at: Wall) -> bool {
        (self.from..=self.to).contains(&at)
    }

    /// Which bucket of the window a moment of it lies in.
    fn place(&self, at: Wall) -> usize {
        (at.bucket() - self.from.bucket()) as usize
    }

    fn touched(&self) -> usize {
        (self.to.bucket() - self.from.bucket() + 1) as usize
    }
}

const WORD: usize = u64::BITS as usize;

/// The buckets of a window, each there or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buckets {
    window: Window,
    words: Vec<u64>,
}

impl Buckets {
    pub fn none(window: Window) -> Buckets {
        Buckets { window, words: vec![0; window.touched().div_ceil(WORD)] }
    }

    /// Marks the bucket of a moment, which must lie in the window; returns the word that it is in.
    pub fn mark(&mut self, at: Wall) -> usize {
        let place = self.window.place(at);
        if let Some(word) = self.words.get_mut(place / WORD) {
            *word |= 1 << (place % WORD);
        }
        place / WORD
    }

    /// Marks every bucket of the window that a stretch of time touches; its end is not in it.
    pub fn mark_all(&mut self, from: Wall, until: Wall) {
        let (from, last) = (from.max(self.window.from), self.window.to.min(Wall(until.0.saturating_sub(1))));
        let mut at = from;
        while at <= last {
            self.mark(at);
            at = Wall::from_secs((at.bucket() + 1) * BUCKET_S);
        }
    }

    /// Takes away what another has, of the same window.
    pub fn subtract(&mut self, other: &Buckets) {
        self.words.iter_mut().zip(&other.words).for_each(|(here, there)| *here &= !there);
    }

    /// Adds what another has, of the same window, in these words.
    pub fn unite(&mut self, other: &Buckets, words: RangeInclusive<usize>) {
        for place in words {
            if let (Some(here), Some(there)) = (self.words.get_mut(place), other.words.get(place)) {
                *here |= there;
            }
        }
    }

    /// Keeps only what is in both.
    pub fn intersect(&mut self, other: &Buckets) {
        self.words.iter_mut().zip(&other.words).for_each(|(here, there)| *here &= there);
    }

    pub fn count(&self) -> u32 {
        self.words.iter().map(|word| word.count_ones()).sum()
    }

    /// All words: for [`unite`](Buckets::unite).
    pub fn all(&self) -> RangeInclusive<usize> {
        0..=self.words.len().saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(seconds: impl IntoIterator<Item = u64>, window: Window) -> u32 {
        let mut buckets = Buckets::none(window);
        let moments = seconds.into_iter().map(Wall::from_secs).filter(|at| window.contains(*at));
        moments.for_each(|at| {
            buckets.mark(at);
        });
        buckets.count()
    }

    #[test]
    fn a_heartbeat_twice_is_one_bucket() {
        let window = Window::ending(Wall::from_secs(7400), 1);
        assert_eq!(counted([7200, 7320], window), 1);
        assert_eq!(counted([7200, 7200, 7320, 7320], window), 1);
    }

    #[test]
    fn a_heartbeat_before_the_window_is_not_in_its_first_bucket() {
        // 12:02:30; the window begins at 11:02:30, within a bucket.
        let window = Window::ending(Wall::from_secs(12 * 3600 + 150), 1);
        assert_eq!(counted([11 * 3600 + 149], window), 0);
        assert_eq!(counted([11 * 3600 + 150], window), 1);
        assert_eq!(counted([12 * 3600 + 150, 12 * 3600 + 151], window), 1);
    }

    #[test]
    fn a_window_of_an_hour_touches_thirteen_buckets_and_needs_twelve() {
        let window = Window::ending(Wall::from_secs(12 * 3600 + 150), 1);
        assert_eq!(counted((0..=60).map(|n| 11 * 3600 + 150 + n * 60), window), 13);
        assert_eq!(window.buckets(), 12);
    }

    #[test]
    fn a_stretch_of_time_touches_the_buckets_that_it_lies_in() {
        let window = Window::ending(Wall::from_secs(12 * 3600), 1);
        let marked = |from: u64, until: u64| {
            let mut buckets = Buckets::none(window);
            buckets.mark_all(Wall::from_secs(from), Wall::from_secs(until));
            buckets.count()
        };
        let eleven = 11 * 3600;
        assert_eq!((marked(eleven, eleven + 300), marked(eleven + 299, eleven + 301)), (1, 2));
        assert_eq!((marked(eleven + 10, eleven + 20), marked(eleven + 10, eleven + 10)), (1, 0));
        assert_eq!((marked(0, eleven), marked(0, u64::MAX / 2_000_000_000)), (0, 13));
        let mut all = Buckets::none(window);
        all.mark_all(Wall(0), Wall(u64::MAX));
        let mut one = Buckets::none(window);
        one.mark(Wall::from_secs(eleven + 700));
        all.subtract(&one);
        assert_eq!(all.count(), 12);
    }

    #[test]
    fn a_window_that_reaches_before_the_epoch_is_cut_there() {
        let window = Window::ending(Wall::from_secs(900), 169);
        assert_eq!(counted([0, 300, 899, 900], window), 4);
    }
}
