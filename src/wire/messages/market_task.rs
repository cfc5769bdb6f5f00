//! Tasks of the marketplace in the task poll: an extension, seen only by those who both know it.
//!
//! A miner that takes such tasks says so in each poll: `market_tasks_held` lists the keys of those that it has of this
//! validator, and is empty while it has none. A validator that knows the field puts into its answer, as `market_tasks`, tasks
//! of that miner's workers that are not in the list, the highest `priority` first, then the oldest. Nobody keeps a state of
//! the talk: an answer that was lost is given again with the next poll, and so is all to a miner that was started anew; a
//! key that is listed is the word that its task has arrived. Without the field a poll is answered as it always was, to the
//! byte, and without tasks the answer has no such field.
//!
//! Bounds: [`limits::MARKET_TASKS_HELD`] keys, and so many tasks of one validator at a miner: what is over waits at the
//! validator until some of these expired; [`limits::MARKET_TASKS_ANSWER`] tasks of [`limits::MARKET_TASKS_BYTES`] an
//! answer, and never less than one.

use serde::{Deserialize, Deserializer, Serialize};

use crate::{
    units::{Wall, WorkerId},
    wire::{
        json::{self, Raw},
        limits,
    },
};

/// One task, for one worker of the miner that asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MarketTask {
    /// The marketplace's name for it.
    pub task_key: String,
    pub worker_id: WorkerId,
    pub task_type: String,
    /// An object, as the marketplace sent it.
    pub payload: Raw,
    pub priority: i64,
    /// Unix seconds, by the validator's clock.
    pub expires_at: f64,
}

impl MarketTask {
    /// What of it breaks a bound. Its sender is not believed.
    pub fn fault(&self) -> Option<&'static str> {
        let within = |text: &str, most: usize| (1..=most).contains(&text.len());
        if !within(&self.task_key, limits::TASK_KEY_BYTES) {
            return Some("its key is empty or too long");
        }
        if !within(self.worker_id.as_str(), limits::WORKER_ID_BYTES) {
            return Some("its worker id is empty or too long");
        }
        if self.task_type.len() > limits::TASK_KEY_BYTES {
            return Some("its type is too long");
        }
        if [&self.task_key, self.worker_id.as_str(), &self.task_type]
            .iter()
            .any(|text| text.chars().any(char::is_control))
        {
            return Some("its key, type or worker id holds control characters");
        }
        match self.payload.as_str().len() > limits::TASK_PAYLOAD_BYTES {
            true => Some("its payload is too long"),
            false => (!self.expires_at.is_finite()).then_some("it expires at no time"),
        }
    }

    /// The moment of `expires_at`; what lies before the epoch is the epoch.
    pub fn expires(&self) -> Wall {
        Wall((self.expires_at.max(0.0) * 1e9) as u64)
    }
}

/// Keys of a poll, when it has the field.
pub(super) fn held<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<String>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(transparent)]
    struct Keys(#[serde(deserialize_with = "json::at_most::<_, _, { limits::MARKET_TASKS_HELD }>")] Vec<String>);

    let Some(Keys(keys)) = Option::<Keys>::deserialize(from)? else { return Ok(None) };
    match keys.iter().find(|key| key.len() > limits::TASK_KEY_BYTES) {
        Some(_) => Err(serde::de::Error::custom(format!("a task key of more than {} bytes", limits::TASK_KEY_BYTES))),
        None => Ok(Some(keys)),
    }
}

/// Tasks of an answer.
pub(super) fn given<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<MarketTask>, D::Error> {
    json::at_most::<_, _, { limits::MARKET_TASKS_ANSWER }>(from)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::wire::messages::{TaskRequest, TaskResponse, parse_request};

    fn task() -> MarketTask {
        MarketTask {
            task_key: "task-1".into(),
            worker_id: WorkerId::new("w00"),
            task_type: "vm_creation".into(),
            payload: json::parse(r#"{ "cpu": 2 }"#).unwrap(),
            priority: 3,
            expires_at: 1_800_000_060.5,
        }
    }

    #[test]
    fn a_task_is_written_with_its_payload_as_sent_and_read_back() {
        let response = TaskResponse { market_tasks: vec![task()], ..TaskResponse::new(vec![], Wall::from_secs(1)) };
        let text = json::text(&response);
        let expected = concat!(
            r#"{"task_type":"no_task","task_data":null,"timestamp":1.0,"market_tasks":[{"task_key":"task-1","#,
            r#""worker_id":"w00","task_type":"vm_creation","payload":{ "cpu": 2 },"priority":3,"expires_at":1800000060.5}],"#,
            r#""schema_version":1}"#
        );
        assert_eq!(text, expected);
        assert_eq!(json::object::<TaskResponse>(&text).unwrap(), response);
        assert_eq!(task().expires(), Wall(1_800_000_060_500_000_000));
    }

    #[test]
    fn lists_have_bounds() {
        let poll = |held: serde_json::Value| {
            let request = json!({"hotkey": "h", "request_type": "challenge", "market_tasks_held": held});
            parse_request::<TaskRequest>(&request.to_string()).map(|request| request.market_tasks_held)
        };
        assert_eq!(poll(json!(["a", "b"])).unwrap(), Some(vec!["a".into(), "b".into()]));
        assert_eq!(poll(json!([])).unwrap(), Some(vec![]));
        assert_eq!(poll(json!(null)).unwrap(), None);
        assert!(poll(json!(vec!["k"; limits::MARKET_TASKS_HELD])).is_ok());
        for bad in [json!(vec!["k"; limits::MARKET_TASKS_HELD + 1]), json!(["k".repeat(257)]), json!([7]), json!("k")] {
            assert_eq!(poll(bad).unwrap_err().code(), 4015);
        }
        let many = vec![task(); limits::MARKET_TASKS_ANSWER + 1];
        let text = json::text(&TaskResponse { market_tasks: many, ..TaskResponse::new(vec![], Wall(0)) });
        assert!(json::object::<TaskResponse>(&text).is_err());
    }

    #[test]
    fn what_breaks_a_bound_is_named() {
        assert_eq!(task().fault(), None);
        let payload: Raw = json::parse(&json!({"x": "y".repeat(limits::TASK_PAYLOAD_BYTES)}).to_string()).unwrap();
        for bad in [
            MarketTask { task_key: String::new(), ..task() },
            MarketTask { worker_id: WorkerId::new(""), ..task() },
            MarketTask { task_type: "t".repeat(257), ..task() },
            MarketTask { payload, ..task() },
            MarketTask { task_key: "a\nb".into(), ..task() },
            MarketTask { expires_at: f64::INFINITY, ..task() },
        ] {
            assert!(bad.fault().is_some(), "{bad:?}");
        }
        assert_eq!(MarketTask { expires_at: -5.0, ..task() }.expires(), Wall(0));
    }
}
