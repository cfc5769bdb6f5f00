//! A daemon that cannot start says why in one line, names the thing, and ends with the status for its operator.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Command, Output},
};

use byteleap::devnet::site::{BLOCK_TIME, Plan, Site, worker_name};
use serde_json::json;

/// A chain that nobody answers for: no daemon comes so far.
const CHAIN: &str = "http://127.0.0.1:9";

fn site(dir: &Path, over: serde_json::Value) -> Site {
    let (miner, worker) = (over.clone(), over.clone());
    let plan = Plan {
        miners: 1,
        workers: 1,
        matrix_size: 100,
        block_time: BLOCK_TIME,
        validator: over,
        miner,
        worker,
        last_worker: json!({}),
    };
    let site = Site::lay_out(dir, &plan).expect("wallets and files");
    site.configure(&plan, CHAIN).expect("configurations");
    site
}

/// What the daemon said before it ended by itself, which it must within a minute.
pub fn ended(site: &Site, role: &str, name: &str) -> (Option<i32>, String) {
    let exe = match role {
        "validator" => env!("CARGO_BIN_EXE_validator"),
        "miner" => env!("CARGO_BIN_EXE_miner"),
        _ => env!("CARGO_BIN_EXE_worker"),
    };
    let Output { status, stderr, .. } = Command::new("timeout")
        .args(["--signal=KILL", "60", exe, "--config"])
        .arg(site.config_path(name))
        .output()
        .expect("a daemon");
    (status.code(), String::from_utf8(stderr).expect("text"))
}

#[test]
fn a_port_in_use_is_named_with_its_door() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let site = site(dir.path(), json!({}));
    for (role, member, door) in [("validator", &site.validator, "axon"), ("miner", &site.miners[0], "workers")] {
        let _taken = TcpListener::bind(member.listen).expect("a free port");
        let (status, text) = ended(&site, role, &member.name);
        assert_eq!(status, Some(1), "it may be free again after a restart: {text}");
        let told = text.lines().last().unwrap_or_default();
        assert!(told.contains(&format!("{} ({door})", member.listen)), "{text}");
        assert!(told.contains("in use"), "{text}");
    }
}

#[test]
fn a_metrics_port_in_use_is_named_by_every_daemon() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address");
    let dir = tempfile::tempdir().expect("a temporary directory");
    let site = site(dir.path(), json!({"metrics": {"listen": address}}));
    for (role, name) in [("validator", "validator"), ("miner", "miner-0"), ("worker", &worker_name(0, 0))] {
        let (status, text) = ended(&site, role, name);
        assert_eq!(status, Some(1), "it may be free again after a restart: {text}");
        assert!(text.contains(&format!("{address} (metrics)")), "{text}");
    }
}

#[test]
fn a_missing_wallet_is_named_by_both_that_need_one() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let site = site(dir.path(), json!({}));
    for (role, name) in [("validator", "validator"), ("miner", "miner-0")] {
        let hotkey = dir.path().join("wallets").join(name).join("hotkeys/default");
        fs::remove_file(&hotkey).expect("a wallet");
        let (status, text) = ended(&site, role, name);
        assert_eq!(status, Some(78), "{text}");
        assert!(text.contains(&format!("no hotkey at {}", hotkey.display())), "{text}");
    }
}

#[test]
fn a_database_that_is_none_is_named_and_left_as_it_was() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let site = site(dir.path(), json!({}));
    let other = b"somebody else's words, and no database of any kind".repeat(100);
    fs::write(site.database_path(), &other).expect("a writable directory");
    let (status, text) = ended(&site, "validator", "validator");
    assert_eq!(status, Some(78), "{text}");
    assert!(text.contains(&site.database_path().display().to_string()), "{text}");
    assert_eq!(fs::read(site.database_path()).expect("a file"), other);
}

#[test]
fn a_full_disk_under_the_log_changes_no_exit_status() {
    let full = || fs::OpenOptions::new().write(true).open("/dev/full").expect("a device that is always full");
    for (exe, arguments, expected) in [
        (env!("CARGO_BIN_EXE_worker"), ["--config", "/nowhere/worker.yaml"], 78),
        (env!("CARGO_BIN_EXE_byteleap"), ["wallet", "show"], 78),
    ] {
        let ended = Command::new(exe).args(arguments).env("HOME", "/nowhere").stderr(full()).status().expect("a start");
        assert_eq!(ended.code(), Some(expected), "{exe}");
    }
}
