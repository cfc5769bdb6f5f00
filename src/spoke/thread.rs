//! Where every thread of a daemon is born, how it is spoken to, and how its death is noticed.
//!
//! Runs on: whoever calls; the threads made here run what they were given. Owns the channels between the
//! hub and its spokes. Never decides what a spoke does, and never blocks the hub: requests go out with
//! [`Inbox::send`], which fails instead of waiting.

use std::{
    thread::{self, JoinHandle},
    time::Duration,
};

use crossbeam::channel::{self, Receiver, RecvTimeoutError, Sender, TrySendError};

use crate::net::Wake;

/// What reaches the hub from outside its own sockets.
#[derive(Debug)]
pub enum Report<E> {
    /// A spoke's reply.
    Event(E),
    /// A spoke's thread ended by panic; it will never reply again.
    Died(String),
    /// Somebody asks the daemon to stop, as a signal would.
    Stop,
}

/// The way from the spokes to the hub. Cheap to clone; one channel for all of them.
#[derive(Debug)]
pub struct Outbox<E> {
    reports: Sender<Report<E>>,
    wake: Wake,
}

impl<E> Clone for Outbox<E> {
    fn clone(&self) -> Outbox<E> {
        Outbox { reports: self.reports.clone(), wake: self.wake.clone() }
    }
}

impl<E> Outbox<E> {
    /// Hands over a report and wakes the hub. Waits while the channel is full: the hub never waits for a
    /// spoke, so it drains. A hub that is gone drops what it is told.
    pub fn send(&self, report: Report<E>) {
        if self.reports.send(report).is_ok() {
            self.wake.wake();
        }
    }
}

/// The hub's end and the spokes' end of one bounded channel.
pub fn outbox<E>(depth: usize, wake: Wake) -> (Outbox<E>, Receiver<Report<E>>) {
    let (reports, hub) = channel::bounded(depth);
    (Outbox { reports, wake }, hub)
}

/// A request that a spoke could not take. The machine counts what it has in flight, so this is a bug.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    #[error("spoke {spoke} has {depth} requests waiting, which is its limit")]
    Depth { spoke: String, depth: usize },
    #[error("spoke {spoke} has ended")]
    Ended { spoke: String },
}

/// The way from the hub to one spoke.
#[derive(Debug)]
pub struct Inbox<Q> {
    name: String,
    depth: usize,
    requests: Sender<Q>,
}

impl<Q> Inbox<Q> {
    /// Queues a request; never waits.
    pub fn send(&self, request: Q) -> Result<(), Full> {
        self.requests.try_send(request).map_err(|refused| match refused {
            TrySendError::Full(_) => Full::Depth { spoke: self.name.clone(), depth: self.depth },
            TrySendError::Disconnected(_) => Full::Ended { spoke: self.name.clone() },
        })
    }
}

/// A running spoke: what is left of it for the one who joins it.
#[derive(Debug)]
pub struct Spoke {
    name: String,
    threads: Vec<JoinHandle<()>>,
    /// Disconnects when the last of its threads has ended.
    ended: Receiver<()>,
    /// Longer than this nobody waits for its end.
    left_after: Option<Duration>,
}

impl Spoke {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A spoke whose work may be left at any point is joined for no longer than `patience`.
    pub fn left_after(mut self, patience: Duration) -> Spoke {
        self.left_after = Some(patience);
        self
    }

    /// Whether it does no harm to leave it behind at its work.
    pub fn may_be_left(&self) -> bool {
        self.left_after.is_some()
    }

    /// Waits until it has served what was queued and ended; its inbox must be dropped before. `false` when
    /// it did not end within `patience`: its thread is left behind.
    pub fn join(self, patience: Duration) -> bool {
        let patience = self.left_after.map_or(patience, |longest| longest.min(patience));
        if self.ended.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
            return false;
        }
        self.threads.into_iter().for_each(|thread| {
            // A thread that panicked has said so itself.
            let _ = thread.join();
        });
        true
    }
}

/// Starts a spoke on a thread of that name (at most 15 bytes show in `ps`). `serve` gets one request at a
/// time and its answer goes to the hub: exactly one a request, in order. At most `depth` requests wait.
/// It ends when its inbox is dropped and the waiting requests are served.
///
/// # Panics
/// When the system refuses a thread: the daemon cannot start.
pub fn spawn<Q, A, F>(name: &str, depth: usize, outbox: &Outbox<A>, serve: F) -> (Inbox<Q>, Spoke)
where
    Q: Send + 'static,
    A: Send + 'static,
    F: FnMut(Q) -> A + Send + 'static,
{
    start(name, depth, outbox, vec![(name.to_owned(), serve)])
}

/// Starts one spoke of several threads `name-0`, `name-1`, … that share its inbox. Answers come in the
/// order in which they are ready.
pub fn spawn_pool<Q, A, F>(name: &str, depth: usize, outbox: &Outbox<A>, serve: Vec<F>) -> (Inbox<Q>, Spoke)
where
    Q: Send + 'static,
    A: Send + 'static,
    F: FnMut(Q) -> A + Send + 'static,
{
    let named = serve.into_iter().enumerate().map(|(index, serve)| (format!("{name}-{index}"), serve));
    start(name, depth, outbox, named.collect())
}

