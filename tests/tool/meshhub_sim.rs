//! `byteleap meshhub-sim` as a process: a validator's words over a real WebSocket, control by HTTP beside it.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::Duration,
};

use byteleap::{
    spoke::meshhub_sim::METHODS,
    units::{Secret, Wall},
    wire::{
        keys::Keypair,
        marketplace::{Ack, FromHub, Hello, HubSession, Incoming, Reply, ToHub, kind},
    },
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tungstenite::{Message, WebSocket, client::IntoClientRequest};

use crate::stage::run;

const PATIENCE: Duration = Duration::from_secs(20);

struct Hub {
    process: Child,
    http: String,
    ws: String,
}

impl Hub {
    fn start(arguments: &[&str]) -> Hub {
        let mut process = Command::new(env!("CARGO_BIN_EXE_byteleap"))
            .args(["meshhub-sim", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the simulated hub");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("it is piped")).read_line(&mut line).expect("its first line");
        let word = |scheme: &str| line.split_whitespace().find(|word| word.starts_with(scheme)).expect("an address");
        let (http, ws) = (word("http://").to_owned(), word("ws://").to_owned());
        Hub { process, http, ws }
    }

    fn control(&self, method: &str, params: &Value) -> Value {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        let request = ureq::post(&self.http).config().timeout_global(Some(PATIENCE)).build();
        let mut answer = request.send(body).expect("an answer");
        let answer: Value = serde_json::from_str(&answer.body_mut().read_to_string().expect("text")).expect("JSON");
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].clone()
    }

    fn connect(&self) -> WebSocket<TcpStream> {
        let request = self.ws.as_str().into_client_request().expect("a URL");
        let stream = TcpStream::connect(request.uri().authority().expect("an address").as_str()).expect("an open port");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket option");
        tungstenite::client(request, stream).expect("an upgrade").0
    }

    /// A connection and what the hub answers to this token.
    fn knock(&self, token: &str) -> (WebSocket<TcpStream>, Hello, Reply) {
        let (mut socket, hello) = (self.connect(), Hello::new([7; 32], [8; 16]));
        let text = hello.to_text(Wall(0), me().hotkey(), &Secret::new(token.into()), "test", &[]);
        socket.send(Message::text(text)).expect("an open connection");
        let reply = Reply::parse(&text_of(&mut socket)).expect("an answer to the handshake");
        (socket, hello, reply)
    }

    fn join(&self, token: &str) -> (WebSocket<TcpStream>, HubSession) {
        let (socket, hello, reply) = self.knock(token);
        let Reply::Accepted(answer) = reply else { panic!("{reply:?}") };
        (socket, hello.finish(me().hotkey(), None, &answer).expect("a session"))
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn me() -> Keypair {
    Keypair::from_seed([2; 32]).expect("a seed")
}

fn text_of(socket: &mut WebSocket<TcpStream>) -> String {
    socket.read().expect("a text").into_text().expect("a text").as_str().to_owned()
}

fn heard(socket: &mut WebSocket<TcpStream>, session: &mut HubSession) -> Incoming<FromHub> {
    session.open(&text_of(socket)).expect("a good frame")
}

fn scores(incoming: Incoming<FromHub>) -> Vec<f64> {
    match incoming {
        Incoming::Message { body: Ok(FromHub::Leases(leases)), .. } => {
            leases.scores.iter().map(|(_, score)| *score).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_validator_gets_leases_by_script_and_by_word_and_its_words_are_kept() {
    let dir = tempfile::tempdir().expect("a directory");
    let worker = format!("{}:w1", me().hotkey());
    let (tokens, leases) = (dir.path().join("tokens"), dir.path().join("leases.json"));
    fs::write(&tokens, "right\n").expect("a file");
    fs::write(&leases, json!({"leases": {&worker: 0.5}}).to_string()).expect("a file");
    let [tokens, leases] = [tokens, leases].map(|path| path.to_str().expect("a plain path").to_owned());
    let mut hub = Hub::start(&["--token-file", &tokens, "--leases", &leases]);

    assert!(matches!(hub.knock("wrong").2, Reply::Refused(error) if error.code == 4001));
    let (mut socket, mut session) = hub.join("right");
    assert_eq!(scores(heard(&mut socket, &mut session)), [0.5]);
    assert_eq!(hub.control("sim_leases", &json!([{&worker: 0.75}])), json!(1));
    assert_eq!(scores(heard(&mut socket, &mut session)), [0.75]);
    assert_eq!(hub.control("sim_config", &json!([{"validation": {}}])), json!("cfg-1"));
    assert!(
        matches!(heard(&mut socket, &mut session), Incoming::Message { message_id: Some(id), .. } if id == "cfg-1")
    );
    let ack = ToHub::Ack(Ack::accepted("cfg-1", kind::CONFIG_UPDATE));
    socket.send(Message::text(session.seal(Wall(0), None, &ack).expect("a number"))).expect("an open connection");
    // the next thing that the hub says comes after it has read the acknowledgement
    socket.send(Message::Ping(Default::default())).expect("an open connection");
    assert!(matches!(socket.read(), Ok(Message::Pong(_))));
    let kept = hub.control("sim_received", &json!([kind::ACK]));
    assert_eq!(kept["records"][0]["data"]["messageId"], json!("cfg-1"), "{kept}");

    hub.control("sim_outage", &json!([3600]));
    assert!(matches!(socket.read(), Ok(Message::Close(Some(frame))) if u16::from(frame.code) == 1001));
    hub.control("sim_outage", &json!([0]));
    let (mut socket, mut session) = hub.join("right");
    assert_eq!(scores(heard(&mut socket, &mut session)), [0.75]);
    kill_process(Pid::from_raw(hub.process.id().cast_signed()).expect("a pid"), Signal::TERM).expect("a process");
    assert_eq!(hub.process.wait().expect("its end").code(), Some(0));
}

#[test]
fn the_help_lists_every_method() {
    let help = run(&["meshhub-sim", "--help"], "");
    assert_eq!(help.status, Some(0));
    assert!(METHODS.iter().all(|(name, ..)| help.out.contains(name)) && help.out.contains("simulated"), "{}", help.out);
}

#[test]
fn files_that_say_nothing_are_named() {
    let dir = tempfile::tempdir().expect("a directory");
    for (option, text, why) in [
        ("--leases", "[]", "no script"),
        ("--leases", r#"{"events": [{"at_s": 1, "method": "sim_stall"}]}"#, "no method is called \"sim_stall\""),
        ("--token-file", "# none\n", "no token in it"),
        ("--key-file", "0x11", "no seed of 32 bytes in hex"),
    ] {
        let file = dir.path().join("file");
        fs::write(&file, text).expect("a file");
        let file = file.to_str().expect("a plain path");
        let ended = run(&["meshhub-sim", "--listen", "127.0.0.1:0", option, file], "");
        assert_eq!(ended.status, Some(78), "{option}: {}", ended.err);
        assert!(ended.err.contains(file) && ended.err.contains(why), "{option}: {}", ended.err);
    }
}
