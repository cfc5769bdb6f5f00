//! The two-phase flow of each challenge: assignment, result, commitment, proof request, proof.
//!
//! Owns which worker has which challenge, and so which workers are busy: from the assignment until the flow
//! ended, however it ended. A flow is bound to the worker it was given to; what another worker says of it
//! is refused. It writes no JSON and opens no connection: it says what is to be done next ([`Step`]).

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use crate::{
    units::{ChallengeId, Hotkey, Mono, Now, WorkerId},
    wire::{
        limits::WORKER_PROOF_TIMEOUT,
        messages::{Commitment, DeviceRequest, Raw},
    },
};

/// Challenges that may wait for one busy worker.
pub const MAX_WAITING: usize = 4;

/// Ended challenges of one validator that are remembered, so that none is worked on twice.
pub const REMEMBERED: usize = 256;

/// Stamps that a worker may add to a flow.
const MAX_STAMPS: usize = 32;

/// A challenge as this miner knows it: ids are the validators' own to choose.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FlowKey {
    pub validator: Hotkey,
    pub challenge: ChallengeId,
}

/// What a validator asks of one worker. `data` goes to the worker as it came.
#[derive(Clone, Debug)]
pub struct Task {
    pub challenge: ChallengeId,
    pub worker: WorkerId,
    /// `cpu_matrix`, `gpu_matrix`.
    pub kind: String,
    pub data: Raw,
    /// From the hand-out to the commitment.
    pub timeout: Duration,
}

/// Whether the worker that a challenge names can take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ability {
    Able,
    /// No such worker is registered.
    Unknown,
    /// It does not say that it can do this kind.
    Incapable,
    /// The challenge does not fit the frames that workers take.
    TooLarge,
}

/// What is to be done next.
#[derive(Debug)]
pub enum Step {
    /// Hand the task to its worker; `timeout` is what is left of the challenge's.
    Assign { key: FlowKey, task: Task, timeout: Duration },
    /// Send the worker's commitments to the validator.
    Commit { key: FlowKey, worker: WorkerId, commitments: Vec<Commitment> },
    /// Ask the worker for proofs.
    Ask { key: FlowKey, worker: WorkerId, message_id: String, requests: Vec<DeviceRequest> },
    /// Send the worker's proofs to the validator.
    Submit { key: FlowKey, proofs: Raw, stamps: Stamps },
    /// It is over; the worker is free.
    Ended { key: FlowKey, worker: WorkerId, end: End },
}

/// Unix milliseconds by the names of the debugging stamps.
pub type Stamps = BTreeMap<String, u64>;

/// How a flow ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum End {
    /// The validator took the proof.
    #[error("proof accepted")]
    Accepted,
    /// Never given to a worker, and why. The wire has no way to say so.
    #[error("declined: {0}")]
    Declined(Decline),
    /// The worker said that it failed.
    #[error("the worker failed: {0}")]
    WorkerFailed(String),
    /// The worker was gone when it was to be told something.
    #[error("the worker is gone")]
    WorkerGone,
    /// A wait was over: which.
    #[error("too late: {0}")]
    Late(Wait),
    /// The validator answered with an error.
    #[error("the validator refuses: {0}")]
    Refused(String),
    /// The validator did not answer, or not usably.
    #[error("the validator did not answer: {0}")]
    Unanswered(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Decline {
    #[error("no such worker")]
    UnknownWorker,
    #[error("the worker does not do this kind")]
    Incapable,
    /// Its worker is busy, and too many challenges wait for it.
    #[error("the worker is busy, and others wait for it")]
    WorkerBusy,
    #[error("too large for a worker's frame")]
    TooLarge,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wait {
    #[error("the worker was busy all the time")]
    Idle,
    #[error("no result from the worker")]
    Result,
    #[error("no proof from the worker")]
    Proof,
}

impl End {
    /// As a label of a counter.
    pub fn label(&self) -> &'static str {
        match self {
            End::Accepted => "accepted",
            End::Declined(Decline::UnknownWorker) => "declined_unknown_worker",
            End::Declined(Decline::Incapable) => "declined_incapable",
            End::Declined(Decline::WorkerBusy) => "declined_worker_busy",
            End::Declined(Decline::TooLarge) => "declined_too_large",
            End::WorkerFailed(_) => "worker_failed",
            End::WorkerGone => "worker_gone",
            End::Late(Wait::Idle) => "late_idle",
            End::Late(Wait::Result) => "late_result",
            End::Late(Wait::Proof) => "late_proof",
            End::Refused(_) => "refused",
            End::Unanswered(_) => "unanswered",
        }
    }
}

/// Why something was not taken. The peer misbehaves, or says a thing twice; no flow changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unasked {
    #[error("a challenge that is or was in work here")]
    Duplicate,
    #[error("a task that this worker does not have")]
    NotItsTask,
    #[error("a result that was given before")]
    ResultTwice,
    #[error("a proof that nobody asked of this worker")]
    NotAskedProof,
}

