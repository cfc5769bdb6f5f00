//! The devnet's simulated marketplace: whom it leases, and what it heard.

use byteleap::{
    devnet::site::{self, Plan, Site},
    wire::marketplace::kind,
};
use serde_json::{Map, Value, json};

/// How much of each leased worker is leased.
const SCORE: f64 = 0.8;

/// A script that leases the first `leased` workers from the start.
pub fn leases(site: &Site, plan: &Plan, leased: usize) -> Value {
    let workers = (0..plan.miners).flat_map(|miner| (0..plan.workers).map(move |worker| (miner, worker)));
    let key = |(miner, worker): (usize, usize)| {
        (format!("{}:{}", site.miners[miner].hotkey, site::worker_id(miner, worker)), json!(SCORE))
    };
    json!({"leases": workers.take(leased).map(key).collect::<Map<String, Value>>()})
}

/// How many messages of each type the hub heard of the validator, or why it did not say.
pub fn heard(url: &str) -> Value {
    let of_type =
        |kind: &str| asked(url, &json!([kind])).map(|answer| answer["records"].as_array().map_or(0, Vec::len));
    let all = || -> Result<Value, String> {
        Ok(json!({
            "score": SCORE,
            "heartbeats": of_type(kind::HEARTBEAT)?,
            "score_reports": of_type(kind::SCORE_REPORT)?,
            "faults": of_type("fault")?,
        }))
    };
    all().unwrap_or_else(|why| json!({"unheard": why}))
}

fn asked(url: &str, params: &Value) -> Result<Value, String> {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "sim_received", "params": params}).to_string();
    let mut answer = ureq::post(url).send(body).map_err(|why| why.to_string())?;
    let text = answer.body_mut().read_to_string().map_err(|why| why.to_string())?;
    let mut answer: Value = serde_json::from_str(&text).map_err(|why| why.to_string())?;
    Ok(answer["result"].take())
}
