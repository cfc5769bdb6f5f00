//! The frames that a worker sends, made from what its parts know.
//!
//! Pure: no state, no decision. What miners of the reference implementation cannot do without (`success`,
//! `error_code`, a `debug` object) is in every frame, failures included.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    Identity,
    refusal::Refusal,
    tasks::{Product, Task},
};
use crate::{
    machine::contract::cpu::{Answer, Split},
    units::{Mono, Now, Wall},
    wire::{
        code, json, limits,
        messages::{Commitment, Raw, SystemInfo, gemm_i8::CPU_DEVICE},
        websocket::{
            ChallengeResult, GpuSummary, Heartbeat, HeartbeatResponse, ProofOutcome, ProofResponse, Register,
            TaskOutcome, TaskResult, ToMiner,
        },
    },
};

/// How long a refusal waits for a way back to the miner.
pub(super) const REFUSAL_LIFE: Duration = Duration::from_secs(60);
/// The longest task id that is answered; those of the network have 36 letters.
const TASK_ID_BYTES: usize = 128;

/// The wall clock at an earlier moment of this turn.
pub(super) fn wall_at(now: Now, at: Mono) -> Wall {
    now.wall - now.mono.since(at)
}

fn stamps<const N: usize>(named: [(&str, Wall); N]) -> Map<String, Value> {
    named.into_iter().map(|(name, wall)| (name.to_owned(), Value::from(wall.as_millis()))).collect()
}

pub(super) fn register(identity: &Identity, capabilities: Vec<String>, system_info: SystemInfo) -> ToMiner {
    ToMiner::Register(Register {
        worker_id: identity.id.clone(),
        worker_name: identity.name.clone(),
        worker_version: identity.version.clone(),
        capabilities,
        system_info,
    })
}

pub(super) fn heartbeat(
    capabilities: Vec<String>,
    system_info: SystemInfo,
    gpu_info: GpuSummary,
    active_tasks: u32,
) -> ToMiner {
    ToMiner::Heartbeat(Heartbeat {
        status: Some(if active_tasks == 0 { "online" } else { "busy" }.into()),
        active_tasks: Some(active_tasks),
        system_info,
        gpu_info: Some(gpu_info),
        capabilities: Some(capabilities),
    })
}

pub(super) fn sign_of_life(identity: &Identity, now: Wall, message_id: String) -> ToMiner {
    let worker_id = identity.id.clone();
    ToMiner::HeartbeatResponse(HeartbeatResponse { worker_id, timestamp: Some(now.as_secs_f64()), message_id })
}

fn task_result(identity: &Identity, now: Wall, task_id: &str, data: TaskOutcome) -> ToMiner {
    let (worker_id, task_id) = (identity.id.clone(), task_id.to_owned());
    ToMiner::TaskResult(TaskResult { worker_id, task_id, timestamp: Some(now.as_secs_f64()), data })
}

pub(super) fn computed(identity: &Identity, now: Wall, task: &Task, product: &Product) -> ToMiner {
    let mut stamps = stamps([("worker_task_received_ts", task.received), ("worker_task_completed_ts", now)]);
    if !matches!(product.answer, Answer::CpuMatrix(_)) {
        stamps.extend(split(now.since(task.received).saturating_sub(product.took), &product.split));
    }
    let commitments = match &product.answer {
        Answer::CpuMatrix(tree) => vec![Commitment::cpu(tree.root())],
        Answer::GemmI8(answer) => vec![Commitment::gemm_i8(CPU_DEVICE, answer.root())],
        Answer::Gpu(answer) => answer.commitments.clone(),
    };
    let outcome = match ChallengeResult::new(product.took, task.side(), &commitments) {
        Ok(result) => TaskOutcome::done(result, stamps),
        Err(why) => TaskOutcome::failed(code::TASK_FAILED, &why.to_string()),
    };
    task_result(identity, now, &task.id, outcome)
}

