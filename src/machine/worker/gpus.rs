//! The GPUs of a worker, as far as an executor answers for them now.
//!
//! Owns when the executor is started, asked and started again, its last word, and what was read of the cards. A GPU that was
//! not seen now is not there: while the executor is away the worker offers its CPU. A card that the health gate withholds
//! is not offered either. It computes nothing and keeps no answer.

use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use serde_json::Value;

use crate::{
    config::worker::{Capability, Config},
    machine::{
        backoff::Backoff,
        contract::{
            gpu::{ExecutorGpu, ExecutorInfo, ExecutorReply, ExecutorRequest, GpuKept, GpuOutcome},
            inventory::{Inventory, Nvml},
        },
        health::{Gate, Grade, told},
    },
    units::Mono,
    wire::{limits, messages::SystemInfo, websocket::GpuSummary},
};

use super::idle::why_idle;

/// First and longest wait before the executor is started again.
const AGAIN: Duration = Duration::from_secs(5);
const AGAIN_MOST: Duration = Duration::from_secs(300);

#[derive(Debug)]
pub(super) struct Gpus {
    stage: Stage,
    backoff: Backoff,
    rng: ChaCha20Rng,
    /// What this worker is to offer, where it can.
    wanted: Vec<Capability>,
    /// What was said last about an executor that is away, so that it is said once.
    complained: Option<String>,
    /// The same of GPUs that the executor leaves out.
    noted: Option<String>,
    /// The same of having nothing to offer.
    idle: Option<String>,
    /// The last reading of the cards; `None` before the first.
    inventory: Option<Inventory>,
    gate: Gate,
    /// What was said last about a library that tells nothing of cards, so that it is said once.
    deaf: Option<String>,
}

#[derive(Debug)]
enum Stage {
    /// By configuration.
    Off,
    Due {
        at: Mono,
    },
    /// A request is with the spoke.
    Starting,
    /// The same, and this is what was said last.
    Up(ExecutorInfo),
}

impl Gpus {
    pub fn new(enabled: bool, rng: ChaCha20Rng) -> Gpus {
        let stage = if enabled { Stage::Due { at: Mono::default() } } else { Stage::Off };
        Gpus {
            stage,
            backoff: Backoff::new(AGAIN, AGAIN_MOST),
            rng,
            wanted: Capability::ALL.to_vec(),
            complained: None,
            noted: None,
            idle: None,
            inventory: None,
            gate: Gate::default(),
            deaf: None,
        }
    }

    pub fn of(config: &Config, rng: ChaCha20Rng) -> Gpus {
        Gpus { wanted: config.capabilities.clone(), ..Gpus::new(config.gpu.enable, rng) }
    }

    /// By configuration.
    pub fn is_off(&self) -> bool {
        matches!(self.stage, Stage::Off)
    }

    fn info(&self) -> Option<&ExecutorInfo> {
        if let Stage::Up(info) = &self.stage { Some(info) } else { None }
    }

    /// Whether this kind can be offered now. `gemm_i8` needs an executor that does it where GPUs are told of: a
    /// validator then asks them and not the CPU.
    pub fn allow(&self, kind: Capability) -> bool {
        let signs = self.info().is_some_and(|info| !info.gemm_i8) && self.offered().next().is_some();
        match kind {
            Capability::CpuMatrix => true,
            Capability::GpuMatrix => signs,
            Capability::GemmI8 => !signs,
        }
    }

    /// The executor's that are there now and in order.
    fn offered(&self) -> impl Iterator<Item = &ExecutorGpu> {
        self.info().into_iter().flat_map(|info| &info.gpus).filter(|gpu| self.gate.offers(&gpu.uuid))
    }

    pub fn uuids(&self) -> Vec<String> {
        self.offered().map(|gpu| gpu.uuid.clone()).collect()
    }

    pub fn has(&self, uuid: &str) -> bool {
        self.offered().any(|gpu| gpu.uuid == uuid)
    }

    /// What was read of the cards; whether others are offered than before.
    pub fn read(&mut self, inventory: Inventory) -> bool {
        let before = self.uuids();
        self.inventory = Some(inventory);
        self.judge();
        before != self.uuids()
    }

