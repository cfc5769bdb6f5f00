//! `byteleap bench axon`: starts a simulated chain and a validator, loads the axon with heartbeats, says how it did.

use std::{cell::RefCell, path::Path, rc::Rc, time::Duration};

use byteleap::{
    devnet::{
        Fault as SubnetFault,
        site::{BLOCK_TIME, Plan, Site, wallet_of},
        subnet::Subnet,
    },
    net::{self, DialOptions, Hub, Setup},
    wallet,
    wire::keys::Keypair,
};
use clap::Args;
use serde_json::json;

use super::load::{Load, LoadMachine, Measured};
use crate::{Fault, print};

#[derive(Args, Debug)]
pub struct Options {
    /// Miners that send at the same time, each its next heartbeat when the last was answered
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=256))]
    miners: u16,
    /// Seconds to measure, after one of warm-up
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn main(options: &Options) -> Result<(), Fault> {
    let dir = tempfile::Builder::new().prefix("byteleap-bench-").tempdir()?;
    let unlimited = json!({"window_seconds": 30, "max_requests": 10_000_000});
    let plan = Plan {
        miners: options.miners.into(),
        workers: 0,
        matrix_size: 100,
        block_time: BLOCK_TIME,
        // heartbeats only: no challenge and no score is due while the measurement runs
        validator: json!({
            "security": {"rate_limit": unlimited, "source_limit": unlimited},
            "validation": {"challenge_interval": 10_000},
            "weight_management": {"recalculate_interval": 86_400},
        }),
        miner: json!({}),
        worker: json!({}),
        last_worker: json!({}),
    };
    let site = Site::lay_out(dir.path(), &plan)?;
    let mut subnet = Subnet::start(&std::env::current_exe()?, site, &plan, &["validator"])?;
    subnet.until(Duration::from_secs(20), "the validator's metagraph", |subnet| {
        subnet.all_alive()?;
        Ok::<_, SubnetFault>(subnet.validator_is_ready())
    })?;
    let measured = load(&subnet.site, options);
    let usage = subnet.usage_of("validator");
    subnet.stop()?;
    let measured = measured?;
    if let Some(fault) = &measured.fault {
        return Err(format!("after {} answers: {fault}", measured.latencies.len()).into());
    }
    print::line(&report(options, &measured, usage.peak_rss_kib))?;
    Ok(())
}

fn keys(dir: &Path, site: &Site) -> Result<Vec<Keypair>, Fault> {
    site.miners.iter().map(|miner| Ok(wallet::load(&wallet_of(dir, &miner.name))?)).collect()
}

fn load(site: &Site, options: &Options) -> Result<Measured, Fault> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)?;
    let load = Load { warm_up: Duration::from_secs(1), measure: Duration::from_secs(options.seconds) };
    let keys = keys(&site.dir, site)?;
    let machine = LoadMachine::new(keys, site.validator.hotkey.clone(), site.validator.listen, load, seed);
    let measured = Rc::new(RefCell::new(Measured::default()));
    let take = Rc::clone(&measured);
    let setup = Setup {
        hub: Hub::new(1)?,
        listeners: Vec::new(),
        dials: DialOptions::default(),
        dispatch: Box::new(move |result| {
            *take.borrow_mut() = result;
            Ok(())
        }),
        spokes: Vec::new(),
        stop_timeout: Duration::from_secs(5),
        signals: false,
    };
    net::run(machine, setup)?;
    Ok(measured.take())
}

fn report(options: &Options, measured: &Measured, rss_kib: Option<u64>) -> String {
    let mut latencies = measured.latencies.clone();
    latencies.sort();
    let at = |share: f64| {
        let index = ((latencies.len() as f64 * share) as usize).min(latencies.len().saturating_sub(1));
        latencies.get(index).map(|latency| latency.as_secs_f64() * 1e3)
    };
    let rate = latencies.len() as f64 / measured.span.as_secs_f64();
    let (p50, p99) = (at(0.50), at(0.99));
    if options.json {
        let figures = json!({"miners": options.miners, "seconds": options.seconds, "heartbeats": latencies.len(),
            "heartbeats_per_s": rate, "p50_ms": p50, "p99_ms": p99, "max_ms": at(1.0), "validator_peak_rss_kib": rss_kib,
            "rate_limit": "raised"});
        return figures.to_string();
    }
    let ms = |latency: Option<f64>| latency.map_or("?".into(), |ms| format!("{ms:.1} ms"));
    format!(
        "{rate:.0} heartbeats/s answered: {} in {:.1} s from {} miners, a new connection each\n\
         latency p50 {}, p99 {}, max {}; validator's peak RSS {} KiB\n\
         the validator's rate limits were raised for this (security.rate_limit, security.source_limit)",
        latencies.len(),
        measured.span.as_secs_f64(),
        options.miners,
        ms(p50),
        ms(p99),
        ms(at(1.0)),
        rss_kib.map_or("?".into(), |kib| kib.to_string()),
    )
}
