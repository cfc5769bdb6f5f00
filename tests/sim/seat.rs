//! One machine with its spokes, as the world drives it: the types of the three roles erased.
//!
//! A spoke's work is done when its reply is due, one request after another; what a crash interrupts was not done,
//! or was done without anyone hearing of it.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use byteleap::{
    machine::{Dial, Exit, Gone, Input, Link, Machine, Message, Output},
    metrics::{Metric, Page},
    units::{Mono, Now, PeerId},
};

/// The spokes of one role. `serve` does the work of one command and says what came out.
pub trait Spokes<M: Machine> {
    /// Which spoke serves it, and how long that takes: commands of one spoke finish in order.
    fn route(&mut self, command: &M::Command) -> Route;
    fn serve(&mut self, now: Now, command: M::Command) -> Option<M::Event>;
    /// What leaves in place of a message of the machine: only a liar's differs.
    fn said(&mut self, message: Message) -> Message {
        message
    }
    /// May a crash leave the effect of this command behind although nobody heard of it?
    fn survives_crash(&self, command: &M::Command) -> bool;
}

#[derive(Clone, Copy)]
pub struct Route {
    pub spoke: &'static str,
    /// Requests that may be in flight: more is a bug of the machine, not a state.
    pub depth: usize,
    /// Shortest and longest time to the reply.
    pub takes: (Duration, Duration),
}

/// What reaches a machine from outside; spokes' reports come through [`Actor::finish`].
pub enum Arrival {
    Opened { peer: PeerId, link: Link, remote: SocketAddr },
    Received { peer: PeerId, message: Message },
    Closed { peer: PeerId, reason: Gone },
    DialFailed { peer: PeerId, reason: Gone },
    Deadline,
}

/// What a machine wants from the world.
pub enum Wish {
    Dial {
        peer: PeerId,
        dial: Dial,
    },
    Send {
        peer: PeerId,
        message: Message,
    },
    Close {
        peer: PeerId,
        code: u16,
        reason: String,
    },
    /// A spoke is to finish this ticket after that time.
    Work {
        ticket: u64,
        route: Route,
    },
    Exit(Exit),
}

pub trait Actor {
    fn arrive(&mut self, now: Now, arrival: Arrival);
    /// A ticket's time has come: the spoke does its work and the machine hears of it.
    fn finish(&mut self, now: Now, ticket: u64);
    fn poll(&mut self) -> Option<Wish>;
    fn deadline(&self) -> Option<Mono>;
    /// The process dies. Of the work in flight, the first `done` tickets still took effect where they can.
    fn crash(&mut self, now: Now, done: usize);
    /// A new process in the same place: what is durable lives in the spokes.
    fn restart(&mut self, now: Now);
    fn in_flight(&self) -> usize;
    fn check(&self);
    /// What stands on the page of its metrics.
    fn metric(&self, metric: Metric, labels: &[&str]) -> Option<f64>;
}

/// A machine, its spokes, and the work that is under way.
pub struct Seat<M: Machine, S> {
    pub machine: M,
    pub spokes: S,
    pending: BTreeMap<u64, (&'static str, M::Command)>,
    tickets: u64,
    build: Box<dyn FnMut(Now) -> M>,
    check: fn(&M),
}

impl<M: Machine, S: Spokes<M>> Seat<M, S> {
    pub fn new(now: Now, mut build: Box<dyn FnMut(Now) -> M>, spokes: S, check: fn(&M)) -> Seat<M, S> {
        Seat { machine: build(now), spokes, pending: BTreeMap::new(), tickets: 0, build, check }
    }
}

impl<M: Machine, S: Spokes<M>> Actor for Seat<M, S> {
    fn arrive(&mut self, now: Now, arrival: Arrival) {
        let input = match arrival {
            Arrival::Opened { peer, link, remote } => Input::Opened { peer, link, remote },
            Arrival::Received { peer, message } => Input::Received { peer, message, at: now.mono },
            Arrival::Closed { peer, reason } => Input::Closed { peer, reason },
            Arrival::DialFailed { peer, reason } => Input::DialFailed { peer, reason },
            Arrival::Deadline => Input::Deadline,
        };
        self.machine.handle(now, input);
    }

    fn finish(&mut self, now: Now, ticket: u64) {
        if let Some((_, command)) = self.pending.remove(&ticket)
            && let Some(event) = self.spokes.serve(now, command)
        {
            self.machine.handle(now, Input::Event(event));
        }
    }

    fn poll(&mut self) -> Option<Wish> {
        Some(match self.machine.poll()? {
            Output::Dial { peer, dial } => Wish::Dial { peer, dial },
            Output::Send { peer, message } => Wish::Send { peer, message: self.spokes.said(message) },
            Output::Close { peer, code, reason } => Wish::Close { peer, code, reason },
            Output::Command(command) => {
                self.tickets += 1;
                let route = self.spokes.route(&command);
                let with_it = self.pending.values().filter(|(spoke, _)| *spoke == route.spoke).count();
                assert!(with_it < route.depth, "{} requests for the spoke {}", with_it + 1, route.spoke);
                self.pending.insert(self.tickets, (route.spoke, command));
                Wish::Work { ticket: self.tickets, route }
            }
            Output::Exit(exit) => Wish::Exit(exit),
        })
    }

    fn deadline(&self) -> Option<Mono> {
        self.machine.deadline()
    }

    fn crash(&mut self, now: Now, done: usize) {
        let pending = std::mem::take(&mut self.pending);
        for (_, (_, command)) in pending.into_iter().take(done) {
            if self.spokes.survives_crash(&command) {
                self.spokes.serve(now, command);
            }
        }
    }

    fn restart(&mut self, now: Now) {
        self.machine = (self.build)(now);
    }

    fn in_flight(&self) -> usize {
        self.pending.len()
    }

    fn check(&self) {
        (self.check)(&self.machine);
    }

    fn metric(&self, metric: Metric, labels: &[&str]) -> Option<f64> {
        let mut page = Page::default();
        self.machine.observe(&mut page);
        page.value(metric, labels)
    }
}
