//! The GPU executor, the program `byteleap-gpu`: it owns the CUDA contexts, so that what ends a context ends no daemon.
//!
//! ```text
//! main ◄── SIGTERM, SIGINT, a lost context
//! accept ──► client-0 … client-N ──► gpu-0, gpu-1 … (a context each)
//! ```
//!
//! `accept` takes connections and hands each to a thread `client-N`, which reads one request, has it done and answers.
//! A thread `gpu-N` owns one device and does one job at a time; one more may wait for it. All of them end with the
//! process: on a signal, with the parent, or on an error that CUDA clears in a new process only. It signs nothing and
//! judges nothing: what the right answer is, is `compute`'s.

mod device;
mod facts;
mod fault;
mod kept;
mod open;
mod room;
mod serve;
mod socket;
mod thread;

use std::{
    collections::BTreeMap, ffi::OsString, io::Read, os::unix::net::UnixStream, path::PathBuf, process::ExitCode,
};

use clap::Parser;
use log::LevelFilter;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    low_level::pipe,
};

use crate::{
    config::logging::Logging,
    cuda,
    exit::{self, Code, Failure},
    log as house_log,
    net::Clock,
};

/// What a thread `client-N` says to `main` when a context is lost; signals say anything else.
const LOST: u8 = b'L';

/// ByteLeap's GPU executor: computes gemm_i8 on NVIDIA GPUs for the worker that starts it
#[derive(Parser)]
#[command(name = "byteleap-gpu", version)]
struct Arguments {
    /// The Unix socket to listen on; the directory is made when it is missing, for this user alone
    #[arg(long, value_name = "PATH")]
    socket: PathBuf,
}

/// The whole of the program. `words` begins with its name.
pub fn main(words: impl Iterator<Item = OsString>) -> ExitCode {
    exit::install_panic_hook();
    let arguments = match Arguments::try_parse_from(words) {
        Ok(arguments) => arguments,
        Err(why) => {
            let code = if why.use_stderr() { Code::Config } else { Code::Done };
            // Nobody may be there to read it; the status says it too.
            let _ = why.print();
            return code.into();
        }
    };
    house_log::init(&Logging { level: LevelFilter::Info, targets: BTreeMap::new() });
    match run(&arguments) {
        Ok(code) => code.into(),
        Err(failure) => {
            house_log::say(log::Level::Error, "gpu", &exit::causes(failure.error.as_ref()));
            failure.code.into()
        }
    }
}

fn run(arguments: &Arguments) -> Result<Code, Failure> {
    end_with_parent(getppid()).map_err(Failure::failed)?;
    let (mut heard, say) = UnixStream::pair().map_err(Failure::failed)?;
    for signal in [SIGTERM, SIGINT] {
        say.try_clone()
            .and_then(|end| pipe::register(signal, std::os::fd::OwnedFd::from(end)))
            .map_err(Failure::failed)?;
    }
    let socket = socket::bind(&arguments.socket).map_err(Failure::config)?;
    let clock = Clock::start();
    let (devices, note) = devices(clock)?;
    serve::start(&socket, devices, note, clock, &say).map_err(Failure::failed)?;
    log::info!(target: "gpu", "listening on {}", arguments.socket.display());
    let mut word = [0];
    heard.read_exact(&mut word).map_err(Failure::failed)?;
    // What cannot be removed is replaced by the next one.
    let _ = std::fs::remove_file(&arguments.socket);
    Ok(if word == [LOST] { Code::GpuLost } else { Code::Done })
}

/// The kernel ends this process when the thread ends that started it: without its worker it serves nobody.
fn end_with_parent(parent: Option<Pid>) -> Result<(), std::io::Error> {
    set_parent_process_death_signal(Some(Signal::TERM))?;
    // It may have ended before the kernel was told.
    if getppid() == parent { Ok(()) } else { Err(std::io::Error::other("the process that started this one has ended")) }
}

/// A thread for each device that opens; without any, the reason why.
fn devices(clock: Clock) -> Result<(Vec<device::Device>, Option<String>), Failure> {
    let found = cuda::start().and_then(|()| Ok(cuda::devices()?));
    let found = match found {
        Ok(found) => found,
        Err(why) => {
            log::warn!(target: "gpu", "no GPU is offered: {why}");
            return Ok((Vec::new(), Some(why.to_string())));
        }
    };
    let (mut opened, mut notes) = (Vec::new(), Vec::new());
    for facts in found {
        let name = format!("{} ({})", facts.uuid, facts.name);
        match device::Device::start(facts, clock).map_err(Failure::failed)? {
            Ok(device) => opened.push(device),
            Err(why) => {
                log::warn!(target: "gpu", "{name} is not offered: {why}");
                notes.push(format!("{name}: {why}"));
            }
        }
    }
    let none = opened.is_empty() && notes.is_empty();
    let note = if none { Some("the driver names no device".into()) } else { Some(notes.join("; ")) };
    Ok((opened, note.filter(|note: &String| !note.is_empty())))
}
