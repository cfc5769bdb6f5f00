//! Why a worker has nothing to offer now, in words for its operator. Pure; the configuration's own contradictions are told
//! when it is read.

use crate::{config::worker::Capability, machine::contract::gpu::ExecutorInfo};

/// `None`: there is something. `executor`: what answers now, with how many GPUs that are in order.
pub(super) fn why_idle(
    wanted: &[Capability],
    allowed: impl Fn(Capability) -> bool,
    executor: Option<(&ExecutorInfo, usize)>,
) -> Option<String> {
    if wanted.iter().any(|kind| allowed(*kind)) {
        return None;
    }
    let named: Vec<&str> = wanted.iter().map(|kind| kind.name()).collect();
    let (why, remedy) = match executor {
        None => {
            ("no GPU executor answers", "see why in the line about it, or add cpu_matrix or gemm_i8 to capabilities")
        }
        Some((info, _)) if info.gemm_i8 => (
            "the executor that answers computes gemm_i8 and signs nothing",
            "name the vendor's executor in gpu.binary_path for gpu_matrix, or add gemm_i8 to capabilities",
        ),
        Some((_, 0)) => (
            "the executor that answers has no GPU in order",
            "see byteleap doctor gpu, or add cpu_matrix to capabilities",
        ),
        Some(_) => (
            "the executor that answers signs gpu_matrix, and does no gemm_i8",
            "add gpu_matrix or cpu_matrix to capabilities, or leave out gpu.binary_path",
        ),
    };
    Some(format!(
        "this worker offers nothing, and gets no work: capabilities has {} alone, and {why}; {remedy}",
        named.join(" and ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(wanted: &[Capability], allowed: &[Capability], gemm_i8: Option<bool>, gpus: usize) -> Option<String> {
        let info = gemm_i8.map(|gemm_i8| ExecutorInfo { gemm_i8, ..ExecutorInfo::default() });
        why_idle(wanted, |kind| allowed.contains(&kind), info.as_ref().map(|info| (info, gpus)))
    }

    #[test]
    fn each_reason_has_its_remedy() {
        use Capability::{CpuMatrix, GemmI8, GpuMatrix};
        assert_eq!(why(&Capability::ALL, &[CpuMatrix, GemmI8], None, 0), None);
        for (wanted, executor, gpus, says) in [
            (GpuMatrix, None, 0, "no GPU executor answers; see why"),
            (GpuMatrix, Some(true), 1, "signs nothing; name the vendor's executor in gpu.binary_path"),
            (GpuMatrix, Some(false), 0, "has no GPU in order; see byteleap doctor gpu"),
            (GemmI8, Some(false), 1, "does no gemm_i8; add gpu_matrix"),
        ] {
            let told = why(&[wanted], &[], executor, gpus).unwrap_or_default();
            assert!(told.contains(says) && told.contains(wanted.name()), "{told}");
        }
    }
}
