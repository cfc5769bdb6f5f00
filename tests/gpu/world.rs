//! One executor of the test's own, and requests to it.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Longer than any of these jobs takes on a slow machine under load.
const PATIENCE: Duration = Duration::from_secs(240);

pub const EXECUTOR: &str = env!("CARGO_BIN_EXE_byteleap-gpu");

/// The directory of the fake driver, built once a test run.
pub fn fake_driver() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build("fake_driver.sh", "fake-driver"))
}

/// The directory of the fake cuBLASLt, likewise.
pub fn fake_cublas_lt() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build("fake_cublaslt.sh", "fake-cublaslt"))
}

fn build(script: &str, into: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(into);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cuda").join(script);
    let built = Command::new("bash").arg(&script).arg(&directory).output().expect("bash runs");
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{} fails: {said}", script.display());
    directory
}

pub struct Executor {
    child: Dying,
    site: TempDir,
}

impl Executor {
    /// Over the fake driver, with these of its knobs; its devices are open.
    pub fn start(knobs: &[(&str, &str)]) -> Executor {
        let executor = Executor::opening(knobs);
        executor.ask(&json!({"command": "get_gpu_info"}));
        executor
    }

    /// The same; its devices may still be opening.
    pub fn opening(knobs: &[(&str, &str)]) -> Executor {
        Executor::opening_with(&[], knobs)
    }

    /// The same, with these words on its command line.
    pub fn opening_with(words: &[&str], knobs: &[(&str, &str)]) -> Executor {
        Executor::spawn(
            tempfile::tempdir().unwrap(),
            words,
            &[&[("LD_LIBRARY_PATH", path(fake_driver()))], knobs].concat(),
        )
    }

    /// Over the fake driver, as a worker starts it: its cards are its own.
    pub fn alone() -> Executor {
        let (site, driver) = (tempfile::tempdir().unwrap(), path(fake_driver()));
        Executor::spawn_of(Command::new(EXECUTOR), site, &[], &[("LD_LIBRARY_PATH", driver)])
    }

    /// Without any driver.
    pub fn without_driver() -> Executor {
        Executor::spawn(tempfile::tempdir().unwrap(), &[], &[("LD_LIBRARY_PATH", "")])
    }

    /// Another one in the place of this one, which has ended.
    pub fn again(self, knobs: &[(&str, &str)]) -> Executor {
        let executor = Executor::spawn(self.end(), &[], &[&[("LD_LIBRARY_PATH", path(fake_driver()))], knobs].concat());
        executor.ask(&json!({"command": "get_gpu_info"}));
        executor
    }

    fn spawn(site: TempDir, words: &[&str], set: &[(&str, &str)]) -> Executor {
        let mut command = Command::new(EXECUTOR);
        // All tests' fake cards have the same uuids.
        command.env("BYTELEAP_GPU_SHARE", "1");
        Executor::spawn_of(command, site, words, set)
    }

    fn spawn_of(mut command: Command, site: TempDir, words: &[&str], set: &[(&str, &str)]) -> Executor {
        let log = std::fs::File::create(site.path().join("log")).unwrap();
        command.arg("--socket").arg(site.path().join("run/gpu.sock")).stdin(Stdio::null()).stderr(log);
        command.args(words).envs(set.iter().copied());
        let mut executor = Executor { child: Dying(command.spawn().unwrap()), site };
        let started = within(|| {
            let ended = executor.child.0.try_wait().unwrap();
            assert!(ended.is_none(), "it ended: {}", executor.log());
            UnixStream::connect(executor.socket()).ok()
        });
        assert!(started.is_some(), "it does not listen: {}", executor.log());
        // It answers this before its devices are open.
        assert_eq!(executor.ask(&json!({"command": "ping"})), json!({"pong": true}));
        executor
    }

    fn end(self) -> TempDir {
        self.site
    }

    pub fn pid(&self) -> u32 {
        self.child.0.id()
    }

    pub fn socket(&self) -> PathBuf {
        self.site.path().join("run/gpu.sock")
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.site.path().join("log")).unwrap()
    }

    pub fn ask(&self, request: &Value) -> Value {
        self.send(&frame(request))
    }

    /// A connection on which nothing was said yet, and nothing blocks.
    pub fn connect(&self) -> Asked {
        let stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_nonblocking(true).unwrap();
        Asked { stream, got: Vec::new() }
    }

    /// Sends a request and does not wait for its answer.
    pub fn begin(&self, request: &Value) -> Asked {
        let mut asked = self.connect();
        asked.stream.write_all(&frame(request)).unwrap();
        asked
    }

    /// These bytes as they are, then nothing more.
    pub fn send(&self, bytes: &[u8]) -> Value {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut head = [0; 4];
        stream.read_exact(&mut head).unwrap_or_else(|why| panic!("no answer: {why}\n{}", self.log()));
        let mut body = vec![0; u32::from_le_bytes(head) as usize];
        stream.read_exact(&mut body).unwrap();
        serde_json::from_slice(&body).unwrap()
    }

    pub fn error(&self, request: &Value) -> String {
        let answer = self.ask(request);
        assert_eq!(answer["success"], false, "{answer}");
        answer["error"].as_str().unwrap().to_owned()
    }

    /// How it ends by itself.
    pub fn ended(&mut self) -> ExitStatus {
        within(|| self.child.0.try_wait().unwrap()).expect("it ends")
    }
}

/// A connection of its own, looked at again and again.
pub struct Asked {
    stream: UnixStream,
    got: Vec<u8>,
}

impl Asked {
    /// The answer, if all of it is there.
    pub fn answer(&mut self) -> Option<Value> {
        let mut room = [0; 4096];
        while let Ok(read @ 1..) = self.stream.read(&mut room) {
            self.got.extend_from_slice(&room[..read]);
        }
        let (head, body) = self.got.split_first_chunk::<4>()?;
        (body.len() == u32::from_le_bytes(*head) as usize).then(|| serde_json::from_slice(body).unwrap())
    }
}

fn frame(request: &Value) -> Vec<u8> {
    let body = request.to_string();
    [&(body.len() as u32).to_le_bytes()[..], body.as_bytes()].concat()
}

/// Killed when nobody needs it any more.
struct Dying(Child);

impl Drop for Dying {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn path(directory: &Path) -> &str {
    directory.to_str().expect("a path that is text")
}

/// Looks again and again until there is something, for so long as anybody has patience.
#[expect(clippy::disallowed_methods, reason = "a deadline in a test")]
pub fn within<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if let found @ Some(_) = look() {
            return found;
        }
        std::thread::yield_now();
    }
    None
}

/// The uuid of the fake driver's n-th device.
pub fn uuid(number: u32) -> String {
    format!("GPU-fa4e0000-0000-0000-0000-{number:012}")
}

pub fn submit(n: u32, rounds: u32, devices: &[(&str, String)]) -> Value {
    let devices: Vec<Value> =
        devices.iter().map(|(uuid, prefix)| json!({"uuid": uuid, "key_prefix": prefix})).collect();
    json!({"command": "submit_gemm_i8", "task": {"matrix_size": n, "rounds": rounds, "devices": devices}})
}
