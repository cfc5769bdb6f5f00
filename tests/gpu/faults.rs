//! What goes wrong has a name, on the socket and in the log; what CUDA clears in a new process only, ends this one.

use std::{os::unix::net::UnixListener, process::Command};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::world::{EXECUTOR, Executor, submit, uuid, within};

fn job(n: u32) -> Value {
    let uuid = uuid(0);
    submit(n, 1, &[(&uuid, hex::encode(format!("key {uuid}")))])
}

fn open() -> Value {
    json!({"command": "open_gemm_i8", "gpu_uuid": uuid(0), "samples": [[0, 0, 0]]})
}

#[test]
fn without_a_driver_it_says_so_and_offers_nothing() {
    let executor = Executor::without_driver();
    let info = executor.ask(&json!({"command": "get_gpu_info"}));
    assert_eq!(info["gpu_count"], 0);
    assert!(info["note"].as_str().unwrap().starts_with("no CUDA driver: "), "{info}");
    assert!(executor.log().contains("no CUDA driver"));
    assert_eq!(executor.ask(&json!({"command": "ping"})), json!({"pong": true}));
    assert!(executor.error(&job(256)).contains("no GPU \"GPU-fa4e"));
}

#[test]
fn a_driver_without_a_device_is_told_from_no_driver() {
    let executor = Executor::start(&[("FAKE_CUDA_DEVICES", "0")]);
    let info = executor.ask(&json!({"command": "get_gpu_info"}));
    assert!(info["note"].as_str().unwrap().contains("CUDA error 100"), "{info}");
}

#[test]
fn what_is_no_request_gets_its_name() {
    let executor = Executor::start(&[]);
    let said = |bytes: &[u8]| executor.send(bytes)["error"].as_str().unwrap().to_owned();
    assert!(said(&[0; 4]).contains("a length of 0"));
    assert!(said(&[255; 4]).contains("a length of 4294967295"));
    assert!(said(&[9, 0, 0, 0, b'{']).contains("ends after 1 of 9 bytes"));
    assert!(said(&[2, 0]).contains("ends after 2 of 4 bytes"));
    assert!(said(&[1, 0, 0, 0, 0xff]).contains("not UTF-8"));
    assert!(said(&[2, 0, 0, 0, b'{', b'}']).contains("command"));
    assert!(executor.error(&json!({"command": "sing"})).contains("unknown command \"sing\""));
    assert!(executor.error(&job(257)).contains("matrix_size 257"));
    assert!(executor.error(&open()).contains("nothing to open"));
    let other = json!({"command": "clear_result_cache", "gpu_uuid": "GPU-x"});
    assert!(executor.error(&other).contains(&format!("no GPU \"GPU-x\" here; there are: {}", uuid(0))));
    let task = json!({"seed": "ab", "target_gpu_id": -1, "matrix_size": 64, "mode": 0, "matrix_iterations": 1});
    assert!(executor.error(&json!({"command": "submit_challenge", "task": task})).contains("signs nothing"));
    let log = executor.log();
    for name in
        ["a length of 0", "after 1 of 9 bytes", "not UTF-8", "unknown command", "signs nothing", "nothing to open"]
    {
        assert!(log.contains(name), "{name}: {log}");
    }
    assert_eq!(executor.ask(&job(256))["success"], true, "and it goes on");
}

#[test]
fn a_matrix_beyond_the_devices_memory_is_refused_and_a_smaller_one_is_computed() {
    let executor = Executor::start(&[("FAKE_CUDA_MEMORY", "1000000")]);
    assert!(executor.error(&job(512)).contains("n = 512 needs 2 MiB of GPU memory, 0 MiB are free"));
    assert!(executor.log().contains("n = 512 needs 2 MiB"), "{}", executor.log());
    assert_eq!(executor.ask(&job(256))["success"], true);
}

#[test]
fn memory_that_somebody_else_took_is_a_fault_of_one_job() {
    let executor = Executor::start(&[("FAKE_CUDA_FAIL", "cuMemAlloc_v2:2:2")]);
    assert!(executor.error(&job(256)).contains("cuMemAlloc: CUDA error 2 "));
    assert_eq!(executor.ask(&job(256))["success"], true);
}

#[test]
fn a_launch_that_is_refused_is_a_fault_of_one_job() {
    let executor = Executor::start(&[("FAKE_CUDA_FAIL", "cuLaunchKernel:2:701")]);
    assert!(executor.error(&job(256)).contains("expand: CUDA error 701 "));
    assert_eq!(executor.ask(&job(256))["success"], true);
}

