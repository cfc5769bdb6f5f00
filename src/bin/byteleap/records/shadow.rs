//! `byteleap shadow`: what the shadow policy makes of the newest scores.

use byteleap::{exit::Failure, spoke::store::replay::Archive};
use serde_json::json;

use super::{Source, date, say};
use crate::table::{Column, Table};

#[derive(clap::Args)]
pub struct Shadow {
    #[command(flatten)]
    source: Source,
    /// One JSON object in place of text
    #[arg(long)]
    json: bool,
}

pub fn shadow(options: &Shadow) -> Result<(), Failure> {
    let archive = Archive::open(&options.source.path()?).map_err(Failure::config)?;
    let found = archive.shadow().map_err(Failure::failed)?;
    let Some(of) = found else {
        let text = "no shadow was calculated: name a policy in scoring.shadow; the next calculation compares it";
        return Err(Failure::failed(text));
    };
    let percent = |share: f64| format!("{:.3}", share * 100.0);
    let mut table = Table::new(&[
        Column::Text("hotkey"),
        Column::Number("weight %"),
        Column::Number("shadow %"),
        Column::Number("change %"),
    ]);
    for miner in &of.differences {
        let change = format!("{:+.3}", miner.change() * 100.0);
        table.row([miner.hotkey.to_string(), percent(miner.weight), percent(miner.shadow), change]);
    }
    let text = format!("{} in the shadow of the scores of {}\n{table}", of.policy, date(of.at));
    let miners: Vec<_> = of
        .differences
        .iter()
        .map(|miner| json!({"hotkey": miner.hotkey, "weight": miner.weight, "shadow": miner.shadow, "change": miner.change()}))
        .collect();
    say(options.json, &text, &json!({"policy": of.policy, "at": date(of.at), "miners": miners}))
}
