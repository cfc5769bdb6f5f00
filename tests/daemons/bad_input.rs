//! Bad input to whole daemons over their sockets: each piece is refused by name and counted, what was accepted
//! before stays, and good peers are served as before.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    time::Duration,
};

use byteleap::{
    devnet::{
        Fault,
        dendrite::Dendrite,
        site::{BLOCK_TIME, Plan, Site, miner_name, wallet_of},
        subnet::Subnet,
    },
    wallet,
    wire::{
        http::{Headers, Request, Response},
        keys::Keypair,
        limits::{BODY_BYTES, WEBSOCKET_BYTES},
        session::Refusal,
        synapse::{SynapseKind, parse_answer},
    },
};
use serde_json::{Value, json};
use tungstenite::{Message, WebSocket, stream::MaybeTlsStream};

const PATIENCE: Duration = Duration::from_secs(60);

/// A subnet and the metrics door of one of its daemons.
pub struct Stage {
    pub subnet: Subnet,
    metrics: SocketAddr,
}

impl Stage {
    pub fn start(dir: &Path, role: &'static str) -> Stage {
        Stage::start_with(dir, role, &json!({}))
    }

    /// `over`: further settings of that role.
    fn start_with(dir: &Path, role: &'static str, over: &Value) -> Stage {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let metrics = free.expect("a free port");
        let mut given = over.clone();
        given["metrics"] = json!({"listen": metrics});
        let settings = |of: &str| if of == role { given.clone() } else { json!({}) };
        let (validator, miner) = (settings("validator"), settings("miner"));
        let plan = Plan {
            miners: 1,
            workers: 0,
            matrix_size: 100,
            block_time: BLOCK_TIME,
            validator,
            miner,
            worker: json!({}),
            last_worker: json!({}),
        };
        let site = Site::lay_out(dir, &plan).expect("wallets and files");
        let exe = Path::new(env!("CARGO_BIN_EXE_byteleap"));
        let mut subnet = Subnet::start(exe, site, &plan, &[role]).expect("a subnet");
        let up = subnet.until(PATIENCE, "an open door", |subnet| {
            subnet.all_alive()?;
            Ok::<_, Fault>(TcpStream::connect(metrics).is_ok() && (role != "validator" || subnet.validator_is_ready()))
        });
        up.unwrap_or_else(|why| panic!("{why}"));
        Stage { subnet, metrics }
    }

    /// The value of one line of the metrics page.
    pub fn counted(&self, line: &str) -> u64 {
        counted(self.metrics, line).unwrap_or_else(|| panic!("no {line} on the page"))
    }

    pub fn stop(mut self) {
        self.subnet.all_alive().and_then(|()| self.subnet.stop()).unwrap_or_else(|why| panic!("{why}"));
    }

    pub fn dendrite(&self, key: Keypair) -> Dendrite {
        let validator = &self.subnet.site.validator;
        Dendrite::open(key, validator.hotkey.clone(), validator.listen).expect("an open axon")
    }

    pub fn miners_key(&self) -> Keypair {
        wallet::load(&wallet_of(&self.subnet.site.dir, &miner_name(0))).expect("a wallet")
    }

    /// The status of the answer to a request on a connection of its own; the code of a session's fault under 200.
    pub fn code(&self, request: &Request) -> u16 {
        let answer = self.dendrite(self.miners_key()).send(request).expect("an answer");
        let fault = parse_answer(&answer).ok().and_then(|text| Refusal::parse(&text));
        fault.map_or(answer.status, |fault| fault.error_code)
    }
}

/// The value of one line of a metrics page; `None` while it counts nothing.
pub fn counted(door: SocketAddr, line: &str) -> Option<u64> {
    let mut stream = TcpStream::connect(door).expect("an open door");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket option");
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("an open connection");
    let mut page = String::new();
    stream.read_to_string(&mut page).expect("a page");
    page.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok())
}

/// A connection whose request never comes to its end.
fn slow_sender(axon: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(axon).expect("an open axon");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket option");
    stream.write_all(b"POST /HeartbeatSynapse HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{").expect("a start");
    stream
}

