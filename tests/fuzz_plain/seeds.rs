//! Where the mutations start: the recordings, and messages of our own.

use std::{fs, path::PathBuf};

use byteleap::{
    units::{Hotkey, Wall},
    wire::{
        marketplace::{HubSession, kind},
        synapse::SynapseKind,
    },
};
use serde_json::{Value, json};

use crate::targets;

/// The seeds of a target.
pub fn of(name: &str) -> Vec<Vec<u8>> {
    match name {
        "synapse_request" => recorded(".request.http"),
        "synapse_answer" => bodies(recorded(".response.http")),
        "session_package" => packages(),
        "session_init" => handshakes(),
        "request_bodies" => [plaintexts("request_plaintext"), task_polls()].concat(),
        "answer_bodies" => [plaintexts("response_plaintext"), refusals(), market_tasks()].concat(),
        "frames_to_miner" => frames("worker_to_miner"),
        "frames_to_worker" => frames("miner_to_worker"),
        "json_scanner" => [plaintexts("request_plaintext"), frames("worker_to_miner"), bare_words()].concat(),
        "hotkey_text" => hotkeys(),
        "wallet_file" => wallet_files(),
        "chain_metadata" => chain_metadata(),
        "chain_metagraph" => vec![state_call("SubnetInfoRuntimeApi_get_metagraph")],
        "chain_blocks" => chain_blocks(),
        "chain_answer" => chain_answers(),
        "chain_request" => chain_requests(),
        "chain_conversation" => chain_conversations(),
        "websocket_upgrade" => upgrades(),
        "http_requests" => [recorded(".request.http"), connections()].concat(),
        "http_response" => [recorded(".response.http"), chunked_responses()].concat(),
        "websocket_frames" => websocket_bytes(),
        "gemm_proof" => gemm_proofs(),
        "gpu_socket" => gpu_frames(),
        "marketplace_frames" => marketplace_frames(),
        "marketplace_bodies" => marketplace("plaintext"),
        other => panic!("no seeds for {other}"),
    }
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn data(name: &str) -> Value {
    serde_json::from_slice(&fs::read(path(name)).unwrap()).unwrap()
}

fn recorded(suffix: &str) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(path("synapse_http")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|file| file.to_string_lossy().ends_with(suffix)).collect();
    files.sort();
    files.into_iter().map(|file| fs::read(file).unwrap()).collect()
}

fn bodies(messages: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let body = |message: Vec<u8>| {
        let start = message.windows(4).position(|bytes| bytes == b"\r\n\r\n").map_or(0, |at| at + 4);
        message[start..].to_vec()
    };
    messages.into_iter().map(body).collect()
}

fn texts(values: impl IntoIterator<Item = Value>) -> Vec<Vec<u8>> {
    values.into_iter().map(|value| value.to_string().into_bytes()).collect()
}

fn gemm_proofs() -> Vec<Vec<u8>> {
    let file = data("gemm_i8.json");
    texts(file["cases"].as_array().unwrap().iter().map(|case| case["proof"].clone()))
}

/// One field of each recorded message, the shorter ones: a report of 50 workers mutates no better than one of three.
fn marketplace(field: &str) -> Vec<Vec<u8>> {
    let file = data("meshhub/messages.json");
    let all = texts(file["messages"].as_array().unwrap().iter().map(|message| message[field].clone()));
    all.into_iter().filter(|text| text.len() < 16_000).collect()
}

