//! The probe: what this machine is and how busy it is, as `SystemInfo` has it.
//!
//! Runs on: its own thread, `probe`; a dead network mount may hold it up, and nothing else: NVML is asked on a thread
//! beside it. Owns what it needs to compare two moments. What cannot be measured is left out, never 0. It looks up no
//! address on the internet.

mod identity;
mod nvidia;
mod nvml;
mod nvml_card;
mod pci;

use std::{path::Path, time::Duration};

use serde::Serialize;
use serde_json::{Value, json};
use sysinfo::{Cpu, Disk, DiskKind, DiskRefreshKind, Disks, MemoryRefreshKind, System};

pub use self::identity::{IdentityError, host_name, worker_id};
pub use self::nvidia::Driver;
use self::nvml::Watch;
use crate::{
    machine::contract::{
        inventory::Inventory,
        probe::{ProbeReply, ProbeRequest},
    },
    wire::messages::SystemInfo,
};

/// Requests that may wait for the thread.
pub const DEPTH: usize = 2;
/// How long NVML may take before a measurement goes without it. Waking sleeping cards takes it seconds.
const NVML_PATIENCE: Duration = Duration::from_secs(4);
/// File systems that are told of.
const DISKS_MAX: usize = 32;

/// What [`crate::spoke::spawn`] serves requests with.
#[derive(Debug)]
pub struct Probe {
    system: System,
    /// Usage is what happened since the measurement before.
    measured_before: bool,
    /// What was said last about the GPUs' driver, so that it is said once.
    advised: Option<String>,
    /// Asked from the first request that wants GPUs on.
    nvml: Option<Watch>,
    gpus: bool,
}

/// The message's own units: MB are 2^20 bytes and GB are 2^30, as its readers have them.
#[derive(Debug, Serialize)]
struct Found {
    cpu_count: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_usage: Option<f64>,
    memory_total: u64,
    memory_available: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_usage: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disk_total: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disk_free: Option<u64>,
    gpu_info: [Value; 0],
    gpu_plugin: [Value; 0],
    cpu_info: Value,
    memory_info: Value,
    system_info: Value,
    motherboard_info: Value,
    uptime_seconds: u64,
    storage_info: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    gpu_driver: Option<Driver>,
}

impl Default for Probe {
    fn default() -> Probe {
        Probe::new(true)
    }
}

impl Probe {
    /// `gpus`: whether to look for any.
    pub fn new(gpus: bool) -> Probe {
        Probe { system: System::new(), measured_before: false, advised: None, nvml: None, gpus }
    }

    pub fn serve(&mut self, ProbeRequest: ProbeRequest) -> ProbeReply {
        let info = SystemInfo::of(&self.measure()).unwrap_or_else(|why| {
            log::error!(target: "probe", "what was measured cannot be told: {why}");
            SystemInfo::empty()
        });
        let gpus = if self.gpus { self.inventory() } else { Inventory::default() };
        ProbeReply { info, gpus }
    }

    /// What there is of GPUs now.
    pub fn inventory(&mut self) -> Inventory {
        let (kernel, bus) = (pci::kernel(Path::new("/")), pci::bus(Path::new("/")));
        let watch = self.nvml.get_or_insert_with(Watch::start);
        Inventory { nvml: watch.read(NVML_PATIENCE), kernel, bus }
    }

    fn measure(&mut self) -> Found {
        self.system.refresh_cpu_all();
        self.system.refresh_memory_specifics(MemoryRefreshKind::everything());
        let disks = Disks::new_with_refreshed_list_specifics(DiskRefreshKind::everything().without_io_usage());
        let root = disks.iter().find(|disk| disk.mount_point().as_os_str() == "/");
        let (total, available) = (self.system.total_memory(), self.system.available_memory());
        let usage = self.measured_before.then(|| tenth(f64::from(self.system.global_cpu_usage())));
        self.measured_before = true;
        Found {
            cpu_count: self.system.cpus().len(),
            cpu_usage: usage,
            memory_total: total >> 20,
            memory_available: available >> 20,
            memory_usage: percent(total.saturating_sub(available), total),
            disk_total: root.map(|disk| disk.total_space() >> 30),
            disk_free: root.map(|disk| disk.available_space() >> 30),
            gpu_info: [],
            gpu_plugin: [],
            cpu_info: cpu_info(self.system.cpus()),
            memory_info: memory_info(&self.system),
            system_info: system_info(),
            motherboard_info: json!({}),
            uptime_seconds: System::uptime(),
            gpu_driver: self.gpu_driver(),
            storage_info: json!({ "storage": disks.iter().take(DISKS_MAX).map(storage).collect::<Vec<_>>() }),
        }
    }
}

