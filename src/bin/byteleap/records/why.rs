//! `byteleap why`: what validators say of this miner's workers, in plain words, and what to do about it.

use std::{
    collections::BTreeMap,
    error::Error,
    path::{Path, PathBuf},
};

use byteleap::{
    config::{file, miner::Config},
    exit::Failure,
    net::Clock,
    spoke::receipts::{self, DrawerError, Found, Kept, Reader},
    units::Wall,
    wallet,
    wire::{
        marketplace::Stamp,
        receipt::{Receipt, ReceiptFault},
    },
};
use serde_json::{Value, json};

use super::say;
use crate::table::{Column, Facts, Table};

#[derive(clap::Args)]
pub struct Why {
    /// The miner's configuration
    #[arg(long, short, value_name = "FILE", default_value = "miner.yaml")]
    config: PathBuf,
    /// Of this worker alone, with every number [default: all, a line each]
    #[arg(value_name = "WORKER")]
    worker: Option<String>,
    /// As this validator sees it, by its hotkey [default: all that gave receipts]
    #[arg(long, value_name = "HOTKEY")]
    validator: Option<String>,
    /// One JSON object in place of text
    #[arg(long)]
    json: bool,
}

pub fn why(options: &Why) -> Result<(), Failure> {
    let config = file::load::<Config>(&options.config)?.config;
    let directory = config.receipts.directory.clone();
    let directory = directory.ok_or_else(|| Failure::config("receipts.directory is none: no receipts are kept"))?;
    let key = wallet::load(&config.wallet)?;
    let reader = Reader { miner: key.hotkey().clone(), netuid: config.netuid, now: Clock::start().wall() };
    let mut found = receipts::newest(&directory, &reader).map_err(Failure::failed)?;
    found.retain(|of| options.validator.as_ref().is_none_or(|hotkey| of.validator == *hotkey));
    let kept: Vec<&Kept> = found.iter().filter_map(|of| of.kept.as_ref()).collect();
    if kept.is_empty() {
        return Err(Failure::failed(nothing(&directory, &found)));
    }
    let text: String = found.iter().map(|of| said(of, options.worker.as_deref())).collect();
    let json: Vec<Value> = found.iter().map(|of| as_json(of, options.worker.as_deref())).collect();
    say(options.json, &text, &json!({"validators": json}))?;
    let known = |kept: &&Kept| {
        good(kept).any(|receipt| options.worker.as_deref().is_none_or(|name| receipt.worker.as_str() == name))
    };
    if !kept.iter().any(known) {
        let name = options.worker.clone().unwrap_or_else(|| "any worker".into());
        return Err(Failure::failed(format!(
            "no validator has a receipt of {name}: it was never heard of by way of this miner"
        )));
    }
    let receipts: usize = kept.iter().map(|kept| faults(kept).len()).sum();
    let files = found.iter().flat_map(|of| &of.passed_by).filter(|why| is_fault(why)).count();
    match receipts + files {
        0 => Ok(()),
        _ => Err(Failure::failed(format!(
            "{receipts} receipts and {files} files of receipts can not be used; what is wrong with each is said above"
        ))),
    }
}

fn nothing(directory: &Path, found: &[Found]) -> String {
    match found.iter().find_map(|of| of.passed_by.first()) {
        Some(first) => format!("no receipts in {} can be used; {}", directory.display(), told(first)),
        None => format!(
            "no receipts in {}: they come with the next calculation of a validator that gives them, which not every \
             validator does; the miner must run, and its workers be known to the validator",
            directory.display()
        ),
    }
}

/// A file of another hotkey or subnet is no fault: this miner had them before.
fn is_fault(why: &DrawerError) -> bool {
    !matches!(why, DrawerError::OfAnother { .. })
}

/// With its cause.
fn told(why: &DrawerError) -> String {
    why.source().map_or(why.to_string(), |cause| format!("{why}: {cause}"))
}

fn good(kept: &Kept) -> impl Iterator<Item = &Receipt> {
    kept.receipts.iter().filter_map(|receipt| receipt.as_ref().ok())
}

fn faults(kept: &Kept) -> Vec<&ReceiptFault> {
    kept.receipts.iter().filter_map(|receipt| receipt.as_ref().err()).collect()
}

/// All of one validator: its receipts, and what of its files was not used.
fn said(of: &Found, worker: Option<&str>) -> String {
    let mut text = match (&of.kept, worker) {
        (Some(kept), Some(worker)) => of_worker(kept, worker),
        (Some(kept), None) => of_all(kept),
        (None, _) => format!("validator {}: no receipts that can be used\n\n", of.validator),
    };
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for fault in of.kept.iter().flat_map(faults) {
        *counts.entry(fault.to_string()).or_default() += 1;
    }
    let receipts = counts.iter().map(|(fault, count)| format!("  {count} receipts not used: {fault}\n"));
    let files = of.passed_by.iter().map(|why| format!("  not used: {}\n", told(why)));
    let beside: String = receipts.chain(files).collect();
    if !beside.is_empty() {
        text += &format!("{beside}\n");
    }
    // A validator's words shall not move the reader's cursor.
    text.replace(|letter: char| letter.is_control() && letter != '\n', " ")
}

