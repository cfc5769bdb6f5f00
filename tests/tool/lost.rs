//! What is done when a node's answer is lost on the way, or a node fails while an extrinsic is under way: nothing twice,
//! and nobody is left guessing.

use std::io::{BufRead, BufReader, Read};

use serde_json::json;

use crate::stage::{Stage, wallet_of};

const SERVE: [&str; 4] = ["--ip", "192.0.2.7", "--port", "9092"];

#[test]
fn an_announcement_whose_answers_are_lost_is_made_once() {
    let stage = Stage::start(&json!({"serving_rate_limit": 0}));
    stage.control("sim_loseAnswers", &json!(["author_submitExtrinsic", 2]));
    let wallets = stage.wallets();
    let ended = stage.chain("serve", &[&stage.wallet("validator", &wallets)[..], &SERVE].concat());
    assert_eq!(ended.status, Some(0), "{}", ended.err);
    assert_eq!(ended.err.matches("\nsubmit: ").count(), 2, "{}", ended.err);
    assert_eq!(stage.executed(&stage.validator), 1);
    assert!(ended.out.contains("final in block"), "{}", ended.out);
}

#[test]
fn a_place_whose_answers_are_lost_is_paid_once() {
    let stage = Stage::start(&json!({}));
    byteleap::wallet::create(&wallet_of(&stage.dir, "stranger")).unwrap();
    let coldkey = byteleap::wallet::hotkey_path(&wallet_of(&stage.dir, "validator")).unwrap().display().to_string();
    stage.control("sim_loseAnswers", &json!(["author_submitExtrinsic", 3]));
    let wallets = stage.wallets();
    let whose = stage.wallet("stranger", &wallets);
    let paid = ["--burned", "--coldkey-file", &coldkey, "--yes-at-most", "0.1"];
    let bought = stage.json("register", &[&whose[..], &paid].concat());
    assert_eq!((&bought["uid"], &bought["paid_tao"]), (&json!(2), &json!(0.1)));
    assert_eq!(stage.executed(&stage.validator), 1, "its key is the coldkey");
}

#[test]
fn a_node_that_fails_while_an_extrinsic_is_under_way_leaves_nobody_guessing() {
    let stage = Stage::start(&json!({"serving_rate_limit": 0}));
    stage.control("sim_failMethod", &json!(["chain_getBlock", 1000]));
    let wallets = stage.wallets();
    let ended = stage.chain("serve", &[&stage.wallet("validator", &wallets)[..], &SERVE].concat());
    assert_eq!(ended.status, Some(1), "{}", ended.err);
    let (_, hash) = ended.err.split_once("handed in as ").expect("it was handed in");
    let hash = hash.split(';').next().unwrap();
    let last = ended.err.lines().last().unwrap();
    assert!(last.contains("Service is shutting down"), "why: {last}");
    assert!(last.contains(&format!("extrinsic {hash} is under way")), "that it may be done yet, and which: {last}");
    let look = format!("`byteleap chain metagraph --network {} --netuid 128`", stage.url);
    assert!(last.contains(&look), "how to look: {last}");
    stage.control("sim_makeBlocks", &json!([1]));
    assert_eq!(stage.executed(&stage.validator), 1, "it was done all the same");
}

/// Two coldkeys see the same price and hand in for the same block: the first raises the price for the second.
#[test]
fn a_price_that_rises_before_the_block_is_not_paid() {
    let stage = Stage::start(&json!({}));
    stage.control("sim_stall", &json!([true]));
    let wallets = stage.wallets();
    let begun = ["first", "second"].map(|name| {
        byteleap::wallet::create(&wallet_of(&stage.dir, name)).unwrap();
        let coldkey = if name == "first" { "validator" } else { "rich" };
        let coldkey = byteleap::wallet::hotkey_path(&wallet_of(&stage.dir, coldkey)).unwrap().display().to_string();
        let whose = stage.wallet(name, &wallets);
        let paid = ["--burned", "--coldkey-file", &coldkey, "--yes-at-most", "0.11"];
        let mut begun = stage.chain_begun("register", &[&whose[..], &paid].concat());
        let mut said = BufReader::new(begun.stderr.take().unwrap());
        let mut line = String::new();
        while !line.starts_with("handed in as") {
            line.clear();
            assert_ne!(said.read_line(&mut line).unwrap(), 0, "it ended before it was handed in");
        }
        (begun, said)
    });
    stage.control("sim_stall", &json!([false]));
    let mut ends = begun.map(|(begun, mut said)| {
        let status = begun.wait_with_output().unwrap().status.code();
        let mut rest = String::new();
        said.read_to_string(&mut rest).unwrap();
        (status, rest)
    });
    ends.sort_unstable();
    let [(bought, _), (refused, why)] = ends;
    assert_eq!((bought, refused), (Some(0), Some(1)), "{why}");
    assert!(why.contains("SubtensorModule.RegistrationPriceLimitExceeded; the price rose over the limit"), "{why}");
    let neurons = stage.json("metagraph", &[])["neurons"].as_array().map(Vec::len);
    assert_eq!(neurons, Some(3), "one came");
}
