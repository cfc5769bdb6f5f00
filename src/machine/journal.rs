//! Group commit: gathers durable writes with who waits for them, and says when a batch goes to the store.
//!
//! One batch is in flight at a time; whatever comes meanwhile is the next one. A batch goes out 2 ms after
//! its first request, or with its 256th. Owns the writes and the waiting; never answers anybody itself, and
//! never retries: a batch that failed has no effect, and its waiters are handed back.

use std::time::Duration;

use crate::{
    machine::contract::store::{StoreRequest, WorkerSeen, Write},
    units::Mono,
};

/// Longest that a request waits for its batch to leave.
///
/// Those who wait send nothing meanwhile: a longer wait gathers no larger batch from them, it only holds them up.
/// Under load a batch gathers while the one before is in flight.
pub const FLUSH_AFTER: Duration = Duration::from_millis(2);
/// Requests that send a batch off before its time.
pub const FLUSH_REQUESTS: usize = 256;
/// Most requests that may be gathered while a batch is in flight.
pub const MAX_REQUESTS: usize = 4096;
/// Most memory that gathered writes may take, by their texts.
pub const MAX_BYTES: usize = 64 << 20;

/// A request that found no room: nothing of it was taken. The waiter comes back, to be refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("journal full: {requests} requests, {bytes} bytes wait for the store")]
pub struct Full<T> {
    pub waiter: Option<T>,
    pub requests: usize,
    pub bytes: usize,
}

/// Writes on their way to the store; `T` is what the machine needs to answer a waiter.
#[derive(Debug)]
pub struct Journal<T> {
    gathered: Gathered<T>,
    /// The batch at the store and who waits for it.
    in_flight: Option<(u64, Vec<T>)>,
    batches: u64,
    /// Do not wait for more.
    hurried: bool,
}

#[derive(Debug)]
struct Gathered<T> {
    writes: Vec<Write>,
    waiters: Vec<T>,
    requests: usize,
    bytes: usize,
    since: Option<Mono>,
}

impl<T> Default for Gathered<T> {
    fn default() -> Self {
        Gathered { writes: Vec::new(), waiters: Vec::new(), requests: 0, bytes: 0, since: None }
    }
}

impl<T> Default for Journal<T> {
    fn default() -> Self {
        Journal { gathered: Gathered::default(), in_flight: None, batches: 0, hurried: false }
    }
}

impl<T> Journal<T> {
    /// Takes one request's writes, all for the same batch. `waiter` is handed back when they are durable, or
    /// when they failed.
    pub fn write(&mut self, now: Mono, writes: Vec<Write>, waiter: Option<T>) -> Result<(), Full<T>> {
        let gathered = &mut self.gathered;
        let bytes = gathered.bytes + writes.iter().map(weight).sum::<usize>();
        if gathered.requests >= MAX_REQUESTS || bytes > MAX_BYTES {
            return Err(Full { waiter, requests: gathered.requests, bytes: gathered.bytes });
        }
        gathered.requests += 1;
        gathered.bytes = bytes;
        gathered.since.get_or_insert(now);
        gathered.writes.extend(writes);
        gathered.waiters.extend(waiter);
        Ok(())
    }

    /// The next batch for the store, when it is time and none is in flight.
    pub fn poll(&mut self, now: Mono) -> Option<StoreRequest> {
        if self.deadline()? > now {
            return None;
        }
        let gathered = std::mem::take(&mut self.gathered);
        self.batches += 1;
        self.in_flight = Some((self.batches, gathered.waiters));
        Some(StoreRequest::Commit { batch: self.batches, writes: gathered.writes })
    }

    /// When [`poll`](Journal::poll) has something to give.
    pub fn deadline(&self) -> Option<Mono> {
        let since = self.gathered.since?;
        let at_once = self.hurried || self.gathered.requests >= FLUSH_REQUESTS;
        self.in_flight.is_none().then(|| if at_once { since } else { since + FLUSH_AFTER })
    }

    /// The store answered: these waited for that batch, oldest first. None for a batch that is not in flight.
    pub fn settle(&mut self, batch: u64) -> Vec<T> {
        match self.in_flight.take_if(|(flying, _)| *flying == batch) {
            Some((_, waiters)) => waiters,
            None => Vec::new(),
        }
    }

    /// From now on nothing waits for company: the machine is about to stop.
    pub fn hurry(&mut self) {
        self.hurried = true;
    }

    /// Nothing gathered and nothing in flight.
    pub fn is_idle(&self) -> bool {
        self.in_flight.is_none() && self.gathered.since.is_none()
    }
}

