//! What heartbeats tell of the cards: `gpu_info`, the cards that are there, and `gpu_health`, what is wrong with any.
//!
//! Validators of the reference implementation count a GPU as there when its uuid is in `gpu_info`, and as owned when it is
//! in `gpu_plugin`, which is the executor's own list: a card that computes is in both. The fields up to `uuid` are those of
//! the reference implementation's workers; the rest is ours.

use serde_json::{Map, Value, json};

use super::Gate;
use crate::machine::contract::{
    gpu::ExecutorGpu,
    inventory::{Card, Inventory},
};

const MIB: u64 = 1 << 20;

/// The cards that are there and in order: as NVML reads them, or else as the executor tells of them.
pub fn gpu_info(inventory: &Inventory, offered: &[&ExecutorGpu], gate: &Gate) -> Vec<Value> {
    let seen = |card: &&Card| card.lost.is_none() && card.uuid.as_deref().is_some_and(|uuid| gate.offers(uuid));
    let read: Vec<&Card> = inventory.cards().iter().filter(seen).collect();
    let unread = |gpu: &&&ExecutorGpu| !read.iter().any(|card| card.uuid.as_ref() == Some(&gpu.uuid));
    let others = offered.iter().filter(unread).enumerate();
    let told = others.map(|(at, gpu)| from_executor(read.len() + at, gpu));
    read.iter().map(|card| from_nvml(card)).chain(told).collect()
}

/// Every card with something to say of it.
pub fn gpu_health(gate: &Gate) -> Vec<Value> {
    let troubled = gate.reports().iter().filter(|report| !report.findings.is_empty());
    troubled.map(|report| json!(report)).collect()
}

fn from_nvml(card: &Card) -> Value {
    let readings = &card.readings;
    let (total, used) = (readings.memory_total_bytes, readings.memory_used_bytes);
    let both = total.zip(used).filter(|(total, _)| *total > 0);
    let mut entry = Map::new();
    let mut tell = |name: &str, value: Value| {
        if !value.is_null() {
            entry.insert(name.to_owned(), value);
        }
    };
    tell("id", json!(card.index));
    tell("name", json!(card.name));
    tell("memory_total", json!(total.map(|bytes| bytes / MIB)));
    tell("memory_used", json!(used.map(|bytes| bytes / MIB)));
    tell("memory_free", json!(both.map(|(total, used)| total.saturating_sub(used) / MIB)));
    tell("memory_util", json!(both.map(|(total, used)| (used as f64 * 1000.0 / total as f64).round() / 10.0)));
    tell("gpu_util", json!(readings.gpu_percent));
    tell("temperature", json!(readings.temperature_c));
    tell("vendor", json!("NVIDIA"));
    tell("type", json!("discrete"));
    tell("uuid", json!(card.uuid));
    tell("pci_bus_id", json!(card.pci));
    tell("power_w", json!(readings.power_mw.map(|mw| f64::from(mw) / 1000.0)));
    tell("pcie", json!(readings.pcie));
    tell("throttle", json!(readings.throttle));
    tell("ecc", json!(readings.ecc));
    tell("remapped_rows", json!(readings.remapped));
    tell("mig", json!(readings.mig));
    tell("xids", json!(readings.xids));
    Value::Object(entry)
}

fn from_executor(id: usize, gpu: &ExecutorGpu) -> Value {
    let mib = |field: &str| gpu.told.get(field).and_then(Value::as_u64).map(|bytes| bytes / MIB);
    let (total, free) = (mib("total_memory"), mib("free_memory"));
    let used = total.zip(free).map(|(total, free)| total.saturating_sub(free));
    let fields = [
        ("id", json!(id)),
        ("name", json!(gpu.name)),
        ("memory_total", json!(total)),
        ("memory_used", json!(used)),
        ("memory_free", json!(free)),
        ("vendor", json!("NVIDIA")),
        ("type", json!("discrete")),
        ("uuid", json!(gpu.uuid)),
        ("pci_bus_id", json!(gpu.pci())),
    ];
    fields.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::contract::inventory::{Ecc, Nvml, NvmlReading, Readings};

    fn gpu(uuid: &str) -> ExecutorGpu {
        let told = json!({"uuid": uuid, "total_memory": 85_899_345_920_u64, "free_memory": 84_825_604_096_u64});
        ExecutorGpu { uuid: uuid.into(), name: "NVIDIA H100".into(), told: told.as_object().unwrap().clone() }
    }

    fn card(uuid: &str, errors: u64) -> Card {
        let readings = Readings {
            memory_total_bytes: Some(24_564 * MIB),
            memory_used_bytes: Some(500 * MIB),
            temperature_c: Some(40),
            gpu_percent: Some(0),
            ecc: Ecc { volatile_uncorrected: Some(errors), ..Ecc::default() },
            ..Readings::default()
        };
        Card { uuid: Some(uuid.into()), name: Some("NVIDIA GeForce RTX 4090".into()), readings, ..Card::default() }
    }

    fn told(cards: &[Card], gpus: &[ExecutorGpu]) -> (Vec<Value>, Vec<Value>) {
        let nvml = Nvml::Read(NvmlReading { cards: cards.to_vec(), ..NvmlReading::default() });
        let inventory = Inventory { nvml, ..Inventory::default() };
        let mut gate = Gate::default();
        gate.see(&inventory, Some(gpus));
        let offered: Vec<&ExecutorGpu> = gpus.iter().filter(|gpu| gate.offers(&gpu.uuid)).collect();
        (gpu_info(&inventory, &offered, &gate), gpu_health(&gate))
    }

    #[test]
    fn a_card_is_told_as_the_reference_workers_do() {
        let (info, health) = told(&[card("A", 0)], &[gpu("A")]);
        let recorded = json!({"id": 0, "name": "NVIDIA GeForce RTX 4090", "memory_total": 24_564, "memory_used": 500,
            "memory_free": 24_064, "memory_util": 2.0, "gpu_util": 0, "temperature": 40, "vendor": "NVIDIA",
            "type": "discrete", "uuid": "A"});
        let (said, recorded) = (info[0].as_object().unwrap(), recorded.as_object().unwrap());
        assert!(recorded.iter().all(|(name, value)| said.get(name) == Some(value)), "{said:?}");
        assert_eq!((said.get("power_w"), health.len()), (None, 0), "what was not read is not told");
    }

    #[test]
    fn a_card_that_nvml_does_not_read_is_told_as_the_executor_knows_it() {
        let (info, _) = told(&[card("A", 0)], &[gpu("A"), gpu("B")]);
        let uuids: Vec<_> = info.iter().map(|entry| entry["uuid"].as_str().unwrap()).collect();
        assert_eq!(uuids, ["A", "B"]);
        assert_eq!((&info[1]["memory_total"], &info[1]["memory_used"]), (&json!(81_920), &json!(1_024)));
    }

    #[test]
    fn a_withheld_card_is_in_no_list_but_that_of_troubles() {
        let (info, health) = told(&[card("A", 3), card("B", 0)], &[gpu("A"), gpu("B")]);
        assert_eq!((info.len(), &info[0]["uuid"]), (1, &json!("B")));
        assert_eq!((health.len(), &health[0]["uuid"], &health[0]["grade"]), (1, &json!("A"), &json!("withheld")));
        let finding = &health[0]["findings"][0];
        assert_eq!(finding["check"], json!("ecc"));
        assert!(finding["action"].as_str().unwrap().contains("reset the card"), "{finding}");
    }
}
