//! What a validator's database tells after the fact: its scores calculated again, another policy's beside them; and the
//! database itself, moved between hosts. Reads beside a running validator; only `import` writes, where none runs.

mod carry;
mod replay;
mod shadow;
mod why;

use std::path::{Path, PathBuf};

use byteleap::{
    config::{file, validator::Config},
    exit::Failure,
    units::Wall,
    wire::marketplace::Stamp,
};
use serde_json::Value;

use crate::print;

pub use self::{
    carry::{Export, Import, export, import},
    replay::{Replay, replay},
    shadow::{Shadow, shadow},
    why::{Why, why},
};

/// Which database.
#[derive(clap::Args)]
struct Source {
    /// The validator's configuration; its database is meant
    #[arg(long, short, value_name = "FILE", default_value = "validator.yaml")]
    config: PathBuf,
    /// The database itself, or an exported one
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    database: Option<PathBuf>,
}

impl Source {
    fn path(&self) -> Result<PathBuf, Failure> {
        match &self.database {
            Some(path) => Ok(path.clone()),
            None => Ok(settings(&self.config)?.store.path),
        }
    }
}

fn settings(path: &Path) -> Result<Config, Failure> {
    Ok(file::load::<Config>(path)?.config)
}

/// Prints what was found: a text for people, or one JSON object.
fn say(as_json: bool, text: &str, json: &Value) -> Result<(), Failure> {
    if as_json { print::line(&json.to_string()) } else { print::all(text) }.map_err(Failure::failed)
}

/// As precise as receipts tell it: pasted into `replay --at`, it means the same calculation.
fn date(at: Wall) -> String {
    Stamp::micros(at).to_string()
}
