//! The GPU executor, asked as the worker asks it: the one that runs, or one that is started for the question and then
//! stopped. A running worker's own is left alone; ours opens the cards beside it.

use std::path::{Path, PathBuf};

use byteleap::{
    config::worker::Config,
    daemon::executor::{gpu_program, named_socket, private_socket, socket_troubles, unusable},
    exit::Failure,
    machine::contract::gpu::{ExecutorReply, ExecutorRequest},
    net::{Clock, unix_socket::Trouble},
    spoke::gpu::{Client, Program, Supervisor, leave},
};

pub struct Executor {
    /// What the worker starts; `None`: somebody else starts it.
    pub program: Option<PathBuf>,
    /// Why it cannot be started.
    pub unusable: Option<String>,
    /// The socket that the configuration names.
    pub socket: Option<PathBuf>,
    /// What is wrong with that place.
    pub troubles: Vec<Trouble>,
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
        troubles: socket_troubles(config),
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
    let supervisor = Supervisor::new(program, Client::new(socket.to_owned(), Clock::start()), left);
    supervisor.beside().serve(ExecutorRequest::Start)
}
