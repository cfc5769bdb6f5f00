//! The tasks of a worker: one CPU product at a time, and results that wait for the way back.
//!
//! Owns the task being computed and the undelivered results, which outlive a lost connection. A product is
//! worth nothing, and not sent, once its task's time is over.

use std::{collections::VecDeque, num::NonZeroUsize, time::Duration};

use crate::{
    compute::{
        cpu_matrix::{Spec, SpecFault},
        merkle::Tree,
    },
    machine::contract::cpu::{CpuJob, CpuOutcome, CpuReply, CpuRequest},
    units::{ChallengeId, Hotkey, Mono, PeerId, Wall},
    wire::{
        code::{self, Code},
        limits,
        messages::ChallengeData,
        websocket::TaskAssignment,
    },
};

/// The only kind of task that this worker computes.
pub(super) const CPU_MATRIX: &str = "cpu_matrix";
/// Products that the executor may hold at once: the current one, and one called off that has not noticed yet.
pub const EXECUTOR_DEPTH: usize = 2;
/// Results that may wait for a connection.
const RESULTS_MAX: usize = 32;

/// Why an assignment is not computed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("this worker computes cpu_matrix, not {0}")]
    UnknownType(String),
    #[error("the challenge in the task is {0}")]
    OtherType(String),
    #[error("the task's data: {0}")]
    Data(String),
    #[error("the task's data: {0}")]
    Spec(#[from] SpecFault),
    #[error("busy with task {0}")]
    Busy(String),
    #[error("the worker is stopping")]
    Stopping,
    #[error("not finished within the task's {} s", .0.as_secs())]
    TimedOut(Duration),
    #[error("the computation was called off")]
    CalledOff,
}

impl Refusal {
    pub fn code(&self) -> Code {
        match self {
            Refusal::UnknownType(_) | Refusal::OtherType(_) | Refusal::Data(_) | Refusal::Spec(_) => {
                code::INVALID_REQUEST
            }
            Refusal::Busy(_) | Refusal::Stopping => code::TASK_FAILED,
            Refusal::TimedOut(_) => code::TIMEOUT,
            Refusal::CalledOff => code::CHALLENGE_FAILED,
        }
    }

    /// For the counter of tasks.
    pub fn label(&self) -> &'static str {
        match self {
            Refusal::UnknownType(_) | Refusal::OtherType(_) | Refusal::Data(_) | Refusal::Spec(_) => "invalid",
            Refusal::Busy(_) => "busy",
            Refusal::Stopping => "stopping",
            Refusal::TimedOut(_) => "timeout",
            Refusal::CalledOff => "called_off",
        }
    }
}

/// A task that was given to this worker.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Task {
    pub id: String,
    pub challenge: ChallengeId,
    pub validator: Hotkey,
    pub spec: Spec,
    pub timeout: Duration,
    pub received: Wall,
    /// When its time is over.
    pub until: Mono,
    /// The connection that it came over.
    pub from: PeerId,
}

/// A product that is ready.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Product {
    pub tree: Tree,
    pub took: Duration,
    pub threads: NonZeroUsize,
}

/// When and over which connection an assignment came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub mono: Mono,
    pub wall: Wall,
    pub from: PeerId,
}

/// A frame for the miner, worth sending until its task's time is over.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Parcel {
    text: String,
    until: Mono,
}

#[derive(Debug)]
pub(super) struct Tasks {
    default_timeout: Duration,
    current: Option<(CpuJob, Task)>,
    jobs: u64,
    /// Products that the executor has not answered.
    in_executor: usize,
    results: VecDeque<Parcel>,
}

impl Tasks {
    pub fn new(default_timeout: Duration) -> Tasks {
        Tasks { default_timeout, current: None, jobs: 0, in_executor: 0, results: VecDeque::new() }
    }

    /// Tasks being computed, 0 or 1.
    pub fn active(&self) -> u32 {
        u32::from(self.current.is_some())
    }

    /// Whether this very task is being computed: its miner asked twice, and is answered once.
    pub fn is_current(&self, id: &str) -> bool {
        self.current.as_ref().is_some_and(|(_, task)| task.id == id)
    }

    /// Reads an assignment; what cannot be computed is refused.
    pub fn read(&self, arrival: Arrival, given: &TaskAssignment) -> Result<Task, Refusal> {
        if given.task_type != CPU_MATRIX {
            return Err(Refusal::UnknownType(given.task_type.chars().take(64).collect()));
        }
        let data = ChallengeData::read(&given.data).map_err(|fault| Refusal::Data(fault.to_string()))?;
        if data.challenge_type != CPU_MATRIX {
            return Err(Refusal::OtherType(data.challenge_type.chars().take(64).collect()));
        }
        let timeout = self.timeout(given.timeout);
        Ok(Task {
            id: given.task_id.clone(),
            challenge: given.challenge_id.clone(),
            validator: given.validator_hotkey.clone(),
            spec: Spec::new(data.seed, data.matrix_size, data.iterations)?,
            timeout,
            received: arrival.wall,
            until: arrival.mono + timeout,
            from: arrival.from,
        })
    }

