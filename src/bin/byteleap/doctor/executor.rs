//! The GPU executor, asked as the worker asks it: the one that runs, or one that is started for the question and then
//! stopped. A running worker's own is left alone; ours opens the cards beside it.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use byteleap::{
    config::worker::Config,
    daemon::worker::{gpu_program, named_socket, private_socket},
    exit::Failure,
    machine::contract::gpu::{ExecutorReply, ExecutorRequest},
    net::Clock,
    spoke::gpu::{Client, Program, Supervisor, leave},
};

pub struct Executor {
    /// What the worker starts; `None`: somebody else starts it.
    pub program: Option<PathBuf>,
    /// Why it cannot be started.
    pub unusable: Option<String>,
    /// The socket that the configuration names.
    pub socket: Option<PathBuf>,
    /// It was there already.
    pub running: bool,
    pub said: ExecutorReply,
}

pub fn ask(config: &Config) -> Result<Executor, Failure> {
    let program = match gpu_program(config) {
        Program::Elsewhere => None,
        Program::Binary(path) => Some(path),
    };
    let socket = named_socket(config);
    let mut executor = Executor {
        unusable: program.as_deref().and_then(unusable),
        program,
        socket,
        running: false,
        said: ExecutorReply::Down("gpu.enable is false".into()),
    };
    if !config.gpu.enable {
        return Ok(executor);
    }
    if let Some(socket) = &executor.socket {
        executor.said = serve(Program::Elsewhere, socket);
        executor.running = matches!(executor.said, ExecutorReply::Up(_));
    }
    if let (false, Some(binary)) = (executor.running, &executor.program) {
        let place = private_socket()?;
        executor.said = serve(Program::Binary(binary.clone()), &place.path);
    }
    Ok(executor)
}

fn serve(program: Program, socket: &Path) -> ExecutorReply {
    // Nobody leaves: the question has its own time limits.
    let (_leave, left) = leave();
    Supervisor::new(program, Client::new(socket.to_owned(), Clock::start()), left).serve(ExecutorRequest::Start)
}

fn unusable(path: &Path) -> Option<String> {
    match std::fs::metadata(path) {
        Err(why) => Some(why.to_string()),
        Ok(found) if !found.is_file() => Some("it is no file".into()),
        Ok(found) if found.permissions().mode() & 0o111 == 0 => Some("it is not executable".into()),
        Ok(_) => None,
    }
}
