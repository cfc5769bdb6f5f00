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
mod tests {
    use super::*;
    use crate::{units::Wall, wire::json};

    fn at(secs: u64) -> Now {
        Now { mono: Mono(secs * 1_000_000_000), wall: Wall::from_secs(1_800_000_000 + secs) }
    }

    fn raw(text: &str) -> Raw {
        json::parse(text).unwrap()
    }

    fn validator() -> Hotkey {
        Hotkey::label("bob")
    }

    fn key(challenge: &str) -> FlowKey {
        FlowKey { validator: validator(), challenge: ChallengeId::new(challenge) }
    }

    fn task(challenge: &str, worker: &str) -> Task {
        Task {
            challenge: ChallengeId::new(challenge),
            worker: WorkerId::new(worker),
            kind: "cpu_matrix".into(),
            data: raw("{}"),
            timeout: Duration::from_secs(60),
        }
    }

    fn stamps(name: &str) -> Stamps {
        BTreeMap::from([(name.to_owned(), 7)])
    }

    fn success() -> Computed {
        Computed { outcome: Ok(vec![Commitment::cpu("ab".into())]), stamps: stamps("worker_task_received_ts") }
    }

    fn proof() -> Proved {
        Proved { outcome: Ok(raw("[{}]")), stamps: stamps("worker_proof_completed_ts") }
    }

    /// What the steps do, in short.
    fn told(steps: &[Step]) -> Vec<String> {
        let one = |step: &Step| match step {
            Step::Assign { key, task, .. } => format!("assign {} to {}", key.challenge, task.worker),
            Step::Commit { key, worker, .. } => format!("commit {} of {worker}", key.challenge),
            Step::Ask { key, worker, message_id, .. } => format!("ask {worker} for {} as {message_id}", key.challenge),
            Step::Submit { key, .. } => format!("submit {}", key.challenge),
            Step::Ended { key, end, .. } => format!("{} ended: {end:?}", key.challenge),
        };
        steps.iter().map(one).collect()
    }

    fn offer(flows: &mut Flows, now: Now, challenge: &str, worker: &str) -> Vec<String> {
        told(&flows.offer(now, &validator(), task(challenge, worker), Ability::Able).unwrap())
    }

    fn ann() -> WorkerId {
        WorkerId::new("ann")
    }

    fn wanted() -> Result<Vec<DeviceRequest>, End> {
        Ok(vec![DeviceRequest { uuid: "-1".into(), rows: vec![3], coordinates: vec![] }])
    }

    #[test]
    fn a_challenge_goes_through_both_phases_and_frees_its_worker() {
        let mut flows = Flows::default();
        assert_eq!(offer(&mut flows, at(0), "c1", "ann"), ["assign c1 to ann"]);
        assert!(flows.is_busy(&ann()));
        let steps = flows.computed(at(1).mono, &ann(), "c1", success()).unwrap();
        assert_eq!(told(&steps), ["commit c1 of ann"]);
        assert_eq!(told(&flows.committed(at(2), &key("c1"), "m1".into(), wanted())), ["ask ann for c1 as m1"]);
        let steps = flows.proved(at(3).mono, &ann(), "m1", proof()).unwrap();
        let [Step::Submit { stamps, .. }] = &steps[..] else { panic!("{steps:?}") };
        let names: Vec<_> = stamps.keys().map(String::as_str).collect();
        let all = ["miner_task_received_ts", "miner_task_response_ts", "worker_proof_completed_ts"];
        assert_eq!(names, [all[0], all[1], all[2], "worker_task_received_ts"]);
        assert!(flows.is_busy(&ann()), "busy until the proof was answered");
        assert_eq!(told(&flows.submitted(at(4).mono, &key("c1"), End::Accepted)), ["c1 ended: Accepted"]);
        assert!(!flows.is_busy(&ann()));
        assert_eq!((flows.len(), flows.deadline()), (0, None));
    }