    fn judge(&mut self) {
        if matches!(self.stage, Stage::Off) {
            return;
        }
        let cuda = if let Stage::Up(info) = &self.stage { Some(info.gpus.as_slice()) } else { None };
        self.gate.see(self.inventory.as_ref().unwrap_or(&Inventory::default()), cuda);
        let deaf = self.inventory.as_ref().and_then(|inventory| deaf(inventory, cuda.unwrap_or_default()));
        if self.deaf != deaf {
            deaf.iter().for_each(|line| log::warn!(target: "worker", "{line}"));
            self.deaf = deaf;
        }
        let idle = self.why_idle();
        // An executor that was not asked yet may be on its way.
        if self.idle != idle && !matches!(self.stage, Stage::Starting) {
            idle.iter().for_each(|line| log::warn!(target: "worker", "{line}"));
            self.idle = idle;
        }
    }

    /// Why this worker has nothing to offer now; `None`: it has something.
    pub fn why_idle(&self) -> Option<String> {
        let executor = self.info().map(|info| (info, self.offered().count()));
        why_idle(&self.wanted, |kind| self.allow(kind), executor)
    }

    /// How many cards there are of each verdict.
    pub fn verdicts(&self) -> impl Iterator<Item = (&'static str, usize)> {
        let of = |grade| self.gate.reports().iter().filter(|report| report.grade == grade).count();
        Grade::ALL.into_iter().map(move |grade| (grade.name(), of(grade)))
    }

    /// Whether to start the executor now.
    pub fn wants(&mut self, now: Mono) -> Option<ExecutorRequest> {
        let due = matches!(self.stage, Stage::Due { at } if at <= now);
        due.then(|| {
            self.stage = Stage::Starting;
            ExecutorRequest::Start
        })
    }

    pub fn deadline(&self) -> Option<Mono> {
        if let Stage::Due { at } = self.stage { Some(at) } else { None }
    }

    /// The executor's word: what to ask next, and whether other GPUs are there than before.
    pub fn heard(&mut self, now: Mono, reply: ExecutorReply) -> (Option<ExecutorRequest>, bool) {
        let before = self.uuids();
        let next = match reply {
            ExecutorReply::Up(info) => {
                self.up(info);
                Some(ExecutorRequest::Watch)
            }
            ExecutorReply::Down(why) => {
                self.down(now, &why);
                None
            }
        };
        self.judge();
        (next, before != self.uuids())
    }

    fn up(&mut self, mut info: ExecutorInfo) {
        info.gpus.truncate(limits::GEMM_DEVICES);
        let first = self.info().is_none_or(|old| old.gpus.len() != info.gpus.len());
        match (first, info.gpus.as_slice()) {
            (true, []) => {
                let why = info.note.as_deref().unwrap_or("no reason given");
                self.complain(&format!("the GPU executor finds no GPU ({why}); {}", self.meanwhile()));
            }
            (true, gpus) => {
                let names: Vec<&str> = gpus.iter().map(|gpu| gpu.name.as_str()).collect();
                log::info!(target: "worker", "{} GPUs: {}", gpus.len(), names.join(", "));
                self.complained = None;
            }
            (false, _) => {}
        }
        let noted = info.note.clone().filter(|_| !info.gpus.is_empty());
        if self.noted != noted {
            noted.iter().for_each(|note| log::warn!(target: "worker", "the GPU executor leaves out a GPU: {note}"));
            self.noted = noted;
        }
        self.backoff.reset();
        self.stage = Stage::Up(info);
    }

    fn down(&mut self, now: Mono, why: &str) {
        let wait = self.backoff.wait(&mut self.rng);
        self.complain(&format!("no GPU executor: {why}; {}, and tries again", self.meanwhile()));
        self.stage = Stage::Due { at: now + wait };
    }

