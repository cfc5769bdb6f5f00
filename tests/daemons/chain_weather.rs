//! Real daemons on a chain whose clock is wrong, on a node that refuses requests, and beside a node that lies stalled:
//! what they say, and that weights are held or go on. The faults are those of the simulated chain, made by its RPC.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
};

use byteleap::devnet::process::Process;
use serde_json::json;

use crate::{
    doors::ended,
    weights::{BLOCK_TIME, Stage, ask},
};

const SIGNED: &str = "SELECT count(*) FROM extrinsics WHERE errand = 'weights'";

fn says(stage: &Stage, words: &str) -> bool {
    let log = fs::read_to_string(stage.subnet.site.log_path("validator")).unwrap_or_default();
    log.contains(words)
}

fn confirms_more(stage: &mut Stage, when: &str) {
    let before = stage.confirmed();
    stage.until(&format!("weights {when}"), |stage| stage.confirmed() >= before + 2);
}

/// The value of a gauge on the validator's metrics page.
fn gauge(address: &str, name: &str) -> f64 {
    let mut stream = TcpStream::connect(address).expect("a metrics page");
    stream.set_read_timeout(Some(std::time::Duration::from_secs(20))).expect("a socket option");
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("an open connection");
    let mut page = String::new();
    stream.read_to_string(&mut page).expect("a page");
    let line = page.lines().find(|line| !line.starts_with('#') && line.contains(name));
    let value = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
    value.unwrap_or_else(|| panic!("no {name} in {page}"))
}

fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").to_string()
}

#[test]
fn a_clock_that_is_a_minute_off_is_named_and_holds_weights() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut stage = Stage::of_chain(dir.path());
    let metrics = free_address();
    stage.add_daemons_over(&json!({}), &json!({"listen": metrics}));
    confirms_more(&mut stage, "before");
    for (chain_ahead_s, words) in [(60, "s behind the chain's"), (-60, "s ahead of the chain's")] {
        stage.control("sim_clockSkew", &json!([chain_ahead_s]));
        stage.until(words, |stage| says(stage, words));
        let skew_s = gauge(&metrics, "chain_clock_skew_seconds");
        assert!((skew_s + f64::from(chain_ahead_s)).abs() < 30.0, "{skew_s}");
        // what was under way comes to its end
        let block = stage.block();
        stage.until("blocks", |stage| stage.block() > block + 4);
        let (signed, block) = (stage.count(SIGNED), stage.block());
        stage.until("blocks without weights", |stage| stage.block() > block + 12);
        assert_eq!(stage.count(SIGNED), signed, "signed all the same:\n{}", stage.log());
        stage.control("sim_clockSkew", &json!([0]));
        confirms_more(&mut stage, "after the clocks agreed again");
    }
    stage.subnet.stop().unwrap_or_else(|why| panic!("{why}"));
}

#[test]
fn weights_are_confirmed_after_a_storm_of_refused_requests() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut stage = Stage::of_chain(dir.path());
    let metrics = free_address();
    stage.add_daemons_over(&json!({}), &json!({"listen": metrics}));
    confirms_more(&mut stage, "before");
    let failures = || gauge(&metrics, "spoke_failures_total{spoke=\"chain\"");
    for code in [429, -32999] {
        let before = failures();
        stage.control("sim_rateLimit", &json!([{"per_s": 0, "code": code}]));
        stage.until("a refusal", |_| failures() > before);
        // what controls the simulation is never refused
        let best = |stage: &Stage| stage.control("sim_makeBlocks", &json!([0])).as_u64().expect("a block");
        let block = best(&stage);
        stage.until("blocks of it", |stage| best(stage) > block + 40);
        let refused = failures() - before;
        assert!((2.0..=40.0).contains(&refused), "{refused} in 8 s: it asks again, and not without a pause");
        stage.control("sim_rateLimit", &json!(["off"]));
        confirms_more(&mut stage, "after the storm");
    }
    assert!(says(&stage, "HTTP status 429; ask less often (subtensor.request_interval)"), "{}", stage.log());
    assert_eq!(stage.set_more_than_once(), [0; 0], "{}", stage.log());
    stage.subnet.stop().unwrap_or_else(|why| panic!("{why}"));
}

#[test]
fn an_endpoint_that_lies_stalled_is_passed_over() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut stage = Stage::of_chain(dir.path());
    let stalled = stage.subnet.chain_url.clone();
    let healthy = add_endpoint(&mut stage);
    stage.control("sim_stall", &json!([true]));
    stage.control("sim_rateLimit", &json!([{"per_s": 0, "code": 429}]));
    ask(&healthy, "sim_makeBlocks", &json!([60]));
    stage.add_daemons(&json!({"endpoints": [stalled, healthy]}));
    confirms_more(&mut stage, "by the second endpoint while the first refuses");
    stage.control("sim_rateLimit", &json!(["off"]));
    stage.until("its name", |stage| says(stage, "lies stalled: its best block is"));
    confirms_more(&mut stage, "by the second endpoint while the first lies stalled");
    stage.subnet.stop().unwrap_or_else(|why| panic!("{why}"));
}

#[test]
fn a_daemon_that_finds_no_endpoint_of_its_chain_ends_for_its_operator() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut stage = Stage::of_chain(dir.path());
    let genesis = format!("0x{}", "01".repeat(32));
    stage.configure(&json!({"genesis": genesis}), &json!({}));
    for (role, name) in [("validator", "validator"), ("miner", "miner-0")] {
        let (status, text) = ended(&stage.subnet.site, role, name);
        assert_eq!(status, Some(78), "{role}: {text}");
        let told = text.lines().last().unwrap_or_default();
        assert!(told.contains("this is another chain") && told.contains(&genesis), "{text}");
        assert!(told.contains("subtensor.genesis"), "what to do: {text}");
    }
    stage.subnet.stop().unwrap_or_else(|why| panic!("{why}"));
}

/// A second chain of the same beginning; its URL.
fn add_endpoint(stage: &mut Stage) -> String {
    let site = &stage.subnet.site;
    let neurons = site.neurons_path().display().to_string();
    let address = free_address();
    let block_time_s = BLOCK_TIME.as_secs_f64().to_string();
    let arguments = ["subtensor-sim", "--listen", &address, "--block-time-s", &block_time_s, "--netuid", "128"];
    let arguments: Vec<String> =
        arguments.into_iter().chain(["--neurons", neurons.as_str()]).map(str::to_owned).collect();
    let exe = Path::new(env!("CARGO_BIN_EXE_byteleap"));
    let process = Process::start("healthy", "chain", exe, &arguments, site.log_path("healthy")).expect("a chain");
    stage.subnet.processes.push(process);
    let url = format!("http://{address}");
    stage.until("its port", |_| TcpStream::connect(&address).is_ok());
    url
}
