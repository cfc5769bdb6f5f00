//! `kill -9` of a real validator at each step of the way of its weights: after a restart they end up set exactly once
//! for each intent. The simulated chain's own journal and the validator's database are the witnesses.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    time::Duration,
};

use byteleap::devnet::{
    Fault,
    site::{Plan, Site},
    subnet::Subnet,
};
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(120);

struct Stage {
    subnet: Subnet,
}

impl Stage {
    fn start(dir: &Path) -> Stage {
        let plan = Plan {
            miners: 1,
            workers: 1,
            matrix_size: 100,
            validator: json!({}),
            miner: json!({}),
            worker: json!({}),
            last_worker: json!({}),
        };
        let site = Site::lay_out(dir, &plan).expect("wallets and files");
        let exe = Path::new(env!("CARGO_BIN_EXE_byteleap"));
        let subnet = Subnet::start(exe, site, &plan, &["validator", "miner", "worker"]).expect("a subnet");
        Stage { subnet }
    }

    /// Asks the simulated chain, also for what no real one does.
    fn control(&self, method: &str, params: &Value) -> Value {
        let place = self.subnet.chain_url.strip_prefix("http://").expect("a URL").trim_end_matches('/').to_owned();
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        let mut stream = TcpStream::connect(&place).expect("an open node");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket option");
        let head = format!(
            "POST / HTTP/1.1\r\nHost: {place}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).expect("an open connection");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let mut body: Value = serde_json::from_str(body).unwrap_or_else(|why| panic!("{method}: {why}: {answer}"));
        assert!(body.get("result").is_some(), "{method}: {answer}");
        body["result"].take()
    }

    fn block(&self) -> u64 {
        let header = self.control("chain_getHeader", &json!([]));
        let number = header["number"].as_str().and_then(|text| text.strip_prefix("0x")).expect("a block number");
        u64::from_str_radix(number, 16).expect("hex")
    }

    /// One number out of the validator's database; 0 while there is none.
    fn count(&self, query: &str) -> i64 {
        let database = self.subnet.site.database_path();
        let Ok(db) = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY) else { return 0 };
        db.busy_timeout(Duration::from_secs(5)).expect("a time-out");
        db.query_row(query, [], |row| row.get(0)).unwrap_or(0)
    }

    fn confirmed(&self) -> i64 {
        self.count("SELECT count(*) FROM weight_outcomes WHERE kind = 'confirmed'")
    }

    fn until(&mut self, what: &str, reached: impl Fn(&Stage) -> bool) {
        let ticks = crossbeam::channel::tick(Duration::from_millis(5));
        let end = crossbeam::channel::after(PATIENCE);
        while !reached(self) {
            self.subnet.all_alive().unwrap_or_else(|why: Fault| panic!("waiting for {what}: {why}"));
            crossbeam::select! {
                recv(ticks) -> _ => {},
                recv(end) -> _ => panic!("not in time: {what}\n{}", self.log()),
            }
        }
    }

    fn log(&self) -> String {
        let log = fs::read_to_string(self.subnet.site.log_path("validator")).unwrap_or_default();
        log.lines().rev().take(40).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Weight settings that stand in the chain, by the intent that its database says they are of.
    fn set(&self) -> BTreeMap<i64, u32> {
        let journal = fs::read_to_string(self.subnet.site.extrinsics_path()).expect("a journal");
        let lines = journal.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let weights = lines.filter(|line| line["call"].as_str().is_some_and(|call| call.ends_with("set_weights")));
        let mut set = BTreeMap::new();
        for line in weights.filter(|line| line["result"] == "success") {
            let hash = line["hash"].as_str().expect("a hash").trim_start_matches("0x").to_owned();
            let of = self.count(&format!("SELECT intent FROM extrinsics WHERE lower(hex(hash)) = '{hash}'"));
            assert_ne!(of, 0, "the chain has what was never durable: {line}");
            *set.entry(of).or_default() += 1;
        }
        set
    }
}

#[test]
fn a_kill_at_any_step_sets_weights_once_for_each_intent() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut stage = Stage::start(dir.path());
    stage.until("the first confirmed weights", |stage| stage.confirmed() > 0);
    let extrinsics = "SELECT count(*) FROM extrinsics WHERE errand = 'weights'";
    let submitted = "SELECT count(*) FROM weight_outcomes WHERE kind = 'submitted'";
    let included = "SELECT count(*) FROM extrinsics WHERE errand = 'weights' AND ended IS NOT NULL";
    let confirmed = "SELECT count(*) FROM weight_outcomes WHERE kind = 'confirmed'";
    for (step, query, stalled) in [
        ("intent", "SELECT count(*) FROM weight_intents", false),
        ("signed", extrinsics, false),
        ("submitted", submitted, true),
        ("included", included, false),
        ("confirmed", confirmed, false),
    ] {
        let before = stage.count(query);
        stage.until(step, |stage| {
            // no block takes it before the kill
            let reached = stage.count(query) > before;
            if stalled && !reached && stage.count(extrinsics) > stage.count(submitted) {
                stage.control("sim_stall", &json!([true]));
            }
            reached
        });
        stage.subnet.kill("validator").expect("a running daemon");
        stage.control("sim_stall", &json!([false]));
        let confirmed = stage.confirmed();
        stage.subnet.restart("validator").expect("a daemon that starts again");
        stage.until(&format!("weights after a kill at {step}"), |stage| stage.confirmed() >= confirmed + 2);
        let twice: Vec<_> = stage.set().into_iter().filter(|(_, times)| *times != 1).collect();
        assert!(twice.is_empty(), "killed at {step}: intents set more than once: {twice:?}\n{}", stage.log());
    }
    stage.subnet.stop().unwrap_or_else(|why| panic!("{why}"));
}

#[test]
fn a_runtime_with_other_indices_goes_unnoticed_and_one_that_we_cannot_sign_is_named() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut stage = Stage::start(dir.path());
    stage.until("the first confirmed weights", |stage| stage.confirmed() > 0);
    for kind in ["shuffle", "newtype", "empty-extension"] {
        let before = stage.confirmed();
        stage.control("sim_upgrade", &json!([kind]));
        stage.until(&format!("weights after {kind}"), |stage| stage.confirmed() >= before + 2);
    }
    let refused = "SELECT count(*) FROM weight_outcomes WHERE kind IN ('refused', 'dropped', 'expired')";
    assert_eq!(stage.count(refused), 0, "{}", stage.log());
    stage.control("sim_upgrade", &json!(["extension"]));
    stage.until("an alarm that names it", |stage| {
        stage.log().lines().any(|line| line.contains("ERROR") && line.contains("signing"))
    });
    let (written, block) = (stage.count("SELECT count(*) FROM extrinsics"), stage.block());
    stage.until("blocks without an extrinsic of ours", |stage| stage.block() > block + 40);
    assert_eq!(stage.count("SELECT count(*) FROM extrinsics"), written, "signed all the same:\n{}", stage.log());
    stage.subnet.stop().unwrap_or_else(|why| panic!("{why}"));
}
