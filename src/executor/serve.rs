//! Connections: one request each, read within a time limit, done, answered, logged when it fails.
//!
//! Runs on: `accept` and `client-0` …. Whoever comes while all of them are at work and as many wait is told so. A
//! connection whose other end has gone calls its job off at the next round.

use std::{
    io::{self, Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use crossbeam::channel::{self, Receiver, RecvTimeoutError, Sender};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;

use super::{
    LOST,
    device::{Device, Job, Wanted},
    facts,
    fault::JobFault,
    inventory::{Found, Inventory},
    thread,
};
use crate::{
    compute::gemm_i8::{KeyPrefix, Spec},
    net::Clock,
    wire::{
        gpu_socket::{
            self, Cleared, FRAME_BYTES, Failed, GEMM_I8_VERSION, GemmTask, GpuInfo, HEAD_BYTES, Opened, Pong, Request,
            RequestFault, Submitted,
        },
        json::{self, Raw},
    },
};

/// Requests that are worked at together: eight devices with a job each at work and waiting, and room for pings.
const CLIENTS: usize = 24;
/// How long a request may take to arrive, and its answer to be taken.
const TRANSFER: Duration = Duration::from_secs(5);
/// How often it is looked whether whoever waits is still there.
const SLICE: Duration = Duration::from_millis(200);

/// What all connections share.
struct Desk {
    inventory: Arc<Inventory>,
    clock: Clock,
    /// The way to the main thread.
    end: UnixStream,
}

/// Starts the threads that serve the socket.
pub fn start(listener: &UnixListener, inventory: Arc<Inventory>, clock: Clock, end: &UnixStream) -> io::Result<()> {
    let (put, take) = channel::bounded::<UnixStream>(CLIENTS);
    let desk = Arc::new(Desk { inventory, clock, end: end.try_clone()? });
    for number in 0..CLIENTS {
        let (desk, take) = (desk.clone(), take.clone());
        thread::start(format!("client-{number}"), move || take.iter().for_each(|stream| desk.serve(stream)))?;
    }
    let listener = listener.try_clone()?;
    thread::start("accept".into(), move || accept(&listener, &put))
}

fn accept(listener: &UnixListener, put: &Sender<UnixStream>) {
    for stream in listener.incoming() {
        match stream {
            Ok(stream) => {
                if let Err(refused) = put.try_send(stream) {
                    log::warn!(target: "gpu", "a connection is refused: {CLIENTS} requests are at work, {CLIENTS} wait");
                    refuse(refused.into_inner());
                }
            }
            Err(why) => log::warn!(target: "gpu", "a connection was not taken: {why}"),
        }
    }
}

/// Never waits: an answer this small fits the socket's buffer, or nobody is there to take it.
fn refuse(mut stream: UnixStream) {
    let busy = json::text(&Failed::new("busy: too many requests are under way; ask again when one is done"));
    let _ = stream.set_nonblocking(true).and_then(|()| stream.write_all(&gpu_socket::frame(&busy).unwrap_or_default()));
}

impl Desk {
    fn serve(&self, mut stream: UnixStream) {
        let limits = stream.set_read_timeout(Some(SLICE)).and_then(|()| stream.set_write_timeout(Some(TRANSFER)));
        let answered = limits.map_err(Gone::Broken).and_then(|()| self.read(&mut stream));
        let outcome = match answered {
            Ok(request) => self.answer(request, &stream),
            // Somebody looked whether anybody listens.
            Err(Gone::Request(RequestFault::Cut { got: 0, want: HEAD_BYTES })) => return,
            Err(Gone::Request(fault)) => Err(fault.into()),
            Err(Gone::Broken(why)) => {
                log::warn!(target: "gpu", "a connection broke before its request was read: {why}");
                return;
            }
        };
        let lost = outcome.as_ref().is_err_and(JobFault::is_sticky);
        let text = outcome.unwrap_or_else(|fault| {
            log::warn!(target: "gpu", "{fault}");
            json::text(&Failed::new(fault.to_string()))
        });
        self.write(&mut stream, &text);
        if lost {
            let whose = self.inventory.lost().unwrap_or("a GPU");
            log::error!(
                target: "gpu",
                "{whose} has lost its context, and with it this process those of all its GPUs: it ends with status 69; start it again"
            );
            // The main thread ends the process; when that way is gone, it does already.
            let _ = (&self.end).write_all(&[LOST]);
        }
    }

    /// One request, within the time limit.
    fn read(&self, stream: &mut UnixStream) -> Result<Request, Gone> {
        let mut head = [0; HEAD_BYTES];
        self.fill(stream, &mut head)?;
        let mut body = vec![0; gpu_socket::request_length(head)?];
        self.fill(stream, &mut body)?;
        Ok(gpu_socket::request(&body)?)
    }

    fn fill(&self, stream: &mut UnixStream, room: &mut [u8]) -> Result<(), Gone> {
        let until = self.clock.mono() + TRANSFER;
        let (mut got, want) = (0, room.len());
        while got < want {
            match stream.read(&mut room[got..]) {
                Ok(0) => return Err(RequestFault::Cut { got, want }.into()),
                Ok(read) => got += read,
                Err(why) if is_wait(&why) && self.clock.mono() < until => {}
                Err(why) if is_wait(&why) => return Err(RequestFault::Cut { got, want }.into()),
                Err(why) => return Err(Gone::Broken(why)),
            }
        }
        Ok(())
    }

    fn write(&self, stream: &mut UnixStream, text: &str) {
        let frame = gpu_socket::frame(text).or_else(|| {
            let fault = JobFault::AnswerTooLong { got: text.len(), limit: FRAME_BYTES };
            log::warn!(target: "gpu", "{fault}");
            gpu_socket::frame(&json::text(&Failed::new(fault.to_string())))
        });
        if let Err(why) = stream.write_all(&frame.unwrap_or_default()) {
            log::debug!(target: "gpu", "an answer was not taken: {why}");
        }
    }

    fn answer(&self, request: Request, stream: &UnixStream) -> Result<String, JobFault> {
        let found = || self.inventory.wait(self.clock, || has_gone(stream));
        match request {
            Request::Ping => Ok(json::text(&Pong { pong: true })),
            Request::GetGpuInfo => Ok(json::text(&found()?.info())),
            Request::SubmitGemmI8 { task } => found()?.submit(&task, stream),
            Request::OpenGemmI8 { gpu_uuid, samples } => {
                let wanted = Wanted::new(true.into());
                let (reply, replies) = channel::bounded(1);
                found()?.device(&gpu_uuid)?.submit(Job::Open { samples, wanted: wanted.clone(), reply })?;
                let proof = wait(&replies, &wanted, stream, &gpu_uuid)?;
                let tops: Vec<String> = proof.tops.iter().map(hex::encode).collect();
                let raw = (Raw::of(&tops), Raw::of(&proof.openings));
                let (Ok(tops), Ok(openings)) = raw else { return Err(JobFault::NothingKept { uuid: gpu_uuid }) };
                Ok(json::text(&Opened { success: true, tops, openings }))
            }
            Request::ClearResultCache { gpu_uuid } => found()?.clear(gpu_uuid.as_deref(), stream),
            Request::SubmitChallenge { .. } | Request::GetResultCoords { .. } | Request::GetResultRows { .. } => {
                Err(JobFault::Unsigned)
            }
        }
    }
}

impl Found {
    fn info(&self) -> GpuInfo {
        let gpus: Vec<_> = self.devices.iter().map(|d| facts::entry(&d.facts, d.free_bytes())).collect();
        let (gpu_count, note) = (gpus.len() as u32, self.note.clone());
        GpuInfo { success: true, gpu_count, gpus, gemm_i8: Some(GEMM_I8_VERSION), note }
    }

    fn device(&self, uuid: &str) -> Result<&Device, JobFault> {
        let known = || match self.devices.is_empty() {
            true => "none".to_owned(),
            false => self.devices.iter().map(|d| d.facts.uuid.as_str()).collect::<Vec<_>>().join(", "),
        };
        let found = self.devices.iter().find(|device| device.facts.uuid == uuid);
        found.ok_or_else(|| JobFault::Unknown { uuid: uuid.chars().take(64).collect(), known: known() })
    }

    /// All devices at once; the first fault is the task's, and calls the others off.
    fn submit(&self, task: &GemmTask, stream: &UnixStream) -> Result<String, JobFault> {
        let spec = Spec::new(task.matrix_size, task.rounds)?;
        let devices = task.devices.iter().map(|named| Ok((self.device(&named.uuid)?, named)));
        let devices = devices.collect::<Result<Vec<_>, JobFault>>()?;
        let wanted = Wanted::new(true.into());
        let mut waiting = Vec::new();
        let started = devices.into_iter().try_for_each(|(device, named)| {
            let uuid = named.uuid.as_str();
            let prefix = named.prefix().and_then(|bytes| KeyPrefix::of_bytes(bytes, uuid));
            // The request was read with this check.
            let prefix = prefix.ok_or(RequestFault::NoCommand)?;
            let (reply, replies) = channel::bounded(1);
            device.submit(Job::Submit { spec, prefix, wanted: wanted.clone(), reply })?;
            waiting.push((uuid, replies));
            Ok(())
        });
        if started.is_err() {
            wanted.store(false, Ordering::Relaxed);
        }
        let mut outcome = started.map(|()| Vec::new());
        for (uuid, replies) in waiting {
            let result = wait(&replies, &wanted, stream, uuid);
            if result.is_err() {
                wanted.store(false, Ordering::Relaxed);
            }
            outcome = worse(outcome, result);
        }
        Ok(json::text(&Submitted { success: true, results: outcome? }))
    }

    fn clear(&self, uuid: Option<&str>, stream: &UnixStream) -> Result<String, JobFault> {
        let named = uuid.map(|uuid| self.device(uuid)).transpose()?;
        let mut cleared_count = 0;
        for device in self.devices.iter().filter(|d| named.is_none_or(|named| named.facts.uuid == d.facts.uuid)) {
            let (reply, replies) = channel::bounded(1);
            device.submit(Job::Clear { reply })?;
            let cleared = wait(&replies, &Wanted::new(true.into()), stream, &device.facts.uuid)?;
            cleared_count += u32::from(cleared);
        }
        Ok(json::text(&Cleared { success: true, cleared_count }))
    }
}

/// The results so far and one more; of two faults the one that matters more, otherwise the first.
fn worse<T: Serialize>(sum: Result<Vec<T>, JobFault>, next: Result<T, JobFault>) -> Result<Vec<T>, JobFault> {
    match (sum, next) {
        (Ok(mut results), Ok(result)) => {
            results.push(result);
            Ok(results)
        }
        (Err(_), Err(fault)) if fault.is_sticky() => Err(fault),
        (Err(fault), _) | (_, Err(fault)) => Err(fault),
    }
}

/// Why no request was read.
enum Gone {
    Request(RequestFault),
    Broken(io::Error),
}

impl From<RequestFault> for Gone {
    fn from(fault: RequestFault) -> Gone {
        Gone::Request(fault)
    }
}

fn is_wait(why: &io::Error) -> bool {
    matches!(why.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

/// Waits for a device's answer; once the other end has gone, the job is no longer wanted.
fn wait<T>(
    replies: &Receiver<Result<T, JobFault>>,
    wanted: &Wanted,
    stream: &UnixStream,
    uuid: &str,
) -> Result<T, JobFault> {
    loop {
        match replies.recv_timeout(SLICE) {
            Ok(outcome) => return outcome,
            Err(RecvTimeoutError::Disconnected) => return Err(JobFault::Ended { uuid: uuid.to_owned() }),
            Err(RecvTimeoutError::Timeout) if has_gone(stream) => wanted.store(false, Ordering::Relaxed),
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// Whether the other end is closed in both directions.
fn has_gone(stream: &UnixStream) -> bool {
    let mut watched = [PollFd::new(stream, PollFlags::empty())];
    let looked = poll(&mut watched, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
    looked.is_ok() && watched[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
}
