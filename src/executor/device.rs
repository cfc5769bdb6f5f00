//! One device: its thread `gpu-N` opens the context, then does one job after the other and keeps the last answer.
//!
//! The handle is for any thread. It never waits for a place: a device with a job at work and another waiting refuses.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use crossbeam::channel::{self, Receiver, RecvTimeoutError, Sender, TrySendError};

use super::{fault::JobFault, kept::Kept, open, room::Room, thread};
use crate::{
    compute::gemm_i8::{Answer, KeyPrefix, Progress, Spec},
    cuda::{Choice, DeviceFacts, Fault, FaultKind, Gpu, Kernels},
    net::Clock,
    wire::{
        gpu_socket::{GemmResult, Timings},
        messages::gemm_i8::{GemmProof, Sample},
    },
};

/// Row hashes that are kept of one answer: 512 rounds of n = 32,768.
const KEPT_BYTES: u64 = 512 << 20;

/// What a device is asked. Each carries the way back; whoever went away does not hear it.
pub enum Job {
    Submit { spec: Spec, prefix: KeyPrefix, wanted: Wanted, reply: Sender<Result<GemmResult, JobFault>> },
    Open { samples: Vec<Sample>, wanted: Wanted, reply: Sender<Result<GemmProof, JobFault>> },
    Clear { reply: Sender<Result<bool, JobFault>> },
}

/// Whether somebody still waits for a job's end.
pub type Wanted = Arc<AtomicBool>;

/// The way to a device.
#[derive(Clone)]
pub struct Device {
    pub facts: DeviceFacts,
    free_bytes: Arc<AtomicU64>,
    jobs: Sender<Job>,
}

impl Device {
    /// Starts its thread and waits until the device is open, or why it is not.
    pub fn start(facts: DeviceFacts, clock: Clock) -> io::Result<Result<Device, String>> {
        let (jobs, inbox) = channel::bounded(1);
        let (say, opened) = channel::bounded(1);
        let free_bytes = Arc::new(AtomicU64::new(facts.total_bytes));
        let device = Device { facts: facts.clone(), free_bytes: free_bytes.clone(), jobs };
        thread::start(format!("gpu-{}", facts.ordinal), move || match kernels(&facts) {
            Ok(kernels) => {
                let _ = say.send(Ok(()));
                let owner = Owner { uuid: facts.uuid, kernels, kept: Kept::default(), clock, free_bytes };
                owner.work(&inbox);
            }
            Err(why) => drop(say.send(Err(why))),
        })?;
        Ok(opened.recv().unwrap_or_else(|_| Err("its thread has ended".into())).map(|()| device))
    }

    /// Free memory as the device's thread saw it last.
    pub fn free_bytes(&self) -> u64 {
        self.free_bytes.load(Ordering::Relaxed)
    }

    /// Hands over a job; never waits.
    pub fn submit(&self, job: Job) -> Result<(), JobFault> {
        let uuid = self.facts.uuid.clone();
        self.jobs.try_send(job).map_err(|refused| match refused {
            TrySendError::Full(_) => JobFault::Busy { uuid },
            TrySendError::Disconnected(_) => JobFault::Ended { uuid },
        })
    }
}

/// Opens the device with the first artefact that loads.
fn kernels(facts: &DeviceFacts) -> Result<Kernels, String> {
    let (major, minor) = facts.compute;
    let choice = Choice::of(facts.compute)
        .ok_or_else(|| format!("compute capability {major}.{minor} is older than 8.0, which the kernels need"))?;
    let opened = match (Gpu::open(facts, choice.first), choice.then) {
        (Err(fault), Some(then)) if fault.kind() == FaultKind::Other => {
            let (first, then_name) = (choice.first.name(), then.name());
            log::warn!(target: "gpu", "{}: {first} does not load: {fault}; {then_name} is tried", facts.uuid);
            Gpu::open(facts, then).map(|gpu| Kernels::new(gpu, then))
        }
        (opened, _) => opened.map(|gpu| Kernels::new(gpu, choice.first)),
    };
    let kernels = opened.map_err(|fault| fault.to_string())?;
    let DeviceFacts { uuid, name, total_bytes, .. } = facts;
    log::info!(
        target: "gpu",
        "{uuid}: {name}, compute capability {major}.{minor}, {} MiB, kernels {}",
        total_bytes >> 20,
        kernels.artefact.name()
    );
    Ok(kernels)
}

