//! The messages of a flow as they are written: the task and the proof request to the worker, the proof to
//! the validator. Texts and types only; who gets what and when is decided in [`super::flows`].

use std::time::Duration;

use serde_json::Value;

use super::flows::{Ability, FlowKey, Kind, Stamps, Task};
use crate::wire::{
    json,
    limits::{CHALLENGE_TIMEOUT_S, WORKER_FRAME_BYTES},
    messages::{ChallengeSpec, DebugInfo, ProofData, Raw},
    websocket::{ProofDemand, ProofRequest, TaskAssignment, ToWorker},
};

/// Room in a frame for the fields around a challenge's data.
const FRAME_FIELDS_BYTES: usize = 4096;

/// Longest challenge id and kind that are taken; a UUID has 36 letters.
const NAME_BYTES: usize = 128;

/// A worker's ability, once it is known whether the challenge fits a frame at all.
pub fn fitting(spec: &ChallengeSpec, ability: Ability) -> Ability {
    let named = spec.challenge_id.as_str().len().max(spec.challenge_type.len()) <= NAME_BYTES;
    let fits = named && spec.data.as_str().len() + FRAME_FIELDS_BYTES <= WORKER_FRAME_BYTES;
    if fits { ability } else { Ability::TooLarge }
}

/// A challenge as handed out, with its time limit in bounds.
pub fn taken(spec: ChallengeSpec) -> Task {
    Task {
        challenge: spec.challenge_id,
        worker: spec.target_worker_id,
        kind: Kind(spec.challenge_type),
        data: spec.data,
        timeout: Duration::from_secs(spec.timeout.clamp(1, CHALLENGE_TIMEOUT_S).into()),
    }
}

pub fn task(key: &FlowKey, task: &Task, timeout: Duration) -> ToWorker {
    let timeout = (timeout.as_secs_f64().ceil() as u32).clamp(1, CHALLENGE_TIMEOUT_S);
    ToWorker::TaskAssignment(TaskAssignment {
        task_id: key.challenge.to_string(),
        task_type: task.kind.0.clone(),
        challenge_id: key.challenge.clone(),
        data: task.data.clone(),
        timeout,
        validator_hotkey: key.validator.clone(),
    })
}

/// Whether what a validator wants proved fits a worker's frame.
pub fn fits(requests: &Raw) -> bool {
    requests.as_str().len() + FRAME_FIELDS_BYTES <= WORKER_FRAME_BYTES
}

pub fn proof_request(key: &FlowKey, message_id: String, requests: Raw) -> ToWorker {
    let (validator_hotkey, challenge_id) = (key.validator.clone(), key.challenge.clone());
    ToWorker::ProofRequest(ProofRequest { message_id, data: ProofDemand { validator_hotkey, challenge_id, requests } })
}

pub fn proof(key: &FlowKey, proofs: Raw, stamps: Stamps) -> String {
    let timestamps = stamps.into_iter().map(|(name, at)| (name, Value::from(at))).collect();
    let mut data = ProofData::new(key.challenge.clone(), proofs);
    data.debug_info = Some(DebugInfo { timestamps });
    json::text(&data)
}