/// `request` with one header field replaced.
fn with(request: &Request, name: &str, value: &str) -> Request {
    let mut headers = Headers::new();
    for (field, old) in request.headers.iter() {
        headers.push(field, if field == name { value } else { old });
    }
    Request { headers, ..request.clone() }
}

#[test]
fn a_validator_refuses_by_name_counts_and_goes_on() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let stage = Stage::start(dir.path(), "validator");
    let key = stage.miners_key();
    let mut miner = stage.dendrite(key.clone());
    let mut session = miner.handshake().expect("a session");
    miner.heartbeat(&mut session, 0).expect("an accepted heartbeat");

    let mut slow = slow_sender(stage.subnet.site.validator.listen);
    let heartbeat = SynapseKind::Heartbeat;
    let sealed = session.seal(heartbeat, &json!({"workers": 5}).to_string()).expect("a number");
    let good = miner.request(heartbeat, &sealed);
    assert_eq!(stage.code(&good), 4015, "wrong types");
    assert_eq!(stage.code(&good), 401, "a nonce again");
    let again = miner.request(heartbeat, &sealed);
    assert_eq!(stage.code(&again), 4020, "a sequence number again");
    let nobodys = sealed.replace(session.id(), &"0".repeat(session.id().len()));
    assert_ne!(nobodys, sealed);
    let nobodys = miner.request(heartbeat, &nobodys);
    assert_eq!(stage.code(&nobodys), 4012, "an unknown session");
    let forged =
        with(&miner.request(heartbeat, &sealed), "bt_header_dendrite_signature", &format!("0x{}", "00".repeat(64)));
    assert_eq!(stage.code(&forged), 401, "a wrong signature");
    let stranger = Keypair::from_seed([77; 32]).expect("a key");
    let foreign = stage.dendrite(stranger).request(heartbeat, &sealed);
    assert_eq!(stage.code(&foreign), 403, "a foreign hotkey");
    let malformed = Request { body: b"{\"request\": ".to_vec(), ..miner.request(heartbeat, &sealed) };
    assert_eq!(stage.code(&malformed), 422, "malformed JSON");
    for (code, reason) in [
        ("4015", "body"),
        ("401", "nonce_reused"),
        ("4020", "sequence"),
        ("4012", "unknown_session"),
        ("401", "signature"),
        ("403", "not_in_metagraph"),
        ("422", "body"),
    ] {
        let line = format!("byteleap_refusals_total{{code=\"{code}\",reason=\"{reason}\"}}");
        assert_eq!(stage.counted(&line), 1, "{line}");
    }

    let status = |bytes: &[u8]| stage.dendrite(key.clone()).send_bytes(bytes).map(|answer: Response| answer.status);
    let huge = format!("POST /HeartbeatSynapse HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", BODY_BYTES + 1);
    assert_eq!(status(huge.as_bytes()).expect("an answer"), 413);
    assert_eq!(status(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 noise\r\n\r\n").expect("an answer"), 400);
    assert!(stage.counted("byteleap_connections_closed_total{link=\"axon\",reason=\"limit\"}") >= 1);
    assert!(stage.counted("byteleap_connections_closed_total{link=\"axon\",reason=\"protocol\"}") >= 1);

    let mut answer = String::new();
    slow.read_to_string(&mut answer).expect("an end in time");
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert_eq!(stage.counted("byteleap_connections_closed_total{link=\"axon\",reason=\"timeout\"}"), 1);

    miner.heartbeat(&mut session, 0).expect("the session is as good as before");
    assert_eq!(stage.counted("byteleap_heartbeats_total"), 2);
    stage.stop();
}

type Socket = WebSocket<MaybeTlsStream<TcpStream>>;

fn worker(stage: &Stage) -> Socket {
    let stream = TcpStream::connect(stage.subnet.site.miners[0].listen).expect("an open door");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket option");
    let url = format!("ws://{}/", stage.subnet.site.miners[0].listen);
    tungstenite::client(url, MaybeTlsStream::Plain(stream)).expect("an upgrade").0
}

fn say(socket: &mut Socket, frame: &Value) {
    socket.send(Message::text(frame.to_string())).expect("an open connection");
}

fn registered(stage: &Stage, id: &str) -> Socket {
    let mut socket = worker(stage);
    say(
        &mut socket,
        &json!({"type": "register", "worker_id": id, "worker_name": id, "worker_version": "1.0.0",
        "capabilities": ["cpu_matrix"], "system_info": {}}),
    );
    hear(&mut socket, "registration_ack");
    socket
}

fn heartbeat() -> Value {
    json!({"type": "heartbeat", "data": {"status": "online", "active_tasks": 0, "system_info": {"cpu_count": 2}}})
}

/// The next frame of that type; others are passed over.
fn hear(socket: &mut Socket, kind: &str) -> Value {
    loop {
        if let Message::Text(text) = socket.read().expect("a frame in time") {
            let frame: Value = serde_json::from_str(&text).expect("a frame is JSON");
            if frame["type"] == kind {
                return frame;
            }
        }
    }
}

fn close_code(socket: &mut Socket) -> u16 {
    loop {
        if let Message::Close(Some(frame)) = socket.read().expect("a frame in time") {
            return frame.code.into();
        }
    }
}

#[test]
fn a_miner_says_whom_its_door_turned_away_and_why() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let over = json!({"worker_management": {"allow": ["10.0.0.0/8"]}});
    let stage = Stage::start_with(dir.path(), "miner", &over);
    let door = stage.subnet.site.miners[0].listen;
    for _ in 0..3 {
        let stream = TcpStream::connect(door).expect("an open door");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket option");
        assert!(tungstenite::client(format!("ws://{door}/"), stream).is_err(), "no upgrade");
    }
    let log = std::fs::read_to_string(stage.subnet.site.log_path(&miner_name(0))).expect("a log");
    let told: Vec<&str> = log.lines().filter(|line| line.contains("refused at the door")).collect();
    assert_eq!(told.len(), 1, "{log}");
    let expected = "127.0.0.1 was refused at the door for workers: 403 the address is in none of the allowed networks";
    assert!(told[0].contains("WARN") && told[0].ends_with(expected), "{log}");
    stage.stop();
}

