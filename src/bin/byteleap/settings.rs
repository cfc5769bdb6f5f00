//! `byteleap config`: a validator's settings as they are in force.
//!
//! Reads the configuration and the database beside a running validator; taking changes back writes one row each.

use std::path::{Path, PathBuf};

use byteleap::{
    config::{
        file,
        overrides::{self, Effect, json_of, node_of},
        validator::Config,
    },
    exit::Failure,
    net::Clock,
    spoke::store::{
        overrides::{Past, RevertError, Reverted, Stored, revert},
        replay::Archive,
    },
    units::Wall,
    wire::marketplace::Stamp,
};
use clap::Subcommand;
use serde_json::{Value, json};

use crate::{
    print,
    table::{Column, Table},
};

#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// What the marketplace changed of a validator's settings; takes it back
    Overrides(Overrides),
}

#[derive(clap::Args)]
#[command(after_help = keys())]
struct Overrides {
    /// The validator's configuration
    #[arg(long, short, value_name = "FILE", default_value = "validator.yaml")]
    config: PathBuf,
    /// Take the changes of these keys back: what the file says is in force again
    #[arg(long, value_name = "KEY", num_args = 1.., conflicts_with = "all")]
    revert: Vec<String>,
    /// Take all changes back
    #[arg(long)]
    all: bool,
    /// One JSON object in place of text, with the newest thousand changes
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.command {
        Command::Overrides(options) => changed(options),
    }
}

/// What the marketplace may change, for the help.
fn keys() -> String {
    let mut table = Table::new(&[Column::Text("key"), Column::Text("allowed"), Column::Text("in force")]);
    for key in overrides::settable() {
        table.row([key.path.to_owned(), key.allowed, words(key.effect).to_owned()]);
    }
    format!(
        "A change that is taken back while the validator runs is in force until its next start. An update of the \
         marketplace may set it again: `meshhub: {{configuration: refuse}}` keeps it from that.\n\n\
         What the marketplace may change (meshhub.configuration: accept):\n\n{table}"
    )
}

fn words(effect: Effect) -> &'static str {
    match effect {
        Effect::AtOnce => "at once",
        Effect::AtRestart => "after a restart",
        Effect::Never => "no effect",
    }
}

fn changed(options: &Overrides) -> Result<(), Failure> {
    let config = file::load::<Config>(&options.config)?.config;
    let path = &config.store.path;
    let taken = match (options.revert.is_empty(), options.all) {
        (true, false) => None,
        (_, all) => Some(take_back(path, (!all).then_some(&options.revert[..]))?),
    };
    let archive = Archive::open(path).map_err(Failure::config)?;
    let lines = lines(&config, archive.overrides().map_err(Failure::failed)?);
    if options.json {
        let all: Vec<Value> = lines.iter().map(Line::json).collect();
        let reverted = taken.as_ref().map(|taken| json!({"keys": taken.keys, "running": taken.running}));
        let history: Vec<Value> = archive.override_history().map_err(Failure::failed)?.iter().map(past).collect();
        let json = json!({"overrides": all, "reverted": reverted, "history": history});
        return print::line(&json.to_string()).map_err(Failure::failed);
    }
    let text = taken.as_ref().map(told).unwrap_or_default() + &listed(&lines);
    print::all(&text).map_err(Failure::failed)
}

/// A change of before; without a new value it was taken back.
fn past(of: &Past) -> Value {
    let value = |text: &String| serde_json::from_str(text).unwrap_or_else(|_| Value::from(text.as_str()));
    let (old, new) = (value(&of.old), of.new.as_ref().map(value));
    json!({"at": date(of.at), "key": of.key, "old": old, "new": new, "message": of.message})
}

fn take_back(path: &Path, keys: Option<&[String]>) -> Result<Reverted, Failure> {
    revert(path, keys, Clock::start().wall()).map_err(|error| match error {
        RevertError::Sqlite(_) => Failure::failed(error),
        other => Failure::config(other),
    })
}

fn told(taken: &Reverted) -> String {
    let when = match taken.running {
        true => "takes effect at the validator's next start: it is running",
        false => "the file's value is in force again",
    };
    match &taken.keys[..] {
        [] => "nothing to take back\n".into(),
        keys => keys.iter().map(|key| format!("{key}: taken back; {when}\n")).collect(),
    }
}

/// A change, beside what the file says.
struct Line {
    stored: Stored,
    in_file: Value,
    /// Why it is left out; `None`: it is not.
    left_out: Option<String>,
}

fn lines(config: &Config, stored: Vec<Stored>) -> Vec<Line> {
    let standing = stored.iter().filter(|row| row.reverted.is_none());
    let all = config.with_stored(standing.map(|row| (row.key.clone(), node_of(&row.value))));
    let line = |stored: Stored| {
        let left_out = all.layers.left_out().iter().find(|left| left.key == stored.key).map(|left| left.why.clone());
        Line { in_file: json_of(&config.layers.in_file(&stored.key)), left_out, stored }
    };
    stored.into_iter().map(line).collect()
}

impl Line {
    fn state(&self) -> String {
        let effect = overrides::effect(&self.stored.key);
        match (self.stored.reverted, &self.left_out, effect) {
            (Some(at), ..) => format!("taken back {}, until the next start", date(at)),
            (None, Some(why), _) => format!("left out: {why}"),
            (None, None, Some(Effect::AtRestart)) => "since the first start after it".into(),
            (None, None, Some(Effect::Never)) => "no effect".into(),
            (None, None, _) => "in force".into(),
        }
    }

    fn json(&self) -> Value {
        let Stored { key, value, at, message, reverted } = &self.stored;
        json!({
            "key": key, "file": self.in_file, "override": value, "since": date(*at), "message": message,
            "in_force": overrides::effect(key).map(words), "left_out": self.left_out, "reverted": reverted.map(date),
        })
    }
}

fn listed(lines: &[Line]) -> String {
    if lines.is_empty() {
        return "the marketplace changed nothing: what the file says is in force\n".into();
    }
    let mut table = Table::new(&[
        Column::Text("key"),
        Column::Number("file"),
        Column::Number("override"),
        Column::Text("since"),
        Column::Text("message"),
        Column::Text("state"),
    ]);
    for line in lines {
        let Stored { key, value, at, message, .. } = &line.stored;
        let (file, value) = (short(&line.in_file), short(value));
        let message = message.clone().unwrap_or_else(|| "-".into());
        table.row([key.clone(), file, value, date(*at), message, line.state()]);
    }
    table.to_string()
}

/// A list of models would be wider than any terminal; `--json` has it whole.
fn short(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("a list of {}", items.len()),
        other => other.to_string(),
    }
}

fn date(at: Wall) -> String {
    Stamp::seconds(at).to_string()
}