    #[test]
    fn a_result_is_taken_only_from_the_worker_that_has_the_task() {
        let mut flows = Flows::default();
        offer(&mut flows, at(0), "c1", "ann");
        offer(&mut flows, at(0), "c2", "ben");
        let ben = WorkerId::new("ben");
        assert_eq!(flows.computed(at(1).mono, &ben, "c1", success()).unwrap_err(), Unasked::NotItsTask);
        assert_eq!(flows.computed(at(1).mono, &ann(), "other", success()).unwrap_err(), Unasked::NotItsTask);
        let stranger = WorkerId::new("eve");
        assert_eq!(flows.computed(at(1).mono, &stranger, "c1", success()).unwrap_err(), Unasked::NotItsTask);
        assert!(flows.computed(at(1).mono, &ann(), "c1", success()).is_ok());
    }

    #[test]
    fn a_result_counts_once() {
        let mut flows = Flows::default();
        offer(&mut flows, at(0), "c1", "ann");
        flows.computed(at(1).mono, &ann(), "c1", success()).unwrap();
        assert_eq!(flows.computed(at(1).mono, &ann(), "c1", success()).unwrap_err(), Unasked::ResultTwice);
    }

    #[test]
    fn a_proof_is_taken_only_for_the_challenge_it_was_asked_for() {
        let mut flows = Flows::default();
        for (challenge, worker) in [("c1", "ann"), ("c2", "ben")] {
            offer(&mut flows, at(0), challenge, worker);
            flows.computed(at(1).mono, &WorkerId::new(worker), challenge, success()).unwrap();
            flows.committed(at(2), &key(challenge), format!("m-{challenge}"), wanted());
        }
        assert_eq!(flows.proved(at(3).mono, &ann(), "m-c2", proof()).unwrap_err(), Unasked::NotAskedProof);
        assert_eq!(flows.proved(at(3).mono, &ann(), "none", proof()).unwrap_err(), Unasked::NotAskedProof);
        assert!(flows.proved(at(3).mono, &ann(), "m-c1", proof()).is_ok());
        assert_eq!(flows.proved(at(3).mono, &ann(), "m-c1", proof()).unwrap_err(), Unasked::NotAskedProof);
    }

    #[test]
    fn the_same_challenge_is_worked_on_once() {
        let mut flows = Flows::default();
        offer(&mut flows, at(0), "c1", "ann");
        let again = |flows: &mut Flows| flows.offer(at(1), &validator(), task("c1", "ann"), Ability::Able).unwrap_err();
        assert_eq!(again(&mut flows), Unasked::Duplicate);
        flows
            .computed(at(2).mono, &ann(), "c1", Computed { outcome: Err("no".into()), stamps: Stamps::new() })
            .unwrap();
        assert_eq!(again(&mut flows), Unasked::Duplicate);
        let elsewhere = flows.offer(at(3), &Hotkey::label("carol"), task("c1", "ann"), Ability::Able);
        assert!(elsewhere.is_ok(), "another validator's id may be the same");
    }

    #[test]
    fn a_busy_worker_gets_its_next_challenge_when_it_is_idle() {
        let mut flows = Flows::default();
        offer(&mut flows, at(0), "c1", "ann");
        assert_eq!(offer(&mut flows, at(10), "c2", "ann"), [] as [&str; 0]);
        let failed = Computed { outcome: Err("no memory".into()), stamps: Stamps::new() };
        let steps = flows.computed(at(30).mono, &ann(), "c1", failed).unwrap();
        assert_eq!(told(&steps), ["c1 ended: WorkerFailed(\"no memory\")", "assign c2 to ann"]);
        let Some(Step::Assign { timeout, .. }) = steps.last() else { panic!("{steps:?}") };
        assert_eq!(*timeout, Duration::from_secs(40), "what is left of it");
    }

