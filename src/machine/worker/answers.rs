//! The frames that a worker sends, made from what its parts know.
//!
//! Pure: no state, no decision. What miners of the reference implementation cannot do without (`success`,
//! `error_code`, a `debug` object) is in every frame, failures included.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    Identity,
    kept::NoProof,
    tasks::{CPU_MATRIX, Product, Refusal, Task},
};
use crate::{
    units::{Mono, Now, Wall},
    wire::{
        code, json,
        messages::{Commitment, DeviceProof, Raw, SystemInfo},
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

fn capabilities() -> Vec<String> {
    vec![CPU_MATRIX.into()]
}

/// The wall clock at an earlier moment of this turn.
pub(super) fn wall_at(now: Now, at: Mono) -> Wall {
    now.wall - now.mono.since(at)
}

fn stamps<const N: usize>(named: [(&str, Wall); N]) -> Map<String, Value> {
    named.into_iter().map(|(name, wall)| (name.to_owned(), Value::from(wall.as_millis()))).collect()
}

pub(super) fn register(identity: &Identity, system_info: SystemInfo) -> ToMiner {
    ToMiner::Register(Register {
        worker_id: identity.id.clone(),
        worker_name: identity.name.clone(),
        worker_version: identity.version.clone(),
        capabilities: capabilities(),
        system_info,
    })
}

pub(super) fn heartbeat(system_info: SystemInfo, active_tasks: u32) -> ToMiner {
    ToMiner::Heartbeat(Heartbeat {
        status: Some(if active_tasks == 0 { "online" } else { "busy" }.into()),
        active_tasks: Some(active_tasks),
        system_info,
        gpu_info: Some(GpuSummary::default()),
        capabilities: Some(capabilities()),
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
    let stamps = stamps([("worker_task_received_ts", task.received), ("worker_task_completed_ts", now)]);
    let commitments = [Commitment::cpu(product.tree.root())];
    let outcome = match ChallengeResult::new(product.took, task.spec.n, &commitments) {
        Ok(result) => TaskOutcome::done(result, stamps),
        Err(why) => TaskOutcome::failed(code::TASK_FAILED, &why.to_string()),
    };
    task_result(identity, now, &task.id, outcome)
}

pub(super) fn refused(identity: &Identity, now: Wall, task_id: &str, why: &Refusal) -> ToMiner {
    task_result(identity, now, task_id, TaskOutcome::failed(why.code(), &why.to_string()))
}

pub(super) fn proof(message_id: &str, received: Wall, now: Wall, proofs: Result<Vec<DeviceProof>, NoProof>) -> ToMiner {
    let stamps = stamps([("worker_proof_request_received_ts", received), ("worker_proof_completed_ts", now)]);
    let data = match proofs {
        Ok(proofs) => match Raw::of(&proofs) {
            Ok(proofs) => ProofOutcome::done(proofs, stamps),
            Err(why) => ProofOutcome::failed(&why.to_string()),
        },
        Err(why) => ProofOutcome::failed(&why.to_string()),
    };
    ToMiner::ProofResponse(ProofResponse { message_id: message_id.to_owned(), data })
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
