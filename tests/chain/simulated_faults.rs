//! What goes wrong with the simulated subtensor on purpose, each fault by itself.

use std::time::Duration;

use byteleap::{
    spoke::{
        chain::{
            calls,
            hash::blake2_256,
            rpc::{Call, Rpc, RpcError, to_hex},
        },
        subtensor_sim::{Broken, ControlError, METHODS, RateCode, Retracted},
    },
    units::Uid,
};
use serde_json::{Value as Json, json};

use crate::simulation::{NETUID, Simulation, key};

fn weights() -> calls::Arguments {
    calls::set_weights(NETUID, &[(Uid(1), 65535)], 0)
}

fn number(simulation: &Simulation, params: Json) -> u64 {
    let header = simulation.call("chain_getHeader", params).unwrap();
    u64::from_str_radix(header["number"].as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
}

fn finalized(simulation: &Simulation) -> u64 {
    let hash = simulation.call("chain_getFinalizedHead", json!([])).unwrap();
    number(simulation, json!([hash]))
}

#[test]
fn a_fork_takes_extrinsics_out_of_their_blocks_and_back_into_the_pool() {
    let mut simulation = Simulation::plain();
    simulation.put(&key(1), "set_weights", weights()).unwrap();
    simulation.blocks(1);
    let old = simulation.block_hash(6);
    simulation.node.borrow_mut().fork(1, Retracted::BackInPool).unwrap();
    assert_eq!((simulation.best(), simulation.block_hash(6) == old), (7, false));
    assert_eq!(number(&simulation, json!([to_hex(&old)])), 6, "the old block is still known by its hash");
    let waiting = simulation.call("author_pendingExtrinsics", json!([])).unwrap();
    assert_eq!(waiting.as_array().unwrap().len(), 1);
    simulation.blocks(1);
    assert_eq!(simulation.results(), [(6, "success".into()), (7, "retracted".into()), (8, "success".into())]);
}

#[test]
fn a_fork_may_lose_extrinsics_and_the_same_bytes_may_come_again() {
    let mut simulation = Simulation::plain();
    let bytes = simulation.signed(&key(1), "set_weights", weights());
    simulation.submit(&bytes).unwrap();
    simulation.blocks(1);
    simulation.call("sim_fork", json!([{"depth": 1, "drop": true}])).unwrap();
    assert_eq!(simulation.call("author_pendingExtrinsics", json!([])).unwrap(), json!([]));
    assert_eq!(simulation.call("system_accountNextIndex", json!([key(1).hotkey()])).unwrap(), json!(0));
    assert_eq!(simulation.submit(&bytes).unwrap(), json!(to_hex(&blake2_256(&bytes))));
    simulation.blocks(1);
    assert_eq!(simulation.results().last().unwrap(), &(8, "success".into()));
}

#[test]
fn what_is_final_is_not_taken_out() {
    let mut simulation = Simulation::plain();
    assert_eq!(finalized(&simulation), 3);
    let refused = simulation.node.borrow_mut().fork(3, Retracted::Lost);
    assert_eq!(refused, Err(ControlError::Final { asked: 3, most: 2, finalized: 3 }));
    simulation.call("sim_finalityLag", json!([4])).unwrap();
    simulation.blocks(1);
    assert_eq!(finalized(&simulation), 3, "it waits and does not go back");
    simulation.node.borrow_mut().fork(3, Retracted::Lost).unwrap();
    assert_eq!((simulation.best(), finalized(&simulation)), (7, 3));
}

#[test]
fn a_stalled_chain_answers_and_goes_on_without_catching_up() {
    let mut simulation = Simulation::plain();
    simulation.call("sim_stall", json!([true])).unwrap();
    simulation.blocks(10);
    assert_eq!(number(&simulation, json!([])), 5);
    simulation.call("sim_stall", json!([false])).unwrap();
    simulation.blocks(2);
    assert_eq!(simulation.best(), 7);
}

#[test]
fn blocks_tell_the_time_of_a_clock_that_is_wrong() {
    let mut simulation = Simulation::plain();
    for ahead_s in [60, -60, 0] {
        simulation.call("sim_clockSkew", json!([ahead_s])).unwrap();
        simulation.blocks(1);
        let now_ms: u64 = simulation.storage(("Timestamp", "Now"), &[], None);
        assert_eq!(now_ms as i64 - simulation.now.wall.as_millis() as i64, ahead_s * 1000);
    }
    // no clock is so wrong that the chain ends
    for far in [i64::MAX, i64::MIN] {
        simulation.call("sim_clockSkew", json!([far])).unwrap();
        simulation.blocks(1);
    }
}

#[test]
fn a_lagging_node_has_not_seen_the_newest_blocks() {
    let mut simulation = Simulation::plain();
    simulation.blocks(30);
    let (near, far) = (simulation.rpc(), simulation.rpc());
    far.lag(25);
    let head = |mut rpc: byteleap::spoke::subtensor_sim::InProcess| {
        rpc.batch(&[Call::new("chain_getHeader", json!([]))]).unwrap().remove(0).unwrap()["number"].clone()
    };
    assert_eq!((head(near), head(far)), (json!("0x23"), json!("0xa")));
    simulation.node.borrow_mut().lag(3);
    assert_eq!((number(&simulation, json!([])), finalized(&simulation)), (32, 30));
    assert_eq!(simulation.call("chain_getBlockHash", json!([35])).unwrap(), Json::Null);
}

#[test]
fn a_node_forgets_its_pool_and_takes_the_same_bytes_again() {
    let mut simulation = Simulation::plain();
    let bytes = simulation.signed(&key(1), "set_weights", weights());
    simulation.submit(&bytes).unwrap();
    simulation.call("sim_forgetPool", json!([])).unwrap();
    simulation.blocks(1);
    simulation.submit(&bytes).unwrap();
    simulation.blocks(1);
    assert_eq!(simulation.results(), [(5, "forgotten".into()), (7, "success".into())]);
}

#[test]
fn an_extrinsic_can_be_lost_after_it_was_taken() {
    let mut simulation = Simulation::plain();
    simulation.call("sim_loseExtrinsics", json!([1])).unwrap();
    let bytes = simulation.signed(&key(1), "set_weights", weights());
    assert!(simulation.submit(&bytes).is_ok() && simulation.submit(&bytes).is_ok());
    simulation.blocks(1);
    assert_eq!(simulation.results(), [(5, "lost".into()), (6, "success".into())]);
}

#[test]
fn a_duplicated_extrinsic_is_in_the_pool_once_and_says_so() {
    let mut simulation = Simulation::plain();
    simulation.call("sim_duplicateExtrinsics", json!([true])).unwrap();
    assert_eq!(simulation.put(&key(1), "set_weights", weights()).unwrap_err().code, 1013);
    simulation.blocks(1);
    assert_eq!(simulation.results().last().unwrap(), &(6, "success".into()));
}

#[test]
fn a_limited_node_answers_so_many_requests_a_second() {
    let mut simulation = Simulation::plain();
    simulation.node.borrow_mut().limit_rate(Some((2, RateCode::Http429)));
    let mut rpc = simulation.rpc();
    let mut ask = || rpc.batch(&[Call::new("system_chain", json!([]))]).map(|mut answers| answers.remove(0));
    assert!(ask().is_ok() && ask().is_ok());
    assert!(matches!(ask(), Err(RpcError::RateLimited { .. })));
    simulation.pass(Duration::from_secs(1));
    assert!(ask().is_ok());
    simulation.call("sim_rateLimit", json!([{"per_s": 0, "code": -32999}])).unwrap();
    assert_eq!(ask().unwrap().unwrap_err().code, -32999);
    simulation.call("sim_rateLimit", json!(["off"])).unwrap();
    assert!(ask().unwrap().is_ok());
}

#[test]
fn a_link_breaks_before_or_after_the_node_acted() {
    let simulation = Simulation::plain();
    let bytes = simulation.signed(&key(1), "set_weights", weights());
    let waiting = || simulation.call("author_pendingExtrinsics", json!([])).unwrap().as_array().unwrap().len();
    let mut rpc = simulation.rpc();
    let mut submit = |how: Broken| {
        rpc.break_next(how, 1);
        rpc.batch(&[Call::new("author_submitExtrinsic", json!([to_hex(&bytes)]))]).unwrap_err().to_string()
    };
    assert!(submit(Broken::Request).ends_with("connection refused"));
    assert_eq!(waiting(), 0);
    assert!(submit(Broken::Answer).ends_with("connection reset"));
    assert_eq!(waiting(), 1, "it arrived, and its answer did not");
    assert!(submit(Broken::Garbled).contains("no JSON-RPC"));
    assert!(submit(Broken::Truncated).contains("no JSON-RPC"));
}

#[test]
fn an_answer_that_is_held_back_for_too_long_is_none() {
    let simulation = Simulation::plain();
    simulation.call("sim_delay", json!([10_001])).unwrap();
    let lost = simulation.rpc().batch(&[Call::new("system_chain", json!([]))]).unwrap_err();
    assert!(lost.to_string().ends_with("no answer in 10 s"), "{lost}");
    simulation.node.borrow_mut().delay(Duration::ZERO);
    assert!(simulation.call("system_chain", json!([])).is_ok());
}

#[test]
fn blocks_are_made_on_demand() {
    let mut simulation = Simulation::plain();
    assert_eq!(simulation.call("sim_makeBlocks", json!([3])).unwrap(), json!(8));
    assert_eq!(simulation.call("sim_makeBlocks", json!([])).unwrap(), json!(9));
    assert_eq!(simulation.call("sim_makeBlocks", json!([10_001])).unwrap_err().code, -32602);
    simulation.blocks(1);
    assert_eq!(simulation.best(), 10, "and still on time");
}

#[test]
fn the_owner_changes_a_hyperparameter_with_the_next_block() {
    let mut simulation = Simulation::plain();
    simulation.call("sim_setHyperparameter", json!(["commit_reveal", true])).unwrap();
    let wrong = simulation.call("sim_setHyperparameter", json!(["tempos", 1])).unwrap_err();
    assert!(wrong.message.contains("unknown field `tempos`"), "{wrong}");
    simulation.put(&key(1), "set_weights", weights()).unwrap();
    simulation.blocks(1);
    assert_eq!(simulation.results(), [(6, "CommitRevealEnabled".into())]);
}

#[test]
fn a_method_that_controls_nothing_is_not_found() {
    assert_eq!(Simulation::plain().call("sim_explode", json!([])).unwrap_err().code, -32601);
    for (method, ..) in METHODS {
        let answer = Simulation::plain().call(method, json!([]));
        assert!(answer.is_ok() || answer.is_err_and(|error| error.code != -32601), "{method} is listed and not there");
    }
}
