//! Opening: whose file is it, which schema has it, is it whole; then the migrations.
//!
//! Looks before it touches: until the file is known to be ours, whole and not newer, nothing is written to
//! it or to its log, not even by closing it.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, config::DbConfig};
use rustix::fs::Access;

use crate::units::Hotkey;

/// `PRAGMA application_id` of our files: "BLvd".
pub(super) const APPLICATION_ID: i32 = 0x424C_7664;

/// Schema changes in order; `PRAGMA user_version` counts those that a file has.
pub(super) const MIGRATIONS: [&str; 8] = [
    include_str!("migrations/0001_first.sql"),
    include_str!("migrations/0002_gemm_i8.sql"),
    include_str!("migrations/0003_extrinsics.sql"),
    include_str!("migrations/0004_proved.sql"),
    include_str!("migrations/0006_log.sql"),
    include_str!("migrations/0007_leases.sql"),
    include_str!("migrations/0010_maintenance.sql"),
    include_str!("migrations/0011_tasks.sql"),
];

/// The first schema that knows whose the file is.
const OWNER_SINCE: usize = 2;

/// How long to wait for somebody who reads the file from outside.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// The log is cut back to this after a burst.
const LOG_LIMIT_BYTES: i64 = 64 << 20;

/// Why a database was not opened; the file is as it was.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{}: not an SQLite database; point database.url at another file", .0.display())]
    NotADatabase(PathBuf),
    #[error(
        "{}: an SQLite database of another program (application id {application_id:#010x}, {tables} tables and indexes); \
         point database.url at another file, a new one is made there", .path.display()
    )]
    Foreign { path: PathBuf, application_id: i32, tables: u64 },
    #[error(
        "{}: written by a newer byteleap (schema {found}, this one knows {known}); run that version, or point \
         database.url at another file", .path.display()
    )]
    Newer { path: PathBuf, found: usize, known: usize },
    #[error(
        "{}: written by an older byteleap (schema {found}, this one knows {known}); start the validator once, which \
         brings it up to date", .path.display()
    )]
    Older { path: PathBuf, found: usize, known: usize },
    #[error("{}: damaged ({what}); restore a copy, or move the file away to begin anew", .path.display())]
    Corrupt { path: PathBuf, what: String },
    #[error("{}: in use by another process ({} is locked)", .0.display(), beside(.0, ".lock").display())]
    InUse(PathBuf),
    #[error(
        "{}: holds what the validator with the hotkey {stored} knows, and this one has {given}; point database.url at \
         another file, a new one is made there, or the wallet at that hotkey", .path.display()
    )]
    OtherHotkey { path: PathBuf, stored: String, given: Hotkey },
    #[error("{}: cannot open the database; {}", .path.display(), remedy(.path, .source))]
    Unreachable { path: PathBuf, source: io::Error },
    #[error("{}: cannot lock the database; {}", .path.display(), remedy(.path, .source))]
    Lock { path: PathBuf, source: io::Error },
    #[error("{}: cannot {step} the database; {}", .path.display(), sql_remedy(.path, .source))]
    Sqlite { path: PathBuf, step: &'static str, source: rusqlite::Error },
}

