//! The way to the miner: find its address, dial, register, and come back after every loss.
//!
//! Owns the one connection and the waits between attempts. It sends no frame itself and knows nothing of
//! tasks; a loss costs the worker only the connection.

use std::{net::SocketAddr, time::Duration};

use rand_chacha::ChaCha20Rng;

use crate::{
    machine::{Gone, backoff::Backoff},
    units::{Mono, PeerId},
    wire::websocket::close,
};

/// Connect and upgrade.
pub(super) const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// From our registration to its acknowledgement.
const ACK_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest wait between two attempts.
const CEILING: Duration = Duration::from_secs(60);
/// First and longest wait when the miner has said that it does not want this worker.
const UNWANTED: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(600));
/// A registration that held so long was a success; a shorter one counts as one more failure.
const HELD: Duration = Duration::from_secs(60);

/// What the uplink wants next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Resolve,
    Dial { peer: PeerId, to: SocketAddr },
    Close { peer: PeerId, code: u16, reason: &'static str },
}

/// How a connection or an attempt ended, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Loss {
    pub class: LossClass,
    pub reason: String,
    pub retry_in: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LossClass {
    /// Cut, refused, unreachable: the next attempt may work.
    Transport,
    /// The miner has as many workers as it may.
    Full,
    /// The miner refuses this worker: its token, its address, its registration.
    Refused,
}

/// Why the worker is not registered now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    /// The first failure since it last was.
    pub since: Mono,
    /// Of the newest failure.
    pub class: LossClass,
    pub reason: String,
}

#[derive(Debug)]
enum State {
    /// Not wanted yet, or not any more.
    Off,
    Waiting {
        until: Mono,
    },
    Resolving,
    Dialing {
        peer: PeerId,
    },
    Registering {
        peer: PeerId,
        until: Mono,
    },
    Registered {
        peer: PeerId,
        since: Mono,
    },
    /// We asked for the close of a connection whose registration was not acknowledged.
    Closing {
        peer: PeerId,
    },
}

#[derive(Debug)]
pub(super) struct Uplink {
    state: State,
    trouble: Option<Trouble>,
    /// Addresses not tried yet in this attempt, next one last.
    untried: Vec<SocketAddr>,
    dials: u64,
    attempts: u64,
    transport: Backoff,
    unwanted: Backoff,
    rng: ChaCha20Rng,
}

impl Uplink {
    pub fn new(reconnect_interval: Duration, rng: ChaCha20Rng) -> Uplink {
        Uplink {
            state: State::Off,
            trouble: None,
            untried: Vec::new(),
            dials: 0,
            attempts: 0,
            transport: Backoff::new(reconnect_interval, CEILING),
            unwanted: Backoff::new(UNWANTED.0.max(reconnect_interval), UNWANTED.1),
            rng,
        }
    }

    /// The registered connection.
    pub fn registered(&self) -> Option<PeerId> {
        match self.state {
            State::Registered { peer, .. } => Some(peer),
            _ => None,
        }
    }

