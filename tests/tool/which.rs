//! Which chain a command speaks with: what the node says of itself, and never what a setting happens to be by default.

use serde_json::{Value, json};

use crate::stage::{Ended, Stage, run, wallet_of};

fn at_endpoint(stage: &Stage, command: &str, arguments: &[&str]) -> Ended {
    run(&[&["chain", command, "--endpoint", &stage.url], arguments].concat(), "")
}

fn genesis(stage: &Stage) -> String {
    let info = stage.json("info", &[]);
    info["node"]["genesis"].as_str().unwrap().to_owned()
}

#[test]
fn whoever_pays_is_told_which_chain_the_node_says_it_is_of() {
    let stage = Stage::start(&json!({}));
    byteleap::wallet::create(&wallet_of(&stage.dir, "stranger")).unwrap();
    let coldkey = byteleap::wallet::hotkey_path(&wallet_of(&stage.dir, "validator")).unwrap().display().to_string();
    let wallets = stage.wallets();
    let whose = stage.wallet("stranger", &wallets);
    let asked = at_endpoint(&stage, "register", &[&whose[..], &["--burned", "--coldkey-file", &coldkey]].concat());
    assert_eq!(asked.status, Some(1), "nobody said yes: {}", asked.err);
    for told in ["Subtensor (simulated)", "no public chain", &genesis(&stage), "spec 425", &stage.url] {
        assert!(asked.err.contains(told), "{told}: {}", asked.err);
    }
    assert!(!asked.err.contains("finney"), "{}", asked.err);
}

#[test]
fn info_says_which_endpoint_answered_and_names_no_network_that_nobody_named() {
    let stage = Stage::start(&json!({}));
    let dead = "http://127.0.0.1:9";
    let ended = run(&["chain", "info", "--endpoint", dead, "--endpoint", &stage.url, "--json"], "");
    assert_eq!(ended.status, Some(0), "{}", ended.err);
    let node = serde_json::from_str::<Value>(&ended.out).unwrap()["node"].take();
    assert_eq!((&node["answered_by"], &node["network"]), (&json!(stage.url), &Value::Null), "{node}");
    assert_eq!((&node["known_as"], &node["endpoints"]), (&Value::Null, &json!([dead, stage.url])), "{node}");
    let text = at_endpoint(&stage, "info", &[]).out;
    assert!(text.contains(&stage.url) && !text.contains("finney"), "{text}");
}

#[test]
fn another_chain_than_the_named_network_is_refused() {
    let stage = Stage::start(&json!({}));
    for command in ["info", "metagraph", "preflight", "allowlist"] {
        let ended = at_endpoint(&stage, command, &["--network", "finney"]);
        assert_eq!((ended.status, ended.out.as_str()), (Some(78), ""), "{command}");
        assert!(ended.err.contains("this is another chain: ") && ended.err.contains("(finney)"), "{}", ended.err);
        assert!(ended.err.contains("--network"), "what to do about it: {}", ended.err);
    }
}

#[test]
fn a_command_that_is_proposed_reaches_the_same_chain() {
    let stage = Stage::start(&json!({}));
    byteleap::wallet::create(&wallet_of(&stage.dir, "stranger")).unwrap();
    let wallets = stage.wallets();
    let weights = at_endpoint(&stage, "weights", &stage.wallet("stranger", &wallets));
    let place = format!("--endpoint {} --netuid 128", stage.url);
    assert!(weights.err.contains(&place) && !weights.err.contains("--network"), "{}", weights.err);
    let settings = json!({
        "subtensor": {"endpoints": [stage.url]},
        "wallet": {"path": wallets, "name": "stranger"},
    });
    let config = stage.write("a validator's.yaml", &settings.to_string());
    let info = run(&["chain", "info", "--config", &config], "");
    assert_eq!(info.status, Some(0), "{}", info.err);
    let quoted = format!("--config '{}'", config.replace('\'', r"'\''"));
    assert!(info.out.contains(&quoted) && !info.out.contains("--network"), "{}", info.out);
}