/// What lives on the device's thread.
struct Owner {
    uuid: String,
    kernels: Kernels,
    kept: Kept,
    clock: Clock,
    free_bytes: Arc<AtomicU64>,
}

impl Owner {
    fn work(mut self, inbox: &Receiver<Job>) {
        self.look_at_memory();
        loop {
            let now = self.clock.mono();
            let next = match self.kept.until() {
                Some(until) => inbox.recv_timeout(until.since(now)),
                None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match next {
                Ok(job) => self.serve(job),
                Err(RecvTimeoutError::Timeout) => drop(self.kept.get(self.clock.mono())),
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.look_at_memory();
        }
    }

    fn look_at_memory(&self) {
        // A device that does not say is asked again by its next job, which tells its fault to somebody.
        if let Ok(free) = self.kernels.gpu.free_bytes() {
            self.free_bytes.store(free, Ordering::Relaxed);
        }
    }

    /// Whoever asked may have gone; the answer then concerns nobody.
    fn serve(&mut self, job: Job) {
        let now = self.clock.mono();
        match job {
            Job::Submit { spec, prefix, wanted, reply } => drop(reply.send(self.compute(spec, prefix, &wanted))),
            Job::Open { samples, wanted, reply } => drop(reply.send(self.open(&samples, &wanted))),
            Job::Clear { reply } => drop(reply.send(Ok(self.kept.clear(now)))),
        }
    }

    fn cuda(&self, fault: Fault) -> JobFault {
        JobFault::Cuda { uuid: self.uuid.clone(), fault }
    }

    /// All rounds, each under the key that the one before gives.
    fn compute(&mut self, spec: Spec, prefix: KeyPrefix, wanted: &Wanted) -> Result<GemmResult, JobFault> {
        self.kept.clear(self.clock.mono());
        check_kept(&spec)?;
        let (answer, timings) = self.rounds(spec, prefix, wanted)?;
        let merkle_root = hex::encode(answer.root());
        self.kept.put(answer, self.clock.mono());
        Ok(GemmResult { gpu_uuid: self.uuid.clone(), merkle_root, timings_ms: timings })
    }

    fn rounds(&self, spec: Spec, prefix: KeyPrefix, wanted: &Wanted) -> Result<(Answer, Timings), JobFault> {
        let began = self.clock.mono();
        let room = Room::new(&self.kernels, &self.uuid, spec.n(), spec.n())?;
        let mut progress = Progress::new(spec, prefix);
        let mut sum = Timings::default();
        while let Some(key) = progress.next_key() {
            if !wanted.load(Ordering::Relaxed) {
                return Err(JobFault::CalledOff);
            }
            let (hashes, took) = room.round(&key).map_err(|fault| self.cuda(fault))?;
            sum.generate += took.generate;
            sum.multiply += took.multiply;
            sum.hash += took.hash;
            // As many as the round has rows: the room is as high as the matrix.
            let _ = progress.add_round(&hashes);
        }
        sum.total = self.clock.mono().since(began).as_secs_f64() * 1e3;
        let answer = progress.finish().ok_or_else(|| JobFault::NothingKept { uuid: self.uuid.clone() })?;
        Ok((answer, sum))
    }

    fn open(&mut self, samples: &[Sample], wanted: &Wanted) -> Result<GemmProof, JobFault> {
        let now = self.clock.mono();
        let Some(answer) = self.kept.get(now) else {
            return Err(JobFault::NothingKept { uuid: self.uuid.clone() });
        };
        open::open(&self.kernels, answer, samples, || wanted.load(Ordering::Relaxed))
    }
}

fn check_kept(spec: &Spec) -> Result<(), JobFault> {
    let (n, rounds) = (spec.n(), spec.rounds());
    let needed = u64::from(n) * u64::from(rounds) * 32;
    if needed <= KEPT_BYTES {
        return Ok(());
    }
    let (needed_mib, limit_mib) = (needed.div_ceil(1 << 20), KEPT_BYTES >> 20);
    Err(JobFault::TooMuchKept { n, rounds, needed_mib, limit_mib })
}