    /// What stands in the way, once an attempt or a connection has failed.
    pub fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_ref()
    }

    /// Attempts so far, each over all addresses of the miner.
    pub fn attempts(&self) -> u64 {
        self.attempts
    }

    pub fn is_off(&self) -> bool {
        matches!(self.state, State::Off)
    }

    /// Begins, when it has not begun yet.
    pub fn start(&mut self) -> Option<Wish> {
        self.is_off().then(|| self.attempt())
    }

    fn attempt(&mut self) -> Wish {
        self.attempts += 1;
        self.state = State::Resolving;
        Wish::Resolve
    }

    /// The name server's answer; without an address it is a loss.
    pub fn resolved(&mut self, now: Mono, addresses: Result<Vec<SocketAddr>, String>) -> Result<Wish, Loss> {
        self.untried = addresses.map_err(|why| self.wait(now, LossClass::Transport, why))?;
        self.untried.reverse();
        self.dial().ok_or_else(|| self.wait(now, LossClass::Transport, "its name has no address".into()))
    }

    /// Whether it is waiting for the name server.
    pub fn is_resolving(&self) -> bool {
        matches!(self.state, State::Resolving)
    }

    fn dial(&mut self) -> Option<Wish> {
        let to = self.untried.pop()?;
        self.dials += 1;
        let peer = PeerId::dialed(self.dials);
        self.state = State::Dialing { peer };
        Some(Wish::Dial { peer, to })
    }

    /// The dial succeeded: the caller registers on it. `false` for a connection that is not the current dial.
    pub fn opened(&mut self, now: Mono, peer: PeerId) -> bool {
        let current = matches!(self.state, State::Dialing { peer: dialed } if dialed == peer);
        if current {
            self.state = State::Registering { peer, until: now + ACK_TIMEOUT };
        }
        current
    }

    /// The miner acknowledged. `false` when nothing was registered on this connection.
    pub fn acknowledged(&mut self, now: Mono, peer: PeerId) -> bool {
        let expected = matches!(self.state, State::Registering { peer: asked, .. } if asked == peer);
        if expected {
            self.state = State::Registered { peer, since: now };
            self.unwanted.reset();
            self.trouble = None;
        }
        expected
    }

    /// A connection closed or a dial failed. Another address of the same attempt is tried at once.
    pub fn lost(&mut self, now: Mono, peer: PeerId, reason: &Gone) -> Option<Result<Wish, Loss>> {
        let dialing = match self.state {
            State::Dialing { peer: current } => (current == peer).then_some(true),
            State::Registering { peer: current, .. } | State::Closing { peer: current } => {
                (current == peer).then_some(false)
            }
            State::Registered { peer: current, since } if current == peer => {
                if now.since(since) >= HELD {
                    self.transport.reset();
                }
                Some(false)
            }
            _ => None,
        }?;
        let class = LossClass::of(reason);
        let another = if dialing && class == LossClass::Transport { self.dial() } else { None };
        Some(another.ok_or_else(|| self.wait(now, class, reason.to_string())))
    }

    fn wait(&mut self, now: Mono, class: LossClass, reason: String) -> Loss {
        let backoff = if class == LossClass::Transport { &mut self.transport } else { &mut self.unwanted };
        let retry_in = backoff.wait(&mut self.rng);
        self.state = State::Waiting { until: now + retry_in };
        let since = self.trouble.as_ref().map_or(now, |trouble| trouble.since);
        self.trouble = Some(Trouble { since, class, reason: reason.clone() });
        Loss { class, reason, retry_in }
    }

    /// What is due: another attempt, or the end of a registration that nobody acknowledges.
    pub fn due(&mut self, now: Mono) -> Option<Wish> {
        match self.state {
            State::Waiting { until } if until <= now => Some(self.attempt()),
            State::Registering { peer, until } if until <= now => {
                self.state = State::Closing { peer };
                Some(Wish::Close { peer, code: close::GOING_AWAY, reason: "registration not acknowledged in 30 s" })
            }
            _ => None,
        }
    }

    pub fn deadline(&self) -> Option<Mono> {
        match self.state {
            State::Waiting { until } | State::Registering { until, .. } => Some(until),
            _ => None,
        }
    }

    /// No further attempt. The connection that is to be closed, if there is one.
    pub fn stop(&mut self) -> Option<PeerId> {
        match std::mem::replace(&mut self.state, State::Off) {
            State::Dialing { peer } | State::Registering { peer, .. } | State::Registered { peer, .. } => Some(peer),
            State::Off | State::Waiting { .. } | State::Resolving | State::Closing { .. } => None,
        }
    }
}

impl LossClass {
    fn of(reason: &Gone) -> LossClass {
        match reason {
            Gone::ByPeer { code: close::FULL, .. } => LossClass::Full,
            Gone::ByPeer { code: close::BAD_REGISTRATION..=close::NO_WORKER_VERSION, .. } => LossClass::Refused,
            Gone::Protocol(text) if text.starts_with("upgrade refused: 4") => LossClass::Refused,
            _ => LossClass::Transport,
        }
    }
}

#[cfg(test)]
mod tests {
    use rand_core::SeedableRng;

    use super::*;

    const FIRST: PeerId = PeerId::dialed(1);

