//! A node that takes a call and never answers does not hold up the end of a daemon.

use std::{
    io::Read,
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Command, Stdio},
};

use byteleap::devnet::site::{BLOCK_TIME, Plan, Site};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

/// The first call that a daemon makes to a chain at that address, begun and unanswered.
fn first_call(node: &TcpListener) -> TcpStream {
    let (mut call, _) = node.accept().expect("a daemon that asks its chain");
    let mut begun = [0; 4];
    call.read_exact(&mut begun).expect("a request");
    assert_eq!(&begun, b"POST");
    call
}

#[test]
fn a_call_under_way_is_left_when_a_daemon_stops() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let plan = Plan {
        miners: 1,
        workers: 1,
        matrix_size: 100,
        block_time: BLOCK_TIME,
        validator: json!({}),
        miner: json!({}),
        worker: json!({}),
        last_worker: json!({}),
    };
    let site = Site::lay_out(dir.path(), &plan).expect("wallets and files");
    let node = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let chain = format!("http://{}", node.local_addr().expect("an address"));
    site.configure(&plan, &chain).expect("configurations");
    for (exe, name) in [(env!("CARGO_BIN_EXE_validator"), "validator"), (env!("CARGO_BIN_EXE_miner"), "miner-0")] {
        let (status, text) = stopped_in_a_call(Path::new(exe), &site.config_path(name), &node);
        assert_eq!(status, Some(0), "{text}");
        assert!(text.contains("spoke chain is left at its work"), "{text}");
        assert!(!text.contains("left behind"), "{text}");
    }
}

fn stopped_in_a_call(exe: &Path, config: &Path, node: &TcpListener) -> (Option<i32>, String) {
    let mut command = Command::new(exe);
    command.arg("--config").arg(config).stderr(Stdio::piped());
    let daemon = command.spawn().expect("a daemon");
    let _held = first_call(node);
    kill_process(Pid::from_child(&daemon), Signal::TERM).expect("a running daemon");
    let output = daemon.wait_with_output().expect("its end");
    (output.status.code(), String::from_utf8(output.stderr).expect("text"))
}