#[test]
fn a_miner_ignores_by_name_counts_and_goes_on() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let stage = Stage::start(dir.path(), "miner");
    let mut good = registered(&stage, "good");
    let mut first = worker(&stage);
    first.send(Message::text("{\"type\": ")).expect("an open connection");
    assert_eq!(close_code(&mut first), 4000, "the first frame is no registration");

    let mut bad = registered(&stage, "bad");
    bad.send(Message::text("{\"type\": ")).expect("an open connection");
    say(&mut bad, &json!({"type": "heartbeat", "worker_id": "bad", "data": 7}));
    let result = json!({"task_id": "never-given", "success": true, "result": {}});
    say(&mut bad, &json!({"type": "task_result", "worker_id": "bad", "task_id": "never-given", "data": result}));
    let proof = json!({"success": true, "proofs": []});
    say(&mut bad, &json!({"type": "proof_response", "worker_id": "bad", "message_id": "never-asked", "data": proof}));
    say(&mut bad, &heartbeat());
    hear(&mut bad, "heartbeat_ack");

    let mut header = vec![0x81, 0xff];
    header.extend_from_slice(&(WEBSOCKET_BYTES as u64 + 1).to_be_bytes());
    header.extend_from_slice(&[0; 4]);
    bad.get_mut().write_all(&header).expect("an open connection");
    assert_eq!(close_code(&mut bad), 1009, "a huge message");

    for fault in ["bad_registration", "bad_frame", "foreign_result", "foreign_proof"] {
        assert!(stage.counted(&format!("byteleap_faults_total{{fault=\"{fault}\"}}")) >= 1, "{fault}");
    }
    assert!(stage.counted("byteleap_connections_closed_total{link=\"workers\",reason=\"limit\"}") >= 1);
    say(&mut good, &heartbeat());
    hear(&mut good, "heartbeat_ack");
    drop(good);
    stage.stop();
}