    fn at(seconds: u64) -> Mono {
        Mono::default() + Duration::from_secs(seconds)
    }

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], 7799))
    }

    fn cut() -> Gone {
        Gone::Io("connection reset".into())
    }

    /// An uplink that has dialed the first of these addresses.
    fn dialing(addresses: &[u8]) -> Uplink {
        let mut uplink = Uplink::new(Duration::from_secs(5), ChaCha20Rng::seed_from_u64(1));
        assert_eq!(uplink.start(), Some(Wish::Resolve));
        let wish = uplink.resolved(at(0), Ok(addresses.iter().map(|last| address(*last)).collect()));
        assert_eq!(wish, Ok(Wish::Dial { peer: FIRST, to: address(addresses[0]) }));
        uplink
    }

    fn registered() -> Uplink {
        let mut uplink = dialing(&[1]);
        assert!(uplink.opened(at(0), FIRST));
        assert!(uplink.acknowledged(at(0), FIRST));
        uplink
    }

    fn loss(uplink: &mut Uplink, now: Mono, peer: PeerId, reason: Gone) -> Loss {
        uplink.lost(now, peer, &reason).unwrap().unwrap_err()
    }

    #[test]
    fn a_miner_that_is_not_up_yet_is_tried_again_with_growing_waits() {
        let mut uplink = dialing(&[1]);
        let mut now = at(0);
        let mut longest = Duration::ZERO;
        for round in 1..=8 {
            let loss = loss(&mut uplink, now, PeerId::dialed(round), cut());
            assert_eq!(loss.class, LossClass::Transport);
            assert!(loss.retry_in >= longest / 2 && loss.retry_in <= CEILING, "{:?}", loss.retry_in);
            longest = longest.max(loss.retry_in);
            now = uplink.deadline().unwrap();
            assert_eq!(uplink.due(now), Some(Wish::Resolve));
            assert!(uplink.resolved(now, Ok(vec![address(1)])).is_ok());
        }
        assert!(longest > Duration::from_secs(30));
        assert_eq!(uplink.attempts(), 9);
    }

    #[test]
    fn every_address_of_the_miner_is_tried_before_it_waits() {
        let mut uplink = dialing(&[1, 2]);
        let second = PeerId::dialed(2);
        assert_eq!(uplink.lost(at(1), FIRST, &cut()), Some(Ok(Wish::Dial { peer: second, to: address(2) })));
        assert!(uplink.lost(at(2), second, &cut()).unwrap().is_err());
    }

    #[test]
    fn a_full_miner_is_left_alone_for_a_long_time() {
        let mut uplink = dialing(&[1, 2]);
        uplink.opened(at(0), FIRST);
        let full = Gone::ByPeer { code: 4003, reason: "miner full (100 of 100)".into() };
        let loss = loss(&mut uplink, at(0), FIRST, full);
        assert_eq!(loss.class, LossClass::Full);
        assert!(loss.retry_in >= UNWANTED.0 / 2);
    }

    #[test]
    fn a_refused_token_is_no_reason_to_hammer() {
        let mut uplink = dialing(&[1, 2]);
        let refused = Gone::Protocol("upgrade refused: 401 token missing or wrong".into());
        let loss = loss(&mut uplink, at(0), FIRST, refused);
        assert_eq!(loss.class, LossClass::Refused);
        assert!(loss.retry_in >= UNWANTED.0 / 2);
    }

    #[test]
    fn a_connection_that_held_starts_the_waits_over() {
        let mut uplink = dialing(&[1]);
        for round in 1..=5 {
            loss(&mut uplink, at(0), PeerId::dialed(round), cut());
            uplink.due(at(1000));
            uplink.resolved(at(1000), Ok(vec![address(1)])).unwrap();
        }
        let peer = PeerId::dialed(6);
        uplink.opened(at(1000), peer);
        uplink.acknowledged(at(1000), peer);
        assert!(loss(&mut uplink, at(1060), peer, cut()).retry_in <= Duration::from_secs(5));
    }

    #[test]
    fn a_twin_that_steals_the_registration_again_and_again_does_not_make_it_spin() {
        let mut uplink = registered();
        let replaced = || Gone::ByPeer { code: 1001, reason: "Connection replaced".into() };
        let first = loss(&mut uplink, at(1), FIRST, replaced()).retry_in;
        let now = uplink.deadline().unwrap();
        uplink.due(now);
        uplink.resolved(now, Ok(vec![address(1)])).unwrap();
        let second = PeerId::dialed(2);
        uplink.opened(now, second);
        uplink.acknowledged(now, second);
        assert!(loss(&mut uplink, now, second, replaced()).retry_in >= first);
    }

    #[test]
    fn a_registration_that_nobody_acknowledges_is_given_up() {
        let mut uplink = dialing(&[1]);
        uplink.opened(at(0), FIRST);
        assert_eq!(uplink.due(at(29)), None);
        assert!(matches!(uplink.due(at(30)), Some(Wish::Close { peer: FIRST, .. })));
        assert!(!uplink.acknowledged(at(30), FIRST));
        assert!(loss(&mut uplink, at(31), FIRST, cut()).retry_in > Duration::ZERO);
    }

    #[test]
    fn a_name_without_an_address_is_asked_for_again() {
        let mut uplink = Uplink::new(Duration::from_secs(5), ChaCha20Rng::seed_from_u64(1));
        uplink.start();
        assert!(uplink.resolved(at(0), Ok(Vec::new())).is_err());
        assert_eq!(uplink.due(at(5)), Some(Wish::Resolve));
        assert!(uplink.resolved(at(5), Err("no such host".into())).is_err());
    }

    #[test]
    fn the_end_of_another_connection_changes_nothing() {
        let mut uplink = registered();
        assert_eq!(uplink.lost(at(1), PeerId::dialed(7), &cut()), None);
        assert_eq!(uplink.registered(), Some(FIRST));
    }

    #[test]
    fn a_stopped_uplink_names_what_is_to_be_closed() {
        let mut uplink = registered();
        assert_eq!(uplink.stop(), Some(FIRST));
        assert_eq!((uplink.lost(at(1), FIRST, &cut()), uplink.deadline()), (None, None));
    }
}
