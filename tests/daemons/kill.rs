//! `kill -9` of each daemon in the middle of a challenge: after a restart with the same files the network goes on,
//! and no verdict is lost or doubled.

use std::{collections::BTreeMap, path::Path, time::Duration};

use byteleap::devnet::{
    Fault,
    ledger::{Challenge, Ledger},
    site::{BLOCK_TIME, Plan, Site},
    subnet::Subnet,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(120);
const WORKERS: usize = 2;
/// Looks for a moment to kill in.
const TRIES: usize = 200;
/// So large that a product takes long enough to be seen while it is computed.
const MATRIX_SIZE: u32 = if cfg!(debug_assertions) { 400 } else { 1500 };

/// A subnet whose verdicts are watched all the time.
struct Stage {
    subnet: Subnet,
    /// Every end that was ever seen, with its reason.
    ends: BTreeMap<String, (String, Option<String>)>,
}

impl Stage {
    fn start(dir: &Path) -> Stage {
        let plan = Plan {
            miners: 1,
            workers: WORKERS,
            matrix_size: MATRIX_SIZE,
            block_time: BLOCK_TIME,
            // what a killed miner or worker was at is not waited for long
            validator: json!({"validation": {"challenge_timeout": 10, "proof_timeout": 10}}),
            miner: json!({}),
            worker: json!({}),
            last_worker: json!({}),
        };
        let site = Site::lay_out(dir, &plan).expect("wallets and files");
        let exe = Path::new(env!("CARGO_BIN_EXE_byteleap"));
        let subnet = Subnet::start(exe, site, &plan, &["validator", "miner", "worker"]).expect("a subnet");
        Stage { subnet, ends: BTreeMap::new() }
    }

    /// What the validator has written down; what it wrote before must still be there.
    fn ledger(&mut self) -> Ledger {
        let ledger = Ledger::read(&self.subnet.site.database_path()).expect("a readable database").unwrap_or_default();
        let now: BTreeMap<_, _> = ledger.challenges.iter().filter_map(end).collect();
        for (id, before) in &self.ends {
            assert_eq!(now.get(id), Some(before), "the end of challenge {id} changed");
        }
        self.ends = now;
        ledger
    }

    fn until(&mut self, what: &str, mut done: impl FnMut(&Ledger) -> bool) -> Ledger {
        let ticks = crossbeam::channel::tick(Duration::from_millis(20));
        let end = crossbeam::channel::after(PATIENCE);
        loop {
            self.subnet.all_alive().unwrap_or_else(|why: Fault| panic!("waiting for {what}: {why}"));
            let ledger = self.ledger();
            if done(&ledger) {
                return ledger;
            }
            crossbeam::select! {
                recv(ticks) -> _ => {},
                recv(end) -> _ => panic!("not in time: {what}; {:#?}\n{}", ledger.challenges, self.logs()),
            }
        }
    }

    /// Ends a daemon while a challenge is computed, and says what was written down by then.
    fn kill_at_work(&mut self, name: &str) -> Ledger {
        for _ in 0..TRIES {
            self.until("a challenge in the middle of its computation", computing);
            // frozen first: a challenge that ends between the look and the kill would be no kill at work
            self.signal(name, Signal::STOP);
            let before = self.ledger();
            if computing(&before) {
                self.subnet.kill(name).expect("a running daemon");
                return before;
            }
            self.signal(name, Signal::CONT);
        }
        panic!("no challenge was in the middle of its computation for long enough, {TRIES} times");
    }

    fn signal(&self, name: &str, signal: Signal) {
        let process = self.subnet.processes.iter().find(|process| process.name == name).expect("a known daemon");
        let pid = Pid::from_raw(process.pid().cast_signed()).expect("a process id");
        kill_process(pid, signal).expect("a running daemon");
    }

    fn logs(&self) -> String {
        let log = |process: &byteleap::devnet::process::Process| {
            format!("the end of {}'s log:\n{}\n", process.name, process.last_lines(15))
        };
        self.subnet.processes.iter().map(log).collect()
    }

    /// Every worker gets one more verified challenge than `before`, and weights that know of it are confirmed.
    fn goes_on(&mut self, before: &Ledger) -> Ledger {
        let fresh = |ledger: &Ledger| {
            let mut verified: BTreeMap<String, u32> = BTreeMap::new();
            for challenge in ledger.challenges.iter().filter(|new| new.verdict == "verified" && !knows(before, new)) {
                *verified.entry(challenge.worker_id.clone()).or_default() += 1;
            }
            verified.len() == WORKERS
        };
        let complete = self.until("a new challenge verified for every worker", fresh).last_verdict;
        let confirmed = |ledger: &Ledger| ledger.confirmed.as_ref().is_some_and(|weights| weights.at > complete);
        self.until("confirmed weights", confirmed)
    }
}

/// The end of a challenge that has one.
fn end(challenge: &Challenge) -> Option<(String, (String, Option<String>))> {
    let ended = ["verified", "failed", "void"].contains(&challenge.verdict.as_str());
    ended.then(|| (challenge.challenge_id.clone(), (challenge.verdict.clone(), challenge.reason.clone())))
}

fn knows(ledger: &Ledger, challenge: &Challenge) -> bool {
    ledger.challenges.iter().any(|known| known.challenge_id == challenge.challenge_id)
}

/// Handed out, and not answered yet: its worker computes.
fn computing(ledger: &Ledger) -> bool {
    ledger.challenges.iter().any(|challenge| challenge.verdict == "sent")
}

#[test]
fn a_kill_of_any_daemon_loses_no_verdict_and_the_network_goes_on() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut stage = Stage::start(dir.path());
    stage.goes_on(&Ledger::default());
    for name in ["validator", "miner-0", "worker-0-0"] {
        let before = stage.kill_at_work(name);
        stage.subnet.restart(name).expect("a daemon that starts again");
        let after = stage.goes_on(&before);

        for challenge in before.challenges.iter().filter(|challenge| end(challenge).is_none()) {
            let id = &challenge.challenge_id;
            let (verdict, reason) = stage.ends.get(id).unwrap_or_else(|| panic!("{id}: no end, {name} killed"));
            let told = format!("{id} after the kill of {name}: {verdict}, {reason:?}");
            match verdict.as_str() {
                "void" => assert_eq!((name, reason.as_deref()), ("validator", Some("validator restarted")), "{told}"),
                "failed" => assert!(name != "validator" && reason.is_some(), "{told}"),
                _ => assert!(name != "validator" && reason.is_none(), "{told}"),
            }
        }
        assert!(before.challenges.iter().all(|challenge| knows(&after, challenge)), "a challenge was forgotten");
    }
    stage.subnet.stop().unwrap_or_else(|why| panic!("{why}"));
}
