//! A heartbeat's two uses: what the fleet must know of each worker, and what the store keeps.
//!
//! Pure conversion. It decides nothing and keeps nothing; a field that was not said stays absent.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use serde::Deserialize;
use serde_json::Value;

use super::{
    fleet::{Taken, Word},
    incoming::is_usable,
};
use crate::{
    machine::contract::store::{Announced, CPU_MATRIX, GPU_MATRIX, HeartbeatWrite, WorkerSeen},
    units::{Hotkey, Wall, WorkerId},
    wire::{
        json, limits,
        messages::{
            CPU_UUID, EARLIEST_NOTICE, Gpu, HeartbeatData, LONGEST_MAINTENANCE, MaintenanceNotice, SystemInfo,
            WorkerInfo, WorkerStatus,
            gemm_i8::{CPU_DEVICE, GEMM_I8},
        },
    },
};

/// GPUs of one worker that are taken in, each list; a host has sixteen at most.
pub const GPUS_PER_WORKER: usize = limits::GEMM_DEVICES;
/// Longest uuid of a GPU that gets challenges; one has 40 letters. A hundred workers of 64 fit into one answer.
const DEVICE_BYTES: usize = 64;
/// Capabilities of one worker that are taken in.
const CAPABILITIES: usize = 16;
/// Longest text of a name, version, model, uuid or capability that is kept, in bytes.
pub const TEXT_BYTES: usize = 128;

/// What the fleet must know, one word a worker. `allowed`: whether GPUs of this model get challenges.
pub fn words(data: &HeartbeatData, allowed: impl Fn(&str) -> bool) -> Vec<Word> {
    let passes_on = data.miner_features.iter().any(|feature| feature == GEMM_I8);
    data.workers.iter().map(|worker| word(worker, passes_on, &allowed)).collect()
}

fn word(worker: &WorkerInfo, passes_on: bool, allowed: &impl Fn(&str) -> bool) -> Word {
    let offers = |kind: &str| worker.capabilities.iter().take(CAPABILITIES).any(|can| can == kind);
    let (gemm_i8, gpu_matrix) = (passes_on && offers(GEMM_I8), offers(GPU_MATRIX));
    let owned = worker.system_info.gpus_owned();
    Word {
        worker: worker.worker_id.clone(),
        online: worker.status != WorkerStatus::Offline,
        cpu_matrix: offers(CPU_MATRIX),
        gemm_i8,
        gpu_matrix,
        gpus: if gemm_i8 || gpu_matrix { challenged(owned, allowed) } else { Arc::default() },
        inventory: if gpu_matrix { challenged(owned, &|_: &str| true) } else { Arc::default() },
        hardware: fingerprint(&worker.system_info),
    }
}

/// GPUs of an inventory that get challenges: in order of their uuids, each once.
fn challenged(gpus: &[Gpu], allowed: &impl Fn(&str) -> bool) -> Arc<[String]> {
    let fits =
        |gpu: &Gpu| gpu.uuid.as_deref().is_some_and(is_device) && allowed(gpu.name.as_deref().unwrap_or_default());
    let uuids: BTreeSet<&str> =
        gpus.iter().take(GPUS_PER_WORKER).filter(|gpu| fits(gpu)).filter_map(|gpu| gpu.uuid.as_deref()).collect();
    uuids.into_iter().map(str::to_owned).collect()
}

/// Whether it can name a GPU in a challenge: it enters the keys as it is, and no CPU goes by it.
fn is_device(uuid: &str) -> bool {
    (1..=DEVICE_BYTES).contains(&uuid.len())
        && !uuid.chars().any(char::is_control)
        && ![CPU_UUID, CPU_DEVICE].contains(&uuid)
}

pub(super) fn capabilities(worker: &WorkerInfo) -> Vec<String> {
    worker.capabilities.iter().take(CAPABILITIES).map(|text| clipped(text)).collect()
}

/// What the store keeps. `taken`: what became of each worker, in order.
pub fn write(hotkey: &Hotkey, at: Wall, data: &HeartbeatData, taken: &[Taken]) -> HeartbeatWrite {
    let kept = data.workers.iter().zip(taken).filter(|(_, taken)| **taken != Taken::PassedOver);
    let workers = kept.map(|(worker, taken)| seen(worker, *taken == Taken::Changed)).collect();
    let maintenance = data.maintenance.as_deref().map(|notices| announced(at, notices));
    HeartbeatWrite { hotkey: hotkey.clone(), at, workers, maintenance }
}

