//! The HTTP transport against endpoints of every bad kind, and against the simulated node behind its socket.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use byteleap::{
    machine::contract::chain::{ChainCall, ChainFaultKind, ChainReply, ChainRequest, Inclusion, WeightVector},
    spoke::chain::{
        Chain,
        http::Http,
        rpc::{Call, Rpc, RpcError},
    },
    units::{Netuid, Uid},
    wire::keys::Keypair,
};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use serde_json::{Value as Json, json};

/// Far longer than anything here takes: only what must time out has a short one.
const PATIENCE: Duration = Duration::from_secs(60);

/// An endpoint that answers every connection with the same bytes, and then closes it.
struct Endpoint {
    url: String,
}

impl Endpoint {
    fn saying(answer: impl Into<Vec<u8>>) -> Endpoint {
        let answer = answer.into();
        Endpoint::with(move |mut stream| {
            read_request(&mut stream);
            // A client that refuses the rest of an answer hangs up.
            let _ = stream.write_all(&answer);
        })
    }

    /// Takes the request and never answers.
    fn silent() -> Endpoint {
        let mut held = Vec::new();
        Endpoint::with(move |stream| held.push(stream))
    }

    #[expect(clippy::disallowed_methods, reason = "the other side of a test is no spoke")]
    fn with(mut serve: impl FnMut(TcpStream) + Send + 'static) -> Endpoint {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let thread = std::thread::Builder::new();
        thread.spawn(move || listener.incoming().for_each(|stream| serve(stream.unwrap()))).unwrap();
        Endpoint { url }
    }

    /// Nobody listens there.
    fn gone() -> Endpoint {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Endpoint { url: format!("http://{}", listener.local_addr().unwrap()) }
    }
}

fn read_request(stream: &mut TcpStream) {
    let mut read = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&read).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.split("content-length:").nth(1).and_then(|rest| rest.split("\r\n").next());
            if body.len() >= length.map_or(0, |length| length.trim().parse().unwrap()) {
                return;
            }
        }
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return,
            Ok(count) => read.extend_from_slice(&chunk[..count]),
        }
    }
}

fn http(status: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()).into_bytes()
}

