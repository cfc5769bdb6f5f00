//! `wallet.*`: which hotkey speaks.

use std::path::PathBuf;

use super::{
    form::Form,
    named_file::{self, NamedFile},
};

/// Where the hotkey lies: a file of its own, or in Bittensor's layout `<path>/<name>/hotkeys/<hotkey>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wallet {
    /// As written; a leading `~` stands for the home directory.
    pub path: PathBuf,
    pub name: String,
    pub hotkey: String,
    /// The key file itself, in place of the layout.
    pub file: Option<NamedFile>,
    /// A file whose first line is the password of an encrypted hotkey.
    pub password_file: Option<NamedFile>,
}

/// Bittensor's own defaults.
pub const DEFAULT_PATH: &str = "~/.bittensor/wallets";
pub const DEFAULT_NAME: &str = "default";

pub const FILE_KEY: &str = "wallet.file";
pub const PASSWORD_KEY: &str = "wallet.password_file";

pub fn read(form: &mut Form) -> Wallet {
    let wallet = Wallet {
        name: part(form, "wallet.name"),
        hotkey: part(form, "wallet.hotkey"),
        path: PathBuf::from(form.text_or("wallet.path", DEFAULT_PATH)),
        file: named_file::read(form, FILE_KEY),
        password_file: named_file::read(form, PASSWORD_KEY),
    };
    for key in ["wallet.name", "wallet.hotkey", "wallet.path"] {
        let once = wallet.file.is_none() || !form.is_set(key);
        form.relation(once, key, FILE_KEY, "left out when wallet.file is set: that is the key file itself");
    }
    wallet
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
