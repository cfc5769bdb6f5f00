//! How the daemon stands, as its service manager hears it. Fed by the loop, so a loop that hangs falls silent
//! and is restarted. It sends datagrams that may be lost, and waits for nothing.

use crate::{notify::Notifier, units::Mono};

pub struct Standing {
    notifier: Notifier,
    /// When the watchdog wants to hear again; `None`: it does not watch.
    due: Option<Mono>,
}

impl Standing {
    /// The doors are open: the daemon is ready.
    pub fn ready(notifier: Notifier, now: Mono) -> Standing {
        notifier.ready();
        let due = notifier.watchdog_interval().map(|_| now);
        Standing { notifier, due }
    }

    pub fn deadline(&self) -> Option<Mono> {
        self.due
    }

    /// Tells the watchdog when it is time.
    pub fn keep_alive(&mut self, now: Mono) {
        if self.due.is_some_and(|due| due <= now) {
            self.notifier.alive();
            self.due = self.notifier.watchdog_interval().map(|interval| now + interval);
        }
    }

    pub fn stopping(&self) {
        self.notifier.stopping();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_watchdog_there_is_nothing_to_wake_for() {
        let mut standing = Standing::ready(Notifier::default(), Mono(5));
        standing.keep_alive(Mono(6));
        assert_eq!(standing.deadline(), None);
    }
}
