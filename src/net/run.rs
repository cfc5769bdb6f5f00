//! The driver: turns of the loop from start to exit. Owns the machine, the peers, the listeners and the way to the
//! spokes; reads the clock for all of them. Never decides: every input goes to the machine, every output is done.

use std::{io, time::Duration};

use crossbeam::channel::Receiver;
use mio::{Events, Poll, Registry, Token};

use crate::{
    machine::{Exit, Input, Machine, Message, Output},
    metrics::Page,
    net::{
        Clock, Hub, Listener, NetError, Setup, Wake,
        accept::Accepted,
        counters::{LoopCounters, label},
        operators::{self, Asked},
        peer::{Door, Happened},
        peers::{self, Peers},
        setup::WAKE,
        signals::Signals,
        standing::Standing,
        turned_away::TurnedAway,
        ws_server,
    },
    notify::Notifier,
    spoke::{Full, Report, Spoke},
    units::{Mono, Now, PeerId},
    wire::http::{Request, Response},
};

/// A turn ends after this many items of work …
const TURN_ITEMS: usize = 64;
/// … or this long, whichever is first; then the sockets are polled again.
const TURN_TIME: Duration = Duration::from_millis(5);
/// Connections that one listener accepts in one turn.
const TURN_ACCEPTS: usize = 16;

/// What is queued for sockets at the end gets this long: who asks for the end waits for it.
const FLUSH: Duration = Duration::from_secs(1);
/// Threads that may be left at their work are waited for no longer than this after the stop was asked for.
const LEAVE_WITHIN: Duration = Duration::from_millis(4500);

const SIGNALS: Token = Token(usize::MAX - 1);
/// The listener of index 0; the others count down.
const LISTENERS: usize = usize::MAX - 2;

/// Runs a daemon until its machine says `Exit`, on the thread of the caller. Returns after the sockets are
/// flushed, within a second, and the spokes joined, or after `Setup::stop_timeout`.
///
/// # Errors
/// When it cannot start: nothing was handed to the machine.
pub fn run<M: Machine>(machine: M, setup: Setup<M::Event, M::Command>) -> Result<Exit, NetError> {
    let Setup { hub, mut listeners, dials, dispatch, spokes, stop_timeout, signals } = setup;
    let Hub { poll, wake, clock, reports, .. } = hub;
    let system = |what| move |source| NetError::System { what, source };
    let registry = poll.registry().try_clone().map_err(system("watch sockets"))?;
    register(&registry, &mut listeners)?;
    let notifier = if signals { Notifier::from_env() } else { Notifier::default() };
    let signals =
        if signals { Some(Signals::install(&registry, SIGNALS).map_err(system("listen to signals"))?) } else { None };
    let standing = Standing::ready(notifier, clock.mono());
    let mut peers = Peers::new(registry, dials);
    listeners.iter().enumerate().for_each(|(index, listener)| peers.limit_held(index, listener.held_bytes()));
    let driver = Driver {
        machine,
        poll,
        wake,
        clock,
        reports,
        listeners,
        peers,
        dispatch,
        signals,
        standing,
        counters: LoopCounters::new(clock.now()),
        turned_away: TurnedAway::default(),
        more_reports: true,
        stop_timeout,
        stop_asked: None,
        exit: None,
        by_force: false,
    };
    Ok(driver.run(spokes))
}

fn register(registry: &Registry, listeners: &mut [Listener]) -> Result<(), NetError> {
    for (index, listener) in listeners.iter_mut().enumerate() {
        listener.register(registry, Token(LISTENERS - index)).map_err(|source| NetError::Listen {
            name: listener.name,
            address: listener.address(),
            source,
        })?;
        log::info!(target: "net", "listening on {} ({})", listener.address(), listener.name);
    }
    Ok(())
}

struct Driver<M: Machine> {
    machine: M,
    poll: Poll,
    wake: Wake,
    clock: Clock,
    reports: Receiver<Report<M::Event>>,
    listeners: Vec<Listener>,
    peers: Peers,
    dispatch: Box<dyn FnMut(M::Command) -> Result<(), Full>>,
    signals: Option<Signals>,
    standing: Standing,
    counters: LoopCounters,
    turned_away: TurnedAway,
    /// The spokes' channel may hold more.
    more_reports: bool,
    stop_timeout: Duration,
    stop_asked: Option<Mono>,
    exit: Option<Exit>,
    /// No flushing, no joining.
    by_force: bool,
}

impl<M: Machine> Driver<M> {
    fn run(mut self, spokes: Vec<Spoke>) -> Exit {
        let mut events = Events::with_capacity(TURN_ITEMS);
        // A machine may want something before anything has happened.
        self.drain();
        self.tell_status();
        while self.exit.is_none() {
            self.turn(&mut events);
        }
        self.end(&mut events, spokes)
    }

    fn turn(&mut self, events: &mut Events) {
        self.wait(events);
        let began = self.clock.now();
        self.note(events);
        self.check_deadlines(began);
        self.take_reports(began.mono);
        self.accept();
        self.work(began.mono);
        self.tell_status();
        self.counters.turned(self.clock.mono().since(began.mono));
    }

