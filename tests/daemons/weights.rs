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
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(120);
/// Short: the wait for the next block is most of what weights take.
pub const BLOCK_TIME: Duration = Duration::from_millis(200);
/// How often a validator may have gone on between a look and its freeze.
const TRIES: u32 = 30;

/// What the simulated chain's runtime asks for that nobody can sign.
const EXTENSION: &str = "SimulatedDeadline";
const INTENTS: &str = "SELECT count(*) FROM weight_intents";
const EXTRINSICS: &str = "SELECT count(*) FROM extrinsics";

pub struct Stage {
    pub subnet: Subnet,
}

fn plan(subtensor: &Value) -> Plan {
    Plan {
        miners: 1,
        workers: 1,
        matrix_size: 100,
        block_time: BLOCK_TIME,
        validator: json!({"subtensor": subtensor}),
        miner: json!({"subtensor": subtensor}),
        worker: json!({}),
        last_worker: json!({}),
    }
}

/// Asks a simulated chain, also for what no real one does.
pub fn ask(url: &str, method: &str, params: &Value) -> Value {
    let place = url.strip_prefix("http://").expect("a URL").trim_end_matches('/').to_owned();
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

impl Stage {
    fn start(dir: &Path) -> Stage {
        let mut stage = Stage::of_chain(dir);
        stage.add_daemons(&json!({}));
        stage
    }

    /// The chain alone.
    pub fn of_chain(dir: &Path) -> Stage {
        let plan = plan(&json!({}));
        let site = Site::lay_out(dir, &plan).expect("wallets and files");
        let exe = Path::new(env!("CARGO_BIN_EXE_byteleap"));
        Stage { subnet: Subnet::start(exe, site, &plan, &[]).expect("a chain") }
    }

    /// Validator, miner and worker; `subtensor` is merged over those settings of the first two.
    pub fn add_daemons(&mut self, subtensor: &Value) {
        self.add_daemons_over(subtensor, &json!({}));
    }

    /// The same, and `metrics` for the validator's.
    pub fn add_daemons_over(&mut self, subtensor: &Value, metrics: &Value) {
        let plan = self.configure(subtensor, metrics);
        self.subnet.add(&plan, &["validator", "miner", "worker"]).expect("daemons");
    }

    /// The files that these are read from.
    pub fn configure(&mut self, subtensor: &Value, metrics: &Value) -> Plan {
        let mut plan = plan(subtensor);
        plan.validator["metrics"] = metrics.clone();
        self.subnet.site.configure(&plan, &self.subnet.chain_url).expect("configurations");
        plan
    }

    pub fn control(&self, method: &str, params: &Value) -> Value {
        ask(&self.subnet.chain_url, method, params)
    }

    pub fn block(&self) -> u64 {
        let header = self.control("chain_getHeader", &json!([]));
        let number = header["number"].as_str().and_then(|text| text.strip_prefix("0x")).expect("a block number");
        u64::from_str_radix(number, 16).expect("hex")
    }

    /// One number out of the validator's database; 0 while there is none.
    pub fn count(&self, query: &str) -> i64 {
        let database = self.subnet.site.database_path();
        let Ok(db) = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY) else { return 0 };
        db.busy_timeout(Duration::from_secs(5)).expect("a time-out");
        db.query_row(query, [], |row| row.get(0)).unwrap_or(0)
    }

    pub fn confirmed(&self) -> i64 {
        self.count("SELECT count(*) FROM weight_outcomes WHERE kind = 'confirmed'")
    }

    pub fn until(&mut self, what: &str, reached: impl Fn(&Stage) -> bool) {
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

    pub fn set_more_than_once(&self) -> Vec<i64> {
        self.set().into_iter().filter(|(_, times)| *times > 1).map(|(intent, _)| intent).collect()
    }

    /// Ends the validator while its newest weights stand at that step; says which intent that is. Frozen first: what
    /// had gone on between the look and the kill would be no kill at that step.
    fn kill_at(&mut self, step: &str, stands: &str) -> i64 {
        let newest = "(SELECT id, (SELECT kind FROM weight_outcomes WHERE intent = weight_intents.id
                       ORDER BY id DESC LIMIT 1) AS latest FROM weight_intents ORDER BY id DESC LIMIT 1) AS newest";
        let query = format!("SELECT newest.id FROM {newest} WHERE {stands}");
        let validator = self.subnet.processes.iter().find(|process| process.name == "validator");
        let pid = validator.and_then(|process| Pid::from_raw(process.pid().cast_signed())).expect("a validator");
        let signal = |signal| kill_process(pid, signal).expect("a running daemon");
        for _ in 0..TRIES {
            self.until(step, |stage| stage.count(&query) > 0);
            signal(Signal::STOP);
            let intent = self.count(&query);
            if intent > 0 {
                self.subnet.kill("validator").expect("a running daemon");
                assert_eq!(self.count(&query), intent, "the database after a kill at {step}");
                return intent;
            }
            signal(Signal::CONT);
        }
        panic!("{step} was always over at once\n{}", self.log());
    }

    fn whole_log(&self) -> String {
        fs::read_to_string(self.subnet.site.log_path("validator")).unwrap_or_default()
    }

    fn first_line_with(&self, words: &str) -> Option<String> {
        self.whole_log().lines().find(|line| line.contains(words)).map(str::to_owned)
    }

    pub fn log(&self) -> String {
        let log = self.whole_log();
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

/// Weights that the database has brought this far and no further, of the newest intent alone.
const STEPS: [(&str, &str); 5] = [
    ("intent", "NOT EXISTS (SELECT 1 FROM extrinsics WHERE intent = newest.id)"),
    ("signed", "EXISTS (SELECT 1 FROM extrinsics WHERE intent = newest.id) AND latest IS NULL"),
    ("submitted", "latest = 'submitted'"),
    ("included", "latest = 'included'"),
    ("confirmed", "latest = 'confirmed'"),
];

#[test]
fn a_kill_at_any_step_sets_weights_once_for_each_intent() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut stage = Stage::start(dir.path());
    stage.until("the first confirmed weights", |stage| stage.confirmed() > 0);
    // each step lasts for at least one answer
    stage.control("sim_delay", &json!([50]));
    for (step, stands) in STEPS {
        let killed = stage.kill_at(step, stands);
        let confirmed = stage.confirmed();
        stage.subnet.restart("validator").expect("a daemon that starts again");
        stage.until(&format!("weights after a kill at {step}"), |stage| stage.confirmed() >= confirmed + 2);
        let set = stage.set();
        let twice = stage.set_more_than_once();
        assert!(twice.is_empty(), "killed at {step}: intents set more than once: {twice:?}\n{}", stage.log());
        let lost = step != "intent" && !set.contains_key(&killed);
        assert!(!lost, "killed at {step}: intent {killed} was signed and never set: {set:?}\n{}", stage.log());
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
    // one that was signed for the runtime before may expire: no block of the next one takes it
    let refused = "SELECT count(*) FROM weight_outcomes WHERE kind IN ('refused', 'dropped')";
    assert_eq!(stage.count(refused), 0, "{}", stage.log());
    stage.control("sim_upgrade", &json!(["extension"]));
    stage.until("its name", |stage| stage.first_line_with(EXTENSION).is_some());
    let told = stage.first_line_with(EXTENSION).expect("a line that was there");
    assert!(told.contains("ERROR") && told.contains("byteleap"), "{told}");
    stage.until("the block's name", |stage| stage.first_line_with("no weights are set: signing: ").is_some());
    let written = |stage: &Stage| [INTENTS, EXTRINSICS].map(|query| stage.count(query));
    let (before, block) = (written(&stage), stage.block());
    stage.until("blocks without an intent of ours", |stage| stage.block() > block + 100);
    assert_eq!(written(&stage), before, "intents and extrinsics all the same:\n{}", stage.log());
    stage.subnet.stop().unwrap_or_else(|why| panic!("{why}"));
}