/// Where the time went, in ms, for people: it rides along with the stamps.
fn split(queued: Duration, split: &Split) -> impl Iterator<Item = (String, Value)> + use<> {
    let parts = [
        ("worker_queue_ms", queued),
        ("worker_generate_ms", split.generate),
        ("worker_multiply_ms", split.multiply),
        ("worker_hash_ms", split.hash),
    ];
    parts.into_iter().map(|(name, part)| (name.to_owned(), Value::from(part.as_millis() as u64)))
}

pub(super) fn refused(identity: &Identity, now: Wall, task_id: &str, why: &Refusal) -> ToMiner {
    task_result(identity, now, task_id, TaskOutcome::failed(why.code(), &why.to_string()))
}

/// The answer to a proof request: a list of proofs, or why there is none.
pub(super) fn proof(message_id: &str, received: Wall, now: Wall, proofs: Result<Raw, String>) -> String {
    let stamps = stamps([("worker_proof_request_received_ts", received), ("worker_proof_completed_ts", now)]);
    let frame = |list| proof_frame(message_id, ProofOutcome::done(list, stamps));
    let text = proofs.map(frame).unwrap_or_else(|why| proof_frame(message_id, ProofOutcome::failed(&why)));
    if text.len() <= limits::WEBSOCKET_BYTES {
        return text;
    }
    let why = format!("the proof has {} bytes, where a frame may have {}", text.len(), limits::WEBSOCKET_BYTES);
    proof_frame(message_id, ProofOutcome::failed(&why))
}

fn proof_frame(message_id: &str, data: ProofOutcome) -> String {
    ToMiner::ProofResponse(ProofResponse { message_id: message_id.to_owned(), data }).to_text()
}

/// The task id of a `task_assignment` that is otherwise unreadable.
pub(super) fn task_id_of(text: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Frame {
        r#type: String,
        data: Named,
    }
    #[derive(Deserialize)]
    struct Named {
        task_id: String,
    }
    let frame = json::parse::<Frame>(text).ok().filter(|frame| frame.r#type == "task_assignment")?;
    Some(frame.data.task_id).filter(|id| id.len() <= TASK_ID_BYTES)
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;
    use crate::wire::messages::gemm_i8::{CHUNK_VALUES, GemmProof, Opening};

    fn answered(proof: impl Serialize) -> (usize, Option<String>) {
        let text = proof_text(proof);
        let ToMiner::ProofResponse(answer) = ToMiner::parse(&text).unwrap() else { panic!("another frame") };
        (text.len(), answer.data.error)
    }

    fn proof_text(given: impl Serialize) -> String {
        proof("m", Wall::default(), Wall::default(), Ok(Raw::of(&[given]).unwrap()))
    }

    #[test]
    fn the_longest_proof_there_is_fits_a_frame() {
        let values = Box::new([i32::MIN; CHUNK_VALUES]);
        let (chunk_path, row_path) = (vec![[7; 32]; limits::GEMM_CHUNK_PATH], vec![[7; 32]; limits::GEMM_ROW_PATH]);
        let opening = Opening { round: 1023, row: 65_535, chunk: 255, values, chunk_path, row_path };
        let tops = vec![[7; 32]; limits::GEMM_ROUNDS as usize];
        let openings = vec![opening; limits::GEMM_SAMPLES];
        let (bytes, error) = answered(GemmProof { uuid: "cpu".into(), tops, openings });
        assert_eq!(error, None);
        assert!((3 << 20..4 << 20).contains(&bytes), "{bytes} bytes");
    }

    #[test]
    fn what_no_frame_bears_is_refused_with_its_size() {
        let (bytes, error) = answered("x".repeat(limits::WEBSOCKET_BYTES));
        assert!(bytes < 1024);
        let why = error.unwrap();
        assert!(why.starts_with("the proof has 167") && why.ends_with("a frame may have 16777216"), "{why}");
    }
}