/// What a write takes, roughly: only heartbeats and tasks carry texts of a size that peers choose.
fn weight(write: &Write) -> usize {
    const FIXED: usize = 256;
    let heartbeat = match write {
        Write::Heartbeat(heartbeat) => heartbeat,
        Write::Task(task) => return FIXED + task.payload.as_str().len(),
        Write::TasksOver(tasks) => return FIXED + tasks.iter().map(|(key, _)| FIXED + key.len()).sum::<usize>(),
        _ => return FIXED,
    };
    let worker = |worker: &WorkerSeen| {
        let gpus = worker.gpus_present.len() + worker.gpus_owned.len() + worker.capabilities.len();
        FIXED + 128 * gpus + worker.hardware.as_ref().map_or(0, String::len)
    };
    FIXED + heartbeat.workers.iter().map(worker).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        machine::contract::store::HeartbeatWrite,
        units::{ChallengeId, Hotkey, Wall},
    };

    fn at(ms: u64) -> Mono {
        Mono(ms * 1_000_000)
    }

    fn sent(id: &str) -> Vec<Write> {
        vec![Write::ChallengeSent { id: ChallengeId::new(id), at: Wall(0) }]
    }

    fn batch(request: Option<StoreRequest>) -> Option<(u64, usize)> {
        match request? {
            StoreRequest::Commit { batch, writes } => Some((batch, writes.len())),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_batch_leaves_two_milliseconds_after_its_first_request() {
        let mut journal = Journal::default();
        assert_eq!((journal.deadline(), journal.is_idle()), (None, true));
        journal.write(at(5), sent("a"), Some('a')).unwrap();
        journal.write(at(6), sent("b"), Some('b')).unwrap();
        assert_eq!(journal.deadline(), Some(at(7)));
        assert_eq!(batch(journal.poll(at(6))), None);
        assert_eq!(batch(journal.poll(at(7))), Some((1, 2)));
        assert_eq!(journal.settle(1), ['a', 'b']);
        assert!(journal.is_idle());
    }

    #[test]
    fn the_256th_request_sends_the_batch_at_once() {
        let mut journal = Journal::default();
        for _ in 1..FLUSH_REQUESTS {
            journal.write(at(0), sent("a"), Some(())).unwrap();
        }
        assert_eq!(batch(journal.poll(at(0))), None);
        journal.write(at(0), sent("a"), Some(())).unwrap();
        assert_eq!(batch(journal.poll(at(0))), Some((1, FLUSH_REQUESTS)));
    }

    #[test]
    fn one_batch_is_in_flight_and_the_next_gathers_behind_it() {
        let mut journal = Journal::default();
        journal.write(at(0), sent("a"), Some('a')).unwrap();
        assert_eq!(batch(journal.poll(at(10))), Some((1, 1)));
        journal.write(at(11), sent("b"), Some('b')).unwrap();
        assert_eq!((journal.deadline(), batch(journal.poll(at(99)))), (None, None));
        assert_eq!(journal.settle(7), []);
        assert_eq!(journal.settle(1), ['a']);
        assert_eq!(batch(journal.poll(at(99))), Some((2, 1)));
        assert_eq!(journal.settle(1), []);
        assert_eq!(journal.settle(2), ['b']);
    }

    #[test]
    fn too_many_waiting_requests_are_refused_by_name_and_lose_nothing() {
        let mut journal = Journal::default();
        for _ in 0..MAX_REQUESTS {
            journal.write(at(0), sent("a"), Some('a')).unwrap();
        }
        let full = journal.write(at(0), sent("late"), Some('z')).unwrap_err();
        assert_eq!((full.waiter, full.requests), (Some('z'), MAX_REQUESTS));
        assert!(full.to_string().starts_with("journal full: 4096 requests"));
        assert_eq!(batch(journal.poll(at(0))), Some((1, MAX_REQUESTS)));
        journal.write(at(0), sent("next"), Some('y')).unwrap();
    }

    #[test]
    fn big_heartbeats_are_bounded_by_their_bytes() {
        let big = || {
            let hardware = Some("x".repeat(1 << 20));
            let worker = WorkerSeen { hardware, ..WorkerSeen::named("w1") };
            let hotkey = Hotkey::label("5A");
            vec![Write::Heartbeat(Box::new(HeartbeatWrite {
                hotkey,
                at: Wall(0),
                workers: vec![worker],
                maintenance: None,
            }))]
        };
        let mut journal = Journal::default();
        let taken = (0..100).take_while(|_| journal.write(at(0), big(), Some(())).is_ok()).count();
        assert_eq!(taken, 63);
    }

    #[test]
    fn a_machine_that_stops_waits_for_no_company() {
        let mut journal = Journal::default();
        journal.write(at(3), sent("a"), None::<()>).unwrap();
        journal.hurry();
        assert_eq!(batch(journal.poll(at(3))), Some((1, 1)));
        assert!(!journal.is_idle());
        assert_eq!(journal.settle(1), []);
        assert!(journal.is_idle());
    }
}
