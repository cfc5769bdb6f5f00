//! A card whose free memory holds not even the smallest product: it would fail each challenge that it is given.

use super::{Finding, Grade};
use crate::machine::contract::gpu::ExecutorGpu;

/// By the executor's own word; one that does not say what it needs is believed to have it.
pub fn check(gpu: &ExecutorGpu) -> Option<Finding> {
    let figure = |name: &str| gpu.told.get(name)?.as_u64();
    let (free, least) = (figure("free_memory")?, figure("least_memory")?);
    if free >= least {
        return None;
    }
    let shown =
        |bytes: u64| if bytes < 1 << 20 { format!("{} KiB", bytes >> 10) } else { format!("{} MiB", bytes >> 20) };
    let reason = format!("{} of its memory are free, the smallest gemm_i8 takes {}", shown(free), shown(least));
    let action = "end what holds its memory (nvidia-smi names the processes)";
    Some(Finding::new("memory", Grade::Withheld, reason, action))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn gpu(told: serde_json::Value) -> ExecutorGpu {
        ExecutorGpu { uuid: "A".into(), name: "H100".into(), told: told.as_object().unwrap().clone() }
    }

    #[test]
    fn a_card_without_room_is_withheld_with_both_figures() {
        let full = check(&gpu(json!({"free_memory": 3 << 20, "least_memory": 400 << 10})));
        assert_eq!(full, None);
        let full = check(&gpu(json!({"free_memory": 1000, "least_memory": 409_662}))).unwrap();
        assert_eq!(full.grade, Grade::Withheld);
        assert_eq!(full.reason, "0 KiB of its memory are free, the smallest gemm_i8 takes 400 KiB");
        assert_eq!(check(&gpu(json!({"free_memory": 0}))), None, "the vendor's does not say what it needs");
    }
}
