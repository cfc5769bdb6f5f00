//! `byteleap why`: what validators say of this miner's workers, in plain words, and what to do about it.

use std::path::PathBuf;

use byteleap::{
    config::{file, miner::Config},
    exit::Failure,
    spoke::receipts::{self, Kept},
    units::Wall,
    wallet,
    wire::receipt::Receipt,
};
use serde_json::{Value, json};

use super::{date, say};
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
    let wanted = |kept: &Kept| options.validator.as_ref().is_none_or(|hotkey| kept.validator.as_str() == hotkey);
    let found = receipts::newest(&directory, key.hotkey()).map_err(Failure::failed)?;
    let found: Vec<Kept> = found.into_iter().filter(wanted).collect();
    if found.is_empty() {
        let text = format!(
            "no receipts in {}: they come with the next calculation of a validator that gives them, which not every \
             validator does; the miner must run, and its workers be known to the validator",
            directory.display()
        );
        return Err(Failure::failed(text));
    }
    let text: String = match &options.worker {
        Some(worker) => found.iter().map(|kept| of_worker(kept, worker)).collect(),
        None => found.iter().map(of_all).collect(),
    };
    let json: Vec<Value> = found.iter().map(|kept| as_json(kept, options.worker.as_deref())).collect();
    say(options.json, &text, &json!({"validators": json}))?;
    let known = |kept: &Kept| {
        good(kept).any(|receipt| options.worker.as_deref().is_none_or(|name| receipt.worker.as_str() == name))
    };
    if !found.iter().any(known) {
        let name = options.worker.clone().unwrap_or_else(|| "any worker".into());
        return Err(Failure::failed(format!(
            "no validator has a receipt of {name}: it was never heard of by way of this miner"
        )));
    }
    match found.iter().map(forged).sum::<usize>() {
        0 => Ok(()),
        count => {
            Err(Failure::failed(format!("{count} receipts do not verify: they were altered after they were kept")))
        }
    }
}

fn good(kept: &Kept) -> impl Iterator<Item = &Receipt> {
    kept.receipts.iter().filter_map(|receipt| receipt.as_ref().ok())
}

fn forged(kept: &Kept) -> usize {
    kept.receipts.iter().filter(|receipt| receipt.is_err()).count()
}

fn heading(kept: &Kept) -> String {
    let policy = good(kept).next().map_or("an unknown policy".into(), |receipt| {
        let id = &receipt.policy["id"];
        format!("{}/{}", id["name"].as_str().unwrap_or("?"), id["version"])
    });
    format!("validator {}, scores of {} by {policy}", kept.validator, date(Wall::from_secs(kept.at_s)))
}

/// A line a worker: its numbers and the reason that costs most.
fn of_all(kept: &Kept) -> String {
    let mut text = format!("{}\n", heading(kept));
    if let Some(first) = good(kept).next() {
        let miner = &first.miner;
        let share = format!("{:.4} % of the subnet's weight", miner.weight * 100.0);
        let (challenge, lease) = (miner.challenge, miner.lease);
        text += &match miner.scored {
            true => format!("this miner has {share}: challenge score {challenge:.4}, lease score {lease:.4}\n"),
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
    facts.add(
        "miner",
        format!("weight {:.6}, challenge {:.6}, lease {:.6}", miner.weight, miner.challenge, miner.lease),
    );
    let mut text = facts.to_string();
    for reason in &receipt.reasons {
        text += &format!("\n  {}: {}\n      → {}\n", reason.code, reason.text, reason.remedy);
    }
    if receipt.reasons.is_empty() {
        text += "\n  there is nothing to say of it\n";
    }
    text + "\n"
}

fn as_json(kept: &Kept, worker: Option<&str>) -> Value {
    let wanted = |receipt: &&Receipt| worker.is_none_or(|name| receipt.worker.as_str() == name);
    let receipts: Vec<&Receipt> = good(kept).filter(wanted).collect();
    let at = date(Wall::from_secs(kept.at_s));
    json!({"validator": kept.validator, "at": at, "receipts": receipts, "do_not_verify": forged(kept)})
}
