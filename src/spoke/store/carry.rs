//! A database on its way to another host: a moment of it in a file, and that file where a validator looks for it.
//!
//! Reads beside whoever writes, from places where nothing may be written too. Never replaces a file, and never puts one
//! where another validator's log would be read into it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rusqlite::Connection;

use super::schema::{self, OpenError, beside, directory};
use crate::units::Hotkey;

/// What SQLite reads into a database of that name.
const LOGS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Why a database was not carried; no file is left of the try.
#[derive(Debug, thiserror::Error)]
pub enum CarryError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("{}: is there already; name another file", .0.display())]
    There(PathBuf),
    #[error("{}: is there already; stop the validator and move it away first", .0.display())]
    Live(PathBuf),
    #[error(
        "{}: is left of a database that is gone, and SQLite would read it into the imported one; move it away first",
        .0.display()
    )]
    Left(PathBuf),
    #[error("{}: cannot make the file", .path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{}: cannot copy the database into it", .path.display())]
    Sqlite { path: PathBuf, source: rusqlite::Error },
}

impl CarryError {
    /// The same again may do, with nothing changed but time and space.
    pub fn may_pass(&self) -> bool {
        matches!(self, CarryError::File { .. } | CarryError::Sqlite { .. })
    }
}

/// Writes a moment of the whole database into a new file, which only its owner may read; says how many bytes it has.
pub fn export(from: &Path, to: &Path) -> Result<u64, CarryError> {
    let (connection, _) = schema::read(from, None)?;
    copy(&connection, to)
}

/// Puts a database of `owner`, of this schema or an older one, where his validator looks for it. What is in its log
/// comes with it.
pub fn import(from: &Path, to: &Path, owner: &Hotkey) -> Result<u64, CarryError> {
    let (connection, _) = schema::read(from, Some(owner))?;
    if is_there(to)? {
        return Err(CarryError::Live(to.to_path_buf()));
    }
    let _lock = schema::lock(to)?;
    for log in LOGS.map(|suffix| beside(to, suffix)) {
        if is_there(&log)? {
            return Err(CarryError::Left(log));
        }
    }
    let partial = beside(to, ".importing");
    // The lock is ours: it is of a try that was killed.
    remove(&partial)?;
    let bytes = copy(&connection, &partial)?;
    let published = fs::hard_link(&partial, to).map_err(|source| match source.kind() {
        ErrorKind::AlreadyExists => CarryError::Live(to.to_path_buf()),
        _ => CarryError::File { path: to.to_path_buf(), source },
    });
    remove(&partial)?;
    published?;
    sync_directory(to)?;
    Ok(bytes)
}

fn is_there(path: &Path) -> Result<bool, CarryError> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(why) if why.kind() == ErrorKind::NotFound => Ok(false),
        Err(source) => Err(CarryError::File { path: path.to_path_buf(), source }),
    }
}

fn remove(path: &Path) -> Result<(), CarryError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != ErrorKind::NotFound => {
            Err(CarryError::File { path: path.to_path_buf(), source })
        }
        _ => Ok(()),
    }
}

fn sync_directory(of: &Path) -> Result<(), CarryError> {
    let synced = File::open(directory(of)).and_then(|directory| directory.sync_all());
    synced.map_err(|source| CarryError::File { path: of.to_path_buf(), source })
}

fn copy(from: &Connection, to: &Path) -> Result<u64, CarryError> {
    let failed = |source: io::Error| CarryError::File { path: to.to_path_buf(), source };
    let name = to.to_str().ok_or_else(|| failed(ErrorKind::InvalidFilename.into()))?;
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
    let file = made.map_err(|source| match source.kind() {
        ErrorKind::AlreadyExists => CarryError::There(to.to_path_buf()),
        _ => failed(source),
    })?;
    let copied = from
        .execute("VACUUM INTO ?1", [name])
        .map_err(|source| CarryError::Sqlite { path: to.to_path_buf(), source })
        .and_then(|_| file.sync_all().and_then(|()| file.metadata()).map_err(failed));
    match copied {
        Ok(about) => sync_directory(to).map(|()| about.len()),
        Err(error) => {
            remove(to)?;
            Err(error)
        }
    }
}
