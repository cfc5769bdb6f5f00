//! `byteleap doctor gpu`: on a host without a driver, and over fake libraries of the driver with cards in all states.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use serde_json::{Value, json};

use crate::stage::Ended;

const FIRST: &str = "GPU-fa4e0000-0000-0000-0000-000000000000";
const SECOND: &str = "GPU-fa4e0000-0000-0000-0000-000000000001";

/// The directory of both fake libraries, built once a test run.
fn fakes() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fake-driver-doctor");
        for script in ["fake_driver.sh", "fake_nvml.sh"] {
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cuda").join(script);
            let built = Command::new("bash").arg(&script).arg(&directory).output().expect("bash runs");
            assert!(built.status.success(), "{}: {}", script.display(), String::from_utf8_lossy(&built.stderr));
        }
        directory
    })
}

/// Two cards of the fake driver, with these knobs.
fn doctor(arguments: &[&str], knobs: &[(&str, &str)]) -> Ended {
    let two = [("FAKE_CUDA_DEVICES", "2"), ("FAKE_NVML_DEVICES", "2")];
    run(arguments, |command| {
        command.env("LD_LIBRARY_PATH", fakes()).envs(two).envs(knobs.iter().copied());
    })
}

fn run(arguments: &[&str], set: impl FnOnce(&mut Command)) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_byteleap"));
    command.args(["doctor", "gpu"]).args(arguments).env_remove("LD_LIBRARY_PATH").stdin(Stdio::null());
    set(&mut command);
    let ended = command.output().expect("the tool");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Ended { status: ended.status.code(), out: text(ended.stdout), err: text(ended.stderr) }
}

fn object(ended: &Ended) -> Value {
    serde_json::from_str(&ended.out).unwrap_or_else(|why| panic!("{why}: {}{}", ended.out, ended.err))
}

fn uuids(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().map(|entry| entry["uuid"].as_str().expect("a uuid")).collect()
}

/// The one problem that stops work.
fn stopper(seen: &Value) -> &Value {
    let stops: Vec<&Value> =
        seen["problems"].as_array().into_iter().flatten().filter(|problem| problem["stops"] == true).collect();
    assert_eq!(stops.len(), 1, "{seen:#}");
    stops[0]
}

fn says(problem: &Value, field: &str, text: &str) {
    assert!(problem[field].as_str().is_some_and(|said| said.contains(text)), "{text}: {problem}");
}

#[test]
fn a_host_without_a_driver_is_told_so_and_what_a_worker_then_does() {
    let ended = run(&[], |_| {});
    assert_eq!(ended.status, Some(1), "{}{}", ended.out, ended.err);
    assert!(ended.out.contains("stops work: no CUDA driver: libcuda.so.1"), "{}", ended.out);
    assert!(ended.out.contains("→ install NVIDIA's driver"), "{}", ended.out);
    assert!(ended.err.ends_with("byteleap: one problem stops the GPUs' work\n"), "{}", ended.err);
    let seen = object(&run(&["--json"], |_| {}));
    assert_eq!((&seen["stopped"], &seen["told"]["capabilities"]), (&json!(true), &json!(["cpu_matrix", "gemm_i8"])));
    assert_eq!(seen["told"]["gpu_plugin"], json!([]));
}

#[test]
fn cards_in_order_are_told_as_a_validator_would_see_them() {
    let ended = doctor(&["--json"], &[]);
    let seen = object(&ended);
    assert_eq!((ended.status, &seen["problems"]), (Some(0), &json!([])), "{}", ended.err);
    for list in ["gpu_plugin", "gpu_info"] {
        assert_eq!(uuids(&seen["told"][list]), [FIRST, SECOND], "{list}");
    }
    let card = &seen["cards"][0];
    assert_eq!((&card["report"]["grade"], &card["report"]["pci"]), (&json!("healthy"), &json!("0000:01:00.0")));
    assert_eq!((&card["nvml"]["temperature_c"], &card["nvml"]["power_mw"]), (&json!(40), &json!(71_500)));
    // 1 GiB: n² · (1 + 1 + 4) bytes and the hashes of its chunks
    assert_eq!(card["largest_gemm_i8_n"], json!(12_544));
    assert_eq!((&seen["driver"]["nvml"], &seen["driver"]["cuda"]), (&json!("550.54.14"), &json!("12.4")));
    let text = doctor(&[], &[]);
    assert_eq!(text.status, Some(0), "{}", text.err);
    assert!(text.out.contains("no problem found") && text.out.contains("x16/x16 gen1/5"), "{}", text.out);
}

#[test]
fn each_fault_of_a_card_stops_it_with_its_remedy_and_the_other_is_still_told() {
    for (knob, value, what, remedy) in [
        ("FAKE_NVML_ECC", "3", "3 uncorrectable memory errors", "reset the card"),
        ("FAKE_NVML_REMAP", "failed", "could not be replaced", "RMA"),
        ("FAKE_NVML_XID", "79", "XID 79", "reboot"),
        ("FAKE_NVML_LOST", "15", "the card does not answer", "reset the card"),
        ("FAKE_NVML_MIG", "7", "MIG is enabled", "-mig 0"),
        ("FAKE_NVML_UUID", "GPU-other", "CUDA calls the card here", "libnvidia-ml.so.1"),
        ("FAKE_NVML_PCI", "00000000:77:00.0", "CUDA says it is at PCI 0000:01:00.0", "libnvidia-ml.so.1"),
    ] {
        let ended = doctor(&["--json"], &[(knob, value)]);
        let seen = object(&ended);
        assert_eq!(ended.status, Some(1), "{knob}: {seen:#}");
        let problem = stopper(&seen);
        says(problem, "what", what);
        says(problem, "remedy", remedy);
        assert_eq!(uuids(&seen["told"]["gpu_plugin"]), [SECOND], "{knob}");
        let rows = if knob == "FAKE_NVML_UUID" { 3 } else { 2 };
        assert_eq!(seen["cards"].as_array().map(Vec::len), Some(rows), "{knob}: a row a name");
    }
}