    fn wait(&mut self, events: &mut Events) {
        let timeout = if self.has_work() { Some(Duration::ZERO) } else { self.patience() };
        if let Err(error) = self.poll.poll(events, timeout)
            && error.kind() != io::ErrorKind::Interrupted
        {
            self.exit = Some(Exit::Failed(format!("cannot wait for events: {error}")));
        }
    }

    /// One line for the service manager, when it is time to look at it again.
    fn tell_status(&mut self) {
        let now = self.clock.now();
        if self.standing.looks(now.mono) {
            let status = self.machine.status(now);
            self.standing.says(now.mono, &status);
        }
    }

    fn has_work(&self) -> bool {
        let accepting = |listener: &Listener| listener.ready && listener.paused_until.is_none();
        self.more_reports || self.peers.has_work() || self.listeners.iter().any(accepting)
    }

    /// Until the next deadline of anybody; `None` when there is none.
    fn patience(&self) -> Option<Duration> {
        let paused = self.listeners.iter().filter_map(|listener| listener.paused_until);
        let all = [self.machine.deadline(), self.peers.next_deadline(), self.standing.deadline(), self.stop_until()];
        let next = all.into_iter().flatten().chain(paused).min()?;
        Some(next.since(self.clock.mono()))
    }

    fn note(&mut self, events: &Events) {
        for event in events {
            match event.token() {
                WAKE => self.more_reports = true,
                SIGNALS => {
                    let count = self.signals.as_mut().map_or(0, Signals::take);
                    (0..count).for_each(|_| self.stop());
                }
                Token(number) if number > LISTENERS - self.listeners.len() => {
                    if let Some(listener) = self.listeners.get_mut(LISTENERS - number) {
                        listener.ready = true;
                    }
                }
                _ => self.peers.ready(event),
            }
        }
    }

    /// Asked to stop: once by the machine's leave, twice by force.
    fn stop(&mut self) {
        if self.stop_asked.is_some() {
            self.by_force = true;
            self.exit = Some(Exit::Failed("asked to stop a second time: ended at once".into()));
            return;
        }
        log::info!(target: "net", "asked to stop");
        self.standing.stopping();
        self.stop_asked = Some(self.clock.mono());
        self.listeners.iter_mut().for_each(Listener::close);
        self.feed(Input::Stop);
        let now = self.clock.now();
        let status = self.machine.status(now);
        self.standing.says(now.mono, &status);
    }

    fn stop_until(&self) -> Option<Mono> {
        self.stop_asked.map(|asked| asked + self.stop_timeout)
    }

    fn check_deadlines(&mut self, now: Now) {
        if self.stop_until().is_some_and(|until| until <= now.mono) && self.exit.is_none() {
            self.exit = Some(Exit::Failed(format!("did not stop within {:?}", self.stop_timeout)));
        }
        for listener in &mut self.listeners {
            listener.paused_until = listener.paused_until.filter(|until| *until > now.mono);
        }
        self.standing.keep_alive(now.mono);
        self.peers.expire(now, TURN_ITEMS, &mut self.counters);
        if self.machine.deadline().is_some_and(|due| due <= now.mono) {
            self.feed(Input::Deadline);
        }
    }

    /// At most half a turn, so that spokes leave time for sockets.
    fn take_reports(&mut self, began: Mono) {
        if !self.more_reports {
            return;
        }
        self.wake.heard();
        for _ in 0..TURN_ITEMS {
            if self.clock.mono().since(began) >= TURN_TIME / 2 {
                return;
            }
            match self.reports.try_recv() {
                Ok(Report::Event(event)) => self.feed(Input::Event(event)),
                Ok(Report::Stop) => self.stop(),
                Ok(Report::Died(name)) => {
                    log::error!(target: "net", "spoke {name} died; the daemon ends");
                    self.exit.get_or_insert(Exit::Failed(format!("spoke {name} died")));
                }
                Err(_) => {
                    self.more_reports = false;
                    return;
                }
            }
        }
    }

    fn accept(&mut self) {
        for (index, listener) in self.listeners.iter_mut().enumerate() {
            for _ in 0..TURN_ACCEPTS {
                if !listener.ready || listener.paused_until.is_some() {
                    break;
                }
                let now = self.clock.now();
                match listener.accept(now.mono) {
                    Accepted::Nothing => {}
                    Accepted::Refused(limit) => self.counters.refused(listener.name, limit),
                    Accepted::Stream(stream, remote) => {
                        if let Err(error) = self.peers.accept(now, index, &listener.serve, stream, remote) {
                            log::debug!(target: "net", "{remote} went before it was served: {error}");
                            listener.release(remote.ip());
                        }
                    }
                }
            }
        }
    }

    /// Items of work, oldest first, until the turn is over; one at least.
    fn work(&mut self, began: Mono) {
        for item in 0..TURN_ITEMS {
            let now = self.clock.now();
            if self.exit.is_some() || (item > 0 && now.mono.since(began) >= TURN_TIME) {
                return;
            }
            let worked = self.peers.work(now, &mut self.counters);
            while let Some(report) = self.peers.report(&mut self.counters) {
                self.hand_over(report);
            }
            for (index, remote) in self.peers.released() {
                if let Some(listener) = self.listeners.get_mut(index) {
                    listener.release(remote.ip());
                }
            }
            if !worked {
                return;
            }
        }
    }