#[test]
fn a_lost_context_ends_the_process_after_the_answer() {
    for (knob, value, code) in [
        ("FAKE_CUDA_FAIL", "cuLaunchKernel:3:719:sticky", 719),
        ("FAKE_CUDA_FAIL", "cuStreamSynchronize:1:700:sticky", 700),
        ("FAKE_CUDA_VANISH_AFTER", "cuLaunchKernel:2", 46),
    ] {
        let mut executor = Executor::start(&[(knob, value)]);
        let error = executor.error(&job(256));
        assert!(error.contains(&format!("CUDA error {code} ")) && error.contains("start it again"), "{error}");
        assert_eq!(executor.ended().code(), Some(69), "{value}");
        assert!(executor.log().contains("status 69") && !executor.socket().exists());
    }
}

#[test]
fn sigterm_ends_it_cleanly() {
    let mut executor = Executor::start(&[]);
    kill_process(Pid::from_raw(executor.pid().cast_signed()).unwrap(), Signal::TERM).unwrap();
    assert_eq!(executor.ended().code(), Some(0));
    assert!(!executor.socket().exists());
}

#[test]
fn a_second_executor_leaves_the_first_its_socket() {
    let executor = Executor::without_driver();
    let second = Command::new(EXECUTOR).arg("--socket").arg(executor.socket()).output().unwrap();
    assert_eq!(second.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&second.stderr).contains("another process answers on"));
    assert_eq!(executor.ask(&json!({"command": "ping"})), json!({"pong": true}));
}

/// Validators put a card that two workers prove into quarantine.
#[test]
fn a_card_that_another_executor_of_the_host_has_is_left_out_until_that_ends() {
    // Executors of other tests share the card, and take it from nobody.
    let first = Executor::alone();
    assert_eq!(first.ask(&json!({"command": "get_gpu_info"}))["gpu_count"], 1);
    let second = Executor::alone();
    let info = second.ask(&json!({"command": "get_gpu_info"}));
    assert_eq!(info["gpu_count"], 0, "{info}");
    let note = info["note"].as_str().unwrap();
    assert!(note.contains(&uuid(0)) && note.contains("another executor of this host has it"), "{note}");
    assert!(second.log().contains("another executor of this host has it"), "{}", second.log());
    drop(first);
    assert_eq!(Executor::alone().ask(&json!({"command": "get_gpu_info"}))["gpu_count"], 1);
}

/// A challenge of any size would fail on it.
#[test]
fn a_card_says_how_little_memory_is_free_and_what_the_smallest_product_takes() {
    let executor = Executor::start(&[("FAKE_CUDA_MEMORY", "1000")]);
    let gpu = &executor.ask(&json!({"command": "get_gpu_info"}))["gpus"][0];
    assert_eq!((&gpu["free_memory"], &gpu["least_memory"]), (&json!(1000), &json!(436_906)), "{gpu}");
}

#[test]
fn a_socket_that_took_the_place_of_ones_own_stays() {
    let mut executor = Executor::without_driver();
    std::fs::rename(executor.socket(), executor.socket().with_extension("moved")).unwrap();
    let another = UnixListener::bind(executor.socket()).unwrap();
    kill_process(Pid::from_raw(executor.pid().cast_signed()).unwrap(), Signal::TERM).unwrap();
    assert_eq!(executor.ended().code(), Some(0));
    assert!(executor.socket().exists());
    drop(another);
}

#[test]
fn a_socket_that_a_dead_executor_left_is_replaced() {
    let site = tempfile::tempdir().unwrap();
    let socket = site.path().join("gpu.sock");
    drop(UnixListener::bind(&socket).unwrap());
    let mut child = Command::new(EXECUTOR).arg("--socket").arg(&socket).spawn().unwrap();
    let answers = within(|| std::os::unix::net::UnixStream::connect(&socket).ok());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(answers.is_some());
}

/// A shell starts it in the background, says its id and ends.
#[test]
fn it_dies_with_its_parent() {
    let site = tempfile::tempdir().unwrap();
    let socket = site.path().join("gpu.sock");
    let script = format!(
        "'{EXECUTOR}' --socket '{0}' >/dev/null 2>&1 & while [ ! -S '{0}' ]; do :; done; echo $!",
        socket.display()
    );
    let said = Command::new("sh").arg("-c").arg(script).output().unwrap();
    let pid: i32 = String::from_utf8_lossy(&said.stdout).trim().parse().unwrap();
    // One that nobody collects is a zombie: its directory stays, its socket does not.
    let gone = within(|| (!socket.exists()).then_some(()));
    assert!(gone.is_some(), "process {pid} lives on");
}

/// Longer than any test has patience for.
fn endless() -> Value {
    let uuid = uuid(0);
    submit(512, 1024, &[(&uuid, hex::encode(format!("key {uuid}")))])
}

