//! What a worker would say of itself with these GPUs: for whoever looks before one runs. The worker's own parts say it.

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use serde_json::{Map, Value};

use super::{gpus::Gpus, tasks::Tasks};
use crate::{
    config::worker::Config,
    machine::contract::{gpu::ExecutorReply, inventory::Inventory},
    units::{Mono, WorkerId},
    wire::{json, messages::SystemInfo},
};

/// The parts of a heartbeat that GPUs decide, as they would be sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Preview {
    pub capabilities: Vec<String>,
    /// Why there is none.
    pub idle: Option<String>,
    pub gpu_plugin: Vec<Value>,
    pub gpu_info: Vec<Value>,
    pub gpu_health: Vec<Value>,
}

/// `info`: what was measured of the machine without its GPUs.
pub fn preview(config: &Config, info: &SystemInfo, executor: ExecutorReply, inventory: Inventory) -> Preview {
    // It spreads waits, of which there are none.
    let mut gpus = Gpus::of(config, ChaCha20Rng::seed_from_u64(0));
    if config.gpu.enable {
        gpus.heard(Mono::default(), executor);
        gpus.read(inventory);
    }
    let tasks = Tasks::new(WorkerId::new(""), config.capabilities.clone(), config.default_task_timeout);
    let told: Map<String, Value> = json::parse(gpus.told(info).as_json()).unwrap_or_default();
    let list = |field: &str| told.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
    Preview {
        capabilities: tasks.offered(&gpus),
        idle: gpus.why_idle(),
        gpu_plugin: list("gpu_plugin"),
        gpu_info: list("gpu_info"),
        gpu_health: list("gpu_health"),
    }
}