fn good() -> Endpoint {
    Endpoint::saying(http("200 OK", r#"{"jsonrpc":"2.0","id":0,"result":"Bittensor"}"#))
}

fn client(endpoints: &[&Endpoint], timeout: Duration) -> Http {
    let urls = endpoints.iter().map(|endpoint| endpoint.url.clone()).collect();
    Http::new(urls, timeout, ChaCha20Rng::seed_from_u64(1))
}

fn ask(client: &mut Http) -> Result<Json, RpcError> {
    client.batch(&[Call::new("system_chain", json!([]))]).map(|mut answers| answers.remove(0).unwrap())
}

fn unreachable(endpoint: &Endpoint) -> String {
    match ask(&mut client(&[endpoint], PATIENCE)) {
        Err(RpcError::Unreachable { why, .. }) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_good_endpoint_answers() {
    assert_eq!(ask(&mut client(&[&good()], PATIENCE)), Ok(json!("Bittensor")));
}

#[test]
fn the_next_endpoint_answers_when_the_first_does_not() {
    let html = Endpoint::saying(http("200 OK", "<html>maintenance</html>"));
    let broken = Endpoint::saying(http("502 Bad Gateway", ""));
    let moved = Endpoint::saying(http("302 Found", ""));
    let rude = Endpoint::saying("this is no HTTP\r\n\r\n");
    let busy = Endpoint::saying(http("429 Too Many Requests", ""));
    for bad in [&Endpoint::gone(), &html, &broken, &moved, &rude, &busy] {
        assert_eq!(ask(&mut client(&[bad, &good()], PATIENCE)), Ok(json!("Bittensor")));
    }
}

#[test]
fn what_is_wrong_with_an_endpoint_is_named() {
    assert!(unreachable(&Endpoint::saying(http("200 OK", "<html>"))).contains("no JSON-RPC"));
    assert!(unreachable(&Endpoint::saying(http("502 Bad Gateway", ""))).contains("HTTP status 502"));
    assert!(unreachable(&Endpoint::saying(http("302 Found", ""))).contains("HTTP status 302"));
    assert!(unreachable(&Endpoint::gone()).to_lowercase().contains("refused"));
}

#[test]
fn a_silent_endpoint_ends_by_the_deadline() {
    let mut client = client(&[&Endpoint::silent()], Duration::from_millis(50));
    let Err(RpcError::Unreachable { why, .. }) = ask(&mut client) else { panic!() };
    assert!(why.contains("timeout"), "{why}");
}

#[test]
fn an_endless_answer_is_cut_off() {
    let long = Endpoint::saying(http("200 OK", &format!(r#"{{"id":0,"result":"{}"}}"#, "x".repeat(100_000))));
    let mut client = client(&[&long], PATIENCE).answer_bytes_max(10_000);
    let Err(RpcError::Unreachable { why, .. }) = ask(&mut client) else { panic!() };
    assert!(why.contains("exceeds limit") || why.contains("limit"), "{why}");
}

#[test]
fn a_node_that_asks_for_fewer_requests_is_left_alone() {
    let limited = r#"{"jsonrpc":"2.0","id":0,"error":{"code":-32999,"message":"RPC rate limit exceeded"}}"#;
    for busy in [http("429 Too Many Requests", ""), http("200 OK", limited)] {
        let busy = Endpoint::saying(busy);
        let mut chain = Chain::new(client(&[&busy], PATIENCE), None);
        for _ in 0..2 {
            let ChainReply::Failed(fault) = chain.serve(ChainRequest::Head) else { panic!() };
            assert_eq!(fault.kind, ChainFaultKind::RateLimited);
        }
    }
}

#[test]
fn no_endpoint_at_all_is_unreachable() {
    let mut chain = Chain::new(client(&[&Endpoint::gone(), &Endpoint::gone()], PATIENCE), None);
    let ChainReply::Failed(fault) = chain.serve(ChainRequest::Head) else { panic!() };
    assert_eq!((fault.asked, fault.kind), ("head", ChainFaultKind::Unreachable));
}

/// The operator's tool as it is run, ended with the test.
struct Simulator {
    child: Child,
    url: String,
    log: PathBuf,
    _files: tempfile::TempDir,
}

impl Simulator {
    fn start() -> Simulator {
        let files = tempfile::tempdir().unwrap();
        let neuron = |uid: u16, seed: u8| {
            let hotkey = Keypair::from_seed([seed; 32]).unwrap().hotkey().clone();
            let permit = uid == 0;
            json!({"uid": uid, "hotkey": hotkey, "coldkey": hotkey, "stake_tao": 5.0, "validator_permit": permit, "axon": null})
        };
        let (neurons, log) = (files.path().join("neurons.json"), files.path().join("journal.jsonl"));
        std::fs::write(&neurons, json!([neuron(0, 1), neuron(1, 2)]).to_string()).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_byteleap"))
            .args(["subtensor-sim", "--listen", "127.0.0.1:0", "--netuid", "128", "--block-time-s", "0.05"])
            .arg("--neurons")
            .arg(&neurons)
            .arg("--log")
            .arg(&log)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let url = first_line(&mut child).strip_prefix("listening on ").unwrap().to_owned();
        let _: SocketAddr = url.strip_prefix("http://").unwrap().parse().unwrap();
        Simulator { child, url, log, _files: files }
    }
}

impl Simulator {
    /// Asks it to stop, as systemd would: it writes its journal to the end first.
    fn stop(&mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn first_line(child: &mut Child) -> String {
    let mut line = String::new();
    let stdout = child.stdout.as_mut().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
    line.trim().to_owned()
}

#[test]
fn the_whole_way_over_http_to_the_simulated_node() {
    let mut simulator = Simulator::start();
    let key = Keypair::from_seed([1; 32]).unwrap();
    let http = Http::new(vec![simulator.url.clone()], PATIENCE, ChaCha20Rng::seed_from_u64(1));
    let mut chain = Chain::new(http, Some(key));
    let (netuid, weights) = (Netuid(128), vec![(Uid(1), 65535)]);
    let weights = ChainCall::SetWeights(WeightVector { netuid, mechanism: 0, weights, version_key: 0 });
    let ChainReply::Signed(signed) = chain.serve(ChainRequest::Sign(Box::new(weights))) else { panic!() };
    let ChainReply::Submitted(submission) = chain.serve(ChainRequest::Submit(signed)) else { panic!() };
    // Each look is a conversation with a node whose blocks come by themselves; the era bounds how many.
    let block = loop {
        match chain.serve(ChainRequest::Find(submission.clone())) {
            ChainReply::Found(Inclusion::Pending) => {}
            ChainReply::Found(Inclusion::Succeeded { block, .. }) => break block,
            other => panic!("{other:?}"),
        }
    };
    let ChainReply::Metagraph(graph) = chain.serve(ChainRequest::Metagraph(Netuid(128))) else { panic!() };
    assert_eq!(graph.neurons[0].last_update, block);
    let read = chain.serve(ChainRequest::Weights { netuid: Netuid(128), mechanism: 0, uid: Uid(0) });
    assert_eq!(read, ChainReply::Weights(vec![(Uid(1), 65535)]));
    assert_eq!(simulator.stop(), Some(0));
    let journal = std::fs::read_to_string(&simulator.log).unwrap();
    let line: Json = serde_json::from_str(journal.lines().next().unwrap()).unwrap();
    assert_eq!((&line["result"], &line["block"]), (&json!("success"), &json!(block)));
}
