//! The tasks of a worker: one CPU product at a time, and results that wait for the way back.
//!
//! Owns the task being computed and the undelivered results, which outlive a lost connection. A product is
//! worth nothing, and not sent, once its task's time is over.

use std::{collections::VecDeque, num::NonZeroUsize, time::Duration};

use crate::{
    compute::{
        cpu_matrix,
        gemm_i8::{self, KeyPrefix},
    },
    config::worker::Capability,
    machine::contract::cpu::{Answer, CpuJob, CpuOutcome, CpuReply, CpuRequest, CpuTask, Split},
    units::{ChallengeId, Hotkey, Mono, PeerId, Wall, WorkerId},
    wire::{
        code::{self, Code},
        limits,
        messages::{
            ChallengeData,
            gemm_i8::{CPU_DEVICE, GemmI8Data, GemmTaskFault},
        },
        websocket::TaskAssignment,
    },
};

/// Products that the executor may hold at once: the current one, and one called off that has not noticed yet.
pub const EXECUTOR_DEPTH: usize = 2;
/// Results that may wait for a connection.
const RESULTS_MAX: usize = 32;

const MIB: u64 = 1 << 20;

/// Why an assignment is not computed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("this worker computes {offered}, not {asked}")]
    NotOffered { asked: String, offered: String },
    #[error("the challenge in the task is {0}")]
    OtherType(String),
    #[error("the task's data: {0}")]
    Data(String),
    #[error("the task's data: {0}")]
    CpuSpec(#[from] cpu_matrix::SpecFault),
    #[error("the task's data: {0}")]
    Gemm(#[from] GemmTaskFault),
    #[error("the task's data: {0}")]
    GemmSpec(#[from] gemm_i8::SpecFault),
    #[error("the task's data are of challenge {0}")]
    OtherChallenge(ChallengeId),
    #[error("the task's data are for worker {0}")]
    OtherWorker(WorkerId),
    #[error("devices {0} are asked; this worker has its CPU alone, \"cpu\"")]
    Devices(String),
    #[error("it needs {} MiB of memory, and this host can spare {} MiB", needed_bytes.div_ceil(MIB), available_bytes / MIB)]
    TooLarge { needed_bytes: u64, available_bytes: u64 },
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
            Refusal::TooLarge { .. } | Refusal::Busy(_) | Refusal::Stopping => code::TASK_FAILED,
            Refusal::TimedOut(_) => code::TIMEOUT,
            Refusal::CalledOff => code::CHALLENGE_FAILED,
            _ => code::INVALID_REQUEST,
        }
    }

    /// For the counter of tasks.
    pub fn label(&self) -> &'static str {
        match self {
            Refusal::TooLarge { .. } => "too_large",
            Refusal::Busy(_) => "busy",
            Refusal::Stopping => "stopping",
            Refusal::TimedOut(_) => "timeout",
            Refusal::CalledOff => "called_off",
            _ => "invalid",
        }
    }
}

/// A task that was given to this worker.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Task {
    pub id: String,
    pub challenge: ChallengeId,
    pub validator: Hotkey,
    pub work: CpuTask,
    pub timeout: Duration,
    pub received: Wall,
    /// When its time is over.
    pub until: Mono,
    /// The connection that it came over.
    pub from: PeerId,
}

impl Task {
    pub fn capability(&self) -> Capability {
        match self.work {
            CpuTask::CpuMatrix(_) => Capability::CpuMatrix,
            CpuTask::GemmI8 { .. } => Capability::GemmI8,
        }
    }

    /// Rows and columns.
    pub fn side(&self) -> u32 {
        match &self.work {
            CpuTask::CpuMatrix(spec) => spec.n,
            CpuTask::GemmI8 { spec, .. } => spec.n(),
        }
    }
}

/// A product that is ready.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Product {
    pub answer: Answer,
    pub took: Duration,
    pub split: Split,
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
    me: WorkerId,
    offered: Vec<Capability>,
    default_timeout: Duration,
    current: Option<(CpuJob, Task)>,
    jobs: u64,
    /// Products that the executor has not answered.
    in_executor: usize,
    results: VecDeque<Parcel>,
}

impl Tasks {
    pub fn new(me: WorkerId, offered: Vec<Capability>, default_timeout: Duration) -> Tasks {
        let results = VecDeque::new();
        Tasks { me, offered, default_timeout, current: None, jobs: 0, in_executor: 0, results }
    }

    /// What this worker computes, as the network calls it.
    pub fn offered(&self) -> Vec<String> {
        self.offered.iter().map(|capability| capability.name().to_owned()).collect()
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
        let work = match Capability::of(&given.task_type).filter(|asked| self.offered.contains(asked)) {
            Some(Capability::CpuMatrix) => cpu_matrix_work(given)?,
            Some(Capability::GemmI8) => self.gemm_i8_work(given)?,
            None => {
                let offered = self.offered().join(" and ");
                return Err(Refusal::NotOffered { asked: shortened(&given.task_type), offered });
            }
        };
        let timeout = self.timeout(given.timeout);
        Ok(Task {
            id: given.task_id.clone(),
            challenge: given.challenge_id.clone(),
            validator: given.validator_hotkey.clone(),
            work,
            timeout,
            received: arrival.wall,
            until: arrival.mono + timeout,
            from: arrival.from,
        })
    }

