//! The two-phase flow of each challenge: assignment, result, commitment, proof request, proof.
//!
//! Owns which worker has which challenge, and so which workers are busy: from the assignment until its part
//! is done (its proof is here and there is room for it) or the flow ended, however it ended. A flow is bound to the
//! worker it was given to; what another worker says of it is refused. It writes no JSON, reads none of what it
//! passes on, and opens no connection: it says what is to be done next ([`Step`]).

mod words;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

pub use self::words::{Ability, Computed, Decline, End, FlowKey, Kind, Proved, Stamps, Step, Task, Unasked, Wait};

use crate::{
    units::{ChallengeId, Hotkey, Mono, Now, WorkerId},
    wire::{
        code,
        messages::{Raw, WorkFailure},
    },
};

/// Challenges that may wait for one busy worker.
pub const MAX_WAITING: usize = 4;

/// Ended challenges of one validator that are remembered, so that none is worked on twice.
pub const REMEMBERED: usize = 256;

/// How long a worker that lost its connection in the middle of a task may stay away: it computes on, and brings the result. It
/// may notice only after its 30 s of patience with pings, and tries again after 5 s and 10 s.
const AWAY: Duration = Duration::from_secs(45);
/// How long a worker that came back and calls itself idle has for a result that it still holds.
const IDLE: Duration = Duration::from_secs(5);

/// Stamps that a worker may add to a flow.
const MAX_STAMPS: usize = 32;

#[derive(Debug)]
struct Flow {
    worker: WorkerId,
    kind: Kind,
    stage: Stage,
    /// The end of the challenge's own time.
    due: Mono,
    /// When the wait of this stage is over; `None` while a request to the validator has its own deadline.
    until: Option<Mono>,
    /// Its worker may have lost it.
    doubt: Option<Doubt>,
    /// Its worker has come back on a new connection since.
    returned: bool,
    stamps: Stamps,
}

/// What ends a flow that its worker does not disprove.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    until: Mono,
    why: &'static str,
}

#[derive(Debug)]
enum Stage {
    Waiting(Task),
    Computing,
    Committing,
    Proving {
        message_id: String,
        requests: Raw,
    },
    /// The worker is done with it, unless the flow is among `running` still.
    Submitting,
}

#[derive(Debug, Default)]
pub struct Flows {
    book: BTreeMap<FlowKey, Flow>,
    /// The one flow that each busy worker works on.
    running: BTreeMap<WorkerId, FlowKey>,
    /// What waits for each busy worker, oldest first.
    waiting: BTreeMap<WorkerId, VecDeque<FlowKey>>,
    ended: BTreeMap<Hotkey, VecDeque<ChallengeId>>,
}

impl Flows {
    pub fn is_busy(&self, worker: &WorkerId) -> bool {
        self.running.contains_key(worker)
    }

    /// Panics when the tables contradict each other or a bound does not hold. For tests and the simulator.
    pub fn check_invariants(&self) {
        let waits = |key: &FlowKey| matches!(self.book.get(key), Some(flow) if matches!(flow.stage, Stage::Waiting(_)));
        for (worker, key) in &self.running {
            assert!(
                self.book.get(key).is_some_and(|flow| flow.worker == *worker),
                "{worker} works on another's {key:?}"
            );
            assert!(!waits(key), "{key:?} runs and waits");
        }
        for (worker, keys) in &self.waiting {
            assert!(keys.len() <= MAX_WAITING, "{} challenges wait for {worker}", keys.len());
            assert!(keys.iter().all(waits), "a challenge in the queue of {worker} does not wait");
        }
        let idle = |(key, flow): (&FlowKey, &Flow)| match flow.stage {
            Stage::Waiting(_) => !self.waiting.get(&flow.worker).is_some_and(|keys| keys.contains(key)),
            Stage::Submitting => false,
            _ => self.running.get(&flow.worker) != Some(key),
        };
        assert!(!self.book.iter().any(idle), "a flow neither runs nor waits nor is on its way to its validator");
    }

    /// Flows that have not ended.
    pub fn len(&self) -> usize {
        self.book.len()
    }

    pub fn busy_count(&self) -> usize {
        self.running.len()
    }

