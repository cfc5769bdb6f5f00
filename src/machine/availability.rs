//! Who was there when: heartbeats folded into 5-minute buckets, twelve to the hour.
//!
//! A worker's hour is one [`Segment`]: a 12-bit mask and what its heartbeats said of address and GPUs. When
//! either changes within the hour, the next segment begins, so the order of addresses is kept without a row
//! a heartbeat. Folding is idempotent: the same heartbeat twice is one bit.
//!
//! Pure arithmetic on values; never reads a clock, never knows where the rows are kept.

use std::num::NonZeroU32;

use crate::units::Wall;

/// All twelve buckets of an hour.
pub const FULL_HOUR: u16 = 0x0FFF;
/// Most segments that one hour of a worker is kept in; a further change within that hour is not credited.
pub const MAX_SEGMENTS: usize = 12;

const HOUR_S: u64 = 3600;
const BUCKET_S: u64 = 300;

/// An interned public address. Equal ids mean equal addresses; nothing else is known of them here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressId(pub NonZeroU32);

/// An interned set of GPU uuids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GpuSetId(pub NonZeroU32);

/// A stretch of one worker's heartbeats with one address and one set of GPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Hours since the Unix epoch.
    pub hour: u32,
    /// How many hours in a row look like this: 1, or more when all of them are full.
    pub hours: u16,
    /// Bit n: a heartbeat in minutes 5n … 5n+4.
    pub mask: u16,
    /// Second of its last hour in which the last heartbeat arrived, 0–3599.
    pub last_s: u16,
    /// Public address; `None` when the heartbeats named none.
    pub address: Option<AddressId>,
    /// GPUs present; `None` when the heartbeats named none.
    pub gpus: Option<GpuSetId>,
}

/// What one heartbeat says of one worker's availability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beat {
    pub at: Wall,
    pub address: Option<AddressId>,
    pub gpus: Option<GpuSetId>,
}

/// Where a heartbeat went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folded {
    /// Into the hour's last segment, which now is this.
    Into(Segment),
    /// Into a new segment behind the hour's last one.
    Began(Segment),
    /// Nowhere: its hour has [`MAX_SEGMENTS`] already and it is like none of the last.
    Dropped,
}

/// Folds a heartbeat into its hour, of which `last` is the newest segment and `segments` the number of them.
pub fn fold(last: Option<Segment>, segments: usize, beat: Beat) -> Folded {
    let Some(last) = last else { return Folded::Began(Segment::of(beat)) };
    match last.with(beat) {
        Some(grown) => Folded::Into(grown),
        None if segments < MAX_SEGMENTS => Folded::Began(Segment::of(beat)),
        None => Folded::Dropped,
    }
}

/// The hour that a moment lies in, since the Unix epoch.
pub fn hour_of(at: Wall) -> u32 {
    u32::try_from(at.as_secs() / HOUR_S).unwrap_or(u32::MAX)
}

fn second_in_hour(at: Wall) -> u16 {
    (at.as_secs() % HOUR_S) as u16
}

fn bit_of(at: Wall) -> u16 {
    1 << (at.as_secs() % HOUR_S / BUCKET_S)
}

impl Segment {
    fn of(beat: Beat) -> Segment {
        Segment {
            hour: hour_of(beat.at),
            hours: 1,
            mask: bit_of(beat.at),
            last_s: second_in_hour(beat.at),
            address: beat.address,
            gpus: beat.gpus,
        }
    }

    /// Itself with one more heartbeat, when that is of the same hour, address and GPUs. A heartbeat without
    /// an address fits any: an address that was not said did not change.
    fn with(self, beat: Beat) -> Option<Segment> {
        let address_fits = self.address.is_none() || beat.address.is_none() || self.address == beat.address;
        let fits = hour_of(beat.at) == self.hour && beat.gpus == self.gpus && address_fits;
        fits.then(|| Segment {
            mask: self.mask | bit_of(beat.at),
            last_s: self.last_s.max(second_in_hour(beat.at)),
            address: self.address.or(beat.address),
            ..self
        })
    }

    fn last_hour(&self) -> u32 {
        self.hour.saturating_add(u32::from(self.hours.max(1)) - 1)
    }

