//! `byteleap maintenance`: announces to the validators that workers will be away. Writes the file that the running miner
//! watches; needs no connection to it.

use std::path::PathBuf;

use byteleap::{
    config::{
        file,
        miner::{self, Config},
    },
    exit::Failure,
    net::Clock,
    spoke::maintenance,
    units::{Wall, WorkerId},
    wire::{
        marketplace::Stamp,
        messages::{EARLIEST_NOTICE, LONGEST_MAINTENANCE, MaintenanceNotice},
    },
};
use serde_json::json;

use crate::{
    print,
    table::{Column, Table},
};

#[derive(clap::Args)]
pub struct Maintenance {
    /// The miner's configuration
    #[arg(long, short, value_name = "FILE", default_value = "miner.yaml")]
    config: PathBuf,
    /// Announce it of these workers, by their ids [default: show what is announced]
    #[arg(value_name = "WORKER", requires = "change")]
    workers: Vec<String>,
    #[command(flatten)]
    change: Change,
    /// When it begins, from now, as in 30m; validators excuse nothing of before they were told
    #[arg(long = "in", value_name = "TIME", value_parser = seconds, conflicts_with = "end", requires = "length")]
    begins: Option<u64>,
    /// One JSON object in place of text
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
#[group(id = "change", multiple = false)]
struct Change {
    /// How long it lasts, as in 2h or 45m; 24h at most
    #[arg(id = "length", long = "for", value_name = "TIME", value_parser = seconds, requires = "workers")]
    length: Option<u64>,
    /// It is over, or will not be
    #[arg(long, requires = "workers")]
    end: bool,
}

/// A number with s, m or h behind it.
fn seconds(text: &str) -> Result<u64, String> {
    let wrong = || "a number with s, m or h behind it, as in 90m".to_owned();
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(wrong()),
    };
    number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).ok_or_else(wrong)
}

pub fn maintenance(options: &Maintenance) -> Result<(), Failure> {
    let config: Config = file::load::<miner::Config>(&options.config)?.config;
    let path =
        config.maintenance_file.ok_or_else(|| Failure::config("maintenance.file is none: nothing is announced"))?;
    let (path, is_relative) = (file::from_home(&path), path.is_relative());
    if is_relative {
        let here = std::path::absolute(&path).unwrap_or_else(|_| path.clone());
        eprintln!(
            "byteleap: maintenance.file is relative, so it is {} here; the miner must run in the same directory, else \
             nobody hears of it: name it with its whole path",
            here.display()
        );
    }
    let now = Clock::start().wall().as_secs();
    let mut notices = maintenance::read(&path).map_err(Failure::config)?.unwrap_or_default();
    notices.retain(|notice| notice.until > now);
    if options.change.end || options.change.length.is_some() {
        change(options, now, &mut notices)?;
        maintenance::write(&path, &notices).map_err(Failure::failed)?;
    }
    show(options.json, now, &notices)
}

fn change(options: &Maintenance, now: u64, notices: &mut Vec<MaintenanceNotice>) -> Result<(), Failure> {
    for worker in &options.workers {
        let before = notices.len();
        notices.retain(|notice| notice.worker_id.as_str() != worker);
        match options.change.length {
            Some(length) => {
                let longest = LONGEST_MAINTENANCE.as_secs();
                if length == 0 || length > longest {
                    return Err(Failure::config(format!("--for: more than 0 and at most {} h", longest / 3600)));
                }
                let begins = options.begins.unwrap_or(0);
                if begins > EARLIEST_NOTICE.as_secs() {
                    return Err(Failure::config("--in: at most 168h, which is a week"));
                }
                let from = now.saturating_add(begins);
                notices.push(MaintenanceNotice {
                    worker_id: WorkerId::new(worker),
                    from,
                    until: from.saturating_add(length),
                });
            }
            None if notices.len() == before => {
                return Err(Failure::config(format!("no maintenance of {worker} is announced")));
            }
            None => {}
        }
    }
    notices.sort();
    Ok(())
}

fn show(as_json: bool, now: u64, notices: &[MaintenanceNotice]) -> Result<(), Failure> {
    if as_json {
        return print::line(&json!({"maintenance": notices}).to_string()).map_err(Failure::failed);
    }
    if notices.is_empty() {
        return print::line("no maintenance is announced").map_err(Failure::failed);
    }
    let mut table =
        Table::new(&[Column::Text("worker"), Column::Text("from"), Column::Text("until"), Column::Text("state")]);
    for MaintenanceNotice { worker_id, from, until } in notices {
        let date = |seconds| Stamp::seconds(Wall::from_secs(seconds)).to_string();
        let state = if *from <= now { "now" } else { "announced" };
        table.row([worker_id.to_string(), date(*from), date(*until), state.to_owned()]);
    }
    print::all(&table.to_string()).map_err(Failure::failed)
}
