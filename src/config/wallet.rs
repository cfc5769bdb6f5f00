//! `wallet.*`: which hotkey speaks.

use std::path::PathBuf;

use super::form::Form;

/// Where the hotkey lies, in Bittensor's layout: `<path>/<name>/hotkeys/<hotkey>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wallet {
    /// As written; a leading `~` stands for the home directory.
    pub path: PathBuf,
    pub name: String,
    pub hotkey: String,
    /// A file whose first line is the password of an encrypted hotkey.
    pub password_file: Option<PathBuf>,
}

/// Bittensor's own defaults.
pub const DEFAULT_PATH: &str = "~/.bittensor/wallets";
pub const DEFAULT_NAME: &str = "default";

pub fn read(form: &mut Form) -> Wallet {
    Wallet {
        name: part(form, "wallet.name"),
        hotkey: part(form, "wallet.hotkey"),
        path: PathBuf::from(form.text_or("wallet.path", DEFAULT_PATH)),
        password_file: form.path("wallet.password_file"),
    }
}

fn part(form: &mut Form, path: &'static str) -> String {
    let name = form.text_or(path, DEFAULT_NAME);
    if !is_part(&name) {
        form.problem(path, &format!("{name:?}"), "a name without path separators");
    }
    name
}

/// One part of a path: no separators, no step upwards.
pub fn is_part(name: &str) -> bool {
    !name.is_empty() && !name.contains(['/', '\\', '\0']) && name != "." && name != ".."
}
