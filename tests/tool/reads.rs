//! What is asked of the chain, and what is wrong with a question.

use serde_json::json;

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

#[test]
fn a_key_file_that_others_can_read_is_named_with_its_remedy() {
    use std::{fs, os::unix::fs::PermissionsExt};
    let stage = Stage::start(&json!({}));
    let path = byteleap::wallet::hotkey_path(&wallet_of(&stage.dir, "validator"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let wallets = stage.wallets();
    let arguments = [&["wallet", "show"], stage.wallet("validator", &wallets).as_slice()].concat();
    let ended = run(&arguments, "");
    assert_eq!(ended.status, Some(0));
    let told = format!("{0} can be read by others than its owner: `chmod 600 {0}`", path.display());
    assert!(ended.err.contains(&told), "{}", ended.err);
}
