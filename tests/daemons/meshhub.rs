//! A real validator and a real simulated hub: leases that arrive and stay, outages, bad frames, wrong keys.

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use byteleap::{
    devnet::{
        Fault,
        site::{self, Plan, Site},
        subnet::Subnet,
    },
    units::Hotkey,
    wire::{keys::Keypair, marketplace::kind},
};
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

use crate::{
    tls_front,
    weights::{BLOCK_TIME, ask},
};

const PATIENCE: Duration = Duration::from_secs(60);

pub struct Stage {
    pub subnet: Subnet,
    plan: Plan,
    worker: String,
}

/// A validator whose settings for the marketplace are changed by `over`.
pub fn start(dir: &Path, over: impl FnOnce(&Path, &mut Value)) -> Stage {
    start_behind(dir, |_, dir, settings| over(dir, settings))
}

/// `over` gets the address of the hub, too.
fn start_behind(dir: &Path, over: impl FnOnce(SocketAddr, &Path, &mut Value)) -> Stage {
    start_with(dir, |subnet, worker| {
        let mut settings = subnet.start_hub(&json!({"leases": {worker: 0.5}})).expect("a hub");
        let hub = subnet.hub_url.trim_start_matches("http://").parse().expect("an address");
        over(hub, dir, &mut settings["meshhub"]);
        settings
    })
}

/// A chain and a validator; `settings` are the validator's, for a worker of that key.
fn start_with(dir: &Path, settings: impl FnOnce(&mut Subnet, &str) -> Value) -> Stage {
    start_roles(dir, &["validator"], settings)
}

pub fn start_roles(dir: &Path, roles: &[&str], settings: impl FnOnce(&mut Subnet, &str) -> Value) -> Stage {
    let mut plan = Plan {
        miners: 1,
        workers: 1,
        matrix_size: 100,
        block_time: BLOCK_TIME,
        validator: json!({}),
        miner: json!({}),
        worker: json!({}),
        last_worker: json!({}),
    };
    let site = Site::lay_out(dir, &plan).expect("wallets and files");
    let worker = format!("{}:{}", site.miners[0].hotkey, site::worker_id(0, 0));
    let exe = Path::new(env!("CARGO_BIN_EXE_byteleap"));
    let mut subnet = Subnet::start(exe, site, &plan, &[]).expect("a chain");
    plan.validator = settings(&mut subnet, &worker);
    subnet.site.configure(&plan, &subnet.chain_url).expect("configurations");
    subnet.add(&plan, roles).expect("daemons");
    Stage { subnet, plan, worker }
}

impl Stage {
    pub fn hub(&self, method: &str, params: &Value) -> Value {
        ask(&self.subnet.hub_url, method, params)
    }

    pub fn until(&mut self, what: &str, mut done: impl FnMut(&Stage) -> bool) {
        // the subnet's own wait lends itself to its processes, and this asks the hub as well
        let ticks = crossbeam::channel::tick(Duration::from_millis(50));
        let end = crossbeam::channel::after(PATIENCE);
        while !done(self) {
            if let Err(fault) = self.subnet.all_alive() {
                panic!("waiting for {what}: {fault}");
            }
            crossbeam::select! {
                recv(ticks) -> _ => {},
                recv(end) -> _ => panic!("not in time: {what}\n{}", self.log()),
            }
        }
    }

    pub fn log(&self) -> String {
        self.log_of("validator")
    }

    fn log_of(&self, name: &str) -> String {
        fs::read_to_string(self.subnet.site.log_path(name)).unwrap_or_default()
    }

    pub fn sessions(&self) -> usize {
        self.hub("sim_status", &json!([]))["sessions"].as_array().map_or(0, Vec::len)
    }

    /// The lease that the validator has written down.
    fn lease(&self) -> Option<f64> {
        let database = self.subnet.site.database_path();
        let db = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
        db.busy_timeout(Duration::from_secs(5)).expect("a time-out");
        db.query_row("SELECT score FROM leases", [], |row| row.get(0)).ok()
    }

