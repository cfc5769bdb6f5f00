//! `byteleap export` and `byteleap import`: a validator's database on its way to another host.

use std::{fs, path::PathBuf};

use byteleap::{
    exit::Failure,
    spoke::store::{Store, replay::Archive},
    wallet,
};

use super::{Source, settings};
use crate::{at, print};

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
    /// A file that `byteleap export` made
    #[arg(value_name = "FILE")]
    from: PathBuf,
}

/// A moment of the database, whole, whoever writes to it.
pub fn export(options: &Export) -> Result<(), Failure> {
    let archive = Archive::open(&options.source.path()?).map_err(Failure::config)?;
    if fs::exists(&options.to).map_err(at(&options.to))? {
        return Err(Failure::config(format!("{}: is there already; name another file", options.to.display())));
    }
    archive.copy(&options.to).map_err(Failure::failed)?;
    let bytes = fs::metadata(&options.to).map_err(at(&options.to))?.len();
    print::line(&format!("{}: {bytes} bytes", options.to.display())).map_err(Failure::failed)
}

/// The file goes where the validator looks for it, after it was looked at as the validator would.
pub fn import(options: &Import) -> Result<(), Failure> {
    let config = settings(&options.config)?;
    let (from, to) = (&options.from, &config.store.path);
    if fs::exists(to).map_err(at(to))? {
        let text = format!("{}: is there already; stop the validator and move it away first", to.display());
        return Err(Failure::config(text));
    }
    let key = wallet::load(&config.wallet)?;
    Archive::open(from).map_err(Failure::config)?;
    Store::look(from, Some(key.hotkey())).map_err(Failure::config)?;
    let partial = to.with_extension("importing");
    fs::copy(from, &partial).map_err(at(&partial))?;
    fs::rename(&partial, to).map_err(at(to))?;
    print::line(&format!("{}: imported; start the validator", to.display())).map_err(Failure::failed)
}
