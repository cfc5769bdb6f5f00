//! Looks after the GPU executor: starts it, asks how it is, and has it gone before it is started again.
//!
//! Runs on: its own thread, `gpu-watch`. Owns the executor's process, which it kills and reaps when it is replaced and
//! when the spoke ends. When to start it again is the machine's decision.

use std::{
    io,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crossbeam::channel::{self, Receiver, RecvTimeoutError, Sender};
use serde_json::{Map, Value};

use super::{Client, client::ClientFault};
use crate::{
    machine::contract::gpu::{ExecutorGpu, ExecutorInfo, ExecutorReply, ExecutorRequest},
    net::unix_socket::{self, Found, Own},
    wire::gpu_socket::{GpuInfo, Pong, Request},
};

/// How long a started executor may take to its first answer.
const START: Duration = Duration::from_secs(30);
/// Between two questions how it is.
const WATCH: Duration = Duration::from_secs(5);
/// How often it is looked whether it has ended.
const SLICE: Duration = Duration::from_millis(250);
/// So many slices a process may take from its last connection to its end.
const ENDING: u32 = 8;
/// What tells our executor to compute beside another one of this host.
const SHARE: &str = "BYTELEAP_GPU_SHARE";
/// Tells the executor whose it is: it ends with this process.
const PARENT: &str = "BYTELEAP_GPU_PARENT";
/// Longest uuid or name that is passed on, in bytes.
const TEXT_BYTES: usize = 128;

/// Tells the supervisor to leave off what it waits for.
#[derive(Debug)]
pub struct Leave(Sender<()>);

impl Leave {
    pub fn now(&self) {
        // Said before is said.
        let _ = self.0.try_send(());
    }
}

/// Both ends of a way to say that the worker stops.
pub fn leave() -> (Leave, Receiver<()>) {
    let (say, hear) = channel::bounded(1);
    (Leave(say), hear)
}

/// What is started, if it is ours to start.
#[derive(Clone, Debug)]
pub enum Program {
    /// Somebody else starts it.
    Elsewhere,
    Binary(PathBuf),
}

/// What [`crate::spoke::spawn`] serves requests with.
#[derive(Debug)]
pub struct Supervisor {
    program: Program,
    client: Client,
    leave: Receiver<()>,
    left: bool,
    child: Option<Child>,
    /// The socket of the executor that was started.
    own: Option<Own>,
    /// It computes beside another one of this host.
    beside: bool,
}

impl Supervisor {
    pub fn new(program: Program, client: Client, leave: Receiver<()>) -> Supervisor {
        Supervisor { program, client, leave, left: false, child: None, own: None, beside: false }
    }

    /// The same, for whoever looks at cards that a worker of this host may have.
    pub fn beside(mut self) -> Supervisor {
        self.beside = true;
        self
    }

    pub fn serve(&mut self, request: ExecutorRequest) -> ExecutorReply {
        let answer = match request {
            ExecutorRequest::Start => self.start(),
            ExecutorRequest::Watch => self.watch(),
        };
        answer.map_or_else(
            |why| {
                self.end();
                ExecutorReply::Down(why)
            },
            ExecutorReply::Up,
        )
    }

    fn start(&mut self) -> Result<ExecutorInfo, String> {
        self.end();
        let Program::Binary(binary) = &self.program else {
            return self.info().map_err(|why| why.to_string());
        };
        let socket = self.client.socket();
        make_way(socket).map_err(|why| format!("gpu.socket_path {}: {why}", socket.display()))?;
        let mut command = Command::new(binary);
        command.arg("--socket").arg(socket).env(PARENT, std::process::id().to_string()).stdin(Stdio::null());
        if self.beside {
            command.env(SHARE, "1");
        }
        let started =
            command.spawn().map_err(|why| format!("cannot start {} (gpu.binary_path): {why}", binary.display()));
        self.child = Some(started?);
        self.first_answer()
    }

    /// It answers a ping at once, or is not coming up; what it has to open may take longer.
    fn first_answer(&mut self) -> Result<ExecutorInfo, String> {
        let until = self.client.clock().mono() + START;
        loop {
            self.check_child()?;
            match self.ask::<Pong>(&Request::Ping) {
                Ok(_) => {
                    self.own = Own::of(self.client.socket());
                    return self.info().map_err(|why| why.to_string());
                }
                // It has not opened its socket yet.
                Err(ClientFault::Connect { .. }) if self.client.clock().mono() < until => self.wait(SLICE)?,
                Err(why) => return Err(why.to_string()),
            }
        }
    }

    fn watch(&mut self) -> Result<ExecutorInfo, String> {
        let until = self.client.clock().mono() + WATCH;
        while self.client.clock().mono() < until {
            self.check_child()?;
            self.wait(SLICE)?;
        }
        self.ask::<Pong>(&Request::Ping).and_then(|_| self.info()).map_err(|why| self.end_behind(&why))
    }

    /// A connection that breaks is what its process's end looks like first: how that ended says more.
    fn end_behind(&mut self, why: &ClientFault) -> String {
        let broke = matches!(why, ClientFault::Connect { .. } | ClientFault::Ended) && self.child.is_some();
        for _ in 0..if broke { ENDING } else { 0 } {
            if let Err(ended) = self.check_child().and_then(|()| self.wait(SLICE)) {
                return ended;
            }
        }
        why.to_string()
    }

    fn ask<T: serde::de::DeserializeOwned>(&self, request: &Request) -> Result<T, ClientFault> {
        self.client.ask(request, &|| self.leave.is_empty())
    }

    fn info(&self) -> Result<ExecutorInfo, ClientFault> {
        let info: GpuInfo = self.ask(&Request::GetGpuInfo)?;
        let gpus = info.gpus.into_iter().filter_map(gpu).collect();
        Ok(ExecutorInfo { gemm_i8: info.gemm_i8.is_some(), gpus, note: info.note })
    }

    fn check_child(&mut self) -> Result<(), String> {
        let Some(child) = &mut self.child else { return Ok(()) };
        match child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(format!("the executor has ended ({status})")),
            Err(why) => Err(format!("the executor cannot be looked after: {why}")),
        }
    }

    /// Waits a little, or until the worker stops.
    fn wait(&mut self, span: Duration) -> Result<(), String> {
        self.left = self.left || self.leave.recv_timeout(span) != Err(RecvTimeoutError::Timeout);
        if self.left { Err("the worker stops".into()) } else { Ok(()) }
    }

    /// Has the process gone, if there is one.
    fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            // One that has ended by itself cannot be killed, and is reaped all the same.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.end();
        // One that answers is another executor's, which has taken the place since.
        if let Some(own) =
            self.own.take().filter(|_| matches!(unix_socket::look(self.client.socket()), Ok(Found::Stale)))
        {
            own.remove();
        }
    }
}