    /// The tasks that the validator has written down.
    fn tasks(&self) -> Vec<String> {
        let database = self.subnet.site.database_path();
        let db = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("a database");
        db.busy_timeout(Duration::from_secs(5)).expect("a time-out");
        let mut find = db.prepare("SELECT task_key FROM market_tasks ORDER BY task_key").expect("the table");
        let keys = find.query_map([], |row| row.get(0)).expect("rows");
        keys.collect::<Result<_, _>>().expect("keys")
    }

    pub fn heard(&self, kind: &str) -> usize {
        self.hub("sim_received", &json!([kind]))["records"].as_array().map_or(0, Vec::len)
    }
}

#[test]
fn leases_arrive_and_stay_through_outages_and_a_kill() -> Result<(), Fault> {
    let dir = tempfile::tempdir().expect("a directory");
    let mut stage = start(dir.path(), |_, _| {});
    stage.until("the first lease", |stage| stage.lease() == Some(0.5));
    stage.until("a score report", |stage| stage.heard(kind::SCORE_REPORT) > 0);

    stage.hub("sim_outage", &json!([1]));
    stage.until("the end of the session", |stage| stage.sessions() == 0);
    assert_eq!(stage.lease(), Some(0.5));
    stage.until("another session", |stage| stage.sessions() == 1);
    stage.hub("sim_leases", &json!([{stage.worker.as_str(): 0.75}]));
    stage.until("the next lease", |stage| stage.lease() == Some(0.75));

    stage.subnet.kill("validator")?;
    stage.subnet.restart("validator")?;
    stage.until("the session after the restart", |stage| stage.sessions() == 1);
    assert_eq!(stage.lease(), Some(0.75));
    assert_eq!(stage.heard("fault"), 0);
    stage.subnet.stop()
}

#[test]
fn bad_frames_change_nothing_and_each_is_named() -> Result<(), Fault> {
    let dir = tempfile::tempdir().expect("a directory");
    let mut stage = start(dir.path(), |_, _| {});
    stage.until("the first lease", |stage| stage.lease() == Some(0.5));
    let worker = stage.worker.clone();
    stage.hub("sim_leases", &json!([{&worker: 0.25}]));
    stage.until("the second lease", |stage| stage.lease() == Some(0.25));
    stage.hub("sim_replay", &json!([2]));
    stage.hub("sim_tamper", &json!([{&worker: 1}]));
    stage.hub("sim_mislabel", &json!([{&worker: 1}]));
    stage.hub("sim_say", &json!(["no frame"]));
    stage.hub("sim_leases", &json!([{&worker: 7.5}]));
    stage.until("a line for each", |stage| {
        let log = stage.log();
        let named = ["(replayed)", "(package)", "(type_mismatch)", "(not_json)", "out_of_range"];
        named.iter().all(|name| log.contains(name))
    });
    assert_eq!((stage.lease(), stage.sessions()), (Some(0.25), 1));
    // and a real one still counts
    stage.hub("sim_leases", &json!([{&worker: 0.5}]));
    stage.until("the third lease", |stage| stage.lease() == Some(0.5));
    // the one that is not done is acknowledged as failed
    stage.hub("sim_config", &json!([{"security": {"rate_limit": {"max_requests": 1}}}]));
    stage.until("the acknowledgement", |stage| stage.heard(kind::ACK) == 1);
    let ack = &stage.hub("sim_received", &json!([kind::ACK]))["records"][0]["data"];
    assert_eq!((&ack["status"], &ack["messageId"]), (&json!("failed"), &json!("cfg-1")), "{ack}");
    stage.subnet.stop()
}