/// What a worker says of its computation.
#[derive(Debug)]
pub struct Computed {
    /// The commitments, or what went wrong.
    pub outcome: Result<Vec<Commitment>, String>,
    pub stamps: Stamps,
}

/// What a worker answers to a proof request.
#[derive(Debug)]
pub struct Proved {
    /// The proofs, unread: a list that is not empty. Or what went wrong.
    pub outcome: Result<Raw, String>,
    pub stamps: Stamps,
}

#[derive(Debug)]
struct Flow {
    worker: WorkerId,
    stage: Stage,
    /// When the wait of this stage is over; `None` while a request to the validator has its own deadline.
    until: Option<Mono>,
    stamps: Stamps,
}

#[derive(Debug)]
enum Stage {
    Waiting(Task),
    Computing,
    Committing,
    Proving { message_id: String, requests: Vec<DeviceRequest> },
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

    /// Flows that have not ended.
    pub fn len(&self) -> usize {
        self.book.len()
    }

    pub fn busy_count(&self) -> usize {
        self.running.len()
    }

    pub fn deadline(&self) -> Option<Mono> {
        self.book.values().filter_map(|flow| flow.until).min()
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
            return Ok(vec![Step::Ended { key, worker: task.worker, end: End::Declined(decline) }]);
        }
        let worker = task.worker.clone();
        let stamps = BTreeMap::from([("miner_task_received_ts".to_owned(), now.wall.as_millis())]);
        let until = Some(now.mono + task.timeout);
        let flow = Flow { worker: worker.clone(), stage: Stage::Waiting(task), until, stamps };
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
        match computed.outcome {
            Ok(commitments) if commitments.is_empty() => {
                Ok(self.end(now, &key, End::WorkerFailed("a result without commitments".into())))
            }
            Ok(commitments) => {
                flow.stage = Stage::Committing;
                flow.until = None;
                Ok(vec![Step::Commit { key, worker: worker.clone(), commitments }])
            }
            Err(why) => Ok(self.end(now, &key, End::WorkerFailed(why))),
        }
    }

    /// The validator answered a commitment: what it wants proved, or why the flow is over.
    pub fn committed(
        &mut self,
        now: Now,
        key: &FlowKey,
        message_id: String,
        answer: Result<Vec<DeviceRequest>, End>,
    ) -> Vec<Step> {
        let Some(flow) = self.book.get_mut(key).filter(|flow| matches!(flow.stage, Stage::Committing)) else {
            return Vec::new();
        };
        match answer {
            Ok(requests) if requests.is_empty() => {
                self.end(now.mono, key, End::Refused("no proof was asked for".into()))
            }
            Ok(requests) => {
                flow.stamps.insert("miner_task_response_ts".into(), now.wall.as_millis());
                flow.until = Some(now.mono + WORKER_PROOF_TIMEOUT);
                flow.stage = Stage::Proving { message_id: message_id.clone(), requests: requests.clone() };
                vec![Step::Ask { key: key.clone(), worker: flow.worker.clone(), message_id, requests }]
            }
            Err(end) => self.end(now.mono, key, end),
        }
    }

    /// A worker answers a proof request. Taken only from the worker that was asked.
    pub fn proved(
        &mut self,
        now: Mono,
        worker: &WorkerId,
        message_id: &str,
        proved: Proved,
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
                let stamps = flow.stamps.clone();
                Ok(vec![Step::Submit { key, proofs, stamps }])
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

    /// A worker came back on a new connection: what it was asked to prove is asked again.
    pub fn returned(&self, worker: &WorkerId) -> Option<Step> {
        let key = self.running.get(worker)?;
        match &self.book.get(key)?.stage {
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
        idle.into_iter().chain(rest).flat_map(|(key, wait)| self.end(now, &key, End::Late(wait))).collect()
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
        } else {
            self.running.remove(&worker);
        }
        let mut steps = vec![Step::Ended { key: key.clone(), worker: worker.clone(), end }];
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

fn add_stamps(stamps: &mut Stamps, more: Stamps) {
    for (name, at) in more {
        if stamps.len() >= MAX_STAMPS {
            return;
        }
        stamps.entry(name).or_insert(at);
    }
}

#[cfg(test)]
mod tests;
