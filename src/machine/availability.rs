//! Who was there when: heartbeats folded into 5-minute buckets, twelve to the hour.
//!
//! A worker's hour is one [`Segment`]: a 12-bit mask and what its heartbeats said of address and GPUs. When
//! either changes within the hour, the next segment begins, so the order of addresses is kept without a row
//! a heartbeat. Folding is idempotent: the same heartbeat twice is one bit.
//!
//! Pure arithmetic on values; never reads a clock, never knows where the rows are kept.

use std::num::NonZeroU32;

/// All twelve buckets of an hour.
pub const FULL_HOUR: u16 = 0x0FFF;
/// Most segments that one hour of a worker is kept in. From the last on, addresses are not told apart and
/// GPUs are not credited: a worker that changes so often has no availability to lose.
pub const MAX_SEGMENTS: u16 = 12;

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
