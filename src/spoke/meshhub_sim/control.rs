//! The methods `sim_*`: what the hub says and what goes wrong, by JSON-RPC or by script. No real hub has them.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Map, Value as Json, json};

use super::{Hub, Outage, conversation::Connection, speech::items};
use crate::{
    spoke::{
        chain::rpc::NodeError,
        subtensor_sim::{
            params::{Params, error, invalid},
            reply,
        },
    },
    wire::marketplace::kind,
};

const METHOD_NOT_FOUND: i64 = -32601;

/// Longest outage by one call: 30 days.
const OUTAGE_MAX_S: f64 = 30.0 * 86_400.0;
/// Leases that the hub keeps; more are refused.
const LEASES_MAX: usize = 300_000;

/// Each of them: its name, its parameters, and what it does.
pub const METHODS: [(&str, &str, &str); 15] = [
    (
        "sim_leases",
        r#"{"hotkey:worker": score, …}"#,
        "sets these leases and publishes them; texts, nulls and numbers outside 0 to 1 go out as they are",
    ),
    ("sim_publish", "", "publishes all leases again"),
    ("sim_config", "{PAYLOAD}", "sends a configuration update; answers with its messageId"),
    (
        "sim_task",
        r#"{"taskKey", "workerKey", "taskType", "payload", "priority", "ttl"}"#,
        "sends a task; answers with its messageId",
    ),
    ("sim_error", r#"CODE[, "MESSAGE"]"#, "sends MESH_ERROR_V1; 4001, 4002, 4011 and 4020 make a validator reconnect"),
    (
        "sim_outage",
        r#"SECONDS[, "closed"|"silent"]"#,
        "the hub is away for so long: everybody is sent away, or nobody gets an answer; 0 ends it",
    ),
    ("sim_close", "", "closes all connections; whoever comes again is welcome"),
    ("sim_replay", "[N]", "sends the newest N frames (1 without N) a second time, byte for byte"),
    ("sim_reorder", "{LEASES}, {LEASES}", "seals two publishes, and sends the second one first"),
    ("sim_tamper", "{LEASES}", "sends a publish with a byte of its ciphertext changed"),
    (
        "sim_mislabel",
        r#"{LEASES}[, "TYPE"]"#,
        "sends a publish whose outer type says TYPE, a configuration update without it",
    ),
    ("sim_say", r#""TEXT""#, "sends a text as it is: no frame, a plain frame, anything"),
    (
        "sim_received",
        r#"["TYPE"|null[, AFTER]]"#,
        "what validators sent: {count, forgotten, records: [{number, at, hotkey, type, data}]}; of one type, with numbers above AFTER, at most 1000",
    ),
    ("sim_forget", "", "forgets what validators sent"),
    ("sim_status", "", "hotkey, outage, leases, and the sessions of validators"),
];

impl Hub {
    /// Answers a JSON-RPC request or batch; nothing for notifications alone.
    pub(super) fn answer(&mut self, body: &[u8]) -> Option<String> {
        reply::to(self, body, &mut |hub, method, params| hub.control(method, params))
    }

    pub(super) fn control(&mut self, method: &str, params: &Json) -> Result<Json, NodeError> {
        let params = Params::new(params)?;
        let told = |many: usize| Ok(json!(many));
        match method {
            "sim_leases" => self.set_leases(&params),
            "sim_publish" => {
                self.publish_all();
                told(self.talking().len())
            }
            "sim_config" => {
                let payload = json!({"payload": object(&params, 0)?});
                self.ask_for_ack("cfg", kind::CONFIG_UPDATE, &payload)
            }
            "sim_task" => {
                let task = Json::Object(object(&params, 0)?.clone());
                self.ask_for_ack("task", kind::TASK_PUBLISH, &task)
            }
            "sim_error" => self.asked_error(&params),
            "sim_outage" => self.asked_outage(&params),
            "sim_close" => {
                let many = self.talking().len();
                self.close_all("asked to");
                told(many)
            }
            "sim_replay" => {
                let count = if params.get(0).is_null() { 1 } else { params.number(0)? };
                told(self.replay(usize::try_from(count).unwrap_or(usize::MAX)))
            }
            "sim_reorder" => {
                let (first, second) = (leases(&params, 0)?, leases(&params, 1)?);
                told(self.reorder(&first, &second))
            }
            "sim_tamper" => told(self.spoil(&leases(&params, 0)?, tamper)),
            "sim_mislabel" => {
                let kind = if params.get(1).is_null() { kind::CONFIG_UPDATE } else { params.text(1)? };
                told(self.spoil(&leases(&params, 0)?, |frame| frame["type"] = kind.into()))
            }
            "sim_say" => {
                let (text, peers) = (params.text(0)?, self.talking());
                peers.iter().for_each(|peer| self.send(*peer, text.to_owned()));
                told(peers.len())
            }
            "sim_received" => {
                let kind = if params.get(0).is_null() { None } else { Some(params.text(0)?) };
                let after = if params.get(1).is_null() { 0 } else { params.number(1)? };
                Ok(self.received.shown(kind, after))
            }
            "sim_forget" => {
                self.received.forget();
                Ok(Json::Null)
            }
            "sim_status" => Ok(self.status()),
            _ => Err(error(METHOD_NOT_FOUND, "Method not found; byteleap meshhub-sim --help lists them")),
        }
    }

    fn set_leases(&mut self, params: &Params) -> Result<Json, NodeError> {
        let given: BTreeMap<String, Json> = object(params, 0)?.clone().into_iter().collect();
        let fresh = given.keys().filter(|key| !self.leases.contains_key(*key)).count();
        if self.leases.len() + fresh > LEASES_MAX {
            return Err(invalid(&format!("more than {LEASES_MAX} leases")));
        }
        let many = self.tell_all(None, kind::LEASE_PUBLISH, &items(given.iter()));
        self.leases.extend(given);
        Ok(json!(many))
    }

    fn ask_for_ack(&mut self, what: &str, kind: &str, data: &Json) -> Result<Json, NodeError> {
        let id = self.message_id(what);
        self.tell_all(Some(&id), kind, data);
        Ok(json!(id))
    }

    fn asked_error(&mut self, params: &Params) -> Result<Json, NodeError> {
        let code = params.get(0).as_i64().ok_or_else(|| invalid("parameter 0 is no error code"))?;
        let message = if params.get(1).is_null() { "simulated" } else { params.text(1)? };
        let peers = self.talking();
        peers.iter().for_each(|peer| self.say_error(*peer, code, message));
        Ok(json!(peers.len()))
    }

    fn asked_outage(&mut self, params: &Params) -> Result<Json, NodeError> {
        let seconds = params.get(0).as_f64().filter(|seconds| (0.0..=OUTAGE_MAX_S).contains(seconds));
        let seconds = seconds.ok_or_else(|| invalid(&format!("parameter 0 is no number of 0 to {OUTAGE_MAX_S}")))?;
        let outage = match params.get(1).as_str() {
            None if params.get(1).is_null() => Outage::Closed,
            Some("closed") => Outage::Closed,
            Some("silent") => Outage::Silent,
            _ => return Err(invalid("parameter 1 is neither \"closed\" nor \"silent\"")),
        };
        let many = self.talking().len();
        match seconds > 0.0 {
            true => self.begin_outage(outage, self.now.mono + Duration::from_secs_f64(seconds)),
            false => self.end_outage(),
        }
        Ok(json!(many))
    }

    fn status(&self) -> Json {
        let sessions: Vec<Json> = self
            .connections
            .iter()
            .filter_map(|(peer, connection)| match connection {
                Connection::Fresh => None,
                Connection::Session(talk) => Some(json!({
                    "peer": peer.to_string(),
                    "validatorHotkey": talk.session.peer(),
                    "sessionId": talk.session.id(),
                    "since": talk.since.wall.as_secs_f64(),
                    "clientVersion": talk.version,
                    "capabilities": talk.capabilities,
                })),
            })
            .collect();
        let outage = self.outage.map(|(outage, until)| {
            json!({"kind": format!("{outage:?}").to_lowercase(), "left_s": until.since(self.now.mono).as_secs_f64()})
        });
        json!({"hotkey": self.key.hotkey(), "outage": outage, "leases": self.leases, "sessions": sessions})
    }
}

fn object<'a>(params: &'a Params, place: usize) -> Result<&'a Map<String, Json>, NodeError> {
    params.get(place).as_object().ok_or_else(|| invalid(&format!("parameter {place} is no object")))
}

/// `data` of a publish, from scores by worker key.
fn leases(params: &Params, place: usize) -> Result<Json, NodeError> {
    Ok(items(object(params, place)?.iter()))
}

/// Another letter in the middle of the ciphertext: still base64.
fn tamper(frame: &mut Json) {
    let Some(Json::String(text)) = frame.pointer_mut("/encrypted/ciphertext") else { return };
    let middle = text.len() / 2;
    let other = if text.as_bytes().get(middle) == Some(&b'A') { "B" } else { "A" };
    text.replace_range(middle..=middle, other);
}