impl OpenError {
    /// Whether the same file may open later, with nothing changed by the operator: a full disk, a failed read, the
    /// process before this one that still ends.
    pub fn may_pass(&self) -> bool {
        use ErrorCode::{DatabaseBusy, DatabaseLocked, DiskFull, OutOfMemory, SystemIoFailure};
        match self {
            OpenError::InUse(_) => true,
            OpenError::Lock { source, .. } | OpenError::Unreachable { source, .. } => {
                source.kind() == ErrorKind::StorageFull
            }
            OpenError::Sqlite { source, .. } => matches!(
                source.sqlite_error_code(),
                Some(DiskFull | SystemIoFailure | DatabaseBusy | DatabaseLocked | OutOfMemory)
            ),
            _ => false,
        }
    }
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// What an operator does about it.
fn remedy(path: &Path, why: &io::Error) -> String {
    let directory = directory(path).display();
    match why.kind() {
        ErrorKind::NotFound => format!("make its directory {directory}, or point database.url at another"),
        ErrorKind::NotADirectory => format!("{directory} is no directory; point database.url at another"),
        ErrorKind::IsADirectory => "it is a directory; database.url must name a file".into(),
        ErrorKind::PermissionDenied => may_write(path),
        ErrorKind::ReadOnlyFilesystem => {
            "its file system is mounted read-only; mount it to write, or point database.url at another".into()
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make space there".into(),
        _ => "see the cause".into(),
    }
}

fn may_write(path: &Path) -> String {
    let directory = directory(path).display();
    format!("let the user that runs the validator write to it and to its directory {directory}")
}

fn sql_remedy(path: &Path, why: &rusqlite::Error) -> String {
    use ErrorCode::{CannotOpen, DatabaseBusy, DatabaseLocked, DiskFull, PermissionDenied, ReadOnly, SystemIoFailure};
    match why.sqlite_error_code() {
        Some(CannotOpen | PermissionDenied | ReadOnly) => may_write(path),
        Some(DiskFull) => "make space there".into(),
        Some(DatabaseBusy | DatabaseLocked) => "end the program that has it open".into(),
        Some(SystemIoFailure) => "the disk failed; the kernel's log may say why".into(),
        _ => "see the cause".into(),
    }
}

/// What a file turned out to be.
enum Found {
    Empty,
    Ours { version: usize },
}

pub(super) fn open(path: &Path, owner: &Hotkey) -> Result<(Connection, File), OpenError> {
    reach(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let logged = fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > 0);
    let mut connection = connect(path, flags)?;
    let found = look_only(&connection, path, logged, Some(owner))?;
    let lock = lock(path)?;
    migrate(&mut connection, &found).map_err(|error| failed(path, "migrate", error))?;
    settle(&connection).map_err(|error| failed(path, "configure", error))?;
    claim(&connection, owner).map_err(|error| failed(path, "write to", error))?;
    Ok((connection, lock))
}

/// Whether [`open`] would take the file, or could make one; changes nothing. A running validator does not matter.
pub(super) fn look(path: &Path, owner: Option<&Hotkey>) -> Result<(), OpenError> {
    let may_write = |what: &Path| {
        let allowed = rustix::fs::access(what, Access::READ_OK | Access::WRITE_OK);
        allowed.map_err(|why| OpenError::Unreachable { path: path.to_path_buf(), source: why.into() })
    };
    may_write(directory(path))?;
    if !fs::exists(path).unwrap_or(true) {
        return Ok(());
    }
    may_write(path)?;
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    look_only(&connection, path, true, owner).map(drop)
}

/// Whether a file can be read by this version as it is: ours, whole, neither newer nor older.
pub(super) fn look_whole(path: &Path) -> Result<(), OpenError> {
    let readable = rustix::fs::access(path, Access::READ_OK);
    readable.map_err(|why| OpenError::Unreachable { path: path.to_path_buf(), source: why.into() })?;
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    match look_only(&connection, path, true, None)? {
        Found::Ours { version } if version == MIGRATIONS.len() => Ok(()),
        Found::Ours { version } => {
            Err(OpenError::Older { path: path.to_path_buf(), found: version, known: MIGRATIONS.len() })
        }
        Found::Empty => Err(OpenError::NotADatabase(path.to_path_buf())),
    }
}

pub(super) fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, OpenError> {
    let connection = Connection::open_with_flags(path, flags).map_err(|error| failed(path, "open", error))?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(|error| failed(path, "open", error))?;
    Ok(connection)
}

/// SQLite says no more than that it cannot open a file; the system says why.
fn reach(path: &Path) -> Result<(), OpenError> {
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    opened.map(drop).map_err(|source| OpenError::Unreachable { path: path.to_path_buf(), source })
}

pub(super) fn in_memory() -> Result<Connection, OpenError> {
    let path = Path::new(":memory:");
    let mut connection = Connection::open_in_memory().map_err(|error| failed(path, "open", error))?;
    migrate(&mut connection, &Found::Empty).map_err(|error| failed(path, "migrate", error))?;
    settle(&connection).map_err(|error| failed(path, "configure", error))?;
    Ok(connection)
}

fn failed(path: &Path, step: &'static str, source: rusqlite::Error) -> OpenError {
    let path = path.to_path_buf();
    match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::NotADatabase(path),
        Some(ErrorCode::DatabaseCorrupt) => OpenError::Corrupt { path, what: source.to_string() },
        _ => OpenError::Sqlite { path, step, source },
    }
}

/// Identifies the file. An error leaves it, and its log, as they were: with a log that has something, the
/// connection closes without the checkpoint that SQLite makes otherwise.
fn look_only(connection: &Connection, path: &Path, logged: bool, owner: Option<&Hotkey>) -> Result<Found, OpenError> {
    let error = |error| failed(path, "read", error);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, logged).map_err(error)?;
    let found = identify(connection, path)?;
    if let (Found::Ours { version: OWNER_SINCE.. }, Some(owner)) = (&found, owner) {
        belongs(connection, path, owner)?;
    }
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false).map_err(error)?;
    Ok(found)
}

