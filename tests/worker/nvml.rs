//! The real worker process over a fake NVML and beside an executor: what heartbeats tell of the cards, which of them a
//! fault keeps back, and an NVML that hangs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use serde_json::{Value, json};

use crate::{
    daemon::{Deadline, Miner, Process},
    executor::{Executor, GPUS},
    gpu::{assign, challenge, hear_of, registered_among},
};

/// The directory of the fake library, built once a test run.
fn fake_nvml() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fake-nvml-worker");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cuda/fake_nvml.sh");
        let built = Command::new("bash").arg(script).arg(&directory).output().expect("bash runs");
        assert!(built.status.success(), "the fake NVML is not built: {}", String::from_utf8_lossy(&built.stderr));
        directory
    })
}

/// A worker on a host with two cards, whose state the test may change.
struct Host {
    directory: tempfile::TempDir,
    miner: Miner,
    _worker: Process,
    _executor: Executor,
}

impl Host {
    fn start(state: &str) -> Host {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let socket = directory.path().join("gpu.sock");
        let executor = Executor::listen(&socket, challenge());
        let knobs = directory.path().join("nvml");
        fs::write(&knobs, state).expect("a writable directory");
        let yaml =
            format!("system_info_interval: 0.2\ngpu: {{auto_start: false, socket_path: {}}}\n", socket.display());
        let environment = [("LD_LIBRARY_PATH", fake_nvml()), ("FAKE_NVML_STATE", &knobs)];
        let (worker, miner) = registered_among(directory.path(), &yaml, &environment);
        Host { directory, miner, _worker: worker, _executor: executor }
    }

    /// The two cards, and what else is so from now on.
    fn is(&self, state: &str) {
        let next = self.directory.path().join("nvml.next");
        fs::write(&next, format!("FAKE_NVML_DEVICES=2\n{state}\n")).expect("a writable directory");
        fs::rename(next, self.directory.path().join("nvml")).expect("the same directory");
    }

    /// Heartbeats until one is so.
    fn hear(&mut self, is_so: impl Fn(&Value) -> bool) -> Value {
        let end = Deadline::start();
        loop {
            end.check("a heartbeat that is so");
            let info = self.miner.hear("heartbeat")["data"]["system_info"].take();
            if is_so(&info) {
                return info;
            }
        }
    }

    /// Heartbeats until one tells of this finding; it, and the uuids that are offered and there.
    fn found(&mut self, check: &str) -> (Value, Vec<String>, Vec<String>) {
        let about = |info: &Value| info["gpu_health"][0]["findings"][0]["check"] == check;
        let mut info = self.hear(about);
        let finding = info["gpu_health"][0]["findings"][0].take();
        (finding, uuids(&info, "gpu_plugin"), uuids(&info, "gpu_info"))
    }
}

fn uuids(info: &Value, list: &str) -> Vec<String> {
    let entries = info[list].as_array().cloned().unwrap_or_default();
    entries.iter().map(|entry| entry["uuid"].as_str().expect("a uuid").to_owned()).collect()
}

#[test]
fn a_heartbeat_has_each_card_in_both_lists_with_what_nvml_reads() {
    let mut host = Host::start("FAKE_NVML_DEVICES=2\n");
    let info = host.hear(|info| uuids(info, "gpu_plugin").len() == 2 && uuids(info, "gpu_info").len() == 2);
    assert_eq!(
        (uuids(&info, "gpu_plugin"), uuids(&info, "gpu_info")),
        (GPUS.map(str::to_owned).into(), GPUS.map(str::to_owned).into())
    );
    let first = &info["gpu_info"][0];
    let read = json!({"id": 0, "name": "NVIDIA H100 80GB HBM3", "memory_total": 81_920, "memory_used": 1_024,
        "temperature": 40, "power_w": 71.5, "gpu_util": 3, "pci_bus_id": "0000:01:00.0",
        "pcie": {"width": 16, "width_max": 16, "generation": 1, "generation_max": 5},
        "ecc": {"enabled": true, "volatile_uncorrected": 0, "aggregate_uncorrected": 0},
        "remapped_rows": {"correctable": 0, "uncorrectable": 0, "pending": false, "failure": false},
        "throttle": ["idle"], "xids": [], "mig": {"enabled": false}});
    for (name, value) in read.as_object().expect("an object") {
        assert_eq!(&first[name], value, "{name}: {first}");
    }
    assert_eq!(info["gpu_health"], Value::Null);
}

