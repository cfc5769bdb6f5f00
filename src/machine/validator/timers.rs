//! What the validator does again and again, and when next.
//!
//! Owns one due moment per timer. Timers are data: setting one replaces its moment, taking those that are
//! due clears them. Deadlines of challenges and of the journal live with these.

use crate::units::Mono;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// A round of challenges begins, or a long one goes on.
    Round,
    /// Scores are calculated.
    Recalculate,
    /// The store forgets what retention no longer keeps.
    Prune,
    /// What expired by itself is dropped.
    Sweep,
}

const ALL: [Timer; 4] = [Timer::Round, Timer::Recalculate, Timer::Prune, Timer::Sweep];

#[derive(Clone, Copy, Debug, Default)]
pub struct Timers {
    due: [Option<Mono>; ALL.len()],
}

impl Timers {
    pub fn set(&mut self, timer: Timer, due: Mono) {
        self.due[timer as usize] = Some(due);
    }

    /// Brings a timer forward that would ring later than this.
    pub fn no_later(&mut self, timer: Timer, due: Mono) {
        let at = &mut self.due[timer as usize];
        *at = at.map(|set| set.min(due));
    }

    /// One timer that is due, cleared; the caller asks until there is none.
    pub fn take_due(&mut self, now: Mono) -> Option<Timer> {
        let timer = ALL.into_iter().find(|timer| self.due[*timer as usize].is_some_and(|due| due <= now))?;
        self.due[timer as usize] = None;
        Some(timer)
    }

    pub fn next(&self) -> Option<Mono> {
        self.due.iter().flatten().min().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_rings_once_until_it_is_set_again() {
        let mut timers = Timers::default();
        assert_eq!(timers.next(), None);
        timers.set(Timer::Prune, Mono(50));
        timers.set(Timer::Round, Mono(10));
        assert_eq!(timers.next(), Some(Mono(10)));
        assert_eq!(timers.take_due(Mono(9)), None);
        assert_eq!(timers.take_due(Mono(60)), Some(Timer::Round));
        assert_eq!(timers.take_due(Mono(60)), Some(Timer::Prune));
        assert_eq!((timers.take_due(Mono(60)), timers.next()), (None, None));
    }
}