fn identify(connection: &Connection, path: &Path) -> Result<Found, OpenError> {
    let error = |error| failed(path, "read", error);
    let number = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(error);
    let application_id = number("PRAGMA application_id")? as i32;
    let tables = number("SELECT count(*) FROM sqlite_schema")?.unsigned_abs();
    let version = usize::try_from(number("PRAGMA user_version")?).unwrap_or(usize::MAX);
    if application_id == 0 && tables == 0 && version == 0 {
        return Ok(Found::Empty);
    }
    let path_buf = path.to_path_buf();
    if application_id != APPLICATION_ID {
        return Err(OpenError::Foreign { path: path_buf, application_id, tables });
    }
    if version > MIGRATIONS.len() {
        return Err(OpenError::Newer { path: path_buf, found: version, known: MIGRATIONS.len() });
    }
    let check: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(error)?;
    if check != "ok" {
        return Err(OpenError::Corrupt { path: path_buf, what: check });
    }
    Ok(Found::Ours { version })
}

/// A file is one validator's. One that nobody claimed yet, made by an earlier version, is whoever's opens it.
fn belongs(connection: &Connection, path: &Path, owner: &Hotkey) -> Result<(), OpenError> {
    let stored: Option<String> = connection
        .query_row("SELECT hotkey FROM owner", [], |row| row.get(0))
        .optional()
        .map_err(|error| failed(path, "read", error))?;
    match stored {
        Some(stored) if stored != owner.as_str() => {
            Err(OpenError::OtherHotkey { path: path.to_path_buf(), stored, given: owner.clone() })
        }
        _ => Ok(()),
    }
}

fn claim(connection: &Connection, owner: &Hotkey) -> rusqlite::Result<()> {
    let sql = "INSERT INTO owner (id, hotkey) VALUES (1, ?1) ON CONFLICT DO NOTHING";
    connection.execute(sql, [owner.as_str()]).map(drop)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Two validators on one file would both be right and both be wrong.
fn lock(path: &Path) -> Result<File, OpenError> {
    let failed = |source| OpenError::Lock { path: path.to_path_buf(), source };
    let file =
        OpenOptions::new().create(true).truncate(false).write(true).open(beside(path, ".lock")).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(path.to_path_buf())),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Each migration is one transaction with its number, so a file has it whole or not at all.
fn migrate(connection: &mut Connection, found: &Found) -> rusqlite::Result<()> {
    let done = match found {
        Found::Empty => 0,
        Found::Ours { version } => *version,
    };
    for (index, sql) in MIGRATIONS.iter().enumerate().skip(done) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", index as i64 + 1)?;
        transaction.commit()?;
    }
    Ok(())
}

fn settle(connection: &Connection) -> rusqlite::Result<()> {
    // A database in memory keeps its own mode and says so.
    connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get::<_, String>(0))?;
    connection.query_row(&format!("PRAGMA journal_size_limit = {LOG_LIMIT_BYTES}"), [], |row| row.get::<_, i64>(0))?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}
