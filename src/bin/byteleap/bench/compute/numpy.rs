//! NumPy as a child process: the same challenge, timed by itself, so that starting Python counts for nothing.
//!
//! The host's `python3` is asked first, then the interpreter that the operator names. It ends within [`PATIENCE`] or
//! is ended.

use std::{
    io::Read,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use byteleap::net::Clock;
use crossbeam::channel::tick;
use serde::{Deserialize, Serialize};

/// NumPy's int64 product of n = 2000 takes ten seconds on a fast core.
const PATIENCE: Duration = Duration::from_secs(300);
const SCRIPT: &str = include_str!("cpu_matrix.py");
/// Each BLAS reads one of these.
const THREADS: [&str; 4] = ["OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS"];

/// What NumPy needs for one challenge of cpu_matrix.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Numpy {
    pub python: String,
    pub numpy: String,
    pub blas: Option<String>,
    #[serde(skip_serializing)]
    pub root: String,
    /// Draw, multiply, hash, tree; with the protocol's own integers, on one thread: NumPy has no other way.
    pub int64_challenge_s: f64,
    pub int64_product_s: f64,
    /// The same with doubles and BLAS on all threads.
    pub float64_challenge_s: f64,
    pub float64_product_s: f64,
}

/// What one challenge is to NumPy.
pub struct Task<'a> {
    pub seed: &'a [u8],
    pub n: u32,
    pub threads: usize,
    /// Times that the float64 way is tried.
    pub rounds: usize,
}

/// An interpreter that has NumPy.
pub struct Interpreter(PathBuf);

impl Interpreter {
    /// The host's own if it has NumPy, else the one that is named; or why there is none.
    pub fn find(named: Option<&Path>) -> Result<Interpreter, String> {
        let host = Path::new("python3");
        let host_fault = match check(host) {
            Ok(()) => return Ok(Interpreter(host.into())),
            Err(why) => why,
        };
        let Some(named) = named else {
            return Err(format!(
                "{host_fault}; name an interpreter with --python (tests/benches/numpy-venv makes one)"
            ));
        };
        check(named).map_err(|why| format!("{host_fault}; {why}")).map(|()| Interpreter(named.into()))
    }

    pub fn run(&self, task: &Task) -> Result<Numpy, String> {
        let mut command = Command::new(&self.0);
        command.arg("-c").arg(SCRIPT).arg(hex::encode(task.seed)).arg(task.n.to_string()).arg(task.rounds.to_string());
        command.envs(THREADS.map(|name| (name, task.threads.to_string())));
        let printed = output(command)?;
        serde_json::from_str(&printed).map_err(|why| format!("what NumPy's script printed: {why}"))
    }
}

fn check(python: &Path) -> Result<(), String> {
    let mut command = Command::new(python);
    command.arg("-c").arg("import numpy");
    output(command).map(|_| ()).map_err(|why| format!("{} has no NumPy: {why}", python.display()))
}

/// What the child prints, once it has ended well; else the last line that it complains with.
fn output(mut command: Command) -> Result<String, String> {
    // nothing that lies in the current directory is imported
    command.env("PYTHONSAFEPATH", "1").env_remove("PYTHONPATH");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|why| why.to_string())?;
    let (clock, ticks) = (Clock::start(), tick(Duration::from_millis(20)));
    // what it prints is far smaller than a pipe
    let status = loop {
        if let Some(status) = child.try_wait().map_err(|why| why.to_string())? {
            break status;
        }
        if Duration::from_nanos(clock.mono().0) > PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("it did not end within {} s", PATIENCE.as_secs()));
        }
        // a tick always comes
        let _ = ticks.recv();
    };
    let text = |pipe: Option<&mut dyn Read>| {
        let mut text = Vec::new();
        pipe.map(|pipe| pipe.read_to_end(&mut text));
        String::from_utf8_lossy(&text).into_owned()
    };
    if status.success() {
        return Ok(text(child.stdout.as_mut().map(|pipe| pipe as &mut dyn Read)));
    }
    let complaint = text(child.stderr.as_mut().map(|pipe| pipe as &mut dyn Read));
    Err(complaint.lines().last().map_or_else(|| status.to_string(), str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interpreter_that_is_not_there_is_named() {
        let Err(why) = check(Path::new("/nowhere/python")) else { panic!("there is one") };
        assert!(why.starts_with("/nowhere/python has no NumPy: "), "{why}");
    }

    #[test]
    fn what_a_child_complains_with_last_is_told() {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg("echo first >&2; echo last >&2; exit 3");
        assert_eq!(output(shell), Err("last".into()));
        let mut shell = Command::new("sh");
        shell.arg("-c").arg("echo said");
        assert_eq!(output(shell), Ok("said\n".into()));
    }
}
