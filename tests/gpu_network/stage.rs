//! The network of one test: its processes, its executors, and what the validator has written down.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::Duration,
};

use byteleap::devnet::{
    Fault,
    ledger::{Challenge, Ledger},
    site::{self, BLOCK_TIME, Plan, Site},
    subnet::Subnet,
};
use rusqlite::{Connection, OpenFlags};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Longer than any step takes on a slow machine under load.
const PATIENCE: Duration = Duration::from_secs(240);
const LOOK: Duration = Duration::from_millis(20);
/// A CPU's challenge is told from a GPU's by its size.
const OF_CPU: u32 = 256;
pub const OF_GPU: u32 = 512;

pub struct Stage {
    pub subnet: Subnet,
    dir: TempDir,
}

impl Stage {
    /// One miner with so many workers, each with a GPU of its own executor.
    pub fn start(workers: usize) -> Stage {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let plan = Plan {
            miners: 1,
            workers,
            matrix_size: 100,
            block_time: BLOCK_TIME,
            validator: json!({
                "validation": {
                    "challenge_type": "gemm_i8", "challenge_timeout": 100, "proof_timeout": 100,
                    "gpu": {"model_allowlist": ["CPU emulation"]},
                    "gemm_i8": {
                        "cpu": {"matrix_size": OF_CPU, "rounds": 1}, "gpu": {"matrix_size": OF_GPU, "rounds": 2}, "samples": 16,
                    },
                },
                "scoring": {"policy": "throughput"},
            }),
            miner: json!({}),
            worker: json!({"gpu": {"binary_path": executor(dir.path())}}),
            last_worker: json!({"gpu": {"socket_path": dir.path().join("gpu/last.sock")}}),
        };
        let site = Site::lay_out(dir.path(), &plan).expect("wallets and files");
        let exe = Path::new(env!("CARGO_BIN_EXE_byteleap"));
        let subnet = Subnet::start(exe, site, &plan, &["validator", "miner", "worker"]).expect("a subnet");
        Stage { subnet, dir }
    }

    /// Of the last worker's executor.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("gpu/last.sock")
    }

    /// Executors that start from now on run with these settings of the fake driver.
    pub fn set_knobs(&self, knobs: &str) {
        fs::write(self.dir.path().join("knobs"), knobs).expect("a writable directory");
    }

    pub fn ledger(&self) -> Ledger {
        Ledger::read(&self.subnet.site.database_path()).expect("a readable database").unwrap_or_default()
    }

    /// The one text that a query gives, if it gives any yet.
    pub fn ask(&self, sql: &str) -> Option<String> {
        let db =
            Connection::open_with_flags(self.subnet.site.database_path(), OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
        db.busy_timeout(Duration::from_secs(1)).ok()?;
        db.query_row(sql, [], |row| row.get(0)).ok()
    }

    /// Looks until there is something; a daemon that ends meanwhile ends the test.
    pub fn until<T>(&mut self, what: &str, mut look: impl FnMut(&mut Stage) -> Option<T>) -> T {
        let ticks = crossbeam::channel::tick(LOOK);
        let end = crossbeam::channel::after(PATIENCE);
        loop {
            self.subnet.all_alive().unwrap_or_else(|why: Fault| panic!("waiting for {what}: {why}"));
            if let Some(found) = look(self) {
                return found;
            }
            crossbeam::select! {
                recv(ticks) -> _ => {},
                recv(end) -> _ => panic!("not in time: {what}; {:#?}\n{}", self.ledger().challenges, self.logs()),
            }
        }
    }

    /// A challenge of the GPU that none of `before` is, verified.
    pub fn verified_anew(&mut self, before: &Ledger) -> Challenge {
        self.until("a challenge of the GPU, verified", |stage| {
            let new = |one: &Challenge| one.verdict == "verified" && of_gpu(one) && !knows(before, one);
            stage.ledger().challenges.into_iter().find(new)
        })
    }

    pub fn ended(&mut self, id: &str) -> Challenge {
        self.until("the end of a challenge", |stage| {
            stage.ledger().challenges.into_iter().find(|one| one.challenge_id == id && one.has_ended())
        })
    }

    /// GPUs of the newest heartbeat that the validator has heard of a worker.
    pub fn gpus_told(&self) -> Option<usize> {
        let facts: Value = serde_json::from_str(&self.ask("SELECT facts FROM hardware")?).ok()?;
        Some(facts["gpu_plugin"].as_array().map_or(0, Vec::len))
    }

    pub fn worker(&self, index: usize) -> u32 {
        let name = site::worker_name(0, index);
        self.subnet.processes.iter().find(|process| process.name == name).expect("a known worker").pid()
    }

    /// A challenge of the GPU which its executor is computing now, and that executor.
    pub fn computing(&mut self) -> (Challenge, u32) {
        self.until("a challenge in the middle of its computation", |stage| {
            let executor = executor_of(stage.worker(0))?;
            let before = ticks(executor)?;
            let challenge = stage.ledger().challenges.into_iter().find(|one| one.verdict == "sent" && of_gpu(one))?;
            let busy = crossbeam::channel::after(Duration::from_secs(1));
            let looks = crossbeam::channel::tick(LOOK);
            // A core's time goes by in nothing else: it answers pings, and computes.
            while ticks(executor)? < before + 10 {
                crossbeam::select! {
                    recv(looks) -> _ => {},
                    recv(busy) -> _ => return None,
                }
            }
            let still = |one: &Challenge| one.challenge_id == challenge.challenge_id && one.verdict == "sent";
            stage.ledger().challenges.iter().any(still).then_some((challenge, executor))
        })
    }

    fn logs(&self) -> String {
        let log = |process: &byteleap::devnet::process::Process| {
            format!("the end of {}'s log:\n{}\n", process.name, process.last_lines(25))
        };
        self.subnet.processes.iter().map(log).collect()
    }

    /// Whether a worker's log says this.
    pub fn worker_said(&self, words: &str) -> bool {
        let log = self.subnet.site.log_path(&site::worker_name(0, 0));
        fs::read_to_string(log).is_ok_and(|text| text.contains(words))
    }
}