    fn timeout(&self, seconds: u32) -> Duration {
        match seconds {
            0 => self.default_timeout,
            given => Duration::from_secs(given.min(limits::CHALLENGE_TIMEOUT_S).into()),
        }
    }

    /// The task that a new one displaces: a miner that came back knows nothing of what the connection before
    /// was given, or it would not give this worker another. On the same connection the first task stays.
    pub fn displaced_by(&mut self, task: &Task) -> Option<CpuJob> {
        let (job, _) = self.current.take_if(|(_, current)| current.from != task.from)?;
        Some(job)
    }

    /// Takes a task for the executor.
    pub fn begin(&mut self, task: Task) -> Result<CpuRequest, Refusal> {
        if let Some((_, current)) = &self.current {
            return Err(Refusal::Busy(current.id.clone()));
        }
        if self.in_executor >= EXECUTOR_DEPTH {
            return Err(Refusal::Busy("that was called off".into()));
        }
        self.jobs += 1;
        self.in_executor += 1;
        let request = CpuRequest { job: CpuJob(self.jobs), spec: task.spec };
        self.current = Some((request.job, task));
        Ok(request)
    }

    /// The executor's answer. `None` for a product that nobody waits for any more.
    pub fn finished(&mut self, reply: CpuReply) -> Option<(Task, Result<Product, Refusal>)> {
        self.in_executor = self.in_executor.saturating_sub(1);
        let (_, task) = self.current.take_if(|(job, _)| *job == reply.job)?;
        let result = match reply.outcome {
            CpuOutcome::Computed { tree, took, threads } => Ok(Product { tree, took, threads }),
            CpuOutcome::CalledOff => Err(Refusal::CalledOff),
        };
        Some((task, result))
    }

    /// The task whose time is over: its product is to be called off.
    pub fn timed_out(&mut self, now: Mono) -> Option<(CpuJob, Task)> {
        self.current.take_if(|(_, task)| task.until <= now)
    }

    /// Drops the current task, at the end of the worker.
    pub fn abandon(&mut self) -> Option<CpuJob> {
        self.current.take().map(|(job, _)| job)
    }

    /// Keeps a frame until it can be sent. Over the limit the oldest is dropped; `false` says so.
    pub fn post(&mut self, text: String, until: Mono) -> bool {
        self.results.push_back(Parcel { text, until });
        let fits = self.results.len() <= RESULTS_MAX;
        if !fits {
            self.results.pop_front();
        }
        fits
    }

    /// The oldest frame that is still worth sending.
    pub fn next_parcel(&mut self, now: Mono) -> Option<String> {
        self.results.retain(|parcel| parcel.until > now);
        self.results.pop_front().map(|parcel| parcel.text)
    }

    /// Whether nothing is computed and nothing waits to be sent.
    pub fn is_idle(&self) -> bool {
        self.current.is_none() && self.results.is_empty()
    }

