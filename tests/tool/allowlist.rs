//! The firewall's list: from the metagraph to a file that is replaced whole or not at all.

use std::fs;

use serde_json::json;

use crate::stage::{Stage, run};

#[test]
fn a_list_comes_in_both_forms_and_as_an_object() {
    let stage = Stage::start(&json!({}));
    let plain = stage.chain("allowlist", &["--for", "miner", "--format", "plain"]);
    assert_eq!((plain.status, plain.out.as_str()), (Some(0), "8.8.8.8\n"), "{}", plain.err);
    let nft = stage.chain("allowlist", &["--for", "validator", "--private", "--port", "9091"]).out;
    assert!(nft.contains("set v4 { type ipv4_addr; elements = { 8.8.8.8, 192.168.1.1 } }"), "{nft}");
    assert!(nft.contains("tcp dport 9091 ct state new ip saddr != @v4 counter drop"), "{nft}");
    let bare = |format| stage.chain("allowlist", &["--format", format]);
    assert_eq!((bare("plain").status, bare("plain").out.as_str()), (Some(0), "8.8.8.8\n"));
    assert!(bare("nft").out.contains("set v4 { type ipv4_addr; elements = { 8.8.8.8 } }"), "a validator's, by default");
    let object = stage.json("allowlist", &["--for", "validator"]);
    assert_eq!((&object["addresses"], &object["unreachable"]), (&json!(["8.8.8.8"]), &json!(1)));
}

#[test]
fn a_file_is_replaced_by_a_good_list_and_kept_from_a_bad_one() {
    let stage = Stage::start(&json!({}));
    let path = stage.write("allow.txt", "1.2.3.4\n");
    let to_file = |more: &[&str]| {
        let fixed = ["--for", "miner", "--format", "plain", "--output", &path];
        stage.chain("allowlist", &[&fixed, more].concat())
    };
    let bad = to_file(&["--min-stake", "1000000"]);
    assert_eq!(bad.status, Some(1));
    assert!(bad.err.contains("nothing was written: 0 addresses, 1 at least"), "{}", bad.err);
    assert_eq!(fs::read_to_string(&path).unwrap(), "1.2.3.4\n");
    let good = to_file(&[]);
    assert_eq!(good.status, Some(0), "{}", good.err);
    assert!(good.out.contains("allow.txt: 1 addresses of block "), "{}", good.out);
    assert_eq!(fs::read_to_string(&path).unwrap(), "8.8.8.8\n");
    assert_eq!(to_file(&["--at-least", "2"]).status, Some(1));
    let closed = run(&["chain", "allowlist", "--for", "miner", "--network", "http://127.0.0.1:9", "-o", &path], "");
    assert_eq!(closed.status, Some(1));
    assert_eq!(fs::read_to_string(&path).unwrap(), "8.8.8.8\n");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let stage = Stage::start(&json!({}));
    let miner = stage.chain("allowlist", &["--for", "miner", "--port", "9091"]);
    assert_eq!(miner.status, Some(78));
    assert!(miner.err.contains("--port goes with --for validator"), "{}", miner.err);
    let silent = Stage::with(&json!({}), false).chain("allowlist", &["--for", "validator"]);
    assert_eq!((silent.status, silent.out.as_str()), (Some(1), ""));
    assert!(silent.err.contains("(2 announce none, 0 one that nobody reaches)"), "{}", silent.err);
}
