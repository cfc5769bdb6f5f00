//! The HTTP transport against endpoints of every bad kind, and against the simulated node behind its socket.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crossbeam::channel::{self, Receiver};

use byteleap::{
    machine::contract::chain::{ChainCall, ChainFaultKind, ChainReply, ChainRequest, Inclusion, WeightVector},
    spoke::chain::{
        Chain,
        http::Http,
        rpc::{Call, Rpc, RpcError, to_hex},
    },
    units::{Netuid, Uid},
    wire::keys::Keypair,
};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use serde_json::{Value as Json, json};

/// Far longer than anything here takes: only what must time out has a short one.
const PATIENCE: Duration = Duration::from_secs(60);

/// An endpoint that answers every connection once, and then closes it.
struct Endpoint {
    url: String,
    /// The bodies that it was sent.
    asked: Receiver<String>,
}

impl Endpoint {
    /// Says the same bytes each time.
    fn saying(answer: impl Into<Vec<u8>>) -> Endpoint {
        let answer = answer.into();
        Endpoint::answering(move |_| answer.clone())
    }

    /// Says what `answer` makes of the body of each request.
    fn answering(mut answer: impl FnMut(&str) -> Vec<u8> + Send + 'static) -> Endpoint {
        let (heard, asked) = channel::unbounded();
        let url = serve(move |mut stream| {
            let body = read_request(&mut stream);
            let answer = answer(&body);
            let _ = heard.send(body);
            // A client that refuses the rest of an answer hangs up.
            let _ = stream.write_all(&answer);
        });
        Endpoint { url, asked }
    }

    /// A node that answers each call by itself.
    fn node(mut say: impl FnMut(&str, &Json) -> Json + Send + 'static) -> Endpoint {
        Endpoint::answering(move |body| http("200 OK", &rpc(body, &mut say)))
    }

    /// Takes the request and never answers.
    fn silent() -> Endpoint {
        let mut held = Vec::new();
        Endpoint { url: serve(move |stream| held.push(stream)), asked: channel::never() }
    }

    /// Begins an answer with `head` and never ends it.
    fn endless(head: &'static str, chunk: impl Into<Vec<u8>>) -> Endpoint {
        let chunk = chunk.into();
        let url = serve(move |mut stream| {
            read_request(&mut stream);
            let _ = stream.write_all(head.as_bytes());
            while stream.write_all(&chunk).is_ok() {}
        });
        Endpoint { url, asked: channel::never() }
    }

    /// Nobody listens there.
    fn gone() -> Endpoint {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Endpoint { url: format!("http://{}", listener.local_addr().unwrap()), asked: channel::never() }
    }

    /// How often it was asked since the last look.
    fn requests(&self) -> usize {
        self.asked.try_iter().count()
    }
}

#[expect(clippy::disallowed_methods, reason = "the other side of a test is no spoke")]
fn serve(mut serve: impl FnMut(TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let thread = std::thread::Builder::new();
    thread.spawn(move || listener.incoming().for_each(|stream| serve(stream.unwrap()))).unwrap();
    url
}

fn rpc(body: &str, say: &mut impl FnMut(&str, &Json) -> Json) -> String {
    let mut one = |call: &Json| {
        let result = say(call["method"].as_str().unwrap(), &call["params"]);
        json!({"jsonrpc": "2.0", "id": call["id"], "result": result})
    };
    match serde_json::from_str(body).unwrap() {
        Json::Array(calls) => Json::Array(calls.iter().map(one).collect()).to_string(),
        call => one(&call).to_string(),
    }
}

/// What a node of chain `genesis` says when its best block is `best`.
fn usual(genesis: u8, best: u64, method: &str) -> Json {
    match method {
        "chain_getBlockHash" => json!(to_hex(&[genesis; 32])),
        "chain_getHeader" => json!({"number": format!("{best:#x}")}),
        _ => json!("Bittensor"),
    }
}

/// The body of a request.
fn read_request(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&read).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.split("content-length:").nth(1).and_then(|rest| rest.split("\r\n").next());
            if body.len() >= length.map_or(0, |length| length.trim().parse().unwrap()) {
                return String::from_utf8_lossy(&read).split_once("\r\n\r\n").unwrap().1.to_owned();
            }
        }
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return String::new(),
            Ok(count) => read.extend_from_slice(&chunk[..count]),
        }
    }
}

fn http(status: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()).into_bytes()
}

fn good() -> Endpoint {
    Endpoint::node(|method, _| usual(1, 100, method))
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
    const LIMIT: u64 = 100_000;
    let chunk = format!("{:x}\r\n{}\r\n", 4096, "x".repeat(4096));
    for (head, chunk) in [
        // A gibibyte as announced, as not announced, in chunks, and after a promise of a few bytes.
        ("HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n", "x".repeat(4096)),
        ("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", "x".repeat(4096)),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", chunk),
    ] {
        let endless = Endpoint::endless(head, chunk);
        let mut client = client(&[&endless], PATIENCE).answer_bytes_max(LIMIT);
        let Err(RpcError::Unreachable { why, .. }) = ask(&mut client) else { panic!() };
        assert!(why.contains("limit"), "{head}: {why}");
    }
}

