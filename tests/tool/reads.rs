//! What is asked of the chain: info, preflight, metagraph, weights; and what is wrong with a question.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::stage::{Stage, run, wallet_of};

#[test]
fn the_metagraph_is_a_table_and_an_object() {
    let stage = Stage::start(&json!({}));
    let ended = stage.chain("metagraph", &[]);
    assert_eq!(ended.status, Some(0), "{}", ended.err);
    let lines: Vec<&str> = ended.out.lines().collect();
    assert!(lines[0].starts_with("subnet 128 at block ") && lines[0].ends_with(", 2 neurons"), "{}", lines[0]);
    assert!(lines[1].starts_with("uid  hotkey") && lines.len() == 4, "{}", ended.out);
    assert!(lines[2].contains(stage.validator.as_str()) && lines[2].contains("8.8.8.8:9091"), "{}", lines[2]);
    let graph = stage.json("metagraph", &[]);
    assert_eq!(graph["neurons"][1]["hotkey"], json!(stage.miner));
    assert_eq!(graph["neurons"][0]["stake_tao"], 20_000.0);
    assert_eq!(graph["hyperparameters"]["tempo"], 360);
}

#[test]
fn info_says_what_the_node_the_subnet_and_the_hotkey_are_like() {
    let stage = Stage::start(&json!({"weights_rate_limit": 7, "serving_rate_limit": 9}));
    let info = stage.json("info", &["--hotkey", stage.validator.as_str()]);
    assert_eq!(info["node"]["chain"], "Subtensor (simulated)");
    assert_eq!(info["node"]["spec_version"], 425);
    assert!(info["node"]["genesis"].as_str().is_some_and(|hash| hash.len() == 66), "{info}");
    assert_eq!(info["subnet"]["hyperparameters"]["weights_rate_limit"], 7);
    assert!(info["subnet"]["weights_path"].as_str().is_some_and(|path| path.starts_with("in the open")), "{info}");
    assert_eq!(info["hotkey"]["registered"], true);
    assert_eq!(info["hotkey"]["neuron"]["uid"], 0);
    let text = stage.chain("info", &["--hotkey", stage.validator.as_str()]).out;
    assert!(text.contains("agrees with the chain's"), "{text}");
    for heading in ["node\n", "subnet 128 at block ", &format!("hotkey {}\n", stage.validator)] {
        assert!(text.contains(heading), "{text}");
    }
}

#[test]
fn a_hotkey_that_is_not_registered_is_told_what_to_run() {
    let stage = Stage::start(&json!({}));
    let stranger = byteleap::wallet::create(&wallet_of(&stage.dir, "stranger")).unwrap().hotkey;
    let wallets = stage.wallets();
    let of = stage.wallet("stranger", &wallets);
    let told = format!("byteleap chain register --burned --hotkey {stranger} --network {}", stage.url);
    let info = stage.chain("info", &of);
    assert_eq!(info.status, Some(0), "{}", info.err);
    assert!(info.out.contains("registered  no; run `") && info.out.contains(&told), "{}", info.out);
    assert_eq!(stage.json("info", &of)["hotkey"]["registered"], false);
    let weights = stage.chain("weights", &of);
    assert_eq!(weights.status, Some(1));
    assert!(
        weights.err.contains("registered in subnet 128: no; run `") && weights.err.contains(&told),
        "{}",
        weights.err
    );
}

#[test]
fn every_name_that_is_used_is_in_the_preflight() {
    let stage = Stage::start(&json!({}));
    let preflight = stage.json("preflight", &[]);
    assert_eq!((&preflight["good"], &preflight["spec_version"]), (&json!(true), &json!(425)));
    let rows = preflight["rows"].as_array().unwrap();
    let named = |name: &str| rows.iter().any(|row| row["name"].as_str().is_some_and(|of| of.ends_with(name)));
    assert!(["set_weights", "serve_axon", "get_metagraph"].iter().all(|name| named(name)), "{preflight}");
    let text = stage.chain("preflight", &[]).out;
    assert!(text.lines().nth(1).is_some_and(|line| line.starts_with("kind ")), "{text}");
    assert_eq!(text.lines().count(), rows.len() + 2, "{text}");
}

#[test]
fn weights_are_ours_by_default_and_anybodys_by_uid() {
    let stage = Stage::start(&json!({}));
    let wallets = stage.wallets();
    let ours = stage.json("weights", &stage.wallet("validator", &wallets));
    assert_eq!((&ours["uid"], &ours["weights"], &ours["commits"]), (&json!(0), &json!([]), &json!([])));
    assert_eq!(stage.json("weights", &["--uid", "1"])["hotkey"], json!(stage.miner));
    let nobody = stage.chain("weights", &["--uid", "7"]);
    assert_eq!(nobody.status, Some(1));
    assert!(nobody.err.contains("no neuron has uid 7 in subnet 128"), "{}", nobody.err);
    let unsaid = stage.chain("weights", &[]);
    assert_eq!(unsaid.status, Some(78));
    assert!(unsaid.err.contains("whose weights?"), "{}", unsaid.err);
}

