//! Opening: whose file is it, which schema has it, is it whole; then the migrations.
//!
//! Looks before it touches: until the file is known to be ours, whole and not newer, nothing is written to
//! it or to its log, not even by closing it.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, ErrorKind},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, config::DbConfig};
use rustix::{fs::Access, io::Errno};

use super::overrides;
use crate::units::Hotkey;

/// `PRAGMA application_id` of our files: "BLvd".
pub(super) const APPLICATION_ID: i32 = 0x424C_7664;

/// Schema changes in order; `PRAGMA user_version` counts those that a file has.
pub(super) const MIGRATIONS: [&str; 9] = [
    include_str!("migrations/0001_first.sql"),
    include_str!("migrations/0002_gemm_i8.sql"),
    include_str!("migrations/0003_extrinsics.sql"),
    include_str!("migrations/0004_proved.sql"),
    include_str!("migrations/0005_log.sql"),
    include_str!("migrations/0006_leases.sql"),
    include_str!("migrations/0007_maintenance.sql"),
    include_str!("migrations/0008_tasks.sql"),
    include_str!("migrations/0009_overrides.sql"),
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
    #[error("{}: cannot read the database; {}", .path.display(), read_remedy(.source))]
    Unread { path: PathBuf, source: io::Error },
    #[error(
        "{}: cannot be read without the index of its log, which SQLite makes beside it and may not here; copy it with \
         its -wal, if it has one, to a directory that you may write to, and read it there", .path.display()
    )]
    LogUnread { path: PathBuf, source: rusqlite::Error },
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

pub(super) fn directory(path: &Path) -> &Path {
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

/// What somebody does about it who only reads.
fn read_remedy(why: &io::Error) -> &'static str {
    match why.kind() {
        ErrorKind::NotFound => "name a file that is there",
        ErrorKind::IsADirectory | ErrorKind::NotADirectory => "name the file itself",
        ErrorKind::PermissionDenied => "read it as the user that runs the validator, or let this user read it",
        _ => "see the cause",
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
    overrides::forget_reverted(&connection).map_err(|error| failed(path, "write to", error))?;
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

/// Opens a file of ours, of this schema or an older one, to be read beside whoever writes it; says which schema it has.
/// Changes nothing.
pub(super) fn read(path: &Path, owner: Option<&Hotkey>) -> Result<(Connection, usize), OpenError> {
    let unread = |source| OpenError::Unread { path: path.to_path_buf(), source };
    if fs::metadata(path).map_err(unread)?.is_dir() {
        return Err(unread(ErrorKind::IsADirectory.into()));
    }
    rustix::fs::access(path, Access::READ_OK).map_err(|why| unread(why.into()))?;
    let log = match fs::metadata(beside(path, "-wal")) {
        Ok(log) => Some(log.len()),
        Err(why) if why.kind() == ErrorKind::NotFound => None,
        Err(why) => return Err(unread(why)),
    };
    let writable = rustix::fs::access(directory(path), Access::WRITE_OK);
    read_as(path, owner, at_rest(writable, log)).map_err(|error| match error {
        OpenError::Sqlite { source, .. } if needs_its_log(&source) => {
            OpenError::LogUnread { path: path.to_path_buf(), source }
        }
        error => error,
    })
}

fn needs_its_log(why: &rusqlite::Error) -> bool {
    matches!(why.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly))
}

/// Whether nobody writes the file, and all of it is in it. SQLite makes an index beside the file to read one that
/// has a log, and where it may not, it reads nothing; then it must be told that none is needed.
fn at_rest(directory: Result<(), Errno>, log: Option<u64>) -> bool {
    match directory {
        Ok(()) => false,
        Err(Errno::ROFS) => log.unwrap_or(0) == 0,
        // Another user may: who has it open has a log beside it.
        Err(_) => log.is_none(),
    }
}

fn read_as(path: &Path, owner: Option<&Hotkey>, at_rest: bool) -> Result<(Connection, usize), OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = match at_rest {
        true => connect_to(path, &immutable(path), flags | OpenFlags::SQLITE_OPEN_URI)?,
        false => connect(path, flags)?,
    };
    match look_only(&connection, path, true, owner)? {
        Found::Ours { version } => Ok((connection, version)),
        Found::Empty => Err(OpenError::NotADatabase(path.to_path_buf())),
    }
}

/// The file as a URI that says that nobody changes it.
fn immutable(path: &Path) -> PathBuf {
    let mut uri = if path.is_absolute() { "file://".to_owned() } else { "file:".to_owned() };
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => uri.push(char::from(*byte)),
            other => uri += &format!("%{other:02X}"),
        }
    }
    (uri + "?immutable=1").into()
}

pub(super) fn older(path: &Path, found: usize) -> OpenError {
    OpenError::Older { path: path.to_path_buf(), found, known: MIGRATIONS.len() }
}

pub(super) fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, OpenError> {
    connect_to(path, path, flags)
}

fn connect_to(path: &Path, name: &Path, flags: OpenFlags) -> Result<Connection, OpenError> {
    let connection = Connection::open_with_flags(name, flags).map_err(|error| failed(path, "open", error))?;
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

pub(super) fn failed(path: &Path, step: &'static str, source: rusqlite::Error) -> OpenError {
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

pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Two validators on one file would both be right and both be wrong.
pub(super) fn lock(path: &Path) -> Result<File, OpenError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_can_write_is_read_without_its_log() {
        assert!(!at_rest(Ok(()), None));
        assert!(at_rest(Err(Errno::ROFS), None) && at_rest(Err(Errno::ROFS), Some(0)));
        assert!(!at_rest(Err(Errno::ROFS), Some(1)));
        assert!(at_rest(Err(Errno::ACCESS), None));
        assert!(!at_rest(Err(Errno::ACCESS), Some(0)), "whoever may write has it open");
    }

    #[test]
    fn a_database_at_rest_is_read_and_nothing_is_made_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a file?immutable=0&#%41 ä.db");
        let (connection, lock) = open(&path, &Hotkey::label("5Validator")).unwrap();
        drop((connection, lock));
        let names = || fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
        let before = names();
        let (connection, version) = read_as(&path, None, true).unwrap();
        let owner: String = connection.query_row("SELECT hotkey FROM owner", [], |row| row.get(0)).unwrap();
        assert_eq!((owner.as_str(), version, names()), ("5Validator", MIGRATIONS.len(), before));
    }

    #[test]
    fn what_cannot_be_read_is_told_to_who_reads() {
        let dir = tempfile::tempdir().unwrap();
        let told = |path: &Path| read(path, None).unwrap_err().to_string();
        let none = dir.path().join("none.db");
        assert_eq!(told(&none), format!("{}: cannot read the database; name a file that is there", none.display()));
        assert!(told(dir.path()).ends_with("name the file itself"), "{}", told(dir.path()));
        assert!(!none.exists());
    }
}