pub fn of_gpu(challenge: &Challenge) -> bool {
    challenge.matrix_size == OF_GPU
}

fn knows(ledger: &Ledger, challenge: &Challenge) -> bool {
    ledger.challenges.iter().any(|known| known.challenge_id == challenge.challenge_id)
}

/// A program that becomes the executor, over the fake driver, with the knobs that are set when it starts. Fake cards of two
/// workers, and of tests that run at the same time, have the same uuids.
fn executor(dir: &Path) -> PathBuf {
    let path = dir.join("executor");
    let text = format!(
        "#!/bin/sh\nset -a\nBYTELEAP_GPU_SHARE=1\n[ ! -e '{0}/knobs' ] || . '{0}/knobs'\nLD_LIBRARY_PATH='{1}'\nexec '{2}' \"$@\"\n",
        dir.display(),
        fake_driver().display(),
        env!("CARGO_BIN_EXE_byteleap-gpu"),
    );
    fs::write(&path, text).expect("a writable directory");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("a file of this test");
    path
}

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

pub fn kill(pid: u32) {
    let pid = Pid::from_raw(pid.cast_signed()).expect("a process id");
    kill_process(pid, Signal::KILL).expect("a process of this test");
}

/// The executor that a worker has started, once it is one.
pub fn executor_of(worker: u32) -> Option<u32> {
    let pids = fs::read_dir("/proc").ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.into_iter().find(|pid| is_executor(*pid) && parent(*pid) == Some(worker))
}

pub fn is_executor(pid: u32) -> bool {
    fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == Path::new(env!("CARGO_BIN_EXE_byteleap-gpu")))
}

/// The fields of `/proc/PID/stat` after the command's name.
fn stat(pid: u32, field: usize) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    text.rsplit_once(')')?.1.split_whitespace().nth(field)?.parse().ok()
}

fn parent(pid: u32) -> Option<u32> {
    stat(pid, 1)?.try_into().ok()
}

/// CPU time of its own, in the kernel's ticks.
fn ticks(pid: u32) -> Option<u64> {
    stat(pid, 11)
}
