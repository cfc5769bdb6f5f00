//! The tasks of a worker: one CPU product at a time, and results that wait for the way back.
//!
//! Owns the task being computed and the undelivered results, which outlive a lost connection. A product is
//! worth nothing, and not sent, once its task's time is over.

use std::{collections::VecDeque, fmt, num::NonZeroUsize, sync::Arc, time::Duration};

use super::{gpus::Gpus, refusal::Refusal};
use crate::{
    compute::{
        cpu_matrix,
        gemm_i8::{self, KeyPrefix},
    },
    config::worker::Capability,
    machine::contract::{
        cpu::{Answer, CpuJob, CpuOutcome, CpuReply, CpuRequest, CpuTask, Split},
        gpu::{GpuJob, GpuOutcome, GpuReply, GpuRequest, GpuTask},
    },
    units::{ChallengeId, Hotkey, Mono, PeerId, Wall, WorkerId},
    wire::{
        limits,
        messages::{
            ChallengeData,
            gemm_i8::{CPU_DEVICE, GemmI8Data},
        },
        websocket::TaskAssignment,
    },
};

/// Products that the executor may hold at once: the current one, and one called off that has not noticed yet.
pub const EXECUTOR_DEPTH: usize = 2;
/// Results that may wait for a connection.
const RESULTS_MAX: usize = 32;

/// A task that was given to this worker.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Task {
    pub id: String,
    pub challenge: ChallengeId,
    pub validator: Hotkey,
    pub work: Work,
    pub timeout: Duration,
    pub received: Wall,
    /// When its time is over.
    pub until: Mono,
    /// The connection that it came over.
    pub from: PeerId,
}

impl Task {
    /// Its job, for whoever has it.
    fn given(&self, job: u64) -> Given<CpuJob, GpuJob> {
        match self.work {
            Work::Cpu(_) => Given::Cpu(CpuJob(job)),
            Work::Gpu(_) => Given::Gpu(GpuJob(job)),
        }
    }

    pub fn capability(&self) -> Capability {
        match self.work {
            Work::Cpu(CpuTask::CpuMatrix(_)) => Capability::CpuMatrix,
            Work::Gpu(GpuTask::GpuMatrix { .. }) => Capability::GpuMatrix,
            Work::Cpu(CpuTask::GemmI8 { .. }) | Work::Gpu(GpuTask::GemmI8 { .. }) => Capability::GemmI8,
        }
    }

    /// Rows and columns.
    pub fn side(&self) -> u32 {
        match &self.work {
            Work::Cpu(CpuTask::CpuMatrix(spec)) => spec.n,
            Work::Gpu(GpuTask::GpuMatrix { n, .. }) => *n,
            Work::Cpu(CpuTask::GemmI8 { spec, .. }) | Work::Gpu(GpuTask::GemmI8 { spec, .. }) => spec.n(),
        }
    }
}

/// What a task has computed, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Work {
    Cpu(CpuTask),
    Gpu(GpuTask),
}

/// Who is to be told to begin, or to leave off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Given<C, G> {
    Cpu(C),
    Gpu(G),
}

/// What a product was computed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Crew {
    Threads(NonZeroUsize),
    Gpus(usize),
}

impl fmt::Display for Crew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Crew::Threads(threads) => write!(f, "{threads} threads"),
            Crew::Gpus(gpus) => write!(f, "{gpus} GPUs"),
        }
    }
}

/// A product that is ready.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Product {
    pub answer: Answer,
    pub took: Duration,
    pub split: Split,
    pub crew: Crew,
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
    current: Option<(u64, Task)>,
    jobs: u64,
    /// Products that the executor on the CPU has not answered.
    in_executor: usize,
    /// The same of the GPUs.
    on_gpus: usize,
    results: VecDeque<Parcel>,
}

impl Tasks {
    pub fn new(me: WorkerId, offered: Vec<Capability>, default_timeout: Duration) -> Tasks {
        let results = VecDeque::new();
        Tasks { me, offered, default_timeout, current: None, jobs: 0, in_executor: 0, on_gpus: 0, results }
    }