    /// When its last heartbeat arrived, in Unix seconds.
    fn ends_s(&self) -> u64 {
        u64::from(self.last_hour()) * HOUR_S + u64::from(self.last_s)
    }

    /// Both as one, when `next` goes on where this one ends and all their hours are full.
    fn joined(self, next: Segment) -> Option<Segment> {
        let alike = self.address == next.address && self.gpus == next.gpus;
        let full = self.mask == FULL_HOUR && next.mask == FULL_HOUR;
        let hours = self.hours.checked_add(next.hours)?;
        let follows = self.last_hour().checked_add(1) == Some(next.hour);
        (alike && full && follows).then_some(Segment { hours, last_s: next.last_s, ..self })
    }
}

/// Appends the next segment in time; full hours in a row that look alike become one.
pub fn append(presence: &mut Vec<Segment>, next: Segment) {
    match presence.last().and_then(|last| last.joined(next)) {
        Some(joined) => {
            presence.pop();
            presence.push(joined);
        }
        None => presence.push(next),
    }
}

/// The stretch of time that availability is measured over: so many hours that end at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    from_s: u64,
    to_s: u64,
    hours: u32,
}

impl Window {
    pub fn ending(at: Wall, hours: u32) -> Window {
        let to_s = at.as_secs();
        Window { from_s: to_s.saturating_sub(u64::from(hours) * HOUR_S), to_s, hours }
    }

    /// Buckets that make full availability.
    pub fn buckets(&self) -> u32 {
        self.hours.saturating_mul(12)
    }

    pub fn contains(&self, segment: &Segment) -> bool {
        segment.ends_s() >= self.from_s && u64::from(segment.hour) * HOUR_S <= self.to_s
    }

    fn first_hour(&self) -> u64 {
        self.from_s / HOUR_S
    }

    /// The part of an hour's mask that lies in the window. Of the bucket that the window begins in, it is
    /// known only whether the segment went on after that moment; then it counts.
    fn trim(&self, segment: &Segment, hour: u64) -> u16 {
        if hour > self.first_hour() {
            return segment.mask;
        }
        let from_bucket = self.from_s % HOUR_S / BUCKET_S;
        let whole = FULL_HOUR << from_bucket;
        let kept = if segment.ends_s() >= self.from_s { whole } else { whole & !(1 << from_bucket) };
        segment.mask & kept
    }
}

/// The buckets of a window, each there or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buckets {
    window: Window,
    masks: Vec<u16>,
}

impl Buckets {
    pub fn none(window: Window) -> Buckets {
        let hours = (window.to_s / HOUR_S - window.first_hour() + 1) as usize;
        Buckets { window, masks: vec![0; hours] }
    }

    /// Marks what a segment was there for.
    pub fn add(&mut self, segment: &Segment) {
        let first = self.window.first_hour();
        let last = u64::from(segment.last_hour());
        for hour in u64::from(segment.hour).max(first)..=last.min(self.window.to_s / HOUR_S) {
            let mask = self.window.trim(segment, hour);
            if let Some(here) = self.masks.get_mut((hour - first) as usize) {
                *here |= mask;
            }
        }
    }

    /// Keeps only what is in both.
    pub fn intersect(&mut self, other: &Buckets) {
        for (here, there) in self.masks.iter_mut().zip(&other.masks) {
            *here &= there;
        }
    }

    pub fn count(&self) -> u32 {
        self.masks.iter().map(|mask| mask.count_ones()).sum()
    }
}

