//! A subnet's processes: the simulated chain and the daemons, started in order, watched, stopped in order.
//!
//! Every wait has an end; every child that dies unasked is named, with the end of its log.

use std::{fs, path::Path, time::Duration};

use byteleap::{net::Clock, units::Mono};
use crossbeam::channel::tick;

use crate::{
    Fault,
    process::{Process, Usage},
    site::{self, NETUID, Plan, Site},
};

const LOOK: Duration = Duration::from_millis(200);
const START_PATIENCE: Duration = Duration::from_secs(20);
const STOP_PATIENCE: Duration = Duration::from_secs(15);

/// Seconds between blocks.
const BLOCK_TIME_S: &str = "0.5";

pub struct Subnet {
    pub site: Site,
    pub chain_url: String,
    pub processes: Vec<Process>,
    clock: Clock,
}

impl Subnet {
    /// Starts the chain and the daemons of these roles. What was started is stopped again when one does not start.
    pub fn start(site: Site, plan: &Plan, roles: &[&str]) -> Result<Subnet, Fault> {
        let exe = std::env::current_exe()?;
        let mut subnet = Subnet { site, chain_url: String::new(), processes: Vec::new(), clock: Clock::start() };
        subnet.spawn(&exe, "chain", "chain", &subnet.chain_arguments())?;
        subnet.chain_url = subnet.chain_address()?;
        subnet.site.configure(plan, &subnet.chain_url)?;
        if roles.contains(&"validator") {
            subnet.daemon(&exe, "validator", "validator")?;
        }
        for miner in 0..plan.miners {
            if roles.contains(&"miner") {
                subnet.daemon(&exe, &site::miner_name(miner), "miner")?;
            }
            for worker in (0..plan.workers).filter(|_| roles.contains(&"worker")) {
                subnet.daemon(&exe, &site::worker_name(miner, worker), "worker")?;
            }
        }
        Ok(subnet)
    }

    fn chain_arguments(&self) -> Vec<String> {
        let text = |path: &Path| path.display().to_string();
        let (neurons, log) = (text(&self.site.neurons_path()), text(&self.site.extrinsics_path()));
        let netuid = NETUID.0.to_string();
        let fixed = ["subtensor-sim", "--listen", "127.0.0.1:0", "--block-time-s", BLOCK_TIME_S];
        let given = ["--netuid", &netuid, "--neurons", &neurons, "--log", &log];
        fixed.into_iter().chain(given).map(str::to_owned).collect()
    }

    fn daemon(&mut self, exe: &Path, name: &str, role: &'static str) -> Result<(), Fault> {
        let config = self.site.config_path(name).display().to_string();
        self.spawn(exe, name, role, &["run".into(), role.into(), "--config".into(), config])
    }

    fn spawn(&mut self, exe: &Path, name: &str, role: &'static str, arguments: &[String]) -> Result<(), Fault> {
        self.processes.push(Process::start(name, role, exe, arguments, self.site.log_path(name))?);
        Ok(())
    }

    fn chain_address(&mut self) -> Result<String, Fault> {
        let log = self.site.log_path("chain");
        let mut url = None;
        self.until(START_PATIENCE, "the simulated chain's address", |subnet| {
            subnet.all_alive()?;
            url = site::announced_url(&log);
            Ok(url.is_some())
        })?;
        url.ok_or_else(|| "the simulated chain announced no address".into())
    }

    /// Looks five times a second until `done`, an error, or the end of patience.
    pub fn until(
        &mut self,
        patience: Duration,
        what: &str,
        mut done: impl FnMut(&mut Subnet) -> Result<bool, Fault>,
    ) -> Result<(), Fault> {
        let start: Mono = self.clock.mono();
        let ticks = tick(LOOK);
        while !done(self)? {
            if self.clock.mono().since(start) > patience {
                return Err(format!("not within {} s: {what}", patience.as_secs()).into());
            }
            ticks.recv()?;
        }
        Ok(())
    }

    pub fn all_alive(&mut self) -> Result<(), Fault> {
        for process in &mut self.processes {
            if let Some(status) = process.ended()? {
                let (name, pid, log) = (&process.name, process.pid(), process.last_lines(20));
                return Err(format!("{name} (pid {pid}) ended unasked, {status}; the end of its log:\n{log}").into());
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

    /// Workers first, the chain last: each says goodbye to those that it depends on.
    pub fn stop(&mut self) -> Result<(), Fault> {
        for role in ["worker", "miner", "validator", "chain"] {
            self.processes.iter().filter(|process| process.role == role).for_each(Process::terminate);
            self.until(STOP_PATIENCE, &format!("every {role} to stop"), |subnet| {
                let mut of_role = subnet.processes.iter_mut().filter(|process| process.role == role);
                of_role.try_fold(true, |all, process| Ok(all && process.ended()?.is_some()))
            })?;
        }
        let unclean = self.processes.iter_mut().find_map(|process| match process.ended() {
            Ok(Some(status)) if status.success() => None,
            other => Some(format!("{} did not stop cleanly: {other:?}\n{}", process.name, process.last_lines(10))),
        });
        unclean.map_or(Ok(()), |what| Err(what.into()))
    }
}
