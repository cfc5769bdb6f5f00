//! What `get_gpu_info` says of a device, in the words of the protocol.

use serde_json::{Map, Value, json};

use super::room::least_bytes;
use crate::cuda::DeviceFacts;

/// The entry of one device.
pub fn entry(facts: &DeviceFacts, free_bytes: u64) -> Map<String, Value> {
    let (major, minor) = facts.compute;
    let fields = [
        ("uuid", json!(facts.uuid)),
        ("name", json!(facts.name)),
        ("total_memory", json!(facts.total_bytes)),
        ("free_memory", json!(free_bytes)),
        ("least_memory", json!(least_bytes())),
        ("compute_capability", json!([major, minor])),
        ("gpu_cores", json!(facts.multiprocessors * cores(facts.compute))),
        ("gpu_clock_mhz", json!(facts.clock_mhz)),
        ("architecture", json!(architecture(facts.compute))),
    ];
    let place = facts.pci.as_ref().map(|pci| ("pci_bus_id", json!(pci)));
    fields.into_iter().chain(place).map(|(name, value)| (name.to_owned(), value)).collect()
}

/// CUDA cores of a multiprocessor.
fn cores(compute: (u32, u32)) -> u32 {
    if compute == (8, 0) { 64 } else { 128 }
}

fn architecture((major, minor): (u32, u32)) -> &'static str {
    match (major, minor) {
        (8, 9) => "Ada Lovelace",
        (8, _) => "Ampere",
        (9, _) => "Hopper",
        (10..=12, _) => "Blackwell",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_h100_is_described_as_the_protocol_has_it() {
        let facts = DeviceFacts {
            ordinal: 0,
            uuid: "GPU-1".into(),
            name: "NVIDIA H100 80GB HBM3".into(),
            pci: Some("0000:3b:00.0".into()),
            total_bytes: 85_000_000_000,
            compute: (9, 0),
            multiprocessors: 132,
            clock_mhz: 1980,
        };
        let entry = Value::Object(entry(&facts, 7));
        let expected = json!({
            "uuid": "GPU-1", "name": "NVIDIA H100 80GB HBM3", "total_memory": 85_000_000_000_u64, "free_memory": 7,
            "least_memory": 436_906,
            "compute_capability": [9, 0], "gpu_cores": 16_896, "gpu_clock_mhz": 1980, "architecture": "Hopper",
            "pci_bus_id": "0000:3b:00.0",
        });
        assert_eq!(entry, expected);
    }
}