fn heading(kept: &Kept) -> String {
    let policy = good(kept).next().map_or("an unknown policy".into(), |receipt| {
        let id = &receipt.policy["id"];
        format!("{}/{}", id["name"].as_str().unwrap_or("?"), id["version"])
    });
    format!("validator {}, scores of {} by {policy}", kept.validator, second(kept.at_s))
}

/// A file is named by the second of its calculation.
fn second(at_s: u64) -> String {
    Stamp::seconds(Wall::from_secs(at_s)).to_string()
}

/// What the miner gets, as far as the receipt knows.
fn share(receipt: &Receipt) -> String {
    match receipt.network.all_zero {
        true => "no weights are set, because nobody on the subnet earned anything".into(),
        false => format!("{:.4} % of the subnet's weight", receipt.miner.weight * 100.0),
    }
}

/// A line a worker: its numbers and the reason that costs most.
fn of_all(kept: &Kept) -> String {
    let mut text = format!("{}\n", heading(kept));
    if let Some(first) = good(kept).next() {
        let miner = &first.miner;
        let (challenge, lease) = (miner.challenge, miner.lease);
        text += &match miner.scored {
            true => format!("this miner: {}; challenge score {challenge:.4}, lease score {lease:.4}\n", share(first)),
            false => "this miner is not scored: it is not registered on the subnet, or was not heard\n".into(),
        };
    }
    let mut table = Table::new(&[
        Column::Text("worker"),
        Column::Number("score"),
        Column::Number("counted"),
        Column::Number("expected"),
        Column::Number("present %"),
        Column::Number("lease"),
        Column::Text("why"),
    ]);
    for receipt in good(kept) {
        let (challenges, of) = (&receipt.challenges, &receipt.availability);
        let lease = receipt.lease.score.map_or("-".into(), |score| format!("{score:.3}"));
        let first = receipt.reasons.first().map_or("nothing to say".into(), |reason| reason.text.clone());
        table.row([
            receipt.worker.to_string(),
            format!("{:.4}", receipt.score),
            challenges.counted.to_string(),
            format!("{:.1}", challenges.expected),
            format!("{:.1}", of.value * 100.0),
            lease,
            first,
        ]);
    }
    format!("{text}{table}\n")
}

fn of_worker(kept: &Kept, worker: &str) -> String {
    let Some(receipt) = good(kept).find(|receipt| receipt.worker.as_str() == worker) else {
        return format!("{}\n  no receipt of {worker}\n\n", heading(kept));
    };
    let (challenges, of, miner) = (&receipt.challenges, &receipt.availability, &receipt.miner);
    let mut facts = Facts::of(heading(kept));
    facts.add("worker", &receipt.worker);
    let rank = receipt.rank.map_or("none: no challenge counted".into(), |rank| rank.to_string());
    facts.add("score", format!("{:.6} of the best worker's, rank {rank}", receipt.score));
    let unit = &challenges.unit;
    facts.add("performance", format!("{:.6e} {unit} = base × participation × availability", receipt.performance));
    facts.add(
        "base",
        format!("{:.6e} {unit}, {:.3} ms a challenge and device", challenges.base, challenges.mean_time_ms),
    );
    let (counted, expected) = (challenges.counted, challenges.expected);
    facts.add("participation", format!("{:.4}: {counted} counted of {expected:.1} expected", challenges.participation));
    facts.add("availability", format!("{:.4}: {} of {} steps of 5 min in {} h", of.value, of.steps, of.of, of.hours));
    facts.add("lease", receipt.lease.score.map_or("none was told".into(), |score| score.to_string()));
    facts.add("miner", format!("{}; challenge {:.6}, lease {:.6}", share(receipt), miner.challenge, miner.lease));
    let mut text = facts.to_string();
    for reason in &receipt.reasons {
        text += &format!("\n  {}: {}\n      → {}\n", reason.code, reason.text, reason.remedy);
    }
    if receipt.reasons.is_empty() {
        text += "\n  there is nothing to say of it\n";
    }
    text + "\n"
}

fn as_json(of: &Found, worker: Option<&str>) -> Value {
    let wanted = |receipt: &&Receipt| worker.is_none_or(|name| receipt.worker.as_str() == name);
    let receipts: Vec<&Receipt> = of.kept.iter().flat_map(good).filter(wanted).collect();
    let faults: Vec<String> = of.kept.iter().flat_map(faults).map(ToString::to_string).collect();
    let files: Vec<String> = of.passed_by.iter().map(told).collect();
    let at = of.kept.as_ref().map(|kept| second(kept.at_s));
    json!({
        "validator": of.validator, "at": at, "receipts": receipts, "do_not_verify": faults.len(), "faults": faults,
        "files_not_used": files,
    })
}