impl Probe {
    /// An operator hears once what is wrong with it.
    fn gpu_driver(&mut self) -> Option<Driver> {
        let driver = Driver::of(Path::new("/"));
        let advice = driver.as_ref().and_then(Driver::advice);
        if self.advised != advice {
            advice.iter().for_each(|advice| log::warn!(target: "probe", "{advice}"));
            self.advised = advice;
        }
        driver
    }
}

fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| tenth(part as f64 * 100.0 / whole as f64))
}

fn cpu_info(cpus: &[Cpu]) -> Value {
    let first = cpus.first();
    json!({
        "logical_cores": cpus.len(),
        "physical_cores": System::physical_core_count(),
        "architecture": System::cpu_arch(),
        "model_name": first.map(Cpu::brand),
        "brand": first.map(Cpu::brand),
        "vendor": first.map(Cpu::vendor_id),
        "frequency_mhz": { "current": first.map(Cpu::frequency).filter(|mhz| *mhz > 0) },
    })
}

fn memory_info(system: &System) -> Value {
    let (total, available) = (system.total_memory(), system.available_memory());
    let (swap_total, swap_used) = (system.total_swap(), system.used_swap());
    json!({
        "total": total >> 20,
        "available": available >> 20,
        "used": total.saturating_sub(available) >> 20,
        "percent": percent(total.saturating_sub(available), total),
        "swap_total": swap_total >> 20,
        "swap_used": swap_used >> 20,
        "swap_percent": percent(swap_used, swap_total),
    })
}

fn system_info() -> Value {
    json!({
        "system": System::name(),
        "release": System::kernel_version(),
        "version": System::long_os_version(),
        "machine": System::cpu_arch(),
    })
}

fn storage(disk: &Disk) -> Value {
    let kind = match disk.kind() {
        DiskKind::SSD => Some("ssd"),
        DiskKind::HDD => Some("hdd"),
        DiskKind::Unknown(_) => None,
    };
    let (total_gb, free_gb) = (disk.total_space() >> 30, disk.available_space() >> 30);
    let filesystem = json!({
        "mount": disk.mount_point().to_string_lossy(),
        "fs": disk.file_system().to_string_lossy(),
        "size_gb": total_gb,
        "free_gb": free_gb,
    });
    let device = disk.name().to_string_lossy();
    json!({ "device": device, "type": kind, "total_gb": total_gb, "free_gb": free_gb, "filesystem": [filesystem] })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probed(probe: &mut Probe) -> Value {
        let info = probe.serve(ProbeRequest).info;
        serde_json::from_str(info.as_json()).unwrap()
    }

    #[test]
    fn this_machine_has_cores_and_memory_and_no_gpu() {
        let found = probed(&mut Probe::default());
        assert!(found["cpu_count"].as_u64().unwrap() >= 1);
        let (total, free) = (found["memory_total"].as_u64().unwrap(), found["memory_available"].as_u64().unwrap());
        assert!(total > 0 && free <= total);
        assert!((0.0..=100.0).contains(&found["memory_usage"].as_f64().unwrap()));
        assert_eq!((&found["gpu_info"], &found["gpu_plugin"]), (&json!([]), &json!([])));
        assert!(found["storage_info"]["storage"].is_array());
    }

    #[test]
    fn usage_is_known_from_the_second_measurement_on() {
        let mut probe = Probe::default();
        assert_eq!(probed(&mut probe).get("cpu_usage"), None);
        let usage = probed(&mut probe)["cpu_usage"].as_f64().unwrap();
        assert!((0.0..=100.0).contains(&usage), "{usage}");
    }
}