    /// Everything that enters the key must be what this worker stands for: its own id, and the challenge's.
    fn gemm_i8_work(&self, given: &TaskAssignment) -> Result<CpuTask, Refusal> {
        let data = GemmI8Data::read(&given.data)?;
        if data.challenge_id != given.challenge_id {
            return Err(Refusal::OtherChallenge(data.challenge_id));
        }
        if data.worker_id != self.me {
            return Err(Refusal::OtherWorker(data.worker_id));
        }
        if data.devices != [CPU_DEVICE] {
            return Err(Refusal::Devices(shortened(&data.devices.join(", "))));
        }
        let spec = gemm_i8::Spec::new(data.matrix_size, data.rounds)?;
        let prefix = KeyPrefix::new(&data.challenge_id, &data.seed, &data.miner_hotkey, &data.worker_id, CPU_DEVICE);
        Ok(CpuTask::GemmI8 { spec, prefix })
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
        let request = CpuRequest { job: CpuJob(self.jobs), task: task.work.clone() };
        self.current = Some((request.job, task));
        Ok(request)
    }

    /// The executor's answer. `None` for a product that nobody waits for any more.
    pub fn finished(&mut self, reply: CpuReply) -> Option<(Task, Result<Product, Refusal>)> {
        self.in_executor = self.in_executor.saturating_sub(1);
        let (_, task) = self.current.take_if(|(job, _)| *job == reply.job)?;
        let result = match reply.outcome {
            CpuOutcome::Computed { answer, took, split, threads } => Ok(Product { answer, took, split, threads }),
            CpuOutcome::CalledOff => Err(Refusal::CalledOff),
            CpuOutcome::TooLarge { needed_bytes, available_bytes } => {
                Err(Refusal::TooLarge { needed_bytes, available_bytes })
            }
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

fn cpu_matrix_work(given: &TaskAssignment) -> Result<CpuTask, Refusal> {
    let data = ChallengeData::read(&given.data).map_err(|fault| Refusal::Data(fault.to_string()))?;
    if data.challenge_type != given.task_type {
        return Err(Refusal::OtherType(shortened(&data.challenge_type)));
    }
    Ok(CpuTask::CpuMatrix(cpu_matrix::Spec::new(data.seed, data.matrix_size, data.iterations)?))
}

/// A peer's word, as far as an answer and a log line bear it.
fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        compute::merkle::Tree,
        wire::{json, messages::Raw},
    };

    const CPU_MATRIX: &str = "cpu_matrix";
    const CHALLENGE: &str = "8c1d6c4e-5b1a-4d53-9c86-0d1f0a2b3c4d";

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
        Tasks::new(WorkerId::new("w1"), Capability::ALL.to_vec(), Duration::from_secs(300))
    }

    fn task(id: &str, from: PeerId) -> Task {
        let arrival = Arrival { mono: at(0), wall: Wall::from_secs(1_800_000_000), from };
        tasks().read(arrival, &assignment(id, |_| ())).unwrap()
    }

    fn refused(change: impl FnOnce(&mut TaskAssignment)) -> Refusal {
        let arrival = Arrival { mono: at(0), wall: Wall::default(), from: FIRST };
        tasks().read(arrival, &assignment("t", change)).unwrap_err()
    }

    fn product(request: &CpuRequest) -> CpuOutcome {
        let CpuTask::CpuMatrix(spec) = request.task else { panic!("{request:?}") };
        let tree = spec.matrices(|| true).and_then(|m| Tree::new(m.row_hashes(0..spec.n))).unwrap();
        let (answer, split) = (Answer::CpuMatrix(tree), Split::default());
        CpuOutcome::Computed { answer, took: Duration::from_millis(7), split, threads: NonZeroUsize::MIN }
    }