#[test]
fn a_wrong_token_is_said_with_what_to_do_and_stops_nothing() -> Result<(), Fault> {
    let dir = tempfile::tempdir().expect("a directory");
    let mut stage = start(dir.path(), |dir, settings| {
        let token = dir.join("wrong-token");
        fs::write(&token, "hunter2-hunter2").expect("a file");
        settings["access_token_file"] = json!(token);
    });
    stage.until("the reason", |stage| stage.log().contains("check meshhub.access_token_file"));
    stage.until("the axon", |stage| stage.subnet.validator_is_ready());
    assert!(!stage.log().contains("hunter2"));
    assert_eq!((stage.sessions(), stage.lease()), (0, None));
    stage.subnet.stop()
}

#[test]
fn another_hub_than_the_pinned_one_is_refused() -> Result<(), Fault> {
    let dir = tempfile::tempdir().expect("a directory");
    let pinned: Hotkey = Keypair::from_seed([77; 32]).expect("a seed").hotkey().clone();
    let mut stage = start(dir.path(), |_, settings| settings["server_hotkey"] = json!(pinned));
    stage.until("the reason", |stage| stage.log().contains("meshhub.server_hotkey pins"));
    stage.until("the axon", |stage| stage.subnet.validator_is_ready());
    assert_eq!(stage.lease(), None);
    stage.subnet.stop()
}

#[test]
fn a_hub_behind_tls_is_met_where_its_authority_is_named_and_only_there() -> Result<(), Fault> {
    let dir = tempfile::tempdir().expect("a directory");
    let mut stage = start_behind(dir.path(), |hub, dir, settings| {
        let front = tls_front::before(hub, "127.0.0.1");
        let ca = dir.join("ca.pem");
        fs::write(&ca, &front.ca_pem).expect("a file");
        settings["ws_url"] = json!(format!("wss://{}/ws/mesh", front.address));
        settings["ca_file"] = json!(ca);
    });
    stage.until("the lease", |stage| stage.lease() == Some(0.5));
    stage.hub("sim_close", &json!([]));
    let worker = stage.worker.clone();
    stage.until("another session", |stage| stage.sessions() == 1);
    stage.hub("sim_leases", &json!([{&worker: 0.75}]));
    stage.until("the next lease", |stage| stage.lease() == Some(0.75));
    stage.subnet.stop()?;

    let dir = tempfile::tempdir().expect("a directory");
    let mut stage = start_behind(dir.path(), |hub, _, settings| {
        let front = tls_front::before(hub, "127.0.0.1");
        settings["ws_url"] = json!(format!("wss://{}/ws/mesh", front.address));
    });
    stage.until("the reason", |stage| stage.log().contains("signed by no authority that we know"));
    assert_eq!(stage.lease(), None);
    stage.subnet.stop()
}

#[test]
fn leases_of_a_file_are_taken_whole_or_not_at_all() -> Result<(), Fault> {
    let dir = tempfile::tempdir().expect("a directory");
    let (file, next) = (dir.path().join("leases.yaml"), dir.path().join("next.yaml"));
    let mut stage = start_with(dir.path(), |_, worker| {
        fs::write(&file, format!("{worker}: 0.5\n")).expect("a file of leases");
        json!({"leases": {"source": "file", "file": &file}})
    });
    stage.until("the first lease", |stage| stage.lease() == Some(0.5));
    fs::write(&next, format!("{}: 0.75\n{}", stage.worker, "half a line")).expect("a bad file");
    fs::rename(&next, &file).expect("a rename");
    stage.until("a line about the bad file", |stage| stage.log().contains("leases.file cannot be used"));
    fs::remove_file(&file).expect("no file");
    stage.until("a line about no file", |stage| stage.log().contains("No such file"));
    stage.subnet.kill("validator")?;
    stage.subnet.restart("validator")?;
    assert_eq!(stage.lease(), Some(0.5));
    fs::write(&next, format!("{}: 0.75\n", stage.worker)).expect("a good file");
    fs::rename(&next, &file).expect("a rename");
    stage.until("the next lease", |stage| stage.lease() == Some(0.75));
    fs::write(&next, "{}").expect("an empty map");
    fs::rename(&next, &file).expect("a rename");
    stage.until("the end of the lease", |stage| stage.lease().is_none());
    stage.subnet.stop()
}