/// Of jobs that do not end, one is at work and at most one waits: the others are refused, however they arrive. Those
/// whose sender leaves are called off, and the device is free again.
#[test]
fn clients_at_once_are_told_that_the_gpu_is_busy_and_who_leaves_is_called_off() {
    let executor = Executor::start(&[]);
    let mut asking: Vec<_> = (0..5).map(|_| executor.begin(&endless())).collect();
    let mut refused = Vec::new();
    let three = within(|| {
        asking.retain_mut(|asked| asked.answer().map(|answer| refused.push(answer)).is_none());
        (refused.len() >= 3).then_some(())
    });
    assert!(three.is_some(), "{refused:?}");
    assert!(refused.iter().all(|answer| answer["error"].as_str().unwrap().contains("is busy")), "{refused:?}");
    drop(asking);
    let said = within(|| executor.log().contains("called off").then_some(()));
    assert!(said.is_some(), "{}", executor.log());
    let served = within(|| (executor.ask(&job(256))["success"] == true).then_some(()));
    assert!(served.is_some(), "{}", executor.log());
}

/// Each connection that says nothing holds a place for as long as a request may take.
#[test]
fn more_connections_than_there_are_places_are_refused_by_name() {
    let executor = Executor::without_driver();
    let mut silent: Vec<_> = (0..96).map(|_| executor.connect()).collect();
    let refused = within(|| silent.iter_mut().find_map(|connection| connection.answer()));
    assert!(refused.unwrap()["error"].as_str().unwrap().contains("too many requests"));
    assert!(executor.log().contains("a connection is refused"), "{}", executor.log());
    drop(silent);
    let serves = within(|| (executor.ask(&json!({"command": "ping"}))["pong"] == true).then_some(()));
    assert!(serves.is_some(), "it goes on");
}

#[test]
fn a_ping_is_answered_while_devices_open_and_what_needs_them_waits() {
    let site = tempfile::tempdir().unwrap();
    let gate = site.path().join("loaded");
    let executor = Executor::opening(&[("FAKE_CUDA_LOAD_AFTER", gate.to_str().unwrap())]);
    let mut asked = executor.begin(&json!({"command": "get_gpu_info"}));
    assert_eq!(executor.ask(&json!({"command": "ping"})), json!({"pong": true}));
    assert!(asked.answer().is_none());
    std::fs::write(&gate, "").unwrap();
    let info = within(|| asked.answer()).unwrap();
    assert_eq!((&info["gpu_count"], info["note"].is_null()), (&json!(1), true), "{info}");
}

/// One card that loses its context again and again costs the others three restarts, and no more.
#[test]
fn a_card_that_ends_the_process_three_times_is_left_out_and_the_others_work() {
    let sick = uuid(1);
    let its_job = submit(256, 1, &[(&sick, hex::encode(format!("key {sick}")))]);
    let knobs = [("FAKE_CUDA_DEVICES", "3"), ("FAKE_CUDA_FAIL", "cuLaunchKernel:1:719:sticky")];
    let mut executor = Executor::start(&knobs);
    for time in 0..3 {
        assert!(executor.error(&its_job).contains(&format!("{sick}: expand: CUDA error 719 ")), "{time}");
        assert_eq!(executor.ended().code(), Some(69));
        assert!(executor.log().contains(&format!("{sick} has lost its context")), "{}", executor.log());
        executor = executor.again(if time < 2 { &knobs } else { &knobs[..1] });
    }
    let info = executor.ask(&json!({"command": "get_gpu_info"}));
    let there: Vec<&str> = info["gpus"].as_array().unwrap().iter().map(|gpu| gpu["uuid"].as_str().unwrap()).collect();
    assert_eq!(there, [uuid(0), uuid(2)], "{info}");
    let note = info["note"].as_str().unwrap();
    assert!(note.contains(&sick) && note.contains("lost its context 3 times within an hour"), "{info}");
    assert!(executor.log().contains(note), "{}", executor.log());
    assert_eq!(executor.ask(&job(256))["success"], true);
    assert!(executor.error(&its_job).contains(&format!("no GPU {sick:?} here")));
}

/// It answers pings, and would be busy for ever.
#[test]
fn a_card_that_hangs_ends_the_process_by_name() {
    let mut executor = Executor::opening_with(&["--hung-after", "1"], &[("FAKE_CUDA_HANG_AT", "1")]);
    let _asked = executor.begin(&job(256));
    assert_eq!(executor.ended().code(), Some(69));
    assert!(executor.log().contains(&format!("{} hangs", uuid(0))), "{}", executor.log());
    let noted = std::fs::read_to_string(executor.socket().with_extension("sock.lost")).unwrap();
    assert!(noted.contains(&uuid(0)) && !executor.socket().exists(), "{noted}");
}
