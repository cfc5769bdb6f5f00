//! Files that a configuration is, or names: the YAML text and the tokens.
//!
//! The one file of `config` that touches the disk and the environment, once, at start.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use super::{Checked, ConfigError, Role};
use crate::units::Secret;

/// Why there are no settings. The operator must act: exit status 78.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("cannot read the {role}'s configuration {}", path.display())]
    Unreadable { role: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{}", path.display())]
    Invalid { path: PathBuf, source: ConfigError },
    #[error("{key}: cannot read {}", path.display())]
    TokenUnreadable { key: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{key}: {} holds no token: one line of 16 to 512 visible ASCII characters", path.display())]
    Token { key: &'static str, path: PathBuf },
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
pub fn token(key: &'static str, path: &Path) -> Result<Secret, FileError> {
    let path = from_home(path);
    let text = fs::read_to_string(&path);
    let text = text.map_err(|source| FileError::TokenUnreadable { key, path: path.clone(), source })?;
    super::shared::token_of(&text).ok_or(FileError::Token { key, path })
}

/// A path with its leading `~` replaced by the home directory, when there is one.
pub fn from_home(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), env::home_dir()) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path.to_owned(),
    }
}
