//! `byteleap devnet` when it does not go well: what it prints, and what it leaves behind.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(20);

fn devnet(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_byteleap"));
    command.arg("devnet").args(arguments);
    command
}

/// How many processes run whose command line names this directory, besides the one with this id.
fn processes_in(dir: &Path, besides: u32) -> usize {
    let dir = dir.to_str().expect("a plain path").as_bytes();
    let of_dir = |entry: &fs::DirEntry| {
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        command.windows(dir.len()).any(|part| part == dir) && entry.file_name() != besides.to_string().as_str()
    };
    fs::read_dir("/proc").expect("the kernel's list").flatten().filter(of_dir).count()
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let ticks = crossbeam::channel::tick(Duration::from_millis(20));
    let end = crossbeam::channel::after(PATIENCE);
    while !done() {
        crossbeam::select! {
            recv(ticks) -> _ => {},
            recv(end) -> _ => panic!("not in time: {what}"),
        }
    }
}

#[test]
fn a_devnet_that_fails_says_so_in_its_object() {
    let output = devnet(&["--json", "--workers", "1", "--rounds", "1000", "--timeout-s", "1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let printed: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert!(printed["fault"].as_str().is_some_and(|fault| fault.contains("not within 1 s")), "{printed}");
    assert!(printed["processes"].as_array().is_some_and(|processes| processes.len() == 4), "{printed}");
}

#[test]
fn a_devnet_that_cannot_begin_says_so_in_its_object() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("something"), "").unwrap();
    let output = devnet(&["--json", "--keep", dir.path().to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let printed: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert!(printed["fault"].as_str().is_some_and(|fault| fault.contains("is not empty")), "{printed}");
}

#[test]
fn leased_workers_are_not_challenged_and_their_leases_count() {
    let arguments =
        ["--json", "--leases", "1", "--rounds", "1", "--matrix-size", "100", "--challenge-type", "cpu_matrix"];
    let output = devnet(&arguments).output().unwrap();
    let printed: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert_eq!((output.status.code(), &printed["fault"]), (Some(0), &Value::Null), "{printed}");
    let workers: Vec<(bool, bool)> = printed["workers"]
        .as_array()
        .expect("two workers")
        .iter()
        .map(|worker| (worker["leased"] == true, worker["verified"] == 0))
        .collect();
    assert_eq!(workers, [(true, true), (false, false)]);
    assert!(printed["scores"][0]["lease"].as_f64().is_some_and(|lease| lease > 0.0), "{printed}");
    assert!(printed["marketplace"]["score_reports"].as_u64().is_some_and(|reports| reports > 0), "{printed}");
}

#[test]
fn more_leases_than_workers_are_refused() {
    let output = devnet(&["--leases", "3", "--workers", "2"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--leases 3: there are fewer workers"));
}

#[test]
fn nothing_outlives_a_devnet_that_was_killed() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = ["--workers", "1", "--rounds", "1000", "--keep", dir.path().to_str().unwrap()];
    let mut killed = devnet(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let pid = killed.id();
    until("chain, validator, miner and worker", || processes_in(dir.path(), pid) == 4);
    killed.kill().unwrap();
    killed.wait().unwrap();
    until("the end of all of them", || processes_in(dir.path(), pid) == 0);
}
