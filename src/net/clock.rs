//! The two clocks, read here and nowhere else in the loop. Never adjusts or compares them: drift is the machine's.

#![expect(clippy::disallowed_methods, reason = "this is where the loop reads its clocks")]

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::units::{Mono, Now, Wall};

/// The monotonic clock since a start, and the wall clock. Copies agree with each other.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    pub fn start() -> Clock {
        Clock { start: Instant::now() }
    }

    pub fn mono(&self) -> Mono {
        Mono(u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// A wall clock before 1970 reads as 1970.
    pub fn wall(&self) -> Wall {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Wall(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }

    pub fn now(&self) -> Now {
        Now { mono: self.mono(), wall: self.wall() }
    }
}