#[expect(clippy::disallowed_methods, reason = "this is where threads are born")]
fn start<Q, A, F>(name: &str, depth: usize, outbox: &Outbox<A>, serve: Vec<(String, F)>) -> (Inbox<Q>, Spoke)
where
    Q: Send + 'static,
    A: Send + 'static,
    F: FnMut(Q) -> A + Send + 'static,
{
    let (requests, inbox) = channel::bounded::<Q>(depth);
    let (alive, ended) = channel::bounded::<()>(0);
    let threads = serve.into_iter().map(|(name, mut serve)| {
        let (inbox, outbox, alive) = (inbox.clone(), outbox.clone(), alive.clone());
        let run = move || {
            let _alive = alive;
            let notice = DeathNotice { name: thread::current().name().unwrap_or_default().to_owned(), outbox };
            inbox.iter().for_each(|request| notice.outbox.send(Report::Event(serve(request))));
        };
        thread::Builder::new().name(name).spawn(run).expect("the system has a thread for each spoke")
    });
    let threads = threads.collect();
    (
        Inbox { name: name.to_owned(), depth, requests },
        Spoke { name: name.to_owned(), threads, ended, left_after: None },
    )
}

/// Tells the hub when the thread that holds it unwinds.
struct DeathNotice<A> {
    name: String,
    outbox: Outbox<A>,
}

impl<A> Drop for DeathNotice<A> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.outbox.send(Report::Died(self.name.clone()));
        }
    }
}

/// Starts a thread that nobody joins, for work that may hang in somebody else's library for ever: it ends with the
/// process. `false`: the system refuses it.
#[expect(clippy::disallowed_methods, reason = "this is where threads are born")]
pub fn aside(name: &str, work: impl FnOnce() + Send + 'static) -> bool {
    thread::Builder::new().name(name.to_owned()).spawn(work).is_ok()
}

/// Works on all parts at once, a named thread each, and waits for all of them; results in the order of the
/// parts. For a spoke whose one request has work for several cores.
///
/// # Panics
/// When the work on a part does.
pub fn in_parallel<T: Send, R: Send>(name: &str, parts: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    thread::scope(|scope| {
        let started = parts.into_iter().enumerate().map(|(index, part)| {
            let builder = thread::Builder::new().name(format!("{name}-{index}"));
            builder.spawn_scoped(scope, || work(part)).expect("the system has a thread for each part")
        });
        let started: Vec<_> = started.collect();
        started.into_iter().map(|thread| thread.join().expect("the work on each part ends")).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn hub<E>(depth: usize) -> (Outbox<E>, Receiver<Report<E>>, mio::Poll) {
        let poll = mio::Poll::new().unwrap();
        let wake = Wake::new(poll.registry(), mio::Token(0)).unwrap();
        let (outbox, reports) = outbox(depth, wake);
        (outbox, reports, poll)
    }

    #[test]
    fn each_request_has_one_reply_in_order() {
        let (outbox, reports, _poll) = hub(8);
        let (inbox, spoke) = spawn("double", 4, &outbox, |number: u32| number * 2);
        (1..=3).for_each(|number| inbox.send(number).unwrap());
        drop(inbox);
        assert!(spoke.join(PATIENCE));
        let replies: Vec<u32> = reports
            .try_iter()
            .map(|report| match report {
                Report::Event(number) => number,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(replies, [2, 4, 6]);
    }

    #[test]
    fn a_full_spoke_says_so_at_once() {
        let (outbox, _reports, _poll) = hub(8);
        let (release, held) = channel::bounded::<()>(0);
        let (inbox, spoke) = spawn("slow", 1, &outbox, move |_: ()| held.recv().ok());
        let refused = (0..3).find_map(|_| inbox.send(()).err());
        assert_eq!(refused, Some(Full::Depth { spoke: "slow".into(), depth: 1 }));
        drop((release, inbox));
        assert!(spoke.join(PATIENCE));
    }

    #[test]
    fn a_spoke_that_panics_reports_its_death() {
        let (outbox, reports, _poll) = hub::<()>(8);
        let (inbox, spoke) = spawn("doomed", 1, &outbox, |_: ()| panic!("as the test wants"));
        inbox.send(()).unwrap();
        match reports.recv_timeout(PATIENCE).unwrap() {
            Report::Died(name) => assert_eq!(name, "doomed"),
            other => panic!("{other:?}"),
        }
        assert!(spoke.join(PATIENCE));
        assert_eq!(inbox.send(()), Err(Full::Ended { spoke: "doomed".into() }));
    }

    #[test]
    fn a_spoke_that_hangs_is_left_behind() {
        let (outbox, _reports, _poll) = hub(8);
        let (release, held) = channel::bounded::<()>(0);
        let (inbox, spoke) = spawn("stuck", 1, &outbox, move |_: ()| held.recv().ok());
        inbox.send(()).unwrap();
        drop(inbox);
        assert!(!spoke.join(Duration::from_millis(1)));
        drop(release);
    }

    #[test]
    fn a_spoke_that_may_be_left_is_not_waited_for() {
        let (outbox, _reports, _poll) = hub(8);
        let (release, held) = channel::bounded::<()>(0);
        let (inbox, spoke) = spawn("caller", 1, &outbox, move |_: ()| held.recv().ok());
        inbox.send(()).unwrap();
        drop(inbox);
        let spoke = spoke.left_after(Duration::from_millis(1));
        assert!(spoke.may_be_left());
        assert!(!spoke.join(Duration::MAX), "the longest patience would never end");
        drop(release);
    }

    #[test]
    fn a_pool_shares_one_inbox() {
        let (outbox, reports, _poll) = hub(8);
        let (inbox, spoke) = spawn_pool("add", 8, &outbox, vec![|n: u32| n + 1, |n: u32| n + 1]);
        (0..8).for_each(|number| inbox.send(number).unwrap());
        drop(inbox);
        assert!(spoke.join(PATIENCE));
        assert_eq!(reports.try_iter().count(), 8);
    }

    #[test]
    fn parallel_results_keep_the_order_of_their_parts() {
        assert_eq!(in_parallel("square", vec![3, 1, 2], |n| n * n), [9, 1, 4]);
    }
}