#[test]
fn an_answer_of_another_length_than_it_says_is_no_answer() {
    let body = rpc(r#"{"method":"x","id":0}"#, &mut |method, _| usual(1, 1, method));
    for length in [1, body.len() - 1] {
        let short = Endpoint::saying(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}"));
        assert!(unreachable(&short).contains("no JSON-RPC"));
    }
    let cut = Endpoint::saying(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len() + 1));
    unreachable(&cut);
}

#[test]
fn answers_that_are_not_to_our_calls_are_refused() {
    let swapped = |from: &'static str, to: &'static str| {
        Endpoint::answering(move |body| {
            http("200 OK", &rpc(body, &mut |method, _| usual(1, 100, method)).replace(from, to))
        })
    };
    for (from, to, told) in [
        (r#""id":0"#, r#""id":7"#, "no answer to call 0"),
        (r#""id":0"#, r#""id":1"#, "two answers to call 1"),
        (r#""id":0"#, r#""x":0"#, "without an id"),
        (r#""jsonrpc":"2.0""#, r#""jsonrpc":"1.0""#, "without jsonrpc"),
        (r#""result":"Bittensor""#, r#""x":1"#, "neither result nor error"),
        ("[{", "{", "no JSON-RPC"),
        ("}]", "", "no JSON-RPC"),
        ("\"Bittensor\"", "[[[[", "no JSON-RPC"),
    ] {
        let why = unreachable(&swapped(from, to));
        assert!(why.contains(told), "{to}: {why}");
    }
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
fn a_storm_of_429_over_all_endpoints_ends_in_silence_on_our_side() {
    let storm = || Endpoint::saying("HTTP/1.1 429 Too Many Requests\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n");
    let all = [storm(), storm(), storm(), storm()];
    let mut client = client(&all.each_ref(), PATIENCE);
    for _ in 0..50 {
        assert!(matches!(ask(&mut client), Err(RpcError::RateLimited { .. })));
    }
    assert_eq!(all.each_ref().map(Endpoint::requests), [1; 4], "each was asked once and then left alone");
    let Err(error) = ask(&mut client) else { panic!() };
    assert!(error.to_string().contains("every endpoint, for "), "{error}");
}

#[test]
fn a_silent_endpoint_leaves_time_for_the_next() {
    let (silent, good) = (Endpoint::silent(), good());
    let mut client = client(&[&silent, &good], Duration::from_secs(6));
    assert_eq!(ask(&mut client), Ok(json!("Bittensor")));
}

#[test]
fn an_endpoint_that_is_behind_is_passed_over_and_used_when_nobody_else_answers() {
    let behind = Endpoint::node(|method, _| usual(1, 79, method));
    let mut first_ahead = true;
    let ahead = Endpoint::answering(move |body| {
        let said = http("200 OK", &rpc(body, &mut |method, _| usual(1, 100, method)));
        if std::mem::take(&mut first_ahead) { said } else { http("502 Bad Gateway", "") }
    });
    let gone = Endpoint::gone();
    let mut client = client(&[&gone, &ahead, &behind], PATIENCE);
    assert_eq!(ask(&mut client), Ok(json!("Bittensor")));
    assert_eq!((ahead.requests(), behind.requests()), (1, 0));
    // The one ahead fails from now on; the one behind is better than nothing.
    assert_eq!(ask(&mut client), Ok(json!("Bittensor")));
    assert_eq!((ahead.requests(), behind.requests()), (1, 1));
}

#[test]
fn an_endpoint_that_lies_stalled_is_left_for_one_that_follows_the_chain() {
    let mut first = true;
    let stalled = Endpoint::answering(move |body| {
        let failing = std::mem::take(&mut first);
        if failing {
            http("502 Bad Gateway", "")
        } else {
            http("200 OK", &rpc(body, &mut |method, _| usual(1, 5, method)))
        }
    });
    let good = Endpoint::node(|method, _| if method == "x" { json!("good") } else { usual(1, 100, method) });
    let mut client_of_both = client(&[&stalled, &good], PATIENCE);
    let mut call = |name: &'static str| client_of_both.batch(&[Call::new(name, json!([]))]).unwrap().remove(0).unwrap();
    // It is down, so the other one is asked, and says how far the chain is.
    assert_eq!(call("x"), json!("good"));
    // It comes back from the past: as soon as it is asked again, its answers are not used.
    let mut asked = stalled.requests();
    while asked < 2 {
        assert_eq!(call("x"), json!("good"));
        asked += stalled.requests();
    }
}

#[test]
fn an_endpoint_of_another_chain_is_never_used() {
    let (ours, other) =
        (Endpoint::node(|method, _| usual(1, 100, method)), Endpoint::node(|method, _| usual(2, 900, method)));
    for order in [[&ours, &other], [&other, &ours]] {
        let mut client = client(&order, PATIENCE).genesis(Some([1; 32]));
        for _ in 0..3 {
            assert_eq!(ask(&mut client), Ok(json!("Bittensor")));
        }
        assert!(other.requests() <= 1, "it was asked again");
    }
}

#[test]
fn nothing_but_another_chain_is_refused_by_name() {
    let other = Endpoint::node(|method, _| usual(2, 900, method));
    let mut chain = Chain::new(client(&[&other], PATIENCE).genesis(Some([1; 32])), None);
    let told = format!("this is another chain: genesis {}, expected {}", to_hex(&[2; 32]), to_hex(&[1; 32]));
    for _ in 0..3 {
        let ChainReply::Failed(fault) = chain.serve(ChainRequest::Head) else { panic!() };
        assert_eq!(fault.kind, ChainFaultKind::OtherChain);
        assert!(fault.remedy.is_some_and(|remedy| remedy.contains("subtensor.endpoints")));
        assert!(fault.text.contains(&told), "{}", fault.text);
    }
    assert_eq!(other.requests(), 1);
}

#[test]
fn the_first_chain_seen_is_the_chain() {
    let down = Arc::new(AtomicBool::new(false));
    let is_down = down.clone();
    let first = Endpoint::answering(move |body| {
        let down = is_down.load(Ordering::Relaxed);
        if down { http("503", "") } else { http("200 OK", &rpc(body, &mut |method, _| usual(1, 100, method))) }
    });
    let second = Endpoint::node(|method, _| usual(2, 100, method));
    let mut client = client(&[&first, &second], PATIENCE);
    assert_eq!(ask(&mut client), Ok(json!("Bittensor")));
    down.store(true, Ordering::Relaxed);
    let told = format!("this is another chain: genesis {}, expected {}", to_hex(&[2; 32]), to_hex(&[1; 32]));
    let Err(RpcError::Unreachable { why, .. }) = ask(&mut client) else { panic!("the first may come back") };
    assert_eq!(why, told);
    down.store(false, Ordering::Relaxed);
    assert_eq!(ask(&mut client), Ok(json!("Bittensor")));
    assert_eq!(second.requests(), 1);
}

#[test]
fn an_endpoint_that_does_not_say_which_chain_it_is_of_is_not_used() {
    for nothing in [json!(null), json!("Bittensor"), json!("00"), json!(to_hex(&[1; 31])), json!(hex::encode([1; 32]))]
    {
        let shy = Endpoint::node(move |method, _| match method {
            "chain_getBlockHash" => nothing.clone(),
            _ => usual(1, 100, method),
        });
        assert!(unreachable(&shy).contains("chain_getBlockHash answered"));
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "that time passed is all there is to see; more than enough is as good")]
fn requests_keep_the_interval_that_is_configured() {
    let good = good();
    let second = Duration::from_secs(1);
    let mut client = client(&[&good], PATIENCE).request_interval(Some(second));
    let since = std::time::Instant::now();
    for _ in 0..3 {
        assert_eq!(ask(&mut client), Ok(json!("Bittensor")));
    }
    assert!(since.elapsed() >= 2 * second, "never less; more is the machine's load");
}

#[test]
fn a_stop_ends_the_wait_for_ones_turn() {
    let good = good();
    let (stopper, stop) = channel::bounded(0);
    let mut client = client(&[&good], PATIENCE).request_interval(Some(Duration::from_secs(1_000_000))).until(stop);
    assert_eq!(ask(&mut client), Ok(json!("Bittensor")));
    drop(stopper);
    assert_eq!(ask(&mut client), Err(RpcError::Stopped));
    assert_eq!(good.requests(), 1);
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

#[test]
fn a_node_that_limits_requests_is_asked_again_when_it_has_had_its_rest() {
    let simulator = Simulator::start();
    let new = || Http::new(vec![simulator.url.clone()], PATIENCE, ChaCha20Rng::seed_from_u64(1));
    for code in [429, -32999] {
        // By hand: a client would look at the node's chain along with it, which the limit forbids.
        let limit = |limit: Json| {
            let call = json!({"jsonrpc": "2.0", "id": 0, "method": "sim_rateLimit", "params": [limit]}).to_string();
            let mut stream = TcpStream::connect(simulator.url.strip_prefix("http://").unwrap()).unwrap();
            let length = call.len();
            let head = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
            stream.write_all((head + &call).as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert!(answer.contains("\"result\""), "{answer}");
        };
        let mut client = new();
        assert_eq!(ask(&mut client), Ok(json!("Subtensor (simulated)")));
        limit(json!({"per_s": 1, "code": code}));
        while !matches!(ask(&mut client), Err(RpcError::RateLimited { .. })) {}
        // Its rest is counted on our side, so that nothing is sent before; then it is as it was.
        limit(json!("off"));
        while matches!(ask(&mut client), Err(RpcError::RateLimited { .. })) {}
        assert_eq!(ask(&mut client), Ok(json!("Subtensor (simulated)")));
    }
}