    /// Flows whose worker is done, and whose proof is on its way.
    pub fn submitting_count(&self) -> usize {
        let runs = |(key, flow): &(&FlowKey, &Flow)| self.running.get(&flow.worker) == Some(*key);
        let submitting = self.book.iter().filter(|(_, flow)| matches!(flow.stage, Stage::Submitting));
        submitting.filter(|flow| !runs(flow)).count()
    }

    pub fn deadline(&self) -> Option<Mono> {
        let doubt = |flow: &Flow| flow.doubt.map(|doubt| doubt.until);
        self.book.values().flat_map(|flow| [flow.until, doubt(flow)]).flatten().min()
    }

    /// A validator hands out a challenge. It is given to its worker, or waits until that one is idle; a
    /// challenge that cannot be taken ends at once.
    pub fn offer(&mut self, now: Now, validator: &Hotkey, task: Task, ability: Ability) -> Result<Vec<Step>, Unasked> {
        let key = FlowKey { validator: validator.clone(), challenge: task.challenge.clone() };
        if self.book.contains_key(&key) || self.has_ended(&key) {
            return Err(Unasked::Duplicate);
        }
        if let Some(decline) = self.decline(&task, ability) {
            self.remember(&key);
            return Ok(ended(key, task.worker, End::Declined(decline), task.kind.bears_failures()));
        }
        let (worker, kind) = (task.worker.clone(), task.kind.clone());
        let stamps = BTreeMap::from([("miner_task_received_ts".to_owned(), now.wall.as_millis())]);
        let due = now.mono + task.timeout;
        let flow = Flow {
            worker: worker.clone(),
            kind,
            stage: Stage::Waiting(task),
            due,
            until: Some(due),
            doubt: None,
            returned: false,
            stamps,
        };
        self.book.insert(key.clone(), flow);
        self.waiting.entry(worker.clone()).or_default().push_back(key);
        Ok(self.next_for(now.mono, &worker))
    }

    fn decline(&self, task: &Task, ability: Ability) -> Option<Decline> {
        match ability {
            Ability::Unknown => Some(Decline::UnknownWorker),
            Ability::Incapable => Some(Decline::Incapable),
            Ability::TooLarge => Some(Decline::TooLarge),
            Ability::Able => {
                let waiting = self.waiting.get(&task.worker).map_or(0, VecDeque::len);
                (waiting >= MAX_WAITING).then_some(Decline::WorkerBusy)
            }
        }
    }

    /// Gives an idle worker the oldest challenge that waits for it.
    fn next_for(&mut self, now: Mono, worker: &WorkerId) -> Vec<Step> {
        if self.is_busy(worker) {
            return Vec::new();
        }
        let Some(key) = self.pop_waiting(worker) else { return Vec::new() };
        let Some(flow) = self.book.get_mut(&key) else { return Vec::new() };
        let Stage::Waiting(task) = std::mem::replace(&mut flow.stage, Stage::Computing) else { return Vec::new() };
        let timeout = flow.until.map_or(task.timeout, |until| until.since(now));
        self.running.insert(worker.clone(), key.clone());
        vec![Step::Assign { key, task, timeout }]
    }

    fn pop_waiting(&mut self, worker: &WorkerId) -> Option<FlowKey> {
        let queue = self.waiting.get_mut(worker)?;
        let key = queue.pop_front();
        if queue.is_empty() {
            self.waiting.remove(worker);
        }
        key
    }

    /// A worker reports the result of a task. Taken only from the worker that has the task.
    pub fn computed(
        &mut self,
        now: Mono,
        worker: &WorkerId,
        task_id: &str,
        computed: Computed,
    ) -> Result<Vec<Step>, Unasked> {
        let key = self.running.get(worker).filter(|key| key.challenge.as_str() == task_id).cloned();
        let key = key.ok_or(Unasked::NotItsTask)?;
        let flow = self.book.get_mut(&key).ok_or(Unasked::NotItsTask)?;
        if !matches!(flow.stage, Stage::Computing) {
            return Err(Unasked::ResultTwice);
        }
        add_stamps(&mut flow.stamps, computed.stamps);
        flow.doubt = None;
        match computed.outcome {
            Ok(commitments) => {
                flow.stage = Stage::Committing;
                flow.until = None;
                Ok(vec![Step::Commit { key, worker: worker.clone(), commitments, until: flow.due }])
            }
            Err(why) => Ok(self.end(now, &key, End::WorkerFailed(why))),
        }
    }

