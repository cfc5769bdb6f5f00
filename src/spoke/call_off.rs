//! The switch that calls work off, shared by the hub and the spoke that works. It stops nothing by itself: the spoke
//! looks at it between two pieces of work.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Work is numbered upwards, and what is called off is never newer than what is still wanted: a single number
/// says it all.
#[derive(Clone, Debug, Default)]
pub struct CallOff(Arc<AtomicU64>);

impl CallOff {
    /// The work of that number, and all older work, is not wanted any more.
    pub fn up_to(&self, number: u64) {
        self.0.fetch_max(number, Ordering::Relaxed);
    }

    /// Whether the work of that number is not wanted any more.
    pub fn covers(&self, number: u64) -> bool {
        number <= self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_called_off_takes_all_older_work_along() {
        let hub = CallOff::default();
        let spoke = hub.clone();
        assert!(!spoke.covers(1));
        hub.up_to(4);
        hub.up_to(2);
        assert_eq!([2, 4, 5].map(|number| spoke.covers(number)), [true, true, false]);
    }
}