/// What makes sense of it; the longest are cut, and what is far ahead is for a later heartbeat to say.
fn announced(at: Wall, notices: &[MaintenanceNotice]) -> Vec<Announced> {
    let ahead = (at + EARLIEST_NOTICE).as_secs();
    let told = notices
        .iter()
        .filter(|notice| notice.from < notice.until && notice.from <= ahead && is_usable(&notice.worker_id));
    let announced: BTreeMap<&WorkerId, Announced> = told
        .map(|notice| {
            let (from, until) = (Wall::from_secs(notice.from), Wall::from_secs(notice.until));
            let until = until.min(from + LONGEST_MAINTENANCE);
            (&notice.worker_id, Announced { worker: notice.worker_id.clone(), from, until })
        })
        .collect();
    announced.into_values().collect()
}

fn seen(worker: &WorkerInfo, changed: bool) -> WorkerSeen {
    let info = &worker.system_info;
    WorkerSeen {
        worker: worker.worker_id.clone(),
        name: worker.worker_name.as_deref().map(clipped),
        version: worker.worker_version.as_deref().map(clipped),
        capabilities: capabilities(worker),
        status: worker.status.as_str().into(),
        public_ip: info.public_ip().filter(|text| !text.is_empty()).map(clipped),
        gpus_present: uuids(info.gpus_present()).collect(),
        gpus_owned: inventory(info.gpus_owned()),
        hardware: changed.then(|| info.as_json().to_owned()),
    }
}

fn uuids(gpus: &[Gpu]) -> impl Iterator<Item = String> {
    gpus.iter().take(GPUS_PER_WORKER).filter_map(|gpu| gpu.uuid.as_deref()).filter(|uuid| !uuid.is_empty()).map(clipped)
}

fn inventory(gpus: &[Gpu]) -> Vec<(String, String)> {
    let known: BTreeSet<(String, String)> = gpus
        .iter()
        .take(GPUS_PER_WORKER)
        .filter_map(|gpu| Some((gpu.uuid.as_deref()?, gpu.name.as_deref().unwrap_or_default())))
        .filter(|(uuid, _)| !uuid.is_empty())
        .map(|(uuid, model)| (clipped(uuid), clipped(model)))
        .collect();
    known.into_iter().collect()
}

