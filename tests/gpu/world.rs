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
fn fake_driver() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fake-driver");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cuda/fake_driver.sh");
        let built = Command::new("bash").arg(script).arg(&directory).output().expect("bash runs");
        assert!(built.status.success(), "the fake driver is not built: {}", String::from_utf8_lossy(&built.stderr));
        directory
    })
}

pub struct Executor {
    child: Child,
    site: TempDir,
}

impl Executor {
    /// Over the fake driver, with these of its knobs.
    pub fn start(knobs: &[(&str, &str)]) -> Executor {
        Executor::begin(|command| {
            command.env("LD_LIBRARY_PATH", fake_driver()).envs(knobs.iter().copied());
        })
    }

    /// Without any driver.
    pub fn without_driver() -> Executor {
        Executor::begin(|command| {
            command.env_remove("LD_LIBRARY_PATH");
        })
    }

    fn begin(set: impl FnOnce(&mut Command)) -> Executor {
        let site = tempfile::tempdir().unwrap();
        let log = std::fs::File::create(site.path().join("log")).unwrap();
        let mut command = Command::new(EXECUTOR);
        command.arg("--socket").arg(site.path().join("run/gpu.sock")).stdin(Stdio::null()).stderr(log);
        set(&mut command);
        let mut executor = Executor { child: command.spawn().unwrap(), site };
        let started = within(|| {
            let ended = executor.child.try_wait().unwrap();
            assert!(ended.is_none(), "it ended: {}", executor.log());
            UnixStream::connect(executor.socket()).ok()
        });
        assert!(started.is_some(), "it does not listen: {}", executor.log());
        // It listens before its devices are open, and answers after.
        assert_eq!(executor.ask(&json!({"command": "ping"})), json!({"pong": true}));
        executor
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn socket(&self) -> PathBuf {
        self.site.path().join("run/gpu.sock")
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.site.path().join("log")).unwrap()
    }

    pub fn ask(&self, request: &Value) -> Value {
        let body = request.to_string();
        self.send(&[&(body.len() as u32).to_le_bytes()[..], body.as_bytes()].concat())
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
        within(|| self.child.try_wait().unwrap()).expect("it ends")
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
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
