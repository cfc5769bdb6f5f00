//! The GPU executor, the program `byteleap-gpu`: it owns the CUDA contexts, so that what ends a context ends no daemon.
//!
//! ```text
//! main ◄── SIGTERM, SIGINT, a lost context
//! accept ──► client-0 … client-N ──► gpu-0, gpu-1 … (a context each) ◄── open
//! ```
//!
//! `open` finds the devices and has them opened, all at once, while `ping` is answered already; what needs a device
//! waits for it. `accept` takes connections and hands each to a thread `client-N`, which reads one request, has it done and answers.
//! A thread `gpu-N` owns one device and does one job at a time; one more may wait for it. All of them end with the
//! process: on a signal, with the parent, on an error that CUDA clears in a new process only, or when a device hangs. It signs nothing and
//! judges nothing: what the right answer is, is `compute`'s.
//!
//! One process owns all cards, since one socket speaks for all of them: a card that loses its context takes the others
//! along for the seconds that a restart takes. Its name is kept beside the socket (`losses`), and a card that does it
//! three times within an hour is left out by the next process and named in `get_gpu_info`: a sick card costs the others
//! three restarts and no more. A process for each card would save those too, at the price of a second socket protocol
//! between them, another supervisor, and a CUDA start-up for each card. A card that another executor of the host has is left
//! out as well (`hold`).

mod challenge;
mod device;
mod facts;
mod fault;
mod hold;
mod inventory;
mod kept;
mod losses;
mod open;
mod room;
mod serve;
mod socket;
mod thread;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io::{self, ErrorKind, Read},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use clap::Parser;
use log::LevelFilter;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    low_level::pipe,
};

/// What a device does for a challenge, for whoever measures it: the bench of the operator's tool.
pub use self::{challenge::challenge, fault::JobFault, open::open, room::largest_n};
use self::{
    inventory::{Inventory, Plan},
    losses::Losses,
};
use crate::{
    config::logging::Logging,
    exit::{self, Code, Failure},
    log as house_log,
    net::Clock,
    version,
};

/// What a thread `client-N` says to `main` when a context is lost; signals say anything else.
const LOST: u8 = b'L';

/// How often it is looked whether a device hangs.
const LOOK: Duration = Duration::from_secs(1);

/// ByteLeap's GPU executor: computes gemm_i8 on NVIDIA GPUs for the worker that starts it
#[derive(Parser)]
#[command(name = "byteleap-gpu", version = version::SHORT.as_str())]
struct Arguments {
    /// The Unix socket to listen on; the directory is made when it is missing, for this user alone
    #[arg(long, value_name = "PATH")]
    socket: PathBuf,
    /// Seconds that a GPU may take for one product before it is taken for hung, and this process ends with status 69
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    hung_after: u64,
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

/// What a worker says of itself in our environment: its process. Without it whoever is our parent is meant.
const PARENT: &str = "BYTELEAP_GPU_PARENT";

fn run(arguments: &Arguments) -> Result<Code, Failure> {
    end_with_parent(parent()).map_err(Failure::failed)?;
    let (heard, say) = UnixStream::pair().map_err(Failure::failed)?;
    for signal in [SIGTERM, SIGINT] {
        say.try_clone()
            .and_then(|end| pipe::register(signal, std::os::fd::OwnedFd::from(end)))
            .map_err(Failure::failed)?;
    }
    let (socket, own) = socket::bind(&arguments.socket).map_err(Failure::config)?;
    let (clock, (inventory, closing)) = (Clock::start(), Inventory::new());
    let inventory = Arc::new(inventory);
    let mut losses = Losses::read(&arguments.socket, clock.wall());
    inventory::fill_meanwhile(inventory.clone(), closing, plan(&losses), clock).map_err(Failure::failed)?;
    serve::start(&socket, inventory.clone(), clock, &say).map_err(Failure::failed)?;
    log::info!(target: "gpu", "listening on {}", arguments.socket.display());
    let (code, lost) =
        end(heard, &inventory, clock, Duration::from_secs(arguments.hung_after)).map_err(Failure::failed)?;
    if let Some(uuid) = lost {
        losses.add(&uuid, clock.wall());
    }
    // Somebody may have another one there by now.
    if let Some(own) = own {
        own.remove();
    }
    Ok(code)
}

/// Which of the cards are for this process.
fn plan(losses: &Losses) -> Plan {
    Plan { left_out: losses.left_out(), shared: std::env::var_os(hold::SHARE).is_some() }
}

/// Waits for what ends the process; and which card it was, where it was one. A card that hangs answers nothing, so that
/// nobody but this thread would notice: pings are answered, and every job finds it busy.
fn end(
    mut heard: UnixStream,
    inventory: &Inventory,
    clock: Clock,
    patience: Duration,
) -> io::Result<(Code, Option<String>)> {
    heard.set_read_timeout(Some(LOOK))?;
    let mut word = [0];
    loop {
        match heard.read_exact(&mut word) {
            Ok(()) if word == [LOST] => return Ok((Code::GpuLost, inventory.lost().map(str::to_owned))),
            Ok(()) => return Ok((Code::Done, None)),
            Err(why) if [ErrorKind::WouldBlock, ErrorKind::TimedOut, ErrorKind::Interrupted].contains(&why.kind()) => {}
            Err(why) => return Err(why),
        }
        if let Some(uuid) = inventory.stuck(clock.mono(), patience) {
            let seconds = patience.as_secs();
            log::error!(target: "gpu", "{uuid} hangs: no product in {seconds} s; this process ends with status 69, start it again");
            return Ok((Code::GpuLost, Some(uuid.to_owned())));
        }
    }
}

/// Who started this process: by its own word where it gave one, for it may be gone by now and another in its place.
fn parent() -> Option<Pid> {
    match std::env::var(PARENT) {
        Ok(pid) => pid.parse().ok().and_then(Pid::from_raw),
        Err(_) => getppid(),
    }
}

/// The kernel ends this process when the thread ends that started it: without its worker it serves nobody.
fn end_with_parent(parent: Option<Pid>) -> Result<(), std::io::Error> {
    set_parent_process_death_signal(Some(Signal::TERM))?;
    // It may have ended before the kernel was told.
    if getppid() == parent { Ok(()) } else { Err(std::io::Error::other("the process that started this one has ended")) }
}
