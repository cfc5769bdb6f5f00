//! What the simulated node answers to requests that are none.

use std::time::Duration;

use byteleap::{
    spoke::subtensor_sim::{Genesis, Hyperparameters, Node},
    units::{Netuid, Now},
};
use serde_json::{Value as Json, json};

fn answer(body: &str) -> Option<Json> {
    let genesis = Genesis::new(Netuid(128), Vec::new(), Hyperparameters::default()).unwrap();
    let mut node = Node::new(genesis, Duration::from_secs(12), Now::default()).unwrap();
    node.answer(body.as_bytes()).map(|text| serde_json::from_str(&text).unwrap())
}

fn code(body: &str) -> i64 {
    answer(body).unwrap()["error"]["code"].as_i64().unwrap()
}

fn code_of(method: &str, params: Json) -> i64 {
    code(&json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string())
}

#[test]
fn bad_requests_have_the_codes_of_the_protocol() {
    assert_eq!(code(""), -32700);
    assert_eq!(code("{"), -32700);
    assert_eq!(code("[1,"), -32700);
    assert_eq!(code("1"), -32600);
    assert_eq!(code("[]"), -32600);
    assert_eq!(code(r#"{"id":1,"method":"system_chain"}"#), -32600);
    assert_eq!(code(r#"{"jsonrpc":"1.0","id":1,"method":"system_chain"}"#), -32600);
    assert_eq!(code(&format!("[{}]", vec!["1"; 101].join(","))), -32010);
    assert_eq!(code(&"[".repeat(100_000)), -32700);
}

#[test]
fn unknown_methods_and_subscriptions_have_the_codes_of_a_node() {
    assert_eq!(code_of("chain_getHeaders", json!([])), -32601);
    assert_eq!(code_of("author_submitAndWatchExtrinsic", json!(["0x00"])), -32603);
    assert_eq!(code_of("chain_subscribeNewHeads", json!([])), -32603);
}

#[test]
fn wrong_parameters_are_named() {
    assert_eq!(code_of("chain_getHeader", json!({"hash": 1})), -32602);
    assert_eq!(code_of("chain_getHeader", json!(["0x00"])), -32602);
    assert_eq!(code_of("chain_getBlockHash", json!(["x"])), -32602);
    assert_eq!(code_of("state_call", json!([])), -32602);
    assert_eq!(code_of("state_call", json!(["Core_version", "0xzz"])), -32602);
    assert_eq!(code_of("author_submitExtrinsic", json!([1])), -32602);
    assert_eq!(code_of("system_accountNextIndex", json!(["5A"])), -32602);
}

#[test]
fn parameters_may_lack_the_prefix_as_the_sdk_sends_them() {
    for bytes in ["0x00", "00"] {
        assert_eq!(code_of("state_call", json!(["AccountNonceApi_account_nonce", bytes])), 4003, "{bytes}");
    }
}

#[test]
fn what_the_node_cannot_execute_is_its_own_error() {
    let nowhere = json!(format!("0x{}", "00".repeat(32)));
    assert_eq!(code_of("state_call", json!(["Core_versions", "0x"])), 4003);
    assert_eq!(code_of("state_call", json!(["AccountNonceApi_account_nonce", "0x00"])), 4003);
    assert_eq!(code_of("state_call", json!(["Core_version", "0x", nowhere])), 4003);
    assert_eq!(code_of("state_getStorage", json!(["0x", nowhere])), 4003);
}

#[test]
fn bytes_that_are_no_extrinsic_are_refused() {
    for bytes in ["0x", "0x00", "0x0401", "0x1004deadbeef", "0x0484", "0xffffffff"] {
        assert_eq!(code_of("author_submitExtrinsic", json!([bytes])), 1001, "{bytes}");
    }
}

#[test]
fn a_batch_is_answered_call_by_call_and_a_notification_not_at_all() {
    let call = json!({"jsonrpc": "2.0", "id": "a", "method": "system_name"});
    let notification = json!({"jsonrpc": "2.0", "method": "system_name"});
    let batch = answer(&json!([call, notification, 1]).to_string()).unwrap();
    assert_eq!(batch[0], json!({"jsonrpc": "2.0", "id": "a", "result": "Subtensor node (simulated)"}));
    assert_eq!(batch[1]["error"]["code"], -32600);
    assert_eq!(batch.as_array().unwrap().len(), 2);
    assert_eq!(answer(&notification.to_string()), None);
}
