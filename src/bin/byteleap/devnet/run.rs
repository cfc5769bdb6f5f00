//! The course of a devnet: what it waits for, and what it says when that does not come.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use byteleap::{
    devnet::{
        ledger::{Challenge, Confirmed, Ledger},
        process::Process,
        site::{self, NETUID, Plan, Site},
        subnet::Subnet,
    },
    machine::contract::chain::{ChainReply, ChainRequest},
    spoke::chain::{Chain, http::Http},
    units::Uid,
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use serde::Serialize;
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};

use super::{
    hub,
    report::{Outcome, ProcessReport, Show, Told},
};
use crate::Fault;

/// When the devnet has shown what it is to show.
pub struct Goal {
    /// Verified challenges a worker.
    pub rounds: usize,
    /// Which kind of challenge each worker is to get.
    pub kinds: Vec<&'static str>,
    /// So many workers, the first ones, are leased: they are to get none.
    pub leased: usize,
    pub patience: Duration,
}

/// What was seen, also when it was not what was to be shown; a fault of its own is a subnet that never stood.
pub fn run(dir: &Path, mut plan: Plan, goal: &Goal, show: &Show) -> Result<Outcome, Fault> {
    let asked_to_stop = asked_to_stop()?;
    let site = Site::lay_out(dir, &plan)?;
    let mut subnet = Subnet::start(&std::env::current_exe()?, site, &plan, &[])?;
    show.line(&format!("chain: simulated subtensor on {}", subnet.chain_url));
    if goal.leased > 0 {
        let leases = hub::leases(&subnet.site, &plan, goal.leased);
        let settings = subnet.start_hub(&leases)?;
        show.line(&format!("marketplace: simulated MeshHub on {}, {} workers leased", subnet.hub_url, goal.leased));
        site::merge(&mut plan.validator, &settings);
        subnet.site.configure(&plan, &subnet.chain_url)?;
    }
    let plan = &plan;
    subnet.add(plan, &["validator", "miner", "worker"])?;
    let (miners, workers, dir) = (plan.miners, plan.miners * plan.workers, subnet.site.dir.display());
    show.line(&format!("started: 1 validator, {miners} miners, {workers} workers; files in {dir}"));
    let mut watch = Watch::new(&subnet.site, plan, goal, asked_to_stop);
    let reached = watch.run(&mut subnet, show);
    let hub = (goal.leased > 0).then(|| hub::heard(&subnet.hub_url));
    let processes = subnet.processes.iter_mut().map(process_report).collect();
    let stopped = subnet.stop();
    let (read_back, fault) = match (reached, stopped) {
        (Ok(read_back), Ok(())) => (read_back, None),
        (Ok(read_back), Err(why)) => (read_back, Some(why.to_string())),
        (Err(why), _) => (Vec::new(), Some(why.to_string())),
    };
    show.line("stopped");
    let (ledger, workers) = (watch.ledger, watch.workers);
    Ok(Outcome { ledger, workers, read_back, processes, rounds: goal.rounds, hub, fault })
}

/// Raised by SIGINT or SIGTERM: the children must not outlive us.
fn asked_to_stop() -> Result<Arc<AtomicBool>, Fault> {
    let raised = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register(signal, raised.clone())?;
    }
    Ok(raised)
}

fn process_report(process: &mut Process) -> ProcessReport {
    ProcessReport { name: process.name.clone(), role: process.role, pid: process.pid(), usage: process.measure() }
}

/// Whom challenges are for.
#[derive(Clone, Debug, Serialize)]
pub struct Worker {
    pub hotkey: String,
    pub worker_id: String,
    /// The kind of challenge that it is to get: the strongest that it offers.
    pub kind: &'static str,
    /// By the marketplace: it is to get none.
    pub leased: bool,
}

/// What is waited for, and how far it has come.
struct Watch<'a> {
    goal: &'a Goal,
    workers: Vec<Worker>,
    ledger: Ledger,
    told: Told,
    /// The last verdict that was needed: weights meant after it count.
    complete_at: Option<i64>,
    asked_to_stop: Arc<AtomicBool>,
}

