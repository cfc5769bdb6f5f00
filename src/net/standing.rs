//! How the daemon stands, as its service manager hears it. Fed by the loop, so a loop that hangs falls silent
//! and is restarted. It sends datagrams that may be lost, and waits for nothing.

use std::time::Duration;

use crate::{notify::Notifier, units::Mono};

/// The status is looked at no more often than this, while the loop is awake anyway …
const BETWEEN: Duration = Duration::from_secs(2);
/// … and the loop is woken for it alone no more often than this.
const WAKE_EVERY: Duration = Duration::from_secs(10);

pub struct Standing {
    notifier: Notifier,
    /// When the watchdog wants to hear again; `None`: it does not watch.
    due: Option<Mono>,
    /// When the status was last looked at; `None`: not yet.
    looked: Option<Mono>,
    /// The status that was sent last.
    said: String,
}

impl Standing {
    /// The doors are open: the daemon is ready.
    pub fn ready(notifier: Notifier, now: Mono) -> Standing {
        notifier.ready();
        let due = notifier.watchdog_interval().map(|_| now);
        Standing { notifier, due, looked: None, said: String::new() }
    }

    pub fn deadline(&self) -> Option<Mono> {
        let status = self.looked.filter(|_| self.notifier.is_heard()).map(|at| at + WAKE_EVERY);
        self.due.into_iter().chain(status).min()
    }

    /// Tells the watchdog when it is time.
    pub fn keep_alive(&mut self, now: Mono) {
        if self.due.is_some_and(|due| due <= now) {
            self.notifier.alive();
            self.due = self.notifier.watchdog_interval().map(|interval| now + interval);
        }
    }

    /// Whether to look at the status now.
    pub fn looks(&self, now: Mono) -> bool {
        self.notifier.is_heard() && self.looked.is_none_or(|at| now.since(at) >= BETWEEN)
    }

    /// The status as it is now, which is sent when it is another one.
    pub fn says(&mut self, now: Mono, status: &str) {
        self.looked = Some(now);
        if !status.is_empty() && status != self.said && self.notifier.status(status) {
            status.clone_into(&mut self.said);
        }
    }

    pub fn stopping(&self) {
        self.notifier.stopping();
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    fn at(seconds: u64) -> Mono {
        Mono::default() + Duration::from_secs(seconds)
    }

    /// A service manager's socket, and what was sent to it since the last look.
    struct Listening {
        _dir: tempfile::TempDir,
        socket: UnixDatagram,
    }

    fn listening() -> (Listening, Notifier) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let notifier = Notifier::to(path.as_os_str());
        (Listening { _dir: dir, socket }, notifier)
    }

    impl Listening {
        fn heard(&self) -> Vec<String> {
            let mut bytes = [0; 512];
            let next = || self.socket.recv(&mut bytes).ok().map(|len| String::from_utf8_lossy(&bytes[..len]).into());
            std::iter::from_fn(next).collect()
        }
    }

    #[test]
    fn without_a_service_manager_there_is_nothing_to_wake_for() {
        let mut standing = Standing::ready(Notifier::default(), at(5));
        standing.keep_alive(at(6));
        standing.says(at(6), "line");
        assert_eq!((standing.deadline(), standing.looks(at(60))), (None, false));
    }

    #[test]
    fn a_status_is_sent_when_it_is_another_one() {
        let (manager, notifier) = listening();
        let mut standing = Standing::ready(notifier, at(0));
        for (second, status) in [(0, "a"), (10, "a"), (20, ""), (30, "b"), (40, "a")] {
            assert!(standing.looks(at(second)));
            standing.says(at(second), status);
        }
        standing.stopping();
        assert_eq!(manager.heard(), ["READY=1", "STATUS=a", "STATUS=b", "STATUS=a", "STOPPING=1"]);
    }

    #[test]
    fn it_is_looked_at_seldom_and_wakes_the_loop_more_seldom_still() {
        let (_manager, notifier) = listening();
        let mut standing = Standing::ready(notifier, at(0));
        assert!(standing.looks(at(0)), "at once");
        standing.says(at(0), "a");
        assert_eq!([standing.looks(at(1)), standing.looks(at(2))], [false, true]);
        assert_eq!(standing.deadline(), Some(at(10)));
        standing.says(at(4), "a");
        assert_eq!(standing.deadline(), Some(at(14)));
    }

    #[test]
    fn what_was_not_handed_over_is_said_again() {
        let (manager, notifier) = listening();
        let mut standing = Standing::ready(notifier, at(0));
        let Listening { _dir, socket } = manager;
        drop(socket);
        standing.says(at(0), "a");
        std::fs::remove_file(_dir.path().join("notify")).unwrap();
        let socket = UnixDatagram::bind(_dir.path().join("notify")).unwrap();
        socket.set_nonblocking(true).unwrap();
        let manager = Listening { _dir, socket };
        standing.says(at(10), "a");
        assert_eq!(manager.heard(), ["STATUS=a"]);
    }
}
