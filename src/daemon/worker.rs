//! The worker put together.

use std::{ffi::OsString, num::NonZeroUsize, path::PathBuf, process::ExitCode, time::Duration};

use super::{
    executor::{gpu_program, gpu_socket, unusable_files, warn_of_socket},
    failures, generator, metrics, start,
};
use crate::{
    config::{file, worker::Config},
    exit::Failure,
    machine::{
        Exit,
        worker::{Command, EXECUTOR_DEPTH, Event, Identity, OPENING_DEPTH, Worker},
    },
    net::{self, DialOptions, Hub, Setup, WebSocketOptions},
    spoke::{
        self, CallOff, Full, Spoke,
        cpu::Executor,
        gpu::{self, Client, Jobs, Supervisor},
        open::Openings,
        probe::{self, Probe},
        resolve,
    },
};

/// Reports of spokes that may wait for the loop.
const REPORTS: usize = 16;
/// Longer than a worker drains.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// What hangs in the system's or the driver's hands at the end, or computes what nobody wants any more, is left there.
const LEFT_AFTER: Duration = Duration::from_millis(500);

/// `words` begins with the program's name.
pub fn main(words: impl Iterator<Item = OsString>) -> ExitCode {
    start(words, files, run)
}

fn files(config: &Config) -> Vec<Failure> {
    let token = config.token_file.as_ref().map(|named| file::token("token_file", named)).transpose();
    let mut all = failures([
        token.map(drop).map_err(Failure::from),
        file::metrics_token(config.metrics.as_ref()).map(drop).map_err(Failure::from),
    ]);
    all.extend(unusable_files(config));
    all
}

fn run(config: Config) -> Result<Exit, Failure> {
    let token = config.token_file.as_ref().map(|named| file::token("token_file", named)).transpose()?;
    let identity = identity(&config)?;
    ::log::info!(target: "worker", "worker {} for {}", identity.id, config.miner.authority());
    let hub = Hub::new(REPORTS)?;
    let listeners = metrics(config.metrics.as_ref())?.into_iter().collect();
    warn_of_socket(&config);
    let place = gpu_socket(&config)?;
    let (dispatch, spokes) = spokes(&hub, &config, place.path.clone());
    let dials = dials(&config);
    let setup = Setup { hub, listeners, dials, dispatch, spokes, stop_timeout: STOP_TIMEOUT, signals: true };
    let exit = net::run(Worker::new(&config, identity, token, generator()?), setup)?;
    drop(place);
    Ok(exit)
}

fn identity(config: &Config) -> Result<Identity, Failure> {
    let id = config.id.clone().map_or_else(probe::worker_id, Ok).map_err(Failure::config)?;
    let name = config.name.clone().or_else(probe::host_name);
    Ok(Identity { id, name, version: env!("CARGO_PKG_VERSION").into() })
}

fn dials(config: &Config) -> DialOptions {
    let websocket = WebSocketOptions {
        ping_interval: config.ping_interval,
        ping_timeout: config.ping_timeout,
        ..WebSocketOptions::default()
    };
    DialOptions { websocket, ..DialOptions::default() }
}

type Dispatch = Box<dyn FnMut(Command) -> Result<(), Full>>;

/// The threads behind the loop, and the way to each.
fn spokes(hub: &Hub<Event>, config: &Config, gpu_socket: PathBuf) -> (Dispatch, Vec<Spoke>) {
    let outbox = hub.outbox();
    let called_off = CallOff::default();
    let opening_called_off = CallOff::default();
    let threads = config.cpu_threads.and_then(NonZeroUsize::new);
    let executor = Executor::new(threads, called_off.clone(), hub.clock());
    let gpus = Client::new(gpu_socket, hub.clock());
    let openings = Openings::new(threads, opening_called_off.clone(), hub.clock(), gpus.clone());
    let gpu_called_off = CallOff::default();
    let jobs = Jobs::new(gpus.clone(), gpu_called_off.clone());
    let (leave, left) = gpu::leave();
    let mut supervisor = Supervisor::new(gpu_program(config), gpus, left);
    let (to_gpu, gpu) = spoke::spawn("gpu", EXECUTOR_DEPTH, &outbox, move |job| Event::Gpu(jobs.serve(job)));
    let (to_watch, watch) = spoke::spawn("gpu-watch", 1, &outbox, move |ask| Event::Executor(supervisor.serve(ask)));
    let mut probe = Probe::new(config.gpu.enable);
    let (to_cpu, cpu) = spoke::spawn("cpu", EXECUTOR_DEPTH, &outbox, move |job| Event::Cpu(executor.serve(job)));
    let (to_open, open) =
        spoke::spawn("open", OPENING_DEPTH, &outbox, move |request| Event::Opened(openings.serve(request)));
    let (to_probe, probe) =
        spoke::spawn("probe", probe::DEPTH, &outbox, move |ask| Event::Probe(probe.serve(ask).into()));
    let (to_resolve, resolve) =
        spoke::spawn("resolve", resolve::DEPTH, &outbox, |name| Event::Resolved(resolve::serve(name)));
    let dispatch = move |command| match command {
        Command::Cpu(request) => to_cpu.send(request),
        Command::CallOff(job) => {
            called_off.up_to(job.0);
            Ok(())
        }
        Command::Gpu(request) => to_gpu.send(request),
        Command::CallOffGpu(job) => {
            gpu_called_off.up_to(job.0);
            Ok(())
        }
        Command::Executor(request) => to_watch.send(request),
        Command::LeaveExecutor => {
            leave.now();
            Ok(())
        }
        Command::Open(request) => to_open.send(request),
        Command::CallOffOpening(id) => {
            opening_called_off.up_to(id.0);
            Ok(())
        }
        Command::Probe(request) => to_probe.send(request),
        Command::Resolve(request) => to_resolve.send(request),
    };
    let spokes = [cpu, open, probe, resolve, gpu, watch].map(|spoke| spoke.left_after(LEFT_AFTER));
    (Box::new(dispatch), spokes.into())
}
