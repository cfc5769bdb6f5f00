//! `wallet.*`: which hotkey speaks.

use std::path::PathBuf;

use super::form::Form;

/// Where the hotkey lies: a file of its own, or in Bittensor's layout `<path>/<name>/hotkeys/<hotkey>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wallet {
    /// As written; a leading `~` stands for the home directory.
    pub path: PathBuf,
    pub name: String,
    pub hotkey: String,
    /// The key file itself, in place of the layout: for a credential of the service manager.
    pub file: Option<PathBuf>,
    /// A file whose first line is the password of an encrypted hotkey.
    pub password_file: Option<PathBuf>,
}

/// Bittensor's own defaults.
pub const DEFAULT_PATH: &str = "~/.bittensor/wallets";
pub const DEFAULT_NAME: &str = "default";

pub fn read(form: &mut Form) -> Wallet {
    let wallet = Wallet {
        name: part(form, "wallet.name"),
        hotkey: part(form, "wallet.hotkey"),
        path: PathBuf::from(form.text_or("wallet.path", DEFAULT_PATH)),
        file: form.path("wallet.file"),
        password_file: form.path("wallet.password_file"),
    };
    for key in ["wallet.name", "wallet.hotkey", "wallet.path"] {
        let once = wallet.file.is_none() || !form.is_set(key);
        form.relation(once, key, "wallet.file", "left out when wallet.file is set: that is the key file itself");
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