    /// What this worker computes now, as the network calls it.
    pub fn offered(&self, gpus: &Gpus) -> Vec<String> {
        let now = self.offered.iter().filter(|capability| gpus.allow(**capability));
        now.map(|capability| capability.name().to_owned()).collect()
    }

    /// Tasks being computed, 0 or 1.
    pub fn active(&self) -> u32 {
        u32::from(self.current.is_some())
    }

    /// The kind of the task that is being computed.
    pub fn computing(&self) -> Option<&'static str> {
        self.current.as_ref().map(|(_, task)| task.capability().name())
    }

    /// Whether this very task is being computed: its miner asked twice, and is answered once.
    pub fn is_current(&self, id: &str) -> bool {
        self.current.as_ref().is_some_and(|(_, task)| task.id == id)
    }

    /// Reads an assignment; what cannot be computed is refused.
    pub fn read(&self, arrival: Arrival, given: &TaskAssignment, gpus: &Gpus) -> Result<Task, Refusal> {
        let offers = |asked: &Capability| self.offered.contains(asked) && gpus.allow(*asked);
        let work = match Capability::of(&given.task_type).filter(offers) {
            Some(Capability::CpuMatrix) => cpu_matrix_work(given)?,
            Some(Capability::GpuMatrix) => gpu_matrix_work(given)?,
            Some(Capability::GemmI8) => self.gemm_i8_work(given, gpus)?,
            None => {
                let offered = self.offered(gpus).join(" and ");
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
    fn gemm_i8_work(&self, given: &TaskAssignment, gpus: &Gpus) -> Result<Work, Refusal> {
        let data = GemmI8Data::read(&given.data)?;
        if data.challenge_id != given.challenge_id {
            return Err(Refusal::OtherChallenge(data.challenge_id));
        }
        if data.worker_id != self.me {
            return Err(Refusal::OtherWorker(data.worker_id));
        }
        let spec = gemm_i8::Spec::new(data.matrix_size, data.rounds)?;
        let prefix =
            |device: &str| KeyPrefix::new(&data.challenge_id, &data.seed, &data.miner_hotkey, &data.worker_id, device);
        if data.devices == [CPU_DEVICE] {
            return Ok(Work::Cpu(CpuTask::GemmI8 { spec, prefix: prefix(CPU_DEVICE) }));
        }
        if !data.devices.iter().all(|device| gpus.has(device)) {
            return Err(Refusal::Devices { asked: shortened(&data.devices.join(", ")), has: gpus.uuids() });
        }
        let prefixes = data.devices.iter().map(|device| prefix(device)).collect();
        Ok(Work::Gpu(GpuTask::GemmI8 { spec, prefixes }))
    }

    fn timeout(&self, seconds: u32) -> Duration {
        match seconds {
            0 => self.default_timeout,
            given => Duration::from_secs(given.min(limits::CHALLENGE_TIMEOUT_S).into()),
        }
    }

    /// The task that a new one displaces: a miner that came back knows nothing of what the connection before
    /// was given, or it would not give this worker another. On the same connection the first task stays.
    pub fn displaced_by(&mut self, task: &Task) -> Option<Given<CpuJob, GpuJob>> {
        let (job, old) = self.current.take_if(|(_, current)| current.from != task.from)?;
        Some(old.given(job))
    }

    /// Takes a task for the executor.
    pub fn begin(&mut self, task: Task) -> Result<Given<CpuRequest, GpuRequest>, Refusal> {
        if let Some((_, current)) = &self.current {
            return Err(Refusal::Busy(current.id.clone()));
        }
        let busy = match task.work {
            Work::Cpu(_) => &mut self.in_executor,
            Work::Gpu(_) => &mut self.on_gpus,
        };
        if *busy >= EXECUTOR_DEPTH {
            return Err(Refusal::Busy("that was called off".into()));
        }
        *busy += 1;
        self.jobs += 1;
        let request = match task.work.clone() {
            Work::Cpu(task) => Given::Cpu(CpuRequest { job: CpuJob(self.jobs), task }),
            Work::Gpu(task) => Given::Gpu(GpuRequest { job: GpuJob(self.jobs), task }),
        };
        self.current = Some((self.jobs, task));
        Ok(request)
    }

    /// The executor's answer. `None` for a product that nobody waits for any more.
    pub fn finished(&mut self, reply: CpuReply) -> Option<(Task, Result<Product, Refusal>)> {
        self.in_executor = self.in_executor.saturating_sub(1);
        let (_, task) = self.current.take_if(|(job, _)| *job == reply.job.0)?;
        let result = match reply.outcome {
            CpuOutcome::Computed { answer, took, split, threads } => {
                Ok(Product { answer, took, split, crew: Crew::Threads(threads) })
            }
            CpuOutcome::CalledOff => Err(Refusal::CalledOff),
            CpuOutcome::TooLarge { needed_bytes, available_bytes } => {
                Err(Refusal::TooLarge { needed_bytes, available_bytes })
            }
        };
        Some((task, result))
    }

    /// The same of the GPUs.
    pub fn finished_on_gpus(&mut self, reply: GpuReply) -> Option<(Task, Result<Product, Refusal>)> {
        self.on_gpus = self.on_gpus.saturating_sub(1);
        let (_, task) = self.current.take_if(|(job, _)| *job == reply.job.0)?;
        let result = match reply.outcome {
            GpuOutcome::Computed { answer, took, split } => {
                let crew = Crew::Gpus(answer.commitments.len());
                Ok(Product { answer: Answer::Gpu(Arc::new(answer)), took, split, crew })
            }
            GpuOutcome::CalledOff => Err(Refusal::CalledOff),
            GpuOutcome::Failed(why) => Err(Refusal::Gpu(why)),
        };
        Some((task, result))
    }

    /// The task whose time is over: its product is to be called off.
    pub fn timed_out(&mut self, now: Mono) -> Option<(Given<CpuJob, GpuJob>, Task)> {
        let (job, task) = self.current.take_if(|(_, task)| task.until <= now)?;
        Some((task.given(job), task))
    }

    /// Drops the current task, at the end of the worker.
    pub fn abandon(&mut self) -> Option<Given<CpuJob, GpuJob>> {
        self.current.take().map(|(job, task)| task.given(job))
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

/// The seed goes to the executor as text.
fn gpu_matrix_work(given: &TaskAssignment) -> Result<Work, Refusal> {
    let data = matrix_data(given)?;
    let ChallengeData { seed, matrix_size: n, iterations, .. } = data;
    Ok(Work::Gpu(GpuTask::GpuMatrix { seed: hex::encode(seed), n, iterations }))
}

fn cpu_matrix_work(given: &TaskAssignment) -> Result<Work, Refusal> {
    let data = matrix_data(given)?;
    let spec = cpu_matrix::Spec::new(data.seed, data.matrix_size, data.iterations)?;
    Ok(Work::Cpu(CpuTask::CpuMatrix(spec)))
}

fn matrix_data(given: &TaskAssignment) -> Result<ChallengeData, Refusal> {
    let data = ChallengeData::read(&given.data).map_err(|fault| Refusal::Data(fault.to_string()))?;
    if data.challenge_type != given.task_type {
        return Err(Refusal::OtherType(shortened(&data.challenge_type)));
    }
    Ok(data)
}

/// A peer's word, as far as an answer and a log line bear it.
fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

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

    fn no_gpus() -> Gpus {
        Gpus::new(false, ChaCha20Rng::seed_from_u64(1))
    }

    /// What the CPU is given.
    fn begun(tasks: &mut Tasks, task: Task) -> CpuRequest {
        let Ok(Given::Cpu(request)) = tasks.begin(task) else { panic!("not begun on the CPU") };
        request
    }

    fn tasks() -> Tasks {
        Tasks::new(WorkerId::new("w1"), Capability::ALL.to_vec(), Duration::from_secs(300))
    }

    fn task(id: &str, from: PeerId) -> Task {
        let arrival = Arrival { mono: at(0), wall: Wall::from_secs(1_800_000_000), from };
        tasks().read(arrival, &assignment(id, |_| ()), &no_gpus()).unwrap()
    }

    fn refused(change: impl FnOnce(&mut TaskAssignment)) -> Refusal {
        let arrival = Arrival { mono: at(0), wall: Wall::default(), from: FIRST };
        tasks().read(arrival, &assignment("t", change), &no_gpus()).unwrap_err()
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
        let request = begun(&mut tasks, task("one", FIRST));
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
        let old = begun(&mut tasks, task("one", FIRST));
        let second = task("two", SECOND);
        assert_eq!(tasks.displaced_by(&second), Some(Given::Cpu(old.job)));
        let new = begun(&mut tasks, second);
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
            given.extend(tasks.begin(next).ok().map(|given| match given {
                Given::Cpu(request) => request,
                Given::Gpu(other) => panic!("{other:?}"),
            }));
        }
        assert_eq!(given.len(), EXECUTOR_DEPTH);
        tasks.finished(CpuReply { job: given[0].job, outcome: CpuOutcome::CalledOff });
        assert!(tasks.begin(task("later", FIRST)).is_ok());
    }

    #[test]
    fn a_task_whose_time_is_over_is_called_off_and_its_late_product_dropped() {
        let mut tasks = tasks();
        let request = begun(&mut tasks, task("one", FIRST));
        assert_eq!(tasks.deadline(), Some(at(60)));
        assert_eq!(tasks.timed_out(at(59)), None);
        let (job, late) = tasks.timed_out(at(60)).unwrap();
        assert_eq!((job, late.id.as_str()), (Given::Cpu(request.job), "one"));
        assert_eq!(tasks.finished(CpuReply { job: request.job, outcome: product(&request) }), None);
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
        tasks().read(arrival, &gemm_assignment(gemm(from, to)), &no_gpus())
    }

    #[test]
    fn a_gemm_task_is_computed_under_its_own_key() {
        let task = gemm_read("", "").unwrap();
        let id = ChallengeId::new(CHALLENGE);
        let prefix = KeyPrefix::new(&id, &[7; 32], "5A", &WorkerId::new("w1"), "cpu");
        assert_eq!(task.work, Work::Cpu(CpuTask::GemmI8 { spec: gemm_i8::Spec::new(256, 2).unwrap(), prefix }));
        assert_eq!((task.capability(), task.side()), (Capability::GemmI8, 256));
    }

    #[test]
    fn a_gemm_task_that_is_not_this_workers_or_of_no_size_is_refused_by_name() {
        let why = |from: &str, to: &str| gemm_read(from, to).unwrap_err().to_string();
        let other = "9c1d6c4e-5b1a-4d53-9c86-0d1f0a2b3c4d";
        assert_eq!(why(CHALLENGE, other), format!("the task's data are of challenge {other}"));
        assert_eq!(why("\"w1\"", "\"w2\""), "the task's data are for worker w2");
        let has = "this worker has no GPU now, only its CPU, \"cpu\"";
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
        assert_eq!(tasks.offered(&no_gpus()), ["cpu_matrix"]);
        let arrival = Arrival { mono: at(0), wall: Wall::default(), from: FIRST };
        let refusal = tasks.read(arrival, &gemm_assignment(gemm("", "")), &no_gpus()).unwrap_err();
        assert_eq!(refusal.to_string(), "this worker computes cpu_matrix, not gemm_i8");
    }

    #[test]
    fn a_task_too_large_for_the_host_says_what_it_needs_and_what_there_is() {
        let mut tasks = tasks();
        let request = begun(&mut tasks, gemm_read("", "").unwrap());
        let outcome = CpuOutcome::TooLarge { needed_bytes: 4_400 << 20, available_bytes: (901 << 20) + 1 };
        let (_, result) = tasks.finished(CpuReply { job: request.job, outcome }).unwrap();
        let refusal = result.unwrap_err();
        assert_eq!(refusal.to_string(), "it needs 4400 MiB of memory, and this host can spare 901 MiB");
        assert_eq!((refusal.code(), refusal.label()), (1005, "too_large"));
    }
}