#[test]
fn the_hub_is_told_of_a_worker_as_it_is() -> Result<(), Fault> {
    let dir = tempfile::tempdir().expect("a directory");
    let mut stage = start_roles(dir.path(), &["validator", "miner", "worker"], |subnet, worker| {
        let mut settings = subnet.start_hub(&json!({"leases": {worker: 0.5}})).expect("a hub");
        settings["meshhub"]["resource_report_interval_seconds"] = json!(1);
        settings
    });
    let told = |stage: &Stage| -> Vec<Value> {
        let received = stage.hub("sim_received", &json!([kind::RESOURCE_REPORT]));
        received["records"].as_array().into_iter().flatten().map(|record| record["data"].clone()).collect()
    };
    stage.until("a delta", |stage| told(stage).len() > 1);
    let reports = told(&stage);
    assert_eq!((&reports[0]["mode"], &reports[1]["mode"]), (&json!("full"), &json!("delta")));
    let worker = &reports[0]["miners"][0]["workers"][0];
    assert_eq!((&worker["workerKey"], &worker["leaseScore"]), (&json!(stage.worker), &json!(0.5)));
    assert!(worker["hardware"]["cpu"].is_object() && worker["stats"]["avg_memory_usage"].is_f64(), "{worker}");
    assert!(reports[1]["miners"][0]["workers"][0].get("hardware").is_none(), "it did not change");
    stage.subnet.stop()
}

#[test]
fn a_task_reaches_its_miner_over_a_kill_of_the_validator_and_goes_with_its_time() -> Result<(), Fault> {
    let dir = tempfile::tempdir().expect("a directory");
    let mut stage = start(dir.path(), |_, _| {});
    stage.until("a session", |stage| stage.sessions() == 1);
    let task = |key: &str, ttl: u32, worker: &str| json!({"taskKey": key, "workerKey": worker, "payload": {"password": "hunter2"}, "priority": 3, "ttl": ttl});
    let (long, short) = (task("long", 600_000, &stage.worker), task("short", 1500, &stage.worker));
    let other = task("long", 700_000, &stage.worker);
    let said = [&long, &short, &long, &other].map(|task| stage.hub("sim_task", &json!([task])));
    let acks = |stage: &Stage| -> Vec<(Value, bool)> {
        let received = stage.hub("sim_received", &json!([kind::ACK]));
        let acks = received["records"].as_array().into_iter().flatten().map(|record| &record["data"]);
        acks.map(|ack| (ack["messageId"].clone(), ack["status"] == "accepted")).collect()
    };
    stage.until("four acknowledgements", |stage| acks(stage).len() == 4);
    let mut heard = acks(&stage);
    heard.sort_by_key(|(id, _)| id.to_string());
    let expected: Vec<(Value, bool)> = said.into_iter().zip([true, true, true, false]).collect();
    assert_eq!(heard, expected, "the first two, the first again, and another one of its name");

    stage.subnet.kill("validator")?;
    stage.subnet.restart("validator")?;
    stage.until("the end of the short task", |stage| stage.tasks() == ["long"]);
    let Stage { subnet, plan, .. } = &mut stage;
    subnet.add(plan, &["miner", "worker"])?;
    let miner = site::miner_name(0);
    stage.until("the task at the miner", |stage| stage.log_of(&miner).contains("passes on task \"long\""));
    stage.until("the word that it has arrived", |stage| stage.log().contains("has task \"long\""));
    let log = stage.log_of(&miner);
    assert_eq!(log.matches("passes on task").count(), 1, "once, and nothing of what has expired: {log}");
    assert!(!log.contains("hunter2") && !stage.log().contains("hunter2"), "a payload is in no log");
    stage.subnet.stop()
}