#[test]
fn an_error_of_the_driver_comes_with_its_own_remedy() {
    for (code, remedy) in
        [("100", "nvidia-smi -L"), ("802", "nvidia-fabricmanager"), ("803", "reboot"), ("999", "nvidia_uvm")]
    {
        let seen = object(&doctor(&["--json"], &[("FAKE_CUDA_INIT", code)]));
        let problem = stopper(&seen);
        says(problem, "what", &format!("CUDA error {code} "));
        says(problem, "remedy", remedy);
    }
}

#[test]
fn a_card_that_is_full_is_withheld_with_what_it_lacks() {
    let ended =
        doctor(&["--json"], &[("FAKE_CUDA_MEMORY", "1000"), ("FAKE_CUDA_DEVICES", "1"), ("FAKE_NVML_DEVICES", "1")]);
    let seen = object(&ended);
    says(stopper(&seen), "what", "0 KiB of its memory are free, the smallest gemm_i8 takes 426 KiB");
    assert_eq!((ended.status, uuids(&seen["told"]["gpu_plugin"])), (Some(1), vec![]));
}

#[test]
fn what_does_not_stop_a_card_is_told_with_status_zero() {
    for (knob, value, what) in
        [("FAKE_NVML_WIDTH", "4", "PCIe x4 of x16"), ("FAKE_NVML_THROTTLE", "0x80", "power brake")]
    {
        let ended = doctor(&["--json"], &[(knob, value)]);
        let seen = object(&ended);
        assert_eq!(ended.status, Some(0), "{seen:#}");
        says(&seen["problems"][0], "what", what);
        assert_eq!(uuids(&seen["told"]["gpu_plugin"]), [FIRST, SECOND]);
    }
}

#[test]
fn an_nvml_that_hangs_or_is_of_another_driver_is_named() {
    let hung = object(&doctor(&["--json"], &[("FAKE_NVML_HANG", "1")]));
    says(&hung["problems"][0], "what", "NVML does not answer");
    assert_eq!(uuids(&hung["told"]["gpu_info"]), [FIRST, SECOND], "as the executor knows them");
    assert_eq!(hung["cards"][0]["verdict"], json!("unknown: NVML does not answer"));
    let mismatch = object(&doctor(&["--json"], &[("FAKE_NVML_INIT", "18")]));
    says(&mismatch["problems"][0], "what", "NVML cannot be asked");
}

#[test]
fn cards_that_only_one_of_cuda_and_nvml_lists_are_named() {
    let fewer = object(&doctor(&["--json"], &[("FAKE_CUDA_DEVICES", "1")]));
    says(&fewer["problems"][0], "what", "NVML lists this card, the executor does not");
    let more = object(&doctor(&["--json"], &[("FAKE_NVML_DEVICES", "1")]));
    says(&more["problems"][0], "what", "CUDA lists this card, NVML does not");
}

#[test]
fn the_configuration_of_a_worker_is_taken_and_what_it_cannot_start_is_named() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let config = directory.path().join("worker.yaml");
    let with = |yaml: &str| {
        std::fs::write(&config, yaml).expect("a writable directory");
        doctor(&["--json", "--config", &config.display().to_string()], &[])
    };
    let off = with("gpu: {enable: false}\n");
    says(&object(&off)["problems"][0], "remedy", "gpu.enable: true");
    assert_eq!(off.status, Some(0), "as somebody wanted it");
    let unsigned = with("capabilities: [gpu_matrix]\n");
    assert!(unsigned.status == Some(78) && unsigned.err.contains("gpu.binary_path"), "{}", unsigned.err);
    let ours = Path::new(env!("CARGO_BIN_EXE_byteleap")).with_file_name("byteleap-gpu");
    let idle = object(&with(&format!("capabilities: [gpu_matrix]\ngpu: {{binary_path: {}}}\n", ours.display())));
    says(stopper(&idle), "what", "offers nothing");
    says(stopper(&idle), "remedy", "the vendor's executor");
    let inside = object(&with(&format!("gpu: {{socket_path: {}}}\n", directory.path().display())));
    says(stopper(&inside), "what", "is a directory");
    let missing = with("gpu: {binary_path: /nowhere/byteleap-gpu}\n");
    says(stopper(&object(&missing)), "what", "/nowhere/byteleap-gpu cannot be started");
    let socket = directory.path().join("gpu.sock");
    let elsewhere = with(&format!("gpu: {{auto_start: false, socket_path: {}}}\n", socket.display()));
    says(stopper(&object(&elsewhere)), "what", "no executor answers at");
    let cpu = object(&with("capabilities: [cpu_matrix]\n"));
    assert_eq!(cpu["told"]["capabilities"], json!(["cpu_matrix"]));
    assert_eq!(with("gpus: {}\n").status, Some(78), "a configuration that is wrong");
}
