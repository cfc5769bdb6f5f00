//! What is done on the chain by hand: serve and register, to the end, and what stops them before anything is done.

use serde_json::json;

use crate::stage::{Stage, wallet_of};

#[test]
fn an_axon_is_announced_once_and_followed_to_its_final_block() {
    let stage = Stage::start(&json!({"serving_rate_limit": 0}));
    let wallets = stage.wallets();
    let whose = stage.wallet("validator", &wallets);
    let serve = [whose.as_slice(), &["--ip", "192.0.2.7", "--port", "9092"]].concat();
    let ended = stage.chain("serve", &serve);
    assert_eq!(ended.status, Some(0), "{}", ended.err);
    assert!(ended.err.contains("handed in as 0x"), "{}", ended.err);
    assert!(
        ended.out.contains("announced before  8.8.8.8:9091") && ended.out.contains("192.0.2.7:9092"),
        "{}",
        ended.out
    );
    let again = stage.json("serve", &serve);
    assert_eq!((&again["before"], &again["block"]), (&json!("192.0.2.7:9092"), &json!(null)), "nothing is done twice");
}

#[test]
fn an_announcement_that_the_chain_would_refuse_is_not_made() {
    let stage = Stage::start(&json!({"serving_rate_limit": 100_000}));
    let wallets = stage.wallets();
    let whose = stage.wallet("validator", &wallets);
    let serve = |more: &[&str]| stage.chain("serve", &[whose.as_slice(), more].concat());
    let first = serve(&["--ip", "192.0.2.7", "--port", "9092"]);
    assert_eq!(first.status, Some(0), "{}", first.err);
    let early = serve(&["--ip", "192.0.2.8", "--port", "9092"]);
    assert_eq!(early.status, Some(1));
    assert!(early.err.contains("lets 100000 blocks pass between two announcements: again in "), "{}", early.err);
    let unsaid = serve(&["--port", "9092"]);
    assert_eq!(unsaid.status, Some(78));
    assert!(unsaid.err.contains("announce what?"), "{}", unsaid.err);
    let nowhere = serve(&["--ip", "0.0.0.0", "--port", "9092"]);
    assert_eq!(nowhere.status, Some(78));
    byteleap::wallet::create(&wallet_of(&stage.dir, "stranger")).unwrap();
    let stranger = stage.wallet("stranger", &wallets);
    let stranger = stage.chain("serve", &[stranger.as_slice(), &["--ip", "192.0.2.7", "--port", "1"]].concat());
    assert_eq!(stranger.status, Some(1));
    assert!(stranger.err.contains("registered in subnet 128: no; run "), "{}", stranger.err);
}

/// A key file of the stage: the hotkeys pay as coldkeys here.
fn key_file(stage: &Stage, name: &str) -> String {
    byteleap::wallet::hotkey_path(&wallet_of(&stage.dir, name)).unwrap().display().to_string()
}

#[test]
fn a_place_is_bought_for_its_price_and_once() {
    let stage = Stage::start(&json!({}));
    let stranger = byteleap::wallet::create(&wallet_of(&stage.dir, "stranger")).unwrap().hotkey;
    let (coldkey, wallets) = (key_file(&stage, "validator"), stage.wallets());
    let whose = stage.wallet("stranger", &wallets);
    let paid = ["--burned", "--coldkey-file", &coldkey, "--yes-at-most", "5"];
    let bought = stage.json("register", &[whose.as_slice(), &paid].concat());
    assert_eq!((&bought["hotkey"], &bought["uid"]), (&json!(stranger), &json!(2)));
    let price = bought["paid_tao"].as_f64().unwrap();
    assert!(price > 0.0 && price < 5.0, "{bought}");
    let again = stage.json("register", &[whose.as_slice(), &paid].concat());
    assert_eq!((&again["uid"], &again["paid_tao"]), (&json!(2), &json!(0)), "it is registered already");
}

#[test]
fn nothing_is_paid_without_money_or_a_yes() {
    let stage = Stage::start(&json!({}));
    byteleap::wallet::create(&wallet_of(&stage.dir, "stranger")).unwrap();
    let (rich, poor, wallets) = (key_file(&stage, "validator"), key_file(&stage, "miner"), stage.wallets());
    let whose = stage.wallet("stranger", &wallets);
    let register = |coldkey: &str, more: &[&str]| {
        stage.chain("register", &[whose.as_slice(), &["--coldkey-file", coldkey], more].concat())
    };
    let unpaid = register(&poor, &["--burned", "--yes-at-most", "5"]);
    assert_eq!(unpaid.status, Some(1));
    assert!(unpaid.err.contains("price now") && unpaid.err.contains("fund it"), "{}", unpaid.err);
    let chain = "Subtensor (simulated), no public chain";
    assert!(unpaid.err.contains(chain) && unpaid.err.contains(&stage.url), "{}", unpaid.err);
    let dear = register(&rich, &["--burned", "--yes-at-most", "0.000001"]);
    assert_eq!(dear.status, Some(1));
    assert!(dear.err.contains(", over the limit of 0.000001"), "{}", dear.err);
    let unasked = register(&rich, &["--burned"]);
    assert_eq!(unasked.status, Some(1));
    assert!(unasked.err.contains("nobody is at the terminal to say yes; --yes-at-most "), "{}", unasked.err);
    assert_eq!(register(&rich, &[]).status, Some(2), "--burned is the only way, and is said");
    let missing = register("/nowhere/coldkey", &["--burned"]);
    assert_eq!(missing.status, Some(78));
    assert!(missing.err.contains("cannot read the coldkey /nowhere/coldkey"), "{}", missing.err);
    let neurons = stage.json("metagraph", &[])["neurons"].as_array().map(Vec::len);
    assert_eq!(neurons, Some(2), "nobody came");
}
