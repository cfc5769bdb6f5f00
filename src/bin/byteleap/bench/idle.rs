//! `byteleap bench idle`: what each daemon costs while nothing happens.
//!
//! A validator with ten kept connections of miners that have sent a heartbeat, a miner with ten workers, and those
//! workers, all with the intervals that daemons have by default. No challenge is due while it is measured.

use std::{path::PathBuf, time::Duration};

use byteleap::{
    devnet::{
        Fault as SubnetFault,
        dendrite::Dendrite,
        process::Usage,
        site::{BLOCK_TIME, Plan, Site, miner_name, wallet_of},
        subnet::Subnet,
    },
    wallet,
};
use clap::Args;
use crossbeam::channel::after;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{Fault, print};

const CONNECTIONS: usize = 10;
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Args, Debug)]
pub struct Options {
    /// Seconds to measure, after five to settle; the default holds every interval up to a minute once
    #[arg(long, default_value_t = 65, value_parser = clap::value_parser!(u64).range(1..=65))]
    seconds: u64,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Measure the daemons of another build: its `byteleap`
    #[arg(long, value_name = "FILE")]
    exe: Option<PathBuf>,
}

/// The most that any process of a role cost.
#[derive(Debug, Serialize)]
struct Cost {
    role: &'static str,
    processes: usize,
    rss_mib: Option<f64>,
    peak_rss_mib: Option<f64>,
    /// Of one core.
    cpu_percent: Option<f64>,
}

pub fn main(options: &Options) -> Result<(), Fault> {
    let dir = tempfile::Builder::new().prefix("byteleap-bench-").tempdir()?;
    let exe = options.exe.clone().map_or_else(std::env::current_exe, Ok)?;
    let plan = plan();
    let site = Site::lay_out(dir.path(), &plan)?;
    let mut subnet = Subnet::start(&exe, site, &plan, &["validator"])?;
    subnet.until(PATIENCE, "the validator's metagraph", |subnet| {
        subnet.all_alive()?;
        Ok::<_, SubnetFault>(subnet.validator_is_ready())
    })?;
    // the other miners are this process: they hold connections
    subnet.add(&Plan { miners: 1, workers: CONNECTIONS, ..plan.clone() }, &["miner", "worker"])?;
    let held = held(&subnet.site)?;
    let costs = measure(&mut subnet, options.seconds)?;
    drop(held);
    subnet.stop()?;
    Ok(print::line(&report(options, &costs))?)
}

/// A null is the daemon's own default.
fn plan() -> Plan {
    Plan {
        miners: 1 + CONNECTIONS,
        workers: CONNECTIONS,
        matrix_size: 400,
        block_time: BLOCK_TIME,
        validator: json!({"metagraph": null, "validation": null, "weight_management": null}),
        miner: json!({"metagraph": null, "heartbeat_interval": null, "task_poll_interval": null}),
        worker: json!({"heartbeat_interval": null, "reconnect_interval": null}),
        last_worker: json!({}),
    }
}

/// A connection to the axon for each miner but the first, which is a process.
fn held(site: &Site) -> Result<Vec<Dendrite>, Fault> {
    let others = (1..).zip(site.miners.iter().skip(1));
    others
        .map(|(number, _)| {
            let key = wallet::load(&wallet_of(&site.dir, &miner_name(number)))?;
            let mut held = Dendrite::open(key, site.validator.hotkey.clone(), site.validator.listen)?;
            let mut session = held.handshake()?;
            held.heartbeat(&mut session, number)?;
            Ok(held)
        })
        .collect()
}

fn measure(subnet: &mut Subnet, seconds: u64) -> Result<Vec<Cost>, Fault> {
    wait(Duration::from_secs(5));
    let before = usages(subnet);
    wait(Duration::from_secs(seconds));
    let after = usages(subnet);
    subnet.all_alive()?;
    let cost = |role| {
        let pairs = before.iter().zip(&after).filter(|((of, _), _)| *of == role);
        let pairs: Vec<_> = pairs.map(|((_, before), (_, after))| (before, after)).collect();
        let cpu = |(before, after): &(&Usage, &Usage)| Some((after.cpu_s? - before.cpu_s?) / seconds as f64 * 100.0);
        let mib = |kib: Option<u64>| Some(kib? as f64 / 1024.0);
        Cost {
            role,
            processes: pairs.len(),
            rss_mib: most(pairs.iter().map(|(_, after)| mib(after.rss_kib))),
            peak_rss_mib: most(pairs.iter().map(|(_, after)| mib(after.peak_rss_kib))),
            cpu_percent: most(pairs.iter().map(cpu)),
        }
    };
    Ok(["validator", "miner", "worker"].map(cost).into())
}

fn wait(span: Duration) {
    // a time-out always comes
    let _ = after(span).recv();
}

fn usages(subnet: &mut Subnet) -> Vec<(&'static str, Usage)> {
    subnet.processes.iter_mut().map(|process| (process.role, process.measure_finely())).collect()
}

/// `None` when one is not known.
fn most(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    values.reduce(|most, value| Some(most?.max(value?))).flatten()
}

fn report(options: &Options, costs: &[Cost]) -> String {
    if options.json {
        let figures: Value = json!({"seconds": options.seconds, "connections": CONNECTIONS, "daemons": costs});
        return figures.to_string();
    }
    let text = |value: Option<f64>| value.map_or("?".into(), |value| format!("{value:.3}"));
    let mut table =
        format!("{:<10} {:>9} {:>9} {:>10} {:>13}\n", "role", "processes", "RSS MiB", "peak MiB", "CPU % a core");
    for Cost { role, processes, rss_mib, peak_rss_mib, cpu_percent } in costs {
        let (rss, peak, cpu) = (text(*rss_mib), text(*peak_rss_mib), text(*cpu_percent));
        table += &format!("{role:<10} {processes:>9} {rss:>9} {peak:>10} {cpu:>13}\n");
    }
    table + &format!("idle for {} s with {CONNECTIONS} connections; the most of any process of a role", options.seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_of_one_is_not_known_of_all() {
        assert_eq!(most([Some(1.0), Some(3.0), Some(2.0)].into_iter()), Some(3.0));
        assert_eq!(most([Some(1.0), None].into_iter()), None);
        assert_eq!(most([].into_iter()), None);
    }
}