/// Without a network's name, the main network's must not be put in its place.
#[test]
fn what_is_proposed_leads_to_the_same_chain() {
    let stage = Stage::start(&json!({}));
    let stranger = byteleap::wallet::create(&wallet_of(&stage.dir, "stranger")).unwrap().hotkey;
    let of = ["--hotkey", stranger.as_str()];
    let asked =
        [["chain", "info", "--endpoint", "http://127.0.0.1:9", "--endpoint", &stage.url].as_slice(), &of].concat();
    let info = run(&asked, "");
    let run_this = format!("--hotkey {stranger} --endpoint http://127.0.0.1:9 --endpoint {} --netuid 128", stage.url);
    assert!(info.out.contains(&run_this) && !info.out.contains("finney"), "{}", info.out);
    let answered: Vec<_> = info.out.lines().filter(|line| line.contains("answered by")).collect();
    assert!(answered.len() == 1 && answered[0].ends_with(&stage.url), "{}", info.out);
    let config = json!({"netuid": 7, "subtensor": {"network": "finney", "endpoints": [stage.url]}});
    let config = stage.write("other.yaml", &config.to_string());
    let other = run(&["chain", "metagraph", "--config", &config], "");
    assert_eq!(other.status, Some(78));
    assert!(other.err.contains("this is another chain"), "{}", other.err);
}

#[test]
fn a_daemons_configuration_says_which_chain_and_whose_hotkey() {
    let stage = Stage::start(&json!({}));
    let settings = json!({
        "netuid": 128,
        "subtensor": {"network": stage.url},
        "wallet": {"path": stage.wallets(), "name": "miner"},
        "worker_management": {"port": 7799},
    });
    let config = stage.write("miner.yaml", &settings.to_string());
    let ended = run(&["chain", "info", "--json", "--config", &config], "");
    assert_eq!(ended.status, Some(0), "{}", ended.err);
    let info: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(info["hotkey"]["hotkey"], json!(stage.miner));
    let bad = stage.write("bad.yaml", "subtensor: {network: finnney}\n");
    let ended = run(&["chain", "info", "--config", &bad], "");
    assert_eq!(ended.status, Some(78));
    assert!(ended.err.contains("bad.yaml") && ended.err.contains("subtensor.network: is \"finnney\""), "{}", ended.err);
}

#[test]
fn what_is_wrong_with_a_question_is_named() {
    let closed = run(&["chain", "metagraph", "--network", "http://127.0.0.1:9"], "");
    assert_eq!(closed.status, Some(1));
    assert!(closed.err.contains("http://127.0.0.1:9"), "{}", closed.err);
    let unknown = run(&["chain", "metagraph", "--network", "finnney"], "");
    assert_eq!(unknown.status, Some(78));
    assert!(unknown.err.contains("allowed: finney, test, local, or the URL of a node"), "{}", unknown.err);
    let stage = Stage::start(&json!({}));
    let elsewhere = stage.chain("metagraph", &["--netuid", "7"]);
    assert_eq!(elsewhere.status, Some(1));
    assert!(elsewhere.err.contains("subnet 7 does not exist"), "{}", elsewhere.err);
}

/// `byteleap wallet show | head -1`: the reader has what it wanted, so nothing is wrong.
#[test]
fn a_reader_that_leaves_early_is_no_fault() {
    let stage = Stage::start(&json!({}));
    let mut child = Command::new(env!("CARGO_BIN_EXE_byteleap"))
        .args(["chain", "preflight", "--json", "--network", &stage.url])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::with_capacity(1, child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stderr));
}

#[test]
fn a_key_file_that_others_can_read_is_named_with_its_remedy() {
    use std::{fs, os::unix::fs::PermissionsExt};
    let stage = Stage::start(&json!({}));
    let path = byteleap::wallet::hotkey_path(&wallet_of(&stage.dir, "validator")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let wallets = stage.wallets();
    let arguments = [&["wallet", "show"], stage.wallet("validator", &wallets).as_slice()].concat();
    let ended = run(&arguments, "");
    assert_eq!(ended.status, Some(0));
    let told = format!("{0} can be read by others than its owner: `chmod 600 {0}`", path.display());
    assert!(ended.err.contains(&told), "{}", ended.err);
}