impl<'a> Watch<'a> {
    fn new(site: &Site, plan: &Plan, goal: &'a Goal, asked_to_stop: Arc<AtomicBool>) -> Watch<'a> {
        let of_miner = |miner: usize| (0..plan.workers).map(move |worker| (miner, worker));
        let who = |(number, ((miner, worker), kind)): (usize, ((usize, usize), &&'static str))| {
            let (hotkey, worker_id) =
                (site.miners[miner].hotkey.to_string(), site::worker_id(miner, worker).to_string());
            Worker { hotkey, worker_id, kind, leased: number < goal.leased }
        };
        let workers = (0..plan.miners).flat_map(of_miner).zip(&goal.kinds).enumerate().map(who).collect();
        Watch { goal, workers, ledger: Ledger::default(), told: Told::default(), complete_at: None, asked_to_stop }
    }

    /// Our weights as the chain held them once everything was reached.
    fn run(&mut self, subnet: &mut Subnet, show: &Show) -> Result<Vec<(Uid, u16)>, Fault> {
        let what = "all rounds verified and weights confirmed";
        let waited = subnet.until(self.goal.patience, what, |subnet| {
            if self.asked_to_stop.load(Ordering::Relaxed) {
                return Err("asked to stop".into());
            }
            subnet.all_alive()?;
            self.look(&subnet.site, show)
        });
        if let Err(why) = waited {
            return Err(format!("{why}\n{}", self.standing(subnet)).into());
        }
        read_back(&subnet.chain_url, self.ledger.confirmed.as_ref())
    }

    fn look(&mut self, site: &Site, show: &Show) -> Result<bool, Fault> {
        let Some(ledger) = Ledger::read(&site.database_path())? else { return Ok(false) };
        self.told.changes(&ledger, show);
        self.ledger = ledger;
        if let Some(failed) = self.ledger.failed() {
            let reason = failed.reason.as_deref().unwrap_or("no reason given");
            return Err(
                format!("challenge {} of worker {} failed: {reason}", failed.challenge_id, failed.worker_id).into()
            );
        }
        if let Some((worker, other)) = self.other_kind() {
            let Worker { worker_id, kind, .. } = worker;
            return Err(format!("worker {worker_id} got {} where {kind} is the strongest it offers", other.kind).into());
        }
        if let Some(leased) = self.workers.iter().find(|worker| worker.leased && self.was_challenged(worker)) {
            return Err(format!("worker {} is leased, and got a challenge", leased.worker_id).into());
        }
        if self.complete_at.is_none() && self.every_worker_is_done() && self.every_lease_counts() {
            self.complete_at = Some(self.ledger.last_verdict);
            show.line("every worker has its verified challenges; waiting for the chain to confirm the weights");
        }
        let meant = self.ledger.confirmed.as_ref().map(|confirmed| confirmed.at);
        Ok(matches!((self.complete_at, meant), (Some(complete), Some(meant)) if meant > complete))
    }

    fn every_worker_is_done(&self) -> bool {
        let verified = |worker: &Worker| self.ledger.verified(&worker.hotkey, &worker.worker_id);
        self.workers.iter().all(|worker| worker.leased || verified(worker) >= self.goal.rounds)
    }

    fn was_challenged(&self, worker: &Worker) -> bool {
        let of_worker = |c: &Challenge| c.hotkey == worker.hotkey && c.worker_id == worker.worker_id;
        self.ledger.challenges.iter().any(of_worker)
    }

    /// In the scores of each miner that has a leased worker.
    fn every_lease_counts(&self) -> bool {
        let counts =
            |worker: &Worker| self.ledger.scores.iter().any(|score| score.hotkey == worker.hotkey && score.lease > 0.0);
        self.workers.iter().filter(|worker| worker.leased).all(counts)
    }

    /// A challenge of another kind than its worker is to get.
    fn other_kind(&self) -> Option<(&Worker, &Challenge)> {
        self.workers.iter().find_map(|worker| {
            let of_worker = |c: &&Challenge| c.hotkey == worker.hotkey && c.worker_id == worker.worker_id;
            let mut challenges = self.ledger.challenges.iter().filter(of_worker);
            Some((worker, challenges.find(|challenge| challenge.kind != worker.kind)?))
        })
    }

    /// How far everything came, for the report of a fault.
    fn standing(&self, subnet: &Subnet) -> String {
        let mut text = String::new();
        for process in &subnet.processes {
            text += &format!("the end of {}'s log:\n{}\n", process.name, process.last_lines(5));
        }
        text += "verified so far:\n";
        for Worker { hotkey, worker_id, kind, .. } in self.workers.iter().filter(|worker| !worker.leased) {
            let verified = self.ledger.verified(hotkey, worker_id);
            text += &format!("  {hotkey} {worker_id}: {verified} of {} {kind}\n", self.goal.rounds);
        }
        let block = self.ledger.confirmed.as_ref().map(|confirmed| confirmed.block);
        text + &block.map_or("confirmed weights: none".into(), |block| format!("confirmed weights: at block {block}"))
    }
}

/// Asks the chain for our weights, and holds them against what the validator says it set.
fn read_back(chain_url: &str, confirmed: Option<&Confirmed>) -> Result<Vec<(Uid, u16)>, Fault> {
    let Some(confirmed) = confirmed else { return Err("no confirmed weights".into()) };
    let mut chain = chain_reader(chain_url)?;
    let weights = match chain.serve(ChainRequest::Weights { netuid: NETUID, mechanism: 0, uid: Uid(0) }) {
        ChainReply::Weights(weights) => weights,
        other => return Err(format!("reading the weights back: {other:?}").into()),
    };
    let meant: Vec<(Uid, u16)> = confirmed.weights.iter().map(|(uid, _, share)| (Uid(*uid), *share)).collect();
    if weights != meant {
        return Err(format!("the chain holds {weights:?}, the validator confirmed {meant:?}").into());
    }
    Ok(weights)
}

/// A chain client that only reads.
fn chain_reader(url: &str) -> Result<Chain<Http>, Fault> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)?;
    let http = Http::new(vec![url.to_owned()], Duration::from_secs(10), ChaCha20Rng::from_seed(seed));
    Ok(Chain::new(http, None))
}
