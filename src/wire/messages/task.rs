//! `TaskSynapse`: the poll for challenges, and the challenges.

use serde::{Deserialize, Serialize};

use super::{
    Raw, SCHEMA_VERSION,
    market_task::{self, MarketTask},
    schema_version, whole,
};
use crate::{
    units::{ChallengeId, Hotkey, Wall, WorkerId},
    wire::json::JsonFault,
};

/// The only `request_type` there is.
pub const REQUEST_CHALLENGE: &str = "challenge";
/// `task_type` when there are challenges.
pub const TASK_BATCH: &str = "compute_challenge_batch";
/// `task_type` when there are none.
pub const TASK_NONE: &str = "no_task";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskRequest {
    /// The miner by its own word; what counts is the peer of the session.
    pub hotkey: String,
    pub request_type: String,
    /// Unix seconds.
    #[serde(default)]
    pub timestamp: Option<f64>,
    /// Extension: the workers that could start at once. A validator that reads it starts no clock for the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_workers: Option<Vec<WorkerId>>,
    /// Extension: the miner takes tasks of the marketplace, and has those of these keys ([`MarketTask`]).
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "market_task::held")]
    pub market_tasks_held: Option<Vec<String>>,
    #[serde(default = "schema_version")]
    pub schema_version: u32,
}

impl TaskRequest {
    pub fn poll(miner: &Hotkey, idle_workers: Option<Vec<WorkerId>>, now: Wall) -> TaskRequest {
        TaskRequest {
            hotkey: miner.to_string(),
            request_type: REQUEST_CHALLENGE.into(),
            timestamp: Some(now.as_secs_f64()),
            idle_workers,
            market_tasks_held: None,
            schema_version: SCHEMA_VERSION,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskResponse {
    /// [`TASK_BATCH`] or [`TASK_NONE`].
    pub task_type: String,
    #[serde(default)]
    pub task_data: Option<TaskData>,
    /// Unix seconds.
    #[serde(default)]
    pub timestamp: Option<f64>,
    /// Extension: only for who asked with `market_tasks_held`.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "market_task::given")]
    pub market_tasks: Vec<MarketTask>,
    #[serde(default = "schema_version")]
    pub schema_version: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskData {
    #[serde(default)]
    pub challenges: Vec<ChallengeSpec>,
}

impl TaskResponse {
    /// The answer that hands these challenges out; with none of them, the answer that says so.
    pub fn new(challenges: Vec<ChallengeSpec>, now: Wall) -> TaskResponse {
        let none = challenges.is_empty();
        TaskResponse {
            task_type: if none { TASK_NONE } else { TASK_BATCH }.into(),
            task_data: (!none).then_some(TaskData { challenges }),
            timestamp: Some(now.as_secs_f64()),
            market_tasks: Vec::new(),
            schema_version: SCHEMA_VERSION,
        }
    }
    /// The challenges handed out; none under a task type that we do not know.
    pub fn challenges(self) -> Vec<ChallengeSpec> {
        let batch = self.task_type == TASK_BATCH;
        self.task_data.filter(|_| batch).map(|data| data.challenges).unwrap_or_default()
    }
}

/// One challenge, for one worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChallengeSpec {
    pub challenge_id: ChallengeId,
    /// `cpu_matrix`, `gpu_matrix`, `gemm_i8`, or what a later version brings.
    pub challenge_type: String,
    /// A [`ChallengeData`] or another type's, passed on to the worker as sent.
    pub data: Raw,
    /// Seconds, 1 … 300.
    #[serde(deserialize_with = "whole::deserialize")]
    pub timeout: u32,
    pub target_worker_id: WorkerId,
}

/// What is to be computed. The fields behind `iterations` are for people and logs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChallengeData {
    pub challenge_type: String,
    /// Rows and columns, 1 … [`crate::wire::limits::MATRIX_SIZE`].
    #[serde(deserialize_with = "matrix_size")]
    pub matrix_size: u32,
    #[serde(with = "seed")]
    pub seed: [u8; 16],
    /// At least 1.
    #[serde(default = "one")]
    pub iterations: u32,
    /// GPU only: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<i64>,
    /// GPU only: −1, all of the worker's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_gpu_id: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenge_id: Option<ChallengeId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_id: Option<WorkerId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub miner_hotkey: Option<String>,
    /// `round_` and Unix seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_id: Option<String>,
}

impl ChallengeData {
    pub fn read(raw: &Raw) -> Result<ChallengeData, JsonFault> {
        let data: ChallengeData = raw.read()?;
        if data.iterations == 0 {
            return Err(JsonFault::Shape("iterations is 0".into()));
        }
        Ok(data)
    }
}

fn one() -> u32 {
    1
}

fn matrix_size<'de, D: serde::Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    let size = u32::deserialize(from)?;
    match (1..=crate::wire::limits::MATRIX_SIZE).contains(&size) {
        true => Ok(size),
        false => Err(serde::de::Error::custom(format!("matrix_size {size}"))),
    }
}

/// 16 bytes as 32 hex digits.
mod seed {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(seed: &[u8; 16], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&hex::encode(seed))
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 16], D::Error> {
        let text = String::deserialize(from)?;
        let mut seed = [0; 16];
        hex::decode_to_slice(&text, &mut seed).map_err(|_| D::Error::custom("seed is no 32 hex digits"))?;
        Ok(seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json;

    fn data(text: &str) -> Result<ChallengeData, JsonFault> {
        ChallengeData::read(&json::parse(text)?)
    }

    #[test]
    fn a_challenge_without_a_usable_size_seed_or_count_is_refused() {
        let seed = "000102030405060708090a0b0c0d0e0f";
        let good = format!(r#"{{"challenge_type":"cpu_matrix","matrix_size":110,"seed":"{seed}","iterations":1}}"#);
        assert_eq!(data(&good).unwrap().seed[15], 15);
        for (from, to) in [("110", "0"), ("110", "70000"), ("110", "1.5"), (":1}", ":0}"), (seed, "00"), (seed, "zz")] {
            assert!(data(&good.replace(from, to)).is_err(), "{from} → {to}");
        }
    }

    #[test]
    fn no_challenges_is_no_task() {
        let none = TaskResponse::new(vec![], Wall::from_secs(1));
        assert_eq!(json::text(&none), r#"{"task_type":"no_task","task_data":null,"timestamp":1.0,"schema_version":1}"#);
        assert_eq!(none.challenges(), []);
    }
}
