//! Files that a configuration is, or names: the YAML text and the tokens.
//!
//! The one file of `config` that touches the disk and the environment, once, at start.

use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::{
    Checked, ConfigError, Role,
    named_file::NamedFile,
    shared::{METRICS_TOKEN, Metrics},
};
use crate::units::Secret;

/// Why there are no settings. The operator must act: exit status 78.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("cannot read the {role}'s configuration {}", path.display())]
    Unreadable { role: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{}", path.display())]
    Invalid { path: PathBuf, source: ConfigError },
    #[error(
        "{key}: credential:{name}: $CREDENTIALS_DIRECTORY is not set: LoadCredential={name}:PATH in the unit sets it; \
         outside of a running unit, root may set it to /run/credentials/UNIT"
    )]
    NoCredentials { key: &'static str, name: String },
    #[error(
        "{key}: credential:{name}: there is no {name} in {} ($CREDENTIALS_DIRECTORY): LoadCredential={name}:PATH in the \
         unit puts it there",
        directory.display()
    )]
    NoCredential { key: &'static str, name: String, directory: PathBuf },
    #[error("{key}: cannot read {}", path.display())]
    TokenUnreadable { key: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{key}: {} holds no token: one line of 16 to 512 visible ASCII characters", path.display())]
    Token { key: &'static str, path: PathBuf },
    #[error("{key}: {} holds no access token: one line of visible ASCII characters", path.display())]
    AccessToken { key: &'static str, path: PathBuf },
}

/// Reads and checks a role's file.
pub fn load<R: Role>(path: &Path) -> Result<Checked<R>, FileError> {
    let text = fs::read_to_string(path).map_err(|source| FileError::Unreadable {
        role: R::NAME,
        path: path.to_owned(),
        source,
    })?;
    R::from_yaml(&text).map_err(|source| FileError::Invalid { path: path.to_owned(), source })
}

/// Reads a token file that a configuration names under `key`.
pub fn token(key: &'static str, file: &NamedFile) -> Result<Secret, FileError> {
    let path = locate(key, file)?;
    let bytes = secret(&path);
    let bytes = bytes.map_err(|source| FileError::TokenUnreadable { key, path: path.clone(), source })?;
    let token = str::from_utf8(&bytes).ok().and_then(super::shared::token_of);
    token.ok_or(FileError::Token { key, path })
}

/// Reads the token of the operators' door, where one is named.
pub fn metrics_token(door: Option<&Metrics>) -> Result<Option<Secret>, FileError> {
    let named = door.and_then(|door| door.token_file.as_ref());
    named.map(|named| token(METRICS_TOKEN, named)).transpose()
}

/// Reads the marketplace's access token, whose form is the marketplace's.
pub fn access_token(file: &NamedFile) -> Result<Secret, FileError> {
    let key = super::meshhub::TOKEN_KEY;
    let path = locate(key, file)?;
    let bytes = secret(&path);
    let bytes = bytes.map_err(|source| FileError::TokenUnreadable { key, path: path.clone(), source })?;
    let token = str::from_utf8(&bytes).ok().and_then(super::meshhub::access_token_of);
    token.ok_or(FileError::AccessToken { key, path })
}

/// Where the service manager puts a unit's credentials.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// Where the file lies that a configuration names under `key`.
pub fn locate(key: &'static str, file: &NamedFile) -> Result<PathBuf, FileError> {
    located(key, file, env::var_os(CREDENTIALS).filter(|directory| !directory.is_empty()))
}

fn located(key: &'static str, file: &NamedFile, credentials: Option<OsString>) -> Result<PathBuf, FileError> {
    let name = match file {
        NamedFile::Path(path) => return Ok(from_home(path)),
        NamedFile::Credential(name) => name,
    };
    let directory = credentials.map(PathBuf::from);
    let directory = directory.ok_or_else(|| FileError::NoCredentials { key, name: name.clone() })?;
    let path = directory.join(name);
    // what cannot be looked at is told by whoever reads it
    match path.try_exists() {
        Ok(false) => Err(FileError::NoCredential { key, name: name.clone(), directory }),
        _ => Ok(path),
    }
}

/// Larger than any key, token or password.
const MAX_SECRET_BYTES: u64 = 64 * 1024;

/// The bytes of a file that holds a secret; warns when it is not its owner's alone.
pub fn secret(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = File::open(path)?;
    if is_open_to_others(file.metadata()?.mode()) && !is_credential(path) {
        let path = path.display();
        log::warn!(target: "config", "{path} can be read by others than its owner: `chmod 600 {path}`");
    }
    bounded(file)
}

/// The bytes of a small file that everybody may read.
pub fn public(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    bounded(File::open(path)?)
}

fn bounded(file: File) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(MAX_SECRET_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn is_open_to_others(mode: u32) -> bool {
    mode & 0o077 != 0
}

/// systemd guards its credentials by an access list, which shows as bits of the group.
fn is_credential(path: &Path) -> bool {
    env::var_os(CREDENTIALS).is_some_and(|directory| path.starts_with(directory))
}

/// A path with its leading `~` replaced by the home directory, when there is one.
pub fn from_home(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), env::home_dir()) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_line_that_fits_a_header() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let read = |text: &str| {
            fs::write(&path, text).unwrap();
            token("token_file", &path.clone().into())
        };
        assert_eq!(read("0123456789abcdef\n").unwrap().reveal(), "0123456789abcdef");
        for text in ["", "short", "two words, two words", "0123456789abcdef\n0123456789abcdef\n", "0123456789abcdéf"] {
            assert!(matches!(read(text), Err(FileError::Token { .. })), "{text:?}");
        }
        let missing = token("token_file", &dir.path().join("none").into()).unwrap_err();
        assert!(missing.to_string().starts_with("token_file: cannot read "), "{missing}");
    }

    #[test]
    fn a_credential_is_a_file_of_the_service_managers_directory() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path();
        let file = NamedFile::Credential("hotkey".into());
        let told = |directory: Option<&Path>| {
            let located = located("wallet.file", &file, directory.map(|path| path.as_os_str().to_owned()));
            located.map_err(|why| why.to_string())
        };
        let unset = told(None).unwrap_err();
        assert!(
            unset.starts_with(
                "wallet.file: credential:hotkey: $CREDENTIALS_DIRECTORY is not set: LoadCredential=hotkey:PATH in the \
                 unit sets it; "
            ),
            "{unset}"
        );
        let missing = told(Some(at)).unwrap_err();
        let expected = format!("wallet.file: credential:hotkey: there is no hotkey in {}", at.display());
        assert!(missing.starts_with(&expected) && missing.contains("LoadCredential=hotkey:PATH"), "{missing}");
        fs::write(at.join("hotkey"), "").unwrap();
        assert_eq!(told(Some(at)), Ok(at.join("hotkey")));
        let path = located("token_file", &NamedFile::Path("/t".into()), None).unwrap();
        assert_eq!(path, Path::new("/t"), "a path needs no service manager");
    }

    #[test]
    fn a_file_of_its_owner_alone_is_not_open_to_others() {
        assert!([0o600, 0o400, 0o700].iter().all(|mode| !is_open_to_others(*mode)));
        assert!([0o640, 0o604, 0o620, 0o666].iter().all(|mode| is_open_to_others(*mode)));
    }

    #[test]
    fn a_missing_file_is_named() {
        let missing = load::<crate::config::worker::Config>(Path::new("/nowhere/worker.yaml")).unwrap_err();
        assert_eq!(missing.to_string(), "cannot read the worker's configuration /nowhere/worker.yaml");
    }
}