    pub fn deadline(&self) -> Option<Mono> {
        self.current.as_ref().map(|(_, task)| task.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json;

    const FIRST: PeerId = PeerId::dialed(1);
    const SECOND: PeerId = PeerId::dialed(2);

    fn at(seconds: u64) -> Mono {
        Mono::default() + Duration::from_secs(seconds)
    }

    fn assignment(id: &str, change: impl FnOnce(&mut TaskAssignment)) -> TaskAssignment {
        let data = r#"{"challenge_type":"cpu_matrix","matrix_size":20,"iterations":1,
            "seed":"000102030405060708090a0b0c0d0e0f"}"#;
        let mut given = TaskAssignment {
            task_id: id.into(),
            task_type: CPU_MATRIX.into(),
            challenge_id: ChallengeId::new(id),
            data: json::parse(data).unwrap(),
            timeout: 60,
            validator_hotkey: Hotkey::label("5V"),
        };
        change(&mut given);
        given
    }

    fn tasks() -> Tasks {
        Tasks::new(Duration::from_secs(300))
    }

    fn task(id: &str, from: PeerId) -> Task {
        let arrival = Arrival { mono: at(0), wall: Wall::from_secs(1_800_000_000), from };
        tasks().read(arrival, &assignment(id, |_| ())).unwrap()
    }

    fn refused(change: impl FnOnce(&mut TaskAssignment)) -> Refusal {
        let arrival = Arrival { mono: at(0), wall: Wall::default(), from: FIRST };
        tasks().read(arrival, &assignment("t", change)).unwrap_err()
    }

    fn product(spec: Spec) -> CpuOutcome {
        let tree = spec.matrices(|| true).and_then(|m| Tree::new(m.row_hashes(0..spec.n))).unwrap();
        CpuOutcome::Computed { tree, took: Duration::from_millis(7), threads: NonZeroUsize::MIN }
    }

    #[test]
    fn a_task_that_cannot_be_computed_is_refused_with_a_code() {
        let unknown = refused(|given| given.task_type = "gpu_matrix".into());
        assert_eq!(unknown, Refusal::UnknownType("gpu_matrix".into()));
        assert_eq!(unknown.code(), 1000);
        let data = |text: &str| json::parse(text).unwrap();
        let of = |kind: &str, size: u32| {
            format!(r#"{{"challenge_type":"{kind}","matrix_size":{size},"seed":"000102030405060708090a0b0c0d0e0f"}}"#)
        };
        assert_eq!(refused(|given| given.data = data(&of("gpu_matrix", 20))), Refusal::OtherType("gpu_matrix".into()));
        assert_eq!(refused(|given| given.data = data(&of(CPU_MATRIX, 10_001))), Refusal::Spec(SpecFault::Side(10_001)));
        assert!(matches!(refused(|given| given.data = data("{}")), Refusal::Data(_)));
    }

    #[test]
    fn a_second_task_of_the_same_connection_is_refused_while_one_is_computed() {
        let mut tasks = tasks();
        let request = tasks.begin(task("one", FIRST)).unwrap();
        let second = task("two", FIRST);
        assert_eq!(tasks.displaced_by(&second), None);
        assert_eq!(tasks.begin(second), Err(Refusal::Busy("one".into())));
        assert!(tasks.is_current("one") && tasks.active() == 1);
        let (done, result) = tasks.finished(CpuReply { job: request.job, outcome: product(request.spec) }).unwrap();
        assert_eq!((done.id.as_str(), result.is_ok(), tasks.active()), ("one", true, 0));
    }

    #[test]
    fn a_task_of_a_new_connection_displaces_the_old_one() {
        let mut tasks = tasks();
        let old = tasks.begin(task("one", FIRST)).unwrap();
        let second = task("two", SECOND);
        assert_eq!(tasks.displaced_by(&second), Some(old.job));
        let new = tasks.begin(second).unwrap();
        assert_ne!(old.job, new.job);
        assert_eq!(tasks.finished(CpuReply { job: old.job, outcome: CpuOutcome::CalledOff }), None);
        assert!(tasks.is_current("two"));
    }

    #[test]
    fn the_executor_is_never_handed_more_than_it_holds() {
        let mut tasks = tasks();
        let mut given = Vec::new();
        for number in 0..5 {
            let next = task(&format!("t{number}"), PeerId::dialed(number));
            tasks.displaced_by(&next);
            given.extend(tasks.begin(next).ok());
        }
        assert_eq!(given.len(), EXECUTOR_DEPTH);
        tasks.finished(CpuReply { job: given[0].job, outcome: CpuOutcome::CalledOff });
        assert!(tasks.begin(task("later", FIRST)).is_ok());
    }

    #[test]
    fn a_task_whose_time_is_over_is_called_off_and_its_late_product_dropped() {
        let mut tasks = tasks();
        let request = tasks.begin(task("one", FIRST)).unwrap();
        assert_eq!(tasks.deadline(), Some(at(60)));
        assert_eq!(tasks.timed_out(at(59)), None);
        let (job, late) = tasks.timed_out(at(60)).unwrap();
        assert_eq!((job, late.id.as_str()), (request.job, "one"));
        assert_eq!(tasks.finished(CpuReply { job, outcome: product(request.spec) }), None);
    }

    #[test]
    fn a_result_waits_for_its_way_back_as_long_as_its_task_counts() {
        let mut tasks = tasks();
        tasks.post("a".into(), at(60));
        tasks.post("b".into(), at(90));
        assert_eq!(tasks.next_parcel(at(59)), Some("a".into()));
        tasks.post("c".into(), at(80));
        assert_eq!(tasks.next_parcel(at(85)), Some("b".into()));
        assert!(tasks.is_idle());
    }

    #[test]
    fn results_that_wait_are_bounded() {
        let mut tasks = tasks();
        let kept = (0..RESULTS_MAX + 3).filter(|number| tasks.post(number.to_string(), at(9))).count();
        assert_eq!(kept, RESULTS_MAX);
        assert_eq!(tasks.next_parcel(at(0)), Some("3".into()));
    }

    #[test]
    fn a_task_has_its_own_time_the_default_or_the_longest_there_is() {
        let tasks = Tasks::new(Duration::from_secs(250));
        let seconds = [60, 0, 100_000].map(|given| tasks.timeout(given).as_secs());
        assert_eq!(seconds, [60, 250, 300]);
    }
}
