//! A real node: `CHAIN_URL=https://… cargo test --test chain_live -- --nocapture`, and `CHAIN_NETUID` for another
//! subnet than 128. With `CHAIN_DEV_KEY`, a key file as wallets have it (not encrypted) whose account pays for its own
//! place in the subnet, the write path as well: never a key with anything of worth.
//!
//! The same checks run against our own simulated node each time, so that they are known to work when there is a real
//! one to be checked.

mod checks;
mod simulator;

use std::{env, fs};

use byteleap::{units::Netuid, wallet::keyfile, wire::keys::Keypair};

use crate::{checks::Site, simulator::Simulator};

/// The node that the environment names.
fn real(of: &str) -> Option<Site> {
    let Some(url) = env::var("CHAIN_URL").ok() else {
        println!("skipped: {of} is checked on a real node when CHAIN_URL names one");
        return None;
    };
    let netuid = env::var("CHAIN_NETUID").map_or(128, |text| text.parse().expect("CHAIN_NETUID is a number"));
    Some(Site { url, netuid: Netuid(netuid) })
}

#[test]
fn a_real_node_is_read() {
    if let Some(site) = real("reading") {
        site.reads();
    }
}

#[test]
fn a_real_node_takes_what_is_signed() {
    let Some(site) = real("writing") else { return };
    let Some(path) = env::var_os("CHAIN_DEV_KEY") else {
        println!("skipped: writing is checked when CHAIN_DEV_KEY names the key file of a funded account");
        return;
    };
    let key = keyfile::keypair(&fs::read(path).unwrap()).unwrap();
    site.registers(&key);
    site.serves(&key);
    match site.sets_weights(&key) {
        Ok(block) => println!("weights in block {block}"),
        // A fresh place has neither stake nor permit: being told so by name is what can be seen.
        Err(refused) => {
            let expected = ["Permit", "Stake", "stake too low", "TooFast", "rate limit"];
            assert!(expected.iter().any(|words| refused.contains(words)), "refused for another reason: {refused}");
            println!("weights refused: {refused}");
        }
    }
}

#[test]
fn the_checks_pass_on_a_simulated_node() {
    let simulator = Simulator::start();
    let site = Site { url: simulator.url.clone(), netuid: Netuid(128) };
    site.reads();
    let validator = Keypair::from_seed([1; 32]).unwrap();
    site.registers(&validator);
    site.serves(&validator);
    site.sets_weights(&validator).unwrap();
    let without_permit = Keypair::from_seed([2; 32]).unwrap();
    let refused = site.sets_weights(&without_permit).unwrap_err();
    assert!(refused.contains("Permit"), "{refused}");
}

#[test]
#[should_panic(expected = "subnet 7 does not exist")]
fn the_checks_fail_where_there_is_no_such_subnet() {
    let simulator = Simulator::start();
    Site { url: simulator.url.clone(), netuid: Netuid(7) }.reads();
}
