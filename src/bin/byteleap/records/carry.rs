//! `byteleap export` and `byteleap import`: a validator's database on its way to another host.

use std::path::PathBuf;

use byteleap::{
    exit::Failure,
    spoke::store::carry::{self, CarryError},
    wallet,
};

use super::{Source, settings};
use crate::print;

#[derive(clap::Args)]
pub struct Export {
    #[command(flatten)]
    source: Source,
    /// The file to make; it must not be there
    #[arg(value_name = "FILE")]
    to: PathBuf,
}

#[derive(clap::Args)]
pub struct Import {
    /// The validator's configuration; its database must not be there
    #[arg(long, short, value_name = "FILE", default_value = "validator.yaml")]
    config: PathBuf,
    /// A file that `byteleap export` made, of this version or an earlier one
    #[arg(value_name = "FILE")]
    from: PathBuf,
}

/// A moment of the database, whole, whoever writes to it.
pub fn export(options: &Export) -> Result<(), Failure> {
    let bytes = carry::export(&options.source.path()?, &options.to).map_err(failure)?;
    print::line(&format!("{}: {bytes} bytes", options.to.display())).map_err(Failure::failed)
}

/// The file goes where the validator looks for it, after it was looked at as the validator would. One of an earlier
/// version is brought up to date when the validator starts.
pub fn import(options: &Import) -> Result<(), Failure> {
    let config = settings(&options.config)?;
    let to = &config.store.path;
    let key = wallet::load(&config.wallet)?;
    let bytes = carry::import(&options.from, to, key.hotkey()).map_err(failure)?;
    print::line(&format!("{}: imported, {bytes} bytes; start the validator", to.display())).map_err(Failure::failed)
}

fn failure(error: CarryError) -> Failure {
    if error.may_pass() { Failure::failed(error) } else { Failure::config(error) }
}