pub(super) fn clipped(text: &str) -> String {
    let mut end = text.len().min(TEXT_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

/// The parts of a hardware report that stay as they are until somebody changes the machine.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Lasting {
    cpu_count: Value,
    memory_total: Value,
    disk_total: Value,
    motherboard_info: Value,
    system_info: Value,
    cpu_info: Cpu,
    gpu_plugin: Vec<Gpu>,
    public_ip: Value,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Cpu {
    brand: Value,
    model_name: Value,
    logical_cores: Value,
    physical_cores: Value,
}

/// A digest that changes when the hardware does, and not with the load. It decides what is stored, nothing else.
fn fingerprint(info: &SystemInfo) -> u64 {
    let lasting: Lasting = json::parse(info.as_json()).unwrap_or_default();
    let mut hasher = DefaultHasher::new();
    let Lasting { cpu_count, memory_total, disk_total, motherboard_info, system_info, cpu_info, gpu_plugin, public_ip } =
        lasting;
    let Cpu { brand, model_name, logical_cores, physical_cores } = cpu_info;
    let plain = [cpu_count, memory_total, disk_total, motherboard_info, system_info, public_ip];
    for value in plain.iter().chain(&[brand, model_name, logical_cores, physical_cores]) {
        value.hash(&mut hasher);
    }
    for gpu in gpu_plugin {
        (gpu.uuid, gpu.name).hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heartbeat(system_info: &str) -> HeartbeatData {
        let worker = format!(r#"{{"worker_id":"w","status":"busy","system_info":{system_info}}}"#);
        json::parse(&format!(r#"{{"hotkey":"x","timestamp":1,"workers":[{worker}]}}"#)).unwrap()
    }

    fn print(system_info: &str) -> u64 {
        words(&heartbeat(system_info), |_| true)[0].hardware
    }

    #[test]
    fn load_does_not_change_the_hardware_and_a_new_part_does() {
        let base = print(r#"{"cpu_count":4,"cpu_usage":12.5,"cpu_info":{"brand":"A","frequency_mhz":{"current":1}}}"#);
        let busy = print(r#"{"cpu_count":4,"cpu_usage":99.0,"cpu_info":{"brand":"A","frequency_mhz":{"current":2}}}"#);
        assert_eq!(base, busy);
        assert_ne!(base, print(r#"{"cpu_count":8,"cpu_info":{"brand":"A"}}"#));
        assert_ne!(base, print(r#"{"cpu_count":4,"cpu_info":{"brand":"A"},"gpu_plugin":[{"uuid":"GPU-1"}]}"#));
    }

    #[test]
    fn present_and_owned_gpus_are_told_apart() {
        let info = r#"{"gpu_info":[{"uuid":"GPU-1"},{"uuid":""}],"gpu_plugin":[{"uuid":"GPU-2","name":"H200"},{}]}"#;
        let write = write(&Hotkey::label("alice"), Wall(5), &heartbeat(info), &[Taken::AsBefore]);
        let worker = &write.workers[0];
        assert_eq!(worker.gpus_present, BTreeSet::from(["GPU-1".to_owned()]));
        assert_eq!(worker.gpus_owned, [("GPU-2".to_owned(), "H200".to_owned())]);
        assert_eq!(
            (worker.status.as_str(), worker.public_ip.as_deref(), worker.hardware.as_deref()),
            ("busy", None, None)
        );
    }

    /// The GPUs that get challenges, of a worker that offers gemm_i8.
    fn gpus(inventory: &str) -> Vec<String> {
        let info = format!(r#"{{"gpu_plugin":[{inventory}]}}"#);
        let mut data = heartbeat(&info);
        data.miner_features.push(GEMM_I8.into());
        data.workers[0].capabilities.push(GEMM_I8.into());
        words(&data, |model| model.contains("H200"))[0].gpus.to_vec()
    }

    #[test]
    fn gpus_on_the_allow_list_are_challenged_by_names_that_can_be_keyed() {
        let gpu = |uuid: &str, model: &str| format!(r#"{{"uuid":"{uuid}","name":"{model}"}}"#);
        let h200 = |uuid: &str| gpu(uuid, "NVIDIA H200");
        let several = [h200("GPU-2"), gpu("GPU-3", "GT 710"), h200("GPU-1"), h200("GPU-2")].join(",");
        assert_eq!(gpus(&several), ["GPU-1", "GPU-2"]);
        for odd in ["", "cpu", "-1", "GPU\\u0000x", "a\\nb", &"G".repeat(65)] {
            assert_eq!(gpus(&h200(odd)), [""; 0], "{odd}");
        }
        let crowd: Vec<_> = (0..100).map(|n| h200(&format!("GPU-{n}"))).collect();
        assert_eq!(gpus(&crowd.join(",")).len(), 64);
    }

    #[test]
    fn gemm_i8_needs_the_word_of_the_worker_and_of_its_miner() {
        let offered = |feature: &str, capability: &str| {
            let mut data = heartbeat("{}");
            data.miner_features.push(feature.into());
            data.workers[0].capabilities.push(capability.into());
            words(&data, |_| true)[0].gemm_i8
        };
        assert!(offered("gemm_i8", "gemm_i8"));
        assert!(!offered("gemm_i8", "cpu_matrix") && !offered("other", "gemm_i8"));
    }

    #[test]
    fn maintenance_is_kept_where_it_makes_sense_and_a_long_one_is_cut() {
        let notice =
            |worker: &str, from: u64, until: u64| MaintenanceNotice { worker_id: WorkerId::new(worker), from, until };
        let mut data = heartbeat("{}");
        assert_eq!(write(&Hotkey::label("alice"), Wall(5), &data, &[]).maintenance, None);
        let of_no_length = notice("none", 7, 7);
        data.maintenance = Some(vec![
            notice("day", 10, 90_000),
            of_no_length,
            notice("a\nb", 1, 2),
            notice("w", 1, u64::MAX),
            notice("later", 31_000_000, 31_000_060),
        ]);
        let kept = write(&Hotkey::label("alice"), Wall(5), &data, &[]).maintenance.unwrap();
        let spans: Vec<_> = kept.iter().map(|it| (it.worker.as_str(), it.from.as_secs(), it.until.as_secs())).collect();
        assert_eq!(spans, [("day", 10, 86_410), ("w", 1, 86_401)]);
    }

    #[test]
    fn long_texts_are_cut_at_a_letter() {
        let text = "é".repeat(100);
        assert_eq!(clipped(&text).len(), 128);
        assert_eq!(clipped(&format!("x{text}")).len(), 127);
    }
}