/// How often the address changed from one heartbeat of the window to the next that named one.
pub fn address_changes(presence: &[Segment], window: Window) -> u32 {
    let mut named = presence.iter().filter(|segment| window.contains(segment)).filter_map(|segment| segment.address);
    let Some(mut before) = named.next() else { return 0 };
    let mut changes = 0;
    for address in named {
        changes += u32::from(address != before);
        before = address;
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(id: u32) -> Option<AddressId> {
        NonZeroU32::new(id).map(AddressId)
    }

    fn beat(at_s: u64, ip: u32) -> Beat {
        Beat { at: Wall::from_secs(at_s), address: address(ip), gpus: None }
    }

    /// Folds beats as the store does, one after the other.
    fn presence(beats: &[Beat]) -> Vec<Segment> {
        let mut all: Vec<Segment> = Vec::new();
        for beat in beats {
            let hour = hour_of(beat.at);
            let segments = all.iter().filter(|segment| segment.hour == hour).count();
            let last = all.last().copied().filter(|segment| segment.hour == hour);
            match fold(last, segments, *beat) {
                Folded::Into(grown) => *all.last_mut().unwrap() = grown,
                Folded::Began(new) => all.push(new),
                Folded::Dropped => {}
            }
        }
        all
    }

    fn counted(presence: &[Segment], window: Window) -> u32 {
        let mut buckets = Buckets::none(window);
        presence.iter().for_each(|segment| buckets.add(segment));
        buckets.count()
    }

    #[test]
    fn a_heartbeat_twice_is_one_bucket() {
        let once = presence(&[beat(7200, 1), beat(7320, 1)]);
        let twice = presence(&[beat(7200, 1), beat(7200, 1), beat(7320, 1), beat(7320, 1)]);
        assert_eq!(once, twice);
        assert_eq!(once.len(), 1);
        assert_eq!(once[0].mask, 1);
    }

    #[test]
    fn each_change_of_address_is_seen_within_the_hour_and_across() {
        let moved = presence(&[beat(7200, 1), beat(7300, 2), beat(7400, 1), beat(10_900, 1), beat(11_000, 3)]);
        assert_eq!(moved.len(), 5);
        assert_eq!(address_changes(&moved, Window::ending(Wall::from_secs(11_100), 3)), 3);
    }

    #[test]
    fn an_address_that_was_not_said_did_not_change() {
        let quiet = presence(&[beat(7200, 0), beat(7300, 1), beat(7400, 0), beat(7500, 1)]);
        assert_eq!(quiet.len(), 1);
        assert_eq!(address_changes(&quiet, Window::ending(Wall::from_secs(7600), 1)), 0);
    }

    #[test]
    fn a_flapping_worker_is_kept_in_bounds_and_not_credited() {
        let beats: Vec<Beat> = (0..100).map(|n| beat(7200 + n * 30, 1 + n as u32 % 2)).collect();
        let kept = presence(&beats);
        assert_eq!(kept.len(), MAX_SEGMENTS);
        // The beats that still look like the last segment count; the others do not.
        assert!(counted(&kept, Window::ending(Wall::from_secs(10_300), 1)) <= 11);
    }

    #[test]
    fn full_hours_in_a_row_become_one_segment_and_count_the_same() {
        let beats: Vec<Beat> = (0..60).map(|n| beat(3600 * 100 + n * 300, 7)).collect();
        let hours = presence(&beats);
        let mut joined = Vec::new();
        hours.iter().for_each(|segment| append(&mut joined, *segment));
        assert_eq!((hours.len(), joined.len()), (5, 1));
        assert_eq!(joined[0].hours, 5);
        for into_s in [1, 299, 300, 1801, 3001, 3601, 9001] {
            let window = Window::ending(Wall::from_secs(3600 * 105 - 1 + into_s), 3);
            assert_eq!(counted(&hours, window), counted(&joined, window), "{into_s} s later");
        }
    }

    #[test]
    fn a_heartbeat_before_the_window_is_not_in_its_first_bucket() {
        // 12:02:30; the window begins at 11:02:30, within a bucket.
        let window = Window::ending(Wall::from_secs(12 * 3600 + 150), 1);
        assert_eq!(counted(&presence(&[beat(11 * 3600 + 90, 1)]), window), 0);
        assert_eq!(counted(&presence(&[beat(11 * 3600 + 180, 1)]), window), 1);
        assert!(!window.contains(&presence(&[beat(11 * 3600 + 90, 1)])[0]));
    }

    #[test]
    fn a_window_of_an_hour_touches_thirteen_buckets_and_needs_twelve() {
        let beats: Vec<Beat> = (0..=60).map(|n| beat(11 * 3600 + 150 + n * 60, 1)).collect();
        let window = Window::ending(Wall::from_secs(12 * 3600 + 150), 1);
        assert_eq!(counted(&presence(&beats), window), 13);
        assert_eq!(window.buckets(), 12);
    }
}