    #[test]
    fn a_task_that_cannot_be_computed_is_refused_with_a_code() {
        let unknown = refused(|given| given.task_type = "gpu_matrix".into());
        let offered = "cpu_matrix and gemm_i8".into();
        assert_eq!(unknown, Refusal::NotOffered { asked: "gpu_matrix".into(), offered });
        assert_eq!(unknown.to_string(), "this worker computes cpu_matrix and gemm_i8, not gpu_matrix");
        assert_eq!(unknown.code(), 1000);
        let data = |text: &str| json::parse(text).unwrap();
        let of = |kind: &str, size: u32| {
            format!(r#"{{"challenge_type":"{kind}","matrix_size":{size},"seed":"000102030405060708090a0b0c0d0e0f"}}"#)
        };
        assert_eq!(refused(|given| given.data = data(&of("gpu_matrix", 20))), Refusal::OtherType("gpu_matrix".into()));
        assert_eq!(
            refused(|given| given.data = data(&of(CPU_MATRIX, 10_001))),
            Refusal::CpuSpec(cpu_matrix::SpecFault::Side(10_001))
        );
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
        let (done, result) = tasks.finished(CpuReply { job: request.job, outcome: product(&request) }).unwrap();
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
        assert_eq!(tasks.finished(CpuReply { job, outcome: product(&request) }), None);
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
        let tasks = Tasks::new(WorkerId::new("w1"), Capability::ALL.to_vec(), Duration::from_secs(250));
        let seconds = [60, 0, 100_000].map(|given| tasks.timeout(given).as_secs());
        assert_eq!(seconds, [60, 250, 300]);
    }

    /// A good task of `gemm_i8`, as JSON, with one text in it replaced.
    fn gemm(from: &str, to: &str) -> Raw {
        let good = format!(
            r#"{{"challenge_type":"gemm_i8","version":2,"challenge_id":"{CHALLENGE}","worker_id":"w1",
            "miner_hotkey":"5A","round_id":"round_1","seed":"{}","matrix_size":256,"rounds":2,"devices":["cpu"]}}"#,
            "07".repeat(32)
        );
        let changed = good.replacen(from, to, 1);
        assert!(from == to || changed != good, "{from}");
        json::parse(&changed).unwrap()
    }

    fn gemm_assignment(data: Raw) -> TaskAssignment {
        assignment(CHALLENGE, |given| (given.task_type, given.data) = ("gemm_i8".into(), data))
    }

    fn gemm_read(from: &str, to: &str) -> Result<Task, Refusal> {
        let arrival = Arrival { mono: at(0), wall: Wall::default(), from: FIRST };
        tasks().read(arrival, &gemm_assignment(gemm(from, to)))
    }

    #[test]
    fn a_gemm_task_is_computed_under_its_own_key() {
        let task = gemm_read("", "").unwrap();
        let id = ChallengeId::new(CHALLENGE);
        let prefix = KeyPrefix::new(&id, &[7; 32], "5A", &WorkerId::new("w1"), "cpu");
        assert_eq!(task.work, CpuTask::GemmI8 { spec: gemm_i8::Spec::new(256, 2).unwrap(), prefix });
        assert_eq!((task.capability(), task.side()), (Capability::GemmI8, 256));
    }

    #[test]
    fn a_gemm_task_that_is_not_this_workers_or_of_no_size_is_refused_by_name() {
        let why = |from: &str, to: &str| gemm_read(from, to).unwrap_err().to_string();
        let other = "9c1d6c4e-5b1a-4d53-9c86-0d1f0a2b3c4d";
        assert_eq!(why(CHALLENGE, other), format!("the task's data are of challenge {other}"));
        assert_eq!(why("\"w1\"", "\"w2\""), "the task's data are for worker w2");
        let has = "this worker has its CPU alone, \"cpu\"";
        assert_eq!(why("[\"cpu\"]", "[\"GPU-1\",\"GPU-2\"]"), format!("devices GPU-1, GPU-2 are asked; {has}"));
        assert_eq!(why("[\"cpu\"]", "[\"cpu\",\"GPU-1\"]"), format!("devices cpu, GPU-1 are asked; {has}"));
        for (from, to, named) in [
            (":256", ":300", "matrix_size 300"),
            (":256", ":65792", "matrix_size 65792"),
            ("\"rounds\":2", "\"rounds\":0", "rounds 0"),
            ("\"rounds\":2", "\"rounds\":2000", "rounds 2000"),
            ("0707", "07", "seed"),
            (":2,", ":3,", "version 3"),
            ("[\"cpu\"]", "[]", "no device"),
        ] {
            let refusal = gemm_read(from, to).unwrap_err();
            assert!(refusal.to_string().contains(named), "{refusal}");
            assert_eq!((refusal.code(), refusal.label()), (1000, "invalid"), "{refusal}");
        }
    }

    #[test]
    fn what_is_not_offered_is_refused_though_it_could_be_computed() {
        let tasks = Tasks::new(WorkerId::new("w1"), vec![Capability::CpuMatrix], Duration::from_secs(300));
        assert_eq!(tasks.offered(), ["cpu_matrix"]);
        let arrival = Arrival { mono: at(0), wall: Wall::default(), from: FIRST };
        let refusal = tasks.read(arrival, &gemm_assignment(gemm("", ""))).unwrap_err();
        assert_eq!(refusal.to_string(), "this worker computes cpu_matrix, not gemm_i8");
    }

    #[test]
    fn a_task_too_large_for_the_host_says_what_it_needs_and_what_there_is() {
        let mut tasks = tasks();
        let request = tasks.begin(gemm_read("", "").unwrap()).unwrap();
        let outcome = CpuOutcome::TooLarge { needed_bytes: 4_400 << 20, available_bytes: (901 << 20) + 1 };
        let (_, result) = tasks.finished(CpuReply { job: request.job, outcome }).unwrap();
        let refusal = result.unwrap_err();
        assert_eq!(refusal.to_string(), "it needs 4400 MiB of memory, and this host can spare 901 MiB");
        assert_eq!((refusal.code(), refusal.label()), (1005, "too_large"));
    }
}
