//! `btauth/1` between whole daemons: a real validator takes it beside the old headers and refuses by name what is
//! wrong; a real miner uses it once it was announced.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    time::Duration,
};

use byteleap::{
    devnet::{
        Fault,
        dendrite::heartbeat_of,
        ledger::Ledger,
        site::{BLOCK_TIME, Plan, Site},
        subnet::Subnet,
    },
    net::Clock,
    units::Wall,
    wire::{
        http::{Headers, Request},
        json,
        keys::Keypair,
        session::ClientHello,
        synapse::{OpenCall, SynapseKind, btauth, parse_answer},
    },
};
use serde_json::json;

use crate::bad_input::{Stage, counted};

const PATIENCE: Duration = Duration::from_secs(60);

/// Makes requests to one validator whose bodies are signed, each with a nonce of its own.
struct Sender {
    key: Keypair,
    call: OpenCall,
    sent: u64,
}

impl Sender {
    fn request(&mut self, kind: SynapseKind, text: &str) -> Request {
        self.at(now(), kind, text)
    }

    fn at(&mut self, at: Wall, kind: SynapseKind, text: &str) -> Request {
        self.sent += 1;
        OpenCall { kind, ..self.call.clone() }.write(text).sign(&self.key, at.0 + self.sent)
    }
}

fn now() -> Wall {
    Clock::start().now().wall
}

/// `request` with one header field replaced, added, or taken out.
fn with(request: &Request, name: &str, value: Option<&str>) -> Request {
    let mut headers = Headers::new();
    request.headers.iter().filter(|(field, _)| *field != name).for_each(|(field, old)| headers.push(field, old));
    value.into_iter().for_each(|value| headers.push(name, value));
    Request { headers, ..request.clone() }
}

#[test]
fn a_validator_takes_signed_bodies_beside_old_headers_and_names_what_is_wrong() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let stage = Stage::start(dir.path(), "validator");
    let (key, site) = (stage.miners_key(), &stage.subnet.site);
    let call = OpenCall { kind: SynapseKind::Task, to: site.validator.hotkey.clone(), axon: site.validator.listen };
    let mut sender = Sender { key: key.clone(), call, sent: 0 };
    let mut line = stage.dendrite(key.clone());

    let hello = ClientHello::new([3; 32], [4; 16], now());
    let answer =
        line.send(&sender.request(SynapseKind::SessionInit, &json::text(&hello.request()))).expect("an answer");
    assert!(btauth::announces(&answer.headers));
    let text = parse_answer(&answer).expect("a handshake's answer");
    let offer = json::parse(&text).expect("a session");
    let mut session = hello.finish(key.hotkey(), &site.validator.hotkey, &offer).expect("keys");
    let heartbeat = json::text(&heartbeat_of(key.hotkey(), 0, now()));
    let sealed = session.seal(SynapseKind::Heartbeat, &heartbeat).expect("a number");
    let good = sender.request(SynapseKind::Heartbeat, &sealed);

    let changed = Request { body: [good.body.as_slice(), b" "].concat(), ..good.clone() };
    let hour = Duration::from_secs(3600);
    let old = stage.dendrite(key.clone()).request(SynapseKind::Heartbeat, &sealed);
    let both = with(&good, "bt_header_dendrite_hotkey", old.headers.get("bt_header_dendrite_hotkey"));
    let elsewhere = with(&good, "x-bittensor-receiver", Some(key.hotkey().as_str()));
    for (request, code, reason) in [
        (changed, 401, "signature"),
        (sender.at(now() - hour, SynapseKind::Heartbeat, &sealed), 401, "nonce_too_old"),
        (sender.at(now() + hour, SynapseKind::Heartbeat, &sealed), 401, "nonce_in_future"),
        (elsewhere, 401, "wrong_receiver"),
        (with(&good, "x-bittensor-signature", None), 401, "missing_header"),
        (both, 400, "two_kinds_of_headers"),
    ] {
        assert_eq!(stage.code(&request), code, "{reason}");
        assert_eq!(stage.counted(&format!("byteleap_refusals_total{{code=\"{code}\",reason=\"{reason}\"}}")), 1);
    }

    let fresh = sender.request(SynapseKind::Heartbeat, &sealed);
    assert_eq!(line.send(&fresh).expect("an answer").status, 200, "what was refused used nothing up");
    assert_eq!(stage.counted("byteleap_heartbeats_total"), 1);
    assert_eq!(stage.code(&fresh), 401, "a nonce counts once");
    assert_eq!(stage.counted("byteleap_refusals_total{code=\"401\",reason=\"replayed\"}"), 1);

    let mut other = stage.dendrite(key);
    let mut session = other.handshake().expect("a session by the old headers");
    other.heartbeat(&mut session, 0).expect("an accepted heartbeat");
    stage.stop();
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}

#[test]
fn a_miner_signs_bodies_for_a_validator_that_announces_it_and_loses_nothing_by_it() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (validator, miner) = (free(), free());
    let plan = Plan {
        miners: 1,
        workers: 1,
        matrix_size: 100,
        block_time: BLOCK_TIME,
        validator: json!({"metrics": {"listen": validator}}),
        miner: json!({"metrics": {"listen": miner}, "heartbeat_interval": 1, "task_poll_interval": 1}),
        worker: json!({}),
        last_worker: json!({}),
    };
    let site = Site::lay_out(dir.path(), &plan).expect("wallets and files");
    let exe = Path::new(env!("CARGO_BIN_EXE_byteleap"));
    let mut subnet = Subnet::start(exe, site, &plan, &["validator", "miner", "worker"]).expect("a subnet");
    let database = subnet.site.database_path();
    let mut until = |what: &str, reached: &dyn Fn() -> bool| {
        let up = subnet.until(PATIENCE, what, |subnet| {
            subnet.all_alive()?;
            Ok::<_, Fault>(reached())
        });
        up.unwrap_or_else(|why| panic!("{why}"));
    };
    until("open doors", &|| TcpStream::connect(validator).is_ok() && TcpStream::connect(miner).is_ok());
    until("signed bodies", &|| counted(miner, "byteleap_validators_signed_bodies") == Some(1));
    let heartbeats = || counted(validator, "byteleap_heartbeats_total").unwrap_or(0);
    let before = heartbeats();
    until("heartbeats in signed bodies", &|| heartbeats() >= before + 3);
    until("a verified challenge", &|| {
        let ledger = Ledger::read(&database).expect("a readable database").unwrap_or_default();
        ledger.challenges.iter().any(|challenge| challenge.verdict == "verified")
    });
    assert_eq!(counted(miner, "byteleap_validators_signed_bodies"), Some(1), "none was refused");
    subnet.stop().unwrap_or_else(|why| panic!("{why}"));
}