fn marketplace_frames() -> Vec<Vec<u8>> {
    let (mut client, mut server) = targets::hub_session();
    let seal = |end: &mut HubSession, kind, text| end.seal_text(Wall(0), Some("m"), kind, text).unwrap().into_bytes();
    let own =
        vec![seal(&mut server, kind::LEASE_PUBLISH, r#"{"workerScores":[]}"#), seal(&mut client, kind::ACK, "{}")];
    let handshakes = data("meshhub/handshakes.json");
    let plain = ["first_init", "init_responses", "errors_sent"].map(|name| match &handshakes[name] {
        Value::Array(frames) => frames.clone(),
        frame => vec![frame.clone()],
    });
    [own, texts(plain.concat()), marketplace("frame")].concat()
}

fn gpu_frames() -> Vec<Vec<u8>> {
    let bodies = [
        json!({"command": "ping"}),
        json!({"command": "submit_challenge", "task": {"seed": "ab", "target_gpu_id": -1, "matrix_size": 64, "mode": 0, "matrix_iterations": 2}}),
        json!({"command": "get_result_coords", "gpu_uuid": "G", "queries": [[1, 2]]}),
        json!({"command": "clear_result_cache"}),
        json!({"command": "submit_gemm_i8", "task": {"matrix_size": 256, "rounds": 2, "devices": [{"uuid": "G", "key_prefix": "0047"}]}}),
        json!({"command": "open_gemm_i8", "gpu_uuid": "G", "samples": [[0, 1, 2]]}),
        json!({"success": true, "gpu_count": 1, "gpus": [{"uuid": "G"}], "gemm_i8": 1}),
        json!({"success": true, "results": [{"gpu_uuid": "G", "merkle_root": "00", "timings_ms": {"generate": 1.5, "multiply": 2, "hash": 3, "total": 6.5}}]}),
        json!({"success": true, "tops": ["00"], "openings": []}),
        json!({"success": false, "error": "no"}),
    ];
    let framed = |body: &Value| byteleap::wire::gpu_socket::frame(&body.to_string()).unwrap();
    let whole = bodies.iter().map(framed);
    whole.chain(bodies.iter().map(|body| body.to_string().into_bytes())).collect()
}

fn plaintexts(field: &str) -> Vec<Vec<u8>> {
    let index = data("synapse_http/index.json");
    texts(index["good"].as_array().unwrap().iter().map(|case| case[field].clone()))
}

fn task_polls() -> Vec<Vec<u8>> {
    texts([json!({"hotkey": "x", "request_type": "challenge", "idle_workers": ["w"], "market_tasks_held": ["t1"]})])
}

fn market_tasks() -> Vec<Vec<u8>> {
    let task = json!({"task_key": "t1", "worker_id": "w", "task_type": "vm_creation", "payload": {"cpu": 2},
        "priority": -3, "expires_at": 1.8e9});
    texts([json!({"task_type": "no_task", "task_data": null, "market_tasks": [task]})])
}

fn refusals() -> Vec<Vec<u8>> {
    let index = data("synapse_http/index.json");
    let decrypted = index["errors"].as_array().unwrap().iter().map(|case| case["response_decrypted"].clone());
    texts(decrypted.filter(Value::is_object))
}

fn packages() -> Vec<Vec<u8>> {
    let (mut client, _) = targets::session();
    let sealed = |text: &str| client.seal(SynapseKind::Heartbeat, text).unwrap().into_bytes();
    let ours: Vec<Vec<u8>> = ["{}", r#"{"hotkey":"5A","timestamp":1,"workers":[]}"#, ""].map(sealed).into();
    let recorded = data("session_crypto.json");
    let tampered = recorded["tampered"].as_array().unwrap();
    let tampered = tampered.iter().map(|case| case["package_text"].as_str().unwrap().as_bytes().to_vec());
    ours.into_iter().chain(tampered).collect()
}

fn handshakes() -> Vec<Vec<u8>> {
    let index = data("synapse_http/index.json");
    texts(["request_plaintext", "response_plaintext"].map(|field| index["good"][0][field].clone()))
}

fn frames(direction: &str) -> Vec<Vec<u8>> {
    let flows = ["ws/cpu_flow.json", "ws/gpu_flow.json"].map(data);
    let messages = flows.iter().flat_map(|flow| flow["messages"].as_array().unwrap());
    texts(messages.filter(|message| message["dir"] == direction).map(|message| message["msg"].clone()))
}

fn bare_words() -> Vec<Vec<u8>> {
    let texts = [r#"{"a":NaN,"b\\":[Infinity,-Infinity,"NaN\""]}"#, "-Infinity", "[NaN,NaN]", "\"\\\"NaN\"", "-1e5"];
    texts.map(|text| text.as_bytes().to_vec()).into()
}

fn hotkeys() -> Vec<Vec<u8>> {
    let hotkey = |byte: u8| Hotkey::from_account(&[byte; 32]).as_str().as_bytes().to_vec();
    vec![hotkey(0), hotkey(1), hotkey(255), b"5".repeat(47), vec![]]
}

fn wallet_files() -> Vec<Vec<u8>> {
    let fields = r#"{"accountId":"0x11","publicKey":"0x11","ss58Address":"5FLGJvNvq2seB59UkKb2ftuVRab1aHzMVxuPJtPAyfsZ3vKY",
        "privateKey":"0x22","secretPhrase":"nothing such tape furnace assume kiwi section attract holiday relief nose cram",
        "secretSeed":"0x0101010101010101010101010101010101010101010101010101010101010101","cryptoType":1}"#;
    let short = r#"{"secretSeed":"0x0101010101010101010101010101010101010101010101010101010101010101"}"#;
    [fields, short, "$NACL", "{}"].map(|text| text.as_bytes().to_vec()).into()
}

fn chain_metadata() -> Vec<Vec<u8>> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/spoke/subtensor_sim/data");
    ["spec425_v15.scale", "spec425_v14.scale"].map(|name| fs::read(directory.join(name)).unwrap()).into()
}

fn unhexed(text: &Value) -> Vec<u8> {
    hex::decode(text.as_str().unwrap().trim_start_matches("0x")).unwrap()
}

fn state_call(api: &str) -> Vec<u8> {
    unhexed(&data("chain/state_calls_spec425.json")["calls"][api]["result"])
}

/// Events and extrinsics alike.
fn chain_blocks() -> Vec<Vec<u8>> {
    let recorded = data("chain/blocks_spec425.json");
    let blocks = recorded["blocks"].as_array().unwrap();
    let extrinsics = blocks.iter().flat_map(|block| block["extrinsics"].as_array().unwrap().iter().map(unhexed));
    blocks.iter().map(|block| unhexed(&block["events"])).chain(extrinsics).collect()
}

fn chain_answers() -> Vec<Vec<u8>> {
    texts([
        json!({"jsonrpc": "2.0", "id": 0, "result": {"number": "0x17"}}),
        json!([{"id": 1, "result": "0x00"}, {"id": 0, "error": {"code": 1010, "message": "Invalid Transaction", "data": "x"}}]),
    ])
}

fn chain_requests() -> Vec<Vec<u8>> {
    let call = |method: &str, params: Value| json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let recorded = data("chain/blocks_spec425.json");
    texts([
        call("author_submitExtrinsic", json!([recorded["blocks"][0]["extrinsics"][1]])),
        call("state_call", json!(["SubnetInfoRuntimeApi_get_selective_metagraph", "0x800008070034003500"])),
        call("state_getStorage", json!(["0x658faa385070e074c85bf6b568cf05550e30450fc4d507a846032a7fa65d9a438000"])),
        json!([call("chain_getBlockHash", json!([[0, 1]])), call("chain_getHeader", json!([null]))]),
    ])
}

fn chain_conversations() -> Vec<Vec<u8>> {
    let call = |method: &str, params: Value| json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let recorded = data("chain/blocks_spec425.json");
    let key = "0x658faa385070e074c85bf6b568cf05550e30450fc4d507a846032a7fa65d9a438000";
    texts([
        call("author_submitAndWatchExtrinsic", json!([recorded["blocks"][0]["extrinsics"][1]])),
        call("state_subscribeStorage", json!([[key, "0x00"]])),
        json!([
            call("chain_subscribeNewHeads", json!([])),
            call("chain_unsubscribeNewHead", json!(["0000000000000001"]))
        ]),
        json!([call("state_subscribeRuntimeVersion", json!([])), call("chain_subscribeFinalizedHeads", json!([]))]),
        call("state_getKeysPaged", json!([&key[..66], 10, key, null])),
        call("state_queryStorageAt", json!([[key], null])),
    ])
}

fn upgrades() -> Vec<Vec<u8>> {
    let seeds: [&[u8]; 2] = [
        b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\x81\x85\x01\x02\x03\x04igohn",
        b"POST / HTTP/1.1\r\nContent-Length: 2\r\nConnection: keep-alive, Upgrade\r\nUpgrade: h2c\r\n\r\n{}",
    ];
    seeds.map(<[u8]>::to_vec).into()
}

fn connections() -> Vec<Vec<u8>> {
    let seeds: [&[u8]; 4] = [
        b"POST /TaskSynapse HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n{}GET / HTTP/1.0\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\n",
        b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\r\n",
        b"\r\n\nGET / HTTP/1.1\nConnection: close\n\n",
    ];
    seeds.map(<[u8]>::to_vec).into()
}

fn chunked_responses() -> Vec<Vec<u8>> {
    let seeds: [&[u8]; 3] = [
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x02hi",
    ];
    seeds.map(<[u8]>::to_vec).into()
}

/// Frames of both sides: texts, fragments with a ping between, a close frame.
fn websocket_bytes() -> Vec<Vec<u8>> {
    let seeds: [&[u8]; 4] = [
        b"\x81\x85\x01\x02\x03\x04igohn\x8a\x80\0\0\0\0",
        b"\x01\x82\0\0\0\0ab\x89\x80\0\0\0\0\x80\x82\0\0\0\0cd\x88\x82\0\0\0\0\x03\xe8",
        b"\x81\x02hi\x89\0\x88\x04\x0f\xa3no",
        b"\x81\x7e\x01\0\x81\x7f\0\0\0\0\0\x01\0\0",
    ];
    seeds.map(<[u8]>::to_vec).into()
}