    /// The validator answered a commitment: what it wants proved, or why the flow is over.
    pub fn committed(&mut self, now: Now, key: &FlowKey, message_id: String, answer: Result<Raw, End>) -> Vec<Step> {
        let Some(flow) = self.book.get_mut(key).filter(|flow| matches!(flow.stage, Stage::Committing)) else {
            return Vec::new();
        };
        match answer {
            Ok(requests) => {
                flow.stamps.insert("miner_task_response_ts".into(), now.wall.as_millis());
                flow.until = Some(now.mono + flow.kind.proof_wait());
                flow.stage = Stage::Proving { message_id: message_id.clone(), requests: requests.clone() };
                vec![Step::Ask { key: key.clone(), worker: flow.worker.clone(), message_id, requests }]
            }
            Err(end) => self.end(now.mono, key, end),
        }
    }

    /// A worker answers a proof request. Taken only from the worker that was asked. Its part is done with that,
    /// however long the validator takes; only when there is no `room` (of the validator's proofs that wait here, with
    /// so many bytes more) it is held, so that what waits stays bounded.
    pub fn proved(
        &mut self,
        now: Mono,
        worker: &WorkerId,
        message_id: &str,
        proved: Proved,
        room: impl FnOnce(&Hotkey, usize) -> bool,
    ) -> Result<Vec<Step>, Unasked> {
        let key = self.running.get(worker).cloned().ok_or(Unasked::NotAskedProof)?;
        let flow = self.book.get_mut(&key).ok_or(Unasked::NotAskedProof)?;
        match &flow.stage {
            Stage::Proving { message_id: asked, .. } if asked == message_id => {}
            _ => return Err(Unasked::NotAskedProof),
        }
        add_stamps(&mut flow.stamps, proved.stamps);
        match proved.outcome {
            Ok(proofs) => {
                flow.stage = Stage::Submitting;
                flow.until = None;
                let stamps = std::mem::take(&mut flow.stamps);
                if room(&key.validator, proofs.as_str().len()) {
                    self.running.remove(worker);
                }
                let mut steps = vec![Step::Submit { key, proofs, stamps }];
                steps.extend(self.next_for(now, worker));
                Ok(steps)
            }
            Err(why) => Ok(self.end(now, &key, End::WorkerFailed(why))),
        }
    }

    /// The validator answered a proof.
    pub fn submitted(&mut self, now: Mono, key: &FlowKey, end: End) -> Vec<Step> {
        let submitting = self.book.get(key).is_some_and(|flow| matches!(flow.stage, Stage::Submitting));
        if submitting { self.end(now, key, end) } else { Vec::new() }
    }

    /// An assignment could not be delivered.
    pub fn undelivered(&mut self, now: Mono, key: &FlowKey, end: End) -> Vec<Step> {
        let computing = self.book.get(key).is_some_and(|flow| matches!(flow.stage, Stage::Computing));
        if computing { self.end(now, key, end) } else { Vec::new() }
    }

    /// What a worker computes, where its validator can be told that it failed.
    fn computing(&mut self, worker: &WorkerId) -> Option<&mut Flow> {
        let flow = self.book.get_mut(self.running.get(worker)?)?;
        (matches!(flow.stage, Stage::Computing) && flow.kind.bears_failures()).then_some(flow)
    }

    /// A worker lost its connection. It may bring what it computes on another one.
    pub fn gone(&mut self, now: Mono, worker: &WorkerId) {
        if let Some(flow) = self.computing(worker) {
            let why = "it lost its connection to the miner and has not come back";
            flow.doubt = Some(Doubt { until: now + AWAY, why });
        }
    }

    /// A worker says that it computes nothing. One that came back since it got a task was started anew, and has lost it.
    pub fn idle(&mut self, now: Mono, worker: &WorkerId) {
        if let Some(flow) = self.computing(worker).filter(|flow| flow.returned && flow.doubt.is_none()) {
            let why = "it came back without the task: it was started anew, or never got it";
            flow.doubt = Some(Doubt { until: now + IDLE, why });
        }
    }

