//! One device: its thread `gpu-N` opens the context, then does one job after the other and keeps the last answer.
//!
//! The handle is for any thread. It never waits for a place: a device with a job at work and another waiting refuses.

use std::{
    io,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use crossbeam::channel::{self, Receiver, RecvTimeoutError, Sender, TrySendError};

use super::{challenge::challenge, fault::JobFault, hold::Hold, inventory::OPEN_LIMIT, kept::Kept, open, thread};
use crate::{
    compute::gemm_i8::{KeyPrefix, Spec},
    cuda::{Choice, DeviceFacts, FaultKind, Gpu, Kernels},
    net::Clock,
    units::Mono,
    wire::{
        gpu_socket::GemmResult,
        messages::gemm_i8::{GemmProof, Sample},
    },
};

/// How often the free memory of a device without work is looked at.
const LOOK: Duration = Duration::from_secs(5);

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
    pulse: Pulse,
    jobs: Sender<Job>,
}

/// When a device that has work last showed that it goes on, by the clock's nanoseconds; 0: it has none.
#[derive(Clone, Default)]
struct Pulse(Arc<AtomicU64>);

impl Pulse {
    fn beat(&self, now: Mono) {
        self.0.store(now.0.max(1), Ordering::Relaxed);
    }

    fn rest(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    fn quiet_for(&self, now: Mono) -> Option<Duration> {
        let last = self.0.load(Ordering::Relaxed);
        (last != 0).then(|| now.since(Mono(last)))
    }
}

/// A device whose thread opens it.
pub struct Opening {
    device: Device,
    opened: Receiver<Result<(), String>>,
}

impl Opening {
    /// The device when it is open, or why it is not.
    pub fn finish(self, patience: Duration) -> Result<Device, String> {
        match self.opened.recv_timeout(patience) {
            Ok(opened) => opened.map(|()| self.device),
            Err(RecvTimeoutError::Timeout) => Err(format!("it does not open within {} s", OPEN_LIMIT.as_secs())),
            Err(RecvTimeoutError::Disconnected) => Err("its thread has ended".into()),
        }
    }
}

impl Device {
    /// Starts its thread, which opens the device.
    pub fn start(facts: DeviceFacts, shared: bool, clock: Clock, lost: Arc<OnceLock<String>>) -> io::Result<Opening> {
        let (jobs, inbox) = channel::bounded(1);
        let (say, opened) = channel::bounded(1);
        let free_bytes = Arc::new(AtomicU64::new(facts.total_bytes));
        let pulse = Pulse::default();
        let device = Device { facts: facts.clone(), free_bytes: free_bytes.clone(), pulse: pulse.clone(), jobs };
        thread::start(format!("gpu-{}", facts.ordinal), move || {
            let hold = if shared { Ok(None) } else { Hold::take(&facts.uuid, clock).map(Some) };
            let opened = hold.and_then(|hold| Ok((hold, kernels(&facts)?)));
            let (_hold, kernels, failed) = match opened {
                Ok((hold, kernels)) => (hold, Some(kernels), None),
                Err(why) => (None, None, Some(why)),
            };
            // What is free is known before anybody asks for it.
            if let Some(Ok(free)) = kernels.as_ref().map(|kernels| kernels.gpu.free_bytes()) {
                free_bytes.store(free, Ordering::Relaxed);
            }
            let heard = say.send(failed.map_or(Ok(()), Err));
            // Nobody has waited so long: it is not offered, and holds no memory.
            if let (Some(kernels), Ok(())) = (kernels, heard) {
                Owner { uuid: facts.uuid, kernels, kept: Kept::default(), clock, free_bytes, pulse, lost }.work(&inbox);
            }
        })?;
        Ok(Opening { device, opened })
    }

    /// Free memory as the device's thread saw it last.
    pub fn free_bytes(&self) -> u64 {
        self.free_bytes.load(Ordering::Relaxed)
    }

    /// How long its work has stood still: between two rounds, or two batches of an opening, it shows that it goes on.
    pub fn quiet_for(&self, now: Mono) -> Option<Duration> {
        self.pulse.quiet_for(now)
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
    pulse: Pulse,
    /// Where the first card that loses its context leaves its name.
    lost: Arc<OnceLock<String>>,
}

impl Owner {
    fn work(mut self, inbox: &Receiver<Job>) {
        loop {
            let now = self.clock.mono();
            // Others take memory and give it back while this card has no work.
            let patience = self.kept.until().map_or(LOOK, |until| until.since(now).min(LOOK));
            let next = inbox.recv_timeout(patience);
            self.pulse.beat(self.clock.mono());
            match next {
                Ok(job) => self.serve(job),
                Err(RecvTimeoutError::Timeout) => drop(self.kept.get(self.clock.mono())),
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.look_at_memory();
            self.pulse.rest();
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
            Job::Submit { spec, prefix, wanted, reply } => {
                let outcome = self.compute(spec, prefix, &wanted);
                drop(reply.send(self.watched(outcome)));
            }
            Job::Open { samples, wanted, reply } => {
                let outcome = self.open(&samples, &wanted);
                drop(reply.send(self.watched(outcome)));
            }
            Job::Clear { reply } => drop(reply.send(Ok(self.kept.clear(now)))),
        }
    }

    /// Leaves this card's name where it is the first to lose its context: the others lose theirs with it.
    fn watched<T>(&self, outcome: Result<T, JobFault>) -> Result<T, JobFault> {
        outcome.inspect_err(|fault| {
            if fault.is_sticky() {
                let _ = self.lost.set(self.uuid.clone());
            }
        })
    }

    fn compute(&mut self, spec: Spec, prefix: KeyPrefix, wanted: &Wanted) -> Result<GemmResult, JobFault> {
        self.kept.clear(self.clock.mono());
        let go_on = || go_on(wanted, &self.pulse, self.clock);
        let (answer, timings_ms) = challenge(&self.kernels, spec, prefix, self.clock, go_on)?;
        let merkle_root = hex::encode(answer.root());
        self.kept.put(answer, self.clock.mono());
        Ok(GemmResult { gpu_uuid: self.uuid.clone(), merkle_root, timings_ms })
    }

    fn open(&mut self, samples: &[Sample], wanted: &Wanted) -> Result<GemmProof, JobFault> {
        let now = self.clock.mono();
        let Some(answer) = self.kept.get(now) else {
            return Err(JobFault::NothingKept { uuid: self.uuid.clone() });
        };
        open::open(&self.kernels, answer, samples, || go_on(wanted, &self.pulse, self.clock))
    }
}

/// Asked between two steps of a job: whether somebody still waits for it. That it is asked shows that the device goes on.
fn go_on(wanted: &Wanted, pulse: &Pulse, clock: Clock) -> bool {
    pulse.beat(clock.mono());
    wanted.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_without_work_is_never_quiet_for_long() {
        let (pulse, at) = (Pulse::default(), |seconds: u64| Mono(seconds * 1_000_000_000));
        assert_eq!(pulse.quiet_for(at(900)), None);
        pulse.beat(at(0));
        pulse.beat(at(10));
        assert_eq!(pulse.quiet_for(at(15)), Some(Duration::from_secs(5)));
        pulse.rest();
        assert_eq!(pulse.quiet_for(at(900)), None);
    }
}
