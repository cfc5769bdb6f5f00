//! What the hub says inside encrypted frames: leases, configuration, tasks.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Body, BodyFault, body, kind, leases::LeasePublish, leases::key_text, malformed};
use crate::{
    units::WorkerKey,
    wire::{
        json::{self, Raw},
        limits,
    },
};

#[derive(Clone, Debug, PartialEq)]
pub enum FromHub {
    /// Never acknowledged.
    Leases(LeasePublish),
    Config(ConfigUpdate),
    Task(TaskPublish),
}

/// `MESH_CONFIG_UPDATE_V1`: what the hub wants changed. Which keys it may name is the machine's to say.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConfigUpdate {
    /// Empty when it was missing. At most [`limits::CONFIG_UPDATE_DEPTH`] deep and [`limits::CONFIG_UPDATE_BYTES`] long.
    pub payload: Map<String, Value>,
}

/// `taskType` of a task that names none.
pub const TASK_TYPE_DEFAULT: &str = "vm_creation";

/// `MESH_TASK_PUBLISH_V1`: work for one worker, passed on as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskPublish {
    /// Names the task; a second one of the same key is the same task.
    pub key: String,
    pub worker: WorkerKey,
    pub task_type: String,
    /// An object.
    pub payload: Raw,
    pub priority: i64,
    /// How long it counts from its arrival; `None`: it says nothing.
    pub ttl: Option<Duration>,
}

impl Body for FromHub {
    fn kind(&self) -> &'static str {
        match self {
            FromHub::Leases(_) => kind::LEASE_PUBLISH,
            FromHub::Config(_) => kind::CONFIG_UPDATE,
            FromHub::Task(_) => kind::TASK_PUBLISH,
        }
    }

    fn to_json(&self) -> String {
        match self {
            FromHub::Leases(leases) => leases.to_json(),
            FromHub::Config(update) => json::text(update),
            FromHub::Task(task) => task.to_json(),
        }
    }

    fn read(kind: &str, plaintext: &str) -> Result<FromHub, BodyFault> {
        match kind {
            kind::LEASE_PUBLISH => LeasePublish::read(plaintext).map(FromHub::Leases),
            kind::CONFIG_UPDATE => ConfigUpdate::read(plaintext).map(FromHub::Config),
            kind::TASK_PUBLISH => TaskPublish::read(plaintext).map(FromHub::Task),
            other => Err(BodyFault::UnknownType(other.chars().take(100).collect())),
        }
    }
}

impl ConfigUpdate {
    fn read(plaintext: &str) -> Result<ConfigUpdate, BodyFault> {
        #[derive(Deserialize)]
        struct Update {
            #[serde(default)]
            payload: Option<Raw>,
        }
        let bad = |why: String| malformed(kind::CONFIG_UPDATE, why);
        let Some(payload) = body::<Update>(kind::CONFIG_UPDATE, plaintext)?.payload else {
            return Ok(ConfigUpdate { payload: Map::new() });
        };
        let bytes = payload.as_str().len();
        if bytes > limits::CONFIG_UPDATE_BYTES {
            return Err(bad(format!("payload of {bytes} bytes, at most {}", limits::CONFIG_UPDATE_BYTES)));
        }
        let payload: Map<String, Value> =
            json::object(payload.as_str()).map_err(|fault| bad(format!("payload: {fault}")))?;
        match payload.values().map(depth).max().unwrap_or(0) < limits::CONFIG_UPDATE_DEPTH {
            true => Ok(ConfigUpdate { payload }),
            false => Err(bad(format!("payload over {} levels deep", limits::CONFIG_UPDATE_DEPTH))),
        }
    }
}

/// Levels of objects and lists; a scalar has none. The reader itself stops at 128.
fn depth(value: &Value) -> usize {
    match value {
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        Value::Array(entries) => 1 + entries.iter().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

impl TaskPublish {
    fn read(plaintext: &str) -> Result<TaskPublish, BodyFault> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Keyed {
            #[serde(default)]
            task_key: Option<String>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Rest {
            #[serde(with = "key_text")]
            worker_key: WorkerKey,
            #[serde(default)]
            task_type: Option<String>,
            #[serde(default)]
            payload: Option<Raw>,
            #[serde(default)]
            priority: Option<i64>,
            #[serde(default)]
            ttl: Option<u64>,
        }
        let key = body::<Keyed>(kind::TASK_PUBLISH, plaintext)?.task_key.filter(|key| !key.is_empty());
        let key = key.ok_or(BodyFault::NoTaskKey)?;
        let rest: Rest = body(kind::TASK_PUBLISH, plaintext)?;
        let payload = rest.payload.map_or_else(|| Raw::of(&Map::<String, Value>::new()), Ok);
        let task = TaskPublish {
            key,
            worker: rest.worker_key,
            task_type: rest.task_type.unwrap_or_else(|| TASK_TYPE_DEFAULT.into()),
            payload: payload.map_err(|fault| malformed(kind::TASK_PUBLISH, fault))?,
            priority: rest.priority.unwrap_or(0),
            ttl: rest.ttl.map(Duration::from_millis),
        };
        task.check().map_err(|why| malformed(kind::TASK_PUBLISH, why))?;
        Ok(task)
    }

    fn check(&self) -> Result<(), String> {
        let within = |what: &str, bytes: usize, most: usize| match bytes <= most {
            true => Ok(()),
            false => Err(format!("{what} of {bytes} bytes, at most {most}")),
        };
        within("taskKey", self.key.len(), limits::TASK_KEY_BYTES)?;
        within("taskType", self.task_type.len(), limits::TASK_KEY_BYTES)?;
        within("payload", self.payload.as_str().len(), limits::TASK_PAYLOAD_BYTES)?;
        match self.payload.as_str().starts_with('{') {
            true => Ok(()),
            false => Err("payload is no object".into()),
        }
    }

    fn to_json(&self) -> String {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Task<'a> {
            task_key: &'a str,
            #[serde(with = "key_text")]
            worker_key: &'a WorkerKey,
            task_type: &'a str,
            payload: &'a Raw,
            priority: i64,
            #[serde(skip_serializing_if = "Option::is_none")]
            ttl: Option<u64>,
        }
        json::text(&Task {
            task_key: &self.key,
            worker_key: &self.worker,
            task_type: &self.task_type,
            payload: &self.payload,
            priority: self.priority,
            ttl: self.ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)),
        })
    }
}
