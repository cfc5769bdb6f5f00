//! One child process of a subnet: started with its log in a file, watched, measured, stopped.
//!
//! Owns the child. It never decides whether an exit is a fault; its starter does.

use std::{
    env,
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use rustix::process::{Pid, Signal, getppid, kill_process, set_parent_process_death_signal};
use serde::Serialize;

/// Tells a child whose child it is: it ends when that process does, see [`end_with_parent`].
const PARENT: &str = "BYTELEAP_END_WITH";

pub struct Process {
    /// `validator`, `miner-0`, `worker-0-1`, `chain`, `hub`.
    pub name: String,
    pub role: &'static str,
    child: Child,
    log: PathBuf,
    usage: Usage,
}

/// What a process cost, as the kernel counts it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Usage {
    /// Now.
    #[serde(skip)]
    pub rss_kib: Option<u64>,
    pub peak_rss_kib: Option<u64>,
    pub cpu_s: Option<f64>,
}

impl Process {
    /// Starts `exe arguments…` with both output streams at the end of `log`.
    pub fn start(
        name: &str,
        role: &'static str,
        exe: &Path,
        arguments: &[String],
        log: PathBuf,
    ) -> io::Result<Process> {
        let out = OpenOptions::new().create(true).append(true).open(&log)?;
        let child = Command::new(exe)
            .args(arguments)
            .env(PARENT, std::process::id().to_string())
            // Simulated runtimes share names and differ: what is kept of them goes with the site.
            .env_remove("CACHE_DIRECTORY")
            .env("XDG_CACHE_HOME", log.with_file_name("cache"))
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .map_err(|why| io::Error::new(why.kind(), format!("start {name} ({}): {why}", exe.display())))?;
        Ok(Process { name: name.to_owned(), role, child, log, usage: Usage::default() })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The exit status, once it has ended.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// The end of the log, for a fault's report.
    pub fn last_lines(&self, count: usize) -> String {
        let mut text = String::new();
        if let Ok(mut file) = File::open(&self.log) {
            let start = file.metadata().map_or(0, |meta| meta.len().saturating_sub(16 * 1024));
            let mut bytes = Vec::new();
            let read = file.seek(SeekFrom::Start(start)).and_then(|_| file.read_to_end(&mut bytes));
            if read.is_ok() {
                text = String::from_utf8_lossy(&bytes).into_owned();
            }
        }
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(count)..].join("\n")
    }

    /// Reads peak memory and CPU time; a process that has ended keeps its last reading.
    pub fn measure(&mut self) -> Usage {
        let fresh = usage_of(self.pid());
        self.usage.rss_kib = fresh.rss_kib.or(self.usage.rss_kib);
        self.usage.peak_rss_kib = fresh.peak_rss_kib.or(self.usage.peak_rss_kib);
        self.usage.cpu_s = fresh.cpu_s.or(self.usage.cpu_s);
        self.usage.clone()
    }

    /// As [`Process::measure`], with CPU time to the nanosecond as the scheduler knows it of threads that live.
    pub fn measure_finely(&mut self) -> Usage {
        Usage { cpu_s: run_s(self.pid()), ..self.measure() }
    }

    /// SIGTERM: asks it to finish.
    pub fn terminate(&self) {
        if let Some(pid) = Pid::from_raw(self.pid().cast_signed()) {
            // a process that is gone already is what we want
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    /// Ends it by force and collects it.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    /// No child outlives its subnet, whatever way it ends.
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.kill();
        }
    }
}

/// For the first line of the operator's tool: a process that a subnet started does not outlive its starter, not even
/// one that was killed. Without that starter's mark nothing happens.
pub fn end_with_parent() -> io::Result<()> {
    let Some(parent) = env::var(PARENT).ok().and_then(|pid| Pid::from_raw(pid.parse().ok()?)) else { return Ok(()) };
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // it may have ended before the kernel was told
    if getppid() == Some(parent) {
        Ok(())
    } else {
        Err(io::Error::other("the process that started this one has ended"))
    }
}

/// What this process cost so far.
pub fn own_usage() -> Usage {
    usage_of(std::process::id())
}

fn usage_of(pid: u32) -> Usage {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    Usage { rss_kib: kib(&status, "VmRSS:"), peak_rss_kib: kib(&status, "VmHWM:"), cpu_s: cpu_s(&stat) }
}

/// `None` where the kernel keeps no such statistics. The ticks of `/proc/PID/stat` miss whoever runs between two.
fn run_s(pid: u32) -> Option<f64> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let nanoseconds = |thread: io::Result<fs::DirEntry>| -> Option<u64> {
        let text = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse().ok()
    };
    let total: u64 = threads.map(nanoseconds).sum::<Option<u64>>()?;
    Some(total as f64 / 1e9)
}

fn kib(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find(|line| line.starts_with(field))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn cpu_s(stat: &str) -> Option<f64> {
    // the command's name may hold spaces; the fields after its closing parenthesis may not
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_files_are_read_by_field() {
        assert_eq!(kib("Name:\tx\nVmHWM:\t   14336 kB\n", "VmHWM:"), Some(14336));
        assert_eq!(kib("", "VmHWM:"), None);
        let stat = "17 (a b) c) S 1 1 1 0 -1 4 1 0 0 0 150 50 0 0 20 0 1 0 5 1 1";
        assert_eq!(cpu_s(stat), Some(200.0 / rustix::param::clock_ticks_per_second() as f64));
        assert_eq!(cpu_s("17 (x)"), None);
    }

    #[test]
    fn our_own_usage_is_there() {
        let usage = own_usage();
        assert!(usage.peak_rss_kib.is_some_and(|kib| kib > 100));
        assert!(usage.cpu_s.is_some());
        assert!(run_s(std::process::id()).is_none_or(|seconds| seconds > 0.0));
    }
}