    #[test]
    fn no_more_than_a_few_challenges_wait_for_a_worker() {
        let mut flows = Flows::default();
        offer(&mut flows, at(0), "c0", "ann");
        (1..=MAX_WAITING).for_each(|n| assert!(offer(&mut flows, at(0), &format!("c{n}"), "ann").is_empty()));
        assert_eq!(offer(&mut flows, at(0), "late", "ann"), ["late ended: Declined(WorkerBusy)"]);
        assert_eq!(flows.len(), MAX_WAITING + 1);
    }

    #[test]
    fn a_challenge_for_nobody_ends_at_once() {
        let mut flows = Flows::default();
        let steps = flows.offer(at(0), &validator(), task("c1", "ghost"), Ability::Unknown).unwrap();
        assert_eq!(told(&steps), ["c1 ended: Declined(UnknownWorker)"]);
        let steps = flows.offer(at(0), &validator(), task("c2", "ann"), Ability::Incapable).unwrap();
        assert_eq!(told(&steps), ["c2 ended: Declined(Incapable)"]);
        assert_eq!(flows.len(), 0);
    }

    #[test]
    fn every_wait_ends_and_frees_the_worker() {
        let mut flows = Flows::default();
        offer(&mut flows, at(0), "c1", "ann");
        offer(&mut flows, at(0), "c2", "ann");
        assert_eq!(flows.deadline(), Some(at(60).mono));
        assert_eq!(told(&flows.expire(at(60).mono)), ["c2 ended: Late(Idle)", "c1 ended: Late(Result)"]);
        offer(&mut flows, at(100), "c3", "ann");
        flows.computed(at(101).mono, &ann(), "c3", success()).unwrap();
        assert_eq!(flows.deadline(), None, "the request to the validator has its own deadline");
        flows.committed(at(102), &key("c3"), "m".into(), wanted());
        assert_eq!(flows.deadline(), Some(at(132).mono));
        assert_eq!(told(&flows.expire(at(132).mono)), ["c3 ended: Late(Proof)"]);
        assert!(!flows.is_busy(&ann()));
    }

    #[test]
    fn each_refusal_of_the_validator_frees_the_worker() {
        let mut flows = Flows::default();
        offer(&mut flows, at(0), "c1", "ann");
        flows.computed(at(1).mono, &ann(), "c1", success()).unwrap();
        let refused = Err(End::Refused("unknown challenge".into()));
        assert_eq!(flows.committed(at(2), &key("c1"), "m".into(), refused).len(), 1);
        assert!(!flows.is_busy(&ann()));
        assert!(flows.committed(at(2), &key("c1"), "m".into(), wanted()).is_empty(), "an answer counts once");
        offer(&mut flows, at(3), "c2", "ann");
        flows.computed(at(4).mono, &ann(), "c2", success()).unwrap();
        assert_eq!(
            told(&flows.committed(at(5), &key("c2"), "m".into(), Ok(Vec::new()))),
            ["c2 ended: Refused(\"no proof was asked for\")"]
        );
    }

    #[test]
    fn a_worker_that_returns_is_asked_again_for_its_proof() {
        let mut flows = Flows::default();
        offer(&mut flows, at(0), "c1", "ann");
        assert!(flows.returned(&ann()).is_none(), "it may still be computing");
        flows.computed(at(1).mono, &ann(), "c1", success()).unwrap();
        flows.committed(at(2), &key("c1"), "m1".into(), wanted());
        let step = flows.returned(&ann()).unwrap();
        assert_eq!(told(&[step]), ["ask ann for c1 as m1"]);
    }

    #[test]
    fn memory_of_ended_challenges_is_bounded() {
        let mut flows = Flows::default();
        for n in 0..REMEMBERED + 10 {
            flows.offer(at(0), &validator(), task(&format!("c{n}"), "ghost"), Ability::Unknown).unwrap();
        }
        assert_eq!(flows.ended[&validator()].len(), REMEMBERED);
        flows.keep_memory_of(&BTreeSet::new());
        assert!(flows.ended.is_empty());
    }
}