#[test]
fn each_fault_of_a_card_is_told_with_what_to_do_and_keeps_it_back_while_it_lasts() {
    let mut host = Host::start("FAKE_NVML_DEVICES=2\n");
    let other = vec![GPUS[1].to_owned()];
    for (state, check, action) in [
        ("FAKE_NVML_ECC=2", "ecc", "reset the card"),
        ("FAKE_NVML_REMAP=pending", "remapped_rows", "reset the card"),
        ("FAKE_NVML_REMAP=failed", "remapped_rows", "RMA"),
        ("FAKE_NVML_MIG=7", "mig", "nvidia-smi -i 0 -mig 0"),
        ("FAKE_NVML_LOST=15", "lost", "reset the card"),
        // the driver tells of an error once: it stays
        ("FAKE_NVML_XID=79", "xid", "reboot"),
    ] {
        host.is("");
        let info = host.hear(|info| info["gpu_health"] == Value::Null && uuids(info, "gpu_plugin").len() == 2);
        assert_eq!(uuids(&info, "gpu_info").len(), 2);
        host.is(state);
        let (finding, owned, there) = host.found(check);
        assert_eq!((&finding["grade"], &owned, &there), (&json!("withheld"), &other, &other), "{state}: {finding}");
        assert!(finding["action"].as_str().is_some_and(|said| said.contains(action)), "{state}: {finding}");
    }
    assign(&mut host.miner, &GPUS);
    let refused = host.miner.hear("task_result");
    assert_eq!(refused["data"]["success"], json!(false), "{refused}");
    assign(&mut host.miner, &GPUS[1..]);
    assert_eq!(host.miner.hear("task_result")["data"]["success"], json!(true));
}

#[test]
fn what_only_slows_a_card_is_told_and_keeps_nothing_back() {
    let mut host = Host::start("FAKE_NVML_DEVICES=2\n");
    for (state, check, reason) in [
        ("FAKE_NVML_WIDTH=4", "pcie", "PCIe x4 of x16"),
        ("FAKE_NVML_THROTTLE=0x40", "throttle", "heat halves"),
        ("FAKE_NVML_THROTTLE=0x80", "throttle", "power brake"),
        ("FAKE_NVML_XID=92", "xid", "XID 92"),
    ] {
        host.is(state);
        let about = |info: &Value| {
            let said = info["gpu_health"][0]["findings"][0]["reason"].as_str().unwrap_or_default();
            said.contains(reason) && uuids(info, "gpu_plugin").len() == 2
        };
        let info = host.hear(about);
        let finding = &info["gpu_health"][0]["findings"][0];
        assert_eq!((&finding["check"], &finding["grade"]), (&json!(check), &json!("degraded")));
        assert_eq!(uuids(&info, "gpu_info").len(), 2);
    }
}

#[test]
fn a_name_that_cuda_and_nvml_do_not_share_is_told() {
    let mut host = Host::start("FAKE_NVML_DEVICES=2\nFAKE_NVML_UUID=GPU-other\n");
    let info = host.hear(|info| info["gpu_health"].as_array().is_some_and(|troubles| troubles.len() == 2));
    let checks: Vec<&str> = info["gpu_health"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|trouble| trouble["findings"][0]["check"].as_str().expect("a name"))
        .collect();
    assert!(checks.contains(&"nvml_lacks") && checks.contains(&"cuda_lacks"), "{info}");
}

#[test]
fn an_nvml_that_hangs_stops_no_heartbeat() {
    let mut host = Host::start("FAKE_NVML_DEVICES=2\nFAKE_NVML_HANG=1\n");
    let beat = hear_of(&mut host.miner, 2);
    let info = &beat["data"]["system_info"];
    assert_eq!(uuids(info, "gpu_info"), GPUS, "the executor knows them");
    assert!(info["gpu_info"][0].get("temperature").is_none(), "{info}");
    assert!(host.hear(|_| true)["cpu_count"].as_u64().is_some(), "and the rest of the host is measured");
    host.is("");
    let info = host.hear(|info| info["gpu_info"][0]["temperature"] == json!(40));
    assert_eq!(uuids(&info, "gpu_info"), GPUS);
}

#[test]
fn a_consumer_card_that_refuses_most_readings_is_offered() {
    let mut host = Host::start("FAKE_NVML_DEVICES=2\nFAKE_NVML_BARE=1\n");
    let info =
        host.hear(|info| info["gpu_info"][0]["temperature"] == json!(40) && uuids(info, "gpu_plugin").len() == 2);
    let (card, health) = (&info["gpu_info"][0], &info["gpu_health"]);
    assert_eq!((&card["ecc"], &card["power_w"], health), (&json!({}), &Value::Null, &Value::Null));
}

#[test]
fn a_host_without_nvml_tells_of_the_cards_that_its_executor_has() {
    let mut host = Host::start("FAKE_NVML_INIT=9\n");
    let info = host.hear(|info| uuids(info, "gpu_plugin").len() == 2);
    assert_eq!(uuids(&info, "gpu_info"), GPUS);
    assert_eq!(info["gpu_health"], Value::Null);
}