    fn hand_over(&mut self, report: peers::Report) {
        let peers::Report { peer, door, remote, happened } = report;
        let Door::Machine(link) = door else { return self.serve_metrics(peer, happened) };
        match happened {
            Happened::Opened => self.feed(Input::Opened { peer, link, remote }),
            Happened::Received { message, at } => self.feed(Input::Received { peer, message, at }),
            Happened::Gone { reason, opened: true } => self.feed(Input::Closed { peer, reason }),
            Happened::Gone { reason, opened: false } if peer.is_dialed() => {
                self.feed(Input::DialFailed { peer, reason });
            }
            // Before the upgrade: the machine never knew of it.
            Happened::Gone { reason, .. } => {
                if let Some(why) = ws_server::turned_away(&reason) {
                    self.turned_away.note(self.clock.mono(), label(door), remote.ip(), why);
                }
            }
        }
    }

    /// One input and all that the machine wants because of it.
    fn feed(&mut self, input: Input<M::Event>) {
        if self.exit.is_none() {
            self.machine.handle(self.clock.now(), input);
            self.drain();
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.machine.poll() {
            let now = self.clock.now();
            match output {
                Output::Dial { peer, dial } => self.peers.dial(now, peer, dial),
                Output::Send { peer, message } => self.peers.send(now, peer, message, &mut self.counters),
                Output::Close { peer, code, reason } => self.peers.close(now, peer, code, reason),
                Output::Command(command) => self.command(command),
                Output::Exit(exit) => {
                    self.exit.get_or_insert(exit);
                }
            }
        }
    }

    fn command(&mut self, command: M::Command) {
        if let Err(full) = (self.dispatch)(command) {
            log::error!(target: "net", "{full}: a bug of ours; the daemon ends");
            self.exit.get_or_insert(Exit::Failed(full.to_string()));
        }
    }

    fn serve_metrics(&mut self, peer: PeerId, happened: Happened) {
        if let Happened::Received { message: Message::Request(request), .. } = happened {
            let now = self.clock.now();
            let response = self.operators_response(now, &request);
            self.peers.send(now, peer, Message::Response(response), &mut self.counters);
        }
    }

    fn operators_response(&self, now: Now, request: &Request) -> Response {
        let token = self.listeners.iter().find_map(Listener::token);
        match operators::asked(request, token) {
            Err(refusal) => refusal,
            Ok(Asked::Health) => operators::alive(),
            Ok(Asked::Metrics) => {
                let mut page = Page::default();
                self.counters.write(now, &mut page);
                self.machine.observe(&mut page);
                operators::metrics(&page)
            }
        }
    }

    /// Stops accepting, flushes, closes, ends the spokes.
    fn end(mut self, events: &mut Events, spokes: Vec<Spoke>) -> Exit {
        let exit = self.exit.clone().unwrap_or(Exit::Done);
        // Also when it ends by itself: the watchdog must not count the flush and the joins.
        self.standing.stopping();
        self.standing.says(self.clock.mono(), "stopping: connections and threads are being ended");
        self.listeners.clear();
        if self.by_force {
            return exit;
        }
        self.flush(events);
        let Driver { dispatch, reports, stop_timeout, stop_asked, clock, .. } = self;
        // Spokes that wait to report stop waiting, and end once their requests are served.
        drop((dispatch, reports));
        let until = clock.mono() + stop_timeout;
        let leave = until.min(stop_asked.unwrap_or(clock.mono()) + LEAVE_WITHIN);
        for spoke in spokes {
            let (name, may_be_left) = (spoke.name().to_owned(), spoke.may_be_left());
            let patience = if may_be_left { leave } else { until };
            if spoke.join(patience.since(clock.mono())) {
                continue;
            }
            if may_be_left {
                log::info!(target: "net", "spoke {name} is left at its work: what that comes to is found out after the next start");
            } else {
                log::error!(target: "net", "spoke {name} did not end within {stop_timeout:?}: left behind");
            }
        }
        exit
    }

    fn flush(&mut self, events: &mut Events) {
        let until = self.clock.mono() + self.stop_timeout.min(FLUSH);
        self.peers.abandon(self.clock.now());
        // Work first: what was queued in the last turn has not met its socket yet.
        self.peers.work_round(self.clock.now(), &mut self.counters);
        while self.peers.has_waiting() && self.clock.mono() < until {
            let next = until.min(self.peers.next_deadline().unwrap_or(until));
            let patience = if self.peers.has_work() { Duration::ZERO } else { next.since(self.clock.mono()) };
            if self.poll.poll(events, Some(patience)).is_err_and(|error| error.kind() != io::ErrorKind::Interrupted) {
                return;
            }
            events.iter().for_each(|event| self.peers.ready(event));
            self.peers.expire(self.clock.now(), TURN_ITEMS, &mut self.counters);
            self.peers.work_round(self.clock.now(), &mut self.counters);
        }
    }
}