/// Removes a socket that an executor before has left behind. One that answers is somebody's, as is anything else there.
fn make_way(socket: &Path) -> io::Result<()> {
    match unix_socket::look(socket)? {
        Found::Nobody => Ok(()),
        Found::Stale => std::fs::remove_file(socket),
        Found::NotASocket => Err(io::Error::other("something that is no socket is there; name another path")),
        Found::Live => Err(io::Error::other(
            "another executor answers there, another worker's or one started by hand: give each worker of a host a \
             gpu.socket_path of its own, or leave it out; to use the one that runs, set gpu.auto_start: false",
        )),
    }
}

fn gpu(told: Map<String, Value>) -> Option<ExecutorGpu> {
    let text = |field: &str| {
        let text = told.get(field)?.as_str()?;
        (text.len() <= TEXT_BYTES && !text.chars().any(char::is_control)).then(|| text.to_owned())
    };
    let uuid = text("uuid").filter(|uuid| !uuid.is_empty())?;
    Some(ExecutorGpu { uuid, name: text("name").unwrap_or_default(), told })
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt, os::unix::net::UnixListener, path::Path};

    use super::*;
    use crate::net::Clock;

    /// An executable with this text, and a supervisor of it.
    fn supervised(directory: &Path, script: &str) -> (Supervisor, Leave) {
        let binary = directory.join("executor");
        fs::write(&binary, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&binary, fs::Permissions::from_mode(0o700)).unwrap();
        let (leave, left) = leave();
        let client = Client::new(directory.join("gpu.sock"), Clock::start());
        (Supervisor::new(Program::Binary(binary), client, left), leave)
    }

    fn down(supervisor: &mut Supervisor, request: ExecutorRequest) -> String {
        let ExecutorReply::Down(why) = supervisor.serve(request) else { panic!("it cannot be up") };
        why
    }

    #[test]
    fn an_executor_that_ends_or_is_not_there_is_told_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let (mut ends, _leave) = supervised(directory.path(), "exit 3");
        assert_eq!(down(&mut ends, ExecutorRequest::Start), "the executor has ended (exit status: 3)");
        let client = Client::new(directory.path().join("gpu.sock"), Clock::start());
        let (_leave, left) = leave();
        let mut missing = Supervisor::new(Program::Binary("/nowhere/byteleap-gpu".into()), client.clone(), left);
        let why = down(&mut missing, ExecutorRequest::Start);
        assert!(why.starts_with("cannot start /nowhere/byteleap-gpu (gpu.binary_path): "), "{why}");
        let (_leave, left) = leave();
        let mut elsewhere = Supervisor::new(Program::Elsewhere, client, left);
        let why = down(&mut elsewhere, ExecutorRequest::Start);
        assert!(why.starts_with("no executor answers at "), "{why}");
    }

    #[test]
    fn a_connection_that_breaks_is_told_by_how_the_process_ended() {
        let directory = tempfile::tempdir().unwrap();
        let (mut supervisor, _leave) = supervised(directory.path(), "");
        let ends = Command::new("sh").args(["-c", "kill -9 $$"]).spawn().unwrap();
        supervisor.child = Some(ends);
        assert_eq!(supervisor.end_behind(&ClientFault::Ended), "the executor has ended (signal: 9 (SIGKILL))");
        supervisor.end();
        assert!(supervisor.end_behind(&ClientFault::Ended).contains("without an answer"), "nobody's child");
    }

    #[test]
    fn a_stale_socket_makes_way_and_a_file_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("gpu.sock");
        drop(UnixListener::bind(&socket).unwrap());
        let (mut supervisor, _leave) = supervised(directory.path(), "exit 3");
        assert!(down(&mut supervisor, ExecutorRequest::Start).contains("exit status: 3") && !socket.exists());
        fs::write(&socket, "somebody's").unwrap();
        assert!(down(&mut supervisor, ExecutorRequest::Start).contains("no socket is there"));
        assert_eq!(fs::read_to_string(&socket).unwrap(), "somebody's");
    }

    #[test]
    fn a_socket_that_answers_is_anothers_and_stays() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("gpu.sock");
        let _first = UnixListener::bind(&socket).unwrap();
        let (mut second, _leave) = supervised(directory.path(), "exit 3");
        let why = down(&mut second, ExecutorRequest::Start);
        assert!(why.contains("another executor answers there") && why.contains("gpu.socket_path of its own"), "{why}");
        drop(second);
        assert_eq!(unix_socket::look(&socket).unwrap(), Found::Live, "the first one's");
    }

    #[test]
    fn a_worker_that_stops_waits_for_nothing_and_leaves_no_process() {
        let directory = tempfile::tempdir().unwrap();
        let pid = directory.path().join("pid");
        let (mut supervisor, leave) =
            supervised(directory.path(), &format!("echo $$ > {}; exec sleep 600", pid.display()));
        leave.now();
        assert_eq!(down(&mut supervisor, ExecutorRequest::Start), "the worker stops");
        assert!(supervisor.child.is_none(), "killed and reaped");
    }
}
