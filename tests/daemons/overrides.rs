//! A real hub's updates of the configuration: taken whole or not at all, there after a kill, listed, taken back.

use std::process::{Command, Output};

use byteleap::{devnet::Fault, wire::marketplace::kind};
use serde_json::{Value, json};

use crate::meshhub::{Stage, start, start_roles};

const KEY: &str = "validation.proof_queue_max_size";

impl Stage {
    fn overrides(&self, more: &[&str]) -> Output {
        let config = self.subnet.site.config_path("validator");
        let mut tool = Command::new(env!("CARGO_BIN_EXE_byteleap"));
        tool.args(["config", "overrides", "--config"]).arg(config).args(more).output().expect("the tool runs")
    }

    /// The changes that the tool lists.
    fn listed(&self, more: &[&str]) -> Value {
        let output = self.overrides(&[&["--json"], more].concat());
        let said = serde_json::from_slice(&output.stdout);
        said.unwrap_or_else(|why| panic!("{why}: {}", String::from_utf8_lossy(&output.stderr)))
    }

    /// Offers an update, and what became of it.
    fn offered(&mut self, payload: &Value) -> Value {
        let before = self.heard(kind::ACK);
        self.hub("sim_config", &json!([payload]));
        self.until("the acknowledgement", |stage| stage.heard(kind::ACK) > before);
        self.hub("sim_received", &json!([kind::ACK]))["records"][before]["data"].clone()
    }
}

#[test]
fn an_update_survives_a_kill_is_listed_and_taken_back() -> Result<(), Fault> {
    let dir = tempfile::tempdir().expect("a directory");
    let mut stage = start(dir.path(), |_, _| {});
    stage.until("the session", |stage| stage.sessions() == 1);
    let update = json!({"validation": {"proof_queue_max_size": 900, "verification_concurrent": 3}});
    let ack = stage.offered(&update);
    assert_eq!((&ack["status"], &ack["messageId"]), (&json!("accepted"), &json!("cfg-1")), "{ack}");
    assert_eq!(ack["metadata"], json!({"restart": ["validation.verification_concurrent"]}));
    let line = format!("{KEY}: 1000 -> 900 (marketplace, message cfg-1)");
    stage.until("the line of the change", |stage| stage.log().contains(&line));

    let half = json!({"validation": {"proof_queue_max_size": 800, "proof_timeout": 1e9}});
    let ack = stage.offered(&half);
    assert_eq!(ack["status"], "failed", "{ack}");
    let why = ack["metadata"]["error"].as_str().expect("a reason");
    assert!(why.contains("validation.proof_timeout") && why.contains("0.1 to 3600"), "{why}");

    stage.subnet.kill("validator")?;
    stage.subnet.restart("validator")?;
    let again = format!("{KEY}: 1000 -> 900 (marketplace, message cfg-1, before this start)");
    stage.until("the change after the kill", |stage| stage.log().contains(&again));
    stage.until("the session after the kill", |stage| stage.sessions() == 1);
    let all = stage.listed(&[]);
    let [queue, verifiers] = &all["overrides"].as_array().expect("a list")[..] else { panic!("{all}") };
    assert_eq!((&queue["key"], &queue["file"], &queue["override"]), (&json!(KEY), &json!(1000), &json!(900)));
    assert_eq!((&verifiers["override"], &verifiers["message"]), (&json!(3), &json!("cfg-1")));

    // One while it runs: it has it until its next start.
    let taken = stage.listed(&["--revert", KEY]);
    assert_eq!(taken["reverted"], json!({"keys": [KEY], "running": true}));
    assert!(taken["overrides"][0]["reverted"].is_string(), "{taken}");
    stage.subnet.kill("validator")?;
    stage.subnet.restart("validator")?;
    stage.until("the start that ends it", |stage| {
        stage.listed(&[])["overrides"].as_array().is_some_and(|all| all.len() == 1)
    });

    // What the marketplace did not change cannot be taken back.
    let unknown = stage.overrides(&["--revert", "validation.challenge_interval"]);
    assert_eq!(unknown.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("did not change it; nothing was taken back"));

    // The rest while it does not run: at once.
    stage.subnet.stop()?;
    let taken = stage.listed(&["--all"]);
    assert_eq!(taken["reverted"], json!({"keys": ["validation.verification_concurrent"], "running": false}));
    assert_eq!(taken["overrides"], json!([]));
    let past = taken["history"].as_array().expect("a list").iter();
    let past: Vec<Value> = past.map(|one| json!([one["key"], one["old"], one["new"]])).collect();
    let verifiers = "validation.verification_concurrent";
    let took = [json!([KEY, 1000, 900]), json!([verifiers, past[1][1], 3])];
    let back = [json!([KEY, 900, null]), json!([verifiers, 3, null])];
    assert_eq!(past, [took, back].concat());
    let text = stage.overrides(&[]).stdout;
    assert!(String::from_utf8_lossy(&text).starts_with("the marketplace changed nothing"));
    Ok(())
}

#[test]
fn what_was_scored_before_and_after_a_change_is_the_same_again() -> Result<(), Fault> {
    let dir = tempfile::tempdir().expect("a directory");
    let mut stage = start_roles(dir.path(), &["validator", "miner", "worker"], |subnet, _| {
        subnet.start_hub(&json!({"leases": {}})).expect("a hub")
    });
    stage.until("scores", |stage| stage.heard(kind::SCORE_REPORT) > 3);
    let update = json!({
        "validation": {"ranking_window_minutes": 60, "participation_rate_threshold": 0.5, "challenge_interval": 2},
        "weight_management": {"score_weights": {"lease_weight": 0.25}, "availability": {"window_hours": 24}},
    });
    assert_eq!(stage.offered(&update)["status"], "accepted");
    let before = stage.heard(kind::SCORE_REPORT);
    stage.until("other scores", |stage| stage.heard(kind::SCORE_REPORT) > before + 4);
    stage.subnet.stop()?;
    let database = stage.subnet.site.database_path();
    let mut replay = Command::new(env!("CARGO_BIN_EXE_byteleap"));
    let replay =
        replay.args(["replay", "--all", "--json", "--database"]).arg(database).output().expect("the tool runs");
    let said: Value = serde_json::from_slice(&replay.stdout).expect("one object");
    assert_eq!((replay.status.code(), &said["identical"]), (Some(0), &json!(true)), "{said}");
    let scores = said["compared"].as_array().expect("a list").iter().filter(|one| one["of"] == "scores");
    let shares: Vec<f64> = scores.filter_map(|one| one["policy"]["lease_weight"].as_f64()).collect();
    assert!(shares.first() == Some(&0.7) && shares.last() == Some(&0.25), "{shares:?}");
    Ok(())
}

#[test]
fn a_validator_that_refuses_says_so_and_changes_nothing() -> Result<(), Fault> {
    let dir = tempfile::tempdir().expect("a directory");
    let mut stage = start(dir.path(), |_, settings| settings["configuration"] = json!("refuse"));
    stage.until("the session", |stage| stage.sessions() == 1);
    let ack = stage.offered(&json!({"validation": {"proof_queue_max_size": 900}}));
    assert_eq!(ack["status"], "failed");
    assert!(
        ack["metadata"]["error"].as_str().is_some_and(|why| why.contains("meshhub.configuration: refuse")),
        "{ack}"
    );
    assert_eq!(stage.listed(&[])["overrides"], json!([]));
    stage.subnet.stop()
}
