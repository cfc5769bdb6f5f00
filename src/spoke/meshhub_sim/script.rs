//! What the hub does by itself: leases from the start, and calls of its own methods at their times.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use serde::Deserialize;
use serde_json::Value as Json;

use super::control::METHODS;
use crate::{
    units::Mono,
    wire::json::{self, JsonFault},
};

/// Longest time of a script: a year.
const AT_MAX_S: f64 = 366.0 * 86_400.0;

/// Why a file is no script.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    #[error(
        "no script ({{\"leases\": {{\"hotkey:worker\": score}}, \"events\": [{{\"at_s\", \"method\", \"params\"}}]}}): {0}"
    )]
    Shape(#[from] JsonFault),
    #[error("event {number}: no method is called {method:?}; byteleap meshhub-sim --help lists them")]
    Method { number: usize, method: String },
    #[error("event {number}: at_s is {at_s}, but may be 0 to {AT_MAX_S}")]
    Time { number: usize, at_s: f64 },
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// By worker key, as they are to be published: a hub under test may also say what is no score.
    #[serde(default)]
    pub leases: BTreeMap<String, Json>,
    /// In the order of their times.
    #[serde(default)]
    events: VecDeque<Event>,
}

/// A call, so long after the start.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Event {
    at_s: f64,
    pub method: String,
    #[serde(default)]
    pub params: Json,
}

impl Script {
    pub fn read(text: &str) -> Result<Script, ScriptError> {
        let mut script: Script = json::object(text)?;
        for (number, event) in (1..).zip(&script.events) {
            let Event { at_s, method, .. } = event;
            if !METHODS.iter().any(|(name, ..)| name == method) {
                return Err(ScriptError::Method { number, method: method.clone() });
            }
            if !(0.0..=AT_MAX_S).contains(at_s) {
                return Err(ScriptError::Time { number, at_s: *at_s });
            }
        }
        script.events.make_contiguous().sort_by(|one, other| one.at_s.total_cmp(&other.at_s));
        Ok(script)
    }

    pub(super) fn next(&self, started: Mono) -> Option<Mono> {
        self.events.front().map(|event| started + Duration::from_secs_f64(event.at_s))
    }

    /// The next event, once its time has come.
    pub(super) fn pop(&mut self, started: Mono, now: Mono) -> Option<Event> {
        if self.next(started)? <= now { self.events.pop_front() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_their_times() {
        let text = r#"{"leases": {"a:b": 0.5}, "events": [{"at_s": 2, "method": "sim_close"}, {"at_s": 0.5, "method": "sim_outage", "params": [1]}]}"#;
        let mut script = Script::read(text).unwrap();
        let start = Mono(7);
        assert_eq!(script.next(start), Some(start + Duration::from_millis(500)));
        assert!(script.pop(start, start).is_none());
        assert_eq!(script.pop(start, start + Duration::from_secs(1)).unwrap().method, "sim_outage");
        assert_eq!(script.pop(start, start + Duration::from_secs(9)).unwrap().method, "sim_close");
        assert_eq!(script.next(start), None);
    }

    #[test]
    fn what_is_no_script_is_named() {
        let fault = |text: &str| Script::read(text).unwrap_err().to_string();
        assert!(fault("[]").starts_with("no script"));
        assert!(fault(r#"{"lease": {}}"#).contains("unknown field `lease`"));
        assert!(
            fault(r#"{"events": [{"at_s": 1, "method": "sim_x"}]}"#).contains("event 1: no method is called \"sim_x\"")
        );
        assert!(fault(r#"{"events": [{"at_s": -1, "method": "sim_close"}]}"#).contains("event 1: at_s is -1"));
    }
}
