//! A subnet's processes: the simulated chain and marketplace and the daemons, started in order, watched, stopped in order.
//!
//! Every wait has an end; every child that dies unasked is named, with the end of its log.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use crossbeam::channel::tick;
use serde_json::{Value, json};

use super::{
    Fault,
    process::{Process, Usage},
    site::{self, NETUID, Plan, Site},
};
use crate::{net::Clock, spoke::meshhub_sim::PATH, units::Mono};

const LOOK: Duration = Duration::from_millis(100);
const START_PATIENCE: Duration = Duration::from_secs(20);
const STOP_PATIENCE: Duration = Duration::from_secs(15);

pub struct Subnet {
    pub site: Site,
    pub chain_url: String,
    /// Of the simulated marketplace's control; empty without one.
    pub hub_url: String,
    pub processes: Vec<Process>,
    /// The operator's tool: every process is one of its subcommands.
    exe: PathBuf,
    clock: Clock,
}

impl Subnet {
    /// Starts the chain and the daemons of these roles, all as subcommands of the operator's tool `exe`. What was
    /// started is stopped again when one does not start.
    pub fn start(exe: &Path, site: Site, plan: &Plan, roles: &[&str]) -> Result<Subnet, Fault> {
        let (exe, clock) = (exe.to_owned(), Clock::start());
        let mut subnet =
            Subnet { site, chain_url: String::new(), hub_url: String::new(), processes: Vec::new(), exe, clock };
        subnet.spawn("chain", "chain", &subnet.chain_arguments(plan.block_time))?;
        subnet.chain_url = subnet.address_of("chain")?;
        subnet.site.configure(plan, &subnet.chain_url)?;
        subnet.add(plan, roles)?;
        Ok(subnet)
    }

    /// Starts all daemons of these roles.
    pub fn add(&mut self, plan: &Plan, roles: &[&str]) -> Result<(), Fault> {
        if roles.contains(&"validator") {
            self.daemon("validator", "validator")?;
        }
        for miner in 0..plan.miners {
            if roles.contains(&"miner") {
                self.daemon(&site::miner_name(miner), "miner")?;
            }
            for worker in (0..plan.workers).filter(|_| roles.contains(&"worker")) {
                self.daemon(&site::worker_name(miner, worker), "worker")?;
            }
        }
        Ok(())
    }

    fn chain_arguments(&self, block_time: Duration) -> Vec<String> {
        let text = |path: &Path| path.display().to_string();
        let (neurons, log) = (text(&self.site.neurons_path()), text(&self.site.extrinsics_path()));
        let (netuid, block_time_s) = (NETUID.0.to_string(), block_time.as_secs_f64().to_string());
        let fixed = ["subtensor-sim", "--listen", "127.0.0.1:0", "--block-time-s", &block_time_s];
        let given = ["--netuid", &netuid, "--neurons", &neurons, "--log", &log];
        fixed.into_iter().chain(given).map(str::to_owned).collect()
    }

    fn daemon(&mut self, name: &str, role: &'static str) -> Result<(), Fault> {
        let config = self.site.config_path(name).display().to_string();
        self.spawn(name, role, &["run".into(), role.into(), "--config".into(), config])
    }

    fn spawn(&mut self, name: &str, role: &'static str, arguments: &[String]) -> Result<(), Fault> {
        self.processes.push(Process::start(name, role, &self.exe, arguments, self.site.log_path(name))?);
        Ok(())
    }

    /// SIGKILL: the daemon of that name ends at once, wherever it stands.
    pub fn kill(&mut self, name: &str) -> Result<(), Fault> {
        let process = self.processes.iter_mut().find(|process| process.name == name);
        process.map(Process::kill).ok_or_else(|| Fault::Unknown(name.into()))
    }

    /// Starts a daemon that has ended again, with the files that it had.
    pub fn restart(&mut self, name: &str) -> Result<(), Fault> {
        let at = self.processes.iter().position(|process| process.name == name);
        let at = at.ok_or_else(|| Fault::Unknown(name.into()))?;
        let role = self.processes.remove(at).role;
        self.daemon(name, role)
    }

    /// Starts a simulated marketplace that plays this script; what a validator's settings need to meet it.
    pub fn start_hub(&mut self, script: &Value) -> Result<Value, Fault> {
        let (token, leases) = self.site.lay_out_hub(script)?;
        let files = [leases.display().to_string(), token.display().to_string()];
        let words = ["meshhub-sim", "--listen", "127.0.0.1:0", "--leases", &files[0], "--token-file", &files[1]];
        self.spawn("hub", "hub", &words.map(str::to_owned))?;
        self.hub_url = self.address_of("hub")?;
        let ws_url = format!("{}{PATH}", self.hub_url.replacen("http://", "ws://", 1));
        Ok(json!({"meshhub": {"ws_url": ws_url, "access_token_file": token, "reconnect_delay_seconds": 0.5}}))
    }

    /// The address that a simulation announces in its log.
    fn address_of(&mut self, name: &str) -> Result<String, Fault> {
        let log = self.site.log_path(name);
        let mut url = None;
        self.until(START_PATIENCE, "the address of a simulation", |subnet| {
            subnet.all_alive()?;
            url = site::announced_url(&log);
            Ok::<_, Fault>(url.is_some())
        })?;
        url.ok_or(Fault::NoAddress)
    }

    /// Looks ten times a second until `done`, an error, or the end of patience.
    pub fn until<E: From<Fault>>(
        &mut self,
        patience: Duration,
        what: &str,
        mut done: impl FnMut(&mut Subnet) -> Result<bool, E>,
    ) -> Result<(), E> {
        let start: Mono = self.clock.mono();
        let ticks = tick(LOOK);
        while !done(self)? {
            if self.clock.mono().since(start) > patience {
                return Err(Fault::NotInTime { patience_s: patience.as_secs(), what: what.into() }.into());
            }
            // a tick always comes
            let _ = ticks.recv();
        }
        Ok(())
    }

    pub fn all_alive(&mut self) -> Result<(), Fault> {
        for process in &mut self.processes {
            if let Some(status) = process.ended()? {
                let (name, pid, log) = (process.name.clone(), process.pid(), process.last_lines(20));
                return Err(Fault::Ended { name, pid, status, log });
            }
        }
        Ok(())
    }

    /// The validator has read the metagraph once the chain has its axon.
    pub fn validator_is_ready(&self) -> bool {
        fs::read_to_string(self.site.extrinsics_path()).is_ok_and(|log| log.contains("serve_axon"))
    }

    pub fn usage_of(&mut self, name: &str) -> Usage {
        self.processes.iter_mut().find(|process| process.name == name).map(Process::measure).unwrap_or_default()
    }

    /// Workers first, what is simulated last: each says goodbye to those that it depends on.
    pub fn stop(&mut self) -> Result<(), Fault> {
        for role in ["worker", "miner", "validator", "hub", "chain"] {
            self.processes.iter().filter(|process| process.role == role).for_each(Process::terminate);
            self.until(STOP_PATIENCE, &format!("every {role} to stop"), |subnet| {
                let mut of_role = subnet.processes.iter_mut().filter(|process| process.role == role);
                of_role.try_fold(true, |all, process| Ok::<_, Fault>(all && process.ended()?.is_some()))
            })?;
        }
        self.processes.iter_mut().try_for_each(|process| match process.ended()? {
            Some(status) if status.success() => Ok(()),
            status => {
                let status = status.map_or("still running".into(), |status| status.to_string());
                Err(Fault::Unclean { name: process.name.clone(), status, log: process.last_lines(10) })
            }
        })
    }
}
