//! The service manager is told how the daemon stands (`sd_notify`): ready, status, alive, stopping.
//!
//! Used by the thread `net`; a message is one datagram that is dropped when it would block. Without
//! `NOTIFY_SOCKET` nothing happens. It never waits.

use std::{
    env,
    ffi::OsStr,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
    process,
    time::Duration,
};

/// As much of a status is sent: a line that `systemctl status` shows whole, in one datagram.
const STATUS_CHARS: usize = 300;

/// The way to the service manager, when there is one.
#[derive(Debug, Default)]
pub struct Notifier {
    to: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// As the environment says.
    pub fn from_env() -> Notifier {
        let to = env::var_os("NOTIFY_SOCKET").and_then(|name| open(&name));
        let watchdog = watchdog(env::var("WATCHDOG_USEC").ok(), env::var("WATCHDOG_PID").ok());
        Notifier { to, watchdog }
    }

    /// To a socket of the tests'.
    #[cfg(test)]
    pub(crate) fn to(name: &OsStr) -> Notifier {
        Notifier { to: open(name), watchdog: None }
    }

    /// How often [`Notifier::alive`] is due: half of what the service manager waits. `None`: it does not wait.
    pub fn watchdog_interval(&self) -> Option<Duration> {
        self.watchdog.map(|limit| limit / 2)
    }

    /// Whether there is a service manager to tell.
    pub fn is_heard(&self) -> bool {
        self.to.is_some()
    }

    /// Listening, connected: whatever the role needs to do its work.
    pub fn ready(&self) {
        self.send("READY=1");
    }

    /// One line for `systemctl status`. Whether it was handed over.
    pub fn status(&self, line: &str) -> bool {
        // what a peer sent may be part of it: it begins no assignment of its own and moves no cursor
        let plain = line.chars().map(|c| if c.is_control() { ' ' } else { c });
        self.send(&format!("STATUS={}", plain.take(STATUS_CHARS).collect::<String>()))
    }

    pub fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    pub fn stopping(&self) {
        self.send("STOPPING=1");
    }

    fn send(&self, state: &str) -> bool {
        let Some((socket, to)) = &self.to else { return false };
        let sent = socket.send_to_addr(state.as_bytes(), to);
        if let Err(why) = &sent {
            ::log::debug!(target: "notify", "the service manager was not told {state:?}: {why}");
        }
        sent.is_ok()
    }
}

fn open(name: &OsStr) -> Option<(UnixDatagram, SocketAddr)> {
    let to = match name.as_bytes().strip_prefix(b"@") {
        Some(abstract_name) => SocketAddr::from_abstract_name(abstract_name),
        None => SocketAddr::from_pathname(name),
    };
    let socket = UnixDatagram::unbound().and_then(|socket| socket.set_nonblocking(true).map(|()| socket));
    Some((socket.ok()?, to.ok()?))
}

/// The limit concerns this process when no pid is named, or ours.
fn watchdog(usec: Option<String>, pid: Option<String>) -> Option<Duration> {
    let ours = pid.is_none_or(|pid| pid == process::id().to_string());
    let usec = usec?.parse().ok().filter(|usec| *usec > 0)?;
    ours.then(|| Duration::from_micros(usec))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_manager_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier { to: open(path.as_os_str()), watchdog: None };
        notifier.ready();
        notifier.status("two\nlines");
        let mut text = [0; 64];
        let len = manager.recv(&mut text).unwrap();
        assert_eq!(&text[..len], b"READY=1");
        let len = manager.recv(&mut text).unwrap();
        assert_eq!(&text[..len], b"STATUS=two lines");
    }

    #[test]
    fn a_status_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier { to: open(path.as_os_str()), watchdog: None };
        assert!(notifier.status(&"é".repeat(1000)));
        let mut text = [0; 2000];
        let len = manager.recv(&mut text).unwrap();
        assert_eq!(str::from_utf8(&text[..len]).unwrap(), format!("STATUS={}", "é".repeat(STATUS_CHARS)));
    }

    #[test]
    fn an_abstract_socket_works_too() {
        let name = format!("byteleap-notify-{}", process::id());
        let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let notifier = Notifier { to: open(OsStr::new(&format!("@{name}"))), watchdog: None };
        notifier.stopping();
        let mut text = [0; 64];
        let len = manager.recv(&mut text).unwrap();
        assert_eq!(&text[..len], b"STOPPING=1");
    }

    #[test]
    fn without_a_service_manager_nothing_happens() {
        Notifier::default().ready();
        assert!(!Notifier::default().is_heard() && !Notifier::default().status("line"));
        assert_eq!(Notifier::default().watchdog_interval(), None);
    }

    #[test]
    fn the_watchdog_is_fed_twice_as_often_as_it_asks() {
        let notifier = Notifier { to: None, watchdog: watchdog(Some("30000000".into()), None) };
        assert_eq!(notifier.watchdog_interval(), Some(Duration::from_secs(15)));
        assert_eq!(watchdog(Some("30000000".into()), Some("1".into())), None);
        assert_eq!(watchdog(Some("0".into()), None), None);
    }
}