    fn meanwhile(&self) -> &'static str {
        match self.wanted.as_slice() {
            [Capability::GpuMatrix] => "the worker offers nothing",
            _ => "the worker serves with its CPU",
        }
    }

    /// Once for each reason: one that stays is no news.
    fn complain(&mut self, what: &str) {
        if self.complained.as_deref() == Some(what) {
            return log::debug!(target: "worker", "{what}");
        }
        log::warn!(target: "worker", "{what}");
        self.complained = Some(what.to_owned());
    }

    /// An executor that signs computes on every GPU that it has: withheld ones commit to nothing.
    pub fn only_offered(&self, outcome: GpuOutcome) -> GpuOutcome {
        let GpuOutcome::Computed { mut answer, took, split } = outcome else { return outcome };
        if let GpuKept::GpuMatrix { .. } = answer.kept {
            answer.commitments.retain(|one| self.gate.offers(&one.uuid));
        }
        if answer.commitments.is_empty() {
            return GpuOutcome::Failed("each GPU that computed it is withheld: see the warnings before".into());
        }
        GpuOutcome::Computed { answer, took, split }
    }

    /// What was measured of the machine, with the GPUs that are there now and what is wrong with others.
    pub fn told(&self, info: &SystemInfo) -> SystemInfo {
        if matches!(self.stage, Stage::Off) {
            return info.clone();
        }
        let offered: Vec<&ExecutorGpu> = self.offered().collect();
        let owned = || offered.iter().map(|gpu| Value::Object(gpu.told.clone())).collect();
        let info = if self.info().is_some() { info.with("gpu_plugin", Value::Array(owned())) } else { info.clone() };
        let unread = Inventory::default();
        let inventory = self.inventory.as_ref().unwrap_or(&unread);
        let info = match told::gpu_info(inventory, &offered, &self.gate) {
            none if none.is_empty() => info,
            there => info.with("gpu_info", Value::Array(there)),
        };
        match told::gpu_health(&self.gate) {
            troubles if troubles.is_empty() => info,
            troubles => info.with("gpu_health", Value::Array(troubles)),
        }
    }

    pub fn summary(&self) -> GpuSummary {
        let details: Vec<_> = self.offered().map(|gpu| gpu.told.clone()).collect();
        GpuSummary { gpu_available: !details.is_empty(), gpu_count: details.len() as u32, gpu_details: details }
    }
}