    /// A worker came back on a new connection: what it was asked to prove is asked again.
    pub fn returned(&mut self, worker: &WorkerId) -> Option<Step> {
        let key = self.running.get(worker)?;
        let flow = self.book.get_mut(key)?;
        (flow.returned, flow.doubt) = (true, None);
        match &flow.stage {
            Stage::Proving { message_id, requests } => Some(Step::Ask {
                key: key.clone(),
                worker: worker.clone(),
                message_id: message_id.clone(),
                requests: requests.clone(),
            }),
            _ => None,
        }
    }

    /// Ends every flow whose wait is over.
    pub fn expire(&mut self, now: Mono) -> Vec<Step> {
        let over = self.book.iter().filter(|(_, flow)| flow.until.is_some_and(|until| until <= now));
        let late: Vec<_> = over.map(|(key, flow)| (key.clone(), flow.stage.wait())).collect();
        // Those that wait go first: none of them may be given out in the moment of its own end.
        let (idle, rest): (Vec<_>, Vec<_>) = late.into_iter().partition(|(_, wait)| *wait == Wait::Idle);
        let mut steps: Vec<Step> =
            idle.into_iter().chain(rest).flat_map(|(key, wait)| self.end(now, &key, End::Late(wait))).collect();
        let lost = |(key, flow): (&FlowKey, &Flow)| {
            let doubt = flow.doubt.filter(|doubt| doubt.until <= now)?;
            Some((
                key.clone(),
                WorkFailure { code: code::TASK_FAILED, reason: format!("the worker is gone: {}", doubt.why) },
            ))
        };
        let lost: Vec<_> = self.book.iter().filter_map(lost).collect();
        steps.extend(lost.into_iter().flat_map(|(key, why)| self.end(now, &key, End::WorkerFailed(why))));
        steps
    }

    /// Forgets what validators ended that are no longer listed.
    pub fn keep_memory_of(&mut self, listed: &BTreeSet<Hotkey>) {
        self.ended.retain(|validator, _| listed.contains(validator));
    }

    /// Ends a flow, and gives its worker what waits for it.
    fn end(&mut self, now: Mono, key: &FlowKey, end: End) -> Vec<Step> {
        let Some(flow) = self.book.remove(key) else { return Vec::new() };
        self.remember(key);
        let worker = flow.worker;
        if matches!(flow.stage, Stage::Waiting(_)) {
            self.drop_waiting(&worker, key);
        } else if self.running.get(&worker) == Some(key) {
            self.running.remove(&worker);
        }
        let uncommitted = matches!(flow.stage, Stage::Waiting(_) | Stage::Computing);
        let mut steps = ended(key.clone(), worker.clone(), end, uncommitted && flow.kind.bears_failures());
        steps.extend(self.next_for(now, &worker));
        steps
    }

    fn drop_waiting(&mut self, worker: &WorkerId, key: &FlowKey) {
        if let Some(queue) = self.waiting.get_mut(worker) {
            queue.retain(|waiting| waiting != key);
            if queue.is_empty() {
                self.waiting.remove(worker);
            }
        }
    }

    fn has_ended(&self, key: &FlowKey) -> bool {
        self.ended.get(&key.validator).is_some_and(|ids| ids.contains(&key.challenge))
    }

    fn remember(&mut self, key: &FlowKey) {
        let ids = self.ended.entry(key.validator.clone()).or_default();
        if ids.len() >= REMEMBERED {
            ids.pop_front();
        }
        ids.push_back(key.challenge.clone());
    }
}

impl Stage {
    /// Which wait is over when this stage's time is.
    fn wait(&self) -> Wait {
        match self {
            Stage::Waiting(_) => Wait::Idle,
            Stage::Computing | Stage::Committing => Wait::Result,
            Stage::Proving { .. } | Stage::Submitting => Wait::Proof,
        }
    }
}

/// A flow's end, and what its validator is told of it.
fn ended(key: FlowKey, worker: WorkerId, end: End, tell: bool) -> Vec<Step> {
    let failure = end.failure().filter(|_| tell);
    let report = failure.map(|failure| Step::Report { key: key.clone(), worker: worker.clone(), failure });
    [Step::Ended { key, worker, end }].into_iter().chain(report).collect()
}

fn add_stamps(stamps: &mut Stamps, more: Stamps) {
    for (name, at) in more {
        if stamps.len() >= MAX_STAMPS {
            return;
        }
        stamps.entry(name).or_insert(at);
    }
}