/// What keeps faults of cards from being noticed. Where there is no GPU it is no news.
fn deaf(inventory: &Inventory, gpus: &[ExecutorGpu]) -> Option<String> {
    match &inventory.nvml {
        Nvml::Absent(why) if !gpus.is_empty() => {
            Some(format!("NVML cannot be asked ({why}): no fault of a GPU is noticed before it fails at work"))
        }
        Nvml::Silent => Some("NVML does not answer: a card or the driver may hang (dmesg | grep NVRM)".into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rand_core::SeedableRng;
    use serde_json::json;

    use super::*;
    use crate::machine::contract::gpu::ExecutorGpu;

    fn at(seconds: u64) -> Mono {
        Mono::default() + Duration::from_secs(seconds)
    }

    fn gpus() -> Gpus {
        Gpus::new(true, ChaCha20Rng::seed_from_u64(1))
    }

    fn info(gemm_i8: bool, uuids: &[&str]) -> ExecutorReply {
        let gpu = |uuid: &&str| ExecutorGpu {
            uuid: (*uuid).into(),
            name: "NVIDIA H200".into(),
            told: json!({"uuid": uuid, "name": "NVIDIA H200"}).as_object().unwrap().clone(),
        };
        ExecutorReply::Up(ExecutorInfo { gemm_i8, gpus: uuids.iter().map(gpu).collect(), note: None })
    }

    #[test]
    fn switched_off_nothing_is_started() {
        let mut gpus = Gpus::new(false, ChaCha20Rng::seed_from_u64(1));
        assert_eq!((gpus.wants(at(9)), gpus.deadline()), (None, None));
    }

    #[test]
    fn the_executor_is_started_watched_and_started_again_after_growing_waits() {
        let mut gpus = gpus();
        assert_eq!(gpus.wants(at(0)), Some(ExecutorRequest::Start));
        assert_eq!(gpus.wants(at(1)), None, "one request at a time");
        assert_eq!(gpus.heard(at(2), info(true, &["G"])), (Some(ExecutorRequest::Watch), true));
        assert_eq!(gpus.heard(at(3), info(true, &["G"])), (Some(ExecutorRequest::Watch), false));
        assert_eq!(gpus.heard(at(10), ExecutorReply::Down("it died".into())), (None, true));
        assert!(!gpus.has("G") && gpus.uuids().is_empty());
        let first = gpus.deadline().unwrap();
        assert!(first > at(12) && first <= at(15));
        assert_eq!((gpus.wants(at(12)), gpus.wants(first)), (None, Some(ExecutorRequest::Start)));
        for _ in 0..20 {
            gpus.heard(at(20), ExecutorReply::Down("it died".into()));
        }
        assert!(gpus.deadline().unwrap() > at(20 + 149));
        gpus.heard(at(500), info(true, &["G"]));
        gpus.heard(at(600), ExecutorReply::Down("it died".into()));
        assert!(gpus.deadline().unwrap() <= at(605), "it had worked");
    }

    #[test]
    fn what_is_offered_follows_the_executor() {
        let mut gpus = gpus();
        let offers = |gpus: &Gpus| Capability::ALL.map(|kind| gpus.allow(kind));
        assert_eq!(offers(&gpus), [true, false, true]);
        gpus.heard(at(0), info(true, &["G"]));
        assert_eq!(offers(&gpus), [true, false, true]);
        gpus.heard(at(0), info(false, &["G"]));
        assert_eq!(offers(&gpus), [true, true, false], "the vendor's does no gemm_i8");
        gpus.heard(at(0), info(false, &[]));
        assert_eq!(offers(&gpus), [true, false, true], "it has no GPU");
    }

    #[test]
    fn a_worker_with_nothing_to_offer_says_why_as_long_as_it_is_so() {
        let mut gpus = Gpus { wanted: vec![Capability::GpuMatrix], ..gpus() };
        let why = |gpus: &Gpus| gpus.idle.clone().unwrap_or_default();
        gpus.wants(at(0));
        gpus.read(Inventory::default());
        assert_eq!(why(&gpus), "", "the executor is on its way");
        gpus.heard(at(1), info(true, &["G"]));
        assert!(why(&gpus).contains("signs nothing") && why(&gpus).contains("gpu.binary_path"), "{}", why(&gpus));
        gpus.heard(at(2), info(false, &["G"]));
        assert_eq!(gpus.idle, None);
        gpus.heard(at(3), ExecutorReply::Down("it died".into()));
        assert!(why(&gpus).contains("no GPU executor answers"), "{}", why(&gpus));
        assert!(gpus.complained.as_deref().is_some_and(|said| said.contains("the worker offers nothing")));
    }

    #[test]
    fn a_library_that_tells_nothing_is_news_only_where_there_are_gpus() {
        let with = |nvml| Inventory { nvml, ..Inventory::default() };
        let ExecutorReply::Up(info) = info(true, &["G"]) else { panic!("it is up") };
        let absent = with(Nvml::Absent("it is not installed".into()));
        assert_eq!(deaf(&absent, &[]), None);
        assert!(deaf(&absent, &info.gpus).is_some_and(|line| line.contains("it is not installed")));
        assert!(deaf(&with(Nvml::Silent), &[]).is_some_and(|line| line.contains("does not answer")));
        assert_eq!(deaf(&with(Nvml::Read(Default::default())), &info.gpus), None);
    }

    #[test]
    fn a_heartbeat_tells_of_the_gpus_that_are_there_now() {
        let mut gpus = gpus();
        let host = SystemInfo::of(&json!({"cpu_count": 2, "gpu_plugin": []})).unwrap();
        gpus.heard(at(0), info(true, &["G1", "G2"]));
        assert_eq!(gpus.told(&host).gpus_owned().len(), 2);
        assert_eq!((gpus.summary().gpu_count, gpus.told(&host).cpu_count()), (2, Some(2.0)));
        gpus.heard(at(1), ExecutorReply::Down("it died".into()));
        assert!(gpus.told(&host).gpus_owned().is_empty() && !gpus.summary().gpu_available);
    }
}
